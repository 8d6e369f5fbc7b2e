/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_RUN   "/run/vmm-agent"
#define SYSTEM_STATE "/var/lib/vmm-agent"
#define SOCKET_NAME  "control.sock"
#define TOKEN_NAME   "api.token"

static const char *const keys[] = {"listen", "socket", "token_file", "watch_token_file",
                                   "tls",    "limits", NULL};
static const char *const tls_keys[] = {"certificate", "key", "client_ca", "control_names", NULL};

/* Join @first and @second; 0 or -ENAMETOOLONG. */
static int join(char *out, size_t size, const char *first, const char *second)
{
    int wanted = snprintf(out, size, "%s/%s", first, second);

    return wanted > 0 && (size_t)wanted < size ? 0 : -ENAMETOOLONG;
}

int agent_api_control_path(char *out, size_t size)
{
    const char *places[] = {getenv("RUNTIME_DIRECTORY"),
                            access(SYSTEM_RUN, X_OK) == 0 || geteuid() == 0 ? SYSTEM_RUN : NULL,
                            getenv("XDG_RUNTIME_DIR")};

    for (size_t index = 0; index < sizeof(places) / sizeof(places[0]); index++) {
        if (places[index] == NULL || places[index][0] != '/') {
            continue;
        }
        if (index == 2) {
            return join(out, size, places[index], "vmm-agent.sock");
        }
        return join(out, size, places[index], SOCKET_NAME);
    }
    return -ENOENT;
}

/* $STATE_DIRECTORY, the system's place if it is there, or the user's own. */
static void default_token(char *out, size_t size)
{
    const char *state = getenv("STATE_DIRECTORY");
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char place[AGENT_API_FILE_MAX];
    int status = -ENOENT;

    if (state != NULL && state[0] == '/') {
        status = join(out, size, state, TOKEN_NAME);
    } else if (access(SYSTEM_STATE, W_OK) == 0) {
        status = join(out, size, SYSTEM_STATE, TOKEN_NAME);
    } else if (xdg != NULL && xdg[0] == '/') {
        status = join(out, size, xdg, "vmm-agent.token");
    } else if (home != NULL && home[0] == '/') {
        status = join(place, sizeof(place), home, ".local/state");
        status = status < 0 ? status : join(out, size, place, "vmm-agent.token");
    }
    if (status < 0) {
        out[0] = '\0';
    }
}

void agent_api_config_init(struct agent_api_config *config)
{
    memset(config, 0, sizeof(*config));
    config->limits = (struct agent_api_limits){
        .connections = 128,
        .per_address = 32,
        .streams = 32,
        .body_bytes = 65536,
        .request_s = 10,
        .reply_s = 30,
        .idle_s = 30,
        .rate_per_s = 50,
        .rate_burst = 200,
        .failures_per_minute = 10,
    };
    agent_api_config_listen("127.0.0.1:8470", config, NULL);
    if (agent_api_control_path(config->control_path, sizeof(config->control_path)) < 0) {
        config->control_path[0] = '\0';
    }
    default_token(config->token_path, sizeof(config->token_path));
}

/* "1.2.3.4:80" or "[::1]:80" into host and port texts. */
static int split_listen(const char *text, char *host, size_t size, long *port)
{
    const char *colon = strrchr(text, ':');
    const char *first = text;
    char *end = NULL;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9') {
        return -EINVAL;
    }
    size_t length = (size_t)(colon - text);
    if (text[0] == '[') {
        if (length < 3 || text[length - 1] != ']') {
            return -EINVAL;
        }
        first++;
        length -= 2;
    }
    if (length == 0 || length >= size) {
        return -EINVAL;
    }
    memcpy(host, first, length);
    host[length] = '\0';
    errno = 0;
    *port = strtol(colon + 1, &end, 10);
    return errno == 0 && *end == '\0' && *port <= 65535 ? 0 : -EINVAL;
}

