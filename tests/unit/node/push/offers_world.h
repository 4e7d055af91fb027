/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_PUSH_OFFERS_WORLD_H
#define TESTS_UNIT_NODE_PUSH_OFFERS_WORLD_H

/* Offers on virtual time; what they answer is told in words. */
#include "node/push/offers.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

struct world {
    struct offers *offers;
    struct offers_effects effects;
    struct offer_facts facts;
    uint64_t now_ms;
};

static inline struct world world_new(void)
{
    struct world w = {.offers = offers_new(), .now_ms = 1000};
    w.facts = (struct offer_facts){.quota_bytes = 100 * MIB, .free_bytes = 100 * MIB};
    offers_effects_init(&w.effects);
    return w;
}

static inline void world_release(struct world *w)
{
    offers_destroy(&w->offers);
    offers_effects_release(&w->effects);
}

/* A file of its own for each number. */
static inline struct file_entry file_of(uint64_t size, uint8_t number)
{
    struct file_entry file = {
        .size = size, .root = {{number}}, .name = text_of("a/b.bin"), .have_permille = 1000};
    if (size == 0)
        memset(&file.root, 0, sizeof file.root);
    file.id = file_id_of(size, &file.root);
    return file;
}

static inline struct message_file offer_of(const struct file_entry *file)
{
    return (struct message_file){.file = *file, .chunk_log2 = layout_of(file->size).chunk_log2};
}

static inline const struct host *host_of(uint8_t number)
{
    static struct host host;
    host = (struct host){{0x20, 1, [7] = number}}; /* a block of its own */
    return &host;
}

static inline void say(struct world *w, uint32_t route, uint64_t rid, const struct message_file *offer)
{
    offers_effects_clear(&w->effects);
    if (offers_check(w->offers, route, rid, offer, &w->effects))
        offers_on_offer(w->offers, route, host_of((uint8_t)route), rid, offer, &w->facts, &w->effects);
}

static inline void say_file(struct world *w, uint32_t route, uint64_t rid, const struct file_entry *file)
{
    struct message_file offer = offer_of(file);
    say(w, route, rid, &offer);
}

/* What one effect sends, in words; "" for any other effect. */
static inline const char *words(const struct world *w, size_t position)
{
    static char text[256];
    const struct offers_effect *effect = &w->effects.entries[position];
    struct envelope envelope;
    struct message m;
    text[0] = '\0';
    if (effect->kind != OFFERS_SEND)
        return text;
    enum envelope_result result =
        envelope_open(&envelope, (const uint8_t *)w->effects.arena.data + effect->bytes_offset,
                      effect->bytes_size, RECEIVER_CLIENT, 1);
    cr_assert(eq(int, result, ENVELOPE_OK));
    cr_assert(message_read(&envelope, &m));
    int used = snprintf(text, sizeof text, "%u:%s rid %u", effect->route, kind_name(m.kind), (unsigned)m.rid);
    char *at = text + used;
    size_t room = sizeof text - (size_t)used;
    if (m.kind == KIND_OFFER_OK)
        snprintf(at, room, " missing %u", m.offer_ok.missing);
    else if (m.kind == KIND_ERROR)
        snprintf(at, room, " %s", error_name(m.error.code));
    else if (m.kind == KIND_STORED)
        snprintf(at, room, " %.*s", (int)m.stored.name.size, m.stored.name.bytes);
    for (size_t i = 0; m.kind == KIND_HAVE && i < m.have.count; i++) {
        int more = snprintf(at, room, " %u+%u", m.have.ranges[i].first, m.have.ranges[i].count);
        at += more;
        room -= (size_t)more;
    }
    envelope_close(&envelope);
    return text;
}

/* All effects of the last event, in order. */
static inline const char *story(const struct world *w)
{
    static const char *const names[] = {"send", "join", "leave", "create", "nobody", "over"};
    static char text[4096];
    text[0] = '\0';
    for (size_t i = 0; i < w->effects.count; i++) {
        const struct offers_effect *effect = &w->effects.entries[i];
        size_t used = strlen(text);
        if (effect->kind == OFFERS_SEND)
            snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", words(w, i));
        else
            snprintf(text + used, sizeof text - used, "%s%u:%s%s", i ? ", " : "", effect->route,
                     names[effect->kind], effect->is_gone ? " gone" : "");
    }
    return text;
}

#define ASSERT_STORY(w, expected)                                                                            \
    do {                                                                                                     \
        const char *story_ = story(w);                                                                       \
        cr_assert(strcmp(story_, (expected)) == 0, "\"%s\", not \"%s\"", story_, (expected));                \
    } while (0)

static inline void keep(struct world *w, const struct file_entry *file, const struct chunk_map *chunks)
{
    offers_on_kept(w->offers, &file->id, chunk_map_bits(chunks), w->now_ms);
}

/* And kept. */
static inline void saved(struct world *w, const struct file_entry *file, uint32_t chunk)
{
    struct chunk_map map;
    chunk_map_init(&map, layout_of(file->size).chunk_count);
    chunk_map_set(&map, chunk);
    offers_on_saved(w->offers, &file->id, chunk);
    keep(w, file, &map);
    chunk_map_release(&map);
}

static inline void tick(struct world *w)
{
    offers_effects_clear(&w->effects);
    w->now_ms += OFFERS_HAVE_MS;
    offers_tick(w->offers, w->now_ms, &w->effects);
}

#endif
