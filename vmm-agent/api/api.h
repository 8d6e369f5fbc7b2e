/* SPDX-License-Identifier: GPL-2.0-or-later */
/* api.h - what the agent shows and takes orders by: HTTP+JSON, metrics, events, and a page
 * Owner: struct agent_api, from _open to _close.   Thread: the agent's loop; nothing here blocks.
 * Time:  now_ns, monotonic, from the caller.       Units: bytes, seconds, ns.
 *
 * Theory of operation. libmicrohttpd parses HTTP and speaks TLS; it has no thread of its own here
 * but an epoll descriptor per listener. Those, and one timer, hang in an epoll descriptor that the
 * agent's loop watches: agent_api_fd() is readable whenever agent_api_turn() has something to do.
 *
 * Two listeners: TCP (loopback unless TLS is on) and a unix socket for the command line. Every
 * request goes the same way: the raw request target is parsed (route.c), the address pays from its
 * bucket (limits.c), the caller gets a role (auth.c), the route asks for one, and only then does a
 * handler see it. Every connection has a deadline that bytes trickling in do not extend. Events are
 * kept once, in a bounded ring; a stream only has a place in it (events.c).
 *
 * What is shown comes through struct agent_api_source, so the same server runs on the acting agent
 * and, in tests, on a document. docs/api.md is for its users, docs/openapi.json for their programs.
 */
#ifndef AGENT_API_API_H
#define AGENT_API_API_H

#include <jansson.h>
#include <stdint.h>

#include "api/config.h"
#include "support/error.h"

struct agent_api;

/** struct agent_api_source - where the state comes from and where commands go
 * @snapshot: the whole state as one document (docs/agent-state.md); a new reference, or NULL when
 *            there is no memory
 * @command:  do @verb with @args (an object, borrowed); *@reply is a new reference and may stay
 *            NULL. Return: 0 or -errno with words (ENOENT: no such thing, EINVAL: bad arguments,
 *            others: it cannot be done now). Must not block. */
struct agent_api_source {
    void *opaque;
    json_t *(*snapshot)(void *opaque);
    int (*command)(void *opaque, const char *verb, json_t *args, json_t **reply,
                   struct agent_error *error);
};

/** agent_api_open() - bind, read secrets, listen
 * @config: copied. @source: copied; its functions run inside agent_api_turn()
 * Return: 0; -errno: EADDRINUSE, EACCES, EPERM (a secret that others can read), EINVAL (a bind
 * beyond loopback without TLS), ... with words. */
int agent_api_open(const struct agent_api_config *config, const struct agent_api_source *source,
                   int64_t now_ns, struct agent_api **api, struct agent_error *error);

/** agent_api_close() - end every connection and remove the unix socket; NULL is fine */
void agent_api_close(struct agent_api *api);

/** agent_api_fd() - watch it for reading; valid until agent_api_close() */
int agent_api_fd(const struct agent_api *api);

/** agent_api_turn() - serve what is ready, end what is overdue; call it when the fd is readable */
void agent_api_turn(struct agent_api *api, int64_t now_ns);

/** agent_api_event() - tell every listening client
 * @type: "migration.stage" and so on. @event: an object, borrowed. Costs nothing but the ring's
 * bounded memory when nobody listens; also counts into the metrics. */
void agent_api_event(struct agent_api *api, const char *type, const json_t *event);

/** agent_api_port() - the TCP port in use (the configured one may be 0 = any), 0 without TCP */
unsigned agent_api_port(const struct agent_api *api);

#endif
