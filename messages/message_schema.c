/* SPDX-License-Identifier: MIT */
#include "messages/message_schema.h"

#include "messages/name.h"

/* In the order of the wire. */
static const struct field NO_FIELDS[1];

static const struct field ERROR_FIELDS[] = {
    {FIELD_U16, 0, offsetof(struct message, error.code)},
    {FIELD_TEXT, REASON_SIZE_MAX, offsetof(struct message, error.text)},
    {FIELD_U32, 0, offsetof(struct message, error.retry_ms)},
};

static const struct field BYE_FIELDS[] = {
    {FIELD_TEXT, REASON_SIZE_MAX, offsetof(struct message, bye.reason)},
};

static const struct field JOIN_FIELDS[] = {
    {FIELD_BYTES16, 0, offsetof(struct message, join.node)},
    {FIELD_U64, 0, offsetof(struct message, join.boot)},
    {FIELD_U16, 0, offsetof(struct message, join.port)},
    {FIELD_TEXT, LABEL_SIZE_MAX, offsetof(struct message, join.node_name)},
    {FIELD_TEXT, LABEL_SIZE_MAX, offsetof(struct message, join.agent)},
    {FIELD_U32, 0, offsetof(struct message, join.features)},
    {FIELD_U64, 0, offsetof(struct message, join.files)},
    {FIELD_U64, 0, offsetof(struct message, join.bytes)},
    {FIELD_PRESENCE, 0, offsetof(struct message, join.presence)},
    {FIELD_TAGS, 0, offsetof(struct message, join.tags)},
};

static const struct field JOIN_OK_FIELDS[] = {
    {FIELD_HOST, 0, offsetof(struct message, join_ok.host)},
    {FIELD_U16, 0, offsetof(struct message, join_ok.port)},
    {FIELD_U32, 0, offsetof(struct message, join_ok.lease_ms)},
    {FIELD_BYTES16, 0, offsetof(struct message, join_ok.broker)},
    {FIELD_U32, 0, offsetof(struct message, join_ok.nodes)},
};

static const struct field UPDATE_FIELDS[] = {
    {FIELD_U64, 0, offsetof(struct message, update.generation)},
    {FIELD_U64, 0, offsetof(struct message, update.files)},
    {FIELD_U64, 0, offsetof(struct message, update.bytes)},
    {FIELD_ADDED, 0, offsetof(struct message, update.added)},
    {FIELD_PRESENCE, 0, offsetof(struct message, update.presence)},
};

static const struct field UPDATE_OK_FIELDS[] = {
    {FIELD_U64, 0, offsetof(struct message, update_ok.generation)},
};

static const struct field SEARCH_FIELDS[] = {
    {FIELD_U8, 0, offsetof(struct message, search.mode)},
    {FIELD_TEXT, QUERY_TEXT_SIZE_MAX, offsetof(struct message, search.text)},
    {FIELD_U64, 0, offsetof(struct message, search.min_size)},
    {FIELD_U64, 0, offsetof(struct message, search.max_size)},
    {FIELD_U32, 0, offsetof(struct message, search.limit)},
    {FIELD_U32, 0, offsetof(struct message, search.deadline_ms)},
};

static const struct field QUERY_FIELDS[] = {
    {FIELD_U8, 0, offsetof(struct message, query.mode)},
    {FIELD_TEXT, QUERY_TEXT_SIZE_MAX, offsetof(struct message, query.text)},
    {FIELD_U64, 0, offsetof(struct message, query.min_size)},
    {FIELD_U64, 0, offsetof(struct message, query.max_size)},
    {FIELD_U32, 0, offsetof(struct message, query.limit)},
    {FIELD_U32, 0, offsetof(struct message, query.deadline_ms)},
    {FIELD_OPTIONAL_BYTES32, 0, offsetof(struct message, query.asker_key)},
};

static const struct field ANSWER_FIELDS[] = {
    {FIELD_U32, 0, offsetof(struct message, answer.total)},
    {FIELD_FILES, 0, offsetof(struct message, answer.files)},
};

static const struct field FOUND_FIELDS[] = {
    {FIELD_FOUND, 0, offsetof(struct message, found)},
};

static const struct field SEARCH_DONE_FIELDS[] = {
    {FIELD_U32, 0, offsetof(struct message, search_done.asked)},
    {FIELD_U32, 0, offsetof(struct message, search_done.positive)},
    {FIELD_U32, 0, offsetof(struct message, search_done.negative)},
    {FIELD_U32, 0, offsetof(struct message, search_done.skipped)},
    {FIELD_U32, 0, offsetof(struct message, search_done.silent)},
    {FIELD_BOOL, 0, offsetof(struct message, search_done.truncated)},
    {FIELD_U32, 0, offsetof(struct message, search_done.elapsed_ms)},
};

