/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a stranger is served without HELLO, a range outside the file or a chunk that is not
 * here is read, a page of a LIST repeats or skips names while files come and go, replies go to who cancelled
 * or left, a flood of sessions shuts others out, an ERROR bears the wrong code.
 */
#include "node/peer_server.h"
#include "node/upload_queue.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#define MIB (1u << 20)

struct world {
    struct share_index *index;
    struct holdings *holdings;
    struct peer_server *server;
    struct peer_effects effects;
    uint64_t now_ms;
    struct envelope envelope; /* of the last reply that was read */
    bool has_envelope;
};

static struct hash root_of(uint64_t number)
{
    struct hash root = {{0xaa}};
    memcpy(root.bytes + 8, &number, sizeof number);
    return root;
}

/* Files named by the caller, all of `size` bytes, with inode numbers as roots. */
static void scan(struct world *w, const char *const *names, size_t count, uint64_t size, bool is_complete)
{
    struct scan_outcome outcome = {calloc(count + 1, sizeof *outcome.files), count, is_complete};
    for (size_t i = 0; i < count; i++)
        outcome.files[i] = (struct scanned_file){
            .path = strdup(names[i]), .name = strdup(names[i]), .stamp = {.inode = i + 1, .size = size}};
    share_index_scanned(w->index, &outcome);
}

static void hash_all(struct world *w)
{
    const struct shared_file *file;
    while ((file = share_index_next_unhashed(w->index, 0))) {
        struct hash root = root_of(file->stamp.inode);
        share_index_hashed(w->index, file->handle, &root);
    }
}

static struct world world_new(uint64_t size)
{
    struct world w = {.index = share_index_new(), .now_ms = 1000};
    static const char *const names[] = {"a/one.bin", "b/two.bin"};
    scan(&w, names, 2, size, true);
    hash_all(&w);
    w.holdings = holdings_new(w.index);
    struct peer_server_config config = {
        .node = {{7}}, .instance = 99, .node_name = text_of("n"), .agent = text_of("test"), .features = 2};
    w.server = peer_server_new(&config, w.holdings);
    peer_effects_init(&w.effects);
    return w;
}

static void world_release(struct world *w)
{
    if (w->has_envelope)
        envelope_close(&w->envelope);
    peer_effects_release(&w->effects);
    peer_server_destroy(&w->server);
    holdings_destroy(&w->holdings);
    share_index_destroy(&w->index);
}

static void deliver(struct world *w, uint32_t route, const struct message *m)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(m, &bytes);
    peer_effects_clear(&w->effects);
    peer_server_on_message(w->server, route, (int)route + 100, (const uint8_t *)bytes.data, bytes.size,
                           m->kind == KIND_DATA ? 2 : 1, w->now_ms, &w->effects);
    msgpack_sbuffer_destroy(&bytes);
}

/* The message that effect `i` sends. */
static struct message sent(struct world *w, size_t i)
{
    struct message m = {0};
    cr_assert(lt(sz, i, w->effects.count));
    const struct peer_effect *effect = &w->effects.items[i];
    cr_assert(le(int, effect->kind, PEER_SEND_DATA));
    if (w->has_envelope)
        envelope_close(&w->envelope);
    w->has_envelope = true;
    enum envelope_result result =
        envelope_open(&w->envelope, peer_effect_header(&w->effects, effect), effect->header_size,
                      RECEIVER_CLIENT, effect->kind == PEER_SEND_DATA ? 2 : 1);
    cr_assert(eq(int, result, ENVELOPE_OK));
    cr_assert(message_read(&w->envelope, &m));
    return m;
}

static struct message ask(struct world *w, uint32_t route, const struct message *m)
{
    deliver(w, route, m);
    cr_assert(eq(sz, w->effects.count, 1));
    return sent(w, 0);
}

#define ASSERT_ERROR(reply, wanted_rid, wanted_code)                                                         \
    do {                                                                                                     \
        struct message reply_ = (reply);                                                                     \
        cr_assert(eq(int, reply_.kind, KIND_ERROR));                                                         \
        cr_assert(eq(u64, reply_.rid, (wanted_rid)));                                                        \
        cr_assert(eq(u16, reply_.error.code, (wanted_code)));                                                \
    } while (0)

static void hello(struct world *w, uint32_t route)
{
    struct message m = {
        .kind = KIND_HELLO, .rid = 1, .hello = {.node_name = text_of("d"), .agent = text_of("t")}};
    cr_assert(eq(int, ask(w, route, &m).kind, KIND_HELLO_OK));
}

static struct file_id id_at(const struct world *w, size_t position)
{
    return share_index_at(w->index, position)->id;
}

static struct message read_of(const struct world *w, uint64_t rid, uint64_t offset, uint32_t length)
{
    return (struct message){
        .kind = KIND_READ, .rid = rid, .read = {.file = id_at(w, 0), .offset = offset, .length = length}};
}

