/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_message.c - any 40 bytes: decoding never fails but by saying so, and what it accepts encodes
 * to the same bytes */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void decode(const uint8_t header[APN_WIRE_HEADER_BYTES])
{
    uint8_t again[APN_WIRE_HEADER_BYTES];
    struct apn_error err = {0};
    struct apn_msg msg;

    if (apn_msg_decode(header, &msg, &err)) {
        if (!err.code || !err.text[0]) {
            abort(); /* refused without a reason */
        }
        return;
    }
    if (msg.bytes > APN_EXTENT_MAX || msg.region >= APN_REGIONS_MAX || msg.payload) {
        abort(); /* limits that the receivers rely on */
    }
    apn_msg_encode(&msg, again);
    if (memcmp(header, again, sizeof(again))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    uint8_t header[APN_WIRE_HEADER_BYTES] = {0};
    uint32_t check;

    memcpy(header, bytes, length < sizeof(header) ? length : sizeof(header));
    decode(header);
    /* and with a right check value, which chance would not find */
    check = apn_crc32c(0, header, offsetof(struct apn_wire_header, check));
    for (unsigned i = 0; i < 4; i++) {
        header[offsetof(struct apn_wire_header, check) + i] = (uint8_t)(check >> 8 * i);
    }
    decode(header);
    return 0;
}
