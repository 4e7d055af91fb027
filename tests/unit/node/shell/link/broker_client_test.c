/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a reply reaches another asker than the one who asked, one who has gone, or nobody; an
 * asker hears of a request twice after its end; a broker that never answers fills the table for ever.
 */
#include "tests/unit/node/shell/link/broker_world.h"

#define ASKERS 3

static struct {
    unsigned reply_count;
    uint16_t last_kind;
    uint64_t last_rid;
} heard[ASKERS];

static void on_reply(void *owner, const struct message *reply)
{
    size_t asker = (size_t)(uintptr_t)owner;
    heard[asker].reply_count++;
    heard[asker].last_kind = reply->kind;
    heard[asker].last_rid = reply->rid;
}

static void start(void)
{
    memset(heard, 0, sizeof heard);
    world_start();
}

static void end(void)
{
    world_end(NULL);
}

TestSuite(broker_client, .init = start, .fini = end, .timeout = 60);

static uint64_t ask(size_t asker, uint16_t kind)
{
    const struct message request = {.kind = kind};
    return broker_client_ask(client, &request, on_reply, (void *)(uintptr_t)asker);
}

static void reply(uint64_t rid, uint16_t kind)
{
    const struct message message = {.kind = kind, .rid = rid};
    broker_reply(&message);
}

static size_t wanted_requests;

static bool are_requests_here(void)
{
    return broker.count >= wanted_requests;
}

static void run_until_asked(size_t count)
{
    wanted_requests = count;
    world_run_until(are_requests_here);
}

static bool has_last_heard(void)
{
    return heard[ASKERS - 1].reply_count > 0;
}

/* All that was replied before has arrived once the last asker has heard. */
static void run_until_all_heard(void)
{
    size_t before = broker.count;
    uint64_t rid = ask(ASKERS - 1, KIND_STATUS);
    run_until_asked(before + 1);
    reply(rid, KIND_STATUS_OK);
    world_run_until(has_last_heard);
}

Test(broker_client, each_reply_reaches_the_one_who_asked)
{
    uint64_t first = ask(0, KIND_STATUS), second = ask(1, KIND_PEERS);
    cr_assert(ne(u64, first, second));
    run_until_asked(2);
    reply(second, KIND_PEERS_OK);
    reply(first, KIND_STATUS_OK);
    run_until_all_heard();
    cr_expect(eq(uint, heard[0].reply_count, 1));
    cr_expect(eq(u16, heard[0].last_kind, KIND_STATUS_OK));
    cr_expect(eq(u64, heard[0].last_rid, first));
    cr_expect(eq(uint, heard[1].reply_count, 1));
    cr_expect(eq(u16, heard[1].last_kind, KIND_PEERS_OK));
}

Test(broker_client, a_search_is_over_with_its_last_reply_and_not_before)
{
    uint64_t rid = ask(0, KIND_SEARCH);
    run_until_asked(1);
    reply(rid, KIND_FOUND);
    reply(rid, KIND_FOUND);
    reply(rid, KIND_SEARCH_DONE);
    reply(rid, KIND_FOUND);
    run_until_all_heard();
    cr_expect(eq(uint, heard[0].reply_count, 3));
    cr_expect(eq(u16, heard[0].last_kind, KIND_SEARCH_DONE));
}

Test(broker_client, a_reply_of_another_kind_ends_a_request_that_is_no_search)
{
    uint64_t rid = ask(0, KIND_PEERS);
    run_until_asked(1);
    reply(rid, KIND_FOUND);
    reply(rid, KIND_FOUND); /* whoever asked may be gone by now */
    run_until_all_heard();
    cr_expect(eq(uint, heard[0].reply_count, 1));
}

Test(broker_client, an_error_ends_a_request)
{
    uint64_t rid = ask(0, KIND_SEARCH);
    run_until_asked(1);
    struct message error = message_error(rid, ERROR_LIMIT, "too many", 500);
    broker_reply(&error);
    reply(rid, KIND_SEARCH_DONE);
    run_until_all_heard();
    cr_expect(eq(uint, heard[0].reply_count, 1));
    cr_expect(eq(u16, heard[0].last_kind, KIND_ERROR));
}

Test(broker_client, who_has_gone_hears_nothing_any_more)
{
    uint64_t gone = ask(0, KIND_SEARCH), stays = ask(1, KIND_SEARCH);
    run_until_asked(2);
    broker_client_forget(client, gone);
    broker_client_forget(client, gone);
    broker_client_forget(client, 0);
    reply(gone, KIND_SEARCH_DONE);
    reply(stays, KIND_SEARCH_DONE);
    run_until_all_heard();
    cr_expect(eq(uint, heard[0].reply_count, 0));
    cr_expect(eq(uint, heard[1].reply_count, 1));
}

Test(broker_client, a_reply_that_nobody_asked_for_is_dropped)
{
    reply(12345, KIND_STATUS_OK);
    reply(0, KIND_STATUS_OK);
    run_until_all_heard();
    cr_expect(eq(uint, heard[0].reply_count + heard[1].reply_count, 0));
}

Test(broker_client, when_too_many_are_under_way_one_more_is_refused_until_one_ends)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < BROKER_ASKED_MAX; i++) {
        last = ask(0, KIND_STATUS);
        cr_assert(ne(u64, last, 0));
    }
    cr_expect(eq(u64, ask(0, KIND_STATUS), 0));
    broker_client_forget(client, last);
    cr_expect(ne(u64, ask(0, KIND_STATUS), 0));
}
