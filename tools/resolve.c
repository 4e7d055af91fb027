/* SPDX-License-Identifier: MIT */
#include "tools/resolve.h"

#include "messages/name.h"
#include "messages/shell/loop.h"
#include "node/listing.h"
#include "node/search.h"
#include "tools/cli/value.h"
#include "tools/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENT "zget/" ZSWARM_VERSION

bool is_id_text(const char *text)
{
    size_t size = strlen(text);
    return size >= 8 && size <= 64 && strspn(text, "0123456789abcdefABCDEF") == size;
}

static struct file_attributes attributes_of(const struct file_entry *file)
{
    return (struct file_attributes){file->has_mtime, file->mtime_ms,
                                    file->has_executable && file->is_executable};
}

static void set_file(struct target *target, const struct file_entry *file)
{
    target->id = file->id;
    target->root = file->root;
    target->size = file->size;
    snprintf(target->name, sizeof target->name, "%.*s", (int)file->name.size, file->name.bytes);
    target->attributes = attributes_of(file);
}

static void note_candidate(struct output *output, const struct file_entry *file, size_t source_count)
{
    char id[13], size[SIZE_TEXT_SIZE];
    hex_format(file->id.bytes, 6, id);
    size_format(file->size, size);
    json_t *event = event_new("candidate");
    json_object_set_new(event, "id", json_hex(file->id.bytes, sizeof file->id.bytes));
    json_object_set_new(event, "size", json_u64(file->size));
    json_object_set_new(event, "name", json_text(file->name));
    json_object_set_new(event, "sources", json_integer((json_int_t)source_count));
    output_event(output, event);
    output_note(output, "  %s  %8s  %3zu  %.*s", id, size, source_count, (int)file->name.size,
                file->name.bytes);
}

static void take_found(struct search *search, struct target *ret_target)
{
    struct found_file found = search_at(search, 0);
    *ret_target = (struct target){.source_count = 0};
    set_file(ret_target, &found.file);
    for (size_t i = 0; i < found.source_count && i < TARGET_SOURCES_MAX; i++) {
        const struct source_entry *source = &found.sources[i].source;
        ret_target->sources[ret_target->source_count++] =
            (struct target_source){{true, source->node}, source->host, source->port};
    }
}

static void report_ambiguous(struct output *output, struct search *search, const char *text)
{
    output_exit(output, EXIT_AMBIGUOUS);
    output_reason(output, "%zu different files match '%s': choose one by its id", search_count(search), text);
    for (size_t i = 0; i < search_count(search); i++) {
        struct found_file found = search_at(search, i);
        note_candidate(output, &found.file, found.source_count);
    }
}

static void report_missing(struct output *output, const struct message_search_done *counts, const char *text)
{
    unsigned unproven = counts->silent + counts->positive;
    output_exit(output, unproven ? EXIT_INCOMPLETE : EXIT_NOT_FOUND);
    output_reason(output, "'%s' not found: asked %u, positive %u, negative %u, silent %u, skipped %u", text,
                  counts->asked, counts->positive, counts->negative, counts->silent, counts->skipped);
}

bool resolve_search(struct link *link, struct search *search)
{
    enum exchange_result result = EXCHANGE_MESSAGE;
    while (search_state(search) == SEARCH_RUNNING) {
        struct message message;
        if (search_next_send(search, clock_now_ms(), &message))
            exchange_send(link->exchange, &message);
        result = exchange_wait(link->exchange, search_next_deadline_ms(search), &message);
        if (result == EXCHANGE_MESSAGE)
            search_on_message(search, &message, clock_now_ms());
        else if (result != EXCHANGE_DEADLINE)
            break;
        search_tick(search, clock_now_ms());
    }
    if (search_state(search) == SEARCH_COMPLETE)
        return true;
    if (search_state(search) == SEARCH_REFUSED) {
        struct message_error error = search_error(search);
        link_report_refusal(link, &error);
    } else {
        link_report(link, result);
    }
    return false;
}

enum found {
    FOUND_ONE,
    FOUND_SEVERAL,
    FOUND_NOTHING,
    FOUND_ERROR
};

static enum found search_for(struct link *link, uint8_t mode, const char *text, bool is_last,
                             struct target *ret_target)
{
    struct search_terms terms = {.mode = mode, .text = text_of(text)};
    struct search *search = search_new(&terms, random_u64() >> 32, RESOLVE_SEARCH_MS, clock_now_ms());
    enum found found = FOUND_ERROR;
    if (resolve_search(link, search)) {
        size_t count = search_count(search);
        found = count == 0 ? FOUND_NOTHING : count == 1 ? FOUND_ONE : FOUND_SEVERAL;
        if (found == FOUND_ONE)
            take_found(search, ret_target);
        else if (found == FOUND_SEVERAL)
            report_ambiguous(link->output, search, text);
        else if (is_last) {
            struct message_search_done counts = search_counts(search);
            report_missing(link->output, &counts, text);
        }
    }
    search_destroy(&search);
    return found;
}