static const struct field PEERS_FIELDS[] = {
    {FIELD_U64, 0, offsetof(struct message, peers.cursor)},
    {FIELD_U32, 0, offsetof(struct message, peers.limit)},
};

static const struct field PEERS_OK_FIELDS[] = {
    {FIELD_U64, 0, offsetof(struct message, peers_ok.next_cursor)},
    {FIELD_PEERS, 0, offsetof(struct message, peers_ok)},
};

static const struct field STATUS_OK_FIELDS[] = {
    {FIELD_BYTES16, 0, offsetof(struct message, status_ok.broker)},
    {FIELD_TEXT, LABEL_SIZE_MAX, offsetof(struct message, status_ok.agent)},
    {FIELD_U64, 0, offsetof(struct message, status_ok.uptime_ms)},
    {FIELD_U32, 0, offsetof(struct message, status_ok.nodes)},
    {FIELD_U64, 0, offsetof(struct message, status_ok.searches)},
    {FIELD_U64, 0, offsetof(struct message, status_ok.queries)},
    {FIELD_U64, 0, offsetof(struct message, status_ok.answers)},
    {FIELD_U64, 0, offsetof(struct message, status_ok.bad_messages)},
};

static const struct field HELLO_FIELDS[] = {
    {FIELD_OPTIONAL_BYTES16, 0, offsetof(struct message, hello.node)},
    {FIELD_U64, 0, offsetof(struct message, hello.instance)},
    {FIELD_TEXT, LABEL_SIZE_MAX, offsetof(struct message, hello.node_name)},
    {FIELD_TEXT, LABEL_SIZE_MAX, offsetof(struct message, hello.agent)},
    {FIELD_U32, 0, offsetof(struct message, hello.features)},
    {FIELD_OPTIONAL_BYTES16, 0, offsetof(struct message, hello.expected_node)},
};

static const struct field HELLO_OK_FIELDS[] = {
    {FIELD_BYTES16, 0, offsetof(struct message, hello_ok.node)},
    {FIELD_U64, 0, offsetof(struct message, hello_ok.instance)},
    {FIELD_TEXT, LABEL_SIZE_MAX, offsetof(struct message, hello_ok.node_name)},
    {FIELD_TEXT, LABEL_SIZE_MAX, offsetof(struct message, hello_ok.agent)},
    {FIELD_U32, 0, offsetof(struct message, hello_ok.features)},
    {FIELD_U32, 0, offsetof(struct message, hello_ok.window_bytes)},
    {FIELD_U32, 0, offsetof(struct message, hello_ok.max_read)},
};

static const struct field LIST_FIELDS[] = {
    {FIELD_TEXT, LIST_PREFIX_SIZE_MAX, offsetof(struct message, list.prefix)},
    {FIELD_U64, 0, offsetof(struct message, list.cursor)},
    {FIELD_U32, 0, offsetof(struct message, list.limit)},
};

static const struct field LIST_OK_FIELDS[] = {
    {FIELD_U64, 0, offsetof(struct message, list_ok.generation)},
    {FIELD_U64, 0, offsetof(struct message, list_ok.next_cursor)},
    {FIELD_U64, 0, offsetof(struct message, list_ok.total)},
    {FIELD_FILES, 0, offsetof(struct message, list_ok.files)},
};

static const struct field OPEN_FIELDS[] = {
    {FIELD_OPTIONAL_BYTES32, 0, offsetof(struct message, open.file)},
    {FIELD_OPTIONAL_TEXT, NAME_SIZE_MAX, offsetof(struct message, open.name)},
};

static const struct field OPEN_OK_FIELDS[] = {
    {FIELD_FILE, 0, offsetof(struct message, open_ok.file)},
    {FIELD_U8, 0, offsetof(struct message, open_ok.chunk_log2)},
    {FIELD_OPTIONAL_BLOB, 0, offsetof(struct message, open_ok.have)},
};

static const struct field HASHES_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, hashes.file)},
    {FIELD_U32, 0, offsetof(struct message, hashes.first)},
    {FIELD_U32, 0, offsetof(struct message, hashes.count)},
};

static const struct field HASHES_OK_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, hashes_ok.file)},
    {FIELD_U32, 0, offsetof(struct message, hashes_ok.first)},
    {FIELD_HASHES, 0, offsetof(struct message, hashes_ok.hashes)},
};

