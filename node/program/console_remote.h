/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_CONSOLE_REMOTE_H
#define NODE_PROGRAM_CONSOLE_REMOTE_H

/*
 * Commands that speak to certain nodes: their files, and one file from those very nodes. A target without a
 * port means all nodes at that address, or of that name: the broker is asked who they are, then they are
 * visited one after another.
 */
#include "node/program/console_private.h"

void console_remote_list(struct console *self, const struct console_target *target);

/* `file` is a name or 8 to 64 digits of an id. When no node has the name of the target, it may be a part of a
 * file's name: then `else_name` is downloaded, unless it is NULL. Both are copied. */
void console_remote_download(struct console *self, const struct console_target *target, const char *file,
                             const char *else_name);

#endif
