/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/baseline.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forecast/calendar.h"
#include "support/slot.h"

#define SLOT_MS      (INT64_C(1000) * AGENT_SLOT_SECONDS)
#define GAP_MS       60000
#define BLOCKS       5  /* parts of the time before an event, for its spread */
#define WINDOW_FROM  10 /* same-day adjustment: half hours before the event */
#define WINDOW_TO    4
#define SLOTS_ENOUGH 0.5 /* share of a half hour that must be measured */

int agent_dr_history_init(struct agent_dr_history *history)
{
    *history = (struct agent_dr_history){.gap_ms = GAP_MS};
    history->samples = calloc(AGENT_DR_SAMPLES_MAX, sizeof(*history->samples));
    history->slots = calloc(AGENT_DR_HALF_HOURS, sizeof(*history->slots));
    if (history->samples == NULL || history->slots == NULL) {
        agent_dr_history_done(history);
        return -ENOMEM;
    }
    return 0;
}

void agent_dr_history_done(struct agent_dr_history *history)
{
    free(history->samples);
    free(history->slots);
    *history = (struct agent_dr_history){0};
}

static const struct agent_dr_sample *sample_at(const struct agent_dr_history *history, size_t index)
{
    return &history->samples[(history->first + index) % AGENT_DR_SAMPLES_MAX];
}

static struct agent_dr_half_hour *slot_cell(const struct agent_dr_history *history, int64_t slot)
{
    struct agent_dr_half_hour *cell = &history->slots[slot % AGENT_DR_HALF_HOURS];

    if (cell->slot != slot) {
        *cell = (struct agent_dr_half_hour){.slot = slot};
    }
    return cell;
}

/* The stretch from the sample before to @sample, cut at the half hours it touches. */
static void add_stretch(struct agent_dr_history *history, int64_t from_ms,
                        const struct agent_dr_sample *sample, bool in_event)
{
    while (from_ms < sample->at_ms) {
        int64_t slot = from_ms / SLOT_MS;
        int64_t end_ms = (slot + 1) * SLOT_MS;
        int64_t part_ms = (end_ms < sample->at_ms ? end_ms : sample->at_ms) - from_ms;
        struct agent_dr_half_hour *cell = slot_cell(history, slot);
        cell->kw_ms += sample->kw * (double)part_ms;
        cell->ms += part_ms;
        cell->event = cell->event || in_event;
        from_ms += part_ms;
    }
}

void agent_dr_history_add(struct agent_dr_history *history, const struct agent_dr_sample *sample,
                          bool in_event)
{
    const struct agent_dr_sample *last =
        history->count > 0 ? sample_at(history, history->count - 1) : NULL;

    if (!isfinite(sample->kw) || sample->at_ms < 0 ||
        (last != NULL && sample->at_ms <= last->at_ms)) {
        return;
    }
    if (last != NULL && sample->at_ms - last->at_ms <= history->gap_ms) {
        add_stretch(history, last->at_ms, sample, in_event);
    }
    if (history->count == AGENT_DR_SAMPLES_MAX) {
        history->first = (history->first + 1) % AGENT_DR_SAMPLES_MAX;
        history->count--;
    }
    history->samples[(history->first + history->count++) % AGENT_DR_SAMPLES_MAX] = *sample;
}

void agent_dr_history_slot(struct agent_dr_history *history, int64_t slot, double kw, bool in_event)
{
    if (slot > 0 && isfinite(kw)) {
        *slot_cell(history, slot) =
            (struct agent_dr_half_hour){slot, kw * (double)SLOT_MS, SLOT_MS, in_event};
    }
}

double agent_dr_history_mean(const struct agent_dr_history *history, int64_t from_ms, int64_t to_ms,
                             double *sigma_kw, double *covered)
{
    double sum = 0;
    double sigma = 0;
    double time_ms = 0;

    for (size_t index = history->count; index-- > 1;) {
        const struct agent_dr_sample *sample = sample_at(history, index);
        int64_t before_ms = sample_at(history, index - 1)->at_ms;
        if (sample->at_ms <= from_ms) {
            break;
        }
        if (before_ms >= to_ms || sample->at_ms - before_ms > history->gap_ms) {
            continue;
        }
        double part_ms = (double)((sample->at_ms < to_ms ? sample->at_ms : to_ms) -
                                  (before_ms > from_ms ? before_ms : from_ms));
        sum += sample->kw * part_ms;
        sigma += sample->sigma_kw * part_ms; /* the model errs the same way all the time */
        time_ms += part_ms;
    }
    *sigma_kw = time_ms > 0 ? sigma / time_ms : 0;
    *covered = to_ms > from_ms ? time_ms / (double)(to_ms - from_ms) : 0;
    return time_ms > 0 ? sum / time_ms : NAN;
}

