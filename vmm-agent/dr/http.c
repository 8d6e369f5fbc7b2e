/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MAX_S 86400

struct transfer {
    struct agent_dr_http *http;
    CURL *curl;
    struct curl_slist *headers;
    char *body;
    size_t size;
    bool too_large;
    int64_t date_ms;
    int64_t start_ns;
    char problem[CURL_ERROR_SIZE];
    agent_dr_http_done done;
    void *opaque;
};

struct agent_dr_http {
    struct agent_loop *loop;
    CURLM *multi;
    struct agent_timer timer;
    char *ca_file;
    struct transfer *open[AGENT_DR_HTTP_OPEN_MAX];
};

static void transfer_free(struct transfer *transfer)
{
    if (transfer != NULL) {
        if (transfer->curl != NULL) {
            curl_easy_cleanup(transfer->curl);
        }
        curl_slist_free_all(transfer->headers);
        free(transfer->body);
        free(transfer);
    }
}

static size_t take_body(char *bytes, size_t unit, size_t count, void *opaque)
{
    struct transfer *transfer = opaque;
    size_t size = unit * count;

    if (transfer->size + size > AGENT_DR_HTTP_BODY_MAX) {
        transfer->too_large = true;
        return 0;
    }
    char *grown = realloc(transfer->body, transfer->size + size + 1);
    if (grown == NULL) {
        return 0;
    }
    memcpy(grown + transfer->size, bytes, size);
    transfer->body = grown;
    transfer->size += size;
    transfer->body[transfer->size] = '\0';
    return size;
}

static size_t take_header(char *bytes, size_t unit, size_t count, void *opaque)
{
    struct transfer *transfer = opaque;
    size_t size = unit * count;
    char line[64];

    if (size > 5 && size < sizeof(line) && strncasecmp(bytes, "date:", 5) == 0) {
        snprintf(line, sizeof(line), "%.*s", (int)size - 5, bytes + 5);
        time_t date_s = curl_getdate(line, NULL);
        transfer->date_ms = date_s > 0 ? (int64_t)date_s * 1000 : -1;
    }
    return size;
}

/* Tells the owner, and lets go of the transfer first: the owner may start another one. */
static void finish(struct transfer *transfer, CURLcode result)
{
    struct agent_dr_http *http = transfer->http;
    int64_t now_ns = agent_loop_now_ns(http->loop);
    struct agent_dr_http_answer answer = {
        .body = transfer->body != NULL ? transfer->body : "",
        .size = transfer->size,
        .date_ms = transfer->date_ms,
        .trip_ns = now_ns - transfer->start_ns,
        .mid_ns = transfer->start_ns + (now_ns - transfer->start_ns) / 2,
    };
    curl_off_t retry_s = 0;

    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &answer.status);
    if (curl_easy_getinfo(transfer->curl, CURLINFO_RETRY_AFTER, &retry_s) == CURLE_OK) {
        answer.retry_after_s = retry_s > RETRY_MAX_S ? RETRY_MAX_S : retry_s;
    }
    if (result != CURLE_OK) {
        answer.status = 0;
        answer.problem = transfer->too_large            ? "the answer is too large"
                         : transfer->problem[0] != '\0' ? transfer->problem
                                                        : curl_easy_strerror(result);
    }
    curl_multi_remove_handle(http->multi, transfer->curl);
    for (int index = 0; index < AGENT_DR_HTTP_OPEN_MAX; index++) {
        http->open[index] = http->open[index] == transfer ? NULL : http->open[index];
    }
    transfer->done(transfer->opaque, &answer);
    transfer_free(transfer);
}

static void collect(struct agent_dr_http *http)
{
    CURLMsg *message = NULL;
    int left = 0;

    for (int turn = 0; turn < 2 * AGENT_DR_HTTP_OPEN_MAX; turn++) {
        struct transfer *transfer = NULL;
        message = curl_multi_info_read(http->multi, &left);
        if (message == NULL) {
            return;
        }
        if (message->msg == CURLMSG_DONE) {
            CURLcode result = message->data.result; /* the message dies with the handle */
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
            finish(transfer, result);
        }
    }
}

/* curl closes its sockets itself; each is watched as long as curl wants it. */
struct socket_watch {
    struct agent_dr_http *http;
    curl_socket_t fd;
    struct agent_watch *watch;
};

static void on_socket(void *opaque, uint32_t events)
{
    struct socket_watch *entry = opaque;
    struct agent_dr_http *http = entry->http;
    int running = 0;
    int mask = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
               ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
               ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);

    curl_multi_socket_action(http->multi, entry->fd, mask, &running); /* may free entry */
    collect(http);
}

