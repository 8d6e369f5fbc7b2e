/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uring_parts.c - the parts without I/O: the send queue with partial sends and late notifications,
 * the zero-copy probe */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/note.h"
#include "backend/uring/probe.h"
#include "backend/uring/send.h"
#include "wire/codec.h"

#define PAGE 4096u

static struct apn_uring_sender *new_sender(void)
{
    struct apn_uring_sender *tx = malloc(sizeof(*tx));

    assert_non_null(tx);
    assert_int_equal(apn_uring_sender_init(tx), 0);
    return tx;
}

static void free_sender(struct apn_uring_sender *tx)
{
    apn_uring_sender_done(tx);
    free(tx);
}

/* what the socket would see: take @bytes from the front of the message */
static void copy_out(const struct apn_uring_sender *tx, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; bytes; i++) {
        size_t part =
            tx->message.msg_iov[i].iov_len < bytes ? tx->message.msg_iov[i].iov_len : bytes;

        memcpy(out, tx->message.msg_iov[i].iov_base, part);
        out += part;
        bytes -= part;
    }
}

/* in steps of every size, the bytes are the headers and payloads in order */
static void partial_sends(void **state)
{
    static uint8_t page[PAGE], expected[6 * (40 + PAGE)], seen[sizeof(expected)];
    struct apn_msg msgs[6];
    size_t total = 0;

    (void)state;
    for (unsigned i = 0; i < PAGE; i++) {
        page[i] = (uint8_t)(i * 7);
    }
    for (unsigned i = 0; i < 6; i++) {
        bool has_page = i % 3 == 2;

        msgs[i] = (struct apn_msg){.type = APN_MSG_EXTENT,
                                   .kind = has_page ? APN_EXTENT_DATA : APN_EXTENT_ZERO,
                                   .bytes = has_page ? PAGE : 0,
                                   .span = PAGE,
                                   .offset = PAGE * i,
                                   .payload = has_page ? page : NULL};
        apn_msg_encode(&msgs[i], expected + total);
        total += APN_WIRE_HEADER_BYTES;
        if (has_page) {
            memcpy(expected + total, page, PAGE);
            total += PAGE;
        }
    }
    for (size_t step = 1; step <= total; step += step < 100 ? 1 : 997) {
        struct apn_uring_sender *tx = new_sender();
        size_t sent = 0, left = total;

        assert_int_equal(apn_uring_sender_post(tx, msgs, 6), 0);
        assert_true(apn_uring_sender_gather(tx) >= 0);
        assert_int_equal(apn_uring_sender_gather(tx), -EAGAIN); /* one at a time */
        assert_int_equal(tx->unsent_bytes, total);
        assert_true(tx->message.msg_iovlen <= 4); /* headers side by side are one entry */
        while (left) {
            size_t part = step < left ? step : left;

            copy_out(tx, part, seen + sent);
            sent += part;
            left = apn_uring_sender_took(tx, part);
        }
        assert_memory_equal(seen, expected, total);
        assert_true(apn_uring_sender_idle(tx));
        free_sender(tx);
    }
}

/* slots are released in order, and only when the kernel reads them no more */
static void late_notifications(void **state)
{
    const struct apn_msg ping = {.type = APN_MSG_PING};
    struct apn_uring_sender *tx = new_sender();
    int batch[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(apn_uring_sender_post(tx, &ping, 1), 0);
        batch[i] = apn_uring_sender_gather(tx);
        assert_true(batch[i] >= 0);
        apn_uring_sender_expect(tx, (unsigned)batch[i]);
        assert_int_equal(apn_uring_sender_took(tx, APN_WIRE_HEADER_BYTES), 0);
    }
    apn_uring_sender_notified(tx, (unsigned)batch[2]);
    apn_uring_sender_notified(tx, (unsigned)batch[1]);
    assert_int_equal(tx->released, 0);
    apn_uring_sender_notified(tx, (unsigned)batch[0]);
    assert_int_equal(tx->released, 3);
    assert_true(apn_uring_sender_idle(tx));
    free_sender(tx);
}