static struct message hashes_of(const struct world *w, uint32_t first, uint32_t count)
{
    return (struct message){
        .kind = KIND_HASHES, .rid = 6, .hashes = {.file = id_at(w, 0), .first = first, .count = count}};
}

static struct message list_of(const char *prefix, uint64_t cursor, uint32_t limit)
{
    return (struct message){
        .kind = KIND_LIST, .rid = 4, .list = {.prefix = text_of(prefix), .cursor = cursor, .limit = limit}};
}

static struct message open_name(const char *name)
{
    return (struct message){
        .kind = KIND_OPEN, .rid = 5, .open = {.name = {.is_present = true, .text = text_of(name)}}};
}

static struct message open_id(const struct file_id *id)
{
    struct message m = {.kind = KIND_OPEN, .rid = 5, .open = {.file = {.is_present = true}}};
    memcpy(m.open.file.bytes, id->bytes, sizeof id->bytes);
    return m;
}

/* HELLO and what is never answered. */

Test(peer_server, everything_before_hello_is_told_so)
{
    struct world w = world_new(100);
    const struct message requests[] = {{.kind = KIND_PING, .rid = 3}, list_of("", 0, 0),
                                       open_name("one.bin"),          hashes_of(&w, 0, 1),
                                       read_of(&w, 3, 0, 1),          {.kind = KIND_CANCEL, .rid = 3},
                                       {.kind = KIND_CLOSE, .rid = 3}};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        ASSERT_ERROR(ask(&w, 1, &requests[i]), requests[i].rid, ERROR_NOT_JOINED);
    cr_assert(eq(sz, peer_server_figures(w.server).sessions, 0));
    world_release(&w);
}

Test(peer_server, error_pong_and_bye_are_never_answered)
{
    struct world w = world_new(100);
    const struct message messages[] = {message_error(3, ERROR_INTERNAL, "x", 0),
                                       {.kind = KIND_PONG, .rid = 3},
                                       {.kind = KIND_BYE, .rid = 3, .bye = {text_of("")}}};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
            deliver(&w, 1, &messages[i]);
            cr_assert(eq(sz, w.effects.count, 0), "round %d, message %zu", round, i);
        }
        hello(&w, 1);
    }
    world_release(&w);
}

Test(peer_server, hello_tells_who_is_here_and_what_may_be_asked)
{
    struct world w = world_new(100);
    struct message m = {.kind = KIND_HELLO,
                        .rid = 8,
                        .hello = {.node_name = text_of(""),
                                  .agent = text_of(""),
                                  .expected_node = {.is_present = true, .id = {{7}}}}};
    struct message reply = ask(&w, 1, &m);
    cr_assert(eq(int, reply.kind, KIND_HELLO_OK));
    cr_assert(eq(u64, reply.rid, 8));
    cr_assert(eq(u8, reply.hello_ok.node.bytes[0], 7));
    cr_assert(eq(u64, reply.hello_ok.instance, 99));
    cr_assert(eq(u32, reply.hello_ok.window_bytes, 16 * MIB));
    cr_assert(eq(u32, reply.hello_ok.max_read, MIB));
    cr_assert(eq(u32, reply.hello_ok.features, 2));
    world_release(&w);
}

Test(peer_server, another_node_is_answered_wrong_node_and_gets_no_session)
{
    struct world w = world_new(100);
    struct message m = {.kind = KIND_HELLO,
                        .rid = 8,
                        .hello = {.node_name = text_of(""),
                                  .agent = text_of(""),
                                  .expected_node = {.is_present = true, .id = {{8}}}}};
    ASSERT_ERROR(ask(&w, 1, &m), 8, ERROR_WRONG_NODE);
    struct message ping = {.kind = KIND_PING, .rid = 3};
    ASSERT_ERROR(ask(&w, 1, &ping), 3, ERROR_NOT_JOINED);
    world_release(&w);
}

Test(peer_server, a_full_table_refuses_a_stranger_until_one_was_idle_for_120_s)
{
    struct world w = world_new(100);
    for (uint32_t route = 1; route <= PEER_SESSIONS_MAX; route++)
        hello(&w, route);
    struct message m = {
        .kind = KIND_HELLO, .rid = 8, .hello = {.node_name = text_of(""), .agent = text_of("")}};
    w.now_ms += PEER_IDLE_MS - 1;
    ASSERT_ERROR(ask(&w, 5000, &m), 8, ERROR_BUSY);
    hello(&w, 7); /* a member may say it again */
    w.now_ms += 1;
    cr_assert(eq(int, ask(&w, 5000, &m).kind, KIND_HELLO_OK));
    cr_assert(eq(sz, peer_server_figures(w.server).sessions, PEER_SESSIONS_MAX));
    struct message ping = {.kind = KIND_PING, .rid = 3};
    ASSERT_ERROR(ask(&w, 1, &ping), 3, ERROR_NOT_JOINED); /* the one that was idle longest */
    cr_assert(eq(int, ask(&w, 2, &ping).kind, KIND_PONG));
    world_release(&w);
}

