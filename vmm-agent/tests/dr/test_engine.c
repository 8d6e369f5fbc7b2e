/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_engine.c - events answered in a simulated world: down, up, both, ends, refusals, restarts
 * Owner: none.   Thread: one.   Time: virtual, a loop of its own.   Units: kW, s. */
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
#include "engine_world.h"
#include "support/yaml.h"

static void down_and_back(void **state)
{
    (void)state;
    engine_start();
    engine_pass(90);
    assert_float_equal(engine_power(0), 90, 1e-6);
    json_t *reply = engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                               "down_kw", 15.0, "minutes", 10));
    json_decref(reply);
    engine_pass(2);
    assert_float_equal(engine_power(0), 70,
                       1e-6); /* two guests: the ones whose work is worth least */
    assert_true(engine_world.guests[0].seen.paused && engine_world.guests[1].seen.paused);
    assert_float_equal(engine_answer_number("target_kw", 0), -15, 1e-6);
    assert_true(engine_answer_number("changed_real_s", 0) <= 1.1);
    assert_float_equal(engine_power(1), 70, 1e-6); /* nobody touched the other site */
    assert_int_equal(engine_world.lean[0], -1);    /* and nobody else may bring anything there */
    assert_int_equal(engine_world.lean[1], 0);
    engine_pass(8 * 60);
    assert_float_equal(engine_power(0), 70, 1e-6);
    int commands = engine_world.commands;
    engine_pass(60);
    assert_int_equal(engine_world.commands, commands); /* and no flapping meanwhile */
    engine_pass(62);
    assert_float_equal(engine_power(0), 90, 1e-6);
    assert_false(engine_world.guests[0].seen.paused);
    assert_int_equal(engine_world.lean[0], 0);
    json_t *document = agent_dr_state(engine_world.dr);
    const json_t *delivered = json_array_get(json_object_get(document, "delivered"), 0);
    assert_float_equal(json_number_value(json_object_get(delivered, "change_kw")), -20, 0.2);
    assert_string_equal(json_string_value(json_object_get(delivered, "method")), "before");
    json_decref(document);
}

static void battery_then_guests(void **state)
{
    (void)state;
    engine_world.cells[0] = (struct agent_dr_cell){8, 8, 20, 40, 3, 0};
    engine_start();
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 8.0, "minutes", 30)));
    engine_pass(2);
    assert_float_equal(engine_world.cells[0].set_kw, -8, 1e-6);
    assert_false(engine_world.guests[0].seen.paused);
    /* a battery with an hour's energy left gives only what lasts to the end */
    engine_world.cells[0].held_kwh = 2;
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 12.0, "minutes", 60)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 78, 0.1);
    assert_true(engine_world.guests[0].seen.paused);
    assert_float_equal(engine_world.cells[0].set_kw, -2, 0.05);
}

static void up_by_battery_and_arrival(void **state)
{
    (void)state;
    engine_world.cells[1] = (struct agent_dr_cell){5, 5, 10, 40, 3, 0};
    engine_world.guests[0].seen.may |= AGENT_DR_MAY_MOVE;
    engine_world.guests[0].seen.armed_site = 1;
    engine_start();
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "west", "up_kw",
                                                           14.0, "minutes", 30)));
    engine_pass(3);
    assert_float_equal(engine_power(1), 70 + 14, 1e-6);
    assert_float_equal(engine_power(0), 80, 1e-6);
    assert_int_equal(engine_world.guests[0].seen.site, 1);
    engine_pass(31 * 60);
    assert_true(engine_world.cells[1].set_kw == 0);
    assert_int_equal(engine_world.guests[0].seen.site,
                     1); /* the planner decides when it goes back */
}

static void five_minutes_relieve_ten_seconds(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        engine_world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    engine_start();
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 20.0, "minutes", 60)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 70, 1e-6); /* two are paused at once */
    assert_true(engine_world.guests[0].seen.paused);
    engine_pass(60);
    assert_float_equal(engine_power(0), 70,
                       1e-6); /* two others have moved, the paused ones run again */
    assert_float_equal(engine_power(1), 90, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(engine_world.guests[index].seen.paused);
    }
}

