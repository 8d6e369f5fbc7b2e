/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/private.h"
#include "support/log.h"

void *request_begin(void *opaque, const char *target, struct MHD_Connection *mhd)
{
    struct listener *listener = opaque;
    const union MHD_ConnectionInfo *found =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct request *request = calloc(1, sizeof(*request));

    if (request == NULL || found == NULL || found->socket_context == NULL) {
        free(request);
        return NULL;
    }
    request->connection = found->socket_context;
    request->since_ns = listener->api->now_ns;
    request->target = strndup(target, AGENT_ROUTE_TARGET_MAX + 1);
    request->connection->deadline_ns =
        listener->api->now_ns + (int64_t)listener->api->config.limits.request_s * 1000000000;
    return request;
}

static const struct sockaddr *address_of(struct MHD_Connection *mhd)
{
    static const struct sockaddr unknown = {.sa_family = AF_UNIX};
    const union MHD_ConnectionInfo *found =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    return found == NULL || found->client_addr == NULL ? &unknown : found->client_addr;
}

/* The role of the caller; a wrong secret costs its address a guess. */
static enum agent_role identify(struct listener *listener, struct request *request,
                                struct MHD_Connection *mhd)
{
    struct agent_api *api = listener->api;
    enum agent_role role = AGENT_ROLE_NONE;

    if (listener->local) {
        return agent_auth_peer(request->connection->fd, request->caller);
    }
    if (listener->tls) {
        const union MHD_ConnectionInfo *found =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        role = agent_auth_certificate(&api->auth,
                                      found != NULL ? (gnutls_session_t)found->tls_session : NULL,
                                      request->caller);
    }
    if (role == AGENT_ROLE_NONE) {
        role = agent_auth_bearer(&api->auth,
                                 MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Authorization"),
                                 request->caller);
    }
    return role;
}

/* Rate first, then who, then whether. Return: 0, or the HTTP status of the refusal with words. */
static unsigned check_caller(struct listener *listener, struct request *request,
                             struct MHD_Connection *mhd, struct agent_error *error)
{
    struct agent_api *api = listener->api;
    const struct sockaddr *address = address_of(mhd);

    if (request->route.needs == AGENT_ROLE_NONE) {
        return 0;
    }
    unsigned wait_s = listener->local ? 0 : agent_limits_guess(&api->limits, address, api->now_ns);
    if (wait_s > 0) {
        agent_error_set(error, EAGAIN, "too many wrong secrets from this address; wait %u s",
                        wait_s);
        error->line = wait_s;
        return MHD_HTTP_TOO_MANY_REQUESTS;
    }
    request->role = identify(listener, request, mhd);
    if (request->role == AGENT_ROLE_NONE) {
        if (!listener->local) {
            agent_limits_failed(&api->limits, address, api->now_ns);
        }
        agent_metrics_refused(&api->metrics);
        agent_error_set(error, EACCES,
                        listener->local ? "this socket is for root and the agent's own user"
                                        : "give 'Authorization: Bearer SECRET' with the secret in "
                                          "the agent's token file");
        return listener->local ? MHD_HTTP_FORBIDDEN : MHD_HTTP_UNAUTHORIZED;
    }
    if (request->role < request->route.needs) {
        agent_error_set(error, EPERM, "%s may look but not command", request->caller);
        return MHD_HTTP_FORBIDDEN;
    }
    return 0;
}

/* Length and type of a body before a byte of it is taken. Return: 0 or the status of the refusal.
 */
static unsigned check_body(struct listener *listener, struct request *request,
                           struct MHD_Connection *mhd, struct agent_error *error)
{
    const char *length = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Length");
    const char *type = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Type");
    const char *coding = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Transfer-Encoding");
    unsigned limit = listener->api->config.limits.body_bytes;
    unsigned long long size = length != NULL ? strtoull(length, NULL, 10) : 0;

    if (coding != NULL) {
        agent_error_set(error, EINVAL, "a body needs Content-Length, not Transfer-Encoding");
        return MHD_HTTP_LENGTH_REQUIRED;
    }
    if (request->route.kind != AGENT_ROUTE_COMMAND) {
        if (size > 0) {
            agent_error_set(error, EINVAL, "%s takes no body", request->route.label);
            return MHD_HTTP_BAD_REQUEST;
        }
        return 0;
    }
    if (size > limit) {
        agent_error_set(error, EFBIG, "the body has %llu bytes, the limit is %u", size, limit);
        return MHD_HTTP_CONTENT_TOO_LARGE;
    }
    /* application/json makes a browser ask first before it sends from a foreign page */
    if (type == NULL || strncasecmp(type, "application/json", strlen("application/json")) != 0) {
        agent_error_set(error, EINVAL, "a command's Content-Type is application/json, not '%.60s'",
                        type != NULL ? type : "");
        return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
    }
    return 0;
}

