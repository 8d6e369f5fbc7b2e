/* SPDX-License-Identifier: GPL-2.0-or-later */
/* import.c - JSON lines made by an export back into a store (format: transfer.c)
 * Owner: struct import is on the stack of agent_store_import().   Thread: the store's.
 * Time:  none.                                                    Units: as stored. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "store/import.h"
#include "support/json.h"
#include "support/slot.h"

#define LINE_MAX_BYTES (64u << 20)

static const struct agent_range any_value = {-1e300, 1e300};

static int at_line(struct import *import, int code, const struct agent_error *why)
{
    return agent_error_at(import->error, code, (struct agent_place){import->name, import->line, 0},
                          "%s", why->text);
}

int import_remember(json_t *map, const char *what, int64_t old, int64_t new_id,
                    struct agent_error *why)
{
    char key[24];

    snprintf(key, sizeof(key), "%lld", (long long)old);
    if (json_object_get(map, key) != NULL) {
        return agent_error_set(why, EBADMSG, "%s %lld is given twice", what, (long long)old);
    }
    return json_object_set_new(map, key, json_integer(new_id)) == 0
               ? 0
               : agent_error_set(why, ENOMEM, "no memory to import");
}

int64_t import_recall(const json_t *map, int64_t old)
{
    char key[24];

    snprintf(key, sizeof(key), "%lld", (long long)old);
    return json_integer_value(json_object_get(map, key));
}

int64_t import_free_id(struct import *import, const char *sql, int64_t id)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(import->store, sql, &statement, import->error);

    if (status == 0) {
        sqlite3_bind_int64(statement, 1, id);
        status = store_step(import->store, statement, import->error);
    }
    sqlite3_finalize(statement);
    return status < 0 ? status : status > 0 ? 0 : id;
}

int64_t import_run_once(struct import *import, sqlite3_stmt *statement)
{
    int status = store_step(import->store, statement, import->error);
    int64_t answer = status > 0 ? sqlite3_column_int64(statement, 0) : status;

    sqlite3_finalize(statement);
    return answer;
}

void import_bind_id(sqlite3_stmt *statement, int index, int64_t id)
{
    if (id > 0) {
        sqlite3_bind_int64(statement, index, id);
    } else {
        sqlite3_bind_null(statement, index);
    }
}

static int64_t known_batch(struct import *import, const char *const texts[3], int64_t fetched_s)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(import->store,
                               "SELECT id FROM batch WHERE source = ? AND format = ? AND digest = ?"
                               " AND fetched_s = ?",
                               &statement, import->error);

    if (status < 0) {
        return status;
    }
    for (int index = 0; index < 3; index++) {
        sqlite3_bind_text(statement, index + 1, texts[index], -1, SQLITE_STATIC);
    }
    sqlite3_bind_int64(statement, 4, fetched_s);
    return import_run_once(import, statement);
}

static int read_batch(struct import *import, const json_t *record, struct agent_error *why)
{
    static const char *const known[] = {"batch",     "source", "format", "digest",
                                        "fetched_s", "points", NULL};
    const char *texts[3] = {NULL};
    int64_t old = 0;
    int64_t fetched_s = 0;
    int64_t points = 0;
    sqlite3_stmt *statement = NULL;

    if (agent_json_only(record, "record", known, why) < 0 ||
        agent_json_integer(record, "record", "batch", 1, INT64_MAX, &old, why) < 0 ||
        agent_json_text(record, "record", "source", &texts[0], why) < 0 ||
        agent_json_text(record, "record", "format", &texts[1], why) < 0 ||
        agent_json_text(record, "record", "digest", &texts[2], why) < 0 ||
        agent_json_integer(record, "record", "fetched_s", 0, AGENT_TIME_MAX_S, &fetched_s, why) <
            0 ||
        agent_json_integer(record, "record", "points", 1, INT32_MAX, &points, why) < 0) {
        return -EBADMSG;
    }
    int64_t there = known_batch(import, texts, fetched_s);
    if (there != 0) {
        return there < 0 ? (int)there : import_remember(import->batches, "batch", old, -there, why);
    }
    int64_t id = import_free_id(import, "SELECT 1 FROM batch WHERE id = ?", old);
    int status = id < 0
                     ? (int)id
                     : store_prepare(import->store, "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)",
                                     &statement, import->error);
    if (status < 0) {
        return status;
    }
    import_bind_id(statement, 1, id);
    for (int index = 0; index < 3; index++) {
        sqlite3_bind_text(statement, index + 2, texts[index], -1, SQLITE_STATIC);
    }
    sqlite3_bind_int64(statement, 5, fetched_s);
    sqlite3_bind_int64(statement, 6, points);
    status = (int)import_run_once(import, statement);
    import->added++;
    return status < 0 ? status
                      : import_remember(import->batches, "batch", old,
                                        sqlite3_last_insert_rowid(import->store->db), why);
}

static int put_point(struct import *import, int64_t series, int64_t batch, const json_t *point,
                     struct agent_error *why)
{
    static const struct {
        int64_t min;
        int64_t max;
    } limits[] = {{AGENT_TIME_MIN_S, AGENT_TIME_MAX_S},
                  {1, INT32_MAX},
                  {0, 0},
                  {0, UINT16_MAX},
                  {0, AGENT_TIME_MAX_S}};
    sqlite3_stmt *insert = import->point;
    const json_t *value = json_array_get(point, 2);
    double number = json_number_value(value);
    bool good = json_array_size(point) == 5 &&
                (json_is_null(value) ||
                 (json_is_number(value) && isfinite(number) && fabs(number) <= any_value.max));

    sqlite3_reset(insert);
    sqlite3_bind_int64(insert, 1, series);
    sqlite3_bind_int64(insert, 3, batch);
    for (size_t index = 0; good && index < 5; index++) {
        static const int columns[] = {2, 4, 5, 6, 7};
        const json_t *member = json_array_get(point, index);
        int64_t whole = (int64_t)json_integer_value(member);
        if (index == 2) {
            continue;
        }
        good = json_is_integer(member) && whole >= limits[index].min && whole <= limits[index].max;
        sqlite3_bind_int64(insert, columns[index], whole);
    }
    if (!good) {
        return agent_error_set(why, EBADMSG,
                               "points: expected [start_s, length_s, value or null, "
                               "quality, issued_s]");
    }
    if (json_is_null(value)) {
        sqlite3_bind_null(insert, 5);
    } else {
        sqlite3_bind_double(insert, 5, number);
    }
    return store_step(import->store, insert, import->error);
}

static int read_series_key(const json_t *record, struct agent_series *key, int64_t *old,
                           struct agent_error *why)
{
    static const char *const known[] = {"series_of", "area",   "quantity", "stage",
                                        "place",     "points", NULL};
    const char *area = "";
    const char *quantity = "";
    const char *stage = "";

    if (agent_json_only(record, "record", known, why) < 0 ||
        agent_json_integer(record, "record", "series_of", 1, INT64_MAX, old, why) < 0 ||
        agent_json_text(record, "record", "area", &area, why) < 0 ||
        agent_json_text(record, "record", "quantity", &quantity, why) < 0 ||
        agent_json_text(record, "record", "stage", &stage, why) < 0) {
        return -EBADMSG;
    }
    const char *place = json_string_value(json_object_get(record, "place"));
    agent_series_init(key, agent_area_of(area), agent_quantity_of(quantity), agent_stage_of(stage));
    bool area_known = key->area != AGENT_AREA_NONE || strcmp(area, "none") == 0;
    if (!area_known || key->quantity == AGENT_QUANTITY_INVALID || key->stage == AGENT_STAGE_COUNT ||
        place == NULL || strlen(place) >= AGENT_PLACE_MAX) {
        return agent_error_set(why, EBADMSG,
                               "unknown series: area '%.20s', quantity '%.40s', "
                               "stage '%.20s', place '%.40s'",
                               area, quantity, stage, place != NULL ? place : "(none)");
    }
    snprintf(key->place, sizeof(key->place), "%s", place);
    return 0;
}

static int read_series(struct import *import, const json_t *record, struct agent_error *why)
{
    struct agent_series key;
    json_t *points = NULL;
    int64_t old = 0;
    int status = read_series_key(record, &key, &old, why);

    status = status < 0 ? status
                        : agent_json_array(record, "record", "points", 1, AGENT_SERIES_POINTS_MAX,
                                           &points, why);
    if (status < 0) {
        return status;
    }
    int64_t batch = import_recall(import->batches, old);
    if (batch <= 0) {
        return batch < 0 ? 0 /* the batch was there already */
                         : agent_error_set(why, EBADMSG, "series_of %lld: no such batch above",
                                           (long long)old);
    }
    int64_t series = store_series_id(import->store, &key, false, import->error);
    series = series == 0 ? store_series_id(import->store, &key, true, import->error) : series;
    status = series < 0 ? (int)series : 0;
    for (size_t index = 0; index < json_array_size(points) && status == 0; index++) {
        status = put_point(import, series, batch, json_array_get(points, index), why);
    }
    import->added++;
    return status;
}

