/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/run_parts.h"

#include <errno.h>
#include <math.h>

static void trace_signals(const struct agent_sim_request *request,
                          const struct agent_sim_data *data, struct agent_sim_result *result)
{
    size_t slots = request->days * AGENT_SIM_SLOTS;

    slots = slots < AGENT_SIM_TRACE_DAYS * AGENT_SIM_SLOTS ? slots
                                                           : AGENT_SIM_TRACE_DAYS * AGENT_SIM_SLOTS;
    result->trace_slots = slots;
    for (size_t s = 0; s < request->site_count; s++) {
        const struct agent_sim_site *site = &request->sites[s];
        for (size_t i = 0; i < slots; i++) {
            int64_t slot = request->first_day + (int64_t)i;
            double pv = agent_sim_data_at(data, site->area, SIM_PV, slot);
            result->trace_renewable[s][i] =
                (float)(result->peak_mw[s] > 0.0 ? site->ratio * pv / result->peak_mw[s] : 0.0);
            result->trace_price[s][i] = (float)agent_sim_data_at(data, site->area, SIM_PRICE, slot);
            result->trace_share[s][i] = NAN;
        }
    }
}

/* Which days, whose, and the first reason the data set gives. */
static int unknown(const struct agent_sim_request *request, const struct agent_sim_data *data,
                   const char *whose, struct agent_error *error)
{
    char first[AGENT_TIME_TEXT_SIZE];

    agent_date_format(agent_date_of(agent_slot_start(request->first_day)), first);
    return agent_error_set(
        error, ENODATA, "no solar power or common price is known of %s from %s, %zu day%s%s%.250s",
        whose, first, request->days, request->days == 1 ? "" : "s",
        data->note_count > 0 ? "; first note: " : "", data->note_count > 0 ? data->notes[0] : "");
}

/* Renewable and price of every site as far as they are known; the formulas. */
int agent_sim_formulas(const struct agent_sim_request *request, const struct agent_sim_data *data,
                       struct agent_sim_result *result, struct agent_error *error)
{
    struct agent_kpi_site sites[AGENT_SIM_SITES_MAX];
    const double *price[AGENT_SIM_SITES_MAX];
    size_t offset = (size_t)(request->first_day - data->first_slot);
    size_t slots = request->days * AGENT_SIM_SLOTS;
    bool any = false;

    result->priced = true;
    for (size_t s = 0; s < request->site_count; s++) {
        const double *pv = data->value[request->sites[s].area][SIM_PV];
        const double *yen = data->value[request->sites[s].area][SIM_PRICE];
        result->peak_mw[s] = pv != NULL ? agent_kpi_peak(pv + offset, slots) : 0.0;
        sites[s] = (struct agent_kpi_site){pv != NULL ? pv + offset : NULL, result->peak_mw[s],
                                           request->sites[s].ratio};
        price[s] = yen != NULL ? yen + offset : NULL;
        result->priced = result->priced && yen != NULL;
        any = any || request->sites[s].ratio > 0.0;
        if (any && !(result->peak_mw[s] > 0.0) && request->sites[s].ratio > 0.0) {
            return unknown(request, data, agent_area_name(request->sites[s].area), error);
        }
    }
    result->use_known =
        any && agent_kpi_renewable(sites, request->site_count, slots, &result->use) == 0;
    result->price_known =
        result->priced && agent_kpi_prices(price, request->site_count, slots, &result->price) == 0;
    result->priced = result->price_known;
    if (!result->use_known && !result->price_known) {
        return unknown(request, data, "all sites together", error);
    }
    trace_signals(request, data, result);
    return 0;
}

int agent_sim_check(const struct agent_sim_request *request, const struct agent_sim_data *data,
                    struct agent_error *error)
{
    int64_t end = request->first_day + (int64_t)(request->days * AGENT_SIM_SLOTS);

    if (request->site_count < 1 || request->site_count > AGENT_SIM_SITES_MAX || request->days < 1 ||
        request->days > AGENT_SIM_DAYS_MAX || request->lead_slots < 0 ||
        request->lead_slots > AGENT_FC_LEAD_MAX) {
        return agent_error_set(
            error, EINVAL, "simulation: %zu sites over %zu days, expected 1..%d and 1..%d",
            request->site_count, request->days, AGENT_SIM_SITES_MAX, AGENT_SIM_DAYS_MAX);
    }
    if (request->first_day < data->first_slot || end > data->first_slot + (int64_t)data->slots) {
        return agent_error_set(error, EINVAL, "simulation: the data do not span these days");
    }
    return 0;
}
