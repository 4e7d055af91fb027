/* SPDX-License-Identifier: MIT */
#include "node/serve/peer_effects.h"

#include <assert.h>
#include <stdlib.h>

void peer_effects_init(struct peer_effects *self)
{
    *self = (struct peer_effects){0};
    msgpack_sbuffer_init(&self->bytes);
}

void peer_effects_clear(struct peer_effects *self)
{
    self->count = 0;
    msgpack_sbuffer_clear(&self->bytes);
}

void peer_effects_release(struct peer_effects *self)
{
    free(self->items);
    msgpack_sbuffer_destroy(&self->bytes);
    *self = (struct peer_effects){0};
}

const uint8_t *peer_effect_header(const struct peer_effects *self, const struct peer_effect *effect)
{
    return (const uint8_t *)self->bytes.data + effect->header_offset;
}

struct peer_effect *peer_effects_add(struct peer_effects *self, enum peer_effect_kind kind, uint32_t route,
                                     uint64_t ticket)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 16;
        self->items = realloc(self->items, self->capacity * sizeof self->items[0]);
        assert(self->items);
    }
    struct peer_effect *effect = &self->items[self->count++];
    *effect = (struct peer_effect){.kind = kind, .route = route, .ticket = ticket};
    return effect;
}

struct peer_effect *peer_effects_send(struct peer_effects *self, enum peer_effect_kind kind, uint32_t route,
                                      uint64_t ticket, const struct message *message)
{
    struct peer_effect *effect = peer_effects_add(self, kind, route, ticket);
    effect->header_offset = self->bytes.size;
    message_write(message, &self->bytes);
    effect->header_size = self->bytes.size - effect->header_offset;
    return effect;
}
