/* SPDX-License-Identifier: GPL-2.0-or-later */
/* solar.h - where the sun stands over an area, and what a cloudless sky would give
 * Owner: plain functions.   Thread: any, no state.
 * Time:  passed in (UTC).   Units:  degrees, W/m2; slots of 1,800 s. */
#ifndef AGENT_FORECAST_SOLAR_H
#define AGENT_FORECAST_SOLAR_H

#include <stdint.h>

struct agent_place_on_earth {
    double latitude_deg;  /* north positive, -90..90 */
    double longitude_deg; /* east positive, -180..180 */
};

/** agent_solar_area() - middle of an area's solar plants
 * @area: 1 (Hokkaido) … 10 (Okinawa). Return: the place; outside 1..10 that of Tokyo. */
struct agent_place_on_earth agent_solar_area(int area);

/** agent_solar_sine() - sine of the sun's elevation (Spencer 1971 declination and equation of
 * time, good to 0.3 degrees). Return: -1..1. */
double agent_solar_sine(struct agent_place_on_earth place, int64_t time_s);

/** agent_solar_clear() - mean clear-sky global irradiance over one slot (Haurwitz 1945)
 * Return: W/m2, 0 at night. */
double agent_solar_clear(struct agent_place_on_earth place, int64_t slot);

#endif
