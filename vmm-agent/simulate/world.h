/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world.h - sites, groups of VMs, where they are, and what a day of it costs
 * Owner: struct agent_sim_world by the run; days and places are plain arrays.   Thread: one.
 * Time:  slots 0..47 of a day.   Units: kW, kWh, JPY, g CO2, GB (10^9 bytes). */
#ifndef AGENT_SIMULATE_WORLD_H
#define AGENT_SIMULATE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grid/series.h"
#include "simulate/kpi.h"
#include "support/slot.h"

#define AGENT_SIM_SLOTS      AGENT_SLOTS_PER_DAY
#define AGENT_SIM_GROUPS_MAX 500
#define AGENT_SIM_VMS_MAX    1000000
#define AGENT_SIM_DWELL_MAX  16

struct agent_sim_site {
    enum agent_area area;
    double ratio;    /* peak renewable power / total load of all VMs */
    double capacity; /* share of all VMs that fits, 0..1 */
};

/** struct agent_sim_group - VMs that are alike
 * @dwell_slots: a VM stays at least so long after it came, 0..AGENT_SIM_DWELL_MAX - 1 */
struct agent_sim_group {
    int count;
    double power_kw; /* per VM */
    double move_gb;  /* per migration */
    int dwell_slots;
};

struct agent_sim_world {
    size_t site_count;
    struct agent_sim_site sites[AGENT_SIM_SITES_MAX];
    size_t group_count;
    struct agent_sim_group groups[AGENT_SIM_GROUPS_MAX];
    double load_kw; /* of all VMs */
    int vms;
    double yen_per_gb;  /* price of moving */
    double yen_per_ton; /* weight of carbon in the objective, JPY/t */
    double link_gbit_s; /* between any two sites */
    int gate_slots;     /* half hours before delivery at which procurement closes */
    double imbalance_yen_per_kwh; /* what a kWh more or less than bought costs beyond its price */
};

/** agent_sim_world_groups() - @vms like VMs in about @groups groups of different size, power,
 * memory and dwell, from @seed; sets load_kw. Return: 0, -EINVAL (limits above). */
int agent_sim_world_groups(struct agent_sim_world *world, int vms, int groups, uint64_t seed);

/** struct agent_sim_place - VMs per group and site */
struct agent_sim_place {
    int count[AGENT_SIM_GROUPS_MAX][AGENT_SIM_SITES_MAX];
};

/** struct agent_sim_state - where VMs are and how long: @age[g][s][k] of them have been there for
 * k slots (the last bucket: or longer) */
struct agent_sim_state {
    struct agent_sim_place place;
    int age[AGENT_SIM_GROUPS_MAX][AGENT_SIM_SITES_MAX][AGENT_SIM_DWELL_MAX];
};

/** agent_sim_state_start() - everything has been at @place for long */
void agent_sim_state_start(const struct agent_sim_world *world, const struct agent_sim_place *place,
                           struct agent_sim_state *state);

/** struct agent_sim_truth - what really was, NAN = nobody knows (the slot is not counted) */
struct agent_sim_truth {
    double renewable_kw[AGENT_SIM_SITES_MAX][AGENT_SIM_SLOTS];
    double price[AGENT_SIM_SITES_MAX][AGENT_SIM_SLOTS];
    double carbon[AGENT_SIM_SITES_MAX][AGENT_SIM_SLOTS];
};

struct agent_sim_account {
    size_t slots, unknown_slots;
    double load_kwh;
    double available_kwh; /* renewable power at the sites */
    double used_kwh;      /* of it, by our VMs */
    double yen;           /* for what came from the grid, and for moving */
    double gco2;
    double objective; /* yen + weighted carbon */
    double imbalance_kwh; /* bought otherwise because load moved after gate closure; in yen above */
    uint64_t migrations;
    double gb;
    uint64_t dwell_violations;
};

/** agent_sim_account_slot() - move from @state to @next, then run one slot of @truth
 * VMs that have stayed longest go first. @next has the same VMs per group. */
void agent_sim_account_slot(const struct agent_sim_world *world, struct agent_sim_state *state,
                            const struct agent_sim_place *next, const struct agent_sim_truth *truth,
                            int slot, struct agent_sim_account *account);

/** agent_sim_account_gate() - charge what load moved after gate closure
 * @bought: where VMs were to be in this slot when its gate closed; @next: where they are */
void agent_sim_account_gate(const struct agent_sim_world *world,
                            const struct agent_sim_place *bought,
                            const struct agent_sim_place *next,
                            const struct agent_sim_truth *truth, int slot,
                            struct agent_sim_account *account);

/** agent_sim_capacity() - VMs that fit at @site, the first sites getting the rounding */
int agent_sim_capacity(const struct agent_sim_world *world, size_t site);

#endif
