/* SPDX-License-Identifier: MIT */
#include "node/shell/node_state.h"

#include "messages/shell/loop.h"
#include "node/shell/folders.h"
#include "node/shell/kept_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static char *join(const char *folder, const char *file)
{
    char *path = NULL;
    int size = asprintf(&path, "%s/%s", folder, file);
    assert(size >= 0);
    (void)size;
    return path;
}

static bool parse_port(const char *text, uint16_t *ret_port)
{
    char *end;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || port > 65535)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

/* Takes in every line that makes sense. True when the id was among them. */
static bool parse(struct node_state *self, char *text, bool *ret_is_whole)
{
    bool has_id = false;
    *ret_is_whole = true;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char *value = strstr(line, " = ");
        if (value) {
            *value = '\0';
            value += 3;
        }
        if (line[0] == '\0')
            continue;
        if (value && strcmp(line, "id") == 0 &&
            hex_parse(value, strlen(value), self->id.bytes, sizeof self->id.bytes))
            has_id = true;
        else if (value && strcmp(line, "name") == 0 && value[0])
            node_state_set(&self->name, value);
        else if (value && strcmp(line, "home") == 0 && value[0] == '/')
            node_state_set(&self->home, value);
        else if (value && strcmp(line, "port_from") == 0 && strcmp(value, "broker") == 0)
            self->is_port_assigned = true;
        else if (!value || strcmp(line, "port") != 0 || !parse_port(value, &self->port))
            *ret_is_whole = false;
    }
    *ret_is_whole = *ret_is_whole && has_id;
    return has_id;
}

static bool load_file(struct node_state *self, const char *file, bool *ret_is_whole)
{
    char *path = join(self->folder, file);
    size_t size;
    char *text = kept_file_read(path, NODE_STATE_FILE_SIZE_MAX, &size);
    bool has_id = text && parse(self, text, ret_is_whole);
    if (!text)
        *ret_is_whole = false;
    free(text);
    free(path);
    return has_id;
}

/* False with errno when the folder can be locked but not read. */
static bool load(struct node_state *self)
{
    bool is_whole, is_old_whole;
    errno = 0;
    bool has_id = load_file(self, "state", &is_whole);
    bool is_missing = errno == ENOENT;
    if (!has_id && !is_missing && (errno == EACCES || errno == EIO))
        return false;
    if (!has_id)
        has_id = load_file(self, "state.old", &is_old_whole);
    self->was_damaged = !is_whole && (!is_missing || has_id);
    self->is_new_id = !has_id;
    if (!has_id)
        random_bytes(self->id.bytes, sizeof self->id.bytes);
    return true;
}

enum node_state_result node_state_open(struct node_state *ret_state, const char *folder, char **ret_path)
{
    struct node_state self = {.lock_fd = -1};
    node_state_set(&self.folder, folder);
    char *lock_path = join(folder, "lock");
    if (folders_make(folder, 0700))
        self.lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum node_state_result result = NODE_STATE_OPEN;
    if (self.lock_fd < 0)
        result = NODE_STATE_FAILED;
    else if (flock(self.lock_fd, LOCK_EX | LOCK_NB) != 0)
        result = errno == EWOULDBLOCK ? NODE_STATE_LOCKED : NODE_STATE_FAILED;
    else if (!load(&self) || !node_state_save(&self))
        result = NODE_STATE_FAILED;
    int error = errno;
    free(lock_path);
    if (result == NODE_STATE_OPEN) {
        *ret_state = self;
        return result;
    }
    if (ret_path)
        *ret_path = strdup(folder);
    node_state_release(&self);
    errno = error;
    return result;
}

static char *profiles_folder(void)
{
    const char *state_home = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (state_home && state_home[0] == '/')
        return join(state_home, "zswarm");
    return join(home && home[0] ? home : "/", ".local/state/zswarm");
}

enum node_state_result node_state_open_profile(struct node_state *ret_state, const char *name,
                                               char **ret_path)
{
    char *parent = profiles_folder();
    enum node_state_result result = NODE_STATE_LOCKED;
    for (unsigned k = 1; result == NODE_STATE_LOCKED && k <= (name ? 1 : NODE_PROFILES_MAX); k++) {
        char number[32];
        snprintf(number, sizeof number, "node-%u", k);
        char *folder = join(parent, name ? name : number);
        char *path = NULL;
        result = node_state_open(ret_state, folder, &path);
        free(folder);
        if (result == NODE_STATE_OPEN)
            break;
        free(*ret_path);
        *ret_path = path;
    }
    free(parent);
    return result;
}

void node_state_set(char **text, const char *value)
{
    char *copy = strdup(value);
    assert(copy);
    free(*text);
    *text = copy;
}

static void put_text(FILE *out, const char *key, const char *value)
{
    if (value && !strchr(value, '\n'))
        fprintf(out, "%s = %s\n", key, value);
}

static char *format(const struct node_state *self, size_t *ret_size)
{
    char *text = NULL, id[2 * sizeof self->id.bytes + 1];
    FILE *out = open_memstream(&text, ret_size);
    assert(out);
    hex_format(self->id.bytes, sizeof self->id.bytes, id);
    fprintf(out, "id = %s\nport = %u\n", id, self->port);
    put_text(out, "port_from", self->is_port_assigned ? "broker" : NULL);
    put_text(out, "name", self->name);
    put_text(out, "home", self->home);
    int rc = fclose(out);
    assert(rc == 0);
    return text;
}

bool node_state_save(const struct node_state *self)
{
    char *path = join(self->folder, "state"), *old = join(self->folder, "state.old");
    size_t size;
    char *text = format(self, &size);
    if (!self->was_damaged && (unlink(old) == 0 || errno == ENOENT))
        (void)!link(path, old); /* without it there is only one copy, as at the first start */
    int error = kept_file_replace(path, text, size);
    free(text);
    free(path);
    free(old);
    errno = error;
    return !error;
}

char *node_state_path(const struct node_state *self, const char *file)
{
    return join(self->folder, file);
}

void node_state_release(struct node_state *self)
{
    if (self->lock_fd >= 0)
        close(self->lock_fd);
    free(self->folder);
    free(self->name);
    free(self->home);
    *self = (struct node_state){.lock_fd = -1};
}
