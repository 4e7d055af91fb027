/* SPDX-License-Identifier: MIT */
#include "node/link/broker_link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Array headers, version, kind, rid and total around the FILEs of an ANSWER. */
#define ANSWER_OVERHEAD_BYTES 64

enum state {
    WAITING, /* no connection, or at rest */
    JOINING, /* a JOIN is due, or under way; without a port it asks for one */
    BINDING, /* the owner binds the port that was assigned */
    JOINED,
};

struct broker_link {
    struct broker_link_config config;
    const struct holdings *holdings;
    enum state state;
    bool is_connected, was_connected;
    bool is_resting;
    bool is_reported_joined;
    uint16_t reported_code; /* of the last refusal; 0 for none */
    uint64_t last_rid;      /* without the link's bit */
    uint64_t join_rid;      /* 0 while no JOIN is under way */
    uint64_t update_rid;
    uint64_t join_at_ms;
    uint32_t lease_ms;
    uint64_t sent_at_ms, received_at_ms;
    uint64_t update_not_before_ms;
    uint64_t told_generation; /* what the broker was told last */
    bool told_settled;
    bool must_update;          /* an UPDATE was refused */
    struct presence *presence; /* of `presence_generation`; NULL until settled */
    uint64_t presence_generation;
    uint64_t dropped_count;
    struct file_entry answer[BROKER_ANSWER_LIMIT_MAX];
};

void broker_effects_init(struct broker_effects *self)
{
    self->count = 0;
    msgpack_sbuffer_init(&self->bytes);
}

void broker_effects_clear(struct broker_effects *self)
{
    self->count = 0;
    msgpack_sbuffer_clear(&self->bytes);
}

void broker_effects_release(struct broker_effects *self)
{
    msgpack_sbuffer_destroy(&self->bytes);
}

static struct broker_effect *add_effect(struct broker_effects *effects, enum broker_effect_kind kind)
{
    assert(effects->count < BROKER_EFFECTS_MAX);
    struct broker_effect *effect = &effects->items[effects->count++];
    *effect = (struct broker_effect){.kind = kind};
    return effect;
}

static void send_message(struct broker_effects *effects, const struct message *message)
{
    struct broker_effect *effect = add_effect(effects, BROKER_SEND);
    effect->header_offset = effects->bytes.size;
    message_write(message, &effects->bytes);
    effect->header_size = effects->bytes.size - effect->header_offset;
}

static uint64_t new_rid(struct broker_link *self)
{
    return BROKER_LINK_RID_MIN | ++self->last_rid;
}

struct broker_link *broker_link_new(const struct broker_link_config *config, const struct holdings *holdings)
{
    struct broker_link *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->holdings = holdings;
    return self;
}

void broker_link_destroy(struct broker_link **self_p)
{
    struct broker_link *self = *self_p;
    if (!self)
        return;
    presence_destroy(&self->presence);
    free(self);
    *self_p = NULL;
}

/* Back to a JOIN at `join_at_ms`. */
static void rejoin(struct broker_link *self, uint64_t join_at_ms)
{
    self->state = self->is_resting ? WAITING : JOINING;
    self->join_rid = 0;
    self->join_at_ms = join_at_ms;
}

static void report_lost(struct broker_link *self, struct broker_effects *effects)
{
    if (self->is_reported_joined)
        add_effect(effects, BROKER_LOST);
    self->is_reported_joined = false;
}

void broker_link_on_connected(struct broker_link *self, uint64_t random, uint64_t now_ms)
{
    self->is_connected = true;
    if (self->config.is_only_asking)
        return;
    rejoin(self, self->was_connected ? now_ms + random % BROKER_REJOIN_JITTER_MS : now_ms);
    self->was_connected = true;
}

void broker_link_on_disconnected(struct broker_link *self, struct broker_effects *effects)
{
    self->state = WAITING;
    self->is_connected = false;
    self->join_rid = 0;
    report_lost(self, effects);
}

/* nil until every name and id is in it: a filter may only err towards asking. */
static struct presence_view current_presence(struct broker_link *self)
{
    if (!holdings_is_settled(self->holdings))
        return (struct presence_view){0};
    uint64_t generation = holdings_generation(self->holdings);
    if (!self->presence || self->presence_generation != generation) {
        presence_destroy(&self->presence);
        self->presence = presence_new();
        holdings_fill_presence(self->holdings, self->presence);
        self->presence_generation = generation;
    }
    return presence_view(self->presence);
}

