/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_FILE_ATTRIBUTES_H
#define NODE_SHELL_FETCH_FILE_ATTRIBUTES_H

/*
 * What a node told of a file beyond its content: when it was changed, and whether it is a program. Nobody can
 * verify it, so it is a courtesy: a file system that does not keep it is no error.
 */
#include <stdbool.h>
#include <stdint.h>

struct file_attributes {
    bool has_mtime;
    uint64_t mtime_ms; /* since 1970 */
    bool is_executable;
};

/* The end of the year 9999: what is beyond is nonsense, and some file systems would wrap it around. */
#define MTIME_MS_MAX UINT64_C(253402300799999)

/*
 * Gives a file of our own its attributes, as the last thing before it gets its name: every write changes the
 * time. Executable for those who may read it, so that the umask of its making is kept.
 */
void file_attributes_apply(const struct file_attributes *self, int fd);

#endif
