/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uring_unprivileged.c - an ordinary user with little locked memory: zero-copy gives way to
 * copying, and nothing is lost Everything runs in a process that has dropped its rights; as root,
 * CAP_IPC_LOCK would hide the limits. */
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "uring_pair.h"

#define NOBODY        65534
#define MEMLOCK_BYTES (128u << 10)
#define SKIPPED       77

static void transfer(const char *mode)
{
    struct pair p = {.send_mode = mode};
    uint8_t *source = malloc(PAIR_REGION_BYTES);
    struct apn_backend_counters counters;
    struct apn_error err = {0};
    struct apn_event event;
    unsigned posted = 0, seen = 0;
    const unsigned rounds = 20, extents = rounds * (PAIR_REGION_BYTES / APN_EXTENT_MAX);

    p.memory = calloc(1, PAIR_REGION_BYTES);
    assert_true(p.memory && source);
    memset(source, 0xa7, PAIR_REGION_BYTES);
    if (pair_open(&p, "127.0.0.1", &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(p.source->ops->connect(p.source, pair_hello(), &p.out, &err), 0);
    assert_true(pair_event(p.out, &event));
    assert_int_equal(event.type, APN_EVENT_UP);
    p.in = pair_wait_attached(&p);
    assert_non_null(p.in);
    for (unsigned tries = 0; seen < extents && tries < 1000000; tries++) {
        const uint64_t offset = (uint64_t)posted * APN_EXTENT_MAX % PAIR_REGION_BYTES;
        const struct apn_msg msg = {.type = APN_MSG_EXTENT,
                                    .kind = APN_EXTENT_DATA,
                                    .bytes = APN_EXTENT_MAX,
                                    .span = APN_EXTENT_MAX,
                                    .offset = offset,
                                    .payload = source + offset};

        if (posted < extents && p.out->backend->ops->post(p.out, &msg, 1) == 0) {
            posted++;
        }
        if (p.out->backend->ops->poll(p.out, &event, 1, 0)) {
            fail_msg("%s", event.error.text);
        }
        if (p.in->backend->ops->poll(p.in, &event, 1, 0)) {
            assert_int_equal(event.type, APN_EVENT_MSG);
            seen++;
        }
    }
    assert_int_equal(seen, extents);
    assert_memory_equal(source, p.memory, PAIR_REGION_BYTES);
    p.source->ops->counters(p.source, &counters);
    assert_string_equal(counters.send_mode, "copy");
    if (strcmp(mode, "zero-copy") == 0) {
        assert_non_null(strstr(counters.note, "RLIMIT_MEMLOCK"));
    }
    pair_close(&p);
    free(p.memory);
    free(source);
}

static void zerocopy_gives_way(void **state)
{
    (void)state;
    transfer("zero-copy");
}

static void probing_gives_way(void **state)
{
    (void)state;
    transfer("auto");
}

int main(void)
{
    const struct rlimit limit = {MEMLOCK_BYTES, MEMLOCK_BYTES};
    const struct CMUnitTest tests[] = {cmocka_unit_test(zerocopy_gives_way),
                                       cmocka_unit_test(probing_gives_way)};

    if (setrlimit(RLIMIT_MEMLOCK, &limit) ||
        (geteuid() == 0 && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY)))) {
        fprintf(stderr, "skipped: cannot become an ordinary user\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
