/* SPDX-License-Identifier: MIT */
#include "node/shell/downloads/downloads_look.h"

#include "messages/name.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/fetch/chunk_store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool is_done(const struct listed_download *item)
{
    return item->state == DOWNLOADS_DONE;
}

/* A file that landed, and that the share has not seen yet: its name below the folder. */
static const char *landed_name(const struct downloads *self, const struct file_id *file)
{
    for (const struct runner *runner = self->runners; runner; runner = runner->next) {
        if (runner->state == RUNNER_LANDED && file_id_equal(&runner->file.id, file))
            return runner->target;
    }
    return NULL;
}

/* What is promised to pushes of other files, or is on the disk of those that did not end. */
static uint64_t taken_bytes(const struct downloads *self, const struct file_id *file,
                            size_t *ret_unfinished_count)
{
    const struct download_list *list = self->list;
    uint64_t bytes = 0;
    for (size_t i = 0; i < download_list_count(list); i++) {
        const struct listed_download *item = download_list_at(list, i);
        if (!item->is_pushed || is_done(item) || file_id_equal(&item->file.id, file))
            continue;
        bytes +=
            offers_cost(item->file.name, download_is_offered(item) ? item->file.size : item->saved_bytes);
        (*ret_unfinished_count)++;
    }
    return bytes;
}

/* Small files use up the disk's file entries before its bytes. Some file systems do not count them. */
static bool has_entries(const struct statvfs *status)
{
    return status->f_files == 0 || status->f_favail > status->f_files / PUSH_RESERVE_SHARE;
}

/* Of the disk, for whoever offers this file. What runs, or is about to, has its part already. */
static uint64_t free_bytes(const struct downloads *self, const struct file_id *file)
{
    struct statvfs status;
    if (statvfs(self->config.folder, &status) != 0 || !has_entries(&status))
        return 0;
    uint64_t reserve = (uint64_t)status.f_blocks * status.f_frsize / PUSH_RESERVE_SHARE;
    uint64_t promised = reserve < PUSH_RESERVE_BYTES_MAX ? reserve : PUSH_RESERVE_BYTES_MAX;
    const struct download_list *list = self->list;
    for (size_t i = 0; i < download_list_count(list); i++) {
        const struct listed_download *item = download_list_at(list, i);
        bool is_coming = download_is_offered(item) || item->state == DOWNLOADS_ACTIVE;
        if (is_coming && !is_done(item) && !file_id_equal(&item->file.id, file))
            promised += item->file.size - item->saved_bytes;
    }
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    return room > promised ? room - promised : 0;
}

/* What an earlier run left: a descriptor, or -1 with errno. */
static int open_partial(const struct downloads *self, const struct listed_download *item)
{
    char partial_name[PARTIAL_NAME_SIZE];
    char *base = text_copy(name_base(item->file.name)), *path = NULL;
    chunk_store_partial_name(base, &item->file.id, partial_name);
    int size = asprintf(&path, "%s/%s", self->config.temp, partial_name);
    assert(size >= 0);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    free(path);
    free(base);
    errno = error;
    return fd;
}

/* False when it may hold chunks that it does not tell: it cannot be read now, or the map of a complete one
 * was dropped before it got its name. */
static bool look_at_partial(const struct downloads *self, const struct listed_download *item,
                            struct chunk_map *saved)
{
    int fd = open_partial(self, item);
    struct chunk_store *store = NULL;
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR;
    if (!chunk_store_open_reader(fd, &store)) {
        struct stat status;
        bool is_empty = fstat(fd, &status) == 0 && status.st_size == 0;
        close(fd);
        return is_empty;
    }
    if (file_id_equal(chunk_store_id(store), &item->file.id))
        (void)chunk_map_load(saved, chunk_map_bits(chunk_store_claims(store)));
    chunk_store_close(&store);
    return true;
}

/* The chunks that are here: of a download that runs, also those that it has not looked at again yet. False
 * when there may be more. */
static bool look_at_saved(const struct downloads *self, const struct listed_download *item,
                          struct chunk_map *saved)
{
    const struct runner *runner = downloads_runner_by_id(self, &item->file.id);
    if (!runner)
        return look_at_partial(self, item, saved);
    const struct chunk_map *chunks = fetch_chunks(runner->fetch), *claims = fetch_claims(runner->fetch);
    for (uint32_t i = 0; i < saved->count; i++) {
        if (chunk_map_has(chunks, i) || chunk_map_has(claims, i))
            chunk_map_set(saved, i);
    }
    return true;
}

bool downloads_has_part(const struct downloads *self, const struct listed_download *item)
{
    struct chunk_map saved;
    chunk_map_init(&saved, layout_of(item->file.size).chunk_count);
    bool is_all = look_at_saved(self, item, &saved);
    bool has_part = !is_all || saved.set_count > 0;
    chunk_map_release(&saved);
    return has_part;
}

void downloads_look(const struct downloads *self, const struct file_entry *file, struct offer_facts *facts,
                    struct chunk_map *saved)
{
    const struct listed_download *item = download_list_by_id(self->list, &file->id);
    const char *landed = landed_name(self, &file->id);
    struct holding holding;
    chunk_map_init(saved, layout_of(file->size).chunk_count);
    if (holdings_by_id(self->config.holdings, &file->id, &holding) == HOLDINGS_FOUND &&
        !holding.content.is_partial) {
        facts->place = OFFER_HERE;
        facts->here_name = holding.file.name;
    } else if (landed) {
        facts->place = OFFER_HERE;
        facts->here_name = text_of(landed);
    } else if (item && !is_done(item)) {
        facts->place = OFFER_UNFINISHED;
        facts->is_ordered = !item->is_pushed;
        facts->is_paused = item->state == DOWNLOADS_PAUSED;
        (void)look_at_saved(self, item, saved);
        facts->saved = saved;
    }
    facts->taken_bytes = taken_bytes(self, &file->id, &facts->unfinished_count);
    facts->free_bytes = free_bytes(self, &file->id);
}