/* The name leads to some nodes that have the file; its id to all, whatever they call it. */
static void add_other_sources(struct link *link, struct target *target)
{
    char id_text[ID_HEX_SIZE];
    struct target *by_id = malloc(sizeof *by_id);
    assert(by_id);
    hex_format(target->id.bytes, sizeof target->id.bytes, id_text);
    if (search_for(link, MODE_ID, id_text, false, by_id) == FOUND_ONE &&
        by_id->source_count > target->source_count) {
        memcpy(target->sources, by_id->sources, sizeof target->sources);
        target->source_count = by_id->source_count;
    }
    free(by_id);
}

bool resolve_by_broker(struct output *output, const struct endpoint *broker, uint64_t timeout_ms,
                       const char *text, struct target *ret_target)
{
    struct link link;
    enum found found = FOUND_ERROR;
    if (strlen(text) > QUERY_TEXT_SIZE_MAX || !text_is_clean(text_of(text))) {
        output_error(output, "'%s' is too long for a search, not UTF-8 or holds control characters", text);
        return false;
    }
    if (link_open(&link, output, SOCKET_BROKER_CLIENT, broker, timeout_ms)) {
        found = FOUND_NOTHING;
        if (is_id_text(text))
            found = search_for(&link, MODE_ID, text, false, ret_target);
        if (found == FOUND_NOTHING)
            found = search_for(&link, MODE_EXACT, text, true, ret_target);
        if (found == FOUND_ONE && !is_id_text(text))
            add_other_sources(&link, ret_target);
    }
    link_close(&link);
    return found == FOUND_ONE;
}

/* Different files that the named nodes offered for one argument; more than a screenful helps nobody. */
#define CANDIDATES_MAX 16

struct inquiry {
    struct output *output;
    const char *text;
    bool is_id;
    uint64_t timeout_ms;
    struct target candidates[CANDIDATES_MAX];
    size_t candidate_count;
    bool is_silent[TARGET_NODES_MAX]; /* a node gave no usable answer */
};

static void add_candidate(struct inquiry *self, const struct file_entry *file,
                          const struct target_source *source)
{
    size_t i = 0;
    while (i < self->candidate_count && !file_id_equal(&self->candidates[i].id, &file->id))
        i++;
    if (i == CANDIDATES_MAX)
        return;
    struct target *candidate = &self->candidates[i];
    if (i == self->candidate_count) {
        self->candidate_count++;
        candidate->source_count = 0;
        set_file(candidate, file);
    }
    if (candidate->source_count < TARGET_SOURCES_MAX)
        candidate->sources[candidate->source_count++] = *source;
}

/* The next reply with this rid; false when there is none. */
static bool wait_reply(struct exchange *exchange, uint64_t rid, uint64_t deadline_ms,
                       struct message *ret_reply)
{
    while (exchange_wait(exchange, deadline_ms, ret_reply) == EXCHANGE_MESSAGE) {
        if (ret_reply->rid == rid)
            return true;
    }
    return false;
}

/* A node that describes another file has not answered. */
static bool is_what_was_asked(const struct inquiry *self, const struct file_entry *file)
{
    if (self->is_id)
        return file_id_has_prefix(&file->id, self->text, strlen(self->text));
    return text_equal(file->name, text_of(self->text)) ||
           text_equal(name_base(file->name), text_of(self->text));
}

/* By name, or by a whole id. */
static bool open_at_node(struct inquiry *self, struct exchange *exchange, struct target_source *source)
{
    uint64_t deadline_ms = clock_now_ms() + self->timeout_ms;
    struct message reply, hello = {.kind = KIND_HELLO, .rid = 1}, open = {.kind = KIND_OPEN, .rid = 2};
    hello.hello.instance = random_u64();
    hello.hello.agent = text_of(AGENT);
    exchange_send(exchange, &hello);
    if (!wait_reply(exchange, hello.rid, deadline_ms, &reply) || reply.kind != KIND_HELLO_OK)
        return false;
    source->node = (struct optional_node_id){true, reply.hello_ok.node};
    open.open.file.is_present =
        self->is_id && hex_parse(self->text, strlen(self->text), open.open.file.bytes, 32);
    open.open.name = (struct optional_text){!self->is_id, text_of(self->text)};
    exchange_send(exchange, &open);
    if (!wait_reply(exchange, open.rid, deadline_ms, &reply))
        return false;
    if (reply.kind == KIND_OPEN_OK) {
        bool is_asked_for = is_what_was_asked(self, &reply.open_ok.file);
        if (is_asked_for)
            add_candidate(self, &reply.open_ok.file, source);
        return is_asked_for;
    }
    return reply.kind == KIND_ERROR && reply.error.code == ERROR_NOT_FOUND;
}

