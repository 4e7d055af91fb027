/* SPDX-License-Identifier: MIT */
/* Prints the id and root of files, hashed on all cores; results come in the order of the arguments. */
#include "node/shell/share/file_hash.h"
#include "tools/cli/output.h"
#include "tools/cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files open at a time: enough small ones to keep all workers busy. */
#define OPEN_FILES_MAX 64

static struct {
    bool is_json;
    uint64_t timeout_ms;
} settings = {.timeout_ms = 30000};

static const struct cli_option options[] = {
    OPTION_ROW_TIMEOUT(&settings.timeout_ms, "give up after S seconds without progress (default 30)"),
    OPTION_ROW_JSON(&settings.is_json),
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "zhash",
    .operands = "FILE...",
    .summary = "Prints ID ROOT SIZE NAME of each file, as every node would.",
    .options = options,
    .is_json = &settings.is_json,
    .example = "zhash ubuntu.iso",
    .exits = "0 done, 2 error (the other files are hashed all the same)",
};

/* One argument: at most OPEN_FILES_MAX of them are between `opened` and `printed`. */
struct file {
    const char *name;
    bool is_done;
    enum file_hash_status status;
    int error;
    uint64_t size;
    struct hash root;
};

struct hashing {
    struct output *output;
    struct workers *workers;
    char **names;
    size_t count;
    size_t opened,
        printed; /* arguments so far; those between them are in `files`, by index modulo OPEN_FILES_MAX */
    struct file files[OPEN_FILES_MAX];
};

static void done(void *owner, struct file_hash_result *result)
{
    struct file *file = owner;
    file->is_done = true;
    file->status = result->status;
    file->error = result->error;
    file->size = result->stamp.size;
    file->root = result->root;
}

/* -1 with errno; EINVAL for what is no regular file, which is not opened: that alone can do things to a
 * device. */
static int open_file(const char *name)
{
    struct stat status;
    if (stat(name, &status) != 0)
        return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    return open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void open_next(struct hashing *self)
{
    struct file *file = &self->files[self->opened % OPEN_FILES_MAX];
    *file = (struct file){.name = self->names[self->opened]};
    self->opened++;
    int fd = open_file(file->name);
    if (fd < 0) {
        file->is_done = true;
        file->status = FILE_HASH_FAILED;
        file->error = errno;
        return;
    }
    file_hash_start_open(self->workers, fd, workers_count(self->workers) + 1, done, file);
}

static void print_file(struct output *output, const struct file *file)
{
    char id_text[ID_HEX_SIZE], root_text[ID_HEX_SIZE];
    struct file_id id = file_id_of(file->size, &file->root);
    hex_format(id.bytes, sizeof id.bytes, id_text);
    hex_format(file->root.bytes, sizeof file->root.bytes, root_text);
    output_line(output, "%s %s %llu %s", id_text, root_text, (unsigned long long)file->size, file->name);
    json_t *event = event_new("file");
    json_object_set_new(event, "id", json_string(id_text));
    json_object_set_new(event, "root", json_string(root_text));
    json_object_set_new(event, "size", json_u64(file->size));
    json_object_set_new(event, "name", json_text(text_of(file->name)));
    output_event(output, event);
}

static void print_result(struct output *output, const struct file *file)
{
    switch (file->status) {
    case FILE_HASH_READY:
        print_file(output, file);
        break;
    case FILE_HASH_CHANGED:
        output_error(output, "%s: changed while it was read", file->name);
        break;
    case FILE_HASH_FAILED:
        output_error(output, "%s: %s", file->name,
                     file->error == EINVAL ? "not a regular file" : strerror(file->error));
        break;
    case FILE_HASH_STOPPED: /* only when the workers end, and nothing is printed any more */
        break;
    }
}

/* Hashes all arguments. False when nothing moved for the time allowed. */
static bool hash_all(struct hashing *self)
{
    while (self->printed < self->count && !output_is_broken(self->output)) {
        while (self->opened < self->count && self->opened - self->printed < OPEN_FILES_MAX)
            open_next(self);
        struct file *file = &self->files[self->printed % OPEN_FILES_MAX];
        if (file->is_done) {
            print_result(self->output, file);
            self->printed++;
            continue;
        }
        struct pollfd wait = {.fd = workers_fd(self->workers), .events = POLLIN};
        int timeout_ms = settings.timeout_ms < INT32_MAX ? (int)settings.timeout_ms : INT32_MAX;
        int ready = poll(&wait, 1, timeout_ms);
        if (ready == 0)
            return false;
        workers_collect(self->workers);
    }
    return true;
}

static void run(struct output *output, char **names, size_t count)
{
    static struct hashing self;
    self = (struct hashing){.output = output, .names = names, .count = count};
    self.workers = workers_new(workers_default_count());
    if (!self.workers) {
        output_error(output, "cannot start threads: %s", strerror(errno));
        return;
    }
    if (!hash_all(&self)) {
        output_error(output, "%s: nothing could be read for %llu s",
                     self.files[self.printed % OPEN_FILES_MAX].name,
                     (unsigned long long)settings.timeout_ms / 1000);
        /* A thread that hangs in a read cannot be joined. */
        _exit(output_finish(&output));
    }
    workers_destroy(&self.workers);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    if (argc == 0)
        output_error(output, "no file given (see zhash --help)");
    else
        run(output, argv, (size_t)argc);
    return output_finish(&output);
}
