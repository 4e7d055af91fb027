/* SPDX-License-Identifier: MIT */
#include "tools/cli/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What one write() is given: as much as a pipe holds. */
#define PART_SIZE (64u << 10)

/* "PROGRAM: N lines were lost here: ..." */
#define LOSS_SIZE 160

struct writer {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wanted, written;
    int fd, terminal_fd; /* -1: `fd` is none */
    const char *program;
    size_t begin, size; /* of what is in the ring */
    bool is_losing;     /* until half of the ring is free: one line tells of many */
    unsigned long long lost_count;
    bool is_writing, is_stopping;
    int error;
    pthread_t thread;
    char ring[WRITER_BYTES];
};

static void append(struct writer *self, const char *bytes, size_t size)
{
    assert(size <= WRITER_BYTES - self->size);
    size_t end = (self->begin + self->size) % WRITER_BYTES;
    size_t first = WRITER_BYTES - end < size ? WRITER_BYTES - end : size;
    memcpy(self->ring + end, bytes, first);
    memcpy(self->ring, bytes + first, size - first);
    self->size += size;
}

static void tell_loss(struct writer *self)
{
    char line[LOSS_SIZE];
    if (self->is_losing && self->lost_count > 0) {
        int size =
            snprintf(line, sizeof line, "%s: %llu %s lost here: nobody read them in time\n", self->program,
                     self->lost_count, self->lost_count == 1 ? "line was" : "lines were");
        append(self, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1);
    }
    self->is_losing = false;
    self->lost_count = 0;
}

static bool has_room(const struct writer *self)
{
    return self->size <= WRITER_BYTES / 2;
}

/* Bytes, or a loss that is still to be told. */
static bool is_waiting(const struct writer *self)
{
    return self->size > 0 || self->is_losing;
}

static unsigned long long line_count(const char *bytes, size_t size)
{
    unsigned long long count = 0;
    for (const char *at = bytes; (at = memchr(at, '\n', size - (size_t)(at - bytes))); at++)
        count++;
    return count;
}

/* Copies the first part out; 0 when there is nothing to write any more. */
static size_t take_part(struct writer *self, char *ret_part)
{
    pthread_mutex_lock(&self->lock);
    self->is_writing = false;
    for (;;) {
        if (has_room(self))
            tell_loss(self);
        if ((self->size > 0 && !self->error) || self->is_stopping)
            break;
        pthread_cond_broadcast(&self->written);
        pthread_cond_wait(&self->wanted, &self->lock);
    }
    size_t size = self->is_stopping ? 0 : self->size < PART_SIZE ? self->size : PART_SIZE;
    size_t first = WRITER_BYTES - self->begin < size ? WRITER_BYTES - self->begin : size;
    memcpy(ret_part, self->ring + self->begin, first);
    memcpy(ret_part + first, self->ring, size - first);
    self->begin = (self->begin + size) % WRITER_BYTES;
    self->size -= size;
    self->is_writing = size > 0;
    pthread_mutex_unlock(&self->lock);
    return size;
}

/* 0 or an errno. */
static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written >= 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) { /* a terminal, or it was given to us like that */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static void *work(void *argument)
{
    struct writer *self = argument;
    char *part = malloc(PART_SIZE);
    assert(part);
    size_t size;
    while ((size = take_part(self, part)) > 0) {
        int error = write_all(self->fd, part, size);
        pthread_mutex_lock(&self->lock);
        if (error)
            self->error = error;
        pthread_mutex_unlock(&self->lock);
    }
    free(part);
    return NULL;
}

/* With all signals blocked: those are for who owns us. 0 or an errno. */
static int start_thread(struct writer *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&self->thread, NULL, work, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void release(struct writer *self)
{
    pthread_cond_destroy(&self->wanted);
    pthread_cond_destroy(&self->written);
    pthread_mutex_destroy(&self->lock);
    if (self->terminal_fd >= 0)
        close(self->terminal_fd);
    free(self);
}

/*
 * A terminal is locked while a write to it waits, and tcsetattr() would wait with it: so it is opened anew,
 * with flags of our own. -1 when it is no terminal, or is not ours to open.
 */
static int open_terminal(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return isatty(fd) ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
}

struct writer *writer_new(int fd, const char *program)
{
    struct writer *self = calloc(1, sizeof *self);
    assert(self);
    self->terminal_fd = open_terminal(fd);
    self->fd = self->terminal_fd >= 0 ? self->terminal_fd : fd;
    self->program = program;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->wanted, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->written, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = start_thread(self);
    if (error) {
        release(self);
        errno = error;
        return NULL;
    }
    return self;
}

void writer_put(struct writer *self, const char *bytes, size_t size)
{
    pthread_mutex_lock(&self->lock);
    if (has_room(self))
        tell_loss(self);
    self->is_losing = self->is_losing || size > WRITER_BYTES - self->size;
    if (self->is_losing)
        self->lost_count += line_count(bytes, size);
    else if (!self->error)
        append(self, bytes, size);
    pthread_cond_signal(&self->wanted);
    pthread_mutex_unlock(&self->lock);
}

bool writer_has_room(struct writer *self)
{
    pthread_mutex_lock(&self->lock);
    bool has_some = self->error || has_room(self);
    pthread_mutex_unlock(&self->lock);
    return has_some;
}

int writer_error(struct writer *self)
{
    pthread_mutex_lock(&self->lock);
    int error = self->error;
    pthread_mutex_unlock(&self->lock);
    return error;
}

bool writer_flush(struct writer *self, unsigned wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&self->lock);
    int timeout = 0;
    while ((self->is_writing || (is_waiting(self) && !self->error)) && !timeout)
        timeout = pthread_cond_timedwait(&self->written, &self->lock, &until);
    bool is_written = !is_waiting(self) && !self->is_writing;
    pthread_mutex_unlock(&self->lock);
    return is_written;
}

void writer_destroy(struct writer **self_p)
{
    struct writer *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    pthread_mutex_lock(&self->lock);
    self->is_stopping = true;
    bool is_stuck = self->is_writing;
    pthread_cond_signal(&self->wanted);
    pthread_mutex_unlock(&self->lock);
    if (is_stuck) {
        pthread_detach(self->thread); /* and has what it needs as long as it lives */
        return;
    }
    pthread_join(self->thread, NULL);
    release(self);
}
