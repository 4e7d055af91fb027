/* SPDX-License-Identifier: MIT */
#ifndef NODE_CONSOLE_COMMAND_H
#define NODE_CONSOLE_COMMAND_H

/*
 * What a line that was typed at a node means: its words, the command, its arguments, and if it means nothing,
 * what to type instead. Every text that comes out is one line; it may hold what was typed: escape it.
 *
 * Words are separated by blanks. Quotes of either kind keep blanks in a word, a backslash takes the next
 * character as it is (not within single quotes). There are no options, so a name may begin with a dash.
 */
#include "messages/host.h"

/* Two paths of the longest kind, each byte of them behind a backslash, and the command. */
#define CONSOLE_LINE_SIZE_MAX 20000

enum console_verb {
    CONSOLE_LIST,
    CONSOLE_PEERS,
    CONSOLE_SEARCH,
    CONSOLE_DOWNLOAD,
    CONSOLE_DOWNLOADS,
    CONSOLE_PAUSE,
    CONSOLE_RESUME,
    CONSOLE_CANCEL,
    CONSOLE_STATUS,
    CONSOLE_REFRESH,
    CONSOLE_TRACKER,
    CONSOLE_WHOAMI,
    CONSOLE_PUSH,
    CONSOLE_SHARE,
    CONSOLE_UNSHARE,
    CONSOLE_LIMIT,
    CONSOLE_MENU,
    CONSOLE_HELP,
    CONSOLE_QUIT,
    CONSOLE_VERBS,
};

/* What help knows of a command. */
struct console_row {
    enum console_verb verb;
    const char *names; /* with blanks between; the first is the command, the others are aliases */
    const char *operands;
    const char *summary;
    const char *detail; /* lines for `help COMMAND` */
    const char *example;
    size_t operands_min, operands_max;
};

/* In the order of help; CONSOLE_VERBS of them. */
extern const struct console_row console_rows[];

/* By name or alias, in any case of letters; NULL when there is none. */
const struct console_row *console_row_named(const char *name);

struct console_command {
    const struct console_row *row; /* NULL for an empty line or a comment (#), and when there is a problem */
    char **words;                  /* operands, without the command; NULL at the end */
    size_t count;
    char *problem; /* what is wrong and how to do it; NULL when nothing is */
};

/* Any bytes, without the line break. Release it whatever it is. */
struct console_command console_command_read(struct text line);
void console_command_release(struct console_command *self);

/* The operands from `first` on with one blank between; malloc'd. */
char *console_command_rest(const struct console_command *self, size_t first);

/* Where the last word of an unfinished line begins, and what it says without its quotes. */
struct console_tail {
    size_t index;  /* of the word: 0 is the command */
    size_t offset; /* in the line */
    char *word;    /* malloc'd */
    char *command; /* the first word, malloc'd; empty when the tail is the first */
};
struct console_tail console_tail_of(struct text line);

/* The word as it must be typed to be read as one word; malloc'd. */
char *console_quote(const char *word);

/* `N` or `A-B`, counted from 1, with A <= B. */
struct console_range {
    uint32_t first, last;
};
bool console_range_read(const char *word, struct console_range *ret_range);

/* Which nodes are meant. */
struct console_target {
    bool has_host; /* else a node's name */
    struct host host;
    uint16_t port;    /* 0: whatever is there */
    const char *name; /* borrowed from the words */
};

/* `IP`, `IP:PORT`, `[IPv6]:PORT`; `localhost` is an address too. */
bool console_address_read(const char *word, struct console_target *ret_target);

/*
 * One word or two: an address, IP and PORT, or a node's name. NULL, or what is wrong; malloc'd.
 */
char *console_target_read(char *const *words, size_t count, struct console_target *ret_target);

#endif
