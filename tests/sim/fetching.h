/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fetching.h - a loop backend that also reads the peer's memory by itself, as an adapter would
 * Owner: one at a time, by fetching_install()'s caller.   Thread: any.   Time: of the session that it is installed in, also virtual.
 * Units: ns.
 *
 * The loop backend of a session gets one op more. A read takes @delay_ns, ends in the order in which it began, and is lost with its
 * link. Now and then there is no room for one, or it takes much longer. */
#ifndef SIM_FETCHING_H
#define SIM_FETCHING_H

#include <stdbool.h>
#include <stdint.h>

#include <apnmig/apnmig.h>

#define FETCHING_LATE_NS 400000000ull

struct fetching_config {
    uint64_t delay_ns;
    uint64_t late_ns; /* 0: FETCHING_LATE_NS */
    unsigned refuse_percent, late_percent;
    const void *(*memory)(void *opaque, unsigned region, uint64_t offset); /* of the peer */
    bool (*cut)(void *opaque);                                              /* nothing gets through now */
    void *opaque;
    uint64_t seed;
};

struct fetching_counts {
    unsigned begun, refused, done, lost;
};

/** fetching_install() - before the session's first link; in place of what was installed before */
void fetching_install(struct apn_session *s, const struct fetching_config *config);
/** fetching_next() - when the next read ends, UINT64_MAX: none */
uint64_t fetching_next(void);
struct fetching_counts fetching_counts(void);

#endif
