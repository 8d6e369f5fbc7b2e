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
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dr/ven_private.h"
#include "grid/fetch.h"

#define PROGRAMS_EVERY   10 /* polls */
#define REPORT_TRIES_MAX 20

typedef void (*step_take)(struct agent_dr_ven *ven, const json_t *body);

struct step {
    const char *name;
    int (*ask)(struct agent_dr_ven *ven);
    step_take take;
    bool wish; /* refused by the VTN: told, and not asked again */
};

static void proceed(struct agent_dr_ven *ven);
static const struct step steps[DR_STEP_REPORT + 1];

/* ---- one request ---------------------------------------------------------------------------- */

static void on_answer(void *opaque, const struct agent_dr_http_answer *answer);

static int send(struct agent_dr_ven *ven, const char *method, const char *url, const char *body)
{
    bool token = ven->step == DR_STEP_TOKEN;
    bool plain = token || ven->step == DR_STEP_DISCOVER;
    struct agent_dr_http_request request = {method, url, body, token, plain ? NULL : ven->token};

    return agent_dr_http_start(ven->http, &request, on_answer, ven, NULL);
}

static int send_json(struct agent_dr_ven *ven, const char *method, const char *path,
                     const json_t *object)
{
    char url[DR_URL_SIZE];
    char *body = json_dumps(object, JSON_COMPACT);
    int status = body == NULL ? -ENOMEM : 0;

    if (status == 0) {
        snprintf(url, sizeof(url), "%.1900s%s", ven->base, path);
        status = send(ven, method, url, body);
    }
    free(body);
    return status;
}

/* ---- steps: asking -------------------------------------------------------------------------- */

static int ask_discover(struct agent_dr_ven *ven)
{
    char url[DR_URL_SIZE];

    snprintf(url, sizeof(url), "%.1900s/auth/server", ven->base);
    return send(ven, "GET", url, NULL);
}

static int ask_token(struct agent_dr_ven *ven)
{
    char *form = dr_ven_form(ven);
    int status = form == NULL ? -ENOMEM : send(ven, "POST", ven->token_url, form);

    if (form != NULL) {
        explicit_bzero(form, strlen(form));
    }
    free(form);
    return status;
}

static int ask_list(struct agent_dr_ven *ven, const char *path, const char *name, const char *value)
{
    char url[DR_URL_SIZE];
    int status = dr_ven_query(ven, path, name, value, url, sizeof(url));

    return status < 0 ? status : send(ven, "GET", url, NULL);
}

static int ask_ven(struct agent_dr_ven *ven)
{
    ven->skip = 0;
    return ask_list(ven, "/vens", "venName", ven->settings->ven_name);
}

static int ask_enrol(struct agent_dr_ven *ven)
{
    json_t *object =
        json_pack("{s:s,s:s}", "objectType", "VEN_VEN_REQUEST", "venName", ven->settings->ven_name);
    int status = send_json(ven, "POST", "/vens", object);

    json_decref(object);
    return status;
}

static int ask_programs(struct agent_dr_ven *ven)
{
    if (ven->fetched == NULL) {
        ven->fetched = json_array();
        ven->skip = 0;
        ven->pages = 0;
    }
    return ask_list(ven, "/programs", NULL, NULL);
}

static int ask_subscriptions(struct agent_dr_ven *ven)
{
    ven->skip = 0;
    return ask_list(ven, "/subscriptions", "clientName", ven->settings->ven_name);
}

static int ask_unsubscribe(struct agent_dr_ven *ven)
{
    char url[DR_URL_SIZE];

    snprintf(url, sizeof(url), "%.1700s/subscriptions/%s", ven->base, ven->drop);
    return send(ven, "DELETE", url, NULL);
}

static int ask_subscribe(struct agent_dr_ven *ven)
{
    json_t *object = dr_ven_subscription(ven);
    int status = object == NULL ? -ENOMEM : send_json(ven, "POST", "/subscriptions", object);

    json_decref(object);
    return status;
}

