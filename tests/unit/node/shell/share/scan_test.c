/* SPDX-License-Identifier: MIT */
/*
 * The scanner on real folders. What could go wrong: something outside the share, hidden or special is shared;
 * a loop of links never ends; two files get one name, or other names after a restart; a passing error hides
 * files.
 */
#include "node/shell/share/scan.h"

#include "node/shell/share/share_file.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct folder root;
static struct share_folder shares[4];
static size_t share_count;
static struct share_index *found; /* what the scanner finds, as the index takes it over */
static struct scan_notes notes;
static bool is_complete;
static uint64_t not_there;
static const char *hidden;

static void add_share(const char *name, bool is_flat)
{
    folder_make_parents(&root, name);
    mkdir(folder_path(&root, name), 0755);
    cr_assert(share_folder_open(folder_path(&root, name), is_flat, &shares[share_count++]));
}

static void begin(void)
{
    root = folder_new();
    found = share_index_new();
    add_share("share", false);
}

static void end(void)
{
    share_index_destroy(&found);
    scan_notes_release(&notes);
    for (size_t i = 0; i < share_count; i++)
        share_folder_release(&shares[i]);
    folder_remove(&root);
}

/* Steps until nothing is left to look at. */
static void run(struct scan *scan)
{
    scan_notes_release(&notes);
    is_complete = true;
    not_there = 0;
    while (!scan_is_idle(scan)) {
        struct scan_result result;
        cr_assert(scan_step(scan, &result));
        is_complete &= result.troubled == 0;
        not_there |= result.not_there;
        result.outcome.is_complete = is_complete;
        share_index_scanned(found, &result.outcome);
        free(result.where);
    }
    notes = scan_take_notes(scan);
}

static void scan(void)
{
    struct scan *scan = scan_new(NULL, NULL);
    scan_hide(scan, hidden);
    for (size_t i = share_count; i-- > 0;)
        scan_add(scan, &shares[i], (uint32_t)i, "", "", true);
    run(scan);
    scan_destroy(&scan);
}

static void look(const char *path)
{
    struct scan *scan = scan_new(NULL, NULL);
    scan_add(scan, &shares[0], 0, path, path, false);
    run(scan);
    scan_destroy(&scan);
}

static const struct shared_file *file_at(size_t position)
{
    return share_index_at(found, position);
}

/* Checks that exactly these were found: pairs of name and path, in order of name, ended by NULL. */
static void expect_files(const char *const *pairs)
{
    size_t count = 0;
    for (; pairs[2 * count]; count++) {
        cr_assert(lt(sz, count, share_index_count(found)), "%s is missing", pairs[2 * count]);
        cr_expect(text_equal(file_at(count)->name, text_of(pairs[2 * count])), "%s is not %s",
                  file_at(count)->name.bytes, pairs[2 * count]);
        cr_expect(eq(str, (char *)(uintptr_t)file_at(count)->path, (char *)(uintptr_t)pairs[2 * count + 1]));
    }
    cr_expect(eq(sz, share_index_count(found), count));
}

#define EXPECT_FILES(...) expect_files((const char *const[]){__VA_ARGS__, NULL})

TestSuite(scan, .init = begin, .fini = end);

Test(scan, the_folder_of_what_is_unfinished_is_left_out_wherever_it_is_met)
{
    folder_write(&root, "share/a", "a");
    folder_write(&root, "share/home/Temp/b", "b");
    folder_write(&root, "share/home/Temp/c/d", "d");
    folder_write(&root, "share/home/Tempo", "e");
    folder_link(&root, "home/Temp", "share/link");
    hidden = folder_path(&root, "share/home/../home/Temp");
    scan();
    EXPECT_FILES("a", "a", "home/Tempo", "home/Tempo");
    cr_expect(is_complete);
    cr_expect(eq(sz, notes.count, 0));
    hidden = folder_path(&root, "share");
    scan();
    cr_expect(eq(sz, share_index_count(found), 0));
    cr_expect(eq(sz, notes.count, 1));
}

Test(scan, finds_files_at_any_depth_and_nothing_hidden_or_special)
{
    folder_write(&root, "share/a.txt", "a");
    folder_write(&root, "share/d/e/f/b.txt", "b");
    folder_write(&root, "share/.hidden", "x");
    folder_write(&root, "share/.file.123456789abc.zpart", "x");
    folder_write(&root, "share/.zswarm/part", "x");
    folder_write(&root, "share/d/.git/config", "x");
    mkdir(folder_path(&root, "share/empty"), 0755);
    mkfifo(folder_path(&root, "share/fifo"), 0644);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", folder_path(&root, "share/socket"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&address, sizeof address), 0));
    close(fd);
    chmod(folder_path(&root, "share/a.txt"), 0755);
    scan();
    EXPECT_FILES("a.txt", "a.txt", "d/e/f/b.txt", "d/e/f/b.txt");
    cr_expect(is_complete);
    cr_expect(eq(sz, notes.count, 0));
    cr_expect(file_at(0)->is_executable);
    cr_expect(not(file_at(1)->is_executable));
    cr_expect(eq(u64, file_at(0)->stamp.size, 1));
}

