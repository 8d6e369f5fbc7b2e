/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_session.c - whole sessions in virtual time: the ordinary way, and what goes wrong on it */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig.h"

static void same_memory(struct rig *rig)
{
    assert_memory_equal(rig->source_ram, rig->dest_ram, rig->options.ram_bytes);
}

static void run_to_the_end(const struct rig_options *options)
{
    struct rig *rig = rig_new(options);

    rig_connect(rig);
    rig_setup(rig);
    rig_send_all(rig);
    rig_switchover(rig);
    while (apn_session_grant(rig->source, &rig->error) == -EINPROGRESS && !rig_over(rig)) {
        rig_run(rig, NULL, 1);
    }
    assert_true(rig_run(rig, rig_both_over, 2000));
    assert_int_equal(apn_session_wait_verdict(rig->source, &rig->error), APN_VERDICT_STARTED);
    assert_int_equal(apn_session_state(rig->dest), APN_STATE_DONE);
    same_memory(rig);
    rig_free(rig);
}

static void fast_commit(void **state)
{
    static const unsigned lanes[] = {1, 2, 4, 32};
    (void)state;

    for (unsigned i = 0; i < 4; i++) {
        run_to_the_end(&(struct rig_options){.lanes = lanes[i]});
    }
}

static void safe_commit(void **state)
{
    (void)state;
    run_to_the_end(&(struct rig_options){.commit = APN_COMMIT_SAFE});
}

static void with_a_secret(void **state)
{
    (void)state;
    run_to_the_end(&(struct rig_options){.source_secret = "0123456789abcdef", .dest_secret = "0123456789abcdef"});
}

static void secret_wrong_or_missing(void **state)
{
    static const struct rig_options options[] = {
        {.source_secret = "0123456789abcdef", .dest_secret = "0123456789abcdeX"},
        {.source_secret = "0123456789abcdef"},
        {.dest_secret = "0123456789abcdef"},
    };
    (void)state;

    for (unsigned i = 0; i < 3; i++) {
        struct rig *rig = rig_new(&options[i]);
        struct apn_error err;

        rig_connect(rig);
        assert_int_equal(apn_session_state(rig->source), APN_STATE_FAILED);
        apn_session_error(rig->source, &err);
        assert_int_equal(err.code, -EACCES);
        assert_non_null(strstr(err.text, "secret"));
        assert_int_equal(apn_session_state(rig->dest), APN_STATE_CONNECTING); /* still listening */
        rig_free(rig);
    }
}

static void memory_sizes_differ(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){.dest_ram_bytes = 4u << 20});
    struct apn_error err = {0};
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    assert_true(rig_run(rig, rig_over, 2000));
    apn_session_error(rig->source, &err);
    assert_non_null(strstr(err.text, "pc.ram"));
    assert_non_null(strstr(err.text, "8388608"));
    assert_non_null(strstr(err.text, "4194304"));
    rig_free(rig);
}

static void abort_before_the_grant_tells_the_other_end(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    struct apn_error err = {0};
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    assert_int_equal(apn_session_abort(rig->source, "cancelled by the operator"), 0);
    assert_true(rig_run(rig, rig_both_over, 1000));
    apn_session_error(rig->dest, &err);
    assert_non_null(strstr(err.text, "cancelled by the operator"));
    assert_true(apn_session_granted(rig->dest) < 0);
    assert_int_equal(apn_session_started(rig->dest, 0), -EPERM);
    rig_free(rig);
}

static void no_abort_after_the_grant(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    rig_send_all(rig);
    rig_switchover(rig);
    assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
    assert_int_equal(apn_session_abort(rig->source, "too late"), -EPERM);
    assert_true(rig_run(rig, rig_both_over, 2000));
    assert_int_equal(apn_session_state(rig->source), APN_STATE_DONE);
    rig_free(rig);
}

