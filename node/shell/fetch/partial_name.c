/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/partial_name.h"

#include <dirent.h>
#include <string.h>

#define SUFFIX    ".zpart"
#define ID_DIGITS ((size_t)2 * PARTIAL_ID_SIZE)

bool partial_name_parse(const char *entry, struct partial_name *ret_name)
{
    size_t size = strlen(entry), tail_size = 1 + ID_DIGITS + strlen(SUFFIX);
    if (size >= PARTIAL_NAME_SIZE || size < 1 + 1 + tail_size || entry[0] != '.')
        return false;
    const char *tail = entry + size - tail_size;
    struct partial_name name = {.entry = ""};
    if (tail[0] != '.' || strcmp(tail + 1 + ID_DIGITS, SUFFIX) != 0 ||
        !hex_parse(tail + 1, ID_DIGITS, name.id_begin, PARTIAL_ID_SIZE))
        return false;
    memcpy(name.entry, entry, size);
    memcpy(name.target, entry + 1, (size_t)(tail - entry) - 1);
    *ret_name = name;
    return true;
}

size_t partial_name_find(const char *folder, const char *target, struct partial_name *ret_names, size_t max)
{
    DIR *stream = opendir(folder);
    size_t count = 0;
    struct dirent *entry;
    while (stream && count < max && (entry = readdir(stream))) {
        struct partial_name name;
        if (!partial_name_parse(entry->d_name, &name))
            continue;
        char wanted[PARTIAL_NAME_SIZE];
        struct file_id id = {{0}};
        memcpy(id.bytes, name.id_begin, sizeof name.id_begin);
        chunk_store_partial_name(target, &id, wanted);
        if (strcmp(wanted, entry->d_name) == 0)
            ret_names[count++] = name;
    }
    if (stream)
        closedir(stream);
    return count;
}
