/* SPDX-License-Identifier: GPL-2.0-or-later */
/* route.h - the cheapest way of one unit through sites and slots, by dynamic programming
 * Owner: struct plan_route_desk is one thread's scratch memory.
 * Thread: one desk each; model and prices are only read.
 * Time:  planned slots.   Units: yen. */
#ifndef AGENT_PLAN_ROUTE_H
#define AGENT_PLAN_ROUTE_H

#include "plan/model.h"

/** struct plan_prices - what one unit of each row costs; borrowed arrays
 * @row:  per row of the model
 * @load: [slot * sites + site], yen per IT kW */
struct plan_prices {
    const double *row;
    const double *load;
};

/** struct plan_route_desk - filled by plan_route_solve(), read by plan_route_take()
 * @node: yen of being at a site in a slot; @ahead: cheapest rest when free to move
 * @size: largest absolute cost seen per slot, summed: for the rounding error bound */
struct plan_route_desk {
    double *node;
    double *sum;   /* [slot * sites + site]: node costs before the slot */
    double *ahead; /* [slot * sites + site], slots + 1 rows */
    double *enter; /* per site, of the slot at hand */
    int *choice;   /* link taken in the slot, -1 = stay */
    double *link_yen; /* per link: money for one move */
    double size;
    double *row; /* per row: scratch for callers that price rows per class */
};

int plan_route_desk_init(struct plan_route_desk *desk, const struct plan_model *model);
void plan_route_desk_done(struct plan_route_desk *desk);

/** plan_route_nodes() - fill desk->node for a class from linear prices */
void plan_route_nodes(struct plan_route_desk *desk, const struct plan_model *model,
                      const struct plan_class *class, const struct plan_prices *prices);

/** plan_route_solve() - fill sum, ahead and choice from desk->node and the row prices of links
 * and of memory (a move holds memory at its source) */
void plan_route_solve(struct plan_route_desk *desk, const struct plan_model *model,
                      const struct plan_class *class, const double *row_price);

/** plan_route_take() - cheapest route from a start state, after plan_route_solve()
 * @sites: slots members, may be NULL. Return: yen; PLAN_FAR or more when there is none. */
double plan_route_take(const struct plan_route_desk *desk, const struct plan_model *model,
                       const struct plan_class *class, const struct plan_start *start,
                       uint8_t *sites);

/** plan_route_cost() - what a given route costs at desk->node and @row_price */
double plan_route_cost(const struct plan_route_desk *desk, const struct plan_model *model,
                       const struct plan_class *class, const struct plan_start *start,
                       const uint8_t *sites, const double *row_price);

/** plan_link_between() - index of the link, or -1 */
int plan_link_between(const struct plan_model *model, int from, int to);

/** plan_move_yen() - money of one unit's move over a link (bytes, blackout, fixed) */
double plan_move_yen(const struct plan_model *model, const struct plan_class *class, int link);

#endif
