/* SPDX-License-Identifier: MIT */
/*
 * The fields: one put into the wrong member, a wrong type that is let through, a limit off by one, a bad
 * FILE or SOURCE that spoils its neighbours or is kept.
 */
#include "messages/message.h"

#include "messages/message_schema.h"
#include "tests/unit/messages/golden.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct golden_list vectors;
static struct envelope opened;

/* Reads a golden vector; envelope and vectors stay open until release(). */
static struct message read_golden(const char *name)
{
    struct message message;
    vectors = golden_load();
    const struct golden *golden = golden_find(&vectors, name);
    size_t frame_count = golden->bytes[2] == KIND_DATA ? 2 : 1;
    cr_assert(eq(int, envelope_open(&opened, golden->bytes, golden->size, golden->receiver, frame_count),
                 ENVELOPE_OK));
    cr_assert(message_read(&opened, &message), "%s", name);
    return message;
}

static void release(void)
{
    envelope_close(&opened);
    golden_free(&vectors);
}

static bool text_is(struct text text, const char *expected)
{
    return text_equal(text, text_of(expected));
}

static bool counts_from(const uint8_t *bytes, size_t size, uint8_t first)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != (uint8_t)(first + i))
            return false;
    }
    return true;
}

Test(message_read, error_and_bye)
{
    struct message m = read_golden("ERROR");
    cr_expect(eq(u16, m.error.code, 4));
    cr_expect(text_is(m.error.text, "busy now"));
    cr_expect(eq(u32, m.error.retry_ms, 1500));
    release();
    m = read_golden("BYE");
    cr_expect(text_is(m.bye.reason, "going home"));
    release();
}

Test(message_read, join)
{
    struct message m = read_golden("JOIN");
    cr_expect(counts_from(m.join.node.bytes, 16, 0));
    cr_expect(eq(u64, m.join.boot, UINT64_C(1) << 63));
    cr_expect(eq(u16, m.join.port, 9001));
    cr_expect(text_is(m.join.node_name, "lab-7"));
    cr_expect(text_is(m.join.agent, "znode/0.1"));
    cr_expect(eq(u32, m.join.features, 3));
    cr_expect(eq(u64, m.join.files, 10));
    cr_expect(eq(u64, m.join.bytes, UINT64_C(1) << 33));
    cr_assert(m.join.presence.is_present);
    cr_expect(eq(u8, m.join.presence.log2_bits, 10));
    cr_expect(counts_from(m.join.presence.bits, 128, 0));
    cr_assert(eq(sz, m.join.tags.count, 2));
    cr_expect(text_is(m.join.tags.entries[0], "gpu"));
    cr_expect(text_is(m.join.tags.entries[1], "höll"));
    release();
    m = read_golden("JOIN_OK");
    char host[HOST_TEXT_SIZE];
    host_format(&m.join_ok.host, host);
    cr_expect(text_is(text_of(host), "192.0.2.7"));
    cr_expect(eq(u16, m.join_ok.port, 9001));
    cr_expect(eq(u32, m.join_ok.lease_ms, 30000));
    cr_expect(counts_from(m.join_ok.broker.bytes, 16, 0xf0));
    cr_expect(eq(u32, m.join_ok.nodes, 812));
    release();
}

Test(message_read, update)
{
    struct message m = read_golden("UPDATE_filter");
    cr_expect(eq(u64, m.update.generation, 8));
    cr_expect(eq(u64, m.update.files, 11));
    cr_expect(eq(u64, m.update.bytes, UINT64_C(1) << 34));
    cr_expect(eq(sz, m.update.added.count, 0));
    cr_expect(eq(u8, m.update.presence.log2_bits, 11));
    release();
    m = read_golden("UPDATE");
    cr_expect(not(m.update.presence.is_present));
    release();
    m = read_golden("UPDATE_OK");
    cr_expect(eq(u64, m.update_ok.generation, 8));
    release();
}

Test(message_read, search_and_query)
{
    struct message m = read_golden("SEARCH");
    cr_expect(eq(u8, m.search.mode, 0));
    cr_expect(text_is(m.search.text, "Ação mp4"));
    cr_expect(eq(u64, m.search.min_size, 1));
    cr_expect(eq(u64, m.search.max_size, UINT64_C(1) << 50));
    cr_expect(eq(u32, m.search.limit, 200));
    cr_expect(eq(u32, m.search.deadline_ms, 2000));
    release();
    m = read_golden("QUERY_key");
    cr_expect(eq(u8, m.query.mode, 3));
    cr_expect(text_is(m.query.text, "0123456789abcdef"));
    cr_expect(eq(u64, m.query.min_size, 0));
    cr_expect(eq(u64, m.query.max_size, 0));
    cr_expect(eq(u32, m.query.limit, 8));
    cr_expect(eq(u32, m.query.deadline_ms, 1900));
    cr_assert(m.query.asker_key.is_present);
    cr_expect(counts_from(m.query.asker_key.bytes, 32, 0x40));
    release();
}

