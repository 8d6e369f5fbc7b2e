/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* send.h - posted messages into datagrams, and what became of these; no I/O of its own
 *
 * Theory of operation
 *   A message waits in a ring from its post until the peer has delivered it. It is sent in parts, one datagram each, or together with
 *   others when it is small. Datagrams are numbered and no number is used twice: what is lost travels again under a new one, and
 *   its payload is read again from where it is, so that guest memory is never older than the datagram.
 *   A datagram remembers its parts as a range of the item ring; both rings are freed from the oldest on.
 *   Acknowledgements tell gaps. A number in a gap is lost when three later ones have arrived (more, where the path turned out to reorder)
 *   or when it is older than one and an eighth of a round trip. Before the sender has heard of a gap, it never repeats.
 *
 *   Four things hold sending back: pacing and the congestion window (rate.h), the peer's message ring, the peer's staging
 *   for payload that is not guest memory, and the number of datagrams that are remembered.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: now_ns from the caller.   Units: bytes, ns; counts run free. */
#ifndef APN_DATAGRAM_SEND_H
#define APN_DATAGRAM_SEND_H

#include "backend/datagram/port.h"
#include "backend/datagram/rate.h"
#include "backend/datagram/wire.h"

#define APN_DG_MESSAGES     16384u /* power of two: not yet delivered by the peer; 400 Gb/s x 80 ms in full extents */
#define APN_DG_UNSENT_MAX   1024u  /* of them, not sent at all yet */
#define APN_DG_PACKETS      32768u /* power of two: numbers between the oldest that matters and the newest */
#define APN_DG_ITEMS        65536u /* power of two */
#define APN_DG_INLINE_MAX   512u   /* payload that is copied in between records */
#define APN_DG_REORDER_MIN  3u
#define APN_DG_REORDER_MAX  1024u
#define APN_DG_DOUBTED      64u    /* losses that may turn out to have been late arrivals */
#define APN_DG_ACK_ROOM     64u    /* left in a full datagram, so that acknowledgements ride along */

struct apn_dg_outgoing {
    uint8_t header[APN_WIRE_HEADER_BYTES];
    const uint8_t *payload;
    uint64_t offset;     /* in @region */
    uint64_t staged;     /* position in the peer's staging */
    uint32_t bytes;
    uint32_t piece;
    uint32_t staged_bytes; /* what it takes there, skipped room included */
    uint16_t region;
    uint16_t parts, next; /* parts in all, first one that was never sent */
};

enum apn_dg_packet_state { APN_DG_FREE, APN_DG_SENT, APN_DG_MISSING, APN_DG_ARRIVED, APN_DG_LOST };

struct apn_dg_packet {
    uint64_t sent_ns;
    uint64_t delivered_bytes, delivered_ns; /* of the link, when this was sent */
    uint64_t first_ns;                      /* when the datagram was sent that these are of */
    uint32_t bytes;
    uint32_t item, items; /* range of the item ring */
    uint8_t state;
    bool app_limited;
};

struct apn_dg_piece {
    uint32_t message; /* low bits */
    uint16_t part;
};

struct apn_dg_pieces { /* a ring */
    struct apn_dg_piece *slot;
    uint32_t head, tail;
};

struct apn_dg_sender {
    struct apn_dg_rate *rate; /* borrowed */
    uint32_t datagram_max;
    struct apn_dg_outgoing *message; /* ring */
    uint64_t delivered, unsent, posted; /* message numbers, delivered <= unsent <= posted; @unsent has parts to be sent first time */
    uint64_t staged, released;          /* staging positions: given out, free again */
    uint32_t staging_bytes;             /* the peer's, 0 < power of two */
    struct apn_dg_packet *packet;       /* ring */
    uint64_t floor, next;               /* datagram numbers */
    uint64_t scanned;                   /* all below have been looked at once */
    struct apn_dg_pieces items;
    struct apn_dg_pieces again;         /* lost, to be sent again */
    uint32_t *missing;                  /* ring of numbers (low bits) that were in a gap when first seen */
    uint32_t missing_head, missing_tail;
    uint64_t in_flight_bytes;
    uint64_t acked_bytes, acked_ns, first_ns;
    uint64_t round_end;                 /* round ends when this number arrives */
    uint64_t oldest_ns;                 /* when the present silence began: last news, or first send after none was due */
    uint64_t silent_until_ns;           /* when news came after they had to be asked for */
    uint64_t app_limited_until;         /* acked_bytes at which samples mean something again */
    uint64_t probed_ns;                 /* last probe, */
    unsigned probes;                    /* and how many since the last news */
    uint64_t doubted[APN_DG_DOUBTED];   /* numbers lost last, ring by lost; 0 = none */
    uint32_t reorder;
    uint32_t marked;
    uint64_t lost, repeated, spurious;  /* datagrams: declared lost; sent for others; arrived after all */
};

/** apn_dg_sender_init() - Return: 0, -ENOMEM (then _done is still needed) */
int apn_dg_sender_init(struct apn_dg_sender *tx, struct apn_dg_rate *rate, uint32_t datagram_max, uint32_t staging_bytes);
void apn_dg_sender_done(struct apn_dg_sender *tx);

/** apn_dg_sender_post() - all @n. Return: 0, -EAGAIN when they do not fit (nothing taken). */
int apn_dg_sender_post(struct apn_dg_sender *tx, const struct apn_msg *msgs, unsigned n);

/** apn_dg_sender_due() - could a datagram with parts be built now, pacing aside? */
bool apn_dg_sender_due(const struct apn_dg_sender *tx);

/** apn_dg_sender_build() - one datagram's parts behind what is in @head already
 * @head_bytes: in: used so far, header included; out: used now
 * Return: 1 and @out (head, its length, payload); 0 when there is nothing to send, or no room for it beside what is in the head. */
int apn_dg_sender_build(struct apn_dg_sender *tx, uint8_t *head, uint32_t *head_bytes, struct apn_port_datagram *out, uint64_t now_ns);

/** apn_dg_sender_acked() - what an ACK says. Return: 0; -EPROTO and @err: it cannot be true. */
int apn_dg_sender_acked(struct apn_dg_sender *tx, const struct apn_dg_ack *ack, uint64_t now_ns, struct apn_error *err);

/** apn_dg_sender_probe_at() - when silence has lasted so long that an acknowledgement must be asked for; UINT64_MAX: nothing is awaited */
uint64_t apn_dg_sender_probe_at(const struct apn_dg_sender *tx);
void apn_dg_sender_probed(struct apn_dg_sender *tx, uint64_t now_ns);
/** apn_dg_sender_limited() - until what is in flight now has arrived, samples may raise the rate, not lower it */
static inline void apn_dg_sender_limited(struct apn_dg_sender *tx)
{
    tx->app_limited_until = tx->acked_bytes + tx->in_flight_bytes;
}
/** apn_dg_sender_age() - number - oldest that matters, for the header */
static inline uint32_t apn_dg_sender_age(const struct apn_dg_sender *tx, uint64_t number)
{
    return (uint32_t)(number - tx->floor);
}
/** apn_dg_sender_idle() - everything posted was delivered */
static inline bool apn_dg_sender_idle(const struct apn_dg_sender *tx)
{
    return tx->delivered == tx->posted;
}

#endif
