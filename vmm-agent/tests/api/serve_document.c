/* SPDX-License-Identifier: GPL-2.0-or-later */
/* serve_document.c - the real server on a state document in a file, driven by lines from a test
 * Owner: the test that started it; ends with its standard input.   Thread: main.
 * Time:  CLOCK_MONOTONIC.                                          Units: none.
 *
 *   serve-document STATE.json CONFIG.yaml
 * prints "port N" once it listens. Lines on standard input: "event TYPE JSON". Every command that
 * arrives is printed as "command VERB JSON"; it answers {"did": VERB}, except that `refuse` answers
 * -EPERM, `missing` -ENOENT and verbs with "unknown" in them -ENOSYS. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "support/json.h"
#include "support/log.h"

#define DOCUMENT_BYTES_MAX (16u << 20)
#define LINE_BYTES_MAX     (1u << 20)

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static json_t *snapshot(void *opaque)
{
    struct agent_error error = {0};
    json_t *state = NULL;

    if (agent_json_load(opaque, DOCUMENT_BYTES_MAX, &state, &error) < 0) {
        fprintf(stderr, "serve-document: %s\n", error.text);
        return NULL;
    }
    return state;
}

static int command(void *opaque, const char *verb, json_t *args, json_t **reply,
                   struct agent_error *error)
{
    char *text = json_dumps(args, JSON_COMPACT);

    (void)opaque;
    printf("command %s %s\n", verb, text);
    fflush(stdout);
    free(text);
    if (strcmp(verb, "refuse") == 0) {
        return agent_error_set(error, EPERM, "refuse: not now, by the test");
    }
    if (strcmp(verb, "missing") == 0) {
        return agent_error_set(error, ENOENT, "missing: there is no such machine");
    }
    if (strstr(verb, "unknown") != NULL) {
        return agent_error_set(error, ENOSYS, "there is no verb '%s'", verb);
    }
    *reply = json_pack("{s:s}", "did", verb);
    return 0;
}

/* One whole line of standard input: "event TYPE JSON". */
static void take_line(struct agent_api *api, char *line)
{
    char *type = strchr(line, ' ');
    char *text = type != NULL ? strchr(type + 1, ' ') : NULL;

    if (text == NULL || strncmp(line, "event ", 6) != 0) {
        fprintf(stderr, "serve-document: not understood: %s\n", line);
        return;
    }
    *text = '\0';
    json_t *event = json_loads(text + 1, 0, NULL);
    if (event != NULL) {
        agent_api_event(api, type + 1, event);
        json_decref(event);
    }
}

/* Return: false when the test closed its end. */
static bool take_input(struct agent_api *api)
{
    static char buffer[LINE_BYTES_MAX];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, buffer + used, sizeof(buffer) - 1 - used);

    if (got <= 0) {
        return false;
    }
    used += (size_t)got;
    buffer[used] = '\0';
    char *line = buffer;
    for (char *end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
        *end = '\0';
        take_line(api, line);
        line = end + 1;
    }
    used -= (size_t)(line - buffer);
    memmove(buffer, line, used);
    return used < sizeof(buffer) - 1;
}

static int fail(const struct agent_error *error)
{
    char text[AGENT_ERROR_TEXT_MAX + AGENT_ERROR_FILE_MAX + 32];

    fprintf(stderr, "serve-document: %s\n", agent_error_format(error, text, sizeof(text)));
    return 1;
}

int main(int argc, char **argv)
{
    struct agent_api_config config;
    struct agent_yaml *root = NULL;
    struct agent_error error = {0};
    struct agent_api *api = NULL;

    if (argc != 3) {
        fprintf(stderr, "usage: serve-document STATE.json CONFIG.yaml\n");
        return 2;
    }
    struct agent_api_source source = {argv[1], snapshot, command};
    signal(SIGPIPE, SIG_IGN);
    agent_log_open(AGENT_LOG_JSON, AGENT_LOG_INFO, STDERR_FILENO, "", NULL);
    agent_api_config_init(&config);
    if (agent_yaml_load(argv[2], &root, &error) < 0 ||
        agent_api_config_read(agent_yaml_child(root, "api"), &config, &error) < 0 ||
        agent_api_open(&config, &source, now_ns(), &api, &error) < 0) {
        agent_yaml_free(root);
        return fail(&error);
    }
    printf("port %u\n", agent_api_port(api));
    fflush(stdout);
    for (bool open = true; open;) {
        struct pollfd fds[2] = {{agent_api_fd(api), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            break;
        }
        if (fds[0].revents != 0) {
            agent_api_turn(api, now_ns());
        }
        if (fds[1].revents != 0) {
            open = take_input(api);
        }
    }
    agent_api_close(api);
    agent_yaml_free(root);
    return 0;
}
