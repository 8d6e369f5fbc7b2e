/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ven.c - the conversation with a VTN: which request is next, and what its answer means
 * Owner, thread, time, units: ven.h.
 *
 * Theory of operation. next_step() names the first thing that is missing; each step has a function
 * that makes its request and one that takes its answer (table below). Failures of all steps are
 * treated alike: 401 drops the token once, everything else waits, longer each time, never shorter
 * than Retry-After. Enrolment and subscription are wishes: refused ones are told and left alone
 * until the next start. */
#include "dr/ven.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dr/ven_private.h"
#include "grid/fetch.h"

#define PROGRAMS_EVERY   10 /* polls */
#define REPORT_TRIES_MAX 20

static void proceed(struct agent_dr_ven *ven);

/* Waits before the next try of anything. */
void dr_ven_fail(struct agent_dr_ven *ven, int64_t retry_after_s, const char *why)
{
    ven->failures++;
    int64_t wait_s = agent_fetch_backoff_s(ven->base, ven->settings->poll_s, ven->failures);
    wait_s = retry_after_s > wait_s ? retry_after_s : wait_s;
    ven->wait_ns = agent_loop_now_ns(ven->loop) + wait_s * AGENT_NS_PER_S;
    json_decref(ven->fetched); /* listings begin anew */
    ven->fetched = NULL;
    ven->skip = 0;
    ven->pages = 0;
    dr_ven_say(ven, "%s: %.150s; tried again in %lld s (failure %u)", dr_ven_steps[ven->step].name, why,
               (long long)wait_s, ven->failures);
}

/* ---- order ---------------------------------------------------------------------------------- */

static enum dr_step next_step(const struct agent_dr_ven *ven, int64_t now_ns)
{
    double programs_age = (double)(now_ns - ven->programs_ns) / 1e9;

    if (ven->token_url[0] == '\0') {
        return DR_STEP_DISCOVER;
    }
    if (ven->token_ends_ns <= now_ns) {
        return DR_STEP_TOKEN;
    }
    if (!ven->enrolled) {
        return DR_STEP_VEN_FIND;
    }
    bool due = ven->due_ns <= now_ns;
    if (ven->programs_ns == 0 || ven->fetched != NULL ||
        (due && ven->skip == 0 && ven->query == 0 &&
         programs_age > PROGRAMS_EVERY * ven->settings->poll_s)) {
        return DR_STEP_PROGRAMS;
    }
    if (ven->callback[0] != '\0' && !ven->subscribed) {
        return DR_STEP_SUBSCRIPTIONS;
    }
    if (json_array_size(ven->reports) > 0 && ven->skip == 0 && ven->query == 0) {
        return DR_STEP_REPORT;
    }
    return due ? DR_STEP_EVENTS : DR_STEP_IDLE;
}

static bool nothing_to_list(const struct agent_dr_ven *ven)
{
    return ven->settings->programs != NULL && json_array_size(ven->programs) == 0;
}

/* Starts what is next unless something is open or has to wait. */
static void proceed(struct agent_dr_ven *ven)
{
    int64_t now_ns = agent_loop_now_ns(ven->loop);
    enum dr_step chosen = ven->step;

    if (now_ns < ven->wait_ns) {
        ven->step = DR_STEP_IDLE;
        agent_timer_set(&ven->timer, ven->wait_ns);
        return;
    }
    /* the answer to one step may have named the next */
    ven->step = chosen != DR_STEP_IDLE ? chosen : next_step(ven, now_ns);
    if (ven->step == DR_STEP_EVENTS && nothing_to_list(ven)) {
        dr_ven_listed(ven);
        dr_ven_say(ven, "none of the programs to follow is there");
        ven->step = next_step(ven, now_ns);
    }
    if (ven->step == DR_STEP_IDLE) {
        agent_timer_set(&ven->timer, ven->due_ns);
        return;
    }
    int status = dr_ven_steps[ven->step].ask(ven);
    if (status < 0) {
        dr_ven_fail(ven, 0, strerror(-status));
        ven->step = DR_STEP_IDLE;
        agent_timer_set(&ven->timer, ven->wait_ns);
    }
}

static void on_timer(void *opaque)
{
    struct agent_dr_ven *ven = opaque;

    if (ven->step == DR_STEP_IDLE) {
        proceed(ven);
    }
}

/* The VTN's own words for a refusal: title and detail of its problem object. */
static void problem_text(const struct agent_dr_http_answer *answer, const json_t *body, char *out,
                         size_t size)
{
    const char *title = json_string_value(json_object_get(body, "title"));
    const char *detail = json_string_value(json_object_get(body, "detail"));
    const char *oauth = json_string_value(json_object_get(body, "error"));

    title = title != NULL ? title : oauth;
    snprintf(out, size, "HTTP %ld%s%.60s%s%.80s", answer->status, title != NULL ? " " : "",
             title != NULL ? title : "", detail != NULL ? ": " : "", detail != NULL ? detail : "");
    agent_dr_clean(out);
}

