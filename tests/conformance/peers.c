/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peers.c - strangers, liars and the absent: nothing they do ends a listener or reaches memory */
#include <errno.h>
#include <unistd.h>

#include "conformance/harness.h"

static const char secret[] = "sixteen bytes or more of a secret";
static const char other_secret[] = "sixteen bytes or more of another";

static void one_page_passes(struct conf_rig *rig, unsigned lane)
{
    struct apn_msg msg = conf_extent(rig, 0, APN_PAGE_SIZE);
    struct conf_event *event;

    conf_connect(rig, lane, 1);
    event = conf_next(rig, &rig->out[lane]);
    if (event->event.type != APN_EVENT_UP) {
        fail_msg("a good peer was not let in: %s", event->event.error.text);
    }
    conf_accept(rig, lane);
    assert_int_equal(conf_post(rig, &rig->out[lane], &msg, 1), 0);
    assert_int_equal(conf_next(rig, &rig->in[lane])->event.msg.type, APN_MSG_EXTENT);
}

/* The stranger says @bytes and hangs up when @hangs_up; the listener reports it and serves the next
 * one. */
static void stranger(const void *bytes, size_t length, bool hangs_up)
{
    struct conf_options options = {.handshake_timeout_ms = 300};
    struct conf_rig rig;
    struct conf_raw raw;

    if (conf_datagrams() && !length) {
        return; /* who says nothing is not there */
    }
    conf_open(&rig, &options);
    conf_raw_connect(&rig, &raw);
    conf_raw_send(&rig, &raw, bytes, length);
    if (hangs_up) {
        conf_idle(&rig, 10);
        conf_raw_close(&raw);
    }
    conf_wait_strangers(&rig, 1);
    assert_true(rig.stranger_text[0]);
    assert_int_equal(rig.authorised, 0);
    one_page_passes(&rig, 0);
    conf_raw_close(&raw);
    conf_close(&rig);
}

static void strangers_end_themselves_only(void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    uint8_t garbage[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(garbage); i++) {
        garbage[i] = (uint8_t)(i * 167 + 13);
    }
    stranger(http, strlen(http), false);
    stranger(garbage, sizeof(garbage), false);
    stranger("", 0, true);
    stranger(APN_WIRE_MAGIC, 8, true);
    stranger(APN_WIRE_MAGIC, 5, false); /* falls silent: timed out */
}

static void a_crowd_of_strangers_is_survived(void **state)
{
    struct conf_options options = {.handshake_timeout_ms = 300};
    struct conf_rig rig;
    struct conf_raw raw[48];

    (void)state;
    conf_open(&rig, &options);
    for (unsigned i = 0; i < 48; i++) {
        conf_raw_connect(&rig, &raw[i]);
        conf_raw_send(&rig, &raw[i], "APNMIG", i % 7);
    }
    conf_idle(&rig, 400);
    for (unsigned i = 0; i < 48; i++) {
        conf_raw_close(&raw[i]);
    }
    conf_idle(&rig, 50);
    one_page_passes(&rig, 0);
    conf_close(&rig);
}

/* ---- secrets, versions, refusal ------------------------------------------------ */

static void down_with(struct conf_rig *rig, unsigned lane, int code, const char *word)
{
    struct conf_event *event;

    conf_connect(rig, lane, 1);
    event = conf_next(rig, &rig->out[lane]);
    assert_int_equal(event->event.type, APN_EVENT_DOWN);
    if (event->event.error.code != code || (word && !strstr(event->event.error.text, word))) {
        fail_msg("expected %d and \"%s\", got %d: %s", code, word ? word : "",
                 event->event.error.code, event->event.error.text);
    }
    conf_end_close(&rig->out[lane]);
}

static void secrets(const char *source, const char *dest, bool good)
{
    struct conf_options options = {.source_secret = source, .dest_secret = dest};
    struct conf_rig rig;

    conf_open(&rig, &options);
    if (good) {
        one_page_passes(&rig, 0);
    } else {
        down_with(&rig, 0, -EACCES, "secret");
        assert_int_equal(rig.authorised, 0);
    }
    conf_close(&rig);
}

static void secrets_must_match(void **state)
{
    (void)state;
    secrets(secret, secret, true);
    secrets(secret, other_secret, false);
    secrets(NULL, secret, false);
    secrets(secret, NULL, false);
    secrets(NULL, NULL, true);
}

static void a_refusal_reaches_the_peer_in_words(void **state)
{
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, NULL);
    rig.authorise_code = -EBUSY;
    down_with(&rig, 5, -EBUSY, "lane 5 is not wanted today");
    rig.authorise_code = 0;
    one_page_passes(&rig, 5);
    conf_close(&rig);
}