Test(peer_server, bye_forgets_the_route)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message bye = {.kind = KIND_BYE, .bye = {text_of("done")}}, ping = {.kind = KIND_PING, .rid = 3};
    cr_assert(eq(int, ask(&w, 1, &ping).kind, KIND_PONG));
    deliver(&w, 1, &bye);
    ASSERT_ERROR(ask(&w, 1, &ping), 3, ERROR_NOT_JOINED);
    world_release(&w);
}

Test(peer_server, what_is_not_a_message_is_answered_and_counted)
{
    struct world w = world_new(100);
    static const uint8_t garbage[] = {0xc1, 0xff};
    peer_server_on_message(w.server, 1, 5, garbage, sizeof garbage, 1, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 0, ERROR_BAD_MESSAGE);

    /* A PING in two frames. */
    static const uint8_t ping[] = {0x93, 1, 1, 42};
    peer_effects_clear(&w.effects);
    peer_server_on_message(w.server, 1, 5, ping, sizeof ping, 2, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 42, ERROR_BAD_MESSAGE);
    cr_assert(eq(u64, peer_server_figures(w.server).bad_messages, 2));
    world_release(&w);
}

Test(peer_server, missing_fields_are_bad_only_once_hello_was_said)
{
    struct world w = world_new(100);
    static const uint8_t read_without_fields[] = {0x93, 1, 38, 42};
    peer_server_on_message(w.server, 1, 5, read_without_fields, 4, 1, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 42, ERROR_NOT_JOINED);
    hello(&w, 1);
    peer_effects_clear(&w.effects);
    peer_server_on_message(w.server, 1, 5, read_without_fields, 4, 1, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 42, ERROR_BAD_MESSAGE);
    world_release(&w);
}

Test(peer_server, another_version_and_unknown_kinds_are_unsupported_even_before_hello)
{
    struct world w = world_new(100);
    static const uint8_t version[] = {0x93, 2, 1, 42}, kind[] = {0x93, 1, 77, 42}, join[] = {0x93, 1, 10, 42};
    const uint8_t *const rows[] = {version, kind, join};
    for (size_t i = 0; i < 3; i++) {
        peer_effects_clear(&w.effects);
        peer_server_on_message(w.server, 1, 5, rows[i], 4, 1, 0, &w.effects);
        struct message reply = sent(&w, 0);
        ASSERT_ERROR(reply, 42, ERROR_UNSUPPORTED);
        cr_assert(eq(int, text_equal(reply.error.text, text_of("speaks 1")), i == 0));
    }
    world_release(&w);
}

Test(peer_server, replies_and_events_that_nobody_asked_for_are_dropped_and_counted)
{
    struct world w = world_new(100);
    struct message data = {.kind = KIND_DATA, .rid = 3, .data = {.file = id_at(&w, 0), .length = 1}};
    deliver(&w, 1, &data);
    cr_assert(eq(sz, w.effects.count, 0));
    hello(&w, 1);
    deliver(&w, 1, &data);
    cr_assert(eq(sz, w.effects.count, 0));
    struct message have = {.kind = KIND_HAVE, .rid = 3, .have = {.file = id_at(&w, 0)}};
    deliver(&w, 1, &have);
    cr_assert(eq(sz, w.effects.count, 0));
    cr_assert(eq(u64, peer_server_figures(w.server).dropped_messages, 3));
    world_release(&w);
}

Test(peer_server, an_offer_is_denied)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message offer = {
        .kind = KIND_OFFER,
        .rid = 3,
        .offer = {.file = shared_file_entry(share_index_at(w.index, 0)), .chunk_log2 = 16}};
    ASSERT_ERROR(ask(&w, 1, &offer), 3, ERROR_DENIED);
    world_release(&w);
}

/* LIST. */

static struct message list(struct world *w, const char *prefix, uint64_t cursor, uint32_t limit)
{
    struct message m = list_of(prefix, cursor, limit);
    struct message reply = ask(w, 1, &m);
    cr_assert(eq(int, reply.kind, KIND_LIST_OK));
    uint64_t ticket = w->effects.items[0].ticket;
    cr_assert(ne(u64, ticket, 0));
    struct peer_effects none;
    peer_effects_init(&none);
    peer_server_on_sent(w->server, ticket, w->now_ms, &none);
    peer_effects_release(&none);
    return reply;
}

