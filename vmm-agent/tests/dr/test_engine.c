/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_engine.c - events answered in a simulated world: down, up, both, ends, refusals, restarts
 * Owner: none.   Thread: one.   Time: virtual, a loop of its own.   Units: kW, s.
 *
 * The world is small and obedient: a paused guest draws nothing at once, a released copy runs
 * elsewhere after 0.3 s, a move takes its time. What is tested is what demand response does with
 * it. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "dr/dr.h"
#include "support/yaml.h"

#define START_S    1775102400.0
#define GUESTS     6
#define RELEASE_NS (300 * AGENT_NS_PER_MS)

struct guest {
    struct agent_dr_guest seen;
    int64_t arrives_ns; /* 0 = does not move */
    int goes_to;
    bool refuses;
};

static struct {
    struct agent_clock clock;
    struct agent_loop *loop;
    struct agent_dr *dr;
    struct agent_dr_settings settings;
    struct guest guests[GUESTS];
    struct agent_dr_cell cells[2];
    double other_kw[2]; /* draw that no guest causes */
    int commands;
    int lean[2];
    unsigned told;
} world;

static int64_t now_ns(void)
{
    return agent_loop_now_ns(world.loop);
}

static size_t guests(void *opaque)
{
    (void)opaque;
    return GUESTS;
}

