/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.c - see guest.h */
#include "sim/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GRANULE_PAGES (APN_GRANULE_SIZE / APN_PAGE_SIZE)

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t sim_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* A third of the memory is zero, the rest differs everywhere. */
static void fill(struct guest *guest)
{
    for (uint64_t page = 0; page < guest->pages; page++) {
        uint64_t *word = (uint64_t *)(void *)(guest->memory + page * APN_PAGE_SIZE);

        memset(word, 0, APN_PAGE_SIZE);
        if (page / 5 % 3) {
            for (unsigned i = 0; i < APN_PAGE_SIZE / 8; i += 64) {
                word[i + page % 64] = page * 64 + i + 1;
            }
        }
    }
}

static void mark_all_dirty(struct guest *guest)
{
    for (uint64_t page = 0; page < guest->pages; page++) {
        guest->dirty[page / 64] |= 1ull << page % 64;
        guest->granule_dirty[page / GRANULE_PAGES]++;
    }
    guest->dirty_pages = guest->pages;
}

int guest_init(struct guest *guest, const struct guest_model *model, uint64_t seed, uint64_t now_ns)
{
    memset(guest, 0, sizeof(*guest));
    guest->model = *model;
    guest->pages = model->bytes / APN_PAGE_SIZE;
    guest->granules = (model->bytes + APN_GRANULE_SIZE - 1) / APN_GRANULE_SIZE;
    guest->log = calloc(guest->granules, APN_GRANULE_SIZE / APN_PAGE_SIZE / 8);
    guest->dirty = calloc(guest->granules, APN_GRANULE_SIZE / APN_PAGE_SIZE / 8);
    guest->granule_dirty = calloc(guest->granules, sizeof(*guest->granule_dirty));
    guest->memory = model->real_memory ? aligned_alloc(APN_PAGE_SIZE, model->bytes) : NULL;
    if (!guest->log || !guest->dirty || !guest->granule_dirty ||
        (model->real_memory && !guest->memory)) {
        guest_done(guest);
        return -ENOMEM;
    }
    guest->random = seed;
    guest->ran_until_ns = now_ns;
    guest->running = true;
    if (guest->memory) {
        fill(guest);
    }
    mark_all_dirty(guest);
    return 0;
}

void guest_done(struct guest *guest)
{
    free(guest->memory);
    free(guest->log);
    free(guest->dirty);
    free(guest->granule_dirty);
    guest->memory = NULL;
    guest->log = guest->dirty = NULL;
    guest->granule_dirty = NULL;
}

static uint64_t next_page(struct guest *guest)
{
    uint64_t hot = guest->model.hot_bytes / APN_PAGE_SIZE;
    uint64_t random = sim_random(&guest->random);

    switch (guest->model.pattern) {
    case GUEST_SEQUENTIAL:
        return guest->next_page++ % guest->pages;
    case GUEST_HOT:
        return random % 10 ? (random >> 8) % hot : (random >> 8) % guest->pages;
    default:
        return random % guest->pages;
    }
}

void guest_run(struct guest *guest, uint64_t now_ns)
{
    uint64_t elapsed = now_ns - guest->ran_until_ns;

    guest->ran_until_ns = now_ns;
    if (!guest->running || guest->model.pattern == GUEST_IDLE) {
        return;
    }
    guest->due += (double)elapsed * (double)guest->model.dirty_bytes_per_s / 1e9 / APN_PAGE_SIZE;
    for (; guest->due >= 1; guest->due -= 1) {
        uint64_t page = next_page(guest);
        uint64_t bit = 1ull << page % 64;

        guest->log_pages += !(guest->log[page / 64] & bit);
        guest->log[page / 64] |= bit;
        if (guest->memory) { /* now and then a page becomes zero */
            uint64_t random = sim_random(&guest->random);
            uint8_t *at = guest->memory + page * APN_PAGE_SIZE;

            if (random % 16) {
                memcpy(at + random % (APN_PAGE_SIZE / 8) * 8, &random, 8);
            } else {
                memset(at, 0, APN_PAGE_SIZE);
            }
        }
    }
}

void guest_sync(struct guest *guest)
{
    for (uint64_t granule = 0; granule < guest->granules && guest->log_pages; granule++) {
        for (unsigned i = 0; i < GRANULE_PAGES / 64; i++) {
            uint64_t word = granule * (GRANULE_PAGES / 64) + i;
            uint64_t fresh = guest->log[word] & ~guest->dirty[word];

            guest->dirty[word] |= guest->log[word];
            guest->log[word] = 0;
            guest->granule_dirty[granule] =
                (uint16_t)(guest->granule_dirty[granule] + __builtin_popcountll(fresh));
            guest->dirty_pages += (uint64_t)__builtin_popcountll(fresh);
        }
    }
    guest->log_pages = 0;
}

static bool is_dirty(const struct guest *guest, uint64_t page)
{
    return guest->dirty[page / 64] >> page % 64 & 1;
}

uint32_t guest_take(struct guest *guest, uint64_t granule, uint32_t from, struct apn_run *run)
{
    uint64_t first = granule * GRANULE_PAGES, page = first + from, end = first + GRANULE_PAGES,
             start;

    end = end < guest->pages ? end : guest->pages;
    if (!guest->granule_dirty[granule]) {
        return 0;
    }
    while (page < end && !is_dirty(guest, page)) {
        page++;
    }
    for (start = page; page < end && is_dirty(guest, page); page++) {
        guest->dirty[page / 64] &= ~(1ull << page % 64);
    }
    *run = (struct apn_run){.region = 0,
                            .bytes = (uint32_t)((page - start) * APN_PAGE_SIZE),
                            .offset = start * APN_PAGE_SIZE};
    guest->granule_dirty[granule] = (uint16_t)(guest->granule_dirty[granule] - (page - start));
    guest->dirty_pages -= page - start;
    return (uint32_t)(page - start);
}

void guest_give_back(struct guest *guest, const struct apn_run *run)
{
    uint64_t first = run->offset / APN_PAGE_SIZE;

    for (uint64_t page = first; page < first + run->bytes / APN_PAGE_SIZE; page++) {
        guest->dirty[page / 64] |= 1ull << page % 64;
    }
    guest->granule_dirty[run->offset / APN_GRANULE_SIZE] =
        (uint16_t)(guest->granule_dirty[run->offset / APN_GRANULE_SIZE] +
                   run->bytes / APN_PAGE_SIZE);
    guest->dirty_pages += run->bytes / APN_PAGE_SIZE;
}
