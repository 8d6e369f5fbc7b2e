/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forecast/solar.h"

#include <math.h>

#include "forecast/calendar.h"
#include "support/slot.h"

#define RADIANS_PER_DEGREE (3.14159265358979323846 / 180.0)
#define SAMPLES_PER_SLOT   3

struct agent_place_on_earth agent_solar_area(int area)
{
    static const struct agent_place_on_earth places[11] = {
        {35.9, 139.8}, /* unknown: as Tokyo */
        {42.9, 142.0}, {38.8, 140.7}, {35.9, 139.8}, {35.1, 137.1}, {36.6, 136.8},
        {34.7, 135.4}, {34.5, 132.8}, {33.8, 133.7}, {32.6, 130.8}, {26.4, 127.9},
    };

    return places[area >= 1 && area <= 10 ? area : 0];
}

double agent_solar_sine(struct agent_place_on_earth place, int64_t time_s)
{
    struct agent_date date = agent_date_of(time_s - AGENT_JST_OFFSET_S); /* the UTC day */
    double hour_utc = (double)(time_s - agent_date_start(date) - AGENT_JST_OFFSET_S) / 3600.0;
    double g = 2.0 * 180.0 * RADIANS_PER_DEGREE *
               (agent_calendar_day_of_year(date) + (hour_utc - 12.0) / 24.0) / 365.0;
    double declination = 0.006918 - 0.399912 * cos(g) + 0.070257 * sin(g) - 0.006758 * cos(2 * g) +
                         0.000907 * sin(2 * g) - 0.002697 * cos(3 * g) + 0.00148 * sin(3 * g);
    double equation_min = 229.18 * (0.000075 + 0.001868 * cos(g) - 0.032077 * sin(g) -
                                    0.014615 * cos(2 * g) - 0.040849 * sin(2 * g));
    double solar_hour = hour_utc + place.longitude_deg / 15.0 + equation_min / 60.0;
    double angle = (solar_hour - 12.0) * 15.0 * RADIANS_PER_DEGREE;
    double latitude = place.latitude_deg * RADIANS_PER_DEGREE;

    return sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(angle);
}

double agent_solar_clear(struct agent_place_on_earth place, int64_t slot)
{
    double sum = 0.0;

    for (int i = 0; i < SAMPLES_PER_SLOT; i++) {
        int64_t at =
            agent_slot_start(slot) + AGENT_SLOT_SECONDS * (2 * i + 1) / (2 * SAMPLES_PER_SLOT);
        double sine = agent_solar_sine(place, at);
        if (sine > 0.0) {
            sum += 1098.0 * sine * exp(-0.057 / sine);
        }
    }
    return sum / SAMPLES_PER_SLOT;
}
