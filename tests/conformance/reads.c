/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reads.c - backends that read the peer's memory by themselves (ops->fetch): what is read, in which order, how much at a time, what
 * is refused, and how it ends. A backend without that op has nothing to show here. */
#include <errno.h>
#include <sys/mman.h>

#include "conformance/harness.h"
#ifdef APN_HAVE_RDMA
#include "backend/rdma/backend.h"
#endif

#define URGENT (CONF_LANES - 1u)
#define PAGES  (CONF_MEMORY / APN_PAGE_SIZE)

/* both ends have it, and have heard each other: what the opening says has been said */
static void lane_up(struct conf_rig *rig, unsigned lane, uint32_t generation)
{
    const struct apn_msg ping = {.type = APN_MSG_PING};
    struct conf_event *event;

    conf_connect(rig, lane, generation);
    event = conf_next(rig, &rig->out[lane]);
    if (event->event.type != APN_EVENT_UP) {
        fail_msg("lane %u: %s", lane, event->event.error.text);
    }
    conf_accept(rig, lane);
    assert_int_equal(conf_post(rig, &rig->in[lane], &ping, 1), 0);
    assert_int_equal(conf_next(rig, &rig->out[lane])->event.msg.type, APN_MSG_PING);
}

/* the urgent lane of a postcopy session is up, and lane 0. Return: false when the backend reads nothing */
static bool reads_open(struct conf_rig *rig, uint64_t features)
{
    const struct conf_options options = {.features = features};

    conf_open(rig, &options);
    if (!rig->dest->ops->fetch) {
        conf_close(rig);
        return false;
    }
    rig->welcome.features = features;
    for (unsigned lane = 0; lane < CONF_LANES; lane += URGENT) {
        lane_up(rig, lane, 1);
    }
    return true;
}

static int fetch(struct conf_end *end, unsigned region, uint64_t offset, uint32_t bytes)
{
    return end->link->backend->ops->fetch(end->link, region, offset, bytes);
}

static void assert_fetched(struct conf_rig *rig, const struct conf_event *event, uint64_t page)
{
    const struct apn_msg *msg = &event->event.msg;

    if (event->event.type == APN_EVENT_DOWN) {
        fail_msg("page %llu: link down: %s", (unsigned long long)page, event->event.error.text);
    }
    assert_int_equal(event->event.type, APN_EVENT_FETCHED);
    assert_int_equal(msg->type, APN_MSG_POSTCOPY_PAGE);
    assert_int_equal(msg->kind, APN_EXTENT_DATA);
    assert_int_equal(msg->span, APN_PAGE_SIZE);
    assert_int_equal(msg->bytes, APN_PAGE_SIZE);
    assert_true(msg->offset == page * APN_PAGE_SIZE);
    assert_memory_equal(msg->payload, rig->source_memory + msg->offset, APN_PAGE_SIZE);
}

/* The peer's thread sleeps all the while. As many as there is room for are out. */
static void pages_are_read_while_the_peer_sleeps(void **state)
{
    struct conf_rig rig;
    uint64_t asked = 0, told = 0;
    unsigned most = 0;

    (void)state;
    if (!reads_open(&rig, APN_FEATURE_POSTCOPY)) {
        skip();
    }
    rig.out[URGENT].asleep = true;
    while (told < 300) {
        int ret = asked < 300 ? fetch(&rig.in[URGENT], 0, asked * 7 % PAGES * APN_PAGE_SIZE, APN_PAGE_SIZE) : -EAGAIN;

        if (!ret) {
            asked++;
            most = asked - told > most ? (unsigned)(asked - told) : most;
            continue;
        }
        assert_int_equal(ret, -EAGAIN);
        assert_true(asked > told); /* there is room when nothing is out */
        assert_fetched(&rig, conf_next(&rig, &rig.in[URGENT]), told * 7 % PAGES);
        told++;
    }
    assert_true(most > 1);
    assert_false(conf_peek(&rig, &rig.in[URGENT]));
    conf_close(&rig);
}