static void destination_that_cannot_load_gives_the_guest_back(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    struct apn_error err = {0};
    (void)state;

    rig->dest_refuses = true;
    rig_connect(rig);
    rig_setup(rig);
    rig_send_all(rig);
    rig_switchover(rig);
    assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
    assert_true(rig_run(rig, rig_both_over, 2000));
    assert_int_equal(apn_session_wait_verdict(rig->source, &err), APN_VERDICT_WONT);
    apn_session_error(rig->source, &err);
    assert_non_null(strstr(err.text, "vga"));
    rig_free(rig);
}

static void destination_dead_before_the_grant(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    uint64_t at;
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    rig_kill_dest(rig);
    at = rig_now(rig);
    assert_true(rig_run(rig, rig_over, 10000));
    assert_true(rig_now(rig) - at < 9000 * RIG_MS);
    assert_int_equal(apn_session_state(rig->source), APN_STATE_FAILED);
    rig_free(rig);
}

static void destination_dead_after_the_grant_is_unknown(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    struct apn_error err = {0};
    (void)state;

    rig->dest_holds = true;
    rig_connect(rig);
    rig_setup(rig);
    rig_send_all(rig);
    rig_switchover(rig);
    assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
    rig_run(rig, NULL, 200);
    rig_kill_dest(rig);
    assert_true(rig_run(rig, rig_over, 10000));
    assert_int_equal(apn_session_wait_verdict(rig->source, &err), APN_VERDICT_UNKNOWN);
    assert_non_null(strstr(err.text, "may or may not run"));
    assert_int_equal(apn_session_abort(rig->source, "no"), -EPERM);
    rig_free(rig);
}

static void grant_that_never_left_gives_the_guest_back(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    struct apn_error err = {0};
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    rig_send_all(rig);
    rig_switchover(rig);
    apn_loop_world_cut(rig->world, APN_LOOP_CUT_RESET);
    rig_run(rig, NULL, 5); /* the lanes notice */
    assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
    assert_true(rig_run(rig, rig_over, 10000));
    assert_int_equal(apn_session_wait_verdict(rig->source, &err), APN_VERDICT_WONT);
    assert_non_null(strstr(err.text, "never left"));
    apn_loop_world_restore(rig->world);
    assert_true(rig_run(rig, rig_both_over, 20000));
    assert_true(apn_session_granted(rig->dest) < 0);
    rig_free(rig);
}

static void answer_after_unknown_still_counts(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    rig_send_all(rig);
    rig_switchover(rig);
    rig->dest_holds = true;
    assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
    rig_run(rig, NULL, 100);
    apn_loop_world_cut(rig->world, APN_LOOP_CUT_STALL);
    rig->dest_holds = false; /* starts the guest behind the cut */
    assert_true(rig_run(rig, rig_over, 12000));
    assert_int_equal(apn_session_state(rig->source), APN_STATE_UNKNOWN);
    assert_int_equal(apn_session_state(rig->dest), APN_STATE_DONE);
    apn_loop_world_restore(rig->world);
    rig_run(rig, NULL, 3000);
    assert_int_equal(apn_session_state(rig->source), APN_STATE_DONE);
    rig_free(rig);
}

/* a lane killed at many moments: bulk, and between switchover and verdict */
static void lanes_reset_at_any_moment(void **state)
{
    (void)state;
    for (unsigned at_ms = 1; at_ms < 60; at_ms += 3) {
        struct rig *rig = rig_new(&(struct rig_options){.lanes = 2});
        struct apn_stats stats;

        rig_connect(rig);
        rig_setup(rig);
        rig->next_post = 0;
        rig_send_all(rig);
        rig_switchover(rig);
        assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
        rig_run(rig, NULL, at_ms);
        apn_loop_world_reset_lane(rig->world, at_ms % 2);
        assert_true(rig_run(rig, rig_both_over, 3000));
        assert_int_equal(apn_session_state(rig->source), APN_STATE_DONE);
        apn_session_stats(rig->source, &stats);
        same_memory(rig);
        rig_free(rig);
    }
}

