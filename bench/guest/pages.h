/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages.h - memory that knows what it must contain
 * Owner: the workload.  Thread: one.  Time: none.  Units: pages of 4096 bytes.
 *
 * A page of 512 words of 64 bits: magic, its own index, the sequence of its last rewrite, 507 words
 * that follow from (seed, index, sequence) and all change with it, and a sum of two words. What sequence
 * a page must have is kept outside it, so a page that arrived whole but old is found too.
 */
#ifndef APN_BENCH_GUEST_PAGES_H
#define APN_BENCH_GUEST_PAGES_H

#include <stdint.h>

#define GUEST_PAGE_WORDS 512
#define GUEST_PAGE_BYTES (GUEST_PAGE_WORDS * 8)

enum guest_fault {
    GUEST_PAGE_GOOD = 0,
    GUEST_PAGE_MAGIC,
    GUEST_PAGE_INDEX,    /* the content of another page */
    GUEST_PAGE_SEQUENCE, /* an older or newer content of this page */
    GUEST_PAGE_CHECKSUM, /* torn or damaged */
    GUEST_FAULTS
};

struct guest_pages {
    uint64_t (*pages)[GUEST_PAGE_WORDS]; /* page aligned */
    uint32_t *sequence;                  /* by page: what it must have */
    uint64_t seed;
    uint32_t count;
};

/** guest_pages_write() - give one page its next content
 * @index: 0..count-1 */
void guest_pages_write(struct guest_pages *pages, uint32_t index);

/** guest_pages_check() - is this page what was last written?
 * Return: GUEST_PAGE_GOOD or the first thing that is wrong. */
enum guest_fault guest_pages_check(const struct guest_pages *pages, uint32_t index);

/** guest_fault_name() - a word for a report */
const char *guest_fault_name(enum guest_fault fault);

#endif
