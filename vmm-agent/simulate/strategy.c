/* SPDX-License-Identifier: GPL-2.0-or-later */
/* strategy.c - the rules without a plan: stay, cheapest-now, greedy max-surplus
 * They are what a plan is compared with, so they are as good as such rules get: they know today's
 * prices and the last measurement, never break a capacity, and do not move for a tie. They know
 * nothing of what moving costs. */
#include "simulate/strategy.h"

#include <math.h>
#include <string.h>

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

void agent_sim_place_even(const struct agent_sim_world *world, struct agent_sim_place *place)
{
    size_t turn = 0; /* who gets the remainders, so that no site gathers them */

    memset(place, 0, sizeof(*place));
    for (size_t g = 0; g < world->group_count; g++) {
        int each = world->groups[g].count / (int)world->site_count;
        int rest = world->groups[g].count % (int)world->site_count;
        for (size_t s = 0; s < world->site_count; s++) {
            place->count[g][s] = each;
        }
        for (; rest > 0; rest--) {
            place->count[g][turn++ % world->site_count]++;
        }
    }
}

/* Put @group's homeless VMs where room is left, in the order of @order. */
static void fill(const struct agent_sim_world *world, const size_t *order, size_t g, int *room,
                 struct agent_sim_place *place)
{
    int homeless = world->groups[g].count;

    for (size_t s = 0; s < world->site_count; s++) {
        homeless -= place->count[g][s];
    }
    for (size_t k = 0; k < world->site_count && homeless > 0; k++) {
        int take = smaller(homeless, room[order[k]]);
        place->count[g][order[k]] += take;
        room[order[k]] -= take;
        homeless -= take;
    }
}

void agent_sim_place_at(const struct agent_sim_world *world, size_t site,
                        struct agent_sim_place *place)
{
    size_t order[AGENT_SIM_SITES_MAX];
    int room[AGENT_SIM_SITES_MAX];

    memset(place, 0, sizeof(*place));
    for (size_t k = 0; k < world->site_count; k++) {
        order[k] = (site + k) % world->site_count;
        room[k] = agent_sim_capacity(world, k);
    }
    for (size_t g = 0; g < world->group_count; g++) {
        fill(world, order, g, room, place);
    }
}

static int stay(const struct agent_sim_view *view, const struct agent_sim_state *start,
                struct agent_sim_place *schedule, struct agent_error *error)
{
    (void)view;
    (void)error;
    for (int slot = 0; slot < AGENT_SIM_SLOTS; slot++) {
        schedule[slot] = start->place;
    }
    return 0;
}

