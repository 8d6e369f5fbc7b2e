/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* codec.c - message headers to bytes and back; see codec.h */
#include "wire/codec.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <apnmig/postcopy.h>
#include <apnmig/stats.h>

/* which fields a type may use; every other field must be zero */
enum field {
    F_KIND = 1u << 0,
    F_REGION = 1u << 1,
    F_LANE = 1u << 2,
    F_SPAN = 1u << 3,
    F_OFFSET = 1u << 4,
    F_VALUE = 1u << 5,
};

struct rule {
    const char *name;
    uint32_t fields;
    uint32_t bytes_max; /* payload */
};

#define RULES_MAX 36u
static const struct rule rules[RULES_MAX] = {
    [APN_MSG_EXTENT] = {"EXTENT", F_KIND | F_REGION | F_SPAN | F_OFFSET, APN_EXTENT_MAX},
    [APN_MSG_STREAM] = {"STREAM", F_OFFSET | F_VALUE, APN_STREAM_CHUNK_MAX},
    [APN_MSG_FENCE] = {"FENCE", F_LANE | F_OFFSET, 0},
    [APN_MSG_REGIONS] = {"REGIONS", F_OFFSET | F_VALUE, APN_CONTROL_MAX},
    [APN_MSG_REGIONS_OK] = {"REGIONS_OK", 0, 0},
    [APN_MSG_PREFAULT] = {"PREFAULT", F_REGION | F_OFFSET | F_VALUE, 0},
    [APN_MSG_READY] = {"READY", 0, 0},
    [APN_MSG_GRANT] = {"GRANT", F_VALUE, 0},
    [APN_MSG_STARTED] = {"STARTED", 0, 0},
    [APN_MSG_WONT] = {"WONT", 0, APN_CONTROL_MAX},
    [APN_MSG_ABORT] = {"ABORT", 0, APN_CONTROL_MAX},
    [APN_MSG_RETIRE] = {"RETIRE", F_LANE, 0},
    [APN_MSG_RETIRED] = {"RETIRED", F_LANE | F_VALUE, 0},
    [APN_MSG_BYE] = {"BYE", 0, 0},
    [APN_MSG_POSTCOPY_REQUEST] = {"POSTCOPY_REQUEST", F_REGION | F_SPAN | F_OFFSET | F_VALUE, 0},
    [APN_MSG_POSTCOPY_PAGE] = {"POSTCOPY_PAGE", F_KIND | F_REGION | F_SPAN | F_OFFSET, APN_POSTCOPY_EXTENT_MAX},
    [APN_MSG_APPLIED] = {"APPLIED", F_SPAN | F_OFFSET | F_VALUE, 0},
    [APN_MSG_PING] = {"PING", F_OFFSET | F_VALUE, 0},
    [APN_MSG_PONG] = {"PONG", F_OFFSET | F_VALUE, 0},
};

static const struct rule *rule_of(unsigned type)
{
    return type < RULES_MAX && rules[type].name ? &rules[type] : NULL;
}

const char *apn_msg_type_name(unsigned type)
{
    const struct rule *rule = rule_of(type);

    return rule ? rule->name : "unknown";
}

static int bad(struct apn_error *err, const struct apn_msg *msg, const char *field, uint64_t value,
               const char *limit)
{
    return apn_error_set(err, -EPROTO, APN_SCOPE_LANE, "message %s: %s %" PRIu64 ", must be %s",
                         apn_msg_type_name(msg->type), field, value, limit);
}

static int check_unused(const struct apn_msg *msg, uint32_t used, struct apn_error *err)
{
    const struct {
        uint32_t field;
        const char *name;
        uint64_t value;
    } fields[] = {
        {F_KIND, "kind", msg->kind},       {F_REGION, "region", msg->region},
        {F_LANE, "lane", msg->lane},       {F_SPAN, "span", msg->span},
        {F_OFFSET, "offset", msg->offset}, {F_VALUE, "value", msg->value},
    };

    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (!(used & fields[i].field) && fields[i].value) {
            return bad(err, msg, fields[i].name, fields[i].value, "0 (unused)");
        }
    }
    return 0;
}

static int check_page_range(const struct apn_msg *msg, uint64_t bytes, struct apn_error *err)
{
    if (msg->region >= APN_REGIONS_MAX) {
        return bad(err, msg, "region", msg->region, "below 1024");
    }
    if (msg->offset % APN_PAGE_SIZE) {
        return bad(err, msg, "offset", msg->offset, "a multiple of 4096");
    }
    if (msg->offset + bytes < msg->offset) {
        return bad(err, msg, "offset", msg->offset, "such that offset + length stays below 2^64");
    }
    return 0;
}

static int check_extent(const struct apn_msg *msg, uint32_t span_max, struct apn_error *err)
{
    if (msg->span == 0 || msg->span > span_max || msg->span % APN_PAGE_SIZE) {
        return bad(err, msg, "span", msg->span,
                   span_max == APN_EXTENT_MAX ? "a multiple of 4096, 4096..262144" : "a multiple of 4096, 4096..65536");
    }
    switch (msg->kind) {
    case APN_EXTENT_DATA:
        if (msg->bytes != msg->span) {
            return bad(err, msg, "payload length", msg->bytes, "equal to the span for kind DATA");
        }
        break;
    case APN_EXTENT_ZERO:
        if (msg->bytes) {
            return bad(err, msg, "payload length", msg->bytes, "0 for kind ZERO");
        }
        break;
    default:
        return bad(err, msg, "kind", msg->kind, "1 (DATA) or 2 (ZERO)");
    }
    return check_page_range(msg, msg->span, err);
}

