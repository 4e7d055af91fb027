/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_MATCH_H
#define MESSAGES_MATCH_H

/* Whether a file answers a search: the four modes of docs/protocol.md, "Modes". */

#include "messages/id.h"
#include "messages/text.h"

/* A compiled search text; heap object, immutable. */
struct matcher;

/* What is matched. Fold a name once and keep it: folding costs far more than matching. */
struct match_subject {
    struct text name;          /* the whole name, as shared */
    struct text folded;        /* fold(name) */
    size_t folded_base_offset; /* where fold(base name) begins in `folded` */
    const struct file_id *id;  /* NULL when it is not known yet */
    uint64_t size;
};

/* False for an unknown mode or, in id mode, a text that is not 8..64 hex digits. */
bool match_text_is_valid(uint8_t mode, struct text text);

/* mode with or without MODE_ASK_ALL. NULL when match_text_is_valid() is false; `text` is clean UTF-8. */
struct matcher *matcher_new(uint8_t mode, struct text text, uint64_t min_size, uint64_t max_size);
void matcher_destroy(struct matcher **self_p);
bool matcher_matches(const struct matcher *self, const struct match_subject *subject);

/* True when nothing but the file's id decides, so that a file without one may or may not match. */
bool matcher_needs_id(const struct matcher *self);

/* The next word of folded text from *cursor on, which starts at 0. False when there is none left. */
bool match_next_word(struct text folded, size_t *cursor, struct text *ret_word);

/* fold(name), malloc'd, with the offset of the folded base name. The base is taken before folding. */
char *match_fold_name(struct text name, size_t *ret_size, size_t *ret_base_offset);

#endif
