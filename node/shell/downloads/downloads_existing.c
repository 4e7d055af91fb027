/* SPDX-License-Identifier: MIT */
#include "messages/name.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/share/share_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void on_hashed(void *owner, struct file_hash_result *result)
{
    struct runner *self = owner;
    self->is_hashing = false;
    if (self->state != RUNNER_LOOKING)
        return; /* it was paused meanwhile */
    bool is_same = result->status == FILE_HASH_READY && result->stamp.size == self->file.size &&
                   hash_equal(&result->root, &self->file.root);
    if (!is_same) {
        self->look_number++;
        return;
    }
    char *name = name_numbered(self->target, self->look_number);
    if (self->look_number > 1) {
        free(self->target);
        self->target = name;
    } else {
        free(name);
    }
    runner_stop(self);
    runner_done(self);
}

enum look {
    LOOK_NONE,      /* no file has the name */
    LOOK_DIFFERENT, /* one has, of another size */
    LOOK_HASHING,   /* it may be the same: on_hashed() tells */
};

static enum look look_at(struct runner *self, const char *name)
{
    const struct downloads_config *config = &self->downloads->config;
    struct stat status;
    int folder_fd = open(config->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return LOOK_NONE;
    int fd = -1;
    struct file_stamp stamp;
    bool exists = share_stat(folder_fd, name, &status) == 0;
    if (exists && S_ISREG(status.st_mode) && (uint64_t)status.st_size == self->file.size)
        fd = share_open(folder_fd, name, &stamp);
    close(folder_fd);
    if (fd < 0)
        return exists ? LOOK_DIFFERENT : LOOK_NONE;
    self->is_hashing = true;
    file_hash_start_open(config->workers, fd, workers_count(config->workers) + 1, on_hashed, self);
    return LOOK_HASHING;
}

void runner_look(struct runner *self)
{
    enum look look = LOOK_DIFFERENT;
    for (; look == LOOK_DIFFERENT && self->look_number <= PUBLISH_NUMBER_MAX; self->look_number++) {
        char *name = self->look_number == 1 ? text_copy(text_of(self->target))
                                            : name_numbered(self->target, self->look_number);
        look = look_at(self, name);
        free(name);
        if (look == LOOK_HASHING)
            return;
    }
    self->look_number = 0; /* none of them is it */
}
