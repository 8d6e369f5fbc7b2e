/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session_env.h - time, world and threads of a session, for simulations and tests
 * Owner: caller; must outlive the session.   Thread: with @manual, one thread makes all calls. */
#ifndef APN_ENGINE_SESSION_ENV_H
#define APN_ENGINE_SESSION_ENV_H

#include <apnmig/backend.h>
#include <apnmig/session.h>

/**
 * struct apn_session_env - what a real session takes from the machine
 * @clock:  monotonic time in ns
 * @world:  handed to the backend (loop: struct apn_loop_world *)
 * @manual: no thread is started; calls documented as blocking start and return -EINPROGRESS instead of waiting, and
 *          apn_session_wait_verdict() returns 0 while it is open. The driver calls apn_session_step().
 * @seed:   source of nonces and session ids when @manual (so that a run replays); else the kernel's randomness is used
 */
struct apn_session_env {
    const struct apn_clock *clock;
    void *world;
    bool manual;
    uint64_t seed;
};

/** apn_session_new_env() - as apn_session_new(), with the environment given */
int apn_session_new_env(struct apn_session **out, const struct apn_session_config *config, const struct apn_session_env *env,
                        struct apn_error *err);

/** apn_session_step() - manual only: move every lane once, without waiting
 * Return: absolute ns at which this session wants to be stepped again although nothing arrived (UINT64_MAX: never). */
uint64_t apn_session_step(struct apn_session *s);

#endif
