/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a download claims to be done before its file has its name, publishes what did not
 * verify, loses its work when sources go, or takes a name that is somebody else's. One scripted source in the
 * same loop answers; many sources, restarts and real disks are in tests/e2e.
 */
#include "node/shell/fetch/fetch.h"

#include "messages/shell/inbox.h"
#include "messages/shell/socket.h"
#include "node/content/tree.h"
#include "node/shell/fetch/chunk_store.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <sys/file.h>

#define CONTENT_SIZE 40000u /* one chunk: no layer to ask for */

/* Far more than anything here takes, also under sanitizers on a busy machine. */
#define PATIENCE_MS 30000

static struct folder folder;
static struct loop *loop;
static struct workers *workers;
static struct fetch *fetch;
static uint64_t give_up_at_ms;

/* The source, and what it does wrong. */
static struct {
    void *router;
    uint16_t port;
    struct file_entry file;
    uint8_t content[CONTENT_SIZE];
    bool sends_wrong_bytes;
    unsigned read_count;
} source;

/* What the fetch told. */
static struct {
    unsigned done_count, saved_count, starved_count;
    enum fetch_outcome outcome;
    int error_number;
    bool has_banned;
} told;

static void reply(uint32_t route, const struct message *message, bool has_more)
{
    msgpack_sbuffer header;
    msgpack_sbuffer_init(&header);
    message_write(message, &header);
    uint8_t id[ROUTE_SIZE];
    socket_route_bytes(route, id);
    zmq_send(source.router, id, sizeof id, ZMQ_SNDMORE);
    zmq_send(source.router, header.data, header.size, has_more ? ZMQ_SNDMORE : 0);
    msgpack_sbuffer_destroy(&header);
}

static void serve(uint32_t route, const struct message *request)
{
    struct message m = {.rid = request->rid};
    switch (request->kind) {
    case KIND_HELLO:
        m.kind = KIND_HELLO_OK;
        m.hello_ok = (struct message_hello_ok){.node_name = text_of("scripted"),
                                               .agent = text_of("test"),
                                               .window_bytes = 16 << 20,
                                               .max_read = 1 << 20};
        reply(route, &m, false);
        break;
    case KIND_OPEN:
        m.kind = KIND_OPEN_OK;
        m.open_ok =
            (struct message_file){.file = source.file, .chunk_log2 = layout_of(CONTENT_SIZE).chunk_log2};
        reply(route, &m, false);
        break;
    case KIND_READ:
        source.read_count++;
        m.kind = KIND_DATA;
        m.data = request->read;
        reply(route, &m, true);
        if (source.sends_wrong_bytes)
            source.content[request->read.offset] ^= 1;
        zmq_send(source.router, source.content + request->read.offset, request->read.length, 0);
        break;
    default:
        break;
    }
}

static void on_request(void *owner)
{
    (void)owner;
    struct inbound inbound;
    if (inbox_receive_routed(source.router, &inbound) != INBOX_MESSAGE)
        return;
    struct envelope envelope;
    struct message request;
    if (envelope_open(&envelope, zmq_msg_data(&inbound.header), zmq_msg_size(&inbound.header),
                      RECEIVER_SERVER, inbound.frame_count) == ENVELOPE_OK &&
        message_read(&envelope, &request))
        serve(inbound.route, &request);
    envelope_close(&envelope);
    inbound_release(&inbound);
}

static void on_source(void *owner, uint32_t index)
{
    (void)owner;
    told.has_banned |= fetch_source_at(fetch, index).state == SOURCE_BANNED;
}

static void on_saved(void *owner, uint32_t chunk)
{
    (void)owner, (void)chunk;
    told.saved_count++;
}

static void on_starved(void *owner)
{
    (void)owner;
    told.starved_count++;
    fetch_give_up(fetch);
}

static void on_done(void *owner, enum fetch_outcome outcome, int error_number)
{
    (void)owner;
    told.done_count++;
    told.outcome = outcome;
    told.error_number = error_number;
    loop_stop(loop);
}

