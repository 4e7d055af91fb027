/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a file of the user is overwritten, or fetched although it is there; a name leads out
 * of the folder or becomes a hidden file; a file is denied between landing and being shared, or served for
 * ever; pausing loses what came, cancelling leaves it; a list of a stranger is believed; an end in any state
 * crashes.
 *
 * No source is needed: a partial file that is complete is verified and lands. Sources, restarts and limits
 * are in tests/e2e/node_downloads_test.py.
 */
#include "messages/shell/socket.h"
#include "node/content/tree.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/fetch/chunk_store.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sys/file.h>

#define CONTENT_SIZE 40000u

/* Far more than anything here takes, also under sanitizers on a busy machine. */
#define PATIENCE_MS 30000

static struct folder folder;
static struct loop *loop;
static struct workers *workers;
static struct share_index *index_;
static struct holdings *holdings;
static struct data_port *port;
static struct partials *partials;
static struct downloads *downloads;
static struct file_entry file;
static uint8_t content[CONTENT_SIZE];
static char path_of_folder[256], path_of_temp[256], path_of_list[256];

static struct {
    unsigned done_count, failed_count, landed_count, trouble_count;
    char reason[256], target[256];
    bool was_layer_right, is_shared;
} told = {.is_shared = true};

/* Events. */

static void on_ended(void *owner, const struct downloads_view *view)
{
    (void)owner;
    told.done_count += view->state == DOWNLOADS_DONE;
    told.failed_count += view->state == DOWNLOADS_FAILED;
    snprintf(told.reason, sizeof told.reason, "%s", view->reason ? view->reason : "");
    snprintf(told.target, sizeof told.target, "%s", view->target ? view->target : "");
}

static bool on_landed(void *owner, const struct downloads_landing *landing)
{
    (void)owner;
    uint8_t bytes[CONTENT_SIZE];
    told.landed_count++;
    told.was_layer_right = !landing->layer && hash_equal(&landing->root, &file.root);
    cr_expect(eq(sz, (size_t)pread(landing->fd, bytes, sizeof bytes, 0), sizeof bytes));
    cr_expect(eq(int, access(landing->path, F_OK), 0));
    return told.is_shared;
}

static void on_trouble(void *owner, const char *text)
{
    (void)owner, (void)text;
    told.trouble_count++;
}

/* The loop. */

static bool (*is_reached)(void);
static uint64_t give_up_at_ms;

static uint64_t watch(void *owner, uint64_t now_ms)
{
    (void)owner;
    if (now_ms >= give_up_at_ms || (is_reached && is_reached()))
        loop_stop(loop);
    return now_ms + 20;
}

static void run_until(bool (*condition)(void))
{
    is_reached = condition;
    give_up_at_ms = clock_now_ms() + PATIENCE_MS;
    loop_run(loop);
    cr_assert(condition());
}

static bool has_ended(void)
{
    return told.done_count + told.failed_count > 0;
}

static unsigned rounds;

static bool has_gone_round(void)
{
    return ++rounds >= 3;
}

/* What was asked for has taken effect. */
static void run_rounds(void)
{
    rounds = 0;
    is_reached = has_gone_round;
    give_up_at_ms = clock_now_ms() + PATIENCE_MS;
    loop_run(loop);
}

static void on_workers(void *owner)
{
    workers_collect(owner);
}

/* Life. */

static void start_downloads(void)
{
    struct downloads_config config = {
        .loop = loop,
        .workers = workers,
        .holdings = holdings,
        .partials = partials,
        .node_name = "test",
        .agent = "test",
        .folder = path_of_folder,
        .temp = path_of_temp,
        .list = path_of_list,
    };
    struct downloads_events events = {.ended = on_ended, .landed = on_landed, .trouble = on_trouble};
    downloads = downloads_new(&config, &events);
}

