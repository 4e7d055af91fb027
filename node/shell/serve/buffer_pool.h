/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_BUFFER_POOL_H
#define NODE_SHELL_SERVE_BUFFER_POOL_H

/*
 * Buffers that are handed to ZeroMQ and come back. They are used again and again, because first-touch page
 * faults cost more than reading. libzmq frees a message on one of its own threads, so buffers come back
 * through a lock and an eventfd.
 *
 * How many are out is the upload queue's business; the pool keeps what it has allocated below the same bound.
 */

#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

struct buffer_pool;

struct buffer {
    struct buffer *next; /* the pool's */
    struct buffer_pool *pool;
    uint64_t ticket; /* what it was taken for */
    uint32_t size;   /* 64 KiB, 256 KiB or 1 MiB */
    uint8_t bytes[];
};

/* NULL with errno. */
struct buffer_pool *buffer_pool_new(void);

/* Buffers that are still with ZeroMQ stay valid: the last one to come back ends the pool. */
void buffer_pool_destroy(struct buffer_pool **self_p);

/* A buffer for `size` bytes, at most 1 MiB. */
struct buffer *buffer_pool_take(struct buffer_pool *self, uint32_t size, uint64_t ticket);

/* Makes `message` own the buffer, of which `size` bytes are sent. */
void buffer_to_message(struct buffer *buffer, size_t size, zmq_msg_t *message);

/* Back from the owner's own hands. */
void buffer_pool_give(struct buffer_pool *self, struct buffer *buffer);

/* Readable when buffers came back from ZeroMQ. */
int buffer_pool_fd(const struct buffer_pool *self);

/* Before the loop over buffer_pool_next_returned(). */
void buffer_pool_begin_returned(struct buffer_pool *self);

/* The ticket of one that came back, now free again; 0 when there is none left. */
uint64_t buffer_pool_next_returned(struct buffer_pool *self);

/* Gives the memory of free buffers back. */
void buffer_pool_trim(struct buffer_pool *self);

#endif
