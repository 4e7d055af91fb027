/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_FOLDER_H
#define TESTS_SUPPORT_FOLDER_H

/* A temporary folder of one test, and files in it. Any failure ends the test. */

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static inline struct folder folder_new(void)
{
    struct folder folder = {"/tmp/zswarm-test-XXXXXX"};
    const char *made = mkdtemp(folder.path);
    assert(made);
    return folder;
}

static inline int folder_remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static inline void folder_remove(const struct folder *folder)
{
    nftw(folder->path, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The path of a name in the folder, in one of a few buffers that are used in turn. */
static inline const char *folder_path(const struct folder *folder, const char *name)
{
    static char paths[4][2 * 4096];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

/* Makes the folders that lead to `name`. */
static inline void folder_make_parents(const struct folder *folder, const char *name)
{
    char path[2 * 4096];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    for (char *slash = path + strlen(folder->path) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
}

static inline void folder_write_bytes(const struct folder *folder, const char *name, const void *bytes,
                                      size_t size)
{
    folder_make_parents(folder, name);
    int fd = open(folder_path(folder, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert(fd >= 0);
    ssize_t written = write(fd, bytes, size);
    assert(written == (ssize_t)size);
    close(fd);
}

static inline void folder_write(const struct folder *folder, const char *name, const char *text)
{
    folder_write_bytes(folder, name, text, strlen(text));
}

static inline void folder_link(const struct folder *folder, const char *target, const char *name)
{
    folder_make_parents(folder, name);
    int result = symlink(target, folder_path(folder, name));
    assert(result == 0);
}

#endif
