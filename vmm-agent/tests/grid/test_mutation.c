/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_mutation.c - ten thousand damaged files: no crash, no wrong number that looks right
 * Oracle: a damaged file is refused with a place, or every usable point in what comes out is a
 * point of the undamaged file with the same value. Everything follows from one seed; a failure
 * prints the seed and the number of the file.
 * usage: test-grid-mutation [FILES [SEED]] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grid/adapter.h"
#include "tests/grid/fixture.h"

#define FIELDS_MAX 96
#define ROWS_MAX   1200

enum mutation {
    TRUNCATE,
    SWAP_COLUMNS,
    SWAP_NAMES,
    RENAME,
    ENCODING,
    ABSURD,
    LINE_ENDS,
    GARBAGE,
    DROP_ROW,
    REPEAT_ROW,
    SWAP_ROWS,
    DROP_COLUMN,
    EMPTY_CELL,
    MUTATION_COUNT
};

static const char *const mutation_names[] = {
    "truncate", "swap columns", "swap names", "rename",    "encoding",    "absurd",    "line ends",
    "garbage",  "drop row",     "repeat row", "swap rows", "drop column", "empty cell"};

static uint64_t random_state;

static size_t pick(size_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return below == 0 ? 0 : (size_t)(random_state >> 11) % below;
}

/* A file as rows of cells; cells point into a private copy of the text. */
struct sheet {
    char *copy;
    size_t rows;
    size_t counts[ROWS_MAX];
    char *cells[ROWS_MAX][FIELDS_MAX];
};

static void open_sheet(struct sheet *sheet, const struct fixture_file *file)
{
    sheet->copy = malloc(file->text_size + 1);
    if (sheet->copy == NULL) {
        abort();
    }
    memcpy(sheet->copy, file->text, file->text_size + 1);
    sheet->rows = 0;
    char *at = sheet->copy;
    while (*at != '\0' && sheet->rows < ROWS_MAX) {
        size_t *count = &sheet->counts[sheet->rows];
        *count = 0;
        while (true) {
            sheet->cells[sheet->rows][(*count)++] = at;
            at += strcspn(at, ",\n");
            char mark = *at;
            *at = '\0';
            at += mark != '\0' ? 1 : 0;
            if (mark != ',' || *count == FIELDS_MAX) {
                break;
            }
        }
        sheet->rows++;
    }
}

static char *print_sheet(const struct sheet *sheet, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    for (size_t row = 0; row < sheet->rows; row++) {
        for (size_t cell = 0; cell < sheet->counts[row]; cell++) {
            fprintf(out, "%s%s", cell > 0 ? "," : "", sheet->cells[row][cell]);
        }
        fputc('\n', out);
    }
    fclose(out);
    return text;
}

/* The widest header: the first row with as many cells as most rows have. */
static size_t header_row(const struct sheet *sheet)
{
    size_t width = sheet->counts[sheet->rows / 2];
    size_t row = 0;

    while (row + 1 < sheet->rows && sheet->counts[row] != width) {
        row++;
    }
    return row;
}

static char absurd_cell[64];

static const char *absurd(const char *old)
{
    static const char *const values[] = {"99999999",
                                         "-9999999",
                                         "NaN",
                                         "inf",
                                         "1e9",
                                         "abc",
                                         "0x1F",
                                         "１２３",
                                         "12.3.4",
                                         "--5",
                                         "99999999999999999999",
                                         "1;2"};
    const char *value = values[pick(sizeof(values) / sizeof(values[0]))];
    bool quoted = old[0] == '"';

    snprintf(absurd_cell, sizeof(absurd_cell), "%s%s%s", quoted ? "\"" : "", value,
             quoted ? "\"" : "");
    return absurd_cell;
}

static void swap(char **left, char **right)
{
    char *kept = *left;

    *left = *right;
    *right = kept;
}

