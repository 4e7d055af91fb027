/* SPDX-License-Identifier: MIT */
/*
 * sim_sessions SEED COUNT: a download whose sources say anything at any time: answers that nobody asked for,
 * or twice, or from another source, of another range; connections come and go between.
 *
 * What could go wrong: bytes that were not asked for are written; a chunk counts that was not verified; the
 * core asserts on what a stranger says; memory is lost.
 */
#include "node/download/download.h"
#include "tests/sim/content.h"
#include "tests/sim/random.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOURCES       4 /* the last one comes by itself, as a pusher */
#define FIRST_PORT    1000
#define STEPS         400
#define QUESTIONS_MAX 4096
#define ORDERS_MAX    1024
#define FILE_BYTES    (2u << 20)

struct question {
    uint32_t source;
    uint64_t kind, rid, offset;
    uint32_t first, count, length;
    bool is_open; /* not answered yet */
};

struct order {
    struct process_order order;
    uint32_t wrong_cell;
};

struct totals {
    uint64_t messages, taken, completed;
};

struct session {
    uint64_t random, now_ms;
    struct sim_content content;
    struct download *download;
    struct download_effects effects;
    struct question questions[QUESTIONS_MAX];
    size_t question_count;
    struct order orders[ORDERS_MAX];
    size_t order_count;
    uint8_t right[FILE_BYTES >> CELL_LOG2]; /* cells that were written, and are right */
    bool is_connected[DOWNLOAD_SOURCES_MAX], is_over;
    uint64_t said_offset; /* of the DATA that was just said; UINT64_MAX: not known */
    struct totals totals;
    const char *broken;
};

static char repeat[96];

static void on_abort(int signal_number)
{
    (void)signal_number;
    ssize_t count = write(STDERR_FILENO, repeat, strlen(repeat));
    (void)count;
}

/* What the download asks for. */

static void note_question(struct session *self, const struct download_effect *effect)
{
    struct envelope envelope;
    struct message message;
    const uint8_t *bytes = (const uint8_t *)self->effects.arena.data + effect->bytes_offset;
    if (envelope_open(&envelope, bytes, effect->bytes_size, RECEIVER_SERVER, 1) != ENVELOPE_OK ||
        !message_read(&envelope, &message)) {
        self->broken = "sent what nobody can read";
    } else if (self->question_count < QUESTIONS_MAX) {
        struct question *question = &self->questions[self->question_count++];
        *question = (struct question){
            .source = effect->source, .kind = message.kind, .rid = message.rid, .is_open = true};
        if (message.kind == KIND_READ) {
            question->offset = message.read.offset;
            question->length = message.read.length;
        } else if (message.kind == KIND_HASHES) {
            question->first = message.hashes.first;
            question->count = message.hashes.count;
        }
    }
    envelope_close(&envelope);
}

static void forget_questions(struct session *self, uint32_t source)
{
    for (size_t i = 0; i < self->question_count; i++)
        self->questions[i].is_open &= self->questions[i].source != source;
}

/* A payload is taken once, for a READ of this very range from this very source. */
static void note_order(struct session *self, const struct download_effect *effect, uint32_t source,
                       uint64_t rid, uint32_t wrong_cell)
{
    const struct run *run = &effect->order.run;
    bool was_asked = false;
    for (size_t i = 0; i < self->question_count && !was_asked; i++) {
        struct question *question = &self->questions[i];
        was_asked = question->is_open && question->kind == KIND_READ && question->source == source &&
                    question->rid == rid && question->offset == run->offset &&
                    question->length == run->length;
        if (was_asked)
            question->is_open = false;
    }
    was_asked &= self->said_offset == UINT64_MAX || self->said_offset == run->offset;
    if (!was_asked)
        self->broken = "bytes are taken that nobody was asked for";
    self->totals.taken++;
    assert(self->order_count < ORDERS_MAX);
    self->orders[self->order_count++] = (struct order){effect->order, wrong_cell};
}

