/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/node_address.h"

#include <assert.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static bool bind_at(struct data_port *port, const struct host *host, uint16_t number, uint16_t *ret_port)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    if (number != 0 && host)
        endpoint_format(host, number, endpoint);
    else if (number != 0)
        snprintf(endpoint, sizeof endpoint, "tcp://*:%u", number);
    else if (!host)
        snprintf(endpoint, sizeof endpoint, "tcp://*:*");
    else {
        endpoint_format(host, 1, endpoint);
        endpoint[strlen(endpoint) - 1] = '*';
    }
    return data_port_bind(port, endpoint, ret_port);
}

bool node_address_bind(struct data_port *port, const struct host *host, const struct port_choice *choice,
                       uint16_t *ret_port)
{
    if (choice->first == 0)
        return bind_at(port, host, 0, ret_port);
    assert(choice->first <= choice->last);
    uint16_t preferred = choice->preferred;
    if (preferred >= choice->first && preferred <= choice->last && bind_at(port, host, preferred, ret_port))
        return true;
    unsigned count = choice->last - choice->first + 1u;
    unsigned start = (unsigned)(random_u64() % count);
    for (unsigned i = 0; i < count; i++) {
        uint16_t number = (uint16_t)(choice->first + (start + i) % count);
        if (bind_at(port, host, number, ret_port))
            return true;
        if (errno != EADDRINUSE && errno != EACCES)
            return false; /* the address is wrong, not the port */
    }
    return false;
}

struct host node_address_of_machine(void)
{
    struct host host = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0)
        return host;
    for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !(at->ifa_flags & IFF_UP) ||
            at->ifa_flags & IFF_LOOPBACK)
            continue;
        struct sockaddr_in address;
        memcpy(&address, at->ifa_addr, sizeof address);
        memcpy(host.bytes + 12, &address.sin_addr, 4);
        break;
    }
    freeifaddrs(list);
    return host;
}
