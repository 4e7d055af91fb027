/* SPDX-License-Identifier: MIT */
/* What could go wrong: bytes that move while the list grows, a note without an end, a list that never is
 * full. */
#include "broker/effects.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

Test(effects, bytes_stay_where_they_belong_while_the_list_grows)
{
    struct effects effects;
    effects_init(&effects);
    for (uint32_t i = 0; i < 1000; i++)
        effects_send_error(&effects, i, i, ERROR_LIMIT, "wait", i);
    cr_assert(eq(sz, effects.count, 1000));
    struct envelope envelope;
    struct message m;
    const struct effect *effect = &effects.entries[700];
    cr_assert(eq(int,
                 envelope_open(&envelope, effects_bytes(&effects, effect), effect->size, RECEIVER_MEMBER, 1),
                 ENVELOPE_OK));
    cr_assert(message_read(&envelope, &m));
    cr_expect(eq(u32, effect->route, 700));
    cr_expect(eq(u32, m.error.retry_ms, 700));
    cr_expect(eq(u64, m.rid, 700));
    envelope_close(&envelope);
    effects_clear(&effects);
    cr_expect(eq(sz, effects.count, 0));
    cr_expect(eq(sz, effects.bytes.size, 0));
    effects_release(&effects);
}

Test(effects, a_long_note_is_cut)
{
    struct effects effects;
    effects_init(&effects);
    char name[1000];
    memset(name, 'x', sizeof name);
    effects_note(&effects, "%.*s", (int)sizeof name, name);
    effects_note(&effects, "%s", "short");
    cr_expect(eq(int, effects.entries[0].kind, EFFECT_NOTE));
    cr_expect(eq(sz, effects.entries[0].size, EFFECTS_NOTE_SIZE_MAX - 1));
    cr_expect(eq(int, memcmp(effects_bytes(&effects, &effects.entries[1]), "short", 5), 0));
    effects_release(&effects);
}

Test(effects, the_list_is_full_at_its_limit)
{
    struct effects effects;
    effects_init(&effects);
    char name[200];
    memset(name, 'x', sizeof name);
    size_t count = 0;
    for (; !effects_is_full(&effects); count++)
        effects_note(&effects, "%.*s", (int)sizeof name, name);
    cr_expect(eq(sz, count, EFFECTS_BYTES_MAX / sizeof name + 1));
    effects_release(&effects);
}
