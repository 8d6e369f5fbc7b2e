/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory_fields.c - what members of the inventory are made of: names, references, numbers, lists
 * of words Owner, thread, time, units: inventory.h. */
#include "act/inventory_reader.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Names become parts of file names: letters, digits, - _ . and not a dot first. */
bool inventory_name_fits(const char *name)
{
    size_t length = strlen(name);

    for (size_t at = 0; at < length; at++) {
        if (!isalnum((unsigned char)name[at]) && strchr("-_.", name[at]) == NULL) {
            return false;
        }
    }
    return length > 0 && length < AGENT_INVENTORY_NAME_MAX && name[0] != '.' && name[0] != '-';
}

int inventory_read_name(struct inventory_reader *reader, const struct agent_yaml *node,
                        const char **name,
                        int (*find)(const struct agent_inventory *, const char *))
{
    if (node->kind != AGENT_YAML_MAP) {
        return agent_yaml_fail(node, reader->error, "expected a member with its keys");
    }
    int status = agent_yaml_text(node, "name", NULL, name, reader->error);
    if (status < 0) {
        return status;
    }
    if (!inventory_name_fits(*name)) {
        return agent_yaml_fail(
            agent_yaml_child(node, "name"), reader->error,
            "name '%.60s': 1 to %d letters, digits, '-', '_', '.', beginning with "
            "a letter, digit or '_'",
            *name, AGENT_INVENTORY_NAME_MAX - 1);
    }
    if (find(reader->inventory, *name) >= 0) {
        return agent_yaml_fail(agent_yaml_child(node, "name"), reader->error,
                               "the name '%s' is taken", *name);
    }
    return 0;
}

int inventory_read_reference(struct inventory_reader *reader, const struct agent_yaml *node,
                             const char *key,
                             int (*find)(const struct agent_inventory *, const char *), int *out)
{
    const char *name = NULL;
    int status = agent_yaml_text(node, key, NULL, &name, reader->error);

    if (status < 0) {
        return status;
    }
    *out = find(reader->inventory, name);
    return *out >= 0 ? 0
                     : agent_yaml_fail(agent_yaml_child(node, key), reader->error,
                                       "%s: there is no '%.60s'", key, name);
}

int inventory_read_numbers(const struct agent_yaml *node, const struct inventory_number *numbers,
                           size_t count, struct agent_error *error)
{
    int status = 0;

    for (size_t at = 0; at < count && status == 0; at++) {
        status = agent_yaml_number(node, numbers[at].key, numbers[at].range, numbers[at].fallback,
                                   numbers[at].out, error);
    }
    return status;
}

/* a NAN fallback is "required" to the getter */
int inventory_read_limit(const struct agent_yaml *node, const char *key, double *out,
                         struct agent_error *error)
{
    *out = INFINITY;
    return agent_yaml_child(node, key) == NULL
               ? 0
               : agent_yaml_number(node, key, (struct agent_range){0, 1e9}, NAN, out, error);
}

int inventory_read_words(struct inventory_reader *reader, const struct agent_yaml *node,
                         const char *key, const char ***words, size_t *count)
{
    const struct agent_yaml *list = agent_yaml_child(node, key);
    struct agent_inventory *inventory = reader->inventory;

    *count = 0;
    if (list == NULL) {
        return 0;
    }
    if (list->kind != AGENT_YAML_LIST || list->count == 0 || list->count > AGENT_WORDS_MAX) {
        return agent_yaml_fail(list, reader->error,
                               "%s: expected a list of 1 to %d words (no shell is used)", key,
                               AGENT_WORDS_MAX);
    }
    const char **out = calloc(list->count, sizeof(*out));
    void **blocks =
        realloc(inventory->blocks, (inventory->block_count + 1) * sizeof(*inventory->blocks));
    if (out == NULL || blocks == NULL) {
        inventory->blocks = blocks != NULL ? blocks : inventory->blocks;
        free(out);
        return agent_error_set(reader->error, ENOMEM, "no memory for the inventory");
    }
    inventory->blocks = blocks;
    inventory->blocks[inventory->block_count++] = out;
    for (const struct agent_yaml *word = list->first; word != NULL; word = word->next) {
        if (word->kind != AGENT_YAML_SCALAR) {
            return agent_yaml_fail(word, reader->error, "%s: expected a word", key);
        }
        out[(*count)++] = word->text;
    }
    *words = out;
    return 0;
}
