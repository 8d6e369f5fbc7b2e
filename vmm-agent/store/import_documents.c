/* SPDX-License-Identifier: GPL-2.0-or-later */
/* import_documents.c - the documents of an export, their inputs translated to the ids given here
 * Owner, thread, time, units: import.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/import.h"
#include "support/slot.h"

/* Translates {"batch": id} and {"document": id} to the ids given here. */
static json_t *translate(const struct import *import, const json_t *inputs)
{
    json_t *copy = json_deep_copy(inputs);
    json_t *member = NULL;
    size_t index = 0;

    json_array_foreach(copy, index, member)
    {
        const char *const keys[] = {"batch", "document"};
        const json_t *const maps[] = {import->batches, import->documents};
        for (int kind = 0; kind < 2; kind++) {
            int64_t old = json_integer_value(json_object_get(member, keys[kind]));
            int64_t id = import_recall(maps[kind], old);
            if (id != 0) {
                json_object_set_new(member, keys[kind], json_integer(id < 0 ? -id : id));
            }
        }
    }
    return copy;
}

static int64_t known_document(struct import *import, int64_t kind, int64_t made_s,
                              const char *about, const char *body)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(import->store,
                               "SELECT id FROM document WHERE kind = ? AND made_s = ? AND about = ?"
                               " AND body = ?",
                               &statement, import->error);

    if (status < 0) {
        return status;
    }
    sqlite3_bind_int64(statement, 1, kind);
    sqlite3_bind_int64(statement, 2, made_s);
    sqlite3_bind_text(statement, 3, about, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, body, -1, SQLITE_STATIC);
    return import_run_once(import, statement);
}

struct document {
    int64_t old;
    int64_t kind;
    int64_t made_s;
    const char *about;
    char *body;
    char *inputs;
};

static int insert_document(struct import *import, const struct document *document,
                           struct agent_error *why)
{
    sqlite3_stmt *statement = NULL;
    int64_t there =
        known_document(import, document->kind, document->made_s, document->about, document->body);

    if (there != 0) {
        return there < 0
                   ? (int)there
                   : import_remember(import->documents, "document", document->old, -there, why);
    }
    int64_t id = import_free_id(import, "SELECT 1 FROM document WHERE id = ?", document->old);
    int status =
        id < 0 ? (int)id
               : store_prepare(import->store, "INSERT INTO document VALUES (?, ?, ?, ?, ?, ?)",
                               &statement, import->error);
    if (status < 0) {
        return status;
    }
    import_bind_id(statement, 1, id);
    sqlite3_bind_int64(statement, 2, document->kind);
    sqlite3_bind_int64(statement, 3, document->made_s);
    sqlite3_bind_text(statement, 4, document->about, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, document->body, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 6, document->inputs, -1, SQLITE_STATIC);
    status = (int)import_run_once(import, statement);
    import->added++;
    return status < 0 ? status
                      : import_remember(import->documents, "document", document->old,
                                        sqlite3_last_insert_rowid(import->store->db), why);
}

int import_document(struct import *import, const json_t *record, struct agent_error *why)
{
    static const char *const known[] = {"document", "kind",   "made_s", "about",
                                        "body",     "inputs", NULL};
    struct document document = {0};
    const json_t *body = json_object_get(record, "body");
    json_t *inputs = NULL;

    if (agent_json_only(record, "record", known, why) < 0 ||
        agent_json_integer(record, "record", "document", 1, INT64_MAX, &document.old, why) < 0 ||
        agent_json_integer(record, "record", "kind", 0, AGENT_DOCUMENT_COUNT - 1, &document.kind,
                           why) < 0 ||
        agent_json_integer(record, "record", "made_s", 0, AGENT_TIME_MAX_S, &document.made_s, why) <
            0 ||
        agent_json_text(record, "record", "about", &document.about, why) < 0 ||
        agent_json_array(record, "record", "inputs", 0, 100000, &inputs, why) < 0 || body == NULL) {
        return agent_error_set(why, EBADMSG, "record: key 'body' is missing");
    }
    json_t *translated = translate(import, inputs);
    document.body = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    document.inputs = json_dumps(translated, JSON_COMPACT);
    json_decref(translated);
    int status = document.body == NULL || document.inputs == NULL
                     ? agent_error_set(why, ENOMEM, "no memory to import")
                     : insert_document(import, &document, why);
    free(document.body);
    free(document.inputs);
    return status;
}
