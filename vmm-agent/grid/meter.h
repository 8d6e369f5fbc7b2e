/* SPDX-License-Identifier: GPL-2.0-or-later */
/* meter.h - power of this host and state of its batteries, from the kernel's files
 * Owner: plain structs of the caller.   Thread: any, one struct at a time; reads small files.
 * Time:  now_s from the caller.         Units: W, J, ratio 0..1. */
#ifndef AGENT_GRID_METER_H
#define AGENT_GRID_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_METER_DOMAINS_MAX 32

/** struct agent_power_meter - what was read last
 * RAPL where the host has it: packages and their memory (powercap "package-N", "dram"); "psys"
 * alone where the platform meters itself as a whole. Else a model: idle + (busy - idle) × share of
 * CPU time that was not idle.
 * Both are less than what the wall socket sees; @overhead multiplies (1 = none). */
struct agent_power_meter {
    const char *root; /* "" = the real file system; borrowed */
    double idle_w;
    double busy_w;
    double overhead;
    bool has_last;
    bool last_rapl;
    double last_time_s;
    unsigned domains;
    uint64_t last_uj[AGENT_METER_DOMAINS_MAX];
    uint64_t last_busy;
    uint64_t last_total;
};

/** struct agent_power_reading - mean power since the reading before */
struct agent_power_reading {
    double power_w;
    bool modelled; /* by the CPU-time model, not metered */
};

/** agent_power_read() - mean power since the last call
 * @time_s: monotonic clock with fractions. Return: 1 a reading; 0 the first call, or too soon, or
 * the counters started anew; -ENOTSUP no counters and no model (busy_w is 0); -EBADMSG. */
int agent_power_read(struct agent_power_meter *meter, double time_s,
                     struct agent_power_reading *reading, struct agent_error *error);

/** struct agent_power_sample - for calibration: share of busy CPU time 0..1 and measured W */
struct agent_power_sample {
    double busy;
    double power_w;
};

/** agent_power_calibrate() - idle and busy power by least squares
 * Return: 0, or -EINVAL: fewer than 2 samples, no spread in busy, or busy power below idle. */
int agent_power_calibrate(const struct agent_power_sample *samples, size_t count, double *idle_w,
                          double *busy_w, struct agent_error *error);

/** struct agent_battery_state - all batteries of the host together
 * @power_w is negative while charging, NaN when the batteries do not tell */
struct agent_battery_state {
    double charge;
    double power_w;
};

/** agent_battery_read() - @root as above. Return: batteries found (0 = none), or -EBADMSG. */
int agent_battery_read(const char *root, struct agent_battery_state *state,
                       struct agent_error *error);

#endif
