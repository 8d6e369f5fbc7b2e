/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transfer.c - the whole store as JSON lines and back
 * Owner: statements live within one call.   Thread: the one that opened the store.
 * Time:  none.                              Units: as stored.
 *
 * First line {"store":"vmm-agent","version":1}; then, in this order, lines of three kinds:
 *   {"batch":ID,"source":..,"format":..,"digest":..,"fetched_s":N,"points":N}
 *   {"series_of":ID,"area":..,"quantity":..,"stage":..,"place":..,
 *    "points":[[start_s,length_s,value|null,quality,issued_s],...]}
 *   {"document":ID,"kind":N,"made_s":N,"about":..,"body":..,"inputs":[..]}
 * and a last line {"end":N} with the number of lines between, without which it is truncated.
 * Ids are kept when they are free in the receiving store, else new ones are given and the inputs
 * of the documents are translated. A batch or document that is there already is skipped. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"
#include "support/json.h"

#define LINE_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(17))

static int write_line(json_t *record, FILE *out, struct agent_error *error)
{
    int status = record == NULL ? -ENOMEM : json_dumpf(record, out, LINE_FLAGS);

    json_decref(record);
    if (status < 0 || fputc('\n', out) == EOF) {
        return agent_error_set(error, EIO, "store: cannot write the export");
    }
    return 0;
}

static const char *text_at(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);

    return text != NULL ? text : "";
}

static int64_t export_batches(struct agent_store *store, FILE *out, struct agent_error *error)
{
    sqlite3_stmt *row = NULL;
    int64_t records = 0;
    int status = store_prepare(store,
                               "SELECT id, source, format, digest, fetched_s, points FROM batch"
                               " ORDER BY id",
                               &row, error);

    while (status == 0 && (status = store_step(store, row, error)) > 0) {
        status = write_line(json_pack("{s:I,s:s,s:s,s:s,s:I,s:I}", "batch",
                                      (json_int_t)sqlite3_column_int64(row, 0), "source",
                                      text_at(row, 1), "format", text_at(row, 2), "digest",
                                      text_at(row, 3), "fetched_s",
                                      (json_int_t)sqlite3_column_int64(row, 4), "points",
                                      (json_int_t)sqlite3_column_int64(row, 5)),
                            out, error);
        records++;
    }
    sqlite3_finalize(row);
    return status < 0 ? status : records;
}

struct group {
    int64_t batch;
    int64_t series;
    json_t *record;
    json_t *points;
};

static int flush_group(struct group *group, FILE *out, int64_t *records, struct agent_error *error)
{
    int status = 0;

    if (group->record != NULL) {
        status = write_line(group->record, out, error);
        group->record = NULL;
        *records += 1;
    }
    return status;
}

static int start_group(struct group *group, sqlite3_stmt *row, struct agent_error *error)
{
    int area = sqlite3_column_int(row, 2);

    if (area < 0 || area >= AGENT_AREA_COUNT) {
        return agent_error_set(error, EBADMSG, "store: series %lld: no area has the number %d",
                               (long long)sqlite3_column_int64(row, 1), area);
    }
    group->batch = sqlite3_column_int64(row, 0);
    group->series = sqlite3_column_int64(row, 1);
    group->points = json_array();
    group->record =
        json_pack("{s:I,s:s,s:s,s:s,s:s,s:o}", "series_of", (json_int_t)group->batch, "area",
                  agent_area_name((enum agent_area)area), "quantity", text_at(row, 3), "stage",
                  text_at(row, 4), "place", text_at(row, 5), "points", group->points);
    return group->record != NULL ? 0 : agent_error_set(error, ENOMEM, "no memory to export");
}