/* A wish that is refused is given up; events go on without it. */
static void give_up_wish(struct agent_dr_ven *ven, const char *why)
{
    dr_ven_say(ven, "%s: refused: %.150s", dr_ven_steps[ven->step].name, why);
    if (ven->step == DR_STEP_VEN_FIND || ven->step == DR_STEP_VEN_MAKE) {
        ven->enrolled = true;
    } else if (ven->step == DR_STEP_UNSUBSCRIBE || ven->step == DR_STEP_SUBSCRIPTIONS) {
        ven->drop[0] = '\0';
        ven->step = DR_STEP_SUBSCRIBE;
        return;
    } else {
        ven->subscribed = true; /* not asked again: polling does it */
    }
    ven->step = DR_STEP_IDLE;
}

/* A report that the VTN does not want is dropped; it would not want it tomorrow either. */
static void drop_report(struct agent_dr_ven *ven, const char *why)
{
    json_array_remove(ven->reports, 0);
    ven->report_tries = 0;
    ven->dropped++;
    dr_ven_say(ven, "report: refused and dropped: %.150s", why);
}

static void on_refusal(struct agent_dr_ven *ven, const struct agent_dr_http_answer *answer,
                       const json_t *body)
{
    char why[192];
    bool refused = answer->status >= 400 && answer->status < 500 && answer->status != 408 &&
                   answer->status != 429;

    problem_text(answer, body, why, sizeof(why));
    if (answer->status == 401 && ven->step != DR_STEP_TOKEN && !ven->token_tried) {
        ven->token_ends_ns = 0; /* it may have been revoked: one fresh one, then it is a failure */
        ven->token_tried = true;
        ven->step = DR_STEP_IDLE;
        return;
    }
    if (answer->status == 401) {
        ven->token_ends_ns = 0;
    } else if (answer->status == 409 && ven->step == DR_STEP_VEN_MAKE) {
        ven->enrolled = true;
        ven->step = DR_STEP_IDLE;
        return;
    } else if (refused && dr_ven_steps[ven->step].wish) {
        give_up_wish(ven, why);
        return;
    } else if (ven->step == DR_STEP_REPORT &&
               (refused || ++ven->report_tries >= REPORT_TRIES_MAX)) {
        drop_report(ven, why);
        ven->step = DR_STEP_IDLE;
        return;
    }
    dr_ven_fail(ven, answer->retry_after_s, why);
    ven->step = DR_STEP_IDLE;
}

static bool list_step(enum dr_step step)
{
    return step == DR_STEP_VEN_FIND || step == DR_STEP_PROGRAMS || step == DR_STEP_SUBSCRIPTIONS ||
           step == DR_STEP_EVENTS;
}

static void on_good(struct agent_dr_ven *ven, const struct agent_dr_http_answer *answer,
                    const json_t *body)
{
    enum dr_step step = ven->step;

    dr_ven_clock(ven, answer);
    if (list_step(step)
            ? !json_is_array(body)
            : (step == DR_STEP_DISCOVER || step == DR_STEP_TOKEN) && !json_is_object(body)) {
        dr_ven_fail(ven, 0,
             list_step(step) ? "the answer is no JSON list" : "the answer is no JSON object");
        ven->step = DR_STEP_IDLE;
        return;
    }
    if (step != DR_STEP_TOKEN && step != DR_STEP_DISCOVER) {
        ven->failures = 0;
        ven->token_tried = false;
    }
    dr_ven_steps[step].take(ven, body);
    ven->step = ven->step == step ? DR_STEP_IDLE : ven->step;
}

void dr_ven_answer(void *opaque, const struct agent_dr_http_answer *answer)
{
    struct agent_dr_ven *ven = opaque;
    json_t *body = answer->size > 0 ? json_loadb(answer->body, answer->size,
                                                 JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL)
                                    : NULL;

    if (answer->status == 0) {
        dr_ven_fail(ven, 0, answer->problem);
        ven->step = DR_STEP_IDLE;
    } else if (answer->status >= 200 && answer->status < 300) {
        on_good(ven, answer, body);
    } else {
        on_refusal(ven, answer, body);
    }
    json_decref(body);
    proceed(ven);
}

/* ---- from outside --------------------------------------------------------------------------- */

int agent_dr_ven_new(struct agent_loop *loop, const struct agent_dr_ven_settings *settings,
                     const struct agent_dr_ven_ops *ops, void *opaque, struct agent_dr_ven **out,
                     struct agent_error *error)
{
    struct agent_dr_ven *ven = calloc(1, sizeof(*ven));

