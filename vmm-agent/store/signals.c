/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signals.c - batches of points in, series out
 * Owner: statements live within one call.   Thread: the one that opened the store.
 * Time:  batch->fetched_s, query->as_of_s.   Units: as the series. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "store/private.h"

int64_t store_series_id(struct agent_store *store, const struct agent_series *series, bool create,
                        struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int64_t id = 0;
    int status = store_prepare(store,
                               create ? "INSERT INTO series (area, quantity, stage, place)"
                                        " VALUES (?, ?, ?, ?) RETURNING id"
                                      : "SELECT id FROM series WHERE area = ? AND quantity = ?"
                                        " AND stage = ? AND place = ?",
                               &statement, error);

    if (status == 0) {
        sqlite3_bind_int(statement, 1, (int)series->area);
        sqlite3_bind_text(statement, 2, agent_quantity_name(series->quantity), -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 3, agent_stage_name(series->stage), -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 4, series->place, -1, SQLITE_STATIC);
        status = store_step(store, statement, error);
    }
    if (status > 0) {
        id = sqlite3_column_int64(statement, 0);
        status = create ? store_step(store, statement, error) : 0;
    }
    sqlite3_finalize(statement);
    return status < 0 ? status : id;
}

static int64_t add_batch(struct agent_store *store, const struct agent_batch *batch,
                         struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    char digest[20];
    int status = store_prepare(store,
                               "INSERT INTO batch (source, format, digest, fetched_s, points)"
                               " VALUES (?, ?, ?, ?, 0)",
                               &statement, error);

    if (status == 0) {
        snprintf(digest, sizeof(digest), "%016" PRIx64, batch->digest);
        sqlite3_bind_text(statement, 1, batch->source, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, batch->format, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 3, digest, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 4, batch->fetched_s);
        status = store_step(store, statement, error);
    }
    sqlite3_finalize(statement);
    return status < 0 ? status : sqlite3_last_insert_rowid(store->db);
}

struct writer {
    struct agent_store *store;
    struct agent_error *error;
    sqlite3_stmt *latest;
    sqlite3_stmt *insert;
    int64_t series;
    int64_t batch;
    int64_t issued_s;
    bool ahead; /* a forecast or plan: that it was issued again is news even if nothing changed */
};

/* Compares with what is stored. Return: 1 new, 2 revised, 3 the value stands, but its
 * quality or its time of issue changed, 0 same. */
static int compare(struct writer *writer, const struct agent_point *point)
{
    sqlite3_stmt *latest = writer->latest;

    sqlite3_reset(latest);
    sqlite3_bind_int64(latest, 1, writer->series);
    sqlite3_bind_int64(latest, 2, point->start_s);
    int status = store_step(writer->store, latest, writer->error);
    if (status <= 0) {
        return status < 0 ? status : 1;
    }
    bool empty = sqlite3_column_type(latest, 0) == SQLITE_NULL;
    double value = sqlite3_column_double(latest, 0);
    uint32_t quality = (uint32_t)sqlite3_column_int64(latest, 1);
    bool same =
        empty ? isnan(point->value) : !(fabs(value - point->value) > 0) && !isnan(point->value);
    bool same_length = sqlite3_column_int64(latest, 2) == point->length_s;
    if (!same || !same_length) {
        return empty ? 1 : 2; /* filling a hole is no revision */
    }
    uint32_t differ = (quality ^ point->quality) & ~(uint32_t)AGENT_QUALITY_REVISED;
    bool reissued = writer->ahead && sqlite3_column_int64(latest, 3) < writer->issued_s;
    return differ != 0 || reissued ? 3 : 0;
}

static int put_point(struct writer *writer, const struct agent_point *point)
{
    int change = compare(writer, point);

    if (change <= 0) {
        return change;
    }
    uint32_t quality = point->quality | (change == 2 ? AGENT_QUALITY_REVISED : 0u);
    sqlite3_stmt *insert = writer->insert;
    sqlite3_reset(insert);
    sqlite3_bind_int64(insert, 1, writer->series);
    sqlite3_bind_int64(insert, 2, point->start_s);
    sqlite3_bind_int64(insert, 3, writer->batch);
    sqlite3_bind_int64(insert, 4, point->length_s);
    if (isnan(point->value)) {
        sqlite3_bind_null(insert, 5);
    } else {
        sqlite3_bind_double(insert, 5, point->value);
    }
    sqlite3_bind_int64(insert, 6, quality);
    sqlite3_bind_int64(insert, 7, writer->issued_s);
    int status = store_step(writer->store, insert, writer->error);
    return status < 0 ? status : 1;
}

static int put_series(struct writer *writer, const struct agent_series *series)
{
    int added = 0;
    int64_t id = store_series_id(writer->store, series, false, writer->error);

    id = id == 0 ? store_series_id(writer->store, series, true, writer->error) : id;
    if (id < 0) {
        return (int)id;
    }
    writer->series = id;
    writer->issued_s = series->issued_s;
    writer->ahead = series->stage != AGENT_ACTUAL;
    for (size_t index = 0; index < series->count; index++) {
        int status = put_point(writer, &series->points[index]);
        if (status < 0) {
            return status;
        }
        added += status;
    }
    return added;
}

static int put_all(struct writer *writer, const struct agent_batch *batch)
{
    int added = 0;

    for (size_t index = 0; index < batch->count; index++) {
        int status = put_series(writer, &batch->series[index]);
        if (status < 0) {
            return status;
        }
        added += status;
    }
    return added;
}

