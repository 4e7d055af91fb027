/* SPDX-License-Identifier: MIT */
#include "node/shell/shares.h"

#include "node/shell/share_file.h"
#include "node/shell/shares_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A batch is written when the first of it has waited this long: at most that much is hashed twice after a
 * crash. */
#define FLUSH_DELAY_MS 250

#define NEVER_MS UINT64_MAX

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Messages */

/* Takes over the line. */
static void add_message(struct shares *self, char *line)
{
    if (self->message_count == MESSAGES_MAX) {
        free(line);
        return;
    }
    self->messages[self->message_count++] = line;
}

void shares_report(struct shares *self, const char *path, int error)
{
    if (self->report_count++ >= REPORTS_MAX)
        return;
    char *line = NULL;
    int size = asprintf(&line, "not shared: %s: %s", path, strerror(error));
    assert(size >= 0);
    add_message(self, text_escape(text_of(line)));
    free(line);
}

char *shares_take_message(struct shares *self)
{
    char *line = hash_cache_take_notice(self->cache);
    if (line) {
        char *escaped = text_escape(text_of(line));
        free(line);
        return escaped;
    }
    if (self->message_count == 0)
        return NULL;
    line = self->messages[0];
    self->message_count--;
    memmove(self->messages, self->messages + 1, self->message_count * sizeof self->messages[0]);
    return line;
}

static bool has_note(const struct scan_notes *notes, const char *line)
{
    for (size_t i = 0; i < notes->count; i++) {
        if (strcmp(notes->lines[i], line) == 0)
            return true;
    }
    return false;
}

/* Tells what the last scan had not told, and keeps the notes for the next one. */
static void report_notes(struct shares *self, struct scan_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        char *line = NULL;
        if (has_note(&self->notes, notes->lines[i]))
            continue;
        int size = asprintf(&line, "not shared: %s", notes->lines[i]);
        assert(size >= 0);
        add_message(self, line);
    }
    if (notes->left_out_count > self->notes.left_out_count) {
        char *line = NULL;
        int size = asprintf(&line, "not shared: %zu more", notes->left_out_count);
        assert(size >= 0);
        add_message(self, line);
    }
    scan_notes_release(&self->notes);
    self->notes = *notes;
}

/* Scanning */

static void run_scan(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, scan.job);
    uint64_t began_ms = monotonic_ms();
    self->scan.is_done =
        scan_shares(self->folders, self->folder_count, self->workers, &self->scan.outcome, &self->scan.notes);
    if (self->scan.is_done)
        hash_cache_prune(self->cache, (uint64_t)time(NULL));
    self->scan.duration_ms = monotonic_ms() - began_ms;
}

static void done_scan(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, scan.job);
    self->scan.is_running = false;
    if (!self->scan.is_done)
        return;
    self->scan.is_done = false;
    self->scan.has_ended = true;
    self->scan.count++;
    report_notes(self, &self->scan.notes);
    share_index_scanned(self->index, &self->scan.outcome);
    self->report_count = 0;
    hashing_retry(self);
    hashing_pump(self);
}

static uint64_t scan_interval_ms(const struct shares *self)
{
    uint64_t interval_ms = self->scan.duration_ms * SHARES_SCAN_SHARE;
    return interval_ms > SHARES_SCAN_INTERVAL_MS ? interval_ms : SHARES_SCAN_INTERVAL_MS;
}

/* Returns when the next scan is due; NEVER_MS while one runs, for its end brings a tick. */
static uint64_t tick_scan(struct shares *self, uint64_t now_ms)
{
    if (self->scan.has_ended) {
        self->scan.has_ended = false;
        self->scan.due_ms = now_ms + scan_interval_ms(self);
    }
    if (self->scan.is_wanted && !self->scan.is_running) {
        self->scan.is_wanted = false;
        self->scan.due_ms = now_ms;
    }
    if (self->scan.is_running)
        return NEVER_MS;
    if (now_ms < self->scan.due_ms)
        return self->scan.due_ms;
    self->scan.is_running = true;
    workers_put(self->workers, &self->scan.job);
    return NEVER_MS;
}

void shares_rescan(struct shares *self)
{
    self->scan.is_wanted = true;
}

/* Writing the cache */

static void run_flush(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, flush.job);
    hash_cache_flush(self->cache);
}

static void done_flush(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, flush.job);
    self->flush.is_running = false;
    self->flush.due_ms = NEVER_MS;
}

static uint64_t tick_flush(struct shares *self, uint64_t now_ms)
{
    enum cache_waiting waiting = hash_cache_waiting(self->cache);
    if (self->flush.is_running || waiting == CACHE_WAITING_NONE)
        return NEVER_MS;
    if (self->flush.due_ms == NEVER_MS)
        self->flush.due_ms = now_ms + FLUSH_DELAY_MS;
    if (waiting == CACHE_WAITING_SOME && now_ms < self->flush.due_ms)
        return self->flush.due_ms;
    self->flush.is_running = true;
    workers_put(self->workers, &self->flush.job);
    return NEVER_MS;
}

