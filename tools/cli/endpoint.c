/* SPDX-License-Identifier: MIT */
#include "tools/cli/endpoint.h"
#include "tools/cli/value.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static const char host_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

/* Splits `text` behind `tcp://` into host and port text; the port is NULL when there is none. */
static bool split(const char *text, const char **ret_host, size_t *ret_host_size, const char **ret_port)
{
    if (*text == '[') {
        const char *close_bracket = strchr(text, ']');
        if (!close_bracket || (close_bracket[1] != '\0' && close_bracket[1] != ':'))
            return false;
        *ret_host = text + 1;
        *ret_host_size = (size_t)(close_bracket - text - 1);
        *ret_port = close_bracket[1] ? close_bracket + 2 : NULL;
        return true;
    }
    const char *colon = strchr(text, ':');
    if (colon && strchr(colon + 1, ':'))
        colon = NULL; /* a bare IPv6 address */
    *ret_host = text;
    *ret_host_size = colon ? (size_t)(colon - text) : strlen(text);
    *ret_port = colon ? colon + 1 : NULL;
    return true;
}

bool endpoint_parse(const char *text, uint16_t port_default, struct endpoint *ret_endpoint)
{
    const char *host, *port_text;
    size_t host_size;
    struct host numeric;
    if (strncasecmp(text, "tcp://", 6) == 0)
        text += 6;
    if (!split(text, &host, &host_size, &port_text) || host_size == 0 || host_size >= ENDPOINT_HOST_SIZE)
        return false;
    bool must_be_numeric = *text == '[' || memchr(host, ':', host_size);
    if (must_be_numeric && !host_parse((struct text){host, host_size}, &numeric))
        return false;
    if (!must_be_numeric && strspn(host, host_characters) != host_size)
        return false;
    struct endpoint endpoint = {.port = port_default};
    if (port_text ? !port_parse(port_text, &endpoint.port) : port_default == 0)
        return false;
    memcpy(endpoint.host, host, host_size);
    *ret_endpoint = endpoint;
    return true;
}

void endpoint_show(const struct endpoint *self, char ret_text[ENDPOINT_FORMAT_SIZE])
{
    bool is_ipv6 = strchr(self->host, ':');
    snprintf(ret_text, ENDPOINT_FORMAT_SIZE, is_ipv6 ? "tcp://[%s]:%u" : "tcp://%s:%u", self->host,
             self->port);
}

static bool host_of(const struct sockaddr *address, struct host *ret_host)
{
    if (address->sa_family == AF_INET6) {
        memcpy(ret_host->bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
        return true;
    }
    if (address->sa_family != AF_INET)
        return false;
    *ret_host = (struct host){{[10] = 0xff, [11] = 0xff}};
    memcpy(ret_host->bytes + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    return true;
}

/* What the resolver's helper thread works on; left to it when it does not end in time. */
struct lookup {
    struct gaicb request;
    struct addrinfo hints;
    char host[ENDPOINT_HOST_SIZE];
};

const char *endpoint_resolve(const struct endpoint *self, uint64_t timeout_ms, struct address_list *ret_list)
{
    struct address_list list = {.count = 0};
    if (host_parse(text_of(self->host), &list.entries[0].host)) {
        list.entries[0].port = self->port;
        list.count = 1;
        *ret_list = list;
        return NULL;
    }
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return "out of memory";
    memcpy(lookup->host, self->host, sizeof lookup->host);
    lookup->hints =
        (struct addrinfo){.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    lookup->request.ar_name = lookup->host;
    lookup->request.ar_request = &lookup->hints;
    struct gaicb *requests[] = {&lookup->request};
    struct timespec timeout = {(time_t)(timeout_ms / 1000), (long)(timeout_ms % 1000) * 1000000};
    int rc = getaddrinfo_a(GAI_NOWAIT, requests, 1, NULL);
    if (rc == 0)
        rc = gai_suspend((const struct gaicb *const *)requests, 1, &timeout);
    if (rc == 0 || rc == EAI_ALLDONE)
        rc = gai_error(&lookup->request);
    if (rc == EAI_AGAIN && gai_error(&lookup->request) == EAI_INPROGRESS)
        rc = EAI_INPROGRESS;
    if (rc == EAI_INPROGRESS && gai_cancel(&lookup->request) == EAI_NOTCANCELED)
        return "the name was not resolved in time"; /* `lookup` stays: its thread still uses it */
    for (struct addrinfo *info = rc == 0 ? lookup->request.ar_result : NULL;
         info && list.count < ADDRESSES_MAX; info = info->ai_next) {
        if (host_of(info->ai_addr, &list.entries[list.count].host))
            list.entries[list.count++].port = self->port;
    }
    if (rc == 0)
        freeaddrinfo(lookup->request.ar_result);
    free(lookup);
    if (rc != 0)
        return gai_strerror(rc);
    if (list.count == 0)
        return "the name has no address";
    *ret_list = list;
    return NULL;
}

static bool address_accepts(const struct address *address, int timeout_ms)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    memcpy(&name.sin6_addr, address->host.bytes, 16); /* mapped IPv4 works on a dual-stack socket */
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int error = 0, rc = connect(fd, (const struct sockaddr *)&name, sizeof name);
    if (rc < 0 && errno == EINPROGRESS) {
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        socklen_t size = sizeof error;
        rc = poll(&item, 1, timeout_ms) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? 0
                                                                                                         : -1;
    }
    close(fd);
    return rc == 0 && error == 0;
}

struct address address_choose(const struct address_list *list, uint64_t timeout_ms)
{
    uint64_t share_ms = timeout_ms / list->count;
    for (size_t i = 0; list->count > 1 && i < list->count; i++) {
        if (address_accepts(&list->entries[i], share_ms < 60000 ? (int)share_ms : 60000))
            return list->entries[i];
    }
    return list->entries[0];
}
