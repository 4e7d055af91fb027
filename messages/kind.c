/* SPDX-License-Identifier: MIT */
#include "messages/kind.h"

#include <stddef.h>

enum {
    BROKER = 1 << RECEIVER_BROKER,
    MEMBER = 1 << RECEIVER_MEMBER,
    SERVER = 1 << RECEIVER_SERVER,
    CLIENT = 1 << RECEIVER_CLIENT,
    EVERYONE = BROKER | MEMBER | SERVER | CLIENT,
};

/* To whom a kind is a request or an event, and to whom a reply: sets of receivers. */
struct rule {
    const char *name;
    uint8_t requests;
    uint8_t replies;
};

/* In a push the server asks its client, so that HASHES, READ and their replies go both ways. */
static const struct rule RULES[] = {
    [KIND_ERROR] = {"ERROR", EVERYONE, 0},
    [KIND_PING] = {"PING", EVERYONE, 0},
    [KIND_PONG] = {"PONG", EVERYONE, 0},
    [KIND_BYE] = {"BYE", EVERYONE, 0},
    [KIND_JOIN] = {"JOIN", BROKER, 0},
    [KIND_JOIN_OK] = {"JOIN_OK", 0, MEMBER},
    [KIND_UPDATE] = {"UPDATE", BROKER, 0},
    [KIND_UPDATE_OK] = {"UPDATE_OK", 0, MEMBER},
    [KIND_SEARCH] = {"SEARCH", BROKER, 0},
    [KIND_QUERY] = {"QUERY", MEMBER, 0},
    [KIND_ANSWER] = {"ANSWER", 0, BROKER},
    [KIND_FOUND] = {"FOUND", 0, MEMBER},
    [KIND_SEARCH_DONE] = {"SEARCH_DONE", 0, MEMBER},
    [KIND_PEERS] = {"PEERS", BROKER, 0},
    [KIND_PEERS_OK] = {"PEERS_OK", 0, MEMBER},
    [KIND_STATUS] = {"STATUS", BROKER, 0},
    [KIND_STATUS_OK] = {"STATUS_OK", 0, MEMBER},
    [KIND_HELLO] = {"HELLO", SERVER, 0},
    [KIND_HELLO_OK] = {"HELLO_OK", 0, CLIENT},
    [KIND_LIST] = {"LIST", SERVER, 0},
    [KIND_LIST_OK] = {"LIST_OK", 0, CLIENT},
    [KIND_OPEN] = {"OPEN", SERVER, 0},
    [KIND_OPEN_OK] = {"OPEN_OK", 0, CLIENT},
    [KIND_HASHES] = {"HASHES", SERVER | CLIENT, 0},
    [KIND_HASHES_OK] = {"HASHES_OK", 0, SERVER | CLIENT},
    [KIND_READ] = {"READ", SERVER | CLIENT, 0},
    [KIND_DATA] = {"DATA", 0, SERVER | CLIENT},
    [KIND_CANCEL] = {"CANCEL", SERVER | CLIENT, 0},
    [KIND_HAVE] = {"HAVE", SERVER | CLIENT, 0},
    [KIND_CLOSE] = {"CLOSE", SERVER, 0},
    [KIND_OFFER] = {"OFFER", SERVER, 0},
    [KIND_OFFER_OK] = {"OFFER_OK", 0, CLIENT},
    [KIND_STORED] = {"STORED", 0, CLIENT},
};

static const char *const ERROR_NAMES[] = {
    [ERROR_BAD_MESSAGE] = "bad_message",
    [ERROR_UNSUPPORTED] = "unsupported",
    [ERROR_NOT_FOUND] = "not_found",
    [ERROR_BUSY] = "busy",
    [ERROR_CHANGED] = "changed",
    [ERROR_DENIED] = "denied",
    [ERROR_LIMIT] = "limit",
    [ERROR_NOT_JOINED] = "not_joined",
    [ERROR_NO_SPACE] = "no_space",
    [ERROR_INTERNAL] = "internal",
    [ERROR_BAD_RANGE] = "bad_range",
    [ERROR_WRONG_NODE] = "wrong_node",
    [ERROR_DUPLICATE] = "duplicate",
};

/* NULL for a number that is no kind. */
static const struct rule *rule_of(uint64_t kind)
{
    if (kind >= sizeof RULES / sizeof RULES[0] || !RULES[kind].name)
        return NULL;
    return &RULES[kind];
}

enum gate kind_gate(uint64_t kind, enum receiver receiver)
{
    const struct rule *rule = rule_of(kind);
    if (!rule)
        return GATE_UNSUPPORTED;
    if (rule->requests & 1 << receiver)
        return GATE_REQUEST;
    return rule->replies ? GATE_REPLY : GATE_UNSUPPORTED;
}

bool kind_is_reply_to(uint64_t kind, enum receiver receiver)
{
    const struct rule *rule = rule_of(kind);
    return rule && (rule->replies & 1 << receiver);
}

bool kind_is_never_answered(uint64_t kind)
{
    return kind == KIND_ERROR || kind == KIND_PONG || kind == KIND_BYE;
}

const char *kind_name(uint64_t kind)
{
    const struct rule *rule = rule_of(kind);
    return rule ? rule->name : "unknown";
}

const char *error_name(uint16_t code)
{
    if (code >= sizeof ERROR_NAMES / sizeof ERROR_NAMES[0] || !ERROR_NAMES[code])
        return "unknown";
    return ERROR_NAMES[code];
}
