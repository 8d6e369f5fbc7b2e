/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* handshake.c - see handshake.h
 *
 * Theory of operation
 *   source                                dest
 *     HELLO (versions, lane, session) ->
 *                                      <- CHALLENGE (version, nonce) or REJECT
 *     PROOF (MAC over both)           ->
 *                                      <- WELCOME (MAC over all) or REJECT
 *   Both MACs cover every byte exchanged before them, so neither the version nor the security mode
 * can be talked down by someone without the secret. The two MACs have different labels: one cannot
 * be played back as the other. Without a secret PROOF says nothing and may follow HELLO at once. A peer whose first byte is not ours gets no answer at all; one that
 * speaks our protocol wrongly gets a REJECT with the reason. */
#include "wire/handshake.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <apnmig/session.h>

#include "wire/codec.h"

#define LABEL_SOURCE "apnmig1 source"
#define LABEL_DEST   "apnmig1 dest"
#define LABEL_MAX    16u
#define MAC_BYTES    32u
/* longest MAC input: label, transcript, WELCOME up to its own MAC */
#define MAC_INPUT_MAX                                                                              \
    (LABEL_MAX + sizeof(((struct apn_handshake *)0)->transcript) +                                 \
     offsetof(struct apn_wire_welcome, mac))

static const char *const step_names[] = {"nothing", "HELLO",   "CHALLENGE",
                                         "PROOF",   "WELCOME", "REJECT"};

/* ---- output -------------------------------------------------------------- */

static void seal(void *message, uint16_t type, uint16_t length)
{
    struct apn_wire_hs_prefix prefix = {.type = htole16(type), .length = htole16(length)};

    memcpy(prefix.magic, APN_WIRE_MAGIC, sizeof(prefix.magic));
    memcpy(message, &prefix, sizeof(prefix));
    prefix.check = htole32(apn_crc32c(0, message, length));
    memcpy(message, &prefix, sizeof(prefix));
}

static void queue(struct apn_handshake *hs, const void *message, size_t length)
{
    assert(hs->out_sent == hs->out_bytes && length <= sizeof(hs->out));
    memcpy(hs->out, message, length);
    hs->out_bytes = length;
    hs->out_sent = 0;
}

static void record(struct apn_handshake *hs, const void *message, size_t length)
{
    assert(hs->transcript_bytes + length <= sizeof(hs->transcript));
    memcpy(hs->transcript + hs->transcript_bytes, message, length);
    hs->transcript_bytes += length;
}

static void queue_reject(struct apn_handshake *hs, int code, const char *text)
{
    struct apn_wire_reject reject = {.code = htole32((uint32_t)-code)};

    memcpy(reject.text, text, strnlen(text, sizeof(reject.text) - 1));
    seal(&reject, APN_HS_REJECT, sizeof(reject));
    queue(hs, &reject, sizeof(reject));
}

/* fail here and, on the server, tell the peer */
__attribute__((format(printf, 3, 4))) static enum apn_handshake_step refuse(
    struct apn_handshake *hs, int code, const char *format, ...)
{
    char text[APN_WIRE_REJECT_TEXT];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    apn_error_set(&hs->error, code, APN_SCOPE_LANE, "handshake: %s", text);
    if (!hs->is_client) {
        queue_reject(hs, code, text);
    }
    return hs->step = APN_HS_STEP_FAILED;
}

/* fail without a word: the peer does not speak our protocol */
__attribute__((format(printf, 3, 4))) static enum apn_handshake_step hang_up(
    struct apn_handshake *hs, int code, const char *format, ...)
{
    char text[APN_WIRE_REJECT_TEXT];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    apn_error_set(&hs->error, code, APN_SCOPE_LANE, "handshake: %s", text);
    return hs->step = APN_HS_STEP_FAILED;
}

/* ---- authentication ------------------------------------------------------ */

static uint32_t security_mode(const struct apn_handshake *hs)
{
    return hs->secret ? APN_SECURITY_HMAC_SHA256 : APN_SECURITY_NONE;
}

