/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_DOWNLOAD_LINE_H
#define NODE_DOWNLOAD_DOWNLOAD_LINE_H

/*
 * A download that is not done as one line of text, for the file that keeps them:
 *
 *     STATE ROOT SIZE SAVED MTIME EXECUTABLE FROM SOURCES NAME
 *
 * STATE is waiting, paused, pushed or pushed-paused; ROOT hex; SAVED bytes, for show; MTIME ms or `-`;
 * EXECUTABLE yes, no or `-`; FROM any or only; SOURCES `-` or HOST,PORT,NODE;... with NODE hex or `-`. One
 * space between fields; NAME is a wire name, which has no line end, and takes the rest. The id follows from
 * root and size. Any line may come from a stranger's editor: what is not exactly this is refused.
 */
#include "node/download/download_list.h"

/* malloc'd, without a line end. */
char *download_line_format(const struct listed_download *item);

struct download_line {
    struct downloads_order order; /* its texts are in the line, its sources below */
    struct downloads_source sources[DOWNLOADS_SOURCES_MAX];
    uint64_t saved_bytes;
};

/* Without the line end. False, and *ret_line is not to be used, when the line is not a download. It must stay
 * where it is, for the order points into it. */
bool download_line_parse(struct text line, struct download_line *ret_line);

#endif
