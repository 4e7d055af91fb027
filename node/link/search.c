/* SPDX-License-Identifier: MIT */
#include "node/link/search.h"

#include "messages/name.h"
#include "messages/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct file {
    struct file_entry entry; /* as it was first found; its name is names[0] */
    struct text *names;
    size_t name_count;
    struct found_source *sources;
    size_t source_count, complete_count;
    bool is_exact;
    UT_hash_handle hh;
};

struct search {
    struct search_terms terms;
    uint64_t rid;
    uint64_t give_up_ms;
    uint64_t send_at_ms; /* UINT64_MAX while an answer is awaited */
    enum search_state state;
    bool is_answered;
    struct message_search_done counts;
    struct message_error error;
    struct file *by_id;
    struct file **order; /* every file once */
    size_t count;
    bool is_sorted, is_cut;
    size_t text_bytes;
};

struct search *search_new(const struct search_terms *terms, uint64_t rid, uint64_t timeout_ms,
                          uint64_t now_ms)
{
    struct search *self = calloc(1, sizeof *self);
    assert(self);
    self->terms = *terms;
    self->terms.text.bytes = text_copy(terms->text);
    self->rid = rid;
    self->send_at_ms = now_ms;
    uint64_t longest_ms = UINT64_MAX - 1 - SEARCH_LATE_MS - now_ms;
    self->give_up_ms = now_ms + (timeout_ms < longest_ms ? timeout_ms : longest_ms);
    self->order = calloc(SEARCH_FILES_MAX, sizeof(struct file *));
    assert(self->order);
    return self;
}

static void free_text(struct text t)
{
    free((void *)(uintptr_t)t.bytes);
}

static void file_free(struct file *file)
{
    for (size_t i = 0; i < file->name_count; i++)
        free_text(file->names[i]);
    for (size_t i = 0; i < file->source_count; i++)
        free_text(file->sources[i].source.name);
    free(file->names);
    free(file->sources);
    free(file);
}

void search_destroy(struct search **self_p)
{
    assert(self_p);
    struct search *self = *self_p;
    if (!self)
        return;
    HASH_CLEAR(hh, self->by_id);
    for (size_t i = 0; i < self->count; i++)
        file_free(self->order[i]);
    free(self->order);
    free_text(self->terms.text);
    free_text(self->error.text);
    free(self);
    *self_p = NULL;
}

/* The time the broker gets: what is left without a tenth, 250 ms at most, for the way back. */
static uint32_t broker_deadline_ms(const struct search *self, uint64_t left_ms)
{
    uint32_t max_ms = self->terms.gather_ms ? self->terms.gather_ms : SEARCH_DEADLINE_MS_MAX;
    uint64_t margin_ms = left_ms / 10 < 250 ? left_ms / 10 : 250;
    uint64_t deadline_ms = left_ms - margin_ms;
    if (deadline_ms > max_ms)
        return max_ms;
    return deadline_ms ? (uint32_t)deadline_ms : 1; /* 0 would be the default */
}

bool search_next_send(struct search *self, uint64_t now_ms, struct message *ret_message)
{
    if (self->state != SEARCH_RUNNING || now_ms < self->send_at_ms || now_ms >= self->give_up_ms)
        return false;
    self->send_at_ms = UINT64_MAX;
    *ret_message = (struct message){.kind = KIND_SEARCH, .rid = self->rid};
    ret_message->search = (struct message_search){
        .mode = self->terms.mode,
        .text = self->terms.text,
        .min_size = self->terms.min_size,
        .max_size = self->terms.max_size,
        .limit = self->terms.limit,
        .deadline_ms = broker_deadline_ms(self, self->give_up_ms - now_ms),
    };
    return true;
}

/* A copy within the budget; false when it is used up. */
static bool keep_text(struct search *self, struct text t, struct text *ret_copy)
{
    if (t.size > SEARCH_TEXT_BYTES_MAX - self->text_bytes) {
        self->is_cut = true;
        return false;
    }
    self->text_bytes += t.size;
    *ret_copy = (struct text){text_copy(t), t.size};
    return true;
}

