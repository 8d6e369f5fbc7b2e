/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages.c - see pages.h
 *
 * Under QEMU's emulation a step of this code costs about the same for two words as for one, and the
 * emulated guest shares two cores with what is measured: so content and sum are made in one pass, in
 * pairs of words, with additions only. The sum weighs pair i with 2 * (254 - i) + 1, an odd number, so
 * that no flipped bit can vanish and no exchange of pairs can hide.
 */
#include "pages.h"

#include <string.h>

#define MAGIC      UINT64_C(0x4150474e50414745)
#define MULTIPLIER UINT64_C(6364136223846793005) /* Knuth, MMIX */
#define PAIRS      (GUEST_PAGE_WORDS / 2)
#define FIRST_PAIR 2
#define SUM_PAIR   (PAIRS - 1)

typedef uint64_t pair __attribute__((vector_size(16)));

static pair checksum(const pair page[PAIRS])
{
    pair sum = {MAGIC, ~MAGIC}, sum_of_sums = {0, 0};

    for (int i = 0; i < SUM_PAIR; i++) {
        sum += page[i];
        sum_of_sums += sum;
    }
    return sum_of_sums + sum_of_sums - sum;
}

void guest_pages_write(struct guest_pages *pages, uint32_t index)
{
    pair *page = (pair *)(void *)pages->pages[index];
    uint64_t sequence = ++pages->sequence[index];
    uint64_t key = (pages->seed ^ ((uint64_t)index << 32) ^ sequence) * MULTIPLIER;
    pair sum = {MAGIC, ~MAGIC}, sum_of_sums = {0, 0};
    pair word = {key, key ^ (key >> 29)};
    pair step = {(key >> 17) | 1, (key * MULTIPLIER) | 1};

    page[0] = (pair){MAGIC, index};
    page[1] = (pair){sequence, key};
    for (int i = 0; i < FIRST_PAIR; i++) {
        sum += page[i];
        sum_of_sums += sum;
    }
    for (int i = FIRST_PAIR; i < SUM_PAIR; i++) {
        word += step;
        page[i] = word;
        sum += word;
        sum_of_sums += sum;
    }
    page[SUM_PAIR] = sum_of_sums + sum_of_sums - sum;
}

enum guest_fault guest_pages_check(const struct guest_pages *pages, uint32_t index)
{
    const uint64_t *page = pages->pages[index];
    pair sum;

    if (page[0] != MAGIC) {
        return GUEST_PAGE_MAGIC;
    }
    if (page[1] != index) {
        return GUEST_PAGE_INDEX;
    }
    if (page[2] != pages->sequence[index]) {
        return GUEST_PAGE_SEQUENCE;
    }
    sum = checksum((const pair *)(const void *)page);
    return memcmp(&sum, page + GUEST_PAGE_WORDS - 2, sizeof(sum)) == 0 ? GUEST_PAGE_GOOD
                                                                      : GUEST_PAGE_CHECKSUM;
}

const char *guest_fault_name(enum guest_fault fault)
{
    static const char *const names[GUEST_FAULTS] = {"good", "magic", "index", "sequence", "checksum"};

    return names[fault];
}
