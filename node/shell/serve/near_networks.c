/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/near_networks.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

/* False for other kinds of addresses, and for a mask that is not there. */
static bool host_of(const struct sockaddr *address, int family, struct host *ret_host)
{
    if (!address)
        return false;
    if (family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        *ret_host = (struct host){{[10] = 0xff, [11] = 0xff}};
        memcpy(ret_host->bytes + 12, &v4.sin_addr, 4);
    } else if (family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        memcpy(ret_host->bytes, &v6.sin6_addr, sizeof ret_host->bytes);
    }
    return family == AF_INET || family == AF_INET6;
}

void near_networks_read(struct near_networks *self)
{
    struct ifaddrs *list;
    self->count = 0;
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *at = list; at && self->count < NEAR_NETWORKS_MAX; at = at->ifa_next) {
        struct near_network *entry = &self->entries[self->count];
        int family = at->ifa_addr ? at->ifa_addr->sa_family : AF_UNSPEC;
        if (!(at->ifa_flags & IFF_UP) || !host_of(at->ifa_addr, family, &entry->host) ||
            !host_of(at->ifa_netmask, family, &entry->mask))
            continue;
        if (family == AF_INET) /* the mapped form is common to all of IPv4 */
            memset(entry->mask.bytes, 0xff, 12);
        self->count++;
    }
    freeifaddrs(list);
}

static bool is_in(const struct near_network *network, const struct host *host)
{
    for (size_t i = 0; i < sizeof host->bytes; i++) {
        if ((host->bytes[i] ^ network->host.bytes[i]) & network->mask.bytes[i])
            return false;
    }
    return true;
}

bool near_networks_has(const struct near_networks *self, const struct host *host)
{
    for (size_t i = 0; i < self->count; i++) {
        if (is_in(&self->entries[i], host))
            return true;
    }
    return false;
}
