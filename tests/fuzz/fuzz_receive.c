/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_receive.c - any byte stream into the receiver of a link, in reads of any size
 * First byte: 1 = give every header a right check value; the rest of it seeds the sizes of the
 * reads. Guest memory is exactly as large as the sink says, so that AddressSanitizer sees one byte
 * outside. */
#include <stdlib.h>
#include <string.h>

#include "backend/uring/receive.h"
#include "wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define GUEST_BYTES (64u << 10)

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    return region == 0 && offset <= GUEST_BYTES && span <= GUEST_BYTES - offset
               ? (uint8_t *)opaque + offset
               : NULL;
}

/* walk the messages as a receiver would and put in check values */
static void mend(uint8_t *bytes, size_t length)
{
    while (length >= APN_WIRE_HEADER_BYTES) {
        size_t payload = bytes[8] | (size_t)bytes[9] << 8 | (size_t)bytes[10] << 16;
        uint32_t check = apn_crc32c(0, bytes, 36);

        for (unsigned i = 0; i < 4; i++) {
            bytes[36 + i] = (uint8_t)(check >> 8 * i);
        }
        bytes += APN_WIRE_HEADER_BYTES;
        length -= APN_WIRE_HEADER_BYTES;
        payload = payload < length ? payload : length;
        bytes += payload;
        length -= payload;
    }
}

/* Return: false when the stream is dead */
static bool take_all(struct apn_uring_receiver *rx)
{
    static uint8_t payload[APN_CONTROL_MAX];
    struct apn_error err = {0};
    struct apn_msg msg;
    int ret;

    while ((ret = apn_uring_receiver_next(rx, &msg, &err)) == 1) {
        if (apn_msg_validate(&msg, NULL) ||
            (msg.payload != NULL) != (msg.type != APN_MSG_EXTENT && msg.bytes > 0)) {
            abort();
        }
        if (msg.payload) {
            memcpy(payload, msg.payload, msg.bytes); /* all of it can be read */
        }
    }
    if (ret < 0 && !err.text[0]) {
        abort();
    }
    return ret == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    uint8_t *guest = malloc(GUEST_BYTES), *stream;
    const struct apn_sink sink = {resolve, guest};
    struct apn_uring_receiver rx;
    uint32_t random;
    size_t used = 0;

    if (length < 1 || length > (512u << 10) || !guest) {
        free(guest);
        return 0;
    }
    random = bytes[0] + 1u;
    stream = malloc(length);
    memcpy(stream, bytes + 1, --length);
    if (bytes[0] & 1) {
        mend(stream, length);
    }
    if (apn_uring_receiver_init(&rx, &sink)) {
        abort();
    }
    while (used < length && take_all(&rx)) {
        struct iovec iov[2];
        unsigned n = apn_uring_receiver_targets(&rx, iov);
        size_t room = iov[0].iov_len + (n > 1 ? iov[1].iov_len : 0), took, rest;

        random = random * 1664525u + 1013904223u;
        took = 1 + (random >> 8) % (random & 64 ? room : room < 64 ? room : 64);
        rest = took = took < length - used ? took : length - used;
        for (unsigned i = 0; i < n && rest; i++) {
            size_t part = rest < iov[i].iov_len ? rest : iov[i].iov_len;

            memcpy(iov[i].iov_base, stream + used, part);
            used += part;
            rest -= part;
        }
        apn_uring_receiver_took(&rx, took);
    }
    apn_uring_receiver_done(&rx);
    free(stream);
    free(guest);
    return 0;
}