Test(peer_server, a_list_is_paged_in_byte_order_below_its_prefix)
{
    struct world w = world_new(100);
    static const char *const names[] = {"b/2", "a/9", "b/10", "b/1", "b", "bb"};
    scan(&w, names, 6, 5, true);
    hash_all(&w);
    hello(&w, 1);
    struct message page = list(&w, "b/", 0, 2);
    cr_assert(eq(sz, page.list_ok.files.count, 2));
    cr_assert(text_equal(page.list_ok.files.entries[0].name, text_of("b/1")));
    cr_assert(text_equal(page.list_ok.files.entries[1].name, text_of("b/10")));
    cr_assert(eq(u64, page.list_ok.total, 3));
    cr_assert(eq(u64, page.list_ok.generation, holdings_generation(w.holdings)));
    cr_assert(ne(u64, page.list_ok.next_cursor, 0));
    page = list(&w, "b/", page.list_ok.next_cursor, 2);
    cr_assert(eq(sz, page.list_ok.files.count, 1));
    cr_assert(text_equal(page.list_ok.files.entries[0].name, text_of("b/2")));
    cr_assert(eq(u64, page.list_ok.next_cursor, 0));
    cr_assert(eq(u64, list(&w, "zz", 0, 0).list_ok.total, 0));
    world_release(&w);
}

Test(peer_server, files_without_an_id_are_not_listed)
{
    struct world w = world_new(100);
    static const char *const names[] = {"a/one.bin", "b/two.bin", "c"};
    scan(&w, names, 3, 100, true);
    hello(&w, 1);
    struct message page = list(&w, "", 0, 0);
    cr_assert(eq(u64, page.list_ok.total, 2));
    cr_assert(eq(sz, page.list_ok.files.count, 2));
    world_release(&w);
}

Test(peer_server, a_page_neither_repeats_nor_skips_when_files_come_and_go)
{
    struct world w = world_new(100);
    static const char *const before[] = {"b", "d", "f", "h"}, *const after[] = {"a", "b", "c", "h"};
    scan(&w, before, 4, 5, true);
    hash_all(&w);
    hello(&w, 1);
    struct message page = list(&w, "", 0, 2);
    uint64_t cursor = page.list_ok.next_cursor;
    cr_assert(text_equal(page.list_ok.files.entries[1].name, text_of("d")));
    scan(&w, after, 4, 5, true);
    hash_all(&w);
    page = list(&w, "", cursor, 2);
    cr_assert(eq(sz, page.list_ok.files.count, 1));
    cr_assert(text_equal(page.list_ok.files.entries[0].name, text_of("h")));
    cr_assert(eq(u64, page.list_ok.total, 4));
    world_release(&w);
}

Test(peer_server, a_cursor_that_was_never_given_is_bad)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message m = list_of("", 77, 0);
    ASSERT_ERROR(ask(&w, 1, &m), 4, ERROR_BAD_MESSAGE);
    world_release(&w);
}

Test(peer_server, a_page_fits_in_a_header_whatever_the_names_are)
{
    struct world w = world_new(100);
    enum {
        COUNT = 2100
    };
    char *names[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        char number[24];
        snprintf(number, sizeof number, "%06zu", i);
        names[i] = malloc(1025);
        memset(names[i], 'x', 1018);
        memcpy(names[i] + 1018, number, 7);
    }
    scan(&w, (const char *const *)names, COUNT, 5, true);
    hash_all(&w);
    hello(&w, 1);
    uint64_t cursor = 0, listed = 0;
    do {
        struct message page = list(&w, "", cursor, 5000);
        cr_assert(le(sz, w.effects.items[0].header_size, HEADER_SIZE_MAX_PEER));
        cr_assert(le(sz, page.list_ok.files.count, FILES_MAX));
        listed += page.list_ok.files.count;
        cursor = page.list_ok.next_cursor;
    } while (cursor != 0);
    cr_assert(eq(u64, listed, COUNT));
    for (size_t i = 0; i < COUNT; i++)
        free(names[i]);
    world_release(&w);
}

Test(peer_server, lists_that_are_not_read_wait_and_then_are_refused)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message m = list_of("", 0, 0);
    for (size_t i = 0; i < UPLOAD_REQUESTER_IN_HAND_BYTES_MAX / MIB; i++)
        cr_assert(eq(int, ask(&w, 1, &m).kind, KIND_LIST_OK));
    for (size_t i = 0; i < UPLOAD_REQUESTER_LISTS_MAX; i++) {
        deliver(&w, 1, &m);
        cr_assert(eq(sz, w.effects.count, 0));
    }
    ASSERT_ERROR(ask(&w, 1, &m), 4, ERROR_LIMIT);
    world_release(&w);
}

/* OPEN. */