static void check_saved(struct session *self, uint32_t chunk)
{
    uint32_t cells = 1u << (self->content.layout.chunk_log2 - CELL_LOG2);
    for (uint32_t i = chunk * cells; i < (chunk + 1) * cells && i < self->content.cell_count; i++) {
        if (!self->right[i])
            self->broken = "a chunk counts that was not verified";
    }
}

static void run_effects(struct session *self, uint32_t source, uint64_t rid, uint32_t wrong_cell)
{
    for (size_t i = 0; i < self->effects.count; i++) {
        const struct download_effect *effect = &self->effects.entries[i];
        if (effect->kind == DOWNLOAD_SEND)
            note_question(self, effect);
        else if (effect->kind == DOWNLOAD_PROCESS)
            note_order(self, effect, source, rid, wrong_cell);
        else if (effect->kind == DOWNLOAD_SAVED)
            check_saved(self, effect->chunk);
        else if (effect->kind == DOWNLOAD_CONNECT)
            self->is_connected[effect->source] = false;
        else if (effect->kind == DOWNLOAD_DISCONNECT)
            forget_questions(self, effect->source);
        self->totals.completed += effect->kind == DOWNLOAD_COMPLETE;
        self->is_over |= effect->kind == DOWNLOAD_COMPLETE || effect->kind == DOWNLOAD_FAILED;
    }
    download_effects_clear(&self->effects);
}

/* What the sources say. */

/* Mostly of something that was asked, by whomever, answered or not. */
static struct question any_question(struct session *self)
{
    uint64_t size = self->content.layout.size;
    struct question any = {.kind = random_between(&self->random, 0, 50),
                           .rid = random_next(&self->random) >> random_between(&self->random, 0, 64),
                           .offset = random_between(&self->random, 0, size + 1),
                           .length = (uint32_t)random_between(&self->random, 0, size + 1),
                           .count = (uint32_t)random_between(&self->random, 0, 40)};
    if (self->question_count > 0 && random_permille(&self->random, 900)) {
        size_t recent = self->question_count < 32 ? self->question_count : 32;
        any = self->questions[self->question_count - 1 - random_next(&self->random) % recent];
    }
    return any;
}

static void answer(struct session *self, const struct question *question, struct message *ret_message,
                   struct hash *hashes)
{
    *ret_message = (struct message){.rid = question->rid};
    struct layout layout = self->content.layout;
    switch (question->kind) {
    case KIND_HELLO:
        ret_message->kind = KIND_HELLO_OK;
        ret_message->hello_ok = (struct message_hello_ok){
            .node_name = text_of("x"), .agent = text_of("x"), .window_bytes = 16 << 20, .max_read = 1 << 20};
        break;
    case KIND_OPEN:
        ret_message->kind = KIND_OPEN_OK;
        ret_message->open_ok.file = (struct file_entry){.id = self->content.id,
                                                        .root = self->content.root,
                                                        .size = layout.size,
                                                        .name = text_of("f"),
                                                        .have_permille = 1000};
        ret_message->open_ok.chunk_log2 = (uint8_t)layout.chunk_log2;
        break;
    case KIND_HASHES:
        for (uint32_t i = 0; i < question->count; i++)
            hashes[i] = self->content.layer[(question->first + i) % layout.chunk_count];
        if (random_permille(&self->random, 50) && question->count > 0)
            hashes[0].bytes[0] ^= 1;
        ret_message->kind = KIND_HASHES_OK;
        ret_message->hashes_ok = (struct message_hashes_ok){
            self->content.id, question->first, {(const uint8_t *)hashes, question->count * sizeof *hashes}};
        break;
    case KIND_READ:
        ret_message->kind = KIND_DATA;
        ret_message->data = (struct message_range){self->content.id, question->offset, question->length};
        if (random_permille(&self->random, 50))
            ret_message->data.offset ^= CELL_SIZE;
        break;
    default:
        *ret_message = message_error(question->rid, (enum error_code)random_between(&self->random, 1, 14),
                                     "no", (uint32_t)random_between(&self->random, 0, 2000));
        break;
    }
}

