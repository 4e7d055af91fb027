/* SPDX-License-Identifier: MIT */
#include "node/console_command.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Longer than every command and what one may mistake for it. */
#define VERB_SIZE_MAX 16

/* Two slips of the finger, and never the whole word. */
#define DISTANCE_MAX 2

#define ANY_COUNT SIZE_MAX

const struct console_row console_rows[] = {
    {CONSOLE_LIST, "list ls files", "[NODE | IP PORT | IP:PORT]", "files of this node, or of another one",
     "Without a node: the files that this node shares, which of them are still being hashed, and downloads\n"
     "that are on their way. With one: its files.",
     "ls 192.168.1.20 9123", 0, 2},
    {CONSOLE_PEERS, "peers p", "", "the nodes that are there", "All nodes that are joined to the broker.",
     "peers", 0, 0},
    {CONSOLE_SEARCH, "search s", "TEXT", "find files by words of their names",
     "All words must be in the name, in any order; case and accents do not matter. The numbers are for "
     "download.",
     "search annual report", 1, ANY_COUNT},
    {CONSOLE_DOWNLOAD, "download get d", "[NODE] FILE", "fetch a file",
     "FILE is a name, 8 or more digits of an id, or numbers of the last search (3, 1-4). NODE is IP:PORT, "
     "an\n"
     "IP or a name: from that very node, or from all that are meant. After it a number is a name, too. "
     "Quote\n"
     "a FILE with blanks whose first word is a node.",
     "get 192.168.1.20 report.pdf", 1, ANY_COUNT},
    {CONSOLE_DOWNLOADS, "downloads dls", "", "what is being fetched, waits, is done or failed",
     "The numbers are for pause, resume and cancel.", "downloads", 0, 0},
    {CONSOLE_PAUSE, "pause", "NUMBER... | all", "stop downloads for now",
     "What has arrived is kept. `downloads` has the numbers.", "pause 2", 1, ANY_COUNT},
    {CONSOLE_RESUME, "resume", "NUMBER... | all", "go on with downloads that were paused or failed",
     "`downloads` has the numbers.", "resume all", 1, ANY_COUNT},
    {CONSOLE_CANCEL, "cancel", "NUMBER... | all", "give downloads up, and forget those that are over",
     "Removes what has arrived of them so far. A file that is complete stays.", "cancel 1-3", 1, ANY_COUNT},
    {CONSOLE_STATUS, "status info", "", "all about this node at a glance",
     "Name, address, broker, files, transfers, folders and limits.", "status", 0, 0},
    {CONSOLE_REFRESH, "refresh update", "", "look for new files and new nodes now",
     "Scans the shared folders, and asks the broker who is there.", "refresh", 0, 0},
    {CONSOLE_TRACKER, "tracker", "", "the link to the broker",
     "Address, state, round trip, since when this node is joined, and its lease.", "tracker", 0, 0},
    {CONSOLE_WHOAMI, "whoami me", "", "name, address and id of this node",
     "What others need to reach this node.", "whoami", 0, 0},
    {CONSOLE_PUSH, "push", "FILE NODE", "send a file to a node that takes pushes",
     "FILE is a path, or the name of a shared file. NODE is IP PORT, IP:PORT, or a name or IP that only one\n"
     "node has; it must run with --accept-push.",
     "push report.pdf 192.168.1.20 9123", 2, 3},
    {CONSOLE_SHARE, "share", "[DIR]", "share one more folder; without DIR, which are",
     "From now on and after the next start. Quote a path with blanks.", "share \"/srv/my data\"", 0, 1},
    {CONSOLE_UNSHARE, "unshare", "DIR", "share a folder no more",
     "Its files stay where they are; nobody finds them from now on.", "unshare /srv/data", 1, 1},
    {CONSOLE_LIMIT, "limit", "[up | down RATE]", "how fast this node may send and fetch",
     "Bytes a second with K, M, G, or kbit, Mbit, Gbit; 0 for no limit. Alone, it shows what holds. The\n"
     "next start begins with --up and --down again.",
     "limit down 5M", 0, 2},
    {CONSOLE_MENU, "menu", "", "the same by numbers, step by step",
     "Three choices: download a file, list the files of the download folder, leave the menu.", "menu", 0, 0},
    {CONSOLE_HELP, "help h ?", "[COMMAND]", "this, or one command with an example", "`help` alone lists all.",
     "help get", 0, 1},
    {CONSOLE_QUIT, "quit exit q bye", "", "end this node",
     "Downloads go on at the next start. Ctrl-C on an empty line, or Ctrl-D, does the same.", "quit", 0, 0},
};

