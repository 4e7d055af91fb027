/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_POOL_H
#define TESTS_SUPPORT_POOL_H

/* Waits for jobs of a worker pool; a wait for what never comes ends the test. */

#include "node/shell/workers.h"

#include <assert.h>
#include <poll.h>

/* One round: waits for a result, then hands out all that are there. */
static inline void pool_round(struct workers *workers)
{
    struct pollfd wait = {.fd = workers_fd(workers), .events = POLLIN};
    int ready = poll(&wait, 1, 60000);
    assert(ready == 1);
    workers_collect(workers);
}

#endif
