/* SPDX-License-Identifier: MIT */
#include "node/push/offers.h"

#include "messages/name.h"
#include "messages/table.h"
#include "node/push/pushed_files.h"

#include <assert.h>
#include <string.h>

/* Runs in one HAVE, about 10 KiB: a pusher reads it while others go on. */
#define RUNS_MAX 1024

/* To a mute address. */
#define FEWER "others of this address did not answer: fewer at a time"

/* One that stands, in the list of its file. `view` is what the owner sees of it. */
struct standing {
    struct offer view;
    struct chunk_map have; /* what it offers, unless it is all */
    struct chunk_map told; /* what was here before OFFER_OK, or was told since */
    struct standing *next;
};

struct offered_file {
    struct file_id id;
    struct layout layout;
    struct standing *standing; /* in the order in which they came */
    struct chunk_map saved;    /* but not kept yet */
    struct chunk_map fresh;    /* saved and kept, and not yet told to all */
    bool is_running;
    UT_hash_handle hh;
};

struct offers {
    struct offered_file *files;
    size_t count;
    uint64_t tell_at_ms; /* UINT64_MAX: nothing to tell */
};

/* Answers. */

static void refuse(struct offers_effects *effects, uint32_t route, uint64_t rid, enum error_code code,
                   const char *text, uint32_t retry_ms)
{
    struct message error = message_error(rid, code, text, retry_ms);
    offers_effects_send(effects, route, &error);
}

static void send_accepted(struct offers_effects *effects, uint32_t route, uint64_t rid,
                          const struct file_id *file, uint32_t missing)
{
    struct message ok = {.kind = KIND_OFFER_OK, .rid = rid, .offer_ok = {*file, missing}};
    offers_effects_send(effects, route, &ok);
}

static void send_stored(struct offers_effects *effects, uint32_t route, uint64_t rid,
                        const struct file_id *file, struct text name)
{
    struct message stored = {.kind = KIND_STORED, .rid = rid, .stored = {*file, name}};
    offers_effects_send(effects, route, &stored);
}

/* What stands. */

static struct offered_file *find_file(const struct offers *self, const struct file_id *id)
{
    struct offered_file *file;
    HASH_FIND(hh, self->files, id, sizeof *id, file);
    return file;
}

static struct standing *find(const struct offered_file *file, uint32_t route)
{
    struct standing *standing = file ? file->standing : NULL;
    while (standing && standing->view.route != route)
        standing = standing->next;
    return standing;
}

static size_t count_of_route(const struct offers *self, uint32_t route)
{
    size_t count = 0;
    for (const struct offered_file *file = self->files; file; file = file->hh.next)
        count += find(file, route) != NULL;
    return count;
}

static bool is_from(const struct standing *standing, const struct host *block)
{
    struct host own = host_block(&standing->view.host);
    return host_equal(&own, block);
}

static size_t count_of_address(const struct offers *self, const struct host *address)
{
    struct host block = host_block(address);
    size_t count = 0;
    for (const struct offered_file *file = self->files; file; file = file->hh.next) {
        for (const struct standing *s = file->standing; s; s = s->next)
            count += is_from(s, &block);
    }
    return count;
}

static size_t count_of_file(const struct offered_file *file)
{
    size_t count = 0;
    for (const struct standing *s = file ? file->standing : NULL; s; s = s->next)
        count++;
    return count;
}

/* Takes one out of its file and frees it. The file stays, also without any. */
static void take_out(struct offers *self, struct offered_file *file, struct standing *standing)
{
    struct standing **at = &file->standing;
    while (*at != standing)
        at = &(*at)->next;
    *at = standing->next;
    chunk_map_release(&standing->have);
    chunk_map_release(&standing->told);
    free(standing);
    self->count--;
}

static void forget_file(struct offers *self, struct offered_file *file)
{
    HASH_DEL(self->files, file);
    chunk_map_release(&file->saved);
    chunk_map_release(&file->fresh);
    free(file);
}

