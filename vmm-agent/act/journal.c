/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal.c - the act_ tables of the store
 * Owner, thread, time, units: journal.h. */
#include "act/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/private.h"

#define OPEN_MOVES_MAX 8192

struct agent_journal {
    struct agent_store *store;
};

int agent_journal_open(struct agent_store *store, struct agent_journal **out,
                       struct agent_error *error)
{
    struct agent_journal *journal = calloc(1, sizeof(*journal));

    if (journal == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the journal");
    }
    journal->store = store;
    *out = journal;
    return 0;
}

void agent_journal_close(struct agent_journal *journal)
{
    free(journal);
}

static int64_t real_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

static void take_text(sqlite3_stmt *statement, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    snprintf(out, size, "%s", text != NULL ? text : "");
}

/* Runs a prepared statement that gives no rows, and finalizes it. */
static int finish(struct agent_journal *journal, sqlite3_stmt *statement, int status,
                  struct agent_error *error)
{
    if (status == 0) {
        status = store_step(journal->store, statement, error);
    }
    sqlite3_finalize(statement);
    return status < 0 ? status : 0;
}

int agent_journal_set(struct agent_journal *journal, const char *key, const char *value,
                      struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(journal->store,
                               "INSERT INTO act_value VALUES (?1, ?2)"
                               " ON CONFLICT (key) DO UPDATE SET value = ?2",
                               &statement, error);

    if (status == 0) {
        bind_text(statement, 1, key);
        bind_text(statement, 2, value);
    }
    return finish(journal, statement, status, error);
}

int agent_journal_get(struct agent_journal *journal, const char *key, char *out, size_t size,
                      struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(journal->store, "SELECT value FROM act_value WHERE key = ?1",
                               &statement, error);

    out[0] = '\0';
    if (status == 0) {
        bind_text(statement, 1, key);
        status = store_step(journal->store, statement, error);
    }
    if (status > 0) {
        take_text(statement, 0, out, size);
        status = 0;
    }
    sqlite3_finalize(statement);
    return status;
}

int64_t agent_journal_run(struct agent_journal *journal, struct agent_error *error)
{
    char text[32];
    int64_t run = 0;
    int64_t status = store_begin(journal->store, error);

    if (status == 0) {
        status = agent_journal_get(journal, "run", text, sizeof(text), error);
        run = status == 0 ? strtoll(text, NULL, 10) + 1 : 0;
    }
    if (status == 0) {
        snprintf(text, sizeof(text), "%lld", (long long)run);
        status = agent_journal_set(journal, "run", text, error);
    }
    status = store_end(journal->store, status, error);
    return status < 0 ? status : run;
}

/* ---- machines ----------------------------------------------------------------------------- */

int agent_journal_vm(struct agent_journal *journal, const char *vm, struct agent_journal_vm *out,
                     struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(journal->store,
                               "SELECT epoch, owner, host, since_s, paused_by, moves FROM act_vm"
                               " WHERE vm = ?1",
                               &statement, error);

    memset(out, 0, sizeof(*out));
    if (status == 0) {
        bind_text(statement, 1, vm);
        status = store_step(journal->store, statement, error);
    }
    if (status > 0) {
        out->epoch = sqlite3_column_int64(statement, 0);
        out->owner = sqlite3_column_int64(statement, 1);
        take_text(statement, 2, out->host, sizeof(out->host));
        out->since_s = sqlite3_column_int64(statement, 3);
        take_text(statement, 4, out->paused_by, sizeof(out->paused_by));
        out->moves = sqlite3_column_int64(statement, 5);
        status = 0;
    }
    sqlite3_finalize(statement);
    return status;
}

int agent_journal_put_vm(struct agent_journal *journal, const char *vm,
                         const struct agent_journal_vm *noted, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(journal->store,
                               "INSERT INTO act_vm VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                               " ON CONFLICT (vm) DO UPDATE SET epoch = max(epoch, ?2), owner = ?3,"
                               " host = ?4, since_s = ?5, paused_by = ?6, moves = ?7",
                               &statement, error);

    if (status == 0) {
        bind_text(statement, 1, vm);
        sqlite3_bind_int64(statement, 2, noted->epoch);
        sqlite3_bind_int64(statement, 3, noted->owner);
        bind_text(statement, 4, noted->host);
        sqlite3_bind_int64(statement, 5, noted->since_s);
        bind_text(statement, 6, noted->paused_by);
        sqlite3_bind_int64(statement, 7, noted->moves);
    }
    return finish(journal, statement, status, error);
}