static void remember_told(struct broker_link *self, uint64_t now_ms)
{
    self->told_generation = holdings_generation(self->holdings);
    self->told_settled = holdings_is_settled(self->holdings);
    self->must_update = false;
    self->sent_at_ms = now_ms;
}

static void send_join(struct broker_link *self, uint64_t now_ms, struct broker_effects *effects)
{
    self->join_rid = new_rid(self);
    struct message join = {
        .kind = KIND_JOIN,
        .rid = self->join_rid,
        .join = {.node = self->config.node,
                 .boot = self->config.boot,
                 .port = self->config.port,
                 .node_name = self->config.node_name,
                 .agent = self->config.agent,
                 .features = self->config.features,
                 .presence = current_presence(self)},
    };
    holdings_totals(self->holdings, &join.join.files, &join.join.bytes);
    send_message(effects, &join);
    remember_told(self, now_ms);
    self->update_rid = 0;
    self->join_at_ms = now_ms + BROKER_JOIN_TIMEOUT_MS;
}

static void send_update(struct broker_link *self, uint64_t now_ms, struct broker_effects *effects)
{
    self->update_rid = new_rid(self);
    struct message update = {
        .kind = KIND_UPDATE,
        .rid = self->update_rid,
        .update = {.generation = holdings_generation(self->holdings), .presence = current_presence(self)},
    };
    holdings_totals(self->holdings, &update.update.files, &update.update.bytes);
    send_message(effects, &update);
    remember_told(self, now_ms);
    self->update_not_before_ms = now_ms + BROKER_UPDATE_INTERVAL_MS;
}

static bool has_news(const struct broker_link *self)
{
    return self->must_update || self->told_generation != holdings_generation(self->holdings) ||
           self->told_settled != holdings_is_settled(self->holdings);
}

/* A little before a third of the lease, so that a timer that fires late still keeps the promise. */
static uint64_t ping_at_ms(const struct broker_link *self)
{
    return self->sent_at_ms + self->lease_ms * UINT64_C(3) / 10;
}

void broker_link_tick(struct broker_link *self, uint64_t random, uint64_t now_ms,
                      struct broker_effects *effects)
{
    if (self->state == JOINED && now_ms - self->received_at_ms >= self->lease_ms) {
        /* Three PINGs were not answered: whatever the connection says, this broker does not know us. */
        report_lost(self, effects);
        rejoin(self, now_ms + random % BROKER_REJOIN_JITTER_MS);
    }
    if (self->state == JOINING && now_ms >= self->join_at_ms) {
        send_join(self, now_ms, effects);
    } else if (self->state == JOINED && has_news(self) && now_ms >= self->update_not_before_ms) {
        send_update(self, now_ms, effects);
    } else if (self->state == JOINED && now_ms >= ping_at_ms(self)) {
        struct message ping = {.kind = KIND_PING, .rid = new_rid(self)};
        send_message(effects, &ping);
        self->sent_at_ms = now_ms;
    }
}

uint64_t broker_link_next_deadline_ms(const struct broker_link *self)
{
    if (self->state == WAITING || self->state == BINDING)
        return UINT64_MAX;
    if (self->state == JOINING)
        return self->join_at_ms;
    uint64_t next_ms = ping_at_ms(self);
    if (has_news(self) && self->update_not_before_ms < next_ms)
        next_ms = self->update_not_before_ms;
    uint64_t silence_ends_ms = self->received_at_ms + self->lease_ms;
    return silence_ends_ms < next_ms ? silence_ends_ms : next_ms;
}

static uint64_t retry_at_ms(uint32_t retry_ms, uint64_t random, uint64_t now_ms)
{
    uint64_t wait_ms = retry_ms == 0 ? BROKER_REFUSED_RETRY_MS : retry_ms;
    if (wait_ms > BROKER_RETRY_MS_MAX)
        wait_ms = BROKER_RETRY_MS_MAX;
    return now_ms + wait_ms + random % (wait_ms / 2 + 1);
}

