/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/forecasts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHOICE_EVERY_DAYS 30

static size_t at(const struct agent_sim_forecasts *f, size_t method, size_t site, size_t day)
{
    return ((method * f->sites + site) * f->days + day) * SIM_QUANTILES * AGENT_SIM_SLOTS;
}

const float *agent_sim_forecasts_day(const struct agent_sim_forecasts *forecasts, size_t method,
                                     size_t site, size_t day, enum agent_sim_quantile quantile)
{
    return forecasts->value + at(forecasts, method, site, day) + quantile * AGENT_SIM_SLOTS;
}

void agent_sim_forecasts_done(struct agent_sim_forecasts *forecasts)
{
    free(forecasts->value);
    memset(forecasts, 0, sizeof(*forecasts));
}

static struct agent_fc_track track(const struct agent_sim_data *data, enum agent_area area,
                                   enum agent_sim_signal signal)
{
    const double *value = data->value[area][signal];

    return (struct agent_fc_track){value, data->first_slot, value != NULL ? data->slots : 0};
}

static struct agent_fc_trial trial_of(const struct agent_sim_request *request,
                                      const struct agent_sim_data *data, size_t site)
{
    enum agent_area area = request->sites[site].area;
    struct agent_fc_trial trial = {.first_day = request->first_day,
                                   .days = request->days,
                                   .warm_days = AGENT_FC_WARM_DAYS,
                                   .lead_slots = request->lead_slots};

    trial.base.kind = AGENT_FC_PV;
    trial.base.actual = track(data, area, SIM_PV);
    trial.base.outlook = track(data, area, SIM_OUTLOOK_WIND_PV);
    trial.base.place = agent_solar_area(area);
    return trial;
}

/* Where the forecasts of one back-test go. */
struct target {
    struct agent_sim_forecasts *forecasts;
    size_t method;
    size_t site;
    int64_t first_day;
};

static void store(void *sink_arg, int64_t day_slot, const double *forecast,
                  const struct agent_fc_bands *bands)
{
    struct target *target = sink_arg;
    size_t day = (size_t)((day_slot - target->first_day) / AGENT_SIM_SLOTS);
    float *out =
        target->forecasts->value + at(target->forecasts, target->method, target->site, day);

    for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
        bool wide = isfinite(bands->p10[i]);
        out[i] = (float)(wide ? bands->p10[i] : forecast[i]);
        out[AGENT_SIM_SLOTS + i] = (float)(wide ? bands->p50[i] : forecast[i]);
        out[2 * AGENT_SIM_SLOTS + i] = (float)(wide ? bands->p90[i] : forecast[i]);
    }
}

/* Nothing of a method that turned out not to fit may be taken for another's. */
static void forget(struct agent_sim_forecasts *forecasts, size_t method)
{
    for (size_t i = at(forecasts, method, 0, 0); i < at(forecasts, method + 1, 0, 0); i++) {
        forecasts->value[i] = NAN;
    }
}

static int run_method(const struct agent_sim_request *request, const struct agent_sim_data *data,
                      const struct agent_fc_method *method, struct agent_sim_forecasts *forecasts)
{
    struct target target = {forecasts, forecasts->count, 0, request->first_day};
    struct agent_fc_score score;

    for (size_t site = 0; site < request->site_count; site++) {
        struct agent_fc_trial trial = trial_of(request, data, site);
        target.site = site;
        int result = agent_fc_backtest(method, &trial, &score, store, &target);
        if (result <= 0 && method != &agent_fc_persistence) {
            forget(forecasts, forecasts->count);
            return result;
        }
    }
    snprintf(forecasts->name[forecasts->count], sizeof(forecasts->name[0]), "%s", method->name);
    forecasts->count++;
    return 0;
}

static size_t find(const struct agent_sim_forecasts *forecasts, const char *name)
{
    for (size_t m = 0; m < forecasts->count; m++) {
        if (strcmp(forecasts->name[m], name) == 0) {
            return m;
        }
    }
    return 0; /* persistence */
}

/* Choose for days from @day on by the days before; keep the old choice where that is impossible. */
static size_t choose(const struct agent_sim_request *request, const struct agent_sim_data *data,
                     const struct agent_sim_forecasts *forecasts, size_t site, size_t day,
                     struct agent_sim_result *result)
{
    struct agent_fc_trial trial = trial_of(request, data, site);
    struct agent_fc_ranking ranking;
    int64_t today = request->first_day + (int64_t)day * AGENT_SIM_SLOTS;

    trial.days = AGENT_FC_CHOICE_DAYS;
    trial.first_day = today - (int64_t)(AGENT_FC_CHOICE_DAYS + 1) * AGENT_SIM_SLOTS;
    trial.base.actual.count = today - request->lead_slots > data->first_slot
                                  ? (size_t)(today - request->lead_slots - data->first_slot)
                                  : 0;
    if (trial.base.actual.value == NULL || agent_fc_rank(&trial, &ranking, NULL) != 0) {
        return find(forecasts, result->chosen[site]);
    }
    snprintf(result->chosen[site], sizeof(result->chosen[site]), "%s",
             ranking.method[ranking.best]->name);
    result->ranking[site] = ranking;
    return find(forecasts, result->chosen[site]);
}

static void choice(const struct agent_sim_request *request, const struct agent_sim_data *data,
                   struct agent_sim_forecasts *forecasts, struct agent_sim_result *result)
{
    size_t mine = forecasts->count;

    for (size_t site = 0; site < request->site_count; site++) {
        size_t method = 0;
        snprintf(result->chosen[site], sizeof(result->chosen[site]), "%s",
                 agent_fc_persistence.name);
        for (size_t day = 0; day < request->days; day++) {
            if (day % CHOICE_EVERY_DAYS == 0) {
                method = choose(request, data, forecasts, site, day, result);
            }
            memcpy(forecasts->value + at(forecasts, mine, site, day),
                   forecasts->value + at(forecasts, method, site, day),
                   SIM_QUANTILES * AGENT_SIM_SLOTS * sizeof(float));
        }
    }
    snprintf(forecasts->name[mine], sizeof(forecasts->name[0]), "chosen");
    forecasts->count++;
}

int agent_sim_forecasts_make(const struct agent_sim_request *request,
                             const struct agent_sim_data *data,
                             struct agent_sim_forecasts *forecasts, struct agent_sim_result *result)
{
    size_t count = 0;
    const struct agent_fc_method *const *methods = agent_fc_methods(&count);

    memset(forecasts, 0, sizeof(*forecasts));
    forecasts->sites = request->site_count;
    forecasts->days = request->days;
    size_t size = at(forecasts, count + 1, 0, 0);
    forecasts->value = malloc(size * sizeof(*forecasts->value));
    if (forecasts->value == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < size; i++) {
        forecasts->value[i] = NAN;
    }
    bool sunny = false; /* without solar power there is nothing to forecast: one plan will do */
    for (size_t s = 0; s < request->site_count; s++) {
        sunny = sunny || request->sites[s].ratio > 0.0;
    }
    for (size_t m = 0; m < count; m++) {
        bool wanted = (sunny && request->method == NULL) || methods[m] == request->method ||
                      methods[m] == &agent_fc_persistence;
        if (wanted && (methods[m]->kinds & (1u << AGENT_FC_PV)) != 0) {
            run_method(request, data, methods[m], forecasts);
        }
        if (request->progress != NULL) {
            request->progress(request->progress_arg, "forecast", m + 1, count);
        }
    }
    if (request->method == NULL && sunny) {
        choice(request, data, forecasts, result);
    }
    return 0;
}
