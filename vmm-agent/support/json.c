/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/file.h"
#include "support/text.h"

static const char *kind_name(const json_t *value)
{
    static const char *const names[] = {"an object", "an array", "text",  "a whole number",
                                        "a number",  "true",     "false", "null"};

    return value == NULL ? "nothing" : names[json_typeof(value)];
}

int agent_json_load(const char *path, size_t max_bytes, json_t **out, struct agent_error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    json_error_t problem;
    int status = agent_file_read(path, max_bytes, &bytes, &size, error);

    if (status < 0) {
        return status;
    }
    json_t *value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &problem);
    free(bytes);
    if (value == NULL) {
        struct agent_place place = {path, (unsigned)(problem.line > 0 ? problem.line : 0),
                                    (unsigned)(problem.column > 0 ? problem.column : 0)};
        return agent_error_at(error, EBADMSG, place, "not valid JSON: %s", problem.text);
    }
    *out = value;
    return 0;
}

static int missing(const char *where, const char *key, struct agent_error *error)
{
    return agent_error_set(error, ENOENT, "%s: key '%s' is missing", where, key);
}

static int number(const json_t *value, const char *where, const char *key, struct agent_range range,
                  double *out, struct agent_error *error)
{
    if (!json_is_number(value)) {
        return agent_error_set(error, EINVAL, "%s.%s: expected a number, found %s", where, key,
                               kind_name(value));
    }
    double found = json_number_value(value);
    if (!isfinite(found) || found < range.min || found > range.max) {
        return agent_error_set(error, EINVAL, "%s.%s: %.10g is outside %.10g..%.10g", where, key,
                               found, range.min, range.max);
    }
    *out = found;
    return 0;
}

int agent_json_number(const json_t *object, const char *where, const char *key,
                      struct agent_range range, double *out, struct agent_error *error)
{
    const json_t *value = json_object_get(object, key);

    return value == NULL ? missing(where, key, error)
                         : number(value, where, key, range, out, error);
}

int agent_json_number_or(const json_t *object, const char *where, const char *key,
                         struct agent_range range, double fallback, double *out,
                         struct agent_error *error)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL) {
        *out = fallback;
        return 0;
    }
    return number(value, where, key, range, out, error);
}

int agent_json_integer(const json_t *object, const char *where, const char *key, int64_t min,
                       int64_t max, int64_t *out, struct agent_error *error)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL) {
        return missing(where, key, error);
    }
    if (!json_is_integer(value)) {
        return agent_error_set(error, EINVAL, "%s.%s: expected a whole number, found %s", where,
                               key, kind_name(value));
    }
    int64_t found = (int64_t)json_integer_value(value);
    if (found < min || found > max) {
        return agent_error_set(error, EINVAL, "%s.%s: %lld is outside %lld..%lld", where, key,
                               (long long)found, (long long)min, (long long)max);
    }
    *out = found;
    return 0;
}

int agent_json_text(const json_t *object, const char *where, const char *key, const char **out,
                    struct agent_error *error)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL) {
        return missing(where, key, error);
    }
    if (!json_is_string(value) || json_string_length(value) == 0) {
        return agent_error_set(error, EINVAL, "%s.%s: expected text, found %s", where, key,
                               json_is_string(value) ? "empty text" : kind_name(value));
    }
    *out = json_string_value(value);
    return 0;
}

int agent_json_array(const json_t *object, const char *where, const char *key, size_t min,
                     size_t max, json_t **out, struct agent_error *error)
{
    json_t *value = json_object_get(object, key);

    if (value == NULL) {
        return missing(where, key, error);
    }
    if (!json_is_array(value)) {
        return agent_error_set(error, EINVAL, "%s.%s: expected an array, found %s", where, key,
                               kind_name(value));
    }
    size_t count = json_array_size(value);
    if (count < min || count > max) {
        return agent_error_set(error, EINVAL, "%s.%s: %zu members, expected %zu..%zu", where, key,
                               count, min, max);
    }
    *out = value;
    return 0;
}

int agent_json_only(const json_t *object, const char *where, const char *const *known,
                    struct agent_error *error)
{
    const char *key = NULL;
    json_t *value = NULL;

    if (!json_is_object(object)) {
        return agent_error_set(error, EINVAL, "%s: expected an object, found %s", where,
                               kind_name(object));
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t index = 0;
        while (known[index] != NULL && strcmp(known[index], key) != 0) {
            index++;
        }
        if (known[index] == NULL) {
            const char *near = agent_text_nearest(key, known);
            return agent_error_set(error, EINVAL, "%s: unknown key '%.60s'%s%s%s", where, key,
                                   near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                                   near != NULL ? "'?" : "");
        }
    }
    return 0;
}

int agent_json_print(const json_t *value, FILE *out)
{
    size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(10) | JSON_ENCODE_ANY;

    return json_dumpf(value, out, flags) < 0 || fputc('\n', out) == EOF ? -EIO : 0;
}