static void on_refused(struct broker_link *self, const struct message_error *error, uint64_t random,
                       uint64_t now_ms, struct broker_effects *effects)
{
    rejoin(self, retry_at_ms(error->retry_ms, random, now_ms));
    if (error->code == self->reported_code)
        return;
    self->reported_code = error->code;
    self->is_reported_joined = false; /* so that a later success is told */
    struct broker_effect *effect = add_effect(effects, BROKER_REFUSED);
    effect->code = error->code;
    effect->is_about_port = self->config.port == 0;
    memcpy(effect->text, error->text.bytes, error->text.size);
    effect->text[error->text.size] = '\0';
}

/* The answer to a JOIN without a port. It is no membership yet. */
static void on_assigned(struct broker_link *self, uint16_t port, uint64_t random, uint64_t now_ms,
                        struct broker_effects *effects)
{
    if (port == 0) {
        struct message_error error = {.code = ERROR_DENIED, .text = text_of("the broker named no port")};
        on_refused(self, &error, random, now_ms, effects);
        return;
    }
    self->state = BINDING;
    self->join_rid = 0;
    self->reported_code = 0;
    add_effect(effects, BROKER_ASSIGNED)->port = port;
}

void broker_link_on_bound(struct broker_link *self, uint16_t port, struct text node_name, uint64_t random,
                          uint64_t now_ms)
{
    assert(self->config.port == 0);
    self->config.port = port;
    if (port != 0)
        self->config.node_name = node_name;
    if (self->state == BINDING) /* else the connection is gone, and the next one joins */
        rejoin(self, port != 0 ? now_ms : now_ms + BROKER_REBIND_MS + random % BROKER_REBIND_MS);
}

static void on_join_ok(struct broker_link *self, const struct message *m, uint64_t random, uint64_t now_ms,
                       struct broker_effects *effects)
{
    if (self->state != JOINING || self->join_rid == 0 || m->rid != self->join_rid) {
        self->dropped_count++;
        return;
    }
    if (self->config.port == 0) {
        on_assigned(self, m->join_ok.port, random, now_ms, effects);
        return;
    }
    uint32_t lease_ms = m->join_ok.lease_ms;
    if (lease_ms < BROKER_LEASE_MS_MIN)
        lease_ms = BROKER_LEASE_MS_MIN;
    if (lease_ms > BROKER_LEASE_MS_MAX)
        lease_ms = BROKER_LEASE_MS_MAX;
    self->state = JOINED;
    self->join_rid = 0;
    self->lease_ms = lease_ms;
    self->received_at_ms = now_ms;
    self->reported_code = 0;
    if (self->is_reported_joined)
        return;
    self->is_reported_joined = true;
    struct broker_effect *effect = add_effect(effects, BROKER_JOINED);
    effect->host = m->join_ok.host;
    effect->port = m->join_ok.port;
}

/* False when the error belongs to a request of the caller's. */
static bool on_error(struct broker_link *self, const struct message *m, uint64_t random, uint64_t now_ms,
                     struct broker_effects *effects)
{
    if (self->join_rid != 0 && m->rid == self->join_rid) {
        on_refused(self, &m->error, random, now_ms, effects);
        return true;
    }
    if (m->error.code == ERROR_NOT_JOINED) {
        if (self->state == JOINED)
            rejoin(self, now_ms + random % BROKER_REJOIN_JITTER_MS);
        return true;
    }
    if (m->rid < BROKER_LINK_RID_MIN && m->rid != 0)
        return false;
    if (self->update_rid != 0 && m->rid == self->update_rid) {
        self->must_update = true;
        self->update_not_before_ms = retry_at_ms(m->error.retry_ms, random, now_ms);
    }
    return true;
}

static void send_error(struct broker_link *self, uint64_t rid, enum error_code code, const char *text,
                       struct broker_effects *effects)
{
    struct message error = message_error(rid, code, text, 0);
    send_message(effects, &error);
    self->dropped_count++;
}

