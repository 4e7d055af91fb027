/* SPDX-License-Identifier: MIT */
#include "node/shell/share/share_folder.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool share_folder_open(const char *path, bool is_flat, struct share_folder *ret_folder)
{
    char *real_path = realpath(path, NULL);
    if (!real_path)
        return false;
    int fd = open(real_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        free(real_path);
        errno = error;
        return false;
    }
    *ret_folder = (struct share_folder){.fd = fd, .path = real_path, .is_flat = is_flat};
    return true;
}

int share_folder_open_manifest(const char *path, struct share_folder *ret_folder)
{
    struct share_folder folder;
    struct manifest_file *manifest = calloc(1, sizeof *manifest);
    assert(manifest);
    int error = manifest_file_init(manifest, path);
    if (!error && !share_folder_open("/", false, &folder))
        error = errno;
    if (error) {
        manifest_file_release(manifest);
        free(manifest);
        return error;
    }
    folder.manifest = manifest;
    *ret_folder = folder;
    return 0;
}

void share_folder_release(struct share_folder *self)
{
    close(self->fd);
    free(self->path);
    if (self->manifest)
        manifest_file_release(self->manifest);
    free(self->manifest);
}

int share_folder_reopen(const struct share_folder *self, bool *ret_is_another)
{
    int fd = open(self->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat now, before;
    if (fd < 0 || fstat(fd, &now) != 0 || fstat(self->fd, &before) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    *ret_is_another = now.st_dev != before.st_dev || now.st_ino != before.st_ino;
    if (*ret_is_another)
        dup3(fd, self->fd, O_CLOEXEC); /* in one step: other threads open with this number */
    close(fd);
    return 0;
}

const char *share_folder_below(const struct share_folder *self, const char *real_path)
{
    if (self->manifest) /* nothing is shared for where it lies */
        return NULL;
    size_t size = strlen(self->path);
    if (size == 1) /* the root of the file system: everything is below it */
        size = 0;
    if (strncmp(real_path, self->path, size) != 0 || real_path[size] != '/')
        return NULL;
    const char *below = real_path + size + 1;
    if (*below == '.' || strstr(below, "/.") || (self->is_flat && strchr(below, '/')))
        return NULL;
    return below;
}