long long agent_journal_next_epoch(struct agent_journal *journal, const char *vm,
                                   struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    long long epoch = 0;
    int64_t status = store_begin(journal->store, error);

    if (status == 0) {
        status = store_prepare(journal->store,
                               "INSERT INTO act_vm VALUES (?1, 1, 0, '', 0, '', 0)"
                               " ON CONFLICT (vm) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
                               &statement, error);
    }
    if (status == 0) {
        bind_text(statement, 1, vm);
        status = store_step(journal->store, statement, error);
        epoch = status > 0 ? sqlite3_column_int64(statement, 0) : 0;
        status = status > 0 ? store_step(journal->store, statement, error) : status;
    }
    sqlite3_finalize(statement);
    status = store_end(journal->store, status, error);
    return status < 0 ? status : epoch;
}

/* ---- moves -------------------------------------------------------------------------------- */

static int put_entry(struct agent_journal *journal, const struct agent_journal_entry *entry,
                     int64_t move, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(journal->store,
                               "INSERT INTO act_entry (move, vm, at_s, real_ms, stage, phase, text)"
                               " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                               &statement, error);

    if (status == 0) {
        sqlite3_bind_int64(statement, 1, move);
        bind_text(statement, 2, entry->vm);
        sqlite3_bind_int64(statement, 3, entry->at_s);
        sqlite3_bind_int64(statement, 4, real_ms());
        bind_text(statement, 5, entry->stage);
        bind_text(statement, 6, entry->phase);
        bind_text(statement, 7, entry->text);
    }
    return finish(journal, statement, status, error);
}

static int put_move(struct agent_journal *journal, const struct agent_journal_move *move,
                    const char *figures, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = store_prepare(
        journal->store,
        "INSERT INTO act_move VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
        " ?15, ?16) ON CONFLICT (id) DO UPDATE SET to_host = ?4, reason = ?6, state = ?7,"
        " stage = ?8, source_epoch = ?9, dest_epoch = ?10, attempt = ?11, benefit_yen = ?12,"
        " urgent = ?13, ended_s = ?15, figures = ?16",
        &statement, error);

    if (status < 0) {
        return status;
    }
    if (move->id > 0) {
        sqlite3_bind_int64(statement, 1, move->id);
    }
    const char *const texts[] = {move->vm,     move->from_host, move->to_host, move->origin,
                                 move->reason, move->state,     move->stage};
    for (int at = 0; at < 7; at++) {
        bind_text(statement, 2 + at, texts[at]);
    }
    sqlite3_bind_int64(statement, 9, move->source_epoch);
    sqlite3_bind_int64(statement, 10, move->dest_epoch);
    sqlite3_bind_int64(statement, 11, move->attempt);
    sqlite3_bind_double(statement, 12, move->benefit_yen);
    sqlite3_bind_int64(statement, 13, move->urgent);
    sqlite3_bind_int64(statement, 14, move->queued_s);
    sqlite3_bind_int64(statement, 15, move->ended_s);
    bind_text(statement, 16, figures);
    return finish(journal, statement, 0, error);
}

int64_t agent_journal_step(struct agent_journal *journal, const struct agent_journal_move *move,
                           const json_t *figures, const struct agent_journal_entry *entry,
                           struct agent_error *error)
{
    char *text = figures != NULL ? json_dumps(figures, JSON_COMPACT) : NULL;
    int64_t id = move->id;
    int64_t status = store_begin(journal->store, error);

    if (status == 0) {
        status = put_move(journal, move, text != NULL ? text : "{}", error);
    }
    if (status == 0 && id == 0) {
        id = sqlite3_last_insert_rowid(journal->store->db);
    }
    if (status == 0 && entry != NULL) {
        status = put_entry(journal, entry, id, error);
    }
    free(text);
    status = store_end(journal->store, status, error);
    return status < 0 ? status : id;
}

int agent_journal_note(struct agent_journal *journal, const struct agent_journal_entry *entry,
                       struct agent_error *error)
{
    return put_entry(journal, entry, entry->move, error);
}

static void take_move(sqlite3_stmt *statement, struct agent_journal_move *move)
{
    memset(move, 0, sizeof(*move));
    move->id = sqlite3_column_int64(statement, 0);
    take_text(statement, 1, move->vm, sizeof(move->vm));
    take_text(statement, 2, move->from_host, sizeof(move->from_host));
    take_text(statement, 3, move->to_host, sizeof(move->to_host));
    take_text(statement, 4, move->origin, sizeof(move->origin));
    take_text(statement, 5, move->reason, sizeof(move->reason));
    take_text(statement, 6, move->state, sizeof(move->state));
    take_text(statement, 7, move->stage, sizeof(move->stage));
    move->source_epoch = sqlite3_column_int64(statement, 8);
    move->dest_epoch = sqlite3_column_int64(statement, 9);
    move->attempt = sqlite3_column_int(statement, 10);
    move->benefit_yen = sqlite3_column_double(statement, 11);
    move->urgent = sqlite3_column_int(statement, 12) != 0;
    move->queued_s = sqlite3_column_int64(statement, 13);
    move->ended_s = sqlite3_column_int64(statement, 14);
}

int agent_journal_open_moves(struct agent_journal *journal,
                             void (*fn)(void *opaque, const struct agent_journal_move *move),
                             void *opaque, struct agent_error *error)
{
    sqlite3_stmt *statement = NULL;
    struct agent_journal_move *moves = NULL;
    int count = 0;
    int status = store_prepare(journal->store,
                               "SELECT * FROM act_move WHERE ended_s = 0 ORDER BY id LIMIT 8192",
                               &statement, error);

    while (status == 0 && count < OPEN_MOVES_MAX &&
           (status = store_step(journal->store, statement, error)) > 0) {
        struct agent_journal_move *more = realloc(moves, ((size_t)count + 1) * sizeof(*moves));
        status = more == NULL ? agent_error_set(error, ENOMEM, "no memory for the journal") : 0;
        moves = more != NULL ? more : moves;
        if (status == 0) {
            take_move(statement, &moves[count++]);
        }
    }
    sqlite3_finalize(statement);
    for (int at = 0; at < count && status == 0; at++) {
        fn(opaque, &moves[at]);
    }
    free(moves);
    return status < 0 ? status : count;
}

json_t *agent_journal_ended(struct agent_journal *journal, int count)
{
    sqlite3_stmt *statement = NULL;
    json_t *list = json_array();
    int status = store_prepare(journal->store,
                               "SELECT figures FROM act_move WHERE ended_s > 0"
                               " ORDER BY ended_s DESC, id DESC LIMIT ?1",
                               &statement, NULL);

    if (status == 0) {
        sqlite3_bind_int(statement, 1, count);
    }
    while (status == 0 && store_step(journal->store, statement, NULL) > 0) {
        json_t *figures = json_loads((const char *)sqlite3_column_text(statement, 0), 0, NULL);
        if (json_object_get(figures, "id") != NULL) {
            json_array_append(list, figures);
        }
        json_decref(figures);
    }
    sqlite3_finalize(statement);
    return list;
}

json_t *agent_journal_story(struct agent_journal *journal, const char *vm, int count)
{
    sqlite3_stmt *statement = NULL;
    json_t *story = json_array();
    int status =
        store_prepare(journal->store,
                      "SELECT * FROM (SELECT id, move, at_s, real_ms, stage, phase, text"
                      " FROM act_entry WHERE vm = ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id",
                      &statement, NULL);

    if (status == 0) {
        bind_text(statement, 1, vm);
        sqlite3_bind_int(statement, 2, count);
    }
    while (status == 0 && store_step(journal->store, statement, NULL) > 0) {
        json_array_append_new(story,
                              json_pack("{s:I, s:I, s:I, s:s, s:s, s:s}", "migration",
                                        (json_int_t)sqlite3_column_int64(statement, 1), "at_s",
                                        (json_int_t)sqlite3_column_int64(statement, 2), "real_ms",
                                        (json_int_t)sqlite3_column_int64(statement, 3), "stage",
                                        (const char *)sqlite3_column_text(statement, 4), "phase",
                                        (const char *)sqlite3_column_text(statement, 5), "text",
                                        (const char *)sqlite3_column_text(statement, 6)));
    }
    sqlite3_finalize(statement);
    return story;
}
