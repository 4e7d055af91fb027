/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_MESSAGE_H
#define MESSAGES_MESSAGE_H

/*
 * Every message of the protocol as a C value, read from and written to its header frame.
 *
 * Reading has two steps, because a receiver must decide between them (docs/protocol.md, "Order of
 * checks"): envelope_open() checks msgpack, version and kind; message_read() checks the fields. Text and
 * blobs in a message point into the frame; arrays live in the envelope. Both must outlive the message.
 *
 * A FILE or SOURCE in a list that breaks a rule (id equation, name, permille; address) is left out
 * alone and counted in `dropped_count`; a wrong type makes the whole message bad.
 */

#include "messages/host.h"
#include "messages/id.h"
#include "messages/kind.h"
#include "messages/text.h"

#include <msgpack.h>

#define HEADER_SIZE_MAX_BROKER 65536   /* protocol limit on the broker link */
#define HEADER_SIZE_MAX_JOIN   262144  /* JOIN and UPDATE carry a presence filter of up to 128 KiB */
#define HEADER_SIZE_MAX_PEER   1048576 /* protocol limit on the peer link */
#define PAYLOAD_SIZE_MAX       4194304 /* protocol limit of a DATA payload */
#define QUERY_TEXT_SIZE_MAX    256
#define LABEL_SIZE_MAX         64 /* node name, agent, tag */
#define REASON_SIZE_MAX        256
#define LIST_PREFIX_SIZE_MAX   1024
#define TAGS_MAX               16
#define PEERS_LISTED_MAX       100000 /* more than any broker takes: one that pages for ever is left */
#define FILES_MAX              1024   /* FILEs in one message */
#define HASHES_MAX             16384  /* hashes in one HASHES_OK */
#define PERMILLE_COMPLETE      1000

enum {
    FEATURE_ACCEPTS_PUSHES = 1,
    FEATURE_REACHABLE = 2, /* the data port is reachable from other machines */
};

enum search_mode {
    MODE_WORDS = 0,
    MODE_EXACT = 1,
    MODE_GLOB = 2,
    MODE_ID = 3,
    MODE_ASK_ALL = 128, /* a flag: ask every node, filters or not */
};

/*
 * FILE. Also dropped: an empty file whose root is not zeros. A sixth or seventh element of another type
 * counts as absent, further ones are ignored.
 */
struct file_entry {
    struct file_id id;
    struct hash root;
    uint64_t size;
    struct text name;
    uint16_t have_permille;
    bool has_mtime; /* sixth element; neither it nor the seventh is ever compared */
    uint64_t mtime_ms;
    bool has_executable; /* seventh element */
    bool is_executable;
};

/* SOURCE; the address is parsed, so it can never be anything else. One with port 0 is dropped as well. */
struct source_entry {
    struct node_id node;
    struct host host;
    uint16_t port;
    struct text name;
    bool has_key;
    struct public_key key;
};

struct file_list {
    struct file_entry *entries;
    size_t count;
};

struct source_list {
    struct source_entry *entries;
    size_t count;
};

struct text_list {
    struct text *entries;
    size_t count;
};

struct found_entry {
    struct file_entry file;
    struct source_list sources;
};

struct peer_entry {
    struct source_entry source;
    uint64_t files, bytes;
    uint32_t idle_ms;
    struct text_list tags;
};

struct chunk_range {
    uint32_t first, count;
};

/* A filter as it travels; `is_present` false is nil. bits is 2^log2_bits / 8 bytes. */
struct presence_view {
    bool is_present;
    uint8_t log2_bits;
    const uint8_t *bits;
};

struct optional_node_id {
    bool is_present;
    struct node_id id;
};

/* file_id or key, or nil */
struct optional_bytes32 {
    bool is_present;
    uint8_t bytes[32];
};

struct optional_text {
    bool is_present;
    struct text text;
};

/* A bitfield of chunks, or nil for all of them. */
struct optional_blob {
    bool is_present;
    struct blob blob;
};

struct message_error {
    uint16_t code; /* enum error_code, or one of a later version */
    struct text text;
    uint32_t retry_ms;
};

struct message_bye {
    struct text reason;
};

struct message_join {
    struct node_id node;
    uint64_t boot;
    uint16_t port; /* 0 asks the broker to assign one */
    struct text node_name, agent;
    uint32_t features;
    uint64_t files, bytes;
    struct presence_view presence;
    struct text_list tags;
};

struct message_join_ok {
    struct host host;
    uint16_t port;
    uint32_t lease_ms;
    struct node_id broker;
    uint32_t nodes;
};

struct message_update {
    uint64_t generation, files, bytes;
    struct text_list added; /* reserved: read as empty, written as empty */
    struct presence_view presence;
};

struct message_update_ok {
    uint64_t generation;
};

struct message_search {
    uint8_t mode;
    struct text text;
    uint64_t min_size, max_size;
    uint32_t limit, deadline_ms;
};

struct message_query {
    uint8_t mode;
    struct text text;
    uint64_t min_size, max_size;
    uint32_t limit, deadline_ms;
    struct optional_bytes32 asker_key;
};

struct message_answer {
    uint32_t total;
    struct file_list files;
};

