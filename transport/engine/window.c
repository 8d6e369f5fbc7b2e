/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* window.c - see window.h */
#include "engine/window.h"

#include <string.h>

#define NS_PER_S 1000000000ull

static uint64_t rate_of(uint64_t bytes, uint64_t ns)
{
    return ns ? (uint64_t)((double)bytes * (double)NS_PER_S / (double)ns) : 0;
}

static uint64_t largest(const uint64_t *ring)
{
    uint64_t best = 0;

    for (unsigned i = 0; i < APN_WINDOW_ROUNDS; i++) {
        best = ring[i] > best ? ring[i] : best;
    }
    return best;
}

uint64_t apn_window_rate(const struct apn_window *w)
{
    return largest(w->round_rate);
}

/* how much is in flight before anything is known of the rate */
static uint64_t first_window(const struct apn_window *w)
{
    uint64_t bytes = (uint64_t)((double)APN_WINDOW_FIRST_RATE * (double)w->rtt_min_ns / (double)NS_PER_S);

    if (w->rtt_min_ns < APN_WINDOW_FAR_NS || bytes < APN_WINDOW_FIRST) {
        return APN_WINDOW_FIRST;
    }
    return bytes > APN_WINDOW_FIRST_MAX ? APN_WINDOW_FIRST_MAX : bytes;
}

/* the least: what comes between reports, and a full extent or two; of many migrations on a link each has a small share */
static uint64_t least_window(const struct apn_window *w)
{
    uint64_t bytes = (uint64_t)((double)apn_window_rate(w) * (double)APN_WINDOW_LEAST_NS / (double)NS_PER_S);

    if (w->probe_end_ns) {
        return APN_WINDOW_PROBE;
    }
    if (w->startup || bytes > APN_WINDOW_FIRST) {
        return APN_WINDOW_FIRST;
    }
    return bytes < APN_WINDOW_MIN ? APN_WINDOW_MIN : bytes;
}

/* 1.2 x the BDP, and less where a queue of half a round trip and more stands: others are on the link, and the part of the window that
 * does not go by the rate brings their shares together */
static double steady_gain(const struct apn_window *w)
{
    double queue = w->rtt_min_ns && w->rtt_round_ns > w->rtt_min_ns
                       ? (double)(w->rtt_round_ns - w->rtt_min_ns) / (double)w->rtt_min_ns : 0;

    return queue <= 0.5 ? 1.2 : queue >= 1 ? 1.0 : 1.2 - 0.4 * (queue - 0.5);
}

/* 2 x while the pipe is being found (slow start below us doubles too), half the BDP while the path is measured; from there by what came
 * back, not in one burst */
static void update_limit(struct apn_window *w, uint64_t came_bytes)
{
    double gain = w->probe_end_ns ? 0.5 : w->startup ? 2.0 : steady_gain(w);
    /* in startup the time of posting says nothing: what waited in a socket for slow start was posted at the pace of round trips ago */
    double bdp = (double)(w->startup ? w->startup_rate : apn_window_rate(w)) * (double)w->rtt_min_ns / (double)NS_PER_S;
    uint64_t bunch = w->startup || w->probe_end_ns ? 0 : largest(w->round_bunch);
    uint64_t share = w->startup || w->probe_end_ns ? 0 : APN_WINDOW_SHARE;
    double most = w->repaired ? bdp : bdp / 4;
    uint64_t limit = (uint64_t)(gain * bdp) + (bunch < most ? bunch : (uint64_t)most) + share;

    if (w->fixed_bytes) {
        w->limit_bytes = w->fixed_bytes;
        return;
    }
    if (w->startup) {
        limit = limit < w->limit_bytes ? w->limit_bytes : limit;
        limit = limit < first_window(w) ? first_window(w) : limit;
    }
    limit = limit < least_window(w) ? least_window(w) : limit;
    limit = limit > APN_WINDOW_MAX ? APN_WINDOW_MAX : limit;
    if (w->refilling && limit > w->limit_bytes + came_bytes) {
        limit = w->limit_bytes + came_bytes;
    } else {
        w->refilling = false;
    }
    w->limit_bytes = limit;
}

