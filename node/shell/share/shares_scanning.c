/* SPDX-License-Identifier: MIT */
#include "node/shell/share/shares_private.h"

#include "messages/shell/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Places that join a scan at a time. */
#define PLACES_MAX 256

static uint64_t bit(size_t share)
{
    return UINT64_C(1) << share;
}

static uint64_t all_shares(const struct shares *self)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < self->folder_end; i++)
        mask |= shares_has_folder(self, i) ? bit(i) : 0;
    return mask;
}

/* Those whose changes no event tells. */
static uint64_t unwatched_shares(const struct shares *self)
{
    return self->watch ? self->scan.unwatched & all_shares(self) : all_shares(self);
}

/* Notes */

static bool has_note(const struct scan_notes *notes, const char *line)
{
    for (size_t i = 0; i < notes->count; i++) {
        if (strcmp(notes->lines[i], line) == 0)
            return true;
    }
    return false;
}

static void tell_left_out(struct shares *self, size_t count)
{
    if (count <= self->left_out_told)
        return;
    self->left_out_told = count;
    char *line = NULL;
    int size = asprintf(&line, "not shared: %zu more", count);
    assert(size >= 0);
    shares_tell(self, line);
}

/* Tells what had not been told, and keeps the notes: of a scan of everything instead of the old ones. */
static void report_notes(struct shares *self, struct scan_notes notes, bool is_all)
{
    for (size_t i = 0; i < notes.count; i++) {
        if (has_note(&self->notes, notes.lines[i]))
            continue;
        char *line = strdup(notes.lines[i]);
        assert(line);
        shares_tell(self, line);
        if (!is_all && self->notes.count < SCAN_NOTES_MAX) {
            self->notes.lines[self->notes.count++] = notes.lines[i];
            notes.lines[i] = NULL;
        }
    }
    tell_left_out(self, notes.left_out_count);
    if (!is_all) {
        scan_notes_release(&notes);
        return;
    }
    scan_notes_release(&self->notes);
    self->notes = notes;
}

/* What was told of a share folder that is back, or of a manifest that has changed, may be told again. */
static void forget_notes(struct shares *self, uint64_t mask)
{
    for (size_t share = 0; share < self->folder_end && mask; share++) {
        if (!(mask & bit(share)))
            continue;
        const struct share_folder *folder = &self->folders[share];
        char *line = NULL;
        int size = folder->manifest ? asprintf(&line, "%s", folder->manifest->path)
                                    : asprintf(&line, "not shared: %s: ", folder->path);
        assert(size >= 0);
        char *escaped = text_escape(text_of(line));
        size_t kept = 0;
        for (size_t i = 0; i < self->notes.count; i++) {
            if (strncmp(self->notes.lines[i], escaped, strlen(escaped)) == 0)
                free(self->notes.lines[i]);
            else
                self->notes.lines[kept++] = self->notes.lines[i];
        }
        self->notes.count = kept;
        free(escaped);
        free(line);
    }
}

/* Says once what is not watched, why, and what helps. */
static void tell_unwatched(struct shares *self, const struct scan_result *result)
{
    static const char *const CURES[] = {
        [WATCH_REMOTE] = "is on a file system that other machines may change unseen: it is scanned every "
                         "5 s; to share changes at once, run znode where the disk is",
        [WATCH_LIMIT] = "cannot be watched, so changes are seen by scanning every 5 s: raise the limit with "
                        "sysctl fs.inotify.max_user_watches=524288",
        [WATCH_FAILED] = "cannot be watched, so changes are seen by scanning every 5 s",
    };
    if (self->scan.has_told_unwatched)
        return;
    self->scan.has_told_unwatched = true;
    char *line = NULL;
    int size = asprintf(&line, "%s %s", result->where, CURES[result->reason]);
    assert(size >= 0);
    shares_tell(self, text_escape(text_of(line)));
    free(line);
}

/* Steps */

