/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http.h - HTTP requests that never block the loop
 * Owner: struct agent_dr_http, _new/_free.   Thread: the loop's; answers come there.
 * Time:  the loop's.                         Units:  s, ms, bytes.
 *
 * libcurl's multi interface on the agent's loop: sockets are watched, its timer is a loop timer.
 * Redirects are not followed (a bearer token must not travel on), only http and https are spoken.
 */
#ifndef AGENT_DR_HTTP_H
#define AGENT_DR_HTTP_H

#include "act/loop.h"
#include "support/error.h"

#define AGENT_DR_HTTP_OPEN_MAX   16
#define AGENT_DR_HTTP_BODY_MAX   (1u << 20)
#define AGENT_DR_HTTP_TIMEOUT_MS 15000

struct agent_dr_http;

/** struct agent_dr_http_request - all borrowed during the call; NULL where it does not apply
 * @form: "application/x-www-form-urlencoded" instead of JSON */
struct agent_dr_http_request {
    const char *method;
    const char *url;
    const char *body;
    bool form;
    const char *bearer;
};

/** struct agent_dr_http_answer - borrowed during the callback
 * @status:  of HTTP; 0 = none came, then @problem says why
 * @date_ms: of the Date header, -1 = none (it counts whole seconds)
 * @mid_ns:  monotonic time halfway between request and answer
 * @retry_after_s: 0 = not asked for */
struct agent_dr_http_answer {
    long status;
    const char *problem;
    const char *body; /* terminated */
    size_t size;
    int64_t date_ms;
    int64_t mid_ns;
    int64_t trip_ns;
    int64_t retry_after_s;
};

typedef void (*agent_dr_http_done)(void *opaque, const struct agent_dr_http_answer *answer);

/** agent_dr_http_new() - @ca_file: trust anchors, NULL = the system's
 * Return: 0, -ENOMEM. */
int agent_dr_http_new(struct agent_loop *loop, const char *ca_file, struct agent_dr_http **out,
                      struct agent_error *error);

/** agent_dr_http_free() - open requests end without an answer; NULL is fine; not from a callback */
void agent_dr_http_free(struct agent_dr_http *http);

/** agent_dr_http_start() - @done is called exactly once, later, unless the whole is freed
 * Return: 0, -EAGAIN (AGENT_DR_HTTP_OPEN_MAX are open), -ENOMEM. */
int agent_dr_http_start(struct agent_dr_http *http, const struct agent_dr_http_request *request,
                        agent_dr_http_done done, void *opaque, struct agent_error *error);

#endif
