/* SPDX-License-Identifier: GPL-2.0-or-later */
/* validate.c - instances that no plan can satisfy, found by adding up, with the amount missing
 * Owner: caller.   Thread: any.   Time: slots of the instance.   Units: as in instance.h.
 *
 * These checks are for clear words, not for completeness: what passes and still has no plan is
 * refused by refuse.c. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan/instance.h"

#define HOURS       AGENT_PLAN_SLOT_HOURS
#define MASKS_MAX   256
#define SLACK       1e-9

static double committed(const struct plan_site *site, int product, int slot)
{
    return site->reserve_kw[product] != NULL ? site->reserve_kw[product][slot] : 0;
}

static int check_battery(const struct agent_plan_instance *instance, const struct plan_site *site,
                         struct agent_error *error)
{
    const struct plan_battery *battery = &site->battery;
    int at = instance->first;

    if (!battery->present) {
        return 0;
    }
    if (battery->soc_min_kwh > battery->soc_max_kwh) {
        return agent_error_set(error, EDOM,
                               "site '%s': battery: soc_min_kwh %g is above soc_max_kwh %g by %g",
                               site->id, battery->soc_min_kwh, battery->soc_max_kwh,
                               battery->soc_min_kwh - battery->soc_max_kwh);
    }
    if (battery->idle) {
        return 0;
    }
    if (battery->soc_kwh > battery->soc_max_kwh || battery->soc_kwh < battery->soc_min_kwh) {
        return agent_error_set(error, EDOM, "site '%s': battery: soc_kwh %g is outside %g..%g",
                               site->id, battery->soc_kwh, battery->soc_min_kwh,
                               battery->soc_max_kwh);
    }
    if (battery->soc_final_kwh > battery->soc_max_kwh) {
        return agent_error_set(error, EDOM,
                               "site '%s': battery: soc_final_kwh %g is above soc_max_kwh %g by %g",
                               site->id, battery->soc_final_kwh, battery->soc_max_kwh,
                               battery->soc_final_kwh - battery->soc_max_kwh);
    }
    double keep = fmin(committed(site, PLAN_PRIMARY_UP, at), battery->discharge_kw) * 5 / 60 +
                  fmin(committed(site, PLAN_SECONDARY_UP, at), battery->discharge_kw) * HOURS;
    if (battery->soc_kwh < battery->soc_min_kwh + keep - SLACK) {
        return agent_error_set(error, EDOM,
                               "site '%s': battery: slot %d: reserve needs %g kWh above soc_min_kwh "
                               "%g, soc_kwh %g is %g short",
                               site->id, at, keep, battery->soc_min_kwh, battery->soc_kwh,
                               battery->soc_min_kwh + keep - battery->soc_kwh);
    }
    return 0;
}

static int check_site(const struct agent_plan_instance *instance, const struct plan_site *site,
                      struct agent_error *error)
{
    for (int slot = instance->first; slot < instance->end; slot++) {
        double idle = site->idle_kw * site->pue[slot];
        double most = site->contract_kw + site->surplus[instance->peak_quantile][slot] -
                      committed(site, PLAN_PRIMARY_DOWN, slot) -
                      committed(site, PLAN_SECONDARY_DOWN, slot);
        double help = site->battery.present && !site->battery.idle ? site->battery.discharge_kw : 0;
        if (idle > most + help + SLACK) {
            return agent_error_set(error, EDOM,
                                   "site '%s': contract_kw: slot %d: %g kW runs with no VM at all, "
                                   "contract, surplus and battery cover %g: %g kW missing",
                                   site->id, slot, idle, most + help, idle - most - help);
        }
        if (idle > site->power_kw[slot] + SLACK) {
            return agent_error_set(error, EDOM,
                                   "site '%s': power_kw: slot %d: %g kW runs with no VM at all, the "
                                   "limit is %g: %g kW too much",
                                   site->id, slot, idle, site->power_kw[slot],
                                   idle - site->power_kw[slot]);
        }
    }
    return check_battery(instance, site, error);
}

static int check_group(const struct agent_plan_instance *instance, const struct plan_group *group,
                       struct agent_error *error)
{
    int placed = 0;

    for (int index = 0; index < group->running_count; index++) {
        const struct plan_running *running = &group->running[index];
        const struct plan_site *site = &instance->sites[running->site];
        bool allowed = group->allowed >> running->site & 1;
        placed += running->count;
        if (!allowed && running->dwell_left > 0) {
            return agent_error_set(error, EDOM,
                                   "no plan exists: group '%s': %d VMs run at '%s', where they may "
                                   "not be, and their dwell keeps them there %d slots more",
                                   group->id, running->count, site->id, running->dwell_left);
        }
        if (!allowed && (site->frozen != NULL || group->frozen != NULL)) {
            return agent_error_set(error, EDOM,
                                   "no plan exists: group '%s': %d VMs run at '%s', where they may "
                                   "not be, and signal '%s' is unknown, so nothing may leave",
                                   group->id, running->count, site->id,
                                   site->frozen != NULL ? site->frozen : group->frozen);
        }
    }
    if (group->frozen != NULL && placed < group->count) {
        return agent_error_set(error, EDOM,
                               "no plan exists: group '%s': its power is unknown and %d of its %d "
                               "VMs are not placed yet",
                               group->id, group->count - placed, group->count);
    }
    return 0;
}

struct need {
    const char *name;
    const char *unit;
    double wanted;
    double there;
};

/* Everything that may run only at the sites of @mask against what those sites have. */
static int check_mask(const struct agent_plan_instance *instance, uint64_t mask, int slot,
                      struct agent_error *error)
{
    struct need needs[3] = {{"cpu", "cores", 0, 0}, {"ram_gb", "GB", 0, 0}, {"power_kw", "kW", 0, 0}};
    double scale = INFINITY;
    char names[200] = "";
    size_t used = 0;

