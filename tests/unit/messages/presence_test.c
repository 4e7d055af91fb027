/* SPDX-License-Identifier: MIT */
/*
 * A filter that rules out a node which has the file makes a proven negative false: that is the one thing
 * that must never happen, in no script and no mode. That it rules out enough is a question of speed.
 */
#include "messages/presence.h"

#include "messages/match.h"
#include "messages/name.h"
#include "tests/unit/messages/golden.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <utf8proc.h>

/* xorshift64: the same run on every machine. */
static uint64_t random_state = 88172645463325252u;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % bound;
}

/* Scripts with their own folding trouble: case, marks, ligatures, Hangul, full width, signs with slashes. */
static const uint32_t SCRIPTS[][2] = {
    {'a', 'z'},         {'A', 'Z'},         {0xc0, 0x17f},    {0x300, 0x345},   {0x370, 0x3ff},
    {0x400, 0x45f},     {0x5d0, 0x5ea},     {0x620, 0x650},   {0x900, 0x97f},   {0xe01, 0xe4f},
    {0x1100, 0x1112},   {0x1e00, 0x1fff},   {0x2100, 0x214f}, {0x3041, 0x30ff}, {0x4e00, 0x4e40},
    {0xac00, 0xac80},   {0xfb00, 0xfb06},   {0xfdf0, 0xfdfb}, {0xff01, 0xff9f}, {0x10400, 0x1044f},
    {0x1d400, 0x1d4ff}, {0x1f600, 0x1f640}, {0xe000, 0xe010}, {' ', ' '},       {'.', '9'},
};

static size_t random_text(char *out, size_t code_point_count)
{
    size_t used = 0, script = random_below(sizeof SCRIPTS / sizeof SCRIPTS[0]);
    for (size_t i = 0; i < code_point_count; i++) {
        if (random_below(4) == 0)
            script = random_below(sizeof SCRIPTS / sizeof SCRIPTS[0]);
        uint32_t first = SCRIPTS[script][0], last = SCRIPTS[script][1];
        utf8proc_int32_t c = (utf8proc_int32_t)(first + random_below(last - first + 1));
        if (random_below(9) == 0)
            c = '/';
        used += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out + used);
    }
    return used;
}

static size_t code_point_size(struct text t, size_t at)
{
    size_t size = 1;
    while (at + size < t.size && ((unsigned char)t.bytes[at + size] & 0xc0) == 0x80)
        size++;
    return size;
}

/* Words: pieces of the name. Globs: the name or its base with metacharacters put in. */
static size_t text_from_name(char *out, struct text name, uint8_t mode)
{
    static const char *const META[] = {"*", "?", "[!/]"};
    struct text from = random_below(2) ? name : name_base(name);
    size_t used = 0;
    for (size_t at = 0; at < from.size;) {
        size_t size = code_point_size(from, at);
        uint32_t choice = mode == MODE_EXACT ? 3 : random_below(10);
        if (choice < 3 && mode == MODE_GLOB) {
            used += (size_t)snprintf(out + used, 8, "%s", META[choice]);
        } else if (choice < 1) {
            out[used++] = ' ';
        } else {
            memcpy(out + used, from.bytes + at, size);
            used += size;
        }
        at += size;
    }
    return used;
}

enum {
    FILES = 40,
    ROUNDS = 60,
    TEXTS = 40
};

struct test_file {
    char name[NAME_SIZE_MAX];
    size_t name_size;
    struct file_id id;
};

static void make_file(struct test_file *file)
{
    struct text name;
    do {
        file->name_size = random_text(file->name, 1 + random_below(24));
        name = (struct text){file->name, file->name_size};
    } while (!name_is_valid(name));
    for (size_t i = 0; i < sizeof file->id.bytes; i++)
        file->id.bytes[i] = (uint8_t)random_below(256);
}

static bool file_matches(const struct test_file *file, uint8_t mode, struct text text)
{
    struct matcher *matcher = matcher_new(mode, text, 0, 0);
    if (!matcher)
        return false;
    struct match_subject subject = {.name = {file->name, file->name_size}, .id = &file->id, .size = 1};
    char *folded = match_fold_name(subject.name, &subject.folded.size, &subject.folded_base_offset);
    subject.folded.bytes = folded;
    bool matches = matcher_matches(matcher, &subject);
    free(folded);
    matcher_destroy(&matcher);
    return matches;
}

