/* SPDX-License-Identifier: MIT */

/*
 * A long line between two network namespaces, for kernels without sch_netem: two TAP devices, and frames
 * carried from each to the other at a rate, with a delay, through a drop-tail queue.
 *
 *   delayline DEVICE NETNS_A NETNS_B DELAY_US RATE_BITS QUEUE_BYTES
 *
 * DELAY_US is one way, RATE_BITS a second and QUEUE_BYTES (before the bottleneck) hold for each direction.
 * Both devices are called DEVICE; the caller gives them addresses after `ready`. They vanish with this
 * process.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
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
    uint64_t due_ns;
    uint32_t size;
    uint8_t bytes[FRAME_BYTES_MAX];
};

/* One direction; frames are [sent, put), in order of their time. */
struct line {
    int from, to;
    uint64_t busy_until_ns, sent, put, dropped;
    struct frame *frames;
};

struct rules {
    uint64_t delay_ns, rate_bits, queue_bytes;
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

static void take(struct line *line, const struct rules *rules)
{
    for (int i = 0; i < BATCH_MAX; i++) {
        struct frame *frame = &line->frames[line->put % FRAMES_MAX];
        uint8_t spare[FRAME_BYTES_MAX];
        uint64_t now = now_ns();
        int full = line->put - line->sent == FRAMES_MAX ||
                   (line->busy_until_ns > now &&
                    line->busy_until_ns - now > transmission_ns(rules, rules->queue_bytes));
        ssize_t size = read(line->from, full ? spare : frame->bytes, FRAME_BYTES_MAX);
        if (size <= 0)
            return;
        if (full) {
            line->dropped++;
            continue;
        }
        uint64_t begin = line->busy_until_ns > now ? line->busy_until_ns : now;
        line->busy_until_ns = begin + transmission_ns(rules, (uint64_t)size);
        frame->due_ns = line->busy_until_ns + rules->delay_ns;
        frame->size = (uint32_t)size;
        line->put++;
    }
}

static void give(struct line *line)
{
    while (line->sent != line->put && line->frames[line->sent % FRAMES_MAX].due_ns <= now_ns()) {
        const struct frame *frame = &line->frames[line->sent % FRAMES_MAX];
        if (write(line->to, frame->bytes, frame->size) < 0 && errno != EAGAIN && errno != EIO)
            die("write");
        line->sent++;
    }
}

static uint64_t next_due_ns(const struct line *line)
{
    return line->sent == line->put ? UINT64_MAX : line->frames[line->sent % FRAMES_MAX].due_ns;
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

int main(int count, char **arguments)
{
    if (count != 7) {
        fprintf(stderr, "usage: delayline DEVICE NETNS_A NETNS_B DELAY_US RATE_BITS QUEUE_BYTES\n");
        return 2;
    }
    struct rules rules = {.delay_ns = strtoull(arguments[4], NULL, 10) * 1000,
                          .rate_bits = strtoull(arguments[5], NULL, 10),
                          .queue_bytes = strtoull(arguments[6], NULL, 10)};
    if (rules.rate_bits == 0) {
        fprintf(stderr, "delayline: a rate of 0\n");
        return 2;
    }
    /* The kernel's slack of 50 us would come on top of the delay. */
    prctl(PR_SET_TIMERSLACK, 1000UL);
    int a = open_tap(arguments[2], arguments[1]), b = open_tap(arguments[3], arguments[1]);
    struct line lines[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    for (int i = 0; i < 2; i++) {
        lines[i].frames = calloc(FRAMES_MAX, sizeof *lines[i].frames);
        assert(lines[i].frames);
    }
    printf("ready\n");
    fflush(stdout);
    carry(lines, &rules);
}
