/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rings.h - a channel: two rings of datagrams in memory that a program and apn-dpdk share
 *
 * Theory of operation
 *   One channel is one UDP flow, or one listening port. The helper makes the memory (a memfd sealed against shrinking) and
 *   tells its geometry once; neither side reads the geometry from shared memory. Each ring has one producer and one consumer.
 *   Indexes run freely, slot = index modulo slots. Slot i owns buffer i of its ring.
 *   Neither side trusts the other: an index that is further ahead than the ring is long, and every field of an entry, is
 *   checked after it was copied out, once. Whatever the other side writes, nothing outside of the shared memory is touched.
 *   Before a side sleeps it says so (asleep) and looks once more; who produces wakes it by a byte in the channel's socket pair.
 *   It is a socket pair and not an eventfd, because a full eventfd can be made to block its writer by whoever shares it, and
 *   because the end of either process closes it.
 *
 *   Order of memory: an index is stored with release after the slot was written and loaded with acquire before it is read.
 *   "asleep" and the index of the other side cross (each side stores one and loads the other), so there all four are
 *   sequentially consistent.
 *
 * Owner: transport/dpdk makes and frees, transport/backend/dpdk maps.   Thread: one per side and channel.
 * Time: none.   Units: bytes; ports in host order. */
#ifndef APN_DPDK_SHARED_RINGS_H
#define APN_DPDK_SHARED_RINGS_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APN_RING_SLOTS_MAX  4096u
#define APN_RING_SLOTS_MIN  64u
#define APN_RING_SLOT_MIN   2048u
#define APN_RING_SLOT_MAX   65536u
#define APN_RING_BYTES_WISH (8u << 20) /* buffers of one ring, as far as the limits above allow */
#define APN_RING_NO_REGION  UINT32_MAX
#define APN_RING_HEAD_MAX   2048u

/** struct apn_ring_address - where to, where from; family 4, 6 or 0 */
struct apn_ring_address {
    uint8_t ip[16];
    uint16_t port;
    uint8_t family;
    uint8_t reserved;
};

/** struct apn_send_entry - the buffer of the slot holds @head_bytes, and the payload behind them when @region is APN_RING_NO_REGION
 * @remote, @local: listening ports only; @local may be unset */
struct apn_send_entry {
    uint32_t head_bytes;
    uint32_t payload_bytes;
    uint32_t region;
    uint32_t reserved;
    uint64_t offset;
    struct apn_ring_address remote, local;
};

enum apn_arrival_kind {
    APN_ARRIVAL_DATAGRAM = 1,
    APN_ARRIVAL_REFUSED,  /* @remote says that nobody is there */
    APN_ARRIVAL_TOO_BIG,  /* @bytes is the largest datagram that fits */
};

/** struct apn_arrival_entry - the buffer of the slot holds @bytes */
struct apn_arrival_entry {
    uint32_t bytes;
    uint8_t kind;
    uint8_t tos;
    uint16_t reserved;
    struct apn_ring_address remote, local;
};

/** enum apn_ring_wish - what a sleeping client wants to be woken for */
enum apn_ring_wish { APN_RING_ARRIVAL = 1u << 0, APN_RING_ROOM = 1u << 1 };

/** struct apn_ring_line - a cache line with one writer of @index; @asleep is set by the same side, and cleared by who wakes it */
struct apn_ring_line {
    _Atomic uint32_t index;
    _Atomic uint32_t asleep;
    uint8_t pad[56];
};

/** struct apn_ring_page - the first page of the memory */
struct apn_ring_page {
    struct apn_ring_line send_made;  /* client; asleep: enum apn_ring_wish bits, what it waits for */
    struct apn_ring_line send_taken; /* helper; asleep: the helper waits for entries */
    struct apn_ring_line come_made;  /* helper */
    struct apn_ring_line come_taken; /* client */
    /* helper writes, client reads: figures only */
    _Atomic uint64_t overruns;
    _Atomic uint64_t zerocopy_bytes;
    _Atomic uint64_t refused_entries; /* sends that made no sense */
};

/** struct apn_rings - one side's view; geometry is private to the side */
struct apn_rings {
    uint8_t *memory;
    size_t bytes;
    uint32_t send_slots, come_slots; /* powers of two */
    uint32_t slot_bytes;             /* largest datagram */
    uint32_t stride;                 /* between buffers */
    uint32_t made, taken;            /* own indexes: the client's send_made and come_taken, the helper's come_made and send_taken */
    struct apn_ring_page *page;
    struct apn_send_entry *send;
    struct apn_arrival_entry *come;
    uint8_t *send_buffers, *come_buffers;
};

/** apn_rings_slots() - how many slots of @slot_bytes make a ring */
uint32_t apn_rings_slots(uint32_t slot_bytes);
/** apn_rings_plan() - fill the geometry and, when @memory is not NULL, the pointers. Return: bytes of memory, 0 when a figure is
 * out of range (they come from the other side). */
size_t apn_rings_plan(struct apn_rings *r, void *memory, uint32_t send_slots, uint32_t come_slots, uint32_t slot_bytes);

/** apn_rings_pending() - entries that @made says are there beyond @taken. Return: 0..@slots, or -EPROTO. */
static inline int apn_rings_pending(uint32_t made, uint32_t taken, uint32_t slots)
{
    const uint32_t n = made - taken;

    return n <= slots ? (int)n : -EPROTO;
}

static inline uint8_t *apn_rings_send_buffer(const struct apn_rings *r, uint32_t index)
{
    return r->send_buffers + (size_t)(index & (r->send_slots - 1)) * r->stride;
}
static inline uint8_t *apn_rings_come_buffer(const struct apn_rings *r, uint32_t index)
{
    return r->come_buffers + (size_t)(index & (r->come_slots - 1)) * r->stride;
}

/* ---- the client's side ---- */

/** apn_rings_send_room() - slots that may be filled. Return: count, -EPROTO. */
int apn_rings_send_room(const struct apn_rings *r);
/** apn_rings_send_publish() - @n more entries may be read. Return: must the helper be woken? */
bool apn_rings_send_publish(struct apn_rings *r, uint32_t n);
/** apn_rings_come_pending() - arrivals from r->taken on. Return: count, -EPROTO. */
int apn_rings_come_pending(const struct apn_rings *r);
void apn_rings_come_release(struct apn_rings *r, uint32_t n);
/** apn_rings_client_sleeps() - say so before sleeping, then look again; and 0 after it. @wish: enum apn_ring_wish bits */
void apn_rings_client_sleeps(struct apn_rings *r, uint32_t wish);

/* ---- the helper's side ---- */

/** apn_rings_send_pending() - entries from r->taken on. Return: count, -EPROTO. */
int apn_rings_send_pending(const struct apn_rings *r);
void apn_rings_send_release(struct apn_rings *r, uint32_t n);
/** apn_rings_come_room() - Return: count, -EPROTO. */
int apn_rings_come_room(const struct apn_rings *r);
void apn_rings_come_publish(struct apn_rings *r, uint32_t n);
void apn_rings_helper_sleeps(struct apn_rings *r, bool asleep);
/** apn_rings_client_wants_waking() - after publishing or releasing. @what: enum apn_ring_wish bits that came true */
bool apn_rings_client_wants_waking(struct apn_rings *r, uint32_t what);

#endif
