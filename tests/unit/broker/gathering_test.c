/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: strangers who size our memory or the asker's messages, a complete source pushed out by
 * partial ones, a source told twice or never.
 */
#include "broker/gathering.h"
#include "tests/unit/broker/swarm.h"

struct told {
    size_t messages, entries, sources, bytes_max;
};

/* Sends all batches; counts what was told. */
static struct told drain(struct gathering *gathering, unsigned messages_max)
{
    struct told told = {0};
    struct effects effects;
    effects_init(&effects);
    gathering_send(gathering, &effects, 1, 2, 3, messages_max);
    for (size_t i = 0; i < effects.count; i++) {
        struct envelope envelope;
        struct message m;
        const struct effect *effect = &effects.entries[i];
        cr_assert(eq(u64, effect->search_rid, 3));
        cr_assert(eq(
            int, envelope_open(&envelope, effects_bytes(&effects, effect), effect->size, RECEIVER_MEMBER, 1),
            ENVELOPE_OK));
        cr_assert(message_read(&envelope, &m));
        cr_assert(eq(u32, m.dropped_count, 0));
        told.messages++;
        told.entries += m.found.count;
        for (size_t k = 0; k < m.found.count; k++)
            told.sources += m.found.entries[k].sources.count;
        if (effect->size > told.bytes_max)
            told.bytes_max = effect->size;
        envelope_close(&envelope);
    }
    effects_release(&effects);
    return told;
}

static void add(struct gathering *gathering, uint32_t node, struct file_entry *files, size_t count)
{
    struct source_entry source = {.host = host_of("10.0.0.1"), .port = 9000, .name = text_of("node")};
    memcpy(source.node.bytes, &node, sizeof node);
    struct file_list list = {.entries = files, .count = count};
    gathering_add(gathering, &source, &list);
}

Test(gathering, at_most_64_nodes_an_id_and_complete_ones_first)
{
    struct gathering *gathering = gathering_new(10);
    struct file_entry partial = file_of("abc", 1, 999), complete = file_of("abc", 1, 1000);
    for (uint32_t n = 0; n < GATHERING_NODES_MAX + 5; n++)
        add(gathering, n, &partial, 1);
    for (uint32_t n = 100; n < 110; n++)
        add(gathering, n, &complete, 1);
    struct told told = drain(gathering, 10);
    cr_expect(eq(sz, told.entries, 2));
    cr_expect(eq(sz, told.sources, GATHERING_NODES_MAX));
    for (uint32_t n = 200; n < 300; n++)
        add(gathering, n, &complete, 1);
    told = drain(gathering, 10);
    cr_expect(eq(sz, told.sources, GATHERING_NODES_MAX - 10)); /* in place of partial ones that were told */
    for (uint32_t n = 300; n < 400; n++)
        add(gathering, n, &complete, 1);
    cr_expect(not(gathering_has_news(gathering)));
    cr_expect(not(gathering_is_truncated(gathering)));
    gathering_destroy(&gathering);
    gathering_destroy(&gathering);
}

Test(gathering, at_most_8_names_a_node_and_id)
{
    struct gathering *gathering = gathering_new(10);
    char names[12][16];
    struct file_entry files[12];
    for (uint32_t i = 0; i < 12; i++) {
        snprintf(names[i], sizeof names[i], "name %u", i);
        files[i] = file_of(names[i], 1, 1000);
    }
    add(gathering, 1, files, 12);
    add(gathering, 2, files + 10, 2);
    struct told told = drain(gathering, 10);
    cr_expect(eq(sz, told.entries, GATHERING_NAMES_MAX + 2));
    gathering_destroy(&gathering);
}

Test(gathering, the_same_file_twice_in_one_answer_is_one_source)
{
    struct gathering *gathering = gathering_new(10);
    struct file_entry files[] = {file_of("abc", 1, 1000), file_of("abc", 1, 1000)};
    add(gathering, 1, files, 2);
    struct told told = drain(gathering, 10);
    cr_expect(eq(sz, told.entries, 1));
    cr_expect(eq(sz, told.sources, 1));
    gathering_destroy(&gathering);
}

