/* SPDX-License-Identifier: MIT */
#include "node/shell/workers.h"

#include "messages/shell/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* More threads than this only fight over one disk and the memory bus. */
#define THREADS_MAX 8

/* With one thread a scan or a slow file system would hold up every read that is served. */
#define THREADS_MIN 2

/* A hashing job keeps its buffer of 256 KiB here, whatever `ulimit -s` says. */
#define STACK_SIZE (2u << 20)

struct queue {
    struct job *first, **end; /* where the next one is linked */
};

struct workers {
    pthread_mutex_t lock; /* guards both queues */
    pthread_cond_t wanted;
    struct queue waiting, finished;
    atomic_bool is_stopping;
    int fd;
    unsigned thread_count;
    uint64_t *lanes;   /* of what each thread runs; guarded by the lock */
    unsigned lane_max; /* one for each thread */
    unsigned lane_count;
    pthread_t threads[];
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_append(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

static void queue_prepend(struct queue *queue, struct job *job)
{
    job->next = queue->first;
    if (!queue->first)
        queue->end = &job->next;
    queue->first = job;
}

static struct job *queue_take(struct queue *queue)
{
    struct job *job = queue->first;
    if (job) {
        queue->first = job->next;
        if (!queue->first)
            queue->end = &queue->first;
    }
    return job;
}

/* All threads but one may be in it; the only thread of a pool is no help to anybody else. */
static bool is_lane_free(const struct workers *self, uint64_t lane)
{
    unsigned count = 0;
    for (unsigned i = 0; lane != 0 && i < self->lane_max; i++)
        count += self->lanes[i] == lane;
    return count == 0 || count + 1 < self->lane_max;
}

/* The first one that may run. */
static struct job *take_runnable(struct workers *self)
{
    struct queue *waiting = &self->waiting;
    for (struct job **at = &waiting->first; *at; at = &(*at)->next) {
        struct job *job = *at;
        if (!is_lane_free(self, job->lane))
            continue;
        *at = job->next;
        if (waiting->end == &job->next)
            waiting->end = at;
        return job;
    }
    return NULL;
}

/* Waits for a job, after one that ran in this lane; NULL when the pool ends. */
static struct job *next_job(struct workers *self, uint64_t *lane)
{
    struct job *job = NULL;
    pthread_mutex_lock(&self->lock);
    *lane = 0;
    while (!atomic_load(&self->is_stopping) && !(job = take_runnable(self)))
        pthread_cond_wait(&self->wanted, &self->lock);
    *lane = job ? job->lane : 0;
    pthread_mutex_unlock(&self->lock);
    return job;
}

static void finish(struct workers *self, struct job *job)
{
    pthread_mutex_lock(&self->lock);
    bool was_empty = !self->finished.first;
    queue_append(&self->finished, job);
    pthread_mutex_unlock(&self->lock);
    /* One write for the first of a batch: the owner takes all that are there. It cannot fail: it adds 1 to a
     * u64. */
    if (was_empty) {
        ssize_t written = write(self->fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)written;
    }
}

static void *work(void *argument)
{
    struct workers *self = argument;
    struct job *job;
    pthread_mutex_lock(&self->lock);
    uint64_t *lane = &self->lanes[self->lane_count++];
    pthread_mutex_unlock(&self->lock);
    while ((job = next_job(self, lane))) {
        job->run(job);
        finish(self, job);
    }
    return NULL;
}

/* Ends and joins the threads that were started. */
static void stop_threads(struct workers *self)
{
    pthread_mutex_lock(&self->lock);
    atomic_store(&self->is_stopping, true);
    pthread_cond_broadcast(&self->wanted);
    pthread_mutex_unlock(&self->lock);
    for (unsigned i = 0; i < self->thread_count; i++)
        pthread_join(self->threads[i], NULL);
}

static void release(struct workers *self)
{
    pthread_cond_destroy(&self->wanted);
    pthread_mutex_destroy(&self->lock);
    if (self->fd >= 0)
        close(self->fd);
    free(self->lanes);
    free(self);
}

/* Starts the threads with all signals blocked: the loop's thread alone handles them. 0 or an errno. */
static int start_threads(struct workers *self, unsigned count)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (self->thread_count < count && !error) {
        error = pthread_create(&self->threads[self->thread_count], &attributes, work, self);
        if (!error)
            self->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

struct workers *workers_new(unsigned thread_count)
{
    assert(thread_count >= 1);
    struct workers *self = calloc(1, sizeof *self + thread_count * sizeof self->threads[0]);
    if (!self)
        return NULL;
    self->lanes = calloc(thread_count, sizeof self->lanes[0]);
    assert(self->lanes);
    self->lane_max = thread_count;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->wanted, NULL);
    queue_init(&self->waiting);
    queue_init(&self->finished);
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = self->fd < 0 ? errno : start_threads(self, thread_count);
    if (error) {
        stop_threads(self);
        release(self);
        errno = error;
        return NULL;
    }
    return self;
}

void workers_destroy(struct workers **self_p)
{
    assert(self_p);
    struct workers *self = *self_p;
    if (!self)
        return;
    stop_threads(self);
    /* No thread is left, so the queues need no lock; done() may still put jobs in, which come back at once.
     */
    struct job *job;
    while ((job = queue_take(&self->finished)) || (job = queue_take(&self->waiting)))
        job->done(job);
    release(self);
    *self_p = NULL;
}

static void put(struct workers *self, struct job *job, void (*link)(struct queue *, struct job *))
{
    assert(job->run && job->done);
    pthread_mutex_lock(&self->lock);
    link(&self->waiting, job);
    pthread_cond_signal(&self->wanted);
    pthread_mutex_unlock(&self->lock);
}

void workers_put(struct workers *self, struct job *job)
{
    put(self, job, queue_append);
}

void workers_put_first(struct workers *self, struct job *job)
{
    put(self, job, queue_prepend);
}

int workers_fd(const struct workers *self)
{
    return self->fd;
}

void workers_collect(struct workers *self)
{
    uint64_t count;
    ssize_t got = read(self->fd, &count, sizeof count); /* EAGAIN when nothing is finished */
    (void)got;
    pthread_mutex_lock(&self->lock);
    struct job *job = self->finished.first;
    queue_init(&self->finished);
    pthread_mutex_unlock(&self->lock);
    while (job) {
        struct job *next = job->next; /* done() may free the job or put it in again */
        job->done(job);
        job = next;
    }
}

unsigned workers_count(const struct workers *self)
{
    return self->thread_count;
}

bool workers_is_stopping(const struct workers *self)
{
    return atomic_load(&self->is_stopping);
}

unsigned workers_default_count(void)
{
    unsigned count = processor_count();
    if (count < THREADS_MIN)
        return THREADS_MIN;
    return count > THREADS_MAX ? THREADS_MAX : count;
}