static unsigned check(struct listener *listener, struct request *request,
                      struct MHD_Connection *mhd, struct agent_error *error)
{
    struct agent_api *api = listener->api;
    unsigned wait_s =
        listener->local ? 0 : agent_limits_take(&api->limits, address_of(mhd), api->now_ns);

    if (wait_s > 0) {
        request->route.label = "unknown";
        agent_error_set(error, EAGAIN, "too many requests from this address; wait %u s", wait_s);
        error->line = wait_s;
        return MHD_HTTP_TOO_MANY_REQUESTS;
    }
    int status = agent_route_find(request->method, request->target, &request->route, error);
    if (status < 0) {
        return status == -EPERM ? MHD_HTTP_METHOD_NOT_ALLOWED : status_of(status);
    }
    unsigned refusal = check_caller(listener, request, mhd, error);
    return refusal != 0 ? refusal : check_body(listener, request, mhd, error);
}

static enum MHD_Result take_body(struct listener *listener, struct request *request,
                                 const char *bytes, size_t *size)
{
    size_t limit = listener->api->config.limits.body_bytes;

    if (request->body == NULL) {
        request->body = malloc(limit + 1);
    }
    if (request->body == NULL || *size > limit - request->body_size) {
        return MHD_NO; /* more than its Content-Length said: the connection ends */
    }
    memcpy(request->body + request->body_size, bytes, *size);
    request->body_size += *size;
    request->body[request->body_size] = '\0';
    *size = 0;
    return MHD_YES;
}

enum MHD_Result request_step(void *opaque, struct MHD_Connection *mhd, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_size, void **context)
{
    struct listener *listener = opaque;
    struct request *request = *context;
    struct agent_error error = {0};

    (void)url; /* the raw target is what is parsed */
    (void)version;
    if (request == NULL || request->target == NULL) {
        return MHD_NO; /* no memory when the request line came */
    }
    if (!request->begun) {
        request->begun = true;
        snprintf(request->method, sizeof(request->method), "%s", method);
        unsigned refusal = check(listener, request, mhd, &error);
        return refusal != 0 ? reply_problem(request, mhd, refusal, &error) : MHD_YES;
    }
    if (*upload_size > 0) {
        return take_body(listener, request, upload, upload_size);
    }
    return handle(listener->api, request, mhd);
}

static void log_request(const struct listener *listener, const struct request *request)
{
    enum agent_log_level level = AGENT_LOG_DEBUG;
    unsigned status = request->status;

    if (status == MHD_HTTP_UNAUTHORIZED || status == MHD_HTTP_FORBIDDEN) {
        level = AGENT_LOG_WARNING;
    } else if (status >= 500) {
        level = AGENT_LOG_ERROR;
    } else if (request->route.kind == AGENT_ROUTE_COMMAND && request->role == AGENT_ROLE_CONTROL) {
        level = AGENT_LOG_NOTICE;
    }
    if (!agent_log_wants(level)) {
        return;
    }
    bool command = request->route.kind == AGENT_ROUTE_COMMAND && request->role != AGENT_ROLE_NONE;
    agent_log(level, "api.request",
              json_pack("{s:s, s:s, s:s, s:i, s:s}", "method", request->method, "route",
                        request->route.label != NULL ? request->route.label : "unknown", "caller",
                        request->caller, "status", (int)status, "listener",
                        listener->local ? "control" : "tcp"),
              "%s %s%s%s by %s: %u", request->method,
              request->route.label != NULL ? request->route.label : "unknown", command ? " " : "",
              command ? request->route.name : "",
              request->caller[0] != '\0' ? request->caller : "nobody", status);
}

void request_end(void *opaque, struct MHD_Connection *mhd, void **context,
                 enum MHD_RequestTerminationCode code)
{
    struct listener *listener = opaque;
    struct agent_api *api = listener->api;
    struct request *request = *context;

    (void)mhd;
    (void)code;
    if (request == NULL) {
        return;
    }
    agent_metrics_request(&api->metrics,
                          request->route.label != NULL ? request->route.label : "unknown",
                          request->status, api->now_ns - request->since_ns);
    if (request->begun) {
        log_request(listener, request);
    }
    request->connection->deadline_ns =
        api->now_ns +
        (int64_t)(api->config.limits.idle_s + api->config.limits.request_s) * 1000000000;
    free(request->target);
    free(request->body);
    free(request);
    *context = NULL;
}
