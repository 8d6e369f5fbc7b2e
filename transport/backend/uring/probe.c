/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* probe.c - see probe.h */
#include "backend/uring/probe.h"

#define REPORTS_ENOUGH 8u /* zero-copy sends before "the kernel copies anyway" is believed */

void apn_uring_probe_start(struct apn_uring_probe *probe)
{
    *probe = (struct apn_uring_probe){.running = true};
}

bool apn_uring_probe_zerocopy(const struct apn_uring_probe *probe)
{
    return probe->running && probe->phase && probe->phase % 2 == 0;
}

void apn_uring_probe_report(struct apn_uring_probe *probe, bool copied)
{
    probe->reports++;
    probe->copied += copied;
}

static enum apn_uring_verdict end(struct apn_uring_probe *probe, bool zerocopy)
{
    probe->running = false;
    return zerocopy ? APN_URING_VERDICT_ZEROCOPY : APN_URING_VERDICT_COPY;
}

enum apn_uring_verdict apn_uring_probe_sent(struct apn_uring_probe *probe, uint64_t bytes,
                                            uint64_t cpu_ns)
{
    if (!probe->running) {
        return APN_URING_VERDICT_OPEN;
    }
    if (probe->reports >= REPORTS_ENOUGH && 2 * probe->copied > probe->reports) {
        return end(probe, false);
    }
    probe->phase_bytes += bytes;
    if (probe->phase_bytes <
        (probe->phase ? APN_URING_PROBE_PHASE_BYTES : APN_URING_PROBE_WARMUP_BYTES)) {
        return APN_URING_VERDICT_OPEN;
    }
    if (probe->phase) {
        probe->cpu_ns[probe->phase % 2 == 0] += cpu_ns - probe->phase_start_ns;
    }
    if (probe->phase == APN_URING_PROBE_PHASES) {
        return end(probe, probe->cpu_ns[1] < probe->cpu_ns[0] / 10 * 9);
    }
    probe->phase++;
    probe->phase_bytes = 0;
    probe->phase_start_ns = cpu_ns;
    return APN_URING_VERDICT_OPEN;
}