static const struct fetch_events events = {
    .source = on_source, .saved = on_saved, .starved = on_starved, .done = on_done};

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
    give_up_at_ms = clock_now_ms() + PATIENCE_MS;
    source.router = socket_open(SOCKET_PEER);
    cr_assert(socket_bind(source.router, "tcp://127.0.0.1:*", &source.port));
    for (size_t i = 0; i < CONTENT_SIZE; i++)
        source.content[i] = (uint8_t)(i * 7 + i / 251);
    struct layout layout = layout_of(CONTENT_SIZE);
    tree_hash_span(source.content, CONTENT_SIZE, tree_file_height(&layout), &source.file.root);
    source.file.size = CONTENT_SIZE;
    source.file.id = file_id_of(CONTENT_SIZE, &source.file.root);
    source.file.name = text_of("film.mkv");
    source.file.have_permille = PERMILLE_COMPLETE;
    loop_add_socket(loop, source.router, on_request, NULL);
    loop_add_fd(loop, workers_fd(workers), on_workers, workers);
    loop_add_ticker(loop, watch, NULL);
}

static void end(void)
{
    if (fetch)
        fetch_stop(fetch);
    workers_destroy(&workers);
    fetch_destroy(&fetch);
    loop_destroy(&loop);
    socket_close(&source.router);
    process_finish();
    folder_remove(&folder);
}

TestSuite(fetch, .init = start, .fini = end, .timeout = 60);

static struct fetch_config config_for(const char *in_folder)
{
    return (struct fetch_config){
        .download = {.id = source.file.id,
                     .root = source.file.root,
                     .size = CONTENT_SIZE,
                     .node_name = "test",
                     .agent = "test"},
        .folder = in_folder,
        .name = "film.mkv",
        .pipe_fd = -1,
    };
}

static enum fetch_start start_fetch(const struct fetch_config *config)
{
    uint64_t needed, free_bytes;
    return fetch_new(loop, workers, config, &events, &fetch, &needed, &free_bytes);
}

/* Adds the one source and runs until the fetch is done. */
static void run(void)
{
    struct host loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    fetch_add_source(fetch, &(struct optional_node_id){0}, &loopback, source.port);
    loop_run(loop);
    cr_assert(eq(uint, told.done_count, 1));
}

static bool target_is_right(void)
{
    static uint8_t bytes[CONTENT_SIZE + 1];
    FILE *in = fopen(folder_path(&folder, "film.mkv"), "re");
    cr_assert(in != NULL);
    size_t size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    return size == CONTENT_SIZE && memcmp(bytes, source.content, CONTENT_SIZE) == 0;
}

static bool partial_exists(void)
{
    char digits[ID_HEX_SIZE], name[128];
    hex_format(source.file.id.bytes, 6, digits);
    snprintf(name, sizeof name, ".film.mkv.%s.zpart", digits);
    return access(folder_path(&folder, name), F_OK) == 0;
}

Test(fetch, a_file_that_verified_gets_its_name_and_is_done_once)
{
    struct fetch_config config = config_for(folder.path);
    cr_assert(eq(int, start_fetch(&config), FETCH_STARTED));
    cr_expect(partial_exists());
    run();
    cr_expect(eq(int, told.outcome, FETCH_PUBLISHED));
    cr_expect(eq(uint, told.saved_count, 1));
    cr_expect(target_is_right());
    cr_expect(not(partial_exists()));
    cr_expect(eq(u64, fetch_progress(fetch).received_bytes, CONTENT_SIZE));
}

Test(fetch, wrong_bytes_are_never_published_and_their_source_is_banned)
{
    source.sends_wrong_bytes = true;
    struct fetch_config config = config_for(folder.path);
    cr_assert(eq(int, start_fetch(&config), FETCH_STARTED));
    run();
    cr_expect(eq(int, told.outcome, FETCH_STARVED));
    cr_expect(eq(uint, told.starved_count, 1));
    cr_expect(told.has_banned);
    cr_expect(eq(uint, told.saved_count, 0));
    cr_expect(ne(int, access(folder_path(&folder, "film.mkv"), F_OK), 0));
    cr_expect(partial_exists());
}

