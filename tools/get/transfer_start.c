/* SPDX-License-Identifier: MIT */
#include "tools/get/transfer_private.h"

#include "tools/cli/value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How often to look whether another zget has let go of the file. */
#define LOCK_POLL_MS 200

void transfer_wait(struct transfers *self, uint64_t ms)
{
    self->wake_at_ms = clock_now_ms() + ms;
    transfers_run(self);
    self->wake_at_ms = UINT64_MAX;
}

static unsigned long long timeout_s(const struct transfers *self)
{
    return (self->options->timeout_ms + 999) / 1000;
}

struct site transfer_site(struct transfers *self)
{
    return (struct site){self,         self->output, self->options,     self->target,
                         self->folder, self->name,   self->shown_folder};
}

static void tell_start_failed(struct transfers *self, enum fetch_start start, int error, uint64_t needed,
                              uint64_t room)
{
    const struct site site = transfer_site(self);
    const char *where = self->name ? self->shown_folder : "the temporary folder";
    const char *cure = self->name ? "choose another folder with -d or -o" : "set $TMPDIR to another folder";
    char missing[SIZE_TEXT_SIZE];
    if (start == FETCH_NO_SPACE) {
        size_format(needed - room, missing);
        output_error(self->output, "no space in %s: %s more are needed; free some or %s", where, missing,
                     cure);
    } else if (!existing_tell_bad_partial(&site)) {
        output_error(self->output, "cannot write in %s: %s; %s", where, strerror(error), cure);
    }
}

enum waiting {
    WAITING_FREE,  /* try again */
    WAITING_DONE,  /* the other one has fetched it */
    WAITING_ENDED, /* told, or a signal came */
};

/* Another zget has the partial file. As long as that changes, something comes. */
static enum waiting wait_for_other(struct transfers *self, struct timespec *last_change,
                                   uint64_t *last_change_ms)
{
    const struct site site = transfer_site(self);
    char partial[PARTIAL_NAME_SIZE];
    struct timespec change;
    uint64_t now_ms = clock_now_ms();
    existing_partial(&site, partial, &change);
    if (*last_change_ms == 0)
        output_note(self->output, "another zget is fetching %s: waiting for it to let go of %s/%s",
                    self->name, self->shown_folder, partial);
    bool is_new = *last_change_ms == 0 || change.tv_sec != last_change->tv_sec ||
                  change.tv_nsec != last_change->tv_nsec;
    if (is_new) {
        *last_change = change;
        *last_change_ms = now_ms;
    }
    if (now_ms - *last_change_ms >= self->options->timeout_ms) {
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output,
                      "%s/%s is locked by another zget, and nothing came for %llu s: end that one",
                      self->shown_folder, partial, timeout_s(self));
        return WAITING_ENDED;
    }
    transfer_wait(self, LOCK_POLL_MS);
    enum existing existing = self->is_interrupted ? EXISTING_IN_THE_WAY : existing_check(&site);
    return existing == EXISTING_NONE   ? WAITING_FREE
           : existing == EXISTING_SAME ? WAITING_DONE
                                       : WAITING_ENDED;
}

bool transfer_start(struct transfers *self, const struct fetch_events *events)
{
    bool is_range = self->options->range.is_given;
    struct fetch_config config = {
        .download = {.id = self->target->id,
                     .root = self->target->root,
                     .size = self->target->size,
                     .range_begin = self->range_begin,
                     .range_end = self->range_end,
                     .is_in_order = self->options->is_in_order || !self->name,
                     .timeout_ms = self->options->timeout_ms,
                     .down_rate = self->options->down_rate,
                     .seed = random_u64(),
                     .node = {true, self->node},
                     .instance = self->instance,
                     .node_name = self->node_name,
                     .agent = TRANSFER_AGENT},
        .folder = self->folder,
        .name = self->name,
        .attributes = is_range ? (struct file_attributes){.has_mtime = false} : self->target->attributes,
        .must_replace = self->options->must_replace,
        .pipe_fd = self->name ? -1 : STDOUT_FILENO,
        .seed_fds = self->seeds.fds,
        .seed_count = self->seeds.count,
    };
    struct timespec last_change;
    uint64_t last_change_ms = 0, needed = 0, room = 0;
    while (!self->is_interrupted) {
        enum fetch_start start =
            fetch_new(self->loop, self->workers, &config, events, &self->fetch, &needed, &room);
        int error = errno;
        if (start == FETCH_STARTED)
            return true;
        if (start != FETCH_LOCKED) {
            tell_start_failed(self, start, error, needed, room);
            return false;
        }
        enum waiting waiting = wait_for_other(self, &last_change, &last_change_ms);
        if (waiting != WAITING_FREE)
            return waiting == WAITING_DONE;
    }
    return false;
}

static void tell_disk_failed(struct transfers *self, const char *name)
{
    const char *kept = self->name ? "; what came is kept" : "";
    if (!self->name && self->error_number == EPIPE) /* the reader has what it wanted: no news */
        output_exit(self->output, EXIT_ERROR);
    else if (self->error_number == ETXTBSY)
        output_error(self->output, "%s: another program keeps writing to the partial file: end that one",
                     name);
    else
        output_error(self->output, "%s: cannot write: %s%s", name, strerror(self->error_number), kept);
}

void transfer_tell_outcome(struct transfers *self)
{
    const char *name = self->name ? self->name : self->target->name;
    const char *kept = self->name ? "; what came is kept, and the same command goes on" : "";
    if (self->is_interrupted && !self->is_ended) {
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: interrupted%s", name,
                      self->name ? "; the same command goes on" : "");
        return;
    }
    switch (self->outcome) {
    case FETCH_PUBLISHED:
        break;
    case FETCH_EXISTS:
        output_error(self->output,
                     "%s/%s was made by another program meanwhile: move it away and run zget again",
                     self->shown_folder, name);
        break;
    case FETCH_STARVED:
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: no source is left%s", name, kept);
        break;
    case FETCH_TIMED_OUT:
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: %s for %llu s%s", name,
                      fetch_is_starved(self->fetch) ? "no source was left" : "nothing came", timeout_s(self),
                      kept);
        break;
    case FETCH_DISK_FAILED:
        tell_disk_failed(self, name);
        break;
    }
}
