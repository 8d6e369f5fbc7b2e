/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/world.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "simulate/random.h"

#define SLOT_HOURS 0.5

int agent_sim_world_groups(struct agent_sim_world *world, int vms, int groups, uint64_t seed)
{
    static const double sizes_gb[4] = {4, 8, 16, 32};
    struct agent_random random = agent_random_start(seed, 900, 0);

    if (groups < 1 || groups > AGENT_SIM_GROUPS_MAX || vms < groups || vms > AGENT_SIM_VMS_MAX) {
        return -EINVAL;
    }
    world->group_count = (size_t)groups;
    world->vms = vms;
    world->load_kw = 0.0;
    for (int g = 0; g < groups; g++) {
        struct agent_sim_group *group = &world->groups[g];
        group->count = vms / groups + (g < vms % groups ? 1 : 0);
        group->power_kw = 0.08 + 0.24 * agent_random_unit(&random);
        group->move_gb = sizes_gb[agent_random_next(&random) & 3];
        group->dwell_slots = 2 + (int)(agent_random_next(&random) % 5);
        world->load_kw += group->count * group->power_kw;
    }
    return 0;
}

int agent_sim_capacity(const struct agent_sim_world *world, size_t site)
{
    return (int)ceil(world->sites[site].capacity * world->vms - 1e-9);
}

void agent_sim_state_start(const struct agent_sim_world *world, const struct agent_sim_place *place,
                           struct agent_sim_state *state)
{
    memset(state, 0, sizeof(*state));
    state->place = *place;
    for (size_t g = 0; g < world->group_count; g++) {
        for (size_t s = 0; s < world->site_count; s++) {
            state->age[g][s][AGENT_SIM_DWELL_MAX - 1] = place->count[g][s];
        }
    }
}

/* A slot has passed: everybody grows older. */
static void grow_older(int *age)
{
    age[AGENT_SIM_DWELL_MAX - 1] += age[AGENT_SIM_DWELL_MAX - 2];
    memmove(age + 1, age, (AGENT_SIM_DWELL_MAX - 2) * sizeof(*age));
    age[0] = 0;
}

static void leave(int *age, int leaving, int dwell, struct agent_sim_account *account)
{
    for (int k = AGENT_SIM_DWELL_MAX - 1; k >= 0 && leaving > 0; k--) {
        int go = age[k] < leaving ? age[k] : leaving;
        age[k] -= go;
        leaving -= go;
        account->dwell_violations += k < dwell ? (uint64_t)go : 0;
    }
}

static void move(const struct agent_sim_world *world, struct agent_sim_state *state,
                 const struct agent_sim_place *next, struct agent_sim_account *account)
{
    for (size_t g = 0; g < world->group_count; g++) {
        const struct agent_sim_group *group = &world->groups[g];
        for (size_t s = 0; s < world->site_count; s++) {
            int change = next->count[g][s] - state->place.count[g][s];
            if (change < 0) {
                leave(state->age[g][s], -change, group->dwell_slots, account);
                continue;
            }
            state->age[g][s][0] += change;
            account->migrations += (uint64_t)change;
            account->gb += change * group->move_gb;
            account->yen += change * group->move_gb * world->yen_per_gb;
            account->objective += change * group->move_gb * world->yen_per_gb;
        }
    }
    state->place = *next;
}

static bool known(const struct agent_sim_world *world, const struct agent_sim_truth *truth,
                  int slot)
{
    for (size_t s = 0; s < world->site_count; s++) {
        if (!isfinite(truth->renewable_kw[s][slot]) || !isfinite(truth->price[s][slot]) ||
            !isfinite(truth->carbon[s][slot])) {
            return false;
        }
    }
    return true;
}

/* kWh from the grid at @site. */
static double import_kwh(const struct agent_sim_world *world, const struct agent_sim_place *place,
                         size_t site, double renewable_kw)
{
    double load_kw = 0.0;

    for (size_t g = 0; g < world->group_count; g++) {
        load_kw += place->count[g][site] * world->groups[g].power_kw;
    }
    return fmax(load_kw - renewable_kw, 0.0) * SLOT_HOURS;
}

void agent_sim_account_gate(const struct agent_sim_world *world,
                            const struct agent_sim_place *bought,
                            const struct agent_sim_place *next, const struct agent_sim_truth *truth,
                            int slot, struct agent_sim_account *account)
{
    if (!known(world, truth, slot)) {
        return;
    }
    for (size_t s = 0; s < world->site_count; s++) {
        double renewable_kw = truth->renewable_kw[s][slot];
        double kwh = fabs(import_kwh(world, next, s, renewable_kw) -
                          import_kwh(world, bought, s, renewable_kw));
        account->imbalance_kwh += kwh;
        account->yen += kwh * world->imbalance_yen_per_kwh;
        account->objective += kwh * world->imbalance_yen_per_kwh;
    }
}

static void energy(const struct agent_sim_world *world, const struct agent_sim_state *state,
                   const struct agent_sim_truth *truth, int slot, struct agent_sim_account *account)
{
    for (size_t s = 0; s < world->site_count; s++) {
        double load_kw = 0.0;
        for (size_t g = 0; g < world->group_count; g++) {
            load_kw += state->place.count[g][s] * world->groups[g].power_kw;
        }
        double renewable_kw = truth->renewable_kw[s][slot];
        double used_kwh = fmin(load_kw, renewable_kw) * SLOT_HOURS;
        double grid_kwh = load_kw * SLOT_HOURS - used_kwh;
        double yen = grid_kwh * truth->price[s][slot];
        double grams = grid_kwh * truth->carbon[s][slot];
        account->load_kwh += load_kw * SLOT_HOURS;
        account->available_kwh += renewable_kw * SLOT_HOURS;
        account->used_kwh += used_kwh;
        account->yen += yen;
        account->gco2 += grams;
        account->objective += yen + grams * 1e-6 * world->yen_per_ton;
    }
}

void agent_sim_account_slot(const struct agent_sim_world *world, struct agent_sim_state *state,
                            const struct agent_sim_place *next, const struct agent_sim_truth *truth,
                            int slot, struct agent_sim_account *account)
{
    move(world, state, next, account);
    if (known(world, truth, slot)) {
        energy(world, state, truth, slot, account);
        account->slots++;
    } else {
        account->unknown_slots++;
    }
    for (size_t g = 0; g < world->group_count; g++) {
        for (size_t s = 0; s < world->site_count; s++) {
            grow_older(state->age[g][s]);
        }
    }
}
