/* SPDX-License-Identifier: MIT */
#include "tools/get/place.h"

#include "messages/name.h"
#include "node/shell/folders.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a folder entry may be called. */
#define COMPONENT_SIZE_MAX 255

bool place_make_folder(struct output *output, const char *path)
{
    if (folders_make(path, 0777))
        return true;
    output_error(output, "cannot make the folder %s: %s; choose another with -d or -o", path,
                 strerror(errno));
    return false;
}

/* A name that only the network chose must not become a hidden file. NULL after an error that was told. */
static char *name_of(struct output *output, const char *wire_name, const char *text)
{
    struct text base = name_base(text_of(wire_name));
    bool was_typed = text_equal(base, name_base(text_of(text)));
    if (base.size > COMPONENT_SIZE_MAX)
        output_error(output, "the name of the file is too long for a folder: choose one with -o");
    else if (base.bytes[0] == '.' && !was_typed)
        output_error(output, "'%.*s' would be a hidden file: choose a name with -o", (int)base.size,
                     base.bytes);
    else
        return text_copy(base);
    return NULL;
}

bool place_choose(struct output *output, const char *folder, const char *file, const char *wire_name,
                  const char *text, char **ret_folder, char **ret_name)
{
    const char *slash = file ? strrchr(file, '/') : NULL;
    char *name = file ? strdup(slash ? slash + 1 : file) : name_of(output, wire_name, text);
    if (!name)
        return false;
    char *where = slash ? strndup(file, (size_t)(slash - file) + (slash == file))
                        : strdup(folder && folder[0] ? folder : ".");
    assert(where);
    bool is_name = name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    if (!is_name)
        output_error(output, "'%s' is a folder: name a file with -o, or use -d", file);
    if (!is_name || !place_make_folder(output, where)) {
        free(where);
        free(name);
        return false;
    }
    *ret_folder = where;
    *ret_name = name;
    return true;
}
