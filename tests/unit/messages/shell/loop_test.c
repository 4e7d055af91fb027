/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a callback removes another part, or itself, in the middle of a round and the loop
 * calls what is gone; a deadline is missed or spins; a signal kills the process or is lost; the tables
 * overflow.
 */
#include "messages/shell/loop.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

static struct loop *loop;

static void open_loop(void)
{
    loop = loop_new();
    cr_assert(loop != NULL);
}

static void close_loop(void)
{
    loop_destroy(&loop);
    cr_expect(loop == NULL);
}

TestSuite(loop, .init = open_loop, .fini = close_loop, .timeout = 60);

/* A descriptor that stays readable, and how often it was called. */
struct part {
    int fd;
    unsigned call_count;
    unsigned stop_after; /* calls; 0 for never */
    struct part *removes;
};

static struct part part_new(void)
{
    struct part part = {.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
    cr_assert(ge(int, part.fd, 0));
    return part;
}

static void on_ready(void *owner)
{
    struct part *self = owner;
    self->call_count++;
    if (self->removes)
        loop_remove_fd(loop, self->removes->fd);
    if (self->call_count == self->stop_after)
        loop_stop(loop);
}

static void add(struct part *part)
{
    cr_assert(loop_add_fd(loop, part->fd, on_ready, part));
}

Test(loop, every_ready_part_is_called_in_each_round)
{
    struct part first = part_new(), second = part_new(), last = part_new();
    last.stop_after = 3;
    add(&first);
    add(&second);
    add(&last);
    cr_expect(eq(int, loop_run(loop), 0));
    cr_expect(eq(uint, first.call_count, 3));
    cr_expect(eq(uint, second.call_count, 3));
}

Test(loop, a_part_that_was_removed_in_the_round_is_not_called_any_more)
{
    struct part remover = part_new(), victim = part_new(), last = part_new();
    remover.removes = &victim;
    last.stop_after = 3;
    add(&remover);
    add(&victim);
    add(&last);
    loop_run(loop);
    cr_expect(eq(uint, remover.call_count, 3));
    cr_expect(eq(uint, victim.call_count, 0));
}

Test(loop, a_part_may_remove_itself_and_close_what_it_watched)
{
    struct part once = part_new(), last = part_new();
    once.removes = &once;
    last.stop_after = 3;
    add(&once);
    add(&last);
    loop_run(loop);
    cr_expect(eq(uint, once.call_count, 1));
    close(once.fd);
}

static void replace_itself(void *owner)
{
    struct part *self = owner;
    loop_remove_fd(loop, self->fd);
    add(self);
}

Test(loop, a_part_that_is_removed_and_added_again_in_one_round_stays)
{
    struct part part = part_new();
    part.stop_after = 2;
    cr_assert(loop_add_fd(loop, part.fd, replace_itself, &part));
    loop_run(loop);
    cr_expect(eq(uint, part.call_count, 2));
}

static void stop(void *owner)
{
    (void)owner;
    loop_stop(loop);
}

Test(loop, a_socket_with_a_message_is_ready)
{
    void *context = zmq_ctx_new();
    void *sender = zmq_socket(context, ZMQ_PAIR), *receiver = zmq_socket(context, ZMQ_PAIR);
    zmq_bind(receiver, "inproc://loop");
    zmq_connect(sender, "inproc://loop");
    cr_assert(loop_add_socket(loop, receiver, stop, NULL));
    zmq_send(sender, "x", 1, 0);
    cr_expect(eq(int, loop_run(loop), 0));
    loop_remove_socket(loop, receiver);
    zmq_close(sender);
    zmq_close(receiver);
    zmq_ctx_term(context);
}

Test(loop, a_full_loop_refuses_and_takes_again_what_became_free)
{
    struct part part = part_new();
    unsigned count = 0;
    while (loop_add_fd(loop, part.fd, on_ready, &part))
        count++;
    cr_expect(eq(uint, count, LOOP_ITEMS_MAX - 1), "one is the loop's own, for signals");
    loop_remove_fd(loop, part.fd);
    struct part last = part_new();
    cr_expect(not(loop_add_fd(loop, last.fd, on_ready, &last)), "places are free after the round");
    raise(SIGTERM);
    loop_run(loop);
    cr_expect(loop_add_fd(loop, last.fd, on_ready, &last));
}

/* Tickers. */

struct ticker {
    unsigned call_count;
    unsigned stop_after;
    uint64_t deadline_ms;
    uint64_t late_calls; /* at or after the deadline */
    struct ticker *removes;
};

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct ticker *self = owner;
    self->call_count++;
    self->late_calls += now_ms >= self->deadline_ms;
    if (self->removes)
        loop_remove_ticker(loop, self->removes);
    if (self->call_count == self->stop_after || now_ms >= self->deadline_ms)
        loop_stop(loop);
    return self->deadline_ms;
}

Test(loop, a_deadline_ends_the_wait_and_not_before)
{
    struct ticker ticker = {.deadline_ms = clock_now_ms() + 20};
    cr_assert(loop_add_ticker(loop, tick, &ticker));
    loop_run(loop);
    cr_expect(eq(u64, ticker.late_calls, 1));
    /* Once at the start and once at the deadline; a wait may end a millisecond early. */
    cr_expect(le(uint, ticker.call_count, 4), "called %u times", ticker.call_count);
}

