/* SPDX-License-Identifier: MIT */
#include "messages/shell/loop.h"
#include "node/shell/downloads/downloads.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Only the folder itself: where it belongs is there, or somebody took it away. */
static int make(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : errno;
}

/* What rename() says to a file: only it knows all the reasons there are. */
static int try_moving(const char *from, const char *to)
{
    int fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    int error = rename(from, to) == 0 ? 0 : errno;
    (void)unlink(error ? from : to);
    return error;
}

int downloads_check_folders(const char *folder, const char *temp)
{
    int error = make(folder);
    if (!error)
        error = make(temp);
    if (error)
        return error;
    char *from = NULL, *to = NULL;
    unsigned long long random = random_u64();
    int from_size = asprintf(&from, "%s/.zswarm-%016llx", temp, random);
    int to_size = asprintf(&to, "%s/.zswarm-%016llx", folder, random);
    assert(from_size >= 0);
    assert(to_size >= 0);
    error = try_moving(from, to);
    free(from);
    free(to);
    return error;
}