static int add_point(struct group *group, sqlite3_stmt *row, struct agent_error *error)
{
    bool empty = sqlite3_column_type(row, 8) == SQLITE_NULL;
    json_t *point = json_pack("[I,I,o,I,I]", (json_int_t)sqlite3_column_int64(row, 6),
                              (json_int_t)sqlite3_column_int64(row, 7),
                              empty ? json_null() : json_real(sqlite3_column_double(row, 8)),
                              (json_int_t)sqlite3_column_int64(row, 9),
                              (json_int_t)sqlite3_column_int64(row, 10));

    return json_array_append_new(group->points, point) == 0
               ? 0
               : agent_error_set(error, ENOMEM, "no memory to export");
}

static int64_t export_points(struct agent_store *store, FILE *out, struct agent_error *error)
{
    sqlite3_stmt *row = NULL;
    struct group group = {0};
    int64_t records = 0;
    int status = store_prepare(store,
                               "SELECT p.batch, s.id, s.area, s.quantity, s.stage, s.place,"
                               " p.start_s, p.length_s, p.value, p.quality, p.issued_s FROM point p"
                               " JOIN series s ON s.id = p.series ORDER BY p.batch, s.area,"
                               " s.quantity, s.stage, s.place, p.start_s",
                               &row, error);

    while (status == 0 && (status = store_step(store, row, error)) > 0) {
        status = 0;
        if (group.record == NULL || group.batch != sqlite3_column_int64(row, 0) ||
            group.series != sqlite3_column_int64(row, 1)) {
            status = flush_group(&group, out, &records, error);
            status = status < 0 ? status : start_group(&group, row, error);
        }
        status = status < 0 ? status : add_point(&group, row, error);
    }
    status = status < 0 ? status : flush_group(&group, out, &records, error);
    json_decref(group.record);
    sqlite3_finalize(row);
    return status < 0 ? status : records;
}

static int64_t export_documents(struct agent_store *store, FILE *out, struct agent_error *error)
{
    sqlite3_stmt *row = NULL;
    int64_t records = 0;
    int status = store_prepare(store,
                               "SELECT id, kind, made_s, about, body, inputs FROM document"
                               " ORDER BY id",
                               &row, error);

    while (status == 0 && (status = store_step(store, row, error)) > 0) {
        json_t *body = json_loads(text_at(row, 4), JSON_DECODE_ANY, NULL);
        json_t *inputs = json_loads(text_at(row, 5), 0, NULL);
        if (body == NULL || inputs == NULL) {
            json_decref(body);
            json_decref(inputs);
            status = agent_error_set(error, EBADMSG, "store: document %lld is not JSON",
                                     (long long)sqlite3_column_int64(row, 0));
            break;
        }
        status = write_line(json_pack("{s:I,s:i,s:I,s:s,s:o,s:o}", "document",
                                      (json_int_t)sqlite3_column_int64(row, 0), "kind",
                                      sqlite3_column_int(row, 1), "made_s",
                                      (json_int_t)sqlite3_column_int64(row, 2), "about",
                                      text_at(row, 3), "body", body, "inputs", inputs),
                            out, error);
        records++;
    }
    sqlite3_finalize(row);
    return status < 0 ? status : records;
}

int64_t agent_store_export(struct agent_store *store, FILE *out, struct agent_error *error)
{
    int64_t (*const parts[])(struct agent_store *, FILE *, struct agent_error *) = {
        export_batches, export_points, export_documents};
    int64_t records = 0;
    /* One read transaction, so that a writer at the same time cannot tear the export. */
    int status = store_run(store, "BEGIN", error);

    if (status < 0) {
        return status;
    }
    records = write_line(json_pack("{s:s,s:i}", "store", "vmm-agent", "version", 1), out, error);
    for (size_t index = 0; index < 3 && records >= 0; index++) {
        int64_t wrote = parts[index](store, out, error);
        records = wrote < 0 ? wrote : records + wrote;
    }
    if (records >= 0) {
        status = write_line(json_pack("{s:I}", "end", (json_int_t)records), out, error);
        records = status < 0 ? status : records;
    }
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    if (records >= 0 && fflush(out) != 0) {
        return agent_error_set(error, EIO, "store: cannot write the export");
    }
    return records;
}
