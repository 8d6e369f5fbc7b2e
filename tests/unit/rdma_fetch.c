/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdma_fetch.c - reading the peer's pages, without an adapter: a queue pair of this test's own carries READs out when it is told to
 * Thread: one.   Time: none.   Units: bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/rdma/fetch.h"

#define PAGES 256u
#define READS 4u  /* that the peer answers at once */
#define DEPTH 32u /* of the send queue */
#define RKEY  77u

struct rig {
    struct ibv_context context; /* only its table is used */
    struct ibv_qp pair;
    struct ibv_pd pd;
    struct ibv_mr mr;
    struct apn_verbs verbs;
    struct apn_rdma_device device;
    struct apn_rdma_qp qp;
    struct apn_rdma_memory memory;
    struct apn_rdma_totals totals;
    struct apn_rdma_sender tx;
    struct apn_rdma_fetcher f;
    uint8_t *peer; /* the peer's memory: all but the last page is open, in two pieces */
    struct {
        uint8_t *to;
        uint64_t remote, wr_id;
    } out[DEPTH];
    uint32_t head, tail;
    bool refuses_memory;
    int post_code;
};

static struct rig *rig;

static int fake_post_send(struct ibv_qp *pair, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    (void)pair;
    (void)bad;
    assert_null(wr->next); /* a read does not wait for company */
    assert_int_equal(wr->opcode, IBV_WR_RDMA_READ);
    assert_true(wr->send_flags & IBV_SEND_SIGNALED);
    assert_int_equal(wr->num_sge, 1);
    assert_int_equal(wr->sg_list[0].length, APN_PAGE_SIZE);
    assert_int_equal(wr->sg_list[0].lkey, 5);
    assert_int_equal(wr->wr.rdma.rkey, RKEY);
    if (rig->post_code) {
        return rig->post_code;
    }
    rig->out[rig->tail % DEPTH].to = (uint8_t *)(uintptr_t)wr->sg_list[0].addr;
    rig->out[rig->tail % DEPTH].remote = wr->wr.rdma.remote_addr;
    rig->out[rig->tail++ % DEPTH].wr_id = wr->wr_id;
    return 0;
}

static struct ibv_mr *fake_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    (void)pd;
    (void)address;
    assert_int_equal(length, APN_RDMA_FETCH_SLOTS * APN_PAGE_SIZE);
    assert_int_equal(access, IBV_ACCESS_LOCAL_WRITE); /* nobody else's business */
    errno = ENOMEM;
    return rig->refuses_memory ? NULL : &rig->mr;
}

static int fake_dereg_mr(struct ibv_mr *mr)
{
    assert_ptr_equal(mr, &rig->mr);
    return 0;
}

/* Return: what opening the fetcher does */
static int rig_new(bool refuses_memory, struct apn_error *err)
{
    const uint64_t half = PAGES / 2 * APN_PAGE_SIZE;
    struct rig *r = rig = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->peer = aligned_alloc(APN_PAGE_SIZE, PAGES * APN_PAGE_SIZE);
    assert_non_null(r->peer);
    for (unsigned i = 0; i < PAGES; i++) {
        memset(r->peer + (size_t)i * APN_PAGE_SIZE, (int)(i + 1), APN_PAGE_SIZE);
    }
    r->context.ops.post_send = fake_post_send;
    r->pair.context = &r->context;
    r->mr.lkey = 5;
    r->verbs.reg_mr = fake_reg_mr;
    r->verbs.dereg_mr = fake_dereg_mr;
    r->device = (struct apn_rdma_device){.v = &r->verbs, .pd = &r->pd};
    r->qp = (struct apn_rdma_qp){.qp = &r->pair, .depth = DEPTH, .gather = 4, .reads = READS};
    r->refuses_memory = refuses_memory;
    apn_rdma_memory_init(&r->memory);
    for (unsigned i = 0; i < 2; i++) {
        struct apn_key key = {.region = 3, .rkey = RKEY, .offset = i * half, .length = i ? half - APN_PAGE_SIZE : half};

        key.address = (uint64_t)(uintptr_t)r->peer + key.offset;
        assert_int_equal(apn_rdma_keys_add(&r->memory, &key), 0);
    }
    assert_int_equal(apn_rdma_sender_init(&r->tx, &r->qp, &r->memory, &r->totals, &(struct apn_rdma_plan){.slots = 16, .signal_every = 64}),
                     0);
    return apn_rdma_fetcher_open(&r->f, &r->tx, &r->device, err);
}

