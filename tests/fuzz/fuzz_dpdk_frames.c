/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_dpdk_frames.c - any frames from the wire: the host of apn-dpdk reads nothing outside of them, and what it says itself is right
 * Input: frames one after another, each behind two bytes of length. The first byte of all says whether checksums are made right:
 * chance would not find them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dpdk/host/checksum.h"
#include "dpdk/host/host.h"

#define FRAMES_MAX 64u
#define FRAME_MAX  4096u
#define TICK_NS    300000000ull

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct apn_host host;
static unsigned waiting; /* waiters that the table holds */

/* everything that is said must be readable by ourselves */
static void emit(void *opaque, const uint8_t *frame, uint32_t bytes)
{
    struct apn_packet p;

    (void)opaque;
    if (apn_packet_parse(frame, bytes, 0, &p)) {
        abort();
    }
}

static void deliver(void *opaque, void *waiter, const uint8_t mac[6])
{
    (void)opaque, (void)waiter;
    if (mac[0] & 1) {
        abort(); /* nobody lives at a group's address */
    }
    waiting--;
}

static void give_up(void *opaque, void *waiter)
{
    (void)opaque, (void)waiter;
    waiting--;
}

static void trouble(void *opaque, enum apn_trouble what, const struct apn_packet *sent, uint32_t mtu)
{
    (void)opaque;
    if (!apn_host_is_ours(&host, &sent->source) || (what == APN_TROUBLE_TOO_BIG && mtu < 576)) {
        abort();
    }
}

static const struct apn_host_ops ops = {emit, deliver, give_up, trouble};

static void make_right(uint8_t *frame, uint32_t bytes)
{
    const bool six = bytes >= 54 && frame[12] == 0x86;
    const uint32_t at = six ? 54 : 34;
    const uint8_t protocol = bytes >= at ? frame[six ? 20 : 23] : 0;
    const uint32_t field = protocol == APN_PROTO_UDP ? 6 : 2;
    struct apn_ip source = {.family = six ? 6 : 4}, dest = {.family = six ? 6 : 4};
    uint64_t pseudo = 0;
    uint16_t sum;

    if (bytes < at + 8) {
        return;
    }
    memcpy(source.bytes, frame + (six ? 22 : 26), six ? 16 : 4);
    memcpy(dest.bytes, frame + (six ? 38 : 30), six ? 16 : 4);
    if (!six) {
        frame[24] = frame[25] = 0;
        sum = (uint16_t)~apn_sum_fold(apn_sum(0, frame + 14, 20));
        memcpy(frame + 24, &sum, 2);
    }
    if (six || protocol == APN_PROTO_UDP) {
        pseudo = apn_pseudo_sum(&source, &dest, protocol, bytes - at);
    }
    frame[at + field] = frame[at + field + 1] = 0;
    apn_packet_finish(frame + at, bytes - at, frame + at + field, pseudo);
}

static void hear(const uint8_t *bytes, uint32_t length, bool right, uint64_t now_ns)
{
    uint8_t *frame = malloc(length ? length : 1); /* exact: what is read behind it is found */
    struct apn_packet p;
    struct apn_path path;

    memcpy(frame, bytes, length);
    if (right) {
        make_right(frame, length);
    }
    if (!apn_packet_parse(frame, length, 0, &p)) {
        if (p.message_at > length || p.message_bytes > length - p.message_at) {
            abort();
        }
        if (p.kind == APN_PACKET_UDP) {
            apn_host_no_port(&host, frame, &p, now_ns);
        } else {
            apn_host_input(&host, frame, &p, now_ns);
        }
        waiting++;
        if (apn_host_route(&host, &p.source, &host, now_ns, &path) != -EAGAIN) {
            waiting--;
        }
    }
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    static const struct apn_ip four = {{192, 0, 2, 1}, 4}, six = {{0x20, 1, 0xd, 0xb8, [15] = 1}, 6};
    const bool right = length && bytes[0] & 1;
    uint64_t now_ns = 1000000000;
    size_t at = 1;

    apn_host_init(&host, mac, 1500, &ops, NULL);
    apn_host_add(&host, &four, 24);
    apn_host_add(&host, &six, 64);
    apn_host_start(&host, now_ns);
    waiting = 0;
    for (unsigned n = 0; n < FRAMES_MAX && at + 2 <= length; n++) {
        uint32_t want = (uint32_t)(bytes[at] | bytes[at + 1] << 8) % (FRAME_MAX + 1);

        at += 2;
        want = want < length - at ? want : (uint32_t)(length - at);
        hear(bytes + at, want, right, now_ns);
        at += want;
        now_ns += TICK_NS;
        apn_host_tick(&host, now_ns);
    }
    apn_host_done(&host);
    if (waiting) {
        abort(); /* every waiter goes somewhere, once */
    }
    return 0;
}
