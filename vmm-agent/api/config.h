/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config.h - the `api:` part of the agent's configuration
 * Owner: plain values, copied texts inside.   Thread: main.
 * Time:  none.                                Units:  seconds, bytes, counts, as named. */
#ifndef AGENT_API_CONFIG_H
#define AGENT_API_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "support/error.h"
#include "support/yaml.h"

#define AGENT_API_PATH_MAX     108 /* of the unix socket, with its end */
#define AGENT_API_FILE_MAX     256
#define AGENT_API_NAMES_MAX    16
#define AGENT_API_NAME_SIZE    128
#define AGENT_API_PORT_DEFAULT 8470

/** struct agent_api_limits - what a client may take; every one is reached by a test
 * @connections:   at once, all clients of one listener together
 * @per_address:   at once, one address
 * @streams:       of the connections, event streams
 * @body_bytes:    of a request
 * @request_s:     from a connection or request's first byte to its last
 * @reply_s:       from the answer's first byte to its last
 * @idle_s:        between requests on one connection
 * @rate_per_s:    requests of one address in the long run
 * @rate_burst:    requests of one address at once
 * @failures_per_minute: wrong secrets of one address, then 429 before the secret is looked at */
struct agent_api_limits {
    unsigned connections;
    unsigned per_address;
    unsigned streams;
    unsigned body_bytes;
    unsigned request_s;
    unsigned reply_s;
    unsigned idle_s;
    unsigned rate_per_s;
    unsigned rate_burst;
    unsigned failures_per_minute;
};

/** struct agent_api_config - one agent's listeners, secrets and limits
 * @tcp, @address, @address_size: where to listen; port 0 = any
 * @listen:       the same as text, for messages
 * @control_path: unix socket, "" = none
 * @token_path:   secret of those who may command; made at start if it is missing
 * @watch_token_path: secret of those who may only look, "" = none
 * @cert_path, @key_path: TLS; both or none
 * @client_ca_path: certificates of this authority are a way in beside the token, "" = none
 * @control_names: names in such certificates that may command; others may look */
struct agent_api_config {
    bool tcp;
    struct sockaddr_storage address;
    socklen_t address_size;
    char listen[80];
    char control_path[AGENT_API_PATH_MAX];
    char token_path[AGENT_API_FILE_MAX];
    char watch_token_path[AGENT_API_FILE_MAX];
    char cert_path[AGENT_API_FILE_MAX];
    char key_path[AGENT_API_FILE_MAX];
    char client_ca_path[AGENT_API_FILE_MAX];
    char control_names[AGENT_API_NAMES_MAX][AGENT_API_NAME_SIZE];
    unsigned control_name_count;
    struct agent_api_limits limits;
};

/** agent_api_config_init() - defaults: 127.0.0.1:8470, and files in the current user's places:
 * $RUNTIME_DIRECTORY and $STATE_DIRECTORY (systemd), the system's directories, XDG's. Never /tmp: a
 * path for which there is no place stays empty, and agent_api_config_check() asks for it */
void agent_api_config_init(struct agent_api_config *config);

/** agent_api_config_read() - what `api:` says over what @config holds; a NULL @api changes nothing
 * Return: 0, or -EINVAL with the line. */
int agent_api_config_read(const struct agent_yaml *api, struct agent_api_config *config,
                          struct agent_error *error);

/** agent_api_config_listen() - "127.0.0.1:8470", "[::1]:0", "none"; numbers only, no names
 * Return: 0 or -EINVAL. */
int agent_api_config_listen(const char *text, struct agent_api_config *config,
                            struct agent_error *error);

/** agent_api_config_check() - is it safe to open? Beyond loopback TLS is required, certificates
 * come in pairs, a client authority needs TLS
 * Return: 0 or -EINVAL with words. */
int agent_api_config_check(const struct agent_api_config *config, struct agent_error *error);

/** agent_api_control_path() - where the command line finds the agent when nothing is configured:
 * the first of $RUNTIME_DIRECTORY, /run/vmm-agent (if it is there or we are root, who makes it),
 * $XDG_RUNTIME_DIR
 * Return: 0, or -ENOENT when there is no such place. */
int agent_api_control_path(char *out, size_t size);

#endif