Test(peer_server, a_file_is_opened_by_id_by_whole_name_and_by_a_base_name_that_one_file_has)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct file_id id = id_at(&w, 1);
    const struct message rows[] = {open_id(&id), open_name("b/two.bin"), open_name("two.bin")};
    for (size_t i = 0; i < 3; i++) {
        struct message reply = ask(&w, 1, &rows[i]);
        cr_assert(eq(int, reply.kind, KIND_OPEN_OK), "row %zu", i);
        cr_assert(file_id_equal(&reply.open_ok.file.id, &id));
        cr_assert(eq(u8, reply.open_ok.chunk_log2, 16));
        cr_assert(not(reply.open_ok.have.is_present));
    }
    world_release(&w);
}

Test(peer_server, what_cannot_be_opened_has_its_own_error_each)
{
    struct world w = world_new(100);
    static const char *const names[] = {"a/one.bin", "b/one.bin"};
    scan(&w, names, 2, 100, true);
    hash_all(&w);
    hello(&w, 1);
    struct message m = open_name("nothing");
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    m = open_name("one.bin");
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    struct file_id unknown = {{1}};
    m = open_id(&unknown);
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    m = (struct message){.kind = KIND_OPEN, .rid = 5};
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_BAD_MESSAGE);
    world_release(&w);
}

Test(peer_server, while_ids_are_being_found_out_the_answer_is_busy_and_says_when)
{
    struct world w = world_new(100);
    static const char *const names[] = {"a/one.bin", "b/two.bin", "c"};
    scan(&w, names, 3, 100, true);
    hello(&w, 1);
    struct message m = open_name("c");
    struct message reply = ask(&w, 1, &m);
    ASSERT_ERROR(reply, 5, ERROR_BUSY);
    cr_assert(eq(u32, reply.error.retry_ms, PEER_HASHING_RETRY_MS));
    struct file_id unknown = {{1}};
    m = open_id(&unknown);
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_BUSY);
    m = open_name("nothing"); /* names are known: this is no question of hashing */
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    world_release(&w);
}

/* READ. */

Test(peer_server, a_read_goes_to_disk_and_its_bytes_to_who_asked)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    struct message m = read_of(&w, 33, 2 * MIB - 5, MIB);
    deliver(&w, 1, &m);
    cr_assert(eq(sz, w.effects.count, 1));
    struct peer_effect effect = w.effects.items[0];
    cr_assert(eq(int, effect.kind, PEER_READ_CHUNK));
    cr_assert(eq(u64, effect.content.handle, share_index_at(w.index, 0)->handle));
    cr_assert(eq(u64, effect.offset, 2 * MIB - 5));
    cr_assert(eq(u32, effect.length, MIB));

    peer_effects_clear(&w.effects);
    peer_server_on_chunk(w.server, effect.ticket, DISK_OK, w.now_ms, &w.effects);
    cr_assert(eq(int, w.effects.items[0].kind, PEER_SEND_DATA));
    cr_assert(eq(u64, w.effects.items[0].ticket, effect.ticket));
    struct message data = sent(&w, 0);
    cr_assert(eq(u64, data.rid, 33));
    cr_assert(eq(u64, data.data.offset, 2 * MIB - 5));
    cr_assert(eq(u32, data.data.length, MIB));
    cr_assert(not(peer_server_is_idle(w.server)));
    peer_server_on_sent(w.server, effect.ticket, w.now_ms, &w.effects);
    cr_assert(peer_server_is_idle(w.server));
    cr_assert(eq(u64, peer_server_figures(w.server).data_bytes_sent, MIB));
    world_release(&w);
}

Test(peer_server, each_wrong_range_is_refused_with_its_code)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    static const struct {
        uint64_t offset;
        uint32_t length;
        enum error_code code;
    } rows[] = {
        {0, 0, ERROR_BAD_RANGE},
        {3 * MIB, 1, ERROR_BAD_RANGE},
        {3 * MIB - 1, 2, ERROR_BAD_RANGE},
        {UINT64_MAX, 1, ERROR_BAD_RANGE},
        {UINT64_MAX - 1, MIB, ERROR_BAD_RANGE},
        {0, MIB + 1, ERROR_LIMIT},
        {0, UINT32_MAX, ERROR_BAD_RANGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message m = read_of(&w, i, rows[i].offset, rows[i].length);
        ASSERT_ERROR(ask(&w, 1, &m), i, rows[i].code);
    }
    struct message m = read_of(&w, 50, 0, 1);
    m.read.file.bytes[0] ^= 1;
    ASSERT_ERROR(ask(&w, 1, &m), 50, ERROR_NOT_FOUND);
    world_release(&w);
}

Test(peer_server, more_than_the_window_unanswered_is_a_limit)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    for (uint64_t rid = 0; rid < 16; rid++) {
        struct message m = read_of(&w, rid, 0, MIB);
        deliver(&w, 1, &m);
        cr_assert(eq(sz, w.effects.count, rid < 4 ? 1 : 0));
    }
    struct message m = read_of(&w, 77, 0, 1);
    ASSERT_ERROR(ask(&w, 1, &m), 77, ERROR_LIMIT);
    world_release(&w);
}