Test(presence, never_rules_out_a_match_in_any_script_and_mode)
{
    static struct test_file files[FILES];
    static char text_bytes[8 * NAME_SIZE_MAX];
    size_t match_count[4] = {0};
    for (size_t round = 0; round < ROUNDS; round++) {
        struct presence *presence = presence_new();
        for (size_t i = 0; i < FILES; i++) {
            make_file(&files[i]);
            presence_add(presence, (struct text){files[i].name, files[i].name_size}, &files[i].id);
        }
        struct presence_view view = presence_view(presence);
        for (size_t i = 0; i < TEXTS; i++) {
            const struct test_file *file = &files[random_below(FILES)];
            uint8_t mode = (uint8_t)random_below(4);
            struct text text = {text_bytes, 0};
            if (mode == MODE_ID) {
                hex_format(file->id.bytes, sizeof file->id.bytes, text_bytes);
                text.size = 8 + random_below(57);
            } else {
                text.size = text_from_name(text_bytes, (struct text){file->name, file->name_size}, mode);
            }
            if (!file_matches(file, mode, text))
                continue;
            match_count[mode]++;
            cr_assert(presence_may_match(&view, mode, text), "mode %u, \"%.*s\", name \"%.*s\"", mode,
                      (int)text.size, text.bytes, (int)file->name_size, file->name);
        }
        presence_destroy(&presence);
    }
    /* A property of matches needs matches. */
    for (size_t mode = 0; mode < 4; mode++)
        cr_expect(gt(sz, match_count[mode], 200), "mode %zu", mode);
}

static struct presence *presence_of(const char *const *names, size_t count)
{
    struct presence *presence = presence_new();
    for (size_t i = 0; i < count; i++) {
        struct file_id id = {{(uint8_t)(i + 1), 2, 3, 4, 5}};
        presence_add(presence, text_of(names[i]), &id);
    }
    return presence;
}

static const char *const NAMES[] = {"filmes/Ação.mp4", "iso/debian-12.iso"};

struct row {
    uint8_t mode;
    const char *text;
    bool may_match;
};

static const struct row ROWS[] = {
    {MODE_WORDS, "", true},
    {MODE_WORDS, "acao", true},
    {MODE_WORDS, "AÇÃO mp4", true},
    {MODE_WORDS, "acao ubuntu", false},
    {MODE_WORDS, "zz", true}, /* too short for a window */
    {MODE_WORDS, "zzz", false},
    {MODE_WORDS, "mes/aca", true},
    {MODE_EXACT, "Ação.mp4", true},
    {MODE_EXACT, "filmes/Ação.mp4", true},
    {MODE_EXACT, "mp4", false},
    {MODE_EXACT, "zz", false},
    {MODE_GLOB, "*.iso", true},
    {MODE_GLOB, "deb*iso", true},
    {MODE_GLOB, "iso/*", true},
    {MODE_GLOB, "*.xyz", false},
    {MODE_GLOB, "*qq?", true},
    {MODE_GLOB, "d[xyz][xyz][xyz]", true},
    {MODE_ID, "01020304", true},
    {MODE_ID, "0102030405ff", true}, /* only the first four bytes are in the filter */
    {MODE_ID, "09020304", false},
    {MODE_ID, "not an id", true},
    {MODE_ID | MODE_ASK_ALL, "09020304", true},
    {MODE_WORDS | MODE_ASK_ALL, "zzz", true},
    {4, "zzz", true},
};

Test(presence, rules_out_what_the_texts_prove_and_no_more)
{
    struct presence *presence = presence_of(NAMES, 2);
    struct presence_view view = presence_view(presence);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        cr_expect(eq(int, presence_may_match(&view, ROWS[i].mode, text_of(ROWS[i].text)), ROWS[i].may_match),
                  "mode %u, \"%s\"", ROWS[i].mode, ROWS[i].text);
    presence_destroy(&presence);
}

