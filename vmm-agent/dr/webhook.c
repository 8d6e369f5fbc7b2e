/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/webhook.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "support/file.h"

#define TOKEN_BYTES 32
#define PEM_MAX     (64u * 1024)
#define IDLE_MS     1000

struct agent_dr_webhook {
    struct agent_loop *loop;
    struct MHD_Daemon *daemon;
    struct agent_watch *watch;
    struct agent_timer timer;
    char token[2 * TOKEN_BYTES + 1];
    char *certificate;
    char *key;
    double allowance;
    int64_t allowed_ns;
    int (*fn)(void *opaque, const json_t *notification, struct agent_error *error);
    void *opaque;
};

/* One request in the making. */
struct request {
    char *body;
    size_t size;
    unsigned refusal; /* HTTP status, 0 = none yet */
    const char *why;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);

    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* A problem object, as OpenADR wants errors told. */
static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *why)
{
    json_t *object = json_pack("{s:i,s:s%}", "status", (int)status, "detail", why,
                               strnlen(why, AGENT_ERROR_TEXT_MAX));
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    enum MHD_Result result =
        answer(connection, status, "application/json", text != NULL ? text : "{}");

    free(text);
    json_decref(object);
    return result;
}

/* Takes the same time wherever two texts differ. */
static bool same_secret(const char *one, const char *other)
{
    size_t length = strlen(one);
    unsigned char differ = strlen(other) != length;

    for (size_t index = 0; index < length; index++) {
        differ |= (unsigned char)(one[index] ^ other[differ != 0 ? 0 : index]);
    }
    return differ == 0;
}

static bool authorized(const struct agent_dr_webhook *webhook, struct MHD_Connection *connection)
{
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");

    return header != NULL && strncasecmp(header, "Bearer ", 7) == 0 &&
           same_secret(webhook->token, header + 7);
}

/* A token bucket. */
static bool allowed(struct agent_dr_webhook *webhook)
{
    int64_t now_ns = agent_loop_now_ns(webhook->loop);
    double gained = (double)(now_ns - webhook->allowed_ns) / 1e9 * AGENT_DR_WEBHOOK_PER_S;

    webhook->allowed_ns = now_ns;
    webhook->allowance += gained;
    if (webhook->allowance > AGENT_DR_WEBHOOK_PER_S) {
        webhook->allowance = AGENT_DR_WEBHOOK_PER_S;
    }
    if (webhook->allowance < 1) {
        return false;
    }
    webhook->allowance -= 1;
    return true;
}

static enum MHD_Result challenge(struct MHD_Connection *connection)
{
    const char *echo = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "echo");

    if (echo == NULL || echo[0] == '\0' || strlen(echo) > AGENT_DR_WEBHOOK_ECHO_MAX) {
        return refuse(connection, MHD_HTTP_BAD_REQUEST,
                      "expected the query parameter 'echo' with 1 to 256 characters");
    }
    return answer(connection, MHD_HTTP_OK, "text/plain; charset=utf-8", echo);
}

/* Before the body: who is it, and may he say something now? */
static void screen(struct agent_dr_webhook *webhook, struct MHD_Connection *connection,
                   struct request *request)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

    if (!authorized(webhook, connection)) {
        request->refusal = MHD_HTTP_UNAUTHORIZED;
        request->why = "expected the bearer token of our subscription";
    } else if (length != NULL && strtoul(length, NULL, 10) > AGENT_DR_WEBHOOK_BODY) {
        request->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
        request->why = "more than 262144 bytes";
    } else if (!allowed(webhook)) {
        request->refusal = MHD_HTTP_TOO_MANY_REQUESTS;
        request->why = "more than 20 notifications a second";
    }
}

static enum MHD_Result take(struct agent_dr_webhook *webhook, struct MHD_Connection *connection,
                            const struct request *request)
{
    struct agent_error error = {0};
    json_t *object = json_loadb(request->body != NULL ? request->body : "", request->size,
                                JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(object)) {
        json_decref(object);
        return refuse(connection, MHD_HTTP_BAD_REQUEST, "the body is no JSON object");
    }
    int status = webhook->fn(webhook->opaque, object, &error);
    json_decref(object);
    return status < 0 ? refuse(connection, MHD_HTTP_BAD_REQUEST, error.text)
                      : answer(connection, MHD_HTTP_OK, "application/json", "{}");
}

static enum MHD_Result add_body(struct request *request, const char *bytes, size_t *size)
{
    if (request->refusal == 0 && request->size + *size > AGENT_DR_WEBHOOK_BODY) {
        request->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
        request->why = "more than 262144 bytes";
    }
    if (request->refusal == 0) {
        char *grown = realloc(request->body, request->size + *size);
        if (grown == NULL) {
            return MHD_NO;
        }
        memcpy(grown + request->size, bytes, *size);
        request->body = grown;
        request->size += *size;
    }
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *size, void **state)
{
    struct agent_dr_webhook *webhook = opaque;
    struct request *request = *state;

    (void)url;
    (void)version;
    if (request == NULL) {
        request = calloc(1, sizeof(*request));
        *state = request;
        if (request != NULL && strcmp(method, "POST") == 0) {
            screen(webhook, connection, request);
        }
        return request != NULL ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        return add_body(request, bytes, size);
    }
    if (strcmp(method, "GET") == 0) {
        return challenge(connection);
    }
    if (strcmp(method, "POST") != 0) {
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "expected GET or POST");
    }
    return request->refusal != 0 ? refuse(connection, request->refusal, request->why)
                                 : take(webhook, connection, request);
}

static void on_completed(void *opaque, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *state;

    (void)opaque;
    (void)connection;
    (void)code;
    if (request != NULL) {
        free(request->body);
        free(request);
    }
    *state = NULL;
}