uint64_t shares_tick(void *shares, uint64_t now_ms)
{
    struct shares *self = shares;
    if (workers_is_stopping(self->workers))
        return NEVER_MS;
    uint64_t scan_ms = tick_scan(self, now_ms);
    uint64_t flush_ms = tick_flush(self, now_ms);
    return scan_ms < flush_ms ? scan_ms : flush_ms;
}

/* Life */

struct shares *shares_new(struct workers *workers, const char *cache_path)
{
    struct shares *self = calloc(1, sizeof *self);
    assert(self);
    self->workers = workers;
    self->index = share_index_new();
    self->cache = hash_cache_new(cache_path);
    self->scan.job = (struct job){.run = run_scan, .done = done_scan};
    self->flush.job = (struct job){.run = run_flush, .done = done_flush};
    self->flush.due_ms = NEVER_MS;
    hashing_init(self);
    return self;
}

void shares_destroy(struct shares **self_p)
{
    assert(self_p);
    struct shares *self = *self_p;
    if (!self)
        return;
    assert(!self->scan.is_running && !self->flush.is_running);
    hashing_release(self);
    hash_cache_destroy(&self->cache);
    share_index_destroy(&self->index);
    for (size_t i = 0; i < self->folder_count; i++)
        share_folder_release(&self->folders[i]);
    for (size_t i = 0; i < self->message_count; i++)
        free(self->messages[i]);
    scan_notes_release(&self->notes);
    free(self);
    *self_p = NULL;
}

bool shares_add_folder(struct shares *self, const char *path, bool is_flat)
{
    if (self->folder_count == SHARES_FOLDERS_MAX) {
        errno = ENOSPC;
        return false;
    }
    struct share_folder folder;
    if (!share_folder_open(path, is_flat, &folder))
        return false;
    for (size_t i = 0; i < self->folder_count; i++) {
        if (strcmp(self->folders[i].path, folder.path) != 0)
            continue;
        /* The one that shares more stays. */
        self->folders[i].is_flat = self->folders[i].is_flat && is_flat;
        share_folder_release(&folder);
        return true;
    }
    self->folders[self->folder_count++] = folder;
    return true;
}

/* For those who serve */

const struct share_index *shares_index(const struct shares *self)
{
    return self->index;
}

int shares_folder_fd(const struct shares *self, uint32_t share)
{
    assert(share < self->folder_count);
    return self->folders[share].fd;
}

/* An error that says nothing about the file. */
static bool is_our_own_trouble(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN || error == EINTR;
}

int shares_open(struct shares *self, uint64_t handle)
{
    const struct shared_file *file = share_index_by_handle(self->index, handle);
    if (!file || file->state != SHARE_READY) {
        errno = ENOENT;
        return -1;
    }
    struct file_stamp stamp;
    int fd = share_open(shares_folder_fd(self, file->share), file->path, &stamp);
    if (fd < 0) {
        int error = errno;
        if (!is_our_own_trouble(error))
            shares_file_changed(self, handle, NULL);
        errno = error;
        return -1;
    }
    if (file_stamp_equal(&stamp, &file->stamp))
        return fd;
    close(fd);
    shares_file_changed(self, handle, &stamp);
    errno = ESTALE;
    return -1;
}

void shares_file_changed(struct shares *self, uint64_t handle, const struct file_stamp *stamp)
{
    static const struct file_stamp
        UNKNOWN; /* equals no file's: the cache does not know it, a scan renews it */
    uint64_t renewed;
    if (share_index_changed(self->index, handle, &renewed))
        share_index_restamp(self->index, renewed, stamp ? stamp : &UNKNOWN);
    hashing_pump(self);
}

bool shares_layer(struct shares *self, uint64_t handle, uint32_t first, uint32_t count,
                  struct hash *ret_hashes)
{
    const struct shared_file *file = share_index_by_handle(self->index, handle);
    if (!file || file->state != SHARE_READY)
        return false;
    if (hash_cache_layer(self->cache, file->stamp.size, &file->root, first, count, ret_hashes))
        return true;
    /* The cache has forgotten the file, so this hashes it. */
    uint64_t renewed;
    share_index_changed(self->index, handle, &renewed);
    hashing_pump(self);
    return false;
}

struct shares_figures shares_figures(const struct shares *self)
{
    struct shares_figures figures = self->figures;
    figures.waiting_files = share_index_unhashed_count(self->index);
    figures.scan_count = self->scan.count;
    figures.is_busy = self->scan.is_running || self->flush.is_running || hashing_is_busy(self) ||
                      hash_cache_waiting(self->cache) != CACHE_WAITING_NONE;
    return figures;
}
