/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.h - what a VTN is told about an event, as OpenADR 3.1 report objects
 * Owner: returned JSON is the caller's.   Thread: any, no shared state.
 * Time:  ms since 1970 UTC by our clock.  Units:  KW and KWH. */
#ifndef AGENT_DR_REPORT_H
#define AGENT_DR_REPORT_H

#include "dr/baseline.h"
#include "dr/event.h"

/** struct agent_dr_outcome - one interval of an event at one site, after it ended
 * @followed: we answered it (false: opted out, shadowed, nothing to give) */
struct agent_dr_outcome {
    int32_t interval;
    int64_t from_ms;
    int64_t to_ms;
    bool followed;
    struct agent_dr_delivered delivered;
};

/** struct agent_dr_reported - outcomes of one site */
struct agent_dr_reported {
    const char *resource;
    const struct agent_dr_outcome *outcomes;
    size_t count;
};

/** struct agent_dr_offer - what a site could give now, for *_AVAILABLE reports */
struct agent_dr_offer {
    double down_kw;
    double up_kw;
    double charge_share; /* of its batteries, NAN = it has none */
};

/** struct agent_dr_report_context - @offers: per site, may be NULL when no payload needs them
 * @clock_ms: the VTN's clock minus ours, added back to all times */
struct agent_dr_report_context {
    const char *client;
    int64_t clock_ms;
    const struct agent_dr_offer *offers;
};

/** agent_dr_report_wanted() - do we know how to fill in a report of this payload type? */
bool agent_dr_report_wanted(const char *payload);

/** agent_dr_report_build() - the body of POST /reports
 * @request: one of the event's
 * Values carry their uncertainty: `accuracy` is one standard deviation in the unit of the values,
 * `confidence` 68 (percent). Return: new reference; NULL = no memory or nothing we can fill in. */
json_t *agent_dr_report_build(const struct agent_dr_event *event,
                              const struct agent_dr_report_request *request,
                              const struct agent_dr_reported *sites, size_t site_count,
                              const struct agent_dr_report_context *context);

#endif