/* with no batch free, sending pauses; with no slot free, posting does */
static void limits_are_reached(void **state)
{
    const struct apn_msg ping = {.type = APN_MSG_PING};
    struct apn_uring_sender *tx = new_sender();
    int batch = 0;

    (void)state;
    for (unsigned i = 0; i < APN_URING_BATCHES; i++) {
        assert_int_equal(apn_uring_sender_post(tx, &ping, 1), 0);
        batch = apn_uring_sender_gather(tx);
        assert_true(batch >= 0);
        apn_uring_sender_expect(tx, (unsigned)batch);
        apn_uring_sender_took(tx, APN_WIRE_HEADER_BYTES);
    }
    for (unsigned i = APN_URING_BATCHES; i < APN_URING_SLOTS; i++) {
        assert_int_equal(apn_uring_sender_post(tx, &ping, 1), 0);
    }
    assert_int_equal(apn_uring_sender_gather(tx), -EAGAIN);
    assert_int_equal(apn_uring_sender_post(tx, &ping, 1), -EAGAIN);
    apn_uring_sender_notified(tx, 0);
    assert_int_equal(apn_uring_sender_gather(tx), 0);
    assert_int_equal(apn_uring_sender_post(tx, &ping, 1), 0);
    free_sender(tx);
}

/* a model of the costs; Return: the verdict, and how much was sent until then */
static enum apn_uring_verdict probe_with(uint64_t copy_ns_per_mib, uint64_t zerocopy_ns_per_mib,
                                         bool copies, unsigned *mib)
{
    enum apn_uring_verdict verdict = APN_URING_VERDICT_OPEN;
    struct apn_uring_probe probe;
    uint64_t cpu_ns = 12345;

    apn_uring_probe_start(&probe);
    for (*mib = 0; verdict == APN_URING_VERDICT_OPEN && *mib < 1000; (*mib)++) {
        bool zerocopy = apn_uring_probe_zerocopy(&probe);

        cpu_ns += zerocopy ? zerocopy_ns_per_mib : copy_ns_per_mib;
        if (zerocopy) {
            apn_uring_probe_report(&probe, copies);
        }
        verdict = apn_uring_probe_sent(&probe, 1u << 20, cpu_ns);
    }
    assert_false(apn_uring_probe_zerocopy(&probe)); /* over */
    return verdict;
}

static void the_cheaper_way_wins(void **state)
{
    unsigned mib;

    (void)state;
    assert_int_equal(probe_with(200, 100, false, &mib), APN_URING_VERDICT_ZEROCOPY);
    assert_int_equal(mib, 80);
    assert_int_equal(probe_with(100, 200, false, &mib), APN_URING_VERDICT_COPY);
    assert_int_equal(probe_with(100, 95, false, &mib), APN_URING_VERDICT_COPY); /* not by a tenth */
    assert_int_equal(probe_with(200, 100, true, &mib), APN_URING_VERDICT_COPY); /* copied anyway */
    assert_true(mib < 48);
}

static void notes_stand_side_by_side(void **state)
{
    char notes[32] = "";

    (void)state;
    apn_note_add(notes, sizeof(notes), "");
    assert_string_equal(notes, "");
    apn_note_add(notes, sizeof(notes), "small buffers");
    apn_note_add(notes, sizeof(notes), "small buffers");
    assert_string_equal(notes, "small buffers");
    apn_note_add(notes, sizeof(notes), "no memory to lock");
    assert_string_equal(notes, "small buffers"); /* "; " and the end would not fit */
    apn_note_add(notes, sizeof(notes), "no memory to loc");
    assert_string_equal(notes, "small buffers; no memory to loc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partial_sends),
        cmocka_unit_test(late_notifications),
        cmocka_unit_test(limits_are_reached),
        cmocka_unit_test(the_cheaper_way_wins),
        cmocka_unit_test(notes_stand_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
