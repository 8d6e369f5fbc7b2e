/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rdma_plan.c - what the ends of a queue pair tell each other, and the sizing model
 * Thread: one.   Time: none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <apnmig/rdma_plan.h>

#include "backend/rdma/receive.h"
#include "backend/rdma/send.h"
#include "wire/codec.h"
#include "wire/rdma.h"

/* ---- offers ------------------------------------------------------------------------------------ */

static void offers_survive_the_wire_and_damage_is_seen(void **state)
{
    struct apn_rdma_offer offer = {.qpn = 17, .psn = 99, .slots = 64, .slot_bytes = 8192, .mtu = 5, .link_layer = 2, .gid = {1, 2}}, out;
    struct apn_wire_rdma_offer wire, bad;
    struct apn_error err = {0};

    (void)state;
    apn_rdma_offer_encode(&offer, &wire);
    assert_int_equal(apn_rdma_offer_decode(&wire, &out, &err), 0);
    assert_true(out.qpn == 17 && out.psn == 99 && out.slots == 64 && out.mtu == 5 && out.gid[1] == 2);
    for (size_t i = 0; i < sizeof(wire); i++) {
        bad = wire;
        ((uint8_t *)&bad)[i] ^= 0x40;
        assert_true(apn_rdma_offer_decode(&bad, &out, &err) < 0);
    }
}

static void offers_are_checked_field_by_field(void **state)
{
    static const struct apn_rdma_offer good = {.qpn = 17, .psn = 99, .slots = 64, .slot_bytes = 8192, .mtu = 5, .link_layer = 2};
    struct apn_rdma_offer offers[8];
    struct apn_wire_rdma_offer wire;
    struct apn_rdma_offer out;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        offers[i] = good;
    }
    offers[0].qpn = 0;
    offers[1].qpn = 1u << 24;
    offers[2].psn = 1u << 24;
    offers[3].slots = APN_RDMA_SLOTS_MAX + 1;
    offers[4].slots = APN_RDMA_SLOTS_MIN - 1;
    offers[5].slot_bytes = APN_RDMA_SLOT_BYTES_MAX + 1;
    offers[6].mtu = 6;
    offers[7].link_layer = 3;
    for (unsigned i = 0; i < 8; i++) {
        struct apn_error err = {0};

        apn_rdma_offer_encode(&offers[i], &wire);
        assert_int_equal(apn_rdma_offer_decode(&wire, &out, &err), -EPROTO);
        assert_true(err.text[0]);
    }
    offers[0] = (struct apn_rdma_offer){.code = -ENODEV, .text = "no\ndevice"};
    apn_rdma_offer_encode(&offers[0], &wire);
    assert_int_equal(apn_rdma_offer_decode(&wire, &out, NULL), 0);
    assert_int_equal(out.code, -ENODEV);
    assert_string_equal(out.text, "no?device");
}

/* ---- the model ------------------------------------------------------------------------------------ */

static struct apn_rdma_plan plan_of(double gbps, double rtt_ms, uint32_t extent, uint32_t packets)
{
    struct apn_rdma_path path = {.rate_bytes_per_s = (uint64_t)(gbps * 1e9 / 8), .rtt_ns = (uint64_t)(rtt_ms * 1e6), .page_bytes = extent,
                                 .packets_per_qp = packets};
    struct apn_rdma_plan plan;
    struct apn_error err = {0};

    if (apn_rdma_plan(&path, &plan, &err)) {
        fail_msg("%s", err.text);
    }
    return plan;
}

static void plans_fill_the_path(void **state)
{
    static const double rates[] = {10, 100, 200, 400}, rtts[] = {0.1, 1, 6, 30, 60};

    (void)state;
    for (unsigned r = 0; r < 4; r++) {
        for (unsigned t = 0; t < 5; t++) {
            struct apn_rdma_plan p = plan_of(rates[r], rtts[t], 65536, 0);
            uint64_t retries_ns = (4096ull << p.ack_timeout) * (p.retries + 1u);

            assert_int_equal(p.bound, APN_RDMA_BOUND_LINE);
            assert_true((double)p.goodput_bytes_per_s * 8 > 0.97e9 * rates[r]);
            assert_true((uint64_t)p.lanes * p.depth >= p.requests_in_flight);
            assert_true((4096ull << p.ack_timeout) > (uint64_t)(rtts[t] * 2e6)); /* not while the answer is on its way */
            assert_true(retries_ns <= 8000000000ull);                          /* and not beyond the session */
        }
    }
}

static void bounds_have_their_names(void **state)
{
    struct apn_rdma_path path = {.rate_bytes_per_s = 50000000000ull, .rtt_ns = 60000000, .lanes = 1, .max_qp_wr = 1024};
    struct apn_rdma_plan plan;

    (void)state;
    assert_int_equal(apn_rdma_plan(&path, &plan, NULL), 0);
    assert_int_equal(plan.bound, APN_RDMA_BOUND_DEPTH);
    assert_true(plan.goodput_bytes_per_s == (uint64_t)(1024 * 4096 / 0.06));
    path = (struct apn_rdma_path){.rate_bytes_per_s = 50000000000ull, .rtt_ns = 6000000, .messages_per_s = 1000000};
    assert_int_equal(apn_rdma_plan(&path, &plan, NULL), 0);
    assert_int_equal(plan.bound, APN_RDMA_BOUND_MESSAGES);
    assert_true(plan.goodput_bytes_per_s == 4096000000ull);
    assert_int_equal(plan_of(100, 6, 65536, 64).bound, APN_RDMA_BOUND_PACKETS); /* soft-RoCE as shipped */
    path = (struct apn_rdma_path){.mtu_bytes = 1500};
    assert_true(apn_rdma_plan(&path, &plan, NULL) < 0);
    path = (struct apn_rdma_path){.lanes = 33};
    assert_true(apn_rdma_plan(&path, &plan, NULL) < 0);
    path = (struct apn_rdma_path){.page_bytes = 5000};
    assert_true(apn_rdma_plan(&path, &plan, NULL) < 0);
}

static void devices_are_named_in_one_word(void **state)
{
    static const char *const bad[] = {":1", "mlx5_0:0", "mlx5_0:300", "mlx5_0:1:256", "mlx5_0:1:3:4", "mlx5_0:", "mlx5_0:x"};
    struct apn_rdma_choice choice;

    (void)state;
    assert_int_equal(apn_rdma_choice_parse("mlx5_0:1:3", &choice, NULL), 0);
    assert_true(!strcmp(choice.name, "mlx5_0") && choice.port == 1 && choice.gid == 3);
    assert_int_equal(apn_rdma_choice_parse("", &choice, NULL), 0);
    assert_true(!choice.name[0] && choice.gid == -1);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(apn_rdma_choice_parse(bad[i], &choice, NULL) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_survive_the_wire_and_damage_is_seen),
        cmocka_unit_test(offers_are_checked_field_by_field),
        cmocka_unit_test(plans_fill_the_path),
        cmocka_unit_test(bounds_have_their_names),
        cmocka_unit_test(devices_are_named_in_one_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