static int count_points(struct agent_store *store, int64_t batch, int points,
                        struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status =
        store_prepare(store, "UPDATE batch SET points = ? WHERE id = ?", &statement, error);

    if (status == 0) {
        sqlite3_bind_int(statement, 1, points);
        sqlite3_bind_int64(statement, 2, batch);
        status = store_step(store, statement, error);
    }
    sqlite3_finalize(statement);
    return status;
}

int agent_store_put_batch(struct agent_store *store, const struct agent_batch *batch,
                          struct agent_error *error)
{
    struct writer writer = {.store = store, .error = error};
    int added = store_begin(store, error);

    if (added < 0) {
        return added;
    }
    writer.batch = add_batch(store, batch, error);
    added = writer.batch < 0 ? (int)writer.batch : 0;
    if (added == 0) {
        added = store_prepare(store,
                              "SELECT p.value, p.quality, p.length_s, p.issued_s FROM point p"
                              " JOIN batch b ON b.id = p.batch WHERE p.series = ? AND p.start_s = ?"
                              " ORDER BY b.fetched_s DESC, b.id DESC LIMIT 1",
                              &writer.latest, error);
    }
    if (added == 0) {
        added = store_prepare(store, "INSERT INTO point VALUES (?, ?, ?, ?, ?, ?, ?)",
                              &writer.insert, error);
    }
    added = added < 0 ? added : put_all(&writer, batch);
    sqlite3_finalize(writer.latest);
    sqlite3_finalize(writer.insert);
    if (added > 0) {
        int status = count_points(store, writer.batch, added, error);
        added = status < 0 ? status : added;
    }
    if (added == 0) { /* nothing new: leave no trace */
        store_end(store, -EALREADY, NULL);
        return 0;
    }
    return (int)store_end(store, added, error);
}

static int bind_query(struct agent_store *store, const struct agent_query *query, const char *sql,
                      sqlite3_stmt **statement, struct agent_error *error)
{
    int status = store_prepare(store, sql, statement, error);

    if (status == 0) {
        sqlite3_bind_int(*statement, 1, (int)query->area);
        sqlite3_bind_text(*statement, 2, agent_quantity_name(query->quantity), -1, SQLITE_STATIC);
        sqlite3_bind_text(*statement, 3, agent_stage_name(query->stage), -1, SQLITE_STATIC);
        sqlite3_bind_text(*statement, 4, query->place != NULL ? query->place : "", -1,
                          SQLITE_TRANSIENT);
        sqlite3_bind_int64(*statement, 5, query->from_s);
        sqlite3_bind_int64(*statement, 6, query->to_s);
        sqlite3_bind_int64(*statement, 7, query->as_of_s);
    }
    return status;
}

#define FROM_POINTS                                                                                \
    " FROM point p JOIN series s ON s.id = p.series JOIN batch b ON b.id = p.batch"                \
    " WHERE s.area = ?1 AND s.quantity = ?2 AND s.stage = ?3 AND s.place = ?4"                     \
    " AND p.start_s >= ?5 AND p.start_s < ?6 AND (?7 = 0 OR b.fetched_s <= ?7)"

/* The row as a point; a later row of the same start replaces the one appended before. */
static int take_row(sqlite3_stmt *row, struct agent_series *series)
{
    struct agent_point point = {sqlite3_column_int64(row, 0), sqlite3_column_int(row, 1),
                                (uint32_t)sqlite3_column_int64(row, 3), NAN};
    int64_t issued_s = sqlite3_column_int64(row, 4);

    if (sqlite3_column_type(row, 2) != SQLITE_NULL) {
        point.value = sqlite3_column_double(row, 2);
    }
    if (series->count > 0 && series->points[series->count - 1].start_s == point.start_s) {
        series->count--;
    }
    series->issued_s = issued_s > series->issued_s ? issued_s : series->issued_s;
    int status = agent_series_append(series, point);
    return status == -EINVAL ? 0 : status; /* overlap: documented */
}

int agent_store_series(struct agent_store *store, const struct agent_query *query,
                       struct agent_series *series, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    struct agent_series found;
    int status =
        bind_query(store, query,
                   "SELECT p.start_s, p.length_s, p.value, p.quality, p.issued_s" FROM_POINTS
                   " ORDER BY p.start_s, b.fetched_s, b.id",
                   &statement, error);

    agent_series_init(&found, query->area, query->quantity, query->stage);
    snprintf(found.place, sizeof(found.place), "%s", query->place != NULL ? query->place : "");
    while (status == 0) {
        status = store_step(store, statement, error);
        if (status <= 0) {
            break;
        }
        status = take_row(statement, &found);
        if (status < 0) {
            agent_error_set(error, status, "store: more than %d points in one answer",
                            AGENT_SERIES_POINTS_MAX);
        }
    }
    sqlite3_finalize(statement);
    if (status < 0) {
        agent_series_done(&found);
        return status;
    }
    *series = found;
    return (int)found.count;
}

int agent_store_provenance(struct agent_store *store, const struct agent_query *query, json_t **out,
                           struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    json_t *list = json_array();
    int status = bind_query(store, query, "SELECT DISTINCT b.id" FROM_POINTS " ORDER BY b.id",
                            &statement, error);

    while (status == 0) {
        status = store_step(store, statement, error);
        if (status <= 0) {
            break;
        }
        json_int_t id = (json_int_t)sqlite3_column_int64(statement, 0);
        status = json_array_append_new(list, json_pack("{s:I}", "batch", id)) == 0
                     ? 0
                     : agent_error_set(error, ENOMEM, "no memory for the provenance");
    }
    sqlite3_finalize(statement);
    if (status < 0) {
        json_decref(list);
        return status;
    }
    *out = list;
    return (int)json_array_size(list);
}
