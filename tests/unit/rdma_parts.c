/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdma_parts.c - the rdma backend without an adapter: sender and receiver joined by a queue pair of this test's own
 * Thread: one.   Time: none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "backend/rdma/receive.h"
#include "backend/rdma/send.h"
#include "wire/codec.h"
#include "wire/rdma.h"

#define RAM   (4u << 20)
#define SLOTS 64u
#define BYTES 8192u

/* ---- a queue pair of our own ---------------------------------------------------------- */

/* Carries out WRITEs at once and SENDs into the peer's slots; completions come when complete() is called. */
struct fabric {
    struct ibv_context context; /* only its table is used */
    struct ibv_qp pair;
    struct ibv_mr mr;
    struct apn_rdma_qp qp;
    struct apn_rdma_plan plan;
    struct apn_rdma_memory memory;
    struct apn_rdma_totals totals;
    struct apn_rdma_sender tx;
    struct apn_rdma_receiver rx;
    struct apn_sink sink;
    struct apn_rdma_qp receive_qp; /* the peer's */
    struct apn_rdma_sender reverse; /* the peer's, for credits */
    uint8_t *source, *dest;
    uint32_t next_slot, arrived, free_slots;
    uint32_t writes, sends, largest_gather;
    uint64_t last_wr;
};

static struct fabric *fabric;

static int fake_post_send(struct ibv_qp *pair, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    (void)pair;
    (void)bad;
    for (; wr; wr = wr->next) {
        uint8_t *to = wr->opcode == IBV_WR_RDMA_WRITE ? (uint8_t *)(uintptr_t)wr->wr.rdma.remote_addr
                                                      : apn_rdma_qp_slot(&fabric->receive_qp, fabric->next_slot);
        uint32_t bytes = 0;

        for (int i = 0; i < wr->num_sge; i++) {
            memcpy(to + bytes, (const void *)(uintptr_t)wr->sg_list[i].addr, wr->sg_list[i].length);
            bytes += wr->sg_list[i].length;
        }
        fabric->largest_gather = (uint32_t)wr->num_sge > fabric->largest_gather ? (uint32_t)wr->num_sge : fabric->largest_gather;
        if (wr->opcode == IBV_WR_RDMA_WRITE) {
            fabric->writes++;
            assert_int_equal(wr->wr.rdma.rkey, 77);
        } else {
            assert_true(fabric->free_slots > 0); /* credits: never a frame without a slot */
            fabric->free_slots--;
            fabric->sends++;
            apn_rdma_receiver_arrived(&fabric->rx, fabric->next_slot, bytes);
            fabric->next_slot = (fabric->next_slot + 1) % SLOTS;
        }
        fabric->last_wr = wr->wr_id;
    }
    return 0;
}

static int fake_post_recv(struct ibv_qp *pair, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    (void)pair;
    (void)bad;
    for (; wr; wr = wr->next) {
        fabric->free_slots++;
    }
    return 0;
}

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    (void)opaque;
    return region == 0 && offset <= RAM && span <= RAM - offset ? fabric->dest + offset : NULL;
}

static uint8_t *ram(void)
{
    void *memory = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    return memory;
}

static void fake_pair(struct fabric *f, struct apn_rdma_qp *qp)
{
    *qp = (struct apn_rdma_qp){.slots = SLOTS, .frames = SLOTS, .slot_bytes = BYTES, .depth = 512, .gather = 4, .qp = &f->pair,
                               .mr = &f->mr, .peer_slots = SLOTS, .peer_slot_bytes = BYTES};
    qp->memory = calloc(2 * SLOTS, BYTES);
    assert_non_null(qp->memory);
}

