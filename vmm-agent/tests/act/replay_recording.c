/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay_recording.c - see replay_instance.h */
#include "replay_instance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void replay_key_of(const json_t *message, char *out, size_t size)
{
    const char *command = json_string_value(json_object_get(message, "execute"));
    const char *property =
        json_string_value(json_object_get(json_object_get(message, "arguments"), "property"));

    snprintf(out, size, "%s%s%s", command != NULL ? command : "", property != NULL ? "/" : "",
             property != NULL ? property : "");
}

/* Gives every answer the command it belongs to, by role and id. */
static void name_answers(struct replay *replay)
{
    for (size_t at = 0; at < replay->line_count; at++) {
        struct line *answer = &replay->lines[at];
        json_t *id = json_object_get(answer->message, "id");
        for (size_t before = at; answer->in && id != NULL && before-- > 0;) {
            const struct line *asked = &replay->lines[before];
            if (!asked->in && asked->source == answer->source &&
                json_equal(json_object_get(asked->message, "id"), id)) {
                replay_key_of(asked->message, answer->command, sizeof(answer->command));
                break;
            }
        }
    }
}

int replay_load(struct replay *replay, const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;

    replay->lines = calloc(REPLAY_LINES_MAX, sizeof(*replay->lines));
    if (file == NULL || replay->lines == NULL) {
        return -errno;
    }
    while (getline(&text, &room, file) > 0 && replay->line_count < REPLAY_LINES_MAX) {
        json_t *root = json_loads(text, 0, NULL);
        if (json_object_get(root, "recorded") == NULL) {
            struct line *line = &replay->lines[replay->line_count++];
            line->ns = (int64_t)json_integer_value(json_object_get(root, "ns"));
            line->source = strcmp(json_string_value(json_object_get(root, "role")), "source") == 0;
            line->in = json_object_get(root, "in") != NULL;
            line->message = json_incref(json_object_get(root, line->in ? "in" : "out"));
            const char *status = json_string_value(
                json_object_get(json_object_get(line->message, "data"), "status"));
            if (line->source && status != NULL && strcmp(status, "completed") == 0) {
                replay->length_ns = line->ns;
            }
        }
        json_decref(root);
    }
    free(text);
    fclose(file);
    name_answers(replay);
    return replay->length_ns > 0 ? 0 : -EBADMSG;
}
