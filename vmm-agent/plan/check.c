/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check.c - does a plan keep every constraint of its instance, and what does it cost
 * Owner: caller.   Thread: any.   Time: planned slots.   Units: as in plan.h.
 *
 * Written from docs/planner.md alone; uses nothing of the solver, so that a mistake there is
 * caught here. Tolerance: 1e-6 of the limit plus 1e-6 of its unit. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

#define HOURS AGENT_PLAN_SLOT_HOURS
#define TOLERANCE 1e-6

struct checker {
    const struct agent_plan *plan;
    const struct agent_plan_instance *instance;
    struct plan_breaches *breaches;
    struct plan_cost *cost;
    struct plan_figures *figures;
    int slots;
    double *cpu;  /* all [site * slots + slot] */
    double *ram;
    double *load; /* facility kW */
    double *give[PLAN_RESERVES];
    double *meter; /* load plus battery */
    double *gb;    /* [link * slots + slot] */
    double *import_kwh; /* expected, [site * slots + slot] */
};

static void breach(struct checker *checker, double by, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void breach(struct checker *checker, double by, const char *format, ...)
{
    struct plan_breaches *breaches = checker->breaches;
    int at = breaches->count < AGENT_PLAN_BREACHES_MAX ? breaches->count : -1;
    va_list args;

    breaches->count++;
    for (int index = 0; at < 0 && index < AGENT_PLAN_BREACHES_MAX; index++) {
        at = breaches->worst[index].by < by ? index : -1; /* a worse one takes the place */
    }
    if (at < 0) {
        return;
    }
    breaches->worst[at].by = by;
    va_start(args, format);
    vsnprintf(breaches->worst[at].text, sizeof(breaches->worst[at].text), format, args);
    va_end(args);
}

static void at_most(struct checker *checker, double value, double limit, const char *what,
                    const char *where, int slot)
{
    double by = value - limit;

    if (!(by <= TOLERANCE + TOLERANCE * fabs(limit))) {
        breach(checker, by, "%s: %s: slot %d: %.6g is above the limit %.6g by %.6g", where, what,
               checker->instance->first + slot, value, limit, by);
    }
}

static int find_link(const struct agent_plan_instance *instance, int from, int to)
{
    for (int link = 0; link < instance->link_count; link++) {
        if (instance->links[link].from == from && instance->links[link].to == to) {
            return link;
        }
    }
    return -1;
}

static void check_move(struct checker *checker, const struct plan_leg *leg, int slot,
                       const int ends[2])
{
    const struct agent_plan_instance *instance = checker->instance;
    const struct plan_group *group = &instance->groups[leg->group];
    int link = find_link(instance, ends[0], ends[1]);

    if (link < 0) {
        breach(checker, leg->count, "group '%s': slot %d: %d VMs move from %s to %s without a link",
               group->id, instance->first + slot, leg->count, instance->sites[ends[0]].id,
               instance->sites[ends[1]].id);
        return;
    }
    if (group->frozen != NULL || instance->sites[ends[0]].frozen != NULL ||
        instance->sites[ends[1]].frozen != NULL) {
        breach(checker, leg->count, "group '%s': slot %d: %d VMs move although %s is unknown",
               group->id, instance->first + slot, leg->count,
               group->frozen != NULL ? "its power" : "a site's signal");
    }
    const struct plan_link *over = &instance->links[link];
    checker->gb[link * checker->slots + slot] += leg->count * group->move_gb;
    checker->ram[ends[0] * checker->slots + slot] += leg->count * group->ram_gb;
    checker->cost->moves +=
        leg->count * (group->move_gb * over->yen_per_gb + group->yen_per_move +
                      group->yen_per_blackout_s * over->blackout_s);
    checker->figures->moves += leg->count;
    checker->figures->moved_gb += leg->count * group->move_gb;
    checker->figures->blackout_s += leg->count * over->blackout_s;
}

static void check_stay(struct checker *checker, const struct plan_leg *leg, int slot)
{
    const struct agent_plan_instance *instance = checker->instance;
    const struct plan_group *group = &instance->groups[leg->group];
    int site = leg->sites[slot];
    int cell = site * checker->slots + slot;
    int at = instance->first + slot;
    double kw = leg->count * group->power_kw[at] * instance->sites[site].power_scale *
                instance->sites[site].pue[at];

    if (!(group->allowed >> site & 1)) {
        breach(checker, leg->count, "group '%s': slot %d: %d VMs at %s, where they may not be",
               group->id, at, leg->count, instance->sites[site].id);
    }
    checker->cpu[cell] += leg->count * group->cpu;
    checker->ram[cell] += leg->count * group->ram_gb;
    checker->load[cell] += kw;
    for (int product = 0; product < PLAN_RESERVES; product++) {
        checker->give[product][cell] += kw * group->flex[product];
    }
}

static void check_leg(struct checker *checker, const struct plan_leg *leg)
{
    const struct agent_plan_instance *instance = checker->instance;
    const struct plan_group *group = &instance->groups[leg->group];
    int before = leg->start >= 0 ? group->running[leg->start].site : -1;
    int stay_until = leg->start >= 0 ? group->running[leg->start].dwell_left : group->dwell_slots;

    for (int slot = 0; slot < checker->slots; slot++) {
        int site = leg->sites[slot];
        if (site >= instance->site_count) {
            breach(checker, leg->count, "group '%s': slot %d: no such site", group->id, slot);
            return;
        }
        if (before < 0 && instance->sites[site].frozen != NULL) {
            breach(checker, leg->count, "group '%s': %d VMs start at %s, whose %s is unknown",
                   group->id, leg->count, instance->sites[site].id, instance->sites[site].frozen);
        }
        if (before >= 0 && before != site) {
            if (slot < stay_until) {
                breach(checker, stay_until - slot,
                       "group '%s': slot %d: %d VMs leave %s %d slots before their dwell is over",
                       group->id, instance->first + slot, leg->count, instance->sites[before].id,
                       stay_until - slot);
            }
            check_move(checker, leg, slot, (const int[2]){before, site});
            stay_until = slot + group->dwell_slots;
        }
        check_stay(checker, leg, slot);
        before = site;
    }
}

static int legs_of(const struct agent_plan *plan, int group, const struct plan_leg **first)
{
    int count = 0;

    for (int leg = 0; leg < plan->leg_count; leg++) {
        if (plan->legs[leg].group == group) {
            *first = count == 0 ? &plan->legs[leg] : *first;
            count++;
        } else if (count > 0) {
            break; /* legs are ordered by group */
        }
    }
    return count;
}

static void check_counts(struct checker *checker)
{
    const struct agent_plan_instance *instance = checker->instance;
    int leg = 0;

    for (int index = 0; index < instance->group_count; index++) {
        const struct plan_group *group = &instance->groups[index];
        int waiting = group->count;
        int total[2] = {0, 0};
        int first = leg;
        for (int start = 0; start < group->running_count; start++) {
            int moved = 0;
            for (leg = first;
                 leg < checker->plan->leg_count && checker->plan->legs[leg].group == index; leg++) {
                moved += checker->plan->legs[leg].start == start ? checker->plan->legs[leg].count
                                                                 : 0;
            }
            waiting -= group->running[start].count;
            total[0] += moved;
            if (moved != group->running[start].count) {
                breach(checker, abs(moved - group->running[start].count),
                       "group '%s': the plan has %d of the %d VMs running at %s", group->id, moved,
                       group->running[start].count,
                       instance->sites[group->running[start].site].id);
            }
        }
        for (leg = first; leg < checker->plan->leg_count && checker->plan->legs[leg].group == index;
             leg++) {
            total[1] += checker->plan->legs[leg].start < 0 ? checker->plan->legs[leg].count : 0;
            if (checker->plan->legs[leg].count < 1 ||
                checker->plan->legs[leg].start >= group->running_count) {
                breach(checker, 1, "group '%s': a leg with count %d and start %d", group->id,
                       checker->plan->legs[leg].count, checker->plan->legs[leg].start);
            }
        }
        if (total[1] != waiting) {
            breach(checker, abs(total[1] - waiting),
                   "group '%s': the plan places %d of the %d VMs not placed yet", group->id,
                   total[1], waiting);
        }
    }
    if (leg != checker->plan->leg_count) {
        breach(checker, 1, "the plan's legs are not ordered by group");
    }
}

static void check_affinity(struct checker *checker, const struct plan_affinity *affinity)
{
    const struct agent_plan_instance *instance = checker->instance;
    const struct plan_leg *first = NULL;
    int count = legs_of(checker->plan, affinity->groups[0], &first);

    for (int index = 0; index < affinity->group_count; index++) {
        const struct plan_leg *legs = NULL;
        int other = legs_of(checker->plan, affinity->groups[index], &legs);
        bool same = affinity->pair ? other == count : count > 0;
        for (int leg = 0; same && leg < other; leg++) {
            const struct plan_leg *with = &first[affinity->pair ? leg : 0];
            same = memcmp(legs[leg].sites, with->sites, (size_t)checker->slots) == 0 &&
                   (!affinity->pair || legs[leg].count == with->count);
        }
        if (!same) {
            breach(checker, 1, "affinity '%s': '%s' does not go where '%s' goes", affinity->id,
                   instance->groups[affinity->groups[index]].id,
                   instance->groups[affinity->groups[0]].id);
        }
    }
}

static void check_limit(struct checker *checker, const struct plan_limit *limit)
{
    const struct agent_plan_instance *instance = checker->instance;
    int *here = calloc((size_t)(instance->site_count * checker->slots), sizeof(*here));

    for (int index = 0; here != NULL && index < limit->group_count; index++) {
        const struct plan_leg *legs = NULL;
        int count = legs_of(checker->plan, limit->groups[index], &legs);
        for (int leg = 0; leg < count; leg++) {
            for (int slot = 0; slot < checker->slots; slot++) {
                here[legs[leg].sites[slot] * checker->slots + slot] += legs[leg].count;
            }
        }
    }
    for (int cell = 0; here != NULL && cell < instance->site_count * checker->slots; cell++) {
        if (here[cell] > limit->max) {
            breach(checker, here[cell] - limit->max,
                   "anti_affinity '%s': slot %d: %d VMs at %s, at most %d", limit->id,
                   instance->first + cell % checker->slots, here[cell],
                   instance->sites[cell / checker->slots].id, limit->max);
        }
    }
    free(here);
}

static double committed(const struct plan_site *site, int product, int at)
{
    return site->reserve_kw[product] != NULL ? site->reserve_kw[product][at] : 0;
}

static void check_reserve(struct checker *checker, int index, int slot, double battery_kw)
{
    const struct plan_site *site = &checker->instance->sites[index];
    const struct plan_battery *battery = &site->battery;
    int at = checker->instance->first + slot;
    int cell = index * checker->slots + slot;
    bool works = battery->present && !battery->idle;
    double up = works ? battery->discharge_kw + battery_kw : 0;
    double down = works ? battery->charge_kw - battery_kw : 0;
    double fast_up = committed(site, PLAN_PRIMARY_UP, at);
    double fast_down = committed(site, PLAN_PRIMARY_DOWN, at);
    double all_up = fast_up + committed(site, PLAN_SECONDARY_UP, at);
    double all_down = fast_down + committed(site, PLAN_SECONDARY_DOWN, at);

    if (fast_up > 0) {
        at_most(checker, fast_up, up + checker->give[PLAN_PRIMARY_UP][cell],
                "primary reserve up, kW", site->id, slot);
    }
    if (all_up > 0) {
        at_most(checker, all_up, up + checker->give[PLAN_SECONDARY_UP][cell],
                "reserve up, kW", site->id, slot);
    }
    if (fast_down > 0) {
        at_most(checker, fast_down, down + checker->give[PLAN_PRIMARY_DOWN][cell],
                "primary reserve down, kW", site->id, slot);
    }
    if (all_down > 0) {
        at_most(checker, all_down, down + checker->give[PLAN_SECONDARY_DOWN][cell],
                "reserve down, kW", site->id, slot);
    }
}

/* Energy the battery must keep (or leave free) for what it can deliver of the reserves. */
static double reserved_kwh(const struct plan_site *site, bool up, int at)
{
    double kw = up ? site->battery.discharge_kw : site->battery.charge_kw;
    int fast = up ? PLAN_PRIMARY_UP : PLAN_PRIMARY_DOWN;

    return fmin(committed(site, fast, at), kw) * 5 / 60 +
           fmin(committed(site, fast + 1, at), kw) * HOURS;
}

static double check_battery_slot(struct checker *checker, int index, int slot, double *level)
{
    const struct plan_site *site = &checker->instance->sites[index];
    const struct plan_battery *battery = &site->battery;
    double rise = checker->plan->rise_kwh[index * checker->slots + slot];
    int at = checker->instance->first + slot;
    bool last = slot == checker->slots - 1;
    double kw = rise > 0 ? rise / battery->charge_efficiency / HOURS
                         : rise * battery->discharge_efficiency / HOURS;

    if (!battery->present || battery->idle) {
        if (rise != 0) {
            breach(checker, fabs(rise), "%s: slot %d: a battery %s is used", site->id, at,
                   battery->present ? "of unknown state" : "that is not there");
        }
        return 0;
    }
    *level += rise;
    at_most(checker, kw, battery->charge_kw, "battery charge, kW", site->id, slot);
    at_most(checker, -kw, battery->discharge_kw, "battery discharge, kW", site->id, slot);
    double keep = reserved_kwh(site, true, at);
    double room = reserved_kwh(site, false, at);
    if (!last) { /* the level between two slots must do for both */
        keep = fmax(keep, reserved_kwh(site, true, at + 1));
        room = fmax(room, reserved_kwh(site, false, at + 1));
    }
    at_most(checker, battery->soc_min_kwh + keep, *level, "battery level to keep, kWh", site->id,
            slot);
    at_most(checker, *level, battery->soc_max_kwh - room, "battery level, kWh", site->id, slot);
    if (last) {
        at_most(checker, battery->soc_final_kwh, *level, "battery final level, kWh", site->id,
                slot);
    }
    return kw;
}

static void add_energy(struct checker *checker, int index, int slot)
{
    const struct agent_plan_instance *instance = checker->instance;
    const struct plan_site *site = &instance->sites[index];
    int at = instance->first + slot;
    double net = checker->meter[index * checker->slots + slot];
    double kwh = 0;
    bool gated = site->area >= 0 && slot < instance->areas[site->area].gate_slots;

    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        kwh += instance->quantile_weight[quantile] * HOURS *
               fmax(0, net - site->surplus[quantile][at]);
    }
    checker->import_kwh[index * checker->slots + slot] = kwh;
    checker->figures->load_kwh += net * HOURS;
    checker->figures->import_kwh += kwh;
    checker->figures->renewable_kwh += net * HOURS - kwh;
    checker->figures->carbon_kg += kwh * site->carbon[at] / 1000;
    checker->cost->energy += gated ? 0 : instance->weight_price * kwh * site->price[at];
    checker->cost->carbon += instance->weight_carbon_yen_per_kg * kwh * site->carbon[at] / 1000;
    checker->cost->grid += instance->weight_grid_yen_per_kwh * kwh;
}

