/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.c - opening, schema versions, transactions, integrity
 * Owner: struct agent_store.   Thread: the one that opened it.
 * Time:  none.                 Units: none.
 *
 * Tables: batch (one file or reading, with the number of points it brought), series (the key),
 * point (a value of a series from a batch; a later batch with another value is a revision beside
 * it, nothing is overwritten), document (forecasts, plans, ... as JSON with their inputs). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"

#define APPLICATION_ID  0x41504e41 /* "APNA" */
#define BUSY_TIMEOUT_MS 10000
#define TO_TEXT(value)  #value
#define AS_TEXT(value)  TO_TEXT(value)

/* Version n is reached by running member n - 1. Members are never changed once released. */
static const char *const migrations[] = {
    "CREATE TABLE batch (id INTEGER PRIMARY KEY, source TEXT NOT NULL, format TEXT NOT NULL,"
    " digest TEXT NOT NULL, fetched_s INTEGER NOT NULL, points INTEGER NOT NULL);"
    "CREATE TABLE series (id INTEGER PRIMARY KEY, area INTEGER NOT NULL, quantity TEXT NOT NULL,"
    " stage TEXT NOT NULL, place TEXT NOT NULL, UNIQUE (area, quantity, stage, place));"
    "CREATE TABLE point (series INTEGER NOT NULL REFERENCES series, start_s INTEGER NOT NULL,"
    " batch INTEGER NOT NULL REFERENCES batch, length_s INTEGER NOT NULL, value REAL,"
    " quality INTEGER NOT NULL, issued_s INTEGER NOT NULL,"
    " PRIMARY KEY (series, start_s, batch)) WITHOUT ROWID;"
    "CREATE INDEX point_batch ON point (batch);",

    "CREATE TABLE document (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, made_s INTEGER NOT NULL,"
    " about TEXT NOT NULL, body TEXT NOT NULL, inputs TEXT NOT NULL);"
    "CREATE INDEX document_latest ON document (kind, about, made_s);",

    /* act/journal.c: what the acting agent means to do, does, and found out */
    "CREATE TABLE act_value (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE act_vm (vm TEXT PRIMARY KEY, epoch INTEGER NOT NULL, owner INTEGER NOT NULL,"
    " host TEXT NOT NULL, since_s INTEGER NOT NULL, paused_by TEXT NOT NULL,"
    " moves INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE act_move (id INTEGER PRIMARY KEY, vm TEXT NOT NULL, from_host TEXT NOT NULL,"
    " to_host TEXT NOT NULL, origin TEXT NOT NULL, reason TEXT NOT NULL, state TEXT NOT NULL,"
    " stage TEXT NOT NULL, source_epoch INTEGER NOT NULL, dest_epoch INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, benefit_yen REAL NOT NULL, urgent INTEGER NOT NULL,"
    " queued_s INTEGER NOT NULL, ended_s INTEGER NOT NULL, figures TEXT NOT NULL);"
    "CREATE INDEX act_move_vm ON act_move (vm, id);"
    "CREATE INDEX act_move_open ON act_move (ended_s) WHERE ended_s = 0;"
    "CREATE TABLE act_entry (id INTEGER PRIMARY KEY, move INTEGER NOT NULL, vm TEXT NOT NULL,"
    " at_s INTEGER NOT NULL, real_ms INTEGER NOT NULL, stage TEXT NOT NULL, phase TEXT NOT NULL,"
    " text TEXT NOT NULL);"
    "CREATE INDEX act_entry_move ON act_entry (move);"
    "CREATE INDEX act_entry_vm ON act_entry (vm, id);",
};
#define SCHEMA_VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

static int code_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EBADMSG;
    case SQLITE_CANTOPEN:
        return ENOENT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return EACCES;
    case SQLITE_NOMEM:
        return ENOMEM;
    default:
        return EIO;
    }
}

int store_fail(struct agent_store *store, struct agent_error *error, const char *doing)
{
    int code = code_of(sqlite3_extended_errcode(store->db));

    return agent_error_at(error, code, (struct agent_place){store->path, 0, 0}, "store: %s: %s",
                          doing, sqlite3_errmsg(store->db));
}

int store_run(struct agent_store *store, const char *sql, struct agent_error *error)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : store_fail(store, error, "cannot write");
}

int store_prepare(struct agent_store *store, const char *sql, sqlite3_stmt **statement,
                  struct agent_error *error)
{
    return sqlite3_prepare_v2(store->db, sql, -1, statement, NULL) == SQLITE_OK
               ? 0
               : store_fail(store, error, "cannot prepare");
}

int store_step(struct agent_store *store, sqlite3_stmt *statement, struct agent_error *error)
{
    int result = sqlite3_step(statement);

    if (result == SQLITE_ROW || result == SQLITE_DONE) {
        return result == SQLITE_ROW ? 1 : 0;
    }
    return store_fail(store, error, "cannot read or write");
}

