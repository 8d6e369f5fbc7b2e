/* SPDX-License-Identifier: GPL-2.0-or-later */
/* documents.c - forecasts, plans, instances and actions as JSON; and what is kept how long
 * Owner: statements live within one call.   Thread: the one that opened the store.
 * Time:  from the caller.                   Units: seconds, days. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"

#define ABOUT_MAX 128

static int64_t insert(struct agent_store *store, sqlite3_stmt *statement, const char *body,
                      const char *inputs, struct agent_error *error)
{
    sqlite3_bind_text(statement, 4, body, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, inputs, -1, SQLITE_STATIC);
    int status = store_step(store, statement, error);
    return status < 0 ? status : sqlite3_last_insert_rowid(store->db);
}

int64_t agent_store_put_document(struct agent_store *store, enum agent_document kind,
                                 int64_t made_s, const char *about, const json_t *document,
                                 const json_t *inputs, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    char *body = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);
    char *sources = inputs != NULL ? json_dumps(inputs, JSON_COMPACT) : strdup("[]");
    int64_t id = 0;

    if (body == NULL || sources == NULL) {
        id =
            agent_error_set(error, ENOMEM, "store: the document is no JSON value or memory is out");
    } else if (strlen(about) >= ABOUT_MAX) {
        id = agent_error_set(error, EINVAL, "store: '%.60s...' is longer than %d bytes", about,
                             ABOUT_MAX - 1);
    } else {
        id = store_prepare(store,
                           "INSERT INTO document (kind, made_s, about, body, inputs)"
                           " VALUES (?, ?, ?, ?, ?)",
                           &statement, error);
    }
    if (id == 0) {
        sqlite3_bind_int(statement, 1, (int)kind);
        sqlite3_bind_int64(statement, 2, made_s);
        sqlite3_bind_text(statement, 3, about, -1, SQLITE_STATIC);
        id = insert(store, statement, body, sources, error);
    }
    sqlite3_finalize(statement);
    free(body);
    free(sources);
    return id;
}

int64_t agent_store_latest_document(struct agent_store *store, enum agent_document kind,
                                    const char *about, int64_t as_of_s, json_t **out,
                                    struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    json_error_t problem;
    int64_t id = 0;
    int status =
        store_prepare(store,
                      "SELECT id, body FROM document WHERE kind = ?1 AND about = ?2"
                      " AND (?3 = 0 OR made_s <= ?3) ORDER BY made_s DESC, id DESC LIMIT 1",
                      &statement, error);

    if (status == 0) {
        sqlite3_bind_int(statement, 1, (int)kind);
        sqlite3_bind_text(statement, 2, about, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 3, as_of_s);
        status = store_step(store, statement, error);
    }
    if (status > 0) {
        const char *body = (const char *)sqlite3_column_text(statement, 1);
        *out = body != NULL ? json_loads(body, JSON_DECODE_ANY, &problem) : NULL;
        id = sqlite3_column_int64(statement, 0);
        if (*out == NULL) {
            id = agent_error_at(error, EBADMSG, (struct agent_place){store->path, 0, 0},
                                "store: document %lld is not JSON", (long long)id);
        }
    } else {
        id = status < 0
                 ? status
                 : agent_error_set(error, ENOENT, "store: no such document about '%.100s'", about);
    }
    sqlite3_finalize(statement);
    return id;
}

/* Runs @sql with one time bound. Return: rows changed or -errno. */
static int64_t drop(struct agent_store *store, const char *sql, int64_t before_s,
                    struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(store, sql, &statement, error);

    if (status == 0) {
        if (sqlite3_bind_parameter_count(statement) > 0) {
            sqlite3_bind_int64(statement, 1, before_s);
        }
        status = store_step(store, statement, error);
    }
    sqlite3_finalize(statement);
    return status < 0 ? status : sqlite3_changes64(store->db);
}

int64_t agent_store_retain(struct agent_store *store, const struct agent_retention *rules,
                           int64_t now_s, struct agent_error *error)
{
    const struct {
        int days;
        const char *sql;
    } steps[] = {
        {rules->signals_days, "DELETE FROM point WHERE start_s + length_s <= ?"},
        {rules->revisions_days,
         "DELETE FROM point WHERE (series, start_s, batch) IN (SELECT p.series, p.start_s, p.batch"
         " FROM point p JOIN batch b ON b.id = p.batch WHERE b.fetched_s < ? AND EXISTS"
         " (SELECT 1 FROM point n JOIN batch c ON c.id = n.batch WHERE n.series = p.series AND"
         " n.start_s = p.start_s AND (c.fetched_s, c.id) > (b.fetched_s, b.id)))"},
        {rules->forecasts_days, "DELETE FROM document WHERE kind = 0 AND made_s < ?"},
        {rules->plans_days, "DELETE FROM document WHERE kind IN (1, 2) AND made_s < ?"},
    };
    int64_t deleted = store_begin(store, error);

    if (deleted < 0) {
        return deleted;
    }
    for (size_t index = 0; index < sizeof(steps) / sizeof(steps[0]) && deleted >= 0; index++) {
        int64_t before_s = now_s - (int64_t)steps[index].days * 86400;
        int64_t gone = steps[index].days > 0 ? drop(store, steps[index].sql, before_s, error) : 0;
        deleted = gone < 0 ? gone : deleted + gone;
    }
    if (deleted > 0) {
        int64_t status = drop(store,
                              "UPDATE batch SET points = (SELECT count(*) FROM point p WHERE"
                              " p.batch = batch.id)",
                              0, error);
        status = status < 0 ? status : drop(store, "DELETE FROM batch WHERE points = 0", 0, error);
        status = status < 0 ? status
                            : drop(store,
                                   "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM point"
                                   " p WHERE p.series = series.id)",
                                   0, error);
        deleted = status < 0 ? status : deleted;
    }
    deleted = store_end(store, deleted, error);
    if (deleted > 0) {
        sqlite3_exec(store->db, "PRAGMA incremental_vacuum", NULL, NULL, NULL); /* only space */
    }
    return deleted;
}
