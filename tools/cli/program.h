/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_PROGRAM_H
#define TOOLS_CLI_PROGRAM_H

/* How a program begins: its options are read, then there is something to print with. */

#include "tools/cli/options.h"
#include "tools/cli/output.h"

/*
 * Leaves in argc and argv the operands alone. Returns what output_finish() takes at the end of main(). When
 * there is nothing to run, the process ends here: after --help and --version with 0, after an option that is
 * wrong with 2, once that was told.
 */
struct output *program_start(const struct cli_program *program, int *argc, char ***argv);

#endif
