/* SPDX-License-Identifier: MIT */
#include "node/shell/share/watch.h"

#include "messages/table.h"
#include "node/shell/share/remote_disk.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define MASK                                                                                                 \
    (IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |          \
     IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)

/* Events of one read, and reads of one call: the loop goes on in between. */
#define READ_SIZE (64u << 10)
#define READS_MAX 16

/* One name of a watched folder. */
struct watched {
    struct watch_head *head;
    struct watched *next; /* of the same folder */
    char *path;
    UT_hash_handle hh;
    uint32_t share; /* the key: share and name */
    char name[];
};

/* One watch. */
struct watch_head {
    int wd;
    struct watched *names;
    UT_hash_handle hh;
};

struct watch {
    int fd;
    pthread_mutex_t lock; /* all below; and inotify_add_watch(), so that no event comes before its watch */
    struct watched *names;
    struct watch_head *heads;
};

struct watch *watch_new(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct watch *self = calloc(1, sizeof *self);
    assert(self);
    self->fd = fd;
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

/* Names; all with the lock held */

static size_t key_size(const char *name)
{
    return sizeof(uint32_t) + strlen(name);
}

static struct watched *watched_new(uint32_t share, const char *path, const char *name)
{
    struct watched *watched = calloc(1, sizeof *watched + strlen(name) + 1);
    assert(watched);
    watched->share = share;
    memcpy(watched->name, name, strlen(name));
    watched->path = strdup(path);
    assert(watched->path);
    return watched;
}

static void watched_free(struct watched *watched)
{
    free(watched->path);
    free(watched);
}

static struct watched *find(const struct watch *self, uint32_t share, const char *name)
{
    struct watched *wanted = watched_new(share, "", name), *found = NULL;
    HASH_FIND(hh, self->names, &wanted->share, key_size(name), found);
    watched_free(wanted);
    return found;
}

/* Takes a name away; with the last one, the watch. */
static void drop(struct watch *self, struct watched *watched, bool is_ended)
{
    struct watch_head *head = watched->head;
    struct watched **link = &head->names;
    while (*link != watched)
        link = &(*link)->next;
    *link = watched->next;
    HASH_DELETE(hh, self->names, watched);
    watched_free(watched);
    if (head->names)
        return;
    if (!is_ended)
        inotify_rm_watch(self->fd, head->wd);
    HASH_DELETE(hh, self->heads, head);
    free(head);
}

static void drop_below(struct watch *self, uint32_t share, const char *name)
{
    size_t size = strlen(name);
    if (size > 0 && !find(self, share, name))
        return; /* a file, mostly */
    struct watched *watched, *next;
    HASH_ITER(hh, self->names, watched, next)
    {
        bool is_below = watched->share == share && strncmp(watched->name, name, size) == 0 &&
                        (size == 0 || watched->name[size] == '\0' || watched->name[size] == '/');
        if (is_below)
            drop(self, watched, false);
    }
}

void watch_destroy(struct watch **self_p)
{
    assert(self_p);
    struct watch *self = *self_p;
    if (!self)
        return;
    struct watched *watched, *next;
    HASH_ITER(hh, self->names, watched, next)
    drop(self, watched, true);
    close(self->fd);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

int watch_fd(const struct watch *self)
{
    return self->fd;
}

static void add_name(struct watch *self, int wd, uint32_t share, const char *path, const char *name)
{
    struct watched *known = find(self, share, name);
    if (known && known->head->wd == wd && strcmp(known->path, path) == 0)
        return;
    struct watch_head *head = NULL;
    HASH_FIND_INT(self->heads, &wd, head);
    if (!head) {
        head = calloc(1, sizeof *head);
        assert(head);
        head->wd = wd;
        HASH_ADD_INT(self->heads, wd, head);
    }
    struct watched *watched = watched_new(share, path, name);
    watched->head = head;
    watched->next = head->names;
    head->names = watched;
    if (known) /* another folder has this name now */
        drop(self, known, false);
    HASH_ADD_KEYPTR(hh, self->names, &watched->share, key_size(name), watched);
}

enum watch_result watch_add(struct watch *self, int fd, uint32_t share, const char *path, const char *name)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    pthread_mutex_lock(&self->lock);
    int wd = inotify_add_watch(self->fd, link, MASK);
    int error = wd < 0 ? errno : 0;
    if (wd >= 0)
        add_name(self, wd, share, path, name);
    pthread_mutex_unlock(&self->lock);
    if (error)
        return error == ENOSPC ? WATCH_LIMIT : WATCH_FAILED;
    return remote_disk_has(fd) ? WATCH_REMOTE : WATCH_DONE;
}

bool watch_knows(struct watch *self, uint32_t share, const char *name)
{
    pthread_mutex_lock(&self->lock);
    bool is_known = find(self, share, name) != NULL;
    pthread_mutex_unlock(&self->lock);
    return is_known;
}

void watch_forget(struct watch *self, uint32_t share, const char *name)
{
    pthread_mutex_lock(&self->lock);
    drop_below(self, share, name);
    pthread_mutex_unlock(&self->lock);
}

/* Events; with the lock held */

static enum watch_event event_of(const struct inotify_event *event)
{
    bool is_new_folder = (event->mask & IN_CREATE) && (event->mask & IN_ISDIR);
    return is_new_folder || (event->mask & (IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE))
               ? WATCH_FINISHED
               : WATCH_CHANGED;
}

/* One that was removed was empty: looking below it too would make the removal of a large tree quadratic. */
static void forget_child(struct watch *self, const struct watch_place *folder, const char *base,
                         bool was_moved)
{
    char *name = NULL;
    int size = asprintf(&name, "%s%s%s", folder->name, *folder->name ? "/" : "", base);
    assert(size >= 0);
    struct watched *watched = was_moved ? NULL : find(self, folder->share, name);
    if (was_moved)
        drop_below(self, folder->share, name);
    else if (watched)
        drop(self, watched, false);
    free(name);
}

static void on_place(struct watch *self, const struct watch_place *folder, const struct inotify_event *event,
                     struct watch_rules *rules, uint64_t now_ms)
{
    const char *base = event->len > 0 ? event->name : "";
    bool is_own = !*base;
    if (*folder->path == '/') {
        watch_rules_on_event(rules, WATCH_FINISHED, folder->share, "", "", "", now_ms);
        return;
    }
    if (*base == '.') /* nothing hidden is shared */
        return;
    if (is_own && (event->mask & IN_MOVE_SELF)) {
        if (*folder->name) /* the folder above tells more */
            return;
        drop_below(self, folder->share, "");
    }
    if ((event->mask & IN_ISDIR) && (event->mask & (IN_DELETE | IN_MOVED_FROM)))
        forget_child(self, folder, base, event->mask & IN_MOVED_FROM);
    watch_rules_on_event(rules, is_own ? WATCH_FINISHED : event_of(event), folder->share, folder->path,
                         folder->name, base, now_ms);
}

/* A folder may have several names, and what happens may take any of them away: they are copied first. */
static void on_event(struct watch *self, const struct inotify_event *event, struct watch_rules *rules,
                     uint64_t now_ms)
{
    if (event->mask & IN_Q_OVERFLOW) {
        watch_rules_on_overflow(rules);
        return;
    }
    struct watch_head *head = NULL;
    HASH_FIND_INT(self->heads, &event->wd, head);
    if (!head)
        return;
    struct watch_place *places = NULL;
    size_t count = 0;
    for (struct watched *watched = head->names; watched; watched = watched->next) {
        places = realloc(places, (count + 1) * sizeof *places);
        assert(places);
        places[count++] = (struct watch_place){watched->share, strdup(watched->path), strdup(watched->name)};
    }
    while ((event->mask & IN_IGNORED) && head) {
        struct watched *last = head->names;
        bool is_last = !last->next;
        drop(self, last, true);
        if (is_last)
            head = NULL;
    }
    for (size_t i = 0; i < count; i++) {
        assert(places[i].path && places[i].name);
        on_place(self, &places[i], event, rules, now_ms);
        free(places[i].path);
        free(places[i].name);
    }
    free(places);
}

void watch_read(struct watch *self, struct watch_rules *rules, uint64_t now_ms)
{
    union {
        struct inotify_event event; /* for its alignment */
        char bytes[READ_SIZE];
    } buffer;
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t size = read(self->fd, buffer.bytes, sizeof buffer.bytes);
        if (size <= 0)
            return;
        pthread_mutex_lock(&self->lock);
        for (ssize_t at = 0; at < size;) {
            const struct inotify_event *event = (const void *)(buffer.bytes + at);
            on_event(self, event, rules, now_ms);
            at += (ssize_t)(sizeof *event + event->len);
        }
        pthread_mutex_unlock(&self->lock);
    }
}