static void check_site(struct checker *checker, int index)
{
    const struct agent_plan_instance *instance = checker->instance;
    const struct plan_site *site = &instance->sites[index];
    double level = site->battery.soc_kwh;
    double peak = site->peak_so_far_kw;

    for (int slot = 0; slot < checker->slots; slot++) {
        int cell = index * checker->slots + slot;
        int at = instance->first + slot;
        checker->load[cell] += site->idle_kw * site->pue[at];
        double kw = check_battery_slot(checker, index, slot, &level);
        double net = checker->load[cell] + kw;
        double import = net - site->surplus[instance->peak_quantile][at];
        checker->meter[cell] = net;
        at_most(checker, checker->cpu[cell], site->cpu[at], "cpu, cores", site->id, slot);
        at_most(checker, checker->ram[cell], site->ram_gb[at], "ram, GB", site->id, slot);
        at_most(checker, checker->load[cell], site->power_kw[at], "power, kW", site->id, slot);
        at_most(checker,
                import + committed(site, PLAN_PRIMARY_DOWN, at) +
                    committed(site, PLAN_SECONDARY_DOWN, at),
                site->contract_kw, "contract demand with reserve down, kW", site->id, slot);
        at_most(checker, -net, 0, "export, kW", site->id, slot);
        check_reserve(checker, index, slot, kw);
        peak = fmax(peak, import);
        add_energy(checker, index, slot);
    }
    checker->cost->demand += site->demand_yen_per_kw * peak;
}