static struct offered_file *file_of(struct offers *self, const struct file_entry *entry)
{
    struct offered_file *file = find_file(self, &entry->id);
    if (file)
        return file;
    file = calloc(1, sizeof *file);
    assert(file);
    file->id = entry->id;
    file->layout = layout_of(entry->size);
    chunk_map_init(&file->saved, file->layout.chunk_count);
    chunk_map_init(&file->fresh, file->layout.chunk_count);
    HASH_ADD(hh, self->files, id, sizeof file->id, file);
    return file;
}

/* HAVE. */

static void send_runs(struct offers_effects *effects, const struct offered_file *file,
                      const struct standing *standing, struct chunk_range *runs, size_t count)
{
    struct message have = {.kind = KIND_HAVE,
                           .rid = standing->view.rid,
                           .have = {.file = file->id, .ranges = runs, .count = count}};
    if (count > 0)
        offers_effects_send(effects, standing->view.route, &have);
}

/* Chunks that are fresh and that this one was not told, as runs. */
static void tell(const struct offered_file *file, struct standing *standing, struct offers_effects *effects)
{
    struct chunk_range runs[RUNS_MAX];
    size_t count = 0;
    for (uint32_t chunk = 0; chunk < file->layout.chunk_count; chunk++) {
        if (!chunk_map_has(&file->fresh, chunk) || !chunk_map_set(&standing->told, chunk))
            continue;
        if (count > 0 && runs[count - 1].first + runs[count - 1].count == chunk) {
            runs[count - 1].count++;
            continue;
        }
        if (count == RUNS_MAX) {
            send_runs(effects, file, standing, runs, count);
            count = 0;
        }
        runs[count++] = (struct chunk_range){chunk, 1};
    }
    send_runs(effects, file, standing, runs, count);
}

static void tell_all(struct offered_file *file, struct offers_effects *effects)
{
    if (file->fresh.set_count == 0)
        return;
    for (struct standing *s = file->standing; s; s = s->next)
        tell(file, s, effects);
    chunk_map_release(&file->fresh);
    chunk_map_init(&file->fresh, file->layout.chunk_count);
}

/* OFFER. */

uint64_t offers_cost(struct text name, uint64_t size_bytes)
{
    uint64_t blocks = size_bytes / OFFERS_BLOCK_BYTES + (size_bytes % OFFERS_BLOCK_BYTES > 0);
    uint64_t folders = 0;
    for (size_t i = 0; i < name.size; i++)
        folders += name.bytes[i] == '/';
    return ((blocks > 0 ? blocks : 1) + folders) * OFFERS_BLOCK_BYTES;
}

/* Is there a component that begins with a dot, or that no folder takes? */
static bool is_name_allowed(struct text name)
{
    size_t begin = 0;
    for (size_t i = 0; i <= name.size; i++) {
        if (i < name.size && name.bytes[i] != '/')
            continue;
        if (name.bytes[begin] == '.' || i - begin > NAME_ENTRY_SIZE_MAX)
            return false;
        begin = i + 1;
    }
    return true;
}

static bool is_bitfield(const struct layout *layout, const struct optional_blob *have)
{
    if (!have->is_present)
        return true;
    if (have->blob.size != layout_bitfield_size(layout))
        return false;
    unsigned spare = have->blob.size * 8 - layout->chunk_count;
    return spare == 0 || (have->blob.bytes[have->blob.size - 1] & ((1u << spare) - 1)) == 0;
}

bool offers_check(struct offers *self, uint32_t route, uint64_t rid, const struct message_file *offer,
                  struct offers_effects *effects)
{
    bool is_sized = offer->file.size <= FILE_SIZE_MAX;
    struct layout layout = layout_of(is_sized ? offer->file.size : 0);
    enum error_code code = ERROR_BAD_MESSAGE;
    const char *text = NULL;
    if (!is_sized) {
        code = ERROR_NO_SPACE;
        text = "no file is that large";
    } else if (offer->chunk_log2 != layout.chunk_log2) {
        text = "another chunk size than the file has";
    } else if (!is_bitfield(&layout, &offer->have)) {
        text = "not a bitfield of this file";
    } else if (!is_name_allowed(offer->file.name)) {
        code = ERROR_DENIED;
        text = "a part of the name is hidden or too long";
    }
    if (!text)
        return true;
    refuse(effects, route, rid, code, text, 0);
    if (count_of_route(self, route) == 0)
        offers_effects_add(effects, OFFERS_OVER, route);
    return false;
}

