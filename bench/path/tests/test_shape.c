/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_shape.c - due times, queue limit, losses; the clock is an argument */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "shape.h"

#define MS INT64_C(1000000)

static struct path_shape make(uint64_t rate, uint64_t queue, double loss)
{
    struct path_limits limits = {.delay_ns = 3 * MS, .rate_bits_s = rate, .queue_bytes = queue, .loss = loss};
    struct path_shape shape;

    path_shape_init(&shape, &limits, 7);
    return shape;
}

static void idle_line_delays_by_serialisation_and_distance(void **state)
{
    struct path_shape shape = make(1000000000, 1 << 20, 0);
    int64_t due = -1;

    (void)state;
    /* 1250 bytes at 1 Gb/s are 10 us on the line */
    assert_int_equal(path_shape_admit(&shape, 5 * MS, 1250, &due), PATH_PASS);
    assert_int_equal(due, 5 * MS + 10000 + 3 * MS);
}

static void frames_back_to_back_queue_up(void **state)
{
    struct path_shape shape = make(1000000000, 1 << 20, 0);
    int64_t due = -1;

    (void)state;
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(path_shape_admit(&shape, MS, 1250, &due), PATH_PASS);
        assert_int_equal(due, MS + i * 10000 + 3 * MS);
    }
    assert_int_equal(path_shape_queued(&shape, MS), 12500);
    assert_int_equal(path_shape_queued(&shape, MS + 50000), 6250);
    assert_int_equal(path_shape_queued(&shape, MS + 100000), 0);
    /* a pause empties the queue and earns no credit */
    assert_int_equal(path_shape_admit(&shape, 9 * MS, 1250, &due), PATH_PASS);
    assert_int_equal(due, 9 * MS + 10000 + 3 * MS);
}

static void full_queue_drops_and_recovers(void **state)
{
    struct path_shape shape = make(1000000000, 100000, 0);
    int64_t due = -1, before;
    int passed = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        passed += path_shape_admit(&shape, MS, 1000, &due) == PATH_PASS;
    }
    assert_int_equal(passed, 100);
    before = due;
    assert_int_equal(path_shape_admit(&shape, MS, 1000, &due), PATH_DROP_QUEUE);
    assert_int_equal(due, before); /* outputs are set only on success */
    /* 8 us later one frame has left the line */
    assert_int_equal(path_shape_admit(&shape, MS + 8000, 1000, &due), PATH_PASS);
    assert_int_equal(due, before + 8000);
}

static void long_run_keeps_the_rate(void **state)
{
    struct path_shape shape = make(2500000000u, 1 << 20, 0);
    int64_t now = 0, due = 0;
    uint64_t passed_bytes = 0;

    (void)state;
    /* offered 10 Gb/s for a second: 2.5 must come out, within the queue */
    for (; now < 1000 * MS; now += 52429) {
        if (path_shape_admit(&shape, now, 65536, &due) == PATH_PASS) {
            passed_bytes += 65536;
        }
    }
    assert_in_range(passed_bytes, 312500000, 312500000 + (1 << 20) + 65536);
}

static void without_rate_there_is_no_queue(void **state)
{
    struct path_shape shape = make(0, 65536, 0);
    int64_t due = -1;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(path_shape_admit(&shape, MS, 65536, &due), PATH_PASS);
        assert_int_equal(due, 4 * MS);
    }
    assert_int_equal(path_shape_queued(&shape, MS), 0);
}

static int losses(uint64_t seed, double loss, int *first)
{
    struct path_limits limits = {.queue_bytes = 65536, .loss = loss};
    struct path_shape shape;
    int lost = 0;
    int64_t due;

    path_shape_init(&shape, &limits, seed);
    *first = -1;
    for (int i = 0; i < 100000; i++) {
        if (path_shape_admit(&shape, i, 100, &due) == PATH_DROP_LOSS) {
            *first = *first < 0 ? i : *first;
            lost++;
        }
    }
    return lost;
}

static void losses_follow_probability_and_seed(void **state)
{
    int first_a, first_b, first_c;
    int lost = losses(1, 0.01, &first_a);

    (void)state;
    assert_in_range(lost, 850, 1150); /* 1000 expected, 5 standard deviations = 157 */
    assert_int_equal(losses(1, 0.01, &first_b), lost);
    assert_int_equal(first_a, first_b);
    losses(2, 0.01, &first_c);
    assert_int_not_equal(first_a, first_c);
    assert_int_equal(losses(0, 0, &first_a), 0);
    assert_int_equal(losses(0, 1, &first_a), 100000);
}

static void lost_frames_use_the_line(void **state)
{
    struct path_shape shape = make(1000000000, 1 << 20, 1);
    int64_t due = -1;

    (void)state;
    assert_int_equal(path_shape_admit(&shape, 0, 1250, &due), PATH_DROP_LOSS);
    shape.limits.loss = 0;
    assert_int_equal(path_shape_admit(&shape, 0, 1250, &due), PATH_PASS);
    assert_int_equal(due, 20000 + 3 * MS);
}

