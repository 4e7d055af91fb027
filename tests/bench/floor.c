/* SPDX-License-Identifier: MIT */

/*
 * The floor under a transfer: a bare DEALER that pulls a file from a bare ROUTER, with the work that no
 * verified download can do without (SHA-256 of 16 KiB leaves, pwrite) on two threads, and nothing else:
 * no protocol, no comparison of hashes, no resume, no limits.
 *
 *   floor serve ENDPOINT FILE            until a signal ends it
 *   floor fetch ENDPOINT SIZE FILE       exit 0 when SIZE bytes are hashed and written
 *   floor copy ENDPOINT SIZE FILE        the same without hashing: what ZeroMQ and the disk cost by
 * themselves
 */

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum {
    CHUNK_BYTES = 1 << 20,
    LEAF_BYTES = 16384,
    WINDOW_COUNT = 16,
    WORKER_COUNT = 2,
    QUEUE_COUNT_MAX = 16
};

struct job {
    zmq_msg_t data;
    uint64_t index;
};

/* Between the receiving thread and the workers; jobs are [taken, put). */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct job jobs[QUEUE_COUNT_MAX];
    uint64_t taken, put;
    bool closed;
    bool is_hashing;
    int file;
};

/* glibc otherwise maps and unmaps every message of a megabyte, and page faults dominate the run. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 16 << 20);
    mallopt(M_ARENA_MAX, 1);
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static int serve(void *socket, const char *endpoint, const char *path)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) != 0)
        return fail(path);
    if (zmq_bind(socket, endpoint) != 0)
        return fail(endpoint);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        zmq_msg_t route, request, data;
        zmq_msg_init(&route);
        zmq_msg_init(&request);
        if (zmq_msg_recv(&route, socket, 0) < 0 || zmq_msg_recv(&request, socket, 0) < 0)
            return fail("recv");
        uint64_t index;
        assert(zmq_msg_size(&request) == sizeof index);
        memcpy(&index, zmq_msg_data(&request), sizeof index);
        off_t offset = (off_t)index * CHUNK_BYTES;
        size_t size = info.st_size - offset < CHUNK_BYTES ? (size_t)(info.st_size - offset) : CHUNK_BYTES;
        zmq_msg_init_size(&data, size);
        if (pread(file, zmq_msg_data(&data), size, offset) != (ssize_t)size)
            return fail(path);
        zmq_msg_send(&route, socket, ZMQ_SNDMORE);
        zmq_msg_send(&request, socket, ZMQ_SNDMORE);
        zmq_msg_send(&data, socket, 0);
    }
}

static bool queue_take(struct queue *queue, struct job *ret_job)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->taken == queue->put && !queue->closed)
        pthread_cond_wait(&queue->filled, &queue->lock);
    bool taken = queue->taken != queue->put;
    if (taken)
        *ret_job = queue->jobs[queue->taken++ % QUEUE_COUNT_MAX];
    pthread_cond_signal(&queue->emptied);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

static void queue_put(struct queue *queue, const struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->put - queue->taken == QUEUE_COUNT_MAX)
        pthread_cond_wait(&queue->emptied, &queue->lock);
    queue->jobs[queue->put++ % QUEUE_COUNT_MAX] = *job;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

static void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

static void *work(void *argument)
{
    struct queue *queue = argument;
    struct job job;
    unsigned char hash[32];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    while (queue_take(queue, &job)) {
        const char *bytes = zmq_msg_data(&job.data);
        size_t size = zmq_msg_size(&job.data);
        for (size_t begin = 0; queue->is_hashing && begin < size; begin += LEAF_BYTES) {
            EVP_DigestInit_ex(context, EVP_sha256(), NULL);
            EVP_DigestUpdate(context, bytes + begin, size - begin < LEAF_BYTES ? size - begin : LEAF_BYTES);
            EVP_DigestFinal_ex(context, hash, NULL);
        }
        if (pwrite(queue->file, bytes, size, (off_t)job.index * CHUNK_BYTES) != (ssize_t)size) {
            perror("pwrite");
            _exit(1);
        }
        zmq_msg_close(&job.data);
    }
    EVP_MD_CTX_free(context);
    return NULL;
}

static int pull(void *socket, uint64_t size, struct queue *queue)
{
    uint64_t count = (size + CHUNK_BYTES - 1) / CHUNK_BYTES, asked = 0;
    for (uint64_t received = 0; received < count; received++) {
        while (asked < count && asked - received < WINDOW_COUNT) {
            zmq_send(socket, &asked, sizeof asked, 0);
            asked++;
        }
        struct job job;
        if (zmq_recv(socket, &job.index, sizeof job.index, 0) != sizeof job.index)
            return fail("recv");
        zmq_msg_init(&job.data);
        if (zmq_msg_recv(&job.data, socket, 0) < 0)
            return fail("recv");
        queue_put(queue, &job);
    }
    return 0;
}

static int fetch(void *socket, const char *endpoint, uint64_t size, const char *path, bool is_hashing)
{
    static struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                 .filled = PTHREAD_COND_INITIALIZER,
                                 .emptied = PTHREAD_COND_INITIALIZER};
    pthread_t workers[WORKER_COUNT];
    queue.is_hashing = is_hashing;
    queue.file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (queue.file < 0)
        return fail(path);
    if (zmq_connect(socket, endpoint) != 0)
        return fail(endpoint);
    for (int i = 0; i < WORKER_COUNT; i++)
        pthread_create(&workers[i], NULL, work, &queue);
    int status = pull(socket, size, &queue);
    queue_close(&queue);
    for (int i = 0; i < WORKER_COUNT; i++)
        pthread_join(workers[i], NULL);
    return status;
}

int main(int count, char **arguments)
{
    keep_memory();
    void *context = zmq_ctx_new();
    if (count == 4 && strcmp(arguments[1], "serve") == 0)
        return serve(zmq_socket(context, ZMQ_ROUTER), arguments[2], arguments[3]);
    bool is_hashing = count == 5 && strcmp(arguments[1], "fetch") == 0;
    if (is_hashing || (count == 5 && strcmp(arguments[1], "copy") == 0))
        return fetch(zmq_socket(context, ZMQ_DEALER), arguments[2], strtoull(arguments[3], NULL, 10),
                     arguments[4], is_hashing);
    fprintf(stderr, "usage: floor serve ENDPOINT FILE | floor fetch|copy ENDPOINT SIZE FILE\n");
    return 2;
}
