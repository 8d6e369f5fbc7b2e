/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_forecast.c - `vmm-agent forecast`: one quantity of one area, the 48 half hours of a day
 * Owner: data on the heap.   Thread: main.
 * Time:  the question is put --lead half hours before the day.   Units: MW (own load: kW). */
#include "cli/cmd_forecast.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "forecast/spread.h"
#include "simulate/data.h"

#define HISTORY_DAYS 500

static const enum agent_sim_signal signal_of[AGENT_FC_KINDS] = {
    [AGENT_FC_PV] = SIM_PV,
    [AGENT_FC_WIND] = SIM_WIND,
    [AGENT_FC_CURTAILMENT] = SIM_CURTAILED,
    [AGENT_FC_LOAD] = SIM_DEMAND,
};

/* Days before the day that can matter: back-test, its warm-up, and what methods look back. */
static int load(struct agent_context *context, const struct agent_forecast_job *job,
                struct agent_sim_data *data, struct agent_error *error)
{
    int64_t days = (int64_t)job->backtest_days + AGENT_FC_WARM_DAYS + 70;
    days = days > HISTORY_DAYS ? HISTORY_DAYS : days;
    int64_t first = job->day_slot - days * AGENT_SLOTS_PER_DAY;
    size_t slots = (size_t)(days + 1) * AGENT_SLOTS_PER_DAY;

    if (job->data_dir == NULL) {
        return agent_sim_data_synth(job->seed, first, slots, data, error);
    }
    int result = agent_sim_data_files(job->data_dir, first, slots, context->now_s, data, error);
    if (result == 0 && job->place != NULL) {
        result =
            agent_sim_data_host(job->data_dir, job->place, context->now_s, job->area, data, error);
        if (result != 0) {
            agent_sim_data_done(data);
        }
    }
    return result;
}

static struct agent_fc_track track(const struct agent_sim_data *data, enum agent_area area,
                                   enum agent_sim_signal signal)
{
    const double *value = data->value[area][signal];

    return (struct agent_fc_track){value, data->first_slot, value != NULL ? data->slots : 0};
}

/* Residual demand the operator expects: what curtailment goes with. @guide: data->slots values. */
static struct agent_fc_track guide_of(const struct agent_sim_data *data, enum agent_area area,
                                      double *guide)
{
    for (size_t i = 0; i < data->slots; i++) {
        int64_t slot = data->first_slot + (int64_t)i;
        guide[i] = agent_sim_data_at(data, area, SIM_OUTLOOK_DEMAND, slot) -
                   agent_sim_data_at(data, area, SIM_OUTLOOK_WIND_PV, slot);
    }
    return (struct agent_fc_track){guide, data->first_slot, data->slots};
}

/* The announced amounts over the half hours of their days. @spread: data->slots values. */
static struct agent_fc_track announced(const struct agent_sim_data *data, enum agent_area area,
                                       const double *guide, double *spread)
{
    const double *amount = data->value[area][SIM_OUTLOOK_CURTAILED];

    for (size_t i = 0; amount != NULL && i + AGENT_FC_SLOTS <= data->slots; i += AGENT_FC_SLOTS) {
        agent_fc_spread(guide + i, amount[i], spread + i);
    }
    return (struct agent_fc_track){spread, data->first_slot, amount != NULL ? data->slots : 0};
}

/* @room: 2 * data->slots values for what is computed from the data */
static struct agent_fc_case case_of(const struct agent_forecast_job *job,
                                    const struct agent_sim_data *data, double *room)
{
    struct agent_fc_case ask = {.kind = job->kind,
                                .day_slot = job->day_slot,
                                .known_until = job->day_slot - job->lead_slots,
                                .place = agent_solar_area(job->area)};

    ask.actual = track(data, job->area, signal_of[job->kind]);
    if (job->kind == AGENT_FC_PV) {
        ask.outlook = track(data, job->area, SIM_OUTLOOK_WIND_PV);
    } else if (job->kind == AGENT_FC_LOAD && job->place == NULL) {
        ask.outlook = track(data, job->area, SIM_OUTLOOK_DEMAND);
    } else if (job->kind == AGENT_FC_CURTAILMENT) {
        ask.guide = guide_of(data, job->area, room);
        ask.outlook = announced(data, job->area, room, room + data->slots);
    }
    return ask;
}

