/* SPDX-License-Identifier: GPL-2.0-or-later */
/* instance_read.c - JSON to an instance: the frame, the horizon, the weights and the helpers
 * Owner: caller.   Thread: any.   Time: slots.   Units: as in instance.h. */
#include "plan/instance_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/text.h"

static int no_memory(struct plan_reader *reader)
{
    return agent_error_set(reader->error, ENOMEM, "%s: out of memory", reader->where);
}

static int series_value(struct plan_reader *reader, const struct plan_series_rule *rule,
                        const json_t *value, int slot, double *out)
{
    if (!json_is_number(value)) {
        return agent_error_set(reader->error, EINVAL, "%s: %s: slot %d is not a number",
                               reader->where, rule->key, slot);
    }
    *out = json_number_value(value);
    if (!isfinite(*out) || *out < rule->range.min || *out > rule->range.max) {
        return agent_error_set(reader->error, EINVAL, "%s: %s: slot %d is %g, allowed %g..%g",
                               reader->where, rule->key, slot, *out, rule->range.min,
                               rule->range.max);
    }
    return 0;
}

static int series_fill(struct plan_reader *reader, const struct plan_series_rule *rule,
                       const json_t *value, double *out, int *null_slot)
{
    int slots = reader->instance->slots;

    if (!json_is_array(value)) {
        int ret = series_value(reader, rule, value, 0, &out[0]);
        for (int slot = 1; slot < slots; slot++) {
            out[slot] = out[0];
        }
        return ret;
    }
    if (json_array_size(value) != (size_t)slots) {
        return agent_error_set(reader->error, EINVAL, "%s: %s has %zu values, the horizon has %d",
                               reader->where, rule->key, json_array_size(value), slots);
    }
    for (int slot = 0; slot < slots; slot++) {
        const json_t *member = json_array_get(value, (size_t)slot);
        if (json_is_null(member) && rule->signal != NULL) {
            out[slot] = 0;
            *null_slot = *null_slot < 0 ? slot : *null_slot;
            continue;
        }
        int ret = series_value(reader, rule, member, slot, &out[slot]);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

int plan_read_series(struct plan_reader *reader, const json_t *object,
                     const struct plan_series_rule *rule, double **out, int *null_slot)
{
    const json_t *value = json_object_get(object, rule->key);
    int slots = reader->instance->slots;
    double *series = plan_arena_get(&reader->instance->arena, (size_t)slots, sizeof(*series));

    if (series == NULL) {
        return no_memory(reader);
    }
    if (null_slot != NULL) {
        *null_slot = -1;
    }
    *out = series;
    if (value == NULL || (json_is_null(value) && rule->signal != NULL)) {
        if (value == NULL && rule->required) {
            return agent_error_set(reader->error, EINVAL, "%s: %s is missing", reader->where,
                                   rule->key);
        }
        for (int slot = 0; slot < slots; slot++) {
            series[slot] = rule->fallback;
        }
        if (value != NULL && null_slot != NULL) {
            *null_slot = 0;
        }
        return 0;
    }
    return series_fill(reader, rule, value, series, null_slot);
}

int plan_read_id(struct plan_reader *reader, const json_t *object, const char *list, size_t index,
                 const char **out)
{
    const char *text;
    int ret;

    snprintf(reader->where, sizeof(reader->where), "%s[%zu]", list, index);
    if (!json_is_object(object)) {
        return agent_error_set(reader->error, EINVAL, "%s is not an object", reader->where);
    }
    ret = agent_json_text(object, reader->where, "id", &text, reader->error);
    if (ret < 0) {
        return ret;
    }
    if (strlen(text) > 64) {
        return agent_error_set(reader->error, EINVAL, "%s: id of %zu bytes, at most 64",
                               reader->where, strlen(text));
    }
    *out = plan_arena_text(&reader->instance->arena, text);
    if (*out == NULL) {
        return no_memory(reader);
    }
    snprintf(reader->where, sizeof(reader->where), "%s[%zu] '%s'", list, index, text);
    return 0;
}

int plan_find_site(const struct agent_plan_instance *instance, const char *id)
{
    for (int site = 0; site < instance->site_count; site++) {
        if (strcmp(instance->sites[site].id, id) == 0) {
            return site;
        }
    }
    return -ENOENT;
}

int plan_need_site(struct plan_reader *reader, const json_t *object, const char *key, int *out)
{
    const struct agent_plan_instance *instance = reader->instance;
    const char *names[AGENT_PLAN_SITES_MAX + 1] = {NULL};
    const char *text;
    int ret = agent_json_text(object, reader->where, key, &text, reader->error);

    if (ret < 0) {
        return ret;
    }
    *out = plan_find_site(instance, text);
    if (*out >= 0) {
        return 0;
    }
    for (int site = 0; site < instance->site_count; site++) {
        names[site] = instance->sites[site].id;
    }
    const char *near = agent_text_nearest(text, names);
    return agent_error_set(reader->error, EINVAL, "%s: %s: unknown site '%.64s'%s%s%s",
                           reader->where, key, text, near != NULL ? "; did you mean '" : "",
                           near != NULL ? near : "", near != NULL ? "'?" : "");
}

static int read_horizon(struct plan_reader *reader, const json_t *root)
{
    struct agent_plan_instance *instance = reader->instance;
    struct agent_error *error = reader->error;
    int64_t slots = 48;
    int64_t first = 0;
    int64_t end;

    if (json_object_get(root, "slots") != NULL &&
        agent_json_integer(root, "instance", "slots", 12, AGENT_PLAN_SLOTS_MAX, &slots, error) < 0) {
        return -EINVAL;
    }
    if (slots % 12 != 0) {
        return agent_error_set(error, EINVAL,
                               "slots is %d; a horizon is whole quarters of a day: 12, 24, 48, ...",
                               (int)slots);
    }
    if (json_object_get(root, "start_slot") != NULL &&
        agent_json_integer(root, "instance", "start_slot", 0, slots - 1, &first, error) < 0) {
        return -EINVAL;
    }
    end = slots;
    if (json_object_get(root, "end_slot") != NULL &&
        agent_json_integer(root, "instance", "end_slot", first + 1, slots, &end, error) < 0) {
        return -EINVAL;
    }
    instance->slots = (int)slots;
    instance->first = (int)first;
    instance->end = (int)end;
    return 0;
}

static int read_weights(struct plan_reader *reader, const json_t *root)
{
    static const char *const known[] = {"price", "carbon_yen_per_kg", "grid_yen_per_kwh", NULL};
    struct agent_plan_instance *instance = reader->instance;
    const json_t *weights = json_object_get(root, "weights");
    struct agent_range any = {0, 1e6};

    instance->weight_price = 1;
    if (weights == NULL) {
        return 0;
    }
    if (agent_json_only(weights, "weights", known, reader->error) < 0 ||
        agent_json_number_or(weights, "weights", "price", any, 1, &instance->weight_price,
                             reader->error) < 0 ||
        agent_json_number_or(weights, "weights", "carbon_yen_per_kg", any, 0,
                             &instance->weight_carbon_yen_per_kg, reader->error) < 0 ||
        agent_json_number_or(weights, "weights", "grid_yen_per_kwh", any, 0,
                             &instance->weight_grid_yen_per_kwh, reader->error) < 0) {
        return -EINVAL;
    }
    return 0;
}

static int read_risk(struct plan_reader *reader, const json_t *root)
{
    static const char *const known[] = {"p10", "p50", "p90", "peak", NULL};
    static const char *const names[] = {"p10", "p50", "p90"};
    static const double usual[PLAN_QUANTILES] = AGENT_PLAN_RISK_USUAL;
    struct agent_plan_instance *instance = reader->instance;
    const json_t *risk = json_object_get(root, "risk");
    struct agent_range share = {0, 1};
    const char *peak = "p10";
    double sum = 0;

    if (risk != NULL && agent_json_only(risk, "risk", known, reader->error) < 0) {
        return -EINVAL;
    }
    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        double *weight = &instance->quantile_weight[quantile];
        *weight = usual[quantile];
        if (risk != NULL && agent_json_number_or(risk, "risk", names[quantile], share,
                                                 usual[quantile], weight, reader->error) < 0) {
            return -EINVAL;
        }
        sum += *weight;
    }
    if (fabs(sum - 1) > 1e-9) {
        return agent_error_set(reader->error, EINVAL,
                               "risk: p10 + p50 + p90 is %.10g, the weights must sum to 1", sum);
    }
    if (risk != NULL && json_object_get(risk, "peak") != NULL &&
        agent_json_text(risk, "risk", "peak", &peak, reader->error) < 0) {
        return -EINVAL;
    }
    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        if (strcmp(peak, names[quantile]) == 0) {
            instance->peak_quantile = (enum plan_quantile)quantile;
            return 0;
        }
    }
    return agent_error_set(reader->error, EINVAL, "risk: peak is '%.20s', not p10, p50 or p90",
                           peak);
}