Test(peer_server, too_many_small_reads_are_a_limit_and_all_together_busy)
{
    struct world w = world_new(3 * MIB);
    uint32_t routes = UPLOAD_COUNT_MAX / UPLOAD_REQUESTER_COUNT_MAX;
    for (uint32_t route = 1; route <= routes + 1; route++) {
        hello(&w, route);
        /* Up to 64 of each are in hand and 512 in all, and leave the queue. */
        for (size_t i = 0; i < UPLOAD_REQUESTER_COUNT_MAX + 64; i++) {
            struct message m = read_of(&w, 3, 0, 1);
            deliver(&w, route, &m);
            bool is_refused = w.effects.count == 1 && w.effects.items[0].kind == PEER_SEND;
            if (!is_refused)
                continue;
            ASSERT_ERROR(sent(&w, 0), 3, route <= routes ? ERROR_LIMIT : ERROR_BUSY);
            break;
        }
    }
    world_release(&w);
}

static uint64_t start_read(struct world *w, uint32_t route, uint64_t rid)
{
    struct message m = read_of(w, rid, 0, MIB);
    deliver(w, route, &m);
    cr_assert(eq(sz, w->effects.count, 1));
    cr_assert(eq(int, w->effects.items[0].kind, PEER_READ_CHUNK));
    return w->effects.items[0].ticket;
}

Test(peer_server, a_file_that_changed_is_told_to_the_requester_and_to_its_owner)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t ticket = start_read(&w, 1, 9);
    peer_effects_clear(&w.effects);
    peer_server_on_chunk(w.server, ticket, DISK_CHANGED, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 2));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_CHANGED));
    cr_assert(eq(u64, w.effects.items[0].content.handle, share_index_at(w.index, 0)->handle));
    ASSERT_ERROR(sent(&w, 1), 9, ERROR_CHANGED);
    cr_assert(peer_server_is_idle(w.server));
    world_release(&w);
}

Test(peer_server, a_disk_error_is_our_own_fault)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t ticket = start_read(&w, 1, 9);
    peer_effects_clear(&w.effects);
    peer_server_on_chunk(w.server, ticket, DISK_FAILED, w.now_ms, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 9, ERROR_INTERNAL);
    cr_assert(eq(sz, w.effects.count, 1));
    world_release(&w);
}

Test(peer_server, a_read_whose_file_went_while_it_waited_is_answered)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t first = start_read(&w, 1, 0);
    for (uint64_t rid = 1; rid < 5; rid++) {
        struct message m = read_of(&w, rid, 0, MIB);
        deliver(&w, 1, &m);
    }
    scan(&w, NULL, 0, 0, true);
    peer_effects_clear(&w.effects);
    peer_server_on_sent(w.server, first, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    ASSERT_ERROR(sent(&w, 0), 4, ERROR_NOT_FOUND);
    world_release(&w);
}

Test(peer_server, a_cancelled_read_is_not_answered_queued_or_on_disk)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t tickets[4];
    for (uint64_t rid = 0; rid < 4; rid++)
        tickets[rid] = start_read(&w, 1, rid);
    struct message queued = read_of(&w, 4, 0, MIB);
    deliver(&w, 1, &queued);
    for (uint64_t rid = 0; rid < 5; rid++) {
        struct message cancel = {.kind = KIND_CANCEL, .rid = 90, .cancel = {rid}};
        deliver(&w, 1, &cancel);
        cr_assert(eq(sz, w.effects.count, 0));
    }
    peer_server_on_chunk(w.server, tickets[0], DISK_OK, w.now_ms, &w.effects);
    peer_server_on_chunk(w.server, tickets[1], DISK_FAILED, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DROP_DATA));
    peer_server_on_sent(w.server, tickets[0], w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1)); /* the queued one is gone too */
    world_release(&w);
}

Test(peer_server, who_left_gets_nothing_and_makes_room_for_others)
{
    struct world w = world_new(3 * MIB);
    uint64_t first = 0;
    for (uint32_t route = 1; route <= 32; route++) {
        hello(&w, route);
        uint64_t ticket = start_read(&w, route, 0);
        first = first ? first : ticket;
    }
    hello(&w, 33);
    struct message m = read_of(&w, 1, 0, MIB);
    deliver(&w, 33, &m);
    cr_assert(eq(sz, w.effects.count, 0));
    peer_server_on_route_lost(w.server, 1, &w.effects);
    peer_server_on_chunk(w.server, first, DISK_OK, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DROP_DATA));
    peer_server_on_sent(w.server, first, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 2));
    cr_assert(eq(u32, w.effects.items[1].route, 33));
    world_release(&w);
}

