/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forecast/forecast.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const struct agent_fc_method *const methods[] = {
    &agent_fc_persistence, &agent_fc_week, &agent_fc_similar,  &agent_fc_clear_sky,
    &agent_fc_decay,       &agent_fc_holt, &agent_fc_operator,
};

_Static_assert(sizeof(methods) / sizeof(methods[0]) <= AGENT_FC_METHODS_MAX, "methods");

static const char *const kind_names[AGENT_FC_KINDS] = {"pv", "wind", "curtailment", "load"};

const struct agent_fc_method *const *agent_fc_methods(size_t *count)
{
    *count = sizeof(methods) / sizeof(methods[0]);
    return methods;
}

const struct agent_fc_method *agent_fc_find(const char *name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(methods[i]->name, name) == 0) {
            return methods[i];
        }
    }
    return NULL;
}

const char *agent_fc_kind_name(enum agent_fc_kind kind)
{
    return kind < AGENT_FC_KINDS ? kind_names[kind] : "unknown";
}

int agent_fc_kind_parse(const char *name, enum agent_fc_kind *kind)
{
    for (int i = 0; i < AGENT_FC_KINDS; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *kind = (enum agent_fc_kind)i;
            return 0;
        }
    }
    return -EINVAL;
}

static double track_at(const struct agent_fc_track *track, int64_t slot)
{
    int64_t index = slot - track->first_slot;

    return index < 0 || index >= (int64_t)track->count ? (double)NAN : track->value[index];
}

double agent_fc_known(const struct agent_fc_case *ask, int64_t slot)
{
    return slot >= ask->known_until ? (double)NAN : track_at(&ask->actual, slot);
}

double agent_fc_outlook(const struct agent_fc_case *ask, int64_t slot)
{
    return track_at(&ask->outlook, slot);
}

double agent_fc_guide(const struct agent_fc_case *ask, int64_t slot)
{
    return track_at(ask->guide.count > 0 ? &ask->guide : &ask->outlook, slot);
}

bool agent_fc_dark(const struct agent_fc_case *ask, int64_t slot)
{
    int64_t start = agent_slot_start(slot);

    return ask->kind == AGENT_FC_PV && agent_solar_sine(ask->place, start) < -0.01 &&
           agent_solar_sine(ask->place, start + AGENT_SLOT_SECONDS) < -0.01;
}

/* Fill single gaps from the nearest known neighbours. Return: slots that had to be filled. */
static int fill_gaps(double *out)
{
    int filled = 0;

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        if (isfinite(out[i])) {
            continue;
        }
        int right = i;
        while (right < AGENT_FC_SLOTS && !isfinite(out[right])) {
            right++;
        }
        double left_mw = i > 0 ? out[i - 1] : (right < AGENT_FC_SLOTS ? out[right] : 0.0);
        double right_mw = right < AGENT_FC_SLOTS ? out[right] : left_mw;
        for (int k = i; k < right; k++) {
            out[k] = left_mw + (right_mw - left_mw) * (k - i + 1) / (right - i + 1);
            filled++;
        }
    }
    return filled;
}

static int check_case(const struct agent_fc_method *method, const struct agent_fc_case *ask,
                      struct agent_error *error)
{
    if (ask->kind >= AGENT_FC_KINDS || (method->kinds & (1u << ask->kind)) == 0) {
        return agent_error_set(error, EINVAL, "forecast: method %s does not do %s", method->name,
                               agent_fc_kind_name(ask->kind));
    }
    if (agent_slot_in_day(ask->day_slot) != 0 || ask->known_until > ask->day_slot) {
        return agent_error_set(error, EINVAL,
                               "forecast: the day must begin at 00:00 JST and not before what is "
                               "known (day slot %lld, known until %lld)",
                               (long long)ask->day_slot, (long long)ask->known_until);
    }
    if (ask->actual.first_slot > ask->day_slot - (int64_t)method->history_days * AGENT_FC_SLOTS) {
        return agent_error_set(error, ENODATA,
                               "forecast: %s of %s needs %u days of measurements before the day",
                               method->name, agent_fc_kind_name(ask->kind), method->history_days);
    }
    return 0;
}

int agent_fc_predict(const struct agent_fc_method *method, const struct agent_fc_case *ask,
                     double *out, struct agent_error *error)
{
    double raw[AGENT_FC_SLOTS];
    int result = check_case(method, ask, error);

    if (result != 0) {
        return result;
    }
    result = method->predict(ask, raw);
    if (result != 0) {
        return agent_error_set(error, result, "forecast: %s has too little to go on for %s",
                               method->name, agent_fc_kind_name(ask->kind));
    }
    if (fill_gaps(raw) > AGENT_FC_SLOTS / 2) {
        return agent_error_set(error, ENODATA,
                               "forecast: %s could fill fewer than 24 of 48 half hours of %s",
                               method->name, agent_fc_kind_name(ask->kind));
    }
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        bool dark = agent_fc_dark(ask, ask->day_slot + i);
        out[i] = dark ? 0.0 : fmax(raw[i], 0.0);
    }
    return 0;
}
