/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_CONSOLE_PIPE_H
#define NODE_PROGRAM_CONSOLE_PIPE_H

/*
 * Commands that come through stdin when it is no terminal: one a line, the next when the one before is done.
 * What was not read waits in the pipe. The last line needs no line break.
 */
#include "messages/shell/loop.h"
#include "messages/text.h"

struct console_pipe;

/* `line` gets each line without its end; of one that is longer than CONSOLE_LINE_SIZE_MAX only the beginning,
 * which is longer too. NULL when the loop is full. */
struct console_pipe *console_pipe_new(struct loop *loop, int fd, void (*line)(void *owner, struct text line),
                                      void *owner);
void console_pipe_destroy(struct console_pipe **self_p);

/* No more lines until it is released; also from within `line`. */
void console_pipe_hold(struct console_pipe *self, bool is_held);

#endif
