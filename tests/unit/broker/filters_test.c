/* SPDX-License-Identifier: MIT */
/* What could go wrong: filters used when they should not be, and a node ruled out that has the file. */
#include "messages/match.h"
#include "tests/unit/broker/swarm.h"

static void update(struct swarm *s, uint32_t route, struct presence *filter)
{
    struct presence_view view = {.is_present = false};
    if (filter)
        view = presence_view(filter);
    swarm_tell(s, route, (struct message){.kind = KIND_UPDATE, .update = {.presence = view}});
}

/* `node_count` nodes, of which the first shares "needle" and the others something else; filters for all but
 * the last. */
static struct swarm *swarm_with_filters(enum presence_use use, uint32_t node_count)
{
    struct broker_config config = swarm_config();
    config.presence = use;
    struct swarm *s = swarm_new(&config);
    struct file_entry needle = file_of("needle", 1, 1000), hay = file_of("hay", 2, 1000);
    struct presence *has = presence_new(), *lacks = presence_new();
    presence_add(has, needle.name, &needle.id);
    presence_add(lacks, hay.name, &hay.id);
    for (uint32_t n = 1; n <= node_count; n++) {
        swarm_join(s, n);
        if (n < node_count)
            update(s, n, n == 1 ? has : lacks);
    }
    presence_destroy(&has);
    presence_destroy(&lacks);
    return s;
}

static void check_skipped(enum presence_use use, uint32_t node_count, uint8_t mode, uint32_t asked)
{
    struct swarm *s = swarm_with_filters(use, node_count);
    struct message search = search_of("needle");
    search.search.mode = mode;
    swarm_tell(s, 5000, search);
    cr_expect(eq(sz, swarm_sends(s), asked));
    cr_expect(eq(u8, swarm_only(s, 1, KIND_QUERY).query.mode, mode & 127));
    swarm_tick(s, 60000);
    cr_expect(eq(u32, swarm_only(s, 5000, KIND_SEARCH_DONE).search_done.asked, asked));
    cr_expect(eq(u32, swarm_only(s, 5000, KIND_SEARCH_DONE).search_done.skipped, node_count - asked));
    swarm_destroy(s);
}

Test(filters, are_used_from_256_nodes_up_unless_told_otherwise)
{
    check_skipped(PRESENCE_AUTO, PRESENCE_NODES_MIN - 1, MODE_WORDS, PRESENCE_NODES_MIN - 1);
    check_skipped(PRESENCE_AUTO, PRESENCE_NODES_MIN, MODE_WORDS, 2);
    check_skipped(PRESENCE_ON, 5, MODE_WORDS, 2);
    check_skipped(PRESENCE_OFF, PRESENCE_NODES_MIN, MODE_WORDS, PRESENCE_NODES_MIN);
}

Test(filters, are_not_used_when_the_asker_wants_every_node)
{
    check_skipped(PRESENCE_ON, 5, MODE_WORDS | MODE_ASK_ALL, 5);
    check_skipped(PRESENCE_ON, 5, MODE_EXACT | MODE_ASK_ALL, 5);
}

Test(filters, a_node_without_one_is_always_asked)
{
    struct swarm *s = swarm_with_filters(PRESENCE_ON, 3);
    update(s, 2, NULL);
    swarm_tell(s, 9, search_of("nobody has this"));
    cr_expect(eq(sz, swarm_count(s, 1, KIND_QUERY), 0));
    cr_expect(eq(sz, swarm_count(s, 2, KIND_QUERY), 1));
    cr_expect(eq(sz, swarm_count(s, 3, KIND_QUERY), 1));
    swarm_destroy(s);
}

Test(filters, a_search_that_rules_all_out_is_done_at_once)
{
    struct swarm *s = swarm_with_filters(PRESENCE_ON, 4);
    swarm_tell(s, 4, search_of("nobody has this"));
    CHECK_COUNTS(s, 4, 0, 0, 0, 0, 3);
    swarm_destroy(s);
}

/* A fixed generator: a failure repeats. */
static uint32_t draw(uint64_t *state, uint32_t bound)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % bound;
}

static const char *const pieces[] = {"a", "Ação", "ab", "ß",  "İ", "/", ".", "-", "файл", "文書",
                                     "ﬁ", "é",    "Σς", "42", "x", "_", "B", "λ", "ñ",    "한글"};

static void draw_name(uint64_t *state, uint32_t pieces_max, char ret_name[128])
{
    ret_name[0] = '\0';
    for (uint32_t i = 1 + draw(state, pieces_max); i > 0; i--) {
        const char *piece = pieces[draw(state, sizeof pieces / sizeof pieces[0])];
        strncat(ret_name, piece, 127 - strlen(ret_name));
    }
}

