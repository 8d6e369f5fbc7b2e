/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_rig.c - see engine_rig.h */
#include "engine_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/session_env.h"

#define STATE_BYTES 200000u

uint64_t rig_now(struct rig *rig)
{
    return apn_clock_now(apn_loop_world_clock(rig->world));
}

static void trace(void *opaque, enum apn_trace_level level, const char *text)
{
    (void)level;
    if (getenv("RIG_VERBOSE")) {
        fprintf(stderr, "[%s] %s\n", (const char *)opaque, text);
    }
}

static struct apn_session *session_new(struct rig *rig, enum apn_role role, const char *port)
{
    bool source = role == APN_ROLE_SOURCE;
    const char *secret = source ? rig->options.source_secret : rig->options.dest_secret;
    struct apn_session_config config = {.role = role,
                                        .commit = rig->options.commit,
                                        .host = "loop",
                                        .port = port,
                                        .backend = "loop",
                                        .filters = source ? rig->options.source_filters : rig->options.dest_filters,
                                        .secret = secret,
                                        .secret_bytes = secret ? strlen(secret) : 0,
                                        .lanes = rig->options.lanes,
                                        .on_trace = trace,
                                        .opaque = source ? "source" : "dest"};
    struct apn_session_env env = {.clock = apn_loop_world_clock(rig->world), .world = rig->world, .manual = true, .seed = ++rig->seed};
    struct apn_session *s = NULL;

    assert_int_equal(apn_session_new_env(&s, &config, &env, &rig->error), 0);
    return s;
}

struct apn_session *rig_source_new(struct rig *rig)
{
    char port[8];

    snprintf(port, sizeof(port), "%u", apn_session_port(rig->dest));
    return session_new(rig, APN_ROLE_SOURCE, port);
}

struct rig *rig_new(const struct rig_options *options)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct apn_loop_config world = {.virtual_time = true, .seed = 1};

    rig->options = *options;
    rig->options.lanes = options->lanes ? options->lanes : 2;
    rig->options.ram_bytes = options->ram_bytes ? options->ram_bytes : 8u << 20;
    rig->options.dest_ram_bytes = options->dest_ram_bytes ? options->dest_ram_bytes : rig->options.ram_bytes;
    world.to_listener.delay_ns = world.to_connector.delay_ns = 3 * RIG_MS;
    world.to_listener.rate_bytes_per_s = options->rate_bytes_per_s ? options->rate_bytes_per_s : 312500000;
    rig->world = apn_loop_world_new(&world);
    rig->dest = session_new(rig, APN_ROLE_DEST, "0");
    assert_int_equal(apn_session_listen(rig->dest, &rig->error), 0);
    rig->source = rig_source_new(rig);
    rig->source_ram = aligned_alloc(4096, rig->options.ram_bytes);
    rig->dest_ram = aligned_alloc(4096, rig->options.dest_ram_bytes);
    for (uint64_t i = 0; i < rig->options.ram_bytes; i++) {
        rig->source_ram[i] = (i >> 14) % 3 ? (uint8_t)(i * 2654435761u >> 13) : 0; /* every third 16 KiB is zero */
    }
    memset(rig->dest_ram, 0x5a, rig->options.dest_ram_bytes); /* never assume that it is zero */
    return rig;
}

void rig_kill_dest(struct rig *rig)
{
    apn_loop_world_cut(rig->world, APN_LOOP_CUT_RESET); /* its last words do not travel */
    apn_session_free(rig->dest);
    rig->dest = NULL;
    apn_loop_world_restore(rig->world);
}

void rig_free(struct rig *rig)
{
    apn_session_free(rig->source);
    apn_session_free(rig->dest);
    apn_loop_world_free(rig->world);
    free(rig->source_ram);
    free(rig->dest_ram);
    free(rig);
}

static void add_region(struct apn_session *s, void *ram, uint64_t bytes)
{
    struct apn_region region = {.name = "pc.ram", .host = ram, .length = bytes, .page_size = 4096};
    struct apn_error err = {0};

    assert_int_equal(apn_session_add_region(s, &region, &err), 0);
}