/* all migrations of a site, and of others whose clocks are right, measure in the same moment: else each takes the queue of the others
 * for a longer path */
static uint64_t next_probe(const struct apn_window *w, uint64_t now_ns)
{
    return now_ns + APN_WINDOW_PROBE_NS - (now_ns + w->wall_offset_ns) % APN_WINDOW_PROBE_NS;
}

void apn_window_init(struct apn_window *w, uint64_t fixed_bytes, uint64_t now_ns, uint64_t wall_ns)
{
    memset(w, 0, sizeof(*w));
    w->fixed_bytes = fixed_bytes;
    w->limit_bytes = APN_WINDOW_FIRST;
    w->startup = true;
    w->wall_offset_ns = wall_ns - now_ns;
    w->probe_next_ns = next_probe(w, now_ns);
    update_limit(w, 0);
}

static void begin_round(struct apn_window *w, uint64_t posted_ns, uint64_t now_ns)
{
    w->round_start_ns = now_ns;
    w->round_start_posted_ns = posted_ns;
    w->round_start_bytes = w->delivered_bytes;
    w->round_idle = false;
    w->rtt_round_ns = w->rtt_now_ns;
    w->rtt_now_ns = 0;
}

void apn_window_posted(struct apn_window *w, uint64_t in_flight_bytes, uint64_t now_ns)
{
    if (in_flight_bytes == 0) {
        begin_round(w, now_ns, now_ns); /* the pipe was empty: idle time is not the path's time */
    }
}

void apn_window_idle(struct apn_window *w)
{
    w->round_idle = true;
}

static void end_round(struct apn_window *w, uint64_t posted_ns, uint64_t now_ns)
{
    uint64_t arrived_ns = now_ns - w->round_start_ns;
    uint64_t sent_ns = posted_ns > w->round_start_posted_ns ? posted_ns - w->round_start_posted_ns : 0;
    uint64_t rate = rate_of(w->delivered_bytes - w->round_start_bytes, sent_ns > arrived_ns ? sent_ns : arrived_ns);
    uint64_t best = apn_window_rate(w);

    if (w->round_idle && rate <= best) {
        return;
    }
    w->round_rate[++w->round % APN_WINDOW_ROUNDS] = rate;
    w->round_bunch[w->round % APN_WINDOW_ROUNDS] = 0;
    if (!w->startup || w->round_idle) {
        return;
    }
    if (w->startup_rate >= w->full_rate + w->full_rate / 4) {
        w->full_rate = w->startup_rate;
        w->full_rounds = 0;
    } else if (++w->full_rounds >= 3) {
        w->startup = false;
    }
}

static void take_rtt(struct apn_window *w, uint64_t rtt_ns, uint64_t now_ns)
{
    w->rtt_last_ns = rtt_ns;
    if (!w->rtt_now_ns || rtt_ns < w->rtt_now_ns) {
        w->rtt_now_ns = rtt_ns;
    }
    if (!w->rtt_min_ns || rtt_ns < w->rtt_min_ns) {
        w->rtt_min_ns = rtt_ns;
    }
    if (w->probe_end_ns) {
        if (!w->probe_rtt_ns || rtt_ns < w->probe_rtt_ns) {
            w->probe_rtt_ns = rtt_ns;
        }
        if (now_ns >= w->probe_end_ns) {
            if (w->probe_rtt_ns > w->rtt_min_ns + w->rtt_min_ns / 10) {
                w->rtt_min_ns = w->probe_rtt_ns; /* the path itself became longer */
            }
            w->probe_end_ns = 0;
            w->refilling = true;
            w->probe_next_ns = next_probe(w, now_ns);
        }
    } else if (!w->startup && now_ns >= w->probe_next_ns) {
        w->probe_rtt_ns = 0;
        w->probe_end_ns = now_ns + 2 * rtt_ns + APN_WINDOW_ROUND_NS; /* the queue drains for one, what follows comes back in another */
    }
}

