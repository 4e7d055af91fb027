/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_PUSH_TURNS_H
#define NODE_DOWNLOAD_PUSH_TURNS_H

/*
 * Addresses that push, and whose turn it is: that which had one the longest ago, and before all that which
 * had none. So somebody with many offers keeps nobody waiting who has one.
 *
 * An address of which a question was left unanswered is mute: its turn comes after that of all others, until
 * it delivers something or PUSH_MUTE_MS have passed. An address is what one stranger may have many of: for
 * IPv6 a /64 (host_block()).
 */
#include "messages/host.h"

/* Strangers set it; each costs about 100 bytes. It exceeds what may be offered at once (OFFERS_MAX stand,
 * each of one address). Beyond it the one whose turn was the longest ago is forgotten. */
#define PUSH_TURNS_MAX 2048

/* A laptop that slept is back among the others soon; who stays mute is asked about this often. */
#define PUSH_MUTE_MS 60000

struct push_turns;

struct push_turns *push_turns_new(void);
void push_turns_destroy(struct push_turns **self_p);

/* It has its turn now. */
void push_turns_take(struct push_turns *self, const struct host *address);

/* A question was left unanswered; or something came that was asked for. */
void push_turns_silent(struct push_turns *self, const struct host *address, uint64_t now_ms);
void push_turns_delivered(struct push_turns *self, const struct host *address);

bool push_turns_is_mute(const struct push_turns *self, const struct host *address, uint64_t now_ms);

/* Where it stands: the lowest is first, and equal ones are one address or had no turn yet. */
uint64_t push_turns_rank(const struct push_turns *self, const struct host *address, uint64_t now_ms);

#endif