/* The server has an epoll descriptor of its own, which the loop watches. */
static void run(struct agent_dr_webhook *webhook)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = IDLE_MS;

    MHD_run(webhook->daemon);
    if (MHD_get_timeout(webhook->daemon, &wait_ms) != MHD_YES || wait_ms > IDLE_MS) {
        wait_ms = IDLE_MS;
    }
    agent_timer_after(&webhook->timer, (int64_t)wait_ms * AGENT_NS_PER_MS);
}

static void on_ready(void *opaque, uint32_t events)
{
    (void)events;
    run(opaque);
}

static void on_timer(void *opaque)
{
    run(opaque);
}

/* "127.0.0.1:9443", "[::1]:9443" */
static int parse_address(const char *listen, struct sockaddr_storage *out,
                         struct agent_error *error)
{
    char host[64];
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    const char *colon = strrchr(listen, ':');
    size_t skip = listen[0] == '[' ? 1 : 0;
    char *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 65536;

    if (colon == NULL || end == colon + 1 || *end != '\0' || port > 65535 ||
        (size_t)(colon - listen) >= sizeof(host) || (skip == 1 && colon[-1] != ']')) {
        return agent_error_set(error, EINVAL,
                               "webhook.listen is '%.60s', expected ADDRESS:PORT such as "
                               "127.0.0.1:9443",
                               listen);
    }
    snprintf(host, sizeof(host), "%.*s", (int)((size_t)(colon - listen) - 2 * skip), listen + skip);
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        return 0;
    }
    return agent_error_set(error, EINVAL, "webhook.listen: '%s' is no IP address", host);
}

static int make_token(struct agent_dr_webhook *webhook, struct agent_error *error)
{
    unsigned char random[TOKEN_BYTES];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return agent_error_set(error, EIO, "no random numbers for the webhook's token");
    }
    for (int index = 0; index < TOKEN_BYTES; index++) {
        snprintf(webhook->token + 2 * index, 3, "%02x", random[index]);
    }
    return 0;
}

static int read_pem(const struct agent_dr_webhook_settings *settings,
                    struct agent_dr_webhook *webhook, struct agent_error *error)
{
    size_t size = 0;
    int status =
        agent_file_read(settings->certificate, PEM_MAX, &webhook->certificate, &size, error);

    return status < 0 ? status
                      : agent_file_read(settings->key, PEM_MAX, &webhook->key, &size, error);
}

static int start(struct agent_dr_webhook *webhook, const struct agent_dr_webhook_settings *settings,
                 struct agent_error *error)
{
    struct sockaddr_storage address;
    bool tls = settings->certificate != NULL && settings->certificate[0] != '\0';
    int status = parse_address(settings->listen, &address, error);

    status = status < 0 || !tls ? status : read_pem(settings, webhook, error);
    if (status < 0) {
        return status;
    }
    unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0) |
                     (address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    errno = 0;
    webhook->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, webhook, MHD_OPTION_SOCK_ADDR, &address,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)AGENT_DR_WEBHOOK_CONNECTIONS,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)AGENT_DR_WEBHOOK_TIMEOUT_S,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                         tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, webhook->certificate,
                         MHD_OPTION_HTTPS_MEM_KEY, webhook->key, MHD_OPTION_END);
    if (webhook->daemon == NULL) {
        return agent_error_set(error, errno != 0 ? errno : EINVAL,
                               "webhook.listen %s: cannot listen%s%s", settings->listen,
                               errno != 0 ? ": "
                               : tls      ? ": certificate or key is unusable"
                                          : "",
                               errno != 0 ? strerror(errno) : "");
    }
    return 0;
}

int agent_dr_webhook_new(struct agent_loop *loop, const struct agent_dr_webhook_settings *settings,
                         int (*fn)(void *opaque, const json_t *notification,
                                   struct agent_error *error),
                         void *opaque, struct agent_dr_webhook **out, struct agent_error *error)
{
    struct agent_dr_webhook *webhook = calloc(1, sizeof(*webhook));

    if (webhook == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the webhook");
    }
    *webhook = (struct agent_dr_webhook){.loop = loop, .fn = fn, .opaque = opaque};
    webhook->allowed_ns = agent_loop_now_ns(loop);
    webhook->allowance = AGENT_DR_WEBHOOK_PER_S;
    agent_timer_init(&webhook->timer, loop, on_timer, webhook);
    int status = make_token(webhook, error);
    status = status < 0 ? status : start(webhook, settings, error);
    if (status == 0) {
        int fd = MHD_get_daemon_info(webhook->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
        status = agent_loop_watch(loop, fd, EPOLLIN, on_ready, webhook, &webhook->watch);
    }
    if (status < 0) {
        agent_dr_webhook_free(webhook);
        return agent_error_set(error, -status, "webhook: %s", strerror(-status));
    }
    *out = webhook;
    return 0;
}

void agent_dr_webhook_free(struct agent_dr_webhook *webhook)
{
    if (webhook == NULL) {
        return;
    }
    agent_loop_unwatch(webhook->watch);
    agent_timer_unset(&webhook->timer);
    if (webhook->daemon != NULL) {
        MHD_stop_daemon(webhook->daemon);
    }
    if (webhook->key != NULL) {
        explicit_bzero(webhook->key, strlen(webhook->key));
    }
    free(webhook->key);
    free(webhook->certificate);
    explicit_bzero(webhook->token, sizeof(webhook->token));
    free(webhook);
}

const char *agent_dr_webhook_token(const struct agent_dr_webhook *webhook)
{
    return webhook->token;
}

int agent_dr_webhook_port(const struct agent_dr_webhook *webhook)
{
    return MHD_get_daemon_info(webhook->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}