static void another_version_is_refused(void **state)
{
    static const uint8_t nonce[32] = {9};
    struct apn_hello hello = {.lane = 0, .lanes = 1, .generation = 1, .timeout_ms = 8000};
    struct conf_rig rig;
    struct conf_raw raw;
    struct apn_handshake hs;
    struct apn_wire_hello wire;
    struct apn_wire_reject reject;
    const uint8_t *bytes;
    uint8_t answer[512];
    size_t got = 0, n;

    (void)state;
    conf_open(&rig, NULL);
    apn_handshake_client_init(&hs, &hello, NULL, 0, nonce);
    assert_int_equal(apn_handshake_output(&hs, &bytes), sizeof(wire));
    memcpy(&wire, bytes, sizeof(wire));
    wire.version_min = 77; /* little-endian machines only, like the project */
    wire.version_max = 78;
    wire.prefix.check = 0;
    wire.prefix.check = apn_crc32c(0, &wire, sizeof(wire));
    conf_raw_connect(&rig, &raw);
    conf_raw_open(&rig, &raw, &wire);
    if (conf_datagrams()) {
        assert_int_equal(conf_raw_recv(&rig, &raw, answer, sizeof(answer)), 32 + 24 + sizeof(reject));
        memcpy(&reject, answer + 32 + 24, sizeof(reject));
        got = sizeof(reject);
    }
    while (got < sizeof(reject) &&
           (n = conf_raw_recv(&rig, &raw, (uint8_t *)&reject + got, sizeof(reject) - got)) > 0) {
        got += n;
    }
    assert_int_equal(got, sizeof(reject));
    assert_int_equal(reject.prefix.type, APN_HS_REJECT);
    assert_non_null(memmem(reject.text, sizeof(reject.text), "77", 2));
    conf_wait_strangers(&rig, 1);
    conf_raw_close(&raw);
    conf_close(&rig);
}

/* ---- after the handshake -------------------------------------------------------- */

/* A peer with a proper handshake says @bytes: its link goes down, memory stays as it was, the
 * listener serves on. */
static void liar(const void *bytes, size_t length, bool hangs_up)
{
    struct conf_rig rig;
    struct conf_raw raw;

    conf_open(&rig, NULL);
    memset(rig.dest_memory, 0xee, CONF_MEMORY);
    conf_raw_up(&rig, &raw, 0);
    conf_raw_say(&rig, &raw, bytes, length);
    if (hangs_up) {
        conf_raw_close(&raw);
    }
    conf_expect_down(&rig, &rig.in[0]);
    conf_end_close(&rig.in[0]);
    for (size_t i = 0; i < CONF_MEMORY; i++) {
        assert_int_equal(rig.dest_memory[i], 0xee);
    }
    one_page_passes(&rig, 1);
    conf_raw_close(&raw);
    conf_close(&rig);
}

static void lying_message(const struct apn_msg *msg, size_t payload)
{
    uint8_t *bytes = calloc(1, APN_WIRE_HEADER_BYTES + payload);

    assert_non_null(bytes);
    apn_msg_encode(msg, bytes);
    liar(bytes, APN_WIRE_HEADER_BYTES + payload, payload < msg->bytes);
    free(bytes);
}

static void hostile_messages_do_not_reach_memory(void **state)
{
    struct apn_msg msg = {.type = APN_MSG_EXTENT,
                          .kind = APN_EXTENT_DATA,
                          .span = APN_PAGE_SIZE,
                          .bytes = APN_PAGE_SIZE};
    uint8_t header[APN_WIRE_HEADER_BYTES], garbage[APN_WIRE_HEADER_BYTES];

    (void)state;
    msg.offset = CONF_MEMORY; /* behind the region */
    lying_message(&msg, APN_PAGE_SIZE);
    msg.offset = 1ull << 62;
    lying_message(&msg, APN_PAGE_SIZE);
    msg.offset = CONF_MEMORY - APN_PAGE_SIZE; /* over its end */
    msg.span = msg.bytes = 2 * APN_PAGE_SIZE;
    lying_message(&msg, 2 * APN_PAGE_SIZE);
    msg.offset = 0;
    msg.region = 1; /* no such region */
    lying_message(&msg, 2 * APN_PAGE_SIZE);
    memset(garbage, 0xa5, sizeof(garbage));
    liar(garbage, sizeof(garbage), false);
    msg.region = 0;
    apn_msg_encode(&msg, header);
    header[12] ^= 1; /* damaged on the way */
    liar(header, sizeof(header), false);
}

/* Cut off in the middle: the part that came may have landed, but nobody hears of it. */
static void a_truncated_message_is_not_delivered(void **state)
{
    struct apn_msg stream = {.type = APN_MSG_STREAM, .bytes = 1000};
    uint8_t bytes[APN_WIRE_HEADER_BYTES + 1000] = {0};

    (void)state;
    stream.payload = bytes + APN_WIRE_HEADER_BYTES;
    apn_msg_encode(&stream, bytes);
    liar(bytes, sizeof(bytes) - 1, true);
    liar(bytes, 17, true);
}