static_assert(sizeof console_rows / sizeof console_rows[0] == CONSOLE_VERBS, "help knows every command");

/* Commands. */

/* The next of the names; false at the end. */
static bool next_name(const char **at, char ret_name[VERB_SIZE_MAX])
{
    *at += strspn(*at, " ");
    size_t size = strcspn(*at, " ");
    assert(size < VERB_SIZE_MAX);
    memcpy(ret_name, *at, size);
    ret_name[size] = '\0';
    *at += size;
    return size > 0;
}

const struct console_row *console_row_named(const char *name)
{
    for (size_t i = 0; i < CONSOLE_VERBS; i++) {
        const char *at = console_rows[i].names;
        char one[VERB_SIZE_MAX];
        while (next_name(&at, one)) {
            if (strcasecmp(one, name) == 0)
                return &console_rows[i];
        }
    }
    return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's, one row at a time; both are shorter than VERB_SIZE_MAX. */
static size_t distance(const char *a, const char *b)
{
    size_t row[VERB_SIZE_MAX], width = strlen(b);
    for (size_t k = 0; k <= width; k++)
        row[k] = k;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < width; k++) {
            size_t above = row[k + 1];
            row[k + 1] = least(above + 1, row[k] + 1, diagonal + (a[i] != b[k]));
            diagonal = above;
        }
    }
    return row[width];
}

/* The command whose name or alias is the least typing away; NULL when none is near. */
static const struct console_row *row_near(const char *name)
{
    size_t size = strlen(name), best = DISTANCE_MAX + 1;
    const struct console_row *nearest = NULL;
    if (size >= VERB_SIZE_MAX)
        return NULL;
    for (size_t i = 0; i < CONSOLE_VERBS; i++) {
        const char *at = console_rows[i].names;
        char one[VERB_SIZE_MAX];
        while (next_name(&at, one)) {
            size_t away = distance(name, one);
            /* One letter more is most often one letter too many; aliases of one letter are near everything.
             */
            bool is_like = strlen(one) > 2 && away < strlen(one) && away < size;
            if (is_like && away < best) {
                best = away;
                nearest = &console_rows[i];
            }
        }
    }
    return nearest;
}

/* Words. */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

enum word_end {
    WORD_ENDS,
    WORD_IN_QUOTES,
    WORD_AFTER_BACKSLASH
};

/* Reads one word from *at, which is not at a blank, into `ret_word` (room for the whole line). */
static enum word_end read_word(struct text line, size_t *at, char *ret_word)
{
    char quote = '\0';
    size_t size = 0, i = *at;
    enum word_end end = WORD_ENDS;
    for (; i < line.size && (quote || !is_blank(line.bytes[i])); i++) {
        char c = line.bytes[i];
        if (c == '\\' && quote != '\'') {
            if (++i == line.size) {
                end = WORD_AFTER_BACKSLASH;
                break;
            }
            ret_word[size++] = line.bytes[i];
        } else if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? '\0' : c;
        } else {
            ret_word[size++] = c;
        }
    }
    ret_word[size] = '\0';
    *at = i;
    return end == WORD_ENDS && quote ? WORD_IN_QUOTES : end;
}

static size_t skip_blanks(struct text line, size_t at)
{
    while (at < line.size && is_blank(line.bytes[at]))
        at++;
    return at;
}

__attribute__((format(printf, 1, 2))) static char *format(const char *pattern, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, pattern);
    int size = vasprintf(&text, pattern, arguments);
    va_end(arguments);
    assert(size >= 0);
    return text;
}