Test(fetch, what_an_earlier_run_wrote_is_verified_and_not_fetched_again)
{
    struct layout layout = layout_of(CONTENT_SIZE);
    struct chunk_store *store = NULL;
    uint8_t bits = 0x80;
    cr_assert(
        eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &source.file.id, &layout, &store), STORE_OK));
    cr_assert(eq(i64, pwrite(chunk_store_fd(store), source.content, CONTENT_SIZE, 0), CONTENT_SIZE));
    cr_assert(eq(int, chunk_store_write_map(store, &bits), 0));
    chunk_store_close(&store);

    struct fetch_config config = config_for(folder.path);
    cr_assert(eq(int, start_fetch(&config), FETCH_STARTED));
    run();
    cr_expect(eq(int, told.outcome, FETCH_PUBLISHED));
    cr_expect(eq(uint, source.read_count, 0));
    cr_expect(target_is_right());
}

Test(fetch, a_name_that_somebody_took_meanwhile_is_theirs)
{
    struct fetch_config config = config_for(folder.path);
    cr_assert(eq(int, start_fetch(&config), FETCH_STARTED));
    folder_write(&folder, "film.mkv", "the user's");
    run();
    cr_expect(eq(int, told.outcome, FETCH_EXISTS));
    cr_expect(not(target_is_right()));
    cr_expect(partial_exists());
}

Test(fetch, into_a_pipe_go_the_bytes_and_no_file)
{
    int ends[2];
    cr_assert(eq(int, pipe(ends), 0)); /* holds 64 KiB: nobody needs to read meanwhile */
    struct fetch_config config = config_for(NULL);
    config.pipe_fd = ends[1];
    config.download.is_in_order = true;
    cr_assert(eq(int, start_fetch(&config), FETCH_STARTED));
    run();
    cr_expect(eq(int, told.outcome, FETCH_PUBLISHED));
    close(ends[1]);
    static uint8_t bytes[CONTENT_SIZE + 1];
    size_t size = 0;
    for (ssize_t got; (got = read(ends[0], bytes + size, sizeof bytes - size)) > 0;)
        size += (size_t)got;
    close(ends[0]);
    cr_expect(eq(sz, size, CONTENT_SIZE));
    cr_expect(eq(int, memcmp(bytes, source.content, CONTENT_SIZE), 0));
    cr_expect(eq(int, rmdir(folder.path), 0), "the folder is empty");
}

Test(fetch, a_file_that_another_program_fetches_is_locked)
{
    struct layout layout = layout_of(CONTENT_SIZE);
    struct chunk_store *store = NULL;
    cr_assert(
        eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &source.file.id, &layout, &store), STORE_OK));
    struct fetch_config config = config_for(folder.path);
    cr_expect(eq(int, start_fetch(&config), FETCH_LOCKED));
    cr_expect(fetch == NULL);
    chunk_store_close(&store);
}

Test(fetch, a_folder_that_is_missing_is_refused_with_its_errno)
{
    struct fetch_config config = config_for(folder_path(&folder, "missing"));
    cr_expect(eq(int, start_fetch(&config), FETCH_REFUSED));
    cr_expect(eq(int, errno, ENOENT));
    cr_expect(fetch == NULL);
}

Test(fetch, what_does_not_fit_on_the_disk_is_told_before_the_first_read)
{
    struct fetch_config config = config_for(folder.path);
    config.download.size = FILE_SIZE_MAX;
    uint64_t needed = 0, free_bytes = 0;
    enum fetch_start result = fetch_new(loop, workers, &config, &events, &fetch, &needed, &free_bytes);
    cr_expect(eq(int, result, FETCH_NO_SPACE));
    cr_expect(gt(u64, needed, FILE_SIZE_MAX));
    cr_expect(lt(u64, free_bytes, needed));
    cr_expect(fetch == NULL);
}
