/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_HOST_H
#define MESSAGES_HOST_H

/*
 * Network addresses as values. Text from the network is parsed into a struct host before anything
 * else sees it, and endpoints are formatted from one: no network text ever becomes an endpoint.
 */

#include "messages/text.h"

/* An IPv6 address in network order; IPv4 as the mapped form ::ffff:a.b.c.d. */
struct host {
    uint8_t bytes[16];
};

#define HOST_TEXT_SIZE     46 /* INET6_ADDRSTRLEN */
#define ENDPOINT_TEXT_SIZE 64 /* tcp://[ host ]:65535 */

/* A numeric IPv4 or IPv6 address without scope id; IPv4-mapped IPv6 is IPv4. */
bool host_parse(struct text t, struct host *ret_host);

/* IPv4 dotted, IPv6 by RFC 5952. */
void host_format(const struct host *h, char ret_text[HOST_TEXT_SIZE]);
bool host_equal(const struct host *a, const struct host *b);

/* What limits take for one address: an IPv4 address, or the /64 of an IPv6 one, of which whoever has one has
 * 2^64. */
struct host host_block(const struct host *h);

bool host_is_loopback(const struct host *h);

/* Unspecified, multicast, limited broadcast: nothing that a peer can be reached at. */
bool host_is_unusable(const struct host *h);

/* tcp://HOST:PORT with brackets for IPv6. */
void endpoint_format(const struct host *h, uint16_t port, char ret_text[ENDPOINT_TEXT_SIZE]);

#endif