/* NULL when there is room for it. */
static const char *too_many(const struct offers *self, const struct offered_file *file, uint32_t route,
                            const struct host *host, bool is_mute)
{
    size_t of_address = count_of_address(self, host);
    if (count_of_route(self, route) >= OFFERS_SESSION_MAX)
        return "too many offers of one session";
    if (count_of_file(file) >= OFFERS_FILE_MAX)
        return "too many offers of one file";
    if (is_mute && of_address >= OFFERS_MUTE_MAX)
        return FEWER;
    if (of_address >= OFFERS_ADDRESS_MAX || self->count >= OFFERS_MAX)
        return "too many offers";
    return NULL;
}

/* NULL when it fits. What is here of it already needs no space. */
static const char *no_space(const struct file_entry *file, const struct offer_facts *facts)
{
    struct layout layout = layout_of(file->size);
    uint64_t cost = offers_cost(file->name, file->size), needed = cost;
    if (facts->saved) {
        uint64_t saved = (uint64_t)facts->saved->set_count << layout.chunk_log2;
        needed = saved < needed ? needed - saved : 0;
    }
    if (facts->is_ordered)
        return NULL;
    uint64_t left = facts->quota_bytes > facts->taken_bytes ? facts->quota_bytes - facts->taken_bytes : 0;
    if (cost > left)
        return "more than this node takes from pushes";
    if (needed > facts->free_bytes)
        return "the disk is full";
    if (facts->landed_count >= PUSHED_FILES_MAX)
        return "more files than this node takes from pushes";
    if (facts->place == OFFER_NEW && facts->unfinished_count >= OFFERS_UNFINISHED_MAX)
        return "too many pushes are unfinished here";
    return NULL;
}

static void add(struct offers *self, uint32_t route, const struct host *host, uint64_t rid,
                const struct message_file *offer, const struct offer_facts *facts,
                struct offers_effects *effects)
{
    struct offered_file *file = file_of(self, &offer->file);
    struct standing *standing = calloc(1, sizeof *standing);
    assert(standing);
    standing->view = (struct offer){.route = route, .host = *host, .rid = rid};
    if (offer->have.is_present) {
        chunk_map_init(&standing->have, file->layout.chunk_count);
        bool is_loaded = chunk_map_load(&standing->have, offer->have.blob);
        assert(is_loaded); /* offers_check() */
        (void)is_loaded;
        standing->view.have = &standing->have;
    }
    chunk_map_init(&standing->told, file->layout.chunk_count);
    if (facts->saved) {
        bool is_loaded = chunk_map_load(&standing->told, chunk_map_bits(facts->saved));
        assert(is_loaded); /* a map of the same file */
        (void)is_loaded;
    }
    struct standing **at = &file->standing;
    while (*at)
        at = &(*at)->next;
    *at = standing;
    self->count++;
    send_accepted(effects, route, rid, &file->id, file->layout.chunk_count - standing->told.set_count);
    offers_effects_add(effects, file->layout.size == 0 ? OFFERS_CREATE : OFFERS_JOIN, route)->file =
        offer->file;
}