static int watch_socket(CURL *curl, curl_socket_t fd, int what, void *opaque, void *assigned)
{
    struct agent_dr_http *http = opaque;
    struct socket_watch *entry = assigned;
    uint32_t events =
        ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0);

    (void)curl;
    if (what == CURL_POLL_REMOVE) {
        if (entry != NULL) {
            agent_loop_unwatch(entry->watch);
            free(entry);
        }
        curl_multi_assign(http->multi, fd, NULL);
        return 0;
    }
    if (entry != NULL) {
        return agent_loop_change(entry->watch, events) < 0 ? -1 : 0;
    }
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return -1;
    }
    entry->http = http;
    entry->fd = fd;
    if (agent_loop_watch(http->loop, fd, events, on_socket, entry, &entry->watch) < 0) {
        free(entry);
        return -1;
    }
    curl_multi_assign(http->multi, fd, entry);
    return 0;
}

static void on_timer(void *opaque)
{
    struct agent_dr_http *http = opaque;
    int running = 0;

    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(http);
}

static int set_timer(CURLM *multi, long wait_ms, void *opaque)
{
    struct agent_dr_http *http = opaque;

    (void)multi;
    if (wait_ms < 0) {
        agent_timer_unset(&http->timer);
        return 0;
    }
    return agent_timer_after(&http->timer, (int64_t)wait_ms * AGENT_NS_PER_MS) < 0 ? -1 : 0;
}

int agent_dr_http_new(struct agent_loop *loop, const char *ca_file, struct agent_dr_http **out,
                      struct agent_error *error)
{
    struct agent_dr_http *http = calloc(1, sizeof(*http));

    if (http == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        free(http);
        return agent_error_set(error, ENOMEM, "curl does not start");
    }
    http->loop = loop;
    agent_timer_init(&http->timer, loop, on_timer, http);
    http->ca_file = ca_file != NULL ? strdup(ca_file) : NULL;
    http->multi = curl_multi_init();
    if (http->multi == NULL || (ca_file != NULL && http->ca_file == NULL)) {
        agent_dr_http_free(http);
        return agent_error_set(error, ENOMEM, "curl does not start");
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    *out = http;
    return 0;
}

void agent_dr_http_free(struct agent_dr_http *http)
{
    if (http == NULL) {
        return;
    }
    for (int index = 0; index < AGENT_DR_HTTP_OPEN_MAX; index++) {
        if (http->open[index] != NULL) {
            curl_multi_remove_handle(http->multi, http->open[index]->curl);
            transfer_free(http->open[index]);
        }
    }
    if (http->multi != NULL) {
        curl_multi_cleanup(http->multi);
    }
    agent_timer_unset(&http->timer);
    free(http->ca_file);
    free(http);
    curl_global_cleanup();
}

static bool add_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);

    transfer->headers = longer != NULL ? longer : transfer->headers;
    return longer != NULL;
}

static int set_headers(struct transfer *transfer, const struct agent_dr_http_request *request)
{
    bool good = add_header(transfer, "Accept: application/json");

    if (request->body != NULL) {
        good = good && add_header(transfer, request->form
                                                ? "Content-Type: application/x-www-form-urlencoded"
                                                : "Content-Type: application/json");
    }
    if (request->bearer != NULL) {
        size_t size = strlen(request->bearer) + 32;
        char *line = malloc(size);
        if (line != NULL) {
            snprintf(line, size, "Authorization: Bearer %s", request->bearer);
        }
        good = good && line != NULL && add_header(transfer, line);
        free(line);
    }
    return good ? 0 : -ENOMEM;
}

static void set_options(struct transfer *transfer, const struct agent_dr_http_request *request)
{
    CURL *curl = transfer->curl;

    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)AGENT_DR_HTTP_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->problem);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
    if (transfer->http->ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, transfer->http->ca_file);
    }
    if (request->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, request->body);
    }
}

int agent_dr_http_start(struct agent_dr_http *http, const struct agent_dr_http_request *request,
                        agent_dr_http_done done, void *opaque, struct agent_error *error)
{
    int place = 0;

    while (place < AGENT_DR_HTTP_OPEN_MAX && http->open[place] != NULL) {
        place++;
    }
    if (place == AGENT_DR_HTTP_OPEN_MAX) {
        return agent_error_set(error, EAGAIN, "%s: %d requests are open already", request->url,
                               AGENT_DR_HTTP_OPEN_MAX);
    }
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (transfer == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for %.100s", request->url);
    }
    *transfer = (struct transfer){.http = http, .date_ms = -1, .done = done, .opaque = opaque};
    transfer->start_ns = agent_loop_now_ns(http->loop);
    transfer->curl = curl_easy_init();
    if (transfer->curl == NULL || set_headers(transfer, request) < 0) {
        transfer_free(transfer);
        return agent_error_set(error, ENOMEM, "no memory for %.100s", request->url);
    }
    set_options(transfer, request);
    if (curl_multi_add_handle(http->multi, transfer->curl) != CURLM_OK) {
        transfer_free(transfer);
        return agent_error_set(error, ENOMEM, "curl takes no more requests");
    }
    http->open[place] = transfer;
    return 0;
}
