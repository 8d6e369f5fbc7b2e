/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory_reader.h - private to the files that read an inventory
 * Owner: inventory_read.c makes the reader; what is read belongs to its inventory.   Errors:
 * negative errno, words in reader->error. */
#ifndef VMM_AGENT_ACT_INVENTORY_READER_H
#define VMM_AGENT_ACT_INVENTORY_READER_H

#include "act/inventory.h"

struct inventory_reader {
    struct agent_inventory *inventory;
    struct agent_error *error;
};

struct inventory_number {
    const char *key;
    struct agent_range range;
    double fallback; /* NAN = required */
    double *out;
};

/* may it be part of a file name? */
bool inventory_name_fits(const char *name);
/* @name: the member's own, not taken yet as @find tells */
int inventory_read_name(struct inventory_reader *reader, const struct agent_yaml *node,
                        const char **name,
                        int (*find)(const struct agent_inventory *, const char *));
/* @out: place of the member that @key names */
int inventory_read_reference(struct inventory_reader *reader, const struct agent_yaml *node,
                             const char *key,
                             int (*find)(const struct agent_inventory *, const char *), int *out);
/* each within its range, or its fallback */
int inventory_read_numbers(const struct agent_yaml *node, const struct inventory_number *numbers,
                           size_t count, struct agent_error *error);
/* INFINITY where @key is absent, 0 to 1e9 else */
int inventory_read_limit(const struct agent_yaml *node, const char *key, double *out,
                         struct agent_error *error);
/* a list of words, none where @key is absent; the array is the inventory's */
int inventory_read_words(struct inventory_reader *reader, const struct agent_yaml *node,
                         const char *key, const char ***words, size_t *count);
/* a member each: appended to the inventory */
int inventory_read_site(struct inventory_reader *reader, const struct agent_yaml *node);
int inventory_read_host(struct inventory_reader *reader, const struct agent_yaml *node);
int inventory_read_link(struct inventory_reader *reader, const struct agent_yaml *node);
int inventory_read_group(struct inventory_reader *reader, const struct agent_yaml *node);
int inventory_read_vm(struct inventory_reader *reader, const struct agent_yaml *node);

#define INVENTORY_READ_NUMBERS(node, list, error)                                                  \
    inventory_read_numbers(node, list, sizeof(list) / sizeof((list)[0]), error)

#endif
