/* SPDX-License-Identifier: MIT */
#include "broker/effects.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void effects_init(struct effects *self)
{
    *self = (struct effects){0};
    msgpack_sbuffer_init(&self->bytes);
}

void effects_release(struct effects *self)
{
    free(self->entries);
    msgpack_sbuffer_destroy(&self->bytes);
    *self = (struct effects){0};
}

void effects_clear(struct effects *self)
{
    self->count = 0;
    msgpack_sbuffer_clear(&self->bytes);
}

bool effects_is_full(const struct effects *self)
{
    return self->bytes.size >= EFFECTS_BYTES_MAX;
}

const uint8_t *effects_bytes(const struct effects *self, const struct effect *effect)
{
    return (const uint8_t *)self->bytes.data + effect->offset;
}

static void add(struct effects *self, struct effect effect)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 64;
        self->entries = realloc(self->entries, self->capacity * sizeof *self->entries);
        assert(self->entries);
    }
    self->entries[self->count++] = effect;
}

void effects_write(struct effects *self, const struct message *m)
{
    self->last_offset = self->bytes.size;
    message_write(m, &self->bytes);
    self->last_size = self->bytes.size - self->last_offset;
}

void effects_send_written(struct effects *self, uint32_t route, uint64_t search_rid)
{
    add(self, (struct effect){.kind = EFFECT_SEND,
                              .route = route,
                              .offset = self->last_offset,
                              .size = self->last_size,
                              .search_rid = search_rid});
}

void effects_send(struct effects *self, uint32_t route, uint64_t search_rid, const struct message *m)
{
    effects_write(self, m);
    effects_send_written(self, route, search_rid);
}

void effects_send_error(struct effects *self, uint32_t route, uint64_t rid, enum error_code code,
                        const char *text, uint32_t retry_ms)
{
    struct message m = message_error(rid, code, text, retry_ms);
    effects_send(self, route, 0, &m);
}

void effects_note(struct effects *self, const char *format, ...)
{
    char line[EFFECTS_NOTE_SIZE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    size_t size = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    size_t offset = self->bytes.size;
    int failed = msgpack_sbuffer_write(&self->bytes, line, size);
    assert(!failed);
    add(self, (struct effect){.kind = EFFECT_NOTE, .offset = offset, .size = size});
}
