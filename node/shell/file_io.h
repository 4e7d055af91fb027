/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FILE_IO_H
#define NODE_SHELL_FILE_IO_H

/*
 * Reads and writes of a regular file in as many calls as they take; one that a signal interrupted is made
 * again. Both may wait for the disk.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Returns how many bytes were there: less than `size` only where the file ends. -1 with errno. */
ssize_t file_read_at(int fd, void *bytes, size_t size, uint64_t offset);

/* True when all of them were there. */
bool file_read_exactly(int fd, void *bytes, size_t size, uint64_t offset);

/* 0 or an errno; then any part of the bytes may have been written. */
int file_write_at(int fd, const void *bytes, size_t size, uint64_t offset);

#endif
