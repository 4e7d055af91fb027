/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_KIND_H
#define MESSAGES_KIND_H

/* The kinds of message, who may receive each, and the error codes (docs/protocol.md, "Kinds"). */

#include <stdbool.h>
#include <stdint.h>

enum {
    PROTOCOL_VERSION = 1
};

enum message_kind {
    KIND_ERROR = 0,
    KIND_PING = 1,
    KIND_PONG = 2,
    KIND_BYE = 3,
    KIND_JOIN = 10,
    KIND_JOIN_OK = 11,
    KIND_UPDATE = 12,
    KIND_UPDATE_OK = 13,
    KIND_SEARCH = 14,
    KIND_QUERY = 15,
    KIND_ANSWER = 16,
    KIND_FOUND = 17,
    KIND_SEARCH_DONE = 18,
    KIND_PEERS = 19,
    KIND_PEERS_OK = 20,
    KIND_STATUS = 21,
    KIND_STATUS_OK = 22,
    KIND_HELLO = 30,
    KIND_HELLO_OK = 31,
    KIND_LIST = 32,
    KIND_LIST_OK = 33,
    KIND_OPEN = 34,
    KIND_OPEN_OK = 35,
    KIND_HASHES = 36,
    KIND_HASHES_OK = 37,
    KIND_READ = 38,
    KIND_DATA = 39,
    KIND_CANCEL = 40,
    KIND_HAVE = 41,
    KIND_CLOSE = 42,
    KIND_OFFER = 43,
    KIND_OFFER_OK = 44,
    KIND_STORED = 45,
};

enum error_code {
    ERROR_BAD_MESSAGE = 1,
    ERROR_UNSUPPORTED = 2,
    ERROR_NOT_FOUND = 3,
    ERROR_BUSY = 4,
    ERROR_CHANGED = 5,
    ERROR_DENIED = 6,
    ERROR_LIMIT = 7,
    ERROR_NOT_JOINED = 8,
    ERROR_NO_SPACE = 9,
    ERROR_INTERNAL = 10,
    ERROR_BAD_RANGE = 11,
    ERROR_WRONG_NODE = 12,
    ERROR_DUPLICATE = 13,
};

/* Who reads a message: one end of one of the two links. */
enum receiver {
    RECEIVER_BROKER, /* the ROUTER of a broker link */
    RECEIVER_MEMBER, /* the DEALER of a broker link: a node or a tool */
    RECEIVER_SERVER, /* the ROUTER of a peer link: the node that is asked */
    RECEIVER_CLIENT, /* the DEALER of a peer link: a downloader or a pusher */
};

enum gate {
    GATE_REQUEST,     /* a request or event that this receiver understands */
    GATE_REPLY,       /* a reply, good only if this receiver asked for it; else drop and count */
    GATE_UNSUPPORTED, /* answer ERROR unsupported */
};

/*
 * What a receiver does with a kind it sees. ERROR, PONG and BYE are understood everywhere and never
 * answered; a reply that belongs to another receiver is dropped like one that nobody asked for.
 */
enum gate kind_gate(uint64_t kind, enum receiver receiver);

/* True when `receiver` may have asked for this kind of reply; other replies are never its own. */
bool kind_is_reply_to(uint64_t kind, enum receiver receiver);

/* ERROR, PONG and BYE, malformed or not, get no answer. */
bool kind_is_never_answered(uint64_t kind);

/* "SEARCH", "bad_message"; "unknown" for a number outside the tables. */
const char *kind_name(uint64_t kind);
const char *error_name(uint16_t code);

#endif