Test(scan, link_that_leads_inside_is_shared_at_its_real_path_and_one_that_leads_out_is_not)
{
    folder_write(&root, "secret/s.txt", "secret");
    folder_write(&root, "share2/s.txt", "a neighbour whose name begins like ours");
    folder_write(&root, "share/real/f.txt", "f");
    folder_write(&root, "share/.dot/g.txt", "g");
    folder_link(&root, "real/f.txt", "share/relative");
    folder_link(&root, folder_path(&root, "share/real/f.txt"), "share/absolute");
    folder_link(&root, "../share/real/f.txt", "share/out_and_in");
    folder_link(&root, "real", "share/folder");
    folder_link(&root, "../secret/s.txt", "share/out");
    folder_link(&root, folder_path(&root, "secret"), "share/out_folder");
    folder_link(&root, folder_path(&root, "share2/s.txt"), "share/neighbour");
    folder_link(&root, ".dot/g.txt", "share/to_dot");
    folder_link(&root, ".dot", "share/to_dot_folder");
    folder_link(&root, "nowhere", "share/broken");
    folder_link(&root, "self", "share/self");
    folder_link(&root, "/dev/null", "share/device");
    folder_link(&root, "/proc/self/mem", "share/memory");
    scan();
    EXPECT_FILES("absolute", "real/f.txt", "folder/f.txt", "real/f.txt", "out_and_in", "real/f.txt",
                 "real/f.txt", "real/f.txt", "relative", "real/f.txt");
    cr_expect(is_complete);
}

Test(scan, loop_of_links_is_cut)
{
    folder_write(&root, "share/a/b/f", "f");
    folder_link(&root, "..", "share/a/up");
    folder_link(&root, ".", "share/a/b/here");
    folder_link(&root, "../../a", "share/a/b/top");
    folder_link(&root, folder_path(&root, "share"), "share/a/b/share");
    scan();
    EXPECT_FILES("a/b/f", "a/b/f");
}

Test(scan, links_that_multiply_a_tree_end_and_take_nothing_from_the_real_files)
{
    enum {
        FOLDERS = 12
    };
    char name[64], target[16];
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "share/d%d/f", i);
        folder_write(&root, name, "f");
        for (int k = 0; k < FOLDERS; k++) {
            snprintf(name, sizeof name, "share/d%d/l%d", i, k);
            snprintf(target, sizeof target, "../d%d", k);
            folder_link(&root, target, name);
        }
    }
    folder_write(&root, "share/z", "z");
    scan();
    size_t real_count = 0;
    for (size_t i = 0; i < share_index_count(found); i++)
        real_count += strcmp(file_at(i)->path, file_at(i)->place) == 0;
    cr_expect(eq(sz, real_count, FOLDERS + 1));
    cr_expect(le(sz, share_index_count(found), real_count + SCAN_LINKED_MAX));
    cr_expect(is_complete);
    cr_assert(eq(sz, notes.count, 1));
    cr_expect(ne(ptr, strstr(notes.lines[0], "below links to folders"), NULL));
}

Test(scan, bad_names_are_cleaned_and_collisions_numbered_the_same_each_time)
{
    folder_write(&root, "share/x\xff.txt", "1");
    folder_write(&root, "share/x\xfe.txt", "2");
    folder_write(&root, "share/x\x01.txt", "3");
    folder_write(&root, "share/x\xef\xbf\xbd (2).txt", "taken");
    for (int i = 0; i < 2; i++) {
        scan();
        EXPECT_FILES("x\xef\xbf\xbd (2).txt", "x\xef\xbf\xbd (2).txt", "x\xef\xbf\xbd (3).txt", "x\xfe.txt",
                     "x\xef\xbf\xbd (4).txt", "x\xff.txt", "x\xef\xbf\xbd.txt", "x\x01.txt");
    }
}

Test(scan, names_of_several_shares_are_merged_in_order_of_the_shares)
{
    add_share("other", false);
    folder_write(&root, "share/same", "1");
    folder_write(&root, "other/same", "22");
    folder_write(&root, "other/only", "3");
    scan();
    EXPECT_FILES("only", "only", "same", "same", "same (2)", "same");
    cr_expect(eq(u32, file_at(0)->share, 1));
    cr_expect(eq(u32, file_at(1)->share, 0));
    cr_expect(eq(u32, file_at(2)->share, 1));
    cr_expect(eq(u64, file_at(2)->stamp.size, 2));
}

