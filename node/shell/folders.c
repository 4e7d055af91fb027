/* SPDX-License-Identifier: MIT */
#include "node/shell/folders.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool make_one(const char *path, mode_t mode)
{
    return mkdir(path, mode) == 0 || errno == EEXIST;
}

/* From the end: a folder above that is there may be one that we may not write to, or not even see. */
bool folders_make(const char *path, mode_t mode)
{
    if (make_one(path, mode))
        return true;
    return errno == ENOENT && folders_make_above(path, mode) && make_one(path, mode);
}

bool folders_make_above(const char *path, mode_t mode)
{
    char *copy = strdup(path);
    assert(copy);
    bool is_made = folders_make(dirname(copy), mode);
    int error = errno;
    free(copy);
    errno = error;
    return is_made;
}
