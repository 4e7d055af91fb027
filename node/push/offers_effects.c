/* SPDX-License-Identifier: MIT */
#include "node/push/offers_effects.h"

#include <assert.h>
#include <stdlib.h>

void offers_effects_init(struct offers_effects *self)
{
    *self = (struct offers_effects){0};
    msgpack_sbuffer_init(&self->arena);
}

void offers_effects_clear(struct offers_effects *self)
{
    self->count = 0;
    msgpack_sbuffer_clear(&self->arena);
}

void offers_effects_release(struct offers_effects *self)
{
    free(self->entries);
    msgpack_sbuffer_destroy(&self->arena);
    *self = (struct offers_effects){0};
}

struct offers_effect *offers_effects_add(struct offers_effects *self, enum offers_effect_kind kind,
                                         uint32_t route)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 16;
        self->entries = realloc(self->entries, self->capacity * sizeof *self->entries);
        assert(self->entries);
    }
    struct offers_effect *effect = &self->entries[self->count++];
    *effect = (struct offers_effect){.kind = kind, .route = route};
    return effect;
}

void offers_effects_send(struct offers_effects *self, uint32_t route, const struct message *message)
{
    struct offers_effect *effect = offers_effects_add(self, OFFERS_SEND, route);
    effect->bytes_offset = self->arena.size;
    message_write(message, &self->arena);
    effect->bytes_size = self->arena.size - effect->bytes_offset;
}
