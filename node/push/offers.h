/* SPDX-License-Identifier: MIT */
#ifndef NODE_PUSH_OFFERS_H
#define NODE_PUSH_OFFERS_H

/*
 * The OFFERs that stand at a node (docs/protocol.md, "Push"): who offers which file under which rid, whether
 * it is taken, and what each pusher is owed: HAVE for what was saved after its OFFER_OK, whoever delivered
 * it, and STORED or an ERROR at the end.
 *
 * Pure. It fetches nothing: OFFERS_JOIN says that a pusher is one more source of an ordinary download, and
 * the owner tells what that download saved. An offer is known by its route and its file.
 */
#include "node/content/chunk_map.h"
#include "node/content/layout.h"
#include "node/push/offers_effects.h"

/* In all; strangers set it. Each costs two bitfields, 64 KiB for a file of 1 TiB, and about 300 bytes. */
#define OFFERS_MAX 1024

/* From one address (host_block()), so that one stranger cannot keep all others out: half of what may be
 * unfinished. */
#define OFFERS_ADDRESS_MAX 128

/* From one that left a question unanswered, beside what runs: enough to show that it answers now. */
#define OFFERS_MUTE_MAX 4

/* Of one session: a folder is pushed this many files at a time. */
#define OFFERS_SESSION_MAX 64

/* Of one file: half of the sources of a download; the others are for nodes that were looked for. */
#define OFFERS_FILE_MAX 32

/* Files that pushes began and did not end: a quarter of what a node lists, the rest is its user's. */
#define OFFERS_UNFINISHED_MAX 256

/* When to offer again what was too much now. */
#define OFFERS_RETRY_MS 2000

/* The same for what a person has paused. */
#define OFFERS_PAUSED_RETRY_MS 60000

/* HAVE gathers what was saved in this time: a run costs 10 bytes, a message 60. */
#define OFFERS_HAVE_MS 50

/* What a file costs on disk beyond its bytes: they come in blocks of this many, an empty file has one, and so
 * has a folder. */
#define OFFERS_BLOCK_BYTES 4096

enum offer_place {
    OFFER_NEW,
    OFFER_UNFINISHED, /* some of it is here, or was ordered */
    OFFER_HERE,       /* it is in the share */
};

/* What the owner knows of an offered file and of the disk. Borrowed for the call. */
struct offer_facts {
    enum offer_place place;
    struct text here_name;         /* OFFER_HERE: what it is called */
    const struct chunk_map *saved; /* OFFER_UNFINISHED: the chunks that are here; NULL for none */
    bool is_ordered;               /* the node's user wants it: it is not on the quota */
    bool is_paused;                /* he has stopped it */
    uint64_t quota_bytes;          /* what pushes may take in all */
    uint64_t taken_bytes;          /* of these, taken or promised to others; offers_cost() each */
    uint64_t free_bytes;           /* of the disk, and neither promised nor kept in reserve */
    size_t unfinished_count;       /* files that pushes began, this one not counted */
    size_t landed_count;           /* files that pushes brought and that are here */
    bool is_mute;                  /* the address left a question unanswered */
};

/* What an accepted file takes of the quota: the folders of its name too, for each may be new. */
uint64_t offers_cost(struct text name, uint64_t size_bytes);

/* One that stands. Valid until the next event. */
struct offer {
    uint32_t route;
    struct host host;
    uint64_t rid;
    const struct chunk_map *have; /* NULL: all chunks */
};

struct offers;

struct offers *offers_new(void);
void offers_destroy(struct offers **self_p);

/*
 * An OFFER came from `host`: answered at once. Accepted, it replaces one of the same file on the same route.
 * offers_check() says before any facts are gathered whether it can be one: else it was answered.
 */
bool offers_check(struct offers *self, uint32_t route, uint64_t rid, const struct message_file *offer,
                  struct offers_effects *effects);
void offers_on_offer(struct offers *self, uint32_t route, const struct host *host, uint64_t rid,
                     const struct message_file *offer, const struct offer_facts *facts,
                     struct offers_effects *effects);

/* CLOSE: nothing is answered. */
void offers_on_close(struct offers *self, uint32_t route, const struct file_id *file,
                     struct offers_effects *effects);

/* The pusher said BYE or its connection ended. */
void offers_on_gone(struct offers *self, uint32_t route, struct offers_effects *effects);

/* The download ended this source: the reason is told to the pusher. */
void offers_on_dropped(struct offers *self, uint32_t route, const struct file_id *file, enum error_code code,
                       const char *reason, struct offers_effects *effects);

/* The download has a slot, or has none any more. */
void offers_on_running(struct offers *self, const struct file_id *file, bool is_running);

/* This address is mute: what it offers and does not run ends with `busy`, but for OFFERS_MUTE_MAX. */
void offers_on_mute(struct offers *self, const struct host *address, struct offers_effects *effects);

/* A chunk was verified and written; or what was said to be here of it turned out to be wrong. */
void offers_on_saved(struct offers *self, const struct file_id *file, uint32_t chunk);
void offers_on_unsaved(struct offers *self, const struct file_id *file, uint32_t chunk);

/* The have-map on disk has these bits (a bitfield of the file): a chunk is told once it is saved and kept,
 * for whoever was told may go. */
void offers_on_kept(struct offers *self, const struct file_id *file, struct blob bits, uint64_t now_ms);

/* The file is in the share under this name; or it cannot be, and its offers end with an ERROR. */
void offers_on_stored(struct offers *self, const struct file_id *file, struct text name,
                      struct offers_effects *effects);
void offers_on_failed(struct offers *self, const struct file_id *file, enum error_code code,
                      const char *reason, struct offers_effects *effects);

/* Tells what was saved. */
void offers_tick(struct offers *self, uint64_t now_ms, struct offers_effects *effects);
uint64_t offers_next_deadline_ms(const struct offers *self);

/* The offers of a file, one after the other: NULL to begin, and at the end. */
const struct offer *offers_next(const struct offers *self, const struct file_id *file,
                                const struct offer *previous);

size_t offers_count(const struct offers *self);

#endif
