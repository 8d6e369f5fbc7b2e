/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grid/series.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *japanese;
} areas[AGENT_AREA_COUNT] = {
    [AGENT_AREA_NONE] = {"none", ""},           [AGENT_AREA_HOKKAIDO] = {"hokkaido", "北海道"},
    [AGENT_AREA_TOHOKU] = {"tohoku", "東北"},   [AGENT_AREA_TOKYO] = {"tokyo", "東京"},
    [AGENT_AREA_CHUBU] = {"chubu", "中部"},     [AGENT_AREA_HOKURIKU] = {"hokuriku", "北陸"},
    [AGENT_AREA_KANSAI] = {"kansai", "関西"},   [AGENT_AREA_CHUGOKU] = {"chugoku", "中国"},
    [AGENT_AREA_SHIKOKU] = {"shikoku", "四国"}, [AGENT_AREA_KYUSHU] = {"kyushu", "九州"},
    [AGENT_AREA_OKINAWA] = {"okinawa", "沖縄"},
};

static const struct {
    const char *name;
    enum agent_unit unit;
} quantities[AGENT_QUANTITY_COUNT] = {
    [AGENT_QUANTITY_INVALID] = {"invalid", AGENT_UNIT_NONE},
    [AGENT_DEMAND] = {"demand", AGENT_UNIT_MW},
    [AGENT_NUCLEAR] = {"nuclear", AGENT_UNIT_MW},
    [AGENT_THERMAL_LNG] = {"thermal_lng", AGENT_UNIT_MW},
    [AGENT_THERMAL_COAL] = {"thermal_coal", AGENT_UNIT_MW},
    [AGENT_THERMAL_OIL] = {"thermal_oil", AGENT_UNIT_MW},
    [AGENT_THERMAL_OTHER] = {"thermal_other", AGENT_UNIT_MW},
    [AGENT_THERMAL_CURTAILED] = {"thermal_curtailed", AGENT_UNIT_MW},
    [AGENT_HYDRO] = {"hydro", AGENT_UNIT_MW},
    [AGENT_GEOTHERMAL] = {"geothermal", AGENT_UNIT_MW},
    [AGENT_BIOMASS] = {"biomass", AGENT_UNIT_MW},
    [AGENT_BIOMASS_CURTAILED] = {"biomass_curtailed", AGENT_UNIT_MW},
    [AGENT_PV] = {"pv", AGENT_UNIT_MW},
    [AGENT_PV_CURTAILED] = {"pv_curtailed", AGENT_UNIT_MW},
    [AGENT_WIND] = {"wind", AGENT_UNIT_MW},
    [AGENT_WIND_CURTAILED] = {"wind_curtailed", AGENT_UNIT_MW},
    [AGENT_PUMPED] = {"pumped", AGENT_UNIT_MW},
    [AGENT_GRID_BATTERY] = {"grid_battery", AGENT_UNIT_MW},
    [AGENT_INTERCONNECTION] = {"interconnection", AGENT_UNIT_MW},
    [AGENT_OTHER] = {"other", AGENT_UNIT_MW},
    [AGENT_TOTAL] = {"total", AGENT_UNIT_MW},
    [AGENT_GENERATION] = {"generation", AGENT_UNIT_MW},
    [AGENT_WIND_PV] = {"wind_pv", AGENT_UNIT_MW},
    [AGENT_USAGE_RATIO] = {"usage_ratio", AGENT_UNIT_RATIO},
    [AGENT_SUPPLY_CAPACITY] = {"supply_capacity", AGENT_UNIT_MW},
    [AGENT_PRICE_SPOT] = {"price_spot", AGENT_UNIT_JPY_PER_KWH},
    [AGENT_PRICE_SYSTEM] = {"price_system", AGENT_UNIT_JPY_PER_KWH},
    [AGENT_PRICE_IMBALANCE_SURPLUS] = {"price_imbalance_surplus", AGENT_UNIT_JPY_PER_KWH},
    [AGENT_PRICE_IMBALANCE_SHORTAGE] = {"price_imbalance_shortage", AGENT_UNIT_JPY_PER_KWH},
    [AGENT_VOLUME_SPOT] = {"volume_spot", AGENT_UNIT_MW},
    [AGENT_CURTAILMENT_OUTLOOK] = {"curtailment_outlook", AGENT_UNIT_MW},
    [AGENT_LINE_FLOW] = {"line_flow", AGENT_UNIT_MW},
    [AGENT_LINE_CAPACITY_FORWARD] = {"line_capacity_forward", AGENT_UNIT_MW},
    [AGENT_LINE_CAPACITY_REVERSE] = {"line_capacity_reverse", AGENT_UNIT_MW},
    [AGENT_HOST_POWER] = {"host_power", AGENT_UNIT_W},
    [AGENT_BATTERY_CHARGE] = {"battery_charge", AGENT_UNIT_RATIO},
    [AGENT_BATTERY_POWER] = {"battery_power", AGENT_UNIT_W},
    [AGENT_CARBON] = {"carbon", AGENT_UNIT_G_PER_KWH},
};

