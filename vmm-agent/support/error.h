/* SPDX-License-Identifier: GPL-2.0-or-later */
/* error.h - what went wrong, where, in words a person can act on
 * Owner: the caller, usually on the stack.   Thread: any, no shared state.
 * Time:  none.                               Units:  line and column count from 1, 0 = unknown. */
#ifndef AGENT_SUPPORT_ERROR_H
#define AGENT_SUPPORT_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define AGENT_ERROR_TEXT_MAX 512
#define AGENT_ERROR_FILE_MAX 256

/** struct agent_error - first writer wins; a zeroed struct means "no error"
 * @code:   -errno of the failure; 0 = nothing was written yet
 * @line:   line in @file, 1..; 0 = does not apply
 * @column: column (CSV: field number, text: character), 1..; 0 = does not apply
 * @file:   file, URL or source the text is about, may be empty
 * @text:   names the thing, the value and the limit; no newline at the end */
struct agent_error {
    int code;
    unsigned line;
    unsigned column;
    char file[AGENT_ERROR_FILE_MAX];
    char text[AGENT_ERROR_TEXT_MAX];
};

/** agent_error_set() - note a failure unless one is already noted
 * @error: may be NULL (the caller wants only the code)
 * @code:  positive or negative errno, not 0
 * Return: -errno, so that "return agent_error_set(...)" works. */
int agent_error_set(struct agent_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** struct agent_place - where in a file; @file is borrowed */
struct agent_place {
    const char *file;
    unsigned line;
    unsigned column;
};

/** agent_error_at() - the same with a place: "file:line:column: text" */
int agent_error_at(struct agent_error *error, int code, struct agent_place place,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/** agent_error_clear() - forget what was noted, so that the struct can be used again */
void agent_error_clear(struct agent_error *error);

/** agent_error_format() - "file:line:column: text" into @out, always terminated
 * Return: @out. */
const char *agent_error_format(const struct agent_error *error, char *out, size_t size);

#endif