Test(presence, a_missing_filter_rules_nothing_out)
{
    struct presence_view none = {0};
    cr_expect(presence_may_match(&none, MODE_EXACT, text_of("nowhere")));
}

Test(presence, an_empty_share_is_ruled_out_of_every_search_with_a_window)
{
    struct presence *presence = presence_new();
    struct presence_view view = presence_view(presence);
    cr_expect(view.is_present);
    cr_expect(eq(u8, view.log2_bits, PRESENCE_LOG2_MIN));
    cr_expect(not(presence_may_match(&view, MODE_EXACT, text_of("a"))));
    cr_expect(presence_may_match(&view, MODE_WORDS, text_of("")));
    presence_destroy(&presence);
    cr_expect(presence == NULL);
}

Test(presence, is_rebuilt_after_each_addition)
{
    struct presence *presence = presence_of(NAMES, 1);
    struct presence_view view = presence_view(presence);
    cr_expect(not(presence_may_match(&view, MODE_WORDS, text_of("debian"))));
    struct file_id id = {{9}};
    presence_add(presence, text_of("debian"), &id);
    view = presence_view(presence);
    cr_expect(presence_may_match(&view, MODE_WORDS, text_of("debian")));
    presence_destroy(&presence);
}

Test(presence, sets_the_bits_that_the_python_vectors_name)
{
    FILE *file = golden_file("presence.txt");
    static char line[1 << 19];
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#')
            continue;
        char *names_hex = strchr(line, ' ');
        cr_assert(names_hex != NULL);
        char *bits_hex = strchr(names_hex + 1, ' ');
        cr_assert(bits_hex != NULL);
        *names_hex++ = '\0';
        *bits_hex++ = '\0';
        size_t names_size = golden_unhex(names_hex);
        size_t bits_size = golden_unhex(bits_hex);
        struct presence *presence = presence_new();
        for (size_t begin = 0, i = 0; begin < names_size; i++) {
            const char *end = memchr(names_hex + begin, '\n', names_size - begin);
            size_t size = (size_t)(end - names_hex) - begin;
            struct file_id id = {{(uint8_t)i, 1, 2, 3}};
            presence_add(presence, (struct text){names_hex + begin, size}, &id);
            begin += size + 1;
        }
        struct presence_view view = presence_view(presence);
        cr_expect(eq(int, view.log2_bits, (int)strtol(line, NULL, 10)));
        cr_assert(eq(sz, bits_size, (size_t)1 << (view.log2_bits - 3)));
        cr_expect(memcmp(view.bits, bits_hex, bits_size) == 0);
        presence_destroy(&presence);
    }
    fclose(file);
}

Test(presence, never_grows_over_the_protocols_maximum)
{
    struct presence *presence = presence_new();
    for (unsigned i = 0; i < 60000; i++) {
        char name[32];
        struct file_id id = {{(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 7}};
        snprintf(name, sizeof name, "file %u", i);
        presence_add(presence, text_of(name), &id);
    }
    struct presence_view view = presence_view(presence);
    cr_expect(eq(u8, view.log2_bits, PRESENCE_LOG2_MAX));
    cr_expect(presence_may_match(&view, MODE_EXACT, text_of("file 59999")));
    presence_destroy(&presence);
}

Test(presence, about_one_in_a_hundred_absent_names_gets_through)
{
    struct presence *presence = presence_new();
    for (unsigned i = 0; i < 2000; i++) {
        char name[32];
        struct file_id id = {{(uint8_t)i, (uint8_t)(i >> 8), 0, 7}};
        snprintf(name, sizeof name, "file %u", i);
        presence_add(presence, text_of(name), &id);
    }
    struct presence_view view = presence_view(presence);
    size_t false_count = 0;
    for (unsigned i = 2000; i < 12000; i++) {
        char name[32];
        snprintf(name, sizeof name, "file %u", i);
        false_count += presence_may_match(&view, MODE_EXACT, text_of(name));
    }
    cr_expect(lt(sz, false_count, 200));
    presence_destroy(&presence);
}
