/* SPDX-License-Identifier: MIT */
/* Text from the network on a terminal, in a log, in a path: what is let through raw can act there. */
#include "messages/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

struct clean_row {
    const char *bytes;
    size_t size;
    bool is_clean;
};

#define ROW(literal, is_clean)                                                                               \
    {                                                                                                        \
        literal, sizeof(literal) - 1, is_clean                                                               \
    }

static const struct clean_row CLEAN_ROWS[] = {
    ROW("", true),
    ROW("plain ~", true),
    ROW("Ação 日本語 🎵", true),
    ROW("\xe2\x80\xae", true), /* U+202E, bidi: legal on the wire */
    ROW("\xe2\x80\xa8", true), /* U+2028 */
    ROW("\xef\xbf\xbe", true), /* U+FFFE, a noncharacter */
    ROW("\xf4\x8f\xbf\xbf", true),
    ROW("a\0b", false),
    ROW("\x1b", false),
    ROW("\n", false),
    ROW("\x7f", false),
    ROW("\xc2\x80", false), /* C1 */
    ROW("\xc2\x9f", false),
    ROW("\xc2\xa0", true),
    ROW("\x80", false),
    ROW("\xff", false),
    ROW("\xc3", false),             /* cut */
    ROW("\xc0\xaf", false),         /* overlong */
    ROW("\xe0\x80\xaf", false),     /* overlong */
    ROW("\xf0\x80\x80\xaf", false), /* overlong */
    ROW("\xed\xa0\x80", false),     /* surrogate */
    ROW("\xf4\x90\x80\x80", false), /* over U+10FFFF */
    ROW("\xf8\x88\x80\x80\x80", false),
};

Test(text, clean_is_valid_utf8_without_controls)
{
    for (size_t i = 0; i < sizeof CLEAN_ROWS / sizeof CLEAN_ROWS[0]; i++)
        cr_expect(eq(int, text_is_clean((struct text){CLEAN_ROWS[i].bytes, CLEAN_ROWS[i].size}),
                     CLEAN_ROWS[i].is_clean),
                  "row %zu", i);
    cr_expect(text_is_clean((struct text){NULL, 0}));
}

static void expect_escape(struct text t, const char *expected)
{
    char *escaped = text_escape(t);
    cr_expect(strcmp(escaped, expected) == 0, "%s instead of %s", escaped, expected);
    free(escaped);
}

Test(text, escape_makes_controls_bidi_separators_and_bad_bytes_visible)
{
    expect_escape(text_of("Ação.mp4"), "Ação.mp4");
    expect_escape(text_of("\x1b[31m\n\x7f"), "\\x1b[31m\\x0a\\x7f");
    expect_escape((struct text){"a\0b", 3}, "a\\x00b");
    expect_escape(text_of("\xc2\x85"), "\\u{85}");
    expect_escape(text_of("\xe2\x80\xaegpj.exe"), "\\u{202e}gpj.exe");
    expect_escape(text_of("\xe2\x80\xa8\xe2\x80\xa9"), "\\u{2028}\\u{2029}");
    expect_escape(text_of("\xe2\x80\x8b\xef\xbb\xbf"), "\\u{200b}\\u{feff}");
    expect_escape(text_of("\xf3\xa0\x80\x81"), "\\u{e0001}");
    expect_escape(text_of("\xff\xc3"), "\\xff\\xc3");
    expect_escape(text_of("back\\slash"), "back\\slash");
    expect_escape((struct text){NULL, 0}, "");
}

Test(text, compares_in_byte_order_the_shorter_first)
{
    cr_expect(lt(int, text_compare(text_of("a"), text_of("ab")), 0));
    cr_expect(gt(int, text_compare(text_of("b"), text_of("ab")), 0));
    cr_expect(gt(int, text_compare(text_of("\xff"), text_of("a")), 0)); /* bytes are unsigned */
    cr_expect(eq(int, text_compare(text_of("a"), text_of("a")), 0));
    cr_expect(eq(int, text_compare((struct text){NULL, 0}, text_of("")), 0));
    cr_expect(text_equal((struct text){NULL, 0}, text_of("")));
    cr_expect(not(text_equal(text_of("a"), text_of("b"))));
    cr_expect(not(text_equal(text_of("a"), text_of("aa"))));
}

Test(text, prefixes)
{
    cr_expect(text_has_prefix(text_of("abc"), text_of("ab")));
    cr_expect(text_has_prefix(text_of("abc"), (struct text){NULL, 0}));
    cr_expect(text_has_prefix(text_of("abc"), text_of("abc")));
    cr_expect(not(text_has_prefix(text_of("abc"), text_of("abcd"))));
    cr_expect(not(text_has_prefix(text_of("abc"), text_of("b"))));
}

Test(text, a_copy_ends_with_a_nul)
{
    char *copy = text_copy((struct text){"abcdef", 3});
    cr_expect(strcmp(copy, "abc") == 0);
    free(copy);
    copy = text_copy((struct text){NULL, 0});
    cr_expect(strcmp(copy, "") == 0);
    free(copy);
}