void offers_on_offer(struct offers *self, uint32_t route, const struct host *host, uint64_t rid,
                     const struct message_file *offer, const struct offer_facts *facts,
                     struct offers_effects *effects)
{
    struct offered_file *file = find_file(self, &offer->file.id);
    struct standing *former = find(file, route);
    const char *reason = NULL;
    if (facts->place == OFFER_HERE) {
        send_accepted(effects, route, rid, &offer->file.id, 0);
        send_stored(effects, route, rid, &offer->file.id, facts->here_name);
    } else if (facts->is_paused) {
        refuse(effects, route, rid, ERROR_BUSY, "paused by its owner", OFFERS_PAUSED_RETRY_MS);
    } else if (!former && (reason = too_many(self, file, route, host, facts->is_mute))) {
        refuse(effects, route, rid, ERROR_BUSY, reason, OFFERS_RETRY_MS);
    } else if ((reason = no_space(&offer->file, facts))) {
        refuse(effects, route, rid, ERROR_NO_SPACE, reason, 0);
    } else {
        if (former) {
            tell(file, former, effects); /* what it was owed, under its own rid */
            take_out(self, file, former);
            offers_effects_add(effects, OFFERS_LEAVE, route)->file.id = offer->file.id;
        }
        add(self, route, host, rid, offer, facts, effects);
        return;
    }
    if (count_of_route(self, route) == 0)
        offers_effects_add(effects, OFFERS_OVER, route);
}

/* The end of one. */

static void end(struct offers *self, struct offered_file *file, struct standing *standing, bool is_gone,
                struct offers_effects *effects)
{
    uint32_t route = standing->view.route;
    take_out(self, file, standing);
    struct offers_effect *leave = offers_effects_add(effects, OFFERS_LEAVE, route);
    leave->file.id = file->id;
    leave->is_gone = is_gone;
    if (!file->standing) {
        offers_effects_add(effects, OFFERS_NOBODY, route)->file.id = file->id;
        forget_file(self, file);
    }
    if (!is_gone && count_of_route(self, route) == 0)
        offers_effects_add(effects, OFFERS_OVER, route);
}

void offers_on_close(struct offers *self, uint32_t route, const struct file_id *id,
                     struct offers_effects *effects)
{
    struct offered_file *file = find_file(self, id);
    struct standing *standing = find(file, route);
    if (standing)
        end(self, file, standing, false, effects);
}

void offers_on_gone(struct offers *self, uint32_t route, struct offers_effects *effects)
{
    struct offered_file *file, *next;
    HASH_ITER(hh, self->files, file, next)
    {
        struct standing *standing = find(file, route);
        if (standing)
            end(self, file, standing, true, effects);
    }
}

void offers_on_dropped(struct offers *self, uint32_t route, const struct file_id *id, enum error_code code,
                       const char *reason, struct offers_effects *effects)
{
    struct offered_file *file = find_file(self, id);
    struct standing *standing = find(file, route);
    if (!standing)
        return;
    tell(file, standing, effects);
    refuse(effects, route, standing->view.rid, code, reason, 0);
    end(self, file, standing, false, effects);
}

void offers_on_running(struct offers *self, const struct file_id *id, bool is_running)
{
    struct offered_file *file = find_file(self, id);
    if (file)
        file->is_running = is_running;
}

void offers_on_mute(struct offers *self, const struct host *address, struct offers_effects *effects)
{
    struct host block = host_block(address);
    struct offered_file *file, *next_file;
    size_t kept = 0;
    HASH_ITER(hh, self->files, file, next_file)
    {
        struct standing *next;
        for (struct standing *s = file->is_running ? NULL : file->standing; s; s = next) {
            next = s->next; /* when there is none, the file goes with the last */
            if (!is_from(s, &block) || kept++ < OFFERS_MUTE_MAX)
                continue;
            refuse(effects, s->view.route, s->view.rid, ERROR_BUSY, FEWER, OFFERS_RETRY_MS);
            end(self, file, s, false, effects);
        }
    }
}

void offers_on_saved(struct offers *self, const struct file_id *id, uint32_t chunk)
{
    struct offered_file *file = find_file(self, id);
    if (file)
        chunk_map_set(&file->saved, chunk);
}