    if (ven == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the VEN");
    }
    ven->loop = loop;
    ven->settings = settings;
    ven->ops = ops;
    ven->opaque = opaque;
    ven->listing = 1;
    ven->enrolled = !settings->enrol;
    agent_timer_init(&ven->timer, loop, on_timer, ven);
    ven->programs = json_array();
    ven->reports = json_array();
    int status = agent_dr_http_new(loop, settings->ca_file, &ven->http, error);
    if (status == 0 && (ven->programs == NULL || ven->reports == NULL)) {
        status = agent_error_set(error, ENOMEM, "no memory for the VEN");
    }
    if (status < 0) {
        agent_dr_ven_free(ven);
        return status;
    }
    size_t length = strlen(settings->url);
    length -= length > 0 && settings->url[length - 1] == '/' ? 1 : 0;
    snprintf(ven->base, sizeof(ven->base), "%.*s", (int)length, settings->url);
    if (settings->token_url != NULL) {
        snprintf(ven->token_url, sizeof(ven->token_url), "%s", settings->token_url);
    }
    *out = ven;
    return 0;
}

void agent_dr_ven_free(struct agent_dr_ven *ven)
{
    if (ven != NULL) {
        agent_timer_unset(&ven->timer);
        agent_dr_http_free(ven->http);
        json_decref(ven->programs);
        json_decref(ven->fetched);
        json_decref(ven->reports);
        explicit_bzero(ven->token, sizeof(ven->token));
        free(ven);
    }
}

void agent_dr_ven_start(struct agent_dr_ven *ven)
{
    agent_timer_after(&ven->timer, 0);
}

void agent_dr_ven_subscribe(struct agent_dr_ven *ven, const char *callback_url, const char *bearer)
{
    snprintf(ven->callback, sizeof(ven->callback), "%s", callback_url);
    snprintf(ven->callback_token, sizeof(ven->callback_token), "%s", bearer);
    ven->subscribed = false;
}

/* Asks for the events soon; a listing under way goes on. */
static void poll_soon(struct agent_dr_ven *ven)
{
    ven->due_ns = agent_loop_now_ns(ven->loop);
    if (ven->step == DR_STEP_IDLE) {
        agent_timer_after(&ven->timer, 0);
    }
}

int agent_dr_ven_notified(struct agent_dr_ven *ven, const json_t *notification,
                          struct agent_error *error)
{
    const char *type = json_string_value(json_object_get(notification, "objectType"));
    const char *operation = json_string_value(json_object_get(notification, "operation"));
    const json_t *object = json_object_get(notification, "object");
    const char *id = agent_dr_event_id(object);
    int status = 0;

    if (type == NULL || operation == NULL || !json_is_object(object)) {
        return agent_error_set(error, EINVAL,
                               "notification: objectType, operation and object are required");
    }
    poll_soon(ven);
    if (strcmp(type, "EVENT") != 0) {
        return 0; /* programs and others are read by polling */
    }
    if (strcmp(operation, "DELETE") == 0 && id != NULL) {
        ven->ops->deleted(ven->opaque, id, ven->listing);
    } else if (strcmp(operation, "CREATE") == 0 || strcmp(operation, "UPDATE") == 0) {
        status = dr_ven_event(ven, object, ven->listing, error);
    } else if (strcmp(operation, "READ") != 0) {
        status = agent_error_set(error, EINVAL, "notification: operation '%.40s'%s", operation,
                                 id == NULL ? " or its object's id is not usable" : "");
    }
    return status;
}

int agent_dr_ven_report(struct agent_dr_ven *ven, json_t *report)
{
    int status = 0;

    if (json_array_size(ven->reports) >= AGENT_DR_REPORTS_QUEUED) {
        /* never the first one while it is being sent */
        json_array_remove(ven->reports, ven->step == DR_STEP_REPORT ? 1 : 0);
        ven->dropped++;
        dr_ven_say(ven, "report: %d wait already, the oldest was dropped", AGENT_DR_REPORTS_QUEUED);
        status = -ENOSPC;
    }
    json_array_append_new(ven->reports, report);
    if (ven->step == DR_STEP_IDLE) {
        agent_timer_after(&ven->timer, 0);
    }
    return status;
}

json_t *agent_dr_ven_json(const struct agent_dr_ven *ven)
{
    int64_t now_ns = agent_loop_now_ns(ven->loop);
    json_t *object = json_pack(
        "{s:s,s:s,s:b,s:b,s:b,s:i,s:i,s:f,s:i,s:i,s:i,s:i}", "url", ven->base, "state", ven->text,
        "token", (int)(ven->token_ends_ns > now_ns), "enrolled", (int)ven->enrolled, "subscribed",
        (int)(ven->subscribed && ven->callback[0] != '\0'), "programs",
        (int)json_array_size(ven->programs), "failures", (int)ven->failures, "clock_off_s",
        (double)agent_dr_ven_clock_ms(ven) / 1000, "events_read", (int)ven->events_read,
        "reports_sent", (int)ven->sent, "reports_waiting", (int)json_array_size(ven->reports),
        "reports_dropped", (int)ven->dropped);

    json_object_set_new(object, "listed_real_s",
                        ven->listed_ns == 0 ? json_null()
                                            : json_real((double)(now_ns - ven->listed_ns) / 1e9));
    return object;
}