static void mutate_sheet(struct sheet *sheet, enum mutation mutation)
{
    static char renamed[256];
    size_t header = header_row(sheet);
    size_t width = sheet->counts[header];
    size_t left = pick(width);
    size_t right = pick(width);
    size_t row = pick(sheet->rows);

    switch (mutation) {
    case SWAP_COLUMNS:
    case SWAP_NAMES:
        for (size_t at = header; at < (mutation == SWAP_NAMES ? header + 1 : sheet->rows); at++) {
            if (left < sheet->counts[at] && right < sheet->counts[at]) {
                swap(&sheet->cells[at][left], &sheet->cells[at][right]);
            }
        }
        break;
    case RENAME:
        snprintf(renamed, sizeof(renamed), "%sX", sheet->cells[header][left]);
        sheet->cells[header][left] = renamed;
        break;
    case ABSURD:
        left = pick(sheet->counts[row]);
        sheet->cells[row][left] = (char *)(uintptr_t)absurd(sheet->cells[row][left]);
        break;
    case EMPTY_CELL:
        sheet->cells[row][pick(sheet->counts[row])] = (char *)(uintptr_t) "";
        break;
    case DROP_ROW:
        memmove(&sheet->cells[row], &sheet->cells[row + 1],
                (sheet->rows - row - 1) * sizeof(sheet->cells[0]));
        memmove(&sheet->counts[row], &sheet->counts[row + 1],
                (sheet->rows - row - 1) * sizeof(sheet->counts[0]));
        sheet->rows--;
        break;
    case REPEAT_ROW:
    case SWAP_ROWS: {
        size_t other = pick(sheet->rows);
        for (size_t cell = 0; cell < FIELDS_MAX; cell++) {
            if (mutation == SWAP_ROWS) {
                swap(&sheet->cells[row][cell], &sheet->cells[other][cell]);
            } else {
                sheet->cells[other][cell] = sheet->cells[row][cell];
            }
        }
        size_t count = sheet->counts[other];
        sheet->counts[other] = sheet->counts[row];
        sheet->counts[row] = mutation == SWAP_ROWS ? count : sheet->counts[row];
        break;
    }
    case DROP_COLUMN:
        for (size_t at = header; at < sheet->rows; at++) {
            if (left < sheet->counts[at]) {
                memmove(&sheet->cells[at][left], &sheet->cells[at][left + 1],
                        (sheet->counts[at] - left - 1) * sizeof(char *));
                sheet->counts[at]--;
            }
        }
        break;
    default:
        break;
    }
}

/* Bytes that cannot be part of a number or of the structure. */
static void add_garbage(char *bytes, size_t size)
{
    static const char junk[] = "xyz?#\x01\x7f\xff\x80|<&";
    size_t count = 1 + pick(3);

    for (size_t index = 0; index < count; index++) {
        bytes[pick(size)] = junk[pick(sizeof(junk) - 1)];
    }
}

static char *change_line_ends(const char *text, size_t size, size_t *out_size)
{
    static const char *const ends[] = {"\n", "\r\n", "\r", "\n\n", "\r\r\n"};
    bool mixed = pick(2) == 0;
    size_t kind = pick(5);
    char *out = malloc(size * 3 + 1);
    size_t used = 0;

    for (size_t at = 0; out != NULL && at < size; at++) {
        if (text[at] != '\n') {
            out[used++] = text[at];
            continue;
        }
        kind = mixed ? pick(5) : kind;
        memcpy(out + used, ends[kind], strlen(ends[kind]));
        used += strlen(ends[kind]);
    }
    *out_size = used;
    return out;
}

static char *encode_wrongly(const char *text, size_t size, size_t *out_size)
{
    static const char *const encodings[] = {"UTF-16LE", "UTF-16", "EUC-JP", "ISO-2022-JP",
                                            "UTF-8",    "CP932",  "UTF-32", "UTF-7"};
    char *bytes = fixture_encode(text, size, encodings[pick(8)], out_size);

    if (bytes == NULL) {
        bytes = fixture_encode(text, size, "UTF-8", out_size);
    }
    if (bytes != NULL && pick(4) == 0) { /* one half in another encoding */
        size_t cut = *out_size / 2;
        memset(bytes + cut, 0x82, *out_size - cut > 3 ? 3 : *out_size - cut);
    }
    return bytes;
}

static char *damage(const struct fixture_file *file, enum mutation mutation, size_t *size)
{
    static struct sheet sheet;
    char *text = NULL;
    size_t text_size = 0;

    if (mutation == ENCODING) {
        return encode_wrongly(file->text, file->text_size, size);
    }
    if (mutation == LINE_ENDS) {
        text = change_line_ends(file->text, file->text_size, &text_size);
    } else if (mutation == TRUNCATE || mutation == GARBAGE) {
        text = malloc(file->size);
        if (text == NULL) {
            abort();
        }
        memcpy(text, file->bytes, file->size);
        *size = mutation == TRUNCATE ? pick(file->size) : file->size;
        if (mutation == GARBAGE) {
            add_garbage(text, file->size);
        }
        return text;
    } else {
        open_sheet(&sheet, file);
        mutate_sheet(&sheet, mutation);
        text = print_sheet(&sheet, &text_size);
        free(sheet.copy);
    }
    bool cp932 = file->encoding == FIXTURE_CP932;
    char *bytes = fixture_encode(text, text_size, cp932 ? "CP932" : "UTF-8", size);
    free(text);
    return bytes;
}

