/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/error.h"

#include <stdlib.h>
#include <string.h>

static int note(struct agent_error *error, int code, struct agent_place place, const char *format,
                va_list args)
{
    int negative = code > 0 ? -code : code;

    if (error == NULL || error->code != 0) {
        return negative;
    }
    error->code = negative;
    error->line = place.line;
    error->column = place.column;
    snprintf(error->file, sizeof(error->file), "%s", place.file != NULL ? place.file : "");
    vsnprintf(error->text, sizeof(error->text), format, args);
    return negative;
}

int agent_error_set(struct agent_error *error, int code, const char *format, ...)
{
    struct agent_place nowhere = {NULL, 0, 0};
    va_list args;

    va_start(args, format);
    int result = note(error, code, nowhere, format, args);
    va_end(args);
    return result;
}

int agent_error_at(struct agent_error *error, int code, struct agent_place place,
                   const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int result = note(error, code, place, format, args);
    va_end(args);
    return result;
}

void agent_error_clear(struct agent_error *error)
{
    if (error != NULL) {
        memset(error, 0, sizeof(*error));
    }
}

const char *agent_error_format(const struct agent_error *error, char *out, size_t size)
{
    char where[32] = "";

    if (error->line > 0 && error->column > 0) {
        snprintf(where, sizeof(where), ":%u:%u", error->line, error->column);
    } else if (error->line > 0) {
        snprintf(where, sizeof(where), ":%u", error->line);
    }
    if (error->file[0] != '\0') {
        snprintf(out, size, "%s%s: %s", error->file, where, error->text);
    } else {
        snprintf(out, size, "%s", error->text);
    }
    return out;
}
