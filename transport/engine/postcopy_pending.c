/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy_pending.c - see postcopy_pending.h */
#include "engine/postcopy_pending.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PER_GRANULE (APN_GRANULE_SIZE / APN_PAGE_SIZE)
#define NONE        UINT64_MAX
#define TURNS       4u /* of these, one goes downwards */

static uint64_t granules_of(uint64_t pages)
{
    return (pages + PER_GRANULE - 1) / PER_GRANULE;
}

int apn_pending_init(struct apn_pending *p, const struct apn_region *regions, unsigned count)
{
    *p = (struct apn_pending){.regions = count};
    p->region = calloc(count, sizeof(*p->region));
    if (!p->region) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < count; i++) {
        struct apn_pending_region *r = &p->region[i];

        r->pages = regions[i].length / APN_PAGE_SIZE;
        r->host_pages = regions[i].page_size / APN_PAGE_SIZE;
        r->bit = calloc(granules_of(r->pages) * (PER_GRANULE / 64), sizeof(*r->bit));
        r->granule = calloc(granules_of(r->pages), sizeof(*r->granule));
        if (!r->bit || !r->granule) {
            return -ENOMEM;
        }
    }
    return 0;
}

void apn_pending_done(struct apn_pending *p)
{
    for (unsigned i = 0; p->region && i < p->regions; i++) {
        free(p->region[i].bit);
        free(p->region[i].granule);
    }
    free(p->region);
    p->region = NULL;
    p->count = 0;
}

static bool is_pending(const struct apn_pending_region *r, uint64_t page)
{
    return r->bit[page / 64] >> (page % 64) & 1;
}

static void set(struct apn_pending *p, struct apn_pending_region *r, uint64_t page)
{
    if (!is_pending(r, page)) {
        r->bit[page / 64] |= 1ull << (page % 64);
        r->granule[page / PER_GRANULE]++;
        p->count++;
    }
}

static bool clear(struct apn_pending *p, struct apn_pending_region *r, uint64_t page)
{
    if (!is_pending(r, page)) {
        return false;
    }
    r->bit[page / 64] &= ~(1ull << (page % 64));
    r->granule[page / PER_GRANULE]--;
    p->count--;
    return true;
}

void apn_pending_add(struct apn_pending *p, unsigned region, uint64_t page, uint64_t pages)
{
    assert(region < p->regions && page + pages <= p->region[region].pages);
    for (uint64_t i = 0; i < pages; i++) {
        set(p, &p->region[region], page + i);
    }
}

uint64_t apn_pending_claim(struct apn_pending *p, unsigned region, uint64_t page, uint64_t pages)
{
    uint64_t were = 0;

    assert(region < p->regions && page + pages <= p->region[region].pages);
    for (uint64_t i = 0; i < pages; i++) {
        were += clear(p, &p->region[region], page + i);
    }
    return were;
}

void apn_pending_focus(struct apn_pending *p, unsigned region, uint64_t page)
{
    assert(region < p->regions && page < p->region[region].pages);
    p->up_region = p->down_region = region;
    p->up_page = p->down_page = page;
}

/* ---- searching -------------------------------------------------------------- */

/* first pending page at or behind @page */
static uint64_t find_up(const struct apn_pending_region *r, uint64_t page)
{
    while (page < r->pages) {
        uint64_t word;

        if (!r->granule[page / PER_GRANULE]) {
            page = (page / PER_GRANULE + 1) * PER_GRANULE;
            continue;
        }
        word = r->bit[page / 64] >> (page % 64);
        if (word) {
            return page + (uint64_t)__builtin_ctzll(word);
        }
        page = (page / 64 + 1) * 64;
    }
    return NONE;
}

/* last pending page below @page */
static uint64_t find_down(const struct apn_pending_region *r, uint64_t page)
{
    while (page) {
        uint64_t last = page - 1, word;

        if (!r->granule[last / PER_GRANULE]) {
            page = last / PER_GRANULE * PER_GRANULE;
            continue;
        }
        word = r->bit[last / 64] << (63 - last % 64);
        if (word) {
            return last - (uint64_t)__builtin_clzll(word);
        }
        page = last / 64 * 64;
    }
    return NONE;
}

/* ---- taking ----------------------------------------------------------------- */

static uint32_t run_max(const struct apn_pending_region *r, uint32_t pages_max)
{
    return pages_max < r->host_pages ? r->host_pages : pages_max / r->host_pages * r->host_pages;
}

static uint32_t take_up(struct apn_pending *p, uint32_t pages_max, unsigned *region, uint64_t *page)
{
    struct apn_pending_region *r = NULL;
    uint64_t at = NONE;
    uint32_t n = 0;

    /* the region of the focus is visited twice: its beginning comes last */
    for (unsigned i = 0; at == NONE && i <= p->regions; i++) {
        r = &p->region[p->up_region];
        at = find_up(r, p->up_page);
        if (at == NONE) {
            p->up_region = (p->up_region + 1) % p->regions;
            p->up_page = 0;
        }
    }
    if (at == NONE) {
        return 0;
    }
    at -= at % r->host_pages;
    pages_max = run_max(r, pages_max);
    do {
        clear(p, r, at + n);
        n++;
    } while (n % r->host_pages || (n < pages_max && at + n < r->pages && (at + n) % PER_GRANULE && is_pending(r, at + n)));
    *region = p->up_region;
    *page = at;
    p->up_page = at + n;
    return n;
}

/* Return: 0 when this region has nothing below the focus any more */
static uint32_t take_down(struct apn_pending *p, uint32_t pages_max, unsigned *region, uint64_t *page)
{
    struct apn_pending_region *r = &p->region[p->down_region];
    uint64_t at = find_down(r, p->down_page), end;
    uint32_t n;

    if (at == NONE) {
        p->down_page = 0;
        return 0;
    }
    end = at - at % r->host_pages + r->host_pages;
    at = end;
    pages_max = run_max(r, pages_max);
    do {
        clear(p, r, --at);
        n = (uint32_t)(end - at);
    } while (n % r->host_pages || (n < pages_max && at % PER_GRANULE && is_pending(r, at - 1)));
    *region = p->down_region;
    *page = at;
    p->down_page = at;
    return n;
}

uint32_t apn_pending_take(struct apn_pending *p, uint32_t pages_max, unsigned *region, uint64_t *page)
{
    uint32_t n = 0;

    if (!p->count) {
        return 0;
    }
    if (++p->turn % TURNS == 0) {
        n = take_down(p, pages_max, region, page);
    }
    return n ? n : take_up(p, pages_max, region, page);
}
