/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_FOLD_H
#define MESSAGES_FOLD_H

/*
 * Folding: Unicode NFKD, then full case folding, then every code point of category Mn dropped.
 * Code points that utf8proc does not know stay. So "acao" finds "Ação".
 */

#include "messages/text.h"

/* malloc'd and NUL-terminated, its size in *ret_size. `t` must be clean UTF-8 (text_is_clean). */
char *fold(struct text t, size_t *ret_size);

#endif