/* @pieces: into how many the source's memory is registered; @open: bytes that the peer opened */
static void fabric_new(unsigned pieces, uint64_t open)
{
    struct fabric *f = fabric = calloc(1, sizeof(*f));
    struct apn_rdma_pieces *table = calloc(1, sizeof(*table) + pieces * sizeof(table->piece[0]));
    struct apn_key key = {.region = 0, .rkey = 77, .length = open};

    assert_non_null(f);
    assert_non_null(table);
    f->context.ops.post_send = fake_post_send;
    f->context.ops.post_recv = fake_post_recv;
    f->pair.context = &f->context;
    f->source = ram();
    f->dest = ram();
    for (size_t i = 0; i < RAM / 8; i++) {
        ((uint64_t *)(void *)f->source)[i] = i * 0x9e3779b97f4a7c15ull + 1;
    }
    fake_pair(f, &f->qp);
    fake_pair(f, &f->receive_qp);
    f->plan = (struct apn_rdma_plan){.slots = SLOTS, .signal_every = 64};
    apn_rdma_memory_init(&f->memory);
    table->count = pieces;
    for (unsigned i = 0; i < pieces; i++) {
        table->piece[i] = (struct apn_rdma_piece){f->source + (size_t)i * (RAM / pieces), RAM / pieces, &f->mr};
    }
    atomic_store(&f->memory.pieces, table);
    key.address = (uint64_t)(uintptr_t)f->dest;
    assert_int_equal(open ? apn_rdma_keys_add(&f->memory, &key) : 0, 0);
    f->sink = (struct apn_sink){resolve, f};
    f->free_slots = SLOTS;
    assert_int_equal(apn_rdma_sender_init(&f->tx, &f->qp, &f->memory, &f->totals, &f->plan), 0);
    assert_int_equal(apn_rdma_sender_init(&f->reverse, &f->receive_qp, &f->memory, &f->totals, &f->plan), 0);
    assert_int_equal(apn_rdma_receiver_init(&f->rx, &f->receive_qp, &f->sink, &f->memory), 0);
}

static void fabric_free(void)
{
    struct fabric *f = fabric;

    apn_rdma_sender_done(&f->tx);
    apn_rdma_sender_done(&f->reverse);
    apn_rdma_receiver_done(&f->rx);
    free(atomic_exchange(&f->memory.pieces, NULL));
    apn_rdma_memory_done(&f->memory);
    free(f->qp.memory);
    free(f->receive_qp.memory);
    munmap(f->source, RAM);
    munmap(f->dest, RAM);
    free(f);
}

static const struct apn_rdma_told nothing;

static void pump(void)
{
    assert_int_equal(apn_rdma_sender_pump(&fabric->tx, &nothing), 0);
}

static void complete(void)
{
    apn_rdma_sender_completed(&fabric->tx, fabric->last_wr);
}

/* the peer says what it has given back and applied */
static void tell(void)
{
    assert_int_equal(apn_rdma_receiver_begin(&fabric->rx), 0);
    assert_int_equal(apn_rdma_sender_heard(&fabric->tx, fabric->rx.consumed, fabric->rx.handled), 0);
}

static void post(const struct apn_msg *msg)
{
    assert_int_equal(apn_rdma_sender_post(&fabric->tx, msg, 1), 0);
}

static struct apn_msg extent(uint64_t offset, uint32_t span)
{
    return (struct apn_msg){.type = APN_MSG_EXTENT, .kind = APN_EXTENT_DATA, .offset = offset, .span = span, .bytes = span,
                            .payload = fabric->source + offset};
}

static struct apn_msg zero(uint64_t offset, uint32_t span)
{
    return (struct apn_msg){.type = APN_MSG_EXTENT, .kind = APN_EXTENT_ZERO, .offset = offset, .span = span};
}

/* Return: the next message, or type 0 */
static struct apn_msg receive(void)
{
    struct apn_error err = {0};
    struct apn_msg msg = {0};
    int ret = apn_rdma_receiver_next(&fabric->rx, &fabric->reverse, &msg, &err);

    if (ret < 0) {
        fail_msg("%s", err.text);
    }
    return ret ? msg : (struct apn_msg){0};
}

/* ---- sender and receiver ------------------------------------------------------------------ */

