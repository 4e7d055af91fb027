/* SPDX-License-Identifier: MIT */
/* A context that keeps something of the hash before it would give wrong ids only now and then. */
#include "messages/sha256.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static bool hash_is(const struct hash *hash, const char *hex)
{
    char text[ID_HEX_SIZE];
    hex_format(hash->bytes, sizeof hash->bytes, text);
    return strcmp(text, hex) == 0;
}

/* Expected values: FIPS 180-2, appendix B. */
Test(sha256, equals_the_published_vectors_in_any_order)
{
    struct hash hash;
    for (size_t round = 0; round < 3; round++) {
        sha256("abc", 3, &hash);
        cr_expect(hash_is(&hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        sha256("", 0, &hash);
        cr_expect(hash_is(&hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, &hash);
        cr_expect(hash_is(&hash, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
    }
}

Test(sha256, a_pair_is_the_hash_of_both_in_order)
{
    struct hash left, right, pair, whole, swapped;
    sha256("left", 4, &left);
    sha256("right", 5, &right);
    uint8_t both[64];
    memcpy(both, left.bytes, 32);
    memcpy(both + 32, right.bytes, 32);
    sha256(both, sizeof both, &whole);
    sha256_pair(&left, &right, &pair);
    sha256_pair(&right, &left, &swapped);
    cr_expect(hash_equal(&pair, &whole));
    cr_expect(not(hash_equal(&pair, &swapped)));
}

Test(sha256, each_of_many_is_the_hash_of_it_alone_whatever_their_number_and_size)
{
    static uint8_t bytes[41 * 1024];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i / 7 + i / 251);
    static const size_t sizes[] = {1, 63, 64, 65, 128, 960, 1024};
    static const size_t counts[] = {0, 1, 15, 16, 17, 31, 32, 40};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            struct hash hashes[41], alone;
            memset(hashes, 0xee, sizeof hashes);
            sha256_each(bytes + s, sizes[s], counts[c], hashes); /* aligned to nothing */
            for (size_t i = 0; i < counts[c]; i++) {
                sha256(bytes + s + i * sizes[s], sizes[s], &alone);
                cr_expect(hash_equal(&hashes[i], &alone), "%zu of %zu of %zu bytes", i, counts[c], sizes[s]);
            }
            cr_expect(eq(u8, hashes[counts[c]].bytes[0], 0xee));
        }
    }
}
