/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/open_files.h"

#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

static void close_file(struct open_files *self, struct open_file *file)
{
    DL_DELETE(self->files, file);
    self->count--;
    if (file->place.fd >= 0)
        close(file->place.fd);
    if (file->place.folder_fd >= 0)
        close(file->place.folder_fd);
    free(file->place.path);
    pthread_mutex_destroy(&file->opening);
    free(file);
}

static int open_place(struct open_file_place *place, struct file_stamp *ret_stamp)
{
    int fd = share_open(place->folder_fd, place->path, ret_stamp);
    if (fd >= 0 && place->has_stamp && !file_stamp_equal(ret_stamp, &place->stamp)) {
        close(fd);
        errno = ESTALE;
        return -1;
    }
    if (fd >= 0) {
        close(place->folder_fd);
        place->folder_fd = -1;
    }
    return place->fd = fd;
}

int open_file_fd(struct open_file *file, struct file_stamp *ret_stamp)
{
    pthread_mutex_lock(&file->opening);
    int fd = file->place.fd >= 0 ? file->place.fd : open_place(&file->place, ret_stamp);
    int error = errno;
    pthread_mutex_unlock(&file->opening);
    errno = error;
    return fd;
}

struct open_file *open_files_find(struct open_files *self, struct content content)
{
    struct open_file *file;
    DL_FOREACH(self->files, file)
    {
        if (file->content.handle != content.handle || file->content.is_partial != content.is_partial)
            continue;
        DL_DELETE(self->files, file);
        DL_PREPEND(self->files, file);
        return file;
    }
    return NULL;
}

void open_file_drop(struct open_file *file)
{
    assert(file->user_count > 0);
    file->content = (struct content){0}; /* no handle is 0: nobody finds it any more */
}

/* From the least recently used one on, until `count_max` are left. */
static void close_some(struct open_files *self, size_t count_max)
{
    struct open_file *file = self->files ? self->files->prev : NULL; /* a head's prev is the tail */
    while (file && self->count > count_max) {
        struct open_file *before = file == self->files ? NULL : file->prev;
        if (file->user_count == 0)
            close_file(self, file);
        file = before;
    }
}

struct open_file *open_files_add(struct open_files *self, struct content content,
                                 const struct open_file_place *place)
{
    close_some(self, OPEN_FILES_KEPT_MAX - 1);
    struct open_file *file = calloc(1, sizeof *file);
    assert(file);
    file->content = content;
    file->place = *place;
    int rc = pthread_mutex_init(&file->opening, NULL);
    assert(rc == 0);
    DL_PREPEND(self->files, file);
    self->count++;
    return file;
}

void open_files_forget(struct open_files *self, struct content content)
{
    struct open_file *file = open_files_find(self, content);
    if (!file)
        return;
    if (file->user_count == 0)
        close_file(self, file);
    else
        file->content = (struct content){0}; /* no handle is 0: nobody finds it any more */
}

void open_files_put(struct open_files *self, struct open_file *file)
{
    assert(file->user_count > 0);
    file->user_count--;
    if (file->user_count == 0 && file->content.handle == 0 && !file->content.is_partial)
        close_file(self, file);
}

void open_files_close_unused(struct open_files *self)
{
    close_some(self, 0);
}
