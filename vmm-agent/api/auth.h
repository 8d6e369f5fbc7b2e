/* SPDX-License-Identifier: GPL-2.0-or-later */
/* auth.h - who is asking: a secret in a file, a client certificate, or a process of this machine
 * Owner: embedded in struct agent_api.   Thread: the loop; reads small files when they changed.
 * Time:  none (files are looked at on use).   Units: bytes.
 *
 * A secret file holds 32..256 printable bytes on one line, belongs to us or root and is for nobody
 * else's eyes (0600 or less), or it is refused. A new secret takes effect with the next request. */
#ifndef AGENT_API_AUTH_H
#define AGENT_API_AUTH_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "api/config.h"
#include "api/route.h"

#define AGENT_TOKEN_MIN  32
#define AGENT_TOKEN_MAX  256
#define AGENT_CALLER_MAX (AGENT_API_NAME_SIZE + 16)

/** struct agent_token - one secret and the file it was read from; @size 0 = none */
struct agent_token {
    const char *path; /* borrowed from the config */
    struct stat seen;
    int64_t told_s; /* ctime of the wrong file that was complained about */
    char bytes[AGENT_TOKEN_MAX];
    size_t size;
};

struct agent_auth {
    const struct agent_api_config *config;
    struct agent_token control;
    struct agent_token watch;
};

/** agent_auth_open() - read the secrets; a missing token_path is made (32 random bytes, 0600)
 * @config: borrowed until the end. Return: 0, -EPERM (others can read it), -EINVAL (too short), ...
 */
int agent_auth_open(struct agent_auth *auth, const struct agent_api_config *config,
                    struct agent_error *error);

/** agent_auth_done() - wipe the secrets */
void agent_auth_done(struct agent_auth *auth);

/** agent_auth_bearer() - the role of "Authorization: @header", compared in constant time
 * @caller: "token" or "watch-token" for the log; at least AGENT_CALLER_MAX bytes */
enum agent_role agent_auth_bearer(struct agent_auth *auth, const char *header, char *caller);

/** agent_auth_certificate() - the role of a TLS client by its verified certificate
 * @caller: "cert:NAME". Return: AGENT_ROLE_NONE without a certificate or with a bad one. */
enum agent_role agent_auth_certificate(const struct agent_auth *auth, gnutls_session_t session,
                                       char *caller);

/** agent_auth_peer() - the role of the process at the other end of unix socket @fd: root and our
 * own user may command, nobody else may do anything. @caller: "uid:N" */
enum agent_role agent_auth_peer(int fd, char *caller);

#endif
