/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy_pending.h - pages that the source still has to send, and in which order
 * Owner: embedded in struct apn_postcopy.   Thread: under the session lock.   Units: 4 KiB pages.
 *
 * Theory of operation
 *   A bit per page, a count per granule so that a search skips what is empty. What is taken is gone: every page is handed out once.
 *   Pages are handed out around the last fault, outwards: a guest that touched one page will touch its neighbours, more often those
 *   behind it. Three runs upwards, then one downwards. */
#ifndef APN_ENGINE_POSTCOPY_PENDING_H
#define APN_ENGINE_POSTCOPY_PENDING_H

#include <stdbool.h>
#include <stdint.h>

#include <apnmig/region.h>

struct apn_pending_region {
    uint64_t *bit;       /* one per page */
    uint16_t *granule;   /* pages pending per granule */
    uint64_t pages;      /* length */
    uint32_t host_pages; /* pages per host page: taken together */
};

struct apn_pending {
    struct apn_pending_region *region;
    unsigned regions;
    uint64_t count;      /* pages pending */
    unsigned up_region, down_region;
    uint64_t up_page;    /* next run upwards begins here or later */
    uint64_t down_page;  /* next run downwards ends below this */
    unsigned turn;
};

/** apn_pending_init() - nothing is pending. Return: 0, -ENOMEM (then apn_pending_done() is fine) */
int apn_pending_init(struct apn_pending *p, const struct apn_region *regions, unsigned count);
void apn_pending_done(struct apn_pending *p);

/** apn_pending_add() - these pages, which lie inside the region */
void apn_pending_add(struct apn_pending *p, unsigned region, uint64_t page, uint64_t pages);

/** apn_pending_claim() - take exactly these pages. Return: how many of them were pending */
uint64_t apn_pending_claim(struct apn_pending *p, unsigned region, uint64_t page, uint64_t pages);

/** apn_pending_focus() - the guest waits for @page: go on from there */
void apn_pending_focus(struct apn_pending *p, unsigned region, uint64_t page);

/** apn_pending_take() - the next run: whole host pages, consecutive, inside one granule
 * @pages_max: at most, but one host page at least
 * Return: pages, 0 when nothing is pending */
uint32_t apn_pending_take(struct apn_pending *p, uint32_t pages_max, unsigned *region, uint64_t *page);

#endif