/* Spread of values around their mean, as the uncertainty of one more. */
static double spread_of_next(const double *values, int count)
{
    double mean = 0;
    double squares = 0;

    for (int index = 0; index < count; index++) {
        mean += values[index] / count;
    }
    for (int index = 0; index < count; index++) {
        squares += (values[index] - mean) * (values[index] - mean);
    }
    return count > 1 ? sqrt(squares / (count - 1) * (1 + 1.0 / count)) : fabs(mean);
}

static struct agent_dr_baseline before(const struct agent_dr_history *history, int64_t event_ms)
{
    struct agent_dr_baseline found = {.method = AGENT_DR_METHOD_BEFORE, .kw = NAN};
    double blocks[BLOCKS];
    double sigma_kw = 0;
    double covered = 0;
    int count = 0;

    found.kw = agent_dr_history_mean(history, event_ms - AGENT_DR_BEFORE_MS, event_ms, &sigma_kw,
                                     &covered);
    for (int block = 0; block < BLOCKS; block++) {
        double unused = 0;
        int64_t from_ms = event_ms - AGENT_DR_BEFORE_MS * (BLOCKS - block) / BLOCKS;
        double mean = agent_dr_history_mean(history, from_ms, from_ms + AGENT_DR_BEFORE_MS / BLOCKS,
                                            &unused, &covered);
        if (!isnan(mean)) {
            blocks[count++] = mean;
        }
    }
    if (isnan(found.kw)) {
        return (struct agent_dr_baseline){.kw = NAN};
    }
    found.sigma_kw = hypot(count > 1 ? spread_of_next(blocks, count) : 0, sigma_kw);
    return found;
}

/* Mean over @from_ms..@to_ms of the half hours @days before; NAN when one is missing or held an
 * event. */
static double mean_of_day(const struct agent_dr_history *history, int days, int64_t from_ms,
                          int64_t to_ms)
{
    int64_t shift_ms = (int64_t)days * AGENT_DAY_SECONDS * 1000;
    double sum = 0;

    for (int64_t at_ms = from_ms; at_ms < to_ms;) {
        int64_t slot = at_ms / SLOT_MS;
        int64_t end_ms = (slot + 1) * SLOT_MS < to_ms ? (slot + 1) * SLOT_MS : to_ms;
        int64_t held = slot - shift_ms / SLOT_MS;
        const struct agent_dr_half_hour *cell =
            held > 0 ? &history->slots[held % AGENT_DR_HALF_HOURS] : NULL;
        if (cell == NULL || cell->slot != held || (days > 0 && cell->event) ||
            (double)cell->ms < SLOTS_ENOUGH * (double)SLOT_MS) {
            return NAN;
        }
        sum += cell->kw_ms / (double)cell->ms * (double)(end_ms - at_ms);
        at_ms = end_ms;
    }
    return to_ms > from_ms ? sum / (double)(to_ms - from_ms) : NAN;
}

static bool working_day(int64_t time_ms)
{
    return agent_calendar_type(agent_date_of(time_ms / 1000)) == AGENT_DAY_WORK;
}

/* The days that make the baseline: the latest five of this kind, without the lowest of them. */
static int choose_days(const struct agent_dr_history *history, int64_t event_ms, int64_t end_ms,
                       int *days)
{
    double means[AGENT_DR_DAYS_TAKEN];
    int count = 0;
    int lowest = 0;
    bool work = working_day(event_ms);

    for (int day = 1; day <= AGENT_DR_DAYS_LOOKED && count < AGENT_DR_DAYS_TAKEN; day++) {
        int64_t then_ms = event_ms - (int64_t)day * AGENT_DAY_SECONDS * 1000;
        double mean = then_ms > (int64_t)AGENT_TIME_MIN_S * 1000 && working_day(then_ms) == work
                          ? mean_of_day(history, day, event_ms, end_ms)
                          : NAN;
        if (!isnan(mean)) {
            means[count] = mean;
            days[count] = day;
            lowest = mean < means[lowest] ? count : lowest;
            count++;
        }
    }
    if (count > AGENT_DR_DAYS_KEPT) {
        days[lowest] = days[--count];
    }
    return count;
}