/* Every method over the days asked for, ending before what was known. */
static void score(const struct agent_forecast_job *job, const struct agent_fc_case *ask,
                  struct agent_fc_ranking *ranking)
{
    struct agent_fc_trial trial = {.base = *ask,
                                   .days = job->backtest_days,
                                   .warm_days = AGENT_FC_WARM_DAYS,
                                   .lead_slots = job->lead_slots};

    trial.first_day = ask->day_slot - (int64_t)(job->backtest_days + 1) * AGENT_SLOTS_PER_DAY;
    trial.base.actual.count = (size_t)(ask->known_until - ask->actual.first_slot);
    if (agent_fc_rank(&trial, ranking, NULL) != 0) {
        ranking->best = ranking->count; /* nobody */
    }
}

static int answer(struct agent_context *context, const struct agent_forecast_job *job,
                  const struct agent_sim_data *data, struct agent_error *error)
{
    struct agent_gate_verdict verdict;
    struct agent_fc_answer found;
    struct agent_fc_ranking ranking;
    double actual[AGENT_FC_SLOTS];
    double *room = calloc(2 * data->slots, sizeof(*room));
    struct agent_sim_question question = {.area = job->area,
                                          .signal = signal_of[job->kind],
                                          .today = job->day_slot,
                                          .lead_slots = job->lead_slots};

    if (room == NULL) {
        return agent_error_set(error, ENOMEM, "forecast: out of memory");
    }
    struct agent_fc_case ask = case_of(job, data, room);
    int result = agent_sim_signal_check(data, &question, &verdict);
    bool refused = result > 0;
    if (result >= 0 && ask.actual.value == NULL) {
        result = agent_error_set(error, ENODATA, "%s", verdict.text);
    }
    if (result >= 0) {
        result = agent_fc_answer_day(&ask, job->method, &found, error);
        if (result == -ENODATA && refused) { /* the reason behind the reason */
            agent_error_clear(error);
            agent_error_set(error, ENODATA, "%s", verdict.text);
        }
    }
    if (result == 0) {
        score(job, &ask, &ranking);
        for (int i = 0; i < AGENT_FC_SLOTS; i++) {
            actual[i] = agent_sim_data_at(data, job->area, signal_of[job->kind], job->day_slot + i);
        }
        struct agent_forecast_show show = {job, &found, &ranking, &verdict, actual};
        result = agent_forecast_print(context, &show);
        result = result == 0 && refused ? 1 : result;
    }
    free(room);
    return result;
}

static int run(struct agent_context *context)
{
    struct agent_forecast_job job;
    struct agent_error error = {0};

    if (agent_context_value(context, &agent_cmd_forecast, "list") != NULL) {
        return agent_forecast_list(context) == 0 ? AGENT_EXIT_OK : AGENT_EXIT_SYSTEM;
    }
    if (agent_forecast_parse(context, &job, &error) != 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    struct agent_sim_data *data = calloc(1, sizeof(*data));
    int status = data == NULL ? agent_error_set(&error, ENOMEM, "forecast: out of memory")
                              : load(context, &job, data, &error);
    if (status == 0) {
        status = answer(context, &job, data, &error);
        agent_sim_data_done(data);
    }
    free(data);
    if (status >= 0) {
        return status == 0 ? AGENT_EXIT_OK : AGENT_EXIT_NO;
    }
    if (error.code == 0) {
        agent_error_set(&error, status, "forecast: %s", strerror(-status));
    }
    return agent_context_fail(context, status == -ENOMEM ? AGENT_EXIT_SYSTEM : AGENT_EXIT_INPUT,
                              &error);
}

const struct agent_command agent_cmd_forecast = {
    .name = "forecast",
    .summary = "solar, wind, curtailment or load of a day, with quantiles and scores",
    .operands = "",
    .operands_max = 0,
    .detail = "The method is chosen by back-test on the days before; nothing after the hour of "
              "asking is used. The exit code is 1 when the signal it rests on was refused (late, "
              "missing, stale, zero, future-dated or revised): then nothing should move for it.\n\n"
              "Example: vmm-agent forecast --data DIR --area 09 --quantity pv --day 2026-04-03",
    .options = agent_forecast_options,
    .run = run,
};
