/* SPDX-License-Identifier: MIT */
/*
 * The worker pool under ThreadSanitizer, hence without Criterion. What could go wrong: a job lost or run
 * twice, a wake-up missed so that the owner sleeps for ever, done() on the wrong thread, an end that hangs or
 * forgets jobs, a disk that hangs and takes all threads.
 */
#include "node/shell/workers.h"
#include "tests/support/check.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define JOBS_MAX 20000

struct item {
    struct job job;
    unsigned value, run_count, done_count;
    struct item *again; /* put in from done() */
};

static struct item items[JOBS_MAX];
static unsigned done_total;
static pthread_t owner;
static struct workers *workers;

static void run(struct job *job)
{
    struct item *item = (struct item *)job;
    item->run_count++;
}

static void done(struct job *job)
{
    struct item *item = (struct item *)job;
    CHECK(pthread_equal(pthread_self(), owner));
    item->done_count++;
    done_total++;
    if (item->again) {
        workers_put(workers, &item->again->job);
        item->again = NULL;
    }
}

static struct item *reset(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        items[i] = (struct item){.job = {.run = run, .done = done}, .value = i};
    done_total = 0;
    return items;
}

static void collect_until(unsigned count)
{
    while (done_total < count) {
        struct pollfd wait = {.fd = workers_fd(workers), .events = POLLIN};
        CHECK(poll(&wait, 1, 60000) == 1); /* a lost wake-up would wait for ever */
        workers_collect(workers);
    }
}

static void every_job_runs_once_and_comes_back_once(void)
{
    workers = workers_new(4);
    reset(JOBS_MAX);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        workers_put(workers, &items[i].job);
    collect_until(JOBS_MAX);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        CHECK(items[i].run_count == 1 && items[i].done_count == 1);
    workers_destroy(&workers);
    CHECK(!workers);
}

static void job_put_in_by_another_ones_end_runs(void)
{
    workers = workers_new(2);
    reset(1000);
    for (unsigned i = 0; i + 1 < 1000; i++)
        items[i].again = &items[i + 1];
    workers_put(workers, &items[0].job);
    collect_until(1000);
    workers_destroy(&workers);
}

/* A job that holds the only worker until it is told, so that what waits behind it has a known order. */
struct gate {
    struct job job;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool is_open;
};

static void run_gate(struct job *job)
{
    struct gate *gate = (struct gate *)job;
    pthread_mutex_lock(&gate->lock);
    while (!gate->is_open)
        pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void done_gate(struct job *job)
{
    (void)job;
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->is_open = true;
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

static unsigned order[4], order_count;

static void run_ordered(struct job *job)
{
    order[order_count++] = ((struct item *)job)->value;
}

static void urgent_job_overtakes_those_that_wait(void)
{
    struct gate gate = {.job = {.run = run_gate, .done = done_gate},
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .opened = PTHREAD_COND_INITIALIZER};
    workers = workers_new(1);
    workers_put(workers, &gate.job);
    reset(4);
    for (unsigned i = 0; i < 3; i++) {
        items[i].job.run = run_ordered;
        workers_put(workers, &items[i].job);
    }
    items[3].job.run = run_ordered;
    workers_put_first(workers, &items[3].job);
    open_gate(&gate);
    collect_until(4);
    /* The gate may have started before or after the urgent one was put in; either way it is ahead of the
     * rest. */
    CHECK(order[0] == 3 && order[1] == 0 && order[2] == 1 && order[3] == 2);
    workers_destroy(&workers);
}

static void destroyed_pool_hands_back_what_did_not_run(void)
{
    struct gate gate = {.job = {.run = run_gate, .done = done_gate},
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .opened = PTHREAD_COND_INITIALIZER};
    workers = workers_new(1);
    workers_put(workers, &gate.job);
    reset(101);
    items[0].again = &items[100];
    for (unsigned i = 0; i < 100; i++)
        workers_put(workers, &items[i].job);
    CHECK(!workers_is_stopping(workers));
    open_gate(&gate);
    workers_destroy(&workers);
    CHECK(done_total == 101);
    for (unsigned i = 0; i < 101; i++)
        CHECK(items[i].done_count == 1 && items[i].run_count <= 1);
}

static atomic_bool has_started;

static void run_until_stopping(struct job *job)
{
    (void)job;
    atomic_store(&has_started, true);
    while (!workers_is_stopping(workers))
        sched_yield();
}

static void long_job_learns_of_the_end(void)
{
    struct item item = {.job = {.run = run_until_stopping, .done = done}};
    struct workers *pool = workers = workers_new(2);
    done_total = 0;
    workers_put(workers, &item.job);
    while (!atomic_load(&has_started))
        sched_yield();
    workers_destroy(&pool); /* `workers` stays as it was: the job reads it */
    workers = NULL;
    CHECK(done_total == 1);
}

/* Jobs in a lane that all wait: as many as there are threads, and more. */
static void disk_that_hangs_leaves_a_thread_to_the_others(void)
{
    struct gate gates[6];
    workers = workers_new(3);
    for (unsigned i = 0; i < 6; i++) {
        gates[i] = (struct gate){.job = {.run = run_gate, .done = done_gate, .lane = 7},
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .opened = PTHREAD_COND_INITIALIZER};
        workers_put(workers, &gates[i].job);
    }
    reset(1000);
    for (unsigned i = 0; i < 1000; i++) {
        items[i].job.lane = i % 2; /* another one, or none */
        workers_put(workers, &items[i].job);
    }
    collect_until(1000);
    for (unsigned i = 0; i < 6; i++)
        open_gate(&gates[i]);
    reset(1000);
    for (unsigned i = 0; i < 1000; i++) {
        items[i].job.lane = 7;
        workers_put(workers, &items[i].job);
    }
    collect_until(1000);
    workers_destroy(&workers);
}

static void lane_has_the_only_thread_too(void)
{
    workers = workers_new(1);
    reset(10);
    for (unsigned i = 0; i < 10; i++) {
        items[i].job.lane = 7;
        workers_put(workers, &items[i].job);
    }
    collect_until(10);
    workers_destroy(&workers);
}

int main(void)
{
    owner = pthread_self();
    workers_destroy(&workers);
    every_job_runs_once_and_comes_back_once();
    job_put_in_by_another_ones_end_runs();
    urgent_job_overtakes_those_that_wait();
    destroyed_pool_hands_back_what_did_not_run();
    long_job_learns_of_the_end();
    disk_that_hangs_leaves_a_thread_to_the_others();
    lane_has_the_only_thread_too();
    CHECK(workers_default_count() >= 2 && workers_default_count() <= 8);
    puts("workers: all claims hold");
    return 0;
}