/* Off the path nobody knows the lane's number: whatever he sends in the peer's name changes nothing. */
static void datagrams_of_others_change_nothing(void **state)
{
    struct apn_msg extent = {.type = APN_MSG_EXTENT, .kind = APN_EXTENT_DATA, .span = APN_PAGE_SIZE, .bytes = APN_PAGE_SIZE};
    struct apn_msg ping = {.type = APN_MSG_PING};
    uint8_t bytes[APN_WIRE_HEADER_BYTES + APN_PAGE_SIZE] = {0};
    struct conf_rig rig;
    struct conf_raw raw;
    uint64_t id;

    (void)state;
    if (!conf_datagrams()) {
        skip();
    }
    conf_open(&rig, NULL);
    memset(rig.dest_memory, 0xee, CONF_MEMORY);
    conf_raw_up(&rig, &raw, 0);
    id = raw.id_out;
    apn_msg_encode(&extent, bytes);
    for (unsigned i = 0; i < 64; i++) {
        raw.id_out = id ^ 1ull << i;
        raw.number = 0;
        conf_raw_say(&rig, &raw, bytes, sizeof(bytes));
        conf_raw_send(&rig, &raw, bytes + i, 200 + i);
    }
    conf_idle(&rig, 30);
    assert_null(rig.in[0].head);
    for (size_t i = 0; i < CONF_MEMORY; i++) {
        assert_int_equal(rig.dest_memory[i], 0xee);
    }
    raw.id_out = id;
    raw.number = 0;
    apn_msg_encode(&ping, bytes);
    conf_raw_say(&rig, &raw, bytes, APN_WIRE_HEADER_BYTES);
    assert_int_equal(conf_next(&rig, &rig.in[0])->event.msg.type, APN_MSG_PING);
    conf_raw_close(&raw);
    conf_close(&rig);
}

/* ---- servers that are not ours ---------------------------------------------------- */

static void the_absent_are_noticed(void **state)
{
    struct conf_options options = {.no_listener = true};
    struct conf_rig rig;

    (void)state;
    conf_open(&rig, &options);
    down_with(&rig, 0, -ECONNREFUSED, "refused");
    conf_close(&rig);
}

/* A connection to a server that says @bytes, or nothing. */
static void foreign_server(const void *bytes, size_t length, int expect)
{
    struct conf_options options = {.handshake_timeout_ms = 300};
    struct apn_hello hello = {.lane = 0, .lanes = 1, .generation = 1, .timeout_ms = 8000};
    struct conf_rig rig;
    struct apn_backend_config config = {
        .host = conf_host, .handshake_timeout_ms = 300 * conf_slow, .send_mode = "auto"};
    struct apn_backend *be;
    struct apn_error err = {0};
    struct conf_raw raw;
    struct conf_event *event;
    char port[8], name[16];
    int server;

    conf_open(&rig, &options);
    snprintf(port, sizeof(port), "%u", conf_raw_server(&rig, &server));
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(conf_backend, "-"), conf_backend);
    config.clock = rig.world ? apn_loop_world_clock(rig.world) : &apn_clock_monotonic;
    config.world = rig.world;
    config.port = port;
    assert_int_equal(apn_backend_new(&be, name, conf_filters, &config, &err), 0);
    assert_int_equal(be->ops->connect(be, &hello, &rig.out[0].link, &err), 0);
    conf_raw_accept(&rig, server, &raw);
    if (length) {
        conf_raw_send(&rig, &raw, bytes, length);
    }
    event = conf_next(&rig, &rig.out[0]);
    assert_int_equal(event->event.type, APN_EVENT_DOWN);
    if (expect && event->event.error.code != expect) {
        fail_msg("expected %d, got %d: %s", expect, event->event.error.code,
                 event->event.error.text);
    }
    conf_end_close(&rig.out[0]);
    conf_raw_close(&raw);
    be->ops->free(be);
    if (!rig.world) {
        close(server);
    }
    conf_close(&rig);
}

static void foreign_servers_are_left(void **state)
{
    uint8_t garbage[512];

    (void)state;
    if (!conf_raw_server_possible()) {
        skip();
    }
    memset(garbage, 0x5c, sizeof(garbage));
    /* anybody can send a datagram: what makes no sense is no answer */
    foreign_server("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 32, conf_datagrams() ? -ETIMEDOUT : -EPROTO);
    foreign_server(garbage, sizeof(garbage), conf_datagrams() ? -ETIMEDOUT : -EPROTO);
    foreign_server(NULL, 0, -ETIMEDOUT);
}

int conf_run_peers(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_end_themselves_only),
        cmocka_unit_test(a_crowd_of_strangers_is_survived),
        cmocka_unit_test(secrets_must_match),
        cmocka_unit_test(a_refusal_reaches_the_peer_in_words),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(hostile_messages_do_not_reach_memory),
        cmocka_unit_test(a_truncated_message_is_not_delivered),
        cmocka_unit_test(datagrams_of_others_change_nothing),
        cmocka_unit_test(the_absent_are_noticed),
        cmocka_unit_test(foreign_servers_are_left),
    };
    return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
