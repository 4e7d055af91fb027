/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_PARTIALS_H
#define NODE_SHELL_FETCH_PARTIALS_H

/*
 * Serves what running fetches have verified, of any number of them, through one data port: puts each among
 * the holdings once it has a chunk, tells those who follow it of every further one, and gives the data port
 * its bytes. Whole files that the port serves too come from another source, which this one stands in front
 * of.
 */
#include "node/shell/fetch/fetch.h"
#include "node/shell/serve/data_port.h"

struct partials;

/*
 * Holdings and port are borrowed; start the port with partials_source(). `shared` serves what is not partial;
 * NULL when there is nothing else.
 */
struct partials *partials_new(struct holdings *holdings, struct data_port *port,
                              const struct content_source *shared);

/* After the port was stopped. */
void partials_destroy(struct partials **self_p);

/* Valid as long as the partials. */
struct content_source partials_source(struct partials *self);

/*
 * Begins to serve a fetch under the handle that is returned, until partials_remove(); a fetch that is
 * complete and stopped can go on being served. Fetch and the name of the file are borrowed until then.
 */
uint64_t partials_add(struct partials *self, struct fetch *fetch, const struct file_entry *file);
void partials_remove(struct partials *self, uint64_t handle);

/* From the fetch's events: one more chunk. */
void partials_saved(struct partials *self, uint64_t handle, uint32_t chunk);

#endif