static void add_imbalance(struct checker *checker)
{
    const struct agent_plan_instance *instance = checker->instance;

    for (int index = 0; index < instance->area_count; index++) {
        const struct plan_area *area = &instance->areas[index];
        for (int slot = 0; slot < checker->slots && slot < area->gate_slots; slot++) {
            int at = instance->first + slot;
            double over = -area->committed_kw[at] * HOURS;
            for (int site = 0; site < instance->site_count; site++) {
                over += instance->sites[site].area == index
                            ? checker->import_kwh[site * checker->slots + slot]
                            : 0;
            }
            checker->cost->imbalance += instance->weight_price * over *
                                        (over > 0 ? area->imbalance_up[at]
                                                  : area->imbalance_down[at]);
        }
    }
}

static void check_links(struct checker *checker)
{
    const struct agent_plan_instance *instance = checker->instance;
    char where[160];

    for (int index = 0; index < instance->link_count; index++) {
        const struct plan_link *link = &instance->links[index];
        snprintf(where, sizeof(where), "link %s to %s", instance->sites[link->from].id,
                 instance->sites[link->to].id);
        for (int slot = 0; slot < checker->slots; slot++) {
            at_most(checker, checker->gb[index * checker->slots + slot],
                    link->gb[instance->first + slot], "migration, GB", where, slot);
        }
    }
}

