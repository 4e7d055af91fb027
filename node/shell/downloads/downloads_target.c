/* SPDX-License-Identifier: MIT */
#include "messages/name.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/fetch/landing.h"
#include "node/shell/folders.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of a target before its last component. */
static size_t prefix_size(const char *target)
{
    struct text path = text_of(target);
    return path.size - name_base(path).size;
}

char *target_below(const char *target)
{
    size_t size = prefix_size(target);
    return text_copy((struct text){target, size > 0 ? size - 1 : 0});
}

int target_check(const char *folder, const char *target)
{
    char *below = target_below(target);
    int root_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = root_fd >= 0 ? share_open_folder(root_fd, below) : -1;
    int error = fd >= 0 || errno == ENOENT ? 0 : errno;
    if (root_fd >= 0)
        close(root_fd);
    if (fd >= 0)
        close(fd);
    free(below);
    return error;
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

/* 0, or an errno; *ret_base is the name that it got. */
static int make_empty_in(int folder_fd, const char *target, char **ret_base)
{
    const char *base = target_base(target);
    for (unsigned number = 1; number <= PUBLISH_NUMBER_MAX; number++) {
        char *name =
            number == 1 ? text_copy(text_of(base)) : name_numbered_entry(base, prefix_size(target), number);
        struct stat status;
        if (!name)
            return ENAMETOOLONG;
        int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        int error = fd >= 0 ? 0 : errno;
        if (fd >= 0)
            close(fd);
        bool is_there = error == EEXIST && fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                        S_ISREG(status.st_mode) && status.st_size == 0;
        if (error == 0 || is_there) {
            *ret_base = name;
            return 0;
        }
        free(name);
        if (error != EEXIST)
            return error;
    }
    return EEXIST;
}

/* The same below a folder, with all of it synced. */
static int make_empty_below(int root_fd, const char *target, char **ret_base)
{
    char *below = target_below(target), *base = NULL;
    int folder_fd = landing_open_folder(root_fd, below);
    int error = folder_fd < 0 ? errno : make_empty_in(folder_fd, target, &base);
    if (!error && (!folders_sync(folder_fd) || (*below && !landing_sync_above(root_fd, below))))
        error = errno;
    if (folder_fd >= 0)
        close(folder_fd);
    if (!error)
        *ret_base = base;
    else
        free(base);
    free(below);
    return error;
}

int target_make_empty(const char *folder, const char *target, char **ret_target)
{
    char *base = NULL;
    int root_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = root_fd < 0 ? errno : make_empty_below(root_fd, target, &base);
    if (root_fd >= 0)
        close(root_fd);
    if (!error)
        *ret_target = target_renamed(target, base);
    free(base);
    return error;
}
