/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_WRITER_H
#define TOOLS_CLI_WRITER_H

/*
 * Lines on their way to a descriptor that may take its time: a pipe that nobody reads, a terminal stopped
 * with Ctrl-S, a log on a disk that hangs. A thread writes them, so that who prints never waits. (O_NONBLOCK
 * would do without, but a descriptor shares that flag with whoever it was inherited from.)
 *
 * What finds no room is dropped as a whole and its lines are counted; once there is room again, one line in
 * its place tells how many. Order is kept.
 */
#include <stdbool.h>
#include <stddef.h>

/* Some thousand lines: a burst while its reader is busy. Memory, once for each stream. */
#define WRITER_BYTES (256u << 10)

struct writer;

/* `program` is borrowed; it names who lost lines. NULL with errno when a thread cannot be started. */
struct writer *writer_new(int fd, const char *program);

/* Whole lines; what draws on a terminal may be parts of them. Copied. */
void writer_put(struct writer *self, const char *bytes, size_t size);

/* False when half of it is taken up: whoever can say the rest later should. */
bool writer_has_room(struct writer *self);

/* 0, or the errno of the write that failed: nothing is written after it. */
int writer_error(struct writer *self);

/* Waits until all is written, but no longer than this. True when it is. */
bool writer_flush(struct writer *self, unsigned wait_ms);

/* What is not written yet is lost: flush first. A thread that is stuck in its write ends with the process. */
void writer_destroy(struct writer **self_p);

#endif