static void run_step(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, scan.job);
    self->scan.is_done = scan_step(self->scan.scan, &self->scan.result);
    if (self->scan.is_done && scan_is_idle(self->scan.scan) && self->scan.current)
        hash_cache_prune(self->cache, (uint64_t)time(NULL));
}

/* Takes what is no longer shared out of the index. */
static void withdraw(struct shares *self, uint64_t mask)
{
    for (uint32_t share = 0; share < self->folder_end; share++) {
        if (!(mask & bit(share)))
            continue;
        struct scan_outcome outcome = {.is_part = true, .is_complete = self->scan.unseen == 0};
        outcome.folders = calloc(1, sizeof outcome.folders[0]);
        assert(outcome.folders);
        outcome.folder_count = 1;
        outcome.folders[0] = (struct scanned_folder){.share = share, .name = strdup(""), .is_place = true};
        assert(outcome.folders[0].name);
        share_index_scanned(self->index, &outcome);
    }
}

/* Content that moved has its id already; the cache learns its new place. */
static void remember_moved(struct shares *self, uint64_t after)
{
    const struct shared_file *file;
    for (; (file = share_index_next(self->index, after)); after = file->handle) {
        if (file->state != SHARE_READY)
            continue;
        const struct cache_key key = {self->folders[file->share].path, file->path, file->stamp};
        hash_cache_put_moved(self->cache, &key, &file->root);
    }
}

static void end_scan(struct shares *self)
{
    struct scan_state *scan = &self->scan;
    bool is_all = scan->current == all_shares(self);
    scan->duration_ms = clock_now_ms() - scan->began_ms;
    scan->count++;
    uint64_t interval_ms = scan->duration_ms * SHARES_SCAN_SHARE;
    if (interval_ms < SHARES_SCAN_INTERVAL_MS)
        interval_ms = SHARES_SCAN_INTERVAL_MS;
    scan->due_ms = scan->now_ms + interval_ms;
    if (is_all)
        scan->safety_ms = scan->now_ms +
                          (interval_ms > SHARES_SAFETY_INTERVAL_MS ? interval_ms : SHARES_SAFETY_INTERVAL_MS);
    scan->current = 0;
    if (scan->first_handles_end == UINT64_MAX)
        scan->first_handles_end = share_index_last_handle(self->index) + 1;
    report_notes(self, scan_take_notes(scan->scan), is_all);
    self->report_count = 0;
    hashing_retry(self);
}

static void take_step(struct shares *self)
{
    struct scan_state *scan = &self->scan;
    struct scan_result *result = &scan->result;
    bool is_end = scan_is_idle(scan->scan);
    scan->troubled |= result->troubled;
    scan->unseen |= result->troubled;
    if (is_end)
        scan->unseen &= ~(scan->current & ~scan->troubled);
    scan->unseen &= all_shares(self); /* trouble with one that was removed meanwhile is nobody's */
    forget_notes(self, (scan->not_there & result->there) | result->renewed);
    scan->not_there = (scan->not_there | result->not_there) & ~result->there;
    scan->unwatched |= result->unwatched;
    if (result->unwatched)
        tell_unwatched(self, result);
    free(result->where);
    uint64_t last_handle = share_index_last_handle(self->index);
    result->outcome.is_complete = (scan->unseen & all_shares(self)) == 0;
    share_index_scanned(self->index, &result->outcome);
    tell_left_out(self, result->outcome.left_out_count);
    remember_moved(self, last_handle);
    withdraw(self, self->removed);
    if (is_end && scan->current) {
        end_scan(self);
    } else if (is_end) {
        report_notes(self, scan_take_notes(scan->scan), false);
        hashing_retry(self);
    }
}

static void end_manifests(struct scan_state *scan)
{
    uint64_t now_ms = clock_now_ms();
    if (scan->manifests_began_ms != 0)
        scan->manifests_ms = now_ms + (now_ms - scan->manifests_began_ms) * SHARES_SCAN_SHARE;
    scan->manifests_began_ms = 0;
}

static void pump(struct shares *self);