static const char *const stages[AGENT_STAGE_COUNT] = {"actual", "forecast", "plan"};
static const char *const units[AGENT_UNIT_COUNT] = {"", "MW", "W", "JPY/kWh", "1", "gCO2/kWh"};
static const char *const flags[] = {"missing",   "imbalanced", "range",   "incomplete",
                                    "future",    "stale",      "revised", "modelled",
                                    "duplicate", "jump",       "layout"};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

const char *agent_area_name(enum agent_area area)
{
    return areas[area].name;
}

const char *agent_area_japanese(enum agent_area area)
{
    return areas[area].japanese;
}

enum agent_area agent_area_of(const char *text)
{
    for (int area = 1; area < AGENT_AREA_COUNT; area++) {
        char number[8];
        char padded[8];
        snprintf(number, sizeof(number), "%d", area);
        snprintf(padded, sizeof(padded), "%02d", area);
        if (strcmp(text, areas[area].name) == 0 || strcmp(text, areas[area].japanese) == 0 ||
            strcmp(text, number) == 0 || strcmp(text, padded) == 0) {
            return (enum agent_area)area;
        }
    }
    return AGENT_AREA_NONE;
}

const char *agent_quantity_name(enum agent_quantity quantity)
{
    return quantities[quantity].name;
}

enum agent_unit agent_quantity_unit(enum agent_quantity quantity)
{
    return quantities[quantity].unit;
}

enum agent_quantity agent_quantity_of(const char *text)
{
    for (int quantity = 1; quantity < AGENT_QUANTITY_COUNT; quantity++) {
        if (strcmp(text, quantities[quantity].name) == 0) {
            return (enum agent_quantity)quantity;
        }
    }
    return AGENT_QUANTITY_INVALID;
}

const char *agent_stage_name(enum agent_stage stage)
{
    return stages[stage];
}

enum agent_stage agent_stage_of(const char *text)
{
    int stage = 0;

    while (stage < AGENT_STAGE_COUNT && strcmp(text, stages[stage]) != 0) {
        stage++;
    }
    return (enum agent_stage)stage;
}

const char *agent_unit_name(enum agent_unit unit)
{
    return units[unit];
}

const char *agent_quality_format(uint32_t quality, char *out, size_t size)
{
    size_t used = 0;

    snprintf(out, size, "ok");
    for (size_t flag = 0; flag < FLAG_COUNT; flag++) {
        if ((quality & (1u << flag)) != 0 && used < size) {
            int wrote = snprintf(out + used, size - used, "%s%s", used > 0 ? "," : "", flags[flag]);
            used += (size_t)wrote;
        }
    }
    return out;
}

int agent_quality_parse(const char *text, uint32_t *quality)
{
    uint32_t found = 0;

    if (strcmp(text, "ok") == 0) {
        *quality = 0;
        return 0;
    }
    while (true) {
        size_t length = strcspn(text, ",");
        size_t flag = 0;
        while (flag < FLAG_COUNT &&
               (strlen(flags[flag]) != length || strncmp(text, flags[flag], length) != 0)) {
            flag++;
        }
        if (flag == FLAG_COUNT) {
            return -EINVAL;
        }
        found |= 1u << flag;
        if (text[length] == '\0') {
            *quality = found;
            return 0;
        }
        text += length + 1;
    }
}

bool agent_quality_usable(uint32_t quality)
{
    return (quality & ~AGENT_QUALITY_NOTES) == 0;
}