/* reads and messages of both ends on one link: each in its own order, none lost */
static void messages_pass_between_reads(void **state)
{
    struct conf_rig rig;
    uint64_t asked = 0, told = 0, heard = 0, answers = 0;

    (void)state;
    if (!reads_open(&rig, APN_FEATURE_POSTCOPY)) {
        skip();
    }
    for (uint64_t i = 0; told < 100 || heard < 100 || answers < 100; i++) {
        const struct apn_msg request = {
            .type = APN_MSG_POSTCOPY_REQUEST, .span = APN_PAGE_SIZE, .offset = i % PAGES * APN_PAGE_SIZE, .value = 1};
        const struct apn_msg answer = {.type = APN_MSG_APPLIED, .offset = i};

        assert_true(i < 100000);
        if (i < 100) {
            asked += fetch(&rig.in[URGENT], 0, asked * APN_PAGE_SIZE, APN_PAGE_SIZE) == 0;
            assert_int_equal(conf_post(&rig, &rig.in[URGENT], &request, 1), 0);
            assert_int_equal(conf_post(&rig, &rig.out[URGENT], &answer, 1), 0);
        } else if (asked < 100) {
            asked += fetch(&rig.in[URGENT], 0, asked * APN_PAGE_SIZE, APN_PAGE_SIZE) == 0;
        }
        while (conf_peek(&rig, &rig.in[URGENT])) {
            struct conf_event *event = conf_next(&rig, &rig.in[URGENT]);

            if (event->event.type == APN_EVENT_FETCHED) {
                assert_fetched(&rig, event, told++);
            } else {
                assert_int_equal(event->event.msg.type, APN_MSG_APPLIED);
                assert_true(event->event.msg.offset == answers++);
            }
        }
        while (conf_peek(&rig, &rig.out[URGENT])) {
            assert_true(conf_next(&rig, &rig.out[URGENT])->event.msg.offset == heard++ * APN_PAGE_SIZE);
        }
    }
    assert_true(told == 100 && heard == 100 && answers == 100);
    conf_close(&rig);
}

/* a region that is added when the lane is up already, as the engine does */
static void a_late_region_is_read(void **state)
{
    struct conf_rig rig;
    struct apn_region region = {.name = "late", .length = CONF_MEMORY / 2, .page_size = APN_PAGE_SIZE, .flags = APN_REGION_FIXED};
    struct apn_error err = {0};
    int ret = -ENOTSUP;

    (void)state;
    if (!reads_open(&rig, APN_FEATURE_POSTCOPY)) {
        skip();
    }
    assert_int_equal(fetch(&rig.in[URGENT], 1, 0, APN_PAGE_SIZE), -ENOTSUP);
    region.host = rig.source_memory + CONF_MEMORY / 2;
    assert_int_equal(rig.source->ops->region_add(rig.source, 1, &region, &err), 0);
    for (unsigned i = 0; i < 1000 && ret == -ENOTSUP; i++) {
        conf_idle(&rig, 1);
        ret = fetch(&rig.in[URGENT], 1, region.length - APN_PAGE_SIZE, APN_PAGE_SIZE);
    }
    assert_int_equal(ret, 0);
    assert_memory_equal(conf_next(&rig, &rig.in[URGENT])->event.msg.payload, rig.source_memory + CONF_MEMORY - APN_PAGE_SIZE,
                        APN_PAGE_SIZE);
    conf_close(&rig);
}

/* Reading is an extra: a source whose memory the adapter does not take goes on without. */
static void memory_that_cannot_be_registered_is_asked_for(void **state)
{
    const struct conf_options options = {.features = APN_FEATURE_POSTCOPY};
    struct apn_region region = {.name = "late", .length = CONF_MEMORY / 2, .page_size = APN_PAGE_SIZE, .flags = APN_REGION_FIXED};
    struct apn_backend_counters counters;
    struct apn_error err = {0};
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, &options);
    if (!rig.dest->ops->fetch) {
        conf_close(&rig);
        skip();
    }
    rig.welcome.features = APN_FEATURE_POSTCOPY;
    assert_int_equal(mprotect(rig.source_memory, CONF_MEMORY, PROT_NONE), 0);
    lane_up(&rig, URGENT, 1);
    region.host = rig.source_memory + CONF_MEMORY / 2;
    assert_int_equal(rig.source->ops->region_add(rig.source, 1, &region, &err), 0);
    conf_idle(&rig, 20);
    assert_int_equal(mprotect(rig.source_memory, CONF_MEMORY, PROT_READ | PROT_WRITE), 0);
    rig.source->ops->counters(rig.source, &counters);
    assert_true(counters.registered_bytes == 0);
    assert_non_null(strstr(counters.note, "cannot be registered"));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fetch(&rig.in[URGENT], i, 0, APN_PAGE_SIZE), -ENOTSUP);
    }
    conf_close(&rig);
}

