/* SPDX-License-Identifier: GPL-2.0-or-later */
/* instance_sites.c - areas, sites with their batteries and reserves, and links from JSON
 * Owner: reader.   Thread: any.   Time: slots.   Units: as in instance.h. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan/instance_read.h"

#define KW_MAX    1e7
#define YEN_MAX   1e5
#define RATE_MAX  1e5

static int list_of(struct plan_reader *reader, const json_t *root, const char *key, size_t min,
                   size_t max, json_t **out)
{
    *out = NULL;
    if (min == 0 && json_object_get(root, key) == NULL) {
        return 0;
    }
    return agent_json_array(root, "instance", key, min, max, out, reader->error);
}

static int read_area(struct plan_reader *reader, const json_t *object, struct plan_area *area)
{
    static const char *const known[] = {"id", "gate_slots", "committed_kw",
                                        "imbalance_up_yen_per_kwh",
                                        "imbalance_down_yen_per_kwh", "comment", NULL};
    const struct plan_series_rule rules[] = {
        {"committed_kw", {0, KW_MAX}, false, 0, NULL},
        {"imbalance_up_yen_per_kwh", {0, YEN_MAX}, false, 0, NULL},
        {"imbalance_down_yen_per_kwh", {0, YEN_MAX}, false, 0, NULL},
    };
    double **const series[] = {&area->committed_kw, &area->imbalance_up, &area->imbalance_down};
    const struct agent_plan_instance *instance = reader->instance;
    int64_t gate = 0;

    if (agent_json_only(object, reader->where, known, reader->error) < 0 ||
        (json_object_get(object, "gate_slots") != NULL &&
         agent_json_integer(object, reader->where, "gate_slots", 0, instance->slots, &gate,
                            reader->error) < 0)) {
        return -EINVAL;
    }
    area->gate_slots = (int)gate;
    for (size_t index = 0; index < 3; index++) {
        struct plan_series_rule rule = rules[index];
        rule.required = gate > 0;
        int ret = plan_read_series(reader, object, &rule, series[index], NULL);
        if (ret < 0) {
            return ret;
        }
    }
    for (int slot = instance->first; slot < instance->end; slot++) {
        if (area->imbalance_down[slot] > area->imbalance_up[slot]) {
            return agent_error_set(reader->error, EINVAL,
                                   "%s: slot %d: imbalance down %g is above imbalance up %g yen/kWh",
                                   reader->where, slot, area->imbalance_down[slot],
                                   area->imbalance_up[slot]);
        }
    }
    return 0;
}

int plan_read_areas(struct plan_reader *reader, const json_t *root)
{
    struct agent_plan_instance *instance = reader->instance;
    json_t *list;
    int ret = list_of(reader, root, "areas", 0, AGENT_PLAN_SITES_MAX, &list);

    if (ret < 0 || list == NULL) {
        return ret;
    }
    instance->areas =
        plan_arena_get(&instance->arena, json_array_size(list), sizeof(*instance->areas));
    if (instance->areas == NULL) {
        return agent_error_set(reader->error, ENOMEM, "areas: out of memory");
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *object = json_array_get(list, index);
        struct plan_area *area = &instance->areas[index];
        ret = plan_read_id(reader, object, "areas", index, &area->id);
        if (ret < 0) {
            return ret;
        }
        for (size_t other = 0; other < index; other++) {
            if (strcmp(instance->areas[other].id, area->id) == 0) {
                return agent_error_set(reader->error, EINVAL, "%s: the same id as areas[%zu]",
                                       reader->where, other);
            }
        }
        ret = read_area(reader, object, area);
        if (ret < 0) {
            return ret;
        }
        instance->area_count = (int)index + 1;
    }
    return 0;
}

static int read_battery(struct plan_reader *reader, const json_t *site, struct plan_battery *out)
{
    static const char *const known[] = {"charge_kw", "discharge_kw", "charge_efficiency",
                                        "discharge_efficiency", "soc_kwh", "soc_min_kwh",
                                        "soc_max_kwh", "soc_final_kwh", "comment", NULL};
    const json_t *object = json_object_get(site, "battery");
    const struct agent_range kw = {0, KW_MAX};
    const struct agent_range efficiency = {0.1, 1};
    struct agent_error *error = reader->error;
    char where[PLAN_WHERE_MAX + 16];

    if (object == NULL) {
        return 0;
    }
    snprintf(where, sizeof(where), "%s: battery", reader->where);
    if (agent_json_only(object, where, known, error) < 0 ||
        agent_json_number(object, where, "charge_kw", kw, &out->charge_kw, error) < 0 ||
        agent_json_number(object, where, "discharge_kw", kw, &out->discharge_kw, error) < 0 ||
        agent_json_number_or(object, where, "charge_efficiency", efficiency, 0.95,
                             &out->charge_efficiency, error) < 0 ||
        agent_json_number_or(object, where, "discharge_efficiency", efficiency, 0.95,
                             &out->discharge_efficiency, error) < 0 ||
        agent_json_number(object, where, "soc_max_kwh", kw, &out->soc_max_kwh, error) < 0 ||
        agent_json_number_or(object, where, "soc_min_kwh", kw, 0, &out->soc_min_kwh, error) < 0) {
        return -EINVAL;
    }
    out->present = true;
    const json_t *soc = json_object_get(object, "soc_kwh");
    if (soc == NULL || json_is_null(soc)) {
        struct plan_unknown unknown = {"battery", NULL, "state of charge is not given",
                                       "the battery is left alone"};
        unknown.where = json_string_value(json_object_get(site, "id"));
        out->idle = true;
        out->soc_kwh = out->soc_min_kwh;
        return plan_note_unknown(reader, &unknown);
    }
    if (agent_json_number(object, where, "soc_kwh", kw, &out->soc_kwh, error) < 0 ||
        agent_json_number_or(object, where, "soc_final_kwh", kw, out->soc_min_kwh,
                             &out->soc_final_kwh, error) < 0) {
        return -EINVAL;
    }
    return 0;
}

static int read_reserve(struct plan_reader *reader, const json_t *object, struct plan_site *site)
{
    static const char *const known[] = {"primary_up_kw", "secondary_up_kw", "primary_down_kw",
                                        "secondary_down_kw", NULL};
    const json_t *reserve = json_object_get(object, "reserve");
    char saved[PLAN_WHERE_MAX];

    if (reserve == NULL) {
        return 0;
    }
    memcpy(saved, reader->where, sizeof(saved));
    if (strlen(reader->where) + 10 < sizeof(reader->where)) {
        strcat(reader->where, ": reserve");
    }
    if (agent_json_only(reserve, reader->where, known, reader->error) < 0) {
        return -EINVAL;
    }
    for (int product = 0; product < PLAN_RESERVES; product++) {
        struct plan_series_rule rule = {known[product], {0, KW_MAX}, false, 0, NULL};
        int ret = plan_read_series(reader, reserve, &rule, &site->reserve_kw[product], NULL);
        if (ret < 0) {
            return ret;
        }
    }
    memcpy(reader->where, saved, sizeof(saved));
    return 0;
}

static int site_null(struct plan_reader *reader, struct plan_site *site,
                     const struct plan_series_rule *rule, int slot)
{
    struct plan_unknown unknown = {rule->signal, site->id, NULL, "the site is left as it is"};
    char reason[PLAN_WHERE_MAX];

    if (slot < 0) {
        return 0;
    }
    snprintf(reason, sizeof(reason), "%s is null from slot %d", rule->key, slot);
    unknown.reason = reason;
    site->frozen = rule->signal;
    site->battery.idle = true;
    return plan_note_unknown(reader, &unknown);
}

static int read_surplus(struct plan_reader *reader, const json_t *object, struct plan_site *site)
{
    static const char *const names[] = {"p10", "p50", "p90", NULL};
    const json_t *surplus = json_object_get(object, "surplus_kw");
    const struct agent_plan_instance *instance = reader->instance;
    bool quantiles = json_is_object(surplus);

    if (quantiles && agent_json_only(surplus, "surplus_kw", names, reader->error) < 0) {
        return -EINVAL;
    }
    for (int quantile = 0; quantile < PLAN_QUANTILES; quantile++) {
        struct plan_series_rule rule = {quantiles ? names[quantile] : "surplus_kw", {0, KW_MAX},
                                        quantiles, 0, "surplus"};
        int null_slot;
        int ret = plan_read_series(reader, quantiles ? surplus : object, &rule,
                                   &site->surplus[quantile], &null_slot);
        if (ret == 0 && (quantile == 0 || quantiles)) {
            ret = site_null(reader, site, &rule, null_slot);
        }
        if (ret < 0) {
            return ret;
        }
    }
    for (int slot = instance->first; site->frozen == NULL && slot < instance->end; slot++) {
        if (site->surplus[PLAN_P10][slot] > site->surplus[PLAN_P50][slot] ||
            site->surplus[PLAN_P50][slot] > site->surplus[PLAN_P90][slot]) {
            return agent_error_set(reader->error, EINVAL,
                                   "%s: surplus_kw: slot %d: p10 %g, p50 %g, p90 %g do not ascend",
                                   reader->where, slot, site->surplus[PLAN_P10][slot],
                                   site->surplus[PLAN_P50][slot], site->surplus[PLAN_P90][slot]);
        }
    }
    return 0;
}

static int read_site_series(struct plan_reader *reader, const json_t *object,
                            struct plan_site *site)
{
    const struct plan_series_rule rules[] = {
        {"cpu", {0, 1e9}, true, 0, NULL},
        {"ram_gb", {0, 1e9}, true, 0, NULL},
        {"power_kw", {0, KW_MAX}, false, INFINITY, NULL},
        {"pue", {1, 5}, false, 1, NULL},
        {"price_yen_per_kwh", {0, 1000}, true, 0, "price"},
        {"carbon_g_per_kwh", {0, 5000}, false, 0, "carbon"},
    };
    double **const series[] = {&site->cpu, &site->ram_gb, &site->power_kw,
                               &site->pue, &site->price,  &site->carbon};

    for (size_t index = 0; index < sizeof(rules) / sizeof(rules[0]); index++) {
        int null_slot;
        int ret = plan_read_series(reader, object, &rules[index], series[index], &null_slot);
        if (ret == 0) {
            ret = site_null(reader, site, &rules[index], null_slot);
        }
        if (ret < 0) {
            return ret;
        }
    }
    return read_surplus(reader, object, site);
}

static int read_site_area(struct plan_reader *reader, const json_t *object, struct plan_site *site)
{
    const struct agent_plan_instance *instance = reader->instance;
    const char *area;

    site->area = -1;
    if (json_object_get(object, "area") == NULL) {
        return 0;
    }
    if (agent_json_text(object, reader->where, "area", &area, reader->error) < 0) {
        return -EINVAL;
    }
    for (int index = 0; index < instance->area_count; index++) {
        if (strcmp(instance->areas[index].id, area) == 0) {
            site->area = index;
            return 0;
        }
    }
    return agent_error_set(reader->error, EINVAL, "%s: unknown area '%.64s'", reader->where, area);
}

static int read_site(struct plan_reader *reader, const json_t *object, struct plan_site *site)
{
    static const char *const known[] = {
        "id",          "area",    "cpu",        "ram_gb",           "power_kw",
        "idle_kw",     "pue",     "power_scale", "price_yen_per_kwh", "carbon_g_per_kwh",
        "surplus_kw",  "contract_kw", "demand_yen_per_kw", "peak_so_far_kw", "battery",
        "reserve",     "comment", NULL};
    const struct agent_range kw = {0, KW_MAX};
    struct agent_error *error = reader->error;
    int ret;

    if (agent_json_only(object, reader->where, known, error) < 0) {
        return -EINVAL;
    }
    site->contract_kw = INFINITY;
    if (agent_json_number_or(object, reader->where, "idle_kw", kw, 0, &site->idle_kw, error) < 0 ||
        agent_json_number_or(object, reader->where, "power_scale", (struct agent_range){0.01, 100},
                             1, &site->power_scale, error) < 0 ||
        (json_object_get(object, "contract_kw") != NULL &&
         agent_json_number(object, reader->where, "contract_kw", kw, &site->contract_kw, error) <
             0) ||
        agent_json_number_or(object, reader->where, "demand_yen_per_kw",
                             (struct agent_range){0, YEN_MAX}, 0, &site->demand_yen_per_kw,
                             error) < 0 ||
        agent_json_number_or(object, reader->where, "peak_so_far_kw", kw, 0,
                             &site->peak_so_far_kw, error) < 0) {
        return -EINVAL;
    }
    ret = read_site_area(reader, object, site);
    ret = ret < 0 ? ret : read_site_series(reader, object, site);
    ret = ret < 0 ? ret : read_battery(reader, object, &site->battery);
    ret = ret < 0 ? ret : read_reserve(reader, object, site);
    site->battery.idle = site->battery.idle || site->frozen != NULL;
    return ret;
}

int plan_read_sites(struct plan_reader *reader, const json_t *root)
{
    struct agent_plan_instance *instance = reader->instance;
    json_t *list;
    int ret = list_of(reader, root, "sites", 1, AGENT_PLAN_SITES_MAX, &list);

    if (ret < 0) {
        return ret;
    }
    instance->sites =
        plan_arena_get(&instance->arena, json_array_size(list), sizeof(*instance->sites));
    if (instance->sites == NULL) {
        return agent_error_set(reader->error, ENOMEM, "sites: out of memory");
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *object = json_array_get(list, index);
        struct plan_site *site = &instance->sites[index];
        ret = plan_read_id(reader, object, "sites", index, &site->id);
        if (ret == 0 && plan_find_site(instance, site->id) >= 0) {
            ret = agent_error_set(reader->error, EINVAL, "%s: the id is used twice",
                                  reader->where);
        }
        ret = ret < 0 ? ret : read_site(reader, object, site);
        if (ret < 0) {
            return ret;
        }
        instance->site_count = (int)index + 1;
    }
    return 0;
}

static int read_link(struct plan_reader *reader, const json_t *object, struct plan_link *link)
{
    static const char *const known[] = {"from", "to", "rate_gbit_s", "share", "yen_per_gb",
                                        "blackout_ms", "comment", NULL};
    const struct plan_series_rule rate = {"rate_gbit_s", {0, RATE_MAX}, true, 0, "link"};
    struct agent_plan_instance *instance = reader->instance;
    struct agent_error *error = reader->error;
    double share;
    int null_slot;
    int ret;

    if (agent_json_only(object, reader->where, known, error) < 0 ||
        plan_need_site(reader, object, "from", &link->from) < 0 ||
        plan_need_site(reader, object, "to", &link->to) < 0 ||
        agent_json_number_or(object, reader->where, "share", (struct agent_range){0, 1}, 1, &share,
                             error) < 0 ||
        agent_json_number_or(object, reader->where, "yen_per_gb", (struct agent_range){0, YEN_MAX},
                             0, &link->yen_per_gb, error) < 0 ||
        agent_json_number_or(object, reader->where, "blackout_ms", (struct agent_range){0, 1e6}, 0,
                             &link->blackout_s, error) < 0) {
        return -EINVAL;
    }
    link->blackout_s /= 1000;
    if (link->from == link->to) {
        return agent_error_set(error, EINVAL, "%s: from and to are both '%s'", reader->where,
                               instance->sites[link->from].id);
    }
    for (struct plan_link *other = instance->links; other < link; other++) {
        if (other->from == link->from && other->to == link->to) {
            return agent_error_set(error, EINVAL, "%s: the link %s to %s is given twice",
                                   reader->where, instance->sites[link->from].id,
                                   instance->sites[link->to].id);
        }
    }
    ret = plan_read_series(reader, object, &rate, &link->gb, &null_slot);
    for (int slot = 0; ret == 0 && slot < instance->slots; slot++) {
        link->gb[slot] *= share * AGENT_PLAN_SLOT_SECONDS / 8;
    }
    if (ret == 0 && null_slot >= 0) {
        struct plan_unknown unknown = {"link", NULL, "rate_gbit_s is null", NULL};
        char where[PLAN_WHERE_MAX];
        snprintf(where, sizeof(where), "%s to %s", instance->sites[link->from].id,
                 instance->sites[link->to].id);
        unknown.where = where;
        unknown.effect = "nothing moves over the link in the slots without a rate";
        ret = plan_note_unknown(reader, &unknown);
    }
    return ret;
}

int plan_read_links(struct plan_reader *reader, const json_t *root)
{
    struct agent_plan_instance *instance = reader->instance;
    size_t most = (size_t)(instance->site_count * (instance->site_count - 1));
    json_t *list;
    int ret = list_of(reader, root, "links", 0, most, &list);

    if (ret < 0 || list == NULL) {
        return ret;
    }
    instance->links =
        plan_arena_get(&instance->arena, json_array_size(list), sizeof(*instance->links));
    if (instance->links == NULL) {
        return agent_error_set(reader->error, ENOMEM, "links: out of memory");
    }
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *object = json_array_get(list, index);
        snprintf(reader->where, sizeof(reader->where), "links[%zu]", index);
        if (!json_is_object(object)) {
            return agent_error_set(reader->error, EINVAL, "%s is not an object", reader->where);
        }
        ret = read_link(reader, object, &instance->links[index]);
        if (ret < 0) {
            return ret;
        }
        instance->link_count = (int)index + 1;
    }
    return 0;
}
