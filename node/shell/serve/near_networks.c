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

static unsigned mask_bits(const struct host *mask)
{
    unsigned bits = 0;
    for (; bits < 8 * sizeof mask->bytes; bits++) {
        if (!(mask->bytes[bits / 8] & (0x80 >> bits % 8)))
            break;
    }
    return bits;
}

void near_networks_add(struct near_networks *self, const struct host *host, const struct host *mask)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_v4 = memcmp(host->bytes, mapped, sizeof mapped) == 0;
    unsigned bits_min = is_v4 ? 96 + NEAR_V4_BITS_MIN : NEAR_V6_BITS_MIN;
    if (self->count < NEAR_NETWORKS_MAX && mask_bits(mask) >= bits_min)
        self->entries[self->count++] = (struct near_network){*host, *mask};
}

void near_networks_read(struct near_networks *self)
{
    struct ifaddrs *list;
    self->count = 0;
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
        struct host host, mask;
        int family = at->ifa_addr ? at->ifa_addr->sa_family : AF_UNSPEC;
        if (!(at->ifa_flags & IFF_UP) || !host_of(at->ifa_addr, family, &host) ||
            !host_of(at->ifa_netmask, family, &mask))
            continue;
        if (family == AF_INET) /* the mapped form is common to all of IPv4 */
            memset(mask.bytes, 0xff, 12);
        near_networks_add(self, &host, &mask);
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