static void pages_are_written_and_then_told(void **state)
{
    struct apn_msg msg;

    (void)state;
    fabric_new(1, RAM);
    msg = extent(8192, 4096);
    post(&msg);
    pump();
    assert_int_equal(fabric->writes, 1);
    assert_int_equal(fabric->sends, 1);
    assert_memory_equal(fabric->dest + 8192, fabric->source + 8192, 4096);
    msg = receive();
    assert_int_equal(msg.type, APN_MSG_EXTENT);
    assert_true(msg.offset == 8192 && msg.span == 4096 && !msg.payload);
    assert_true(atomic_load(&fabric->totals.written_bytes) == 4096 && !atomic_load(&fabric->totals.copied_bytes));
    fabric_free();
}

static void neighbours_become_one_write(void **state)
{
    (void)state;
    fabric_new(1, RAM);
    for (unsigned i = 0; i < 16; i++) {
        struct apn_msg msg = extent(i * 4096u, 4096);

        post(&msg);
    }
    pump();
    assert_int_equal(fabric->writes, 1);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(receive().offset == i * 4096u);
    }
    assert_memory_equal(fabric->dest, fabric->source, 16 * 4096);
    fabric_free();
}

static void a_page_run_over_two_registrations_is_gathered(void **state)
{
    struct apn_msg msg;

    (void)state;
    fabric_new(4, RAM);
    msg = extent(RAM / 4 - 8192, 16384);
    post(&msg);
    pump();
    assert_int_equal(fabric->writes, 1);
    assert_int_equal(fabric->largest_gather, 2);
    assert_memory_equal(fabric->dest + RAM / 4 - 8192, fabric->source + RAM / 4 - 8192, 16384);
    fabric_free();
}

static void what_is_not_open_is_copied(void **state)
{
    struct apn_msg msg;

    (void)state;
    fabric_new(1, RAM / 2);
    msg = extent(RAM / 2 - 65536, 131072); /* its second half is closed */
    post(&msg);
    pump();
    assert_int_equal(fabric->writes, 0);
    msg = receive();
    assert_true(msg.span == 131072 && !msg.payload);
    assert_memory_equal(fabric->dest + RAM / 2 - 65536, fabric->source + RAM / 2 - 65536, 131072);
    fabric_free();
}

/* A zero page on its way is cleared by the peer's CPU some time; a WRITE of the same page may be there before. */
static void a_write_does_not_overtake_a_zero_page(void **state)
{
    struct apn_msg msg;

    (void)state;
    fabric_new(1, RAM);
    msg = zero(0, 262144);
    post(&msg);
    msg = extent(131072, 4096);
    post(&msg);
    pump();
    assert_int_equal(fabric->writes, 0); /* went behind the zero, by the CPU */
    assert_int_equal(receive().kind, APN_EXTENT_ZERO);
    memset(fabric->dest, 0, 262144); /* as the engine does */
    assert_int_equal(receive().kind, APN_EXTENT_DATA);
    assert_memory_equal(fabric->dest + 131072, fabric->source + 131072, 4096);
    msg = extent(131072, 4096);
    post(&msg);
    pump();
    assert_int_equal(fabric->writes, 0); /* the copy itself is not known to be applied */
    assert_int_equal(receive().type, APN_MSG_EXTENT);
    tell();
    msg = extent(131072, 4096);
    post(&msg);
    msg = extent(262144, 4096);
    post(&msg);
    pump();
    assert_int_equal(fabric->writes, 2); /* now it is */
    fabric_free();
}

static void a_neighbour_of_a_zero_page_is_written(void **state)
{
    struct apn_msg msg;

    (void)state;
    fabric_new(1, RAM);
    for (unsigned i = 0; i < 32; i++) {
        msg = i % 2 ? zero(i * 4096u, 4096) : extent(i * 4096u, 4096);
        post(&msg);
    }
    pump();
    assert_int_equal(fabric->writes, 16);
    fabric_free();
}

