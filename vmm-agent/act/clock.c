/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/clock.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "support/slot.h"

static int64_t read_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * AGENT_NS_PER_S + now.tv_nsec;
}

void agent_clock_real(struct agent_clock *clock)
{
    memset(clock, 0, sizeof(*clock));
    clock->follow_real = true;
    clock->scale = 1;
}

int agent_clock_scaled(struct agent_clock *clock, double start_s, double scale,
                       struct agent_error *error)
{
    if (!isfinite(scale) || scale < 0.001 || scale > AGENT_CLOCK_SCALE_MAX) {
        return agent_error_set(error, EINVAL, "clock: scale %g is outside 0.001..%g", scale,
                               AGENT_CLOCK_SCALE_MAX);
    }
    if (!(start_s >= (double)AGENT_TIME_MIN_S && start_s <= (double)AGENT_TIME_MAX_S)) {
        return agent_error_set(error, EINVAL, "clock: start %.0f s is outside 2000..2099", start_s);
    }
    memset(clock, 0, sizeof(*clock));
    clock->scale = scale;
    clock->base_s = start_s;
    clock->base_ns = read_ns(CLOCK_MONOTONIC);
    return 0;
}

int agent_clock_simulated(struct agent_clock *clock, double start_s, double scale,
                          struct agent_error *error)
{
    int status = agent_clock_scaled(clock, start_s, scale, error);

    if (status == 0) {
        clock->virtual = true;
        clock->now_ns = AGENT_NS_PER_S;
        clock->base_ns = clock->now_ns;
    }
    return status;
}

void agent_clock_advance(struct agent_clock *clock, int64_t now_ns)
{
    if (clock->virtual && now_ns > clock->now_ns) {
        clock->now_ns = now_ns;
    }
}

int64_t agent_clock_mono_ns(const struct agent_clock *clock)
{
    return clock->virtual ? clock->now_ns : read_ns(CLOCK_MONOTONIC);
}

double agent_clock_now(const struct agent_clock *clock)
{
    if (clock->follow_real) {
        return (double)read_ns(CLOCK_REALTIME) / (double)AGENT_NS_PER_S;
    }
    return agent_clock_time_of_ns(clock, agent_clock_mono_ns(clock));
}

int64_t agent_clock_now_s(const struct agent_clock *clock)
{
    return (int64_t)floor(agent_clock_now(clock));
}

int64_t agent_clock_at_ns(const struct agent_clock *clock, double time_s)
{
    double ahead_s = (time_s - agent_clock_now(clock)) / clock->scale;

    ahead_s = fmin(fmax(ahead_s, -1e9), 1e9); /* 31 years: stays within int64_t */
    return agent_clock_mono_ns(clock) + (int64_t)(ahead_s * (double)AGENT_NS_PER_S);
}

double agent_clock_time_of_ns(const struct agent_clock *clock, int64_t at_ns)
{
    if (clock->follow_real) {
        int64_t ahead_ns = at_ns - agent_clock_mono_ns(clock);
        return agent_clock_now(clock) + (double)ahead_ns / (double)AGENT_NS_PER_S;
    }
    return clock->base_s + (double)(at_ns - clock->base_ns) / (double)AGENT_NS_PER_S * clock->scale;
}

double agent_clock_slot_share(const struct agent_clock *clock)
{
    return (double)AGENT_SLOT_SECONDS / clock->scale;
}
