/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire_handshake.c - both roles against each other, byte by byte, with every disagreement and a
 * tamperer between them */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/codec.h"
#include "wire/handshake.h"

static const uint8_t nonce_a[32] = {1, 2, 3}, nonce_b[32] = {4, 5, 6};
static const char secret_one[] = "correct horse battery";
static const char secret_two[] = "incorrect horse batter";

static const struct apn_hello hello = {
    .session_id = {9, 8, 7},
    .lane = 2,
    .lanes = 4,
    .generation = 3,
    .commit = 1,
    .timeout_ms = 8000,
    .features = 0xf0,
    .applied_bytes = 1ull << 41,
};

struct pair {
    struct apn_handshake client, server;
};

static void start(struct pair *p, const char *client_secret, const char *server_secret)
{
    apn_handshake_client_init(&p->client, &hello, client_secret,
                              client_secret ? strlen(client_secret) : 0, nonce_a);
    apn_handshake_server_init(&p->server, server_secret, server_secret ? strlen(server_secret) : 0,
                              nonce_b);
}

/* move what @from has to say to @to in pieces of at most @piece bytes; Return: bytes moved */
static size_t move(struct apn_handshake *from, struct apn_handshake *to, size_t piece)
{
    const uint8_t *bytes;
    size_t moved = 0, n;

    while ((n = apn_handshake_output(from, &bytes)) > 0) {
        size_t wants = apn_handshake_wants(to);

        if (wants == 0) {
            break;
        }
        n = n < wants ? n : wants;
        n = n < piece ? n : piece;
        apn_handshake_input(to, bytes, n);
        apn_handshake_sent(from, n);
        moved += n;
    }
    return moved;
}

/* until neither side moves; the server welcomes with fixed words when it may decide */
static void run(struct pair *p, size_t piece)
{
    for (unsigned i = 0; i < 1000; i++) {
        size_t moved = move(&p->client, &p->server, piece);

        if (p->server.step == APN_HS_STEP_DECIDE) {
            apn_handshake_welcome(&p->server,
                                  &(struct apn_welcome){.features = 0x30, .applied_bytes = 77});
        }
        moved += move(&p->server, &p->client, piece);
        if (!moved) {
            return;
        }
    }
    fail_msg("the handshake does not end");
}

static void agree(void **state)
{
    static const size_t pieces[] = {1, 7, 184};
    struct pair p;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const char *secret = i < 3 ? secret_one : NULL;

        start(&p, secret, secret);
        run(&p, pieces[i % 3]);
        assert_int_equal(p.client.step, APN_HS_STEP_DONE);
        assert_int_equal(p.server.step, APN_HS_STEP_DONE);
        assert_memory_equal(&p.server.hello, &hello, sizeof(hello));
        assert_int_equal(p.client.welcome.features, 0x30);
        assert_int_equal(p.client.welcome.applied_bytes, 77);
        assert_int_equal(apn_handshake_wants(&p.client), 0);
        assert_int_equal(apn_handshake_wants(&p.server), 0);
    }
}

/* @bytes are on their way; the server takes what it wants of them when it wants it, and the client hears the answers */
static void deliver(struct pair *p, const uint8_t *bytes, size_t length, size_t piece)
{
    while (length && p->server.step == APN_HS_STEP_MORE) {
        size_t n = apn_handshake_wants(&p->server);

        n = n < length ? n : length;
        n = n < piece ? n : piece;
        apn_handshake_input(&p->server, bytes, n);
        bytes += n;
        length -= n;
        if (p->server.step == APN_HS_STEP_DECIDE) {
            apn_handshake_welcome(&p->server, &(struct apn_welcome){.applied_bytes = 77});
        }
        move(&p->server, &p->client, piece);
    }
}

/* without a secret PROOF goes with HELLO, and the client speaks but once; with one it waits for the challenge */
static void a_proof_of_nothing_does_not_wait(void **state)
{
    static const size_t pieces[] = {1, 7, 184};
    const size_t two = sizeof(struct apn_wire_hello) + sizeof(struct apn_wire_proof);
    uint8_t sent[sizeof(struct apn_wire_hello) + sizeof(struct apn_wire_proof)];
    const uint8_t *bytes;
    struct pair p;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        start(&p, NULL, i < 3 ? NULL : secret_one);
        apn_handshake_client_hurry(&p.client);
        assert_int_equal(apn_handshake_output(&p.client, &bytes), two);
        memcpy(sent, bytes, two);
        apn_handshake_sent(&p.client, two);
        deliver(&p, sent, two, pieces[i % 3]);
        assert_int_equal(apn_handshake_output(&p.client, &bytes), 0);
        if (i < 3) {
            assert_int_equal(p.client.step, APN_HS_STEP_DONE);
            assert_int_equal(p.server.step, APN_HS_STEP_DONE);
            assert_int_equal(p.client.welcome.applied_bytes, 77);
        } else { /* refused at HELLO, and the reason is heard */
            assert_int_equal(p.client.error.code, -EACCES);
            assert_non_null(strstr(p.client.error.text, "requires a shared secret"));
        }
    }
    start(&p, secret_one, secret_one);
    apn_handshake_client_hurry(&p.client);
    assert_int_equal(apn_handshake_output(&p.client, &bytes), sizeof(struct apn_wire_hello));
    run(&p, 184);
    assert_int_equal(p.client.step, APN_HS_STEP_DONE);
}

