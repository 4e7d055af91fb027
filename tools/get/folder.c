/* SPDX-License-Identifier: MIT */
#include "tools/get/folder_private.h"

#include "messages/name.h"
#include "node/download/bundle.h"
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/share/share_file.h"
#include "tools/cli/value.h"
#include "tools/get/place.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A file takes whole blocks of the file system. */
#define DISK_BLOCK_SIZE 4096

/* Large files in a row for which sources or disk gave out: the rest is not tried. */
#define FAILURES_MAX 3

bool folder_is_small(const struct catalogue_file *file)
{
    return file->size <= BUNDLE_FILE_SIZE_MAX;
}

void folder_describe(const struct catalogue_file *file, struct landing_file *ret_file)
{
    *ret_file =
        (struct landing_file){file->name, file->id, file->root, (uint32_t)file->size, file->attributes};
}

void folder_refuse(struct folder *self, struct catalogue_file *file, const char *why)
{
    file->state = FILE_FAILED;
    bar_clear(self->tally.bar);
    if (self->failed_count++ < FOLDER_TOLD_MAX)
        output_error(self->output, "%s/%s: %s", self->root, file->name, why);
    output_exit(self->output, EXIT_ERROR);
}

void folder_done(struct folder *self, struct catalogue_file *file, uint64_t received_bytes, uint64_t now_ms)
{
    struct progress_file about = {.id = file->id,
                                  .root = file->root,
                                  .size = file->size,
                                  .wire_name = file->name,
                                  .folder = self->root,
                                  .name = file->name};
    file->state = FILE_DONE;
    self->tally.file_count++;
    self->tally.saved_bytes += file->size;
    progress_tell_file(self->output, &about, received_bytes, (double)(now_ms - self->begun_ms) / 1000);
}

/* With the nodes that have it, to choose among. */
static void note_candidate(const struct folder *self, const struct catalogue_file *file)
{
    char id[13], size[SIZE_TEXT_SIZE], node[ENDPOINT_TEXT_SIZE];
    const struct target_source *source = &self->gathered.nodes[file->sources[0]];
    hex_format(file->id.bytes, 6, id);
    size_format(file->size, size);
    endpoint_format(&source->host, source->port, node);
    output_note(self->output, "  %s  %8s  %s, at %s%s", id, size, file->name, node,
                file->source_count > 1 ? " and others" : "");
}

/* Nothing is fetched of a tree that is two trees. */
static bool is_unambiguous(struct folder *self)
{
    size_t count = 0;
    for (size_t i = 0; i < catalogue_count(self->gathered.catalogue); i++)
        count += catalogue_at(self->gathered.catalogue, i)->other != NULL;
    if (count == 0)
        return true;
    output_exit(self->output, EXIT_AMBIGUOUS);
    output_reason(self->output,
                  "%zu %s in '%s' for different files: name the nodes to believe with --from, or leave "
                  "%s out with --exclude",
                  count, plural(count, "name stands", "names stand"), self->text,
                  plural(count, "it", "them"));
    size_t told_count = 0;
    for (size_t i = 0; i < catalogue_count(self->gathered.catalogue); i++) {
        const struct catalogue_file *file = catalogue_at(self->gathered.catalogue, i);
        if (!file->other || told_count++ >= FOLDER_TOLD_MAX)
            continue;
        for (; file; file = file->other)
            note_candidate(self, file);
    }
    if (count > FOLDER_TOLD_MAX)
        output_note(self->output, "  and %zu more", count - FOLDER_TOLD_MAX);
    return false;
}

static char *folder_of(const struct catalogue_file *file)
{
    const char *slash = strrchr(file->name, '/');
    char *path = strndup(file->name, slash ? (size_t)(slash - file->name) : 0);
    assert(path);
    return path;
}