static void outage_before_the_first_word_is_survived(void **state)
{
    static const enum apn_loop_cut how[] = {APN_LOOP_CUT_STALL, APN_LOOP_CUT_RESET};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct rig *rig = rig_new(&(struct rig_options){.ram_bytes = 16u << 20});

        rig_connect(rig);
        apn_loop_world_cut(rig->world, how[i]);
        rig_run(rig, NULL, 5000);
        assert_int_equal(apn_session_state(rig->dest), APN_STATE_CONNECTING); /* it would take another one */
        apn_loop_world_restore(rig->world);
        rig_setup(rig);
        rig_send_all(rig);
        rig_switchover(rig);
        assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
        assert_true(rig_run(rig, rig_both_over, 5000));
        assert_int_equal(apn_session_state(rig->source), APN_STATE_DONE);
        same_memory(rig);
        rig_free(rig);
    }
}

static void outage_of_five_seconds_is_survived(void **state)
{
    static const enum apn_loop_cut how[] = {APN_LOOP_CUT_STALL, APN_LOOP_CUT_RESET};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct rig *rig = rig_new(&(struct rig_options){.ram_bytes = 64u << 20});

        rig_connect(rig);
        rig_setup(rig);
        rig->next_post = 0;
        rig_run(rig, NULL, 30);
        apn_loop_world_cut(rig->world, how[i]);
        rig_run(rig, NULL, 5000);
        assert_int_equal(apn_session_state(rig->source), APN_STATE_PRECOPY);
        apn_loop_world_restore(rig->world);
        rig_send_all(rig);
        rig_switchover(rig);
        assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
        assert_true(rig_run(rig, rig_both_over, 5000));
        assert_int_equal(apn_session_state(rig->source), APN_STATE_DONE);
        same_memory(rig);
        rig_free(rig);
    }
}

static void silence_ends_the_session_within_the_timeout(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    uint64_t at;
    struct apn_error err = {0};
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    apn_loop_world_cut(rig->world, APN_LOOP_CUT_STALL);
    at = rig_now(rig);
    assert_true(rig_run(rig, rig_both_over, 20000));
    assert_in_range(rig_now(rig) - at, 7900 * RIG_MS, 8600 * RIG_MS);
    apn_session_error(rig->source, &err);
    assert_non_null(strstr(err.text, "8000 ms"));
    assert_int_equal(err.code, -ETIMEDOUT);
    assert_int_equal(apn_session_wait_room(rig->source, 1), -EPIPE); /* over, not merely slow */
    rig_free(rig);
}

static void lane_that_stays_away_is_retired(void **state)
{
    (void)state;
    for (unsigned lane = 0; lane < 2; lane++) { /* lane 0 carries stream and control too */
        struct rig *rig = rig_new(&(struct rig_options){
            .ram_bytes = 32u << 20,
            .source_filters = lane ? "fault=lane:1:cut-forever@at=30ms" : "fault=lane:0:cut-forever@at=30ms"});
        struct apn_stats stats;

        rig_connect(rig);
        rig_setup(rig);
        rig_send_all(rig);
        rig_switchover(rig);
        assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
        assert_true(rig_run(rig, rig_both_over, 10000));
        assert_int_equal(apn_session_state(rig->source), APN_STATE_DONE);
        apn_session_stats(rig->source, &stats);
        assert_int_equal(stats.lane[lane].up, 0);
        same_memory(rig);
        rig_free(rig);
    }
}

static void source_that_leaves_early_does_not_take_the_listener(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    (void)state;

    rig_connect(rig);
    apn_session_free(rig->source); /* connected, never sent a byte */
    rig->source = NULL;
    rig_run(rig, NULL, 3000); /* long before the session's timeout */
    assert_int_equal(apn_session_state(rig->dest), APN_STATE_CONNECTING);
    rig->source = rig_source_new(rig);
    rig_connect(rig);
    rig_setup(rig);
    assert_int_equal(apn_session_state(rig->source), APN_STATE_PRECOPY);
    rig_free(rig);
}

