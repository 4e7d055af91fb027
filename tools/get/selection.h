/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_SELECTION_H
#define TOOLS_GET_SELECTION_H

/*
 * Which of many names were asked for: `NAME/` or a glob, then --include and --exclude. A pattern with a `/`
 * is matched with the whole name and with what comes after `NAME/`; one without, with the last component.
 * Excluding wins.
 */
#include "messages/match.h"

struct selection;

enum selection_result {
    SELECTION_WANTED,
    SELECTION_UNWANTED,
    SELECTION_HIDDEN, /* wanted, but it would be a hidden file or folder that nobody typed */
    SELECTION_LONG,   /* wanted, but a component of it does not fit a folder */
};

/* `text` ends with `/`, or is a glob; it is borrowed. Patterns are clean UTF-8, and copied. */
struct selection *selection_new(struct text text);
void selection_destroy(struct selection **self_p);
void selection_include(struct selection *self, struct text pattern);
void selection_exclude(struct selection *self, struct text pattern);

bool selection_is_glob(const struct selection *self);

/* Names that are wanted begin with this. */
struct text selection_prefix(const struct selection *self);

/* A valid wire name. */
enum selection_result selection_look(const struct selection *self, struct text name);

#endif
