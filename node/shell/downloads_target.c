/* SPDX-License-Identifier: MIT */
#include "messages/name.h"
#include "node/shell/downloads_private.h"
#include "node/shell/landing.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Bytes of a target before its last component. */
static size_t prefix_size(const char *target)
{
    struct text path = text_of(target);
    return path.size - name_base(path).size;
}

int target_open_folder(const char *folder, const char *target)
{
    size_t size = prefix_size(target);
    char *below = text_copy((struct text){target, size > 0 ? size - 1 : 0});
    int root_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = root_fd >= 0 ? landing_open_folder(root_fd, below) : -1;
    int error = errno;
    if (root_fd >= 0)
        close(root_fd);
    free(below);
    errno = error;
    return fd;
}

const char *target_base(const char *target)
{
    return target + prefix_size(target);
}

char *target_renamed(const char *target, const char *base)
{
    char *renamed = NULL;
    int size = asprintf(&renamed, "%.*s%s", (int)prefix_size(target), target, base);
    assert(size >= 0);
    return renamed;
}