static void second_session_is_refused_in_words(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){0});
    struct apn_session *first;
    struct apn_error err = {0};
    (void)state;

    rig_connect(rig);
    rig_setup(rig);
    first = rig->source;
    rig->source = rig_source_new(rig);
    rig_connect(rig);
    apn_session_error(rig->source, &err);
    assert_int_equal(err.code, -EBUSY);
    assert_non_null(strstr(err.text, "another migration"));
    assert_int_equal(apn_session_state(first), APN_STATE_PRECOPY);
    apn_session_free(first);
    rig_free(rig);
}

static void bad_configurations_are_named(void **state)
{
    static const struct { struct apn_session_config config; const char *word; } bad[] = {
        {{.role = 0}, "role"},
        {{.role = APN_ROLE_SOURCE, .lanes = 33}, "lanes: 33"},
        {{.role = APN_ROLE_SOURCE, .timeout_ms = 10}, "timeout"},
        {{.role = APN_ROLE_SOURCE, .secret = "short", .secret_bytes = 5}, "secret"},
        {{.role = APN_ROLE_SOURCE, .send_mode = "fast"}, "fast"},
        {{.role = APN_ROLE_SOURCE, .backend = "carrier-pigeon", .host = "x", .port = "1"}, "carrier-pigeon"},
        {{.role = APN_ROLE_SOURCE, .commit = 7}, "commit"},
    };
    (void)state;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct apn_session *s = NULL;
        struct apn_error err = {0};

        assert_true(apn_session_new(&s, &bad[i].config, &err) < 0);
        assert_null(s);
        assert_non_null(strstr(err.text, bad[i].word));
    }
}

static void prediction_is_what_happens(void **state)
{
    struct rig *rig = rig_new(&(struct rig_options){.ram_bytes = 64u << 20});
    struct apn_prediction p;
    uint64_t stopped, dark;
    (void)state;

    memset(rig->source_ram, 0x77, rig->options.ram_bytes); /* what is queued counts as contents: no zero pages here */
    rig_connect(rig);
    rig_setup(rig);
    rig_send_all(rig); /* the last runs are still queued and in flight: all of it counts */
    apn_session_predict(rig->source, 0, 200000, 0, &p);
    stopped = rig_now(rig);
    rig_switchover(rig);
    assert_int_equal(apn_session_grant(rig->source, &rig->error), 0);
    while (rig->dest_step < 4) {
        assert_true(rig_run(rig, NULL, 0) || rig_now(rig) - stopped < 1000 * RIG_MS);
        rig_run(rig, NULL, 1);
    }
    dark = rig_now(rig) - stopped;
    assert_in_range(p.total_ns, dark * 7 / 10, dark * 13 / 10);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_commit),
        cmocka_unit_test(safe_commit),
        cmocka_unit_test(with_a_secret),
        cmocka_unit_test(secret_wrong_or_missing),
        cmocka_unit_test(memory_sizes_differ),
        cmocka_unit_test(abort_before_the_grant_tells_the_other_end),
        cmocka_unit_test(no_abort_after_the_grant),
        cmocka_unit_test(destination_that_cannot_load_gives_the_guest_back),
        cmocka_unit_test(destination_dead_before_the_grant),
        cmocka_unit_test(destination_dead_after_the_grant_is_unknown),
        cmocka_unit_test(grant_that_never_left_gives_the_guest_back),
        cmocka_unit_test(answer_after_unknown_still_counts),
        cmocka_unit_test(lanes_reset_at_any_moment),
        cmocka_unit_test(outage_before_the_first_word_is_survived),
        cmocka_unit_test(outage_of_five_seconds_is_survived),
        cmocka_unit_test(silence_ends_the_session_within_the_timeout),
        cmocka_unit_test(lane_that_stays_away_is_retired),
        cmocka_unit_test(source_that_leaves_early_does_not_take_the_listener),
        cmocka_unit_test(second_session_is_refused_in_words),
        cmocka_unit_test(bad_configurations_are_named),
        cmocka_unit_test(prediction_is_what_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
