/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* world.c - the path: time, the two wires, cuts (see loop.h) */
#include "backend/loop/world.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "support/clock.h"

/* Ports of listeners that let the world choose. */
#define FIRST_PORT 40000u

uint64_t apn_loop_now(const struct apn_loop_world *world)
{
    return world->config.virtual_time ? __atomic_load_n(&world->now_ns, __ATOMIC_RELAXED)
                                      : apn_clock_now(&apn_clock_monotonic);
}

static uint64_t clock_now(void *opaque)
{
    return apn_loop_now(opaque);
}

void apn_loop_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* splitmix64 (Steele, Lea, Flood 2014): a replayable stream of nonces. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void apn_loop_nonce(struct apn_loop_world *world, uint8_t nonce[32])
{
    if (!world->config.virtual_time && getrandom(nonce, 32, 0) == 32) {
        return;
    }
    for (unsigned i = 0; i < 32; i += 8) {
        uint64_t word = random_next(&world->random);

        memcpy(nonce + i, &word, 8);
    }
}

struct apn_loop_world *apn_loop_world_new(const struct apn_loop_config *config)
{
    struct apn_loop_world *world = calloc(1, sizeof(*world));

    if (!world) {
        return NULL;
    }
    world->config = *config;
    if (!world->config.link_bytes) {
        world->config.link_bytes =
            config->virtual_time ? APN_LOOP_LINK_BYTES_VIRTUAL : APN_LOOP_LINK_BYTES_REAL;
    }
    world->wire[SIDE_CONNECTOR].path = config->to_listener;
    world->wire[SIDE_LISTENER].path = config->to_connector;
    world->clock = (struct apn_clock){clock_now, world};
    world->random = config->seed;
    world->next_port = FIRST_PORT;
    world->now_ns = APN_NS_PER_S; /* so that 0 is never a real time */
    pthread_mutex_init(&world->lock, NULL);
    return world;
}

void apn_loop_world_free(struct apn_loop_world *world)
{
    if (!world) {
        return;
    }
    assert(!world->backends && !world->conns);
    while (world->listeners) { /* raw ones */
        struct listener *listener = world->listeners;

        world->listeners = listener->next;
        free(listener);
    }
    pthread_mutex_destroy(&world->lock);
    free(world);
}

const struct apn_clock *apn_loop_world_clock(struct apn_loop_world *world)
{
    return &world->clock;
}

/* ---- the wire ------------------------------------------------------------ */

__extension__ typedef unsigned __int128 u128;

static uint64_t rate_time_ns(uint64_t bytes, uint64_t rate_bytes_per_s)
{
    return (uint64_t)((u128)bytes * APN_NS_PER_S / rate_bytes_per_s);
}

/* apn_loop_world_restore() shifts what waited. */
uint64_t apn_loop_wire_now(const struct apn_loop_world *world)
{
    return world->cut ? world->cut_ns : apn_loop_now(world);
}

/* Bytes given to the wire that it has not begun to send, up to the grain of one message. */
static uint64_t wire_backlog(const struct apn_loop_world *world, unsigned side)
{
    const struct wire *wire = &world->wire[side];
    uint64_t now = apn_loop_wire_now(world);

    return wire->busy_until_ns > now ? (uint64_t)((u128)(wire->busy_until_ns - now) *
                                                  wire->path.rate_bytes_per_s / APN_NS_PER_S)
                                     : 0;
}

void apn_loop_world_counters(struct apn_loop_world *world, struct apn_loop_counters *out)
{
    pthread_mutex_lock(&world->lock);
    *out = world->counters;
    for (unsigned side = 0; side < 2; side++) {
        out->backlog[side] = wire_backlog(world, side);
    }
    pthread_mutex_unlock(&world->lock);
}

