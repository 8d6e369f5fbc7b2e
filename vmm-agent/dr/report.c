/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/report.h"

#include <math.h>
#include <string.h>

#define CONFIDENCE 68 /* percent within one standard deviation */

/* What a payload type says about one interval. NAN = not known. */
enum quantity { USAGE, DEMAND, BASELINE, DELTA, STATE, QUALITY, UP, DOWN, SHED, CHARGE };

static const struct {
    const char *payload;
    enum quantity quantity;
    const char *units; /* NULL = none */
    const char *reading;
} types[] = {
    {"USAGE", USAGE, "KWH", "MEAN"},
    {"DEMAND", DEMAND, "KW", "MEAN"},
    {"BASELINE", BASELINE, "KW", "ESTIMATED"},
    {"DELTA_USAGE", DELTA, "KWH", "ESTIMATED"},
    {"OPERATING_STATE", STATE, NULL, NULL},
    {"DATA_QUALITY", QUALITY, NULL, NULL},
    {"UP_REGULATION_AVAILABLE", UP, "KW", "FORECAST"},
    {"DOWN_REGULATION_AVAILABLE", DOWN, "KW", "FORECAST"},
    {"LOAD_SHED_DELTA_AVAILABLE", SHED, "KW", "FORECAST"},
    {"STORAGE_CHARGE_LEVEL", CHARGE, "PERCENT", "DIRECT_READ"},
};

static int type_of(const char *payload)
{
    for (int index = 0; index < (int)(sizeof(types) / sizeof(types[0])); index++) {
        if (strcmp(types[index].payload, payload) == 0) {
            return index;
        }
    }
    return -1;
}

bool agent_dr_report_wanted(const char *payload)
{
    return type_of(payload) >= 0;
}

static double hours(const struct agent_dr_outcome *outcome)
{
    return (double)(outcome->to_ms - outcome->from_ms) / 3.6e6;
}

static double number_of(enum quantity quantity, const struct agent_dr_outcome *outcome,
                        const struct agent_dr_offer *offer)
{
    const struct agent_dr_delivered *delivered = &outcome->delivered;

    switch (quantity) {
    case USAGE:
        return delivered->drawn_kw * hours(outcome);
    case DEMAND:
        return delivered->drawn_kw;
    case BASELINE:
        return delivered->baseline.kw;
    case DELTA:
        return delivered->energy_kwh;
    /* regulation is seen from the grid: up means that it has more, so we draw less */
    case UP:
    case SHED:
        return offer != NULL ? offer->down_kw : NAN;
    case DOWN:
        return offer != NULL ? offer->up_kw : NAN;
    case CHARGE:
        return offer != NULL ? offer->charge_share : NAN;
    default:
        return NAN;
    }
}

static const char *quality_of(const struct agent_dr_delivered *delivered)
{
    return isnan(delivered->drawn_kw) ? "MISSING" : delivered->covered < 0.9 ? "ESTIMATED" : "OK";
}

static json_t *value_of(enum quantity quantity, const struct agent_dr_outcome *outcome,
                        const struct agent_dr_offer *offer)
{
    double change_kw = outcome->delivered.change_kw;
    double number = number_of(quantity, outcome, offer);

    if (quantity == STATE) {
        return json_string(!outcome->followed ? "RUNNING_OPTED_OUT"
                           : change_kw > 0    ? "RUNNING_HEIGHTENED"
                                              : "RUNNING_CURTAILED");
    }
    if (quantity == QUALITY) {
        return json_string(quality_of(&outcome->delivered));
    }
    return isfinite(number) ? json_real(number) : NULL;
}