static void on_query(struct broker_link *self, const struct message *m, struct broker_effects *effects)
{
    const struct message_query *query = &m->query;
    struct matcher *matcher = matcher_new(query->mode, query->text, query->min_size, query->max_size);
    if (!matcher) {
        send_error(self, m->rid, ERROR_BAD_MESSAGE, "unknown mode, or not an id", effects);
        return;
    }
    size_t limit = query->limit == 0 ? BROKER_ANSWER_LIMIT_DEFAULT : query->limit;
    if (limit > BROKER_ANSWER_LIMIT_MAX)
        limit = BROKER_ANSWER_LIMIT_MAX;
    struct message answer = {.kind = KIND_ANSWER, .rid = m->rid};
    size_t found = holdings_query(self->holdings, matcher, limit, self->answer, &answer.answer.total);
    matcher_destroy(&matcher);
    size_t room = HEADER_SIZE_MAX_BROKER - ANSWER_OVERHEAD_BYTES;
    size_t count = 0;
    while (count < found && file_entry_size(&self->answer[count]) <= room)
        room -= file_entry_size(&self->answer[count++]);
    answer.answer.files = (struct file_list){self->answer, count};
    send_message(effects, &answer);
}

/* Whether the message was the link's. */
static bool on_message(struct broker_link *self, const struct message *m, uint64_t random, uint64_t now_ms,
                       struct broker_effects *effects)
{
    switch (m->kind) {
    case KIND_PING: {
        struct message pong = {.kind = KIND_PONG, .rid = m->rid};
        send_message(effects, &pong);
        return true;
    }
    case KIND_PONG:
    case KIND_UPDATE_OK:
        return true;
    case KIND_BYE:
        /* It is stopping, or dropped us; if the connection stands, ask again in a while. */
        report_lost(self, effects);
        rejoin(self, retry_at_ms(0, random, now_ms));
        return true;
    case KIND_JOIN_OK:
        on_join_ok(self, m, random, now_ms, effects);
        return true;
    case KIND_QUERY:
        on_query(self, m, effects);
        return true;
    case KIND_ERROR:
        return on_error(self, m, random, now_ms, effects);
    default:
        return false;
    }
}

enum broker_link_result broker_link_on_envelope(struct broker_link *self, enum envelope_result result,
                                                struct envelope *envelope, uint64_t random, uint64_t now_ms,
                                                struct broker_effects *effects, struct message *ret_message)
{
    self->received_at_ms = now_ms;
    if (result == ENVELOPE_OK && message_read(envelope, ret_message)) {
        bool is_mine = on_message(self, ret_message, random, now_ms, effects);
        return is_mine ? BROKER_LINK_TAKEN : BROKER_LINK_NOT_MINE;
    }
    if (result == ENVELOPE_UNASKED || envelope->is_never_answered ||
        (result == ENVELOPE_OK && kind_gate(envelope->kind, RECEIVER_MEMBER) == GATE_REPLY))
        self->dropped_count++;
    else if (result == ENVELOPE_OK || result == ENVELOPE_BAD)
        send_error(self, envelope->rid, ERROR_BAD_MESSAGE, "not a message, or a field is wrong", effects);
    else
        send_error(self, envelope->rid, ERROR_UNSUPPORTED,
                   result == ENVELOPE_VERSION ? "speaks 1" : "unknown kind", effects);
    return BROKER_LINK_TAKEN;
}

void broker_link_on_stop(struct broker_link *self, struct broker_effects *effects)
{
    if (self->state == WAITING)
        return;
    struct message bye = {.kind = KIND_BYE, .bye = {.reason = text_of("stopping")}};
    send_message(effects, &bye);
    self->state = WAITING;
    self->is_reported_joined = false;
}

void broker_link_rest(struct broker_link *self, struct broker_effects *effects)
{
    broker_link_on_stop(self, effects);
    self->is_resting = true;
}

void broker_link_wake(struct broker_link *self, uint64_t now_ms)
{
    if (!self->is_resting)
        return;
    self->is_resting = false;
    if (self->is_connected && !self->config.is_only_asking)
        rejoin(self, now_ms);
}

bool broker_link_is_joined(const struct broker_link *self)
{
    return self->state == JOINED;
}

uint32_t broker_link_lease_ms(const struct broker_link *self)
{
    return self->lease_ms;
}

uint64_t broker_link_dropped_count(const struct broker_link *self)
{
    return self->dropped_count;
}
