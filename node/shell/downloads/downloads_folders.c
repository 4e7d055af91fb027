/* SPDX-License-Identifier: MIT */
#include "messages/shell/loop.h"
#include "node/shell/downloads/downloads.h"
#include "node/shell/folders.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
    if (!folders_make_one(folder, 0777) || !folders_make_one(temp, 0777))
        return errno;
    char *from = NULL, *to = NULL;
    unsigned long long random = random_u64();
    int from_size = asprintf(&from, "%s/.zswarm-%016llx", temp, random);
    int to_size = asprintf(&to, "%s/.zswarm-%016llx", folder, random);
    assert(from_size >= 0);
    assert(to_size >= 0);
    int error = try_moving(from, to);
    free(from);
    free(to);
    return error;
}