/* Return: points that look usable but are not in the truth. */
static size_t compare(const struct agent_batch *truth, const struct agent_batch *found,
                      const char *what)
{
    size_t wrong = 0;

    for (size_t at = 0; at < found->count; at++) {
        const struct agent_series *series = &found->series[at];
        const struct agent_series *real =
            agent_batch_find(truth, series->area, series->quantity, series->stage, series->place);
        for (size_t index = 0; index < series->count; index++) {
            const struct agent_point *point = &series->points[index];
            const struct agent_point *same =
                real != NULL ? agent_series_find(real, point->start_s) : NULL;
            bool equal = same != NULL && same->start_s == point->start_s &&
                         same->length_s == point->length_s &&
                         !(fabs(same->value - point->value) > 0);
            /* a damaged name of a host is another host: nobody reads its value as the real one's */
            bool renamed = real == NULL && series->place[0] != '\0' &&
                           strcmp(found->format, "json-lines") == 0;
            if (agent_quality_usable(point->quality) && !equal && !renamed) {
                if (wrong++ == 0) {
                    printf("%s: %s %s %s: %g instead of %g\n", what, agent_area_name(series->area),
                           agent_quantity_name(series->quantity), series->place, point->value,
                           same != NULL ? same->value : NAN);
                }
            }
        }
    }
    return wrong;
}

struct counts {
    size_t files;
    size_t refused;
    size_t flagged;
    size_t equal;
    size_t wrong;
};

static void try_one(const struct fixture_file *file, const struct agent_batch *truth,
                    enum mutation mutation, const char *what, struct counts *counts)
{
    static struct agent_batch found;
    struct agent_error error = {0};
    size_t size = 0;
    char *bytes = damage(file, mutation, &size);
    struct agent_input input = {bytes, size, file->name, NULL, AGENT_AREA_NONE, FIXTURE_NOW_S};

    if (bytes == NULL) {
        return; /* the damage cannot be told in this encoding */
    }
    counts->files++;
    if (agent_grid_parse(&input, &found, &error) < 0) {
        counts->refused++;
        if (error.text[0] == '\0' || error.file[0] == '\0') {
            printf("%s: refused without a reason or place\n", what);
            counts->wrong++;
        }
    } else {
        size_t wrong = compare(truth, &found, what);
        uint32_t flags = 0;
        for (size_t at = 0; at < found.count; at++) {
            for (size_t index = 0; index < found.series[at].count; index++) {
                flags |= found.series[at].points[index].quality;
            }
        }
        counts->wrong += wrong > 0 ? 1 : 0;
        counts->flagged += flags != 0 ? 1 : 0;
        counts->equal += flags == 0 ? 1 : 0;
        agent_batch_done(&found);
    }
    free(bytes);
}

int main(int argc, char **argv)
{
    size_t files = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 20260402;
    static struct fixture_file fixtures[FIXTURE_COUNT];
    static struct agent_batch truths[FIXTURE_COUNT];
    static struct counts counts[MUTATION_COUNT];
    size_t wrong = 0;
    size_t done = 0;

    for (int index = 0; index < FIXTURE_COUNT; index++) {
        struct agent_error error = {0};
        fixture_make(index, &fixtures[index]);
        struct agent_input input = {fixtures[index].bytes, fixtures[index].size,
                                    fixtures[index].name,  NULL,
                                    AGENT_AREA_NONE,       FIXTURE_NOW_S};
        if (agent_grid_parse(&input, &truths[index], &error) < 0) {
            printf("%s: %s\n", fixtures[index].name, error.text);
            return 1;
        }
    }
    for (size_t number = 0; number < files; number++) {
        char what[160];
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + number * 2654435761u + 1;
        pick(2);
        size_t index = pick(FIXTURE_COUNT);
        enum mutation mutation = (enum mutation)(number % MUTATION_COUNT);
        snprintf(what, sizeof(what), "seed %llu file %zu (%s, %s)", (unsigned long long)seed,
                 number, fixtures[index].name, mutation_names[mutation]);
        try_one(&fixtures[index], &truths[index], mutation, what, &counts[mutation]);
    }
    for (int mutation = 0; mutation < MUTATION_COUNT; mutation++) {
        const struct counts *each = &counts[mutation];
        printf("%-13s %5zu files: %5zu refused, %5zu flagged, %5zu unharmed, %zu wrong\n",
               mutation_names[mutation], each->files, each->refused, each->flagged, each->equal,
               each->wrong);
        wrong += each->wrong;
        done += each->files;
    }
    for (int index = 0; index < FIXTURE_COUNT; index++) {
        agent_batch_done(&truths[index]);
        fixture_done(&fixtures[index]);
    }
    printf("%zu files, %zu wrong\n", done, wrong);
    return wrong == 0 ? 0 : 1;
}