/* HMAC-SHA256(secret, label | transcript | tail); zero without a secret (RFC 2104, FIPS 198-1) */
static int make_mac(const struct apn_handshake *hs, const char *label, const void *tail,
                    size_t tail_bytes, uint8_t mac[MAC_BYTES])
{
    uint8_t input[MAC_INPUT_MAX];
    size_t length = strlen(label);

    memset(mac, 0, MAC_BYTES);
    if (!hs->secret) {
        return 0;
    }
    assert(length <= LABEL_MAX && tail_bytes <= offsetof(struct apn_wire_welcome, mac));
    memcpy(input, label, length);
    memcpy(input + length, hs->transcript, hs->transcript_bytes);
    length += hs->transcript_bytes;
    if (tail_bytes) {
        memcpy(input + length, tail, tail_bytes);
        length += tail_bytes;
    }
    return gnutls_hmac_fast(GNUTLS_MAC_SHA256, hs->secret, hs->secret_bytes, input, length, mac) < 0
               ? -EIO
               : 0;
}

static bool mac_equal(const uint8_t a[MAC_BYTES], const uint8_t b[MAC_BYTES])
{
    return gnutls_memcmp(a, b, MAC_BYTES) == 0;
}

/* ---- server -------------------------------------------------------------- */

static enum apn_handshake_step check_hello(struct apn_handshake *hs,
                                           const struct apn_wire_hello *hello)
{
    static const uint8_t zero[sizeof(hello->reserved)];
    const struct apn_hello *h = &hs->hello;
    uint32_t mode = security_mode(hs);

    if (!(le32toh(hello->security) & (1u << mode))) {
        return hs->secret
                   ? refuse(hs, -EACCES,
                            "the destination requires a shared secret and the source has none")
                   : refuse(hs, -EACCES,
                            "the source has a shared secret and the destination has none");
    }
    if (h->lanes == 0 || h->lanes > APN_LANES_MAX) {
        return refuse(hs, -EPROTO, "HELLO lanes %u, must be 1..%u", h->lanes, APN_LANES_MAX);
    }
    if (h->lane >= h->lanes) {
        return refuse(hs, -EPROTO, "HELLO lane %u, must be below lanes %u", h->lane, h->lanes);
    }
    if (h->generation == 0) {
        return refuse(hs, -EPROTO, "HELLO generation 0, must be 1 at least");
    }
    if (h->commit > APN_COMMIT_SAFE) {
        return refuse(hs, -EPROTO, "HELLO commit %" PRIu32 ", must be 0 (fast) or 1 (safe)",
                      h->commit);
    }
    if (memcmp(hello->reserved, zero, sizeof(zero))) {
        return refuse(hs, -EPROTO, "HELLO reserved bytes are not 0");
    }
    return APN_HS_STEP_MORE;
}

static enum apn_handshake_step take_hello(struct apn_handshake *hs)
{
    struct apn_wire_challenge challenge = {.version = htole16(APN_WIRE_VERSION),
                                           .security = htole32(security_mode(hs))};
    struct apn_wire_hello hello = {0};
    unsigned low, high;

    /* any version's HELLO begins with the prefix and the two version numbers; the rest may differ
     */
    memcpy(&hello, hs->in, hs->in_bytes < sizeof(hello) ? hs->in_bytes : sizeof(hello));
    low = le16toh(hello.version_min);
    high = le16toh(hello.version_max);
    if (low > APN_WIRE_VERSION || high < APN_WIRE_VERSION_MIN || low > high) {
        return refuse(hs, -EPROTO, "wire version: the source speaks %u..%u, the destination %u..%u",
                      low, high, APN_WIRE_VERSION_MIN, APN_WIRE_VERSION);
    }
    if (hs->in_bytes != sizeof(hello)) {
        return refuse(hs, -EPROTO, "HELLO of %zu bytes, must be %zu", hs->in_bytes, sizeof(hello));
    }
    hs->hello = (struct apn_hello){
        .lane = le16toh(hello.lane),
        .lanes = le16toh(hello.lanes),
        .generation = le32toh(hello.generation),
        .commit = le32toh(hello.commit),
        .timeout_ms = le32toh(hello.timeout_ms),
        .features = le64toh(hello.features),
        .applied_bytes = le64toh(hello.applied_bytes),
    };
    memcpy(hs->hello.session_id, hello.session_id, sizeof(hello.session_id));
    if (check_hello(hs, &hello) == APN_HS_STEP_FAILED) {
        return hs->step;
    }
    record(hs, &hello, sizeof(hello));
    memcpy(challenge.nonce, hs->nonce, sizeof(challenge.nonce));
    seal(&challenge, APN_HS_CHALLENGE, sizeof(challenge));
    record(hs, &challenge, sizeof(challenge));
    queue(hs, &challenge, sizeof(challenge));
    hs->expect = APN_HS_PROOF;
    return APN_HS_STEP_MORE;
}

