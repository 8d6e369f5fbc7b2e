/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rate.h - how fast a lane sends its datagrams, and how much it may have unacknowledged
 * Owner: embedded in a link.   Thread: the link's.   Time: now_ns from the caller.   Units: wire bytes (IP not counted), ns, bytes/s.
 *
 * Theory of operation
 *   The path says how fast it is by what arrives: a sample is the bytes acknowledged between the sending of a datagram and its
 *   acknowledgement, over the longer of the two times that sending and acknowledging them took
 *   (draft-cheng-iccrg-delivery-rate-estimation). The rate is the best sample of 10 round trips, sending is spaced at that rate;
 *   a quarter more for one round trip in eight, and a quarter less for the next, find out when the path became faster. Unacknowledged are two
 *   bandwidth-delay products at most: when nothing comes back, sending ends.
 *   (draft-cardwell-iccrg-bbr-congestion-control, sections 4.1 to 4.3, is where this is from.)
 *
 *   Losses are not a signal on a wavelength of our own: 1e-3 of them says that the fibre is noisy, not that somebody else wants to
 *   send, so they take nothing from the rate. The delay is: when round trips are longer than the shortest by more than a
 *   quarter (and 2 ms), a queue of ours is standing somewhere, and sending slows down by a fifth until it is gone.
 *
 *   A shared path asks for more: marks (ECN), a standing queue or losses above 2 % within a round trip take 30 % off, once per
 *   round trip, down to the floor (never below 32 KiB per round trip); quiet round trips give 5 % back.
 *
 *   Without acknowledgements no round ends and no sample is taken: after a cut the rate is what it was before. */
#ifndef APN_DATAGRAM_RATE_H
#define APN_DATAGRAM_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define APN_DG_RATE_ROUNDS    10u
#define APN_DG_ROUND_MIN_NS   2000000ull
#define APN_DG_QUEUE_NS       2000000ull    /* a longer round trip than usual by a quarter and this is a queue */
#define APN_DG_CWND_MIN       (256u << 10)
#define APN_DG_FIRST_OWN      (1u << 20)    /* first flight: a wavelength of our own */
#define APN_DG_FIRST_SHARED   (64u << 10)
#define APN_DG_RTT_FIRST_NS   1000000ull    /* until it is known */
#define APN_DG_RTT_AGE_NS     10000000000ull /* the shortest round trip is looked for again after this */
#define APN_DG_BURST_NS       1000000ull    /* a sender that was late may catch up on this much; on a wavelength of our own on half a */
#define APN_DG_BURST_MAX_NS   4000000ull    /* round trip, up to this: its queue is nobody else's */

/** struct apn_dg_sample - what one acknowledgement told
 * @acked_bytes, @lost_bytes: newly
 * @delivered_bytes, @interval_ns: of the newest datagram in it (0: none was new)
 * @round_ended: that datagram was sent after the last round had ended
 * @app_limited: it was sent when there was nothing more to send */
struct apn_dg_sample {
    uint64_t acked_bytes, lost_bytes;
    uint64_t delivered_bytes, interval_ns;
    uint64_t in_flight_bytes;
    uint32_t marked;
    bool round_ended;
    bool app_limited;
};

struct apn_dg_rate {
    uint64_t ceiling, floor; /* bytes/s, 0 = none */
    bool shared;
    bool startup, draining;
    uint64_t best[APN_DG_RATE_ROUNDS]; /* ring: best sample of each round */
    unsigned round;
    uint64_t round_start_ns;
    uint64_t full_rate;
    unsigned full_rounds, busy_rounds;
    uint64_t rtt_min_ns, rtt_ns, rtt_var_ns; /* 0 unknown; smoothed (RFC 6298) */
    uint64_t rtt_min_at_ns, rtt_next_min_ns;
    unsigned phase;          /* of the cycle of eight */
    uint64_t phase_ns;
    uint64_t cap;            /* shared path: what signals have left, UINT64_MAX = no signal */
    uint64_t round_acked, round_lost, round_marked;
    uint64_t rate;           /* bytes/s in force */
    uint64_t cwnd;
    uint64_t next_ns;        /* pacing: when the next datagram is due */
};

/** apn_dg_rate_init() - @rtt_ns: of the handshake, 0 unknown */
void apn_dg_rate_init(struct apn_dg_rate *r, uint64_t ceiling, uint64_t floor, bool shared, uint64_t rtt_ns, uint64_t now_ns);
void apn_dg_rate_rtt(struct apn_dg_rate *r, uint64_t rtt_ns, uint64_t now_ns);
void apn_dg_rate_sample(struct apn_dg_rate *r, const struct apn_dg_sample *s, uint64_t now_ns);
/** apn_dg_rate_may_send() - is a datagram due? */
bool apn_dg_rate_may_send(const struct apn_dg_rate *r, uint64_t now_ns);
/** apn_dg_rate_sent() - @paced: it waited for its time, nothing else held it back. Return: true when this host was so late that part of the path's time passed unused: what is measured now says less
 * than the path can do */
bool apn_dg_rate_sent(struct apn_dg_rate *r, uint64_t bytes, bool paced, uint64_t now_ns);
/** apn_dg_rate_best() - delivered rate, bytes/s; 0 unknown */
uint64_t apn_dg_rate_best(const struct apn_dg_rate *r);
/** apn_dg_rate_patience() - how long acknowledgements may stay away before one is asked for */
uint64_t apn_dg_rate_patience(const struct apn_dg_rate *r);

#endif
