/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_MESSAGE_SCHEMA_H
#define MESSAGES_MESSAGE_SCHEMA_H

/*
 * What each kind carries: the one table from which messages are both read and written, so that the
 * two cannot differ. Private to message_*.c.
 */

#include "messages/message.h"

/* The C type at the field's offset is named behind each constant. */
enum field_type {
    FIELD_U8,               /* uint8_t */
    FIELD_U16,              /* uint16_t */
    FIELD_U32,              /* uint32_t */
    FIELD_U64,              /* uint64_t */
    FIELD_BOOL,             /* bool */
    FIELD_TEXT,             /* struct text of at most size_max bytes */
    FIELD_OPTIONAL_TEXT,    /* struct optional_text of at most size_max bytes */
    FIELD_BYTES16,          /* struct node_id */
    FIELD_OPTIONAL_BYTES16, /* struct optional_node_id */
    FIELD_BYTES32,          /* struct file_id */
    FIELD_OPTIONAL_BYTES32, /* struct optional_bytes32 */
    FIELD_HASHES,           /* struct blob, whole hashes, at most HASHES_MAX */
    FIELD_OPTIONAL_BLOB,    /* struct optional_blob */
    FIELD_HOST,             /* struct host */
    FIELD_PRESENCE,         /* struct presence_view */
    FIELD_TAGS,             /* struct text_list, at most TAGS_MAX labels */
    FIELD_ADDED,            /* struct text_list, reserved: always empty */
    FIELD_FILE,             /* struct file_entry; a bad one makes the message bad */
    FIELD_FILES,            /* struct file_list */
    FIELD_FOUND,            /* struct message_found */
    FIELD_PEERS,            /* struct message_peers_ok; its cursor is a field of its own */
    FIELD_RANGES,           /* struct message_have; its file_id is a field of its own */
};

struct field {
    enum field_type type;
    uint16_t size_max; /* of text, in bytes */
    size_t offset;     /* into struct message */
};

struct schema {
    const struct field *fields;
    size_t field_count;
};

/* Version, kind and rid come before the fields. */
enum {
    HEADER_ELEMENTS = 3
};

/* NULL for a number that is no kind. */
const struct schema *message_schema(uint64_t kind);

#endif
