/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_ENDPOINT_H
#define TOOLS_CLI_ENDPOINT_H

/*
 * Addresses as people type them: `tcp://HOST:PORT`, `HOST:PORT`, `HOST`, `[v6]:port`, a bare IPv6 address.
 * HOST is a numeric address or a name. Never used for text from the network.
 */

#include "messages/host.h"

#define BROKER_PORT_DEFAULT 6881

#define ENDPOINT_HOST_SIZE 256 /* a DNS name has at most 253 characters */

/* `tcp://`, brackets, colon, port and NUL around the longest host. */
#define ENDPOINT_FORMAT_SIZE (ENDPOINT_HOST_SIZE + 16)

/* Addresses of one name that are worth trying: round-robin names have a handful. */
#define ADDRESSES_MAX 16

struct endpoint {
    char host[ENDPOINT_HOST_SIZE]; /* letters, digits and `.-_:` only */
    uint16_t port;
};

struct address {
    struct host host;
    uint16_t port;
};

struct address_list {
    struct address entries[ADDRESSES_MAX];
    size_t count; /* at least 1 */
};

/* `port_default` 0 makes the port mandatory. */
bool endpoint_parse(const char *text, uint16_t port_default, struct endpoint *ret_endpoint);

/* `tcp://HOST:PORT`, for messages. */
void endpoint_show(const struct endpoint *self, char ret_text[ENDPOINT_FORMAT_SIZE]);

/*
 * The addresses of the endpoint, in the resolver's order. A name is looked up with DNS, for at most
 * `timeout_ms`. Returns NULL, or what went wrong (static text).
 */
const char *endpoint_resolve(const struct endpoint *self, uint64_t timeout_ms, struct address_list *ret_list);

/*
 * The first of several addresses that takes a TCP connection, tried one after another; the first of all when
 * none does. With a single address nothing is tried. For programs that talk to one broker once.
 */
struct address address_choose(const struct address_list *list, uint64_t timeout_ms);

#endif
