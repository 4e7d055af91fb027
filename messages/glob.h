/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_GLOB_H
#define MESSAGES_GLOB_H

/*
 * Globs over folded text: `*`, `?` (one code point) and `[...]` with ranges and `!` or `^` for
 * negation; `]` right after the opening is one of the set, a bracket that is not closed is literal,
 * and nothing escapes. In a glob with a `/` none of the three matches a `/`.
 *
 * Matching never tries more than the latest `*` again, which is enough: at most pattern times text steps.
 */

#include "messages/text.h"

/* A parsed glob; heap object, immutable. */
struct glob;

/* `pattern` is folded, valid UTF-8. */
struct glob *glob_new(struct text pattern);
void glob_destroy(struct glob **self_p);

bool glob_has_slash(const struct glob *self);
bool glob_matches(const struct glob *self, struct text folded);

/*
 * The next run of literal code points that every match contains, from *cursor on, which starts at 0.
 * False when there is none left. The run is a view, valid as long as the glob.
 */
bool glob_next_literal(const struct glob *self, size_t *cursor, struct text *ret_run);

#endif