static bool allocate(struct checker *checker, struct plan_arena *arena)
{
    size_t cells = (size_t)(checker->instance->site_count * checker->slots);
    double **const arrays[] = {&checker->cpu,     &checker->ram,     &checker->load,
                               &checker->give[0], &checker->give[1], &checker->give[2],
                               &checker->give[3], &checker->meter,   &checker->import_kwh};
    bool ok = true;

    for (size_t index = 0; index < sizeof(arrays) / sizeof(arrays[0]); index++) {
        *arrays[index] = plan_arena_get(arena, cells, sizeof(double));
        ok = ok && *arrays[index] != NULL;
    }
    checker->gb = plan_arena_get(arena, (size_t)(checker->instance->link_count * checker->slots),
                                 sizeof(double));
    return ok && checker->gb != NULL;
}

int agent_plan_check(const struct agent_plan *plan, struct plan_breaches *breaches,
                     struct plan_cost *cost, struct plan_figures *figures)
{
    const struct agent_plan_instance *instance = plan->instance;
    struct checker checker = {.plan = plan, .instance = instance, .breaches = breaches,
                              .cost = cost, .figures = figures, .slots = plan->slots};
    struct plan_arena arena = {NULL};

    memset(breaches, 0, sizeof(*breaches));
    memset(cost, 0, sizeof(*cost));
    memset(figures, 0, sizeof(*figures));
    if (!allocate(&checker, &arena)) {
        breach(&checker, INFINITY, "the plan could not be checked: out of memory");
        plan_arena_done(&arena);
        return breaches->count;
    }
    check_counts(&checker);
    for (int leg = 0; leg < plan->leg_count; leg++) {
        check_leg(&checker, &plan->legs[leg]);
    }
    for (int index = 0; index < instance->affinity_count; index++) {
        check_affinity(&checker, &instance->affinities[index]);
    }
    for (int index = 0; index < instance->limit_count; index++) {
        check_limit(&checker, &instance->limits[index]);
    }
    for (int site = 0; site < instance->site_count; site++) {
        check_site(&checker, site);
    }
    check_links(&checker);
    add_imbalance(&checker);
    cost->total = cost->energy + cost->carbon + cost->grid + cost->imbalance + cost->demand +
                  cost->moves;
    plan_arena_done(&arena);
    return breaches->count;
}