/* Splits the line; false with a problem. */
static bool split(struct text line, struct console_command *self)
{
    char *word = malloc(line.size + 1);
    assert(word);
    enum word_end end = WORD_ENDS;
    size_t capacity = 0;
    for (size_t at = skip_blanks(line, 0); at < line.size && end == WORD_ENDS; at = skip_blanks(line, at)) {
        end = read_word(line, &at, word);
        if (self->count + 2 > capacity) {
            capacity = capacity ? 2 * capacity : 8;
            self->words = reallocarray(self->words, capacity, sizeof *self->words);
            assert(self->words);
        }
        self->words[self->count++] = text_copy(text_of(word));
        self->words[self->count] = NULL;
    }
    free(word);
    if (end == WORD_IN_QUOTES)
        self->problem = format("a quote is not closed: close it, or put a backslash before it");
    else if (end == WORD_AFTER_BACKSLASH)
        self->problem = format("nothing comes after the backslash: write \\\\ for a backslash");
    return end == WORD_ENDS;
}

/* As people type it at a terminal or a script sends it: a tab is a blank. */
static bool is_line_clean(struct text line)
{
    char *copy = text_copy(line);
    for (size_t i = 0; i < line.size; i++) {
        if (copy[i] == '\t')
            copy[i] = ' ';
    }
    bool is_clean = text_is_clean((struct text){copy, line.size});
    free(copy);
    return is_clean;
}

static char *usage(const struct console_row *row)
{
    if (!row->operands[0])
        return format("usage: %.*s, alone", (int)strcspn(row->names, " "), row->names);
    return format("usage: %.*s %s; for example: %s", (int)strcspn(row->names, " "), row->names, row->operands,
                  row->example);
}

static char *problem_of_unknown(const char *name)
{
    const struct console_row *near = row_near(name);
    if (near)
        return format("no command '%s': did you mean '%.*s'?", name, (int)strcspn(near->names, " "),
                      near->names);
    return format("no command '%.64s': 'help' lists all", name);
}

struct console_command console_command_read(struct text line)
{
    struct console_command self = {0};
    if (line.size > 0 && line.bytes[line.size - 1] == '\r')
        line.size--;
    size_t start = skip_blanks(line, 0);
    if (line.size > CONSOLE_LINE_SIZE_MAX)
        self.problem = format("a line of more than %d bytes was not read: shorten it", CONSOLE_LINE_SIZE_MAX);
    else if (!is_line_clean(line))
        self.problem = format("a line that is not UTF-8 or holds control characters was not read");
    else if (start == line.size || line.bytes[start] == '#' || !split(line, &self))
        return self;
    if (self.problem)
        return self;
    char *name = self.words[0];
    memmove(self.words, self.words + 1, self.count * sizeof *self.words);
    self.count--;
    const struct console_row *row = console_row_named(name);
    if (!row)
        self.problem = problem_of_unknown(name);
    else if (self.count < row->operands_min || self.count > row->operands_max)
        self.problem = usage(row);
    else
        self.row = row;
    free(name);
    return self;
}

void console_command_release(struct console_command *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->words[i]);
    free(self->words);
    free(self->problem);
    *self = (struct console_command){0};
}

char *console_command_rest(const struct console_command *self, size_t first)
{
    size_t size = 1;
    for (size_t i = first; i < self->count; i++)
        size += strlen(self->words[i]) + 1;
    char *text = malloc(size), *at = text;
    assert(text);
    for (size_t i = first; i < self->count; i++) {
        if (i > first)
            *at++ = ' ';
        at = mempcpy(at, self->words[i], strlen(self->words[i]));
    }
    *at = '\0';
    return text;
}

