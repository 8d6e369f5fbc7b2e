/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_balance.c - who trades with whom, and what each area's plants do
 * The network is a tree (Hokkaido - Tohoku - Tokyo = Chubu - Hokuriku, Kansai - Chugoku - Shikoku,
 * Kyushu), so net exports fix every flow. Within an area nuclear, water, heat, biomass and trade
 * are given; thermal plants fill the rest down to their least output; below that pumped storage
 * fills up, and what it cannot take is curtailed, solar first. */
#include <math.h>
#include <string.h>

#include "forecast/calendar.h"
#include "simulate/synth_parts.h"

#define TWO_PI            6.28318530717958647692
#define PUMP_EFFICIENCY   0.7
#define KANMON_MW         2470.0
#define CHUGOKU_KANSAI_MW 4140.0
#define TOHOKU_TOKYO_MW   5150.0
#define HOKKAIDO_MW       900.0
#define CONVERTER_MW      2100.0 /* between the 50 Hz and 60 Hz halves */

static double clamp(double value, double low, double high)
{
    return fmin(fmax(value, low), high);
}

struct trade {
    struct agent_random random;
    double mood; /* slow departure, deviation about 1 */
};

static double wish(struct trade *trade, const struct agent_synth *synth, int area, size_t i,
                   const float *demand)
{
    const struct agent_synth_area *facts = &agent_synth_areas[area];

    trade->mood = 0.985 * trade->mood + 0.17 * agent_random_normal(&trade->random);
    return facts->export_mw + 0.10 * (synth->potential[area][i] - 0.15 * facts->pv) -
           0.10 * (demand[i] - facts->demand) + 0.02 * facts->demand * trade->mood;
}

void agent_synth_exchange(struct agent_synth *synth, const struct agent_synth_weather *weather,
                          float *const demand[AGENT_AREA_COUNT],
                          float *const import[AGENT_AREA_COUNT])
{
    struct trade trade[AGENT_AREA_COUNT];
    double out[AGENT_AREA_COUNT];

    (void)weather;
    for (int area = 0; area < AGENT_AREA_COUNT; area++) {
        trade[area].random = agent_random_start(synth->seed, SYNTH_EXCHANGE, (uint32_t)area);
        trade[area].mood = 0.0;
    }
    for (size_t i = 0; i < synth->slots; i++) {
        for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
            out[area] = wish(&trade[area], synth, area, i, demand[area]);
        }
        double *o = out;
        o[AGENT_AREA_HOKKAIDO] = clamp(o[AGENT_AREA_HOKKAIDO], -HOKKAIDO_MW, HOKKAIDO_MW);
        double north =
            clamp(o[AGENT_AREA_HOKKAIDO] + o[AGENT_AREA_TOHOKU], -TOHOKU_TOKYO_MW, TOHOKU_TOKYO_MW);
        o[AGENT_AREA_KYUSHU] = clamp(o[AGENT_AREA_KYUSHU], 300.0, KANMON_MW - 40.0);
        double corner = o[AGENT_AREA_KYUSHU] + o[AGENT_AREA_SHIKOKU];
        double west =
            clamp(corner + o[AGENT_AREA_CHUGOKU], -CHUGOKU_KANSAI_MW, CHUGOKU_KANSAI_MW - 40.0);
        double east = clamp(-(o[AGENT_AREA_TOKYO] + north), -CONVERTER_MW, CONVERTER_MW);
        double middle = east - west - o[AGENT_AREA_HOKURIKU];
        o[AGENT_AREA_TOHOKU] = north - o[AGENT_AREA_HOKKAIDO];
        o[AGENT_AREA_CHUGOKU] = west - corner;
        o[AGENT_AREA_TOKYO] = -east - north;
        o[AGENT_AREA_KANSAI] = 0.75 * middle;
        o[AGENT_AREA_CHUBU] = 0.25 * middle;
        for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
            import[area][i] = (float)-out[area];
        }
        synth->line[0][i] = (int32_t)lrint(o[AGENT_AREA_HOKKAIDO]);
        synth->line[1][i] = (int32_t)lrint(north);
        synth->line[2][i] = (int32_t)lrint(west);
        synth->line[3][i] = (int32_t)lrint(o[AGENT_AREA_KYUSHU]);
    }
}

/* One area's year as it is filled; all MW. */
struct plant {
    struct agent_synth *synth;
    const struct agent_synth_weather *weather;
    const struct agent_synth_area *facts;
    enum agent_area area;
    struct agent_random random;
    double nuclear_noise;
    double water_noise;
};

struct half_hour {
    double demand, nuclear, hydro, geothermal, biomass, other, import;
    double pv, wind, pv_cut, wind_cut, pump, battery;
};