Test(gathering, ids_beyond_the_limit_are_left_out_and_known_ones_still_grow)
{
    struct gathering *gathering = gathering_new(1);
    struct file_entry first = file_of("abc", 1, 1000), second = file_of("abd", 2, 1000);
    add(gathering, 1, &first, 1);
    cr_expect(not(gathering_is_truncated(gathering)));
    add(gathering, 2, &second, 1);
    cr_expect(gathering_is_truncated(gathering));
    add(gathering, 3, &first, 1);
    struct told told = drain(gathering, 10);
    cr_expect(eq(sz, told.entries, 1));
    cr_expect(eq(sz, told.sources, 2));
    gathering_destroy(&gathering);
}

Test(gathering, messages_stay_within_the_header_limit_with_the_longest_names)
{
    struct gathering *gathering = gathering_new(1000);
    char name[1025];
    memset(name, 'x', 1024);
    name[1024] = '\0';
    for (uint32_t i = 0; i < 200; i++) {
        struct file_entry file = file_of(name, i, 1000);
        file.has_mtime = file.has_executable = true;
        file.mtime_ms = UINT64_MAX;
        for (uint32_t n = 0; n < GATHERING_NODES_MAX; n++)
            add(gathering, n, &file, 1);
    }
    struct told told = drain(gathering, 1000);
    cr_expect(le(sz, told.bytes_max, HEADER_SIZE_MAX_BROKER));
    cr_expect(gt(sz, told.bytes_max, HEADER_SIZE_MAX_BROKER - 8192));
    cr_expect(eq(sz, told.sources, 200 * GATHERING_NODES_MAX));
    cr_expect(gt(sz, told.messages, 1));
    gathering_destroy(&gathering);
}

Test(gathering, a_batch_has_so_many_messages_and_the_next_goes_on)
{
    struct gathering *gathering = gathering_new(1000);
    for (uint32_t i = 0; i < 1000; i++) {
        struct file_entry file = file_of("abc", i, 1000);
        for (uint32_t n = 0; n < 10; n++)
            add(gathering, n, &file, 1);
    }
    size_t sources = 0;
    while (gathering_has_news(gathering)) {
        struct told told = drain(gathering, 2);
        cr_assert(ge(sz, told.messages, 1));
        cr_assert(le(sz, told.messages, 2));
        sources += told.sources;
    }
    cr_expect(eq(sz, sources, 10000));
    gathering_destroy(&gathering);
}

Test(gathering, a_rewound_batch_is_news_again_and_what_was_told_before_is_not)
{
    struct gathering *gathering = gathering_new(10);
    struct file_entry file = file_of("abc", 1, 1000);
    gathering_rewind(gathering);
    add(gathering, 1, &file, 1);
    cr_assert(eq(sz, drain(gathering, 10).sources, 1));
    add(gathering, 2, &file, 1);
    add(gathering, 3, &file, 1);
    cr_assert(eq(sz, drain(gathering, 10).sources, 2));
    gathering_rewind(gathering);
    add(gathering, 4, &file, 1);
    cr_assert(eq(sz, drain(gathering, 10).sources, 3));
    cr_assert(not(gathering_has_news(gathering)));
    gathering_destroy(&gathering);
}

Test(gathering, memory_is_bounded_whatever_names_come)
{
    struct gathering *gathering = gathering_new(1000);
    char name[1025];
    memset(name, 'x', 1024);
    name[1024] = '\0';
    struct file_entry *files = calloc(1000, sizeof *files);
    for (uint32_t n = 0; n < GATHERING_NODES_MAX; n++) {
        name[0] = (char)('0' + n);
        for (uint32_t i = 0; i < 1000; i++)
            files[i] = file_of(name, i, 1000);
        add(gathering, n, files, 1000);
    }
    cr_expect(lt(sz, gathering_bytes(gathering), GATHERING_BYTES_MAX + 4096));
    cr_expect(gathering_is_truncated(gathering));
    free(files);
    gathering_destroy(&gathering);
}
