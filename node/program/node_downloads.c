/* SPDX-License-Identifier: MIT */
#include "node/program/node.h"
#include "node/program/settings.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often to tell that a push failed. */
#define FAILED_PUSH_TOLD_MS 60000

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    int size = asprintf(&path, "%s/%s", folder, name);
    assert(size >= 0);
    return path;
}

/* Into the home, or into the first share when there is no home. */
static void choose_folders(struct node *self)
{
    bool has_home = settings.home || settings.shares.count == 0;
    if (has_home) {
        self->download_folder = join(self->state.home, "Download");
    } else {
        char *real = realpath(settings.shares.items[0], NULL);
        self->download_folder = real ? real : strdup(settings.shares.items[0]);
    }
    if (settings.temp)
        self->temp_folder = strdup(settings.temp);
    else
        self->temp_folder =
            has_home ? join(self->state.home, "Temp") : join(self->download_folder, ".zswarm");
    assert(self->download_folder);
    assert(self->temp_folder);
    shares_hide(self->shares, self->temp_folder);
}

/* Folders are made when they are needed. Those that are there already, or were asked for, are looked at now.
 */
static bool check_folders(struct node *self)
{
    if (!settings.temp && access(self->temp_folder, F_OK) != 0)
        return true;
    int error = downloads_check_folders(self->download_folder, self->temp_folder);
    if (error == EXDEV)
        output_error(self->output, "%s is not on the file system of %s: choose another --temp",
                     self->temp_folder, self->download_folder);
    else if (error && settings.temp)
        output_error(self->output, "cannot fetch into %s and %s: %s; choose another --temp",
                     self->temp_folder, self->download_folder, strerror(error));
    else if (error)
        output_note(self->output, "cannot fetch into %s: %s", self->temp_folder, strerror(error));
    return error == 0 || (error != EXDEV && !settings.temp); /* one that may only read still serves */
}

/* A stranger can offer what fails as often as he likes: he does not fill a log with it. */
static bool may_tell_failed(struct node *self, const struct downloads_view *view)
{
    uint64_t now_ms = clock_now_ms();
    if (!view->is_pushed)
        return true;
    if (now_ms < self->failed_push_told_ms)
        return false;
    self->failed_push_told_ms = now_ms + FAILED_PUSH_TOLD_MS;
    return true;
}

static void on_ended(void *owner, const struct downloads_view *view)
{
    struct node *self = owner;
    if (view->state == DOWNLOADS_DONE)
        output_note(self->output, "download %u is done: %s", view->number, view->target);
    else if (may_tell_failed(self, view))
        output_note(self->output, "download %u failed: %.*s: %s", view->number, (int)view->name.size,
                    view->name.bytes, view->reason);
}

/* Its hashes are known: others find it at once, and it is not hashed again. */
static bool on_landed(void *owner, const struct downloads_landing *landing)
{
    struct node *self = owner;
    struct file_stamp stamp;
    if (stamp_read(landing->fd, &stamp) != 0)
        return true; /* the share finds it by itself */
    struct hash *layer = NULL;
    if (landing->layer) {
        layer = calloc(landing->layer_count, sizeof *layer);
        assert(layer);
        memcpy(layer, landing->layer, landing->layer_count * sizeof *layer);
    }
    return shares_adopt(self->shares, landing->path, &stamp, &landing->root, layer);
}

static void on_trouble(void *owner, const char *text)
{
    struct node *self = owner;
    output_note(self->output, "%s", text);
}

bool node_choose_folders(struct node *self)
{
    choose_folders(self);
    return check_folders(self);
}

bool node_start_downloads(struct node *self)
{
    self->download_list = node_state_path(&self->state, "downloads");
    struct downloads_config config = {
        .loop = self->loop,
        .workers = self->fetching,
        .holdings = self->holdings,
        .partials = self->partials,
        .broker = self->broker,
        .node = self->state.id,
        .instance = self->instance,
        .node_name = self->state.name,
        .agent = NODE_AGENT,
        .folder = self->download_folder,
        .temp = self->temp_folder,
        .list = self->download_list,
        .down_rate = settings.down_rate,
    };
    struct downloads_events events = {
        .owner = self, .ended = on_ended, .landed = on_landed, .trouble = on_trouble};
    self->downloads = downloads_new(&config, &events);
    if (!settings.accepts_pushes)
        return true;
    self->pushed_list = node_state_path(&self->state, "pushed");
    self->offers = downloads_offers_new(self->loop, self->downloads, self->port, self->pushed_list,
                                        settings.push_quota_bytes);
    if (!self->offers)
        output_error(self->output, "cannot take pushes: too many parts in one loop");
    return self->offers != NULL;
}

void node_release_downloads(struct node *self)
{
    downloads_offers_destroy(&self->offers);
    downloads_destroy(&self->downloads);
    free(self->download_folder);
    free(self->temp_folder);
    free(self->download_list);
    free(self->pushed_list);
    self->download_folder = self->temp_folder = self->download_list = self->pushed_list = NULL;
}
