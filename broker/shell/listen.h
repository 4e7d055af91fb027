/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SHELL_LISTEN_H
#define BROKER_SHELL_LISTEN_H

/*
 * Where zbroker listens: `[tcp://]HOST:PORT`, where HOST is a numeric address, a name, or `*` for all
 * interfaces, and PORT a number or `*` for any free one.
 */

#include "messages/host.h"

/* A host with a hundred addresses (containers, aliases) is rare; the rest works and is only not printed. */
#define LISTEN_HOSTS_MAX 128

struct listen_address {
    bool is_wildcard; /* all interfaces, */
    bool is_ipv4;     /* of IPv4 only */
    struct host host; /* unless is_wildcard */
    uint16_t port;    /* 0 for any */
};

/* NULL, or what was expected instead (static text). */
const char *listen_parse(const char *text, struct listen_address *ret_address);

/* The endpoint for socket_bind(). */
void listen_format(const struct listen_address *self, char ret_text[ENDPOINT_TEXT_SIZE]);

/*
 * The addresses at which others reach it: itself, or for a wildcard those of the interfaces that are up,
 * without loopback and link-local ones; loopback when there is no other. Returns how many.
 */
size_t listen_hosts(const struct listen_address *self, struct host ret_hosts[LISTEN_HOSTS_MAX]);

#endif