/* What a large file still takes; nothing if something has its name. */
static uint64_t large_needed(const struct folder *self, const struct catalogue_file *file)
{
    struct stat status;
    char partial[PARTIAL_NAME_SIZE], *path = folder_of(file), *partial_path = NULL;
    uint64_t needed = file->size;
    if (share_stat(self->root_fd, file->name, &status) == 0) {
        needed = 0;
    } else {
        chunk_store_partial_name(file->name + (*path ? strlen(path) + 1 : 0), &file->id, partial);
        int rc = asprintf(&partial_path, "%s%s%s", path, *path ? "/" : "", partial);
        assert(rc >= 0);
        uint64_t here =
            share_stat(self->root_fd, partial_path, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
        needed = here < needed ? needed - here : 0;
    }
    free(partial_path);
    free(path);
    return needed;
}

static bool has_space(struct folder *self)
{
    struct statvfs fs;
    uint64_t needed = 0;
    char missing[SIZE_TEXT_SIZE];
    for (size_t i = 0; i < catalogue_count(self->gathered.catalogue); i++) {
        const struct catalogue_file *file = catalogue_at(self->gathered.catalogue, i);
        if (!folder_is_small(file))
            needed += large_needed(self, file);
        else if (file->state == FILE_MISSING)
            needed += (file->size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
    }
    if (fstatvfs(self->root_fd, &fs) != 0 || needed <= (uint64_t)fs.f_bavail * fs.f_frsize)
        return true;
    size_format(needed - (uint64_t)fs.f_bavail * fs.f_frsize, missing);
    output_error(self->output,
                 "no space in %s: %s more are needed; free some or choose another folder with -d", self->root,
                 missing);
    return false;
}

/* As transfers_fetch_below(). */
static bool fetch_large(struct folder *self, struct catalogue_file *file)
{
    bool may_go_on = true;
    struct target *target = calloc(1, sizeof *target);
    char *path = folder_of(file), *shown = NULL;
    assert(target);
    int fd = landing_open_folder(self->root_fd, path);
    if (fd < 0) {
        folder_refuse(self, file, strerror(errno));
    } else {
        int rc = asprintf(&shown, "%s%s%s", self->root, *path ? "/" : "", path);
        assert(rc >= 0);
        *target = (struct target){
            .id = file->id, .root = file->root, .size = file->size, .attributes = file->attributes};
        memcpy(target->name, file->name, file->name_size);
        for (unsigned i = 0; i < file->source_count; i++)
            target->sources[target->source_count++] = self->gathered.nodes[file->sources[i]];
        uint64_t count = self->tally.file_count;
        may_go_on = transfers_fetch_below(self->transfers, target, fd, shown, &self->tally);
        file->state = self->tally.file_count > count ? FILE_DONE : FILE_FAILED;
        close(fd);
    }
    free(shown);
    free(path);
    free(target);
    return may_go_on;
}

static void fetch_large_files(struct folder *self)
{
    unsigned failure_count = 0;
    for (size_t i = 0; i < catalogue_count(self->gathered.catalogue); i++) {
        struct catalogue_file *file = catalogue_at(self->gathered.catalogue, i);
        if (folder_is_small(file))
            continue;
        if (transfers_is_interrupted(self->transfers) || failure_count == FAILURES_MAX)
            return;
        failure_count = fetch_large(self, file) ? 0 : failure_count + 1;
    }
}

static void tell_lost(struct folder *self)
{
    size_t count = 0;
    for (size_t i = 0; i < catalogue_count(self->gathered.catalogue); i++) {
        const struct catalogue_file *file = catalogue_at(self->gathered.catalogue, i);
        if (file->state != FILE_MISSING && file->state != FILE_WRITTEN)
            continue;
        if (count++ < FOLDER_TOLD_MAX)
            output_note(self->output, "  %s", file->name);
    }
    if (count == 0)
        return;
    output_exit(self->output, EXIT_INCOMPLETE);
    output_reason(self->output, "%zu %s missing of '%s': no source is left; the same command goes on", count,
                  plural(count, "file is", "files are"), self->text);
}

static void tell_interrupted(struct folder *self)
{
    output_exit(self->output, EXIT_INCOMPLETE);
    output_reason(self->output, "'%s': interrupted; the same command goes on", self->text);
}

static void tell_end(struct folder *self)
{
    const struct gathered *gathered = &self->gathered;
    bar_clear(self->tally.bar);
    if (self->failed_count > FOLDER_TOLD_MAX)
        output_note(self->output, "and %zu more that could not be fetched",
                    self->failed_count - FOLDER_TOLD_MAX);
    if (transfers_is_interrupted(self->transfers)) {
        tell_interrupted(self);
    } else {
        tell_lost(self);
    }
    if (gathered->silent_count > 0 || gathered->is_cut) {
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "'%s' may have more files: %zu %s silent%s", self->text,
                      gathered->silent_count, plural(gathered->silent_count, "node was", "nodes were"),
                      gathered->is_cut ? ", and not all were asked" : "");
    }
    if (self->config->transfer->is_quiet || output_is_json(self->output))
        return;
    double seconds = (double)(clock_now_ms() - self->begun_ms) / 1000;
    char size[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
    size_t file_count = catalogue_count(gathered->catalogue);
    size_format(self->tally.saved_bytes, size);
    if (self->tally.received_bytes == 0 && self->tally.file_count == file_count) {
        output_note(self->output, "%s: %zu %s, %s, already here", self->text, file_count,
                    plural(file_count, "file", "files"), size);
        return;
    }
    rate_format(seconds > 0 ? (uint64_t)((double)self->tally.received_bytes / seconds) : 0, rate);
    output_note(self->output, "%s: %llu of %zu files, %s in %.2f s, %s, from %u %s", self->text,
                (unsigned long long)self->tally.file_count, file_count, size, seconds, rate,
                self->tally.source_count, plural(self->tally.source_count, "source", "sources"));
}

static void fetch_tree(struct folder *self)
{
    uint64_t size_bytes = 0;
    for (size_t i = 0; i < catalogue_count(self->gathered.catalogue); i++)
        size_bytes += catalogue_at(self->gathered.catalogue, i)->size;
    self->tally.bar =
        bar_new(self->output, text_of(self->text), size_bytes, self->config->transfer->is_quiet);
    bool may_go_on = folder_look(self) && has_space(self);
    bar_start(self->tally.bar, self->tally.saved_bytes, clock_now_ms());
    if (may_go_on && folder_stream(self))
        fetch_large_files(self);
    if (may_go_on || transfers_is_interrupted(self->transfers))
        tell_end(self);
    bar_destroy(&self->tally.bar);
}

static bool is_valid_text(struct output *output, const char *text)
{
    size_t size = strlen(text);
    bool is_folder = size > 0 && text[size - 1] == '/';
    const char *problem = text_problem(text, QUERY_TEXT_SIZE_MAX);
    if (problem)
        output_error(output, "'%s' %s", text, problem);
    else if (size == 0 || (is_folder && !name_is_valid((struct text){text, size - 1})))
        output_error(output, "'%s' is not the name of a shared folder: give it as zls shows it", text);
    else
        return true;
    return false;
}

static bool are_valid_patterns(struct output *output, const struct folder_config *config)
{
    const struct option_texts *lists[] = {config->includes, config->excludes};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < lists[i]->count; k++) {
            const char *problem = text_problem(lists[i]->items[k], NAME_SIZE_MAX);
            if (!problem)
                continue;
            output_error(output, "the pattern '%s' %s", lists[i]->items[k], problem);
            return false;
        }
    }
    return true;
}

