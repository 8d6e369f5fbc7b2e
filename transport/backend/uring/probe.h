/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* probe.h - is zero-copy cheaper here than copying? Decided by measuring this thread's CPU time per
 * byte
 *
 * Theory of operation
 *   Phases of equal payload alternate: copy, zero-copy, copy, zero-copy, after a warm-up. A
 * zero-copy phase in which the kernel reports that it copied anyway for more than half of the sends
 * ends the probe at once. Otherwise the mode with the lower sum of CPU time wins, and zero-copy
 * must win by a tenth: it delays the release of memory.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: CPU ns of the thread, from the caller.
 * Units: bytes, ns. */
#ifndef APN_BACKEND_URING_PROBE_H
#define APN_BACKEND_URING_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#define APN_URING_PROBE_WARMUP_BYTES (16u << 20)
#define APN_URING_PROBE_PHASE_BYTES  (16u << 20)
#define APN_URING_PROBE_PHASES       4u

struct apn_uring_probe {
    bool running;
    unsigned phase; /* 0 = warm-up, then 1..APN_URING_PROBE_PHASES; even phases are zero-copy */
    uint64_t phase_bytes;
    uint64_t phase_start_ns;
    uint64_t cpu_ns[2];       /* [0] copy, [1] zero-copy */
    unsigned reports, copied; /* notifications, and those that say "copied" */
};

enum apn_uring_verdict {
    APN_URING_VERDICT_OPEN,
    APN_URING_VERDICT_COPY,
    APN_URING_VERDICT_ZEROCOPY
};

void apn_uring_probe_start(struct apn_uring_probe *probe);
/** apn_uring_probe_zerocopy() - the way in which the next send should go */
bool apn_uring_probe_zerocopy(const struct apn_uring_probe *probe);
/** apn_uring_probe_report() - a zero-copy send is over; @copied: the kernel copied it after all */
void apn_uring_probe_report(struct apn_uring_probe *probe, bool copied);
/** apn_uring_probe_sent() - @bytes went out; @cpu_ns is the thread's CPU clock now. Return: the
 * verdict, OPEN while running. */
enum apn_uring_verdict apn_uring_probe_sent(struct apn_uring_probe *probe, uint64_t bytes,
                                            uint64_t cpu_ns);

#endif