static void paused_ones_move_when_no_others_can(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        engine_world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    engine_start();
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 40.0, "minutes", 60)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 50, 1e-6);
    for (int second = 0; second < 120; second++) {
        engine_pass(1);
        assert_true(engine_power(0) <= 50 + 1e-6); /* what was asked for holds all the while */
    }
    assert_float_equal(engine_power(1), 110, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(engine_world.guests[index].seen.paused);
        assert_int_equal(engine_world.guests[index].seen.site, 1);
    }
}

static void slow_events_only_move(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        engine_world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    engine_start();
    engine_pass(60);
    json_decref(
        engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                   10.0, "minutes", 60, "within_s", 300)));
    engine_pass(5);
    assert_float_equal(engine_power(0), 90, 1e-6);
    engine_pass(30);
    assert_float_equal(engine_power(0), 80, 1e-6);
    assert_float_equal(engine_power(1), 80, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(engine_world.guests[index].seen.paused);
    }
}

static void slow_events_that_run_late_pause(void **state)
{
    (void)state;
    engine_start(); /* nobody may move */
    engine_pass(60);
    json_decref(
        engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                   10.0, "minutes", 60, "within_s", 300)));
    engine_pass(200);
    assert_float_equal(engine_power(0), 90, 1e-6);
    engine_pass(90);
    assert_float_equal(engine_power(0), 80, 1e-6);
}

static void slow_events_too_short_for_a_move_pause(void **state)
{
    (void)state;
    for (int index = 0; index < GUESTS; index++) {
        engine_world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
        engine_world.guests[index].seen.move_s = 70;
    }
    engine_start();
    engine_pass(60);
    json_decref(
        engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                   10.0, "minutes", 2, "within_s", 300)));
    engine_pass(40);
    assert_float_equal(engine_power(0), 90, 1e-6);
    engine_pass(10);
    assert_float_equal(engine_power(0), 80, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(engine_world.guests[index].seen.moving);
    }
    assert_float_equal(engine_answer_number("missing_kw", 0), 0, 1e-6);
    engine_pass(80);
    assert_float_equal(engine_power(0), 90, 1e-6);
}

static void all_sites_at_once(void **state)
{
    (void)state;
    engine_start();
    engine_pass(60);
    json_decref(
        engine_command(agent_dr_trigger, json_pack("{s:[s,s],s:f,s:i}", "sites", "east", "west",
                                                   "down_kw", 45.0, "minutes", 30)));
    engine_pass(2);
    assert_float_equal(engine_power(0) + engine_power(1), 160 - 50, 1e-6);
}

static void limit_and_setpoint_and_level(void **state)
{
    (void)state;
    engine_start();
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "limit_kw", 75.0, "minutes", 30)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 70, 1e-6);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "west",
                                                           "setpoint_kw", 60.0, "minutes", 30)));
    engine_pass(2);
    assert_float_equal(engine_power(1), 60, 1e-6);
    json_decref(engine_command(
        agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east", "level", 1.0, "minutes", 5)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 50, 1e-6);
    engine_pass(5 * 60);
    assert_float_equal(engine_power(0), 70, 1e-6); /* the limit still holds */
}

static void what_refuses_is_passed_over(void **state)
{
    (void)state;
    engine_world.guests[0].refuses = true;
    engine_start();
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 20.0, "minutes", 30)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 70, 1e-6);
    assert_false(engine_world.guests[0].seen.paused);
    assert_true(engine_world.guests[1].seen.paused && engine_world.guests[2].seen.paused);
}

static void too_little_calls_for_more(void **state)
{
    (void)state;
    engine_start();
    engine_pass(60);
    engine_world.guests[0].seen.power_kw = 10;
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 10.0, "minutes", 30)));
    engine_world.other_kw[0] += 8; /* somebody else begins to draw at the same moment */
    engine_pass(30);
    assert_float_equal(engine_power(0), 90 + 8 - 20, 1e-6);
    assert_true(engine_answer_number("corrections", 0) >= 1);
}

