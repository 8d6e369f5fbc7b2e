/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_handshake.c - any bytes to either role, with and without a secret, in pieces of any size
 * First byte: bit 0 role, bit 1 secret, bit 2 make check values right, bits 3..7 size of the
 * pieces. With a secret no input may bring the machine to agreement. */
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"
#include "wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const char secret[] = "0123456789abcdef";
static const uint8_t nonce[32] = {42};

/* messages follow each other; give each a check value that is right */
static void mend(uint8_t *bytes, size_t length)
{
    while (length >= sizeof(struct apn_wire_hs_prefix)) {
        size_t message = bytes[10] | (size_t)bytes[11] << 8;
        uint32_t check;

        if (message < sizeof(struct apn_wire_hs_prefix) || message > length) {
            return;
        }
        memset(bytes + 12, 0, 4);
        check = apn_crc32c(0, bytes, message);
        for (unsigned i = 0; i < 4; i++) {
            bytes[12 + i] = (uint8_t)(check >> 8 * i);
        }
        bytes += message;
        length -= message;
    }
}

static void flush(struct apn_handshake *hs)
{
    const uint8_t *output;

    apn_handshake_sent(hs, apn_handshake_output(hs, &output));
}

static void drive(struct apn_handshake *hs, const uint8_t *bytes, size_t length, size_t piece)
{
    flush(hs);
    while (hs->step == APN_HS_STEP_MORE && length) {
        size_t n = apn_handshake_wants(hs);

        if (n == 0) {
            abort(); /* it wants nothing although nothing is pending */
        }
        n = n < piece ? n : piece;
        n = n < length ? n : length;
        apn_handshake_input(hs, bytes, n);
        bytes += n;
        length -= n;
        if (hs->step == APN_HS_STEP_DECIDE) {
            if (hs->hello.lane >= hs->hello.lanes || hs->hello.lanes > 32 || hs->secret) {
                abort(); /* forged, or a hello that the engine must not see */
            }
            if (hs->hello.generation % 2) {
                apn_handshake_welcome(hs, &(struct apn_welcome){.features = UINT64_MAX});
            } else {
                apn_handshake_reject(hs, -16, "busy");
            }
        }
        flush(hs);
    }
    if (hs->step == APN_HS_STEP_FAILED && (!hs->error.code || !hs->error.text[0])) {
        abort();
    }
    if (hs->step == APN_HS_STEP_DONE && hs->is_client && hs->secret) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct apn_hello hello = {.lanes = 1, .generation = 1, .features = 7};
    struct apn_handshake hs;
    uint8_t input[1024];
    uint8_t flags;

    if (length < 1 || length > sizeof(input)) {
        return 0;
    }
    flags = bytes[0];
    memcpy(input, bytes + 1, --length);
    if (flags & 4) {
        mend(input, length);
    }
    if (flags & 1) {
        apn_handshake_client_init(&hs, &hello, flags & 2 ? secret : NULL, flags & 2 ? 16 : 0,
                                  nonce);
    } else {
        apn_handshake_server_init(&hs, flags & 2 ? secret : NULL, flags & 2 ? 16 : 0, nonce);
    }
    drive(&hs, input, length, flags >> 3 ? flags >> 3 : sizeof(input));
    return 0;
}