static int read_first(const json_t *record, struct agent_error *why)
{
    const char *store = json_string_value(json_object_get(record, "store"));
    json_int_t version = json_integer_value(json_object_get(record, "version"));

    if (store == NULL || strcmp(store, "vmm-agent") != 0 || version != 1) {
        return agent_error_set(why, EBADMSG,
                               "expected {\"store\":\"vmm-agent\",\"version\":1} in "
                               "the first line");
    }
    return 0;
}

static int read_record(struct import *import, const json_t *record, struct agent_error *why)
{
    if (import->line == 1) {
        return read_first(record, why);
    }
    if (json_object_get(record, "end") != NULL) {
        int64_t records = 0;
        import->ended = true;
        return agent_json_integer(record, "record", "end", import->line - 2, import->line - 2,
                                  &records, why);
    }
    if (import->ended) {
        return agent_error_set(why, EBADMSG, "expected nothing after the end");
    }
    if (json_object_get(record, "batch") != NULL) {
        return read_batch(import, record, why);
    }
    if (json_object_get(record, "series_of") != NULL) {
        return read_series(import, record, why);
    }
    if (json_object_get(record, "document") != NULL) {
        return import_document(import, record, why);
    }
    return agent_error_set(why, EBADMSG, "expected a batch, series_of or document");
}