int agent_api_config_listen(const char *text, struct agent_api_config *config,
                            struct agent_error *error)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&config->address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&config->address;
    char host[INET6_ADDRSTRLEN];
    struct in_addr four_address;
    struct in6_addr six_address;
    long port = 0;

    if (strcmp(text, "none") == 0) {
        config->tcp = false;
        snprintf(config->listen, sizeof(config->listen), "none");
        return 0;
    }
    bool bracket = text[0] == '[';
    if (strlen(text) >= sizeof(config->listen) ||
        split_listen(text, host, sizeof(host), &port) < 0 ||
        inet_pton(bracket ? AF_INET6 : AF_INET, host,
                  bracket ? (void *)&six_address : (void *)&four_address) != 1) {
        return agent_error_set(error, EINVAL,
                               "listen: '%.80s' is not ADDRESS:PORT in numbers, such as "
                               "127.0.0.1:%d or [::1]:%d, nor 'none'",
                               text, AGENT_API_PORT_DEFAULT, AGENT_API_PORT_DEFAULT);
    }
    memset(&config->address, 0, sizeof(config->address));
    if (bracket) {
        six->sin6_family = AF_INET6;
        six->sin6_addr = six_address;
        six->sin6_port = htons((uint16_t)port);
        config->address_size = sizeof(*six);
    } else {
        four->sin_family = AF_INET;
        four->sin_addr = four_address;
        four->sin_port = htons((uint16_t)port);
        config->address_size = sizeof(*four);
    }
    config->tcp = true;
    snprintf(config->listen, sizeof(config->listen), "%s", text);
    return 0;
}

/* A path of the map into @out; an absent key changes nothing, "none" empties. */
static int read_path(const struct agent_yaml *map, const char *key, char *out, size_t size,
                     struct agent_error *error)
{
    const char *text = "";
    int status = agent_yaml_text(map, key, out, &text, error);

    if (status < 0 || text == out) {
        return status;
    }
    if (strcmp(text, "none") == 0) {
        out[0] = '\0';
        return 0;
    }
    if (strlen(text) >= size) {
        return agent_yaml_fail(agent_yaml_child(map, key), error,
                               "%s: %zu bytes long, the limit is %zu", key, strlen(text), size - 1);
    }
    snprintf(out, size, "%s", text);
    return 0;
}

static int read_names(const struct agent_yaml *names, struct agent_api_config *config,
                      struct agent_error *error)
{
    if (names == NULL) {
        return 0;
    }
    if (names->kind != AGENT_YAML_LIST || names->count > AGENT_API_NAMES_MAX) {
        return agent_yaml_fail(names, error, "control_names: expected a list of at most %d names",
                               AGENT_API_NAMES_MAX);
    }
    for (const struct agent_yaml *node = names->first; node != NULL; node = node->next) {
        if (node->kind != AGENT_YAML_SCALAR || node->text[0] == '\0' ||
            strlen(node->text) >= AGENT_API_NAME_SIZE) {
            return agent_yaml_fail(node, error, "control_names: a name has 1..%d bytes",
                                   AGENT_API_NAME_SIZE - 1);
        }
        snprintf(config->control_names[config->control_name_count++], AGENT_API_NAME_SIZE, "%s",
                 node->text);
    }
    return 0;
}

static int read_tls(const struct agent_yaml *tls, struct agent_api_config *config,
                    struct agent_error *error)
{
    if (tls == NULL) {
        return 0;
    }
    int status = agent_yaml_only(tls, tls_keys, error);
    status = status < 0 ? status
                        : read_path(tls, "certificate", config->cert_path,
                                    sizeof(config->cert_path), error);
    status = status < 0 ? status
                        : read_path(tls, "key", config->key_path, sizeof(config->key_path), error);
    status = status < 0 ? status
                        : read_path(tls, "client_ca", config->client_ca_path,
                                    sizeof(config->client_ca_path), error);
    return status < 0 ? status : read_names(agent_yaml_child(tls, "control_names"), config, error);
}

