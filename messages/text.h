/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_TEXT_H
#define MESSAGES_TEXT_H

/*
 * Borrowed runs of bytes. Neither is NUL-terminated: what comes from the network points into the
 * received frame and is valid only as long as that frame.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    const char *bytes;
    size_t size;
};

struct blob {
    const uint8_t *bytes;
    size_t size;
};

struct text text_of(const char *string);
bool text_equal(struct text a, struct text b);

/* Byte order, the shorter first when one is a prefix of the other. */
int text_compare(struct text a, struct text b);
bool text_has_prefix(struct text whole, struct text prefix);

/* A malloc'd copy with a NUL at the end; the caller frees it. */
char *text_copy(struct text t);

/* Valid UTF-8 (no surrogates, no overlong forms) without control characters (Cc: C0, DEL, C1). */
bool text_is_clean(struct text t);

/*
 * A copy of any bytes that is safe on a terminal and in a log: what is in Cc, Cf, Zl, Zp or
 * not UTF-8 becomes `\xNN` (a byte) or `\u{N}` (a code point), a backslash stays. NUL-terminated, malloc'd.
 */
char *text_escape(struct text t);

#endif
