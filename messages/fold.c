/* SPDX-License-Identifier: MIT */
#include "messages/fold.h"

#include <assert.h>
#include <stdlib.h>
#include <utf8proc.h>

/* The longest full case folding has 3 code points. */
enum {
    CASEFOLD_MAX = 3
};

/* NULL when the text is more than ASCII, where folding is lower case and nothing else. */
static char *fold_ascii(struct text t)
{
    char *folded = malloc(t.size + 1);
    assert(folded);
    for (size_t i = 0; i < t.size; i++) {
        char c = t.bytes[i];
        if ((unsigned char)c >= 0x80) {
            free(folded);
            return NULL;
        }
        folded[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    folded[t.size] = '\0';
    return folded;
}

/* The code points of the text's NFKD; malloc'd. */
static utf8proc_int32_t *decompose(struct text t, size_t *ret_count)
{
    const utf8proc_option_t options = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)t.bytes;
    size_t room = t.size; /* one a byte is enough but for rare ligatures */
    for (;;) {
        utf8proc_int32_t *code_points = malloc(room * sizeof *code_points);
        assert(code_points);
        utf8proc_ssize_t count =
            utf8proc_decompose(bytes, (utf8proc_ssize_t)t.size, code_points, (utf8proc_ssize_t)room, options);
        assert(count >= 0); /* the caller promised valid UTF-8 */
        if ((size_t)count <= room) {
            *ret_count = (size_t)count;
            return code_points;
        }
        free(code_points);
        room = (size_t)count;
    }
}

char *fold(struct text t, size_t *ret_size)
{
    char *folded = fold_ascii(t);
    if (folded) {
        *ret_size = t.size;
        return folded;
    }

    size_t count;
    utf8proc_int32_t *code_points = decompose(t, &count);
    folded = malloc(count * CASEFOLD_MAX * 4 + 1);
    assert(folded);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        utf8proc_int32_t cased[CASEFOLD_MAX];
        int boundclass = 0;
        utf8proc_ssize_t cased_count =
            utf8proc_decompose_char(code_points[i], cased, CASEFOLD_MAX, UTF8PROC_CASEFOLD, &boundclass);
        assert(cased_count >= 0);
        assert(cased_count <= CASEFOLD_MAX);
        for (utf8proc_ssize_t j = 0; j < cased_count; j++) {
            /* Mn alone: UTF8PROC_STRIPMARK would drop Mc and Me as well. */
            if (utf8proc_category(cased[j]) != UTF8PROC_CATEGORY_MN)
                used += (size_t)utf8proc_encode_char(cased[j], (utf8proc_uint8_t *)folded + used);
        }
    }
    free(code_points);
    folded[used] = '\0';
    *ret_size = used;
    return folded;
}
