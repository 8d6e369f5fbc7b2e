/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rate.c - see rate.h */
#include "backend/datagram/rate.h"

#include <string.h>

#define NS_PER_S       1000000000.0
#define RATE_MIN       125000ull /* 1 Mb/s: slower than this the timers would make no sense */
#define STARTUP_GAIN   2.77
#define QUEUE_GAIN     0.8
#define LOSS_SHARED    0.02
#define PATIENCE_NS    2000000ull
#define BUSY_ROUNDS    8u
#define SHARED_LEAST   (32u << 10) /* per round trip: a shared path leaves us this much */

static const double cycle[] = {1.25, 0.75, 1, 1, 1, 1, 1, 1};
#define PHASES (sizeof(cycle) / sizeof(cycle[0]))

uint64_t apn_dg_rate_best(const struct apn_dg_rate *r)
{
    uint64_t best = 0;

    for (unsigned i = 0; i < APN_DG_RATE_ROUNDS; i++) {
        best = r->best[i] > best ? r->best[i] : best;
    }
    return best;
}

static uint64_t rtt_or_first(const struct apn_dg_rate *r)
{
    return r->rtt_min_ns ? r->rtt_min_ns : APN_DG_RTT_FIRST_NS;
}

static bool has_queue(const struct apn_dg_rate *r)
{
    return r->rtt_min_ns && r->rtt_ns > r->rtt_min_ns + r->rtt_min_ns / 4 + APN_DG_QUEUE_NS;
}

static double gain_now(const struct apn_dg_rate *r)
{
    if (r->startup) {
        return STARTUP_GAIN;
    }
    if (r->draining) {
        return 1 / STARTUP_GAIN;
    }
    return has_queue(r) ? QUEUE_GAIN : cycle[r->phase];
}

static void update(struct apn_dg_rate *r)
{
    const uint64_t best = apn_dg_rate_best(r), rtt = rtt_or_first(r);
    const uint64_t first = r->shared ? APN_DG_FIRST_SHARED : APN_DG_FIRST_OWN;
    const double guess = (double)first / (double)rtt * NS_PER_S;
    double base = (double)best, rate = base * gain_now(r), bdp;

    if (r->startup) { /* few words before the bulk say nothing of the path */
        rate = rate < guess ? guess : rate;
        base = base < guess ? guess : base;
    }
    rate = rate > (double)r->cap ? (double)r->cap : rate;
    rate = r->floor && rate < (double)r->floor ? (double)r->floor : rate;
    rate = r->ceiling && rate > (double)r->ceiling ? (double)r->ceiling : rate;
    r->rate = rate < (double)RATE_MIN ? RATE_MIN : rate > 1e13 ? (uint64_t)1e13 : (uint64_t)rate;

    base = base < (double)r->floor ? (double)r->floor : base;
    base = base > (double)r->cap ? (double)r->cap : base;
    bdp = base * (double)rtt / NS_PER_S;
    r->cwnd = (uint64_t)(2 * bdp * (r->startup ? 1.4 : 1)) + (r->shared ? APN_DG_FIRST_SHARED : APN_DG_CWND_MIN);
}

void apn_dg_rate_init(struct apn_dg_rate *r, uint64_t ceiling, uint64_t floor, bool shared, uint64_t rtt_ns, uint64_t now_ns)
{
    memset(r, 0, sizeof(*r));
    r->ceiling = ceiling;
    r->floor = floor;
    r->shared = shared;
    r->startup = true;
    r->cap = UINT64_MAX;
    r->round_start_ns = r->phase_ns = r->next_ns = now_ns;
    if (rtt_ns) {
        apn_dg_rate_rtt(r, rtt_ns, now_ns);
    }
    update(r);
}

void apn_dg_rate_rtt(struct apn_dg_rate *r, uint64_t rtt_ns, uint64_t now_ns)
{
    uint64_t off;

    rtt_ns = rtt_ns ? rtt_ns : 1;
    if (!r->rtt_ns) {
        r->rtt_ns = rtt_ns;
        r->rtt_var_ns = rtt_ns / 2;
    }
    off = r->rtt_ns > rtt_ns ? r->rtt_ns - rtt_ns : rtt_ns - r->rtt_ns;
    r->rtt_var_ns = (3 * r->rtt_var_ns + off) / 4;
    r->rtt_ns = (7 * r->rtt_ns + rtt_ns) / 8;
    if (!r->rtt_min_ns || rtt_ns <= r->rtt_min_ns) {
        r->rtt_min_ns = rtt_ns;
        r->rtt_min_at_ns = now_ns;
        r->rtt_next_min_ns = 0;
        return;
    }
    /* the second half of the age collects what replaces it: the path may have become longer */
    if (now_ns - r->rtt_min_at_ns > APN_DG_RTT_AGE_NS / 2) {
        r->rtt_next_min_ns = r->rtt_next_min_ns && r->rtt_next_min_ns < rtt_ns ? r->rtt_next_min_ns : rtt_ns;
    }
    if (now_ns - r->rtt_min_at_ns > APN_DG_RTT_AGE_NS) {
        r->rtt_min_ns = r->rtt_next_min_ns;
        r->rtt_min_at_ns = now_ns;
        r->rtt_next_min_ns = 0;
    }
}