static void without_credit_nothing_is_sent_and_nothing_is_lost(void **state)
{
    uint8_t payload[4000];
    unsigned posted = 0, got = 0;

    (void)state;
    memset(payload, 5, sizeof(payload));
    fabric_new(1, RAM);
    for (unsigned round = 0; round < 400; round++) {
        struct apn_msg msg = {.type = APN_MSG_STREAM, .offset = posted, .bytes = sizeof(payload), .payload = payload};

        posted += apn_rdma_sender_post(&fabric->tx, &msg, 1) == 0;
        pump(); /* fake_post_send() checks that there is a slot */
        complete();
        if (round % 50 == 49) {
            for (struct apn_msg in = receive(); in.type; in = receive()) {
                assert_true(in.offset == got++ && in.bytes == sizeof(payload));
                assert_memory_equal(in.payload, payload, sizeof(payload));
                if (fabric->rx.lent) {
                    tell();
                }
            }
            tell();
        }
    }
    for (unsigned i = 0; i < 400 && got < posted; i++) {
        tell();
        pump();
        complete();
        got += receive().type != 0;
    }
    assert_int_equal(got, posted);
    assert_int_equal(posted, 400);
    fabric_free();
}

/* messages of every length, in frames that end anywhere in them */
static void records_cross_frames(void **state)
{
    static uint8_t payload[APN_STREAM_CHUNK_MAX];
    unsigned got = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)(i * 31 + i / 256);
    }
    fabric_new(1, RAM);
    for (unsigned i = 0; i < 300; i++) {
        struct apn_msg msg = {.type = APN_MSG_STREAM, .offset = i, .bytes = 1 + i * 997 % (APN_STREAM_CHUNK_MAX - 300), .payload = payload + i};

        post(&msg);
        for (unsigned turns = 0; got <= i && turns < 50; turns++) {
            struct apn_msg in;

            pump();
            complete();
            in = receive();
            if (in.type) {
                assert_true(in.offset == got && in.bytes == 1 + got * 997 % (APN_STREAM_CHUNK_MAX - 300));
                assert_memory_equal(in.payload, payload + got, in.bytes);
                got++;
            }
            tell();
        }
    }
    assert_int_equal(got, 300);
    fabric_free();
}

/* ---- a peer that lies ----------------------------------------------------------------------- */

static void lie(const uint8_t *record, size_t bytes, uint8_t type)
{
    struct apn_frame header = {.type = type};
    struct apn_error err = {0};
    struct apn_msg msg;
    uint8_t *slot;
    int ret;

    fabric_new(1, RAM);
    memset(fabric->dest, 0xee, RAM);
    slot = apn_rdma_qp_slot(&fabric->receive_qp, 0);
    apn_frame_encode(&header, slot);
    memcpy(slot + APN_WIRE_FRAME_BYTES, record, bytes);
    apn_rdma_receiver_arrived(&fabric->rx, 0, (uint32_t)(APN_WIRE_FRAME_BYTES + bytes));
    ret = apn_rdma_receiver_next(&fabric->rx, &fabric->reverse, &msg, &err);
    assert_true(ret < 0 && err.text[0]);
    for (unsigned i = 0; i < RAM; i += 64) {
        assert_int_equal(fabric->dest[i], 0xee);
    }
    fabric_free();
}