static void guest(void *opaque, size_t index, struct agent_dr_guest *out)
{
    struct guest *one = &world.guests[index];

    (void)opaque;
    if (one->arrives_ns != 0 && now_ns() >= one->arrives_ns) {
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
    *out = world.cells[site];
}

static double measure(void *opaque, size_t site, double *sigma_kw)
{
    double kw = world.other_kw[site] + world.cells[site].set_kw;

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
    world.commands++;
    return world.guests[index].refuses ? agent_error_set(error, EPERM, "not now") : 0;
}

static int pause_guest(void *opaque, size_t index, bool on, struct agent_error *error)
{
    int status = refuse(index, error);

    (void)opaque;
    world.guests[index].seen.paused = status == 0 ? on : world.guests[index].seen.paused;
    return status;
}

static int cap(void *opaque, size_t index, double share, struct agent_error *error)
{
    int status = refuse(index, error);

    (void)opaque;
    world.guests[index].seen.capped = status == 0 ? share < 1 : world.guests[index].seen.capped;
    return status;
}

static int depart(size_t index, int site, int64_t after_ns, struct agent_error *error)
{
    int status = refuse(index, error);

    if (status == 0) {
        world.guests[index].arrives_ns = now_ns() + after_ns;
        world.guests[index].goes_to = site;
        world.guests[index].seen.moving = true;
    }
    return status;
}

static int release(void *opaque, size_t index, struct agent_error *error)
{
    (void)opaque;
    return depart(index, world.guests[index].seen.armed_site, RELEASE_NS, error);
}

static int move(void *opaque, size_t index, size_t site, double benefit, struct agent_error *error)
{
    (void)opaque;
    (void)benefit;
    return depart(index, (int)site, (int64_t)(world.guests[index].seen.move_s * 1e9), error);
}

static int arm(void *opaque, size_t index, int site, struct agent_error *error)
{
    int status = refuse(index, error);

    (void)opaque;
    world.guests[index].seen.armed_site = status == 0 ? site : world.guests[index].seen.armed_site;
    return status;
}

static int charge(void *opaque, size_t site, double set_kw, struct agent_error *error)
{
    (void)opaque;
    (void)error;
    world.commands++;
    world.cells[site].set_kw = set_kw;
    return 0;
}

static void lean(void *opaque, size_t site, int direction)
{
    (void)opaque;
    world.lean[site] = direction;
}

static const struct agent_dr_world ops = {guests, guest,   cell, measure, room_kw, pause_guest,
                                          cap,    release, move, arm,     charge,  lean};

static void tell(void *opaque, const char *type, json_t *body)
{
    (void)opaque;
    (void)type;
    world.told++;
    json_decref(body);
}

static void alert(void *opaque, const char *key, const char *text)
{
    (void)opaque;
    (void)key;
    (void)text;
}

static const struct agent_dr_hooks hooks = {tell, alert, NULL};

static int setup(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.settings = (struct agent_dr_settings){.site_count = 2,
                                                .sites = {{.name = "east"}, {.name = "west"}},
                                                .within_s = 10,
                                                .missing_yen_per_kw_h = 5000,
                                                .tolerance = 0.05,
                                                .settle_s = 5,
                                                .cap_share = 0.25};
    for (int index = 0; index < GUESTS; index++) {
        world.guests[index].seen = (struct agent_dr_guest){.name = "g",
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
    world.other_kw[0] = 50;
    world.other_kw[1] = 50;
    return agent_clock_simulated(&world.clock, START_S, 1, NULL) == 0 &&
                   agent_loop_new(&world.clock, &world.loop, NULL) == 0
               ? 0
               : -1;
}

static void start(void)
{
    struct agent_error error = {0};

    if (agent_dr_new(world.loop, &world.settings, &ops, NULL, &world.dr, &error) < 0) {
        fail_msg("%s", error.text);
    }
    agent_dr_hook(world.dr, &hooks, NULL);
    assert_int_equal(agent_dr_start(world.dr, &error), 0);
}

/* Seconds of virtual time. */
static void pass(double seconds)
{
    int64_t end_ns = now_ns() + (int64_t)(seconds * 1e9);

    while (now_ns() < end_ns) {
        assert_true(agent_loop_step(world.loop, end_ns - now_ns()) >= 0);
    }
}

static int teardown(void **state)
{
    (void)state;
    agent_dr_free(world.dr);
    agent_loop_free(world.loop);
    return 0;
}

static json_t *command(int (*fn)(struct agent_dr *, const json_t *, json_t **,
                                 struct agent_error *),
                       json_t *args)
{
    struct agent_error error = {0};
    json_t *reply = NULL;

    if (fn(world.dr, args, &reply, &error) < 0) {
        fail_msg("%s", error.text);
    }
    json_decref(args);
    return reply;
}

static double power(size_t site)
{
    double sigma = 0;

    return measure(NULL, site, &sigma);
}

static double answer_number(const char *key, size_t index)
{
    json_t *state = agent_dr_state(world.dr);
    double value = json_number_value(
        json_object_get(json_array_get(json_object_get(state, "answers"), index), key));

    json_decref(state);
    return value;
}

static void down_and_back(void **state)
{
    (void)state;
    start();
    pass(90);
    assert_float_equal(power(0), 90, 1e-6);
    json_t *reply = command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                        15.0, "minutes", 10));
    json_decref(reply);
    pass(2);
    assert_float_equal(power(0), 70, 1e-6); /* two guests: the ones whose work is worth least */
    assert_true(world.guests[0].seen.paused && world.guests[1].seen.paused);
    assert_float_equal(answer_number("target_kw", 0), -15, 1e-6);
    assert_true(answer_number("changed_real_s", 0) <= 1.1);
    assert_float_equal(power(1), 70, 1e-6); /* nobody touched the other site */
    assert_int_equal(world.lean[0], -1);    /* and nobody else may bring anything there */
    assert_int_equal(world.lean[1], 0);
    pass(8 * 60);
    assert_float_equal(power(0), 70, 1e-6);
    int commands = world.commands;
    pass(60);
    assert_int_equal(world.commands, commands); /* and no flapping meanwhile */
    pass(62);
    assert_float_equal(power(0), 90, 1e-6);
    assert_false(world.guests[0].seen.paused);
    assert_int_equal(world.lean[0], 0);
    json_t *document = agent_dr_state(world.dr);
    const json_t *delivered = json_array_get(json_object_get(document, "delivered"), 0);
    assert_float_equal(json_number_value(json_object_get(delivered, "change_kw")), -20, 0.2);
    assert_string_equal(json_string_value(json_object_get(delivered, "method")), "before");
    json_decref(document);
}

static void battery_then_guests(void **state)
{
    (void)state;
    world.cells[0] = (struct agent_dr_cell){8, 8, 20, 40, 3, 0};
    start();
    pass(60);
    json_decref(command(agent_dr_trigger,
                        json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw", 8.0, "minutes", 30)));
    pass(2);
    assert_float_equal(world.cells[0].set_kw, -8, 1e-6);
    assert_false(world.guests[0].seen.paused);
    /* a battery with an hour's energy left gives only what lasts to the end */
    world.cells[0].held_kwh = 2;
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    12.0, "minutes", 60)));
    pass(2);
    assert_float_equal(power(0), 78, 0.1);
    assert_true(world.guests[0].seen.paused);
    assert_float_equal(world.cells[0].set_kw, -2, 0.05);
}

static void up_by_battery_and_arrival(void **state)
{
    (void)state;
    world.cells[1] = (struct agent_dr_cell){5, 5, 10, 40, 3, 0};
    world.guests[0].seen.may |= AGENT_DR_MAY_MOVE;
    world.guests[0].seen.armed_site = 1;
    start();
    pass(60);
    json_decref(command(agent_dr_trigger,
                        json_pack("{s:s,s:f,s:i}", "site", "west", "up_kw", 14.0, "minutes", 30)));
    pass(3);
    assert_float_equal(power(1), 70 + 14, 1e-6);
    assert_float_equal(power(0), 80, 1e-6);
    assert_int_equal(world.guests[0].seen.site, 1);
    pass(31 * 60);
    assert_true(world.cells[1].set_kw == 0);
    assert_int_equal(world.guests[0].seen.site, 1); /* the planner decides when it goes back */
}

