/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rings.c - see rings.h */
#include "dpdk/shared/rings.h"

#include <assert.h>
#include <string.h>

#define PAGE 4096u

static_assert(sizeof(struct apn_ring_address) == 20, "shared with another process");
static_assert(sizeof(struct apn_send_entry) == 64, "shared with another process");
static_assert(sizeof(struct apn_arrival_entry) == 48, "shared with another process");
static_assert(sizeof(struct apn_ring_line) == 64, "a cache line");
static_assert(sizeof(struct apn_ring_page) <= PAGE, "the first page");

static bool is_count(uint32_t slots)
{
    return slots >= APN_RING_SLOTS_MIN && slots <= APN_RING_SLOTS_MAX && !(slots & (slots - 1));
}

uint32_t apn_rings_slots(uint32_t slot_bytes)
{
    uint32_t slots = APN_RING_SLOTS_MIN;

    while (slots < APN_RING_SLOTS_MAX && (uint64_t)slots * 2 * slot_bytes <= APN_RING_BYTES_WISH) {
        slots *= 2;
    }
    return slots;
}

static size_t pages(size_t bytes)
{
    return (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

size_t apn_rings_plan(struct apn_rings *r, void *memory, uint32_t send_slots, uint32_t come_slots, uint32_t slot_bytes)
{
    size_t send_at = PAGE, come_at, send_buffers_at, come_buffers_at;

    if (!is_count(send_slots) || !is_count(come_slots) || slot_bytes < APN_RING_SLOT_MIN || slot_bytes > APN_RING_SLOT_MAX) {
        return 0;
    }
    memset(r, 0, sizeof(*r));
    r->send_slots = send_slots;
    r->come_slots = come_slots;
    r->slot_bytes = slot_bytes;
    /* whole cache lines, an odd number of them: buffers begin in different sets of the cache */
    r->stride = (((slot_bytes + 63) / 64) | 1) * 64;
    come_at = send_at + pages(send_slots * sizeof(struct apn_send_entry));
    send_buffers_at = come_at + pages(come_slots * sizeof(struct apn_arrival_entry));
    come_buffers_at = send_buffers_at + pages((size_t)send_slots * r->stride);
    r->bytes = come_buffers_at + pages((size_t)come_slots * r->stride);
    if (memory) {
        r->memory = memory;
        r->page = memory;
        r->send = (void *)(r->memory + send_at);
        r->come = (void *)(r->memory + come_at);
        r->send_buffers = r->memory + send_buffers_at;
        r->come_buffers = r->memory + come_buffers_at;
    }
    return r->bytes;
}

static uint32_t load(const struct apn_ring_line *line)
{
    return atomic_load(&line->index);
}

static void store(struct apn_ring_line *line, uint32_t index)
{
    atomic_store_explicit(&line->index, index, memory_order_release);
}

/* after our index: stored once more, so that no load of the flag comes before it. The flag of a sleeper is taken by the first
 * that wakes it: one byte per sleep. */
static bool take_asleep(struct apn_ring_line *own, uint32_t index, struct apn_ring_line *other, uint32_t what)
{
    atomic_exchange(&own->index, index);
    return (atomic_load(&other->asleep) & what) && atomic_exchange(&other->asleep, 0);
}

int apn_rings_send_room(const struct apn_rings *r)
{
    int pending = apn_rings_pending(r->made, load(&r->page->send_taken), r->send_slots);

    return pending < 0 ? pending : (int)r->send_slots - pending;
}

bool apn_rings_send_publish(struct apn_rings *r, uint32_t n)
{
    r->made += n;
    return take_asleep(&r->page->send_made, r->made, &r->page->send_taken, 1);
}

int apn_rings_come_pending(const struct apn_rings *r)
{
    return apn_rings_pending(load(&r->page->come_made), r->taken, r->come_slots);
}

void apn_rings_come_release(struct apn_rings *r, uint32_t n)
{
    r->taken += n;
    store(&r->page->come_taken, r->taken);
}

void apn_rings_client_sleeps(struct apn_rings *r, uint32_t wish)
{
    atomic_exchange(&r->page->send_made.asleep, wish);
}

int apn_rings_send_pending(const struct apn_rings *r)
{
    return apn_rings_pending(load(&r->page->send_made), r->taken, r->send_slots);
}

void apn_rings_send_release(struct apn_rings *r, uint32_t n)
{
    r->taken += n;
    store(&r->page->send_taken, r->taken);
}

int apn_rings_come_room(const struct apn_rings *r)
{
    int pending = apn_rings_pending(r->made, load(&r->page->come_taken), r->come_slots);

    return pending < 0 ? pending : (int)r->come_slots - pending;
}

void apn_rings_come_publish(struct apn_rings *r, uint32_t n)
{
    r->made += n;
    store(&r->page->come_made, r->made);
}

void apn_rings_helper_sleeps(struct apn_rings *r, bool asleep)
{
    atomic_exchange(&r->page->send_taken.asleep, asleep);
}

bool apn_rings_client_wants_waking(struct apn_rings *r, uint32_t what)
{
    bool woken = false;

    if (what & APN_RING_ARRIVAL) {
        woken = take_asleep(&r->page->come_made, r->made, &r->page->send_made, APN_RING_ARRIVAL);
    }
    if (what & APN_RING_ROOM && !woken) {
        woken = take_asleep(&r->page->send_taken, r->taken, &r->page->send_made, APN_RING_ROOM);
    }
    return woken;
}
