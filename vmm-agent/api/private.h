/* SPDX-License-Identifier: GPL-2.0-or-later */
/* private.h - what the files of api/ share
 * Owner: struct agent_api owns all of it.   Thread: the loop, no locks.
 * Time:  api->now_ns, set at each turn.     Units:  ns, bytes. */
#ifndef AGENT_API_PRIVATE_H
#define AGENT_API_PRIVATE_H

#include <microhttpd.h>

#include "api/api.h"
#include "api/auth.h"
#include "api/events.h"
#include "api/limits.h"
#include "api/metrics.h"
#include "api/route.h"

#define LISTENERS_MAX    2
#define STATE_FRESH_NS   INT64_C(200000000)   /* one snapshot serves everybody for so long */
#define STREAM_PING_NS   INT64_C(15000000000) /* a comment to a silent stream */
#define SWEEP_NS         INT64_C(250000000)   /* between looks at deadlines */
#define HEADER_BYTES_MAX 32768                /* request line and headers of one connection */

struct listener {
    struct agent_api *api;
    struct MHD_Daemon *daemon;
    bool local; /* the unix socket */
    bool tls;
    int epoll_fd; /* the daemon's */
};

/* struct connection - one accepted socket; in a list from accept to close */
struct connection {
    struct connection *previous;
    struct connection *next;
    struct listener *listener;
    struct MHD_Connection *mhd;
    int fd;
    int64_t deadline_ns; /* INT64_MAX = none (a stream) */
    bool cut;            /* shut down because the deadline passed */
};

/* struct request - from the request line to the last byte of the answer */
struct request {
    struct connection *connection;
    struct agent_route route;
    enum agent_role role;
    int64_t since_ns;
    unsigned status; /* of the answer, 0 = none yet */
    bool begun;      /* headers were looked at */
    char caller[AGENT_CALLER_MAX];
    char method[16];
    char *target; /* raw; a longer one than the limit is cut just beyond it */
    char *body;
    size_t body_size;
};

/* struct stream - one event listener */
struct stream {
    struct stream *previous;
    struct stream *next;
    struct agent_api *api;
    struct MHD_Connection *mhd;
    struct agent_events_place place;
    int64_t sent_ns; /* when bytes were last taken by the connection */
    bool suspended;
};

struct agent_api {
    struct agent_api_config config;
    struct agent_api_source source;
    struct agent_auth auth;
    struct agent_limits limits;
    struct agent_events events;
    struct agent_metrics metrics;
    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count;
    struct connection *connections;
    struct stream *streams;
    unsigned stream_count;
    json_t *state;                       /* cached snapshot */
    struct MHD_Response *state_response; /* the same as text, made when first asked for */
    int64_t state_ns;
    int64_t now_ns;
    int64_t swept_ns;
    int epoll_fd;
    int timer_fd;
    int socket_lock_fd; /* held while we own the unix socket's path */
    unsigned port;
    bool closing;
};

/* listen.c */
int listen_tcp(const struct agent_api_config *config, unsigned *port, struct agent_error *error);
int listen_control(const char *path, int *lock_fd, struct agent_error *error);

/* request.c: callbacks that the server gives to libmicrohttpd */
void *request_begin(void *listener, const char *target, struct MHD_Connection *mhd);
enum MHD_Result request_step(void *listener, struct MHD_Connection *mhd, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_size, void **context);
void request_end(void *listener, struct MHD_Connection *mhd, void **context,
                 enum MHD_RequestTerminationCode code);

/* handlers.c: answer an allowed request. Return: what MHD_queue_response() said. */
enum MHD_Result handle(struct agent_api *api, struct request *request, struct MHD_Connection *mhd);

/** api_state() - the cached snapshot, made anew when it is old; borrowed, NULL without memory */
json_t *api_state(struct agent_api *api);
void api_state_forget(struct agent_api *api);

/* reply.c */
enum MHD_Result reply_bytes(struct request *request, struct MHD_Connection *mhd, unsigned status,
                            const char *type, char *bytes, size_t size);
enum MHD_Result reply_json(struct request *request, struct MHD_Connection *mhd, unsigned status,
                           json_t *value);
enum MHD_Result reply_problem(struct request *request, struct MHD_Connection *mhd, unsigned status,
                              const struct agent_error *error);
/* the headers that every answer has; once per response */
void reply_dress(struct MHD_Response *response);
/* queue a response that others share; the caller keeps its reference */
enum MHD_Result reply_share(struct request *request, struct MHD_Connection *mhd, unsigned status,
                            struct MHD_Response *response);
/* queue a response of this request alone; the reference is taken over, NULL is fine */
enum MHD_Result reply_queue(struct request *request, struct MHD_Connection *mhd, unsigned status,
                            struct MHD_Response *response);
unsigned status_of(int code);

/* stream.c */
enum MHD_Result stream_open(struct agent_api *api, struct request *request,
                            struct MHD_Connection *mhd);
void streams_wake(struct agent_api *api);
void streams_ping(struct agent_api *api);

#endif
