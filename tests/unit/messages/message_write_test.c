/* SPDX-License-Identifier: MIT */
/*
 * Sizes told before writing: one byte too few and a header exceeds its limit at the receiver. Limits of a
 * field are the caller's to keep; going over one is a bug of ours and stops the program.
 */
#include "messages/message.h"

#include "messages/name.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>

static size_t written_size(const struct message *m)
{
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_write(m, &out);
    size_t size = out.size;
    msgpack_sbuffer_destroy(&out);
    return size;
}

static size_t answer_size(struct file_entry *files, size_t count)
{
    struct message m = {.kind = KIND_ANSWER, .answer = {.files = {files, count}}};
    return written_size(&m);
}

static const uint64_t NUMBERS[] = {0,         127, 128, 255, 256, 65535, 65536, UINT32_MAX, UINT64_C(1) << 32,
                                   UINT64_MAX};
static const size_t TEXT_SIZES[] = {0, 1, 31, 32, 64, 255, 256, 1024};

Test(message_write, the_size_of_a_file_is_what_it_takes)
{
    static char name[NAME_SIZE_MAX];
    size_t empty_size = answer_size(NULL, 0);
    for (size_t n = 0; n < sizeof NUMBERS / sizeof NUMBERS[0]; n++) {
        for (size_t t = 0; t < sizeof TEXT_SIZES / sizeof TEXT_SIZES[0]; t++) {
            for (unsigned extras = 0; extras < 4; extras++) {
                struct file_entry file = {.size = NUMBERS[n],
                                          .name = {name, TEXT_SIZES[t]},
                                          .have_permille = (uint16_t)(NUMBERS[n] % 1001),
                                          .has_mtime = extras & 1,
                                          .mtime_ms = NUMBERS[n],
                                          .has_executable = extras & 2};
                cr_expect(eq(sz, file_entry_size(&file), answer_size(&file, 1) - empty_size),
                          "number %zu, text %zu, extras %u", n, t, extras);
            }
        }
    }
}

Test(message_write, the_size_of_a_source_is_what_it_takes)
{
    static char name[LABEL_SIZE_MAX];
    static const char *const HOSTS[] = {"1.2.3.4", "192.168.100.200", "::1",
                                        "abab:abab:abab:abab:abab:abab:abab:abab"};
    for (size_t h = 0; h < 4; h++) {
        for (size_t n = 0; n < 6; n++) {
            struct source_entry source = {
                .port = (uint16_t)NUMBERS[n], .name = {name, TEXT_SIZES[n % 5]}, .has_key = n % 2 == 0};
            cr_assert(host_parse(text_of(HOSTS[h]), &source.host));
            struct found_entry entry = {.sources = {&source, 1}};
            struct message m = {.kind = KIND_FOUND, .found = {&entry, 1}};
            size_t with_source = written_size(&m);
            entry.sources.count = 0;
            cr_expect(eq(sz, source_entry_size(&source), with_source - written_size(&m)), "host %zu, %zu", h,
                      n);
        }
    }
}

Test(message_write, appends_behind_what_is_there)
{
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    struct message m = {.kind = KIND_PING, .rid = 5};
    message_write(&m, &out);
    message_write(&m, &out);
    cr_assert(eq(sz, out.size, 8));
    cr_expect(memcmp(out.data, "\x93\x01\x01\x05\x93\x01\x01\x05", 8) == 0);
    msgpack_sbuffer_destroy(&out);
}

Test(message_write, a_text_over_its_limit_is_a_bug, .signal = SIGABRT)
{
    static char text[REASON_SIZE_MAX + 1];
    struct message m = {.kind = KIND_BYE, .bye = {.reason = {text, sizeof text}}};
    written_size(&m);
}

Test(message_write, more_files_than_a_message_may_have_are_a_bug, .signal = SIGABRT)
{
    static struct file_entry files[FILES_MAX + 1];
    answer_size(files, FILES_MAX + 1);
}

Test(message_write, an_unknown_kind_is_a_bug, .signal = SIGABRT)
{
    struct message m = {.kind = (enum message_kind)5};
    written_size(&m);
}