static void expect_refusal(const char *client_secret, const char *server_secret, int code,
                           const char *text)
{
    struct pair p;

    start(&p, client_secret, server_secret);
    run(&p, 184);
    assert_int_equal(p.client.step, APN_HS_STEP_FAILED);
    assert_int_equal(p.server.step, APN_HS_STEP_FAILED);
    assert_int_equal(p.client.error.code, code);
    assert_int_equal(p.server.error.code, code);
    assert_non_null(strstr(p.client.error.text, text));
    assert_non_null(strstr(p.server.error.text, text));
}

static void secrets_disagree(void **state)
{
    (void)state;
    expect_refusal(secret_one, secret_two, -EACCES,
                   "the shared secrets of source and destination differ");
    expect_refusal(NULL, secret_one, -EACCES, "requires a shared secret and the source has none");
    expect_refusal(secret_one, NULL, -EACCES,
                   "the source has a shared secret and the destination has none");
}

static void server_says_no(void **state)
{
    struct pair p;

    (void)state;
    start(&p, secret_one, secret_one);
    for (unsigned i = 0; i < 10 && p.server.step == APN_HS_STEP_MORE; i++) {
        move(&p.client, &p.server, 184);
        move(&p.server, &p.client, 184);
    }
    assert_int_equal(p.server.step, APN_HS_STEP_DECIDE);
    apn_handshake_reject(&p.server, -EBUSY, "another session is\nrunning");
    move(&p.server, &p.client, 184);
    assert_int_equal(p.client.error.code, -EBUSY);
    assert_string_equal(p.client.error.text,
                        "handshake: the peer refused: another session is?running");
}

/* a HELLO with one field changed (the check value is made right again), no secret */
static void hello_case(void (*change)(struct apn_wire_hello *), size_t length, const char *text)
{
    struct apn_handshake client, server;
    union {
        struct apn_wire_hello hello;
        uint8_t bytes[APN_WIRE_HS_MAX];
    } wire = {0};
    const uint8_t *bytes;
    size_t used = 0;

    apn_handshake_client_init(&client, &hello, NULL, 0, nonce_a);
    memcpy(&wire.hello, bytes = client.out, sizeof(wire.hello));
    change(&wire.hello);
    wire.hello.prefix.length = htole16((uint16_t)length);
    wire.hello.prefix.check = 0;
    wire.hello.prefix.check = htole32(apn_crc32c(0, wire.bytes, length));
    apn_handshake_server_init(&server, NULL, 0, nonce_b);
    while (used < length && server.step == APN_HS_STEP_MORE) {
        size_t n = apn_handshake_wants(&server);

        assert_true(n > 0 && n <= length - used);
        apn_handshake_input(&server, wire.bytes + used, n);
        used += n;
    }
    assert_int_equal(server.step, APN_HS_STEP_FAILED);
    if (!strstr(server.error.text, text)) {
        fail_msg("\"%s\" lacks \"%s\"", server.error.text, text);
    }
    move(&server, &client, 184); /* the HELLO was not sent by move(): wants() is 0 until then */
    apn_handshake_sent(&client, client.out_bytes);
    move(&server, &client, 184);
    assert_int_equal(client.step, APN_HS_STEP_FAILED);
    assert_non_null(strstr(client.error.text, text));
}

static void future_version(struct apn_wire_hello *h)
{
    h->version_min = htole16(7);
    h->version_max = htole16(9);
}
static void no_lanes(struct apn_wire_hello *h)
{
    h->lanes = 0;
}
static void many_lanes(struct apn_wire_hello *h)
{
    h->lanes = htole16(33);
}
static void lane_too_high(struct apn_wire_hello *h)
{
    h->lane = h->lanes;
}
static void no_generation(struct apn_wire_hello *h)
{
    h->generation = 0;
}
static void odd_commit(struct apn_wire_hello *h)
{
    h->commit = htole32(2);
}
static void reserved_used(struct apn_wire_hello *h)
{
    h->reserved[7] = 1;
}
static void nothing(struct apn_wire_hello *h)
{
    (void)h;
}

