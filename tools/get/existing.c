/* SPDX-License-Identifier: MIT */
#include "tools/get/existing.h"

#include "node/shell/share/file_hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct inspection {
    struct transfers *transfers;
    struct file_hash_result result;
    bool is_done, is_abandoned;
};

static void on_hashed(void *owner, struct file_hash_result *result)
{
    struct inspection *self = owner;
    if (self->is_abandoned) {
        free(self);
        return;
    }
    self->result = *result;
    self->is_done = true;
    loop_stop(transfers_loop(self->transfers));
}

/* Takes `fd`. */
static bool is_identical(const struct site *site, int fd)
{
    struct inspection *self = calloc(1, sizeof *self);
    assert(self);
    self->transfers = site->transfers;
    struct workers *workers = transfers_workers(site->transfers);
    file_hash_start_open(workers, fd, workers_count(workers) + 1, on_hashed, self);
    transfers_run(site->transfers);
    if (!self->is_done) { /* a signal came; the threads are still at it */
        self->is_abandoned = true;
        return false;
    }
    bool is_identical = self->result.status == FILE_HASH_READY &&
                        self->result.stamp.size == site->target->size &&
                        hash_equal(&self->result.root, &site->target->root);
    free(self);
    return is_identical;
}

/* Why what has the name cannot be replaced even with --force; NULL for a file, or a link to one. */
static const char *what_is_in_the_way(const struct site *site, const struct stat *status, bool is_dangling)
{
    if (is_dangling)
        return site->options->must_replace ? NULL : "is a link that leads nowhere: remove it";
    if (S_ISDIR(status->st_mode))
        return "is a folder: move it away";
    if (!S_ISREG(status->st_mode))
        return "is no file but a device, pipe or socket: to write into it, use -o - and redirect";
    return NULL;
}

/* Something has the name and is not the file. */
static enum existing judge(const struct site *site, const char *why)
{
    if (transfers_is_interrupted(site->transfers) || site->options->must_replace)
        return EXISTING_NONE;
    output_error(site->output, "%s/%s %s: move it away, or replace it with --force", site->shown_folder,
                 site->name, why);
    return EXISTING_IN_THE_WAY;
}

static enum existing look(const struct site *site, int folder_fd)
{
    struct stat status;
    if (fstatat(folder_fd, site->name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return EXISTING_NONE;
    bool is_dangling = S_ISLNK(status.st_mode) && fstatat(folder_fd, site->name, &status, 0) != 0;
    const char *problem = what_is_in_the_way(site, &status, is_dangling);
    if (problem) {
        output_error(site->output, "%s/%s %s, or choose another name with -o", site->shown_folder, site->name,
                     problem);
        return EXISTING_IN_THE_WAY;
    }
    if (is_dangling)
        return EXISTING_NONE;
    if (site->options->range.is_given) /* its hashes are those of whole chunks, so it cannot be compared */
        return judge(site, "exists");
    if ((uint64_t)status.st_size != site->target->size)
        return judge(site, "exists and is different");
    int fd = openat(folder_fd, site->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return judge(site, "exists and cannot be read");
    return is_identical(site, fd) ? EXISTING_SAME : judge(site, "exists and is different");
}

enum existing existing_check(const struct site *site)
{
    int folder_fd = site->name ? open(site->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder_fd < 0)
        return EXISTING_NONE;
    enum existing existing = look(site, folder_fd);
    close(folder_fd);
    return existing;
}

static bool stat_partial(const struct site *site, char ret_name[PARTIAL_NAME_SIZE], struct stat *ret_status)
{
    int folder_fd = site->name ? open(site->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder_fd < 0)
        return false;
    chunk_store_partial_name(site->name, &site->target->id, ret_name);
    bool is_there = fstatat(folder_fd, ret_name, ret_status, AT_SYMLINK_NOFOLLOW) == 0;
    close(folder_fd);
    return is_there;
}

void existing_partial(const struct site *site, char ret_name[PARTIAL_NAME_SIZE],
                      struct timespec *ret_change_at)
{
    struct stat status = {0};
    ret_name[0] = '\0';
    (void)stat_partial(site, ret_name, &status);
    *ret_change_at = status.st_ctim;
}

bool existing_tell_bad_partial(const struct site *site)
{
    char partial[PARTIAL_NAME_SIZE];
    struct stat status;
    if (!stat_partial(site, partial, &status) || (S_ISREG(status.st_mode) && status.st_nlink == 1))
        return false;
    const char *what = S_ISDIR(status.st_mode)   ? "a folder"
                       : S_ISLNK(status.st_mode) ? "a link"
                       : S_ISREG(status.st_mode) ? "a second name of another file"
                                                 : "no plain file";
    output_error(site->output, "%s/%s is %s where the partial file should be: move it away",
                 site->shown_folder, partial, what);
    return true;
}

static void add_seed(struct seeds *self, int fd)
{
    struct stat status;
    if (fd >= 0 && self->count < FETCH_SEEDS_MAX && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        self->fds[self->count++] = fd;
    else if (fd >= 0)
        close(fd);
}

struct finding {
    struct seeds *seeds;
    const struct site *site;
};

static void on_other_partial(void *owner, int folder_fd, const char *partial_name)
{
    const struct finding *self = owner;
    const struct site *site = self->site;
    if (!site->options->must_discard) {
        add_seed(self->seeds,
                 openat(folder_fd, partial_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        output_note(site->output, "%s/%s is a part of another file of this name: --discard removes it",
                    site->shown_folder, partial_name);
    } else if (unlinkat(folder_fd, partial_name, 0) == 0) {
        output_note(site->output, "removed %s/%s", site->shown_folder, partial_name);
    } else {
        output_note(site->output, "cannot remove %s/%s: %s", site->shown_folder, partial_name,
                    strerror(errno));
    }
}

void seeds_take_partials(struct seeds *self, const struct site *site)
{
    struct finding finding = {self, site};
    if (site->name)
        chunk_store_find_others(site->folder, site->name, &site->target->id, &finding, on_other_partial);
}

bool seeds_open(struct seeds *self, const struct site *site)
{
    const char *path = site->options->seed_from;
    if (path) {
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0) {
            output_error(site->output, "cannot read %s: %s; name a file to read with --seed-from", path,
                         strerror(errno));
            return false;
        }
        add_seed(self, fd);
    }
    bool is_older_version = site->name && site->options->must_replace && !site->options->range.is_given;
    int folder_fd = is_older_version ? open(site->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder_fd >= 0) {
        add_seed(self, openat(folder_fd, site->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        close(folder_fd);
    }
    return true;
}

void seeds_close(struct seeds *self)
{
    while (self->count > 0)
        close(self->fds[--self->count]);
}
