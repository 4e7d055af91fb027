/* SPDX-License-Identifier: MIT */
#include "node/program/console_pipe.h"

#include "node/console_command.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The longest line, and the byte by which another is too long. */
#define BUFFER_SIZE (CONSOLE_LINE_SIZE_MAX + 1)

struct console_pipe {
    struct loop *loop;
    int fd;
    int wake_fd; /* readable when lines wait in the buffer */
    void (*line)(void *owner, struct text line);
    void *owner;
    bool is_held, is_reading, is_ended;
    bool is_skipping; /* the rest of a line that was too long */
    size_t size;
    char buffer[BUFFER_SIZE];
};

/* Hands out lines until one holds the next; true when more bytes are wanted. */
static bool hand_out(struct console_pipe *self)
{
    while (!self->is_held) {
        const char *end = memchr(self->buffer, '\n', self->size);
        bool is_whole = end || (self->is_ended && self->size > 0);
        if (!is_whole && self->size < BUFFER_SIZE)
            return !self->is_ended;
        size_t size = end ? (size_t)(end - self->buffer) : self->size;
        bool must_tell = !self->is_skipping;
        self->is_skipping = !end;
        if (must_tell)
            self->line(self->owner, (struct text){self->buffer, size});
        size_t used = end ? size + 1 : size;
        self->size -= used;
        memmove(self->buffer, self->buffer + used, self->size);
    }
    return false;
}

static void on_readable(void *owner);

static void go_on(struct console_pipe *self)
{
    bool wants_more = hand_out(self);
    if (wants_more && !self->is_reading)
        self->is_reading = loop_add_fd(self->loop, self->fd, on_readable, self);
    if (!wants_more && self->is_reading) {
        loop_remove_fd(self->loop, self->fd);
        self->is_reading = false;
    }
}

static void on_readable(void *owner)
{
    struct console_pipe *self = owner;
    ssize_t got = read(self->fd, self->buffer + self->size, BUFFER_SIZE - self->size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0)
        self->size += (size_t)got;
    else
        self->is_ended = true;
    go_on(self);
}

static void on_wake(void *owner)
{
    struct console_pipe *self = owner;
    uint64_t count;
    ssize_t got = read(self->wake_fd, &count, sizeof count);
    (void)got;
    go_on(self);
}

struct console_pipe *console_pipe_new(struct loop *loop, int fd, void (*line)(void *owner, struct text line),
                                      void *owner)
{
    struct console_pipe *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->fd = fd;
    self->line = line;
    self->owner = owner;
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0 || !loop_add_fd(loop, self->wake_fd, on_wake, self)) {
        console_pipe_destroy(&self);
        return NULL;
    }
    go_on(self);
    return self;
}

void console_pipe_destroy(struct console_pipe **self_p)
{
    struct console_pipe *self = *self_p;
    if (!self)
        return;
    if (self->is_reading)
        loop_remove_fd(self->loop, self->fd);
    if (self->wake_fd >= 0) {
        loop_remove_fd(self->loop, self->wake_fd);
        close(self->wake_fd);
    }
    free(self);
    *self_p = NULL;
}

void console_pipe_hold(struct console_pipe *self, bool is_held)
{
    self->is_held = is_held;
    /* In a round of its own: the command that just ended may be on the stack. */
    ssize_t written = is_held ? 0 : write(self->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)written;
}