/* Today against one day in the hours before the event; 0 when there is nothing to compare. */
static double adjustment(const struct agent_dr_history *history, int day, int64_t event_ms)
{
    int64_t start_ms = event_ms / SLOT_MS * SLOT_MS;
    double sum = 0;
    int count = 0;

    for (int back = WINDOW_FROM; back > WINDOW_TO; back--) {
        int64_t from_ms = start_ms - back * SLOT_MS;
        double off = mean_of_day(history, 0, from_ms, from_ms + SLOT_MS) -
                     mean_of_day(history, day, from_ms, from_ms + SLOT_MS);
        if (!isnan(off)) {
            sum += off;
            count++;
        }
    }
    return count > 0 ? sum / count : 0;
}

static struct agent_dr_baseline by_days(const struct agent_dr_history *history, int64_t event_ms,
                                        int64_t event_end_ms, int64_t from_ms, int64_t to_ms)
{
    struct agent_dr_baseline found = {.method = AGENT_DR_METHOD_DAYS, .kw = NAN};
    int days[AGENT_DR_DAYS_TAKEN];
    double values[AGENT_DR_DAYS_TAKEN];
    int64_t day_ms = event_ms + (int64_t)AGENT_DAY_SECONDS * 1000;
    int count = choose_days(history, event_ms, event_end_ms < day_ms ? event_end_ms : day_ms, days);
    double sum = 0;

    if (count < AGENT_DR_DAYS_KEPT - 1) {
        return found;
    }
    for (int index = 0; index < count; index++) {
        double adjust = adjustment(history, days[index], event_ms);
        values[index] = mean_of_day(history, days[index], from_ms, to_ms) + adjust;
        found.adjust_kw += adjust / count;
        sum += values[index];
    }
    found.days = count;
    found.kw = sum / count;
    found.sigma_kw = spread_of_next(values, count);
    return found;
}

struct agent_dr_baseline agent_dr_baseline_at(const struct agent_dr_history *history,
                                              int64_t event_ms, int64_t event_end_ms,
                                              int64_t from_ms, int64_t to_ms)
{
    struct agent_dr_baseline found = {.kw = NAN};

    if (event_end_ms - event_ms >= AGENT_DR_DAYS_FROM_MS && to_ms > from_ms) {
        found = by_days(history, event_ms, event_end_ms, from_ms, to_ms);
    }
    return isnan(found.kw) ? before(history, event_ms) : found;
}

struct agent_dr_delivered agent_dr_delivered_over(const struct agent_dr_history *history,
                                                  const struct agent_dr_baseline *baseline,
                                                  int64_t from_ms, int64_t to_ms)
{
    struct agent_dr_delivered found = {.baseline = *baseline};
    double sigma_kw = 0;

    found.drawn_kw = agent_dr_history_mean(history, from_ms, to_ms, &sigma_kw, &found.covered);
    if (found.covered < SLOTS_ENOUGH && history->count > 0) {
        double older_kw = mean_of_day(history, 0, from_ms, to_ms);
        found.drawn_kw = isnan(older_kw) ? found.drawn_kw : older_kw;
        found.covered = isnan(older_kw) ? found.covered : 1;
        sigma_kw = fmax(sigma_kw, sample_at(history, history->count - 1)->sigma_kw);
    }
    found.change_kw = found.drawn_kw - baseline->kw;
    found.energy_kwh = found.change_kw * (double)(to_ms - from_ms) / 3.6e6;
    found.sigma_kw = hypot(sigma_kw, baseline->sigma_kw);
    return found;
}

const char *agent_dr_method_name(enum agent_dr_method method)
{
    static const char *const names[] = {"none", "days", "before"};

    return names[method];
}
