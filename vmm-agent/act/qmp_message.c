/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "act/qmp_message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 4096u

void agent_qmp_reader_init(struct agent_qmp_reader *reader)
{
    memset(reader, 0, sizeof(*reader));
}

void agent_qmp_reader_done(struct agent_qmp_reader *reader)
{
    free(reader->bytes);
    agent_qmp_reader_init(reader);
}

int agent_qmp_reader_room(struct agent_qmp_reader *reader, size_t wanted, char **at)
{
    if (reader->used >= AGENT_QMP_LINE_MAX) {
        return -EMSGSIZE;
    }
    size_t most = AGENT_QMP_LINE_MAX - reader->used;
    wanted = wanted < most ? wanted : most;
    if (reader->room - reader->used < wanted) {
        size_t room = reader->room == 0 ? ROOM_FIRST : reader->room;
        while (room - reader->used < wanted) {
            room *= 2;
        }
        char *bytes = realloc(reader->bytes, room);
        if (bytes == NULL) {
            return -ENOMEM;
        }
        reader->bytes = bytes;
        reader->room = room;
    }
    *at = reader->bytes + reader->used;
    return (int)wanted;
}

void agent_qmp_reader_put(struct agent_qmp_reader *reader, size_t count)
{
    reader->used += count;
}

static int bad(struct agent_error *error, const char *line, size_t size, const char *why)
{
    char shown[81];
    size_t count = size < sizeof(shown) - 1 ? size : sizeof(shown) - 1;

    for (size_t at = 0; at < count; at++) { /* it may be anything: keep messages printable */
        shown[at] = line[at] >= ' ' && line[at] <= '~' ? line[at] : '?';
    }
    shown[count] = '\0';
    return agent_error_set(error, EBADMSG, "qmp: %s: %s%s", why, shown, size > count ? "..." : "");
}

static double stamp_of(const json_t *root)
{
    const json_t *stamp = json_object_get(root, "timestamp");
    json_int_t seconds = json_integer_value(json_object_get(stamp, "seconds"));
    json_int_t micros = json_integer_value(json_object_get(stamp, "microseconds"));

    return seconds < 0 || micros < 0 || micros > 999999 ? 0.0
                                                        : (double)seconds + (double)micros * 1e-6;
}

static const char *fill_error(const json_t *value, struct agent_qmp_message *message)
{
    message->name = json_string_value(json_object_get(value, "class"));
    message->text = json_string_value(json_object_get(value, "desc"));
    return message->name == NULL || message->text == NULL ? "an error without class and desc"
                                                          : NULL;
}

static const char *fill_event(const json_t *root, const json_t *value,
                              struct agent_qmp_message *message)
{
    message->name = json_string_value(value);
    message->value = json_object_get(root, "data");
    message->at_s = stamp_of(root);
    if (message->name == NULL || message->name[0] == '\0' ||
        strlen(message->name) > AGENT_QMP_NAME_MAX) {
        return "an event whose name is no word of at most 64 bytes";
    }
    return message->value != NULL && !json_is_object(message->value) ? "event data is no object"
                                                                     : NULL;
}

/* What kind of message it is; exactly one of the four keys decides. Return: NULL, or what is wrong.
 */
static const char *fill(const json_t *root, struct agent_qmp_message *message)
{
    static const char *const keys[] = {"QMP", "return", "error", "event"};
    const json_t *id = json_object_get(root, "id");
    const json_t *value = NULL;
    int found = -1;

    for (int at = 0; at < 4; at++) {
        const json_t *member = json_object_get(root, keys[at]);
        if (member != NULL && found >= 0) {
            return "more than one of QMP, return, error, event";
        }
        if (member != NULL) {
            found = at;
            value = member;
        }
    }
    if (found < 0) {
        return "none of QMP, return, error, event";
    }
    if (id != NULL && (!json_is_integer(id) || json_integer_value(id) < 0)) {
        return "an id that is none of ours";
    }
    message->kind = (enum agent_qmp_kind)found;
    message->id = id != NULL ? (int64_t)json_integer_value(id) : -1;
    message->value = value;
    if (message->kind == AGENT_QMP_GREETING) {
        return json_is_object(json_object_get(value, "version")) ? NULL
                                                                 : "a greeting without version";
    }
    if (message->kind == AGENT_QMP_RETURN) {
        return id != NULL ? NULL : "a return without id";
    }
    return message->kind == AGENT_QMP_ERROR ? fill_error(value, message)
                                            : fill_event(root, value, message);
}

int agent_qmp_message_read(const char *line, size_t size, struct agent_qmp_message *message,
                           struct agent_error *error)
{
    json_error_t problem;

    memset(message, 0, sizeof(*message));
    json_t *root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL) {
        return bad(error, line, size, problem.text);
    }
    const char *why = json_is_object(root) ? fill(root, message) : "no object";
    if (why != NULL) {
        json_decref(root);
        memset(message, 0, sizeof(*message));
        return bad(error, line, size, why);
    }
    message->root = root;
    return 0;
}

static void take(struct agent_qmp_reader *reader, size_t count)
{
    reader->used -= count;
    memmove(reader->bytes, reader->bytes + count, reader->used);
    reader->looked = 0;
    if (reader->used == 0 && reader->room > 16 * ROOM_FIRST) { /* one long answer must not stay */
        agent_qmp_reader_done(reader);
    }
}

int agent_qmp_reader_next(struct agent_qmp_reader *reader, struct agent_qmp_message *message,
                          struct agent_error *error)
{
    for (;;) {
        char *end = reader->used > reader->looked ? memchr(reader->bytes + reader->looked, '\n',
                                                           reader->used - reader->looked)
                                                  : NULL;
        if (end == NULL) {
            reader->looked = reader->used;
            return 0;
        }
        size_t size = (size_t)(end - reader->bytes);
        size_t text = size > 0 && reader->bytes[size - 1] == '\r' ? size - 1 : size;
        if (text == 0) { /* an empty line says nothing */
            take(reader, size + 1);
            continue;
        }
        int status = agent_qmp_message_read(reader->bytes, text, message, error);
        take(reader, size + 1);
        return status < 0 ? status : 1;
    }
}
