/* SPDX-License-Identifier: MIT */
#include "tools/get/explain.h"

#include "tools/cli/value.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_MS 100

/* What one thread ran and what it waited for a processor; 0 when it has ended or the kernel does not tell. */
static uint64_t thread_cpu_ns(int tasks_fd, const char *thread)
{
    char path[64], text[128];
    snprintf(path, sizeof path, "%.20s/schedstat", thread);
    int fd = openat(tasks_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    char *end;
    uint64_t ran_ns = strtoull(text, &end, 10);
    return ran_ns + strtoull(end, NULL, 10);
}

/* On a busy machine our threads get less than they need: what they wait for counts as well. */
static uint64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    uint64_t least_ns = (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec, total_ns = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        if (task->d_name[0] != '.')
            total_ns += thread_cpu_ns(dirfd(tasks), task->d_name);
    }
    if (tasks)
        closedir(tasks);
    return total_ns > least_ns ? total_ns : least_ns;
}

void explain_begin(struct explain *self, uint64_t now_ms)
{
    *self = (struct explain){.sampled_ms = now_ms, .cpu_ns = cpu_ns()};
}

uint64_t explain_sample(struct explain *self, const struct fetch *fetch, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - self->sampled_ms;
    if (elapsed_ms < SAMPLE_MS)
        return self->sampled_ms + SAMPLE_MS;
    struct fetch_load load = fetch_load(fetch);
    uint64_t used_ns = cpu_ns();
    used_ns = used_ns > self->cpu_ns ? used_ns : self->cpu_ns; /* a thread that ended took its part along */
    struct bottleneck_sample sample = {
        .elapsed_ms = elapsed_ms,
        .backlog_bytes = load.download.backlog_bytes,
        .hash_ns = load.hash_ns - self->hash_ns,
        .write_ns = load.write_ns - self->write_ns,
        .cpu_percent = (unsigned)((used_ns - self->cpu_ns) / 10000 / elapsed_ms / processor_count()),
        .is_window_full = load.download.is_window_full,
        .is_limited = load.download.is_limited,
    };
    bottleneck_add(&self->tally, &sample);
    self->sampled_ms = now_ms;
    self->hash_ns = load.hash_ns;
    self->write_ns = load.write_ns;
    self->cpu_ns = used_ns;
    return now_ms + SAMPLE_MS;
}

/* The source that gave most: what the others add matters less. */
static struct download_source main_source(const struct fetch *fetch)
{
    struct download_source most = {.name = ""};
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        struct download_source source = fetch_source_at(fetch, i);
        if (source.received_bytes > most.received_bytes)
            most = source;
    }
    return most;
}

void explain_print(const struct explain *self, const struct fetch *fetch, struct output *output)
{
    static const struct {
        const char *name, *text;
    } causes[BOTTLENECK_COUNT] = {
        [BOTTLENECK_SOURCES] = {"source",
                                "the sources or the links to them could not deliver more; most came from"},
        [BOTTLENECK_WINDOW] = {"window",
                               "the sources allow no more bytes on the way, and the round trip is long; most "
                               "came from"},
        [BOTTLENECK_RECEIVER] = {"receiver", "this machine's processors were busy"},
        [BOTTLENECK_DISK] = {"disk", "the disk here could not write faster"},
        [BOTTLENECK_LIMIT] = {"limit", "--down allowed no more"},
    };
    enum bottleneck verdict = bottleneck_verdict(&self->tally);
    unsigned percent = bottleneck_percent(&self->tally, verdict);
    json_object_set_new(output_figures(output), "bound", json_string(causes[verdict].name));
    json_object_set_new(output_figures(output), "bound_percent", json_integer(percent));
    if (output_is_json(output))
        return;
    struct download_source source = main_source(fetch);
    char endpoint[ENDPOINT_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
    endpoint_format(&source.host, source.port, endpoint);
    rate_format(source.rate, rate);
    if (verdict == BOTTLENECK_SOURCES || verdict == BOTTLENECK_WINDOW)
        output_note(output, "%s-bound %u %% of the time: %s %s (%s), at %s in the end", causes[verdict].name,
                    percent, causes[verdict].text, source.name, endpoint, rate);
    else
        output_note(output, "%s-bound %u %% of the time: %s", causes[verdict].name, percent,
                    causes[verdict].text);
}