struct message_found {
    struct found_entry *entries;
    size_t count;
};

struct message_search_done {
    uint32_t asked, positive, negative, skipped, silent;
    bool truncated;
    uint32_t elapsed_ms;
};

struct message_peers {
    uint64_t cursor;
    uint32_t limit;
};

struct message_peers_ok {
    uint64_t next_cursor;
    struct peer_entry *entries;
    size_t count;
};

struct message_status_ok {
    struct node_id broker;
    struct text agent;
    uint64_t uptime_ms;
    uint32_t nodes;
    uint64_t searches, queries, answers, bad_messages;
};

struct message_hello {
    struct optional_node_id node;
    uint64_t instance;
    struct text node_name, agent;
    uint32_t features;
    struct optional_node_id expected_node;
};

struct message_hello_ok {
    struct node_id node;
    uint64_t instance;
    struct text node_name, agent;
    uint32_t features, window_bytes, max_read;
};

struct message_list {
    struct text prefix;
    uint64_t cursor;
    uint32_t limit;
};

struct message_list_ok {
    uint64_t generation, next_cursor, total;
    struct file_list files;
};

struct message_open {
    struct optional_bytes32 file;
    struct optional_text name;
};

/* OPEN_OK and OFFER: one FILE (a bad one makes the message bad), chunk size, chunks held. */
struct message_file {
    struct file_entry file;
    uint8_t chunk_log2;
    struct optional_blob have;
};

struct message_hashes {
    struct file_id file;
    uint32_t first, count;
};

struct message_hashes_ok {
    struct file_id file;
    uint32_t first;
    struct blob hashes; /* a multiple of 32 bytes */
};

/* READ, and DATA without its payload frame. */
struct message_range {
    struct file_id file;
    uint64_t offset;
    uint32_t length;
};

struct message_cancel {
    uint64_t read_rid;
};

/* A header has room in the scan for 40 000 ranges; more go into several messages. */
struct message_have {
    struct file_id file;
    struct chunk_range *ranges;
    size_t count;
};

struct message_close {
    struct file_id file;
};

struct message_offer_ok {
    struct file_id file;
    uint32_t missing;
};

struct message_stored {
    struct file_id file;
    struct text name;
};

struct message {
    enum message_kind kind;
    uint64_t rid;
    uint32_t dropped_count; /* FILEs and SOURCEs left out while reading; ignored when writing */
    union {
        struct message_error error;
        struct message_bye bye;
        struct message_join join;
        struct message_join_ok join_ok;
        struct message_update update;
        struct message_update_ok update_ok;
        struct message_search search;
        struct message_query query;
        struct message_answer answer;
        struct message_found found;
        struct message_search_done search_done;
        struct message_peers peers;
        struct message_peers_ok peers_ok;
        struct message_status_ok status_ok;
        struct message_hello hello;
        struct message_hello_ok hello_ok;
        struct message_list list;
        struct message_list_ok list_ok;
        struct message_open open;
        struct message_file open_ok;
        struct message_hashes hashes;
        struct message_hashes_ok hashes_ok;
        struct message_range read;
        struct message_range data;
        struct message_cancel cancel;
        struct message_have have;
        struct message_close close;
        struct message_file offer;
        struct message_offer_ok offer_ok;
        struct message_stored stored;
    };
};

enum envelope_result {
    ENVELOPE_OK,
    ENVELOPE_BAD,         /* not msgpack as we allow it, too long, or without version, kind and rid */
    ENVELOPE_VERSION,     /* another version: answer ERROR unsupported, "speaks 1" */
    ENVELOPE_UNSUPPORTED, /* a kind this receiver does not serve: answer ERROR unsupported */
    ENVELOPE_UNASKED,     /* a reply that belongs elsewhere: drop and count */
};

/* A header that passed the scan, unpacked but not yet read. */
struct envelope {
    uint64_t kind, rid;     /* set also when the result is not OK, as far as they could be read */
    bool is_never_answered; /* the sender must not get an ERROR for this one */
    msgpack_unpacked unpacked;
};

/*
 * Checks one header frame for `receiver`: frames, msgpack, version, kind, rid. `frame_count` counts all
 * frames of the message. Always pair with envelope_close(), whatever the result.
 */
enum envelope_result envelope_open(struct envelope *self, const uint8_t *bytes, size_t size,
                                   enum receiver receiver, size_t frame_count);
void envelope_close(struct envelope *self);

/* Reads the fields. False, for an ERROR bad_message, when one is missing, mistyped or out of bounds. */
bool message_read(struct envelope *envelope, struct message *ret_message);

/*
 * Appends the header frame of `m` to `out`. The caller keeps every field within its limit; asserts
 * otherwise (a bug, for nothing that a stranger sent is written unchecked).
 */
void message_write(const struct message *m, msgpack_sbuffer *out);

/* Builds an ERROR; the text is borrowed. */
struct message message_error(uint64_t rid, enum error_code code, const char *text, uint32_t retry_ms);

/* The bytes that `file` takes in a message, for filling one up to its limit without writing it twice. */
size_t file_entry_size(const struct file_entry *file);
size_t source_entry_size(const struct source_entry *source);

#endif