static void liars_are_found_out(void **state)
{
    struct apn_msg msg = {.type = APN_MSG_EXTENT, .kind = APN_EXTENT_DATA, .span = 4096, .bytes = 4096};
    uint8_t record[APN_WIRE_RECORD_BYTES + 4096] = {0}, frame[APN_WIRE_FRAME_BYTES] = {0};
    struct apn_key key = {.region = APN_REGIONS_MAX, .length = 4096};
    struct apn_frame out;
    struct apn_error err = {0};

    (void)state;
    for (unsigned written = 0; written < 2; written++) { /* behind the region, in either way */
        msg.offset = RAM;
        apn_msg_encode(&msg, record + 4);
        record[0] = (uint8_t)written;
        lie(record, sizeof(record), APN_FRAME_RECORDS);
    }
    msg.offset = 0;
    apn_msg_encode(&msg, record + 4);
    record[0] = 2;
    lie(record, sizeof(record), APN_FRAME_RECORDS);
    record[0] = 0;
    record[20] ^= 1;
    lie(record, sizeof(record), APN_FRAME_RECORDS);
    msg = (struct apn_msg){.type = APN_MSG_PING};
    apn_msg_encode(&msg, record + 4);
    record[0] = 1; /* a message that no adapter can have written */
    lie(record, APN_WIRE_RECORD_BYTES, APN_FRAME_RECORDS);
    apn_key_encode(&key, record);
    lie(record, sizeof(struct apn_wire_key), APN_FRAME_KEYS);
    key = (struct apn_key){.region = 0, .offset = 4096, .length = UINT64_MAX - 4095};
    apn_key_encode(&key, record);
    lie(record, sizeof(struct apn_wire_key), APN_FRAME_KEYS);
    lie(record, 31, APN_FRAME_KEYS);
    assert_true(apn_frame_decode(frame, sizeof(frame), &out, &err) < 0); /* type 0 */
    assert_true(apn_frame_decode(frame, 15, &out, &err) < 0);
    frame[0] = APN_FRAME_END + 1;
    assert_true(apn_frame_decode(frame, sizeof(frame), &out, &err) < 0);
}

static void rights_that_nobody_may_use_are_refused(void **state)
{
    struct apn_key key = {.region = 5, .rkey = 3, .length = 4096};
    struct apn_frame header = {.type = APN_FRAME_KEYS};
    struct apn_error err = {0};
    struct apn_msg msg;
    uint8_t *slot;

    (void)state;
    for (unsigned refuses = 0; refuses < 2; refuses++) {
        fabric_new(1, 0);
        fabric->rx.refuses_keys = refuses;
        slot = apn_rdma_qp_slot(&fabric->receive_qp, 0);
        apn_frame_encode(&header, slot);
        apn_key_encode(&key, slot + APN_WIRE_FRAME_BYTES);
        apn_rdma_receiver_arrived(&fabric->rx, 0, APN_WIRE_FRAME_BYTES + sizeof(struct apn_wire_key));
        assert_int_equal(apn_rdma_receiver_next(&fabric->rx, &fabric->reverse, &msg, &err), refuses ? -EPROTO : 0);
        assert_int_equal(!apn_rdma_keys_find(&fabric->memory, 5, 0), refuses);
        fabric_free();
    }
    assert_non_null(strstr(err.text, "rights"));
}

static void credit_that_was_never_given_is_refused(void **state)
{
    (void)state;
    fabric_new(1, RAM);
    assert_true(apn_rdma_sender_heard(&fabric->tx, 1, 0) < 0);
    assert_true(apn_rdma_sender_heard(&fabric->tx, 0, 1) < 0);
    assert_true(apn_rdma_sender_heard(&fabric->tx, UINT32_MAX, 0) < 0);
    assert_int_equal(apn_rdma_sender_heard(&fabric->tx, 0, 0), 0);
    fabric_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_written_and_then_told),
        cmocka_unit_test(neighbours_become_one_write),
        cmocka_unit_test(a_page_run_over_two_registrations_is_gathered),
        cmocka_unit_test(what_is_not_open_is_copied),
        cmocka_unit_test(a_write_does_not_overtake_a_zero_page),
        cmocka_unit_test(a_neighbour_of_a_zero_page_is_written),
        cmocka_unit_test(without_credit_nothing_is_sent_and_nothing_is_lost),
        cmocka_unit_test(records_cross_frames),
        cmocka_unit_test(liars_are_found_out),
        cmocka_unit_test(rights_that_nobody_may_use_are_refused),
        cmocka_unit_test(credit_that_was_never_given_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