static void start_node(void)
{
    loop = loop_new();
    workers = workers_new(2);
    loop_add_fd(loop, workers_fd(workers), on_workers, workers);
    index_ = share_index_new();
    struct scan_outcome nothing = {.is_complete = true};
    share_index_scanned(index_, &nothing);
    holdings = holdings_new(index_);
    port = data_port_new(loop, workers);
    partials = partials_new(holdings, port, NULL);
    struct content_source source = partials_source(partials);
    struct peer_server_config server = {.node_name = text_of("test"), .agent = text_of("test")};
    uint16_t number;
    cr_assert(data_port_bind(port, "tcp://127.0.0.1:*", &number));
    cr_assert(data_port_start(port, &server, holdings, &source));
    start_downloads();
    loop_add_ticker(loop, watch, NULL);
}

static void stop_node(void)
{
    downloads_stop(downloads);
    data_port_stop(port);
    workers_destroy(&workers);
    downloads_destroy(&downloads);
    data_port_destroy(&port);
    partials_destroy(&partials);
    holdings_destroy(&holdings);
    share_index_destroy(&index_);
    loop_destroy(&loop);
}

static void start_all(void)
{
    process_start(1);
    folder = folder_new();
    snprintf(path_of_folder, sizeof path_of_folder, "%s/Download", folder.path);
    snprintf(path_of_temp, sizeof path_of_temp, "%s/Temp", folder.path);
    snprintf(path_of_list, sizeof path_of_list, "%s/downloads", folder.path);
    for (size_t i = 0; i < CONTENT_SIZE; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    struct layout layout = layout_of(CONTENT_SIZE);
    tree_hash_span(content, CONTENT_SIZE, tree_file_height(&layout), &file.root);
    file.size = CONTENT_SIZE;
    file.id = file_id_of(CONTENT_SIZE, &file.root);
    file.name = text_of("films/film.mkv");
    file.have_permille = PERMILLE_COMPLETE;
    start_node();
}

static void end_all(void)
{
    stop_node();
    process_finish();
    folder_remove(&folder);
}

TestSuite(downloads, .init = start_all, .fini = end_all, .timeout = 60);

static void restart(void)
{
    stop_node();
    start_node();
}

static uint32_t add(void)
{
    struct downloads_order order = {.file = file};
    uint32_t number = 0;
    cr_assert(eq(int, downloads_add(downloads, &order, &number), DOWNLOADS_OK));
    return number;
}

static const char *partial_path(void)
{
    char name[PARTIAL_NAME_SIZE], path[PARTIAL_NAME_SIZE + 8];
    struct text base =
        text_of(strrchr(file.name.bytes, '/') ? strrchr(file.name.bytes, '/') + 1 : file.name.bytes);
    chunk_store_partial_name(base.bytes, &file.id, name);
    snprintf(path, sizeof path, "Temp/%s", name);
    return folder_path(&folder, path);
}

static bool partial_exists(void)
{
    return access(partial_path(), F_OK) == 0;
}

/* As an earlier run left it: all of it is there, and must only be verified. */
static void write_partial(void)
{
    mkdir(path_of_temp, 0755);
    FILE *out = fopen(partial_path(), "we");
    cr_assert(out != NULL);
    cr_assert(eq(sz, fwrite(content, 1, sizeof content, out), sizeof content));
    cr_assert(eq(int, fclose(out), 0));
}

static bool holds_content(const char *name)
{
    static uint8_t bytes[CONTENT_SIZE + 1];
    FILE *in = fopen(folder_path(&folder, name), "re");
    if (!in)
        return false;
    size_t size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    return size == CONTENT_SIZE && memcmp(bytes, content, CONTENT_SIZE) == 0;
}

static bool is_target(const char *name)
{
    return strcmp(told.target, folder_path(&folder, name)) == 0;
}

static enum holdings_lookup look_up(bool *ret_is_partial)
{
    struct holding holding = {0};
    enum holdings_lookup result = holdings_by_id(holdings, &file.id, &holding);
    *ret_is_partial = holding.content.is_partial;
    return result;
}

/* Landing. */

Test(downloads, what_is_complete_lands_under_its_last_component_and_is_told_once)
{
    write_partial();
    uint32_t number = add();
    run_until(has_ended);
    run_rounds();
    cr_expect(holds_content("Download/film.mkv"));
    cr_expect(not(partial_exists()));
    cr_expect(eq(uint, told.done_count, 1));
    cr_expect(eq(uint, told.landed_count, 1));
    cr_expect(told.was_layer_right);
    cr_expect(is_target("Download/film.mkv"));
    struct downloads_view view = downloads_at(downloads, 0);
    cr_expect(eq(u32, view.number, number));
    cr_expect(eq(int, view.state, DOWNLOADS_DONE));
    cr_expect(eq(u64, view.saved_bytes, CONTENT_SIZE));
}

Test(downloads, a_taken_name_gets_a_number_and_the_file_that_has_it_stays)
{
    folder_write(&folder, "Download/film.mkv", "the user's");
    write_partial();
    add();
    run_until(has_ended);
    cr_expect(holds_content("Download/film (2).mkv"));
    cr_expect(not(holds_content("Download/film.mkv")));
    cr_expect(is_target("Download/film (2).mkv"));
}

Test(downloads, a_file_of_the_same_size_and_another_content_is_not_taken_for_it)
{
    uint8_t other[CONTENT_SIZE];
    memcpy(other, content, sizeof other);
    other[CONTENT_SIZE / 2] ^= 1;
    folder_write_bytes(&folder, "Download/film.mkv", other, sizeof other);
    write_partial();
    add();
    run_until(has_ended);
    cr_expect(holds_content("Download/film (2).mkv"));
}

Test(downloads, the_very_file_under_its_name_or_a_number_is_done_at_once)
{
    folder_write(&folder, "Download/film.mkv", "another");
    folder_write_bytes(&folder, "Download/film (2).mkv", content, sizeof content);
    add();
    run_until(has_ended);
    cr_expect(eq(uint, told.done_count, 1));
    cr_expect(eq(uint, told.landed_count, 0), "it is not new");
    cr_expect(is_target("Download/film (2).mkv"));
    cr_expect(ne(int, access(path_of_temp, F_OK), 0), "nothing was begun");
}

Test(downloads, a_link_under_the_name_is_not_read_or_written_through)
{
    folder_write_bytes(&folder, "elsewhere", content, sizeof content);
    folder_link(&folder, "../elsewhere", "Download/film.mkv");
    write_partial();
    add();
    run_until(has_ended);
    cr_expect(holds_content("Download/film (2).mkv"));
}

Test(downloads, what_landed_is_held_until_the_share_has_it)
{
    bool is_partial;
    write_partial();
    add();
    run_until(has_ended);
    run_rounds();
    cr_assert(eq(int, look_up(&is_partial), HOLDINGS_FOUND));
    cr_expect(is_partial);

    struct scanned_file *files = calloc(1, sizeof *files);
    files[0].path = strdup("film.mkv");
    files[0].name = strdup("film.mkv");
    files[0].stamp.size = CONTENT_SIZE;
    struct scan_outcome outcome = {.files = files, .count = 1, .is_complete = true};
    share_index_scanned(index_, &outcome);
    run_rounds();
    cr_assert(eq(int, look_up(&is_partial), HOLDINGS_FOUND), "its hash is not known yet");
    cr_expect(is_partial);

    share_index_hashed(index_, share_index_next_unhashed(index_, 0)->handle, &file.root);
    run_rounds();
    cr_assert(eq(int, look_up(&is_partial), HOLDINGS_FOUND));
    cr_expect(not(is_partial));
    uint64_t count, bytes;
    holdings_totals(holdings, &count, &bytes);
    cr_expect(eq(u64, count, 1), "it is there once");
}

static bool is_forgotten(void)
{
    bool is_partial;
    return look_up(&is_partial) == HOLDINGS_NONE;
}

Test(downloads, what_was_removed_before_the_share_saw_it_is_held_no_longer)
{
    write_partial();
    add();
    run_until(has_ended);
    cr_assert(eq(int, unlink(folder_path(&folder, "Download/film.mkv")), 0));
    run_until(is_forgotten);
}

Test(downloads, what_no_share_will_have_is_not_held)
{
    told.is_shared = false;
    write_partial();
    add();
    run_until(has_ended);
    run_until(is_forgotten);
    cr_expect(holds_content("Download/film.mkv"));
}

/* What cannot land. */

static void fails(const char *name, uint64_t size, const char *reason)
{
    told.failed_count = 0;
    file.name = text_of(name);
    file.size = size;
    file.id = file_id_of(size, &file.root);
    uint32_t number = add();
    run_until(has_ended);
    run_rounds();
    cr_expect(eq(uint, told.failed_count, 1));
    cr_expect(strstr(told.reason, reason) != NULL, "%s", told.reason);
    cr_expect(not(partial_exists()));
    cr_expect(downloads_cancel(downloads, number));
}

Test(downloads, what_can_never_land_fails_with_its_reason_and_leaves_nothing)
{
    char name[300];
    memset(name, 'n', 256);
    name[256] = '\0';
    fails(name, 100, "too long for a folder");
    fails("films/.bashrc", 100, "hidden file");
    fails("film.mkv", UINT64_MAX, "larger than any file");
    fails("film.mkv", UINT64_C(1) << 44, "no space");
}

Test(downloads, a_folder_that_is_a_file_fails_the_download)
{
    folder_write(&folder, "Temp", "in the way");
    add();
    run_until(has_ended);
    cr_expect(eq(uint, told.failed_count, 1));
    cr_expect(strstr(told.reason, "Not a directory") != NULL, "%s", told.reason);
}

Test(downloads, what_failed_goes_on_when_it_is_resumed)
{
    folder_write(&folder, "Temp", "in the way");
    uint32_t number = add();
    run_until(has_ended);
    unlink(path_of_temp);
    write_partial();
    told.failed_count = 0;
    cr_assert(downloads_resume(downloads, number));
    run_until(has_ended);
    cr_expect(eq(uint, told.done_count, 1));
}

/* Another program. */

static bool is_locked(void)
{
    return downloads_at(downloads, 0).reason != NULL;
}

Test(downloads, a_partial_file_that_another_program_has_is_waited_for)
{
    write_partial();
    int fd = open(partial_path(), O_RDWR | O_CLOEXEC);
    cr_assert(eq(int, flock(fd, LOCK_EX | LOCK_NB), 0));
    add();
    run_until(is_locked);
    cr_expect(eq(int, downloads_at(downloads, 0).state, DOWNLOADS_ACTIVE));
    close(fd);
    run_until(has_ended);
    cr_expect(eq(uint, told.done_count, 1));
}

/* What a person does. */

static bool is_begun(void)
{
    return partial_exists() && downloads_runner_by_id(downloads, &file.id);
}

static bool is_not_begun(void)
{
    return !partial_exists();
}

Test(downloads, pausing_keeps_what_came_and_cancelling_removes_it)
{
    uint32_t number = add();
    run_until(is_begun);
    cr_assert(downloads_pause(downloads, number));
    run_rounds();
    cr_expect(partial_exists());
    cr_assert(downloads_resume(downloads, number));
    run_rounds();
    cr_expect(eq(int, downloads_at(downloads, 0).state, DOWNLOADS_ACTIVE));
    cr_assert(downloads_cancel(downloads, number));
    cr_expect(eq(sz, downloads_count(downloads), 0));
    run_until(is_not_begun);
}

Test(downloads, cancelling_one_that_does_not_run_removes_what_came)
{
    uint32_t number = add();
    run_until(is_begun);
    downloads_pause(downloads, number);
    run_rounds();
    cr_assert(downloads_cancel(downloads, number));
    run_until(is_not_begun);
}

Test(downloads, cancelling_one_that_is_done_keeps_the_file)
{
    write_partial();
    uint32_t number = add();
    run_until(has_ended);
    cr_assert(downloads_cancel(downloads, number));
    run_rounds();
    cr_expect(holds_content("Download/film.mkv"));
}

Test(downloads, one_that_is_cancelled_and_begun_again_at_once_lands)
{
    uint32_t number = add();
    run_until(is_begun);
    downloads_cancel(downloads, number);
    cr_expect(ne(u32, add(), number));
    run_rounds();
    run_until(is_begun);
    cr_expect(eq(int, downloads_at(downloads, 0).state, DOWNLOADS_ACTIVE));
}

/* The next start. */

Test(downloads, what_is_unfinished_goes_on_and_what_is_done_is_forgotten)
{
    add();
    run_until(is_begun);
    restart();
    cr_expect(eq(sz, downloads_count(downloads), 1));
    cr_expect(text_equal(downloads_at(downloads, 0).name, text_of("films/film.mkv")));
    restart();
    write_partial();
    run_until(has_ended);
    cr_expect(eq(uint, told.done_count, 1));
    restart();
    cr_expect(eq(sz, downloads_count(downloads), 0));
    cr_expect(eq(uint, told.trouble_count, 0));
}

Test(downloads, a_damaged_list_is_told_kept_aside_and_its_good_lines_go_on)
{
    downloads_pause(downloads, add());
    stop_node();
    FILE *out = fopen(path_of_list, "ae");
    cr_assert(out != NULL);
    fprintf(out, "rubbish\n\n\xff\xfe");
    fclose(out);
    start_node();
    cr_expect(eq(uint, told.trouble_count, 1));
    cr_expect(eq(sz, downloads_count(downloads), 1));
    cr_expect(eq(int, downloads_at(downloads, 0).state, DOWNLOADS_PAUSED));
    cr_expect(eq(int, access(folder_path(&folder, "downloads.damaged"), F_OK), 0));
}

Test(downloads, a_list_that_cannot_be_read_is_told_once_not_replaced_and_read_when_it_can_be)
{
    char aside[300];
    snprintf(aside, sizeof aside, "%s.there", path_of_list);
    downloads_pause(downloads, add());
    stop_node();
    cr_assert(rename(path_of_list, aside) == 0 && symlink(path_of_list, path_of_list) == 0);
    start_node();
    run_rounds();
    cr_expect(eq(uint, told.trouble_count, 1));
    cr_expect(eq(sz, downloads_count(downloads), 0));
    cr_assert(rename(aside, path_of_list) == 0);
    run_rounds();
    cr_assert(eq(sz, downloads_count(downloads), 1));
    cr_expect(eq(int, downloads_at(downloads, 0).state, DOWNLOADS_PAUSED));
}

Test(downloads, a_list_that_cannot_be_written_is_told_once)
{
    char inside[300];
    snprintf(inside, sizeof inside, "%s.new", path_of_list);
    mkdir(inside, 0755);
    add();
    run_rounds();
    downloads_pause(downloads, 1);
    run_rounds();
    cr_expect(eq(uint, told.trouble_count, 1));
    rmdir(inside);
}

/* Any end is clean. */

Test(downloads, an_end_while_one_is_being_looked_for_or_verified_is_clean)
{
    folder_write_bytes(&folder, "Download/film.mkv", content, sizeof content);
    add();
    downloads_stop(downloads); /* end_all() does the rest, under the sanitizers too */
}

Test(downloads, what_is_cancelled_just_before_the_end_is_removed_too)
{
    uint32_t number = add();
    run_until(is_begun);
    downloads_cancel(downloads, number);
    restart();
    cr_expect(not(partial_exists()));
}

Test(downloads, rates_can_be_changed_at_any_time)
{
    downloads_set_rate(downloads, 1);
    add();
    run_until(is_begun);
    downloads_set_rate(downloads, 0);
    run_rounds();
    downloads_set_rate(downloads, UINT64_C(1) << 40);
    run_rounds();
    cr_expect(eq(int, downloads_at(downloads, 0).state, DOWNLOADS_ACTIVE));
}