/* Rate at which bytes came within the last @span_ns or a little more, 0 where that is not known */
static uint64_t rate_since(const struct apn_window *w, uint64_t span_ns, uint64_t now_ns)
{
    const struct apn_window_mark *from = NULL;

    for (unsigned i = 0; i < APN_WINDOW_MARKS; i++) {
        const struct apn_window_mark *mark = &w->mark[i];

        if (mark->at_ns && now_ns - mark->at_ns >= span_ns && (!from || mark->at_ns > from->at_ns)) {
            from = mark;
        }
    }
    return from ? rate_of(w->delivered_bytes - from->delivered_bytes, now_ns - from->at_ns) : 0;
}

/* What came within the last round trip, at each report: a rate that is known only when a round ends doubles once in two of them. Where it
 * doubles each round trip, two of them have 3/4 of that rate; more than 4/3 of theirs is a bunch after a stall. */
static void take_startup_rate(struct apn_window *w, uint64_t round_ns, uint64_t now_ns)
{
    uint64_t one = rate_since(w, round_ns, now_ns);
    uint64_t two = rate_since(w, 2 * round_ns, now_ns);
    uint64_t rate = two && one > two / 3 * 4 ? two / 3 * 4 : one;

    w->startup_rate = rate > w->startup_rate ? rate : w->startup_rate;
    if (now_ns - w->mark[w->marks % APN_WINDOW_MARKS].at_ns >= round_ns / APN_WINDOW_MARKS_PER_ROUND) {
        w->mark[++w->marks % APN_WINDOW_MARKS] = (struct apn_window_mark){now_ns, w->delivered_bytes};
    }
}

/* how far reports run ahead of the rate: bytes since the last moment at which they did not */
static void take_bunch(struct apn_window *w, uint64_t bytes, uint64_t now_ns)
{
    uint64_t *slot = &w->round_bunch[w->round % APN_WINDOW_ROUNDS];
    uint64_t came = w->delivered_bytes - w->bunch_start_bytes;
    uint64_t due = (uint64_t)((double)apn_window_rate(w) * (double)(now_ns - w->bunch_start_ns) / (double)NS_PER_S);

    if (came - bytes <= due) { /* before this report they were not ahead: it may begin a bunch */
        w->bunch_start_ns = now_ns;
        w->bunch_start_bytes = w->delivered_bytes - bytes;
        came = bytes;
        due = 0;
    }
    if (came > due && came - due > *slot) {
        *slot = came - due;
    }
}

void apn_window_applied(struct apn_window *w, uint64_t bytes, uint64_t posted_ns, uint64_t hold_ns, uint64_t now_ns)
{
    uint64_t rtt = now_ns - posted_ns;
    uint64_t round_ns;

    w->delivered_bytes += bytes;
    take_bunch(w, bytes, now_ns);
    take_rtt(w, rtt > hold_ns ? rtt - hold_ns : rtt, now_ns);
    round_ns = w->rtt_min_ns > APN_WINDOW_ROUND_NS ? w->rtt_min_ns : APN_WINDOW_ROUND_NS;
    if (w->startup) {
        take_startup_rate(w, round_ns, now_ns);
    }
    if (now_ns - w->round_start_ns >= round_ns) {
        end_round(w, posted_ns, now_ns);
        begin_round(w, posted_ns, now_ns);
    }
    update_limit(w, bytes);
}

uint64_t apn_window_room(const struct apn_window *w, uint64_t in_flight_bytes)
{
    return in_flight_bytes < w->limit_bytes ? w->limit_bytes - in_flight_bytes : 0;
}