static int read_frame(struct plan_reader *reader, const json_t *root)
{
    static const char *const known[] = {"schema", "name",   "start",    "slots",         "start_slot",
                                        "end_slot", "slot_minutes", "weights", "risk", "sites",
                                        "areas", "links", "groups", "affinity", "anti_affinity",
                                        "unknown", "comment", NULL};
    struct agent_plan_instance *instance = reader->instance;
    struct agent_error *error = reader->error;
    const char *schema;
    const char *name = "plan";
    const char *start = "";
    double minutes;

    if (!json_is_object(root)) {
        return agent_error_set(error, EINVAL, "the instance is not a JSON object");
    }
    if (agent_json_text(root, "instance", "schema", &schema, error) < 0) {
        return -EINVAL;
    }
    if (strcmp(schema, AGENT_PLAN_SCHEMA) != 0) {
        return agent_error_set(error, EINVAL, "schema is '%.60s', this planner reads '%s'", schema,
                               AGENT_PLAN_SCHEMA);
    }
    if (agent_json_only(root, "instance", known, error) < 0) {
        return -EINVAL;
    }
    if (json_object_get(root, "name") != NULL &&
        agent_json_text(root, "instance", "name", &name, error) < 0) {
        return -EINVAL;
    }
    if (json_object_get(root, "start") != NULL &&
        agent_json_text(root, "instance", "start", &start, error) < 0) {
        return -EINVAL;
    }
    if (agent_json_number_or(root, "instance", "slot_minutes", (struct agent_range){30, 30}, 30,
                             &minutes, error) < 0) {
        return -EINVAL;
    }
    instance->name = plan_arena_text(&instance->arena, name);
    instance->start = plan_arena_text(&instance->arena, start);
    if (instance->name == NULL || instance->start == NULL) {
        return no_memory(reader);
    }
    return 0;
}

