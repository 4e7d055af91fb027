/* SPDX-License-Identifier: MIT */
#include "messages/sha256_lanes.h"

#include <assert.h>

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define BLOCK_BYTES 64
#define BLOCK_WORDS 16
#define ROUNDS      64

/* Code for a processor with these, in a program for any. */
#define WITH_LANES __attribute__((target("avx512f,avx512bw")))
#define INLINE     WITH_LANES static inline __attribute__((always_inline))

/* FIPS 180-4, 4.2.2 and 5.3.3. */
static const uint32_t round_constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const uint32_t first_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* Functions of three bits, as the truth tables that vpternlog takes. */
enum {
    PARITY = 0x96,
    CHOICE = 0xca,
    MAJORITY = 0xe8
};

/* A message schedule: word t of all lanes. */
struct words {
    __m512i w[BLOCK_WORDS];
};

INLINE __m512i big_sigma_0(__m512i x)
{
    return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 2), _mm512_ror_epi32(x, 13), _mm512_ror_epi32(x, 22),
                                     PARITY);
}

INLINE __m512i big_sigma_1(__m512i x)
{
    return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 6), _mm512_ror_epi32(x, 11), _mm512_ror_epi32(x, 25),
                                     PARITY);
}

INLINE __m512i small_sigma_0(__m512i x)
{
    return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 7), _mm512_ror_epi32(x, 18), _mm512_srli_epi32(x, 3),
                                     PARITY);
}

INLINE __m512i small_sigma_1(__m512i x)
{
    return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, 17), _mm512_ror_epi32(x, 19),
                                     _mm512_srli_epi32(x, 10), PARITY);
}

/* Rows are lanes and columns words; afterwards the other way round. */
INLINE void transpose(struct words *rows)
{
    __m512i *r = rows->w, pairs[16], quads[16];
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        __m512i even_low = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0x88);
        __m512i odd_low = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0xdd);
        __m512i even_high = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0x88);
        __m512i odd_high = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0xdd);
        r[i] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
        r[4 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
        r[8 + i] = _mm512_shuffle_i32x4(even_low, even_high, 0xdd);
        r[12 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
    }
}

/* The schedule is kept for 16 rounds only: word t takes the place of word t - 16. */
INLINE void extend(struct words *words, int t)
{
    __m512i *w = words->w;
    __m512i sum = _mm512_add_epi32(w[t % 16], w[(t + 9) % 16]);
    __m512i mixed = _mm512_add_epi32(small_sigma_0(w[(t + 1) % 16]), small_sigma_1(w[(t + 14) % 16]));
    w[t % 16] = _mm512_add_epi32(sum, mixed);
}

/* One block of each lane. Instead of moving the eight variables on, each round looks at them one place
 * further. */
WITH_LANES static void compress(__m512i state[8], struct words *words)
{
    __m512i v[8];
    for (int i = 0; i < 8; i++)
        v[i] = state[i];
#pragma GCC unroll 64
    for (int t = 0; t < ROUNDS; t++) {
        if (t >= BLOCK_WORDS)
            extend(words, t);
        const __m512i a = v[(64 - t) % 8], b = v[(65 - t) % 8], c = v[(66 - t) % 8];
        const __m512i e = v[(68 - t) % 8], f = v[(69 - t) % 8], g = v[(70 - t) % 8];
        __m512i *d = &v[(67 - t) % 8], *h = &v[(71 - t) % 8];
        __m512i input = _mm512_add_epi32(words->w[t % 16], _mm512_set1_epi32((int)round_constants[t]));
        __m512i mixed = _mm512_add_epi32(big_sigma_1(e), _mm512_ternarylogic_epi32(e, f, g, CHOICE));
        __m512i first = _mm512_add_epi32(_mm512_add_epi32(*h, input), mixed);
        __m512i second = _mm512_add_epi32(big_sigma_0(a), _mm512_ternarylogic_epi32(a, b, c, MAJORITY));
        *d = _mm512_add_epi32(*d, first);
        *h = _mm512_add_epi32(first, second);
    }
    for (int i = 0; i < 8; i++)
        state[i] = _mm512_add_epi32(state[i], v[i]);
}

/* The last block of a message that fills its blocks: a one, zeros, the length in bits. */
INLINE void pad(struct words *words, size_t size)
{
    words->w[0] = _mm512_set1_epi32((int)0x80000000);
    for (int i = 1; i < BLOCK_WORDS - 1; i++)
        words->w[i] = _mm512_setzero_si512();
    words->w[BLOCK_WORDS - 1] = _mm512_set1_epi32((int)(size * 8));
}

WITH_LANES void sha256_lanes(const uint8_t *bytes, size_t size, struct hash ret_hashes[SHA256_LANES])
{
    assert(size % BLOCK_BYTES == 0 && size < UINT64_C(1) << 29);
    const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
    __m512i state[8];
    struct words words;
    for (int i = 0; i < 8; i++)
        state[i] = _mm512_set1_epi32((int)first_state[i]);
    for (size_t at = 0; at < size; at += BLOCK_BYTES) {
        for (size_t lane = 0; lane < SHA256_LANES; lane++)
            words.w[lane] = _mm512_shuffle_epi8(_mm512_loadu_si512(bytes + lane * size + at), swap);
        transpose(&words);
        compress(state, &words);
    }
    pad(&words, size);
    compress(state, &words);
    for (size_t i = 0; i < 8; i++) {
        uint32_t lanes[SHA256_LANES];
        _mm512_storeu_si512(lanes, state[i]);
        for (size_t lane = 0; lane < SHA256_LANES; lane++) {
            uint32_t big_endian = __builtin_bswap32(lanes[lane]);
            memcpy(ret_hashes[lane].bytes + 4 * i, &big_endian, 4);
        }
    }
}

bool sha256_lanes_usable(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

#else

bool sha256_lanes_usable(void)
{
    return false;
}

void sha256_lanes(const uint8_t *bytes, size_t size, struct hash ret_hashes[SHA256_LANES])
{
    (void)bytes;
    (void)size;
    (void)ret_hashes;
    assert(!"not usable");
}

#endif
