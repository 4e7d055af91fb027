/* SPDX-License-Identifier: MIT */
#include "node/shell/share/scan_private.h"

#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note_line(struct scan *self, size_t number, const char *what, const char *why)
{
    const struct manifest_file *file = self->item->folder->manifest;
    char *line = NULL;
    int size = asprintf(&line, "%s: line %zu: %s%s%s", file->path, number, what, *why ? ": " : "", why);
    assert(size >= 0);
    scan_note(self, line);
    free(line);
}

static void note_complaints(struct scan *self)
{
    const struct manifest *manifest = self->item->folder->manifest->manifest;
    for (size_t i = 0; i < manifest->complaint_count; i++) {
        const struct manifest_complaint *complaint = &manifest->complaints[i];
        char first[48] = "";
        if (complaint->fault == MANIFEST_NAME_TWICE)
            snprintf(first, sizeof first, "see line %zu", complaint->first_line);
        note_line(self, complaint->line, manifest_fault_text(complaint->fault), first);
    }
    self->notes.left_out_count += manifest->more_complaints_count;
}

/* Watches the folder of an absolute path, or the nearest one above it that is there. */
static void watch_folder_of(struct scan *self, const char *path)
{
    char *folder = strdup(path);
    assert(folder);
    int fd = -1;
    while (self->watch && fd < 0) {
        char *slash = strrchr(folder, '/');
        if (!slash)
            break;
        slash[slash == folder] = '\0'; /* the root keeps its slash */
        if (watch_knows(self->watch, self->item->share, folder))
            break;
        fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && !folder[1])
            break;
    }
    if (fd >= 0) {
        scan_watch(self, fd, folder, folder);
        close(fd);
    }
    free(folder);
}

static void look_at_entry(struct scan *self, const struct manifest_entry *entry)
{
    const struct share_folder *folder = self->item->folder;
    char *path = manifest_file_path(folder->manifest, entry);
    watch_folder_of(self, path);
    char *real_path = realpath(path, NULL);
    struct stat status;
    if (!real_path || share_stat(folder->fd, real_path[1] ? real_path + 1 : ".", &status) != 0) {
        note_line(self, entry->line, entry->path, strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        note_line(self, entry->line, entry->path, "not a regular file");
    } else {
        if (strcmp(path, real_path) != 0)
            watch_folder_of(self, real_path);
        struct place place = {strdup(real_path + 1), strdup(entry->name)};
        assert(place.path && place.name);
        scan_add_file(self, place, &status);
    }
    free(real_path);
    free(path);
}

void scan_manifest(struct scan *self)
{
    struct manifest_file *file = self->item->folder->manifest;
    int error = manifest_file_update(file);
    if (error) {
        char *line = NULL;
        int size = asprintf(&line, "%s cannot be read: %s; what it said last still holds", file->path,
                            strerror(error));
        assert(size >= 0);
        scan_note(self, line);
        free(line);
    }
    uint64_t bit = UINT64_C(1) << self->item->share;
    *(error ? &self->result.not_there : &self->result.there) |= bit;
    if (file->is_new)
        self->result.renewed |= bit;
    if (file->is_new && self->watch)
        watch_forget(self->watch, self->item->share, "");
    file->is_new = false;
    watch_folder_of(self, file->path);
    note_complaints(self);
    scan_add_scope(self);
    for (size_t i = 0; i < file->manifest->count; i++) {
        if (self->workers && workers_is_stopping(self->workers))
            return;
        look_at_entry(self, &file->manifest->entries[i]);
    }
}
