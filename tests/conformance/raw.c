/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* raw.c - peers that send what they like: a plain socket, or a raw connection of the loop world
 * (see harness.h) */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/datagram/wire.h"
#include "conformance/harness.h"

bool conf_datagrams(void)
{
    return !strncmp(conf_backend, "udp", 3) || !strncmp(conf_backend, "dpdk", 4);
}

static int raw_type(void)
{
    return (conf_datagrams() ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC;
}

static struct sockaddr_in listening_at(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    assert_int_equal(inet_pton(AF_INET, conf_host, &address.sin_addr), 1);
    return address;
}

void conf_raw_connect(struct conf_rig *rig, struct conf_raw *raw)
{
    struct sockaddr_in address = listening_at(rig->port);
    char port[8];

    *raw = (struct conf_raw){.fd = -1};
    if (rig->world) {
        snprintf(port, sizeof(port), "%u", rig->port);
        assert_int_equal(apn_loop_raw_connect(rig->world, port, &raw->loop), 0);
        return;
    }
    raw->fd = socket(AF_INET, raw_type(), 0);
    assert_true(raw->fd >= 0);
    assert_int_equal(connect(raw->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(raw->fd, F_SETFL, O_NONBLOCK), 0);
}

bool conf_raw_server_possible(void)
{
    struct sockaddr_in address = listening_at(0);
    bool possible;
    int fd;

    if (!strncmp(conf_backend, "loop", 4)) {
        return true;
    }
    conf_enter_dest();
    fd = socket(AF_INET, raw_type(), 0);
    conf_enter_source();
    assert_true(fd >= 0);
    possible = !bind(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return possible;
}

uint16_t conf_raw_server(struct conf_rig *rig, int *fd)
{
    struct sockaddr_in address = listening_at(0);
    socklen_t length = sizeof(address);
    uint16_t port;

    if (rig->world) {
        assert_int_equal(apn_loop_raw_listen(rig->world, &port), 0);
        *fd = port;
        return port;
    }
    conf_enter_dest();
    *fd = socket(AF_INET, raw_type() | SOCK_NONBLOCK, 0);
    conf_enter_source();
    assert_true(*fd >= 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(conf_datagrams() || listen(*fd, 8) == 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

/* whoever sends the first datagram is the peer. Return: fd, -1 = nobody yet */
static int accept_datagrams(int server)
{
    struct sockaddr_in from;
    socklen_t length = sizeof(from);
    char byte;

    if (recvfrom(server, &byte, 1, MSG_TRUNC, (struct sockaddr *)&from, &length) < 0) {
        return -1;
    }
    assert_int_equal(connect(server, (struct sockaddr *)&from, length), 0);
    return dup(server);
}

void conf_raw_accept(struct conf_rig *rig, int server, struct conf_raw *raw)
{
    *raw = (struct conf_raw){.fd = -1};
    for (int i = 0; i < 2000; i++) {
        if (rig->world) {
            if (!apn_loop_raw_accept(rig->world, (uint16_t)server, &raw->loop)) {
                return;
            }
        } else {
            raw->fd = conf_datagrams() ? accept_datagrams(server) : accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (raw->fd >= 0) {
                return;
            }
        }
        conf_idle(rig, 1);
    }
    fail_msg("nobody connected");
}

void conf_raw_send(struct conf_rig *rig, struct conf_raw *raw, const void *bytes, size_t length)
{
    if (raw->loop) {
        apn_loop_raw_send(raw->loop, bytes,
                          length); /* the peer may have hung up: that is its right */
        return;
    }
    for (int i = 0; i < 2000 && length; i++) {
        ssize_t n = send(raw->fd, bytes, length, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN) {
            return;
        }
        if (n > 0) {
            bytes = (const char *)bytes + n;
            length -= (size_t)n;
        } else {
            conf_idle(rig, 1);
        }
    }
}

size_t conf_raw_recv(struct conf_rig *rig, struct conf_raw *raw, void *bytes, size_t room)
{
    for (int i = 0; i < 5000; i++) {
        long n =
            raw->loop ? apn_loop_raw_recv(raw->loop, bytes, room) : recv(raw->fd, bytes, room, 0);
        bool again = raw->loop ? n == -EAGAIN : n < 0 && errno == EAGAIN;

        if (!again) {
            return n > 0 ? (size_t)n : 0;
        }
        conf_idle(rig, 1);
    }
    fail_msg("the peer neither answers nor hangs up");
    return 0;
}

void conf_raw_close(struct conf_raw *raw)
{
    apn_loop_raw_close(raw->loop);
    if (raw->fd >= 0) {
        close(raw->fd);
    }
    *raw = (struct conf_raw){.fd = -1};
}

/* ---- datagrams ---------------------------------------------------------------- */

static void send_sealed(struct conf_rig *rig, struct conf_raw *raw, uint8_t *datagram, struct apn_dg_header h, size_t length)
{
    apn_dg_header_seal(&h, datagram);
    conf_raw_send(rig, raw, datagram, length);
}

void conf_raw_open(struct conf_rig *rig, struct conf_raw *raw, const void *hello)
{
    struct apn_wire_dg_open w = {.id = 4711, .datagram_max = 1472};
    uint8_t datagram[1200] = {0};

    if (!conf_datagrams()) {
        conf_raw_send(rig, raw, hello, sizeof(w.hello));
        return;
    }
    memcpy(&w.hello, hello, sizeof(w.hello));
    memcpy(datagram + APN_DG_HEADER_BYTES, &w, sizeof(w));
    send_sealed(rig, raw, datagram, (struct apn_dg_header){.type = APN_DG_OPEN, .record_bytes = sizeof(w)}, sizeof(datagram));
}

/* Return: what is behind header and @body in the answer of @type, in @bytes */
static size_t answer(struct conf_rig *rig, struct conf_raw *raw, enum apn_dg_type type, void *body, size_t body_bytes, uint8_t *bytes)
{
    uint8_t datagram[2048];
    struct apn_dg_header h;
    size_t n = conf_raw_recv(rig, raw, datagram, sizeof(datagram));

    assert_int_equal(apn_dg_header_decode(datagram, n, &h), 0);
    assert_int_equal(h.type, type);
    assert_true(h.connection == 4711);
    assert_true(h.record_bytes >= body_bytes && h.record_bytes - body_bytes <= APN_WIRE_HS_MAX);
    memcpy(body, datagram + APN_DG_HEADER_BYTES, body_bytes);
    memcpy(bytes, datagram + APN_DG_HEADER_BYTES + body_bytes, h.record_bytes - body_bytes);
    return h.record_bytes - body_bytes;
}

static void feed(struct apn_handshake *hs, const uint8_t *bytes, size_t length)
{
    while (length && hs->step == APN_HS_STEP_MORE) {
        size_t n = apn_handshake_wants(hs) < length ? apn_handshake_wants(hs) : length;

        apn_handshake_input(hs, bytes, n);
        bytes += n;
        length -= n;
    }
}

static void datagrams_up(struct conf_rig *rig, struct conf_raw *raw, struct apn_handshake *hs)
{
    struct apn_wire_dg_challenge challenge;
    struct apn_wire_dg_welcome welcome;
    struct apn_wire_dg_prove w = {.id = 4711, .datagram_max = 1472};
    uint8_t datagram[1472] = {0}, bytes[APN_WIRE_HS_MAX];
    const uint8_t *out;

    assert_int_equal(apn_handshake_output(hs, &out), sizeof(w.hello));
    memcpy(&w.hello, out, sizeof(w.hello));
    apn_handshake_sent(hs, sizeof(w.hello));
    conf_raw_open(rig, raw, &w.hello);
    feed(hs, bytes, answer(rig, raw, APN_DG_CHALLENGE, &challenge, sizeof(challenge), bytes));
    assert_int_equal(apn_handshake_output(hs, &out), sizeof(w.proof));
    memcpy(&w.proof, out, sizeof(w.proof));
    apn_handshake_sent(hs, sizeof(w.proof));
    w.stamp = challenge.stamp;
    memcpy(w.cookie, challenge.cookie, sizeof(w.cookie));
    memcpy(datagram + APN_DG_HEADER_BYTES, &w, sizeof(w));
    send_sealed(rig, raw, datagram, (struct apn_dg_header){.type = APN_DG_PROVE, .record_bytes = sizeof(w)}, sizeof(datagram));
    feed(hs, bytes, answer(rig, raw, APN_DG_WELCOME, &welcome, sizeof(welcome), bytes));
    assert_int_equal(hs->step, APN_HS_STEP_DONE);
    raw->id_in = 4711;
    raw->id_out = welcome.id;
}

void conf_raw_say(struct conf_rig *rig, struct conf_raw *raw, const void *bytes, size_t length)
{
    struct apn_dg_header h = {.type = APN_DG_LANE, .flags = APN_DG_COUNTED, .connection = raw->id_out, .number = raw->number++};
    uint8_t datagram[APN_DG_HEADER_BYTES + 20 + 16384] = {0}, *record = datagram + APN_DG_HEADER_BYTES;
    const bool bulk = length > APN_WIRE_HEADER_BYTES + 512;

    if (!conf_datagrams()) {
        conf_raw_send(rig, raw, bytes, length);
        return;
    }
    assert_true(length <= 16384);
    record[0] = bulk ? APN_DG_BULK : APN_DG_PART;
    record[4] = 1; /* parts */
    if (length >= APN_WIRE_HEADER_BYTES) {
        memcpy(record + 12, (const uint8_t *)bytes + 8, 4); /* the piece is all that the message says */
    }
    memcpy(record + 20, bytes, length);
    h.record_bytes = (uint16_t)(20 + (bulk ? APN_WIRE_HEADER_BYTES : length));
    send_sealed(rig, raw, datagram, h, APN_DG_HEADER_BYTES + 20 + length);
}

/* ---- handshake ------------------------------------------------------------------- */

static void flush(struct conf_rig *rig, struct conf_raw *raw, struct apn_handshake *hs)
{
    const uint8_t *bytes;
    size_t n;

    while ((n = apn_handshake_output(hs, &bytes)) > 0) {
        conf_raw_send(rig, raw, bytes, n);
        apn_handshake_sent(hs, n);
    }
}

void conf_raw_up(struct conf_rig *rig, struct conf_raw *raw, unsigned lane)
{
    static const uint8_t nonce[32] = {1, 2, 3};
    struct apn_hello hello = {
        .lane = (uint16_t)lane, .lanes = CONF_LANES, .generation = 1, .timeout_ms = 8000};
    struct apn_handshake hs;
    uint8_t bytes[APN_WIRE_HS_MAX];

    memset(hello.session_id, 0x5a, sizeof(hello.session_id));
    hello.features = strncmp(conf_backend, "rdma", 4) ? 0 : APN_FEATURE_RDMA; /* or it would be sent away */
    conf_raw_connect(rig, raw);
    apn_handshake_client_init(&hs, &hello, rig->options.source_secret,
                              rig->options.source_secret ? strlen(rig->options.source_secret) : 0,
                              nonce);
    if (conf_datagrams()) {
        datagrams_up(rig, raw, &hs);
        conf_accept(rig, lane);
        return;
    }
    flush(rig, raw, &hs);
    while (hs.step == APN_HS_STEP_MORE) {
        size_t n = conf_raw_recv(rig, raw, bytes, apn_handshake_wants(&hs));

        assert_int_not_equal(n, 0);
        apn_handshake_input(&hs, bytes, n);
        flush(rig, raw, &hs);
    }
    assert_int_equal(hs.step, APN_HS_STEP_DONE);
    conf_accept(rig, lane);
}