static void rig_free(void)
{
    apn_rdma_fetcher_close(&rig->f);
    apn_rdma_sender_done(&rig->tx);
    apn_rdma_memory_done(&rig->memory);
    free(rig->peer);
    free(rig);
}

static int start(unsigned page)
{
    return apn_rdma_fetcher_start(&rig->f, 3, (uint64_t)page * APN_PAGE_SIZE);
}

/* the peer's adapter answers the oldest read */
static void answer(void)
{
    const uint32_t i = rig->head++ % DEPTH;

    assert_true(rig->head <= rig->tail);
    memcpy(rig->out[i].to, (const void *)(uintptr_t)rig->out[i].remote, APN_PAGE_SIZE);
    apn_rdma_sender_completed(&rig->tx, rig->out[i].wr_id);
    apn_rdma_fetcher_completed(&rig->f, rig->tx.done);
}

static void assert_told(unsigned page)
{
    struct apn_msg msg;

    assert_true(apn_rdma_fetcher_next(&rig->f, &msg));
    assert_int_equal(msg.type, APN_MSG_POSTCOPY_PAGE);
    assert_int_equal(msg.kind, APN_EXTENT_DATA);
    assert_int_equal(msg.region, 3);
    assert_int_equal(msg.span, APN_PAGE_SIZE);
    assert_int_equal(msg.bytes, APN_PAGE_SIZE);
    assert_true(msg.offset == (uint64_t)page * APN_PAGE_SIZE);
    assert_memory_equal(msg.payload, rig->peer + (size_t)page * APN_PAGE_SIZE, APN_PAGE_SIZE);
}

/* ---- the tests ------------------------------------------------------------------ */

static void pages_come_in_the_order_of_asking(void **state)
{
    struct apn_error err = {0};
    struct apn_msg none;

    (void)state;
    assert_int_equal(rig_new(false, &err), 0);
    for (unsigned round = 0; round < 3 * APN_RDMA_FETCH_SLOTS; round++) { /* the ring wraps */
        const unsigned page = round * 37 % (PAGES - 1);

        apn_rdma_fetcher_begin(&rig->f);
        assert_int_equal(start(page), 0);
        assert_int_equal(start(PAGES / 2), 0); /* first of the second piece */
        assert_true(apn_rdma_fetcher_waits(&rig->f));
        assert_false(apn_rdma_fetcher_next(&rig->f, &none));
        answer();
        assert_told(page);
        assert_false(apn_rdma_fetcher_next(&rig->f, &none));
        answer();
        assert_told(PAGES / 2);
        assert_false(apn_rdma_fetcher_waits(&rig->f));
    }
    assert_int_equal(atomic_load(&rig->totals.reads), 6 * APN_RDMA_FETCH_SLOTS);
    assert_int_equal(atomic_load(&rig->totals.in_flight), 0);
    rig_free();
}

static void no_more_are_out_than_the_peer_answers(void **state)
{
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(rig_new(false, &err), 0);
    for (unsigned i = 0; i < READS; i++) {
        assert_int_equal(start(i), 0);
    }
    assert_int_equal(start(READS), -EAGAIN);
    answer();
    assert_int_equal(start(READS), 0);
    assert_int_equal(start(0), -EAGAIN);
    rig_free();
}

