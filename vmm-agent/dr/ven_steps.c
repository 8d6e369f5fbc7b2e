/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ven_steps.c - the requests that a VEN makes, and what their answers mean: the table that ven.c walks
 * Owner, thread, time, units: ven.h. */
#include "dr/ven.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dr/ven_private.h"

/* ---- one request ---------------------------------------------------------------------------- */

static int send(struct agent_dr_ven *ven, const char *method, const char *url, const char *body)
{
    bool token = ven->step == DR_STEP_TOKEN;
    bool plain = token || ven->step == DR_STEP_DISCOVER;
    struct agent_dr_http_request request = {method, url, body, token, plain ? NULL : ven->token};

    return agent_dr_http_start(ven->http, &request, dr_ven_answer, ven, NULL);
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

static void take_discover(struct agent_dr_ven *ven, const json_t *body)
{
    const char *url = json_string_value(json_object_get(body, "tokenURL"));
    bool secure =
        url != NULL && (strncmp(url, "https://", 8) == 0 || strncmp(ven->base, "http://", 7) == 0);

    /* credentials never go from https to plain http because a server says so */
    if (url == NULL || strlen(url) >= sizeof(ven->token_url) || !secure) {
        dr_ven_fail(ven, 0, url == NULL ? "tokenURL is missing" : "tokenURL is too long or not https");
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
        dr_ven_fail(ven, 0, error.text);
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

void dr_ven_listed(struct agent_dr_ven *ven)
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
        dr_ven_listed(ven);
    }
}

static void take_report(struct agent_dr_ven *ven, const json_t *body)
{
    (void)body;
    json_array_remove(ven->reports, 0);
    ven->report_tries = 0;
    ven->sent++;
}

const struct dr_ven_step dr_ven_steps[DR_STEP_REPORT + 1] = {
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