static void cancelled_and_opted_out(void **state)
{
    (void)state;
    engine_start();
    engine_pass(60);
    json_t *reply = engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                               "down_kw", 10.0, "minutes", 30));
    const char *id = json_string_value(json_object_get(reply, "event"));
    engine_pass(2);
    assert_float_equal(engine_power(0), 80, 1e-6);
    json_decref(engine_command(agent_dr_opt_out, json_pack("{s:s,s:b}", "event", id, "out", 1)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 90, 1e-6);
    json_decref(engine_command(agent_dr_opt_out, json_pack("{s:s,s:b}", "event", id, "out", 0)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 80, 1e-6);
    json_decref(engine_command(agent_dr_cancel, json_pack("{s:s}", "event", id)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 90, 1e-6);
    json_decref(reply);
}

static void begins_later(void **state)
{
    (void)state;
    engine_start();
    engine_pass(60);
    json_decref(
        engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i,s:i}", "site", "east", "down_kw",
                                                   10.0, "minutes", 1, "in_s", 120)));
    engine_pass(119.5);
    assert_float_equal(engine_power(0), 90, 1e-6);
    engine_pass(0.6);
    assert_float_equal(engine_power(0), 80, 1e-6); /* at its begin, not at the next tick */
    engine_pass(60);
    assert_float_equal(engine_power(0), 90, 1e-6);
}

static void copies_are_held_beforehand(void **state)
{
    (void)state;
    for (int index = 0; index < 4; index++) {
        engine_world.guests[index].seen.may |= AGENT_DR_MAY_MOVE;
    }
    engine_world.guests[2].seen.wanted_site = 1; /* the plan wants it there anyway */
    engine_world.settings.reserve_count = 1;
    engine_world.settings.reserves[0] = (struct agent_dr_reserve){0, 15, 1};
    engine_start();
    engine_pass(60);
    int armed = 0;
    for (int index = 0; index < GUESTS; index++) {
        armed += engine_world.guests[index].seen.armed_site == 1 ? 1 : 0;
    }
    assert_int_equal(armed, 2);
    assert_int_equal(engine_world.guests[2].seen.armed_site, 1);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 15.0, "minutes", 30)));
    engine_pass(2);
    assert_float_equal(engine_power(0), 70, 1e-6);
    assert_float_equal(engine_power(1), 90, 1e-6);
    for (int index = 0; index < GUESTS; index++) {
        assert_false(engine_world.guests[index].seen.paused);
    }
}

static void no_copies_are_made_while_answering(void **state)
{
    (void)state;
    engine_world.guests[0].seen.may |= AGENT_DR_MAY_MOVE;
    engine_world.settings.reserve_count = 1;
    engine_world.settings.reserves[0] = (struct agent_dr_reserve){0, 5, 1};
    engine_start();
    engine_pass(10);
    assert_int_equal(engine_world.guests[0].seen.armed_site, 1);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "west",
                                                           "down_kw", 10.0, "minutes", 3)));
    engine_world.guests[0].seen.armed_site = -1; /* the copy is lost */
    engine_pass(170);
    assert_int_equal(engine_world.guests[0].seen.armed_site, -1);
    engine_pass(20);
    assert_int_equal(engine_world.guests[0].seen.armed_site,
                     1); /* afterwards, and not before a minute */
    engine_world.guests[0].seen.armed_site = -1;
    engine_pass(40);
    assert_int_equal(engine_world.guests[0].seen.armed_site, -1);
    engine_pass(30);
    assert_int_equal(engine_world.guests[0].seen.armed_site, 1);
}

