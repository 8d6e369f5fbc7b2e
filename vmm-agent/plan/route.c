/* SPDX-License-Identifier: GPL-2.0-or-later */
/* route.c - cheapest route of one unit
 * Owner: struct plan_route_desk.   Thread: one per desk.   Time: planned slots.   Units: yen.
 *
 * Theory of operation. ahead[t][s] is the cheapest cost of slots t.. for a unit that was at s in
 * slot t - 1 and has served its dwell. It either stays (node[t][s] + ahead[t+1][s]) or takes a
 * link to b, where it must stay for dwell slots: sum of node[t..t+d)[b] + ahead[t+d][b]; the sums
 * come from running totals, so dwell costs nothing extra. A dwell that reaches past the horizon
 * is carried into the next plan by the running state. Links are scanned only when the cheapest
 * conceivable move could beat staying. */
#include "plan/route.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int plan_route_desk_init(struct plan_route_desk *desk, const struct plan_model *model)
{
    size_t cells = (size_t)(model->slots * model->sites);
    size_t sites = (size_t)model->sites;

    memset(desk, 0, sizeof(*desk));
    desk->node = calloc(cells, sizeof(double));
    desk->sum = calloc(cells + sites, sizeof(double));
    desk->ahead = calloc(cells + sites, sizeof(double));
    desk->enter = calloc(sites, sizeof(double));
    desk->choice = calloc(cells, sizeof(int));
    desk->link_yen = calloc((size_t)model->links + 1, sizeof(double));
    desk->row = calloc((size_t)model->row_count + 1, sizeof(double));
    if (desk->row == NULL || desk->node == NULL || desk->sum == NULL || desk->ahead == NULL || desk->enter == NULL ||
        desk->choice == NULL || desk->link_yen == NULL) {
        plan_route_desk_done(desk);
        return -ENOMEM;
    }
    return 0;
}

void plan_route_desk_done(struct plan_route_desk *desk)
{
    free(desk->node);
    free(desk->sum);
    free(desk->ahead);
    free(desk->enter);
    free(desk->choice);
    free(desk->link_yen);
    free(desk->row);
    memset(desk, 0, sizeof(*desk));
}

void plan_route_nodes(struct plan_route_desk *desk, const struct plan_model *model,
                      const struct plan_class *class, const struct plan_prices *prices)
{
    const double *cpu = prices->row + model->base[PLAN_CPU];
    const double *ram = prices->row + model->base[PLAN_RAM];
    int cells = model->slots * model->sites;

    for (int slot = 0, cell = 0; slot < model->slots; slot++) {
        double kw = class->kw[slot];
        for (int site = 0; site < model->sites; site++, cell++) {
            desk->node[cell] =
                kw * prices->load[cell] + class->cpu * cpu[cell] + class->ram * ram[cell];
        }
    }
    for (int product = 0; class->gives && model->any_give && product < PLAN_RESERVES; product++) {
        const double *give = prices->row + model->base[PLAN_GIVE + product];
        for (int cell = 0; cell < cells; cell++) {
            desk->node[cell] -= class->give[product][cell / model->sites] *
                                model->kw_scale[cell] * give[cell];
        }
    }
    for (int index = 0; index < class->limit_count; index++) {
        const double *limit = prices->row + plan_row_limit(model, class->limits[index], 0, 0);
        for (int cell = 0; cell < cells; cell++) {
            desk->node[cell] += class->limit_units[index] * limit[cell];
        }
    }
}

double plan_move_yen(const struct plan_model *model, const struct plan_class *class, int link)
{
    const struct plan_link *from = &model->instance->links[link];

    return class->gb * from->yen_per_gb + class->yen_per_move +
           class->yen_per_blackout_s * from->blackout_s;
}

static void solve_totals(struct plan_route_desk *desk, const struct plan_model *model)
{
    int sites = model->sites;

    desk->size = 0;
    for (int slot = 0; slot < model->slots; slot++) {
        double most = 0;
        for (int site = 0; site < sites; site++) {
            double node = desk->node[slot * sites + site];
            desk->sum[(slot + 1) * sites + site] = desk->sum[slot * sites + site] + node;
            most = fmax(most, fabs(node));
        }
        desk->size += most;
    }
}

/* Cost of coming to each site in @slot and serving the dwell there. Return: the cheapest. */
static double solve_enter(struct plan_route_desk *desk, const struct plan_model *model,
                          const struct plan_class *class, int slot)
{
    int sites = model->sites;
    int free_at = slot + class->dwell < model->slots ? slot + class->dwell : model->slots;
    double least = PLAN_FAR;

    for (int site = 0; site < sites; site++) {
        desk->enter[site] = PLAN_FAR;
        if (class->enterable >> site & 1) {
            desk->enter[site] = desk->sum[free_at * sites + site] -
                                desk->sum[slot * sites + site] +
                                desk->ahead[free_at * sites + site];
            least = fmin(least, desk->enter[site]);
        }
    }
    return least;
}