static void say(struct session *self)
{
    struct hash hashes[64];
    struct question question = any_question(self);
    struct message message;
    answer(self, &question, &message, hashes);
    if (random_permille(&self->random, 30)) {
        message = (struct message){.kind = random_permille(&self->random, 500) ? KIND_BYE : KIND_PING};
        message.bye.reason = text_of(message.kind == KIND_BYE ? "so" : "");
    }
    uint32_t source = random_permille(&self->random, 800)
                          ? question.source
                          : (uint32_t)random_between(&self->random, 0, SOURCES);
    if (download_source_at(self->download, source).state == SOURCE_FREE)
        return;
    uint32_t cells = question.length >> CELL_LOG2;
    uint32_t wrong_cell =
        random_permille(&self->random, 50) && cells > 0
            ? (uint32_t)(question.offset >> CELL_LOG2) + (uint32_t)random_between(&self->random, 0, cells)
            : NO_CELL;
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(&message, &bytes);
    self->said_offset = message.kind == KIND_DATA ? message.data.offset : UINT64_MAX;
    bool is_garbled = random_permille(&self->random, 20);
    if (is_garbled) {
        self->said_offset = UINT64_MAX;
        bytes.data[random_between(&self->random, 0, bytes.size)] ^= (char)random_next(&self->random);
    }
    size_t frame_count = message.kind == KIND_DATA ? 2 : 1;
    download_on_message(self->download, source, (const uint8_t *)bytes.data, bytes.size, frame_count,
                        frame_count == 2 ? question.length : 0, self->now_ms, &self->effects);
    msgpack_sbuffer_destroy(&bytes);
    run_effects(self, source, question.rid, wrong_cell);
}

/* What the disk says. */

static bool is_right(const struct session *self, const struct order *order)
{
    const struct process_order *asked = &order->order;
    for (uint64_t done = 0, i = 0; done < asked->run.length; done += asked->span_bytes, i++) {
        uint64_t left = asked->run.length - done;
        struct hash hash = content_hash(&self->content, asked->run.offset + done,
                                        left < asked->span_bytes ? left : asked->span_bytes, asked->height,
                                        order->wrong_cell);
        if (!hash_equal(&hash, &asked->expected[i]))
            return false;
    }
    return true;
}

static void process(struct session *self)
{
    if (self->order_count == 0)
        return;
    size_t index = random_next(&self->random) % self->order_count;
    struct order order = self->orders[index];
    self->orders[index] = self->orders[--self->order_count];
    struct processed result = {.status = PROCESSED_OK};
    if (!order.order.expected)
        result.hash = content_hash(&self->content, order.order.run.offset, order.order.run.length,
                                   order.order.height, order.wrong_cell);
    else if (!is_right(self, &order))
        result.status = PROCESSED_MISMATCH;
    uint32_t first = (uint32_t)(order.order.run.offset >> CELL_LOG2);
    uint32_t end = (uint32_t)((order.order.run.offset + order.order.run.length + CELL_SIZE - 1) >> CELL_LOG2);
    for (uint32_t i = first; i < end && result.status == PROCESSED_OK; i++)
        self->right[i] = i != order.wrong_cell;
    download_on_processed(self->download, order.order.ticket, &result, self->now_ms, &self->effects);
    run_effects(self, 0, 0, NO_CELL);
}

/* What connections do. */