    for (int index = 0; index < instance->site_count; index++) {
        const struct plan_site *site = &instance->sites[index];
        if (mask >> index & 1) {
            needs[0].there += site->cpu[slot];
            needs[1].there += site->ram_gb[slot];
            needs[2].there += site->power_kw[slot] - site->idle_kw * site->pue[slot];
            scale = fmin(scale, plan_site_kw_per_it_kw(site, slot));
            int wrote = snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "",
                                 site->id);
            used = used + (size_t)wrote < sizeof(names) ? used + (size_t)wrote : used;
        }
    }
    for (int index = 0; index < instance->group_count; index++) {
        const struct plan_group *group = &instance->groups[index];
        if ((group->allowed & ~mask) == 0) {
            needs[0].wanted += group->count * group->cpu;
            needs[1].wanted += group->count * group->ram_gb;
            needs[2].wanted += group->count * group->power_kw[slot] * scale;
        }
    }
    for (int index = 0; index < 3; index++) {
        double short_by = needs[index].wanted - needs[index].there;
        if (short_by > SLACK * (1 + needs[index].wanted)) {
            return agent_error_set(error, EDOM,
                                   "no plan exists: %s: slot %d: VMs that may run only at %s need "
                                   "%.6g %s, there are %.6g: %.6g too few",
                                   needs[index].name, slot, names, needs[index].wanted,
                                   needs[index].unit, needs[index].there, short_by);
        }
    }
    return 0;
}

static int check_masks(const struct agent_plan_instance *instance, struct agent_error *error)
{
    uint64_t masks[MASKS_MAX];
    int count = 0;

    masks[count++] = instance->site_count == 64 ? UINT64_MAX
                                                : (UINT64_C(1) << instance->site_count) - 1;
    for (int group = 0; group < instance->group_count && count < MASKS_MAX; group++) {
        bool known = false;
        for (int mask = 0; mask < count && !known; mask++) {
            known = masks[mask] == instance->groups[group].allowed;
        }
        if (!known) {
            masks[count++] = instance->groups[group].allowed;
        }
    }
    for (int mask = 0; mask < count; mask++) {
        for (int slot = instance->first; slot < instance->end; slot++) {
            int ret = check_mask(instance, masks[mask], slot, error);
            if (ret < 0) {
                return ret;
            }
        }
    }
    return 0;
}

