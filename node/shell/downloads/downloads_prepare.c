/* SPDX-License-Identifier: MIT */
#include "messages/name.h"
#include "messages/shell/loop.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* On a worker. */

enum look {
    LOOK_NONE,      /* no file has the name */
    LOOK_DIFFERENT, /* one has, of another size */
    LOOK_SAME_SIZE, /* it may be the same */
};

static enum look look_at(int folder_fd, const char *name, uint64_t size, int *ret_fd)
{
    struct stat status;
    struct file_stamp stamp;
    int fd = -1;
    bool exists = share_stat(folder_fd, name, &status) == 0;
    if (exists && S_ISREG(status.st_mode) && (uint64_t)status.st_size == size)
        fd = share_open(folder_fd, name, &stamp);
    if (fd < 0)
        return exists ? LOOK_DIFFERENT : LOOK_NONE;
    *ret_fd = fd;
    return LOOK_SAME_SIZE;
}

/* Is the very file there already? From the name that comes next: its own, then those with a number, up to one
 * that no file has. */
static void look(struct preparation *self)
{
    int folder_fd = open(self->fetch.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum look found = folder_fd >= 0 ? LOOK_DIFFERENT : LOOK_NONE;
    for (; found == LOOK_DIFFERENT && self->look_number <= PUBLISH_NUMBER_MAX; self->look_number++) {
        char *name = self->look_number == 1 ? text_copy(text_of(self->target))
                                            : name_numbered_entry(self->target, 0, self->look_number);
        found = name ? look_at(folder_fd, name, self->fetch.download.size, &self->same_fd) : LOOK_NONE;
        free(name);
        if (found == LOOK_SAME_SIZE)
            break;
    }
    if (folder_fd >= 0)
        close(folder_fd);
}

/* Somebody may have tidied up since they were made. 0 or an errno. */
static int check_folders(const struct preparation *self)
{
    const char *folder = self->fetch.folder, *temp = self->fetch.temp;
    bool are_there = access(folder, F_OK) == 0 && access(temp, F_OK) == 0;
    return self->are_folders_good && are_there ? 0 : downloads_check_folders(folder, temp);
}

static void run(struct job *job)
{
    struct preparation *self = (struct preparation *)job;
    if (self->must_look)
        look(self);
    if (self->same_fd >= 0)
        return;
    int error = check_folders(self);
    self->are_folders_good = error == 0;
    if (!error)
        error = target_check(self->fetch.folder, self->target);
    self->start = FETCH_REFUSED;
    if (!error) {
        self->start = fetch_open_store(&self->fetch, &self->store, &self->needed_bytes, &self->free_bytes);
        error = errno;
    }
    self->error = error;
}

/* On the loop's thread. */

static void done(struct job *job)
{
    struct preparation *self = (struct preparation *)job;
    self->is_done = true;
}

void preparation_start(struct preparation *self, struct workers *workers)
{
    self->job = (struct job){.run = run, .done = done};
    self->same_fd = -1;
    workers_put(workers, &self->job);
}

void preparation_destroy(struct preparation **self_p)
{
    struct preparation *self = *self_p;
    if (!self)
        return;
    assert(self->is_done);
    if (self->same_fd >= 0)
        close(self->same_fd);
    chunk_store_close(&self->store);
    free(self->target);
    free(self->below);
    free(self->name);
    free(self);
    *self_p = NULL;
}
