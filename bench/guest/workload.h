/* SPDX-License-Identifier: GPL-2.0-or-later */
/* workload.h - rewrite and check pages at given rates
 * Owner: main.  Thread: one.  Time: now_ns from the caller.  Units: pages, ns, MiB/s. */
#ifndef APN_BENCH_GUEST_WORKLOAD_H
#define APN_BENCH_GUEST_WORKLOAD_H

#include <stdbool.h>

#include "latency.h"
#include "order.h"
#include "pages.h"
#include "params.h"

/* a rate turned into work that is due */
struct guest_pace {
    int64_t since_ns;
    uint64_t done; /* pages since then */
};

struct guest_workload {
    struct guest_params params;
    struct guest_pages pages;
    struct guest_pace writing, verifying;
    struct guest_zipf zipf;       /* over the hot pages; made when it is first needed */
    struct latency latency;       /* of one page rewritten or checked */
    int64_t (*now_ns)(void);      /* for the latency; NULL: it is not measured */
    uint64_t random, writes, passes, errors;
    uint32_t write_at, check_at;
    uint32_t asked_left; /* pages still to check because somebody asked */
    uint64_t asked_errors;
    /** report() - called for each bad page, at most GUEST_REPORTS_MAX times in all */
    void (*report)(uint32_t index, enum guest_fault fault, const struct guest_workload *workload);
    /** passed() - called when all pages have been checked; @asked: because of guest_workload_ask() */
    void (*passed)(bool asked, const struct guest_workload *workload);
};

#define GUEST_REPORTS_MAX 16

/** guest_workload_init() - take memory and fill it
 * @workload: params and the two callbacks are set
 * Return: 0 or -ENOMEM. */
int guest_workload_init(struct guest_workload *workload);

/** guest_workload_done() - give the memory back; takes a zeroed object */
void guest_workload_done(struct guest_workload *workload);

/** guest_workload_run() - do a slice of what is due
 * @now_ns: monotonic
 * Return: true when more is due at once, false when the caller should sleep a little. */
bool guest_workload_run(struct guest_workload *workload, int64_t now_ns);

/** guest_workload_ask() - check every page once, as fast as possible, beside the writing */
void guest_workload_ask(struct guest_workload *workload);

/** guest_workload_rate() - from now on rewrite @rate MiB/s
 * Return: 0, or -EINVAL when there is no hot memory. */
int guest_workload_rate(struct guest_workload *workload, uint64_t rate);

/** guest_workload_hot() - from now on the first @mib MiB are rewritten
 * Return: 0, -EINVAL when there are not so many or rewriting needs some, -ENOMEM. */
int guest_workload_hot(struct guest_workload *workload, uint64_t mib);

/** guest_workload_order() - from now on rewrite in this order
 * Return: 0 or -ENOMEM. */
int guest_workload_order(struct guest_workload *workload, enum guest_order order);

#endif
