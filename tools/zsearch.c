/* SPDX-License-Identifier: MIT */
/* Asks every node for files, by way of the broker, and proves the answer. */
#include "messages/shell/loop.h"
#include "node/link/search.h"
#include "tools/cli/program.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"
#include "tools/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct endpoint broker;
    bool must_ask_all, is_exact, is_glob, is_id, is_json;
    uint64_t min_size, max_size, timeout_ms;
    uint32_t limit;
} settings = {.broker = {"127.0.0.1", BROKER_PORT_DEFAULT}, .timeout_ms = 2000};

static const char *set_limit(void *target, const char *value)
{
    uint64_t number;
    if (!number_parse(value, 0, SEARCH_FILES_MAX, &number))
        return "a number from 0 (the default) to 1000";
    *(uint32_t *)target = (uint32_t)number;
    return NULL;
}

static const struct cli_option options[] = {
    OPTION_ROW_BROKER(&settings.broker),
    {"all", 0, NULL, "ask every node, also those whose filter rules it out", option_flag,
     &settings.must_ask_all},
    {"exact", 0, NULL, "TEXT is a name, byte for byte", option_flag, &settings.is_exact},
    {"glob", 0, NULL, "TEXT is a pattern with * ? [...]", option_flag, &settings.is_glob},
    {"id", 0, NULL, "TEXT is 8 to 64 hex digits of an id", option_flag, &settings.is_id},
    {"min-size", 0, "N", "only files of at least N bytes (K, M, G)", option_size, &settings.min_size},
    {"max-size", 0, "N", "only files of at most N bytes", option_size, &settings.max_size},
    {"limit", 0, "N", "at most N files: 1 to 1000, or 0 for the default of 200", set_limit, &settings.limit},
    OPTION_ROW_TIMEOUT(&settings.timeout_ms, "give up after S seconds (default 2)"),
    OPTION_ROW_JSON(&settings.is_json),
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "zsearch",
    .operands = "TEXT...",
    .summary = "Finds files on all machines: without a mode, those whose name has all words.",
    .options = options,
    .is_json = &settings.is_json,
    .example = "zsearch --min-size 1M annual report",
    .exits = "0 found, 1 not found and proven, 2 error,\n"
             "            3 not found but some nodes were silent",
};

/* The operands with spaces between; malloc'd. */
static char *join(char **words, int count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    for (int i = 0; stream && i < count; i++)
        fprintf(stream, "%s%s", i ? " " : "", words[i]);
    if (stream)
        fclose(stream);
    return text;
}

/* Checks what the broker would refuse. False after an output_error(). */
static bool terms_of(struct output *output, const char *text, struct search_terms *ret_terms)
{
    struct text t = text_of(text);
    if (settings.is_exact + settings.is_glob + settings.is_id > 1)
        output_error(output, "--exact, --glob and --id exclude each other");
    else if (text_problem(text, QUERY_TEXT_SIZE_MAX))
        output_error(output, "'%s' %s", text, text_problem(text, QUERY_TEXT_SIZE_MAX));
    else if (settings.is_id && !is_id_text(text))
        output_error(output, "--id needs 8 to 64 hex digits, not '%s'", text);
    else if (settings.max_size && settings.min_size > settings.max_size)
        output_error(output, "--min-size is larger than --max-size");
    else {
        uint8_t mode = settings.is_exact ? MODE_EXACT : settings.is_glob ? MODE_GLOB : MODE_WORDS;
        mode = settings.is_id ? MODE_ID : mode;
        *ret_terms = (struct search_terms){
            .mode = settings.must_ask_all ? mode | MODE_ASK_ALL : mode,
            .text = t,
            .min_size = settings.min_size,
            .max_size = settings.max_size,
            .limit = settings.limit,
        };
        return true;
    }
    return false;
}

static void print_table(struct output *output, struct search *search)
{
    struct table *table = found_table_new(false);
    for (size_t i = 0; i < search_count(search); i++) {
        struct found_file found = search_at(search, i);
        found_table_row(table, 0, &found.file, found.source_count);
    }
    if (search_count(search) > 0)
        table_print(table, output);
    table_destroy(&table);
    output_flush(output);
}

static json_t *source_event(const struct found_source *found)
{
    const struct source_entry *source = &found->source;
    json_t *object = json_object();
    json_object_set_new(object, "node", json_hex(source->node.bytes, sizeof source->node.bytes));
    json_object_set_new(object, "node_name", json_text(source->name));
    json_object_set_new(object, "host", json_host(&source->host));
    json_object_set_new(object, "port", json_integer(source->port));
    json_object_set_new(object, "name", json_text(found->file_name));
    json_object_set_new(object, "have", json_have(found->have_permille));
    return object;
}

