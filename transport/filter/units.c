/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* units.c - numbers with units in filter specifications (grammar: filter.h) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "filter/base.h"

struct unit {
    const char *name;
    double factor;
};

/* Values beyond this would not survive arithmetic in 64 bits. */
#define VALUE_MAX 1e18

static int parse(const char *text, const struct unit *units, uint64_t *out)
{
    char *end;
    double number;

    if (*text < '0' || *text > '9') {
        return -EINVAL; /* no sign, no space, no "inf" */
    }
    number = strtod(text, &end);
    for (; units->name; units++) {
        if (!strcmp(end, units->name)) {
            number *= units->factor;
            if (!(number <= VALUE_MAX)) {
                return -EINVAL;
            }
            *out = (uint64_t)(number + 0.5);
            return 0;
        }
    }
    return -EINVAL;
}

int filter_parse_time(const char *text, uint64_t *ns)
{
    static const struct unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};

    return parse(text, units, ns);
}

int filter_parse_rate(const char *text, uint64_t *bytes_per_s)
{
    static const struct unit units[] = {
        {"bit", 1. / 8}, {"Kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8}, {NULL, 0}};

    return parse(text, units, bytes_per_s);
}

int filter_parse_bytes(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {{"", 1},          {"B", 1},         {"KB", 1e3},
                                        {"MB", 1e6},      {"GB", 1e9},      {"KiB", 1 << 10},
                                        {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};

    return parse(text, units, bytes);
}
