/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kpi.h - renewable use and price of divisible load over sites, by formula
 * Owner: plain functions on borrowed arrays.   Thread: any, no state.
 * Time:  slots only count.   Units: load = 1; potentials and prices as given.
 *
 * With load L and renewable power R of each site, per half hour:
 *   uniform     = sum over sites of min(L / n, R_site)
 *   best static = the one site with the largest sum of min(L, R_site)
 *   dynamic     = min(L, sum of R_site)
 * The last is what divisible load that follows the sun reaches without any cost of moving; no plan
 * can do better, so it is also the oracle. What forecasts, whole VMs, dwell times and migration
 * costs leave of it is what the VM simulation (run.h) measures. */
#ifndef AGENT_SIMULATE_KPI_H
#define AGENT_SIMULATE_KPI_H

#include <stddef.h>

#define AGENT_SIM_SITES_MAX 20

/** struct agent_kpi_site - @potential: @slots values, NAN = not known
 * @peak:  largest potential, > 0, that @ratio refers to
 * @ratio: peak renewable power / total load, >= 0 */
struct agent_kpi_site {
    const double *potential;
    double peak;
    double ratio;
};

/** struct agent_kpi_use - sums in units of (load x slot); shares are relative to @load
 * @slots: half hours in which every site is known; only they count */
struct agent_kpi_use {
    size_t slots;
    size_t unknown;
    double load;
    double available; /* sum of R over sites */
    double uniform;
    double best_static;
    double dynamic;
    double oracle;
    size_t best_site;
};

/** agent_kpi_peak() - largest known value; 0 when none is known or positive */
double agent_kpi_peak(const double *potential, size_t slots);

/** agent_kpi_renewable() - the formulas above
 * @count: 1..AGENT_SIM_SITES_MAX sites of @slots half hours. Return: 0, -EINVAL, -ENODATA (no half
 * hour is known at every site). */
int agent_kpi_renewable(const struct agent_kpi_site *sites, size_t count, size_t slots,
                        struct agent_kpi_use *use);

/** struct agent_kpi_price - mean JPY/kWh over the half hours known at every site
 * @dynamic: always at the cheapest, price known the day before, moving free
 * @switches: changes of the cheapest site (ties stay) */
struct agent_kpi_price {
    size_t slots;
    double uniform;
    double best_static;
    double dynamic;
    size_t best_site;
    size_t switches;
    double equal_share; /* of half hours with the same price everywhere */
};

/** agent_kpi_prices() - @price: per site, @slots values. Return: as agent_kpi_renewable(). */
int agent_kpi_prices(const double *const *price, size_t count, size_t slots,
                     struct agent_kpi_price *result);

#endif
