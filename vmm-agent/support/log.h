/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.h - one line per thing that happened: words for people, fields for machines
 * Owner: the process (one log, as there is one standard error).   Thread: main; a line is one
 * write. Time:  CLOCK_REALTIME read here, for the line only.             Units:  as named by each
 * field.
 *
 * Three forms: text ("warning: words"), JSON (one object a line), journal (the native protocol of
 * systemd-journald: one datagram of FIELD=value per line, so fields can be searched for:
 * journalctl VMM_EVENT=migration.stage VMM_VM=web-1). Nothing is ever waited for: a journal that
 * does not read loses lines, not the agent's time; the next line says how many. */
#ifndef AGENT_SUPPORT_LOG_H
#define AGENT_SUPPORT_LOG_H

#include <jansson.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"
#define AGENT_LOG_LINE_MAX       16384 /* bytes of one line; longer fields are cut and say so */

/* Numbers of syslog(3) and of journald's PRIORITY. */
enum agent_log_level {
    AGENT_LOG_ERROR = 3,
    AGENT_LOG_WARNING = 4,
    AGENT_LOG_NOTICE = 5,
    AGENT_LOG_INFO = 6,
    AGENT_LOG_DEBUG = 7
};

enum agent_log_form {
    AGENT_LOG_AUTO, /* journal if standard error is the journal's stream, else text */
    AGENT_LOG_TEXT,
    AGENT_LOG_JSON,
    AGENT_LOG_JOURNAL
};

/** agent_log_open() - choose form and level; before it, text at level notice to standard error
 * @fd:      where text and JSON go, borrowed; usually 2
 * @journal: path of journald's socket, usually AGENT_LOG_JOURNAL_SOCKET
 * Return: 0, or -errno of connecting to @journal (the log then stays as it was). */
int agent_log_open(enum agent_log_form form, enum agent_log_level level, int fd,
                   const char *journal, struct agent_error *error);

/** agent_log_close() - close the journal's socket; the log is as before agent_log_open() */
void agent_log_close(void);

/** agent_log_form_of() and agent_log_level_of() - "auto", "text", "json", "journal" and "error",
 * "warning", "notice", "info", "debug". Return: 0, or -EINVAL listing what there is. */
int agent_log_form_of(const char *name, enum agent_log_form *form, struct agent_error *error);
int agent_log_level_of(const char *name, enum agent_log_level *level, struct agent_error *error);

/** agent_log_wants() - would a line of @level be written? (before making costly fields) */
int agent_log_wants(enum agent_log_level level);

/** agent_log() - write one line
 * @event:  what happened, in dotted words, such as "migration.stage"
 * @fields: object of text, numbers, booleans (anything deeper is written as JSON), or NULL;
 *          the reference is taken over */
void agent_log(enum agent_log_level level, const char *event, json_t *fields, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

#endif
