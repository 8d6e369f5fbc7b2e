/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qmp_message.h - bytes from a QMP socket into messages, strictly; pure, no socket
 * Owner: struct agent_qmp_reader, _init/_done.   Thread: any, no shared state.
 * Time:  none.                                   Units:  bytes.
 *
 * QEMU sends one JSON object a line (docs/interop/qmp-spec). Everything else ends the connection:
 * what cannot be understood must not be guessed at. */
#ifndef AGENT_ACT_QMP_MESSAGE_H
#define AGENT_ACT_QMP_MESSAGE_H

#include <jansson.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_QMP_LINE_MAX (4u << 20) /* query-qmp-schema, never asked, would be 0.2 MiB */
#define AGENT_QMP_NAME_MAX 64
#define AGENT_QMP_TEXT_MAX 512

enum agent_qmp_kind { AGENT_QMP_GREETING, AGENT_QMP_RETURN, AGENT_QMP_ERROR, AGENT_QMP_EVENT };

/** struct agent_qmp_message - one message; @root is the whole of it, the rest points into it
 * @id: of the command a return or error answers; -1 = without (only QEMU's complaints about bytes
 *      it could not parse)
 * @name: event name, or error class. @text: an error's words. @value: return, event data, greeting
 */
struct agent_qmp_message {
    enum agent_qmp_kind kind;
    json_t *root;
    int64_t id;
    const char *name;
    const char *text;
    const json_t *value; /* may be NULL for events without data */
    double at_s;         /* events: QEMU's wall clock, 0 = it has none */
};

struct agent_qmp_reader {
    char *bytes;
    size_t used;
    size_t room;
    size_t looked; /* no line end in what is before it */
};

void agent_qmp_reader_init(struct agent_qmp_reader *reader);
void agent_qmp_reader_done(struct agent_qmp_reader *reader);

/** agent_qmp_reader_room() - where to put the next @wanted bytes, at most
 * Return: bytes that fit at *@at (1..), -EMSGSIZE (a line of AGENT_QMP_LINE_MAX without end),
 * -ENOMEM. */
int agent_qmp_reader_room(struct agent_qmp_reader *reader, size_t wanted, char **at);

/** agent_qmp_reader_put() - @count bytes were put there */
void agent_qmp_reader_put(struct agent_qmp_reader *reader, size_t count);

/** agent_qmp_reader_next() - take the next whole message
 * Return: 1 with @message (caller: json_decref(message->root)); 0 = needs more bytes; -EBADMSG. */
int agent_qmp_reader_next(struct agent_qmp_reader *reader, struct agent_qmp_message *message,
                          struct agent_error *error);

/** agent_qmp_message_read() - one line (without its end) as a message. Return: 0 or -EBADMSG. */
int agent_qmp_message_read(const char *line, size_t size, struct agent_qmp_message *message,
                           struct agent_error *error);

#endif
