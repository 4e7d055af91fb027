/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHARE_MANIFEST_H
#define NODE_SHARE_MANIFEST_H

/*
 * A list of files and what they are called: one `NAME PATH` a line. Words are separated by blanks; quotes,
 * single or double, and backslashes keep blanks, as in a shell (in single quotes a backslash is itself). `#`
 * at the beginning of a word begins a comment. Paths are any bytes but NUL and are not looked at here.
 *
 * A bad line is complained of and left out; the others hold.
 */
#include "messages/text.h"

#include <stdbool.h>

/* Somebody writes this by hand or with a script; each is looked at with every change. A few seconds of disk.
 */
#define MANIFEST_ENTRIES_MAX 100000

/* What a path may have on Linux; longer ones could not be opened. */
#define MANIFEST_PATH_SIZE_MAX 4095

/* Complaints that are kept, a screen; the rest is counted. */
#define MANIFEST_COMPLAINTS_MAX 20

enum manifest_fault {
    MANIFEST_NO_PATH,
    MANIFEST_TOO_MANY_WORDS,
    MANIFEST_UNCLOSED, /* a quote, or nothing after a backslash */
    MANIFEST_BAD_NAME, /* not a name that others could be told: see name_is_valid() */
    MANIFEST_BAD_PATH, /* empty, too long, or with a NUL */
    MANIFEST_NAME_TWICE,
    MANIFEST_FULL, /* this line and all that follow */
};

struct manifest_complaint {
    size_t line; /* from 1 */
    enum manifest_fault fault;
    size_t first_line; /* of MANIFEST_NAME_TWICE: where the name is defined */
};

struct manifest_entry {
    char *name, *path;
    size_t line;
};

struct manifest {
    struct manifest_entry *entries; /* in order of line; no two have one name */
    size_t count;
    struct manifest_complaint complaints[MANIFEST_COMPLAINTS_MAX];
    size_t complaint_count, more_complaints_count; /* kept; not kept */
};

struct manifest *manifest_new(struct text content);
void manifest_destroy(struct manifest **self_p);

/* What is wrong, for a person. */
const char *manifest_fault_text(enum manifest_fault fault);

#endif
