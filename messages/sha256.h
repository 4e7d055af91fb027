/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_SHA256_H
#define MESSAGES_SHA256_H

/*
 * SHA-256 through OpenSSL EVP, with the algorithm fetched once: an implicit fetch for each of the
 * many small inputs (64-byte tree nodes) would cost more than the hash. Usable from any thread. Many runs of
 * one size go through sha256_lanes.h where the processor can.
 */

#include "messages/id.h"

/* SHA-256 of one run of bytes. */
void sha256(const void *bytes, size_t size, struct hash *ret_hash);

/* SHA-256 of each of `count` runs of `size` bytes, one behind the other. */
void sha256_each(const uint8_t *bytes, size_t size, size_t count, struct hash *ret_hashes);

/* SHA-256 of a || b, the inner node of a Merkle tree. */
void sha256_pair(const struct hash *a, const struct hash *b, struct hash *ret_hash);

#endif
