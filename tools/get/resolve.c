/* SPDX-License-Identifier: MIT */
#include "tools/get/resolve.h"

#include "messages/name.h"
#include "messages/shell/loop.h"
#include "node/link/search.h"
#include "node/serve/listing.h"
#include "tools/cli/value.h"
#include "tools/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define AGENT "zget/" ZSWARM_VERSION

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

void resolve_hint_unproven(struct output *output)
{
    output_note(output, "a node that is slow, or still reads its files, cannot say no: try again");
}

static void give_hint(struct output *output, bool is_proven, const char *text)
{
    if (is_proven && strpbrk(text, "*?["))
        output_note(output, "a name must be exact: --glob takes it as a pattern");
    else if (is_proven)
        output_note(
            output,
            "a name must be exact, upper and lower case too, and a folder ends with /; 'zsearch' finds "
            "a file by parts of its name");
    else
        resolve_hint_unproven(output);
}

static void report_missing(struct output *output, const struct message_search_done *counts, const char *text)
{
    unsigned unproven = counts->silent + counts->positive;
    output_exit(output, unproven ? EXIT_INCOMPLETE : EXIT_NOT_FOUND);
    output_reason(output, "'%s' not found: asked %u, positive %u, negative %u, silent %u, skipped %u", text,
                  counts->asked, counts->positive, counts->negative, counts->silent, counts->skipped);
    give_hint(output, unproven == 0, text);
}

