/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "api/private.h"
#include "support/file.h"
#include "support/log.h"

#define PEM_BYTES_MAX  (1u << 20)
#define ROUNDS_MAX     16 /* of MHD_run() in one turn: a busy client must not hold the loop */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"
#define OPTIONS_MAX    24
#define NS_PER_MS      INT64_C(1000000)

/* struct setup - what one daemon is started with; texts live until it is started */
struct setup {
    struct MHD_OptionItem options[OPTIONS_MAX];
    size_t count;
    char *cert;
    char *key;
    char *client_ca;
};

static void say(void *opaque, const char *format, va_list args)
{
    char text[512];

    (void)opaque;
    if (agent_log_wants(AGENT_LOG_DEBUG)) {
        vsnprintf(text, sizeof(text), format, args);
        text[strcspn(text, "\n")] = '\0';
        agent_log(AGENT_LOG_DEBUG, "api.http", NULL, "http: %s", text);
    }
}

/* Every accepted socket, from accept to close. */
static void connection_changed(void *opaque, struct MHD_Connection *mhd, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = opaque;
    struct agent_api *api = listener->api;
    struct connection *connection = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *found =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        connection = calloc(1, sizeof(*connection));
        *context = connection;
        if (connection == NULL || found == NULL) {
            return; /* every request on it will be refused */
        }
        connection->listener = listener;
        connection->mhd = mhd;
        connection->fd = found->connect_fd;
        if (!listener->local) { /* a peer that is gone without a word, such as a sleeping laptop */
            unsigned gone_ms = api->config.limits.reply_s * 1000;
            setsockopt(connection->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof(gone_ms));
        }
        connection->deadline_ns = api->now_ns + (int64_t)api->config.limits.request_s * 1000000000;
        connection->next = api->connections;
        if (api->connections != NULL) {
            api->connections->previous = connection;
        }
        api->connections = connection;
    } else if (connection != NULL) {
        if (connection->previous != NULL) {
            connection->previous->next = connection->next;
        } else if (api->connections == connection) {
            api->connections = connection->next;
        }
        if (connection->next != NULL) {
            connection->next->previous = connection->previous;
        }
        free(connection);
        *context = NULL;
    }
}

/* A connection that used up its time is shut down; libmicrohttpd then closes it. */
static void sweep(struct agent_api *api)
{
    for (struct connection *connection = api->connections; connection != NULL;
         connection = connection->next) {
        if (!connection->cut && connection->deadline_ns < api->now_ns) {
            connection->cut = true;
            shutdown(connection->fd, SHUT_RDWR);
            agent_metrics_overdue(&api->metrics);
            agent_log(AGENT_LOG_INFO, "api.overdue", NULL,
                      "a client took longer than its limit and was cut off");
        }
    }
}

static void option(struct setup *setup, enum MHD_OPTION name, intptr_t value, void *pointer)
{
    setup->options[setup->count++] =
        (struct MHD_OptionItem){.option = name, .value = value, .ptr_value = pointer};
}

/* The key must not be for everybody's eyes (a group such as ssl-cert is usual). */
static int read_key(const char *path, char **out, struct agent_error *error)
{
    struct stat found;
    size_t size = 0;

    if (stat(path, &found) == 0 && (found.st_mode & 007) != 0) {
        return agent_error_set(error, EPERM, "api: tls key %s has mode %04o: everybody can use it",
                               path, (unsigned)(found.st_mode & 07777));
    }
    return agent_file_read(path, PEM_BYTES_MAX, out, &size, error);
}

static int setup_tls(struct agent_api *api, struct setup *setup, struct agent_error *error)
{
    size_t size = 0;

    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        return agent_error_set(error, ENOTSUP, "api: this libmicrohttpd was built without TLS");
    }
    int status = agent_file_read(api->config.cert_path, PEM_BYTES_MAX, &setup->cert, &size, error);
    status = status < 0 ? status : read_key(api->config.key_path, &setup->key, error);
    if (status == 0 && api->config.client_ca_path[0] != '\0') {
        status = agent_file_read(api->config.client_ca_path, PEM_BYTES_MAX, &setup->client_ca,
                                 &size, error);
    }
    if (status < 0) {
        return status;
    }
    option(setup, MHD_OPTION_HTTPS_MEM_CERT, 0, setup->cert);
    option(setup, MHD_OPTION_HTTPS_MEM_KEY, 0, setup->key);
    option(setup, MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES);
    if (setup->client_ca != NULL) {
        option(setup, MHD_OPTION_HTTPS_MEM_TRUST, 0, setup->client_ca);
    }
    return 0;
}

