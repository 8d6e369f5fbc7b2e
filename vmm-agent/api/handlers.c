/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/embedded.h"
#include "api/private.h"

void api_state_forget(struct agent_api *api)
{
    json_decref(api->state);
    api->state = NULL;
    if (api->state_response != NULL) { /* who is still taking it keeps it */
        MHD_destroy_response(api->state_response);
        api->state_response = NULL;
    }
}

json_t *api_state(struct agent_api *api)
{
    if (api->state == NULL || api->state_ns == 0 || api->now_ns - api->state_ns > STATE_FRESH_NS) {
        api_state_forget(api);
        api->state = api->source.snapshot(api->source.opaque);
        api->state_ns = api->now_ns;
    }
    return api->state;
}

static enum MHD_Result no_memory(struct request *request, struct MHD_Connection *mhd)
{
    struct agent_error error = {0};

    agent_error_set(&error, ENOMEM, "no memory for the answer");
    return reply_problem(request, mhd, MHD_HTTP_INTERNAL_SERVER_ERROR, &error);
}

static enum MHD_Result not_found(struct request *request, struct MHD_Connection *mhd)
{
    struct agent_error error = {0};

    agent_error_set(&error, ENOENT, "%s: there is no '%s'", request->route.label,
                    request->route.name);
    return reply_problem(request, mhd, MHD_HTTP_NOT_FOUND, &error);
}

/* Files were given their digest when the agent was built; a browser asks with it. */
static enum MHD_Result handle_file(struct request *request, struct MHD_Connection *mhd,
                                   const char *name, const char *cache)
{
    const struct agent_embedded *file = agent_embedded_find(name);
    const char *known = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "If-None-Match");

    if (file == NULL) {
        return not_found(request, mhd);
    }
    bool same = known != NULL && strcmp(known, file->etag) == 0;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        same ? 0 : file->size, (void *)file->bytes, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", file->type);
    MHD_add_response_header(response, "ETag", file->etag);
    MHD_add_response_header(response, "Cache-Control", cache);
    return reply_queue(request, mhd, same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, response);
}

static enum MHD_Result handle_metrics(struct agent_api *api, struct request *request,
                                      struct MHD_Connection *mhd)
{
    struct agent_metrics_now now = {.streams = api->stream_count};
    char *text = NULL;
    size_t size = 0;

    for (struct connection *each = api->connections; each != NULL; each = each->next) {
        now.connections++;
    }
    if (agent_metrics_write(&api->metrics, &now, api_state(api), &text, &size) < 0) {
        return no_memory(request, mhd);
    }
    return reply_bytes(request, mhd, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text,
                       size);
}

/* Does @member answer to @name under @key? Names are texts, ids may be numbers. */
static bool answers_to(const json_t *member, const char *key, const char *name)
{
    const json_t *value = json_object_get(member, key);
    char number[24];

    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return strcmp(number, name) == 0;
    }
    return json_is_string(value) && strcmp(json_string_value(value), name) == 0;
}

/* @filter "" lets everything through. */
static bool passes(const json_t *member, const char *key, const char *filter)
{
    return filter[0] == '\0' || answers_to(member, key, filter);
}

/* One page of a list: members after @after, at most @limit; "next" is the last one's name, or null.
 */
static enum MHD_Result handle_list(struct request *request, struct MHD_Connection *mhd,
                                   const json_t *state, json_t *list)
{
    const struct agent_route *route = &request->route;
    json_t *items = json_array();
    json_t *last = NULL;
    bool begun = route->after[0] == '\0';
    bool more = false;
    size_t index;
    json_t *member;

    json_array_foreach(list, index, member)
    {
        if (!begun) {
            begun = answers_to(member, route->key, route->after);
            continue;
        }
        if (!passes(member, "site", route->site) || !passes(member, "state", route->state)) {
            continue;
        }
        if (json_array_size(items) == route->limit) {
            more = true;
            break;
        }
        json_array_append(items, member);
        last = json_object_get(member, route->key);
    }
    if (!begun) {
        json_decref(items);
        memcpy(request->route.name, route->after, sizeof(route->after));
        return not_found(request, mhd);
    }
    json_t *answer = json_pack("{s:O?, s:o, s:O?}", "now", json_object_get(state, "now"), "items",
                               items, "next", more ? last : NULL);
    return answer == NULL ? no_memory(request, mhd) : reply_json(request, mhd, MHD_HTTP_OK, answer);
}

/* The whole document: put into text once per snapshot, whoever asks. */
static enum MHD_Result handle_state(struct agent_api *api, struct request *request,
                                    struct MHD_Connection *mhd)
{
    const json_t *state = api_state(api);

