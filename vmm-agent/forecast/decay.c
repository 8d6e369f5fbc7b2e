/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decay.c - the usual day, plus what is left of the present departure from it
 * The usual day is the mean by time of day over 28 days (loads: of the same kind of day). The
 * departure of the last six hours fades with the memory that the departures themselves show, so
 * that the forecast is persistence at first and climate later. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "forecast/calendar.h"
#include "forecast/forecast.h"

#define LEARN_DAYS   28
#define RECENT_SLOTS 12
#define TYPES        3

struct usual {
    double mean[TYPES][AGENT_FC_SLOTS]; /* NAN = never seen */
    double any[AGENT_FC_SLOTS];
};

/* Kind of day of @slot; only loads care. */
static int type_of(const struct agent_fc_case *ask, int64_t slot)
{
    return ask->kind == AGENT_FC_LOAD
               ? (int)agent_calendar_type(agent_date_of(agent_slot_start(slot)))
               : 0;
}

static void learn(const struct agent_fc_case *ask, struct usual *usual)
{
    int count[TYPES][AGENT_FC_SLOTS];

    memset(count, 0, sizeof(count));
    memset(usual, 0, sizeof(*usual));
    for (int back = 1; back <= LEARN_DAYS; back++) {
        int64_t day = ask->day_slot - (int64_t)back * AGENT_FC_SLOTS;
        int type = type_of(ask, day);
        for (int i = 0; i < AGENT_FC_SLOTS; i++) {
            double value = agent_fc_known(ask, day + i);
            if (isfinite(value)) {
                usual->mean[type][i] += value;
                count[type][i]++;
            }
        }
    }
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        double sum = 0.0;
        int all = 0;
        for (int type = 0; type < TYPES; type++) {
            sum += usual->mean[type][i];
            all += count[type][i];
            usual->mean[type][i] =
                count[type][i] > 0 ? usual->mean[type][i] / count[type][i] : (double)NAN;
        }
        usual->any[i] = all > 0 ? sum / all : (double)NAN;
    }
}

static double usual_at(const struct agent_fc_case *ask, const struct usual *usual, int64_t slot)
{
    int index = agent_slot_in_day(slot);
    double mean = usual->mean[type_of(ask, slot)][index];

    return isfinite(mean) ? mean : usual->any[index];
}

/* Lag-one correlation of the departures per half hour, kept below 1. */
static double memory(const struct agent_fc_case *ask, const struct usual *usual)
{
    int64_t first = ask->day_slot - (int64_t)LEARN_DAYS * AGENT_FC_SLOTS;
    double before = NAN;
    double together = 0.0;
    double variance = 0.0;

    for (int64_t slot = first; slot < ask->known_until; slot++) {
        double here = agent_fc_known(ask, slot) - usual_at(ask, usual, slot);
        if (isfinite(here) && isfinite(before)) {
            together += here * before;
            variance += before * before;
        }
        before = here;
    }
    return variance > 0.0 ? fmin(fmax(together / variance, 0.0), 0.999) : 0.0;
}

static int predict(const struct agent_fc_case *ask, double *out)
{
    struct usual usual;
    double departure = 0.0;
    int recent = 0;

    learn(ask, &usual);
    for (int k = 1; k <= RECENT_SLOTS; k++) {
        int64_t slot = ask->known_until - k;
        double here = agent_fc_known(ask, slot) - usual_at(ask, &usual, slot);
        if (isfinite(here)) {
            departure += here;
            recent++;
        }
    }
    if (recent == 0) {
        return -ENODATA;
    }
    departure /= recent;
    double keep = memory(ask, &usual);
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        double ahead = (double)(ask->day_slot + i - ask->known_until) + RECENT_SLOTS / 2.0;
        out[i] = usual_at(ask, &usual, ask->day_slot + i) + departure * pow(keep, ahead);
    }
    return 0;
}

const struct agent_fc_method agent_fc_decay = {
    .name = "decay",
    .summary = "the usual day plus the present departure, fading as departures do",
    .kinds = (1u << AGENT_FC_WIND) | (1u << AGENT_FC_CURTAILMENT) | (1u << AGENT_FC_LOAD),
    .history_days = 14,
    .predict = predict,
};