/* a span of 0 asks for nothing: the destination listens */
static int check_request(const struct apn_msg *msg, struct apn_error *err)
{
    if (msg->span > APN_POSTCOPY_PAGE_MAX || msg->span % APN_PAGE_SIZE) {
        return bad(err, msg, "span", msg->span, "a multiple of 4096, 2097152 at most");
    }
    if (!msg->span && (msg->region || msg->offset)) {
        return bad(err, msg, "offset", msg->offset, "0 like the region, with a span of 0");
    }
    if (msg->value > (msg->span ? 1 : 0)) {
        return bad(err, msg, "value", msg->value, msg->span ? "0, or 1 (read by the destination)" : "0, with a span of 0");
    }
    return check_page_range(msg, msg->span, err);
}

static int check_lane(const struct apn_msg *msg, struct apn_error *err)
{
    if (msg->lane >= APN_LANES_MAX) {
        return bad(err, msg, "lane", msg->lane, "below 32");
    }
    if (msg->type == APN_MSG_FENCE && msg->offset == 0) {
        return bad(err, msg, "fence id", msg->offset, "1 at least");
    }
    return 0;
}

static int check_fields(const struct apn_msg *msg, struct apn_error *err)
{
    switch (msg->type) {
    case APN_MSG_EXTENT:
        return check_extent(msg, APN_EXTENT_MAX, err);
    case APN_MSG_POSTCOPY_PAGE:
        return check_extent(msg, APN_POSTCOPY_EXTENT_MAX, err);
    case APN_MSG_POSTCOPY_REQUEST:
        return check_request(msg, err);
    case APN_MSG_PREFAULT:
        if (msg->value == 0 || msg->value % APN_PAGE_SIZE) {
            return bad(err, msg, "bytes", msg->value, "a multiple of 4096, not 0");
        }
        return check_page_range(msg, msg->value, err);
    case APN_MSG_STREAM:
        if (msg->bytes == 0) {
            return bad(err, msg, "payload length", msg->bytes, "1..65536");
        }
        if (msg->offset + msg->bytes < msg->offset) {
            return bad(err, msg, "offset", msg->offset,
                       "such that offset + length stays below 2^64");
        }
        return 0;
    case APN_MSG_REGIONS:
        if (msg->value > APN_REGIONS_MAX) {
            return bad(err, msg, "regions", msg->value, "1024 at most");
        }
        if (msg->offset > msg->value) {
            return bad(err, msg, "first index", msg->offset, "at most the number of regions");
        }
        return 0;
    case APN_MSG_FENCE:
    case APN_MSG_RETIRE:
    case APN_MSG_RETIRED:
        return check_lane(msg, err);
    default:
        return 0;
    }
}

int apn_msg_validate(const struct apn_msg *msg, struct apn_error *err)
{
    const struct rule *rule = rule_of(msg->type);
    char limit[32];
    int ret;

    if (!rule) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE,
                             "message type %u: unknown in wire version %u", msg->type,
                             APN_WIRE_VERSION);
    }
    if (msg->bytes > rule->bytes_max) {
        snprintf(limit, sizeof(limit), "%" PRIu32 " at most", rule->bytes_max);
        return bad(err, msg, "payload length", msg->bytes, limit);
    }
    ret = check_unused(msg, rule->fields, err);
    return ret ? ret : check_fields(msg, err);
}

void apn_msg_encode(const struct apn_msg *msg, uint8_t out[APN_WIRE_HEADER_BYTES])
{
    struct apn_wire_header header = {
        .type = msg->type,
        .kind = msg->kind,
        .region = htole16(msg->region),
        .lane = htole16(msg->lane),
        .length = htole32(msg->bytes),
        .span = htole32(msg->span),
        .offset = htole64(msg->offset),
        .value = htole64(msg->value),
    };

    assert(apn_msg_validate(msg, NULL) == 0);
    header.check = htole32(apn_crc32c(0, &header, offsetof(struct apn_wire_header, check)));
    memcpy(out, &header, sizeof(header));
}

int apn_msg_decode(const uint8_t bytes[APN_WIRE_HEADER_BYTES], struct apn_msg *msg,
                   struct apn_error *err)
{
    struct apn_wire_header header;
    uint32_t check;

    memcpy(&header, bytes, sizeof(header));
    check = apn_crc32c(0, bytes, offsetof(struct apn_wire_header, check));
    if (le32toh(header.check) != check) {
        return apn_error_set(err, -EBADMSG, APN_SCOPE_LANE,
                             "message header: check value %08" PRIx32 ", computed %08" PRIx32
                             " (damaged bytes, or not our protocol)",
                             le32toh(header.check), check);
    }
    *msg = (struct apn_msg){
        .type = header.type,
        .kind = header.kind,
        .region = le16toh(header.region),
        .lane = le16toh(header.lane),
        .bytes = le32toh(header.length),
        .span = le32toh(header.span),
        .offset = le64toh(header.offset),
        .value = le64toh(header.value),
    };
    if (header.reserved || header.reserved2) {
        return bad(err, msg, "reserved field",
                   header.reserved ? le16toh(header.reserved) : le32toh(header.reserved2), "0");
    }
    return apn_msg_validate(msg, err);
}