/* Sites by @merit, best first; equal merits in the order of the sites. */
static void sort_sites(const double *merit, size_t count, size_t *order)
{
    for (size_t k = 0; k < count; k++) {
        size_t at = k;
        while (at > 0 && merit[order[at - 1]] < merit[k]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = k;
    }
}

static bool movable(const struct agent_sim_view *view, size_t site)
{
    return view->frozen[site] == NULL;
}

/* Every VM to the best site with room. A VM stays when its site's merit is as good as the best. */
static void all_to_best(const struct agent_sim_view *view, const double *merit,
                        struct agent_sim_place *place)
{
    const struct agent_sim_world *world = view->world;
    size_t order[AGENT_SIM_SITES_MAX];
    int room[AGENT_SIM_SITES_MAX];

    sort_sites(merit, world->site_count, order);
    for (size_t s = 0; s < world->site_count; s++) {
        room[s] = movable(view, s) ? agent_sim_capacity(world, s) : 0;
    }
    double best = merit[order[0]];
    for (size_t g = 0; g < world->group_count; g++) {
        for (size_t s = 0; s < world->site_count; s++) {
            bool keep = !movable(view, s) || merit[s] >= best;
            place->count[g][s] = keep ? place->count[g][s] : 0;
            room[s] -= movable(view, s) ? place->count[g][s] : 0;
        }
    }
    for (size_t g = 0; g < world->group_count; g++) {
        fill(world, order, g, room, place);
    }
}

static int cheapest(const struct agent_sim_view *view, const struct agent_sim_state *start,
                    struct agent_sim_place *schedule, struct agent_error *error)
{
    struct agent_sim_place now = start->place;

    (void)error;
    for (int slot = 0; slot < AGENT_SIM_SLOTS; slot++) {
        double merit[AGENT_SIM_SITES_MAX];
        bool any = false;
        for (size_t s = 0; s < view->world->site_count; s++) {
            bool known = movable(view, s) && isfinite(view->price[s][slot]);
            merit[s] = known ? -view->price[s][slot] : -INFINITY;
            any = any || known;
        }
        if (any) {
            all_to_best(view, merit, &now);
        }
        schedule[slot] = now;
    }
    return 0;
}

/* Power of the VMs at @site. */
static double load_at(const struct agent_sim_world *world, const struct agent_sim_place *place,
                      size_t site)
{
    double kw = 0.0;

    for (size_t g = 0; g < world->group_count; g++) {
        kw += place->count[g][site] * world->groups[g].power_kw;
    }
    return kw;
}

/* Take VMs worth @kw from @from to @to, group after group. */
static void shift(const struct agent_sim_world *world, struct agent_sim_place *place, size_t from,
                  size_t to, double kw, int *room)
{
    for (size_t g = 0; g < world->group_count && kw > 0.0 && *room > 0; g++) {
        double each = world->groups[g].power_kw;
        int go = smaller(smaller(place->count[g][from], (int)floor(kw / each)), *room);
        place->count[g][from] -= go;
        place->count[g][to] += go;
        *room -= go;
        kw -= go * each;
    }
}

/* Move load from where it runs on grid power to where surplus is left, largest surplus first. */
static void chase(const struct agent_sim_view *view, int slot, struct agent_sim_place *place)
{
    const struct agent_sim_world *world = view->world;
    double surplus[AGENT_SIM_SITES_MAX];
    size_t order[AGENT_SIM_SITES_MAX];

    for (size_t s = 0; s < world->site_count; s++) {
        bool known = movable(view, s) && isfinite(view->measured[s][slot]);
        surplus[s] = known ? view->measured[s][slot] - load_at(world, place, s) : 0.0;
    }
    sort_sites(surplus, world->site_count, order);
    for (size_t k = 0; k < world->site_count && surplus[order[k]] > 0.0; k++) {
        size_t to = order[k];
        int room = agent_sim_capacity(world, to);
        for (size_t g = 0; g < world->group_count; g++) {
            room -= place->count[g][to];
        }
        for (size_t from = 0; from < world->site_count; from++) {
            if (from == to || !movable(view, from) || surplus[from] >= 0.0) {
                continue;
            }
            double kw = fmin(surplus[to], -surplus[from]);
            shift(world, place, from, to, kw, &room);
            surplus[to] -= kw;
            surplus[from] += kw;
        }
    }
}

static int greedy(const struct agent_sim_view *view, const struct agent_sim_state *start,
                  struct agent_sim_place *schedule, struct agent_error *error)
{
    struct agent_sim_place now = start->place;

    (void)error;
    for (int slot = 0; slot < AGENT_SIM_SLOTS; slot++) {
        chase(view, slot, &now);
        schedule[slot] = now;
    }
    return 0;
}

const struct agent_sim_strategy agent_sim_stay = {
    .name = "stay",
    .summary = "nothing ever moves",
    .decide = stay,
};

const struct agent_sim_strategy agent_sim_cheapest = {
    .name = "cheapest-now",
    .summary = "everything to the cheapest site of each half hour",
    .decide = cheapest,
};

const struct agent_sim_strategy agent_sim_greedy = {
    .name = "greedy-surplus",
    .summary = "load follows the last measured surplus, largest first",
    .reactive = true,
    .decide = greedy,
};