static void what_may_not_be_read_is_not_tried(void **state)
{
    const struct apn_msg ping = {.type = APN_MSG_PING};
    struct conf_rig rig;

    (void)state;
    if (!reads_open(&rig, APN_FEATURE_POSTCOPY)) {
        skip();
    }
    assert_int_equal(fetch(&rig.in[0], 0, 0, APN_PAGE_SIZE), -ENOTSUP);                /* not the urgent lane */
    assert_int_equal(fetch(&rig.out[URGENT], 0, 0, APN_PAGE_SIZE), -ENOTSUP);          /* the destination's memory is nobody's */
    assert_int_equal(fetch(&rig.in[URGENT], 0, 0, 2 * APN_PAGE_SIZE), -ENOTSUP);       /* not one page */
    assert_int_equal(fetch(&rig.in[URGENT], 0, CONF_MEMORY, APN_PAGE_SIZE), -ENOTSUP); /* behind the region */
    assert_int_equal(fetch(&rig.in[URGENT], 1, 0, APN_PAGE_SIZE), -ENOTSUP);           /* no region */
    assert_int_equal(fetch(&rig.in[URGENT], 65535, 0, APN_PAGE_SIZE), -ENOTSUP);
    assert_int_equal(conf_post(&rig, &rig.in[URGENT], &ping, 1), 0); /* none of which the lane minds */
    assert_int_equal(conf_next(&rig, &rig.out[URGENT])->event.msg.type, APN_MSG_PING);
    conf_close(&rig);
    assert_true(reads_open(&rig, 0)); /* not postcopy */
    assert_int_equal(fetch(&rig.in[URGENT], 0, 0, APN_PAGE_SIZE), -ENOTSUP);
    conf_close(&rig);
}

/* reads are out when an end goes away: the other hears of it once, and nothing is told afterwards */
static void reads_end_with_their_link(void **state)
{
    struct conf_rig rig;

    (void)state;
    if (!reads_open(&rig, APN_FEATURE_POSTCOPY)) {
        skip();
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(fetch(&rig.in[URGENT], 0, i * APN_PAGE_SIZE, APN_PAGE_SIZE), 0);
    }
    conf_end_close(&rig.in[URGENT]);
    conf_expect_down(&rig, &rig.out[URGENT]);
    conf_end_close(&rig.out[URGENT]);
    lane_up(&rig, URGENT, 2);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(fetch(&rig.in[URGENT], 0, i * APN_PAGE_SIZE, APN_PAGE_SIZE), 0);
    }
    conf_end_close(&rig.out[URGENT]);
    for (unsigned i = 0; i <= 8; i++) {
        struct conf_event *event = conf_next(&rig, &rig.in[URGENT]);

        if (event->event.type == APN_EVENT_DOWN) {
            break;
        }
        assert_fetched(&rig, event, i);
    }
    assert_int_equal(fetch(&rig.in[URGENT], 0, 0, APN_PAGE_SIZE), -ENOTSUP);
    assert_false(conf_peek(&rig, &rig.in[URGENT]));
    conf_close(&rig);
}

#ifdef APN_HAVE_RDMA
/* The right points behind the source's memory: its adapter refuses, the lane dies with a sentence, and comes back without reads. */
static void a_refused_read_is_not_repeated(void **state)
{
    struct conf_rig rig;
    struct conf_event *event;
    struct apn_rdma_backend *be;

    (void)state;
    if (!reads_open(&rig, APN_FEATURE_POSTCOPY)) {
        skip();
    }
    be = (struct apn_rdma_backend *)rig.dest;
    atomic_load(&be->memory.keys[0])->key[0].address += CONF_MEMORY;
    assert_int_equal(fetch(&rig.in[URGENT], 0, 0, APN_PAGE_SIZE), 0);
    event = conf_next(&rig, &rig.in[URGENT]);
    assert_int_equal(event->event.type, APN_EVENT_DOWN);
    assert_non_null(strstr(event->event.error.text, "READ"));
    assert_false(conf_peek(&rig, &rig.in[URGENT]));
    conf_end_close(&rig.in[URGENT]);
    conf_expect_down(&rig, &rig.out[URGENT]);
    conf_end_close(&rig.out[URGENT]);
    atomic_load(&be->memory.keys[0])->key[0].address -= CONF_MEMORY;
    lane_up(&rig, URGENT, 2);
    assert_int_equal(fetch(&rig.in[URGENT], 0, 0, APN_PAGE_SIZE), -ENOTSUP);
    conf_close(&rig);
}
#endif

int conf_run_reads(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_read_while_the_peer_sleeps),
        cmocka_unit_test(messages_pass_between_reads),
        cmocka_unit_test(a_late_region_is_read),
        cmocka_unit_test(memory_that_cannot_be_registered_is_asked_for),
        cmocka_unit_test(what_may_not_be_read_is_not_tried),
        cmocka_unit_test(reads_end_with_their_link),
#ifdef APN_HAVE_RDMA
        cmocka_unit_test(a_refused_read_is_not_repeated),
#endif
    };
    return cmocka_run_group_tests_name("reads", tests, NULL, NULL);
}
