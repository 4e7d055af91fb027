/* SPDX-License-Identifier: MIT */
#include "node/download/push_turns.h"

#include "messages/table.h"

#include <assert.h>
#include <stdlib.h>

/* In a rank, above the number of every turn. */
#define MUTE (UINT64_C(1) << 63)

struct turn {
    struct host block;
    uint64_t number;        /* of its last one; 0 when it had none */
    uint64_t mute_until_ms; /* 0: it is not */
    UT_hash_handle hh;
};

struct push_turns {
    struct turn *turns;
    uint64_t last_number;
};

struct push_turns *push_turns_new(void)
{
    struct push_turns *self = calloc(1, sizeof *self);
    assert(self);
    return self;
}

static void forget(struct push_turns *self, struct turn *turn)
{
    HASH_DEL(self->turns, turn);
    free(turn);
}

void push_turns_destroy(struct push_turns **self_p)
{
    struct push_turns *self = *self_p;
    if (!self)
        return;
    while (self->turns)
        forget(self, self->turns);
    free(self);
    *self_p = NULL;
}

/* NULL when it is not known. */
static struct turn *find(const struct push_turns *self, const struct host *address)
{
    struct host block = host_block(address);
    struct turn *turn;
    HASH_FIND(hh, self->turns, &block, sizeof block, turn);
    return turn;
}

static void make_room(struct push_turns *self)
{
    struct turn *oldest = self->turns;
    if (HASH_COUNT(self->turns) < PUSH_TURNS_MAX)
        return;
    for (struct turn *turn = self->turns; turn; turn = turn->hh.next) {
        if (turn->number < oldest->number)
            oldest = turn;
    }
    forget(self, oldest);
}

static struct turn *turn_of(struct push_turns *self, const struct host *address)
{
    struct turn *turn = find(self, address);
    if (turn)
        return turn;
    make_room(self);
    turn = calloc(1, sizeof *turn);
    assert(turn);
    turn->block = host_block(address);
    HASH_ADD(hh, self->turns, block, sizeof turn->block, turn);
    return turn;
}

void push_turns_take(struct push_turns *self, const struct host *address)
{
    turn_of(self, address)->number = ++self->last_number;
}

void push_turns_silent(struct push_turns *self, const struct host *address, uint64_t now_ms)
{
    turn_of(self, address)->mute_until_ms = now_ms + PUSH_MUTE_MS;
}

void push_turns_delivered(struct push_turns *self, const struct host *address)
{
    struct turn *turn = find(self, address);
    if (turn)
        turn->mute_until_ms = 0;
}

bool push_turns_is_mute(const struct push_turns *self, const struct host *address, uint64_t now_ms)
{
    const struct turn *turn = find(self, address);
    return turn && now_ms < turn->mute_until_ms;
}

uint64_t push_turns_rank(const struct push_turns *self, const struct host *address, uint64_t now_ms)
{
    const struct turn *turn = find(self, address);
    if (!turn)
        return 0;
    return now_ms < turn->mute_until_ms ? MUTE | turn->number : turn->number;
}
