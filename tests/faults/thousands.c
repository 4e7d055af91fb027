/* SPDX-License-Identifier: MIT */

/*
 * Thousands of nodes in one process, as a broker sees them: each a ZMTP connection that joins, pings and
 * answers. It knows frames, kinds and rids; what a node says comes from a file, so the protocol stays in one
 * place.
 *
 *   faults_thousands PORT FILE DEAF
 *
 * FILE has three strings a node, each after its size (4 bytes, little-endian): its JOIN header, a name,
 * and what follows the rid of its ANSWER when a QUERY has that name in it. To other QUERYs it has nothing.
 *
 * Prints `joined COUNT refused COUNT seconds S p99_ms MS` when all have joined or failed. Then it takes
 * lines: after `deaf` the last DEAF nodes read nothing more, and ping like all others; after `count` it
 * prints what was done so far, `positive N negative N lost N unsent N`: answers, connections that ended, and
 * messages that a socket did not take. Ends with its input.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    GREETING_SIZE = 64,
    /* A QUERY has 256 bytes of text, and nothing longer is sent to a node. */
    FRAME_BYTES_MAX = 1024,
    /* Below what the broker lets wait in its backlog. */
    HANDSHAKES_MAX = 1000,
    /* An address has 28 000 ports to connect from. */
    NODES_PER_ADDRESS = 5000,
    /* A lease is 30 s, and a third of it must not pass in silence. */
    PING_ROUND_S = 8,
    DEAF_BUFFER_BYTES = 4096,
    EVENTS_MAX = 512
};

enum {
    LONG = 2,
    COMMAND = 4
};
enum {
    ERROR = 0,
    PING = 1,
    PONG = 2,
    JOIN_OK = 11,
    QUERY = 15,
    ANSWER = 16
};
enum state {
    GREETING,
    READY,
    JOINING,
    JOINED,
    LOST
};

struct text {
    const uint8_t *bytes;
    uint32_t size;
};

struct node {
    int fd;
    enum state state;
    bool is_deaf;
    uint64_t began_ms, joined_ms;
    struct text join, name, answer;
    uint32_t have;
    uint8_t buffer[FRAME_BYTES_MAX];
};

static struct node *nodes;
static uint32_t node_count, started_count, joined_count, refused_count, handshakes;
static uint64_t positive_count, negative_count, lost_count, unsent_count;
static int events;

static const uint8_t greeting[GREETING_SIZE] = {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
static const uint8_t ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\6DEALER";

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct text take_text(const uint8_t **at, const uint8_t *end)
{
    uint32_t size;
    assert(end - *at >= (ptrdiff_t)sizeof size);
    memcpy(&size, *at, sizeof size);
    *at += sizeof size;
    assert(size <= end - *at);
    struct text text = {.bytes = *at, .size = size};
    *at += size;
    return text;
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        die(path);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size + 1);
    assert(bytes);
    if (fread(bytes, 1, size, file) != size)
        die(path);
    fclose(file);
    for (const uint8_t *at = bytes; at < bytes + size; node_count++) {
        if ((node_count & (node_count - 1)) == 0)
            nodes = realloc(nodes, (node_count ? 2 * (size_t)node_count : 1) * sizeof *nodes);
        assert(nodes);
        struct node *node = &nodes[node_count];
        *node = (struct node){.fd = -1};
        node->join = take_text(&at, bytes + size);
        node->name = take_text(&at, bytes + size);
        node->answer = take_text(&at, bytes + size);
    }
}

static void lose(struct node *node)
{
    if (node->state == JOINED)
        lost_count++;
    else {
        refused_count++;
        handshakes--;
    }
    node->state = LOST;
    close(node->fd);
}

