/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_PLACE_H
#define TOOLS_GET_PLACE_H

/* Where a file goes: what was typed with -d and -o, and what the network calls it. */

#include "tools/cli/output.h"

/* Makes a folder and what is above it. False after an error that was told. */
bool place_make_folder(struct output *output, const char *path);

/*
 * The folder, made, and the name in it, both malloc'd: after `file` (-o) if it is given, else in `folder`
 * (-d; NULL: the current one) under the base of `wire_name`. `text` is what was asked for. False after an
 * error that was told.
 */
bool place_choose(struct output *output, const char *folder, const char *file, const char *wire_name,
                  const char *text, char **ret_folder, char **ret_name);

#endif