/* With programs named in the configuration one listing each, else all events at once. */
static int ask_events(struct agent_dr_ven *ven)
{
    const json_t *program =
        ven->settings->programs != NULL ? json_array_get(ven->programs, ven->query) : NULL;

    return ask_list(ven, "/events", program != NULL ? "programID" : NULL,
                    json_string_value(json_object_get(program, "id")));
}

static int ask_report(struct agent_dr_ven *ven)
{
    return send_json(ven, "POST", "/reports", json_array_get(ven->reports, 0));
}

/* ---- steps: what the answer means ----------------------------------------------------------- */

/* Waits before the next try of anything. */
static void fail(struct agent_dr_ven *ven, int64_t retry_after_s, const char *why)
{
    ven->failures++;
    int64_t wait_s = agent_fetch_backoff_s(ven->base, ven->settings->poll_s, ven->failures);
    wait_s = retry_after_s > wait_s ? retry_after_s : wait_s;
    ven->wait_ns = agent_loop_now_ns(ven->loop) + wait_s * AGENT_NS_PER_S;
    json_decref(ven->fetched); /* listings begin anew */
    ven->fetched = NULL;
    ven->skip = 0;
    ven->pages = 0;
    dr_ven_say(ven, "%s: %.150s; tried again in %lld s (failure %u)", steps[ven->step].name, why,
               (long long)wait_s, ven->failures);
}

static void take_discover(struct agent_dr_ven *ven, const json_t *body)
{
    const char *url = json_string_value(json_object_get(body, "tokenURL"));
    bool secure =
        url != NULL && (strncmp(url, "https://", 8) == 0 || strncmp(ven->base, "http://", 7) == 0);

    /* credentials never go from https to plain http because a server says so */
    if (url == NULL || strlen(url) >= sizeof(ven->token_url) || !secure) {
        fail(ven, 0, url == NULL ? "tokenURL is missing" : "tokenURL is too long or not https");
        return;
    }
    if (strstr(url, "://") != NULL) {
        snprintf(ven->token_url, sizeof(ven->token_url), "%s", url);
    } else {
        snprintf(ven->token_url, sizeof(ven->token_url), "%.900s/%.900s", ven->base,
                 url + (url[0] == '/' ? 1 : 0));
    }
}

static void take_token(struct agent_dr_ven *ven, const json_t *body)
{
    struct agent_error error = {0};

    if (dr_ven_token(ven, body, &error) < 0) {
        fail(ven, 0, error.text);
    }
}

static void take_ven(struct agent_dr_ven *ven, const json_t *body)
{
    ven->enrolled = json_array_size(body) > 0;
    if (!ven->enrolled) {
        ven->step = DR_STEP_VEN_MAKE;
    }
}

static void take_enrol(struct agent_dr_ven *ven, const json_t *body)
{
    (void)body;
    ven->enrolled = true;
}

/* Is there another page? Then skip says where it begins. */
static bool more_pages(struct agent_dr_ven *ven, const json_t *body)
{
    size_t count = json_array_size(body);

    ven->pages++;
    ven->skip += count;
    if (count < AGENT_DR_PAGE || ven->pages >= AGENT_DR_PAGES_MAX) {
        if (count >= AGENT_DR_PAGE) {
            dr_ven_say(ven, "the VTN lists more than %zu objects: the rest is not read", ven->skip);
        }
        return false;
    }
    ven->several_pages = true;
    return true;
}

static void take_programs(struct agent_dr_ven *ven, const json_t *body)
{
    dr_ven_programs(ven, body);
    if (!more_pages(ven, body)) {
        json_decref(ven->programs);
        ven->programs = ven->fetched;
        ven->fetched = NULL;
        ven->programs_ns = agent_loop_now_ns(ven->loop);
        ven->skip = 0;
        ven->pages = 0;
        ven->several_pages = false;
    }
}

static void take_subscriptions(struct agent_dr_ven *ven, const json_t *body)
{
    ven->step = dr_ven_old_subscription(ven, body) ? DR_STEP_UNSUBSCRIBE : DR_STEP_SUBSCRIBE;
}

static void take_unsubscribe(struct agent_dr_ven *ven, const json_t *body)
{
    (void)body;
    ven->drop[0] = '\0';
    ven->step = DR_STEP_SUBSCRIPTIONS;
}

