/* SPDX-License-Identifier: GPL-2.0-or-later */
/* private.h - what the files of store/ share
 * Owner: struct agent_store owns its connection.   Thread: the one that opened it.
 * Time:  from the caller.                          Units: seconds. */
#ifndef AGENT_STORE_PRIVATE_H
#define AGENT_STORE_PRIVATE_H

#include <sqlite3.h>

#include "store/store.h"

struct agent_store {
    sqlite3 *db;
    char *path;
};

/** store_fail() - the connection's last problem as -errno, with @doing in the text */
int store_fail(struct agent_store *store, struct agent_error *error, const char *doing);

/** store_run() - SQL without parameters or results. Return: 0 or -errno. */
int store_run(struct agent_store *store, const char *sql, struct agent_error *error);

/** store_prepare() - a statement; the caller finalizes. Return: 0 or -errno. */
int store_prepare(struct agent_store *store, const char *sql, sqlite3_stmt **statement,
                  struct agent_error *error);

/** store_step() - one step. Return: 1 a row, 0 done, -errno. */
int store_step(struct agent_store *store, sqlite3_stmt *statement, struct agent_error *error);

/** store_begin() / store_end() - a write transaction; @status < 0 rolls back, else commits
 * store_end() returns @status, or the -errno of a failed commit. */
int store_begin(struct agent_store *store, struct agent_error *error);
int64_t store_end(struct agent_store *store, int64_t status, struct agent_error *error);

/** store_series_id() - id of a series, made when @create; 0 = there is none. Return: id or -errno
 */
int64_t store_series_id(struct agent_store *store, const struct agent_series *series, bool create,
                        struct agent_error *error);

#endif