static enum apn_handshake_step take_proof(struct apn_handshake *hs)
{
    struct apn_wire_proof proof;
    uint8_t mac[MAC_BYTES];

    memcpy(&proof, hs->in, sizeof(proof));
    if (make_mac(hs, LABEL_SOURCE, NULL, 0, mac)) {
        return refuse(hs, -EIO, "the destination cannot compute HMAC-SHA256");
    }
    if (!mac_equal(mac, proof.mac)) {
        return refuse(hs, -EACCES, "the shared secrets of source and destination differ");
    }
    record(hs, &proof, sizeof(proof));
    hs->expect = 0;
    return APN_HS_STEP_DECIDE;
}

void apn_handshake_welcome(struct apn_handshake *hs, const struct apn_welcome *welcome)
{
    struct apn_wire_welcome message = {
        .features = htole64(welcome->features & hs->hello.features),
        .applied_bytes = htole64(welcome->applied_bytes),
    };

    assert(hs->step == APN_HS_STEP_DECIDE);
    hs->welcome = *welcome;
    /* the check value in the prefix covers the MAC, so the MAC is made over the prefix with check 0
     */
    seal(&message, APN_HS_WELCOME, sizeof(message));
    message.prefix.check = 0;
    if (make_mac(hs, LABEL_DEST, &message, offsetof(struct apn_wire_welcome, mac), message.mac)) {
        hs->step = APN_HS_STEP_FAILED;
        refuse(hs, -EIO, "the destination cannot compute HMAC-SHA256");
        return;
    }
    seal(&message, APN_HS_WELCOME, sizeof(message));
    queue(hs, &message, sizeof(message));
    hs->step = APN_HS_STEP_DONE;
}

void apn_handshake_reject(struct apn_handshake *hs, int code, const char *text)
{
    assert(hs->step == APN_HS_STEP_DECIDE && code < 0);
    refuse(hs, code, "%s", text);
}

/* ---- client -------------------------------------------------------------- */

static enum apn_handshake_step take_challenge(struct apn_handshake *hs)
{
    static const uint8_t zero[8];
    struct apn_wire_challenge challenge;
    struct apn_wire_proof proof = {0};

    memcpy(&challenge, hs->in, sizeof(challenge));
    if (le16toh(challenge.version) != APN_WIRE_VERSION) {
        return refuse(hs, -EPROTO, "wire version: the destination chose %u, this end speaks %u..%u",
                      le16toh(challenge.version), APN_WIRE_VERSION_MIN, APN_WIRE_VERSION);
    }
    if (le32toh(challenge.security) != security_mode(hs)) {
        return refuse(hs, -EACCES,
                      "security: the destination chose %" PRIu32 ", this end requires %" PRIu32,
                      le32toh(challenge.security), security_mode(hs));
    }
    if (challenge.reserved || memcmp(challenge.reserved2, zero, sizeof(zero))) {
        return refuse(hs, -EPROTO, "CHALLENGE reserved bytes are not 0");
    }
    record(hs, &challenge, sizeof(challenge));
    if (make_mac(hs, LABEL_SOURCE, NULL, 0, proof.mac)) {
        return refuse(hs, -EIO, "the source cannot compute HMAC-SHA256");
    }
    seal(&proof, APN_HS_PROOF, sizeof(proof));
    record(hs, &proof, sizeof(proof));
    if (!hs->proof_is_out) {
        queue(hs, &proof, sizeof(proof));
    }
    hs->expect = APN_HS_WELCOME;
    return APN_HS_STEP_MORE;
}

static enum apn_handshake_step take_welcome(struct apn_handshake *hs)
{
    static const uint8_t zero[sizeof(((struct apn_wire_welcome *)0)->reserved)];
    struct apn_wire_welcome welcome;
    uint8_t mac[MAC_BYTES];