static void five_minutes_relieve_ten_seconds(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    20.0, "minutes", 60)));
    pass(2);
    assert_float_equal(power(0), 70, 1e-6); /* two are paused at once */
    assert_true(world.guests[0].seen.paused);
    pass(60);
    assert_float_equal(power(0), 70, 1e-6); /* two others have moved, the paused ones run again */
    assert_float_equal(power(1), 90, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(world.guests[index].seen.paused);
    }
}

static void paused_ones_move_when_no_others_can(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    40.0, "minutes", 60)));
    pass(2);
    assert_float_equal(power(0), 50, 1e-6);
    for (int second = 0; second < 120; second++) {
        pass(1);
        assert_true(power(0) <= 50 + 1e-6); /* what was asked for holds all the while */
    }
    assert_float_equal(power(1), 110, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(world.guests[index].seen.paused);
        assert_int_equal(world.guests[index].seen.site, 1);
    }
}

static void slow_events_only_move(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                    10.0, "minutes", 60, "within_s", 300)));
    pass(5);
    assert_float_equal(power(0), 90, 1e-6);
    pass(30);
    assert_float_equal(power(0), 80, 1e-6);
    assert_float_equal(power(1), 80, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(world.guests[index].seen.paused);
    }
}

static void slow_events_that_run_late_pause(void **state)
{
    (void)state;
    start(); /* nobody may move */
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                    10.0, "minutes", 60, "within_s", 300)));
    pass(200);
    assert_float_equal(power(0), 90, 1e-6);
    pass(90);
    assert_float_equal(power(0), 80, 1e-6);
}

static void slow_events_too_short_for_a_move_pause(void **state)
{
    (void)state;
    for (int index = 0; index < GUESTS; index++) {
        world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
        world.guests[index].seen.move_s = 70;
    }
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                    10.0, "minutes", 2, "within_s", 300)));
    pass(40);
    assert_float_equal(power(0), 90, 1e-6);
    pass(10);
    assert_float_equal(power(0), 80, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(world.guests[index].seen.moving);
    }
    assert_float_equal(answer_number("missing_kw", 0), 0, 1e-6);
    pass(80);
    assert_float_equal(power(0), 90, 1e-6);
}

static void all_sites_at_once(void **state)
{
    (void)state;
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:[s,s],s:f,s:i}", "sites", "east", "west",
                                                    "down_kw", 45.0, "minutes", 30)));
    pass(2);
    assert_float_equal(power(0) + power(1), 160 - 50, 1e-6);
}

static void limit_and_setpoint_and_level(void **state)
{
    (void)state;
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "limit_kw",
                                                    75.0, "minutes", 30)));
    pass(2);
    assert_float_equal(power(0), 70, 1e-6);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "west", "setpoint_kw",
                                                    60.0, "minutes", 30)));
    pass(2);
    assert_float_equal(power(1), 60, 1e-6);
    json_decref(command(agent_dr_trigger,
                        json_pack("{s:s,s:f,s:i}", "site", "east", "level", 1.0, "minutes", 5)));
    pass(2);
    assert_float_equal(power(0), 50, 1e-6);
    pass(5 * 60);
    assert_float_equal(power(0), 70, 1e-6); /* the limit still holds */
}

static void what_refuses_is_passed_over(void **state)
{
    (void)state;
    world.guests[0].refuses = true;
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    20.0, "minutes", 30)));
    pass(2);
    assert_float_equal(power(0), 70, 1e-6);
    assert_false(world.guests[0].seen.paused);
    assert_true(world.guests[1].seen.paused && world.guests[2].seen.paused);
}

static void too_little_calls_for_more(void **state)
{
    (void)state;
    start();
    pass(60);
    world.guests[0].seen.power_kw = 10;
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    10.0, "minutes", 30)));
    world.other_kw[0] += 8; /* somebody else begins to draw at the same moment */
    pass(30);
    assert_float_equal(power(0), 90 + 8 - 20, 1e-6);
    assert_true(answer_number("corrections", 0) >= 1);
}

