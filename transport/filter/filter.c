/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* filter.c - the string that names filters (grammar: filter.h) */
#include "filter/filter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "filter/base.h"

static const struct filter_class *const classes[] = {
    &apn_filter_delay,
    &apn_filter_fault,
    &apn_filter_rate,
    &apn_filter_trace,
};

static const struct filter_class *class_find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strlen(classes[i]->name) == length && !memcmp(classes[i]->name, name, length)) {
            return classes[i];
        }
    }
    return NULL;
}

static int wrap_one(struct apn_backend *next, const char *part,
                    const struct apn_backend_config *config, struct apn_backend **out,
                    struct apn_error *err)
{
    const char *equals = strchr(part, '=');
    const struct filter_class *class = equals ? class_find(part, (size_t)(equals - part)) : NULL;

    if (!class) {
        return apn_error_set(
            err, -EINVAL, APN_SCOPE_SESSION,
            "filter \"%s\" is not one of delay=TIME, fault=SPEC, rate=RATE, trace=PREFIX", part);
    }
    return apn_filter_new(class, next, equals + 1, config, out, err);
}

int apn_filters_wrap(struct apn_backend *next, const char *filters,
                     const struct apn_backend_config *config, struct apn_backend **out,
                     struct apn_error *err)
{
    char text[APN_FILTER_TEXT_MAX];
    struct apn_backend *outer = next;
    unsigned count = 0;
    int ret = 0;

    if (filters && strlen(filters) >= sizeof(text)) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION,
                             "filters: %zu characters, at most %zu", strlen(filters),
                             sizeof(text) - 1);
    }
    snprintf(text, sizeof(text), "%s", filters ? filters : "");
    while (text[0] && !ret) { /* from the end: the last one named is the innermost */
        char *semicolon = strrchr(text, ';');
        char *part = semicolon ? semicolon + 1 : text;

        if (++count > APN_FILTERS_MAX) {
            ret = apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "filters: more than %u",
                                APN_FILTERS_MAX);
            break;
        }
        ret = wrap_one(outer, part, config, &outer, err);
        *(semicolon ? semicolon : text) = '\0';
    }
    if (ret) {
        while (outer != next) {
            struct apn_backend *inner = ((struct filter *)outer)->next;

            apn_filter_unwrap(outer);
            outer = inner;
        }
        return ret;
    }
    *out = outer;
    return 0;
}
