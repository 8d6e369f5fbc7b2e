/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_store.c - batches, revisions, documents, retention, export and import, schema versions */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/store.h"

#define START_S INT64_C(1775055600) /* 2026-04-02 00:00 JST */

static char directory[] = "/tmp/test-store-XXXXXX";
static char path[64];
static struct agent_store *store;
static struct agent_error error;

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "%s/a.db", directory);
    memset(&error, 0, sizeof(error));
    return agent_store_open(path, &store, &error);
}

static int tear_down(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[80];

    (void)state;
    agent_store_close(store);
    store = NULL;
    for (size_t index = 0; index < 3; index++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[index]);
        unlink(name);
    }
    return 0;
}

/* A batch of 48 slots: value + slot; @hole gets no value. */
static void fill(struct agent_batch *batch, double value, int hole, int64_t fetched_s)
{
    agent_batch_init(batch, "file.csv", "spot");
    batch->fetched_s = fetched_s;
    batch->digest = (uint64_t)(value * 1000) + (uint64_t)fetched_s;
    struct agent_series *series =
        agent_batch_series(batch, AGENT_AREA_KYUSHU, AGENT_PRICE_SPOT, AGENT_ACTUAL, NULL);
    series->issued_s = fetched_s - 60;
    for (int slot = 0; slot < 48; slot++) {
        bool missing = slot == hole;
        struct agent_point point = {START_S + slot * 1800, 1800,
                                    missing ? AGENT_QUALITY_MISSING : 0,
                                    missing ? NAN : value + slot};
        assert_int_equal(agent_series_append(series, point), 0);
    }
}

static int put(double value, int hole, int64_t fetched_s)
{
    struct agent_batch batch;

    fill(&batch, value, hole, fetched_s);
    int added = agent_store_put_batch(store, &batch, &error);
    agent_batch_done(&batch);
    return added;
}

static struct agent_query query_of(int64_t as_of_s)
{
    return (struct agent_query){AGENT_AREA_KYUSHU, AGENT_PRICE_SPOT, AGENT_ACTUAL, NULL,
                                START_S,           START_S + 86400,  as_of_s};
}

static void test_put_and_read(void **state)
{
    struct agent_query query = query_of(0);
    struct agent_series series;

    (void)state;
    assert_int_equal(put(10.1, 7, START_S + 100), 48);
    assert_int_equal(put(10.1, 7, START_S + 100), 0); /* the same again */
    assert_int_equal(agent_store_series(store, &query, &series, &error), 48);
    assert_true(fabs(series.points[3].value - 13.1) < 1e-15);
    assert_true(isnan(series.points[7].value));
    assert_int_equal(series.points[7].quality, AGENT_QUALITY_MISSING);
    assert_int_equal(series.issued_s, START_S + 40);
    agent_series_done(&series);
    query.from_s = START_S + 1800;
    query.to_s = START_S + 3 * 1800;
    assert_int_equal(agent_store_series(store, &query, &series, &error), 2);
    agent_series_done(&series);
    query.place = "elsewhere";
    assert_int_equal(agent_store_series(store, &query, &series, &error), 0);
    agent_series_done(&series);
    assert_int_equal(agent_store_check(store, &error), 0);
}

static void test_revisions_stand_beside(void **state)
{
    struct agent_query query = query_of(0);
    struct agent_series series;
    json_t *batches = NULL;

    (void)state;
    assert_int_equal(put(10, 7, START_S + 100), 48);
    assert_int_equal(put(10, -1, START_S + 200), 1); /* the hole is filled: no revision */
    assert_int_equal(put(11, -1, START_S + 300), 48);
    assert_int_equal(agent_store_series(store, &query, &series, &error), 48);
    assert_true(fabs(series.points[7].value - 18) < 1e-15);
    assert_int_equal(series.points[0].quality, AGENT_QUALITY_REVISED);
    assert_true(agent_quality_usable(series.points[0].quality));
    agent_series_done(&series);
    query = query_of(START_S + 250); /* what was known before the revision */
    assert_int_equal(agent_store_series(store, &query, &series, &error), 48);
    assert_true(fabs(series.points[7].value - 17) < 1e-15);
    assert_int_equal(series.points[7].quality, 0);
    agent_series_done(&series);
    assert_int_equal(agent_store_provenance(store, &query, &batches, &error), 2);
    json_decref(batches);
}

static int put_forecast(int64_t fetched_s)
{
    struct agent_batch batch;

    fill(&batch, 10, -1, fetched_s); /* issued a minute before */
    batch.series[0].stage = AGENT_FORECAST;
    int added = agent_store_put_batch(store, &batch, &error);
    agent_batch_done(&batch);
    return added;
}

static void test_a_forecast_issued_again(void **state)
{
    struct agent_query query = query_of(0);
    struct agent_series series;

    (void)state;
    query.stage = AGENT_FORECAST;
    assert_int_equal(put_forecast(START_S + 100), 48);
    assert_int_equal(put_forecast(START_S + 100), 0);
    assert_int_equal(put_forecast(START_S + 900), 48); /* the same values, but younger */
    assert_int_equal(agent_store_series(store, &query, &series, &error), 48);
    assert_int_equal(series.issued_s, START_S + 840);
    assert_int_equal(series.points[0].quality, 0);
    agent_series_done(&series);
}