/* One interval of the report; a value that is not known is left out and marked MISSING. */
static json_t *interval_of(int type, const struct agent_dr_outcome *outcome,
                           const struct agent_dr_offer *offer, int64_t clock_ms)
{
    char start[AGENT_DR_TIME_TEXT_SIZE];
    char length[AGENT_DR_TIME_TEXT_SIZE];
    json_t *value = value_of(types[type].quantity, outcome, offer);
    json_t *payloads = json_array();

    if (value != NULL) {
        json_array_append_new(
            payloads, json_pack("{s:s,s:[o]}", "type", types[type].payload, "values", value));
    }
    if (value == NULL || (types[type].quantity <= DELTA && outcome->delivered.covered < 0.9)) {
        json_array_append_new(payloads, json_pack("{s:s,s:[s]}", "type", "DATA_QUALITY", "values",
                                                  value == NULL ? "MISSING" : "ESTIMATED"));
    }
    return json_pack("{s:i,s:{s:s,s:s},s:o}", "id", (int)outcome->interval, "intervalPeriod",
                     "start", agent_dr_time_format(outcome->from_ms + clock_ms, start), "duration",
                     agent_dr_duration_format(outcome->to_ms - outcome->from_ms, length),
                     "payloads", payloads);
}

/* One standard deviation in the unit of the values, the largest of all intervals. */
static double accuracy_of(int type, const struct agent_dr_reported *sites, size_t site_count)
{
    double worst = 0;

    for (size_t site = 0; site < site_count; site++) {
        for (size_t index = 0; index < sites[site].count; index++) {
            const struct agent_dr_outcome *outcome = &sites[site].outcomes[index];
            double sigma = types[type].quantity == BASELINE ? outcome->delivered.baseline.sigma_kw
                                                            : outcome->delivered.sigma_kw;
            bool energy = types[type].quantity == USAGE || types[type].quantity == DELTA;
            sigma *= energy ? hours(outcome) : 1;
            worst = isfinite(sigma) ? fmax(worst, sigma) : worst;
        }
    }
    return worst;
}

static json_t *descriptor_of(int type, const struct agent_dr_reported *sites, size_t site_count)
{
    json_t *object = json_pack("{s:s,s:s}", "objectType", "REPORT_PAYLOAD_DESCRIPTOR",
                               "payloadType", types[type].payload);

    if (types[type].units != NULL) {
        json_object_set_new(object, "units", json_string(types[type].units));
        json_object_set_new(object, "readingType", json_string(types[type].reading));
    }
    if (types[type].quantity <= DELTA) {
        json_object_set_new(object, "accuracy", json_real(accuracy_of(type, sites, site_count)));
        json_object_set_new(object, "confidence", json_integer(CONFIDENCE));
    }
    return object;
}

/* Which of the event's intervals the request names (startInterval, numIntervals, historical). */
static bool named(const struct agent_dr_report_request *request, size_t index, size_t count)
{
    size_t start = request->start_interval < 0 || (size_t)request->start_interval > count
                       ? count
                       : (size_t)request->start_interval;
    size_t length = request->num_intervals < 0 ? count : (size_t)request->num_intervals;

    if (request->historical) {
        return index < start && start - index <= length;
    }
    return index >= start && index - start < length;
}

static json_t *resource_of(int type, const struct agent_dr_report_request *request,
                           const struct agent_dr_reported *site, const struct agent_dr_offer *offer,
                           int64_t clock_ms)
{
    json_t *intervals = json_array();

    for (size_t index = 0; index < site->count; index++) {
        if (named(request, index, site->count)) {
            json_array_append_new(intervals,
                                  interval_of(type, &site->outcomes[index], offer, clock_ms));
        }
    }
    return json_pack("{s:s,s:o}", "resourceName", site->resource, "intervals", intervals);
}

json_t *agent_dr_report_build(const struct agent_dr_event *event,
                              const struct agent_dr_report_request *request,
                              const struct agent_dr_reported *sites, size_t site_count,
                              const struct agent_dr_report_context *context)
{
    int type = type_of(request->payload);
    json_t *resources = type < 0 ? NULL : json_array();

    for (size_t site = 0; resources != NULL && site < site_count; site++) {
        const struct agent_dr_offer *offer =
            context->offers != NULL ? &context->offers[site] : NULL;
        json_array_append_new(resources,
                              resource_of(type, request, &sites[site], offer, context->clock_ms));
    }
    if (resources == NULL) {
        return NULL;
    }
    return json_pack("{s:s,s:s,s:s,s:[o],s:o}", "eventID", event->id, "clientName", context->client,
                     "reportName", request->payload, "payloadDescriptors",
                     descriptor_of(type, sites, site_count), "resources", resources);
}