/* When the last byte of @bytes arrives that are given to the wire now. */
static uint64_t wire_send(struct apn_loop_world *world, unsigned side, uint64_t bytes)
{
    struct wire *wire = &world->wire[side];
    uint64_t now = apn_loop_wire_now(world), late = 0, time;

    world->counters.bytes[side] += bytes;
    if (!wire->path.rate_bytes_per_s) {
        return now + wire->path.delay_ns;
    }
    if (wire->busy_until_ns > now) {
        uint64_t backlog = wire_backlog(world, side);

        if (backlog > world->counters.backlog_max[side]) {
            world->counters.backlog_max[side] = backlog;
        }
        if (wire->path.queue_bytes && backlog > wire->path.queue_bytes) {
            world->counters.overflows[side]++;
            late = wire->path.overflow_ns;
        }
    } else {
        wire->busy_until_ns = now;
    }
    time = rate_time_ns(bytes, wire->path.rate_bytes_per_s);
    wire->busy_until_ns += time;
    world->counters.busy_ns[side] += time;
    return wire->busy_until_ns + wire->path.delay_ns + late;
}

static void wake_end(const struct end *end)
{
    if (end->open && end->cond) {
        pthread_cond_signal(end->cond);
    }
}

void apn_loop_send(struct apn_loop_world *world, struct conn *conn, unsigned side,
                   struct parcel *parcel)
{
    struct pipe *pipe = &conn->pipe[side];

    parcel->next = NULL;
    parcel->arrives_ns = wire_send(world, side, parcel->wire_bytes);
    if (parcel->arrives_ns < pipe->last_arrival_ns) {
        parcel->arrives_ns = pipe->last_arrival_ns; /* FIFO, also behind a late message */
    }
    pipe->last_arrival_ns = parcel->arrives_ns;
    pipe->queued_bytes += parcel->wire_bytes;
    if (pipe->tail) {
        pipe->tail->next = parcel;
    } else {
        pipe->head = parcel;
    }
    pipe->tail = parcel;
    wake_end(&conn->end[!side]);
}

uint64_t apn_loop_arrival(const struct apn_loop_world *world, const struct conn *conn,
                          unsigned side)
{
    const struct parcel *head = conn->pipe[!side].head;
    uint64_t next = UINT64_MAX;

    if (conn->dead_code) {
        next = conn->dead_ns;
    }
    if (head && !conn->stalled && !(world->cut && head->arrives_ns > world->cut_ns) &&
        head->arrives_ns < next) {
        next = head->arrives_ns;
    }
    return next;
}

int apn_loop_conn_dead(const struct apn_loop_world *world, const struct conn *conn)
{
    return conn->dead_code && conn->dead_ns <= apn_loop_now(world) ? conn->dead_code : 0;
}

struct parcel *apn_loop_peek(struct apn_loop_world *world, struct conn *conn, unsigned side)
{
    if (apn_loop_conn_dead(world, conn) ||
        apn_loop_arrival(world, conn, side) > apn_loop_now(world)) {
        return NULL;
    }
    return conn->pipe[!side].head;
}

struct parcel *apn_loop_pop(struct apn_loop_world *world, struct conn *conn, unsigned side)
{
    struct parcel *parcel = apn_loop_peek(world, conn, side);
    struct pipe *pipe = &conn->pipe[!side];

    if (!parcel) {
        return NULL;
    }
    pipe->head = parcel->next;
    if (!pipe->head) {
        pipe->tail = NULL;
    }
    pipe->queued_bytes -= parcel->wire_bytes;
    if (pipe->sender_wants_room && pipe->queued_bytes <= world->config.link_bytes / 2) {
        pipe->sender_wants_room = false;
        conn->end[!side].has_room = true;
        wake_end(&conn->end[!side]);
    }
    return parcel;
}

/* ---- cuts ---------------------------------------------------------------- */

static void conn_kill(struct conn *conn, int code, uint64_t when_ns)
{
    if (!conn->dead_code || when_ns < conn->dead_ns) {
        conn->dead_code = code;
        conn->dead_ns = when_ns;
    }
    wake_end(&conn->end[0]);
    wake_end(&conn->end[1]);
}

