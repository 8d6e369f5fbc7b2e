/* SPDX-License-Identifier: GPL-2.0-or-later */
/* import.h - one import on its way, shared by its two files (private to store/)
 * Owner: on the stack of agent_store_import().   Thread: the store's.
 * Time:  none.                                   Units: as stored. */
#ifndef AGENT_STORE_IMPORT_H
#define AGENT_STORE_IMPORT_H

#include "store/private.h"
#include "support/json.h"

struct import {
    struct agent_store *store;
    struct agent_error *error;
    const char *name;
    unsigned line;
    json_t *batches; /* old id as text to new id; negative = was there already */
    json_t *documents;
    sqlite3_stmt *point;
    int64_t added;
    bool ended;
};

/** import_remember() - @old id of the file is @new_id here (negative: it was there already)
 * @what: "batch" or "document". Return: 0, or -EBADMSG with @why when the file gives the id twice.
 */
int import_remember(json_t *map, const char *what, int64_t old, int64_t new_id,
                    struct agent_error *why);

/** import_recall() - what was remembered, 0 = nothing */
int64_t import_recall(const json_t *map, int64_t old);

/** import_free_id() - @sql finds @id. Return: @id when it is free, 0 when taken, -errno. */
int64_t import_free_id(struct import *import, const char *sql, int64_t id);

/** import_run_once() - one step of a statement that finds or inserts; finalizes it
 * Return: first column or 0, -errno. */
int64_t import_run_once(struct import *import, sqlite3_stmt *statement);

/** import_bind_id() - @id, or NULL for 0 so that SQLite gives the next one */
void import_bind_id(sqlite3_stmt *statement, int index, int64_t id);

/** import_document() - one document record. Return: 0 or -errno with @why. */
int import_document(struct import *import, const json_t *record, struct agent_error *why);

#endif