Test(loop, the_earliest_deadline_counts)
{
    struct ticker later = {.deadline_ms = clock_now_ms() + 3600 * 1000}, none = {.deadline_ms = UINT64_MAX};
    struct ticker sooner = {.deadline_ms = clock_now_ms() + 20};
    cr_assert(loop_add_ticker(loop, tick, &later));
    cr_assert(loop_add_ticker(loop, tick, &sooner));
    cr_assert(loop_add_ticker(loop, tick, &none));
    loop_run(loop);
    cr_expect(eq(u64, sooner.late_calls, 1));
}

Test(loop, tickers_run_after_each_round_of_events)
{
    struct part part = part_new();
    part.stop_after = 5;
    struct ticker ticker = {.deadline_ms = UINT64_MAX};
    add(&part);
    cr_assert(loop_add_ticker(loop, tick, &ticker));
    loop_run(loop);
    cr_expect(eq(uint, ticker.call_count, 5));
}

Test(loop, a_ticker_that_stops_the_loop_is_the_last_thing_that_happens)
{
    struct part part = part_new();
    struct ticker ticker = {.deadline_ms = UINT64_MAX, .stop_after = 1};
    add(&part);
    cr_assert(loop_add_ticker(loop, tick, &ticker));
    cr_expect(eq(int, loop_run(loop), 0));
    cr_expect(eq(uint, part.call_count, 0));
}

Test(loop, a_ticker_may_remove_another_or_itself)
{
    struct ticker victim = {.deadline_ms = UINT64_MAX}, itself = {.deadline_ms = UINT64_MAX};
    struct ticker remover = {.deadline_ms = UINT64_MAX, .stop_after = 3, .removes = &victim};
    itself.removes = &itself;
    struct part part = part_new();
    add(&part); /* so that there are rounds */
    cr_assert(loop_add_ticker(loop, tick, &remover));
    cr_assert(loop_add_ticker(loop, tick, &victim));
    cr_assert(loop_add_ticker(loop, tick, &itself));
    loop_run(loop);
    cr_expect(eq(uint, remover.call_count, 3));
    cr_expect(eq(uint, victim.call_count, 0));
    cr_expect(eq(uint, itself.call_count, 1));
}

Test(loop, a_full_table_of_tickers_refuses)
{
    struct ticker ticker = {.deadline_ms = UINT64_MAX, .stop_after = 1};
    unsigned count = 0;
    while (count < 1000 && loop_add_ticker(loop, tick, &ticker))
        count++;
    cr_expect(lt(uint, count, 1000));
    cr_expect(gt(uint, count, 8));
    loop_remove_ticker(loop, &ticker);
    struct ticker last = {.deadline_ms = UINT64_MAX, .stop_after = 1};
    raise(SIGTERM);
    loop_run(loop);
    cr_expect(loop_add_ticker(loop, tick, &last));
    loop_run(loop);
    cr_expect(eq(uint, last.call_count, 1));
    cr_expect(eq(uint, ticker.call_count, 0));
}

/* Signals. */

Test(loop, a_signal_ends_the_run_and_is_told)
{
    const int signals[] = {SIGTERM, SIGINT};
    for (unsigned i = 0; i < 2; i++) {
        raise(signals[i]);
        cr_expect(eq(int, loop_run(loop), signals[i]));
    }
    raise(SIGTERM);
    cr_expect(eq(int, loop_run(loop), SIGTERM));
}

Test(loop, a_run_after_a_signal_starts_clean)
{
    raise(SIGTERM);
    cr_assert(eq(int, loop_run(loop), SIGTERM));
    struct part part = part_new();
    part.stop_after = 1;
    add(&part);
    cr_expect(eq(int, loop_run(loop), 0));
}

Test(loop, the_clock_does_not_go_back_and_random_numbers_differ)
{
    uint64_t first_ms = clock_now_ms();
    cr_expect(ge(u64, clock_now_ms(), first_ms));
    uint64_t first = random_u64(), second = random_u64();
    cr_expect(ne(u64, first, second));
    uint8_t bytes[64] = {0}, zeros[64] = {0};
    random_bytes(bytes, 32);
    cr_expect(ne(int, memcmp(bytes, zeros, 32), 0));
    cr_expect(eq(int, memcmp(bytes + 32, zeros, 32), 0), "nothing behind the given size is touched");
}

static unsigned caught_count;

static void on_caught(void *owner, int number)
{
    cr_expect(eq(ptr, owner, loop));
    cr_expect(eq(int, number, SIGINT));
    if (++caught_count == 1)
        raise(SIGINT);
    else
        loop_stop(loop);
}

Test(loop, a_signal_that_is_caught_does_not_end_the_run_until_it_is_given_back)
{
    loop_catch_signal(loop, SIGINT, on_caught, loop);
    raise(SIGINT);
    cr_expect(eq(int, loop_run(loop), 0));
    cr_expect(eq(uint, caught_count, 2));
    loop_catch_signal(loop, SIGINT, NULL, NULL);
    raise(SIGINT);
    cr_expect(eq(int, loop_run(loop), SIGINT));
}

Test(loop, signals_that_would_do_nothing_are_caught_too)
{
    loop_catch_signal(loop, SIGWINCH, on_caught, loop);
    loop_catch_signal(loop, SIGWINCH, NULL, NULL);
    raise(SIGWINCH);
    raise(SIGTERM);
    cr_expect(eq(int, loop_run(loop), SIGTERM));
    cr_expect(eq(uint, caught_count, 0));
}