    if (api->state_response == NULL) {
        char *text =
            state == NULL ? NULL : json_dumps(state, JSON_COMPACT | JSON_REAL_PRECISION(10));
        api->state_response = text == NULL ? NULL
                                           : MHD_create_response_from_buffer(strlen(text), text,
                                                                             MHD_RESPMEM_MUST_FREE);
        if (api->state_response == NULL) {
            free(text);
            return no_memory(request, mhd);
        }
        MHD_add_response_header(api->state_response, "Content-Type", "application/json");
        reply_dress(api->state_response);
    }
    return reply_share(request, mhd, MHD_HTTP_OK, api->state_response);
}

static enum MHD_Result handle_section(struct agent_api *api, struct request *request,
                                      struct MHD_Connection *mhd)
{
    json_t *state = api_state(api);
    json_t *section = json_object_get(state, request->route.section);
    size_t index;
    json_t *member;

    if (state == NULL) {
        return no_memory(request, mhd);
    }
    if (request->route.kind == AGENT_ROUTE_SECTION) {
        return json_is_array(section)
                   ? handle_list(request, mhd, state, section)
                   : reply_json(request, mhd, MHD_HTTP_OK,
                                json_pack("{s:O?, s:O?}", "now", json_object_get(state, "now"),
                                          request->route.section, section));
    }
    json_array_foreach(section, index, member)
    {
        if (answers_to(member, request->route.key, request->route.name)) {
            return reply_json(request, mhd, MHD_HTTP_OK, json_incref(member));
        }
    }
    return not_found(request, mhd);
}

/* Run @verb and answer; @args is taken over. */
static enum MHD_Result run(struct agent_api *api, struct request *request,
                           struct MHD_Connection *mhd, const char *verb, json_t *args)
{
    struct agent_error error = {0};
    json_t *reply = NULL;
    int status = api->source.command(api->source.opaque, verb, args, &reply, &error);

    json_decref(args);
    api->state_ns = 0; /* whoever asks next sees what this did */
    if (status < 0) {
        json_decref(reply);
        agent_error_set(&error, status, "%s: %s", verb, strerror(-status));
        unsigned http = status == -ENOSYS ? MHD_HTTP_NOT_FOUND : status_of(status);
        return reply_problem(request, mhd, http, &error);
    }
    if (reply == NULL) {
        reply = json_object();
    }
    json_object_set_new(reply, "ok", json_true());
    return reply_json(request, mhd, MHD_HTTP_OK, reply);
}

static enum MHD_Result handle_command(struct agent_api *api, struct request *request,
                                      struct MHD_Connection *mhd)
{
    struct agent_error error = {0};
    json_error_t where;
    json_t *args = request->body_size == 0 ? json_object()
                                           : json_loadb(request->body, request->body_size,
                                                        JSON_REJECT_DUPLICATES, &where);

    if (!json_is_object(args)) {
        json_decref(args);
        agent_error_set(&error, EINVAL, "the body is not one JSON object%s%s",
                        args == NULL ? ": " : "", args == NULL ? where.text : "");
        return reply_problem(request, mhd, MHD_HTTP_BAD_REQUEST, &error);
    }
    return run(api, request, mhd, request->route.name, args);
}

enum MHD_Result handle(struct agent_api *api, struct request *request, struct MHD_Connection *mhd)
{
    const struct agent_route *route = &request->route;

    switch (route->kind) {
    case AGENT_ROUTE_FILE:
        return handle_file(request, mhd, route->name[0] != '\0' ? route->name : "index.html",
                           "no-cache");
    case AGENT_ROUTE_OPENAPI:
        return handle_file(request, mhd, "openapi.json", "no-cache");
    case AGENT_ROUTE_METRICS:
        return handle_metrics(api, request, mhd);
    case AGENT_ROUTE_STATE:
        return handle_state(api, request, mhd);
    case AGENT_ROUTE_SECTION:
    case AGENT_ROUTE_MEMBER:
        return handle_section(api, request, mhd);
    case AGENT_ROUTE_EXPLAIN:
        return run(api, request, mhd, "explain", json_pack("{s:s}", "vm", route->name));
    case AGENT_ROUTE_EVENTS:
        return strcmp(request->method, "HEAD") == 0
                   ? reply_bytes(request, mhd, MHD_HTTP_OK, "text/event-stream; charset=utf-8",
                                 strdup(""), 0)
                   : stream_open(api, request, mhd);
    case AGENT_ROUTE_COMMAND:
        return handle_command(api, request, mhd);
    case AGENT_ROUTE_KINDS:
        break;
    }
    return MHD_NO;
}