static void done_step(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, scan.job);
    self->scan.is_running = false;
    if (!self->scan.is_done)
        return;
    self->scan.is_done = false;
    take_step(self);
    end_manifests(&self->scan);
    hashing_pump(self);
    pump(self);
}

/* What is looked at */

/* A folder that was removed is let go once no job uses it. */
static void release_removed(struct shares *self)
{
    for (uint32_t share = 0; share < self->folder_end && self->removed; share++) {
        if (!(self->removed & bit(share)) || hashing_uses(self, share))
            continue;
        if (self->watch)
            watch_forget(self->watch, share, "");
        share_folder_release(&self->folders[share]);
        self->folders[share] = (struct share_folder){.fd = -1};
        self->removed &= ~bit(share);
    }
}

/* The first share is looked at first, so that its names go before those of others. */
static void begin_scan(struct shares *self)
{
    struct scan_state *scan = &self->scan;
    scan->current = scan->wanted & all_shares(self);
    scan->wanted = 0;
    scan->troubled = 0;
    scan->unwatched &= ~scan->current;
    scan->began_ms = clock_now_ms();
    for (size_t i = self->folder_end; i-- > 0;) {
        if (scan->current & bit(i))
            scan_add(scan->scan, &self->folders[i], (uint32_t)i, "", "", true);
    }
}

/*
 * A manifest is looked at as a whole, however many events there were: a log beside one of its files makes
 * some all the time. It is given at most one part in SHARES_SCAN_SHARE of it.
 */
static void add_manifests(struct shares *self)
{
    struct scan_state *scan = &self->scan;
    if (!scan->manifests || scan->now_ms < scan->manifests_ms)
        return;
    for (uint32_t share = 0; share < self->folder_end; share++) {
        if ((scan->manifests & bit(share)) && shares_has_folder(self, share))
            scan_add(scan->scan, &self->folders[share], share, "", "", false);
    }
    scan->manifests = 0;
    scan->manifests_began_ms = clock_now_ms();
}

static void add_places(struct shares *self)
{
    struct watch_place places[PLACES_MAX];
    size_t count = watch_rules_take(self->rules, self->scan.now_ms, places, PLACES_MAX);
    for (size_t i = 0; i < count; i++) {
        uint32_t share = places[i].share;
        if (shares_has_folder(self, share) && self->folders[share].manifest)
            self->scan.manifests |= bit(share);
        else if (shares_has_folder(self, share))
            scan_add(self->scan.scan, &self->folders[share], share, places[i].path, places[i].name, false);
        free(places[i].path);
        free(places[i].name);
    }
}

static void want_due(struct shares *self)
{
    struct scan_state *scan = &self->scan;
    scan->has_overflow |= watch_rules_take_overflow(self->rules);
    if (scan->now_ms >= scan->safety_ms) {
        scan->wanted |= all_shares(self);
        scan->safety_ms = scan->now_ms + SHARES_SAFETY_INTERVAL_MS; /* of its end, if there is one */
    }
    if (scan->now_ms >= scan->due_ms) {
        scan->wanted |= scan->has_overflow ? all_shares(self) : 0;
        scan->has_overflow = false;
        scan->wanted |= unwatched_shares(self) | (scan->unseen & all_shares(self));
    }
    if (scan->now_ms < scan->checks_ms || !self->watch)
        return;
    scan->checks_ms = scan->now_ms + SHARES_CHECK_INTERVAL_MS;
    for (uint32_t share = 0; share < self->folder_end; share++) {
        if (!shares_has_folder(self, share) || (scan->current & bit(share)))
            continue;
        if (scan->not_there & bit(share))
            scan_add(scan->scan, &self->folders[share], share, "", "", true);
        else
            scan_check(scan->scan, &self->folders[share], share);
    }
}

