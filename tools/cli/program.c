/* SPDX-License-Identifier: MIT */
#include "tools/cli/program.h"

#include <stdlib.h>

struct output *program_start(const struct cli_program *program, int *argc, char ***argv)
{
    int operand;
    char *error;
    enum options_result result = options_read(program, *argc, *argv, &operand, &error);
    if (result == OPTIONS_SHOWN)
        exit(EXIT_DONE);
    struct output *output = output_new(program->name, program->is_json && *program->is_json);
    if (result == OPTIONS_WRONG) {
        output_error(output, "%s", error);
        free(error);
        exit(output_finish(&output));
    }
    *argc -= operand;
    *argv += operand;
    return output;
}