static void cancelled_and_opted_out(void **state)
{
    (void)state;
    start();
    pass(60);
    json_t *reply = command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                        10.0, "minutes", 30));
    const char *id = json_string_value(json_object_get(reply, "event"));
    pass(2);
    assert_float_equal(power(0), 80, 1e-6);
    json_decref(command(agent_dr_opt_out, json_pack("{s:s,s:b}", "event", id, "out", 1)));
    pass(2);
    assert_float_equal(power(0), 90, 1e-6);
    json_decref(command(agent_dr_opt_out, json_pack("{s:s,s:b}", "event", id, "out", 0)));
    pass(2);
    assert_float_equal(power(0), 80, 1e-6);
    json_decref(command(agent_dr_cancel, json_pack("{s:s}", "event", id)));
    pass(2);
    assert_float_equal(power(0), 90, 1e-6);
    json_decref(reply);
}

static void begins_later(void **state)
{
    (void)state;
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                    10.0, "minutes", 1, "in_s", 120)));
    pass(119.5);
    assert_float_equal(power(0), 90, 1e-6);
    pass(0.6);
    assert_float_equal(power(0), 80, 1e-6); /* at its begin, not at the next tick */
    pass(60);
    assert_float_equal(power(0), 90, 1e-6);
}

static void copies_are_held_beforehand(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    world.guests[2].seen.wanted_site = 1; /* the plan wants it there anyway */
    world.settings.reserve_count = 1;
    world.settings.reserves[0] = (struct agent_dr_reserve){0, 15, 1};
    start();
    pass(60);
    int armed = 0;
    for (int index = 0; index < GUESTS; index++) {
        armed += world.guests[index].seen.armed_site == 1 ? 1 : 0;
    }
    assert_int_equal(armed, 2);
    assert_int_equal(world.guests[2].seen.armed_site, 1);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    15.0, "minutes", 30)));
    pass(2);
    assert_float_equal(power(0), 70, 1e-6);
    assert_float_equal(power(1), 90, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(world.guests[index].seen.paused);
    }
}

static void no_copies_are_made_while_answering(void **state)
{
    (void)state;
    world.guests[0].seen.may |= AGENT_DR_MAY_MOVE;
    world.settings.reserve_count = 1;
    world.settings.reserves[0] = (struct agent_dr_reserve){0, 5, 1};
    start();
    pass(10);
    assert_int_equal(world.guests[0].seen.armed_site, 1);
    json_decref(command(agent_dr_trigger,
                        json_pack("{s:s,s:f,s:i}", "site", "west", "down_kw", 10.0, "minutes", 3)));
    world.guests[0].seen.armed_site = -1; /* the copy is lost */
    pass(170);
    assert_int_equal(world.guests[0].seen.armed_site, -1);
    pass(20);
    assert_int_equal(world.guests[0].seen.armed_site, 1); /* afterwards, and not before a minute */
    world.guests[0].seen.armed_site = -1;
    pass(40);
    assert_int_equal(world.guests[0].seen.armed_site, -1);
    pass(30);
    assert_int_equal(world.guests[0].seen.armed_site, 1);
}

static void a_release_that_fails_is_made_up_for(void **state)
{
    (void)state;
    world.guests[0].seen.may |= AGENT_DR_MAY_MOVE;
    world.guests[0].seen.armed_site = 1;
    start();
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    10.0, "minutes", 30)));
    world.guests[0].arrives_ns = 0; /* the other end has died */
    world.guests[0].seen.moving = false;
    world.guests[0].seen.armed_site = -1;
    pass(6);
    assert_float_equal(power(0), 80, 1e-6);
    assert_int_equal(world.guests[0].seen.site, 0);
}

static void paused_by_an_earlier_run(void **state)
{
    (void)state;
    world.guests[3].seen.paused = true; /* its event is over or unknown by now */
    start();
    pass(3);
    assert_false(world.guests[3].seen.paused);
}

static json_t *kept;

static void keep(void *opaque, const json_t *events)
{
    (void)opaque;
    json_decref(kept);
    kept = json_deep_copy(events);
}

/* SIGKILL in the middle of an event made here: the next run goes on with the same guests, and does
 * not take their silence for a low draw that has to fall further. */
