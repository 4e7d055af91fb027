/* SPDX-License-Identifier: MIT */
#include "messages/sha256.h"

#include "messages/sha256_lanes.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdatomic.h>

/* Contexts at rest. More threads than this work too, each then makes a context for each hash. */
enum {
    IDLE_CONTEXTS_MAX = 8
};

static _Atomic(EVP_MD_CTX *) idle_contexts[IDLE_CONTEXTS_MAX];
static _Atomic(EVP_MD *) algorithm;

static const EVP_MD *algorithm_get(void)
{
    EVP_MD *known = atomic_load_explicit(&algorithm, memory_order_acquire);
    if (known)
        return known;
    EVP_MD *fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    assert(fetched);
    /* Two threads may both have fetched it: the first one stays. */
    if (atomic_compare_exchange_strong(&algorithm, &known, fetched))
        return fetched;
    EVP_MD_free(fetched);
    return known;
}

static EVP_MD_CTX *context_take(void)
{
    for (size_t i = 0; i < IDLE_CONTEXTS_MAX; i++) {
        if (!atomic_load_explicit(&idle_contexts[i], memory_order_relaxed))
            continue;
        EVP_MD_CTX *context = atomic_exchange_explicit(&idle_contexts[i], NULL, memory_order_acquire);
        if (context)
            return context;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert(context);
    return context;
}

static void context_return(EVP_MD_CTX *context)
{
    for (size_t i = 0; i < IDLE_CONTEXTS_MAX; i++) {
        EVP_MD_CTX *empty = NULL;
        if (atomic_compare_exchange_strong_explicit(&idle_contexts[i], &empty, context, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    EVP_MD_CTX_free(context);
}

void sha256(const void *bytes, size_t size, struct hash *ret_hash)
{
    EVP_MD_CTX *context = context_take();
    int good = EVP_DigestInit_ex2(context, algorithm_get(), NULL);
    good &= EVP_DigestUpdate(context, bytes, size);
    good &= EVP_DigestFinal_ex(context, ret_hash->bytes, NULL);
    assert(good == 1);
    context_return(context);
}

void sha256_each(const uint8_t *bytes, size_t size, size_t count, struct hash *ret_hashes)
{
    size_t done = 0;
    if (size % 64 == 0 && sha256_lanes_usable()) {
        for (; count - done >= SHA256_LANES; done += SHA256_LANES)
            sha256_lanes(bytes + done * size, size, ret_hashes + done);
    }
    for (; done < count; done++)
        sha256(bytes + done * size, size, &ret_hashes[done]);
}

void sha256_pair(const struct hash *a, const struct hash *b, struct hash *ret_hash)
{
    struct hash both[2] = {*a, *b};
    sha256(both, sizeof both, ret_hash);
}