static const struct field READ_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, read.file)},
    {FIELD_U64, 0, offsetof(struct message, read.offset)},
    {FIELD_U32, 0, offsetof(struct message, read.length)},
};

static const struct field DATA_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, data.file)},
    {FIELD_U64, 0, offsetof(struct message, data.offset)},
    {FIELD_U32, 0, offsetof(struct message, data.length)},
};

static const struct field CANCEL_FIELDS[] = {
    {FIELD_U64, 0, offsetof(struct message, cancel.read_rid)},
};

static const struct field HAVE_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, have.file)},
    {FIELD_RANGES, 0, offsetof(struct message, have)},
};

static const struct field CLOSE_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, close.file)},
};

static const struct field OFFER_FIELDS[] = {
    {FIELD_FILE, 0, offsetof(struct message, offer.file)},
    {FIELD_U8, 0, offsetof(struct message, offer.chunk_log2)},
    {FIELD_OPTIONAL_BLOB, 0, offsetof(struct message, offer.have)},
};

static const struct field OFFER_OK_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, offer_ok.file)},
    {FIELD_U32, 0, offsetof(struct message, offer_ok.missing)},
};

static const struct field STORED_FIELDS[] = {
    {FIELD_BYTES32, 0, offsetof(struct message, stored.file)},
    {FIELD_TEXT, NAME_SIZE_MAX, offsetof(struct message, stored.name)},
};

#define SCHEMA(fields)                                                                                       \
    {                                                                                                        \
        fields, sizeof(fields) / sizeof((fields)[0])                                                         \
    }

static const struct schema SCHEMAS[] = {
    [KIND_ERROR] = SCHEMA(ERROR_FIELDS),
    [KIND_PING] = {NO_FIELDS, 0},
    [KIND_PONG] = {NO_FIELDS, 0},
    [KIND_BYE] = SCHEMA(BYE_FIELDS),
    [KIND_JOIN] = SCHEMA(JOIN_FIELDS),
    [KIND_JOIN_OK] = SCHEMA(JOIN_OK_FIELDS),
    [KIND_UPDATE] = SCHEMA(UPDATE_FIELDS),
    [KIND_UPDATE_OK] = SCHEMA(UPDATE_OK_FIELDS),
    [KIND_SEARCH] = SCHEMA(SEARCH_FIELDS),
    [KIND_QUERY] = SCHEMA(QUERY_FIELDS),
    [KIND_ANSWER] = SCHEMA(ANSWER_FIELDS),
    [KIND_FOUND] = SCHEMA(FOUND_FIELDS),
    [KIND_SEARCH_DONE] = SCHEMA(SEARCH_DONE_FIELDS),
    [KIND_PEERS] = SCHEMA(PEERS_FIELDS),
    [KIND_PEERS_OK] = SCHEMA(PEERS_OK_FIELDS),
    [KIND_STATUS] = {NO_FIELDS, 0},
    [KIND_STATUS_OK] = SCHEMA(STATUS_OK_FIELDS),
    [KIND_HELLO] = SCHEMA(HELLO_FIELDS),
    [KIND_HELLO_OK] = SCHEMA(HELLO_OK_FIELDS),
    [KIND_LIST] = SCHEMA(LIST_FIELDS),
    [KIND_LIST_OK] = SCHEMA(LIST_OK_FIELDS),
    [KIND_OPEN] = SCHEMA(OPEN_FIELDS),
    [KIND_OPEN_OK] = SCHEMA(OPEN_OK_FIELDS),
    [KIND_HASHES] = SCHEMA(HASHES_FIELDS),
    [KIND_HASHES_OK] = SCHEMA(HASHES_OK_FIELDS),
    [KIND_READ] = SCHEMA(READ_FIELDS),
    [KIND_DATA] = SCHEMA(DATA_FIELDS),
    [KIND_CANCEL] = SCHEMA(CANCEL_FIELDS),
    [KIND_HAVE] = SCHEMA(HAVE_FIELDS),
    [KIND_CLOSE] = SCHEMA(CLOSE_FIELDS),
    [KIND_OFFER] = SCHEMA(OFFER_FIELDS),
    [KIND_OFFER_OK] = SCHEMA(OFFER_OK_FIELDS),
    [KIND_STORED] = SCHEMA(STORED_FIELDS),
};

const struct schema *message_schema(uint64_t kind)
{
    if (kind >= sizeof SCHEMAS / sizeof SCHEMAS[0] || !SCHEMAS[kind].fields)
        return NULL;
    return &SCHEMAS[kind];
}