static void events_made_here_outlive_the_agent(void **state)
{
    (void)state;
    static const struct agent_dr_hooks keeping = {tell, alert, keep};
    start();
    agent_dr_hook(world.dr, &keeping, NULL);
    pass(60);
    json_decref(command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "down_kw",
                                                    20.0, "minutes", 10)));
    pass(30);
    assert_float_equal(power(0), 70, 1e-6);
    agent_dr_free(world.dr); /* nothing is undone by it */
    assert_float_equal(power(0), 70, 1e-6);
    assert_int_equal(agent_dr_new(world.loop, &world.settings, &ops, NULL, &world.dr, NULL), 0);
    agent_dr_hook(world.dr, &keeping, NULL);
    agent_dr_wait(world.dr);
    assert_int_equal(agent_dr_start(world.dr, NULL), 0);
    pass(2);
    assert_int_equal(agent_dr_restore(world.dr, kept), 1);
    agent_dr_go(world.dr);
    for (int second = 0; second < 60; second++) {
        pass(1);
        assert_float_equal(power(0), 70, 1e-6);
    }
    pass(540);
    assert_float_equal(power(0), 90, 1e-6);
    json_t *odd = json_pack("[{s:s},i,{}]", "id", "x", 7);
    assert_int_equal(agent_dr_restore(world.dr, odd), 0);
    json_decref(odd);
    json_decref(kept);
    kept = NULL;
}

static void follows_the_frequency(void **state)
{
    (void)state;
    char folder[] = "/tmp/dr-engine-XXXXXX";
    char meter[128];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/hz", folder);
    snprintf(meter, sizeof(meter), "unix:%s", address.sun_path);
    world.settings.frequency = (struct agent_dr_droop_settings){.meter = meter,
                                                                .nominal_hz = 50,
                                                                .deadband_hz = 0.01,
                                                                .full_hz = 0.2,
                                                                .down_kw = 30,
                                                                .hold_s = 30,
                                                                .stale_s = 5};
    start();
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    for (int second = 0; second < 120; second++) {
        const char *hz = second < 60 || second > 70 ? "50.002" : "49.75";
        assert_true(
            sendto(sender, hz, strlen(hz), 0, (struct sockaddr *)&address, sizeof(address)) > 0);
        pass(1);
        if (second == 60) { /* two sites at 80 and 90 less 30 in sum */
            assert_float_equal(power(0) + power(1), 160 - 30, 1e-6);
        }
    }
    assert_float_equal(power(0) + power(1), 160, 1e-6);
    assert_true(answer_number("changed_real_s", 0) <= 1.1);
    close(sender);
    agent_dr_free(world.dr);
    world.dr = NULL;
    rmdir(folder);
}

/* What a person may type. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *args;
        const char *words;
    } bad[] = {
        {"[]", "expected an object"},
        {"{}", "expected one"},
        {"{\"down_kw\":5,\"up_kw\":5}", "2 of down_kw"},
        {"{\"down_kw\":-5}", "-5 is outside"},
        {"{\"down_kw\":\"5\"}", "expected a number"},
        {"{\"down_kw\":5,\"site\":\"mars\"}", "no site 'mars'"},
        {"{\"down_kw\":5,\"site\":7}", "no site"},
        {"{\"down_kw\":5,\"sites\":\"east\"}", "expected a list"},
        {"{\"down_kw\":5,\"minutes\":0}", "minutes"},
        {"{\"down_kw\":5,\"in_s\":-1}", "in_s"},
        {"{\"down_kw\":5,\"for\":3}", "for"},
        {"{\"level\":2}", "level"},
    };
    start();
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        struct agent_error error = {0};
        json_t *reply = NULL;
        json_t *args = json_loads(bad[index].args, 0, NULL);
        int status = agent_dr_trigger(world.dr, args, &reply, &error);
        if (status >= 0 || strstr(error.text, bad[index].words) == NULL) {
            fail_msg("%s: %d '%s'", bad[index].args, status, error.text);
        }
        json_decref(args);
    }
    struct agent_error error = {0};
    json_t *reply = NULL;
    json_t *args = json_pack("{s:s}", "event", "nobody");
    assert_int_equal(agent_dr_cancel(world.dr, args, &reply, &error), -ENOENT);
    json_decref(args);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(down_and_back),
        CASE(battery_then_guests),
        CASE(up_by_battery_and_arrival),
        CASE(five_minutes_relieve_ten_seconds),
        CASE(paused_ones_move_when_no_others_can),
        CASE(slow_events_only_move),
        CASE(slow_events_that_run_late_pause),
        CASE(slow_events_too_short_for_a_move_pause),
        CASE(all_sites_at_once),
        CASE(limit_and_setpoint_and_level),
        CASE(what_refuses_is_passed_over),
        CASE(too_little_calls_for_more),
        CASE(cancelled_and_opted_out),
        CASE(begins_later),
        CASE(copies_are_held_beforehand),
        CASE(no_copies_are_made_while_answering),
        CASE(a_release_that_fails_is_made_up_for),
        CASE(paused_by_an_earlier_run),
        CASE(events_made_here_outlive_the_agent),
        CASE(follows_the_frequency),
        CASE(nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
