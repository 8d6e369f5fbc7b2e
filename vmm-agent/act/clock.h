/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.h - the two times of the agent: monotonic (what is really waited) and agent time (the day)
 * Owner: struct agent_clock, embedded; outlives the loop.   Thread: any once set up (virtual: one).
 * Time:  this is where it comes from.                       Units: ns monotonic, s since 1970 UTC.
 *
 * Agent time is what signals, slots, plans and demand-response intervals are written in. It runs at
 * @scale seconds per monotonic second: 1 in service, 480 when a day is to pass in three minutes.
 *
 *   in agent time                             in monotonic time, on purpose
 *   slots, gates, age of signals and plans    time limits of QMP, of a start, of a migration stage
 *   dwell, hysteresis, drains                 blackout, rates, bytes in flight, the busy share of
 * links demand-response intervals, baselines      the 10 s between a call and its power change
 *   energy (W x agent time)                   back-off after a failure, ageing in the queue
 *
 * What protects machines or is physics does not get faster because the day does. A link that
 * carries R bytes per monotonic second carries R x 1800 / scale per slot: see
 * agent_clock_slot_share(). */
#ifndef AGENT_ACT_CLOCK_H
#define AGENT_ACT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_CLOCK_SCALE_MAX 3600.0
#define AGENT_NS_PER_S        INT64_C(1000000000)
#define AGENT_NS_PER_MS       INT64_C(1000000)

/** struct agent_clock - @base_s of agent time is @base_ns of monotonic time
 * @virtual: monotonic time is @now_ns and moves only by agent_clock_advance(): simulation */
struct agent_clock {
    bool virtual;
    bool follow_real; /* scale 1, no start given: agent time is CLOCK_REALTIME, steps included */
    double scale;
    double base_s;
    int64_t base_ns;
    int64_t now_ns;
};

/** agent_clock_real() - agent time is the wall clock */
void agent_clock_real(struct agent_clock *clock);

/** agent_clock_scaled() - agent time begins at @start_s now and runs @scale times as fast
 * @scale: 0.001..AGENT_CLOCK_SCALE_MAX; @start_s: AGENT_TIME_MIN_S..AGENT_TIME_MAX_S
 * Return: 0 or -EINVAL. */
int agent_clock_scaled(struct agent_clock *clock, double start_s, double scale,
                       struct agent_error *error);

/** agent_clock_simulated() - as above on a monotonic time that starts at 1 s and stands still */
int agent_clock_simulated(struct agent_clock *clock, double start_s, double scale,
                          struct agent_error *error);

/** agent_clock_advance() - virtual clocks only: monotonic time becomes @now_ns, never less */
void agent_clock_advance(struct agent_clock *clock, int64_t now_ns);

/** agent_clock_mono_ns() - monotonic time */
int64_t agent_clock_mono_ns(const struct agent_clock *clock);

/** agent_clock_now() - agent time with its fraction, s since 1970 UTC */
double agent_clock_now(const struct agent_clock *clock);

/** agent_clock_now_s() - the same in whole seconds, as the store wants it */
int64_t agent_clock_now_s(const struct agent_clock *clock);

/** agent_clock_at_ns() - monotonic time at which agent time will be @time_s
 * With the real clock it is an estimate: look at the clock again when it comes. */
int64_t agent_clock_at_ns(const struct agent_clock *clock, double time_s);

/** agent_clock_time_of_ns() - the reverse: agent time at monotonic @at_ns */
double agent_clock_time_of_ns(const struct agent_clock *clock, int64_t at_ns);

/** agent_clock_slot_share() - monotonic seconds in one half-hour slot: 1800 / scale */
double agent_clock_slot_share(const struct agent_clock *clock);

#endif
