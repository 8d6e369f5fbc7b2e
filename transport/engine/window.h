/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* window.h - how many bytes a session may have in flight, from what the peer has applied
 * Owner: embedded in struct apn_session.   Thread: under the session lock.
 * Time:  now_ns from the caller.           Units:  bytes, ns, bytes/s.
 *
 * Theory of operation
 *   Delivered rate is sampled as BBR does (draft-cardwell-iccrg-bbr-congestion-control, delivery rate estimation): bytes applied
 *   between an item's posting and its report, over the time that took. The limit is 1.25 x max(rate, 10 round trips) x
 *   min(RTT): enough to notice that the path got faster, too little to build a queue that a stopped guest
 *   would wait behind. Every 5 s the window shrinks for one round trip, so that a path that became longer is
 *   measured without our own queue in it. */
#ifndef APN_ENGINE_WINDOW_H
#define APN_ENGINE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define APN_WINDOW_ROUNDS   10u            /* round trips the maximum rate is remembered for */
#define APN_WINDOW_MIN      (1u << 20)     /* four full extents: reports come per 256 KiB */
#define APN_WINDOW_FIRST    (1u << 20)
#define APN_WINDOW_MAX      (4ull << 30)   /* 400 Gb/s x 80 ms */
#define APN_WINDOW_PROBE_NS 5000000000ull

/** struct apn_window_mark - state of delivery when an item was posted */
struct apn_window_mark {
    uint64_t posted_ns;
    uint64_t delivered_bytes;
    uint64_t delivered_ns;
    bool app_limited;
};

struct apn_window {
    uint64_t fixed_bytes;      /* 0 auto, UINT64_MAX unlimited */
    uint64_t limit_bytes;
    uint64_t delivered_bytes;  /* wire bytes applied, all lanes */
    uint64_t delivered_ns;     /* when that last changed */
    uint64_t app_limited_until;/* delivered_bytes beyond which samples count fully again; 0 none */
    uint64_t rtt_min_ns;       /* 0 unknown */
    uint64_t rtt_last_ns;
    uint64_t round_rate[APN_WINDOW_ROUNDS]; /* max sample per round trip, ring */
    unsigned round;
    uint64_t round_end_bytes;  /* the round ends when this much is delivered */
    uint64_t full_rate;        /* startup: best rate seen when growth was last >= 25 % */
    unsigned full_rounds;
    bool startup;
    uint64_t probe_next_ns, probe_end_ns, probe_rtt_ns;
};

void apn_window_init(struct apn_window *w, uint64_t fixed_bytes, uint64_t now_ns);

/** apn_window_mark() - remember the state of delivery for an item posted now */
void apn_window_mark(struct apn_window *w, uint64_t in_flight_bytes, uint64_t now_ns, struct apn_window_mark *mark);

/** apn_window_idle() - the sender ran out of work with @in_flight_bytes below the limit */
void apn_window_idle(struct apn_window *w, uint64_t in_flight_bytes);

/** apn_window_applied() - @bytes more were applied; @mark belongs to the newest item among them
 * @hold_ns: how long the peer kept the report back;  @in_flight_bytes: what remains in flight */
void apn_window_applied(struct apn_window *w, uint64_t bytes, const struct apn_window_mark *mark, uint64_t hold_ns,
                        uint64_t in_flight_bytes, uint64_t now_ns);

/** apn_window_room() - wire bytes that may be posted now */
uint64_t apn_window_room(const struct apn_window *w, uint64_t in_flight_bytes);

/** apn_window_rate() - delivered rate in bytes/s, 0 unknown */
uint64_t apn_window_rate(const struct apn_window *w);

/** apn_window_reset_path() - the path was lost: forget the rate's history, keep the round trip */
void apn_window_reset_path(struct apn_window *w, uint64_t now_ns);

#endif