int agent_plan_instance_parse(const json_t *root, struct agent_plan_instance **out,
                              struct agent_error *error)
{
    static int (*const steps[])(struct plan_reader *, const json_t *) = {
        read_frame,      read_horizon,     read_weights,    read_risk,         plan_read_areas,
        plan_read_sites, plan_read_links, plan_read_groups, plan_read_rules, plan_read_unknown};
    struct plan_reader reader = {.error = error, .where = "instance"};
    struct agent_plan_instance *instance = calloc(1, sizeof(*instance));

    if (instance == NULL) {
        return agent_error_set(error, ENOMEM, "instance: out of memory");
    }
    reader.instance = instance;
    for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++) {
        int ret = steps[step](&reader, root);
        if (ret < 0) {
            agent_plan_instance_free(instance);
            return ret;
        }
    }
    *out = instance;
    return 0;
}

int agent_plan_instance_load(const char *path, struct agent_plan_instance **out,
                             struct agent_error *error)
{
    json_t *root;
    int ret = agent_json_load(path, AGENT_PLAN_INSTANCE_BYTES, &root, error);

    if (ret < 0) {
        return ret;
    }
    ret = agent_plan_instance_parse(root, out, error);
    if (ret < 0 && error != NULL && error->file[0] == '\0') {
        snprintf(error->file, sizeof(error->file), "%s", path);
    }
    json_decref(root);
    return ret;
}

void agent_plan_instance_free(struct agent_plan_instance *instance)
{
    if (instance != NULL) {
        plan_arena_done(&instance->arena);
        free(instance);
    }
}
