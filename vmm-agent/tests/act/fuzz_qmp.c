/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_qmp.c - any bytes in any pieces from a monitor's socket: first byte chooses the pieces
 * What is taken for a message keeps its promises; everything else is refused with words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "act/qmp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void judge(const struct agent_qmp_message *message)
{
    if (!json_is_object(message->root)) {
        abort();
    }
    if (message->kind == AGENT_QMP_EVENT &&
        (message->name == NULL || strlen(message->name) > AGENT_QMP_NAME_MAX ||
         (message->value != NULL && !json_is_object(message->value)))) {
        abort();
    }
    if (message->kind == AGENT_QMP_RETURN && (message->id < 0 || message->value == NULL)) {
        abort();
    }
    if (message->kind == AGENT_QMP_ERROR && (message->name == NULL || message->text == NULL)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct agent_qmp_reader reader;
    struct agent_qmp_message message;
    size_t piece = size > 0 ? 1 + bytes[0] : 1;
    int status = 0;

    agent_qmp_reader_init(&reader);
    for (size_t at = 1; at < size && status >= 0;) {
        struct agent_error error = {0};
        char *room = NULL;
        size_t wanted = size - at < piece ? size - at : piece;
        int fits = agent_qmp_reader_room(&reader, wanted, &room);
        if (fits < 1) {
            break;
        }
        memcpy(room, bytes + at, (size_t)fits);
        agent_qmp_reader_put(&reader, (size_t)fits);
        at += (size_t)fits;
        while ((status = agent_qmp_reader_next(&reader, &message, &error)) > 0) {
            judge(&message);
            json_decref(message.root);
        }
        if (status < 0 && (status != -EBADMSG || error.text[0] == '\0')) {
            abort();
        }
    }
    agent_qmp_reader_done(&reader);
    return 0;
}
