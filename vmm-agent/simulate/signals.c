/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/signals.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOOK_BACK_SLOTS (2 * AGENT_SIM_SLOTS)
#define LATE_SLOTS      12
#define REPEAT_MAX      24 /* half a day of the very same non-zero solar power: a stuck meter */

static const enum agent_quantity quantity_of[SIM_SIGNALS] = {
    [SIM_PV] = AGENT_PV,
    [SIM_WIND] = AGENT_WIND,
    [SIM_CURTAILED] = AGENT_PV_CURTAILED,
    [SIM_DEMAND] = AGENT_DEMAND,
    [SIM_CARBON] = AGENT_CARBON,
    [SIM_PRICE] = AGENT_PRICE_SPOT,
    [SIM_OUTLOOK_DEMAND] = AGENT_DEMAND,
    [SIM_OUTLOOK_WIND_PV] = AGENT_WIND_PV,
    [SIM_OUTLOOK_CURTAILED] = AGENT_CURTAILMENT_OUTLOOK,
};

/* The signal as the decision would read it: measurements end when asked, prices cover the day. */
static int read_series(const struct agent_sim_data *data, enum agent_area area,
                       enum agent_sim_signal signal, int64_t first, int64_t end,
                       struct agent_series *series)
{
    agent_series_init(series, area, quantity_of[signal], AGENT_ACTUAL);
    for (int64_t slot = first; slot < end; slot++) {
        double value = agent_sim_data_at(data, area, signal, slot);
        struct agent_point point = {agent_slot_start(slot), AGENT_SLOT_SECONDS, 0, value};
        if (isfinite(value) && agent_series_append(series, point) != 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

static void cut_after(struct agent_series *series, int64_t end_s)
{
    while (series->count > 0 && series->points[series->count - 1].start_s >= end_s) {
        series->count--;
    }
}

static int spoil(struct agent_series *series, enum agent_gate_fault kind,
                 const struct agent_gate_rule *rule)
{
    switch (kind) {
    case AGENT_GATE_MISSING:
        series->count = 0;
        break;
    case AGENT_GATE_LATE:
        cut_after(series, rule->until_s - LATE_SLOTS * AGENT_SLOT_SECONDS);
        break;
    case AGENT_GATE_STALE:
        cut_after(series, rule->from_s - AGENT_DAY_SECONDS / 2);
        break;
    case AGENT_GATE_FUTURE: {
        int64_t start_s = series->count > 0 ? series->points[series->count - 1].start_s : 0;
        struct agent_point point = {start_s + AGENT_DAY_SECONDS, AGENT_SLOT_SECONDS,
                                    AGENT_QUALITY_FUTURE, 1.0};
        return agent_series_append(series, point);
    }
    default:
        for (size_t i = 0; i < series->count; i++) {
            struct agent_point *point = &series->points[i];
            point->value = kind == AGENT_GATE_ZERO ? 0.0 : point->value * 1.3;
            point->quality |= kind == AGENT_GATE_REVISED       ? AGENT_QUALITY_REVISED
                              : kind == AGENT_GATE_IMPLAUSIBLE ? AGENT_QUALITY_RANGE
                                                               : 0;
        }
        break;
    }
    return 0;
}

static void note(struct agent_sim_result *result, enum agent_area area,
                 enum agent_sim_signal signal, const struct agent_gate_verdict *verdict)
{
    for (size_t i = 0; i < result->verdict_count; i++) {
        struct agent_sim_verdict *old = &result->verdicts[i];
        if (old->area == area && old->signal == signal && old->fault == verdict->fault) {
            old->days++;
            return;
        }
    }
    if (result->verdict_count == AGENT_SIM_VERDICTS_MAX) {
        return;
    }
    struct agent_sim_verdict *fresh = &result->verdicts[result->verdict_count++];
    *fresh = (struct agent_sim_verdict){
        .area = area, .signal = signal, .fault = verdict->fault, .days = 1};
    snprintf(fresh->text, sizeof(fresh->text), "%s", verdict->text);
}

/* Spoil what the request asks to spoil for this site and day. */
static int spoil_all(const struct agent_sim_question *question, struct agent_series *series,
                     const struct agent_gate_rule *rule)
{
    int result = 0;

    for (size_t i = 0; i < question->fault_count && result == 0; i++) {
        const struct agent_sim_fault *fault = &question->faults[i];
        if (fault->area == question->area && fault->signal == question->signal &&
            (fault->day < 0 || fault->day == question->day)) {
            result = spoil(series, fault->kind, rule);
        }
    }
    return result;
}

int agent_sim_signal_check(const struct agent_sim_data *data,
                           const struct agent_sim_question *question,
                           struct agent_gate_verdict *verdict)
{
    int64_t asked = question->today - question->lead_slots;
    bool price = question->signal == SIM_PRICE;
    bool dark_ok = question->signal == SIM_CURTAILED;
    int64_t from = price ? question->today : asked - LOOK_BACK_SLOTS;
    int64_t until = price ? question->today + AGENT_SIM_SLOTS : asked;
    struct agent_gate_rule rule = {
        .from_s = agent_slot_start(from),
        .until_s = agent_slot_start(until),
        .now_s = agent_slot_start(asked),
        .zero_ok = dark_ok,
        .repeat_max = price || dark_ok ? 0 : REPEAT_MAX,
    };
    struct agent_series series;
    char name[64];

    snprintf(name, sizeof(name), "%s %s", agent_area_name(question->area),
             agent_sim_signal_name(question->signal));
    int result =
        read_series(data, question->area, question->signal, from - AGENT_SIM_SLOTS, until, &series);
    if (result == 0) {
        /* the data set may begin with a day that nobody has the day before of */
        if (!price && series.count > 0 && series.points[0].start_s > rule.from_s) {
            rule.from_s = series.points[0].start_s;
        }
        result = spoil_all(question, &series, &rule);
    }
    if (result == 0) {
        result = agent_gate_check(&series, name, &rule, verdict) ? 0 : 1;
    }
    agent_series_done(&series);
    return result;
}

int agent_sim_signals_judge(const struct agent_sim_request *request,
                            const struct agent_sim_data *data, size_t day, bool priced,
                            struct agent_sim_signals *signals, struct agent_sim_result *result)
{
    static const enum agent_sim_signal judged[] = {SIM_PV, SIM_PRICE};

    memset(signals, 0, sizeof(*signals));
    for (size_t site = 0; site < request->site_count; site++) {
        for (size_t k = 0; k < 2; k++) {
            struct agent_gate_verdict verdict;
            bool needed = judged[k] == SIM_PV ? request->sites[site].ratio > 0.0 : priced;
            if (!needed) {
                continue;
            }
            struct agent_sim_question question = {
                .area = request->sites[site].area,
                .signal = judged[k],
                .today = request->first_day + (int64_t)day * AGENT_SIM_SLOTS,
                .lead_slots = request->lead_slots,
                .fault_count = request->fault_count,
                .faults = request->faults,
                .day = (int)day,
            };
            int refused = agent_sim_signal_check(data, &question, &verdict);
            if (refused < 0) {
                return refused;
            }
            if (refused > 0 && result != NULL) {
                note(result, request->sites[site].area, judged[k], &verdict);
            }
            if (refused > 0 && !signals->refused[site]) {
                signals->refused[site] = true;
                signals->signal[site] = judged[k];
                snprintf(signals->reason[site], sizeof(signals->reason[site]), "%s", verdict.text);
            }
        }
    }
    return 0;
}
