/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model.h - the instance in the form the solver works on: classes of equal units, and rows
 * Owner: struct plan_model owns its arena; it borrows the instance.
 * Thread: written by one thread; prices are read by several between barriers.
 * Time:  planned slot 0..slots-1 (instance slot minus first).
 * Units: kW, kWh, GB, yen per slot.
 *
 * A class is what moves as one unit: a VM, or with affinity the VMs that stay together. A row is
 * one coupling between classes: the sum of what all units take of it (its load) is charged by a
 * convex piecewise linear function. A capacity is the function that is 0 up to the capacity and
 * infinite above. */
#ifndef AGENT_PLAN_MODEL_H
#define AGENT_PLAN_MODEL_H

#include "plan/instance.h"

#define PLAN_FAR         1e30 /* cost of what cannot be */
#define PLAN_KNEES       5
#define PLAN_OVER        1e5 /* times its usual price: what a broken capacity costs a unit */

/* Rows per site and slot come first; links have one row per slot and direction. */
enum plan_kind {
    PLAN_ENERGY,  /* net load of the site, kW: price, carbon, import limit */
    PLAN_PEAK,    /* net load less surplus less the paid peak, kW <= 0 */
    PLAN_POWER,   /* facility load, kW */
    PLAN_CPU,     /* cores */
    PLAN_RAM,     /* GB; a moving unit holds both ends in the slot it moves */
    PLAN_GIVE,    /* four rows of reserve: minus what load and battery can give */
    PLAN_LINK = PLAN_GIVE + PLAN_RESERVES,
    PLAN_LIMIT, /* anti-affinity, VMs; one block per rule */
    PLAN_KINDS
};

/** struct plan_row - load @y is charged @slope[i] per unit above @knee[i], nothing below
 * @lambda: multiplier (the centre of the smoothed charge)
 * @rho:    stiffness, yen per unit squared; 1/rho is how far the charge is smoothed
 * @over:   yen per unit where the slope is infinite, when whole units are tried */
struct plan_row {
    double y;
    double lambda;
    double rho;
    double over;
    double price; /* current slope of the smoothed charge */
    double stiff; /* current second derivative */
    int knees;
    double knee[PLAN_KNEES];
    double slope[PLAN_KNEES];
};

struct plan_start {
    int site;  /* -1: not placed yet, may start anywhere at no cost */
    int count; /* units */
    int hold;  /* planned slots it must stay; slots = the whole horizon */
};

struct plan_class {
    int count;
    int member_count;
    int *members;  /* group index */
    int *per_unit; /* VMs of that group in one unit */
    double cpu;
    double ram;
    double gb;
    double yen_per_move;
    double yen_per_blackout_s;
    int dwell;
    bool gives;          /* some reserve share is not 0 */
    uint64_t allowed;    /* may stay there */
    uint64_t enterable;  /* may come in: allowed and not frozen */
    double *kw;          /* IT power per slot */
    double *give[PLAN_RESERVES]; /* IT kW it can give per slot, or NULL */
    int start_count;
    struct plan_start *starts;
    int limit_count;
    int *limits;
    double *limit_units;
};

/** struct plan_store - one site's battery, in planned slots; @level has slots + 1 members */
struct plan_store {
    bool active;
    double up_per_kwh;   /* kW at the meter per kWh stored in a slot */
    double down_per_kwh; /* kW at the meter per kWh taken in a slot */
    double rise_max;     /* kWh per slot */
    double fall_max;
    double *level_min; /* of level[slot + 1] */
    double *level_max;
    double *rise; /* kWh stored in the slot, negative when taken: the decision */
    double *level;
};

/** struct plan_gate - imbalance of one area in one slot past gate closure
 * Where one site alone can be at the knee (@knee_kwh of it is finite), its energy row charges the
 * imbalance exactly; otherwise the row charges it linearly at @mu. */
struct plan_gate {
    double mu; /* multiplier of the imbalance, yen/kWh */
    double mu_min;
    double mu_max;
    double committed_kwh;
    bool solo; /* the area has one site: its row is exact and mu stays at mu_min */
};

struct plan_model {
    struct plan_arena arena;
    const struct agent_plan_instance *instance;
    int slots;
    int sites;
    int links;
    int class_count;
    struct plan_class *classes;
    int row_count;
    int base[PLAN_KINDS + 1]; /* first row of each kind */
    struct plan_row *rows;
    double *row_price; /* per row: a copy of price for the route search */
    double *kw_scale;  /* [slot * sites + site]: facility kW per IT kW */
    double *load_price; /* [slot * sites + site]: yen per IT kW: energy, peak, power */
    double *surplus_peak; /* [slot * sites + site] */
    double *peak;       /* per site: paid import peak, kW: a decision */
    double *peak_min;
    double *peak_max;
    double *unit_yen;   /* [slot * sites + site]: yen per kW-slot of import without imbalance */
    struct plan_store *stores;
    struct plan_gate *gates; /* [area * slots + slot], NULL without gate closure */
    double *knee_kwh; /* [slot * sites + site]: import at which imbalance turns; NAN = linear */
    int *out_first;  /* [sites + 1]: links leaving a site ... */
    int *out_links;  /* ... in out_links[out_first[site]..] */
    bool any_give;
    uint8_t *used;   /* per row: somebody is or can be charged */
};

/** plan_model_new() - compile a validated instance
 * Return: 0 with *@out to be freed by plan_model_free(), -EDOM (contradiction, named), -ENOMEM. */
int plan_model_new(const struct agent_plan_instance *instance, struct plan_model **out,
                   struct agent_error *error);

void plan_model_free(struct plan_model *model);

/** plan_model_classes() - groups and affinity to classes (model_class.c) */
int plan_model_classes(struct plan_model *model, struct agent_error *error);

/** plan_model_gate() - the gate a cell is under, or NULL */
const struct plan_gate *plan_model_gate(const struct plan_model *model, int slot, int site);

/** plan_model_energy() - slopes of one energy row; again whenever a gate's multiplier changes */
void plan_model_energy(struct plan_model *model, int slot, int site);

static inline int plan_row_at(const struct plan_model *model, enum plan_kind kind, int slot,
                              int site)
{
    return model->base[kind] + slot * model->sites + site;
}

static inline int plan_row_link(const struct plan_model *model, int slot, int link)
{
    return model->base[PLAN_LINK] + slot * model->links + link;
}

static inline int plan_row_limit(const struct plan_model *model, int limit, int slot, int site)
{
    return model->base[PLAN_LIMIT] + (limit * model->slots + slot) * model->sites + site;
}

#endif
