/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config.c - sections `store` and `sources` of the configuration, see vmm-agent.yaml(5)
 * Owner: config.h.   Thread: main.
 * Time:  none.       Units: in each key's name. */
#include "cli/config.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "grid/adapter.h"

#define DEFAULT_STORE  "vmm-agent.db"
#define DEFAULT_POLL_S 300.0
#define RETENTION_DAYS 36500.0

static const char *const top_keys[] = {"store", "sources",  "sites", "hosts",    "links",
                                       "groups", "vms",     "act",   "dr",       "api",
                                       "plan",  "forecast", "simulate", NULL};

static int read_days(const struct agent_yaml *map, const char *key, int *days,
                     struct agent_error *error)
{
    double value = 0;
    int status =
        agent_yaml_number(map, key, (struct agent_range){0, RETENTION_DAYS}, 0, &value, error);

    if (status == 0 && value > floor(value)) {
        return agent_yaml_fail(agent_yaml_child(map, key), error,
                               "%s: expected whole days, found "
                               "%g",
                               key, value);
    }
    *days = (int)value;
    return status;
}

static int read_store(const struct agent_yaml *store, struct agent_config *config,
                      struct agent_error *error)
{
    static const char *const keys[] = {"path", "retention", NULL};
    static const char *const rules[] = {"signals_days", "revisions_days", "forecasts_days",
                                        "plans_days", NULL};

    if (store == NULL) {
        return 0;
    }
    int status = agent_yaml_only(store, keys, error);
    status = status < 0 ? status
                        : agent_yaml_text(store, "path", DEFAULT_STORE, &config->store_path, error);
    const struct agent_yaml *retention = agent_yaml_child(store, "retention");
    if (status < 0 || retention == NULL) {
        return status;
    }
    int *const days[] = {&config->retention.signals_days, &config->retention.revisions_days,
                         &config->retention.forecasts_days, &config->retention.plans_days};
    status = agent_yaml_only(retention, rules, error);
    for (size_t rule = 0; rule < 4 && status == 0; rule++) {
        status = read_days(retention, rules[rule], days[rule], error);
    }
    return status;
}

