/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.h - everything the agent knew, decided and why, in one SQLite file (WAL)
 * Owner: struct agent_store from _open to _close.   Thread: the one that opened it.
 * Time:  UTC seconds from the caller.               Units: as in series.h.
 *
 * Every put is one transaction: after SIGKILL it is there as a whole or not at all. */
#ifndef AGENT_STORE_STORE_H
#define AGENT_STORE_STORE_H

#include <jansson.h>
#include <stdio.h>

#include "grid/series.h"

struct agent_store;

/** agent_store_open() - open or create, migrate the schema to the newest version
 * Return: 0; -errno: ENOTSUP (written by a newer program), EIO, ENOENT, EBUSY. */
int agent_store_open(const char *path, struct agent_store **store, struct agent_error *error);

/** agent_store_close() - NULL is fine; after it the pointer is dead */
void agent_store_close(struct agent_store *store);

/** agent_store_put_batch() - keep one parsed file with its provenance
 * A value that differs from the stored one is kept beside it and marked REVISED.
 * Return: number of new or revised points (0 = the same content is already there), or -errno. */
int agent_store_put_batch(struct agent_store *store, const struct agent_batch *batch,
                          struct agent_error *error);

/** struct agent_query - which points
 * @as_of_s: only what had been fetched by then (0 = all); the latest revision wins
 * @from_s, @to_s: start_s in [from_s, to_s) */
struct agent_query {
    enum agent_area area;
    enum agent_quantity quantity;
    enum agent_stage stage;
    const char *place; /* NULL or "" for whole areas */
    int64_t from_s;
    int64_t to_s;
    int64_t as_of_s;
};

/** agent_store_series() - the points of a query as one ascending series
 * A point that overlaps the one before it (readings of unequal length) is left out.
 * @series: uninitialised; the caller's on success (agent_series_done). Return: points or -errno. */
int agent_store_series(struct agent_store *store, const struct agent_query *query,
                       struct agent_series *series, struct agent_error *error);

/** agent_store_provenance() - which batches the answer to @query comes from
 * @out: new reference to an array of {"batch": id}, ascending. Return: their number or -errno. */
int agent_store_provenance(struct agent_store *store, const struct agent_query *query, json_t **out,
                           struct agent_error *error);

/* Documents: forecasts, plans and what explains them, as JSON with provenance. */
enum agent_document {
    AGENT_DOCUMENT_FORECAST,
    AGENT_DOCUMENT_PLAN,
    AGENT_DOCUMENT_INSTANCE,
    AGENT_DOCUMENT_ACTION,
    AGENT_DOCUMENT_COUNT
};

/** agent_store_put_document() - keep one document
 * @made_s: when it was made. @about: what it is about (a series name, a plan day), up to 127 bytes
 * @inputs: what it was made from, an array of {"batch": id} and {"document": id}; may be NULL
 * Return: its id (1..) or -errno. */
int64_t agent_store_put_document(struct agent_store *store, enum agent_document kind,
                                 int64_t made_s, const char *about, const json_t *document,
                                 const json_t *inputs, struct agent_error *error);

/** agent_store_latest_document() - newest document of @kind and @about made at or before @as_of_s
 * @as_of_s: 0 = no matter when. @out: new reference. Return: its id, or -ENOENT, or -errno. */
int64_t agent_store_latest_document(struct agent_store *store, enum agent_document kind,
                                    const char *about, int64_t as_of_s, json_t **out,
                                    struct agent_error *error);

/** struct agent_retention - how long to keep what, days; 0 = for ever */
struct agent_retention {
    int signals_days;
    int revisions_days; /* superseded values and their batches */
    int forecasts_days;
    int plans_days;
};

/** agent_store_retain() - delete what is older than the rules at @now_s, in one transaction
 * Return: rows deleted, or -errno. */
int64_t agent_store_retain(struct agent_store *store, const struct agent_retention *rules,
                           int64_t now_s, struct agent_error *error);

/** agent_store_export() - everything as JSON lines, one record a line, in a fixed order
 * Return: records written, or -errno. */
int64_t agent_store_export(struct agent_store *store, FILE *out, struct agent_error *error);

/** agent_store_import() - the reverse, all or nothing; records already there are skipped
 * Return: records added, or -errno with the line. */
int64_t agent_store_import(struct agent_store *store, FILE *in, const char *name,
                           struct agent_error *error);

/** agent_store_check() - integrity of the file and of the batches (no half-written one)
 * Return: 0, or -EBADMSG saying what is wrong. */
int agent_store_check(struct agent_store *store, struct agent_error *error);

#endif
