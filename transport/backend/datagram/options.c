/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* options.c - what stands behind the colon of a datagram backend's name; see datagram.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/datagram/datagram.h"

#define WORD_MAX 128u /* a unix socket's path is one of them */

struct unit {
    const char *name;
    double factor;
};

/* "2.5Gbit" to bytes per second. Return: 0, -EINVAL */
static int parse_rate(const char *text, uint64_t *out)
{
    static const struct unit units[] = {{"bit", 1. / 8}, {"Kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8}};
    char *end;
    double number;

    if (*text < '0' || *text > '9') {
        return -EINVAL;
    }
    number = strtod(text, &end);
    for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        double bytes = number * units[i].factor;

        if (!strcmp(end, units[i].name) && bytes >= 125000 && bytes <= 125e9) {
            *out = (uint64_t)bytes;
            return 0;
        }
    }
    return -EINVAL;
}

static int bad(struct apn_error *err, const char *word, const char *must)
{
    return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "backend option \"%s\": must be %s", word, must);
}

static int parse_mtu(const char *word, const char *text, uint32_t *datagram_max, struct apn_error *err)
{
    char *end;
    unsigned long mtu = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || mtu < 1280 || mtu > 65535) {
        return bad(err, word, "mtu=BYTES, 1280..65535");
    }
    *datagram_max = (uint32_t)mtu - 48; /* IPv6 and UDP, the longer headers */
    return 0;
}

static int parse_word(char *word, struct apn_datagram_options *out, int (*other)(void *opaque, const char *word, struct apn_error *err),
                      void *opaque, struct apn_error *err)
{
    if (!strncmp(word, "ceiling=", 8)) {
        return parse_rate(word + 8, &out->ceiling_bytes_per_s) ? bad(err, word, "ceiling=RATE, 1Mbit..1000Gbit") : 0;
    }
    if (!strncmp(word, "floor=", 6)) {
        return parse_rate(word + 6, &out->floor_bytes_per_s) ? bad(err, word, "floor=RATE, 1Mbit..1000Gbit") : 0;
    }
    if (!strncmp(word, "mtu=", 4)) {
        return parse_mtu(word, word + 4, &out->datagram_max, err);
    }
    if (!strcmp(word, "shared")) {
        out->shared = true;
        return 0;
    }
    return other ? other(opaque, word, err) : bad(err, word, "ceiling=RATE, floor=RATE, mtu=BYTES or shared");
}

int apn_datagram_options_parse(const char *text, struct apn_datagram_options *out,
                               int (*other)(void *opaque, const char *word, struct apn_error *err), void *opaque, struct apn_error *err)
{
    struct apn_datagram_options o = {0};

    while (*text) {
        const size_t length = strcspn(text, ",");
        char word[WORD_MAX + 1];
        int ret;

        if (!length || length > WORD_MAX) {
            return bad(err, text, "words of 1..128 characters between commas");
        }
        memcpy(word, text, length);
        word[length] = 0;
        ret = parse_word(word, &o, other, opaque, err);
        if (ret) {
            return ret;
        }
        text += length + (text[length] == ',');
    }
    if (o.ceiling_bytes_per_s && o.floor_bytes_per_s > o.ceiling_bytes_per_s) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "backend option floor: %llu bytes/s is above the ceiling of %llu",
                             (unsigned long long)o.floor_bytes_per_s, (unsigned long long)o.ceiling_bytes_per_s);
    }
    *out = o;
    return 0;
}