/* Each kind has a key of its own that names where it is. */
static const struct {
    const char *key;
    enum agent_source_kind kind;
    const char *other_keys; /* between spaces */
} kinds[] = {
    {"file", AGENT_SOURCE_FILE, " format area "},
    {"directory", AGENT_SOURCE_DIRECTORY, " format area "},
    {"url", AGENT_SOURCE_URL, " format area cache "},
    {"host_power", AGENT_SOURCE_HOST_POWER, " idle_w busy_w overhead "},
    {"battery", AGENT_SOURCE_BATTERY, " "},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static int read_kind(const struct agent_yaml *node, struct agent_source_config *source,
                     size_t *kind, struct agent_error *error)
{
    size_t found = KIND_COUNT;

    for (size_t index = 0; index < KIND_COUNT; index++) {
        if (agent_yaml_child(node, kinds[index].key) == NULL) {
            continue;
        }
        if (found < KIND_COUNT) {
            return agent_yaml_fail(node, error, "a source is one of %s and %s, not both",
                                   kinds[found].key, kinds[index].key);
        }
        found = index;
    }
    if (found == KIND_COUNT) {
        return agent_yaml_fail(node, error,
                               "a source needs one of: file, directory, url, "
                               "host_power, battery");
    }
    *kind = found;
    source->kind = kinds[found].kind;
    return agent_yaml_text(node, kinds[found].key, NULL, &source->location, error);
}

/* A key that belongs to another kind is as wrong as an unknown one. */
static int check_keys(const struct agent_yaml *node, size_t kind, struct agent_error *error)
{
    static const char *const all[] = {"name",    "file",   "directory", "url",      "host_power",
                                      "battery", "format", "area",      "cache",    "poll_s",
                                      "stale_s", "idle_w", "busy_w",    "overhead", NULL};
    int status = agent_yaml_only(node, all, error);

    for (const struct agent_yaml *child = node->first; child != NULL && status == 0;
         child = child->next) {
        char word[64];
        snprintf(word, sizeof(word), " %.60s ", child->key);
        bool common = strstr(" name poll_s stale_s ", word) != NULL;
        if (!common && strcmp(child->key, kinds[kind].key) != 0 &&
            strstr(kinds[kind].other_keys, word) == NULL) {
            status = agent_yaml_fail(child, error, "'%s' has no meaning for a source of kind %s",
                                     child->key, kinds[kind].key);
        }
    }
    return status;
}

static int read_format(const struct agent_yaml *node, struct agent_source_config *source,
                       struct agent_error *error)
{
    const char *format = "";
    const char *area = "";
    int status = agent_yaml_text(node, "format", "", &format, error);

    status = status < 0 ? status : agent_yaml_text(node, "area", "", &area, error);
    if (status < 0) {
        return status;
    }
    const char *const *names = agent_grid_formats();
    size_t index = 0;
    while (names[index] != NULL && strcmp(names[index], format) != 0) {
        index++;
    }
    if (format[0] != '\0' && names[index] == NULL) {
        return agent_yaml_fail(agent_yaml_child(node, "format"), error,
                               "unknown format '%.40s' (vmm-agent signals formats lists them)",
                               format);
    }
    source->format = format[0] != '\0' ? names[index] : NULL;
    source->area = area[0] != '\0' ? agent_area_of(area) : AGENT_AREA_NONE;
    if (area[0] != '\0' && source->area == AGENT_AREA_NONE) {
        return agent_yaml_fail(agent_yaml_child(node, "area"), error, "unknown area '%.40s'", area);
    }
    return 0;
}

static int read_numbers(const struct agent_yaml *node, struct agent_source_config *source,
                        struct agent_error *error)
{
    const struct {
        const char *key;
        struct agent_range range;
        double fallback;
        double *out;
    } numbers[] = {
        {"poll_s", {1, 86400}, DEFAULT_POLL_S, &source->poll_s},
        {"stale_s", {0, 31536000}, 0, &source->stale_s},
        {"idle_w", {0, 100000}, 0, &source->idle_w},
        {"busy_w", {0, 100000}, 0, &source->busy_w},
        {"overhead", {1, 5}, 1, &source->overhead},
    };
    int status = 0;

    for (size_t index = 0; index < sizeof(numbers) / sizeof(numbers[0]) && status == 0; index++) {
        status = agent_yaml_number(node, numbers[index].key, numbers[index].range,
                                   numbers[index].fallback, numbers[index].out, error);
    }
    if (status == 0 && source->busy_w > 0 && source->busy_w < source->idle_w) {
        status = agent_yaml_fail(agent_yaml_child(node, "busy_w"), error,
                                 "busy_w: %g is below "
                                 "idle_w %g",
                                 source->busy_w, source->idle_w);
    }
    return status;
}

static int read_source(const struct agent_yaml *node, struct agent_config *config,
                       struct agent_error *error)
{
    struct agent_source_config *source = &config->sources[config->source_count];
    size_t kind = 0;

    if (node->kind != AGENT_YAML_MAP) {
        return agent_yaml_fail(node, error, "expected a source with its keys");
    }
    int status = read_kind(node, source, &kind, error);
    status = status < 0 ? status : check_keys(node, kind, error);
    status = status < 0 ? status : agent_yaml_text(node, "name", NULL, &source->name, error);
    status = status < 0 ? status : agent_yaml_text(node, "cache", "", &source->cache, error);
    status = status < 0 ? status : read_format(node, source, error);
    status = status < 0 ? status : read_numbers(node, source, error);
    if (status < 0) {
        return status;
    }
    source->cache = source->cache[0] != '\0' ? source->cache : NULL;
    source->place = "";
    if (source->kind == AGENT_SOURCE_HOST_POWER || source->kind == AGENT_SOURCE_BATTERY) {
        source->place = source->location; /* `host_power: NAME` names the host */
        source->location = "";
        if (strlen(source->place) >= AGENT_PLACE_MAX) {
            return agent_yaml_fail(agent_yaml_child(node, kinds[kind].key), error,
                                   "'%.60s' is longer than %d bytes", source->place,
                                   AGENT_PLACE_MAX - 1);
        }
    }
    for (size_t index = 0; index < config->source_count; index++) {
        if (strcmp(config->sources[index].name, source->name) == 0) {
            return agent_yaml_fail(agent_yaml_child(node, "name"), error,
                                   "the name '%.60s' is "
                                   "taken by another source",
                                   source->name);
        }
    }
    config->source_count++;
    return 0;
}

static int read_sources(const struct agent_yaml *sources, struct agent_config *config,
                        struct agent_error *error)
{
    int status = 0;

    if (sources == NULL) {
        return 0;
    }
    if (sources->kind != AGENT_YAML_LIST) {
        return agent_yaml_fail(sources, error, "sources: expected a list (- name: ...)");
    }
    if (sources->count > AGENT_CONFIG_SOURCES_MAX) {
        return agent_yaml_fail(sources, error, "sources: %zu members, the limit is %d",
                               sources->count, AGENT_CONFIG_SOURCES_MAX);
    }
    for (const struct agent_yaml *node = sources->first; node != NULL && status == 0;
         node = node->next) {
        status = read_source(node, config, error);
    }
    return status;
}

int agent_config_load(const char *path, struct agent_config *config, struct agent_error *error)
{
    memset(config, 0, sizeof(*config));
    config->store_path = DEFAULT_STORE;
    if (path == NULL) {
        return 0;
    }
    int status = agent_yaml_load(path, &config->root, error);
    status = status < 0 ? status : agent_yaml_only(config->root, top_keys, error);
    status =
        status < 0 ? status : read_store(agent_yaml_child(config->root, "store"), config, error);
    status = status < 0 ? status
                        : read_sources(agent_yaml_child(config->root, "sources"), config, error);
    if (status < 0) {
        agent_config_done(config);
    }
    return status;
}

void agent_config_done(struct agent_config *config)
{
    agent_yaml_free(config->root);
    memset(config, 0, sizeof(*config));
}
