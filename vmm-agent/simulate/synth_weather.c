/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_weather.c - clouds, wind and heat of ten areas
 * Clouds: an area's day is the country's front, that of its half (50 or 60 Hz) and its own. Wind: a
 * slow departure (a day's memory) shared in part. The spread is set so that yesterday's wind +
 * solar misses today's by 8.1 % of peak on average over areas. */
#include <math.h>

#include "forecast/calendar.h"
#include "forecast/solar.h"
#include "simulate/synth_parts.h"

#define TWO_PI       6.28318530717958647692
#define CLOUD_MEMORY 0.25
#define CLOUD_SPREAD 1.78

/* Cosine of the year: 1 on day @peak, -1 half a year off. */
static double season(int day_of_year, int peak)
{
    return cos(TWO_PI * (day_of_year - peak) / 365.25);
}

/* Logistic squeeze of a standard normal departure around a mean clearness. */
static double clearness(double mean, double departure)
{
    double logit = log(mean / (1.0 - mean)) + CLOUD_SPREAD * departure;

    return 1.0 / (1.0 + exp(-logit));
}

static double mean_clearness(const struct agent_synth_area *facts, int day)
{
    double rain = exp(-pow((day - 175) / 22.0, 2.0)); /* June and July */
    double winter = fmax(season(day, 15), 0.0);

    return 0.66 - 0.14 * rain + 0.10 * winter * facts->sunny_winter;
}

struct sky {
    double day;     /* departure of the day */
    double drift;   /* change from morning to evening */
    double flicker; /* departure of the half hour */
};

static double solar_power(const struct agent_synth_area *facts, double clear_wm2, double share)
{
    /* panels are tilted: they gain when the sun is low, and lose when hot */
    double tilt = 1.0 + 0.12 * (1.0 - fmin(clear_wm2 / 900.0, 1.0));

    return facts->pv * 0.88 * clear_wm2 / 1000.0 * tilt * (0.12 + 0.88 * share);
}

static void area_sky(const struct agent_synth *synth, struct agent_synth_weather *weather, int area,
                     const double *front)
{
    const struct agent_synth_area *facts = &agent_synth_areas[area];
    struct agent_place_on_earth place = agent_solar_area(area);
    struct agent_random own = agent_random_start(synth->seed, SYNTH_CLOUD_AREA, (uint32_t)area);
    struct agent_random fast = agent_random_start(synth->seed, SYNTH_CLOUD_SLOT, (uint32_t)area);
    struct sky sky = {0, 0, 0};
    double guess = 0.0;
    double mean = 0.6;

    for (size_t i = 0; i < synth->slots; i++) {
        size_t in_day = i % AGENT_SLOTS_PER_DAY;
        if (in_day == 0) {
            struct agent_date date =
                agent_date_of(agent_slot_start(synth->first_slot + (int64_t)i));
            mean = mean_clearness(facts, agent_calendar_day_of_year(date));
            sky.day = 0.75 * front[i / AGENT_SLOTS_PER_DAY] + 0.66 * agent_random_normal(&own);
            sky.drift = 0.5 * agent_random_normal(&own);
            guess = 0.9 * sky.day + 0.45 * agent_random_normal(&own);
        }
        sky.flicker = 0.75 * sky.flicker + 0.3 * agent_random_normal(&fast);
        double clear = agent_solar_clear(place, synth->first_slot + (int64_t)i);
        double now = sky.day + sky.drift * ((double)in_day - 23.5) / 12.0 + sky.flicker;
        weather->pv[area][i] = (float)solar_power(facts, clear, clearness(mean, now));
        weather->outlook[area][i] = (float)solar_power(facts, clear, clearness(mean, guess));
    }
}

static void area_wind(const struct agent_synth *synth, struct agent_synth_weather *weather,
                      int area, const double *front)
{
    const struct agent_synth_area *facts = &agent_synth_areas[area];
    struct agent_random random = agent_random_start(synth->seed, SYNTH_WIND, (uint32_t)area);
    double slow = 0.0;
    double fast = 0.0;
    double miss = 0.0;

    for (size_t i = 0; i < synth->slots; i++) {
        struct agent_date date = agent_date_of(agent_slot_start(synth->first_slot + (int64_t)i));
        double winter = season(agent_calendar_day_of_year(date), 10);
        double hour = (double)(i % AGENT_SLOTS_PER_DAY) / 2.0;
        slow = 0.978 * slow + 0.209 * agent_random_normal(&random);
        fast = 0.7 * fast + 0.2 * agent_random_normal(&random);
        miss = 0.97 * miss + 0.09 * agent_random_normal(&random);
        double usual = -1.45 + 0.55 * winter + 0.12 * cos(TWO_PI * (hour - 14.0) / 24.0);
        double level = usual + 0.95 * slow - 0.35 * front[i / AGENT_SLOTS_PER_DAY];
        weather->wind[area][i] = (float)(facts->wind * 0.92 / (1.0 + exp(-(level + fast))));
        weather->outlook[area][i] += (float)(facts->wind * 0.92 / (1.0 + exp(-(level + miss))));
    }
}

static void area_heat(const struct agent_synth *synth, struct agent_synth_weather *weather,
                      int area, const double *front)
{
    struct agent_random random = agent_random_start(synth->seed, SYNTH_HEAT, (uint32_t)area);
    double heat = 0.0;

    for (size_t day = 0; day < synth->slots / AGENT_SLOTS_PER_DAY; day++) {
        heat = 0.72 * heat + 0.35 * agent_random_normal(&random) + 0.2 * front[day];
        weather->heat[area][day] = (float)heat;
    }
}

/* The front of each day for one area: shared with the whole country and with its half of it, a
 * quarter of yesterday's left; deviation about 1. */
static void fronts(const struct agent_synth *synth, double *front, int area)
{
    struct agent_random nation = agent_random_start(synth->seed, SYNTH_CLOUD_NATION, 0);
    struct agent_random region =
        agent_random_start(synth->seed, SYNTH_CLOUD_NATION, area <= AGENT_AREA_TOKYO ? 1 : 2);
    double last = 0.0;

    for (size_t day = 0; day < synth->slots / AGENT_SLOTS_PER_DAY; day++) {
        double fresh = 0.6 * agent_random_normal(&nation) + 0.8 * agent_random_normal(&region);
        last = CLOUD_MEMORY * last + sqrt(1.0 - CLOUD_MEMORY * CLOUD_MEMORY) * fresh;
        front[day] = last;
    }
}

void agent_synth_weather_make(const struct agent_synth *synth, struct agent_synth_weather *weather)
{
    double front[366];

    for (int area = 1; area < AGENT_AREA_COUNT; area++) {
        fronts(synth, front, area);
        area_sky(synth, weather, area, front);
        area_wind(synth, weather, area, front);
        area_heat(synth, weather, area, front);
    }
}

/* Demand by time of day, 1 = mean of a working day; hours 0, 2, … 22, linear between. */
static double day_shape(double hour, enum agent_day_type type)
{
    static const double work[13] = {0.85, 0.80, 0.83, 0.92, 1.06, 1.08, 1.02,
                                    1.02, 1.05, 1.13, 1.07, 0.98, 0.85};
    static const double rest[13] = {0.83, 0.77, 0.77, 0.80, 0.87, 0.88, 0.85,
                                    0.84, 0.89, 1.02, 1.00, 0.93, 0.83};
    int at = (int)(hour / 2.0);
    double part = hour / 2.0 - at;
    double working = work[at] + part * (work[at + 1] - work[at]);
    double resting = rest[at] + part * (rest[at + 1] - rest[at]);

    if (type == AGENT_DAY_WORK) {
        return working;
    }
    return type == AGENT_DAY_REST ? resting : 0.35 * working + 0.65 * resting;
}

void agent_synth_demand(const struct agent_synth *synth, const struct agent_synth_weather *weather,
                        enum agent_area area, float *demand)
{
    const struct agent_synth_area *facts = &agent_synth_areas[area];
    struct agent_random random = agent_random_start(synth->seed, SYNTH_HEAT, 100u + area);
    double slow = 0.0;

    for (size_t i = 0; i < synth->slots; i++) {
        struct agent_date date = agent_date_of(agent_slot_start(synth->first_slot + (int64_t)i));
        int day = agent_calendar_day_of_year(date);
        double summer = pow(fmax(season(day, 215), 0.0), 2.0);
        double winter = pow(fmax(season(day, 25), 0.0), 1.5);
        double heat = weather->heat[area][i / AGENT_SLOTS_PER_DAY];
        double level = 0.93 + facts->summer * summer + facts->winter * winter +
                       heat * (0.055 * summer - 0.035 * winter);
        slow = 0.96 * slow + 0.0022 * agent_random_normal(&random);
        double shape =
            day_shape((double)(i % AGENT_SLOTS_PER_DAY) / 2.0, agent_calendar_type(date));
        demand[i] = (float)(facts->demand * level * shape * (1.0 + slow));
    }
}
