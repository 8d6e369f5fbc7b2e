/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csv.h - rows and fields of comma-separated text, quoted or not, with any line ends
 * Owner: the reader borrows and changes the text it walks.   Thread: any, no shared state.
 * Time:  none.                                               Units: lines, fields from 1.
 *
 * RFC 4180, narrowed: a quoted field ends on its line. None of the files read here has line
 * breaks inside quotes, and an unclosed quote must not swallow the rest of a file unseen. */
#ifndef AGENT_SUPPORT_CSV_H
#define AGENT_SUPPORT_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "support/error.h"

#define AGENT_CSV_FIELDS_MAX 96

/** struct agent_csv - a reader; @line is that of the row read last */
struct agent_csv {
    const char *name;
    char *at;
    char *end;
    unsigned line;
    unsigned next_line;
};

/** struct agent_csv_row - fields are terminated, unquoted, trimmed; borrowed from the text
 * @complete: the row ended with a line end; false only for a last line that lacks one */
struct agent_csv_row {
    unsigned line;
    size_t count;
    bool complete;
    char *fields[AGENT_CSV_FIELDS_MAX];
};

/** agent_csv_init() - walk @text (@size bytes, terminated, changed while reading) */
void agent_csv_init(struct agent_csv *csv, char *text, size_t size, const char *name);

/** agent_csv_next() - read one row
 * Return: 1, 0 at the end, -EBADMSG (quotes, too many fields) with line and field. */
int agent_csv_next(struct agent_csv *csv, struct agent_csv_row *row, struct agent_error *error);

/** agent_csv_blank() - does the row hold nothing (no field or only empty ones)? */
bool agent_csv_blank(const struct agent_csv_row *row);

/** agent_csv_place() - where field @index (0..) of @row is, for messages */
struct agent_place agent_csv_place(const struct agent_csv *csv, const struct agent_csv_row *row,
                                   size_t index);

#endif
