/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.c - see apnmig/error.h */
#include <stdarg.h>
#include <stdio.h>

#include <apnmig/error.h>

int apn_error_set(struct apn_error *err, int code, enum apn_scope scope, const char *format, ...)
{
    va_list ap;

    if (!err || err->code) {
        return code;
    }
    err->code = code;
    err->scope = scope;
    va_start(ap, format);
    vsnprintf(err->text, sizeof(err->text), format, ap);
    va_end(ap);
    return code;
}
