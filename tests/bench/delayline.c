/* SPDX-License-Identifier: MIT */

/*
 * A long line between two network namespaces, for kernels without sch_netem: two TAP devices, and frames
 * carried from each to the other at a rate, with a delay, through a drop-tail queue.
 *
 *   delayline DEVICE NETNS_A NETNS_B DELAY_US RATE_BITS QUEUE_BYTES [JITTER_US LOST DOUBLED SEED]
 *
 * DELAY_US is one way, RATE_BITS a second and QUEUE_BYTES (before the bottleneck) hold for each direction.
 * In bad weather each frame takes up to JITTER_US less or more, so that frames overtake each other, and of
 * a thousand LOST never arrive and DOUBLED come twice; SEED decides which. Both devices are called DEVICE;
 * the caller gives them addresses after `ready`. They vanish with this process.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_BYTES_MAX = 1536,
    /* 16 Ki full frames are 25 MB on the way: 1 Gbit/s for 200 ms. */
    FRAMES_MAX = 1 << 14,
    BATCH_MAX = 64
};

struct frame {
    uint64_t due_ns, number;
    uint32_t size;
    uint8_t bytes[FRAME_BYTES_MAX];
};

/* One direction. `frames` is a heap of `count`, the one that is due first in front; behind them are free
 * ones. */
struct line {
    int from, to;
    uint64_t busy_until_ns, taken, dropped;
    uint32_t count;
    struct frame **frames;
};

struct rules {
    uint64_t delay_ns, rate_bits, queue_bytes;
    uint64_t jitter_ns;
    uint32_t lost_permille, doubled_permille;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* A TAP device belongs to the namespace in which it is made, whoever holds it. */
static int open_tap(const char *netns, const char *device)
{
    char path[128];
    snprintf(path, sizeof path, "/run/netns/%s", netns);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0)
        die(path);
    close(space);
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0)
        die("/dev/net/tun");
    return tap;
}

static uint64_t transmission_ns(const struct rules *rules, uint64_t bytes)
{
    return bytes * 8 * 1000000000u / rules->rate_bits;
}

