/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.h - Japanese text of any encoding to clean UTF-8, and comparing names
 * Owner: returned buffers are the caller's (free).   Thread: any, no shared state.
 * Time:  none.                                       Units: bytes. */
#ifndef AGENT_SUPPORT_TEXT_H
#define AGENT_SUPPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "support/error.h"

/** agent_text_decode() - UTF-8 with or without BOM, or cp932, to UTF-8 without BOM
 * UTF-16, NUL bytes and byte sequences of neither encoding are refused with line and column.
 * @name: shown in errors. @out: terminated, caller frees. Return: 0, -EBADMSG, -ENOMEM. */
int agent_text_decode(const char *bytes, size_t size, const char *name, char **out,
                      size_t *out_size, struct agent_error *error);

/** agent_text_key() - the form in which header names are compared: NFKC (Unicode 15, UAX #15),
 * no white space; full-width letters, digits, brackets and underscores become plain ones
 * @key: terminated, cut at @size - 1 only if the text is longer than any known name
 * Return: 0, -ENAMETOOLONG, -EINVAL (not UTF-8). */
int agent_text_key(const char *text, char *key, size_t size);

/** agent_text_number() - a whole field as a decimal number: [+-]digits[.digits], no exponent,
 * no thousands marks, no surrounding text
 * Return: 0, or -EINVAL. */
int agent_text_number(const char *text, double *value);

/** agent_text_nearest() - the member of NULL-ended @names within two typing errors of @word, or
 * NULL; borrowed from @names */
const char *agent_text_nearest(const char *word, const char *const *names);

#endif
