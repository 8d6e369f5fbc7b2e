/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_world.c - see engine_world.h */
#include "engine_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define RELEASE_NS (300 * AGENT_NS_PER_MS)

struct engine_world engine_world;

int64_t engine_now_ns(void)
{
    return agent_loop_now_ns(engine_world.loop);
}

static size_t guests(void *opaque)
{
    (void)opaque;
    return GUESTS;
}

static void guest(void *opaque, size_t index, struct agent_dr_guest *out)
{
    struct engine_guest *one = &engine_world.guests[index];

    (void)opaque;
    if (one->arrives_ns != 0 && engine_now_ns() >= one->arrives_ns) {
        one->seen.site = one->goes_to;
        one->seen.moving = false;
        one->seen.armed_site = -1;
        one->seen.dest_sites = UINT64_C(3) & ~(UINT64_C(1) << one->goes_to);
        one->arrives_ns = 0;
    }
    *out = one->seen;
}

static void cell(void *opaque, size_t site, struct agent_dr_cell *out)
{
    (void)opaque;
    *out = engine_world.cells[site];
}

static double measure(void *opaque, size_t site, double *sigma_kw)
{
    double kw = engine_world.other_kw[site] + engine_world.cells[site].set_kw;

    for (size_t index = 0; index < GUESTS; index++) {
        struct agent_dr_guest one;
        guest(opaque, index, &one);
        kw += one.site == (int)site && !one.paused ? one.power_kw * (one.capped ? 0.25 : 1) : 0;
    }
    *sigma_kw = 0.01;
    return kw;
}

static double room_kw(void *opaque, size_t site)
{
    (void)opaque;
    (void)site;
    return 1000;
}

static int refuse(size_t index, struct agent_error *error)
{
    engine_world.commands++;
    return engine_world.guests[index].refuses ? agent_error_set(error, EPERM, "not now") : 0;
}

static int pause_guest(void *opaque, size_t index, bool on, struct agent_error *error)
{
    int status = refuse(index, error);

    (void)opaque;
    engine_world.guests[index].seen.paused =
        status == 0 ? on : engine_world.guests[index].seen.paused;
    return status;
}

static int cap(void *opaque, size_t index, double share, struct agent_error *error)
{
    int status = refuse(index, error);

    (void)opaque;
    engine_world.guests[index].seen.capped =
        status == 0 ? share < 1 : engine_world.guests[index].seen.capped;
    return status;
}

static int depart(size_t index, int site, int64_t after_ns, struct agent_error *error)
{
    int status = refuse(index, error);

    if (status == 0) {
        engine_world.guests[index].arrives_ns = engine_now_ns() + after_ns;
        engine_world.guests[index].goes_to = site;
        engine_world.guests[index].seen.moving = true;
    }
    return status;
}

static int release(void *opaque, size_t index, struct agent_error *error)
{
    (void)opaque;
    return depart(index, engine_world.guests[index].seen.armed_site, RELEASE_NS, error);
}

static int move(void *opaque, size_t index, size_t site, double benefit, struct agent_error *error)
{
    (void)opaque;
    (void)benefit;
    return depart(index, (int)site, (int64_t)(engine_world.guests[index].seen.move_s * 1e9), error);
}

static int arm(void *opaque, size_t index, int site, struct agent_error *error)
{
    int status = refuse(index, error);

    (void)opaque;
    engine_world.guests[index].seen.armed_site =
        status == 0 ? site : engine_world.guests[index].seen.armed_site;
    return status;
}

static int charge(void *opaque, size_t site, double set_kw, struct agent_error *error)
{
    (void)opaque;
    (void)error;
    engine_world.commands++;
    engine_world.cells[site].set_kw = set_kw;
    return 0;
}

static void lean(void *opaque, size_t site, int direction)
{
    (void)opaque;
    engine_world.lean[site] = direction;
}

const struct agent_dr_world engine_ops = {guests, guest,   cell, measure, room_kw, pause_guest,
                                          cap,    release, move, arm,     charge,  lean};

static void tell(void *opaque, const char *type, json_t *body)
{
    (void)opaque;
    (void)type;
    engine_world.told++;
    json_decref(body);
}

static void alert(void *opaque, const char *key, const char *text)
{
    (void)opaque;
    (void)key;
    (void)text;
}

const struct agent_dr_hooks engine_hooks = {tell, alert, NULL};

int engine_setup(void **state)
{
    (void)state;
    memset(&engine_world, 0, sizeof(engine_world));
    engine_world.settings =
        (struct agent_dr_settings){.site_count = 2,
                                   .sites = {{.name = "east"}, {.name = "west"}},
                                   .within_s = 10,
                                   .missing_yen_per_kw_h = 5000,
                                   .tolerance = 0.05,
                                   .settle_s = 5,
                                   .cap_share = 0.25};
    for (int index = 0; index < GUESTS; index++) {
        engine_world.guests[index].seen = (struct agent_dr_guest){.name = "g",
                                                                  .site = index < 4 ? 0 : 1,
                                                                  .armed_site = -1,
                                                                  .arming_site = -1,
                                                                  .wanted_site = -1,
                                                                  .may = AGENT_DR_MAY_PAUSE,
                                                                  .power_kw = 10,
                                                                  .pue = 1,
                                                                  .dest_sites = index < 4 ? 2 : 1,
                                                                  .move_s = 20,
                                                                  .yen_per_hour = 100 + index,
                                                                  .yen_per_move = 5};
    }
    engine_world.other_kw[0] = 50;
    engine_world.other_kw[1] = 50;
    return agent_clock_simulated(&engine_world.clock, START_S, 1, NULL) == 0 &&
                   agent_loop_new(&engine_world.clock, &engine_world.loop, NULL) == 0
               ? 0
               : -1;
}

void engine_start(void)
{
    struct agent_error error = {0};

    if (agent_dr_new(engine_world.loop, &engine_world.settings, &engine_ops, NULL, &engine_world.dr,
                     &error) < 0) {
        fail_msg("%s", error.text);
    }
    agent_dr_hook(engine_world.dr, &engine_hooks, NULL);
    assert_int_equal(agent_dr_start(engine_world.dr, &error), 0);
}

/* Seconds of virtual time. */
void engine_pass(double seconds)
{
    int64_t end_ns = engine_now_ns() + (int64_t)(seconds * 1e9);

    while (engine_now_ns() < end_ns) {
        assert_true(agent_loop_step(engine_world.loop, end_ns - engine_now_ns()) >= 0);
    }
}

int engine_teardown(void **state)
{
    (void)state;
    agent_dr_free(engine_world.dr);
    agent_loop_free(engine_world.loop);
    return 0;
}

json_t *engine_command(int (*fn)(struct agent_dr *, const json_t *, json_t **,
                                 struct agent_error *),
                       json_t *args)
{
    struct agent_error error = {0};
    json_t *reply = NULL;

    if (fn(engine_world.dr, args, &reply, &error) < 0) {
        fail_msg("%s", error.text);
    }
    json_decref(args);
    return reply;
}

double engine_power(size_t site)
{
    double sigma = 0;

    return measure(NULL, site, &sigma);
}

double engine_answer_number(const char *key, size_t index)
{
    json_t *state = agent_dr_state(engine_world.dr);
    double value = json_number_value(
        json_object_get(json_array_get(json_object_get(state, "answers"), index), key));

    json_decref(state);
    return value;
}
