/* SPDX-License-Identifier: GPL-2.0-or-later */
/* yaml.h - a YAML file as a tree that remembers lines and columns
 * Owner: the root; nodes are borrowed from it.   Thread: any, no shared state.
 * Time:  none.                                   Units: as named by each key. */
#ifndef AGENT_SUPPORT_YAML_H
#define AGENT_SUPPORT_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"
#include "support/json.h"

#define AGENT_YAML_MAX_BYTES (1u << 20)
#define AGENT_YAML_MAX_DEPTH 16

enum agent_yaml_kind { AGENT_YAML_SCALAR, AGENT_YAML_LIST, AGENT_YAML_MAP };

/** struct agent_yaml - one node; @key is NULL in lists and at the root
 * Children of a map or list hang on @first and are chained by @next. */
struct agent_yaml {
    enum agent_yaml_kind kind;
    unsigned line;
    unsigned column;
    const char *file;
    char *key;
    char *text; /* scalars only */
    size_t count;
    struct agent_yaml *first;
    struct agent_yaml *last;
    struct agent_yaml *next;
};

/** agent_yaml_load() - read a file; aliases, duplicate keys and a second document are refused
 * Return: 0 with @root (caller: agent_yaml_free), or -errno with file, line and column. */
int agent_yaml_load(const char *path, struct agent_yaml **root, struct agent_error *error);

/** agent_yaml_parse() - the same from memory; @name is shown in errors */
int agent_yaml_parse(const char *bytes, size_t size, const char *name, struct agent_yaml **root,
                     struct agent_error *error);

/** agent_yaml_free() - the root and everything below; NULL is fine */
void agent_yaml_free(struct agent_yaml *root);

/** agent_yaml_child() - member @key of a map, or NULL (also when @map is NULL or no map) */
const struct agent_yaml *agent_yaml_child(const struct agent_yaml *map, const char *key);

/** agent_yaml_number() - member @key as a number within @range, @fallback when absent
 * A NaN fallback makes the key required. Return: 0, -ENOENT, -EINVAL, with the line. */
int agent_yaml_number(const struct agent_yaml *map, const char *key, struct agent_range range,
                      double fallback, double *out, struct agent_error *error);

/** agent_yaml_text() - member @key as text (borrowed), @fallback when absent
 * A NULL fallback makes the key required. Return: 0, -ENOENT, -EINVAL. */
int agent_yaml_text(const struct agent_yaml *map, const char *key, const char *fallback,
                    const char **out, struct agent_error *error);

/** agent_yaml_bool() - true/false/yes/no/on/off, @fallback when absent. Return: 0 or -EINVAL. */
int agent_yaml_bool(const struct agent_yaml *map, const char *key, bool fallback, bool *out,
                    struct agent_error *error);

/** agent_yaml_only() - refuse keys outside the NULL-ended list @known, with the line
 * Return: 0 or -EINVAL naming the unknown key and the nearest known one. */
int agent_yaml_only(const struct agent_yaml *map, const char *const *known,
                    struct agent_error *error);

/** agent_yaml_fail() - an error at the place of @node. Return: -EINVAL. */
int agent_yaml_fail(const struct agent_yaml *node, struct agent_error *error, const char *format,
                    ...) __attribute__((format(printf, 3, 4)));

#endif
