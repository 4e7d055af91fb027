/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a source of another file is asked; the search ends with the first answer although none
 * came; who waits for a source is not told that there is none, or told although there is one; a late answer
 * reaches a search that is gone.
 */
#include "node/shell/fetch/source_search.h"

#include "tests/support/folder.h"
#include "tests/unit/node/shell/link/broker_world.h"

#define CONTENT_SIZE 40000u

static struct folder folder;
static struct fetch *fetch;
static struct source_search *searching;
static struct file_entry file;
static unsigned exhausted_count;

static void on_event(void *owner, uint32_t number)
{
    (void)owner, (void)number;
}

static void on_starved(void *owner)
{
    (void)owner;
}

static void on_done(void *owner, enum fetch_outcome outcome, int error_number)
{
    (void)owner, (void)outcome, (void)error_number;
}

static void on_exhausted(void *owner)
{
    (void)owner;
    exhausted_count++;
}

static void start(void)
{
    exhausted_count = 0;
    folder = folder_new();
    world_start();
    file.size = CONTENT_SIZE;
    file.root.bytes[0] = 7;
    file.id = file_id_of(file.size, &file.root);
    file.name = text_of("film.mkv");
    file.have_permille = PERMILLE_COMPLETE;
    const struct fetch_config config = {
        .download =
            {.id = file.id, .root = file.root, .size = file.size, .node_name = "test", .agent = "test"},
        .folder = folder.path,
        .name = "film.mkv",
        .pipe_fd = -1,
    };
    const struct fetch_events events = {
        .source = on_event, .saved = on_event, .starved = on_starved, .done = on_done};
    uint64_t needed, room;
    cr_assert(eq(int, fetch_new(loop, workers, &config, &events, &fetch, &needed, &room), FETCH_STARTED));
    searching = source_search_new(loop, client, fetch, &file.id);
}

static void release_fetch(void)
{
    fetch_destroy(&fetch);
}

static void end(void)
{
    source_search_destroy(&searching);
    fetch_stop(fetch);
    world_end(release_fetch);
    folder_remove(&folder);
}

TestSuite(source_search, .init = start, .fini = end, .timeout = 60);

static size_t wanted_searches;

static bool are_searches_here(void)
{
    return broker.count >= wanted_searches;
}

static void run_until_searched(size_t count)
{
    wanted_searches = count;
    world_run_until(are_searches_here);
}

/* FOUND with one source, at a port of the loopback. */
static void find(const struct file_entry *found, uint16_t port)
{
    struct source_entry source = {
        .host = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}, .port = port, .name = text_of("source")};
    source.node.bytes[0] = (uint8_t)port;
    struct found_entry entry = {.file = *found, .sources = {&source, 1}};
    struct message message = {.kind = KIND_FOUND, .rid = broker.requests[broker.count - 1].rid};
    message.found.entries = &entry;
    message.found.count = 1;
    broker_reply(&message);
}

static void end_search(void)
{
    const struct message message = {.kind = KIND_SEARCH_DONE, .rid = broker.requests[broker.count - 1].rid};
    broker_reply(&message);
}

static bool has_source(void)
{
    return fetch_source_at(fetch, 0).state != SOURCE_FREE;
}

static bool is_exhausted(void)
{
    return exhausted_count > 0;
}

Test(source_search, it_asks_by_id_without_being_told_to)
{
    char id[ID_HEX_SIZE];
    hex_format(file.id.bytes, sizeof file.id.bytes, id);
    run_until_searched(1);
    cr_expect(eq(u16, broker.requests[0].kind, KIND_SEARCH));
    cr_expect(eq(u8, broker.requests[0].mode, MODE_ID));
    cr_expect(eq(str, broker.requests[0].text, id));
}

Test(source_search, a_source_of_this_file_is_added_and_one_of_another_is_not)
{
    struct file_entry other = file;
    other.size++;
    other.id = file_id_of(other.size, &other.root);
    run_until_searched(1);
    find(&other, 1111);
    find(&file, 2222);
    world_run_until(has_source);
    cr_expect(eq(u16, fetch_source_at(fetch, 0).port, 2222));
    cr_expect(eq(int, fetch_source_at(fetch, 1).state, SOURCE_FREE));
}

Test(source_search, who_waits_is_told_when_a_search_found_nothing)
{
    cr_assert(source_search_now(searching, on_exhausted, NULL));
    cr_expect(not(source_search_now(searching, on_exhausted, NULL)), "it is under way");
    run_until_searched(1);
    cr_expect(eq(uint, exhausted_count, 0));
    end_search();
    world_run_until(is_exhausted);
    cr_expect(eq(uint, exhausted_count, 1));
}

Test(source_search, without_a_source_it_searches_again_and_again)
{
    for (size_t i = 1; i <= 3; i++) {
        run_until_searched(i);
        end_search();
    }
}

Test(source_search, a_broker_that_never_answers_is_asked_again)
{
    cr_assert(source_search_now(searching, on_exhausted, NULL));
    run_until_searched(2);
    cr_expect(eq(uint, exhausted_count, 1));
    cr_expect(ne(u64, broker.requests[0].rid, broker.requests[1].rid));
}

static bool has_heard;

static void on_status(void *owner, const struct message *reply)
{
    (void)owner, (void)reply;
    has_heard = true;
}

static bool has_status_come(void)
{
    return has_heard;
}

Test(source_search, an_answer_that_comes_after_its_end_is_dropped)
{
    run_until_searched(1);
    source_search_destroy(&searching);
    find(&file, 2222);
    struct message status = {.kind = KIND_STATUS};
    status.rid = broker_client_ask(client, &status, on_status, NULL);
    status.kind = KIND_STATUS_OK;
    broker_reply(&status);
    world_run_until(has_status_come);
    cr_expect(not(has_source()));
}