Test(peer_server, who_reads_nothing_while_another_starves_is_disconnected_after_2_s)
{
    struct world w = world_new(3 * MIB);
    for (uint32_t route = 1; route <= 32; route++) {
        hello(&w, route);
        uint64_t ticket = start_read(&w, route, 0);
        peer_server_on_chunk(w.server, ticket, DISK_OK, w.now_ms, &w.effects);
    }
    struct message m = read_of(&w, 1, 0, MIB), ping = {.kind = KIND_PING, .rid = 3},
                   bye = {.kind = KIND_BYE, .bye = {text_of("")}};
    for (uint32_t route = 1; route <= 32; route += 2)
        deliver(&w, route, &bye); /* that helps nobody */
    hello(&w, 33);
    deliver(&w, 33, &m);
    peer_server_tick(w.server, w.now_ms + UPLOAD_STALL_MS - 1, &w.effects);
    cr_assert(eq(sz, w.effects.count, 0));
    peer_server_tick(w.server, w.now_ms + UPLOAD_STALL_MS, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DISCONNECT));
    uint32_t route = w.effects.items[0].route;
    cr_assert(eq(int, w.effects.items[0].connection, (int)route + 100));
    ASSERT_ERROR(ask(&w, route, &ping), 3, ERROR_NOT_JOINED);
    world_release(&w);
}

Test(peer_server, a_requester_whose_queue_is_full_is_disconnected)
{
    struct world w = world_new(100);
    hello(&w, 1);
    peer_effects_clear(&w.effects);
    peer_server_on_congested(w.server, 1, &w.effects);
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DISCONNECT));
    cr_assert(eq(int, w.effects.items[0].connection, 101));
    cr_assert(eq(sz, peer_server_figures(w.server).sessions, 0));
    world_release(&w);
}

Test(peer_server, a_lost_connection_probes_its_routes_only)
{
    struct world w = world_new(100);
    hello(&w, 1);
    hello(&w, 2);
    peer_effects_clear(&w.effects);
    peer_server_on_connection_lost(w.server, 102, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(u32, w.effects.items[0].route, 2));
    cr_assert(eq(int, sent(&w, 0).kind, KIND_PING));
    world_release(&w);
}

Test(peer_server, stopping_says_bye_to_every_session)
{
    struct world w = world_new(100);
    hello(&w, 1);
    hello(&w, 2);
    peer_effects_clear(&w.effects);
    peer_server_on_stop(w.server, &w.effects);
    cr_assert(eq(sz, w.effects.count, 2));
    cr_assert(eq(int, sent(&w, 1).kind, KIND_BYE));
    world_release(&w);
}

/* HASHES. */

Test(peer_server, hashes_are_loaded_and_sent_with_the_run_they_are)
{
    struct world w = world_new(MIB); /* 16 chunks of 64 KiB */
    hello(&w, 1);
    struct message m = hashes_of(&w, 3, 13);
    deliver(&w, 1, &m);
    struct peer_effect effect = w.effects.items[0];
    cr_assert(eq(int, effect.kind, PEER_LOAD_HASHES));
    cr_assert(eq(u32, effect.first, 3));
    cr_assert(eq(u32, effect.count, 13));
    struct hash hashes[13] = {{{1}}};
    peer_effects_clear(&w.effects);
    peer_server_on_hashes(w.server, effect.ticket, DISK_OK, hashes, w.now_ms, &w.effects);
    struct message reply = sent(&w, 0);
    cr_assert(eq(int, reply.kind, KIND_HASHES_OK));
    cr_assert(eq(u32, reply.hashes_ok.first, 3));
    cr_assert(eq(sz, reply.hashes_ok.hashes.size, 13 * 32));
    cr_assert(eq(u64, w.effects.items[0].ticket, effect.ticket));
    peer_server_on_sent(w.server, effect.ticket, w.now_ms, &w.effects);
    cr_assert(peer_server_is_idle(w.server));
    world_release(&w);
}

Test(peer_server, hashes_outside_the_file_are_a_bad_range)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    static const uint32_t rows[][2] = {{0, 0}, {0, 17}, {16, 1}, {15, 2}, {UINT32_MAX, 1}, {1, UINT32_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message m = hashes_of(&w, rows[i][0], rows[i][1]);
        ASSERT_ERROR(ask(&w, 1, &m), 6, ERROR_BAD_RANGE);
    }
    world_release(&w);
}

Test(peer_server, a_file_of_one_chunk_has_no_hashes)
{
    struct world w = world_new(65536);
    hello(&w, 1);
    struct message m = hashes_of(&w, 0, 1);
    ASSERT_ERROR(ask(&w, 1, &m), 6, ERROR_BAD_RANGE);
    world_release(&w);
}

Test(peer_server, more_than_16384_hashes_are_clamped)
{
    struct world w = world_new(UINT64_C(20000) << 22);
    hello(&w, 1);
    struct message m = hashes_of(&w, 0, 20000);
    deliver(&w, 1, &m);
    cr_assert(eq(u32, w.effects.items[0].count, 16384));
    world_release(&w);
}