static void print_events(struct output *output, struct search *search)
{
    for (size_t i = 0; i < search_count(search); i++) {
        struct found_file found = search_at(search, i);
        json_t *event = event_new("file"), *names = json_array(), *sources = json_array();
        json_object_set_new(event, "id", json_hex(found.file.id.bytes, sizeof found.file.id.bytes));
        json_object_set_new(event, "root", json_hex(found.file.root.bytes, sizeof found.file.root.bytes));
        json_object_set_new(event, "size", json_u64(found.file.size));
        json_object_set_new(event, "name", json_text(found.file.name));
        for (size_t k = 0; k < found.name_count; k++)
            json_array_append_new(names, json_text(found.names[k]));
        for (size_t k = 0; k < found.source_count; k++)
            json_array_append_new(sources, source_event(&found.sources[k]));
        json_object_set_new(event, "names", names);
        json_object_set_new(event, "sources", sources);
        output_event(output, event);
    }
}

static void print_counts(struct output *output, const struct message_search_done *counts, uint64_t elapsed_ms)
{
    json_t *figures = output_figures(output);
    json_object_set_new(figures, "asked", json_integer(counts->asked));
    json_object_set_new(figures, "positive", json_integer(counts->positive));
    json_object_set_new(figures, "negative", json_integer(counts->negative));
    json_object_set_new(figures, "skipped", json_integer(counts->skipped));
    json_object_set_new(figures, "silent", json_integer(counts->silent));
    json_object_set_new(figures, "truncated", json_boolean(counts->truncated));
    json_object_set_new(figures, "ms", json_u64(elapsed_ms));
    if (output_is_json(output))
        return;
    output_note(output, "asked %u, positive %u, negative %u, silent %u, skipped %u", counts->asked,
                counts->positive, counts->negative, counts->silent, counts->skipped);
    if (counts->truncated)
        output_note(output, "there are more: narrow the search%s",
                    settings.limit < SEARCH_FILES_MAX ? ", or raise --limit" : "");
}

static bool is_like_a_pattern(const char *text)
{
    return !settings.is_exact && !settings.is_glob && strpbrk(text, "*?[");
}

static void report(struct output *output, const struct link *link, struct search *search,
                   enum exchange_result result, const char *text)
{
    if (output_is_json(output))
        print_events(output, search);
    else
        print_table(output, search);
    if (search_state(search) == SEARCH_REFUSED) {
        struct message_error error = search_error(search);
        link_report_refusal(link, &error);
    } else if (search_state(search) == SEARCH_CUT_OFF) {
        output_error(output, "the broker did not end the search in time: there may be more");
    } else if (search_state(search) != SEARCH_COMPLETE) {
        link_report(link, result);
    } else {
        struct message_search_done counts = search_counts(search);
        print_counts(output, &counts, clock_now_ms() - link->start_ms);
        if (search_count(search) > 0)
            return;
        /* A positive answer whose files were all unusable proves nothing either. */
        if (counts.silent > 0 || counts.positive > 0) {
            output_exit(output, EXIT_INCOMPLETE);
            uint64_t count = (uint64_t)counts.silent + counts.positive;
            output_reason(
                output,
                "not found, but %llu %s gave no usable answer: slow, or still reading files; try again",
                (unsigned long long)count, plural(count, "node", "nodes"));
        } else {
            output_exit(output, EXIT_NOT_FOUND);
            if (is_like_a_pattern(text))
                output_note(output, "the words are looked for as they are: --glob takes them as a pattern");
        }
    }
}

static void search_text(struct output *output, const char *text)
{
    struct search_terms terms;
    struct link link;
    if (!terms_of(output, text, &terms) ||
        !link_open(&link, output, SOCKET_BROKER_CLIENT, &settings.broker, settings.timeout_ms))
        return;
    struct search *search = search_new(&terms, 1, link_left_ms(&link), clock_now_ms());
    enum exchange_result result = link_search(&link, search);
    report(output, &link, search, result, text);
    search_destroy(&search);
    link_close(&link);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    process_start(1);
    if (argc == 0) {
        output_error(output, "nothing to search for (see zsearch --help)");
    } else {
        char *text = join(argv, argc);
        search_text(output, text ? text : "");
        free(text);
    }
    process_finish();
    return output_finish(&output);
}
