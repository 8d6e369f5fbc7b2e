/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_forecast.h - what the command line of `forecast` asks for, and how its answer is printed
 * Owner: on main's stack.   Thread: main.   Time: slots.   Units: MW (own load: kW). */
#ifndef AGENT_CLI_CMD_FORECAST_H
#define AGENT_CLI_CMD_FORECAST_H

#include "cli/command.h"
#include "forecast/backtest.h"
#include "simulate/signals.h"

/** struct agent_forecast_job - @data_dir NULL = synthetic; @place NULL = the area's own signal
 * @backtest_days: days before the day that every method is scored on */
struct agent_forecast_job {
    const char *data_dir;
    const char *place;
    enum agent_area area;
    enum agent_fc_kind kind;
    int64_t day_slot;
    int64_t lead_slots;
    size_t backtest_days;
    uint64_t seed;
    const struct agent_fc_method *method;
};

/** struct agent_forecast_show - the answer */
struct agent_forecast_show {
    const struct agent_forecast_job *job;
    const struct agent_fc_answer *answer;
    const struct agent_fc_ranking *ranking;
    const struct agent_gate_verdict *verdict;
    const double *actual; /* 48 values, NAN = not known */
};

extern const struct agent_option agent_forecast_options[];

/** agent_forecast_parse() - check every option. Return: 0, or -EINVAL naming option and value. */
int agent_forecast_parse(const struct agent_context *context, struct agent_forecast_job *job,
                         struct agent_error *error);

/** agent_forecast_print() - as text or, with --json, one document. Return: 0, -ENOMEM, -EIO. */
int agent_forecast_print(struct agent_context *context, const struct agent_forecast_show *show);

/** agent_forecast_list() - the methods there are */
int agent_forecast_list(struct agent_context *context);

#endif