struct console_tail console_tail_of(struct text line)
{
    struct console_tail tail = {.offset = line.size};
    char *word = malloc(line.size + 1);
    assert(word);
    tail.word = text_copy(text_of(""));
    tail.command = text_copy(text_of(""));
    size_t at = skip_blanks(line, 0);
    while (at < line.size) {
        size_t begin = at;
        enum word_end end = read_word(line, &at, word);
        if (at == line.size || end != WORD_ENDS) {
            tail.offset = begin;
            free(tail.word);
            tail.word = text_copy(text_of(word));
            break;
        }
        if (tail.index++ == 0) {
            free(tail.command);
            tail.command = text_copy(text_of(word));
        }
        at = skip_blanks(line, at);
    }
    free(word);
    return tail;
}

char *console_quote(const char *word)
{
    size_t count = 0;
    for (const char *p = word; *p; p++)
        count += strchr(" \t\\\"'", *p) != NULL;
    char *quoted = malloc(strlen(word) + count + 1), *at = quoted;
    assert(quoted);
    for (const char *p = word; *p; p++) {
        if (strchr(" \t\\\"'", *p))
            *at++ = '\\';
        *at++ = *p;
    }
    *at = '\0';
    return quoted;
}

/* Numbers and addresses. */

/* Decimal digits, 1..max; NULL when it is none. */
static const char *read_number(const char *text, uint32_t max, uint32_t *ret_number)
{
    uint64_t number = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && number <= max; p++)
        number = number * 10 + (uint64_t)(*p - '0');
    if (p == text || number == 0 || number > max)
        return NULL;
    *ret_number = (uint32_t)number;
    return p;
}

bool console_range_read(const char *word, struct console_range *ret_range)
{
    struct console_range range;
    const char *end = read_number(word, UINT32_MAX, &range.first);
    range.last = end ? range.first : 0;
    if (end && *end == '-')
        end = read_number(end + 1, UINT32_MAX, &range.last);
    if (!end || *end != '\0' || range.last < range.first)
        return false;
    *ret_range = range;
    return true;
}

static bool port_read(const char *text, uint16_t *ret_port)
{
    uint32_t port;
    const char *end = read_number(text, UINT16_MAX, &port);
    if (!end || *end != '\0')
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static bool host_read(struct text t, struct host *ret_host)
{
    return host_parse(text_equal(t, text_of("localhost")) ? text_of("127.0.0.1") : t, ret_host);
}

/* Where the port begins in IP:PORT or [IP]:PORT, NULL when there is none; and the host without brackets. */
static const char *port_in(const char *word, struct text *ret_host)
{
    const char *bracket = word[0] == '[' ? strchr(word, ']') : NULL;
    if (bracket && (bracket[1] == '\0' || bracket[1] == ':')) {
        *ret_host = (struct text){word + 1, (size_t)(bracket - word - 1)};
        return bracket[1] ? bracket + 2 : NULL;
    }
    const char *colon = strchr(word, ':');
    bool is_port = colon && !strchr(colon + 1, ':'); /* else it is IPv6 */
    *ret_host = is_port ? (struct text){word, (size_t)(colon - word)} : text_of(word);
    return is_port ? colon + 1 : NULL;
}

bool console_address_read(const char *word, struct console_target *ret_target)
{
    struct console_target target = {.has_host = true};
    struct text host;
    const char *port = port_in(word, &host);
    if (!host_read(host, &target.host) || (port && !port_read(port, &target.port)))
        return false;
    *ret_target = target;
    return true;
}

char *console_target_read(char *const *words, size_t count, struct console_target *ret_target)
{
    struct console_target target = {0};
    struct text host;
    assert(count == 1 || count == 2);
    const char *port = count == 2 ? words[1] : port_in(words[0], &host);
    if (count == 2)
        host = text_of(words[0]);
    target.has_host = host_read(host, &target.host);
    if (count == 2 && !target.has_host)
        return format("'%s' is not an IP address: 'peers' lists the nodes; quote a name with blanks",
                      words[0]);
    if (target.has_host && port && !port_read(port, &target.port))
        return format("'%s' is not a port: 1 to 65535; 'peers' lists the nodes", port);
    if (!target.has_host)
        target.name = words[0];
    *ret_target = target;
    return NULL;
}
