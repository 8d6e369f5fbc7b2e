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
    struct path_limits limits = {3 * MS, rate, queue, loss};
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
    struct path_limits limits = {0, 0, 65536, loss};
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
        cmocka_unit_test(cut_segments_carry_their_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