Test(scan, name_of_1024_bytes_is_shared_and_one_of_1025_is_noted)
{
    char name[2048] = "share/";
    for (int i = 0; i < 5; i++) {
        size_t used = strlen(name);
        memset(name + used, 'd', 203);
        name[used + 203] = '/';
        name[used + 204] = '\0';
    }
    size_t folders_size = strlen(name) - 6;
    memset(name + strlen(name), 'f', 1024 - folders_size);
    cr_assert(eq(sz, strlen(name) - 6, 1024));
    folder_write(&root, name, "fits");
    scan();
    cr_expect(eq(sz, share_index_count(found), 1));
    cr_expect(eq(sz, notes.count, 0));
    memset(name + strlen(name), 'f', 1);
    folder_write(&root, name, "too long");
    scan();
    cr_expect(eq(sz, share_index_count(found), 1));
    cr_assert(eq(sz, notes.count, 1));
    cr_expect(ne(ptr, strstr(notes.lines[0], "longer than 1024 bytes"), NULL));
    cr_expect(is_complete);
}

Test(scan, notes_are_escaped_and_bounded)
{
    char long_name[1100];
    memset(long_name, 'd', sizeof long_name);
    for (size_t i = 200; i < 1000; i += 200)
        long_name[i] = '/';
    for (int i = 0; i < SCAN_NOTES_MAX + 5; i++) {
        char name[1300];
        snprintf(name, sizeof name, "share/%.*s/\x1b[2J%d%.*s", 999, long_name, i, 100, long_name + 1);
        folder_write(&root, name, "x");
    }
    scan();
    cr_expect(eq(sz, notes.count, SCAN_NOTES_MAX));
    cr_expect(eq(sz, notes.left_out_count, 5));
    cr_expect(eq(ptr, strchr(notes.lines[0], '\x1b'), NULL));
}

Test(scan, flat_folder_shares_only_what_lies_directly_in_it)
{
    add_share("home", true);
    folder_write(&root, "home/direct", "1");
    folder_write(&root, "home/Temp/part", "2");
    folder_link(&root, "Temp/part", "home/link");
    folder_link(&root, "direct", "home/twin");
    scan();
    EXPECT_FILES("direct", "direct", "twin", "direct");
}

Test(scan, folder_that_may_not_be_read_is_noted_and_takes_nothing_from_answers)
{
    if (getuid() == 0)
        cr_assert(eq(int, setegid(65534), 0));
    folder_write(&root, "share/closed/f", "f");
    folder_write(&root, "share/open", "o");
    cr_assert(getuid() != 0 || chown(root.path, 65534, 65534) == 0);
    chmod(folder_path(&root, "share/closed"), 0);
    if (getuid() == 0)
        cr_assert(eq(int, seteuid(65534), 0));
    scan();
    if (getuid() == 0)
        cr_assert(eq(int, seteuid(0), 0));
    chmod(folder_path(&root, "share/closed"), 0755);
    EXPECT_FILES("open", "open");
    cr_expect(is_complete);
    cr_assert(eq(sz, notes.count, 1));
    cr_expect(ne(ptr, strstr(notes.lines[0], "closed: Permission denied"), NULL), "%s", notes.lines[0]);
}

Test(scan, passing_error_makes_the_outcome_incomplete)
{
    folder_write(&root, "share/d/f", "f");
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    int spare = dup(0); /* the lowest free number: nothing more can be opened */
    close(spare);
    none.rlim_cur = (rlim_t)spare;
    setrlimit(RLIMIT_NOFILE, &none);
    scan();
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_expect(not(is_complete));
    cr_expect(eq(sz, notes.count, 1));
    scan();
    cr_expect(is_complete);
    cr_expect(eq(sz, share_index_count(found), 1));
}

Test(scan, share_that_went_away_is_noted_and_one_that_came_back_is_read_anew)
{
    folder_write(&root, "share/f", "f");
    int number = shares[0].fd;
    rename(folder_path(&root, "share"), folder_path(&root, "gone"));
    scan();
    cr_expect(eq(u64, not_there, 1));
    cr_expect(eq(sz, share_index_count(found), 0));
    cr_expect(is_complete);
    cr_expect(eq(sz, notes.count, 1));
    folder_write(&root, "share/new", "n");
    scan();
    EXPECT_FILES("new", "new");
    cr_expect(eq(int, shares[0].fd, number));
    struct file_stamp stamp;
    int fd = share_open(number, "new", &stamp);
    cr_expect(ge(int, fd, 0));
    close(fd);
}

