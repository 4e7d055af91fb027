/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_DOWNLOAD_DOWNLOAD_LIST_WORLD_H
#define TESTS_UNIT_NODE_DOWNLOAD_DOWNLOAD_LIST_WORLD_H

/* One list on virtual time: a suite makes it and frees it for each test. */
#include "node/download/download_list.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct download_list *list;
static uint64_t now_ms;

static inline void make_list(void)
{
    list = download_list_new();
    now_ms = 1000;
}

static inline void free_list(void)
{
    download_list_destroy(&list);
}

static inline struct downloads_order order_of(uint32_t file)
{
    struct downloads_order order = {.file = {.size = 1000, .name = text_of("film.mkv")}};
    memcpy(order.file.id.bytes, &file, sizeof file);
    return order;
}

static inline uint32_t add(uint32_t file)
{
    struct downloads_order order = order_of(file);
    uint32_t number = 0;
    cr_assert(eq(int, download_list_add(list, &order, &number), DOWNLOADS_OK));
    return number;
}

/* The number of the one that starts now; 0 for none. */
static inline uint32_t start(void)
{
    const struct listed_download *item = download_list_start(list, now_ms);
    return item ? item->number : 0;
}

static inline enum downloads_state state_of(uint32_t number)
{
    const struct listed_download *item = download_list_find(list, number);
    cr_assert(item != NULL);
    return item->state;
}

#endif