/* Starts the next step, with all that is due. */
static void pump(struct shares *self)
{
    struct scan_state *scan = &self->scan;
    if (scan->is_running || workers_is_stopping(self->workers))
        return;
    want_due(self);
    if (scan_is_idle(scan->scan))
        release_removed(self);
    if (scan->wanted && !scan->current && scan_is_idle(scan->scan))
        begin_scan(self);
    add_places(self);
    add_manifests(self);
    if (scan_is_idle(scan->scan))
        return;
    scan->is_running = true;
    workers_put(self->workers, &scan->job);
}

uint64_t scanning_tick(struct shares *self, uint64_t now_ms)
{
    struct scan_state *scan = &self->scan;
    scan->now_ms = now_ms;
    if (self->has_events) {
        self->has_events = false;
        watch_read(self->watch, self->rules, now_ms);
    }
    pump(self);
    if (scan->is_running)
        return NEVER_MS;
    uint64_t due_ms = watch_rules_next_ms(self->rules);
    if (scan->due_ms < due_ms && (unwatched_shares(self) || scan->unseen || scan->has_overflow))
        due_ms = scan->due_ms;
    if (scan->safety_ms < due_ms)
        due_ms = scan->safety_ms;
    if (scan->checks_ms < due_ms && self->watch)
        due_ms = scan->checks_ms;
    if (scan->manifests && scan->manifests_ms < due_ms)
        due_ms = scan->manifests_ms;
    return due_ms;
}

void scanning_look(struct shares *self, uint32_t share, const char *path, const char *name)
{
    const char *path_slash = strrchr(path, '/'), *name_slash = strrchr(name, '/');
    char *folder_path = path_slash ? strndup(path, (size_t)(path_slash - path)) : strdup("");
    char *folder_name = name_slash ? strndup(name, (size_t)(name_slash - name)) : strdup("");
    assert(folder_path && folder_name);
    watch_rules_on_event(self->rules, WATCH_FINISHED, share, folder_path, folder_name,
                         name_slash ? name_slash + 1 : name, self->scan.now_ms);
    free(folder_path);
    free(folder_name);
}

void shares_rescan(struct shares *self)
{
    self->scan.wanted |= all_shares(self);
}

/* Folders */

void scanning_add(struct shares *self, uint32_t share)
{
    self->scan.unseen |= bit(share);
    self->scan.wanted |= bit(share);
    self->scan.not_there &= ~bit(share);
    self->scan.unwatched &= ~bit(share);
    struct scan_outcome nothing = {.is_part = true};
    share_index_scanned(self->index, &nothing); /* what is in it is not known */
}

void scanning_remove(struct shares *self, uint32_t share)
{
    self->removed |= bit(share);
    self->scan.unseen &= ~bit(share);
    withdraw(self, bit(share));
}

/* Life */

void scanning_init(struct shares *self)
{
    self->scan.job = (struct job){.run = run_step, .done = done_step};
    self->scan.first_handles_end = UINT64_MAX;
    self->scan.scan = scan_new(self->workers, NULL);
    self->rules = watch_rules_new();
}

void scanning_release(struct shares *self)
{
    assert(!self->scan.is_running);
    scan_destroy(&self->scan.scan);
    watch_rules_destroy(&self->rules);
    watch_destroy(&self->watch);
}

bool scanning_is_busy(const struct shares *self)
{
    return self->scan.is_running || self->scan.current;
}

int shares_watch(struct shares *self)
{
    assert(!self->watch && !self->scan.is_running);
    self->watch = watch_new();
    if (!self->watch) {
        char *line = NULL;
        int size = asprintf(
            &line, "changes are seen by scanning every 5 s, for nothing can be watched: %s%s",
            strerror(errno),
            errno == EMFILE ? "; raise the limit with sysctl fs.inotify.max_user_instances=512" : "");
        assert(size >= 0);
        shares_tell(self, line);
        return -1;
    }
    scan_destroy(&self->scan.scan);
    self->scan.scan = scan_new(self->workers, self->watch);
    scan_hide(self->scan.scan, self->hidden);
    return watch_fd(self->watch);
}

void shares_on_watch(void *shares)
{
    struct shares *self = shares;
    self->has_events = true;
}
