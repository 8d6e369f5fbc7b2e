/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loads.c - what a plan makes of each site's meter, slot by slot
 * Owner: caller.   Thread: any.   Time: planned slots.   Units: kW, kWh. */
#include <math.h>

#include "plan/plan.h"

static double battery_kw(const struct plan_battery *battery, double rise_kwh)
{
    if (!battery->present || rise_kwh == 0) {
        return 0;
    }
    return (rise_kwh > 0 ? rise_kwh / battery->charge_efficiency
                         : rise_kwh * battery->discharge_efficiency) /
           AGENT_PLAN_SLOT_HOURS;
}

void agent_plan_loads(const struct agent_plan *plan, double *load_kw, double *import_kwh)
{
    const struct agent_plan_instance *instance = plan->instance;

    for (int index = 0; index < instance->site_count; index++) {
        const struct plan_site *site = &instance->sites[index];
        for (int slot = 0; slot < plan->slots; slot++) {
            int cell = index * plan->slots + slot;
            load_kw[cell] = site->idle_kw * site->pue[instance->first + slot] +
                            battery_kw(&site->battery, plan->rise_kwh[cell]);
        }
    }
    for (int at = 0; at < plan->leg_count; at++) {
        const struct plan_leg *leg = &plan->legs[at];
        for (int slot = 0; slot < plan->slots; slot++) {
            int now = instance->first + slot;
            const struct plan_site *site = &instance->sites[leg->sites[slot]];
            load_kw[leg->sites[slot] * plan->slots + slot] +=
                leg->count * instance->groups[leg->group].power_kw[now] *
                plan_site_kw_per_it_kw(site, now);
        }
    }
    for (int cell = 0; cell < instance->site_count * plan->slots; cell++) {
        const struct plan_site *site = &instance->sites[cell / plan->slots];
        int now = instance->first + cell % plan->slots;
        import_kwh[cell] = 0;
        for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
            import_kwh[cell] += instance->quantile_weight[quantile] * AGENT_PLAN_SLOT_HOURS *
                                fmax(0, load_kw[cell] - site->surplus[quantile][now]);
        }
    }
}
