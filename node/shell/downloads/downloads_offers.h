/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DOWNLOADS_DOWNLOADS_OFFERS_H
#define NODE_SHELL_DOWNLOADS_DOWNLOADS_OFFERS_H

/*
 * The receiving end of pushes: an OFFER begins or joins one of the node's downloads, as one more source, and
 * what the download saves is told to those who pushed (node/push/offers.h decides; docs/protocol.md, "Push").
 *
 * A pushed file lands below the folder of downloads under the whole path of its name, through no symlink.
 * What pushes take up here is bounded by a quota: what is unfinished, and what landed in this run or an
 * earlier one as long as this node shares it (pushed_keeper.h). They never take the last of the disk.
 *
 * Order of the end: downloads_offers_stop(), downloads_stop(), workers_destroy(), downloads_offers_destroy(),
 * downloads_destroy().
 */
#include "node/shell/downloads/downloads.h"
#include "node/shell/serve/data_port.h"

/* What pushes may take up when nothing is said: enough for a film or a disk image, and no disk of today. */
#define PUSH_QUOTA_DEFAULT (UINT64_C(10) << 30)

struct downloads_offers;

/* `pushed` is the file that keeps what landed. All borrowed. The features of the data port have
 * FEATURE_ACCEPTS_PUSHES, and no message has come yet. NULL when the loop is full. */
struct downloads_offers *downloads_offers_new(struct loop *loop, struct downloads *downloads,
                                              struct data_port *port, const char *pushed,
                                              uint64_t quota_bytes);
void downloads_offers_stop(struct downloads_offers *self);
void downloads_offers_destroy(struct downloads_offers **self_p);

#endif
