/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_TABLE_H
#define MESSAGES_TABLE_H

/* uthash for the cores, and the only place that includes it: out of memory is an abort, not uthash's exit()
 * with its handlers. */

#include <stdlib.h>

#define uthash_fatal(message) abort()
#include <uthash.h>

#endif