#define SHARED_MAX 6
#define NODES      8

struct share {
    char names[SHARED_MAX][128];
    struct file_entry files[SHARED_MAX];
    size_t count;
};

static void fill(struct swarm *s, uint64_t *state, uint32_t route, struct share *share)
{
    struct presence *filter = presence_new();
    share->count = draw(state, SHARED_MAX + 1);
    for (size_t i = 0; i < share->count; i++) {
        draw_name(state, 6, share->names[i]);
        share->files[i] = file_of(share->names[i], draw(state, 1000000), 1000);
        presence_add(filter, share->files[i].name, &share->files[i].id);
    }
    swarm_join(s, route);
    update(s, route, filter);
    presence_destroy(&filter);
}

/* What to look for: often a name that is there, or a part of it, or its id. */
static void draw_search(uint64_t *state, const struct share *shares, char ret_text[256], uint8_t *ret_mode)
{
    const struct share *share = &shares[draw(state, NODES)];
    *ret_mode = (uint8_t)draw(state, 4);
    char name[128];
    draw_name(state, 3, name);
    if (*ret_mode == MODE_ID) {
        struct file_entry file = file_of("x", draw(state, 1000000), 1000);
        const struct file_id *id = share->count > 0 ? &share->files[0].id : &file.id;
        char hex[ID_HEX_SIZE];
        hex_format(id->bytes, 32, hex);
        snprintf(ret_text, 256, "%.*s", 8 + (int)draw(state, 57), hex);
        return;
    }
    if (share->count > 0 && draw(state, 3) > 0)
        snprintf(name, sizeof name, "%s", share->names[draw(state, (uint32_t)share->count)]);
    static const char *const shapes[] = {"%s", "*%s*", "%s*", "?%s", "%s %s", "[a-z]*%s"};
    const char *shape = *ret_mode == MODE_EXACT ? "%s" : shapes[draw(state, 6)];
    size_t used = 0;
    for (const char *p = shape; *p && used < 250; p++) {
        bool is_name = p[0] == '%';
        used += (size_t)snprintf(ret_text + used, 256 - used, "%.*s", is_name ? 127 : 1, is_name ? name : p);
        p += is_name;
    }
    if (used > 250)
        snprintf(ret_text, 256, "%s", name);
}

static bool share_matches(const struct share *share, uint8_t mode, struct text text)
{
    struct matcher *matcher = matcher_new(mode, text, 0, 0);
    bool matches = false;
    for (size_t i = 0; i < share->count && matcher; i++) {
        size_t size, base;
        char *folded = match_fold_name(share->files[i].name, &size, &base);
        struct match_subject subject = {.name = share->files[i].name,
                                        .folded = {folded, size},
                                        .folded_base_offset = base,
                                        .id = &share->files[i].id,
                                        .size = share->files[i].size};
        matches = matches || matcher_matches(matcher, &subject);
        free(folded);
    }
    matcher_destroy(&matcher);
    return matches;
}

Test(filters, a_node_that_was_skipped_never_would_have_matched)
{
    size_t skipped = 0, matched = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t state = seed;
        struct broker_config config = swarm_config();
        config.presence = PRESENCE_ON;
        config.search_burst = 10000000;
        struct swarm *s = swarm_new(&config);
        static struct share shares[NODES];
        for (uint32_t n = 0; n < NODES; n++)
            fill(s, &state, n + 1, &shares[n]);
        for (size_t i = 0; i < 40; i++) {
            char text[256];
            uint8_t mode = 0;
            draw_search(&state, shares, text, &mode);
            struct message search = search_of(text);
            search.search.mode = mode;
            if (search.search.text.size > QUERY_TEXT_SIZE_MAX || !text_is_clean(search.search.text))
                continue;
            swarm_tell(s, 100, search);
            for (uint32_t n = 0; n < NODES; n++) {
                bool is_asked = swarm_count(s, n + 1, KIND_QUERY) > 0;
                bool matches = share_matches(&shares[n], mode, search.search.text);
                cr_assert(is_asked || !matches, "seed %lu, mode %u, text %s, node %u", (unsigned long)seed,
                          mode, text, n);
                skipped += !is_asked;
                matched += matches;
            }
            swarm_tell(s, 100, simple(KIND_BYE, 0));
        }
        swarm_destroy(s);
    }
    cr_expect(gt(sz, skipped, 1000)); /* the filters do rule out, */
    cr_expect(gt(sz, matched, 1000)); /* and there was something to find */
}