static void hello_refused(void **state)
{
    (void)state;
    hello_case(future_version, 112, "wire version: the source speaks 7..9, the destination 1..1");
    hello_case(future_version, 180, "wire version: the source speaks 7..9, the destination 1..1");
    hello_case(future_version, 20, "wire version: the source speaks 7..9, the destination 1..1");
    hello_case(nothing, 113, "HELLO of 113 bytes, must be 112");
    hello_case(no_lanes, 112, "lanes 0, must be 1..32");
    hello_case(many_lanes, 112, "lanes 33, must be 1..32");
    hello_case(lane_too_high, 112, "lane 4, must be below lanes 4");
    hello_case(no_generation, 112, "generation 0");
    hello_case(odd_commit, 112, "commit 2");
    hello_case(reserved_used, 112, "reserved bytes");
}

static void strangers_get_no_answer(void **state)
{
    static const char *const strangers[] = {"GET / HTTP/1.1\r\n",
                                            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03zzzzz",
                                            "APNMIG\n\nxxxxxxxx"};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct apn_handshake server;
        const uint8_t *bytes;

        apn_handshake_server_init(&server, secret_one, strlen(secret_one), nonce_b);
        apn_handshake_input(&server, strangers[i], 16);
        assert_int_equal(server.step, APN_HS_STEP_FAILED);
        assert_int_equal(apn_handshake_output(&server, &bytes), 0);
        assert_non_null(strstr(server.error.text, "does not speak this protocol"));
    }
}

/* Every bit that crosses the path, flipped once with the check value made right again, must end in
 * failure when there is a secret: nobody in the middle can change version, lane, session, features
 * or the applied count. */
static void tampering_is_noticed(void **state)
{
    static const struct {
        unsigned message; /* index in order of sending */
        size_t bytes;
    } messages[] = {{0, 112}, {1, 64}, {2, 48}, {3, 80}};

    (void)state;
    for (unsigned m = 0; m < 4; m++) {
        for (size_t bit = 8 * sizeof(struct apn_wire_hs_prefix); bit < 8 * messages[m].bytes;
             bit++) {
            struct pair p;

            start(&p, secret_one, secret_one);
            for (unsigned step = 0; step < 4; step++) {
                struct apn_handshake *from = step % 2 ? &p.server : &p.client;
                struct apn_handshake *to = step % 2 ? &p.client : &p.server;

                if (from->step == APN_HS_STEP_FAILED) {
                    break;
                }
                if (step == m) {
                    uint32_t check;

                    assert_int_equal(from->out_bytes, messages[m].bytes);
                    from->out[bit / 8] ^= (uint8_t)(1u << bit % 8);
                    memset(from->out + 12, 0, 4);
                    check = htole32(apn_crc32c(0, from->out, from->out_bytes));
                    memcpy(from->out + 12, &check, 4);
                }
                move(from, to, 184);
                if (to == &p.server && to->step == APN_HS_STEP_DECIDE) {
                    apn_handshake_welcome(&p.server, &(struct apn_welcome){.features = 0x30});
                }
            }
            assert_int_not_equal(p.client.step, APN_HS_STEP_DONE);
            if (m < 3) {
                assert_int_not_equal(p.server.step, APN_HS_STEP_DONE);
            }
        }
    }
}

static void reflected_proof_fails(void **state)
{
    struct pair p;
    struct apn_wire_welcome fake = {0};

    (void)state;
    start(&p, secret_one, secret_one);
    move(&p.client, &p.server, 184);
    move(&p.server, &p.client, 184);
    memcpy(
        &fake, p.client.out,
        sizeof(struct apn_wire_hs_prefix)); /* a server without the secret echoes the proof's MAC */
    memcpy(fake.mac, p.client.out + sizeof(struct apn_wire_hs_prefix), sizeof(fake.mac));
    fake.prefix.type = htole16(APN_HS_WELCOME);
    fake.prefix.length = htole16(sizeof(fake));
    fake.prefix.check = 0;
    fake.prefix.check = htole32(apn_crc32c(0, &fake, sizeof(fake)));
    apn_handshake_sent(&p.client, p.client.out_bytes);
    apn_handshake_input(&p.client, &fake, 16);
    apn_handshake_input(&p.client, (uint8_t *)&fake + 16, sizeof(fake) - 16);
    assert_int_equal(p.client.step, APN_HS_STEP_FAILED);
    assert_non_null(strstr(p.client.error.text, "did not prove"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agree),
        cmocka_unit_test(a_proof_of_nothing_does_not_wait),
        cmocka_unit_test(secrets_disagree),
        cmocka_unit_test(server_says_no),
        cmocka_unit_test(hello_refused),
        cmocka_unit_test(strangers_get_no_answer),
        cmocka_unit_test(tampering_is_noticed),
        cmocka_unit_test(reflected_proof_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
