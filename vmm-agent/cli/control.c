/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - HTTP over the control socket, by libcurl
 * Owner, thread, time, units: control.h. */
#include "cli/control.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"
#include "cli/config.h"
#include "support/json.h"

#define LIMIT_S 30L

struct answer {
    char *bytes;
    size_t used;
};

static size_t take(char *bytes, size_t size, size_t count, void *opaque)
{
    struct answer *answer = opaque;
    size_t more = size * count;

    if (answer->used + more > CONTROL_ANSWER_MAX) {
        return 0;
    }
    char *grown = realloc(answer->bytes, answer->used + more + 1);
    if (grown == NULL) {
        return 0;
    }
    answer->bytes = grown;
    memcpy(grown + answer->used, bytes, more);
    answer->used += more;
    grown[answer->used] = '\0';
    return more;
}

/* Which socket: the option, the configuration, the default place. */
static int find_socket(struct agent_context *context, const struct agent_command *command,
                       char *out, size_t size, struct agent_error *error)
{
    const char *given = agent_context_value(context, command, "socket");
    struct agent_api_config api;
    struct agent_yaml *root = NULL;
    int status = 0;

    if (given != NULL) {
        snprintf(out, size, "%s", given);
        return 0;
    }
    agent_api_config_init(&api);
    if (context->config_path != NULL) {
        status = agent_yaml_load(context->config_path, &root, error);
        status =
            status < 0 ? status : agent_api_config_read(agent_yaml_child(root, "api"), &api, error);
        agent_yaml_free(root);
    }
    snprintf(out, size, "%s", api.control_path);
    if (status == 0 && out[0] == '\0') {
        status =
            agent_error_set(error, EINVAL,
                            "where is the agent's control socket? name it with --socket, or the "
                            "agent's configuration with --config");
    }
    return status;
}

static CURL *prepare(const char *socket, const char *path, struct answer *answer)
{
    char url[256];
    CURL *curl = curl_easy_init();

    if (curl != NULL) {
        snprintf(url, sizeof(url), "http://localhost%s", path);
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    }
    return curl;
}

static int no_agent(const char *socket, CURLcode code, struct agent_error *error)
{
    return agent_error_set(error, EIO, "no agent answers at %s: %s (vmm-agent run starts one)",
                           socket, curl_easy_strerror(code));
}

/* HTTP status to exit code; the words are in the answer. */
static int judge(struct agent_context *context, long http, const struct answer *answer,
                 json_t **out)
{
    json_error_t problem;
    struct agent_error error = {0};
    json_t *body = answer->used > 0 ? json_loadb(answer->bytes, answer->used, 0, &problem) : NULL;

    if (http >= 200 && http < 300 && body != NULL) {
        if (out != NULL) {
            *out = body;
        } else {
            json_decref(body);
        }
        return AGENT_EXIT_OK;
    }
    const json_t *said = json_object_get(body, "error");
    const char *text = json_string_value(json_object_get(said, "text"));
    text = text != NULL ? text : json_string_value(json_object_get(said, "message"));
    if (text != NULL) {
        agent_error_set(&error, EPERM, "%s", text);
    } else {
        agent_error_set(&error, EPROTO, "the agent answered HTTP %ld without words", http);
    }
    json_decref(body);
    return agent_context_fail(context,
                              http == 409   ? AGENT_EXIT_NO
                              : http >= 500 ? AGENT_EXIT_SYSTEM
                                            : AGENT_EXIT_USAGE,
                              &error);
}

static int request(struct agent_context *context, const struct agent_command *command,
                   const char *path, const char *body, json_t **out)
{
    struct agent_error error = {0};
    struct answer answer = {0};
    char socket[AGENT_API_PATH_MAX + 256];
    long http = 0;

    if (find_socket(context, command, socket, sizeof(socket), &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    CURL *curl = prepare(socket, path, &answer);
    struct curl_slist *headers =
        body != NULL ? curl_slist_append(NULL, "Content-Type: application/json") : NULL;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (curl != NULL) {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, LIMIT_S);
        if (body != NULL) {
            curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        }
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    int exit_code = AGENT_EXIT_SYSTEM;
    if (code != CURLE_OK) {
        no_agent(socket, code, &error);
        exit_code = agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    } else {
        exit_code = judge(context, http, &answer, out);
    }
    free(answer.bytes);
    return exit_code;
}

int control_get(struct agent_context *context, const struct agent_command *command,
                const char *path, json_t **out)
{
    return request(context, command, path, NULL, out);
}

int control_command(struct agent_context *context, const struct agent_command *command,
                    const char *verb, json_t *args, json_t **out)
{
    char path[96];
    char *body = args != NULL ? json_dumps(args, JSON_COMPACT) : strdup("{}");

    json_decref(args);
    snprintf(path, sizeof(path), "/v1/command/%.40s", verb);
    int code = body != NULL ? request(context, command, path, body, out) : AGENT_EXIT_SYSTEM;
    free(body);
    return code;
}

struct following {
    struct answer rest;
    int (*line)(void *opaque, const json_t *event);
    void *opaque;
    bool stop;
};

/* Server-sent events: only the data lines matter, an event is one line of JSON. */
static size_t follow(char *bytes, size_t size, size_t count, void *opaque)
{
    struct following *following = opaque;
    char *end;

    if (take(bytes, size, count, &following->rest) == 0) {
        return 0;
    }
    while ((end = memchr(following->rest.bytes, '\n', following->rest.used)) != NULL) {
        size_t length = (size_t)(end - following->rest.bytes);
        if (length > 5 && memcmp(following->rest.bytes, "data:", 5) == 0 && !following->stop) {
            json_t *event = json_loadb(following->rest.bytes + 5, length - 5, 0, NULL);
            following->stop = event != NULL && following->line(following->opaque, event) != 0;
            json_decref(event);
        }
        following->rest.used -= length + 1;
        memmove(following->rest.bytes, end + 1, following->rest.used);
    }
    return following->stop ? 0 : size * count;
}

int control_watch(struct agent_context *context, const struct agent_command *command,
                  int (*line)(void *opaque, const json_t *event), void *opaque)
{
    struct following following = {.line = line, .opaque = opaque};
    struct agent_error error = {0};
    char socket[AGENT_API_PATH_MAX + 256];

    if (find_socket(context, command, socket, sizeof(socket), &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    CURL *curl = prepare(socket, "/v1/events", NULL);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (curl != NULL) {
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, follow);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &following);
        code = curl_easy_perform(curl);
    }
    curl_easy_cleanup(curl);
    free(following.rest.bytes);
    if (code != CURLE_OK && !following.stop) {
        no_agent(socket, code, &error);
        return agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    }
    return AGENT_EXIT_OK;
}