void apn_loop_world_cut(struct apn_loop_world *world, enum apn_loop_cut how)
{
    pthread_mutex_lock(&world->lock);
    if (!world->cut) {
        world->cut = true;
        world->cut_ns = apn_loop_now(world);
    }
    for (struct conn *conn = world->conns; conn && how == APN_LOOP_CUT_RESET; conn = conn->next) {
        conn_kill(conn, -ECONNRESET, world->cut_ns);
    }
    pthread_mutex_unlock(&world->lock);
}

void apn_loop_world_restore(struct apn_loop_world *world)
{
    uint64_t shift;

    pthread_mutex_lock(&world->lock);
    if (!world->cut) {
        pthread_mutex_unlock(&world->lock);
        return;
    }
    shift = apn_loop_now(world) - world->cut_ns + world->config.recover_ns;
    for (struct conn *conn = world->conns; conn; conn = conn->next) {
        for (unsigned side = 0; side < 2; side++) {
            struct pipe *pipe = &conn->pipe[side];

            for (struct parcel *parcel = pipe->head; parcel; parcel = parcel->next) {
                parcel->arrives_ns += parcel->arrives_ns > world->cut_ns ? shift : 0;
            }
            pipe->last_arrival_ns += pipe->last_arrival_ns > world->cut_ns ? shift : 0;
            wake_end(&conn->end[!side]);
        }
    }
    for (unsigned side = 0; side < 2; side++) {
        world->wire[side].busy_until_ns +=
            world->wire[side].busy_until_ns > world->cut_ns ? shift : 0;
    }
    world->cut = false;
    for (struct listener *listener = world->listeners; listener; listener = listener->next) {
        pthread_cond_signal(&listener->cond);
    }
    pthread_mutex_unlock(&world->lock);
}

unsigned apn_loop_world_reset_lane(struct apn_loop_world *world, unsigned lane)
{
    unsigned killed = 0;

    pthread_mutex_lock(&world->lock);
    for (struct conn *conn = world->conns; conn; conn = conn->next) {
        if (conn->lane == lane && !conn->dead_code) {
            conn_kill(conn, -ECONNRESET, apn_loop_now(world));
            killed++;
        }
    }
    pthread_mutex_unlock(&world->lock);
    return killed;
}

unsigned apn_loop_world_stall_lane(struct apn_loop_world *world, unsigned lane)
{
    unsigned stalled = 0;

    pthread_mutex_lock(&world->lock);
    for (struct conn *conn = world->conns; conn; conn = conn->next) {
        if (conn->lane == lane && !conn->stalled) {
            conn->stalled = true;
            stalled++;
        }
    }
    pthread_mutex_unlock(&world->lock);
    return stalled;
}

/* ---- virtual time -------------------------------------------------------- */

void apn_loop_world_advance(struct apn_loop_world *world, uint64_t now_ns)
{
    assert(world->config.virtual_time && now_ns >= world->now_ns);
    __atomic_store_n(&world->now_ns, now_ns, __ATOMIC_RELAXED);
    for (struct listener *listener = world->listeners; listener; listener = listener->next) {
        if (listener->config) {
            apn_loop_listener_run(listener);
        }
    }
}

static void earliest(uint64_t *next, uint64_t candidate)
{
    if (candidate < *next) {
        *next = candidate;
    }
}

uint64_t apn_loop_world_next(struct apn_loop_world *world)
{
    uint64_t next = UINT64_MAX;

    pthread_mutex_lock(&world->lock);
    for (struct conn *conn = world->conns; conn; conn = conn->next) {
        for (unsigned side = 0; side < 2; side++) {
            if (conn->end[side].open && !conn->end[side].done) {
                earliest(&next, apn_loop_arrival(world, conn, side));
                earliest(&next,
                         conn->end[side].deadline_ns ? conn->end[side].deadline_ns : UINT64_MAX);
            }
        }
    }
    for (struct listener *listener = world->listeners; listener; listener = listener->next) {
        earliest(&next, apn_loop_listener_next(listener));
    }
    pthread_mutex_unlock(&world->lock);
    return next;
}
