/* SPDX-License-Identifier: MIT */
/* zget: fetches files from all nodes that have them. Options, and what is printed; see tools/get/transfer.h
 * for one file. */
#include "messages/shell/socket.h"
#include "tools/cli/program.h"
#include "tools/get/folder.h"
#include "tools/get/transfer.h"

#include <stdlib.h>
#include <string.h>

static struct {
    struct endpoint broker;
    struct endpoint from[TARGET_NODES_MAX];
    size_t from_count;
    struct transfer_options transfer;
    struct option_texts includes, excludes;
    bool is_glob, is_json;
} settings = {
    .broker = {"127.0.0.1", BROKER_PORT_DEFAULT},
    .transfer = {.folder = NULL, .timeout_ms = 30000},
};

static const char *add_from(void *target, const char *value)
{
    (void)target;
    if (settings.from_count == TARGET_NODES_MAX)
        return "at most 256 nodes";
    const char *problem = option_endpoint(&settings.from[settings.from_count], value);
    settings.from_count += problem == NULL;
    return problem;
}

static const struct cli_option options[] = {
    OPTION_ROW_BROKER(&settings.broker),
    {"from", 0, "HOST:PORT", "fetch from this node and ask no broker; repeat for more", add_from, NULL},
    {"dir", 'd', "DIR", "put files there, made if missing (default .)", option_text,
     &settings.transfer.folder},
    {"output", 'o', "FILE", "the target's name; - writes to stdout, in order", option_text,
     &settings.transfer.output},
    {"glob", 0, NULL, "NAME is a pattern (*, ?, [...]): fetch all that match", option_flag,
     &settings.is_glob},
    {"include", 0, "P", "of NAME/ only what matches P: its path, or its end", option_texts,
     &settings.includes},
    {"exclude", 0, "P", "but not what matches P; both may be repeated", option_texts, &settings.excludes},
    {"range", 0, "A-B", "only these bytes, from 0, both included; A- to the end", option_span,
     &settings.transfer.range},
    {"sequential", 0, NULL, "fetch in order, to use the file while it arrives", option_flag,
     &settings.transfer.is_in_order},
    {"seed-from", 0, "FILE", "an older version: parts that are the same are copied", option_text,
     &settings.transfer.seed_from},
    {"no-serve", 0, NULL, "do not serve to others what has arrived", option_flag,
     &settings.transfer.is_not_serving},
    {"down", 0, "RATE", "fetch at most this fast (K, M, G; Mbit); 0: no limit", option_size,
     &settings.transfer.down_rate},
    {"up", 0, "RATE", "serve at most this fast; 0: no limit", option_size, &settings.transfer.up_rate},
    {"explain", 0, NULL, "say what bounded the speed", option_flag, &settings.transfer.is_explained},
    {"force", 0, NULL, "replace an existing different file", option_flag, &settings.transfer.must_replace},
    {"discard", 0, NULL, "remove partial files of other versions of the file", option_flag,
     &settings.transfer.must_discard},
    OPTION_ROW_TIMEOUT(&settings.transfer.timeout_ms,
                       "give up after S seconds without progress (default 30)"),
    {"quiet", 'q', NULL, "say nothing but errors", option_flag, &settings.transfer.is_quiet},
    OPTION_ROW_JSON(&settings.is_json),
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "zget",
    .operands = "NAME|NAME/|ID...",
    .summary = "Fetches files from all nodes that have them at once, verified. Killed at any\n"
               "moment, the same command goes on where it was. NAME/ is a folder; its files\n"
               "land in DIR under the path that they are shared by.",
    .options = options,
    .is_json = &settings.is_json,
    .example = "zget -d /tmp ubuntu.iso",
    .exits = "0 done, 1 not found (proven), 2 error, 3 incomplete: nodes silent or\n"
             "            sources gone, 4 several different files match",
};

static bool is_folder(const char *text)
{
    size_t size = strlen(text);
    return settings.is_glob || (size > 0 && text[size - 1] == '/');
}

static void fetch_folder(struct transfers *transfers, struct output *output, const char *text)
{
    struct folder_config config = {
        .gather = {&settings.broker, settings.from, settings.from_count, settings.transfer.timeout_ms},
        .includes = &settings.includes,
        .excludes = &settings.excludes,
        .transfer = &settings.transfer,
    };
    if (settings.transfer.output)
        output_error(output, "'%s' is a folder, and -o names one file: use -d", text);
    else if (settings.transfer.range.is_given)
        output_error(output, "'%s' is a folder, and --range is for single files", text);
    else
        folder_fetch(transfers, output, &config, text);
}

static void fetch_file(struct transfers *transfers, struct output *output, const char *text)
{
    struct target *target = calloc(1, sizeof *target);
    if (!target)
        return;
    uint64_t timeout_ms = settings.transfer.timeout_ms;
    bool is_found =
        settings.from_count > 0
            ? resolve_by_nodes(output, settings.from, settings.from_count, timeout_ms, text, target)
            : resolve_by_broker(output, &settings.broker, timeout_ms, text, target);
    if (is_found)
        transfers_fetch(transfers, text, target);
    free(target);
}

static void fetch_all(struct output *output, char **texts, int count)
{
    settings.transfer.broker = settings.from_count > 0 ? NULL : &settings.broker;
    struct transfers *transfers = transfers_new(output, &settings.transfer);
    for (int i = 0; transfers && i < count && !transfers_is_interrupted(transfers); i++)
        (is_folder(texts[i]) ? fetch_folder : fetch_file)(transfers, output, texts[i]);
    transfers_destroy(&transfers);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    bool is_piped = settings.transfer.output && strcmp(settings.transfer.output, "-") == 0;
    process_start(process_io_threads());
    if (argc == 0)
        output_error(output, "nothing to fetch (see zget --help; a NAME that begins with - comes behind --)");
    else if (settings.transfer.output && argc > 1)
        output_error(output, "-o names one file: give one NAME, or use -d");
    else if (is_piped && settings.is_json)
        output_error(output, "-o - and --json both need stdout: choose one");
    else
        fetch_all(output, argv, argc);
    process_finish();
    option_texts_release(&settings.includes);
    option_texts_release(&settings.excludes);
    return output_finish(&output);
}
