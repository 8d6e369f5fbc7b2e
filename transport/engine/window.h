/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* window.h - how many bytes a session may have in flight, from what the peer has applied
 * Owner: embedded in struct apn_session.   Thread: under the session lock.
 * Time:  now_ns from the caller.           Units:  bytes, ns, bytes/s.
 *
 * Theory of operation
 *   Delivered rate is bytes applied per round, a round being one round trip, 2 ms at least: between two reports, so that reports which
 *   come in bunches do not look like speed, and never faster than the same bytes were posted (a peer that was held up reports
 *   everything at once). The limit is 1.2 x max(rate of 10 rounds) x min(RTT) and 128 KiB: enough to notice that the path
 *   got faster, too little to build a queue that a stopped guest would wait behind. What goes by the rate keeps every share as it is, a
 *   small one small; the 128 KiB are the same for every migration on a link and bring their shares together, the more so as the 1.2 falls
 *   to 1 where the queue is a round trip long. Rounds in which the sender
 *   had nothing to send say what was offered, not what the path can do: they count only when they are a new best, and age nothing.
 *   Reports that come in bunches (they are due every 256 KiB; hosts are busy) leave the path idle unless more is in flight: what came
 *   above the rate, at most a quarter of a BDP, is added to the limit; a whole BDP where links repair losses themselves, because there
 *   reports stand still for the round trip that a repair takes, and the link bounds what is in the network.
 *   At the start nothing is known of the rate, and a connection below may be in slow start: our doubling goes by reports a round old
 *   and would come behind its own. So the first window is what a rate of 2.8 Gb/s has in a round trip: ahead of slow start until that is
 *   reached, and no queue to speak of on anything faster, however many migrations begin at once. On paths below 10 ms both are through
 *   in some 50 ms, and a guest that goes to postcopy in them would wait longer for a page behind the larger window.
 *   Every 5 s of wall-clock time the window shrinks for two round trips, so that a path that became longer is measured without a queue
 *   in it: not our own, and not that of the other migrations on the link, which shrink theirs in the same moment.
 *   (Ideas: BBR, draft-cardwell-iccrg-bbr-congestion-control, sections 4.1 and 4.3; the constant part: FAST TCP, Jin, Wei and Low 2004.) */
#ifndef APN_ENGINE_WINDOW_H
#define APN_ENGINE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define APN_WINDOW_ROUNDS   10u            /* rounds the maximum rate is remembered for */
#define APN_WINDOW_ROUND_NS 2000000ull     /* a round lasts a round trip, and at least this: reports come every millisecond */
#define APN_WINDOW_MARKS_PER_ROUND 8u      /* in startup */
#define APN_WINDOW_MARKS    20u            /* of two round trips and what reports are late */
#define APN_WINDOW_MIN      (128u << 10)   /* in flight, however low the rate */
#define APN_WINDOW_LEAST_NS 4000000ull     /* what is in flight even on a short path, up to APN_WINDOW_FIRST: reports come per ms */
#define APN_WINDOW_SHARE    (128u << 10)   /* of each migration's window, whatever its rate */
#define APN_WINDOW_PROBE    (64u << 10)    /* the least while the path is measured */
#define APN_WINDOW_FIRST    (1u << 20)     /* more: a small guest is stopped before anything has come back */
#define APN_WINDOW_FIRST_RATE 350000000ull /* 2.8 Gb/s for a round trip, where that is more */
#define APN_WINDOW_FAR_NS     10000000ull  /* from this round trip on */
#define APN_WINDOW_FIRST_MAX  (16u << 20)  /* far and narrow: what it has to drain again */
#define APN_WINDOW_MAX      (4ull << 30)   /* 400 Gb/s x 80 ms */
#define APN_WINDOW_PROBE_NS 5000000000ull  /* between the moments in which the path is measured */

/* how much had been applied, and when */
struct apn_window_mark {
    uint64_t at_ns;
    uint64_t delivered_bytes;
};

struct apn_window {
    uint64_t fixed_bytes;      /* 0 auto, UINT64_MAX unlimited */
    uint64_t limit_bytes;
    uint64_t delivered_bytes;  /* wire bytes applied, all lanes */
    uint64_t rtt_min_ns;       /* 0 unknown */
    uint64_t rtt_last_ns;
    uint64_t rtt_now_ns, rtt_round_ns; /* shortest of this round so far, and of the one before */
    uint64_t round_rate[APN_WINDOW_ROUNDS]; /* ring */
    unsigned round;
    uint64_t round_start_ns;   /* 0: begins with the next post */
    uint64_t round_start_bytes;
    uint64_t round_start_posted_ns; /* when the newest item applied at the round's start had been posted */
    bool round_idle;           /* the sender ran out of work in this round */
    uint64_t bunch_start_ns;   /* reports above the remembered rate since then ... */
    uint64_t bunch_start_bytes;
    uint64_t round_bunch[APN_WINDOW_ROUNDS]; /* ... most bytes above it per round, ring as round_rate */
    uint64_t startup_rate;     /* startup: best rate at which anything came for a round trip */
    struct apn_window_mark mark[APN_WINDOW_MARKS]; /* startup: ring, the newest at marks */
    unsigned marks;
    uint64_t full_rate;        /* startup: startup_rate when its growth was last >= 25 % */
    unsigned full_rounds;
    bool repaired;             /* links repair losses (APN_CAP_REPAIRS) */
    bool startup;
    bool refilling;            /* after the path was measured: the window opens by what comes back */
    uint64_t wall_offset_ns;   /* wall clock minus the caller's, modulo 2^64 */
    uint64_t probe_next_ns, probe_end_ns, probe_rtt_ns;
};

/** apn_window_init() - @fixed_bytes: 0 automatic, UINT64_MAX unlimited;  @wall_ns: the wall clock now, in ns since the epoch */
void apn_window_init(struct apn_window *w, uint64_t fixed_bytes, uint64_t now_ns, uint64_t wall_ns);

/** apn_window_posted() - something was posted while @in_flight_bytes were in flight */
void apn_window_posted(struct apn_window *w, uint64_t in_flight_bytes, uint64_t now_ns);

/** apn_window_idle() - the sender ran out of work below the limit */
void apn_window_idle(struct apn_window *w);

/** apn_window_applied() - @bytes more were applied
 * @posted_ns: when the newest item among them was posted;  @hold_ns: how long the peer kept the report back */
void apn_window_applied(struct apn_window *w, uint64_t bytes, uint64_t posted_ns, uint64_t hold_ns, uint64_t now_ns);

/** apn_window_room() - wire bytes that may be posted now */
uint64_t apn_window_room(const struct apn_window *w, uint64_t in_flight_bytes);

/** apn_window_rate() - delivered rate in bytes/s, 0 unknown */
uint64_t apn_window_rate(const struct apn_window *w);

#endif
