/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include "tests/sim/swarm.h"

/*
 * `PROGRAM SEED COUNT`, or `PROGRAM SEED --seconds N`: runs what `script_of` makes of SEED, SEED + 1, ...;
 * prints how to repeat the first that goes wrong, also when it ends in an assert, and figures at the end. An
 * exit code.
 */
int seeds_main(int argc, char **argv, const char *program, struct swarm_script (*script_of)(uint64_t seed));

#endif
