/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_datagram.c - any datagrams from a peer that is up: a lane over datagrams delivers what is valid, drops what is not its own, goes
 * down with a reason when the peer lies, and touches no memory but the region
 * Input: datagrams one after another, each behind two bytes of length. Bit 0 of the first byte of all: headers are made right (kind, number of
 * the lane, check values); bit 1: the port shows heads only. */
#include <stdlib.h>
#include <string.h>

#include "backend/datagram/link.h"
#include "wire/codec.h"

#define RAM  (1u << 20)
#define LANE 0x1234567890ull

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static uint8_t ram[RAM + 2 * APN_PAGE_SIZE]; /* a page before and one behind */

static struct input {
    const uint8_t *bytes;
    size_t length, at;
    bool right, heads;
    uint8_t datagram[65536];
    uint32_t bytes_here;
    uint64_t now_ns;
} input;

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    (void)opaque;
    return region == 0 && span && offset <= RAM && span <= RAM - offset ? ram + APN_PAGE_SIZE + offset : NULL;
}

static uint64_t now(void *opaque)
{
    (void)opaque;
    return input.now_ns += 100000;
}

/* chance would not find right check values: that of the first message header, then that of the datagram */
static void make_right(uint8_t *d, uint32_t bytes)
{
    const size_t message = APN_DG_HEADER_BYTES + offsetof(struct apn_wire_dg_part, header);
    struct apn_wire_dg w;
    struct apn_dg_header h;
    uint32_t check;

    if (bytes < sizeof(w)) {
        return;
    }
    if (bytes >= message + APN_WIRE_HEADER_BYTES) {
        check = apn_crc32c(0, d + message, offsetof(struct apn_wire_header, check));
        memcpy(d + message + offsetof(struct apn_wire_header, check), &check, sizeof(check)); /* little-endian machines */
    }
    memcpy(&w, d, sizeof(w));
    h = (struct apn_dg_header){.type = APN_DG_LANE, .flags = w.flags & 3, .connection = LANE, .number = w.number, .stamp_us = w.stamp_us};
    h.record_bytes = w.record_bytes < bytes - sizeof(w) ? w.record_bytes : (uint16_t)(bytes - sizeof(w));
    h.age = w.age < h.number ? w.age : (uint32_t)h.number;
    apn_dg_header_seal(&h, d);
}

static int take_input(struct apn_port *port, struct apn_port_arrival *out, unsigned max)
{
    (void)port;
    (void)max;
    if (input.at + 2 > input.length) {
        return 0;
    }
    input.bytes_here = (uint32_t)(input.bytes[input.at] | input.bytes[input.at + 1] << 8);
    input.at += 2;
    if (input.bytes_here > input.length - input.at) {
        input.bytes_here = (uint32_t)(input.length - input.at);
    }
    memcpy(input.datagram, input.bytes + input.at, input.bytes_here);
    input.at += input.bytes_here;
    if (input.right) {
        make_right(input.datagram, input.bytes_here);
    }
    *out = (struct apn_port_arrival){.head = input.datagram, .head_bytes = input.bytes_here, .total_bytes = input.bytes_here};
    if (input.heads && input.bytes_here > APN_PORT_HEAD_MAX) {
        out->head_bytes = APN_PORT_HEAD_MAX;
    }
    return 1;
}

static int take_rest(struct apn_port *port, const struct apn_port_arrival *arrival, const struct iovec *iov, unsigned n)
{
    (void)port;
    if (n != 1 || iov->iov_len != arrival->total_bytes - arrival->head_bytes) {
        abort();
    }
    memcpy(iov->iov_base, input.datagram + arrival->head_bytes, iov->iov_len);
    return 0;
}

static int drop(struct apn_port *port, const struct apn_endpoint *endpoint, const struct apn_port_datagram *burst, unsigned n)
{
    (void)port;
    (void)endpoint;
    (void)burst;
    return (int)n;
}

static void close_port(struct apn_port *port)
{
    (void)port;
}

static void look_at(const struct apn_event *event)
{
    struct apn_error err = {0};
    volatile uint8_t sum = 0;

    if (event->type == APN_EVENT_DOWN) {
        if (!event->error.code || !event->error.text[0]) {
            abort(); /* down without a reason */
        }
    } else if (apn_msg_validate(&event->msg, &err)) {
        abort();
    }
    for (uint32_t i = 0; event->type == APN_EVENT_MSG && event->msg.payload && i < event->msg.bytes; i++) {
        sum = (uint8_t)(sum + ((const uint8_t *)event->msg.payload)[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const struct apn_carrier_ops ops = {.name = "fuzz", .send = drop, .receive = take_input, .read = take_rest, .close = close_port};
    static const struct apn_clock clock = {now, NULL};
    static const struct apn_hello hello = {.lanes = 1, .generation = 1};
    struct apn_carrier carrier = {&ops};
    struct apn_port port = {&carrier, 9000};
    struct apn_dg_backend be = {.name = "fuzz", .carrier = &carrier, .config = {.clock = &clock, .sink = {.resolve = resolve}}};
    const struct apn_msg words = {.type = APN_MSG_STREAM, .bytes = 60000, .payload = ram};
    struct apn_error err = {0};
    struct apn_event events[8];
    struct apn_dg_link *link = apn_dg_link_new(&be, &hello, &port, &err);
    unsigned quiet = 0;

    input = (struct input){.bytes = bytes, .length = length, .at = 1, .right = length && bytes[0] & 1, .heads = length && bytes[0] & 2,
                           .now_ns = 1000000000};
    if (!link || apn_dg_link_ready(link, LANE, 5, 9000, APN_DG_STAGING_MIN, 1000000)) {
        abort();
    }
    for (unsigned i = 0; i < 20; i++) { /* so that ACKs have something to lie about */
        apn_dg_link_post(&link->base, &words, 1);
    }
    while (quiet < 3) {
        int n = apn_dg_link_poll(&link->base, events, 8, 0);

        for (int i = 0; i < n; i++) {
            look_at(&events[i]);
        }
        quiet = n || input.at + 2 <= input.length ? 0 : quiet + 1;
        if (link->stage == APN_DG_OVER) {
            break;
        }
    }
    apn_dg_link_close(&link->base);
    for (unsigned i = 0; i < APN_PAGE_SIZE; i++) {
        if (ram[i] || ram[APN_PAGE_SIZE + RAM + i]) {
            abort(); /* outside of the region */
        }
    }
    return 0;
}
