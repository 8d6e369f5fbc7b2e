/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fault_spec.c - see fault_spec.h */
#include "filter/fault_spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter/base.h"
#include "filter/filter.h"
#include "wire/codec.h"

static int bad(struct apn_error *err, const char *part, const char *value, const char *allowed)
{
    return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "filter fault: %s \"%s\" is not %s", part,
                         value ? value : "", allowed);
}

/* Whole decimal number, at least @min. */
static int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;

    if (!text || *text < '0' || *text > '9') {
        return -EINVAL;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno || *end || *out < min || *out > max ? -EINVAL : 0;
}

static int parse_type(const char *text, uint8_t *type)
{
    *type = 0;
    if (text && !strcmp(text, "ANY")) {
        return 0;
    }
    for (unsigned i = 1; i <= UINT8_MAX && text && *text; i++) {
        const char *name = apn_msg_type_name(i);

        if (strcmp(name, "unknown") && !strcmp(name, text)) {
            *type = (uint8_t)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_where(char **rest, struct fault_spec *spec, struct apn_error *err)
{
    const char *where = strsep(rest, ":"), *text;
    uint64_t lane;

    if (!strcmp(where, "all")) {
        spec->where = FAULT_ALL;
        return 0;
    }
    if (!strcmp(where, "lane")) {
        spec->where = FAULT_LANE;
        text = strsep(rest, ":");
        if (parse_number(text, 0, 31, &lane)) {
            return bad(err, "lane", text, "a number 0..31");
        }
        spec->lane = (uint16_t)lane;
        return 0;
    }
    if (strcmp(where, "tx") && strcmp(where, "rx")) {
        return bad(err, "place", where, "tx, rx, lane or all");
    }
    spec->where = where[0] == 't' ? FAULT_TX : FAULT_RX;
    text = strsep(rest, ":");
    if (parse_type(text, &spec->type)) {
        return bad(err, "message type", text,
                   "a message's name (EXTENT, STREAM, GRANT, ... or ANY)");
    }
    text = strsep(rest, ":");
    if (text && !strcmp(text, "*")) {
        spec->nth = FAULT_EVERY;
    } else if (parse_number(text, 1, UINT64_MAX, &spec->nth)) {
        return bad(err, "count", text, "a number from 1, or *");
    }
    return 0;
}

static int parse_action(const char *action, struct fault_spec *spec, struct apn_error *err)
{
    static const char *const names[] = {"cut", "cut-forever", "stall", "stall-forever"};

    for (unsigned i = 0; i < 4 && action; i++) {
        if (!strcmp(action, names[i])) {
            spec->stall = i >= 2;
            spec->outage_ns = i & 1 ? FAULT_FOREVER : 0;
            return 0;
        }
    }
    return bad(err, "action", action, "cut, cut-forever, stall or stall-forever");
}

static int parse_option(char *option, struct fault_spec *spec, struct apn_error *err)
{
    bool counted = spec->where == FAULT_TX || spec->where == FAULT_RX;
    const char *name = strsep(&option, "=");
    char *end;

    if (!option) {
        return bad(err, "option", name, "NAME=VALUE with after, at, p, seed or for");
    }
    if (counted && (!strcmp(name, "after") || !strcmp(name, "at"))) {
        return bad(err, "option", name, "possible with tx and rx, which count messages");
    }
    if (!strcmp(name, "after")) {
        return filter_parse_bytes(option, &spec->after_bytes)
                   ? bad(err, "after", option, "bytes (as in 100MB)")
                   : 0;
    }
    if (!strcmp(name, "at")) {
        return filter_parse_time(option, &spec->at_ns) ? bad(err, "at", option, "a time (as in 2s)")
                                                       : 0;
    }
    if (!strcmp(name, "for")) {
        return filter_parse_time(option, &spec->outage_ns)
                   ? bad(err, "for", option, "a time (as in 5s)")
                   : 0;
    }
    if (!strcmp(name, "seed")) {
        return parse_number(option, 0, UINT64_MAX, &spec->seed)
                   ? bad(err, "seed", option, "a number")
                   : 0;
    }
    if (strcmp(name, "p")) {
        return bad(err, "option", name, "one of after, at, p, seed, for");
    }
    spec->p = strtod(option, &end);
    if (end == option || *end || !(spec->p > 0 && spec->p <= 1)) {
        return bad(err, "p", option, "a probability above 0, at most 1");
    }
    return 0;
}

int fault_spec_parse(const char *text, struct fault_spec *out, struct apn_error *err)
{
    struct fault_spec spec = {.seed = 1};
    char copy[APN_FILTER_TEXT_MAX];
    char *rest = copy, *options, *action;
    int ret;

    snprintf(copy, sizeof(copy), "%s", text);
    options = strchr(copy, '@');
    if (options) {
        *options++ = '\0';
    }
    ret = parse_where(&rest, &spec, err);
    if (ret) {
        return ret;
    }
    action = strsep(&rest, ":");
    ret = parse_action(action, &spec, err);
    if (!ret && rest) {
        ret = bad(err, "rest", rest, "expected after the action");
    }
    while (!ret && options) {
        ret = parse_option(strsep(&options, ","), &spec, err);
    }
    if (!ret && spec.nth == FAULT_EVERY && !spec.p &&
        (spec.where == FAULT_TX || spec.where == FAULT_RX)) {
        spec.p = 1;
    }
    if (!ret) {
        *out = spec;
    }
    return ret;
}