static bool is_exact_name(const struct search *self, struct text name)
{
    return text_equal(name, self->terms.text) || text_equal(name_base(name), self->terms.text);
}

/* Exact before others, then the shorter, then byte order. */
static bool is_better_name(const struct search *self, struct text a, struct text b)
{
    bool a_exact = is_exact_name(self, a), b_exact = is_exact_name(self, b);
    if (a_exact != b_exact)
        return a_exact;
    return a.size != b.size ? a.size < b.size : text_compare(a, b) < 0;
}

/* The kept copy of `name`, added if need be; NULL bytes when there is no room. */
static struct text file_add_name(struct search *self, struct file *file, struct text name)
{
    for (size_t i = 0; i < file->name_count; i++) {
        if (text_equal(file->names[i], name))
            return file->names[i];
    }
    struct text copy = {NULL, 0};
    if (file->name_count == SEARCH_NAMES_MAX) {
        self->is_cut = true;
        return copy;
    }
    if (!keep_text(self, name, &copy))
        return copy;
    file->names = reallocarray(file->names, file->name_count + 1, sizeof *file->names);
    assert(file->names);
    file->names[file->name_count] = copy;
    if (file->name_count > 0 && is_better_name(self, copy, file->names[0])) {
        file->names[file->name_count] = file->names[0];
        file->names[0] = copy;
    }
    file->name_count++;
    file->is_exact = file->is_exact || is_exact_name(self, copy);
    return copy;
}

static void file_add_source(struct search *self, struct file *file, const struct source_entry *source,
                            struct text file_name, uint16_t have_permille)
{
    for (size_t i = 0; i < file->source_count; i++) {
        struct found_source *known = &file->sources[i];
        if (!node_id_equal(&known->source.node, &source->node))
            continue;
        if (have_permille > known->have_permille) {
            known->have_permille = have_permille;
            known->file_name = file_name;
        }
        return;
    }
    struct text node_name;
    if (file->source_count == SEARCH_SOURCES_MAX) {
        self->is_cut = true;
        return;
    }
    if (!keep_text(self, source->name, &node_name))
        return;
    file->sources = reallocarray(file->sources, file->source_count + 1, sizeof *file->sources);
    assert(file->sources);
    struct found_source *added = &file->sources[file->source_count++];
    *added = (struct found_source){*source, file_name, have_permille};
    added->source.name = node_name;
}

static struct file *file_of(struct search *self, const struct file_entry *entry)
{
    struct file *file;
    HASH_FIND(hh, self->by_id, entry->id.bytes, sizeof entry->id.bytes, file);
    if (file)
        return file;
    if (self->count == SEARCH_FILES_MAX) {
        self->is_cut = true;
        return NULL;
    }
    file = calloc(1, sizeof *file);
    assert(file);
    file->entry = *entry;
    if (!file_add_name(self, file, entry->name).bytes) {
        file_free(file);
        return NULL;
    }
    HASH_ADD(hh, self->by_id, entry.id.bytes, sizeof file->entry.id.bytes, file);
    self->order[self->count++] = file;
    return file;
}

static void on_found(struct search *self, const struct message_found *found)
{
    self->is_sorted = false;
    for (size_t i = 0; i < found->count; i++) {
        const struct file_entry *entry = &found->entries[i].file;
        const struct source_list *sources = &found->entries[i].sources;
        struct file *file = sources->count ? file_of(self, entry) : NULL;
        struct text name = file ? file_add_name(self, file, entry->name) : (struct text){NULL, 0};
        for (size_t k = 0; name.bytes && k < sources->count; k++)
            file_add_source(self, file, &sources->entries[k], name, entry->have_permille);
    }
}