struct leaving {
    double cpu;
    double ram;
    double gb_per_cpu; /* least of what runs there */
    double gb_per_ram;
};

static struct leaving running_at(const struct agent_plan_instance *instance, int site)
{
    struct leaving all = {0, 0, INFINITY, INFINITY};

    for (int index = 0; index < instance->group_count; index++) {
        const struct plan_group *group = &instance->groups[index];
        for (int at = 0; at < group->running_count; at++) {
            if (group->running[at].site == site) {
                all.cpu += group->running[at].count * group->cpu;
                all.ram += group->running[at].count * group->ram_gb;
                if (group->cpu > 0) {
                    all.gb_per_cpu = fmin(all.gb_per_cpu, group->move_gb / group->cpu);
                }
                if (group->ram_gb > 0) {
                    all.gb_per_ram = fmin(all.gb_per_ram, group->move_gb / group->ram_gb);
                }
            }
        }
    }
    return all;
}

/* What must have left a site by a slot, because its capacity falls, against its links. */
static int check_vacate(const struct agent_plan_instance *instance, int site,
                        struct agent_error *error)
{
    struct leaving all = running_at(instance, site);
    double carried = 0;

    for (int slot = instance->first; slot < instance->end; slot++) {
        const struct plan_site *from = &instance->sites[site];
        for (int link = 0; link < instance->link_count; link++) {
            carried += instance->links[link].from == site ? instance->links[link].gb[slot] : 0;
        }
        double cpu = fmax(0, all.cpu - from->cpu[slot]);
        double ram = fmax(0, all.ram - from->ram_gb[slot]);
        double gb = fmax(cpu > 0 ? cpu * all.gb_per_cpu : 0, ram > 0 ? ram * all.gb_per_ram : 0);
        if (gb > carried * (1 + SLACK) + SLACK) {
            return agent_error_set(error, EDOM,
                                   "no plan exists: links from '%s': by slot %d at least %.6g GB "
                                   "must have left (%.6g cores, %.6g GB of memory too many), the "
                                   "links carry %.6g GB: %.6g too few",
                                   from->id, slot, gb, cpu, ram, carried, gb - carried);
        }
    }
    return 0;
}

static int check_limit(const struct agent_plan_instance *instance, const struct plan_limit *limit,
                       struct agent_error *error)
{
    uint64_t anywhere = 0;
    long total = 0;

    for (int index = 0; index < limit->group_count; index++) {
        anywhere |= instance->groups[limit->groups[index]].allowed;
        total += instance->groups[limit->groups[index]].count;
    }
    long places = (long)__builtin_popcountll(anywhere) * limit->max;
    if (places < total) {
        return agent_error_set(error, EDOM,
                               "no plan exists: anti_affinity '%s': %ld VMs, but %d sites with at "
                               "most %d each hold %ld: %ld too many",
                               limit->id, total, __builtin_popcountll(anywhere), limit->max, places,
                               total - places);
    }
    return 0;
}

int agent_plan_instance_validate(const struct agent_plan_instance *instance,
                                 struct agent_error *error)
{
    int ret = 0;

    for (int site = 0; ret == 0 && site < instance->site_count; site++) {
        ret = check_site(instance, &instance->sites[site], error);
    }
    for (int group = 0; ret == 0 && group < instance->group_count; group++) {
        ret = check_group(instance, &instance->groups[group], error);
    }
    for (int limit = 0; ret == 0 && limit < instance->limit_count; limit++) {
        ret = check_limit(instance, &instance->limits[limit], error);
    }
    ret = ret < 0 ? ret : check_masks(instance, error);
    for (int site = 0; ret == 0 && site < instance->site_count; site++) {
        ret = check_vacate(instance, site, error);
    }
    return ret;
}