/* length of the losses in a row that begin at @i of @lost */
static int run_at(const bool *lost, int i, int count)
{
    int n = 0;

    while (i + n < count && lost[i + n]) {
        n++;
    }
    return n;
}

static void bursts_have_the_asked_share_and_length(void **state)
{
    struct path_limits limits = {.queue_bytes = 65536, .loss = 0.02, .burst_frames = 10};
    static bool lost[400000];
    int count = sizeof(lost) / sizeof(lost[0]), sum = 0, bursts = 0;
    struct path_shape shape;
    int64_t due;

    (void)state;
    path_shape_init(&shape, &limits, 3);
    for (int i = 0; i < count; i++) {
        lost[i] = path_shape_admit(&shape, i, 100, &due) == PATH_DROP_LOSS;
        sum += lost[i];
    }
    for (int i = 0; i < count; i += run_at(lost, i, count) + 1) {
        bursts += lost[i];
    }
    assert_in_range(sum, 6900, 9100);          /* 8000 expected */
    assert_in_range(sum * 10 / bursts, 90, 110); /* a mean of 10 */
}

static void jitter_spreads_evenly_and_keeps_the_order(void **state)
{
    struct path_limits limits = {.delay_ns = 3 * MS, .queue_bytes = 65536, .jitter_ns = MS, .reorder = true};
    struct path_shape shape;
    int64_t due, before = 0, sum = 0, least = INT64_MAX, most = 0;

    (void)state;
    path_shape_init(&shape, &limits, 5);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(path_shape_admit(&shape, i * MS, 100, &due), PATH_PASS);
        due -= i * MS;
        sum += due;
        least = due < least ? due : least;
        most = due > most ? due : most;
    }
    assert_in_range(sum / 10000, 3 * MS - MS / 50, 3 * MS + MS / 50);
    assert_in_range(least, 2 * MS, 2 * MS + MS / 100);
    assert_in_range(most, 4 * MS - MS / 100, 4 * MS);
    limits.reorder = false;
    path_shape_init(&shape, &limits, 5);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(path_shape_admit(&shape, i * 1000, 100, &due), PATH_PASS);
        assert_true(due >= before);
        before = due;
    }
}

static void jitter_does_not_change_the_losses(void **state)
{
    struct path_limits limits = {.delay_ns = 3 * MS, .queue_bytes = 65536, .loss = 0.1};
    struct path_shape plain, jittery;
    int64_t due;

    (void)state;
    path_shape_init(&plain, &limits, 9);
    limits.jitter_ns = MS;
    path_shape_init(&jittery, &limits, 9);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(path_shape_admit(&plain, i, 100, &due), path_shape_admit(&jittery, i, 100, &due));
    }
}

static void cuts_begin_and_end(void **state)
{
    struct path_cut none = {0, 0}, forever = PATH_CUT_FOREVER, once = {5, 8};

    (void)state;
    assert_false(path_cut_active(&none, 0));
    assert_false(path_cut_active(&none, INT64_MAX - 1));
    assert_true(path_cut_active(&forever, 0));
    assert_true(path_cut_active(&forever, INT64_MAX - 1));
    assert_false(path_cut_active(&once, 4));
    assert_true(path_cut_active(&once, 5));
    assert_true(path_cut_active(&once, 7));
    assert_false(path_cut_active(&once, 8));
}

static void cut_segments_carry_their_headers(void **state)
{
    (void)state;
    assert_int_equal(path_shape_wire_bytes(1500, 0, 0), 1500);
    assert_int_equal(path_shape_wire_bytes(52 + 3 * 1448, 1448, 52), 3 * 1500);
    assert_int_equal(path_shape_wire_bytes(52 + 3 * 1448 + 1, 1448, 52), 3 * 1500 + 53);
    assert_int_equal(path_shape_wire_bytes(40, 1448, 52), 40); /* nonsense from the device: as it is */
    assert_int_equal(path_shape_wire_bytes(9000, 1448, 0), 9000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_line_delays_by_serialisation_and_distance),
        cmocka_unit_test(frames_back_to_back_queue_up),
        cmocka_unit_test(full_queue_drops_and_recovers),
        cmocka_unit_test(long_run_keeps_the_rate),
        cmocka_unit_test(without_rate_there_is_no_queue),
        cmocka_unit_test(losses_follow_probability_and_seed),
        cmocka_unit_test(lost_frames_use_the_line),
        cmocka_unit_test(bursts_have_the_asked_share_and_length),
        cmocka_unit_test(jitter_spreads_evenly_and_keeps_the_order),
        cmocka_unit_test(jitter_does_not_change_the_losses),
        cmocka_unit_test(cuts_begin_and_end),
        cmocka_unit_test(cut_segments_carry_their_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
