/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal.h - intent before action: what the agent means to do is on disk before it is done
 * Owner: struct agent_journal, _open/_close; it borrows the store's connection.
 * Thread: the store's.   Time: agent time from the caller; real_ms is the host's clock, to compare
 * with other logs.       Units: s, ms.
 *
 * Every call is one transaction that is on disk when it returns. The journal never decides what is
 * true, QEMU does: it says what was meant, which start of a machine (epoch) owns its guest, and
 * what happened in which order. Epochs only grow: a socket, a process and a journal row of one
 * start can never be taken for those of another. */
#ifndef AGENT_ACT_JOURNAL_H
#define AGENT_ACT_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "act/inventory.h"
#include "store/store.h"

struct agent_journal;

int agent_journal_open(struct agent_store *store, struct agent_journal **out,
                       struct agent_error *error);
void agent_journal_close(struct agent_journal *journal);

/** agent_journal_run() - count a start of the agent. Return: its number (1..) or -errno. */
int64_t agent_journal_run(struct agent_journal *journal, struct agent_error *error);

/** agent_journal_set() / _get() - a value that outlives the agent (drained hosts, pause)
 * _get: @out is "" when there is none. Return: 0 or -errno. */
int agent_journal_set(struct agent_journal *journal, const char *key, const char *value,
                      struct agent_error *error);
int agent_journal_get(struct agent_journal *journal, const char *key, char *out, size_t size,
                      struct agent_error *error);

/** struct agent_journal_vm - @epoch: the newest one given out; @owner: the one that has the guest,
 * 0 = none; @paused_by: words separated by spaces */
struct agent_journal_vm {
    long long epoch;
    long long owner;
    char host[AGENT_INVENTORY_NAME_MAX];
    int64_t since_s;
    char paused_by[64];
    int64_t moves;
};

/** agent_journal_vm() - what is noted of a machine; all zero when nothing. Return: 0 or -errno. */
int agent_journal_vm(struct agent_journal *journal, const char *vm, struct agent_journal_vm *out,
                     struct agent_error *error);

/** agent_journal_put_vm() - note it; @epoch never goes down, whatever is given */
int agent_journal_put_vm(struct agent_journal *journal, const char *vm,
                         const struct agent_journal_vm *noted, struct agent_error *error);

/** agent_journal_next_epoch() - a number no start of this machine has had: the fencing token
 * Return: 1.. or -errno. */
long long agent_journal_next_epoch(struct agent_journal *journal, const char *vm,
                                   struct agent_error *error);

/** struct agent_journal_move - a row; texts are borrowed on put, owned by the row on read */
struct agent_journal_move {
    int64_t id; /* 0 = new */
    char vm[AGENT_INVENTORY_NAME_MAX], from_host[AGENT_INVENTORY_NAME_MAX],
        to_host[AGENT_INVENTORY_NAME_MAX];
    char origin[16], state[16], stage[16];
    char reason[200];
    long long source_epoch, dest_epoch;
    int attempt;
    double benefit_yen;
    bool urgent;
    int64_t queued_s, ended_s; /* ended_s 0 = open */
};

/** struct agent_journal_entry - one line about a move or (@move 0) a machine */
struct agent_journal_entry {
    int64_t move;
    const char *vm;
    int64_t at_s;
    const char *stage;
    const char *phase;
    const char *text;
};

/** agent_journal_step() - note a move as it is now and a line about it, in one transaction
 * @figures: JSON object or NULL. @entry: may be NULL; its @move is filled in.
 * Return: the move's id (1..) or -errno. */
int64_t agent_journal_step(struct agent_journal *journal, const struct agent_journal_move *move,
                           const json_t *figures, const struct agent_journal_entry *entry,
                           struct agent_error *error);

/** agent_journal_note() - a line that belongs to no move. Return: 0 or -errno. */
int agent_journal_note(struct agent_journal *journal, const struct agent_journal_entry *entry,
                       struct agent_error *error);

/** agent_journal_open_moves() - every row that has not ended, oldest first
 * @fn: may call the journal. Return: their number or -errno. */
int agent_journal_open_moves(struct agent_journal *journal,
                             void (*fn)(void *opaque, const struct agent_journal_move *move),
                             void *opaque, struct agent_error *error);

/** agent_journal_ended() - what was last known of the @count moves that ended last, newest first
 * Return: new reference to an array of their figures; empty when it cannot be read. */
json_t *agent_journal_ended(struct agent_journal *journal, int count);

/** agent_journal_story() - the last @count lines about a machine, oldest first, as JSON array */
json_t *agent_journal_story(struct agent_journal *journal, const char *vm, int count);

#endif