static void take_subscribe(struct agent_dr_ven *ven, const json_t *body)
{
    (void)body;
    ven->subscribed = true;
}

static void listing_done(struct agent_dr_ven *ven)
{
    /* between two pages an object may slip from one to the other: gone is what two listings miss */
    unsigned oldest = ven->several_pages ? ven->listing - 1 : ven->listing;

    ven->ops->listed(ven->opaque, oldest);
    ven->listed_ns = agent_loop_now_ns(ven->loop);
    ven->due_ns = ven->listed_ns + (int64_t)(ven->settings->poll_s * 1e9);
    ven->listing++;
    ven->query = 0;
    ven->several_pages = false;
    dr_ven_say(ven, "connected");
}

static void take_events(struct agent_dr_ven *ven, const json_t *body)
{
    dr_ven_events(ven, body);
    if (more_pages(ven, body)) {
        return;
    }
    ven->skip = 0;
    ven->pages = 0;
    ven->query++;
    if (ven->settings->programs == NULL || ven->query >= json_array_size(ven->programs)) {
        listing_done(ven);
    }
}

static void take_report(struct agent_dr_ven *ven, const json_t *body)
{
    (void)body;
    json_array_remove(ven->reports, 0);
    ven->report_tries = 0;
    ven->sent++;
}

static const struct step steps[DR_STEP_REPORT + 1] = {
    [DR_STEP_IDLE] = {"idle", NULL, NULL, false},
    [DR_STEP_DISCOVER] = {"token endpoint", ask_discover, take_discover, false},
    [DR_STEP_TOKEN] = {"token", ask_token, take_token, false},
    [DR_STEP_VEN_FIND] = {"enrolment", ask_ven, take_ven, true},
    [DR_STEP_VEN_MAKE] = {"enrolment", ask_enrol, take_enrol, true},
    [DR_STEP_PROGRAMS] = {"programs", ask_programs, take_programs, false},
    [DR_STEP_SUBSCRIPTIONS] = {"subscription", ask_subscriptions, take_subscriptions, true},
    [DR_STEP_UNSUBSCRIBE] = {"subscription", ask_unsubscribe, take_unsubscribe, true},
    [DR_STEP_SUBSCRIBE] = {"subscription", ask_subscribe, take_subscribe, true},
    [DR_STEP_EVENTS] = {"events", ask_events, take_events, false},
    [DR_STEP_REPORT] = {"report", ask_report, take_report, false},
};

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
        listing_done(ven);
        dr_ven_say(ven, "none of the programs to follow is there");
        ven->step = next_step(ven, now_ns);
    }
    if (ven->step == DR_STEP_IDLE) {
        agent_timer_set(&ven->timer, ven->due_ns);
        return;
    }
    int status = steps[ven->step].ask(ven);
    if (status < 0) {
        fail(ven, 0, strerror(-status));
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
    dr_ven_say(ven, "%s: refused: %.150s", steps[ven->step].name, why);
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
    } else if (refused && steps[ven->step].wish) {
        give_up_wish(ven, why);
        return;
    } else if (ven->step == DR_STEP_REPORT &&
               (refused || ++ven->report_tries >= REPORT_TRIES_MAX)) {
        drop_report(ven, why);
        ven->step = DR_STEP_IDLE;
        return;
    }
    fail(ven, answer->retry_after_s, why);
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
        fail(ven, 0,
             list_step(step) ? "the answer is no JSON list" : "the answer is no JSON object");
        ven->step = DR_STEP_IDLE;
        return;
    }
    if (step != DR_STEP_TOKEN && step != DR_STEP_DISCOVER) {
        ven->failures = 0;
        ven->token_tried = false;
    }
    steps[step].take(ven, body);
    ven->step = ven->step == step ? DR_STEP_IDLE : ven->step;
}

static void on_answer(void *opaque, const struct agent_dr_http_answer *answer)
{
    struct agent_dr_ven *ven = opaque;
    json_t *body = answer->size > 0 ? json_loadb(answer->body, answer->size,
                                                 JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL)
                                    : NULL;

    if (answer->status == 0) {
        fail(ven, 0, answer->problem);
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