static void connect_or_lose(struct session *self)
{
    uint32_t source = (uint32_t)random_between(&self->random, 0, SOURCES);
    struct download_source told = download_source_at(self->download, source);
    if (told.state != SOURCE_CONNECTING && told.state != SOURCE_READY)
        return;
    if (told.is_pusher) {
        if (random_permille(&self->random, 100))
            download_remove_pusher(self->download, source, random_permille(&self->random, 500), self->now_ms,
                                   &self->effects);
    } else if (!self->is_connected[source]) {
        download_on_connected(self->download, source, self->now_ms, &self->effects);
        self->is_connected[source] = true;
    } else if (random_permille(&self->random, 200)) {
        forget_questions(self, source);
        self->is_connected[source] = false;
        download_on_lost(self->download, source, self->now_ms, &self->effects);
    }
    run_effects(self, source, 0, NO_CELL);
}

static void pass_time(struct session *self)
{
    uint64_t due_ms = download_next_deadline_ms(self->download);
    uint64_t step_ms = random_between(&self->random, 0, random_permille(&self->random, 50) ? 20000 : 50);
    self->now_ms += step_ms;
    if (due_ms <= self->now_ms)
        download_tick(self->download, self->now_ms, &self->effects);
    run_effects(self, 0, 0, NO_CELL);
}

static void begin(struct session *self)
{
    struct download_config config = {.id = self->content.id,
                                     .root = self->content.root,
                                     .size = self->content.layout.size,
                                     .seed = random_next(&self->random),
                                     .node_name = "sim",
                                     .agent = "sim"};
    self->download = download_new(&config, self->now_ms);
    download_start(self->download, self->now_ms, &self->effects);
    run_effects(self, 0, 0, NO_CELL);
    struct host host;
    bool is_address = host_parse(text_of("10.0.0.1"), &host);
    assert(is_address);
    for (uint16_t i = 0; i + 1 < SOURCES && !self->is_over; i++) {
        download_add_source(self->download, &(struct optional_node_id){0}, &host, FIRST_PORT + i,
                            self->now_ms, &self->effects);
        run_effects(self, i, 0, NO_CELL);
    }
    if (!self->is_over)
        download_add_pusher(self->download, &(struct download_pusher){.host = host, .name = "x"},
                            self->now_ms, &self->effects);
    run_effects(self, SOURCES - 1, 0, NO_CELL);
}

/* NULL, or what did not hold. */
static const char *run(uint64_t seed, struct totals *totals)
{
    struct session *self = calloc(1, sizeof *self);
    assert(self);
    self->random = seed;
    self->now_ms = 1000;
    content_init(&self->content, seed, random_between(&self->random, 1, FILE_BYTES));
    download_effects_init(&self->effects);
    begin(self);
    for (unsigned step = 0; step < STEPS && !self->is_over && !self->broken; step++) {
        unsigned pick = (unsigned)random_between(&self->random, 0, 100);
        if (pick < 60)
            say(self);
        else if (pick < 80)
            process(self);
        else if (pick < 92)
            connect_or_lose(self);
        else
            pass_time(self);
        self->totals.messages += pick < 60;
    }
    const char *broken = self->broken;
    totals->messages += self->totals.messages;
    totals->taken += self->totals.taken;
    totals->completed += self->totals.completed;
    download_destroy(&self->download);
    download_effects_release(&self->effects);
    content_release(&self->content);
    free(self);
    return broken;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: sim_sessions SEED COUNT\n");
        return 2;
    }
    uint64_t first = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
    struct totals totals = {0};
    signal(SIGABRT, on_abort);
    for (uint64_t seed = first; seed < first + count; seed++) {
        snprintf(repeat, sizeof repeat, "repeat with: sim_sessions %" PRIu64 " 1\n", seed);
        const char *broken = run(seed, &totals);
        if (broken) {
            fprintf(stderr, "seed %" PRIu64 ": %s; %s", seed, broken, repeat);
            return 1;
        }
    }
    printf("sim_sessions: %" PRIu64 " sequences, %" PRIu64 " messages, %" PRIu64 " payloads taken, %" PRIu64
           " downloads complete, 0 violations\n",
           count, totals.messages, totals.taken, totals.completed);
    return 0;
}