static void test_documents(void **state)
{
    json_t *out = NULL;
    json_t *old = json_pack("{s:i}", "gap", 1);
    json_t *new = json_pack("{s:i}", "gap", 2);
    json_t *inputs = json_pack("[{s:i}]", "batch", 1);

    (void)state;
    int64_t first =
        agent_store_put_document(store, AGENT_DOCUMENT_PLAN, 1000, "day", old, inputs, &error);
    int64_t second =
        agent_store_put_document(store, AGENT_DOCUMENT_PLAN, 2000, "day", new, NULL, &error);
    assert_true(first > 0 && second > first);
    assert_int_equal(
        agent_store_latest_document(store, AGENT_DOCUMENT_PLAN, "day", 0, &out, &error), second);
    assert_true(json_equal(out, new));
    json_decref(out);
    assert_int_equal(
        agent_store_latest_document(store, AGENT_DOCUMENT_PLAN, "day", 1500, &out, &error), first);
    json_decref(out);
    assert_int_equal(
        agent_store_latest_document(store, AGENT_DOCUMENT_FORECAST, "day", 0, &out, &error),
        -ENOENT);
    json_decref(old);
    json_decref(new);
    json_decref(inputs);
}

static void test_retention(void **state)
{
    const struct agent_retention none = {0, 0, 0, 0};
    const struct agent_retention revisions = {0, 1, 0, 0};
    const struct agent_retention all = {1, 0, 1, 1};
    struct agent_query query = query_of(0);
    struct agent_series series;
    json_t *document = json_pack("{}");

    (void)state;
    assert_int_equal(put(10, -1, START_S), 48);
    assert_int_equal(put(11, -1, START_S + 60), 48);
    assert_true(agent_store_put_document(store, AGENT_DOCUMENT_PLAN, START_S, "d", document, NULL,
                                         &error) > 0);
    assert_int_equal(agent_store_retain(store, &none, START_S + 100 * 86400, &error), 0);
    assert_int_equal(agent_store_retain(store, &revisions, START_S + 86400 + 30, &error), 48);
    assert_int_equal(agent_store_series(store, &query, &series, &error), 48);
    assert_true(fabs(series.points[0].value - 11) < 1e-15);
    agent_series_done(&series);
    assert_int_equal(agent_store_check(store, &error), 0);
    assert_int_equal(agent_store_retain(store, &all, START_S + 3 * 86400, &error), 49);
    assert_int_equal(agent_store_series(store, &query, &series, &error), 0);
    agent_series_done(&series);
    assert_int_equal(agent_store_check(store, &error), 0);
    json_decref(document);
}

static char *export_text(struct agent_store *from, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    assert_non_null(out);
    assert_true(agent_store_export(from, out, &error) > 0);
    fclose(out);
    return text;
}

static int64_t import_text(struct agent_store *to, const char *text, size_t size)
{
    FILE *in = fmemopen((char *)(uintptr_t)text, size, "r");

    assert_non_null(in);
    memset(&error, 0, sizeof(error));
    int64_t added = agent_store_import(to, in, "export", &error);
    fclose(in);
    return added;
}

