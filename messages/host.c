/* SPDX-License-Identifier: MIT */
#include "messages/host.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const uint8_t MAPPED_PREFIX[12] = {[10] = 0xff, [11] = 0xff};

static bool is_ipv4(const struct host *h)
{
    return memcmp(h->bytes, MAPPED_PREFIX, sizeof MAPPED_PREFIX) == 0;
}

bool host_parse(struct text t, struct host *ret_host)
{
    char copy[HOST_TEXT_SIZE];
    if (t.size == 0 || t.size >= sizeof copy || memchr(t.bytes, '\0', t.size))
        return false;
    memcpy(copy, t.bytes, t.size);
    copy[t.size] = '\0';

    struct host host;
    memcpy(host.bytes, MAPPED_PREFIX, sizeof MAPPED_PREFIX);
    if (inet_pton(AF_INET, copy, host.bytes + sizeof MAPPED_PREFIX) != 1 &&
        inet_pton(AF_INET6, copy, host.bytes) != 1)
        return false;
    *ret_host = host;
    return true;
}

void host_format(const struct host *h, char ret_text[HOST_TEXT_SIZE])
{
    const char *text;
    if (is_ipv4(h))
        text = inet_ntop(AF_INET, h->bytes + sizeof MAPPED_PREFIX, ret_text, HOST_TEXT_SIZE);
    else
        text = inet_ntop(AF_INET6, h->bytes, ret_text, HOST_TEXT_SIZE);
    assert(text);
}

bool host_equal(const struct host *a, const struct host *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

struct host host_block(const struct host *h)
{
    struct host block = *h;
    if (!is_ipv4(h))
        memset(block.bytes + sizeof block.bytes / 2, 0, sizeof block.bytes / 2);
    return block;
}

bool host_is_loopback(const struct host *h)
{
    static const struct host LOOPBACK6 = {{[15] = 1}};
    return is_ipv4(h) ? h->bytes[12] == 127 : host_equal(h, &LOOPBACK6);
}

bool host_is_unusable(const struct host *h)
{
    static const struct host UNSPECIFIED6 = {{0}};
    static const uint8_t BROADCAST4[4] = {255, 255, 255, 255};
    if (!is_ipv4(h))
        return host_equal(h, &UNSPECIFIED6) || h->bytes[0] == 0xff;
    const uint8_t *ipv4 = h->bytes + sizeof MAPPED_PREFIX;
    bool is_multicast = (ipv4[0] & 0xf0) == 224;
    return ipv4[0] == 0 || is_multicast || memcmp(ipv4, BROADCAST4, sizeof BROADCAST4) == 0;
}

void endpoint_format(const struct host *h, uint16_t port, char ret_text[ENDPOINT_TEXT_SIZE])
{
    char host[HOST_TEXT_SIZE];
    host_format(h, host);
    const char *open = is_ipv4(h) ? "" : "[";
    const char *close = is_ipv4(h) ? "" : "]";
    int size = snprintf(ret_text, ENDPOINT_TEXT_SIZE, "tcp://%s%s%s:%u", open, host, close, (unsigned)port);
    assert(size > 0 && size < ENDPOINT_TEXT_SIZE);
}
