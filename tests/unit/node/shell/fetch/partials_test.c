/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a chunk that is not verified is offered; whole files are looked for among the partial
 * ones, or the other way round; something is served after its fetch has gone.
 */
#include "node/shell/fetch/partials.h"

#include "messages/shell/socket.h"
#include "node/content/tree.h"
#include "node/shell/fetch/chunk_store.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* Three chunks, so that there is a layer. */
#define CHUNK_SIZE   65536u
#define CONTENT_SIZE (2 * CHUNK_SIZE + 1000)

#define PATIENCE_MS 30000

static struct folder folder;
static struct loop *loop;
static struct workers *workers;
static struct share_index *empty_index;
static struct holdings *holdings;
static struct data_port *port;
static struct partials *partials;
static struct fetch *fetch;
static struct file_entry file;
static uint8_t content[CONTENT_SIZE];
static struct hash layer[3];
static uint64_t handle, give_up_at_ms;
static unsigned shared_count;

/* Whole files, from elsewhere. */

static bool locate_shared(void *owner, struct content which, struct open_file_place *ret_place)
{
    (void)owner, (void)ret_place;
    cr_expect(not(which.is_partial));
    shared_count++;
    return false;
}

static enum disk_result load_shared(void *owner, struct content which, uint32_t first, uint32_t count,
                                    struct hash *ret_hashes)
{
    (void)owner, (void)first, (void)count, (void)ret_hashes;
    cr_expect(not(which.is_partial));
    shared_count++;
    return DISK_HASHING;
}

static void shared_changed(void *owner, struct content which, const struct file_stamp *stamp)
{
    (void)owner, (void)stamp;
    cr_expect(not(which.is_partial));
    shared_count++;
}

/* A fetch of which an earlier run left the first two chunks. */

static void on_source(void *owner, uint32_t source)
{
    (void)owner, (void)source;
}

static void on_saved(void *owner, uint32_t chunk)
{
    (void)owner;
    if (handle != 0)
        partials_saved(partials, handle, chunk);
    if (fetch_chunks(fetch)->set_count == 2)
        loop_stop(loop);
}

static void on_starved(void *owner)
{
    (void)owner;
}

static void on_done(void *owner, enum fetch_outcome outcome, int error_number)
{
    (void)owner, (void)outcome, (void)error_number;
}

static void make_content(void)
{
    for (size_t i = 0; i < CONTENT_SIZE; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    struct layout layout = layout_of(CONTENT_SIZE);
    cr_assert(eq(u32, layout.chunk_count, 3));
    for (uint32_t i = 0; i < 3; i++)
        tree_hash_span(content + (size_t)i * CHUNK_SIZE, layout_chunk_length(&layout, i),
                       tree_chunk_height(&layout), &layer[i]);
    tree_hash_span(content, CONTENT_SIZE, tree_file_height(&layout), &file.root);
    file.size = CONTENT_SIZE;
    file.id = file_id_of(file.size, &file.root);
    file.name = text_of("a/film.mkv");
}

static void write_store(void)
{
    struct layout layout = layout_of(CONTENT_SIZE);
    struct chunk_store *store = NULL;
    uint8_t bits = 0xc0;
    cr_assert(eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &file.id, &layout, &store), STORE_OK));
    cr_assert(eq(int, (int)pwrite(chunk_store_fd(store), content, 2 * CHUNK_SIZE, 0), 2 * CHUNK_SIZE));
    cr_assert(eq(int, chunk_store_write_layer(store, layer), 0));
    cr_assert(eq(int, chunk_store_write_map(store, &bits), 0));
    chunk_store_close(&store);
}

static void start_fetch(void)
{
    const struct fetch_config config = {
        .download =
            {.id = file.id, .root = file.root, .size = file.size, .node_name = "test", .agent = "test"},
        .folder = folder.path,
        .name = "film.mkv",
        .pipe_fd = -1,
    };
    const struct fetch_events events = {
        .source = on_source, .saved = on_saved, .starved = on_starved, .done = on_done};
    uint64_t needed, room;
    cr_assert(eq(int, fetch_new(loop, workers, &config, &events, &fetch, &needed, &room), FETCH_STARTED));
}

static void on_workers(void *owner)
{
    workers_collect(owner);
}

static uint64_t watch(void *owner, uint64_t now_ms)
{
    (void)owner;
    if (now_ms >= give_up_at_ms)
        loop_stop(loop);
    return give_up_at_ms;
}

