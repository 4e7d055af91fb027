/* SPDX-License-Identifier: MIT */
#include "node/program/shared_folders.h"

#include "node/shell/kept_file.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than all that may be kept take. */
#define FILE_TEXT_MAX ((size_t)SHARES_FOLDERS_MAX * PATH_MAX)

/* Calls `each` for every kept path. 0, also when nothing was ever kept, or an errno. */
static int read_kept(const struct node *node, void (*each)(void *owner, const char *path), void *owner)
{
    char *path = node_state_path(&node->state, "shares"), *rest, *line;
    size_t size;
    char *text = rest = kept_file_read(path, FILE_TEXT_MAX, &size);
    int error = text || errno == ENOENT ? 0 : errno;
    for (unsigned count = 0; count < SHARES_FOLDERS_MAX && (line = strsep(&rest, "\n")); count++) {
        if (line[0] == '/' && strlen(line) < PATH_MAX)
            each(owner, line);
    }
    free(text);
    free(path);
    return error;
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
    int error = read_kept(node, share, node);
    if (error)
        output_note(node->output, "cannot read %s/shares: %s; what was shared at the console is not",
                    node->state.folder, strerror(error));
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

/* Keeps `path` as the last one, or no longer. False with errno. */
static bool keep(const struct node *node, const char *path, bool is_shared, bool *ret_was_kept)
{
    char *to = node_state_path(&node->state, "shares"), *text = NULL;
    size_t size;
    struct rewrite rewrite = {.file = open_memstream(&text, &size), .path = path};
    assert(rewrite.file);
    int error = strchr(path, '\n') ? EINVAL : read_kept(node, copy, &rewrite); /* a line each */
    if (is_shared)
        fprintf(rewrite.file, "%s\n", path);
    int rc = fclose(rewrite.file);
    assert(rc == 0);
    if (!error)
        error = kept_file_replace(to, text, size);
    *ret_was_kept = rewrite.is_found;
    free(text);
    free(to);
    errno = error;
    return !error;
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
    if (!real || is_there || access(real, R_OK | X_OK) != 0 || !shares_add_folder(node->shares, real, false))
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
