/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/buffer_pool.h"

#include "node/serve/upload_queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CLASSES = 3
};

struct buffer_pool {
    int fd;
    struct buffer *free[CLASSES]; /* the owner's thread only, like `allocated_bytes` */
    size_t allocated_bytes;
    struct buffer *collected; /* returned ones that the owner has fetched */
    pthread_mutex_t lock;     /* guards the rest */
    struct buffer *returned;
    size_t lent_count; /* with ZeroMQ */
    bool is_orphaned;
};

static unsigned class_of(uint32_t size)
{
    return size <= 64u << 10 ? 0 : size <= 256u << 10 ? 1 : 2;
}

struct buffer_pool *buffer_pool_new(void)
{
    struct buffer_pool *self = calloc(1, sizeof *self);
    assert(self);
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->fd < 0) {
        free(self);
        return NULL;
    }
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

static void release(struct buffer_pool *self)
{
    close(self->fd);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static void free_list(struct buffer_pool *self, struct buffer **list)
{
    while (*list) {
        struct buffer *buffer = *list;
        *list = buffer->next;
        self->allocated_bytes -= buffer->size;
        free(buffer);
    }
}

void buffer_pool_destroy(struct buffer_pool **self_p)
{
    struct buffer_pool *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    buffer_pool_trim(self);
    pthread_mutex_lock(&self->lock);
    free_list(self, &self->collected);
    free_list(self, &self->returned);
    self->is_orphaned = true;
    bool is_last = self->lent_count == 0;
    pthread_mutex_unlock(&self->lock);
    if (is_last)
        release(self);
}

struct buffer *buffer_pool_take(struct buffer_pool *self, uint32_t size, uint64_t ticket)
{
    uint32_t buffer_bytes = upload_buffer_bytes(size);
    unsigned class = class_of(buffer_bytes);
    struct buffer *buffer = self->free[class];
    if (buffer) {
        self->free[class] = buffer->next;
    } else {
        /* What is out is bounded, so if this goes over the bound then free ones of other sizes are in the
         * way. */
        for (unsigned i = 0; i < CLASSES && self->allocated_bytes + buffer_bytes > UPLOAD_IN_HAND_BYTES_MAX;
             i++)
            free_list(self, &self->free[i]);
        buffer = malloc(sizeof *buffer + buffer_bytes);
        assert(buffer);
        buffer->pool = self;
        buffer->size = buffer_bytes;
        self->allocated_bytes += buffer_bytes;
    }
    buffer->ticket = ticket;
    buffer->next = NULL;
    return buffer;
}

/* Called by libzmq on any thread, also after the pool's owner is gone. */
static void on_free(void *bytes, void *hint)
{
    (void)bytes;
    struct buffer *buffer = hint;
    struct buffer_pool *self = buffer->pool;
    pthread_mutex_lock(&self->lock);
    self->lent_count--;
    bool is_last = self->is_orphaned && self->lent_count == 0;
    if (self->is_orphaned) {
        free(buffer);
    } else {
        bool was_empty = !self->returned;
        buffer->next = self->returned;
        self->returned = buffer;
        /* It cannot fail: it adds 1 to a u64 that the owner resets. */
        ssize_t written = was_empty ? write(self->fd, &(uint64_t){1}, sizeof(uint64_t)) : 0;
        (void)written;
    }
    pthread_mutex_unlock(&self->lock);
    if (is_last)
        release(self);
}

void buffer_to_message(struct buffer *buffer, size_t size, zmq_msg_t *message)
{
    assert(size <= buffer->size);
    pthread_mutex_lock(&buffer->pool->lock);
    buffer->pool->lent_count++;
    pthread_mutex_unlock(&buffer->pool->lock);
    int rc = zmq_msg_init_data(message, buffer->bytes, size, on_free, buffer);
    assert(rc == 0); /* only memory can be missing */
    (void)rc;
}

void buffer_pool_give(struct buffer_pool *self, struct buffer *buffer)
{
    unsigned class = class_of(buffer->size);
    buffer->next = self->free[class];
    self->free[class] = buffer;
}

int buffer_pool_fd(const struct buffer_pool *self)
{
    return self->fd;
}

void buffer_pool_begin_returned(struct buffer_pool *self)
{
    uint64_t count;
    pthread_mutex_lock(&self->lock);
    ssize_t got = read(self->fd, &count, sizeof count); /* EAGAIN: nothing came since */
    (void)got;
    struct buffer *returned = self->returned;
    self->returned = NULL;
    pthread_mutex_unlock(&self->lock);
    while (returned) {
        struct buffer *next = returned->next;
        returned->next = self->collected;
        self->collected = returned;
        returned = next;
    }
}

uint64_t buffer_pool_next_returned(struct buffer_pool *self)
{
    struct buffer *buffer = self->collected;
    if (!buffer)
        return 0;
    self->collected = buffer->next;
    buffer_pool_give(self, buffer);
    return buffer->ticket;
}

void buffer_pool_trim(struct buffer_pool *self)
{
    for (unsigned i = 0; i < CLASSES; i++)
        free_list(self, &self->free[i]);
}