static struct selection *make_selection(const struct folder_config *config, const char *text)
{
    struct selection *selection = selection_new(text_of(text));
    for (size_t i = 0; i < config->includes->count; i++)
        selection_include(selection, text_of(config->includes->items[i]));
    for (size_t i = 0; i < config->excludes->count; i++)
        selection_exclude(selection, text_of(config->excludes->items[i]));
    return selection;
}

/* Opens the folder to fetch into. False after an error that was told. */
static bool open_root(struct folder *self)
{
    if (!place_make_folder(self->output, self->root))
        return false;
    self->root_fd = open(self->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->root_fd < 0)
        output_error(self->output, "cannot open the folder %s: %s; choose another with -d", self->root,
                     strerror(errno));
    return self->root_fd >= 0;
}

void folder_fetch(struct transfers *transfers, struct output *output, const struct folder_config *config,
                  const char *text)
{
    if (!is_valid_text(output, text) || !are_valid_patterns(output, config))
        return;
    struct folder *self = calloc(1, sizeof *self);
    assert(self);
    const char *root = config->transfer->folder;
    self->transfers = transfers;
    self->output = output;
    self->config = config;
    self->text = text;
    self->root = root && root[0] ? root : ".";
    self->root_fd = -1;
    self->begun_ms = clock_now_ms();
    struct selection *selection = make_selection(config, text);
    bool is_gathered = gather_files(transfers, output, &config->gather, selection, text, &self->gathered);
    if (is_gathered && catalogue_count(self->gathered.catalogue) > 0 && is_unambiguous(self) &&
        open_root(self))
        fetch_tree(self);
    else if (!is_gathered && transfers_is_interrupted(transfers))
        tell_interrupted(self);
    if (self->root_fd >= 0)
        close(self->root_fd);
    selection_destroy(&selection);
    gathered_release(&self->gathered);
    free(self);
}
