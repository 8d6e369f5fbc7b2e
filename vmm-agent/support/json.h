/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json.h - read JSON that we did not write, without trusting it; thin helpers over jansson
 * Owner: values are jansson references.   Thread: any, no shared state.
 * Time:  none.                            Units:  as named by each key.
 *
 * Conventions: keys are snake_case with the unit last; times are ISO 8601 text with a zone; a
 * number that is not finite is refused; a key nobody knows is an error, never ignored. @where is
 * the path shown in messages, such as "sites[2]". */
#ifndef AGENT_SUPPORT_JSON_H
#define AGENT_SUPPORT_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "support/error.h"

/** struct agent_range - inclusive limits of a number */
struct agent_range {
    double min;
    double max;
};

/** agent_json_load() - parse a file of at most @max_bytes; duplicate keys are refused
 * Return: 0 with a new reference in @out (caller: json_decref), or -errno with line and column. */
int agent_json_load(const char *path, size_t max_bytes, json_t **out, struct agent_error *error);

/** agent_json_number() - required number within @range
 * Return: 0, -ENOENT (no such key), -EINVAL (not a number, not finite, out of range). */
int agent_json_number(const json_t *object, const char *where, const char *key,
                      struct agent_range range, double *out, struct agent_error *error);

/** agent_json_number_or() - the same, optional: an absent key gives @fallback */
int agent_json_number_or(const json_t *object, const char *where, const char *key,
                         struct agent_range range, double fallback, double *out,
                         struct agent_error *error);

/** agent_json_integer() - required whole number within @min..@max */
int agent_json_integer(const json_t *object, const char *where, const char *key, int64_t min,
                       int64_t max, int64_t *out, struct agent_error *error);

/** agent_json_text() - required non-empty text; *@out is borrowed from @object */
int agent_json_text(const json_t *object, const char *where, const char *key, const char **out,
                    struct agent_error *error);

/** agent_json_array() - required array of @min..@max members; *@out is borrowed */
int agent_json_array(const json_t *object, const char *where, const char *key, size_t min,
                     size_t max, json_t **out, struct agent_error *error);

/** agent_json_only() - refuse keys that are not in the NULL-ended list @known
 * Return: 0, or -EINVAL naming the unknown key and the nearest known one. */
int agent_json_only(const json_t *object, const char *where, const char *const *known,
                    struct agent_error *error);

/** agent_json_print() - one document, keys in insertion order, numbers at up to 10 digits, a
 * newline at the end: the form of every --json answer. Same value, same bytes.
 * Return: 0 or -EIO. */
int agent_json_print(const json_t *value, FILE *out);

#endif
