/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ven.h - OpenADR 3.1 virtual end node: reads programs and events of a VTN, sends reports
 * Owner: struct agent_dr_ven, _new/_free; borrows loop and settings.   Thread: the loop's.
 * Time:  polls, back-off and token life are monotonic; event times are agent time, corrected by the
 *        VTN's clock (its Date headers) while agent time is real time.
 * Units: s, ms.
 *
 * One request at a time, the next step chosen from what is missing (a table in ven.c): token
 * endpoint, token, registration, programs, subscription, events, reports. What fails is tried again
 * after a wait that doubles; the events at hand stay in force meanwhile. */
#ifndef AGENT_DR_VEN_H
#define AGENT_DR_VEN_H

#include "dr/event.h"
#include "dr/http.h"
#include "support/yaml.h"

#define AGENT_DR_PAGE           50 /* OpenADR 3.1: the largest page */
#define AGENT_DR_PAGES_MAX      40
#define AGENT_DR_PROGRAMS_MAX   32
#define AGENT_DR_REPORTS_QUEUED 256
#define AGENT_DR_CLOCK_SAMPLES  9
#define AGENT_DR_CLOCK_TRUST_MS 1500             /* Date counts seconds: less is noise */
#define AGENT_DR_CLOCK_MAX_MS   INT64_C(3600000) /* more is a broken clock, not skew */

/** struct agent_dr_webhook_settings - @listen: "127.0.0.1:9443"; @url: what the VTN is told
 * @certificate, @key: PEM files; both or neither (plain HTTP: loopback, or behind a proxy) */
struct agent_dr_webhook_settings {
    const char *listen;
    const char *url;
    const char *certificate;
    const char *key;
};

/** struct agent_dr_ven_settings - section `dr.openadr`; texts borrowed from the configuration
 * @secret:   client secret, owned; read from client_secret_file, which nobody else may read
 * @programs: names of programs to follow; NULL = all that we may read
 * @targets:  asked for in queries, as OpenADR 3.1 wants it of VENs that read targeted objects
 * @units:    unit of power where neither event nor program names one; NULL = such events are
 * refused
 * @follow_clock: event times are the VTN's; false = ours */
struct agent_dr_ven_settings {
    const char *url;
    const char *client_id;
    char *secret;
    const char *scope;
    const char *token_url;
    const char *ven_name;
    const char *ca_file;
    const char *units;
    const struct agent_yaml *programs;
    const struct agent_yaml *targets;
    double poll_s;
    double levels[4];
    bool follow_clock;
    bool enrol;
    struct agent_dr_webhook_settings webhook;
};

/** agent_dr_ven_settings_read() - @section: dr.openadr, NULL = no VTN (then @url is NULL)
 * Return: 0, or -EINVAL/-ENOENT/-EACCES with file, line and column. */
int agent_dr_ven_settings_read(const struct agent_yaml *section,
                               struct agent_dr_ven_settings *settings, struct agent_error *error);

/** agent_dr_ven_settings_done() - wipes and frees the secret; a zeroed struct is fine */
void agent_dr_ven_settings_done(struct agent_dr_ven_settings *settings);

/** struct agent_dr_ven_ops - what a VEN tells; called on the loop's thread, with @opaque
 * @event:   an event was read; taken. @listing: number of the listing it belongs to; what came by
 *           webhook belongs to the one that is under way or comes next
 * @refused: an object is malformed; @id may be NULL. Told once per version
 * @deleted: the VTN says that it is gone
 * @listed:  all events were read; those with a listing before @oldest are gone
 * @state:   something about the connection changed */
struct agent_dr_ven_ops {
    void (*event)(void *opaque, struct agent_dr_event *event, unsigned listing);
    void (*refused)(void *opaque, const char *id, unsigned listing, const char *why);
    void (*deleted)(void *opaque, const char *id, unsigned listing);
    void (*listed)(void *opaque, unsigned oldest);
    void (*state)(void *opaque, const char *text);
};

struct agent_dr_ven;

/** agent_dr_ven_new() - asks nothing yet. @now_ms: agent time. Return: 0, -ENOMEM, -EINVAL. */
int agent_dr_ven_new(struct agent_loop *loop, const struct agent_dr_ven_settings *settings,
                     const struct agent_dr_ven_ops *ops, void *opaque, struct agent_dr_ven **out,
                     struct agent_error *error);

/** agent_dr_ven_free() - NULL is fine; not from a callback of its own */
void agent_dr_ven_free(struct agent_dr_ven *ven);

/** agent_dr_ven_start() - begin now */
void agent_dr_ven_start(struct agent_dr_ven *ven);

/** agent_dr_ven_subscribe() - have the VTN notify @callback_url with @bearer from now on */
void agent_dr_ven_subscribe(struct agent_dr_ven *ven, const char *callback_url, const char *bearer);

/** agent_dr_ven_notified() - a notification object came to the webhook
 * Acted upon at once, and a poll follows that confirms or corrects it.
 * Return: 0, or -EINVAL with the reason. */
int agent_dr_ven_notified(struct agent_dr_ven *ven, const json_t *notification,
                          struct agent_error *error);

/** agent_dr_ven_report() - queue a report object (stolen) until the VTN has it
 * Return: 0, -ENOSPC (AGENT_DR_REPORTS_QUEUED wait; the oldest is dropped for it and told). */
int agent_dr_ven_report(struct agent_dr_ven *ven, json_t *report);

/** agent_dr_ven_clock_ms() - the VTN's clock minus ours, 0 below AGENT_DR_CLOCK_TRUST_MS */
int64_t agent_dr_ven_clock_ms(const struct agent_dr_ven *ven);

/** agent_dr_ven_json() - connection, token, clock, counts; for the agent's state */
json_t *agent_dr_ven_json(const struct agent_dr_ven *ven);

#endif
