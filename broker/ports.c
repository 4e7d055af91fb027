/* SPDX-License-Identifier: MIT */
#include "broker/ports.h"
#include "messages/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct place {
    struct host host;
    uint32_t port;
};

/* A port that is not free at an address. */
struct claim {
    struct place place;
    uint32_t held_count; /* joined nodes; two can share one behind an address translator */
    bool is_reserved;
    uint64_t reserved_until_ms;
    struct claim *prev, *next; /* among the reserved, first to end first */
    UT_hash_handle hh;
};

struct ports {
    uint32_t begin, end;
    uint32_t next; /* goes round, so that a port that could not be bound is not offered again at once */
    struct claim *claims;
    struct claim *reserved;
    size_t reserved_count;
};

struct ports *ports_new(uint32_t begin, uint32_t end)
{
    assert(begin <= end);
    assert(end <= 65536);
    struct ports *self = calloc(1, sizeof *self);
    assert(self);
    self->begin = begin;
    self->end = end;
    self->next = begin;
    return self;
}

void ports_destroy(struct ports **self_p)
{
    assert(self_p);
    struct ports *self = *self_p;
    if (!self)
        return;
    struct claim *claim, *following;
    HASH_ITER(hh, self->claims, claim, following)
    {
        HASH_DEL(self->claims, claim);
        free(claim);
    }
    free(self);
    *self_p = NULL;
}

static struct place place_of(const struct host *host, uint32_t port)
{
    struct place place;
    memset(&place, 0, sizeof place);
    place.host = *host;
    place.port = port;
    return place;
}

static struct claim *find(const struct ports *self, const struct place *place)
{
    struct claim *claim;
    HASH_FIND(hh, self->claims, place, sizeof *place, claim);
    return claim;
}

static struct claim *find_or_add(struct ports *self, const struct place *place)
{
    struct claim *claim = find(self, place);
    if (!claim) {
        claim = calloc(1, sizeof *claim);
        assert(claim);
        claim->place = *place;
        HASH_ADD(hh, self->claims, place, sizeof *place, claim);
    }
    return claim;
}

static void drop_if_free(struct ports *self, struct claim *claim)
{
    if (claim->held_count > 0 || claim->is_reserved)
        return;
    HASH_DEL(self->claims, claim);
    free(claim);
}

static void end_reservations(struct ports *self, uint64_t now_ms)
{
    while (self->reserved && self->reserved->reserved_until_ms <= now_ms) {
        struct claim *claim = self->reserved;
        DL_DELETE(self->reserved, claim);
        self->reserved_count--;
        claim->is_reserved = false;
        drop_if_free(self, claim);
    }
}

enum ports_result ports_assign(struct ports *self, const struct host *host, uint64_t now_ms,
                               uint16_t *ret_port)
{
    uint32_t count = self->end - self->begin;
    if (count == 0)
        return PORTS_DENIED;
    end_reservations(self, now_ms);
    if (self->reserved_count >= PORTS_RESERVED_MAX)
        return PORTS_BUSY;
    for (uint32_t tried = 0; tried < count; tried++) {
        uint32_t port = self->next;
        self->next = port + 1 < self->end ? port + 1 : self->begin;
        struct place place = place_of(host, port);
        if (find(self, &place))
            continue;
        struct claim *claim = find_or_add(self, &place);
        claim->is_reserved = true;
        claim->reserved_until_ms = now_ms + PORTS_RESERVED_MS;
        DL_APPEND(self->reserved, claim);
        self->reserved_count++;
        *ret_port = (uint16_t)port;
        return PORTS_ASSIGNED;
    }
    return PORTS_BUSY;
}

uint32_t ports_retry_ms(const struct ports *self, uint64_t now_ms)
{
    if (!self->reserved)
        return PORTS_RESERVED_MS;
    uint64_t until_ms = self->reserved->reserved_until_ms;
    return until_ms > now_ms ? (uint32_t)(until_ms - now_ms) : 1;
}

void ports_hold(struct ports *self, const struct host *host, uint16_t port)
{
    if (port < self->begin || port >= self->end)
        return;
    struct place place = place_of(host, port);
    find_or_add(self, &place)->held_count++;
}

void ports_let_go(struct ports *self, const struct host *host, uint16_t port)
{
    if (port < self->begin || port >= self->end)
        return;
    struct place place = place_of(host, port);
    struct claim *claim = find(self, &place);
    assert(claim);
    assert(claim->held_count > 0);
    claim->held_count--;
    drop_if_free(self, claim);
}
