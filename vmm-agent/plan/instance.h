/* SPDX-License-Identifier: GPL-2.0-or-later */
/* instance.h - one planning question exactly as it was asked: sites, links, groups, signals
 * Owner: struct agent_plan_instance owns everything it points to (one arena).
 * Thread: read-only after agent_plan_instance_load().
 * Time:  slot index 0.. of half an hour each; @start is only carried along.
 * Units: kW, kWh, GB (10^9 bytes), yen, g CO2, slots; CPU in cores. */
#ifndef AGENT_PLAN_INSTANCE_H
#define AGENT_PLAN_INSTANCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan/arena.h"
#include "support/error.h"

#define AGENT_PLAN_SCHEMA         "apn-migrate/plan-instance/1"
#define AGENT_PLAN_SLOT_HOURS     0.5
#define AGENT_PLAN_SLOT_SECONDS   1800.0
#define AGENT_PLAN_SLOTS_MAX      336
#define AGENT_PLAN_SITES_MAX      64
#define AGENT_PLAN_GROUPS_MAX     20000
#define AGENT_PLAN_COUNT_MAX      1000000
#define AGENT_PLAN_LIMITS_MAX     2000
#define AGENT_PLAN_INSTANCE_BYTES ((size_t)256 * 1024 * 1024)

enum plan_quantile { PLAN_P10, PLAN_P50, PLAN_P90, PLAN_QUANTILES };
#define AGENT_PLAN_RISK_USUAL {0.3, 0.4, 0.3} /* weights of the quantiles when none are given */

/* Reserve products: @UP is less demand or more discharge, @DOWN the reverse. */
enum plan_reserve {
    PLAN_PRIMARY_UP,
    PLAN_SECONDARY_UP,
    PLAN_PRIMARY_DOWN,
    PLAN_SECONDARY_DOWN,
    PLAN_RESERVES
};

struct plan_battery {
    bool present;
    bool idle;          /* its state or its site's signals are unknown: it is left alone */
    double charge_kw;   /* at the meter */
    double discharge_kw;
    double charge_efficiency;    /* kWh stored per kWh taken, (0, 1] */
    double discharge_efficiency; /* kWh delivered per kWh stored, (0, 1] */
    double soc_kwh;              /* at the first planned slot */
    double soc_min_kwh;
    double soc_max_kwh;
    double soc_final_kwh; /* at least this much at the end */
};

/** struct plan_site - per-slot arrays have instance->slots members */
struct plan_site {
    const char *id;
    int area;
    double *cpu;
    double *ram_gb;
    double *power_kw; /* facility limit, INFINITY when there is none */
    double *pue;
    double idle_kw;     /* IT power of the site with no VM, before PUE */
    double power_scale; /* this site's kW per kW of a group's power_w */
    double *price;      /* yen/kWh */
    double *carbon;     /* g/kWh */
    double *surplus[PLAN_QUANTILES]; /* kW of own or surplus renewable power */
    double contract_kw;              /* import limit, INFINITY when there is none */
    double demand_yen_per_kw;        /* contract demand charge, pro rata for the horizon */
    double peak_so_far_kw;           /* already paid for */
    struct plan_battery battery;
    double *reserve_kw[PLAN_RESERVES]; /* NULL when nothing is committed */
    const char *frozen;                /* why nothing may come or go, or NULL */
};

struct plan_area {
    const char *id;
    int gate_slots; /* planned slots from the first whose procurement is closed */
    double *committed_kw;
    double *imbalance_up;   /* yen/kWh bought when importing more than committed */
    double *imbalance_down; /* yen/kWh received when importing less, <= imbalance_up */
};

/** struct plan_link - one direction between two sites */
struct plan_link {
    int from;
    int to;
    double *gb; /* per slot; 0 while unknown */
    double yen_per_gb;
    double blackout_s;
};

struct plan_running {
    int site;
    int count;
    int dwell_left; /* slots it must still stay */
};

struct plan_group {
    const char *id;
    int count;
    double cpu;
    double ram_gb;
    double *power_kw; /* IT power per VM and slot */
    double move_gb;
    double yen_per_move;
    double yen_per_blackout_s;
    int dwell_slots;
    uint64_t allowed; /* bit per site */
    int running_count;
    struct plan_running *running; /* the rest of @count is not placed yet */
    double flex[PLAN_RESERVES];   /* share of its power it can give, 0..1 */
    const char *frozen;           /* why it stays where it is, or NULL */
};

/** struct plan_affinity - @pair: the i-th VMs of all groups stay together; else all VMs do */
struct plan_affinity {
    const char *id;
    bool pair;
    int group_count;
    int *groups;
};

/** struct plan_limit - anti-affinity: at most @max VMs of these groups at one site */
struct plan_limit {
    const char *id;
    int max;
    int group_count;
    int *groups;
};

/** struct plan_unknown - a signal that is late, missing, stale or absurd, and what it froze */
struct plan_unknown {
    const char *signal;
    const char *where;
    const char *reason;
    const char *effect;
};

struct agent_plan_instance {
    struct plan_arena arena;
    const char *name;
    const char *start; /* ISO 8601 time of slot 0, carried into the plan */
    int slots;
    int first; /* first planned slot; earlier ones are past */
    int end;   /* one after the last planned slot */
    double weight_price;
    double weight_carbon_yen_per_kg;
    double weight_grid_yen_per_kwh; /* extra yen per kWh that is not renewable surplus */
    double quantile_weight[PLAN_QUANTILES]; /* sum 1 */
    enum plan_quantile peak_quantile;
    int site_count;
    struct plan_site *sites;
    int area_count;
    struct plan_area *areas;
    int link_count;
    struct plan_link *links;
    int group_count;
    struct plan_group *groups;
    int affinity_count;
    struct plan_affinity *affinities;
    int limit_count;
    struct plan_limit *limits;
    int unknown_count;
    struct plan_unknown *unknowns;
};

/** agent_plan_instance_parse() - read and validate the shape of an instance
 * @root: borrowed; nothing of it is kept
 * Return: 0 with *@out to be freed by agent_plan_instance_free(), -EINVAL naming the key, the
 * value and the limit, -ENOMEM. */
int agent_plan_instance_parse(const json_t *root, struct agent_plan_instance **out,
                              struct agent_error *error);

/** agent_plan_instance_load() - the same from a file of at most AGENT_PLAN_INSTANCE_BYTES */
int agent_plan_instance_load(const char *path, struct agent_plan_instance **out,
                             struct agent_error *error);

/** agent_plan_instance_validate() - what no plan could ever satisfy, found by arithmetic
 * Return: 0, or -EDOM naming the constraint and by how much it is missed. */
int agent_plan_instance_validate(const struct agent_plan_instance *instance,
                                 struct agent_error *error);

void agent_plan_instance_free(struct agent_plan_instance *instance);

/** plan_site_kw_per_it_kw() - facility kW per kW of a group's power at @site in @slot */
static inline double plan_site_kw_per_it_kw(const struct plan_site *site, int slot)
{
    return site->pue[slot] * site->power_scale;
}

#endif