static void send_bytes(const struct node *node, const void *bytes, size_t size)
{
    if (send(node->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
        unsent_count++;
}

static void send_frame(const struct node *node, uint8_t flags, const uint8_t *bytes, size_t size)
{
    uint8_t frame[9 + FRAME_BYTES_MAX] = {flags, (uint8_t)size};
    size_t begin = 2;
    assert(size <= FRAME_BYTES_MAX);
    if (size > UINT8_MAX) {
        uint16_t low = htons((uint16_t)size);
        frame[0] |= LONG;
        frame[1] = 0;
        memcpy(frame + 7, &low, sizeof low);
        begin = 9;
    }
    memcpy(frame + begin, bytes, size);
    send_bytes(node, frame, begin + size);
}

/* [1, kind, rid and what follows]; `rid` is msgpack as it came. */
static void reply(const struct node *node, uint8_t array, uint8_t kind, const uint8_t *rid, size_t rid_size,
                  struct text tail)
{
    uint8_t header[FRAME_BYTES_MAX] = {array, 1, kind};
    assert(3 + rid_size + tail.size <= sizeof header);
    memcpy(header + 3, rid, rid_size);
    memcpy(header + 3 + rid_size, tail.bytes, tail.size);
    send_frame(node, 0, header, 3 + rid_size + tail.size);
}

static void on_joined(struct node *node)
{
    node->state = JOINED;
    node->joined_ms = now_ms();
    joined_count++;
    handshakes--;
}

static void on_command(struct node *node, const uint8_t *bytes, size_t size)
{
    if (node->state == READY && size > 6 && memcmp(bytes, "\5READY", 6) == 0) {
        node->state = JOINING;
        send_frame(node, 0, node->join.bytes, node->join.size);
    } else if (size >= 7 && memcmp(bytes, "\4PING", 5) == 0) {
        uint8_t pong[FRAME_BYTES_MAX] = "\4PONG";
        memcpy(pong + 5, bytes + 7, size - 7);
        send_frame(node, COMMAND, pong, size - 2);
    }
}

static void on_message(struct node *node, const uint8_t *bytes, size_t size)
{
    static const uint8_t nothing[] = {0, 0x90};
    if (size < 4 || (bytes[0] & 0xf0) != 0x90)
        return;
    const uint8_t *rid = bytes + 3;
    size_t rid_size = *rid < 0x80                    ? 1
                      : *rid >= 0xcc && *rid <= 0xcf ? 1 + ((size_t)1 << (*rid - 0xcc))
                                                     : size;
    if (rid_size > size - 3)
        return;
    if (bytes[2] == JOIN_OK && node->state == JOINING) {
        on_joined(node);
    } else if (bytes[2] == ERROR && node->state == JOINING) {
        lose(node);
    } else if (bytes[2] == PING) {
        reply(node, 0x93, PONG, rid, rid_size, (struct text){nothing, 0});
    } else if (bytes[2] == QUERY && memmem(bytes, size, node->name.bytes, node->name.size)) {
        positive_count++;
        reply(node, 0x95, ANSWER, rid, rid_size, node->answer);
    } else if (bytes[2] == QUERY) {
        negative_count++;
        reply(node, 0x95, ANSWER, rid, rid_size, (struct text){nothing, sizeof nothing});
    }
}

/* Takes one frame from the front of `bytes`: its length, or 0 when it is not all there. */
static size_t take_frame(struct node *node, const uint8_t *bytes, size_t size)
{
    size_t begin = size && bytes[0] & LONG ? 9 : 2;
    if (size < begin)
        return 0;
    size_t body = begin == 2 ? bytes[1] : (size_t)bytes[7] << 8 | bytes[8];
    if (size - begin < body)
        return 0;
    if (bytes[0] & COMMAND)
        on_command(node, bytes + begin, body);
    else
        on_message(node, bytes + begin, body);
    return begin + body;
}

static void read_node(struct node *node)
{
    ssize_t got = recv(node->fd, node->buffer + node->have, sizeof node->buffer - node->have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        lose(node);
        return;
    }
    node->have += (uint32_t)got;
    size_t begin = 0, length = 1;
    if (node->state == GREETING && node->have >= GREETING_SIZE) {
        begin = GREETING_SIZE;
        node->state = READY;
        send_bytes(node, ready, sizeof ready - 1);
    }
    while (node->state != GREETING && node->state != LOST && length) {
        length = take_frame(node, node->buffer + begin, node->have - begin);
        begin += length;
    }
    node->have -= (uint32_t)begin;
    memmove(node->buffer, node->buffer + begin, node->have);
    if (node->have == sizeof node->buffer && node->state != LOST)
        lose(node); /* longer than anything that a node is sent */
}

static void start_node(uint32_t index, uint16_t port)
{
    struct node *node = &nodes[index];
    struct sockaddr_in own = {.sin_family = AF_INET},
                       broker = {.sin_family = AF_INET, .sin_port = htons(port)};
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index / NODES_PER_ADDRESS);
    broker.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, small = DEAF_BUFFER_BYTES;
    node->began_ms = now_ms();
    node->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (node->fd < 0)
        die("socket");
    /* With this the port is chosen at the connect, among those that are free for this pair of addresses. */
    setsockopt(node->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (node->is_deaf)
        setsockopt(node->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (bind(node->fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        connect(node->fd, (struct sockaddr *)&broker, sizeof broker) != 0)
        die("connect");
    setsockopt(node->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = node};
    if (epoll_ctl(events, EPOLL_CTL_ADD, node->fd, &event) != 0)
        die("epoll_ctl");
    send_bytes(node, greeting, sizeof greeting);
    handshakes++;
    started_count++;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void print_joined(uint64_t began_ms)
{
    uint64_t *took_ms = calloc(node_count, sizeof *took_ms);
    uint32_t count = 0;
    assert(took_ms);
    for (uint32_t i = 0; i < node_count; i++) {
        if (nodes[i].joined_ms)
            took_ms[count++] = nodes[i].joined_ms - nodes[i].began_ms;
    }
    qsort(took_ms, count, sizeof *took_ms, compare);
    printf("joined %u refused %u seconds %.2f p99_ms %lu\n", joined_count, refused_count,
           (double)(now_ms() - began_ms) / 1000, count ? (unsigned long)took_ms[count * 99ul / 100] : 0);
    fflush(stdout);
    free(took_ms);
}

static void on_input(void)
{
    char line[64];
    if (read(STDIN_FILENO, line, sizeof line) <= 0)
        exit(0);
    for (uint32_t i = 0; line[0] == 'd' && i < node_count; i++) {
        if (nodes[i].is_deaf && nodes[i].state == JOINED)
            epoll_ctl(events, EPOLL_CTL_DEL, nodes[i].fd, NULL);
    }
    printf("positive %lu negative %lu lost %lu unsent %lu\n", (unsigned long)positive_count,
           (unsigned long)negative_count, (unsigned long)lost_count, (unsigned long)unsent_count);
    fflush(stdout);
}

/* One part of all nodes each second, as a node does it: the message keeps the lease, the command of ZMTP
 * shows whether the connection lives. */
static void ping(uint64_t second)
{
    static const uint8_t message[] = {0x93, 1, PING, 1};
    static const uint8_t command[] = "\4PING\0";
    for (uint32_t i = (uint32_t)(second % PING_ROUND_S); i < node_count; i += PING_ROUND_S) {
        if (nodes[i].state != JOINED)
            continue;
        send_frame(&nodes[i], 0, message, sizeof message);
        send_frame(&nodes[i], COMMAND, command, sizeof command);
    }
}

static void serve(uint16_t port)
{
    uint64_t began_ms = now_ms(), pinged_s = began_ms / 1000;
    bool is_told = false;
    for (;;) {
        while (started_count < node_count && handshakes < HANDSHAKES_MAX)
            start_node(started_count, port);
        struct epoll_event ready_events[EVENTS_MAX];
        int count = epoll_wait(events, ready_events, EVENTS_MAX, 200);
        for (int i = 0; i < count; i++) {
            if (ready_events[i].data.ptr)
                read_node(ready_events[i].data.ptr);
            else
                on_input();
        }
        for (; pinged_s < now_ms() / 1000; pinged_s++)
            ping(pinged_s);
        if (!is_told && joined_count + refused_count == node_count) {
            is_told = true;
            print_joined(began_ms);
        }
    }
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: faults_thousands PORT FILE DEAF\n");
        return 2;
    }
    load(arguments[2]);
    uint32_t deaf = (uint32_t)strtoul(arguments[3], NULL, 10);
    for (uint32_t i = node_count > deaf ? node_count - deaf : 0; i < node_count; i++)
        nodes[i].is_deaf = true;
    events = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    if (events < 0 || epoll_ctl(events, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        die("epoll");
    serve((uint16_t)strtoul(arguments[1], NULL, 10));
}