bool resolve_search(struct link *link, struct search *search)
{
    enum exchange_result result = link_search(link, search);
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

uint64_t resolve_patience_ms(uint64_t timeout_ms)
{
    return timeout_ms > RESOLVE_SEARCH_MS ? timeout_ms : RESOLVE_SEARCH_MS;
}

static enum found search_for(struct link *link, uint8_t mode, const char *text, bool is_last,
                             struct target *ret_target)
{
    struct search_terms terms = {.mode = mode, .text = text_of(text), .gather_ms = RESOLVE_SEARCH_MS};
    uint64_t patience_ms = resolve_patience_ms(link_left_ms(link));
    struct search *search = search_new(&terms, random_u64() >> 32, patience_ms, clock_now_ms());
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
    struct search_terms terms = {.mode = MODE_ID, .text = text_of(id_text)};
    struct search *search = search_new(&terms, random_u64() >> 32, RESOLVE_SEARCH_MS, clock_now_ms());
    /* What was found is enough without it, so nobody hears of its failure. */
    (void)link_search(link, search);
    if (search_state(search) == SEARCH_COMPLETE && search_count(search) == 1) {
        take_found(search, by_id);
        if (by_id->source_count > target->source_count) {
            memcpy(target->sources, by_id->sources, sizeof target->sources);
            target->source_count = by_id->source_count;
        }
    }
    search_destroy(&search);
    free(by_id);
}

/* A name is matched byte for byte, and accents may be typed as parts of their letters or behind them. */
struct spellings {
    char *forms[3]; /* as typed, then those that differ */
    size_t count, size_max;
};

/* Takes `form`. */
static void spellings_add(struct spellings *self, char *form)
{
    bool is_new = form && strlen(form) <= self->size_max;
    for (size_t i = 0; i < self->count && is_new; i++)
        is_new = strcmp(self->forms[i], form) != 0;
    if (is_new)
        self->forms[self->count++] = form;
    else
        free(form);
}

/* `text` is not longer than size_max. */
static void spellings_init(struct spellings *self, const char *text, size_t size_max)
{
    *self = (struct spellings){.size_max = size_max};
    spellings_add(self, strdup(text));
    spellings_add(self, (char *)utf8proc_NFC((const utf8proc_uint8_t *)text));
    spellings_add(self, (char *)utf8proc_NFD((const utf8proc_uint8_t *)text));
    assert(self->count > 0);
}

static void spellings_release(struct spellings *self)
{
    while (self->count > 0)
        free(self->forms[--self->count]);
}

static bool is_usable(struct output *output, const char *text, size_t size_max)
{
    const char *problem = text_problem(text, size_max);
    if (problem)
        output_error(output, "'%s' %s", text, problem);
    else if (!*text)
        output_error(output, "'' is no name: see zget --help");
    return !problem && *text;
}

bool resolve_by_broker(struct output *output, const struct endpoint *broker, uint64_t timeout_ms,
                       const char *text, struct target *ret_target)
{
    struct link link;
    struct spellings names;
    enum found found = FOUND_ERROR;
    if (!is_usable(output, text, QUERY_TEXT_SIZE_MAX))
        return false;
    spellings_init(&names, text, QUERY_TEXT_SIZE_MAX);
    if (link_open(&link, output, SOCKET_BROKER_CLIENT, broker, timeout_ms)) {
        found = FOUND_NOTHING;
        if (is_id_text(text))
            found = search_for(&link, MODE_ID, text, false, ret_target);
        for (size_t i = 0; found == FOUND_NOTHING && i < names.count; i++)
            found = search_for(&link, MODE_EXACT, names.forms[i], i + 1 == names.count, ret_target);
        if (found == FOUND_ONE && !is_id_text(text))
            add_other_sources(&link, ret_target);
    }
    link_close(&link);
    spellings_release(&names);
    return found == FOUND_ONE;
}

/* A node that says "busy, ask again in 0 ms" is not asked in a tight loop. */
#define BUSY_MS_MIN 100

/* Different files that the named nodes offered for one argument; more than a screenful helps nobody. */
#define CANDIDATES_MAX 16

struct inquiry {
    struct output *output;
    const char *text;
    bool is_id;
    uint64_t timeout_ms;
    const char *problem; /* of the node that was asked last */
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

static void note_refusal(struct inquiry *self, const struct message *reply)
{
    if (reply->kind == KIND_ERROR)
        self->problem = reply->error.code == ERROR_UNSUPPORTED ? "it may be a broker, which has no files"
                                                               : error_name(reply->error.code);
}

/* When a node that said "busy" is to be asked again; UINT64_MAX when it has had the time that a search takes.
 */
static uint64_t ask_again_ms(const struct message *reply, uint64_t last_ms)
{
    if (reply->kind != KIND_ERROR || reply->error.code != ERROR_BUSY)
        return UINT64_MAX;
    uint64_t pause_ms = reply->error.retry_ms > BUSY_MS_MIN ? reply->error.retry_ms : BUSY_MS_MIN;
    uint64_t again_ms = clock_now_ms() + pause_ms;
    return again_ms <= last_ms ? again_ms : UINT64_MAX;
}

/* A node that is still hashing what may be the file says so. */
static bool ask_until_answered(struct exchange *exchange, struct message *request, uint64_t deadline_ms,
                               struct message *ret_reply)
{
    uint64_t last_ms = clock_now_ms() + RESOLVE_SEARCH_MS;
    if (last_ms > deadline_ms)
        last_ms = deadline_ms;
    for (;; request->rid++) {
        exchange_send(exchange, request);
        if (!wait_reply(exchange, request->rid, deadline_ms, ret_reply))
            return false;
        uint64_t again_ms = ask_again_ms(ret_reply, last_ms);
        if (again_ms == UINT64_MAX)
            return true;
        struct message stray;
        enum exchange_result result;
        while ((result = exchange_wait(exchange, again_ms, &stray)) == EXCHANGE_MESSAGE)
            ;
        if (result != EXCHANGE_DEADLINE)
            return false;
    }
}

/* By name, or by a whole id. */
static bool open_at_node(struct inquiry *self, struct exchange *exchange, struct target_source *source)
{
    uint64_t deadline_ms = clock_now_ms() + self->timeout_ms;
    struct message reply, hello = {.kind = KIND_HELLO, .rid = 1}, open = {.kind = KIND_OPEN, .rid = 2};
    hello.hello.instance = random_u64();
    hello.hello.agent = text_of(AGENT);
    exchange_send(exchange, &hello);
    if (!wait_reply(exchange, hello.rid, deadline_ms, &reply))
        return false;
    if (reply.kind != KIND_HELLO_OK) {
        note_refusal(self, &reply);
        return false;
    }
    source->node = (struct optional_node_id){true, reply.hello_ok.node};
    open.open.file.is_present =
        self->is_id && hex_parse(self->text, strlen(self->text), open.open.file.bytes, 32);
    open.open.name = (struct optional_text){!self->is_id, text_of(self->text)};
    if (!ask_until_answered(exchange, &open, deadline_ms, &reply))
        return false;
    if (reply.kind == KIND_OPEN_OK) {
        bool is_asked_for = is_what_was_asked(self, &reply.open_ok.file);
        if (is_asked_for)
            add_candidate(self, &reply.open_ok.file, source);
        return is_asked_for;
    }
    note_refusal(self, &reply);
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
    if (listing_state(listing) == LISTING_REFUSED)
        note_refusal(self, &(struct message){.kind = KIND_ERROR, .error = listing_error(listing)});
    listing_destroy(&listing);
    return is_complete;
}

static bool ask_node(struct inquiry *self, const struct endpoint *node)
{
    struct address_list addresses;
    const char *problem = endpoint_resolve(node, self->timeout_ms, &addresses);
    if (problem) {
        self->problem = problem;
        return false;
    }
    struct address address = address_choose(&addresses, self->timeout_ms);
    struct target_source source = {.host = address.host, .port = address.port};
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
        self->problem = "is a node running there?";
        if (self->is_silent[i] || ask_node(self, &nodes[i]))
            continue;
        self->is_silent[i] = true;
        output_note(self->output, "no usable answer from the node at %s:%u: %s", nodes[i].host, nodes[i].port,
                    self->problem);
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
    if (!is_usable(output, text, NAME_SIZE_MAX))
        return false;
    assert(node_count <= TARGET_NODES_MAX);
    static struct inquiry inquiry; /* 180 KiB: too much for a stack, and one at a time */
    inquiry = (struct inquiry){.output = output, .text = text, .timeout_ms = timeout_ms};
    inquiry.is_id = is_id_text(text);
    if (inquiry.is_id)
        ask_nodes(&inquiry, nodes, node_count);
    inquiry.is_id = false;
    struct spellings names;
    spellings_init(&names, text, NAME_SIZE_MAX);
    for (size_t i = 0; inquiry.candidate_count == 0 && i < names.count; i++) {
        inquiry.text = names.forms[i];
        ask_nodes(&inquiry, nodes, node_count);
    }
    spellings_release(&names);
    if (inquiry.candidate_count == 1) {
        *ret_target = inquiry.candidates[0];
        return true;
    }
    if (inquiry.candidate_count == 0) {
        size_t silent_count = count_silent(&inquiry);
        output_exit(output, silent_count ? EXIT_INCOMPLETE : EXIT_NOT_FOUND);
        output_reason(output, "'%s' not found: asked %zu, silent %zu", text, node_count, silent_count);
        give_hint(output, silent_count == 0, text);
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
