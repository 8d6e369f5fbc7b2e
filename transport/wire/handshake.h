/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* handshake.h - HELLO, CHALLENGE, PROOF, WELCOME|REJECT as a pure machine on bytes (docs/wire-protocol.md)
 * Owner: embedded in a connection.   Thread: that connection's.   Randomness: nonces are arguments. */
#ifndef APN_WIRE_HANDSHAKE_H
#define APN_WIRE_HANDSHAKE_H

#include <apnmig/backend.h>

#include "wire/layout.h"

enum apn_handshake_step {
    APN_HS_STEP_MORE,   /* feed more input, or send pending output */
    APN_HS_STEP_DECIDE, /* server: peer is authentic, hello is filled; call _welcome() or _reject() */
    APN_HS_STEP_DONE,   /* client: welcome is filled.  server: welcome is in the output */
    APN_HS_STEP_FAILED, /* error is filled; pending output (a REJECT) may still be sent */
};

struct apn_handshake {
    bool is_client;
    bool proof_is_out;           /* it followed HELLO */
    enum apn_handshake_step step;
    unsigned expect;             /* enum apn_wire_hs_type awaited */
    const void *secret;          /* borrowed */
    size_t secret_bytes;
    struct apn_hello hello;
    struct apn_welcome welcome;
    struct apn_error error;
    uint8_t transcript[sizeof(struct apn_wire_hello) + sizeof(struct apn_wire_challenge) + sizeof(struct apn_wire_proof)];
    size_t transcript_bytes;
    uint8_t nonce[32];
    uint8_t in[APN_WIRE_HS_MAX];
    size_t in_bytes;
    uint8_t out[APN_WIRE_HS_MAX];
    size_t out_bytes, out_sent;
};

/** apn_handshake_client_init() - HELLO is pending output afterwards. @secret may be NULL; it is borrowed until done. */
void apn_handshake_client_init(struct apn_handshake *hs, const struct apn_hello *hello, const void *secret, size_t secret_bytes,
                               const uint8_t nonce[32]);
/** apn_handshake_client_hurry() - right after _client_init(): without a secret PROOF is known already and follows HELLO, which saves a
 * round trip; with one, nothing changes. For links that carry a stream of bytes. */
void apn_handshake_client_hurry(struct apn_handshake *hs);
void apn_handshake_server_init(struct apn_handshake *hs, const void *secret, size_t secret_bytes, const uint8_t nonce[32]);

/** apn_handshake_wants() - how many bytes the machine needs next, at most; 0 when it wants none. Reading no more than this
 * keeps the first message after the handshake in the socket. */
size_t apn_handshake_wants(const struct apn_handshake *hs);
/** apn_handshake_input() - take @length <= apn_handshake_wants() bytes. Return: the new step. */
enum apn_handshake_step apn_handshake_input(struct apn_handshake *hs, const void *bytes, size_t length);
/** apn_handshake_output() - pending bytes; after sending n of them call apn_handshake_sent(). Return: count, 0 when none. */
size_t apn_handshake_output(const struct apn_handshake *hs, const uint8_t **bytes);
void apn_handshake_sent(struct apn_handshake *hs, size_t n);

void apn_handshake_welcome(struct apn_handshake *hs, const struct apn_welcome *welcome);
void apn_handshake_reject(struct apn_handshake *hs, int code, const char *text);

#endif