static void start(void)
{
    process_start(1);
    folder = folder_new();
    loop = loop_new();
    workers = workers_new(2);
    empty_index = share_index_new();
    struct scan_outcome nothing = {.is_complete = true};
    share_index_scanned(empty_index, &nothing);
    holdings = holdings_new(empty_index);
    port = data_port_new(loop, workers);
    const struct content_source shared = {
        .locate = locate_shared, .load_hashes = load_shared, .changed = shared_changed};
    partials = partials_new(holdings, port, &shared);
    const struct content_source source = partials_source(partials);
    const struct peer_server_config server = {.node_name = text_of("test"), .agent = text_of("test")};
    uint16_t number;
    cr_assert(data_port_bind(port, "tcp://127.0.0.1:*", &number));
    cr_assert(data_port_start(port, &server, holdings, &source));
    loop_add_fd(loop, workers_fd(workers), on_workers, workers);
    loop_add_ticker(loop, watch, NULL);
    make_content();
    write_store();
    start_fetch();
}

static void end(void)
{
    partials_remove(partials, handle);
    fetch_stop(fetch);
    data_port_stop(port);
    workers_destroy(&workers);
    fetch_destroy(&fetch);
    data_port_destroy(&port);
    partials_destroy(&partials);
    holdings_destroy(&holdings);
    share_index_destroy(&empty_index);
    loop_destroy(&loop);
    process_finish();
    folder_remove(&folder);
}

TestSuite(partials, .init = start, .fini = end, .timeout = 60);

/* Until both chunks that are there are verified. */
static void run(void)
{
    give_up_at_ms = clock_now_ms() + PATIENCE_MS;
    loop_run(loop);
    cr_assert(eq(u32, fetch_chunks(fetch)->set_count, 2));
}

static struct holding held(void)
{
    struct holding holding = {0};
    cr_assert(eq(int, holdings_by_id(holdings, &file.id, &holding), HOLDINGS_FOUND));
    cr_assert(holding.content.is_partial);
    return holding;
}

static bool is_held(void)
{
    struct holding holding;
    return holdings_by_id(holdings, &file.id, &holding) == HOLDINGS_FOUND;
}

Test(partials, what_is_there_counts_only_once_it_is_verified)
{
    handle = partials_add(partials, fetch, &file);
    cr_expect(not(is_held()));
    run();
    struct holding holding = held();
    cr_expect(eq(u8, holding.have[0], 0xc0));
    cr_expect(eq(u16, holding.file.have_permille, 666));
    cr_expect(text_equal(holding.file.name, text_of("a/film.mkv")));
}

Test(partials, a_fetch_that_comes_with_chunks_is_there_at_once)
{
    run();
    handle = partials_add(partials, fetch, &file);
    cr_expect(eq(u8, held().have[0], 0xc0));
}

Test(partials, its_bytes_and_hashes_are_those_of_the_fetch)
{
    run();
    handle = partials_add(partials, fetch, &file);
    struct content_source source = partials_source(partials);
    struct content which = held().content;
    struct open_file_place place;
    uint8_t bytes[1000];
    cr_assert(source.locate(source.owner, which, &place));
    cr_assert(ge(int, place.fd, 0));
    cr_expect(not(place.has_stamp), "it changes as it grows");
    cr_expect(eq(int, (int)pread(place.fd, bytes, sizeof bytes, CHUNK_SIZE), (int)sizeof bytes));
    cr_expect(eq(int, memcmp(bytes, content + CHUNK_SIZE, sizeof bytes), 0));
    close(place.fd);
    struct hash hashes[2];
    cr_assert(eq(int, source.load_hashes(source.owner, which, 1, 2, hashes), DISK_OK));
    cr_expect(hash_equal(&hashes[0], &layer[1]));
    cr_expect(hash_equal(&hashes[1], &layer[2]));
    cr_expect(eq(uint, shared_count, 0));
}

Test(partials, whole_files_come_from_where_they_are)
{
    struct content_source source = partials_source(partials);
    struct content whole = {.handle = 1};
    struct open_file_place place;
    struct hash hash;
    cr_expect(not(source.locate(source.owner, whole, &place)));
    cr_expect(eq(int, source.load_hashes(source.owner, whole, 0, 1, &hash), DISK_HASHING));
    source.changed(source.owner, whole, NULL);
    cr_expect(eq(uint, shared_count, 3));
}

Test(partials, what_was_removed_is_neither_found_nor_read)
{
    run();
    handle = partials_add(partials, fetch, &file);
    struct content_source source = partials_source(partials);
    struct content which = held().content;
    struct open_file_place place;
    struct hash hash;
    partials_remove(partials, handle);
    cr_expect(not(is_held()));
    cr_expect(not(source.locate(source.owner, which, &place)));
    cr_expect(eq(int, source.load_hashes(source.owner, which, 0, 1, &hash), DISK_FAILED));
    partials_saved(partials, handle, 2);
    cr_expect(not(is_held()));
}

Test(partials, a_handle_is_not_used_again)
{
    run();
    uint64_t first = partials_add(partials, fetch, &file);
    partials_remove(partials, first);
    handle = partials_add(partials, fetch, &file);
    cr_expect(ne(u64, handle, first));
}