/* By the beginning of an id: only a list tells what there is. */
static bool list_at_node(struct inquiry *self, struct exchange *exchange, struct target_source *source)
{
    uint64_t now_ms = clock_now_ms();
    struct listing *listing = listing_new((struct text){NULL, 0}, 1, random_u64(), self->timeout_ms, now_ms);
    enum exchange_result result = EXCHANGE_MESSAGE;
    while (listing_state(listing) == LISTING_RUNNING && result != EXCHANGE_UNREACHABLE &&
           result != EXCHANGE_LOST) {
        struct message message;
        if (listing_next_send(listing, &message))
            exchange_send(exchange, &message);
        result = exchange_wait(exchange, listing_next_deadline_ms(listing), &message);
        if (result == EXCHANGE_MESSAGE && listing_on_message(listing, &message, clock_now_ms())) {
            for (size_t i = 0; i < message.list_ok.files.count; i++) {
                const struct file_entry *file = &message.list_ok.files.entries[i];
                if (file_id_has_prefix(&file->id, self->text, strlen(self->text)))
                    add_candidate(self, file, source);
            }
        }
        listing_tick(listing, clock_now_ms());
    }
    bool is_complete = listing_state(listing) == LISTING_COMPLETE;
    listing_destroy(&listing);
    return is_complete;
}

static bool ask_node(struct inquiry *self, const struct endpoint *node)
{
    struct address_list addresses;
    if (endpoint_resolve(node, self->timeout_ms, &addresses))
        return false;
    struct target_source source = {.host = addresses.entries[0].host, .port = node->port};
    struct exchange *exchange = exchange_new(SOCKET_PEER_CLIENT, &source.host, source.port);
    if (!exchange)
        return false;
    bool is_prefix = self->is_id && strlen(self->text) < 64;
    bool has_answered =
        is_prefix ? list_at_node(self, exchange, &source) : open_at_node(self, exchange, &source);
    exchange_destroy(&exchange);
    return has_answered;
}

static void ask_nodes(struct inquiry *self, const struct endpoint *nodes, size_t node_count)
{
    for (size_t i = 0; i < node_count; i++) {
        if (self->is_silent[i] || ask_node(self, &nodes[i]))
            continue;
        self->is_silent[i] = true;
        output_note(self->output, "no usable answer from the node at %s:%u", nodes[i].host, nodes[i].port);
    }
}

static size_t count_silent(const struct inquiry *self)
{
    size_t count = 0;
    for (size_t i = 0; i < TARGET_NODES_MAX; i++)
        count += self->is_silent[i];
    return count;
}

bool resolve_by_nodes(struct output *output, const struct endpoint *nodes, size_t node_count,
                      uint64_t timeout_ms, const char *text, struct target *ret_target)
{
    if (strlen(text) > NAME_SIZE_MAX || !text_is_clean(text_of(text))) {
        output_error(output, "'%s' is too long for a name, not UTF-8 or holds control characters", text);
        return false;
    }
    assert(node_count <= TARGET_NODES_MAX);
    static struct inquiry inquiry; /* 180 KiB: too much for a stack, and one at a time */
    inquiry = (struct inquiry){.output = output, .text = text, .timeout_ms = timeout_ms};
    inquiry.is_id = is_id_text(text);
    ask_nodes(&inquiry, nodes, node_count);
    if (inquiry.is_id && inquiry.candidate_count == 0) {
        inquiry.is_id = false;
        ask_nodes(&inquiry, nodes, node_count);
    }
    if (inquiry.candidate_count == 1) {
        *ret_target = inquiry.candidates[0];
        return true;
    }
    if (inquiry.candidate_count == 0) {
        size_t silent_count = count_silent(&inquiry);
        output_exit(output, silent_count ? EXIT_INCOMPLETE : EXIT_NOT_FOUND);
        output_reason(output, "'%s' not found: asked %zu, silent %zu", text, node_count, silent_count);
        return false;
    }
    output_exit(output, EXIT_AMBIGUOUS);
    output_reason(output, "%zu different files match '%s': choose one by its id", inquiry.candidate_count,
                  text);
    for (size_t i = 0; i < inquiry.candidate_count; i++) {
        const struct target *candidate = &inquiry.candidates[i];
        struct file_entry file = {
            .id = candidate->id, .size = candidate->size, .name = text_of(candidate->name)};
        note_candidate(output, &file, candidate->source_count);
    }
    return false;
}