Test(scan, too_deep_folders_are_noted)
{
    char name[1200];
    size_t used = (size_t)snprintf(name, sizeof name, "share/");
    for (int i = 0; i < SCAN_DEPTH_MAX + 1; i++)
        used += (size_t)snprintf(name + used, sizeof name - used, "d/");
    folder_make_parents(&root, name);
    scan();
    cr_assert(eq(sz, notes.count, 1));
    cr_expect(ne(ptr, strstr(notes.lines[0], "too deep"), NULL));
}

Test(scan, look_at_one_place_finds_what_is_there_now_and_leaves_the_rest)
{
    folder_write(&root, "share/d/a", "a");
    folder_write(&root, "share/d/e/b", "b");
    folder_write(&root, "share/f", "f");
    scan();
    folder_write(&root, "share/f", "longer");
    folder_write(&root, "share/d/new", "n");
    unlink(folder_path(&root, "share/d/a"));
    look("d/new");
    EXPECT_FILES("d/a", "d/a", "d/e/b", "d/e/b", "d/new", "d/new", "f", "f");
    cr_expect(eq(u64, file_at(3)->stamp.size, 1), "nobody has looked at it");
    look("f");
    look("d/a");
    EXPECT_FILES("d/e/b", "d/e/b", "d/new", "d/new", "f", "f");
    cr_expect(eq(u64, file_at(2)->stamp.size, 6));
    rename(folder_path(&root, "share/d/e"), folder_path(&root, "share/e"));
    look("d/e");
    EXPECT_FILES("d/new", "d/new", "f", "f");
    look("");
    EXPECT_FILES("d/new", "d/new", "e/b", "e/b", "f", "f");
}

Test(scan, folder_in_the_place_of_a_file_and_the_other_way_round)
{
    folder_write(&root, "share/x", "file");
    folder_write(&root, "share/y/f", "f");
    scan();
    unlink(folder_path(&root, "share/x"));
    folder_write(&root, "share/x/f", "f");
    rename(folder_path(&root, "share/y"), folder_path(&root, "y"));
    folder_write(&root, "share/y", "file");
    look("x");
    look("y");
    EXPECT_FILES("x/f", "x/f", "y", "y");
    look("x/none");
    look("y/f");
    EXPECT_FILES("x/f", "x/f", "y", "y");
}

Test(scan, name_is_kept_as_long_as_its_file_is_there)
{
    add_share("other", false);
    folder_write(&root, "share/same", "1");
    folder_write(&root, "other/same", "22");
    scan();
    unlink(folder_path(&root, "share/same"));
    scan();
    EXPECT_FILES("same (2)", "same");
    folder_write(&root, "share/same", "1");
    scan();
    EXPECT_FILES("same", "same", "same (2)", "same");
}

Test(scan, passing_error_leaves_what_was_known)
{
    folder_write(&root, "share/d/f", "f");
    scan();
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    int spare = dup(0);
    close(spare);
    none.rlim_cur = (rlim_t)spare;
    setrlimit(RLIMIT_NOFILE, &none);
    scan();
    setrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_FILES("d/f", "d/f");
    cr_expect(not(is_complete));
}

Test(scan, share_folder_must_be_a_folder)
{
    struct share_folder folder;
    folder_write(&root, "file", "f");
    cr_expect(not(share_folder_open(folder_path(&root, "file"), false, &folder)));
    cr_expect(eq(int, errno, ENOTDIR));
    cr_expect(not(share_folder_open(folder_path(&root, "none"), false, &folder)));
    cr_expect(eq(int, errno, ENOENT));
}

static int open_errno(const char *path)
{
    struct file_stamp stamp;
    int fd = share_open(shares[0].fd, path, &stamp);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

Test(scan, share_open_never_leaves_the_share_and_opens_regular_files_only)
{
    folder_write(&root, "secret", "s");
    folder_write(&root, "share/d/f", "f");
    folder_link(&root, "f", "share/d/link");
    folder_link(&root, "d", "share/folder");
    mkfifo(folder_path(&root, "share/fifo"), 0644);
    cr_expect(eq(int, open_errno("d/f"), 0));
    cr_expect(eq(int, open_errno("../secret"), EXDEV));
    cr_expect(eq(int, open_errno(folder_path(&root, "share/d/f")), EXDEV));
    cr_expect(eq(int, open_errno("d/link"), ELOOP));
    cr_expect(eq(int, open_errno("folder/f"), ELOOP));
    cr_expect(eq(int, open_errno("fifo"), EINVAL), "and it does not wait for a writer");
    cr_expect(eq(int, open_errno("d"), EINVAL));
    cr_expect(eq(int, open_errno("none"), ENOENT));
}
