/* SPDX-License-Identifier: MIT */
/* What a person is shown of the shares. */
#include "node/shell/share/shares_private.h"

#include <assert.h>
#include <stdio.h>

size_t shares_folder_count(const struct shares *self)
{
    size_t count = 0;
    for (size_t i = 0; i < self->folder_end; i++)
        count += shares_has_folder(self, i);
    return count;
}

struct shares_folder_view shares_folder_at(const struct shares *self, size_t position)
{
    size_t share = 0;
    for (;; share++) {
        assert(share < self->folder_end);
        if (shares_has_folder(self, share) && position-- == 0)
            break;
    }
    const struct share_folder *folder = &self->folders[share];
    return (struct shares_folder_view){
        .path = folder->manifest ? folder->manifest->path : folder->path,
        .is_flat = folder->is_flat,
        .is_there = !(self->scan.not_there >> share & 1),
        .is_watched = self->watch && !(self->scan.unwatched >> share & 1),
    };
}

size_t shares_file_count(const struct shares *self)
{
    return share_index_count(self->index);
}

struct shares_file_view shares_file_at(const struct shares *self, size_t position)
{
    const struct shared_file *file = share_index_at(self->index, position);
    return (struct shares_file_view){
        .name = file->name,
        .size = file->stamp.size,
        .state = file->state,
        .id = file->id,
        .hashed_bytes = file->state == SHARE_UNHASHED ? hashing_bytes(self, file->handle) : 0,
    };
}

char *shares_file_path(const struct shares *self, size_t position)
{
    const struct shared_file *file = share_index_at(self->index, position);
    const char *folder = self->folders[file->share].path;
    char *path = NULL;
    int size = asprintf(&path, "%s%s%s", folder, folder[1] ? "/" : "", file->path);
    assert(size >= 0);
    return path;
}
