/* SPDX-License-Identifier: GPL-2.0-or-later */
/* baseline.h - what a site would have drawn without the event, what was delivered, and how sure
 * that is Owner: struct agent_dr_history, _init/_done.   Thread: the loop's. Time:  ms since 1970
 * UTC from the caller.       Units:  kW, kWh, ms.
 *
 * Two methods, both with their standard uncertainty (one sigma):
 * - days: for events of at least AGENT_DR_DAYS_FROM_MS. Of the five most recent days of the same
 * kind (working day or not, Japanese calendar) without an event at that time of day, the four with
 * the highest mean, slot by slot; then moved by how much today differed from them in the three
 * hours that end two hours before the event (the same-day adjustment used in Japan's
 * demand-response guidelines).
 * - before: the mean of the five minutes before the event. For short answers (primary and secondary
 *   reserve), and where history is missing.
 * The meter's own uncertainty comes with each sample: the declared power model on measured CPU
 * time. */
#ifndef AGENT_DR_BASELINE_H
#define AGENT_DR_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_DR_SAMPLES_MAX  7200 /* two hours of seconds */
#define AGENT_DR_HALF_HOURS   (48 * 45)
#define AGENT_DR_BEFORE_MS    INT64_C(300000)
#define AGENT_DR_DAYS_FROM_MS INT64_C(1800000)
#define AGENT_DR_DAYS_LOOKED  44
#define AGENT_DR_DAYS_TAKEN   5
#define AGENT_DR_DAYS_KEPT    4

/** struct agent_dr_sample - mean power since the sample before it
 * @sigma_kw: of the measurement: model and counter, not of the load */
struct agent_dr_sample {
    int64_t at_ms;
    double kw;
    double sigma_kw;
};

/** struct agent_dr_half_hour - mean of one slot; @event: it held an event, so it is no baseline */
struct agent_dr_half_hour {
    int64_t slot; /* half hours since 1970 UTC, 0 = empty */
    double kw_ms; /* sum of power x time */
    int64_t ms;   /* of which there are samples */
    bool event;
};

/** struct agent_dr_history - of one site: seconds for two hours, half hours for 45 days */
struct agent_dr_history {
    int64_t gap_ms; /* a longer silence is no measurement; a minute unless the day runs faster */
    struct agent_dr_sample *samples; /* ring */
    size_t first;
    size_t count;
    struct agent_dr_half_hour *slots; /* by slot modulo AGENT_DR_HALF_HOURS */
};

enum agent_dr_method { AGENT_DR_METHOD_NONE, AGENT_DR_METHOD_DAYS, AGENT_DR_METHOD_BEFORE };

/** struct agent_dr_baseline - @days: that were averaged; @adjust_kw: the same-day adjustment */
struct agent_dr_baseline {
    enum agent_dr_method method;
    double kw;
    double sigma_kw;
    double adjust_kw;
    int days;
};

/** struct agent_dr_delivered - of one stretch of time
 * @change_kw: drawn less the baseline; negative = less was drawn. @energy_kwh: the same as energy
 * @sigma_kw: of @change_kw, baseline and measurement together
 * @covered: share of the time for which there are samples */
struct agent_dr_delivered {
    struct agent_dr_baseline baseline;
    double drawn_kw;
    double change_kw;
    double energy_kwh;
    double sigma_kw;
    double covered;
};

/** agent_dr_history_init() - Return: 0 or -ENOMEM. */
int agent_dr_history_init(struct agent_dr_history *history);

/** agent_dr_history_done() - a zeroed struct is fine */
void agent_dr_history_done(struct agent_dr_history *history);

/** agent_dr_history_add() - one sample; an instant not after the last one is ignored
 * @in_event: the site answers an event, so the slot can't be a baseline. */
void agent_dr_history_add(struct agent_dr_history *history, const struct agent_dr_sample *sample,
                          bool in_event);

/** agent_dr_history_slot() - a half hour's mean from elsewhere (store, meter) for the baseline */
void agent_dr_history_slot(struct agent_dr_history *history, int64_t slot, double kw,
                           bool in_event);

/** agent_dr_history_mean() - mean of samples within @from_ms..@to_ms
 * @sigma_kw: the measurement's. @covered: share of the time. Return: the mean, NAN without samples.
 */
double agent_dr_history_mean(const struct agent_dr_history *history, int64_t from_ms, int64_t to_ms,
                             double *sigma_kw, double *covered);

/** agent_dr_baseline_at() - for the stretch @from_ms..@to_ms of an event that began at @event_ms
 * Picks the method by the event's length; falls back to the other one. */
struct agent_dr_baseline agent_dr_baseline_at(const struct agent_dr_history *history,
                                              int64_t event_ms, int64_t event_end_ms,
                                              int64_t from_ms, int64_t to_ms);

/** agent_dr_delivered_over() - measured against @baseline; @change_kw is NAN without samples
 * What is longer ago than the samples reach is taken from half hours. */
struct agent_dr_delivered agent_dr_delivered_over(const struct agent_dr_history *history,
                                                  const struct agent_dr_baseline *baseline,
                                                  int64_t from_ms, int64_t to_ms);

/** agent_dr_method_name() - "days", "before", "none" */
const char *agent_dr_method_name(enum agent_dr_method method);

#endif
