/* SPDX-License-Identifier: MIT */
#include "broker/shell/listen.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_TEXT_SIZE 256 /* a DNS name has at most 253 characters */

static const char expected[] = "use an endpoint like tcp://HOST:PORT, tcp://*:PORT or tcp://127.0.0.1:*";

static bool host_of_sockaddr(const struct sockaddr *address, struct host *ret_host)
{
    char text[HOST_TEXT_SIZE];
    const void *bytes = NULL;
    if (address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return bytes && inet_ntop(address->sa_family, bytes, text, sizeof text) &&
           host_parse(text_of(text), ret_host);
}

static const char *look_up(const char *name, struct host *ret_host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int error = getaddrinfo(name, NULL, &hints, &list);
    if (error != 0)
        return gai_strerror(error);
    bool is_good = host_of_sockaddr(list->ai_addr, ret_host);
    freeaddrinfo(list);
    return is_good ? NULL : expected;
}

static const char *parse_host(const char *text, size_t size, struct listen_address *ret_address)
{
    char name[NAME_TEXT_SIZE];
    if (size == 0 || size >= sizeof name)
        return expected;
    memcpy(name, text, size);
    name[size] = '\0';
    ret_address->is_ipv4 = strcmp(name, "0.0.0.0") == 0;
    ret_address->is_wildcard = ret_address->is_ipv4 || strcmp(name, "*") == 0 || strcmp(name, "[::]") == 0;
    if (ret_address->is_wildcard)
        return NULL;
    struct text numeric = {name, size};
    if (name[0] == '[' && name[size - 1] == ']')
        numeric = (struct text){name + 1, size - 2};
    if (host_parse(numeric, &ret_address->host))
        return NULL;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == size
               ? look_up(name, &ret_address->host)
               : expected;
}

/* `*` is any port, as 0. */
static bool parse_port(const char *text, uint16_t *ret_port)
{
    if (strcmp(text, "*") == 0) {
        *ret_port = 0;
        return true;
    }
    size_t size = strlen(text);
    if (size == 0 || size > 5 || strspn(text, "0123456789") != size)
        return false;
    unsigned long port = strtoul(text, NULL, 10);
    if (port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

const char *listen_parse(const char *text, struct listen_address *ret_address)
{
    static const char scheme[] = "tcp://";
    if (strncmp(text, scheme, sizeof scheme - 1) == 0)
        text += sizeof scheme - 1;
    const char *colon = strrchr(text, ':');
    if (!colon)
        return expected;
    struct listen_address address = {.port = 0};
    if (!parse_port(colon + 1, &address.port))
        return expected;
    const char *error = parse_host(text, (size_t)(colon - text), &address);
    if (!error)
        *ret_address = address;
    return error;
}

void listen_format(const struct listen_address *self, char ret_text[ENDPOINT_TEXT_SIZE])
{
    if (!self->is_wildcard)
        endpoint_format(&self->host, self->port, ret_text);
    else
        snprintf(ret_text, ENDPOINT_TEXT_SIZE, "tcp://%s:%u", self->is_ipv4 ? "0.0.0.0" : "*",
                 (unsigned)self->port);
}

/* False for families other than IP and for link-local IPv6, which means nothing without its interface. */
static bool host_of_interface(const struct ifaddrs *interface, struct host *ret_host)
{
    const struct sockaddr *address = interface->ifa_addr;
    if (!address || !(interface->ifa_flags & IFF_UP))
        return false;
    if (address->sa_family == AF_INET6 &&
        IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr))
        return false;
    return host_of_sockaddr(address, ret_host);
}

size_t listen_hosts(const struct listen_address *self, struct host ret_hosts[LISTEN_HOSTS_MAX])
{
    if (!self->is_wildcard) {
        ret_hosts[0] = self->host;
        return 1;
    }
    size_t count = 0;
    struct ifaddrs *interfaces = NULL;
    if (getifaddrs(&interfaces) != 0)
        interfaces = NULL;
    for (const struct ifaddrs *i = interfaces; i && count < LISTEN_HOSTS_MAX; i = i->ifa_next) {
        struct host host;
        if (!host_of_interface(i, &host) || host_is_loopback(&host))
            continue;
        if (!self->is_ipv4 || i->ifa_addr->sa_family == AF_INET)
            ret_hosts[count++] = host;
    }
    if (interfaces)
        freeifaddrs(interfaces);
    if (count == 0)
        host_parse(text_of("127.0.0.1"), &ret_hosts[count++]);
    return count;
}
