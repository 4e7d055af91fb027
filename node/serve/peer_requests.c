/* SPDX-License-Identifier: MIT */
#include "node/serve/peer_server_private.h"

#include <stdlib.h>
#include <string.h>

static void refuse(struct peer_server *self, const struct peer_request *r, enum error_code code,
                   const char *text, uint32_t retry_ms)
{
    peer_server_refuse(self, r->effects, r->session->route, r->message->rid, code, text, retry_ms);
}

bool peer_server_find_file(struct peer_server *self, struct peer_effects *effects, uint32_t route,
                           uint64_t rid, const struct file_id *id, struct holding *ret_holding)
{
    switch (holdings_by_id(self->holdings, id, ret_holding)) {
    case HOLDINGS_FOUND:
        return true;
    case HOLDINGS_HASHING:
        peer_server_refuse(self, effects, route, rid, ERROR_BUSY, "files are still being hashed",
                           PEER_HASHING_RETRY_MS);
        return false;
    case HOLDINGS_NONE:
    case HOLDINGS_SEVERAL:
        break;
    }
    peer_server_refuse(self, effects, route, rid, ERROR_NOT_FOUND, "no such file", 0);
    return false;
}

static void enqueue(struct peer_server *self, const struct peer_request *r, struct upload *upload)
{
    upload->is_exempt = r->session->is_exempt;
    switch (upload_queue_put(self->queue, upload)) {
    case UPLOAD_QUEUED:
        peer_server_pump(self, r->effects);
        break;
    case UPLOAD_OVER_WINDOW:
        refuse(self, r, ERROR_LIMIT, "more than window_bytes unanswered", PEER_QUEUE_RETRY_MS);
        break;
    case UPLOAD_TOO_MANY:
        refuse(self, r, ERROR_LIMIT, "too many requests unanswered", PEER_QUEUE_RETRY_MS);
        break;
    case UPLOAD_BUSY:
        refuse(self, r, ERROR_BUSY, "too many requests waiting", PEER_QUEUE_RETRY_MS);
        break;
    }
}

/* One function a kind. */

static void on_list(struct peer_server *self, const struct peer_request *r)
{
    const struct message_list *list = &r->message->list;
    struct upload upload = {
        .route = r->session->route,
        .connection = r->session->connection,
        .rid = r->message->rid,
        .kind = UPLOAD_LIST,
        .reply_bytes = UPLOAD_READ_BYTES_MAX, /* not known before; a page may take a whole header */
        .prefix = list->prefix,
        .cursor = list->cursor,
        .limit = list->limit == 0 || list->limit > FILES_MAX ? FILES_MAX : list->limit,
    };
    enqueue(self, r, &upload);
}

/* Begins or renews the events of a partial file. False when the requester follows too many. */
static bool follow(struct session *session, const struct file_id *file, uint64_t rid)
{
    for (size_t i = 0; i < session->follow_count; i++) {
        if (file_id_equal(&session->follows[i].file, file)) {
            session->follows[i].rid = rid;
            return true;
        }
    }
    if (session->follow_count == PEER_FOLLOWS_MAX)
        return false;
    if (!session->follows) {
        session->follows = calloc(PEER_FOLLOWS_MAX, sizeof session->follows[0]);
        assert(session->follows);
    }
    session->follows[session->follow_count++] = (struct follow){*file, rid};
    return true;
}

static void on_open(struct peer_server *self, const struct peer_request *r)
{
    const struct message_open *open = &r->message->open;
    struct holding holding;
    if (open->file.is_present) {
        struct file_id id;
        memcpy(id.bytes, open->file.bytes, sizeof id.bytes);
        if (!peer_server_find_file(self, r->effects, r->session->route, r->message->rid, &id, &holding))
            return;
    } else if (open->name.is_present) {
        switch (holdings_by_name(self->holdings, open->name.text, &holding)) {
        case HOLDINGS_FOUND:
            break;
        case HOLDINGS_NONE:
            refuse(self, r, ERROR_NOT_FOUND, "no such file", 0);
            return;
        case HOLDINGS_SEVERAL:
            refuse(self, r, ERROR_NOT_FOUND, "several files have this base name: give the whole name", 0);
            return;
        case HOLDINGS_HASHING:
            refuse(self, r, ERROR_BUSY, "files are still being hashed", PEER_HASHING_RETRY_MS);
            return;
        }
    } else {
        refuse(self, r, ERROR_BAD_MESSAGE, "neither id nor name", 0);
        return;
    }
    struct message reply = {
        .kind = KIND_OPEN_OK,
        .rid = r->message->rid,
        .open_ok = {.file = holding.file, .chunk_log2 = holding.layout.chunk_log2},
    };
    if (holding.have) {
        if (!follow(r->session, &holding.file.id, r->message->rid)) {
            refuse(self, r, ERROR_LIMIT, "too many partial files open", 0);
            return;
        }
        reply.open_ok.have.is_present = true;
        reply.open_ok.have.blob = (struct blob){holding.have, layout_bitfield_size(&holding.layout)};
    }
    peer_effects_send(r->effects, PEER_SEND, r->session->route, 0, &reply);
}

