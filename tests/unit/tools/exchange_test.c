/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: where nobody listens, a program waits for longer than it was told to, because it still
 * hopes for an answer.
 */
#include "tools/exchange.h"

#include "messages/shell/loop.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

TestSuite(exchange, .timeout = 60);

Test(exchange, a_connection_is_waited_for_as_long_as_was_said_whatever_answers_may_take)
{
    process_start(1);
    static const struct host loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct exchange *exchange = exchange_new(SOCKET_BROKER_CLIENT, &loopback, 1); /* nobody listens there */
    cr_assert(ne(ptr, exchange, NULL));
    exchange_connect_within(exchange, 100);
    struct message message;
    uint64_t patience_ms = EXCHANGE_CONNECT_MS_MAX / 2;
    cr_expect(eq(int, exchange_wait(exchange, clock_now_ms() + patience_ms, &message), EXCHANGE_UNREACHABLE));
    cr_expect(not(exchange_was_connected(exchange)));
    exchange_destroy(&exchange);
    process_finish();
}
