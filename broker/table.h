/* SPDX-License-Identifier: MIT */
#ifndef BROKER_TABLE_H
#define BROKER_TABLE_H

/* uthash for a core: out of memory is an abort, not an exit() with its handlers. */

#include <stdlib.h>

#define uthash_fatal(message) abort()
#include <uthash.h>

#endif
