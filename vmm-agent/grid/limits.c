/* SPDX-License-Identifier: GPL-2.0-or-later */
/* limits.c - what an area or a market can plausibly show
 * Owner: constants.   Thread: any.
 * Time:  none.        Units: MW, JPY/kWh, ratio, gCO2/kWh, W.
 *
 * The figures are 1.2 to 2 times what had been installed or recorded by 2026: they catch a wrong
 * unit, a wrong column or a slipped digit, not a record day. */
#include <math.h>

#include "grid/reader.h"

static const struct {
    double demand;
    double nuclear;
    double hydro;
    double geothermal;
    double biomass;
    double pv;
    double wind;
} largest[AGENT_AREA_COUNT] = {
    [AGENT_AREA_HOKKAIDO] = {7500, 2500, 2500, 200, 1200, 4000, 4500},
    [AGENT_AREA_TOHOKU] = {18000, 4500, 5000, 600, 2500, 14000, 7500},
    [AGENT_AREA_TOKYO] = {75000, 11000, 6500, 100, 3000, 32000, 4000},
    [AGENT_AREA_CHUBU] = {34000, 4500, 6500, 100, 2500, 19000, 2000},
    [AGENT_AREA_HOKURIKU] = {7500, 2500, 4000, 50, 800, 2500, 1200},
    [AGENT_AREA_KANSAI] = {37000, 8500, 6500, 50, 2000, 12000, 1500},
    [AGENT_AREA_CHUGOKU] = {15000, 2800, 2200, 50, 2000, 11500, 1500},
    [AGENT_AREA_SHIKOKU] = {7500, 1300, 1700, 50, 1200, 5600, 1200},
    [AGENT_AREA_KYUSHU] = {22000, 5200, 2800, 600, 2000, 19500, 3500},
    [AGENT_AREA_OKINAWA] = {2300, 100, 100, 50, 400, 900, 200},
};

/* A slightly negative output is own consumption at night: −3 MW is ordinary. */
static struct grid_limits output(double max)
{
    return (struct grid_limits){-fmax(10, 0.003 * max), max};
}

static struct grid_limits area_limits(enum agent_area area, enum agent_quantity quantity)
{
    double demand = largest[area].demand;

    switch (quantity) {
    case AGENT_DEMAND:
    case AGENT_TOTAL:
        return (struct grid_limits){0.12 * demand, demand};
    case AGENT_GENERATION:
        return (struct grid_limits){0.05 * demand, 1.3 * demand};
    case AGENT_SUPPLY_CAPACITY:
        return (struct grid_limits){0.12 * demand, 1.6 * demand};
    case AGENT_NUCLEAR:
        return output(largest[area].nuclear);
    case AGENT_HYDRO:
        return output(largest[area].hydro);
    case AGENT_GEOTHERMAL:
        return output(largest[area].geothermal);
    case AGENT_BIOMASS:
    case AGENT_BIOMASS_CURTAILED:
        return output(largest[area].biomass);
    case AGENT_PV:
    case AGENT_PV_CURTAILED:
        return output(largest[area].pv);
    case AGENT_CURTAILMENT_OUTLOOK:
        return (struct grid_limits){0, largest[area].pv + largest[area].wind};
    case AGENT_WIND:
    case AGENT_WIND_CURTAILED:
        return output(largest[area].wind);
    case AGENT_WIND_PV:
        return output(largest[area].pv + largest[area].wind);
    case AGENT_THERMAL_LNG:
    case AGENT_THERMAL_COAL:
    case AGENT_THERMAL_OIL:
    case AGENT_THERMAL_OTHER:
    case AGENT_THERMAL_CURTAILED:
        return output(1.2 * demand);
    case AGENT_PUMPED:
        return (struct grid_limits){-0.4 * demand, 0.4 * demand};
    case AGENT_GRID_BATTERY:
        return (struct grid_limits){-0.3 * demand, 0.3 * demand};
    case AGENT_INTERCONNECTION:
        return (struct grid_limits){-demand, demand};
    case AGENT_OTHER:
        return (struct grid_limits){-0.1 * demand, 0.3 * demand};
    default:
        return (struct grid_limits){NAN, NAN};
    }
}

struct grid_limits grid_limits(enum agent_area area, enum agent_quantity quantity)
{
    switch (quantity) {
    case AGENT_PRICE_SPOT:
    case AGENT_PRICE_SYSTEM:
        return (struct grid_limits){0.01, 300}; /* floor of the market; its record is 251 */
    case AGENT_PRICE_IMBALANCE_SURPLUS:
    case AGENT_PRICE_IMBALANCE_SHORTAGE:
        return (struct grid_limits){-200, 600}; /* cap C of the scarcity curve */
    case AGENT_VOLUME_SPOT:
        return (struct grid_limits){1000, 120000};
    case AGENT_USAGE_RATIO:
        return (struct grid_limits){0.2, 1.1};
    case AGENT_LINE_FLOW:
    case AGENT_LINE_CAPACITY_FORWARD:
    case AGENT_LINE_CAPACITY_REVERSE:
        return (struct grid_limits){-15000, 15000};
    case AGENT_BATTERY_CHARGE:
        return (struct grid_limits){0, 1};
    case AGENT_HOST_POWER:
        return (struct grid_limits){0, 100000};
    case AGENT_BATTERY_POWER:
        return (struct grid_limits){-1e8, 1e8};
    case AGENT_CARBON:
        return (struct grid_limits){0, 1200};
    default:
        break;
    }
    return area > AGENT_AREA_NONE && area < AGENT_AREA_COUNT ? area_limits(area, quantity)
                                                             : (struct grid_limits){NAN, NAN};
}