static void a_release_that_fails_is_made_up_for(void **state)
{
    (void)state;
    engine_world.guests[0].seen.may |= AGENT_DR_MAY_MOVE;
    engine_world.guests[0].seen.armed_site = 1;
    engine_start();
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 10.0, "minutes", 30)));
    engine_world.guests[0].arrives_ns = 0; /* the other end has died */
    engine_world.guests[0].seen.moving = false;
    engine_world.guests[0].seen.armed_site = -1;
    engine_pass(6);
    assert_float_equal(engine_power(0), 80, 1e-6);
    assert_int_equal(engine_world.guests[0].seen.site, 0);
}

static void paused_by_an_earlier_run(void **state)
{
    (void)state;
    engine_world.guests[3].seen.paused = true; /* its event is over or unknown by now */
    engine_start();
    engine_pass(3);
    assert_false(engine_world.guests[3].seen.paused);
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
    struct agent_dr_hooks keeping = engine_hooks;
    keeping.keep = keep;
    engine_start();
    agent_dr_hook(engine_world.dr, &keeping, NULL);
    engine_pass(60);
    json_decref(engine_command(agent_dr_trigger, json_pack("{s:s,s:f,s:i}", "site", "east",
                                                           "down_kw", 20.0, "minutes", 10)));
    engine_pass(30);
    assert_float_equal(engine_power(0), 70, 1e-6);
    agent_dr_free(engine_world.dr); /* nothing is undone by it */
    assert_float_equal(engine_power(0), 70, 1e-6);
    assert_int_equal(agent_dr_new(engine_world.loop, &engine_world.settings, &engine_ops, NULL,
                                  &engine_world.dr, NULL),
                     0);
    agent_dr_hook(engine_world.dr, &keeping, NULL);
    agent_dr_wait(engine_world.dr);
    assert_int_equal(agent_dr_start(engine_world.dr, NULL), 0);
    engine_pass(2);
    assert_int_equal(agent_dr_restore(engine_world.dr, kept), 1);
    agent_dr_go(engine_world.dr);
    for (int second = 0; second < 60; second++) {
        engine_pass(1);
        assert_float_equal(engine_power(0), 70, 1e-6);
    }
    engine_pass(540);
    assert_float_equal(engine_power(0), 90, 1e-6);
    json_t *odd = json_pack("[{s:s},i,{}]", "id", "x", 7);
    assert_int_equal(agent_dr_restore(engine_world.dr, odd), 0);
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
    engine_world.settings.frequency = (struct agent_dr_droop_settings){.meter = meter,
                                                                       .nominal_hz = 50,
                                                                       .deadband_hz = 0.01,
                                                                       .full_hz = 0.2,
                                                                       .down_kw = 30,
                                                                       .hold_s = 30,
                                                                       .stale_s = 5};
    engine_start();
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    for (int second = 0; second < 120; second++) {
        const char *hz = second < 60 || second > 70 ? "50.002" : "49.75";
        assert_true(
            sendto(sender, hz, strlen(hz), 0, (struct sockaddr *)&address, sizeof(address)) > 0);
        engine_pass(1);
        if (second == 60) { /* two sites at 80 and 90 less 30 in sum */
            assert_float_equal(engine_power(0) + engine_power(1), 160 - 30, 1e-6);
        }
    }
    assert_float_equal(engine_power(0) + engine_power(1), 160, 1e-6);
    assert_true(engine_answer_number("changed_real_s", 0) <= 1.1);
    close(sender);
    agent_dr_free(engine_world.dr);
    engine_world.dr = NULL;
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
    engine_start();
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        struct agent_error error = {0};
        json_t *reply = NULL;
        json_t *args = json_loads(bad[index].args, 0, NULL);
        int status = agent_dr_trigger(engine_world.dr, args, &reply, &error);
        if (status >= 0 || strstr(error.text, bad[index].words) == NULL) {
            fail_msg("%s: %d '%s'", bad[index].args, status, error.text);
        }
        json_decref(args);
    }
    struct agent_error error = {0};
    json_t *reply = NULL;
    json_t *args = json_pack("{s:s}", "event", "nobody");
    assert_int_equal(agent_dr_cancel(engine_world.dr, args, &reply, &error), -ENOENT);
    json_decref(args);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, engine_setup, engine_teardown)
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