Test(message_read, answer_with_all_kinds_of_files)
{
    struct message m = read_golden("ANSWER");
    cr_expect(eq(u32, m.answer.total, 3));
    cr_assert(eq(sz, m.answer.files.count, 3));
    const struct file_entry *file = &m.answer.files.entries[0];
    struct file_id id = file_id_of(5, &file->root);
    cr_expect(file_id_equal(&file->id, &id));
    cr_expect(eq(u64, file->size, 5));
    cr_expect(text_is(file->name, "a/hello.txt"));
    cr_expect(eq(u16, file->have_permille, 1000));
    cr_expect(not(file->has_mtime || file->has_executable));
    cr_expect(eq(u16, m.answer.files.entries[1].have_permille, 999));
    file = &m.answer.files.entries[2];
    cr_expect(file->has_mtime);
    cr_expect(eq(u64, file->mtime_ms, UINT64_C(1700000000123)));
    cr_expect(file->has_executable && file->is_executable);
    release();
    m = read_golden("ANSWER_extras");
    cr_expect(not(m.answer.files.entries[0].has_mtime));
    cr_expect(m.answer.files.entries[0].has_executable && !m.answer.files.entries[0].is_executable);
    cr_expect(m.answer.files.entries[1].has_mtime && !m.answer.files.entries[1].has_executable);
    cr_expect(eq(u64, m.answer.files.entries[2].size, UINT64_MAX));
    release();
}

Test(message_read, found_and_search_done)
{
    struct message m = read_golden("FOUND");
    cr_assert(eq(sz, m.found.count, 2));
    cr_expect(text_is(m.found.entries[0].file.name, "a/hello.txt"));
    cr_assert(eq(sz, m.found.entries[0].sources.count, 2));
    const struct source_entry *source = &m.found.entries[0].sources.entries[1];
    char endpoint[ENDPOINT_TEXT_SIZE];
    endpoint_format(&source->host, source->port, endpoint);
    cr_expect(text_is(text_of(endpoint), "tcp://[2001:db8::1]:65535"));
    cr_expect(counts_from(source->node.bytes, 16, 0xf0));
    cr_expect(text_is(source->name, "späte Übung"));
    cr_expect(source->has_key && counts_from(source->key.bytes, 32, 0x40));
    cr_expect(not(m.found.entries[0].sources.entries[0].has_key));
    cr_expect(eq(sz, m.found.entries[1].sources.count, 1));
    release();
    m = read_golden("SEARCH_DONE");
    cr_expect(eq(u32, m.search_done.asked, 812));
    cr_expect(eq(u32, m.search_done.positive, 9));
    cr_expect(eq(u32, m.search_done.negative, 803));
    cr_expect(eq(u32, m.search_done.skipped, 3));
    cr_expect(eq(u32, m.search_done.silent, 0));
    cr_expect(m.search_done.truncated);
    cr_expect(eq(u32, m.search_done.elapsed_ms, 47));
    release();
}

Test(message_read, peers_and_status)
{
    struct message m = read_golden("PEERS");
    cr_expect(eq(u64, m.peers.cursor, 0));
    cr_expect(eq(u32, m.peers.limit, 100));
    release();
    m = read_golden("PEERS_OK");
    cr_expect(eq(u64, m.peers_ok.next_cursor, 17));
    cr_assert(eq(sz, m.peers_ok.count, 2));
    const struct peer_entry *peer = &m.peers_ok.entries[0];
    cr_expect(text_is(peer->source.name, "lab-7"));
    cr_expect(eq(u64, peer->files, 10));
    cr_expect(eq(u64, peer->bytes, UINT64_C(1) << 33));
    cr_expect(eq(u32, peer->idle_ms, 250));
    cr_assert(eq(sz, peer->tags.count, 1));
    cr_expect(text_is(peer->tags.entries[0], "gpu"));
    release();
    m = read_golden("STATUS_OK");
    cr_expect(counts_from(m.status_ok.broker.bytes, 16, 0xf0));
    cr_expect(text_is(m.status_ok.agent, "zbroker/0.1"));
    cr_expect(eq(u64, m.status_ok.uptime_ms, UINT64_C(1) << 32));
    cr_expect(eq(u32, m.status_ok.nodes, 812));
    cr_expect(eq(u64, m.status_ok.searches, 1));
    cr_expect(eq(u64, m.status_ok.queries, 256));
    cr_expect(eq(u64, m.status_ok.answers, 65536));
    cr_expect(eq(u64, m.status_ok.bad_messages, UINT64_C(1) << 32));
    release();
}

