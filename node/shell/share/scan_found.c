/* SPDX-License-Identifier: MIT */
/* What a scan brings: files, the places that it speaks about, and notes for a person. */
#include "node/shell/share/scan_private.h"

#include "messages/name.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void scan_place_release(struct place *place)
{
    free(place->path);
    free(place->name);
}

/* Notes */

void scan_note(struct scan *self, const char *line)
{
    struct scan_notes *notes = &self->notes;
    if (notes->count == SCAN_NOTES_MAX)
        notes->left_out_count++;
    else
        notes->lines[notes->count++] = text_escape(text_of(line));
}

void scan_note_path(struct scan *self, const char *path, const char *reason)
{
    char *line = NULL;
    int size =
        asprintf(&line, "not shared: %s%s%s: %s", self->item->folder->path, *path ? "/" : "", path, reason);
    assert(size >= 0);
    scan_note(self, line);
    free(line);
}

bool scan_note_error(struct scan *self, const char *path, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* it went, or was swapped for something else, while we looked */
        return true;
    case EACCES:
    case EPERM:
    case ENAMETOOLONG:
        scan_note_path(self, path, strerror(error));
        return true;
    default: /* out of memory or descriptors, or a disk error: whatever is there may come back */
        self->result.troubled |= UINT64_C(1) << self->item->share;
        scan_note_path(self, path, strerror(error));
        return false;
    }
}

struct scan_notes scan_take_notes(struct scan *self)
{
    struct scan_notes notes = self->notes;
    self->notes = (struct scan_notes){0};
    return notes;
}

void scan_notes_release(struct scan_notes *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->lines[i]);
    *self = (struct scan_notes){0};
}

/* What was found */

bool scan_place_is_linked(const struct place *place)
{
    return strcmp(place->path, place->name) != 0;
}

/* A cleaned name has at most three bytes for one. */
static bool has_name(const char *name)
{
    if (strlen(name) <= NAME_SIZE_MAX / 3)
        return true;
    char *cleaned = name_clean(name);
    bool is_valid = cleaned && name_is_valid(text_of(cleaned));
    free(cleaned);
    return is_valid;
}

void scan_add_file(struct scan *self, struct place place, const struct stat *status)
{
    struct scan_outcome *outcome = &self->result.outcome;
    if (!has_name(place.name)) {
        scan_note_path(self, place.path, "its name is longer than 1024 bytes");
        scan_place_release(&place);
        return;
    }
    if (outcome->count == self->file_room) {
        self->file_room = self->file_room ? self->file_room * 2 : 64;
        outcome->files = realloc(outcome->files, self->file_room * sizeof outcome->files[0]);
        assert(outcome->files);
    }
    if (!scan_place_is_linked(&place)) {
        free(place.path);
        place.path = NULL;
    }
    outcome->files[outcome->count++] = (struct scanned_file){
        .share = self->item->share,
        .path = place.path,
        .name = place.name,
        .stamp = stamp_of(status),
        .is_executable = (status->st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0,
    };
}

static struct scanned_folder *add_scope(struct scan *self, bool is_place)
{
    struct scan_outcome *outcome = &self->result.outcome;
    if (outcome->folder_count == self->folder_room) {
        self->folder_room = self->folder_room ? self->folder_room * 2 : 16;
        outcome->folders = realloc(outcome->folders, self->folder_room * sizeof outcome->folders[0]);
        assert(outcome->folders);
    }
    struct scanned_folder *scope = &outcome->folders[outcome->folder_count++];
    *scope = (struct scanned_folder){
        .share = self->item->share, .name = text_copy(text_of(self->item->place.name)), .is_place = is_place};
    return scope;
}

void scan_add_scope(struct scan *self)
{
    add_scope(self, true);
}

struct scanned_folder *scan_add_folder(struct scan *self)
{
    return add_scope(self, false);
}

void scan_add_gone(struct scan *self)
{
    add_scope(self, true);
    if (self->watch)
        watch_forget(self->watch, self->item->share, self->item->place.name);
}