static void setup_options(struct listener *listener, struct setup *setup, int fd)
{
    const struct agent_api_limits *limits = &listener->api->config.limits;

    option(setup, MHD_OPTION_LISTEN_SOCKET, fd, NULL);
    option(setup, MHD_OPTION_CONNECTION_LIMIT, (intptr_t)limits->connections, NULL);
    option(setup, MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)limits->idle_s, NULL);
    option(setup, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES_MAX, NULL);
    option(setup, MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL);
    option(setup, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL);
    option(setup, MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)connection_changed, listener);
    option(setup, MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_end, listener);
    option(setup, MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)request_begin, listener);
    if (!listener->local) {
        option(setup, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)limits->per_address, NULL);
    }
}

static int start_daemon(struct agent_api *api, int fd, bool local, struct agent_error *error)
{
    struct listener *listener = &api->listeners[api->listener_count];
    struct setup setup = {.count = 0};
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    int status = 0;

    *listener = (struct listener){.api = api, .local = local, .epoll_fd = -1};
    listener->tls = !local && api->config.cert_path[0] != '\0';
    setup_options(listener, &setup, fd);
    if (listener->tls) {
        flags |= MHD_USE_TLS;
        status = setup_tls(api, &setup, error);
    }
    option(&setup, MHD_OPTION_END, 0, NULL);
    if (status == 0) {
        /* the logger comes first, so that a failed start says why */
        listener->daemon = MHD_start_daemon(flags, 0, NULL, NULL, request_step, listener,
                                            MHD_OPTION_EXTERNAL_LOGGER, say, NULL, MHD_OPTION_ARRAY,
                                            setup.options, MHD_OPTION_END);
        if (listener->daemon == NULL) {
            status = agent_error_set(error, EINVAL,
                                     listener->tls ? "api: TLS cannot be started: do %s and %s "
                                                     "belong together?"
                                                   : "api: the HTTP server cannot be started%s%s",
                                     listener->tls ? api->config.cert_path : "",
                                     listener->tls ? api->config.key_path : "");
        }
    }
    free(setup.cert);
    free(setup.client_ca);
    if (setup.key != NULL) {
        gnutls_memset(setup.key, 0, strlen(setup.key));
        free(setup.key);
    }
    if (status < 0) {
        close(fd);
        return status;
    }
    api->listener_count++;
    const union MHD_DaemonInfo *found =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct epoll_event event = {.events = EPOLLIN};
    listener->epoll_fd = found != NULL ? found->epoll_fd : -1;
    if (epoll_ctl(api->epoll_fd, EPOLL_CTL_ADD, listener->epoll_fd, &event) < 0) {
        return agent_error_set(error, errno, "api: epoll: %s", strerror(errno));
    }
    return 0;
}

static int open_loop(struct agent_api *api, struct agent_error *error)
{
    struct epoll_event event = {.events = EPOLLIN};

    api->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    api->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (api->epoll_fd < 0 || api->timer_fd < 0 ||
        epoll_ctl(api->epoll_fd, EPOLL_CTL_ADD, api->timer_fd, &event) < 0) {
        return agent_error_set(error, errno, "api: epoll: %s", strerror(errno));
    }
    return 0;
}

static int open_listeners(struct agent_api *api, struct agent_error *error)
{
    int status = 0;

    if (api->config.tcp) {
        int fd = listen_tcp(&api->config, &api->port, error);
        status = fd < 0 ? fd : start_daemon(api, fd, false, error);
    }
    if (status == 0 && api->config.control_path[0] != '\0') {
        int fd = listen_control(api->config.control_path, &api->socket_lock_fd, error);
        status = fd < 0 ? fd : start_daemon(api, fd, true, error);
    }
    return status;
}

/* One line that tells a new user where to look. */
static void say_where(const struct agent_api *api)
{
    const struct agent_api_config *config = &api->config;
    const char *control = config->control_path[0] != '\0' ? config->control_path : "none";

    if (api->listener_count == 0) {
        agent_log(AGENT_LOG_WARNING, "api.nowhere", NULL,
                  "api: neither tcp nor a control socket: nobody can ask this agent anything");
    } else if (!config->tcp) {
        agent_log(AGENT_LOG_NOTICE, "api.listening", json_pack("{s:s}", "socket", control),
                  "control socket %s; no page and no HTTP (listen: none)", control);
    } else {
        int host_size = (int)(strrchr(config->listen, ':') - config->listen);
        agent_log(AGENT_LOG_NOTICE, "api.listening",
                  json_pack("{s:s, s:i}", "socket", control, "port", (int)api->port),
                  "page at http%s://%.*s:%u/%s%s; control socket %s",
                  config->cert_path[0] != '\0' ? "s" : "", host_size, config->listen, api->port,
                  config->token_path[0] != '\0' ? ", its secret in " : "", config->token_path,
                  control);
    }
}