static int read_limits(const struct agent_yaml *node, struct agent_api_limits *limits,
                       struct agent_error *error)
{
    static const char *const limit_keys[] = {
        "connections", "per_address", "streams",    "body_bytes",          "request_s", "reply_s",
        "idle_s",      "rate_per_s",  "rate_burst", "failures_per_minute", NULL};
    const struct agent_range ranges[] = {{1, 900},    {1, 900},  {0, 900},  {256, 1 << 20},
                                         {1, 600},    {1, 3600}, {1, 3600}, {1, 100000},
                                         {1, 100000}, {1, 1000}};
    unsigned *const out[] = {&limits->connections, &limits->per_address,
                             &limits->streams,     &limits->body_bytes,
                             &limits->request_s,   &limits->reply_s,
                             &limits->idle_s,      &limits->rate_per_s,
                             &limits->rate_burst,  &limits->failures_per_minute};
    int status = node == NULL ? 0 : agent_yaml_only(node, limit_keys, error);

    for (size_t index = 0; limit_keys[index] != NULL && node != NULL && status == 0; index++) {
        double number = 0;
        status =
            agent_yaml_number(node, limit_keys[index], ranges[index], *out[index], &number, error);
        if (status == 0 && number != (unsigned)number) {
            status = agent_yaml_fail(agent_yaml_child(node, limit_keys[index]), error,
                                     "%s: %g is not a whole number", limit_keys[index], number);
        }
        *out[index] = status == 0 ? (unsigned)number : *out[index];
    }
    return status;
}

int agent_api_config_read(const struct agent_yaml *api, struct agent_api_config *config,
                          struct agent_error *error)
{
    const char *listen = "";

    if (api == NULL) {
        return 0;
    }
    int status = agent_yaml_only(api, keys, error);
    status = status < 0 ? status : agent_yaml_text(api, "listen", "", &listen, error);
    if (status == 0 && listen[0] != '\0' && agent_api_config_listen(listen, config, NULL) < 0) {
        status = agent_yaml_fail(agent_yaml_child(api, "listen"), error,
                                 "listen: '%.80s' is not ADDRESS:PORT in numbers, such as "
                                 "127.0.0.1:%d or [::1]:%d, nor 'none'",
                                 listen, AGENT_API_PORT_DEFAULT, AGENT_API_PORT_DEFAULT);
    }
    status = status < 0 ? status
                        : read_path(api, "socket", config->control_path,
                                    sizeof(config->control_path), error);
    status = status < 0 ? status
                        : read_path(api, "token_file", config->token_path,
                                    sizeof(config->token_path), error);
    status = status < 0 ? status
                        : read_path(api, "watch_token_file", config->watch_token_path,
                                    sizeof(config->watch_token_path), error);
    status = status < 0 ? status : read_tls(agent_yaml_child(api, "tls"), config, error);
    status =
        status < 0 ? status : read_limits(agent_yaml_child(api, "limits"), &config->limits, error);
    return status < 0 ? status : agent_api_config_check(config, error);
}

static bool is_loopback(const struct agent_api_config *config)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)&config->address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&config->address;

    if (config->address.ss_family == AF_INET) {
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

int agent_api_config_check(const struct agent_api_config *config, struct agent_error *error)
{
    bool cert = config->cert_path[0] != '\0';
    bool key = config->key_path[0] != '\0';

    if (cert != key) {
        return agent_error_set(error, EINVAL, "api: tls has a %s but no %s",
                               cert ? "certificate" : "key", cert ? "key" : "certificate");
    }
    if (config->client_ca_path[0] != '\0' && !cert) {
        return agent_error_set(error, EINVAL, "api: tls has client_ca but no certificate and key");
    }
    if (config->control_name_count > 0 && config->client_ca_path[0] == '\0') {
        return agent_error_set(
            error, EINVAL,
            "api: control_names are names in client certificates and need client_ca");
    }
    if (!config->tcp) {
        return 0;
    }
    if (!is_loopback(config) && !cert) {
        return agent_error_set(error, EINVAL,
                               "api: listen %s reaches beyond this machine and tls is not "
                               "configured: secrets and commands would travel in the clear. Give "
                               "tls.certificate and tls.key, or listen on 127.0.0.1 or [::1]",
                               config->listen);
    }
    if (config->token_path[0] == '\0' && config->client_ca_path[0] == '\0') {
        return agent_error_set(error, EINVAL,
                               "api: listen %s has neither token_file nor tls.client_ca, so nobody "
                               "could be let in: give one, or 'listen: none'",
                               config->listen);
    }
    return 0;
}