    memcpy(&welcome, hs->in, sizeof(welcome));
    welcome.prefix.check = 0; /* as the MAC was made */
    if (make_mac(hs, LABEL_DEST, &welcome, offsetof(struct apn_wire_welcome, mac), mac)) {
        return refuse(hs, -EIO, "the source cannot compute HMAC-SHA256");
    }
    if (!mac_equal(mac, welcome.mac)) {
        return refuse(hs, -EACCES, "the destination did not prove that it knows the shared secret");
    }
    if (memcmp(welcome.reserved, zero, sizeof(zero))) {
        return refuse(hs, -EPROTO, "WELCOME reserved bytes are not 0");
    }
    hs->welcome.features = le64toh(welcome.features);
    hs->welcome.applied_bytes = le64toh(welcome.applied_bytes);
    if (hs->welcome.features & ~hs->hello.features) {
        return refuse(hs, -EPROTO, "WELCOME features %#" PRIx64 ", must be a subset of %#" PRIx64,
                      hs->welcome.features, hs->hello.features);
    }
    hs->expect = 0;
    return APN_HS_STEP_DONE;
}

/* The text is unauthenticated and for people: keep it to one line of printable bytes. */
static enum apn_handshake_step take_reject(struct apn_handshake *hs)
{
    struct apn_wire_reject reject;
    char text[APN_WIRE_REJECT_TEXT];
    uint32_t code;
    size_t length;

    memcpy(&reject, hs->in, sizeof(reject));
    length = strnlen((const char *)reject.text, sizeof(reject.text) - 1);
    for (size_t i = 0; i < length; i++) {
        text[i] = reject.text[i] < 0x20 || reject.text[i] == 0x7f ? '?' : (char)reject.text[i];
    }
    text[length] = 0;
    code = le32toh(reject.code);
    code = code >= 1 && code <= 4095 ? code : EPROTO;
    return hang_up(hs, -(int)code, "the peer refused: %s", length ? text : "(no reason given)");
}

/* ---- input --------------------------------------------------------------- */

/* Return: true when the bytes so far can be the start of a message that is due now */
static bool check_prefix(struct apn_handshake *hs)
{
    size_t magic_bytes = hs->in_bytes < 8 ? hs->in_bytes : 8;
    struct apn_wire_hs_prefix prefix;
    unsigned type, length;

    if (memcmp(hs->in, APN_WIRE_MAGIC, magic_bytes)) {
        hang_up(
            hs, -EPROTO,
            "the peer does not speak this protocol (first byte 0x%02x, must be 0x%02x 'APNMIG')",
            hs->in[0], APN_WIRE_MAGIC[0]);
        return false;
    }
    if (hs->in_bytes < sizeof(prefix)) {
        return true;
    }
    memcpy(&prefix, hs->in, sizeof(prefix));
    type = le16toh(prefix.type);
    length = le16toh(prefix.length);
    if (type != hs->expect && !(hs->is_client && type == APN_HS_REJECT)) {
        refuse(hs, -EPROTO, "message type %u arrived, %s (%u) is due", type, step_names[hs->expect],
               hs->expect);
        return false;
    }
    if (length < sizeof(prefix) + 4 || length > APN_WIRE_HS_MAX) {
        refuse(hs, -EPROTO, "%s of %u bytes, must be %zu..%u", step_names[type], length,
               sizeof(prefix) + 4, APN_WIRE_HS_MAX);
        return false;
    }
    return true;
}

static enum apn_handshake_step take_message(struct apn_handshake *hs)
{
    static const size_t sizes[] = {
        [APN_HS_CHALLENGE] = sizeof(struct apn_wire_challenge),
        [APN_HS_PROOF] = sizeof(struct apn_wire_proof),
        [APN_HS_WELCOME] = sizeof(struct apn_wire_welcome),
        [APN_HS_REJECT] = sizeof(struct apn_wire_reject),
    };
    struct apn_wire_hs_prefix prefix;
    unsigned type;
    uint32_t check, computed;

    memcpy(&prefix, hs->in, sizeof(prefix));
    type = le16toh(prefix.type);
    check = le32toh(prefix.check);
    memset(hs->in + offsetof(struct apn_wire_hs_prefix, check), 0, sizeof(prefix.check));
    computed = apn_crc32c(0, hs->in, hs->in_bytes);
    memcpy(hs->in, &prefix, sizeof(prefix));
    if (check != computed) {
        return refuse(hs, -EBADMSG, "%s: check value %08" PRIx32 ", computed %08" PRIx32,
                      step_names[type], check, computed);
    }
    if (type != APN_HS_HELLO && hs->in_bytes != sizes[type]) {
        return refuse(hs, -EPROTO, "%s of %zu bytes, must be %zu", step_names[type], hs->in_bytes,
                      sizes[type]);
    }
    switch (type) {
    case APN_HS_HELLO:
        return take_hello(hs);
    case APN_HS_CHALLENGE:
        return take_challenge(hs);
    case APN_HS_PROOF:
        return take_proof(hs);
    case APN_HS_WELCOME:
        return take_welcome(hs);
    default:
        return take_reject(hs);
    }
}

