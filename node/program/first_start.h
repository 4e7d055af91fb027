/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_FIRST_START_H
#define NODE_PROGRAM_FIRST_START_H

/*
 * The first start by a person: when nothing names a broker, its address is asked for on the terminal, and
 * kept in the config file if the person wants that.
 */
#include "tools/cli/output.h"

/* What is typed; more is no address and no answer. */
#define FIRST_START_LINE_SIZE_MAX 1024

/* Whether there is a person to ask, and something to ask for. */
bool first_start_is_due(void);

/* Sets settings.broker. False when the person left instead, which was told. Before process_start(): it waits.
 */
bool first_start_ask(struct output *output);

#endif
