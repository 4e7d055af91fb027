/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_SHA256_LANES_H
#define MESSAGES_SHA256_LANES_H

/*
 * SHA-256 of sixteen messages of one size at once: one in each 32-bit lane of a 512-bit register, all going
 * through the rounds of FIPS 180-4 together (Gueron and Krasnov, "Simultaneous hashing of multiple messages",
 * 2012). The leaves of a hash tree are such messages. Twice as fast as one after the other with the SHA
 * instructions, where the processor has AVX-512; no library in Debian offers it.
 */
#include "messages/id.h"

#include <stddef.h>

#define SHA256_LANES 16

/* Whether this processor can. */
bool sha256_lanes_usable(void);

/* Only where usable. Message i is the `size` bytes at bytes + i * size; size is a multiple of 64, below 2^29.
 */
void sha256_lanes(const uint8_t *bytes, size_t size, struct hash ret_hashes[SHA256_LANES]);

#endif