static void look_whether_full(struct apn_dg_rate *r, const struct apn_dg_sample *s)
{
    const uint64_t best = apn_dg_rate_best(r);
    const bool tells = !s->app_limited || has_queue(r);

    if (!tells && r->round_acked < APN_DG_CWND_MIN) {
        return; /* hardly anything was sent */
    }
    if (best >= r->full_rate + r->full_rate / 4) {
        r->full_rate = best;
        r->full_rounds = r->busy_rounds = 0;
        return;
    }
    /* a sender that is held back by whoever gives it work never shows what the path can do; after a while that is enough */
    r->full_rounds += tells;
    if (r->full_rounds >= 3 || has_queue(r) || ++r->busy_rounds >= BUSY_ROUNDS) {
        r->startup = false;
        r->draining = true;
    }
}

static void judge_shared(struct apn_dg_rate *r)
{
    const uint64_t best = apn_dg_rate_best(r);
    const uint64_t least = (uint64_t)(SHARED_LEAST * NS_PER_S / (double)rtt_or_first(r));
    const bool lossy = r->round_lost > LOSS_SHARED * (double)(r->round_acked + r->round_lost);

    if (best && (r->round_marked || lossy || has_queue(r))) {
        uint64_t from = r->cap < best ? r->cap : best;

        r->cap = from - from * 3 / 10;
        r->cap = r->cap < r->floor ? r->floor : r->cap;
        r->cap = r->cap < least ? least : r->cap;
        if (r->startup) {
            r->startup = false;
            r->draining = true;
        }
    } else if (r->cap != UINT64_MAX) {
        r->cap += r->cap / 20 + 1;
        if (r->cap > best + best / 4) {
            r->cap = UINT64_MAX;
        }
    }
}

static void end_round(struct apn_dg_rate *r, const struct apn_dg_sample *s, uint64_t now_ns)
{
    if (r->startup) {
        look_whether_full(r, s);
    }
    if (r->shared) {
        judge_shared(r);
    }
    /* as slow as we chose to be because of a queue: the path has not said that it is slower (a busy host's delays look like queues) */
    const bool chosen = has_queue(r) && r->best[r->round % APN_DG_RATE_ROUNDS] >= r->rate - r->rate / 10;

    r->round_acked = r->round_lost = r->round_marked = 0;
    r->round_start_ns = now_ns;
    if (!s->app_limited && !chosen) { /* idle time says nothing, and ages nothing */
        r->best[++r->round % APN_DG_RATE_ROUNDS] = 0;
    }
}

void apn_dg_rate_sample(struct apn_dg_rate *r, const struct apn_dg_sample *s, uint64_t now_ns)
{
    const uint64_t round_ns = rtt_or_first(r) > APN_DG_ROUND_MIN_NS ? rtt_or_first(r) : APN_DG_ROUND_MIN_NS;

    r->round_acked += s->acked_bytes;
    r->round_lost += s->lost_bytes;
    r->round_marked += s->marked;
    if (s->delivered_bytes && s->interval_ns && s->interval_ns >= r->rtt_min_ns) {
        uint64_t rate = (uint64_t)((double)s->delivered_bytes * NS_PER_S / (double)s->interval_ns);
        uint64_t *slot = &r->best[r->round % APN_DG_RATE_ROUNDS];

        if (!s->app_limited || rate > apn_dg_rate_best(r)) {
            *slot = rate > *slot ? rate : *slot;
        }
    }
    if (s->round_ended && now_ns - r->round_start_ns >= round_ns) {
        end_round(r, s, now_ns);
    }
    if (r->draining && (double)s->in_flight_bytes <= (double)apn_dg_rate_best(r) * (double)rtt_or_first(r) / NS_PER_S) {
        r->draining = false;
        r->phase = 2;
        r->phase_ns = now_ns;
    }
    if (now_ns - r->phase_ns >= round_ns) {
        r->phase = (r->phase + 1) % PHASES;
        r->phase_ns = now_ns;
    }
    update(r);
}

bool apn_dg_rate_may_send(const struct apn_dg_rate *r, uint64_t now_ns)
{
    return r->next_ns <= now_ns;
}

static uint64_t burst_ns(const struct apn_dg_rate *r)
{
    const uint64_t half = r->rtt_min_ns / 2;

    if (r->shared || half < APN_DG_BURST_NS) {
        return APN_DG_BURST_NS;
    }
    return half < APN_DG_BURST_MAX_NS ? half : APN_DG_BURST_MAX_NS;
}

bool apn_dg_rate_sent(struct apn_dg_rate *r, uint64_t bytes, bool paced, uint64_t now_ns)
{
    const uint64_t credit = paced ? burst_ns(r) : APN_DG_BURST_NS, earliest = now_ns > credit ? now_ns - credit : 0;
    const bool late = r->next_ns < earliest;

    r->next_ns = (late ? earliest : r->next_ns) + (uint64_t)((double)bytes * NS_PER_S / (double)r->rate);
    return late && paced;
}

uint64_t apn_dg_rate_patience(const struct apn_dg_rate *r)
{
    return r->rtt_ns ? r->rtt_ns + 2 * r->rtt_var_ns + PATIENCE_NS : 20 * APN_DG_RTT_FIRST_NS;
}