size_t apn_handshake_wants(const struct apn_handshake *hs)
{
    struct apn_wire_hs_prefix prefix;

    if (hs->step != APN_HS_STEP_MORE || hs->out_sent < hs->out_bytes) {
        return 0;
    }
    if (hs->in_bytes < sizeof(prefix)) {
        return sizeof(prefix) - hs->in_bytes;
    }
    memcpy(&prefix, hs->in, sizeof(prefix));
    return le16toh(prefix.length) - hs->in_bytes;
}

enum apn_handshake_step apn_handshake_input(struct apn_handshake *hs, const void *bytes,
                                            size_t length)
{
    struct apn_wire_hs_prefix prefix;

    assert(length <= apn_handshake_wants(hs));
    memcpy(hs->in + hs->in_bytes, bytes, length);
    hs->in_bytes += length;
    if (hs->in_bytes == 0 || !check_prefix(hs) || hs->in_bytes < sizeof(prefix)) {
        return hs->step;
    }
    memcpy(&prefix, hs->in, sizeof(prefix));
    if (hs->in_bytes == le16toh(prefix.length)) {
        hs->step = take_message(hs);
        hs->in_bytes = 0;
    }
    return hs->step;
}

size_t apn_handshake_output(const struct apn_handshake *hs, const uint8_t **bytes)
{
    *bytes = hs->out + hs->out_sent;
    return hs->out_bytes - hs->out_sent;
}

void apn_handshake_sent(struct apn_handshake *hs, size_t n)
{
    assert(n <= hs->out_bytes - hs->out_sent);
    hs->out_sent += n;
}

/* ---- start --------------------------------------------------------------- */

static void init(struct apn_handshake *hs, const void *secret, size_t secret_bytes,
                 const uint8_t nonce[32])
{
    memset(hs, 0, sizeof(*hs));
    hs->step = APN_HS_STEP_MORE;
    hs->secret = secret_bytes ? secret : NULL;
    hs->secret_bytes = secret_bytes;
    memcpy(hs->nonce, nonce, sizeof(hs->nonce));
}

void apn_handshake_client_init(struct apn_handshake *hs, const struct apn_hello *hello,
                               const void *secret, size_t secret_bytes, const uint8_t nonce[32])
{
    struct apn_wire_hello message = {
        .version_min = htole16(APN_WIRE_VERSION_MIN),
        .version_max = htole16(APN_WIRE_VERSION),
        .lane = htole16(hello->lane),
        .lanes = htole16(hello->lanes),
        .generation = htole32(hello->generation),
        .commit = htole32(hello->commit),
        .timeout_ms = htole32(hello->timeout_ms),
        .features = htole64(hello->features),
        .applied_bytes = htole64(hello->applied_bytes),
    };

    init(hs, secret, secret_bytes, nonce);
    hs->is_client = true;
    hs->hello = *hello;
    message.security = htole32(1u << security_mode(hs));
    memcpy(message.session_id, hello->session_id, sizeof(message.session_id));
    memcpy(message.nonce, nonce, sizeof(message.nonce));
    seal(&message, APN_HS_HELLO, sizeof(message));
    record(hs, &message, sizeof(message));
    queue(hs, &message, sizeof(message));
    hs->expect = APN_HS_CHALLENGE;
}

void apn_handshake_client_hurry(struct apn_handshake *hs)
{
    struct apn_wire_proof proof = {0};

    assert(hs->expect == APN_HS_CHALLENGE && hs->out_sent == 0);
    if (hs->secret) {
        return;
    }
    seal(&proof, APN_HS_PROOF, sizeof(proof));
    assert(hs->out_bytes + sizeof(proof) <= sizeof(hs->out));
    memcpy(hs->out + hs->out_bytes, &proof, sizeof(proof));
    hs->out_bytes += sizeof(proof);
    hs->proof_is_out = true;
}

void apn_handshake_server_init(struct apn_handshake *hs, const void *secret, size_t secret_bytes,
                               const uint8_t nonce[32])
{
    init(hs, secret, secret_bytes, nonce);
    hs->expect = APN_HS_HELLO;
}
