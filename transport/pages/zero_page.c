/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zero_page.c - see zero_page.h
 *
 * Most pages with contents show it in their first bytes, so those are looked at first; a page that
 * passes is read once from end to end, 256 bytes per step. Each step reads its bytes once, into
 * registers: the verdict of a step cannot mix two readings of one byte.
 *
 * AVX-512 was measured and left out: beyond the caches the scan is bound by memory (12.6
 * against 11.6 GiB/s), and wide registers lower the clock of older processors, vCPUs included. */
#include "pages/zero_page.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <apnmig/region.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Guest RAM is written by vCPU threads while we look: a data race by design, answered by dirty
 * tracking (header). */
#define LIVE_MEMORY __attribute__((no_sanitize("thread")))

typedef bool (*zero_page_fn)(const void *page);

struct variant {
    const char *name;
    zero_page_fn is_zero;
};

LIVE_MEMORY static bool is_zero_portable(const void *page)
{
    const volatile uint64_t *word = page;

    for (size_t i = 0; i < APN_PAGE_SIZE / sizeof(*word); i += 8) {
        if (word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] | word[i + 5] |
            word[i + 6] | word[i + 7]) {
            return false;
        }
    }
    return true;
}

#if defined(__x86_64__)

LIVE_MEMORY static bool is_zero_sse2(const void *page)
{
    const __m128i zero = _mm_setzero_si128();
    const __m128i *v = page;

    if (*(const volatile uint64_t *)page) {
        return false;
    }
    for (size_t i = 0; i < APN_PAGE_SIZE / sizeof(*v); i += 8) {
        __m128i a = _mm_or_si128(_mm_load_si128(v + i), _mm_load_si128(v + i + 1));
        __m128i b = _mm_or_si128(_mm_load_si128(v + i + 2), _mm_load_si128(v + i + 3));
        __m128i c = _mm_or_si128(_mm_load_si128(v + i + 4), _mm_load_si128(v + i + 5));
        __m128i d = _mm_or_si128(_mm_load_si128(v + i + 6), _mm_load_si128(v + i + 7));
        __m128i all = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));

        if (_mm_movemask_epi8(_mm_cmpeq_epi8(all, zero)) != 0xffff) {
            return false;
        }
    }
    return true;
}

LIVE_MEMORY __attribute__((target("avx2"))) static bool is_zero_avx2(const void *page)
{
    const __m256i *v = page;

    if (*(const volatile uint64_t *)page) {
        return false;
    }
    for (size_t i = 0; i < APN_PAGE_SIZE / sizeof(*v); i += 8) {
        __m256i a = _mm256_or_si256(_mm256_load_si256(v + i), _mm256_load_si256(v + i + 1));
        __m256i b = _mm256_or_si256(_mm256_load_si256(v + i + 2), _mm256_load_si256(v + i + 3));
        __m256i c = _mm256_or_si256(_mm256_load_si256(v + i + 4), _mm256_load_si256(v + i + 5));
        __m256i d = _mm256_or_si256(_mm256_load_si256(v + i + 6), _mm256_load_si256(v + i + 7));
        __m256i all = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));

        if (!_mm256_testz_si256(all, all)) {
            return false;
        }
    }
    return true;
}

#endif

static const struct variant variants[] = {
/* best first */
#if defined(__x86_64__)
    {"avx2", is_zero_avx2},
    {"sse2", is_zero_sse2},
#endif
    {"portable", is_zero_portable},
};
#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

static _Atomic(const struct variant *) chosen;

static bool runs_here(const struct variant *variant)
{
#if defined(__x86_64__)
    if (!strcmp(variant->name, "avx2")) {
        return __builtin_cpu_supports("avx2");
    }
#endif
    (void)variant;
    return true;
}

/* Racing first callers find the same answer; which of them stores it does not matter. */
static const struct variant *variant_get(void)
{
    const struct variant *variant = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (!variant) {
        apn_zero_page_force(NULL);
        variant = atomic_load_explicit(&chosen, memory_order_relaxed);
    }
    return variant;
}

int apn_zero_page_force(const char *name)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        if ((!name || !strcmp(name, variants[i].name)) && runs_here(&variants[i])) {
            atomic_store_explicit(&chosen, &variants[i], memory_order_relaxed);
            return 0;
        }
    }
    return -ENOENT;
}

const char *apn_zero_page_variant(void)
{
    return variant_get()->name;
}

bool apn_page_is_zero(const void *page)
{
    assert((uintptr_t)page % APN_PAGE_SIZE == 0);
    return variant_get()->is_zero(page);
}

static size_t span(const void *start, size_t bytes, bool want_zero)
{
    zero_page_fn is_zero = variant_get()->is_zero;
    size_t done = 0;

    assert((uintptr_t)start % APN_PAGE_SIZE == 0 && bytes % APN_PAGE_SIZE == 0);
    while (done < bytes && is_zero((const char *)start + done) == want_zero) {
        done += APN_PAGE_SIZE;
    }
    return done;
}

size_t apn_zero_span(const void *start, size_t bytes)
{
    return span(start, bytes, true);
}

size_t apn_data_span(const void *start, size_t bytes)
{
    return span(start, bytes, false);
}
