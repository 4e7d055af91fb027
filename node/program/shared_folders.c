/* SPDX-License-Identifier: MIT */
#include "node/program/shared_folders.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* NULL when there is none; what is no file of ours, like a FIFO, holds nobody up. */
static FILE *open_kept(const struct node *node)
{
    char *path = node_state_path(&node->state, "shares");
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    FILE *file = NULL;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        file = fdopen(fd, "r");
    if (fd >= 0 && !file)
        close(fd);
    free(path);
    return file;
}

/* Calls `each` for every kept path. */
static void read_kept(const struct node *node, void (*each)(void *owner, const char *path), void *owner)
{
    FILE *file = open_kept(node);
    char *line = NULL;
    size_t capacity = 0;
    for (unsigned count = 0; file && count < SHARES_FOLDERS_MAX && getline(&line, &capacity, file) > 0;
         count++) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '/' && strlen(line) < PATH_MAX)
            each(owner, line);
    }
    free(line);
    if (file)
        fclose(file);
}

static void share(void *owner, const char *path)
{
    struct node *node = owner;
    if (!shares_add_folder(node->shares, path, false))
        output_note(node->output,
                    "cannot share '%s', as was asked for at the console: %s; 'unshare' forgets it", path,
                    strerror(errno));
}

void shared_folders_open(struct node *node)
{
    read_kept(node, share, node);
}

struct rewrite {
    FILE *file;
    const char *path; /* left out of what was kept */
    bool is_found;
};

static void copy(void *owner, const char *path)
{
    struct rewrite *self = owner;
    if (strcmp(path, self->path) == 0)
        self->is_found = true;
    else
        fprintf(self->file, "%s\n", path);
}

/* Writes the file anew beside the old one, with `path` as its last line or without it. False with errno. */
static bool keep(const struct node *node, const char *path, bool is_shared, bool *ret_was_kept)
{
    char *to = node_state_path(&node->state, "shares"), *beside = node_state_path(&node->state, "shares.new");
    struct rewrite rewrite = {.path = path};
    errno = EINVAL;
    if (!strchr(path, '\n')) /* a line each */
        rewrite.file = fopen(beside, "we");
    bool is_kept = rewrite.file;
    if (is_kept) {
        read_kept(node, copy, &rewrite);
        if (is_shared)
            fprintf(rewrite.file, "%s\n", path);
        is_kept = fflush(rewrite.file) == 0 && fsync(fileno(rewrite.file)) == 0;
        is_kept = fclose(rewrite.file) == 0 && is_kept && rename(beside, to) == 0;
    }
    *ret_was_kept = rewrite.is_found;
    free(to);
    free(beside);
    return is_kept;
}

static bool is_shared_already(const struct node *node, const char *path)
{
    for (size_t i = 0; i < shares_folder_count(node->shares); i++) {
        struct shares_folder_view folder = shares_folder_at(node->shares, i);
        if (!folder.is_flat && strcmp(folder.path, path) == 0)
            return true;
    }
    return false;
}

enum shared_folders_result shared_folders_add(struct node *node, const char *path)
{
    char *real = realpath(path, NULL);
    bool was_kept, is_there = real && is_shared_already(node, real);
    enum shared_folders_result result = SHARED_FOLDERS_OK;
    if (is_there)
        errno = EEXIST;
    if (!real || is_there || !shares_add_folder(node->shares, real, false))
        result = SHARED_FOLDERS_REFUSED;
    else if (!keep(node, real, true, &was_kept))
        result = SHARED_FOLDERS_NOT_KEPT;
    int error = errno;
    free(real);
    errno = error;
    return result;
}

enum shared_folders_result shared_folders_remove(struct node *node, const char *path)
{
    char *real = realpath(path, NULL); /* a folder that is gone has none */
    const char *known = real ? real : path;
    bool was_kept = false;
    bool is_removed = shares_remove_folder(node->shares, known);
    errno = 0;
    bool is_kept = keep(node, known, false, &was_kept);
    int error = is_kept ? 0 : errno;
    enum shared_folders_result result = SHARED_FOLDERS_OK;
    if (!is_removed && !was_kept)
        result = SHARED_FOLDERS_REFUSED;
    else if (!is_kept || !was_kept)
        result = SHARED_FOLDERS_NOT_KEPT;
    free(real);
    errno = error;
    return result;
}
