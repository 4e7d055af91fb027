/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_PUSH_OFFERED_FILE_H
#define NODE_SHELL_PUSH_OFFERED_FILE_H

/*
 * A file of this machine that is to be offered: hashed whole, or an unfinished download whose chunks are
 * hashed anew, because what its map claims is a hint. Its owner reads it through descriptors of its own.
 */
#include "messages/message.h"
#include "node/content/layout.h"
#include "node/share/share_index.h"
#include "node/shell/workers.h"

/* Partial files of one name that are told apart in an error. */
#define OFFERED_FILE_CHOICES_MAX 8

struct offered_file;

/* What can be offered. Borrowed from the offered file. */
struct offered_view {
    struct file_entry file;   /* with the base name of the file, or of what it will be */
    const uint8_t *have;      /* bitfield of chunks; NULL for all */
    const struct hash *layer; /* NULL for a file of one chunk */
    bool has_stamp;           /* false for a partial file, which may grow meanwhile */
    struct file_stamp stamp;  /* what was hashed */
};

/* On the loop's thread, never from within offered_file_new(). `problem` is NULL, or says in one line what is
 * wrong with the file and what cures it. May close the file. */
typedef void offered_file_done(void *owner, const char *problem);

/*
 * Begins to hash the file at `path`: any regular file, a partial file, or a name of which only a partial file
 * is in the folder. `chunks` is NULL for all, or those to offer.
 */
struct offered_file *offered_file_new(struct workers *workers, const char *path,
                                      const struct chunk_range *chunks, offered_file_done *done, void *owner);

/* No event any more. What is being hashed comes back later, at the latest in workers_destroy(). */
void offered_file_close(struct offered_file **self_p);

/* The name to be offered, and how far hashing is; the name is NULL as long as the file is not known. */
const char *offered_file_name(const struct offered_file *self);
void offered_file_hashed(const struct offered_file *self, uint64_t *ret_hashed, uint64_t *ret_size);

/* After done() without a problem. */
struct offered_view offered_file_view(const struct offered_file *self);

/* A further descriptor; the caller closes it. -1 with errno. */
int offered_file_reader(const struct offered_file *self);

#endif