static void on_close(const struct peer_request *r)
{
    struct session *session = r->session;
    for (size_t i = 0; i < session->follow_count; i++) {
        if (file_id_equal(&session->follows[i].file, &r->message->close.file))
            session->follows[i] = session->follows[--session->follow_count];
    }
    if (session->is_pushing)
        peer_effects_add(r->effects, PEER_PUSH, session->route, 0);
}

static void on_offer(struct peer_server *self, const struct peer_request *r)
{
    if (!(self->config.features & FEATURE_ACCEPTS_PUSHES)) {
        refuse(self, r, ERROR_DENIED, "pushes are off", 0);
        return;
    }
    r->session->is_pushing = true;
    peer_effects_add(r->effects, PEER_PUSH, r->session->route, 0);
}

static void on_hashes(struct peer_server *self, const struct peer_request *r)
{
    const struct message_hashes *hashes = &r->message->hashes;
    struct holding holding;
    if (!peer_server_find_file(self, r->effects, r->session->route, r->message->rid, &hashes->file, &holding))
        return;
    if (!layout_has_layer(&holding.layout)) {
        refuse(self, r, ERROR_BAD_RANGE, "a file of one chunk has no hashes", 0);
        return;
    }
    if (hashes->count == 0 || hashes->first >= holding.layout.chunk_count ||
        hashes->count > holding.layout.chunk_count - hashes->first) {
        refuse(self, r, ERROR_BAD_RANGE, "hashes outside the file", 0);
        return;
    }
    /* A number above a stated maximum is clamped: the reply tells how many it has. */
    uint32_t count = hashes->count < HASHES_MAX ? hashes->count : HASHES_MAX;
    struct upload upload = {
        .route = r->session->route,
        .connection = r->session->connection,
        .rid = r->message->rid,
        .kind = UPLOAD_HASHES,
        .reply_bytes = REPLY_OVERHEAD_BYTES + count * (uint32_t)sizeof(struct hash),
        .file = hashes->file,
        .first = hashes->first,
        .count = count,
    };
    enqueue(self, r, &upload);
}

static void on_read(struct peer_server *self, const struct peer_request *r)
{
    const struct message_range *read = &r->message->read;
    struct holding holding;
    if (!peer_server_find_file(self, r->effects, r->session->route, r->message->rid, &read->file, &holding))
        return;
    uint64_t size = holding.file.size;
    if (read->length == 0 || read->offset >= size || read->length > size - read->offset) {
        refuse(self, r, ERROR_BAD_RANGE, "bytes outside the file", 0);
        return;
    }
    if (read->length > UPLOAD_READ_BYTES_MAX) {
        refuse(self, r, ERROR_LIMIT, "more than max_read", 0);
        return;
    }
    if (!holding_has_range(&holding, read->offset, read->length)) {
        refuse(self, r, ERROR_BAD_RANGE, "a chunk that is not here yet", 0);
        return;
    }
    struct upload upload = {
        .route = r->session->route,
        .connection = r->session->connection,
        .rid = r->message->rid,
        .kind = UPLOAD_READ,
        .reply_bytes = read->length,
        .file = read->file,
        .offset = read->offset,
    };
    enqueue(self, r, &upload);
}

void peer_server_on_request(struct peer_server *self, const struct peer_request *r)
{
    struct message pong = {.kind = KIND_PONG, .rid = r->message->rid};
    switch (r->message->kind) {
    case KIND_PING:
        peer_effects_send(r->effects, PEER_SEND, r->session->route, 0, &pong);
        break;
    case KIND_LIST:
        on_list(self, r);
        break;
    case KIND_OPEN:
        on_open(self, r);
        break;
    case KIND_HASHES:
        on_hashes(self, r);
        break;
    case KIND_READ:
        on_read(self, r);
        break;
    case KIND_CANCEL:
        upload_queue_cancel(self->queue, r->session->route, r->message->cancel.read_rid);
        peer_server_pump(self, r->effects);
        break;
    case KIND_CLOSE:
        on_close(r);
        break;
    case KIND_OFFER:
        on_offer(self, r);
        break;
    default:
        self->figures.dropped_messages++; /* HAVE: whoever has more of a file makes another OFFER */
    }
}