/* what an event points to stays as it is until the next poll, however much is read meanwhile */
static void lent_pages_are_not_overwritten(void **state)
{
    struct apn_error err = {0};
    struct apn_msg lent;
    unsigned started = 0;

    (void)state;
    assert_int_equal(rig_new(false, &err), 0);
    assert_int_equal(start(9), 0);
    answer();
    assert_true(apn_rdma_fetcher_next(&rig->f, &lent));
    while (!start(20)) {
        started++;
        answer();
    }
    assert_int_equal(started, APN_RDMA_FETCH_SLOTS - 1);
    assert_memory_equal(lent.payload, rig->peer + 9 * APN_PAGE_SIZE, APN_PAGE_SIZE);
    for (unsigned i = 0; i < started; i++) {
        assert_told(20);
    }
    assert_int_equal(start(20), -EAGAIN); /* all lent */
    apn_rdma_fetcher_begin(&rig->f);
    assert_int_equal(start(20), 0);
    rig_free();
}

static void a_full_send_queue_keeps_room_for_frames(void **state)
{
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(rig_new(false, &err), 0);
    rig->tx.posted += DEPTH - 5; /* requests of others that are not done */
    assert_int_equal(start(1), -EAGAIN);
    rig->tx.done += 2;
    assert_int_equal(start(1), 0);
    rig->tx.done = rig->tx.posted;
    rig_free();
}

static void without_a_right_nothing_is_read(void **state)
{
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(rig_new(false, &err), 0);
    assert_int_equal(start(PAGES - 1), -ENOTSUP);
    assert_int_equal(start(PAGES), -ENOTSUP);
    assert_int_equal(apn_rdma_fetcher_start(&rig->f, 2, 0), -ENOTSUP);
    assert_int_equal(apn_rdma_fetcher_start(&rig->f, APN_REGIONS_MAX, 0), -ENOTSUP);
    assert_int_equal(apn_rdma_fetcher_start(&rig->f, 3, UINT64_MAX - 4095), -ENOTSUP);
    assert_int_equal(rig->tail, 0);
    assert_int_equal(start(PAGES - 2), 0); /* the last that is open */
    answer();
    assert_told(PAGES - 2);
    rig_free();
}

static void a_link_without_staging_reads_nothing(void **state)
{
    struct apn_error err = {0};
    struct apn_msg none;

    (void)state;
    assert_int_equal(rig_new(true, &err), -ENOMEM);
    assert_non_null(strstr(err.text, "256 KiB"));
    assert_int_equal(start(1), -ENOTSUP);
    apn_rdma_fetcher_begin(&rig->f);
    apn_rdma_fetcher_completed(&rig->f, 100);
    assert_false(apn_rdma_fetcher_next(&rig->f, &none));
    assert_false(apn_rdma_fetcher_waits(&rig->f));
    rig_free();
}

/* which request broke the queue pair: a read that is out, and nothing else */
static void a_broken_request_is_known_as_a_read(void **state)
{
    struct apn_error err = {0};

    (void)state;
    assert_int_equal(rig_new(false, &err), 0);
    rig->tx.posted = rig->tx.done = 10;
    assert_int_equal(start(1), 0);
    assert_int_equal(start(2), 0);
    assert_true(apn_rdma_fetcher_owns(&rig->f, 11));
    assert_true(apn_rdma_fetcher_owns(&rig->f, 12));
    assert_false(apn_rdma_fetcher_owns(&rig->f, 10));
    assert_false(apn_rdma_fetcher_owns(&rig->f, 13));
    answer();
    assert_false(apn_rdma_fetcher_owns(&rig->f, 11));
    rig->post_code = EIO;
    assert_int_equal(start(3), -EIO);
    assert_false(apn_rdma_fetcher_owns(&rig->f, 13));
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_come_in_the_order_of_asking),
        cmocka_unit_test(no_more_are_out_than_the_peer_answers),
        cmocka_unit_test(lent_pages_are_not_overwritten),
        cmocka_unit_test(a_full_send_queue_keeps_room_for_frames),
        cmocka_unit_test(without_a_right_nothing_is_read),
        cmocka_unit_test(a_link_without_staging_reads_nothing),
        cmocka_unit_test(a_broken_request_is_known_as_a_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
