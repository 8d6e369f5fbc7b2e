/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* listener.c - accepting connections in the loop world: a thread in real time, the driver in
 * virtual time (see loop.h) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/loop/world.h"
#include "support/clock.h"

struct listener *apn_loop_listener_find(struct apn_loop_world *world, const char *port)
{
    struct listener *listener = world->listeners;
    unsigned long number = port ? strtoul(port, NULL, 10) : 0;

    while (listener && listener->port != number) {
        listener = listener->next;
    }
    return listener;
}

uint64_t apn_loop_listener_next(const struct listener *listener)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < listener->pendings && listener->config; i++) {
        const struct pending *pending = listener->pending[i];
        uint64_t arrival = apn_loop_arrival(listener->world, pending->conn, SIDE_LISTENER);

        arrival = arrival < pending->deadline_ns ? arrival : pending->deadline_ns;
        next = arrival < next ? arrival : next;
    }
    return next;
}

static void pending_remove(struct listener *listener, unsigned i)
{
    free(listener->pending[i]);
    listener->pending[i] = listener->pending[--listener->pendings];
}

/* Lock held on entry and exit, released while the engine is asked. */
static void pending_decide(struct listener *listener, struct pending *pending)
{
    struct apn_welcome welcome = {0};
    struct apn_error err = {0};
    int ret;

    pthread_mutex_unlock(&listener->world->lock);
    ret =
        listener->acceptor.authorise(listener->acceptor.opaque, &pending->hs.hello, &welcome, &err);
    pthread_mutex_lock(&listener->world->lock);
    if (ret) {
        apn_handshake_reject(&pending->hs, ret, err.text);
    } else {
        pending->conn->lane = pending->hs.hello.lane;
        apn_handshake_welcome(&pending->hs, &welcome);
    }
    apn_loop_handshake(listener->world, pending->conn, SIDE_LISTENER, &pending->hs);
}

static void pending_attach(struct listener *listener, unsigned i)
{
    struct apn_hello hello = listener->pending[i]->hs.hello;
    struct conn *conn = listener->pending[i]->conn;
    struct apn_link *link;

    pending_remove(listener, i);
    pthread_mutex_unlock(&listener->world->lock);
    link = apn_loop_link_accepted(listener->backend, conn);
    if (link) {
        listener->acceptor.attach(listener->acceptor.opaque, &hello, link);
    }
    pthread_mutex_lock(&listener->world->lock);
    if (!link) {
        apn_loop_conn_close(listener->world, conn, SIDE_LISTENER);
    }
}

static void pending_drop(struct listener *listener, unsigned i, const char *why)
{
    char text[APN_ERROR_TEXT_MAX];

    snprintf(text, sizeof(text), "loop: %s", why);
    apn_loop_conn_close(listener->world, listener->pending[i]->conn, SIDE_LISTENER);
    pending_remove(listener, i);
    pthread_mutex_unlock(&listener->world->lock);
    if (listener->acceptor.stranger) {
        listener->acceptor.stranger(listener->acceptor.opaque, text);
    }
    pthread_mutex_lock(&listener->world->lock);
}

/* Return: true when entry @i has gone (another may have taken its place). */
static bool pending_run(struct listener *listener, unsigned i)
{
    struct pending *pending = listener->pending[i];
    enum apn_handshake_step step =
        apn_loop_handshake(listener->world, pending->conn, SIDE_LISTENER, &pending->hs);

    if (step == APN_HS_STEP_DECIDE) {
        pending_decide(listener, pending);
        step = pending->hs.step;
    }
    if (step == APN_HS_STEP_DONE) {
        pending_attach(listener, i);
    } else if (step == APN_HS_STEP_FAILED) {
        pending_drop(listener, i, pending->hs.error.text);
    } else if (apn_loop_now(listener->world) >= pending->deadline_ns) {
        pending_drop(listener, i, "handshake timed out");
    } else {
        return false;
    }
    return true;
}

static void listener_run_locked(struct listener *listener)
{
    for (unsigned i = 0; i < listener->pendings && !listener->stopping;) {
        i += !pending_run(listener, i);
    }
}

void apn_loop_listener_run(struct listener *listener)
{
    pthread_mutex_lock(&listener->world->lock);
    listener_run_locked(listener);
    pthread_mutex_unlock(&listener->world->lock);
}

static void *listener_main(void *opaque)
{
    struct listener *listener = opaque;
    struct apn_loop_world *world = listener->world;

    pthread_mutex_lock(&world->lock);
    while (!listener->stopping) {
        uint64_t next;

        listener_run_locked(listener);
        next = apn_loop_listener_next(listener);
        if (listener->stopping || next <= apn_loop_now(world)) {
            continue;
        }
        if (next == UINT64_MAX) {
            pthread_cond_wait(&listener->cond, &world->lock);
        } else {
            struct timespec until = {(time_t)(next / APN_NS_PER_S), (long)(next % APN_NS_PER_S)};

            pthread_cond_timedwait(&listener->cond, &world->lock, &until);
        }
    }
    pthread_mutex_unlock(&world->lock);
    return NULL;
}

/* 0 asks for a port of the world's choosing. Return: 0, or -EADDRINUSE. */
static int port_choose(struct apn_loop_world *world, const char *text, uint16_t *port)
{
    unsigned long number = text ? strtoul(text, NULL, 10) : 0;
    char chosen[8];

    if (number) {
        *port = (uint16_t)number;
        return apn_loop_listener_find(world, text) ? -EADDRINUSE : 0;
    }
    do {
        *port = world->next_port++;
        snprintf(chosen, sizeof(chosen), "%u", *port);
    } while (apn_loop_listener_find(world, chosen));
    return 0;
}

int apn_loop_listener_start(struct apn_loop_world *world, struct apn_backend *backend,
                            const struct apn_backend_config *config,
                            const struct apn_acceptor *acceptor, struct listener **out)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    int ret;

    if (!listener) {
        return -ENOMEM;
    }
    *listener = (struct listener){
        .world = world, .backend = backend, .config = config, .acceptor = *acceptor};
    apn_loop_cond_init(&listener->cond);
    pthread_mutex_lock(&world->lock);
    ret = port_choose(world, config->port, &listener->port);
    if (!ret) {
        listener->next = world->listeners;
        world->listeners = listener;
    }
    pthread_mutex_unlock(&world->lock);
    *out = listener;
    if (!ret && !world->config.virtual_time) {
        ret = -pthread_create(&listener->thread, NULL, listener_main, listener);
        listener->has_thread = !ret;
    }
    if (ret) {
        *out = NULL;
        apn_loop_listener_stop(listener);
    }
    return ret;
}

void apn_loop_listener_stop(struct listener *listener)
{
    struct apn_loop_world *world;

    if (!listener) {
        return;
    }
    world = listener->world;
    pthread_mutex_lock(&world->lock);
    listener->stopping = true;
    pthread_cond_signal(&listener->cond);
    pthread_mutex_unlock(&world->lock);
    if (listener->has_thread) {
        pthread_join(listener->thread, NULL);
    }
    pthread_mutex_lock(&world->lock);
    while (listener->pendings) {
        apn_loop_conn_close(world, listener->pending[0]->conn, SIDE_LISTENER);
        pending_remove(listener, 0);
    }
    for (struct listener **at = &world->listeners; *at; at = &(*at)->next) {
        if (*at == listener) {
            *at = listener->next;
            break;
        }
    }
    pthread_mutex_unlock(&world->lock);
    pthread_cond_destroy(&listener->cond);
    free(listener);
}
