/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_KEPT_FILE_H
#define NODE_SHELL_KEPT_FILE_H

/*
 * Small text files in which a node keeps what must outlive it. One is replaced as a whole: at any moment,
 * also after a power failure, either the old text is there or the new one. Both functions may wait for the
 * disk.
 */
#include <stddef.h>

/* All bytes and a NUL, malloc'd; NULL with errno, EINVAL when it is no regular file or larger than that. */
char *kept_file_read(const char *path, size_t size_max, size_t *ret_size);

/* Through a file `path`.new beside it, readable by its owner only. 0 or an errno. */
int kept_file_replace(const char *path, const char *text, size_t size);

#endif