static double solve_leave(struct plan_route_desk *desk, const struct plan_model *model,
                          const struct plan_class *class, const double *row_price, int cell)
{
    int slot = cell / model->sites;
    int site = cell % model->sites;
    const double *price = row_price + plan_row_link(model, slot, 0);
    double ram = class->ram * row_price[model->base[PLAN_RAM] + cell];
    double best = PLAN_FAR;

    for (int at = model->out_first[site]; at < model->out_first[site + 1]; at++) {
        int link = model->out_links[at];
        double cost = desk->enter[model->instance->links[link].to] + desk->link_yen[link] +
                      class->gb * price[link];
        if (cost < best && model->instance->links[link].gb[model->instance->first + slot] >=
                               class->gb - 1e-9 * class->gb) {
            best = cost;
            desk->choice[cell] = link;
        }
    }
    return best + ram;
}

void plan_route_solve(struct plan_route_desk *desk, const struct plan_model *model,
                      const struct plan_class *class, const double *row_price)
{
    int sites = model->sites;

    solve_totals(desk, model);
    double size = 0;
    for (int link = 0; link < model->links; link++) {
        desk->link_yen[link] = plan_move_yen(model, class, link);
        size = fmax(size, desk->link_yen[link]);
    }
    desk->size += size * model->slots;
    memset(desk->ahead + model->slots * sites, 0, sizeof(double) * (size_t)sites);
    for (int slot = model->slots - 1; slot >= 0; slot--) {
        double least = solve_enter(desk, model, class, slot);
        for (int site = 0; site < sites; site++) {
            int cell = slot * sites + site;
            bool may_stay = class->allowed >> site & 1;
            double stay = may_stay ? desk->node[cell] + desk->ahead[cell + sites] : PLAN_FAR;
            desk->choice[cell] = -1;
            if (least < stay) { /* prices of links and memory are never negative */
                int none = desk->choice[cell];
                double leave = solve_leave(desk, model, class, row_price, cell);
                if (leave < stay) {
                    stay = leave;
                } else {
                    desk->choice[cell] = none;
                }
            }
            desk->ahead[cell] = stay;
        }
    }
}

static int first_site(const struct plan_route_desk *desk, const struct plan_model *model,
                      const struct plan_class *class, double *cost)
{
    int best = -1;

    *cost = PLAN_FAR;
    for (int site = 0; site < model->sites; site++) {
        int free_at = class->dwell < model->slots ? class->dwell : model->slots;
        double yen = desk->sum[free_at * model->sites + site] +
                     desk->ahead[free_at * model->sites + site];
        if ((class->enterable >> site & 1) && yen < *cost) {
            *cost = yen;
            best = site;
        }
    }
    return best;
}

double plan_route_take(const struct plan_route_desk *desk, const struct plan_model *model,
                       const struct plan_class *class, const struct plan_start *start,
                       uint8_t *sites)
{
    int site = start->site;
    int free_at = start->hold;
    double cost;

    if (site < 0) {
        site = first_site(desk, model, class, &cost);
        free_at = class->dwell;
    } else {
        cost = desk->sum[free_at * model->sites + site] + desk->ahead[free_at * model->sites + site];
    }
    if (cost >= PLAN_FAR || sites == NULL) {
        return cost;
    }
    for (int slot = 0; slot < model->slots; slot++) {
        int link = slot >= free_at ? desk->choice[slot * model->sites + site] : -1;
        if (link >= 0) {
            site = model->instance->links[link].to;
            free_at = slot + class->dwell;
        }
        sites[slot] = (uint8_t)site;
    }
    return cost;
}

int plan_link_between(const struct plan_model *model, int from, int to)
{
    for (int at = model->out_first[from]; at < model->out_first[from + 1]; at++) {
        if (model->instance->links[model->out_links[at]].to == to) {
            return model->out_links[at];
        }
    }
    return -1;
}

double plan_route_cost(const struct plan_route_desk *desk, const struct plan_model *model,
                       const struct plan_class *class, const struct plan_start *start,
                       const uint8_t *sites, const double *row_price)
{
    int before = start->site;
    double cost = 0;

    for (int slot = 0; slot < model->slots; slot++) {
        int site = sites[slot];
        cost += desk->node[slot * model->sites + site];
        if (before >= 0 && before != site) {
            int link = plan_link_between(model, before, site);
            cost += plan_move_yen(model, class, link) +
                    class->gb * row_price[plan_row_link(model, slot, link)] +
                    class->ram * row_price[plan_row_at(model, PLAN_RAM, slot, before)];
        }
        before = site;
    }
    return cost;
}