static bool is_before(const struct frame *a, const struct frame *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void swap(struct line *line, uint32_t a, uint32_t b)
{
    struct frame *frame = line->frames[a];
    line->frames[a] = line->frames[b];
    line->frames[b] = frame;
}

/* The frame behind the heap, which the caller has filled, becomes part of it. */
static void push(struct line *line)
{
    uint32_t at = line->count++;
    line->frames[at]->number = line->taken++;
    for (uint32_t up; at > 0 && is_before(line->frames[at], line->frames[up = (at - 1) / 2]); at = up)
        swap(line, at, up);
}

/* The first frame is free again, behind the heap. */
static void pop(struct line *line)
{
    uint32_t at = 0, down;
    swap(line, 0, --line->count);
    while ((down = 2 * at + 1) < line->count) {
        if (down + 1 < line->count && is_before(line->frames[down + 1], line->frames[down]))
            down++;
        if (!is_before(line->frames[down], line->frames[at]))
            return;
        swap(line, at, down);
        at = down;
    }
}

static bool happens(uint32_t permille)
{
    return permille && (uint32_t)random() % 1000 < permille;
}

static uint64_t way_ns(const struct rules *rules)
{
    if (rules->jitter_ns == 0)
        return rules->delay_ns;
    return rules->delay_ns - rules->jitter_ns + (uint64_t)random() % (2 * rules->jitter_ns + 1);
}

static void take(struct line *line, const struct rules *rules)
{
    for (int i = 0; i < BATCH_MAX; i++) {
        uint8_t spare[FRAME_BYTES_MAX];
        uint64_t now = now_ns();
        bool full = line->count == FRAMES_MAX ||
                    (line->busy_until_ns > now &&
                     line->busy_until_ns - now > transmission_ns(rules, rules->queue_bytes));
        struct frame *frame = full ? NULL : line->frames[line->count];
        ssize_t size = read(line->from, full ? spare : frame->bytes, FRAME_BYTES_MAX);
        if (size <= 0)
            return;
        if (full) {
            line->dropped++;
            continue;
        }
        uint64_t begin = line->busy_until_ns > now ? line->busy_until_ns : now;
        line->busy_until_ns = begin + transmission_ns(rules, (uint64_t)size);
        if (happens(rules->lost_permille))
            continue;
        frame->due_ns = line->busy_until_ns + way_ns(rules);
        frame->size = (uint32_t)size;
        push(line);
        if (happens(rules->doubled_permille) && line->count < FRAMES_MAX) {
            struct frame *again = line->frames[line->count];
            memcpy(again->bytes, frame->bytes, frame->size);
            again->size = frame->size;
            again->due_ns = line->busy_until_ns + way_ns(rules);
            push(line);
        }
    }
}

static void give(struct line *line)
{
    while (line->count && line->frames[0]->due_ns <= now_ns()) {
        const struct frame *frame = line->frames[0];
        if (write(line->to, frame->bytes, frame->size) < 0 && errno != EAGAIN && errno != EIO)
            die("write");
        pop(line);
    }
}

static uint64_t next_due_ns(const struct line *line)
{
    return line->count ? line->frames[0]->due_ns : UINT64_MAX;
}

static void carry(struct line lines[2], const struct rules *rules)
{
    struct pollfd polls[2] = {{.fd = lines[0].from, .events = POLLIN},
                              {.fd = lines[1].from, .events = POLLIN}};
    for (;;) {
        uint64_t due = next_due_ns(&lines[0]), other = next_due_ns(&lines[1]), now = now_ns();
        if (other < due)
            due = other;
        uint64_t wait = due <= now ? 0 : due - now;
        struct timespec timeout = {.tv_sec = wait < 1000000000u ? 0 : 1,
                                   .tv_nsec = wait < 1000000000u ? (long)wait : 0};
        if (ppoll(polls, 2, &timeout, NULL) < 0 && errno != EINTR)
            die("ppoll");
        for (int i = 0; i < 2; i++) {
            take(&lines[i], rules);
            give(&lines[i]);
        }
    }
}

static struct rules read_rules(int count, char **arguments)
{
    struct rules rules = {.delay_ns = strtoull(arguments[4], NULL, 10) * 1000,
                          .rate_bits = strtoull(arguments[5], NULL, 10),
                          .queue_bytes = strtoull(arguments[6], NULL, 10)};
    if (count > 7) {
        rules.jitter_ns = strtoull(arguments[7], NULL, 10) * 1000;
        rules.lost_permille = (uint32_t)strtoul(arguments[8], NULL, 10);
        rules.doubled_permille = (uint32_t)strtoul(arguments[9], NULL, 10);
        srandom((unsigned)strtoul(arguments[10], NULL, 10));
    }
    return rules;
}

static void line_open(struct line *line, int from, int to)
{
    struct frame *frames = calloc(FRAMES_MAX, sizeof *frames);
    *line = (struct line){.from = from, .to = to, .frames = calloc(FRAMES_MAX, sizeof *line->frames)};
    assert(frames && line->frames);
    for (uint32_t i = 0; i < FRAMES_MAX; i++)
        line->frames[i] = &frames[i];
}

int main(int count, char **arguments)
{
    if (count != 7 && count != 11) {
        fprintf(stderr, "usage: delayline DEVICE NETNS_A NETNS_B DELAY_US RATE_BITS QUEUE_BYTES "
                        "[JITTER_US LOST DOUBLED SEED]\n");
        return 2;
    }
    struct rules rules = read_rules(count, arguments);
    if (rules.rate_bits == 0 || rules.jitter_ns > rules.delay_ns) {
        fprintf(stderr, "delayline: a rate of 0, or frames that arrive before they are sent\n");
        return 2;
    }
    /* The kernel's slack of 50 us would come on top of the delay. */
    prctl(PR_SET_TIMERSLACK, 1000UL);
    int a = open_tap(arguments[2], arguments[1]), b = open_tap(arguments[3], arguments[1]);
    struct line lines[2];
    line_open(&lines[0], a, b);
    line_open(&lines[1], b, a);
    printf("ready\n");
    fflush(stdout);
    carry(lines, &rules);
}
