/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "support/file.h"
#include "support/text.h"

struct build {
    yaml_document_t *document;
    const char *name;
    struct agent_error *error;
};

static struct agent_place mark_place(const struct build *build, yaml_mark_t mark)
{
    return (struct agent_place){build->name, (unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

void agent_yaml_free(struct agent_yaml *root)
{
    while (root != NULL) {
        struct agent_yaml *next = root->next;
        agent_yaml_free(root->first);
        free(root->key);
        free(root->text);
        free(root);
        root = next;
    }
}

const struct agent_yaml *agent_yaml_child(const struct agent_yaml *map, const char *key)
{
    if (map == NULL || map->kind != AGENT_YAML_MAP) {
        return NULL;
    }
    for (const struct agent_yaml *child = map->first; child != NULL; child = child->next) {
        if (strcmp(child->key, key) == 0) {
            return child;
        }
    }
    return NULL;
}

static void adopt(struct agent_yaml *parent, struct agent_yaml *child)
{
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
    parent->count++;
}

static struct agent_yaml *convert(struct build *build, yaml_node_t *source, int depth);

static bool convert_list(struct build *build, yaml_node_t *source, struct agent_yaml *node,
                         int depth)
{
    for (yaml_node_item_t *item = source->data.sequence.items.start;
         item < source->data.sequence.items.top; item++) {
        struct agent_yaml *child =
            convert(build, yaml_document_get_node(build->document, *item), depth + 1);
        if (child == NULL) {
            return false;
        }
        adopt(node, child);
    }
    return true;
}

static bool convert_map(struct build *build, yaml_node_t *source, struct agent_yaml *node,
                        int depth)
{
    for (yaml_node_pair_t *pair = source->data.mapping.pairs.start;
         pair < source->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(build->document, pair->key);
        if (key->type != YAML_SCALAR_NODE) {
            agent_error_at(build->error, EINVAL, mark_place(build, key->start_mark),
                           "expected a plain key");
            return false;
        }
        const char *name = (const char *)key->data.scalar.value;
        if (strlen(name) != key->data.scalar.length || agent_yaml_child(node, name) != NULL) {
            agent_error_at(build->error, EINVAL, mark_place(build, key->start_mark),
                           "key '%.60s' is given twice", name);
            return false;
        }
        struct agent_yaml *child =
            convert(build, yaml_document_get_node(build->document, pair->value), depth + 1);
        if (child == NULL) {
            return false;
        }
        child->key = strdup(name);
        adopt(node, child);
        if (child->key == NULL) {
            agent_error_set(build->error, ENOMEM, "no memory for the configuration");
            return false;
        }
    }
    return true;
}

static struct agent_yaml *convert(struct build *build, yaml_node_t *source, int depth)
{
    struct agent_yaml *node = calloc(1, sizeof(*node));
    bool good = node != NULL;

    if (node == NULL) {
        agent_error_set(build->error, ENOMEM, "no memory for the configuration");
        return NULL;
    }
    node->file = build->name;
    node->line = (unsigned)source->start_mark.line + 1;
    node->column = (unsigned)source->start_mark.column + 1;
    if (depth > AGENT_YAML_MAX_DEPTH) {
        agent_error_at(build->error, EINVAL, mark_place(build, source->start_mark),
                       "nested deeper than %d levels", AGENT_YAML_MAX_DEPTH);
        good = false;
    } else if (source->type == YAML_SCALAR_NODE) {
        node->kind = AGENT_YAML_SCALAR;
        node->text = strdup((const char *)source->data.scalar.value);
        good = node->text != NULL && strlen(node->text) == source->data.scalar.length;
        if (!good) {
            agent_error_at(build->error, EINVAL, mark_place(build, source->start_mark),
                           "text with a NUL character");
        }
    } else if (source->type == YAML_SEQUENCE_NODE) {
        node->kind = AGENT_YAML_LIST;
        good = convert_list(build, source, node, depth);
    } else {
        node->kind = AGENT_YAML_MAP;
        good = convert_map(build, source, node, depth);
    }
    if (!good) {
        agent_yaml_free(node);
        return NULL;
    }
    return node;
}

/* Walks the events once: an alias could make a small file expand without end, and a second
 * document would be ignored silently. */
static int scan(const char *bytes, size_t size, struct build *build)
{
    yaml_parser_t parser;
    yaml_event_t event;
    int documents = 0;
    int result = 0;
    bool done = false;

    if (!yaml_parser_initialize(&parser)) {
        return agent_error_set(build->error, ENOMEM, "no memory for the configuration");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, size);
    while (!done && result == 0) {
        if (!yaml_parser_parse(&parser, &event)) {
            yaml_mark_t mark = parser.problem_mark;
            result = agent_error_at(
                build->error, EINVAL, mark_place(build, mark), "not valid YAML: %s%s%s",
                parser.problem != NULL ? parser.problem : "unknown problem",
                parser.context != NULL ? " " : "", parser.context != NULL ? parser.context : "");
            break;
        }
        if (event.type == YAML_ALIAS_EVENT) {
            result = agent_error_at(build->error, EINVAL, mark_place(build, event.start_mark),
                                    "aliases (*name) are not supported");
        } else if (event.type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            result = agent_error_at(build->error, EINVAL, mark_place(build, event.start_mark),
                                    "a second document begins; one is expected");
        }
        done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return result;
}

int agent_yaml_parse(const char *bytes, size_t size, const char *name, struct agent_yaml **root,
                     struct agent_error *error)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct build build = {&document, name, error};
    int result = scan(bytes, size, &build);

    if (result < 0) {
        return result;
    }
    if (!yaml_parser_initialize(&parser)) {
        return agent_error_set(error, ENOMEM, "no memory for the configuration");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, size);
    if (!yaml_parser_load(&parser, &document)) {
        result = agent_error_at(error, EINVAL, mark_place(&build, parser.problem_mark),
                                "not valid YAML: %s",
                                parser.problem != NULL ? parser.problem : "unknown problem");
        yaml_parser_delete(&parser);
        return result;
    }
    yaml_node_t *top = yaml_document_get_root_node(&document);
    struct agent_yaml *tree = NULL;
    if (top == NULL) {
        result =
            agent_error_at(error, EINVAL, (struct agent_place){name, 1, 1}, "the file is empty");
    } else {
        tree = convert(&build, top, 1);
        result = tree != NULL ? 0 : -EINVAL;
    }
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    if (result == 0) {
        *root = tree;
    }
    return result;
}

int agent_yaml_load(const char *path, struct agent_yaml **root, struct agent_error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    int result = agent_file_read(path, AGENT_YAML_MAX_BYTES, &bytes, &size, error);

    if (result == 0) {
        result = agent_yaml_parse(bytes, size, path, root, error);
    }
    free(bytes);
    return result;
}

int agent_yaml_fail(const struct agent_yaml *node, struct agent_error *error, const char *format,
                    ...)
{
    char text[AGENT_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return agent_error_at(error, EINVAL, (struct agent_place){node->file, node->line, node->column},
                          "%s", text);
}

static int absent(const struct agent_yaml *map, const char *key, struct agent_error *error)
{
    agent_yaml_fail(map, error, "key '%s' is missing", key);
    return -ENOENT;
}

int agent_yaml_number(const struct agent_yaml *map, const char *key, struct agent_range range,
                      double fallback, double *out, struct agent_error *error)
{
    const struct agent_yaml *node = agent_yaml_child(map, key);
    double value = 0;

    if (node == NULL) {
        *out = fallback;
        return isnan(fallback) ? absent(map, key, error) : 0;
    }
    if (node->kind != AGENT_YAML_SCALAR || agent_text_number(node->text, &value) < 0) {
        return agent_yaml_fail(node, error, "%s: expected a number, found '%.40s'", key,
                               node->text != NULL ? node->text : "a list or map");
    }
    if (value < range.min || value > range.max) {
        return agent_yaml_fail(node, error, "%s: %.10g is outside %.10g..%.10g", key, value,
                               range.min, range.max);
    }
    *out = value;
    return 0;
}

int agent_yaml_text(const struct agent_yaml *map, const char *key, const char *fallback,
                    const char **out, struct agent_error *error)
{
    const struct agent_yaml *node = agent_yaml_child(map, key);

    if (node == NULL) {
        *out = fallback;
        return fallback == NULL ? absent(map, key, error) : 0;
    }
    if (node->kind != AGENT_YAML_SCALAR || node->text[0] == '\0') {
        return agent_yaml_fail(node, error, "%s: expected text, found %s", key,
                               node->kind == AGENT_YAML_SCALAR ? "nothing" : "a list or map");
    }
    *out = node->text;
    return 0;
}

int agent_yaml_bool(const struct agent_yaml *map, const char *key, bool fallback, bool *out,
                    struct agent_error *error)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    const struct agent_yaml *node = agent_yaml_child(map, key);

    if (node == NULL) {
        *out = fallback;
        return 0;
    }
    for (size_t index = 0; node->kind == AGENT_YAML_SCALAR && index < 6; index++) {
        if (strcmp(node->text, words[index]) == 0) {
            *out = index % 2 == 1;
            return 0;
        }
    }
    return agent_yaml_fail(node, error, "%s: expected true or false, found '%.40s'", key,
                           node->text != NULL ? node->text : "a list or map");
}

int agent_yaml_only(const struct agent_yaml *map, const char *const *known,
                    struct agent_error *error)
{
    if (map->kind != AGENT_YAML_MAP) {
        return agent_yaml_fail(map, error, "expected keys with values here");
    }
    for (const struct agent_yaml *child = map->first; child != NULL; child = child->next) {
        size_t index = 0;
        while (known[index] != NULL && strcmp(known[index], child->key) != 0) {
            index++;
        }
        if (known[index] == NULL) {
            const char *near = agent_text_nearest(child->key, known);
            return agent_yaml_fail(child, error, "unknown key '%.60s'%s%s%s", child->key,
                                   near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                                   near != NULL ? "'?" : "");
        }
    }
    return 0;
}
