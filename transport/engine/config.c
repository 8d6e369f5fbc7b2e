/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.c - check a session's configuration and keep a copy of it */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/internal.h"

#define SECRET_MIN 16u
#define SECRET_MAX 1024u
#define TIMEOUT_MS_MIN 500u
#define TIMEOUT_MS_MAX 600000u

uint32_t apn_config_auto_lanes(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    /* one lane per two CPUs, 8 at most: a lane moves 10 Gb/s and more, and guests need the rest */
    return cpus < 4 ? 1 : cpus > 16 ? 8 : (uint32_t)cpus / 2;
}

static int check_range(const char *name, uint64_t value, uint64_t min, uint64_t max, struct apn_error *err)
{
    if (value < min || value > max) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "%s: %llu is outside %llu..%llu", name, (unsigned long long)value,
                             (unsigned long long)min, (unsigned long long)max);
    }
    return 0;
}

static int validate(const struct apn_session_config *c, struct apn_error *err)
{
    const char *mode = c->send_mode ? c->send_mode : "auto";

    if (c->role != APN_ROLE_SOURCE && c->role != APN_ROLE_DEST) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "role: %d is neither source nor destination", (int)c->role);
    }
    if (c->commit != APN_COMMIT_FAST && c->commit != APN_COMMIT_SAFE) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "commit: %d is neither fast nor safe", (int)c->commit);
    }
    if (strcmp(mode, "auto") && strcmp(mode, "copy") && strcmp(mode, "zero-copy")) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "send mode '%s' is none of auto, copy, zero-copy", mode);
    }
    if (c->secret && check_range("secret length", c->secret_bytes, SECRET_MIN, SECRET_MAX, err)) {
        return -EINVAL;
    }
    if (check_range("lanes", c->lanes, 1, APN_LANES_MAX, err) ||
        check_range("timeout (ms)", c->timeout_ms, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX, err) ||
        check_range("lane timeout (ms)", c->lane_timeout_ms, 100, c->timeout_ms, err)) {
        return -EINVAL;
    }
    return 0;
}

static int copy_string(const char **to, const char *from)
{
    *to = NULL;
    if (from) {
        *to = strdup(from);
        return *to ? 0 : -ENOMEM;
    }
    return 0;
}

int apn_config_copy(struct apn_session_config *to, const struct apn_session_config *from, struct apn_error *err)
{
    struct apn_session_config c = *from;

    c.lanes = (c.lanes ? c.lanes : apn_config_auto_lanes()) + (c.postcopy && c.role == APN_ROLE_SOURCE ? 1 : 0);
    c.timeout_ms = c.timeout_ms ? c.timeout_ms : APN_TIMEOUT_MS_DEFAULT;
    if (!c.lane_timeout_ms) {
        c.lane_timeout_ms = c.timeout_ms / 4 < APN_LANE_TIMEOUT_MS_DEFAULT ? c.timeout_ms / 4 : APN_LANE_TIMEOUT_MS_DEFAULT;
    }
    if (validate(&c, err)) {
        return -EINVAL;
    }
    c.secret = NULL;
    c.resume_id = NULL;
    if (copy_string(&c.host, from->host) | copy_string(&c.port, from->port) | copy_string(&c.backend, from->backend) |
        copy_string(&c.filters, from->filters) | copy_string(&c.send_mode, from->send_mode)) {
        goto fail;
    }
    if (from->secret) {
        void *secret = malloc(from->secret_bytes);

        if (!secret) {
            goto fail;
        }
        memcpy(secret, from->secret, from->secret_bytes);
        c.secret = secret;
    }
    if (from->resume_id) {
        c.resume_id = malloc(APN_SESSION_ID_BYTES);
        if (!c.resume_id) {
            goto fail;
        }
        memcpy((void *)c.resume_id, from->resume_id, APN_SESSION_ID_BYTES);
    }
    *to = c;
    return 0;
fail:
    apn_config_done(&c);
    return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "session configuration: out of memory");
}

void apn_config_done(struct apn_session_config *c)
{
    if (c->secret) {
        explicit_bzero((void *)c->secret, c->secret_bytes);
    }
    free((void *)c->secret);
    free((void *)c->host);
    free((void *)c->port);
    free((void *)c->backend);
    free((void *)c->filters);
    free((void *)c->send_mode);
    free((void *)c->resume_id);
    memset(c, 0, sizeof(*c));
}