static int read_lines(struct import *import, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size = 0;
    int status = 0;

    while (status == 0 && (size = getline(&text, &room, in)) > 0) {
        struct agent_error why = {0};
        json_error_t problem;
        import->line++;
        json_t *record = (size_t)size > LINE_MAX_BYTES
                             ? NULL
                             : json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &problem);
        if (record == NULL) {
            agent_error_set(&why, EBADMSG, "not valid JSON or longer than %u bytes",
                            LINE_MAX_BYTES);
            status = at_line(import, EBADMSG, &why);
            break;
        }
        status = read_record(import, record, &why);
        if (status < 0) {
            at_line(import, status, &why);
        }
        json_decref(record);
    }
    free(text);
    if (status == 0 && (ferror(in) || !import->ended)) {
        status = agent_error_at(import->error, EBADMSG,
                                (struct agent_place){import->name, import->line, 0},
                                "the export is cut off: expected a last line {\"end\":N}");
    }
    return status;
}

int64_t agent_store_import(struct agent_store *store, FILE *in, const char *name,
                           struct agent_error *error)
{
    struct import import = {.store = store, .error = error, .name = name};
    int64_t status = store_begin(store, error);

    if (status < 0) {
        return status;
    }
    import.batches = json_object();
    import.documents = json_object();
    if (import.batches == NULL || import.documents == NULL) {
        status = agent_error_set(error, ENOMEM, "no memory to import");
    }
    status = status < 0 ? status
                        : store_prepare(store, "INSERT INTO point VALUES (?, ?, ?, ?, ?, ?, ?)",
                                        &import.point, error);
    status = status < 0 ? status : read_lines(&import, in);
    /* A truncated export has batches without all of their points. */
    status = status < 0 ? status : agent_store_check(store, error);
    sqlite3_finalize(import.point);
    json_decref(import.batches);
    json_decref(import.documents);
    return store_end(store, status < 0 ? status : import.added, error);
}
