/* SPDX-License-Identifier: MIT */
#include "node/download/download_line.h"

#include "messages/name.h"
#include "node/content/layout.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Decimal digits of a uint64_t. */
#define NUMBER_SIZE 20

/* HOST,PORT,NODE; */
#define SOURCE_TEXT_SIZE (HOST_TEXT_SIZE + 1 + 5 + 1 + 2 * sizeof(struct node_id) + 2)

static const struct {
    const char *word;
    bool is_pushed, is_paused;
} states[] = {{"waiting", false, false},
              {"paused", false, true},
              {"pushed", true, false},
              {"pushed-paused", true, true}};

#define STATE_COUNT (sizeof states / sizeof states[0])

/* Writing. */

static const char *state_of(const struct listed_download *item)
{
    size_t i = 0;
    while (states[i].is_pushed != item->is_pushed || states[i].is_paused != (item->state == DOWNLOADS_PAUSED))
        i++;
    return states[i].word;
}

static void format_sources(const struct listed_download *item, char *ret_text, size_t size)
{
    size_t at = 0;
    snprintf(ret_text, size, "-");
    for (size_t i = 0; i < item->source_count; i++) {
        const struct downloads_source *source = &item->sources[i];
        char host[HOST_TEXT_SIZE], node[2 * sizeof source->node.id.bytes + 1] = "-";
        host_format(&source->host, host);
        if (source->node.is_present)
            hex_format(source->node.id.bytes, sizeof source->node.id.bytes, node);
        at += (size_t)snprintf(ret_text + at, size - at, "%s%s,%u,%s", i > 0 ? ";" : "", host, source->port,
                               node);
    }
}

char *download_line_format(const struct listed_download *item)
{
    const struct file_entry *file = &item->file;
    char root[ID_HEX_SIZE], mtime[NUMBER_SIZE + 1] = "-";
    char sources[DOWNLOADS_SOURCES_MAX * SOURCE_TEXT_SIZE];
    hex_format(file->root.bytes, sizeof file->root.bytes, root);
    if (file->has_mtime)
        snprintf(mtime, sizeof mtime, "%llu", (unsigned long long)file->mtime_ms);
    format_sources(item, sources, sizeof sources);
    const char *executable = !file->has_executable ? "-" : file->is_executable ? "yes" : "no";
    char *line = NULL;
    int size =
        asprintf(&line, "%s %s %llu %llu %s %s %s %s %.*s", state_of(item), root,
                 (unsigned long long)file->size, (unsigned long long)item->saved_bytes, mtime, executable,
                 item->has_only_these ? "only" : "any", sources, (int)file->name.size, file->name.bytes);
    assert(size >= 0);
    return line;
}

/* Reading. */

/* The part up to the next separator, which is skipped; the rest when there is none. */
static struct text take(struct text *rest, char separator)
{
    const char *end = rest->size > 0 ? memchr(rest->bytes, separator, rest->size) : NULL;
    struct text part = {rest->bytes, end ? (size_t)(end - rest->bytes) : rest->size};
    size_t taken = part.size + (end != NULL);
    rest->bytes += taken;
    rest->size -= taken;
    return part;
}

static bool is_word(struct text part, const char *word)
{
    return text_equal(part, text_of(word));
}

/* Plain digits, no more than `max`. */
static bool parse_number(struct text part, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < part.size; i++) {
        if (part.bytes[i] < '0' || part.bytes[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(part.bytes[i] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return part.size > 0 && number <= max;
}

static bool parse_source(struct text part, struct downloads_source *ret_source)
{
    struct text host = take(&part, ','), port = take(&part, ',');
    uint64_t number;
    if (!host_parse(host, &ret_source->host) || !parse_number(port, UINT16_MAX, &number) || number == 0)
        return false;
    ret_source->port = (uint16_t)number;
    ret_source->node.is_present = !is_word(part, "-");
    return !ret_source->node.is_present ||
           hex_parse(part.bytes, part.size, ret_source->node.id.bytes, sizeof ret_source->node.id.bytes);
}

static bool parse_sources(struct text part, struct download_line *line)
{
    line->order.sources = line->sources;
    if (is_word(part, "-"))
        return true;
    while (part.size > 0) {
        if (line->order.source_count == DOWNLOADS_SOURCES_MAX ||
            !parse_source(take(&part, ';'), &line->sources[line->order.source_count]))
            return false;
        line->order.source_count++;
    }
    return line->order.source_count > 0;
}

static bool parse_state(struct text part, struct downloads_order *order)
{
    for (size_t i = 0; i < STATE_COUNT; i++) {
        if (!is_word(part, states[i].word))
            continue;
        order->is_pushed = states[i].is_pushed;
        order->is_paused = states[i].is_paused;
        return true;
    }
    return false;
}

static bool parse_attributes(struct text mtime, struct text executable, struct file_entry *file)
{
    file->has_mtime = !is_word(mtime, "-");
    file->has_executable = !is_word(executable, "-");
    file->is_executable = is_word(executable, "yes");
    return (!file->has_mtime || parse_number(mtime, UINT64_MAX, &file->mtime_ms)) &&
           (!file->has_executable || file->is_executable || is_word(executable, "no"));
}

bool download_line_parse(struct text line, struct download_line *ret_line)
{
    *ret_line = (struct download_line){0};
    struct downloads_order *order = &ret_line->order;
    struct file_entry *file = &order->file;
    struct text state = take(&line, ' '), root = take(&line, ' '), size = take(&line, ' ');
    struct text saved = take(&line, ' '), mtime = take(&line, ' '), executable = take(&line, ' ');
    struct text from = take(&line, ' '), sources = take(&line, ' ');
    if (!parse_state(state, order) ||
        !hex_parse(root.bytes, root.size, file->root.bytes, sizeof file->root.bytes) ||
        !parse_number(size, FILE_SIZE_MAX, &file->size) ||
        !parse_number(saved, file->size, &ret_line->saved_bytes) ||
        !parse_attributes(mtime, executable, file) || !parse_sources(sources, ret_line) ||
        !name_is_valid(line))
        return false;
    order->has_only_these = is_word(from, "only");
    file->name = line;
    file->id = file_id_of(file->size, &file->root);
    return order->has_only_these || is_word(from, "any");
}