static void test_export_and_import(void **state)
{
    struct agent_store *other = NULL;
    char other_path[80];
    size_t size = 0;
    size_t again_size = 0;
    json_t *document = json_pack("{s:f}", "gap", 0.1);
    json_t *inputs = json_pack("[{s:i}]", "batch", 2);

    (void)state;
    put(10.123456789012345, 5, START_S + 100);
    put(11, -1, START_S + 200);
    agent_store_put_document(store, AGENT_DOCUMENT_PLAN, START_S, "day", document, inputs, &error);
    char *text = export_text(store, &size);
    snprintf(other_path, sizeof(other_path), "%s/b.db", directory);
    assert_int_equal(agent_store_open(other_path, &other, &error), 0);
    assert_int_equal(import_text(other, text, size), 5); /* 2 batches, 2 series, 1 document */
    char *again = export_text(other, &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(text, again, size);
    assert_int_equal(import_text(other, text, size), 0); /* all there already */
    for (size_t cut = 2; cut < size; cut += 37) {        /* every truncation is refused whole */
        assert_true(import_text(other, text, size - cut) < 0);
    }
    free(again);
    again = export_text(other, &again_size);
    assert_int_equal(size, again_size);
    agent_store_close(other);
    unlink(other_path);
    free(again);
    free(text);
    json_decref(document);
    json_decref(inputs);
}

static void test_import_refuses(void **state)
{
    static const char *const texts[] = {
        "",
        "{}\n",
        "{\"store\":\"vmm-agent\",\"version\":2}\n",
        "{\"store\":\"vmm-agent\",\"version\":1}\n{\"end\":1}\n",
        "{\"store\":\"vmm-agent\",\"version\":1}\n{\"series_of\":1,\"area\":\"kyushu\","
        "\"quantity\":"
        "\"pv\",\"stage\":\"actual\",\"place\":\"\",\"points\":[[1775055600,1800,1,0,0]]}\n{"
        "\"end\":1}\n",
        "{\"store\":\"vmm-agent\",\"version\":1}\n{\"batch\":1,\"source\":\"a\",\"format\":\"b\","
        "\"digest\":\"c\",\"fetched_s\":1,\"points\":3}\n{\"end\":1}\n",
        "{\"store\":\"vmm-agent\",\"version\":1}\n{\"batch\":1,\"source\":\"a\",\"format\":\"b\","
        "\"digest\":\"c\",\"fetched_s\":1,\"points\":1}\n{\"series_of\":1,\"area\":\"kyushu\","
        "\"quantity\":\"pv\",\"stage\":\"actual\",\"place\":\"\",\"points\":[[0,1800,1,0,0]]}\n"
        "{\"end\":2}\n",
        "{\"store\":\"vmm-agent\",\"version\":1}\n"
        "{\"document\":1,\"kind\":3,\"made_s\":5,\"about\":\"x\",\"body\":1,\"inputs\":[]}\n"
        "{\"document\":1,\"kind\":3,\"made_s\":6,\"about\":\"x\",\"body\":1,\"inputs\":[]}\n"
        "{\"end\":2}\n",
    };

    (void)state;
    for (size_t index = 0; index < sizeof(texts) / sizeof(texts[0]); index++) {
        FILE *in = tmpfile();
        fputs(texts[index], in);
        rewind(in);
        memset(&error, 0, sizeof(error));
        if (agent_store_import(store, in, "export", &error) >= 0 || error.text[0] == '\0') {
            fail_msg("text %zu was taken", index);
        }
        fclose(in);
        assert_int_equal(agent_store_check(store, NULL), 0);
    }
}

static void make_database(const char *sql)
{
    sqlite3 *db = NULL;

    agent_store_close(store);
    store = NULL;
    unlink(path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    memset(&error, 0, sizeof(error));
}

static void test_schema_versions(void **state)
{
    (void)state;
    make_database("PRAGMA user_version = 99; PRAGMA application_id = 0x41504e41");
    assert_int_equal(agent_store_open(path, &store, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, "schema version 99"));
    make_database("CREATE TABLE other (x)");
    assert_int_equal(agent_store_open(path, &store, &error), -EBADMSG);
    /* version 1 had no documents */
    make_database(
        "CREATE TABLE batch (id INTEGER PRIMARY KEY, source TEXT NOT NULL, format TEXT NOT NULL,"
        " digest TEXT NOT NULL, fetched_s INTEGER NOT NULL, points INTEGER NOT NULL);"
        "CREATE TABLE series (id INTEGER PRIMARY KEY, area INTEGER NOT NULL, quantity TEXT NOT "
        "NULL,"
        " stage TEXT NOT NULL, place TEXT NOT NULL, UNIQUE (area, quantity, stage, place));"
        "CREATE TABLE point (series INTEGER NOT NULL REFERENCES series, start_s INTEGER NOT NULL,"
        " batch INTEGER NOT NULL REFERENCES batch, length_s INTEGER NOT NULL, value REAL,"
        " quality INTEGER NOT NULL, issued_s INTEGER NOT NULL,"
        " PRIMARY KEY (series, start_s, batch)) WITHOUT ROWID;"
        "INSERT INTO batch VALUES (1, 'f', 'spot', '0', 5, 1);"
        "INSERT INTO series VALUES (1, 9, 'price_spot', 'actual', '');"
        "INSERT INTO point VALUES (1, 1775055600, 1, 1800, 7.5, 0, 0);"
        "PRAGMA user_version = 1; PRAGMA application_id = 0x41504e41");
    assert_int_equal(agent_store_open(path, &store, &error), 0);
    struct agent_query query = query_of(0);
    struct agent_series series;
    json_t *out = NULL;
    assert_int_equal(agent_store_series(store, &query, &series, &error), 1);
    agent_series_done(&series);
    assert_int_equal(agent_store_latest_document(store, AGENT_DOCUMENT_PLAN, "x", 0, &out, &error),
                     -ENOENT);
}

static void test_not_a_database(void **state)
{
    (void)state;
    agent_store_close(store);
    store = NULL;
    FILE *out = fopen(path, "w");
    for (int line = 0; line < 300; line++) {
        fputs("this is a diary, no database\n", out);
    }
    fclose(out);
    assert_int_equal(agent_store_open(path, &store, &error), -EBADMSG);
    assert_string_equal(error.file, path);
    memset(&error, 0, sizeof(error));
    assert_int_equal(agent_store_open("/nonexistent/a.db", &store, &error), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_revisions_stand_beside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_forecast_issued_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_retention, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_export_and_import, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_import_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_schema_versions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_a_database, set_up, tear_down),
    };

    if (mkdtemp(directory) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(directory);
    return failed;
}