void offers_on_kept(struct offers *self, const struct file_id *id, struct blob bits, uint64_t now_ms)
{
    struct offered_file *file = find_file(self, id);
    if (!file || file->saved.set_count == 0)
        return;
    assert(bits.size == layout_bitfield_size(&file->layout));
    for (uint32_t chunk = 0; chunk < file->layout.chunk_count; chunk++) {
        bool is_kept = bits.bytes[chunk / 8] & 0x80u >> chunk % 8;
        if (is_kept && chunk_map_clear(&file->saved, chunk))
            chunk_map_set(&file->fresh, chunk);
    }
    if (file->fresh.set_count > 0 && self->tell_at_ms == UINT64_MAX)
        self->tell_at_ms = now_ms + OFFERS_HAVE_MS;
}

void offers_on_unsaved(struct offers *self, const struct file_id *id, uint32_t chunk)
{
    struct offered_file *file = find_file(self, id);
    if (!file)
        return;
    chunk_map_clear(&file->saved, chunk);
    chunk_map_clear(&file->fresh, chunk);
    for (struct standing *s = file->standing; s; s = s->next)
        chunk_map_clear(&s->told, chunk);
}

/* What is published waits for no map. */
static void keep_all(struct offered_file *file)
{
    for (uint32_t chunk = 0; chunk < file->layout.chunk_count && file->saved.set_count > 0; chunk++) {
        if (chunk_map_clear(&file->saved, chunk))
            chunk_map_set(&file->fresh, chunk);
    }
}

/* All offers of a file end: with STORED, or with an ERROR when there is no name. */
static void end_all(struct offers *self, const struct file_id *id, const struct text *name,
                    enum error_code code, const char *reason, struct offers_effects *effects)
{
    struct offered_file *file = find_file(self, id);
    if (!file)
        return;
    if (name)
        keep_all(file);
    tell_all(file, effects);
    while (file->standing) {
        uint32_t route = file->standing->view.route;
        uint64_t rid = file->standing->view.rid;
        if (name)
            send_stored(effects, route, rid, id, *name);
        else
            refuse(effects, route, rid, code, reason, 0);
        take_out(self, file, file->standing);
        if (count_of_route(self, route) == 0)
            offers_effects_add(effects, OFFERS_OVER, route);
    }
    forget_file(self, file);
}

void offers_on_stored(struct offers *self, const struct file_id *id, struct text name,
                      struct offers_effects *effects)
{
    end_all(self, id, &name, 0, NULL, effects);
}

void offers_on_failed(struct offers *self, const struct file_id *id, enum error_code code, const char *reason,
                      struct offers_effects *effects)
{
    end_all(self, id, NULL, code, reason, effects);
}

void offers_tick(struct offers *self, uint64_t now_ms, struct offers_effects *effects)
{
    if (self->tell_at_ms > now_ms)
        return;
    self->tell_at_ms = UINT64_MAX;
    for (struct offered_file *file = self->files; file; file = file->hh.next)
        tell_all(file, effects);
}

uint64_t offers_next_deadline_ms(const struct offers *self)
{
    return self->tell_at_ms;
}

/* Looking. */

const struct offer *offers_next(const struct offers *self, const struct file_id *id,
                                const struct offer *previous)
{
    const struct offered_file *file = find_file(self, id);
    if (!file)
        return NULL;
    const struct standing *standing = file->standing;
    if (previous) {
        standing = find(file, previous->route);
        assert(standing); /* no event since */
        standing = standing->next;
    }
    return standing ? &standing->view : NULL;
}

size_t offers_count(const struct offers *self)
{
    return self->count;
}

struct offers *offers_new(void)
{
    struct offers *self = calloc(1, sizeof *self);
    assert(self);
    self->tell_at_ms = UINT64_MAX;
    return self;
}

void offers_destroy(struct offers **self_p)
{
    struct offers *self = *self_p;
    if (!self)
        return;
    while (self->files) {
        struct offered_file *file = self->files;
        while (file->standing)
            take_out(self, file, file->standing);
        forget_file(self, file);
    }
    free(self);
    *self_p = NULL;
}
