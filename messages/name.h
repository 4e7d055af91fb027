/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_NAME_H
#define MESSAGES_NAME_H

/* What a file may be called on the wire (docs/protocol.md, "FILE"). */

#include "messages/text.h"

#define NAME_SIZE_MAX 1024

/* What a folder entry may be called: NAME_MAX of Linux. */
#define NAME_ENTRY_SIZE_MAX 255

/*
 * True for 1..1024 bytes of clean UTF-8, `/` between components, none of which is empty, `.` or
 * `..`. Nothing else from the network may become part of a path.
 */
bool name_is_valid(struct text name);

/* The last component of a name; a view into it. */
struct text name_base(struct text name);

/*
 * The wire name of a file found on disk as `path` (any bytes, `/` between components): each bad byte
 * or control character becomes U+FFFD. malloc'd; NULL when the result is over NAME_SIZE_MAX bytes.
 */
char *name_clean(const char *path);

/* `name` with ` (number)` before the extension of its base name; malloc'd. "a/b.tar" -> "a/b (2).tar". */
char *name_numbered(const char *name, unsigned number);

/*
 * The same for a file on disk, in folders whose path takes another `above_size` bytes: the base name is cut
 * before its extension until a folder takes it and the whole name is valid. NULL when nothing would be left
 * of it.
 */
char *name_numbered_entry(const char *name, size_t above_size, unsigned number);

#endif