Test(message_read, hello)
{
    struct message m = read_golden("HELLO");
    cr_expect(m.hello.node.is_present && counts_from(m.hello.node.id.bytes, 16, 0));
    cr_expect(eq(u64, m.hello.instance, UINT64_MAX));
    cr_expect(text_is(m.hello.node_name, "lab-7"));
    cr_expect(text_is(m.hello.agent, "zget/0.1"));
    cr_expect(eq(u32, m.hello.features, 1));
    cr_expect(m.hello.expected_node.is_present && counts_from(m.hello.expected_node.id.bytes, 16, 0xf0));
    release();
    m = read_golden("HELLO_anonymous");
    cr_expect(not(m.hello.node.is_present || m.hello.expected_node.is_present));
    release();
    m = read_golden("HELLO_OK");
    cr_expect(counts_from(m.hello_ok.node.bytes, 16, 0xf0));
    cr_expect(eq(u64, m.hello_ok.instance, 2));
    cr_expect(text_is(m.hello_ok.node_name, "lab-8"));
    cr_expect(text_is(m.hello_ok.agent, "znode/0.1"));
    cr_expect(eq(u32, m.hello_ok.features, 0));
    cr_expect(eq(u32, m.hello_ok.window_bytes, 16777216));
    cr_expect(eq(u32, m.hello_ok.max_read, 1048576));
    release();
}

Test(message_read, list_and_open)
{
    struct message m = read_golden("LIST");
    cr_expect(text_is(m.list.prefix, "a/"));
    cr_expect(eq(u64, m.list.cursor, 0));
    cr_expect(eq(u32, m.list.limit, 1000));
    release();
    m = read_golden("LIST_OK");
    cr_expect(eq(u64, m.list_ok.generation, 3));
    cr_expect(eq(u64, m.list_ok.next_cursor, 0));
    cr_expect(eq(u64, m.list_ok.total, 2));
    cr_expect(eq(sz, m.list_ok.files.count, 2));
    release();
    m = read_golden("OPEN_both");
    cr_expect(m.open.file.is_present);
    cr_expect(m.open.name.is_present && text_is(m.open.name.text, "hello.txt"));
    release();
    m = read_golden("OPEN_OK_partial");
    cr_expect(text_is(m.open_ok.file.name, "parts/five.bin"));
    cr_expect(eq(u8, m.open_ok.chunk_log2, 16));
    cr_assert(m.open_ok.have.is_present);
    cr_assert(eq(sz, m.open_ok.have.blob.size, 1));
    cr_expect(eq(u8, m.open_ok.have.blob.bytes[0], 0xb0));
    release();
}

Test(message_read, hashes_reads_and_events)
{
    struct message m = read_golden("HASHES");
    cr_expect(eq(u32, m.hashes.first, 0));
    cr_expect(eq(u32, m.hashes.count, 16384));
    release();
    m = read_golden("HASHES_OK");
    cr_expect(eq(u32, m.hashes_ok.first, 5));
    cr_expect(eq(sz, m.hashes_ok.hashes.size, 64));
    cr_expect(counts_from(m.hashes_ok.hashes.bytes, 64, 0));
    release();
    m = read_golden("READ");
    cr_expect(eq(u64, m.read.offset, UINT64_C(1) << 40));
    cr_expect(eq(u32, m.read.length, 1048576));
    release();
    m = read_golden("DATA");
    cr_expect(eq(u64, m.data.offset, UINT64_C(1) << 40));
    cr_expect(eq(u32, m.data.length, 1048576));
    release();
    m = read_golden("CANCEL");
    cr_expect(eq(u64, m.cancel.read_rid, 12345));
    release();
    m = read_golden("HAVE");
    cr_assert(eq(sz, m.have.count, 3));
    cr_expect(eq(u32, m.have.ranges[2].first, 65536));
    cr_expect(eq(u32, m.have.ranges[2].count, UINT32_MAX));
    release();
}

Test(message_read, push_kinds)
{
    struct message m = read_golden("OFFER_partial");
    cr_expect(text_is(m.offer.file.name, "parts/five.bin"));
    cr_expect(eq(u8, m.offer.chunk_log2, 16));
    cr_expect(m.offer.have.is_present && m.offer.have.blob.size == 1);
    struct file_id id = m.offer.file.id;
    release();
    m = read_golden("OFFER_OK");
    cr_expect(eq(u32, m.offer_ok.missing, 2048));
    cr_expect(not(file_id_equal(&id, &m.offer_ok.file)));
    release();
    m = read_golden("STORED");
    cr_expect(text_is(m.stored.name, "a/hello (2).txt"));
    release();
}