Test(peer_server, hashes_that_cannot_be_loaded_are_answered)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct message m = hashes_of(&w, 0, 1);
    deliver(&w, 1, &m);
    uint64_t ticket = w.effects.items[0].ticket;
    peer_effects_clear(&w.effects);
    peer_server_on_hashes(w.server, ticket, DISK_FAILED, NULL, w.now_ms, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 6, ERROR_INTERNAL);

    deliver(&w, 1, &m);
    ticket = w.effects.items[0].ticket;
    peer_effects_clear(&w.effects);
    peer_server_on_hashes(w.server, ticket, DISK_HASHING, NULL, w.now_ms, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 6, ERROR_BUSY);
    world_release(&w);
}

/* Partial files. */

enum {
    PARTIAL = 500
};

/* 4 chunks of 64 KiB, of which the first and the third are here. */
static struct file_entry add_partial(struct world *w, const char *name)
{
    struct hash root = root_of(PARTIAL);
    struct file_entry file = {
        .id = file_id_of(4 << 16, &root), .root = root, .size = 4 << 16, .name = text_of(name)};
    static const uint8_t have = 0xa0;
    cr_assert(holdings_add_partial(w->holdings, PARTIAL, &file, &have));
    return file;
}

Test(peer_server, a_partial_file_tells_its_chunks_and_then_each_new_one_until_close)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    hello(&w, 2);
    struct file_entry file = add_partial(&w, "p");
    struct message m = open_id(&file.id);
    struct message reply = ask(&w, 1, &m);
    cr_assert(eq(u16, reply.open_ok.file.have_permille, 500));
    cr_assert(eq(sz, reply.open_ok.have.blob.size, 1));
    cr_assert(eq(u8, reply.open_ok.have.blob.bytes[0], 0xa0));

    holdings_partial_verified(w.holdings, PARTIAL, 3, 1);
    peer_effects_clear(&w.effects);
    peer_server_on_verified(w.server, PARTIAL, 3, 1, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    struct message have = sent(&w, 0);
    cr_assert(eq(int, have.kind, KIND_HAVE));
    cr_assert(eq(u64, have.rid, 5));
    cr_assert(eq(u32, have.have.ranges[0].first, 3));

    struct message close = {.kind = KIND_CLOSE, .close = {file.id}};
    deliver(&w, 1, &close);
    peer_server_on_verified(w.server, PARTIAL, 1, 1, &w.effects);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(peer_server, a_chunk_that_is_not_here_is_a_bad_range)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct file_entry file = add_partial(&w, "p");
    struct message m = {.kind = KIND_READ, .rid = 9, .read = {.file = file.id, .offset = 65535, .length = 2}};
    ASSERT_ERROR(ask(&w, 1, &m), 9, ERROR_BAD_RANGE);
    m.read.length = 1;
    deliver(&w, 1, &m);
    cr_assert(eq(int, w.effects.items[0].kind, PEER_READ_CHUNK));
    cr_assert(w.effects.items[0].content.is_partial);
    cr_assert(eq(u64, w.effects.items[0].content.handle, PARTIAL));
    world_release(&w);
}

Test(peer_server, a_partial_file_is_listed_among_the_others_and_whole_once_all_is_here)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct file_entry file = add_partial(&w, "a/p");
    struct message page = list(&w, "", 0, 0);
    cr_assert(eq(u64, page.list_ok.total, 3));
    cr_assert(text_equal(page.list_ok.files.entries[1].name, text_of("a/p")));
    cr_assert(eq(u16, page.list_ok.files.entries[1].have_permille, 500));
    holdings_partial_verified(w.holdings, PARTIAL, 0, 4);
    struct message m = open_name("p");
    struct message reply = ask(&w, 1, &m);
    cr_assert(file_id_equal(&reply.open_ok.file.id, &file.id));
    cr_assert(eq(u16, reply.open_ok.file.have_permille, 1000));
    cr_assert(not(reply.open_ok.have.is_present));
    world_release(&w);
}

Test(peer_server, a_requester_follows_at_most_64_partial_files)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    for (uint64_t i = 0; i <= PEER_FOLLOWS_MAX; i++) {
        struct hash root = root_of(1000 + i);
        struct file_entry file = {
            .id = file_id_of(4 << 16, &root), .root = root, .size = 4 << 16, .name = text_of("x")};
        static const uint8_t have = 0x80;
        cr_assert(holdings_add_partial(w.holdings, i, &file, &have));
        struct message m = open_id(&file.id);
        struct message reply = ask(&w, 1, &m);
        if (i < PEER_FOLLOWS_MAX)
            cr_assert(eq(int, reply.kind, KIND_OPEN_OK));
        else
            ASSERT_ERROR(reply, 5, ERROR_LIMIT);
    }
    world_release(&w);
}