int store_begin(struct agent_store *store, struct agent_error *error)
{
    return store_run(store, "BEGIN IMMEDIATE", error);
}

int64_t store_end(struct agent_store *store, int64_t status, struct agent_error *error)
{
    if (status >= 0) {
        int result = store_run(store, "COMMIT", error);
        status = result < 0 ? result : status;
    }
    if (status < 0 && sqlite3_get_autocommit(store->db) == 0) {
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}

/* One number answered by @sql. Return: 0 or -errno. */
static int ask(struct agent_store *store, const char *sql, int64_t *out, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(store, sql, &statement, error);

    status = status < 0 ? status : store_step(store, statement, error);
    if (status > 0) {
        *out = sqlite3_column_int64(statement, 0);
        status = 0;
    }
    sqlite3_finalize(statement);
    return status;
}

static int check_owner(struct agent_store *store, int64_t *version, struct agent_error *error)
{
    int64_t owner = 0;
    int64_t tables = 0;
    int status = ask(store, "PRAGMA user_version", version, error);

    status = status < 0 ? status : ask(store, "PRAGMA application_id", &owner, error);
    status = status < 0 ? status : ask(store, "SELECT count(*) FROM sqlite_schema", &tables, error);
    if (status < 0) {
        return status;
    }
    if (owner != APPLICATION_ID && (owner != 0 || tables != 0)) {
        return agent_error_at(error, EBADMSG, (struct agent_place){store->path, 0, 0},
                              "store: a database of another program (application id %lld)",
                              (long long)owner);
    }
    if (*version > SCHEMA_VERSION) {
        return agent_error_at(error, ENOTSUP, (struct agent_place){store->path, 0, 0},
                              "store: schema version %lld, this program knows up to %d",
                              (long long)*version, SCHEMA_VERSION);
    }
    return 0;
}

static int migrate(struct agent_store *store, struct agent_error *error)
{
    char sql[96];
    int64_t version = 0;
    int64_t status = check_owner(store, &version, error);

    if (status < 0 || version == SCHEMA_VERSION) {
        return (int)status;
    }
    status = store_begin(store, error); /* another process may migrate at the same time */
    status = status < 0 ? status : check_owner(store, &version, error);
    for (int64_t step = version; status == 0 && step < SCHEMA_VERSION; step++) {
        status = store_run(store, migrations[step], error);
        snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", (int)step + 1);
        status = status < 0 ? status : store_run(store, sql, error);
    }
    status = status < 0
                 ? status
                 : store_run(store, "PRAGMA application_id = " AS_TEXT(APPLICATION_ID), error);
    return (int)store_end(store, status, error);
}

int agent_store_open(const char *path, struct agent_store **out, struct agent_error *error)
{
    struct agent_store *store = calloc(1, sizeof(*store));
    int status = 0;

    if (store != NULL) {
        store->path = strdup(path);
    }
    if (store == NULL || store->path == NULL) {
        status = agent_error_set(error, ENOMEM, "no memory for the store");
    } else if (sqlite3_open_v2(path, &store->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               NULL) != SQLITE_OK) {
        status = store_fail(store, error, "cannot open");
    } else {
        sqlite3_extended_result_codes(store->db, 1);
        sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
        status = store_run(store,
                           "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                           "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
                           error);
    }
    status = status < 0 ? status : migrate(store, error);
    if (status < 0) {
        agent_store_close(store);
        return status;
    }
    *out = store;
    return 0;
}

void agent_store_close(struct agent_store *store)
{
    if (store != NULL) {
        sqlite3_close(store->db);
        free(store->path);
        free(store);
    }
}

static int broken(struct agent_store *store, struct agent_error *error, const char *what,
                  int64_t count)
{
    return agent_error_at(error, EBADMSG, (struct agent_place){store->path, 0, 0}, "store: %lld %s",
                          (long long)count, what);
}

int agent_store_check(struct agent_store *store, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int64_t count = 0;
    int status = store_prepare(store, "PRAGMA integrity_check(1)", &statement, error);

    status = status < 0 ? status : store_step(store, statement, error);
    if (status > 0) {
        const char *answer = (const char *)sqlite3_column_text(statement, 0);
        status = answer != NULL && strcmp(answer, "ok") == 0
                     ? 0
                     : agent_error_at(error, EBADMSG, (struct agent_place){store->path, 0, 0},
                                      "store: %s", answer != NULL ? answer : "no answer");
    }
    sqlite3_finalize(statement);
    status = status < 0
                 ? status
                 : ask(store, "SELECT count(*) FROM pragma_foreign_key_check", &count, error);
    if (status == 0 && count > 0) {
        return broken(store, error, "rows refer to rows that are not there", count);
    }
    status = status < 0 ? status
                        : ask(store,
                              "SELECT count(*) FROM batch b WHERE b.points <>"
                              " (SELECT count(*) FROM point p WHERE p.batch = b.id)",
                              &count, error);
    if (status == 0 && count > 0) {
        return broken(store, error, "batches are not whole", count);
    }
    return status;
}
