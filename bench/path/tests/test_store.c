/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_store.c - order, contents and the limits of the frame store */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "store.h"

static const struct path_frame no_slots = {
    .slot = {PATH_STORE_NONE, PATH_STORE_NONE, PATH_STORE_NONE}};

static void fill(struct path_store *store, const struct path_frame *frame, unsigned salt)
{
    struct iovec iov[PATH_STORE_CLASSES];
    int n = path_store_iov(store, frame, frame->bytes, iov);
    unsigned at = 0;

    for (int i = 0; i < n; i++) {
        for (size_t j = 0; j < iov[i].iov_len; j++) {
            ((unsigned char *)iov[i].iov_base)[j] = (unsigned char)(at++ * 7 + salt);
        }
    }
    assert_int_equal(at, frame->bytes);
}

static void check(struct path_store *store, const struct path_frame *frame, unsigned salt)
{
    struct iovec iov[PATH_STORE_CLASSES];
    int n = path_store_iov(store, frame, frame->bytes, iov);
    unsigned at = 0;

    for (int i = 0; i < n; i++) {
        for (size_t j = 0; j < iov[i].iov_len; j++) {
            assert_int_equal(((unsigned char *)iov[i].iov_base)[j], (unsigned char)(at++ * 7 + salt));
        }
    }
}

/* random sizes in and out, as a path does it: every byte must come back, every slot too */
static void frames_come_back_in_order_and_whole(void **state)
{
    struct path_store store;
    struct path_frame frame = no_slots;
    unsigned in = 0, out = 0, sizes[4096];

    (void)state;
    srand(11);
    assert_int_equal(path_store_init(&store, 4 << 20), 0);
    while (out < 3000) {
        if (in < 3000 && (rand() & 1) && path_store_reserve(&store, &frame) == 0) {
            frame.bytes = sizes[in] =
                1 + (unsigned)rand() % ((rand() & 3) ? 3000 : PATH_FRAME_MAX);
            fill(&store, &frame, in);
            assert_int_equal(path_store_push(&store, &frame), 0);
            in++;
        } else if (path_store_head(&store)) {
            struct path_frame oldest = path_store_pop(&store);

            assert_int_equal(oldest.bytes, sizes[out]);
            check(&store, &oldest, out);
            path_store_release(&store, &oldest);
            out++;
        }
    }
    path_store_release(&store, &frame);
    for (int c = 0; c < PATH_STORE_CLASSES; c++) {
        assert_int_equal(store.slots[c].free_count, store.slots[c].count);
    }
    path_store_done(&store);
}

static void empty_class_refuses_and_keeps_the_rest(void **state)
{
    struct path_store store;
    struct path_frame frame = no_slots;
    unsigned pushed = 0;

    (void)state;
    assert_int_equal(path_store_init(&store, 1 << 20), 0);
    while (path_store_reserve(&store, &frame) == 0) {
        frame.bytes = PATH_FRAME_MAX;
        assert_int_equal(path_store_push(&store, &frame), 0);
        pushed++;
    }
    /* room for the promised 1 MiB of full frames, and then an end */
    assert_in_range(pushed, (1 << 20) / PATH_FRAME_MAX, 1024);
    assert_int_not_equal(frame.slot[0], PATH_STORE_NONE);
    frame = path_store_pop(&store);
    path_store_release(&store, &frame);
    frame = no_slots;
    assert_int_equal(path_store_reserve(&store, &frame), 0);
    path_store_done(&store);
}

static void absurd_sizes_are_refused(void **state)
{
    struct path_store store;

    (void)state;
    assert_int_equal(path_store_init(&store, UINT64_MAX), -ENOMEM);
    path_store_done(&store);
    path_store_done(&store); /* takes a zeroed one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back_in_order_and_whole),
        cmocka_unit_test(empty_class_refuses_and_keeps_the_rest),
        cmocka_unit_test(absurd_sizes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
