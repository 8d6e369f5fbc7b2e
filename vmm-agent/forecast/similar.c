/* SPDX-License-Identifier: GPL-2.0-or-later */
/* similar.c - the mean of the past days that looked most like this one beforehand
 * Alike means: the 24 hours before the question, the operator's outlook where there is one, the
 * kind of day (work, Saturday, rest) for loads, and nearness in time. Every distance is in units
 * of the quantity's own spread, so that one table of weights serves all kinds. */
#include <errno.h>
#include <math.h>

#include "forecast/calendar.h"
#include "forecast/forecast.h"

#define LOOK_BACK_DAYS 60
#define NEIGHBOURS     8
#define AGE_SCALE_DAYS 60.0
#define TYPE_DISTANCE  2.0

struct neighbour {
    int days_back;
    double distance;
};

/* Mean absolute difference of two windows of @slots half hours; NAN = fewer than half known. */
static double window_distance(const struct agent_fc_case *ask, int64_t a, int64_t b, int slots)
{
    double sum = 0.0;
    int count = 0;

    for (int i = 0; i < slots; i++) {
        double difference = agent_fc_known(ask, a + i) - agent_fc_known(ask, b + i);
        if (isfinite(difference)) {
            sum += fabs(difference);
            count++;
        }
    }
    return count * 2 >= slots ? sum / count : (double)NAN;
}

static double guide_distance(const struct agent_fc_case *ask, int days_back)
{
    int64_t back_slots = (int64_t)days_back * AGENT_FC_SLOTS;
    double sum = 0.0;
    int count = 0;

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        double difference = agent_fc_guide(ask, ask->day_slot + i) -
                            agent_fc_guide(ask, ask->day_slot + i - back_slots);
        if (isfinite(difference)) {
            sum += fabs(difference);
            count++;
        }
    }
    return count * 2 >= AGENT_FC_SLOTS ? sum / count : (double)NAN;
}

/* Usual differences between days next to each other: the yardsticks of distances. */
struct yardstick {
    double measured;
    double guide;
};

static double mean_or_one(double sum, int count)
{
    return count > 0 && sum > 0.0 ? sum / count : 1.0;
}

static struct yardstick usual_change(const struct agent_fc_case *ask)
{
    struct yardstick sum = {0.0, 0.0};
    int measured = 0;
    int guided = 0;

    for (int day = 1; day < 28; day++) {
        int64_t at = ask->known_until - (int64_t)day * AGENT_FC_SLOTS;
        double change = window_distance(ask, at, at - AGENT_FC_SLOTS, AGENT_FC_SLOTS);
        double guide = guide_distance(ask, day);
        if (isfinite(change)) {
            sum.measured += change;
            measured++;
        }
        if (isfinite(guide)) {
            sum.guide += guide;
            guided++;
        }
    }
    return (struct yardstick){mean_or_one(sum.measured, measured), mean_or_one(sum.guide, guided)};
}

static double distance_of(const struct agent_fc_case *ask, int days_back,
                          const struct yardstick *unit)
{
    int64_t back = (int64_t)days_back * AGENT_FC_SLOTS;
    int64_t recent = ask->known_until - AGENT_FC_SLOTS;
    double before = window_distance(ask, recent, recent - back, AGENT_FC_SLOTS);
    double guide = guide_distance(ask, days_back);
    double distance = days_back / AGE_SCALE_DAYS;

    if (!isfinite(before) && !isfinite(guide)) {
        return NAN;
    }
    distance += isfinite(guide) ? 2.0 * guide / unit->guide : 0.0;
    distance += isfinite(before) ? (isfinite(guide) ? 0.25 : 1.0) * before / unit->measured : 0.0;
    if (ask->kind == AGENT_FC_LOAD || ask->kind == AGENT_FC_CURTAILMENT) {
        struct agent_date day = agent_date_of(agent_slot_start(ask->day_slot));
        struct agent_date past = agent_date_of(agent_slot_start(ask->day_slot - back));
        distance += agent_calendar_type(day) != agent_calendar_type(past) ? TYPE_DISTANCE : 0.0;
    }
    return distance;
}

/* Keep the @NEIGHBOURS nearest, nearest first; equal distances keep the younger day. */
static int insert(struct neighbour *nearest, int count, struct neighbour one)
{
    int at = count < NEIGHBOURS ? count : NEIGHBOURS - 1;

    if (count == NEIGHBOURS && nearest[at].distance <= one.distance) {
        return count;
    }
    while (at > 0 && nearest[at - 1].distance > one.distance) {
        nearest[at] = nearest[at - 1];
        at--;
    }
    nearest[at] = one;
    return count < NEIGHBOURS ? count + 1 : count;
}

static double weighted_mean(const struct agent_fc_case *ask, const struct neighbour *nearest,
                            int count, int index)
{
    double sum = 0.0;
    double weights = 0.0;

    for (int k = 0; k < count; k++) {
        int64_t back = (int64_t)nearest[k].days_back * AGENT_FC_SLOTS;
        double value = agent_fc_known(ask, ask->day_slot + index - back);
        if (isfinite(value)) {
            double weight = 1.0 / (0.25 + nearest[k].distance);
            sum += weight * value;
            weights += weight;
        }
    }
    return weights > 0.0 ? sum / weights : (double)NAN;
}

static int predict(const struct agent_fc_case *ask, double *out)
{
    struct neighbour nearest[NEIGHBOURS];
    struct yardstick unit = usual_change(ask);
    int count = 0;

    for (int back = 1; back <= LOOK_BACK_DAYS; back++) {
        struct neighbour one = {back, distance_of(ask, back, &unit)};
        if (isfinite(one.distance)) {
            count = insert(nearest, count, one);
        }
    }
    if (count == 0) {
        return -ENODATA;
    }
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        out[i] = weighted_mean(ask, nearest, count, i);
    }
    return 0;
}

const struct agent_fc_method agent_fc_similar = {
    .name = "similar-day",
    .summary = "weighted mean of the eight most similar of the last 60 days",
    .kinds = (1u << AGENT_FC_KINDS) - 1,
    .history_days = 14,
    .predict = predict,
};
