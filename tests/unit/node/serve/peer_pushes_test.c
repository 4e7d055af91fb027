/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a stranger's reply is taken for one that was asked for, an OFFER passes where pushes
 * are off, a pusher that only waits is forgotten as idle, or its end is not told.
 */
#include "tests/unit/node/serve/peer_world.h"

static struct world pushing_world(void)
{
    struct world w = world_new(100);
    peer_server_destroy(&w.server);
    struct peer_server_config config = {.node_name = text_of("n"),
                                        .agent = text_of("test"),
                                        .features = FEATURE_ACCEPTS_PUSHES | FEATURE_REACHABLE};
    w.server = peer_server_new(&config, w.holdings);
    return w;
}

static struct message offer_of(const struct world *w)
{
    return (struct message){
        .kind = KIND_OFFER,
        .rid = 3,
        .offer = {.file = shared_file_entry(share_index_at(w->index, 0)), .chunk_log2 = 16}};
}

static struct message data_of(const struct world *w)
{
    return (struct message){.kind = KIND_DATA, .rid = 8, .data = {id_at(w, 0), 0, 100}};
}

static void expect(const struct world *w, enum peer_effect_kind kind)
{
    cr_assert(eq(sz, w->effects.count, 1));
    cr_assert(eq(int, w->effects.items[0].kind, kind));
    cr_assert(eq(u32, w->effects.items[0].route, 1));
}

static void deliver_data(struct world *w)
{
    struct message data = data_of(w);
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(&data, &bytes);
    peer_effects_clear(&w->effects);
    peer_server_on_message(w->server, 1, 1, (const uint8_t *)bytes.data, bytes.size, 2, w->now_ms,
                           &w->effects);
    msgpack_sbuffer_destroy(&bytes);
}

Test(peer_pushes, an_offer_is_the_owners_to_decide_when_pushes_are_on)
{
    struct world w = pushing_world();
    hello(&w, 1);
    struct message offer = offer_of(&w);
    deliver(&w, 1, &offer);
    expect(&w, PEER_PUSH);
    world_release(&w);
}

Test(peer_pushes, an_offer_before_hello_is_refused)
{
    struct world w = pushing_world();
    struct message offer = offer_of(&w);
    ASSERT_ERROR(ask(&w, 1, &offer), 3, ERROR_NOT_JOINED);
    world_release(&w);
}

Test(peer_pushes, an_offer_of_an_invalid_file_is_a_bad_message)
{
    static const char *const names[] = {"../x", "/etc/x", "a//b", "a/./b", "", "a\tb"};
    struct world w = pushing_world();
    hello(&w, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct message offer = offer_of(&w);
        char good[8];
        memset(good, 'x', sizeof good);
        size_t size = strlen(names[i]);
        offer.offer.file.name = (struct text){good, size ? size : 1};
        msgpack_sbuffer bytes;
        msgpack_sbuffer_init(&bytes);
        message_write(&offer, &bytes); /* which writes no bad name */
        char *at = memmem(bytes.data, bytes.size, good, size ? size : 1);
        cr_assert(at != NULL);
        if (size)
            memcpy(at, names[i], size);
        else
            *at = '.';
        peer_effects_clear(&w.effects);
        peer_server_on_message(w.server, 1, 1, (const uint8_t *)bytes.data, bytes.size, 1, w.now_ms,
                               &w.effects);
        cr_assert(eq(sz, w.effects.count, 1));
        ASSERT_ERROR(sent(&w, 0), 3, ERROR_BAD_MESSAGE);
        msgpack_sbuffer_destroy(&bytes);
    }
    world_release(&w);
}

Test(peer_pushes, replies_and_errors_count_only_from_who_made_an_offer)
{
    struct world w = pushing_world();
    hello(&w, 1);
    struct message error = message_error(8, ERROR_CHANGED, "x", 0), offer = offer_of(&w);
    deliver_data(&w);
    cr_assert(eq(sz, w.effects.count, 0));
    cr_assert(eq(u64, peer_server_figures(w.server).dropped_messages, 1));
    deliver(&w, 1, &error);
    cr_assert(eq(sz, w.effects.count, 0));
    deliver(&w, 1, &offer);
    deliver_data(&w);
    expect(&w, PEER_PUSH);
    deliver(&w, 1, &error);
    expect(&w, PEER_PUSH);
    peer_server_push_over(w.server, 1);
    deliver_data(&w);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(peer_pushes, close_is_handed_on)
{
    struct world w = pushing_world();
    hello(&w, 1);
    struct message offer = offer_of(&w), close = {.kind = KIND_CLOSE, .rid = 4, .close = {id_at(&w, 0)}};
    deliver(&w, 1, &close);
    cr_assert(eq(sz, w.effects.count, 0));
    deliver(&w, 1, &offer);
    deliver(&w, 1, &close);
    expect(&w, PEER_PUSH);
    world_release(&w);
}

Test(peer_pushes, bye_and_a_lost_route_tell_the_end_of_a_pusher_once)
{
    for (int is_lost = 0; is_lost <= 1; is_lost++) {
        struct world w = pushing_world();
        hello(&w, 1);
        struct message offer = offer_of(&w), bye = {.kind = KIND_BYE};
        deliver(&w, 1, &offer);
        peer_effects_clear(&w.effects);
        if (is_lost)
            peer_server_on_route_lost(w.server, 1, &w.effects);
        else
            deliver(&w, 1, &bye);
        expect(&w, PEER_PUSHER_GONE);
        peer_effects_clear(&w.effects);
        peer_server_on_route_lost(w.server, 1, &w.effects);
        cr_assert(eq(sz, w.effects.count, 0));
        world_release(&w);
    }
}

Test(peer_pushes, a_pusher_that_waits_makes_no_room_for_others)
{
    struct world w = pushing_world();
    hello(&w, 1);
    struct message offer = offer_of(&w);
    deliver(&w, 1, &offer);
    for (uint32_t route = 2; route <= PEER_SESSIONS_MAX; route++)
        hello(&w, route);
    w.now_ms += 2 * PEER_IDLE_MS;
    hello(&w, PEER_SESSIONS_MAX + 1); /* in the place of route 2 */
    deliver_data(&w);
    expect(&w, PEER_PUSH);
    world_release(&w);
}