/* the destination's program: block list -> regions -> device state -> ready -> granted -> started */
static void dest_program(struct rig *rig)
{
    static const char list[] = "blocks";
    char sink[4096];
    ssize_t n;

    if (!rig->dest) {
        return;
    }
    switch (rig->dest_step) {
    case 0:
        if (apn_session_read(rig->dest, rig->dest_got, sizeof(list), false) != sizeof(list)) {
            return;
        }
        add_region(rig->dest, rig->dest_ram, rig->options.dest_ram_bytes);
        apn_session_regions_commit(rig->dest, &rig->error);
        rig->dest_step = 1;
        break;
    case 1:
        while ((n = apn_session_read(rig->dest, sink, sizeof(sink), false)) > 0) {
            if (sink[n - 1] == '!') {
                rig->dest_step = 2;
            }
        }
        break;
    case 2:
        if (rig->dest_refuses) {
            apn_session_wont(rig->dest, "device state of 'vga' does not load", 0);
            rig->dest_step = 9;
        } else {
            apn_session_ready(rig->dest);
            rig->dest_step = 3;
        }
        break;
    case 3:
        if (!rig->dest_holds && apn_session_granted(rig->dest) == 1 && apn_session_started(rig->dest, 0) != -EPERM) {
            rig->dest_step = 4;
        }
        break;
    default:
        break;
    }
}

bool rig_run(struct rig *rig, bool (*done)(struct rig *rig), uint64_t ms)
{
    uint64_t end = rig_now(rig) + ms * RIG_MS;

    while (rig_now(rig) < end) {
        uint64_t next = UINT64_MAX, at;

        at = rig->source ? apn_session_step(rig->source) : UINT64_MAX;
        next = at < next ? at : next;
        at = rig->dest ? apn_session_step(rig->dest) : UINT64_MAX;
        next = at < next ? at : next;
        dest_program(rig);
        if (done && done(rig)) {
            return true;
        }
        at = apn_loop_world_next(rig->world);
        next = at < next ? at : next;
        next = next > rig_now(rig) ? next : rig_now(rig) + 1000;
        apn_loop_world_advance(rig->world, next < end ? next : end);
    }
    return false;
}

static bool connected(struct rig *rig)
{
    return apn_session_state(rig->source) != APN_STATE_CONNECTING;
}

static bool set_up(struct rig *rig)
{
    return apn_session_state(rig->source) != APN_STATE_SETUP;
}

bool rig_over(struct rig *rig)
{
    return apn_session_state(rig->source) >= APN_STATE_DONE;
}

bool rig_both_over(struct rig *rig)
{
    return rig_over(rig) && apn_session_state(rig->dest) >= APN_STATE_DONE;
}

void rig_connect(struct rig *rig)
{
    apn_session_connect(rig->source, &rig->error);
    assert_true(rig_run(rig, connected, 1000));
}

void rig_setup(struct rig *rig)
{
    assert_int_equal(apn_session_write(rig->source, "blocks", 7, false), 7);
    add_region(rig->source, rig->source_ram, rig->options.ram_bytes);
    assert_int_equal(apn_session_regions_commit(rig->source, &rig->error), -EINPROGRESS);
    assert_true(rig_run(rig, set_up, 1000));
}

static bool post_more(struct rig *rig)
{
    while (rig->next_post < rig->options.ram_bytes) {
        uint64_t left = rig->options.ram_bytes - rig->next_post;
        struct apn_run run = {0, (uint32_t)(left < APN_GRANULE_SIZE ? left : APN_GRANULE_SIZE), rig->next_post};

        if (apn_session_post(rig->source, &run, 1) != 1) {
            return apn_session_state(rig->source) >= APN_STATE_DONE;
        }
        rig->next_post += run.bytes;
    }
    return true;
}

void rig_send_all(struct rig *rig)
{
    rig->next_post = 0;
    assert_true(rig_run(rig, post_more, 60000));
}

void rig_switchover(struct rig *rig)
{
    static char state[STATE_BYTES];

    assert_int_equal(apn_session_switchover(rig->source, &rig->error), 0);
    assert_int_equal(apn_session_fence(rig->source), 0);
    state[STATE_BYTES - 1] = '!';
    assert_int_equal(apn_session_write(rig->source, state, sizeof(state), false), sizeof(state));
}
