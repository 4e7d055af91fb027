/* SPDX-License-Identifier: MIT */
/*
 * A search text against a name: the filter of a share with that one file must never rule out a match.
 * The input is a mode byte, the size of the text, the text, and the name.
 */
#include "messages/match.h"
#include "messages/name.h"
#include "messages/presence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(uint8_t mode, struct text text, struct text name)
{
    struct matcher *matcher = matcher_new(mode, text, 0, 0);
    if (!matcher)
        return;
    struct file_id id = {{0x01, 0x23, 0x45, 0x67, 0x89}};
    struct match_subject subject = {.name = name, .id = &id, .size = 1};
    char *folded = match_fold_name(name, &subject.folded.size, &subject.folded_base_offset);
    subject.folded.bytes = folded;
    assert(text_is_clean(subject.folded));
    if (matcher_matches(matcher, &subject)) {
        struct presence *presence = presence_new();
        presence_add(presence, name, &id);
        struct presence_view view = presence_view(presence);
        assert(presence_may_match(&view, mode, text));
        presence_destroy(&presence);
    }
    free(folded);
    matcher_destroy(&matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t text_size = data[1] < size - 2 ? data[1] : size - 2;
    struct text text = {(const char *)data + 2, text_size};
    struct text name = {(const char *)data + 2 + text_size, size - 2 - text_size};
    if (text_is_clean(text) && name_is_valid(name))
        check(data[0], text, name);
    free(text_escape(name));
    return 0;
}