/* Each reactor rests once in 13 months: a quarter of the fleet is out for part of the year. */
static double fleet(const struct plant *plant, size_t day)
{
    struct agent_random random =
        agent_random_start(plant->synth->seed, SYNTH_BALANCE, 1000u + plant->area);
    double start = 40.0 + 200.0 * agent_random_unit(&random);
    bool single = plant->facts->nuclear < 1500.0;
    bool resting = (double)day >= start && (double)day < start + (single ? 75.0 : 110.0);

    return resting ? (single ? 0.0 : 0.76) : 1.0;
}

static struct half_hour given(struct plant *plant, size_t i, double demand, double import)
{
    const struct agent_synth_area *facts = plant->facts;
    struct agent_date date = agent_date_of(agent_slot_start(plant->synth->first_slot + (int64_t)i));
    int day = agent_calendar_day_of_year(date);
    double hour = (double)(i % AGENT_SLOTS_PER_DAY) / 2.0;
    struct half_hour now = {.demand = demand, .import = import};

    plant->nuclear_noise = 0.97 * plant->nuclear_noise + agent_random_normal(&plant->random);
    plant->water_noise = 0.98 * plant->water_noise + 0.01 * agent_random_normal(&plant->random);
    double running = fleet(plant, i / AGENT_SLOTS_PER_DAY);
    now.nuclear = facts->nuclear * running;
    now.nuclear += now.nuclear > 0.0 ? plant->nuclear_noise : 0.0;
    double evening = exp(-pow((hour - 18.5) / 2.5, 2.0)) + 0.4 * exp(-pow((hour - 6.0) / 2.0, 2.0));
    double melt = 1.0 + 0.28 * cos(TWO_PI * (day - 125) / 365.25);
    now.hydro = facts->hydro * melt * (0.8 + 0.55 * evening) * (1.0 + plant->water_noise);
    now.geothermal = facts->geothermal * (1.0 + 0.01 * agent_random_normal(&plant->random));
    now.biomass = facts->biomass * (1.0 + 0.003 * agent_random_normal(&plant->random));
    now.other = facts->other * (1.0 + 0.02 * agent_random_normal(&plant->random));
    now.pv = plant->weather->pv[plant->area][i];
    now.wind = plant->weather->wind[plant->area][i];
    return now;
}

/* Megawatts nobody asked for once thermal plants are at their least. */
static double surplus(const struct half_hour *now, const struct agent_synth_area *facts)
{
    return now->nuclear + now->hydro + now->geothermal + now->biomass + now->other + now->import +
           now->pv + now->wind + facts->thermal_min - now->demand;
}

/* Pump what is too much, curtail the rest, and give the water back in the day's dearest hours. */
static void settle_day(struct plant *plant, struct half_hour *day)
{
    const struct agent_synth_area *facts = plant->facts;
    double stored = 0.0;
    double weights = 0.0;

    for (int i = 0; i < AGENT_SLOTS_PER_DAY; i++) {
        double over = surplus(&day[i], facts) + 0.02 * facts->demand;
        if (over > 0.0) {
            day[i].biomass *= 1.0 - 0.35 * clamp(over / (0.2 * facts->demand), 0.0, 1.0);
            over = fmax(surplus(&day[i], facts), 0.0);
            day[i].pump = -fmin(over, facts->pump);
            day[i].pv_cut = fmin(over + day[i].pump, day[i].pv);
            day[i].wind_cut = fmin(over + day[i].pump - day[i].pv_cut, day[i].wind);
            stored -= day[i].pump;
        } else {
            weights += over < -0.3 * facts->demand ? -over : 0.0;
        }
    }
    stored = stored * PUMP_EFFICIENCY + 1.2 * facts->pump;
    for (int i = 0; i < AGENT_SLOTS_PER_DAY && weights > 0.0; i++) {
        double over = surplus(&day[i], facts) + 0.02 * facts->demand;
        if (day[i].pump == 0.0 && over < -0.3 * facts->demand) {
            day[i].pump = fmin(stored * -over / weights, facts->pump);
        }
    }
}

static void put(struct plant *plant, size_t i, enum agent_quantity column, double mw)
{
    bool even = plant->area == AGENT_AREA_KYUSHU && column != AGENT_PV_CURTAILED &&
                column != AGENT_WIND_CURTAILED;

    plant->synth->mw[plant->area][column][i] = (int32_t)(even ? 2 * lrint(mw / 2) : lrint(mw));
}

