/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_forecast_options.c - the options of `forecast`, each checked where it is read
 * Owner: none.   Thread: main.   Time: dates are Japanese.   Units: in each option's help. */
#include <errno.h>
#include <string.h>

#include "cli/cmd_forecast.h"
#include "cli/options.h"

const struct agent_option agent_forecast_options[] = {
    {"list", NULL, NULL, "show the methods, and stop"},
    {"data", "DIR", "@dir", "read measurements and outlooks from DIR (default: synthetic)"},
    {"area", "AREA", NULL, "09 or kyushu (default kyushu)"},
    {"quantity", "NAME", "pv wind curtailment load", "what to forecast (default pv)"},
    {"place", "HOST", NULL, "with --quantity load: own load of this host, from --data"},
    {"day", "DATE", NULL, "the day (default: tomorrow; synthetic: 2025-10-01)"},
    {"method", "NAME", NULL, "use this one (default: chosen by back-test)"},
    {"lead", "SLOTS", NULL, "asked so many half hours before the day (default 14: 17:00)"},
    {"backtest", "DAYS", NULL, "score every method on so many days before (default 60)"},
    {"seed", "N", NULL, "of the synthetic year (default 1)"},
    {NULL, NULL, NULL, NULL},
};

static const char *value_of(const struct agent_context *context, const char *name)
{
    return agent_option_value(context, agent_forecast_options, name);
}

static int day(const struct agent_context *context, struct agent_forecast_job *job,
               struct agent_error *error)
{
    struct agent_date date = agent_date_of(context->now_s + AGENT_DAY_SECONDS);
    const char *text = value_of(context, "day");

    if (text == NULL && job->data_dir == NULL) {
        date = (struct agent_date){2025, 10, 1};
    }
    if (text != NULL && agent_date_parse(text, &date, error) != 0) {
        return -EINVAL;
    }
    if (date.year < 2003 || date.year > 2096) {
        return agent_error_set(error, EINVAL, "--day: expected 2003..2096, found %d", date.year);
    }
    job->day_slot = agent_slot_at(date, 0);
    return 0;
}

static int method(const struct agent_context *context, struct agent_forecast_job *job,
                  struct agent_error *error)
{
    const char *name = value_of(context, "method");

    if (name == NULL) {
        return 0;
    }
    job->method = agent_fc_find(name);
    if (job->method == NULL || !(job->method->kinds & (1u << job->kind))) {
        return agent_error_set(error, EINVAL,
                               "--method: '%.40s' is no method for %s (vmm-agent forecast --list "
                               "shows them)",
                               name, agent_fc_kind_name(job->kind));
    }
    return 0;
}

int agent_forecast_parse(const struct agent_context *context, struct agent_forecast_job *job,
                         struct agent_error *error)
{
    const char *area = value_of(context, "area");
    const char *quantity = value_of(context, "quantity");
    double lead = AGENT_FC_LEAD_DEFAULT, days = AGENT_FC_CHOICE_DAYS, seed = 1;

    memset(job, 0, sizeof(*job));
    job->data_dir = value_of(context, "data");
    job->place = value_of(context, "place");
    job->area = area != NULL ? agent_area_of(area) : AGENT_AREA_KYUSHU;
    job->kind = AGENT_FC_PV;
    if (job->area == AGENT_AREA_NONE) {
        return agent_error_set(error, EINVAL,
                               "--area: unknown area '%.40s'; expected 01..10 or a name", area);
    }
    if (quantity != NULL && agent_fc_kind_parse(quantity, &job->kind) != 0) {
        return agent_error_set(error, EINVAL, "--quantity: unknown '%.40s'", quantity);
    }
    if (job->place != NULL && (job->kind != AGENT_FC_LOAD || job->data_dir == NULL)) {
        return agent_error_set(error, EINVAL, "--place goes with --quantity load and --data only");
    }
    const struct agent_number_rule rules[] = {{"lead", 0, AGENT_FC_LEAD_MAX, true, &lead},
                                              {"backtest", 2, 366, true, &days},
                                              {"seed", 0, 9e15, true, &seed}};
    int result = agent_option_numbers(context, agent_forecast_options, rules,
                                      sizeof(rules) / sizeof(rules[0]), error);
    result = result != 0 ? result : day(context, job, error);
    result = result != 0 ? result : method(context, job, error);
    job->lead_slots = (int64_t)lead;
    job->backtest_days = (size_t)days;
    job->seed = (uint64_t)seed;
    return result;
}
