/* SPDX-License-Identifier: MIT */
#include "node/serve/listing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct listing {
    struct text prefix;
    uint64_t rid, instance;
    uint64_t timeout_ms, give_up_ms;
    enum listing_state state;
    bool must_send, is_greeted;
    bool has_generation;
    uint64_t generation, cursor;
    char *last_name; /* of what was handed out; NULL before the first */
    size_t last_name_size;
    unsigned restart_count;
    uint64_t file_count;
    uint64_t page_count, entry_count; /* what came, handed out or not */
    struct message_error error;
};

struct listing *listing_new(struct text prefix, uint64_t rid, uint64_t instance, uint64_t timeout_ms,
                            uint64_t now_ms)
{
    struct listing *self = calloc(1, sizeof *self);
    assert(self);
    self->prefix = (struct text){text_copy(prefix), prefix.size};
    self->rid = rid;
    self->instance = instance;
    self->timeout_ms = timeout_ms;
    self->give_up_ms = now_ms + timeout_ms;
    self->must_send = true;
    return self;
}

void listing_destroy(struct listing **self_p)
{
    assert(self_p);
    struct listing *self = *self_p;
    if (!self)
        return;
    free((void *)(uintptr_t)self->prefix.bytes);
    free((void *)(uintptr_t)self->error.text.bytes);
    free(self->last_name);
    free(self);
    *self_p = NULL;
}

bool listing_next_send(struct listing *self, struct message *ret_message)
{
    if (self->state != LISTING_RUNNING || !self->must_send)
        return false;
    self->must_send = false;
    if (!self->is_greeted) {
        *ret_message = (struct message){.kind = KIND_HELLO, .rid = self->rid};
        ret_message->hello = (struct message_hello){
            .instance = self->instance, .node_name = text_of(""), .agent = text_of("zswarm/" ZSWARM_VERSION)};
    } else {
        *ret_message = (struct message){.kind = KIND_LIST, .rid = self->rid};
        ret_message->list =
            (struct message_list){.prefix = self->prefix, .cursor = self->cursor, .limit = FILES_MAX};
    }
    return true;
}

static void ask_again(struct listing *self)
{
    self->rid++;
    self->must_send = true;
}

static void keep_last_name(struct listing *self, struct text name)
{
    free(self->last_name);
    self->last_name = text_copy(name);
    self->last_name_size = name.size;
}

/* Leaves in `files` what comes behind everything that was handed out. */
static void take_new(struct listing *self, struct file_list *files)
{
    struct text last = {self->last_name, self->last_name_size};
    bool has_last = self->last_name;
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        const struct file_entry *entry = &files->entries[i];
        if (!text_has_prefix(entry->name, self->prefix) || (has_last && text_compare(entry->name, last) <= 0))
            continue;
        last = entry->name;
        has_last = true;
        files->entries[kept++] = *entry;
    }
    files->count = kept;
    if (kept > 0)
        keep_last_name(self, last);
}

static void restart(struct listing *self)
{
    if (++self->restart_count > LISTING_RESTARTS_MAX) {
        self->state = LISTING_UNSTEADY;
        return;
    }
    self->has_generation = false;
    self->cursor = 0;
    ask_again(self);
}

static bool is_endless(const struct listing *self)
{
    if (self->file_count >= LISTING_FILES_MAX)
        return true;
    return self->page_count > LISTING_FREE_PAGES &&
           self->entry_count < self->page_count * LISTING_PAGE_FILES_MIN;
}

static bool on_page(struct listing *self, struct message_list_ok *page, uint64_t now_ms)
{
    if (self->has_generation && page->generation != self->generation) {
        page->files.count = 0;
        restart(self);
        return false;
    }
    self->has_generation = true;
    self->generation = page->generation;
    self->page_count++;
    self->entry_count += page->files.count;
    take_new(self, &page->files);
    self->file_count += page->files.count;
    if (page->files.count > 0)
        self->give_up_ms = now_ms + self->timeout_ms;
    self->cursor = page->next_cursor;
    if (self->cursor == 0)
        self->state = LISTING_COMPLETE;
    else if (is_endless(self))
        self->state = LISTING_ENDLESS;
    else
        ask_again(self);
    return page->files.count > 0;
}

bool listing_on_message(struct listing *self, struct message *message, uint64_t now_ms)
{
    if (self->state != LISTING_RUNNING || message->rid != self->rid || self->must_send)
        return false;
    if (message->kind == KIND_ERROR) {
        self->error = message->error;
        self->error.text.bytes = text_copy(message->error.text);
        self->state = LISTING_REFUSED;
    } else if (message->kind == KIND_HELLO_OK && !self->is_greeted) {
        self->is_greeted = true;
        self->give_up_ms = now_ms + self->timeout_ms;
        ask_again(self);
    } else if (message->kind == KIND_LIST_OK && self->is_greeted) {
        return on_page(self, &message->list_ok, now_ms);
    }
    return false;
}

void listing_tick(struct listing *self, uint64_t now_ms)
{
    if (self->state == LISTING_RUNNING && now_ms >= self->give_up_ms)
        self->state = self->restart_count ? LISTING_UNSTEADY : LISTING_UNANSWERED;
}

uint64_t listing_next_deadline_ms(const struct listing *self)
{
    return self->state == LISTING_RUNNING ? self->give_up_ms : UINT64_MAX;
}

enum listing_state listing_state(const struct listing *self)
{
    return self->state;
}

struct message_error listing_error(const struct listing *self)
{
    return self->error;
}
