/* SPDX-License-Identifier: MIT */

/*
 * The floor under a search: a bare DEALER-ROUTER-DEALER relay of the same messages, and a client that
 * times a broker or the relay alike.
 *
 *   relay relay COUNT                    a ROUTER; the first COUNT routes that speak are its nodes
 *   relay node ENDPOINT BYTES            a DEALER that answers each message with BYTES bytes
 *   relay client ENDPOINT COUNT HEX      sends the SEARCH in HEX COUNT times, prints the median in us
 *
 * The relay sends each SEARCH to every node and, when all have answered, a FOUND of the size of all
 * answers together and a SEARCH_DONE to the client.
 */

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum {
    FRAME_MAX = 65536,
    NODES_MAX = 64,
    ROUTE_SIZE = 5,
    SEARCH_DONE = 18
};

struct route {
    uint8_t bytes[ROUTE_SIZE];
};

static uint8_t frame[FRAME_MAX];

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void send_to(void *router, const struct route *route, const void *bytes, size_t size)
{
    zmq_send(router, route->bytes, ROUTE_SIZE, ZMQ_SNDMORE);
    zmq_send(router, bytes, size, 0);
}

static size_t receive_from(void *router, struct route *route)
{
    int route_size = zmq_recv(router, route->bytes, ROUTE_SIZE, 0);
    int size = zmq_recv(router, frame, sizeof frame, 0);
    assert(route_size == ROUTE_SIZE && size >= 0 && size <= (int)sizeof frame);
    return (size_t)size;
}

static int relay(void *context, size_t count)
{
    static const uint8_t done[] = {0x93, 1, SEARCH_DONE, 0};
    struct route nodes[NODES_MAX], route;
    void *router = zmq_socket(context, ZMQ_ROUTER);
    char endpoint[256];
    size_t endpoint_size = sizeof endpoint;
    assert(count <= NODES_MAX);
    zmq_bind(router, "tcp://127.0.0.1:*");
    zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_size);
    printf("ready %s\n", endpoint);
    fflush(stdout);
    for (size_t i = 0; i < count; i++)
        receive_from(router, &nodes[i]);
    printf("joined\n");
    fflush(stdout);
    for (;;) {
        struct route client;
        size_t found_size = 0, size = receive_from(router, &client);
        for (size_t i = 0; i < count; i++)
            send_to(router, &nodes[i], frame, size);
        for (size_t i = 0; i < count; i++)
            found_size += receive_from(router, &route);
        memset(frame, 0, sizeof frame);
        send_to(router, &client, frame, found_size < sizeof frame ? found_size : sizeof frame);
        send_to(router, &client, done, sizeof done);
    }
}

static int node(void *context, const char *endpoint, size_t size)
{
    static uint8_t answer[FRAME_MAX];
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    assert(size <= sizeof answer);
    zmq_connect(dealer, endpoint);
    zmq_send(dealer, "join", 4, 0);
    while (zmq_recv(dealer, frame, sizeof frame, 0) >= 0)
        zmq_send(dealer, answer, size, 0);
    return 0;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static int client(void *context, const char *endpoint, size_t count, const char *hex)
{
    uint8_t search[512];
    size_t size = strlen(hex) / 2;
    assert(size <= sizeof search && count > 0);
    for (size_t i = 0; i < size; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        search[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    double *times = calloc(count, sizeof *times);
    assert(times);
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    int timeout_ms = 10000;
    zmq_setsockopt(dealer, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_connect(dealer, endpoint);
    for (size_t i = 0; i < count; i++) {
        double began = now_us();
        zmq_send(dealer, search, size, 0);
        do {
            if (zmq_recv(dealer, frame, sizeof frame, 0) < 3) {
                fprintf(stderr, "no answer\n");
                return 1;
            }
        } while (frame[2] != SEARCH_DONE);
        times[i] = now_us() - began;
    }
    qsort(times, count, sizeof *times, compare);
    printf("%.0f %.0f\n", times[count / 2], times[count * 99 / 100]);
    free(times);
    zmq_close(dealer);
    return 0;
}

int main(int argc, char **argv)
{
    void *context = zmq_ctx_new();
    if (argc == 3 && strcmp(argv[1], "relay") == 0)
        return relay(context, strtoul(argv[2], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "node") == 0)
        return node(context, argv[2], strtoul(argv[3], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "client") == 0)
        return client(context, argv[2], strtoul(argv[3], NULL, 10), argv[4]);
    fprintf(stderr, "usage: relay relay COUNT | node ENDPOINT BYTES | client ENDPOINT COUNT HEX\n");
    return 2;
}