int agent_api_open(const struct agent_api_config *config, const struct agent_api_source *source,
                   int64_t now_ns, struct agent_api **out, struct agent_error *error)
{
    struct agent_api *api = calloc(1, sizeof(*api));

    if (api == NULL) {
        return agent_error_set(error, ENOMEM, "api: no memory");
    }
    api->config = *config;
    api->source = *source;
    api->now_ns = api->swept_ns = now_ns;
    api->epoll_fd = api->timer_fd = api->socket_lock_fd = -1;
    agent_limits_init(&api->limits, config->limits.rate_per_s, config->limits.rate_burst,
                      config->limits.failures_per_minute);
    agent_metrics_init(&api->metrics);
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    agent_events_init(&api->events, (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec);
    int status = agent_api_config_check(&api->config, error);
    status = status < 0 ? status : agent_auth_open(&api->auth, &api->config, error);
    status = status < 0 ? status : open_loop(api, error);
    status = status < 0 ? status : open_listeners(api, error);
    if (status < 0) {
        agent_api_close(api);
        return status;
    }
    say_where(api);
    agent_api_turn(api, now_ns); /* sets the first timer */
    *out = api;
    return 0;
}

void agent_api_close(struct agent_api *api)
{
    if (api == NULL) {
        return;
    }
    api->closing = true;
    streams_wake(api);
    for (unsigned index = 0; index < api->listener_count; index++) {
        MHD_run(api->listeners[index].daemon);
        MHD_stop_daemon(api->listeners[index].daemon);
    }
    if (api->socket_lock_fd >= 0) { /* the path is ours: remove it before letting go */
        unlink(api->config.control_path);
        close(api->socket_lock_fd);
    }
    agent_events_done(&api->events);
    agent_auth_done(&api->auth);
    api_state_forget(api);
    if (api->timer_fd >= 0) {
        close(api->timer_fd);
    }
    if (api->epoll_fd >= 0) {
        close(api->epoll_fd);
    }
    free(api);
}

int agent_api_fd(const struct agent_api *api)
{
    return api->epoll_fd;
}

unsigned agent_api_port(const struct agent_api *api)
{
    return api->port;
}

/* How long until libmicrohttpd wants to run again; -1 = when something arrives. */
static int64_t wanted_ms(const struct agent_api *api)
{
    int64_t least = -1;

    for (unsigned index = 0; index < api->listener_count; index++) {
        MHD_UNSIGNED_LONG_LONG timeout = 0;
        if (MHD_get_timeout(api->listeners[index].daemon, &timeout) == MHD_YES &&
            (least < 0 || (int64_t)timeout < least)) {
            least = (int64_t)timeout;
        }
    }
    return least;
}

static void arm(struct agent_api *api)
{
    int64_t wait_ns = wanted_ms(api);

    wait_ns = wait_ns < 0 ? -1 : wait_ns * NS_PER_MS;
    if (api->connections != NULL && (wait_ns < 0 || wait_ns > SWEEP_NS)) {
        wait_ns = SWEEP_NS;
    }
    struct itimerspec when = {.it_value = {0, 0}};
    if (wait_ns >= 0) {
        wait_ns = wait_ns > 0 ? wait_ns : 1; /* 0 would switch the timer off */
        when.it_value.tv_sec = wait_ns / 1000000000;
        when.it_value.tv_nsec = wait_ns % 1000000000;
    }
    timerfd_settime(api->timer_fd, 0, &when, NULL);
}

void agent_api_turn(struct agent_api *api, int64_t now_ns)
{
    uint64_t ticks;

    api->now_ns = now_ns;
    if (read(api->timer_fd, &ticks, sizeof(ticks)) < 0) {
        ticks = 0; /* a descriptor woke us, not the timer */
    }
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        for (unsigned index = 0; index < api->listener_count; index++) {
            MHD_run(api->listeners[index].daemon);
        }
        if (wanted_ms(api) != 0) {
            break;
        }
    }
    if (now_ns - api->swept_ns >= SWEEP_NS) {
        api->swept_ns = now_ns;
        sweep(api);
        streams_ping(api);
    }
    arm(api);
}

void agent_api_event(struct agent_api *api, const char *type, const json_t *event)
{
    agent_metrics_event(&api->metrics, type, event);
    api->state_ns = 0; /* whoever asks after an event sees what it did */
    if (agent_events_add(&api->events, type, event) == 0) {
        streams_wake(api);
    }
}
