/* SPDX-License-Identifier: MIT */
/* A manifest of any bytes: every entry has a valid name that no other has, and a path that can be opened. */
#include "node/share/manifest.h"

#include "messages/name.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest *manifest = manifest_new((struct text){(const char *)data, size});
    size_t line = 0;
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        assert(name_is_valid(text_of(entry->name)));
        assert(*entry->path && strlen(entry->path) <= MANIFEST_PATH_SIZE_MAX);
        assert(entry->line > line);
        line = entry->line;
        for (size_t k = 0; k < i && i < 64; k++)
            assert(strcmp(manifest->entries[k].name, entry->name) != 0);
    }
    line = 0;
    for (size_t i = 0; i < manifest->complaint_count; i++) {
        assert(manifest->complaints[i].line > line);
        line = manifest->complaints[i].line;
        assert(*manifest_fault_text(manifest->complaints[i].fault));
    }
    manifest_destroy(&manifest);
    return 0;
}
