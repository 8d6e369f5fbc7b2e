/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/kpi.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

double agent_kpi_peak(const double *potential, size_t slots)
{
    double peak = 0.0;

    for (size_t i = 0; i < slots; i++) {
        peak = isfinite(potential[i]) ? fmax(peak, potential[i]) : peak;
    }
    return peak;
}

static bool sites_valid(const struct agent_kpi_site *sites, size_t count)
{
    for (size_t s = 0; s < count; s++) {
        if (!(sites[s].peak > 0.0) || !(sites[s].ratio >= 0.0) || !isfinite(sites[s].ratio)) {
            return false;
        }
    }
    return count >= 1 && count <= AGENT_SIM_SITES_MAX;
}

/* Renewable power per site relative to the load. Return: false when a site is not known. */
static bool renewable_at(const struct agent_kpi_site *sites, size_t count, size_t i, double *power)
{
    for (size_t s = 0; s < count; s++) {
        if (!isfinite(sites[s].potential[i])) {
            return false;
        }
        power[s] = sites[s].ratio * fmax(sites[s].potential[i], 0.0) / sites[s].peak;
    }
    return true;
}

int agent_kpi_renewable(const struct agent_kpi_site *sites, size_t count, size_t slots,
                        struct agent_kpi_use *use)
{
    double power[AGENT_SIM_SITES_MAX];
    double alone[AGENT_SIM_SITES_MAX] = {0};

    memset(use, 0, sizeof(*use));
    if (!sites_valid(sites, count)) {
        return -EINVAL;
    }
    for (size_t i = 0; i < slots; i++) {
        double sum = 0.0;
        if (!renewable_at(sites, count, i, power)) {
            use->unknown++;
            continue;
        }
        for (size_t s = 0; s < count; s++) {
            use->uniform += fmin(1.0 / (double)count, power[s]);
            alone[s] += fmin(1.0, power[s]);
            sum += power[s];
        }
        use->available += sum;
        use->dynamic += fmin(1.0, sum);
        use->load += 1.0;
        use->slots++;
    }
    for (size_t s = 0; s < count; s++) {
        use->best_site = alone[s] > alone[use->best_site] ? s : use->best_site;
    }
    use->best_static = alone[use->best_site];
    use->oracle = use->dynamic;
    return use->slots > 0 ? 0 : -ENODATA;
}

static bool known_everywhere(const double *const *price, size_t count, size_t i)
{
    for (size_t s = 0; s < count; s++) {
        if (!isfinite(price[s][i])) {
            return false;
        }
    }
    return true;
}

int agent_kpi_prices(const double *const *price, size_t count, size_t slots,
                     struct agent_kpi_price *result)
{
    double sum[AGENT_SIM_SITES_MAX] = {0};
    double least_sum = 0.0;
    size_t at = count;
    size_t equal = 0;

    memset(result, 0, sizeof(*result));
    if (count < 1 || count > AGENT_SIM_SITES_MAX) {
        return -EINVAL;
    }
    for (size_t i = 0; i < slots; i++) {
        if (!known_everywhere(price, count, i)) {
            continue;
        }
        double least = price[0][i];
        double most = price[0][i];
        for (size_t s = 0; s < count; s++) {
            sum[s] += price[s][i];
            least = fmin(least, price[s][i]);
            most = fmax(most, price[s][i]);
        }
        equal += most <= least ? 1 : 0;
        if (at == count || price[at][i] > least) {
            result->switches += at < count ? 1 : 0;
            for (at = 0; price[at][i] > least; at++) {
            }
        }
        least_sum += least;
        result->slots++;
    }
    if (result->slots == 0) {
        return -ENODATA;
    }
    double n = (double)result->slots;
    for (size_t s = 0; s < count; s++) {
        result->uniform += sum[s] / n / (double)count;
        result->best_site = sum[s] < sum[result->best_site] ? s : result->best_site;
    }
    result->best_static = sum[result->best_site] / n;
    result->dynamic = least_sum / n;
    result->equal_share = (double)equal / n;
    return 0;
}
