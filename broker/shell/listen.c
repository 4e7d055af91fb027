/* SPDX-License-Identifier: MIT */
#include "broker/shell/listen.h"

#include "tools/cli/endpoint.h"
#include "tools/cli/value.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define RESOLVE_TIMEOUT_MS 5000

static const char expected[] = "an endpoint like tcp://HOST:PORT, tcp://*:PORT or tcp://127.0.0.1:*";

static const char *parse_host(const char *text, size_t size, struct listen_address *ret_address)
{
    char host[ENDPOINT_HOST_SIZE];
    if (size == 0 || size >= sizeof host)
        return expected;
    memcpy(host, text, size);
    host[size] = '\0';
    ret_address->is_ipv4 = strcmp(host, "0.0.0.0") == 0;
    ret_address->is_wildcard = ret_address->is_ipv4 || strcmp(host, "*") == 0 || strcmp(host, "[::]") == 0;
    if (ret_address->is_wildcard)
        return NULL;
    struct endpoint endpoint;
    struct address_list list;
    /* The port is not looked up; any will do. */
    if (!endpoint_parse(host, BROKER_PORT_DEFAULT, &endpoint))
        return expected;
    const char *error = endpoint_resolve(&endpoint, RESOLVE_TIMEOUT_MS, &list);
    if (error)
        return error;
    ret_address->host = list.entries[0].host;
    return NULL;
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
    if (strcmp(colon + 1, "*") != 0 && strcmp(colon + 1, "0") != 0 && !port_parse(colon + 1, &address.port))
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
    char text[HOST_TEXT_SIZE];
    const struct sockaddr *address = interface->ifa_addr;
    const void *bytes = NULL;
    if (!address || !(interface->ifa_flags & IFF_UP))
        return false;
    if (address->sa_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(in6))
            return false;
        bytes = in6;
    }
    return bytes && inet_ntop(address->sa_family, bytes, text, sizeof text) &&
           host_parse(text_of(text), ret_host);
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