/* Meters at night: Tohoku's solar shows -3, Kyushu's a few megawatts either way. */
static double night_reading(struct plant *plant, double pv)
{
    static const double kyushu[8] = {0, 2, 2, -2, 4, 0, 16, 0};

    if (pv > 0.5 || plant->area == AGENT_AREA_OKINAWA) {
        return pv;
    }
    if (plant->area == AGENT_AREA_TOHOKU) {
        return -3.0;
    }
    return plant->area == AGENT_AREA_KYUSHU ? kyushu[agent_random_next(&plant->random) & 7] : 0.0;
}

static void put_supply(struct plant *plant, size_t i, const struct half_hour *now)
{
    put(plant, i, AGENT_NUCLEAR, now->nuclear);
    put(plant, i, AGENT_HYDRO, now->hydro);
    put(plant, i, AGENT_GEOTHERMAL, now->geothermal);
    put(plant, i, AGENT_BIOMASS, now->biomass);
    put(plant, i, AGENT_PV, night_reading(plant, now->pv - now->pv_cut));
    put(plant, i, AGENT_PV_CURTAILED, now->pv_cut);
    put(plant, i, AGENT_WIND, now->wind - now->wind_cut);
    put(plant, i, AGENT_WIND_CURTAILED, now->wind_cut);
    put(plant, i, AGENT_PUMPED, now->pump);
    put(plant, i, AGENT_GRID_BATTERY, 4.0 * agent_random_normal(&plant->random));
    put(plant, i, AGENT_INTERCONNECTION, now->import);
    put(plant, i, AGENT_OTHER, now->other);
    if (plant->facts->twenty_two) {
        put(plant, i, AGENT_THERMAL_CURTAILED, now->pv_cut > 0.0 ? 0.1 * now->pv_cut : 0.0);
        put(plant, i, AGENT_BIOMASS_CURTAILED, now->pv_cut > 0.0 ? 0.05 * now->biomass : 0.0);
    }
}

/* Thermal plants close the balance in whole megawatts; total = sum, demand differs by rounding. */
static void put_thermal(struct plant *plant, size_t i, double demand)
{
    static const enum agent_quantity summed[] = {
        AGENT_NUCLEAR, AGENT_HYDRO,  AGENT_GEOTHERMAL,   AGENT_BIOMASS,         AGENT_PV,
        AGENT_WIND,    AGENT_PUMPED, AGENT_GRID_BATTERY, AGENT_INTERCONNECTION, AGENT_OTHER,
    };
    int32_t *const *mw = plant->synth->mw[plant->area];
    const struct agent_synth_area *facts = plant->facts;
    int64_t sum = 0;

    for (size_t k = 0; k < sizeof(summed) / sizeof(summed[0]); k++) {
        sum += mw[summed[k]][i];
    }
    double rest = fmax(demand - (double)sum, 0.0);
    double oil = facts->oil * rest;
    double other = (1.0 - facts->lng - facts->coal - facts->oil) * facts->thermal_min;
    put(plant, i, AGENT_THERMAL_OIL, oil);
    put(plant, i, AGENT_THERMAL_OTHER, fmin(other, rest - oil));
    put(plant, i, AGENT_THERMAL_COAL, facts->coal * fmax(rest - oil - other, 0.0));
    sum += mw[AGENT_THERMAL_OIL][i] + mw[AGENT_THERMAL_OTHER][i] + mw[AGENT_THERMAL_COAL][i];
    put(plant, i, AGENT_THERMAL_LNG, fmax(demand - (double)sum, 0.0));
    sum += mw[AGENT_THERMAL_LNG][i];
    int rounding = (int)(agent_random_next(&plant->random) % 3) - 1;
    bool kyushu = plant->area == AGENT_AREA_KYUSHU;
    mw[AGENT_TOTAL][i] = (int32_t)sum + (kyushu ? 2 * rounding : rounding);
    mw[AGENT_DEMAND][i] = (int32_t)sum + (kyushu ? 4 * rounding : 0);
}

void agent_synth_balance(struct agent_synth *synth, const struct agent_synth_weather *weather,
                         enum agent_area area, const float *demand, const float *import)
{
    struct plant plant = {.synth = synth, .weather = weather, .area = area};
    struct half_hour day[AGENT_SLOTS_PER_DAY];

    plant.facts = &agent_synth_areas[area];
    plant.random = agent_random_start(synth->seed, SYNTH_BALANCE, (uint32_t)area);
    for (size_t first = 0; first < synth->slots; first += AGENT_SLOTS_PER_DAY) {
        for (size_t k = 0; k < AGENT_SLOTS_PER_DAY; k++) {
            day[k] = given(&plant, first + k, demand[first + k], import[first + k]);
        }
        settle_day(&plant, day);
        for (size_t k = 0; k < AGENT_SLOTS_PER_DAY; k++) {
            put_supply(&plant, first + k, &day[k]);
            put_thermal(&plant, first + k, day[k].demand);
        }
    }
}
