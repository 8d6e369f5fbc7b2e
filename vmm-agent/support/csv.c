/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/csv.h"

#include <errno.h>
#include <string.h>

void agent_csv_init(struct agent_csv *csv, char *text, size_t size, const char *name)
{
    csv->name = name;
    csv->at = text;
    csv->end = text + size;
    csv->line = 0;
    csv->next_line = 1;
}

static bool line_end(const struct agent_csv *csv, const char *at)
{
    return at == csv->end || *at == '\n' || *at == '\r';
}

static char *trim(char *start, char *stop)
{
    while (start < stop && (*start == ' ' || *start == '\t')) {
        start++;
    }
    while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t')) {
        stop--;
    }
    *stop = '\0';
    return start;
}

/* A quoted field: moves csv->at behind the closing quote; *stop is where the text ends. */
static int quoted(struct agent_csv *csv, const struct agent_csv_row *row, char **stop,
                  struct agent_error *error)
{
    char *from = csv->at + 1;
    char *to = csv->at + 1;

    while (true) {
        if (line_end(csv, from)) {
            return agent_error_at(error, EBADMSG, agent_csv_place(csv, row, row->count),
                                  "expected a closing quote before the line ends");
        }
        if (*from == '"' && from + 1 < csv->end && from[1] == '"') {
            from++;
        } else if (*from == '"') {
            break;
        }
        *to++ = *from++;
    }
    from++;
    if (!line_end(csv, from) && *from != ',') {
        return agent_error_at(error, EBADMSG, agent_csv_place(csv, row, row->count),
                              "expected a comma after the closing quote, found '%c'",
                              *from >= ' ' && *from <= '~' ? *from : '?');
    }
    csv->at = from;
    *stop = to;
    return 0;
}

static int field(struct agent_csv *csv, struct agent_csv_row *row, struct agent_error *error)
{
    char *start = csv->at;
    char *stop = NULL;

    if (row->count == AGENT_CSV_FIELDS_MAX) {
        return agent_error_at(error, EBADMSG, agent_csv_place(csv, row, row->count - 1),
                              "more than %d fields in one row", AGENT_CSV_FIELDS_MAX);
    }
    if (csv->at < csv->end && *csv->at == '"') {
        int status = quoted(csv, row, &stop, error);
        if (status < 0) {
            return status;
        }
        start++;
    } else {
        while (!line_end(csv, csv->at) && *csv->at != ',') {
            csv->at++;
        }
        stop = csv->at;
    }
    /* The mark behind the field is looked at before trim() may overwrite it. */
    bool more = csv->at < csv->end && *csv->at == ',';
    bool cr = csv->at < csv->end && *csv->at == '\r';
    bool lf = csv->at < csv->end && *csv->at == '\n';
    row->fields[row->count++] = trim(start, stop);
    if (more) {
        csv->at++;
        return 1;
    }
    row->complete = cr || lf;
    if (cr && csv->at + 1 < csv->end && csv->at[1] == '\n') {
        csv->at++;
    }
    csv->at += cr || lf ? 1 : 0;
    return 0;
}

int agent_csv_next(struct agent_csv *csv, struct agent_csv_row *row, struct agent_error *error)
{
    int more = 1;

    if (csv->at >= csv->end) {
        return 0;
    }
    csv->line = csv->next_line++;
    row->line = csv->line;
    row->count = 0;
    row->complete = false;
    while (more > 0) {
        more = field(csv, row, error);
    }
    return more < 0 ? more : 1;
}

bool agent_csv_blank(const struct agent_csv_row *row)
{
    for (size_t index = 0; index < row->count; index++) {
        if (row->fields[index][0] != '\0') {
            return false;
        }
    }
    return true;
}

struct agent_place agent_csv_place(const struct agent_csv *csv, const struct agent_csv_row *row,
                                   size_t index)
{
    return (struct agent_place){csv->name, row->line, (unsigned)index + 1};
}
