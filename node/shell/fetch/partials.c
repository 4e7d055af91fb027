/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/partials.h"

#include "messages/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Downloads are on one disk, which no share has for its own lane. */
#define PARTIALS_LANE UINT64_MAX

struct served {
    uint64_t handle;
    struct fetch *fetch;
    struct file_entry file;
    bool is_held; /* among the holdings */
    UT_hash_handle hh;
};

struct partials {
    struct holdings *holdings;
    struct data_port *port;
    struct content_source shared; /* functions NULL when there is none */
    struct served *served;        /* by handle */
    uint64_t last_handle;
};

static struct served *find(const struct partials *self, uint64_t handle)
{
    struct served *served;
    HASH_FIND(hh, self->served, &handle, sizeof handle, served);
    return served;
}

/* Where bytes come from. */

/* A partial file has no stamp: it changes all the time, but never a verified chunk. */
static bool locate(void *owner, struct content content, struct open_file_place *ret_place)
{
    struct partials *self = owner;
    if (!content.is_partial && self->shared.locate)
        return self->shared.locate(self->shared.owner, content, ret_place);
    const struct served *served = content.is_partial ? find(self, content.handle) : NULL;
    errno = ENOENT;
    int fd = served ? fetch_reader(served->fetch) : -1;
    if (fd >= 0)
        *ret_place = (struct open_file_place){.fd = fd, .folder_fd = -1, .lane = PARTIALS_LANE};
    return fd >= 0;
}

static enum disk_result load_hashes(void *owner, struct content content, uint32_t first, uint32_t count,
                                    struct hash *ret_hashes)
{
    const struct partials *self = owner;
    if (!content.is_partial && self->shared.load_hashes)
        return self->shared.load_hashes(self->shared.owner, content, first, count, ret_hashes);
    const struct served *served = content.is_partial ? find(self, content.handle) : NULL;
    const struct hash *layer = served ? fetch_layer(served->fetch) : NULL;
    if (!layer)
        return DISK_FAILED;
    memcpy(ret_hashes, layer + first, count * sizeof *ret_hashes);
    return DISK_OK;
}

/* Only said of files with a stamp. */
static void changed(void *owner, struct content content, const struct file_stamp *stamp)
{
    struct partials *self = owner;
    if (!content.is_partial && self->shared.changed)
        self->shared.changed(self->shared.owner, content, stamp);
}

struct content_source partials_source(struct partials *self)
{
    return (struct content_source){
        .owner = self, .locate = locate, .load_hashes = load_hashes, .changed = changed};
}

/* What is served. */

static bool is_holdable(const struct served *served)
{
    bool has_hashes = fetch_layer(served->fetch) || !layout_has_layer(fetch_layout(served->fetch));
    return has_hashes && fetch_chunks(served->fetch)->set_count > 0;
}

static void hold(struct partials *self, struct served *served)
{
    served->is_held = holdings_add_partial(self->holdings, served->handle, &served->file,
                                           chunk_map_bits(fetch_chunks(served->fetch)).bytes);
}

uint64_t partials_add(struct partials *self, struct fetch *fetch, const struct file_entry *file)
{
    struct served *served = calloc(1, sizeof *served);
    assert(served);
    served->handle = ++self->last_handle;
    served->fetch = fetch;
    served->file = *file;
    served->file.have_permille = 0;
    HASH_ADD(hh, self->served, handle, sizeof served->handle, served);
    if (is_holdable(served))
        hold(self, served);
    return served->handle;
}

void partials_saved(struct partials *self, uint64_t handle, uint32_t chunk)
{
    struct served *served = find(self, handle);
    if (served && served->is_held) {
        holdings_partial_verified(self->holdings, handle, chunk, 1);
        data_port_verified(self->port, handle, chunk, 1);
    } else if (served && is_holdable(served)) {
        hold(self, served);
    }
}

void partials_remove(struct partials *self, uint64_t handle)
{
    struct served *served = find(self, handle);
    if (!served)
        return;
    if (served->is_held) {
        holdings_remove_partial(self->holdings, handle);
        data_port_forget(self->port, (struct content){.is_partial = true, .handle = handle});
    }
    HASH_DEL(self->served, served);
    free(served);
}

struct partials *partials_new(struct holdings *holdings, struct data_port *port,
                              const struct content_source *shared)
{
    struct partials *self = calloc(1, sizeof *self);
    assert(self);
    self->holdings = holdings;
    self->port = port;
    if (shared)
        self->shared = *shared;
    return self;
}

void partials_destroy(struct partials **self_p)
{
    struct partials *self = *self_p;
    if (!self)
        return;
    struct served *served, *next;
    HASH_ITER(hh, self->served, served, next)
    {
        HASH_DEL(self->served, served);
        free(served);
    }
    free(self);
    *self_p = NULL;
}
