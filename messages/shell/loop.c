/* SPDX-License-Identifier: MIT */
#include "messages/shell/loop.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define LOOP_TICKERS_MAX 64 /* a handful of parts have deadlines, two each download */

struct item {
    void (*ready)(void *owner); /* NULL once removed */
    void *owner;
};

struct ticker {
    uint64_t (*tick)(void *owner, uint64_t now_ms);
    void *owner;
};

struct caught_signal {
    int number;
    void (*caught)(void *owner, int number); /* NULL once given back */
    void *owner;
};

struct loop {
    zmq_pollitem_t polls[LOOP_ITEMS_MAX];
    struct item items[LOOP_ITEMS_MAX];
    size_t item_count;
    struct ticker tickers[LOOP_TICKERS_MAX];
    size_t ticker_count;
    struct caught_signal signals[LOOP_SIGNALS_MAX];
    size_t signal_count;
    int signal_fd;
    int signal;
    bool is_stopping;
};

static void on_signal(void *owner)
{
    struct loop *self = owner;
    struct signalfd_siginfo info;
    if (read(self->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    for (size_t i = 0; i < self->signal_count; i++) {
        const struct caught_signal *signal = &self->signals[i];
        if (signal->number == (int)info.ssi_signo && signal->caught) {
            signal->caught(signal->owner, signal->number);
            return;
        }
    }
    self->signal = (int)info.ssi_signo;
    self->is_stopping = true;
}

sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

/* For the signalfd to get them. */
static sigset_t block_signals(void)
{
    sigset_t set = stop_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    return set;
}

struct loop *loop_new(void)
{
    struct loop *self = calloc(1, sizeof *self);
    assert(self);
    sigset_t set = block_signals();
    self->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->signal_fd < 0) {
        free(self);
        return NULL;
    }
    loop_add_fd(self, self->signal_fd, on_signal, self);
    return self;
}

void loop_destroy(struct loop **self_p)
{
    struct loop *self = *self_p;
    if (!self)
        return;
    close(self->signal_fd);
    free(self);
    *self_p = NULL;
}

static bool add(struct loop *self, zmq_pollitem_t poll, void (*ready)(void *owner), void *owner)
{
    if (self->item_count == LOOP_ITEMS_MAX)
        return false;
    self->polls[self->item_count] = poll;
    self->items[self->item_count++] = (struct item){ready, owner};
    return true;
}

bool loop_add_socket(struct loop *self, void *socket, void (*ready)(void *owner), void *owner)
{
    return add(self, (zmq_pollitem_t){.socket = socket, .events = ZMQ_POLLIN}, ready, owner);
}

bool loop_add_fd(struct loop *self, int fd, void (*ready)(void *owner), void *owner)
{
    return add(self, (zmq_pollitem_t){.fd = fd, .events = ZMQ_POLLIN}, ready, owner);
}

/* Slots are only marked here: a callback may remove any of them while the round is under way. */
void loop_remove_socket(struct loop *self, void *socket)
{
    for (size_t i = 0; i < self->item_count; i++) {
        if (self->polls[i].socket == socket)
            self->items[i].ready = NULL;
    }
}

void loop_remove_fd(struct loop *self, int fd)
{
    for (size_t i = 0; i < self->item_count; i++) {
        if (!self->polls[i].socket && self->polls[i].fd == fd)
            self->items[i].ready = NULL;
    }
}

static void drop_removed(struct loop *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->item_count; i++) {
        if (!self->items[i].ready)
            continue;
        self->polls[kept] = self->polls[i];
        self->items[kept++] = self->items[i];
    }
    self->item_count = kept;
}

bool loop_add_ticker(struct loop *self, uint64_t (*tick)(void *owner, uint64_t now_ms), void *owner)
{
    if (self->ticker_count == LOOP_TICKERS_MAX)
        return false;
    self->tickers[self->ticker_count++] = (struct ticker){tick, owner};
    return true;
}

void loop_remove_ticker(struct loop *self, void *owner)
{
    for (size_t i = 0; i < self->ticker_count; i++) {
        if (self->tickers[i].owner == owner)
            self->tickers[i].tick = NULL;
    }
}

static uint64_t tick_all(struct loop *self)
{
    uint64_t deadline_ms = UINT64_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < self->ticker_count; i++) {
        struct ticker ticker = self->tickers[i];
        if (!ticker.tick)
            continue;
        uint64_t next_ms = ticker.tick(ticker.owner, clock_now_ms());
        if (next_ms < deadline_ms)
            deadline_ms = next_ms;
    }
    for (size_t i = 0; i < self->ticker_count; i++) {
        if (self->tickers[i].tick)
            self->tickers[kept++] = self->tickers[i];
    }
    self->ticker_count = kept;
    return deadline_ms;
}

void loop_catch_signal(struct loop *self, int number, void (*caught)(void *owner, int number), void *owner)
{
    size_t slot = 0;
    while (slot < self->signal_count && self->signals[slot].number != number)
        slot++;
    assert(slot < LOOP_SIGNALS_MAX);
    if (slot == self->signal_count)
        self->signal_count++;
    self->signals[slot] = (struct caught_signal){number, caught, owner};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    for (size_t i = 0; i < self->signal_count; i++) {
        if (self->signals[i].caught)
            sigaddset(&set, self->signals[i].number);
    }
    sigset_t change;
    sigemptyset(&change);
    sigaddset(&change, number);
    sigprocmask(sigismember(&set, number) ? SIG_BLOCK : SIG_UNBLOCK, &change, NULL);
    signalfd(self->signal_fd, &set, 0);
}

static long wait_ms(uint64_t deadline_ms)
{
    uint64_t now_ms = clock_now_ms();
    if (deadline_ms == UINT64_MAX)
        return -1;
    if (deadline_ms <= now_ms)
        return 0;
    uint64_t left_ms = deadline_ms - now_ms;
    return left_ms < 60000 ? (long)left_ms : 60000;
}

int loop_run(struct loop *self)
{
    self->is_stopping = false;
    self->signal = 0;
    block_signals(); /* an exchange before this run let them end the program */
    while (!self->is_stopping) {
        uint64_t deadline_ms = tick_all(self);
        if (self->is_stopping)
            break;
        drop_removed(self);
        size_t count = self->item_count;
        if (zmq_poll(self->polls, (int)count, wait_ms(deadline_ms)) < 0 && errno != EINTR)
            break; /* a socket was closed under us: a bug, but not worth a spin */
        for (size_t i = 0; i < count && !self->is_stopping; i++) {
            if (self->polls[i].revents && self->items[i].ready)
                self->items[i].ready(self->items[i].owner);
        }
    }
    return self->signal;
}

void loop_stop(struct loop *self)
{
    self->is_stopping = true;
}

uint64_t clock_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

unsigned processor_count(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

void random_bytes(void *ret_bytes, unsigned long size)
{
    uint8_t *bytes = ret_bytes;
    while (size > 0) {
        ssize_t got = getrandom(bytes, size, 0);
        if (got < 0)
            continue; /* EINTR; nothing else can happen to a valid buffer */
        bytes += got;
        size -= (unsigned long)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;
    random_bytes(&value, sizeof value);
    return value;
}