static void on_error(struct search *self, const struct message_error *error, uint64_t now_ms)
{
    free_text(self->error.text);
    self->error = *error;
    self->error.text.bytes = text_copy(error->text);
    uint64_t retry_ms = error->retry_ms > SEARCH_RETRY_MS_MIN ? error->retry_ms : SEARCH_RETRY_MS_MIN;
    bool may_retry = error->code == ERROR_LIMIT || error->code == ERROR_BUSY;
    if (may_retry && self->give_up_ms > now_ms && retry_ms < self->give_up_ms - now_ms) {
        self->send_at_ms = now_ms + retry_ms;
        self->rid++; /* a late reply to the refused one is not taken for an answer */
        return;
    }
    self->state = SEARCH_REFUSED;
}

void search_on_message(struct search *self, const struct message *message, uint64_t now_ms)
{
    if (self->state != SEARCH_RUNNING || message->rid != self->rid || self->send_at_ms != UINT64_MAX)
        return;
    if (message->kind == KIND_FOUND) {
        on_found(self, &message->found);
    } else if (message->kind == KIND_SEARCH_DONE) {
        self->counts = message->search_done;
        self->state = SEARCH_COMPLETE;
    } else if (message->kind == KIND_ERROR) {
        on_error(self, &message->error, now_ms);
    } else {
        return;
    }
    self->is_answered = true;
}

void search_tick(struct search *self, uint64_t now_ms)
{
    if (self->state == SEARCH_RUNNING && now_ms >= self->give_up_ms + SEARCH_LATE_MS)
        self->state = self->is_answered ? SEARCH_CUT_OFF : SEARCH_UNANSWERED;
}

uint64_t search_next_deadline_ms(const struct search *self)
{
    if (self->state != SEARCH_RUNNING)
        return UINT64_MAX;
    return self->send_at_ms < self->give_up_ms ? self->send_at_ms : self->give_up_ms + SEARCH_LATE_MS;
}

enum search_state search_state(const struct search *self)
{
    return self->state;
}

struct message_search_done search_counts(const struct search *self)
{
    assert(self->state == SEARCH_COMPLETE);
    struct message_search_done counts = self->counts;
    counts.truncated = counts.truncated || self->is_cut;
    return counts;
}

struct message_error search_error(const struct search *self)
{
    return self->error;
}

size_t search_count(const struct search *self)
{
    return self->count;
}

static int compare_sources(const void *a_p, const void *b_p)
{
    const struct found_source *a = a_p, *b = b_p;
    if (a->have_permille != b->have_permille)
        return a->have_permille > b->have_permille ? -1 : 1;
    return memcmp(a->source.node.bytes, b->source.node.bytes, sizeof a->source.node.bytes);
}

static int compare_files(const void *a_p, const void *b_p)
{
    const struct file *a = *(struct file *const *)a_p, *b = *(struct file *const *)b_p;
    if (a->is_exact != b->is_exact)
        return a->is_exact ? -1 : 1;
    if (a->complete_count != b->complete_count)
        return a->complete_count > b->complete_count ? -1 : 1;
    if (a->names[0].size != b->names[0].size)
        return a->names[0].size < b->names[0].size ? -1 : 1;
    return file_id_compare(&a->entry.id, &b->entry.id);
}

static void sort(struct search *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct file *file = self->order[i];
        if (file->source_count > 1)
            qsort(file->sources, file->source_count, sizeof *file->sources, compare_sources);
        file->complete_count = 0;
        while (file->complete_count < file->source_count &&
               file->sources[file->complete_count].have_permille >= PERMILLE_COMPLETE)
            file->complete_count++;
    }
    if (self->count > 1)
        qsort(self->order, self->count, sizeof(struct file *), compare_files);
    self->is_sorted = true;
}

struct found_file search_at(struct search *self, size_t position)
{
    assert(position < self->count);
    if (!self->is_sorted)
        sort(self);
    const struct file *file = self->order[position];
    struct found_file found = {
        .file = file->entry,
        .names = file->names,
        .name_count = file->name_count,
        .sources = file->sources,
        .source_count = file->source_count,
        .complete_count = file->complete_count,
        .is_exact = file->is_exact,
    };
    found.file.name = file->names[0];
    found.file.have_permille = file->source_count ? file->sources[0].have_permille : 0;
    return found;
}
