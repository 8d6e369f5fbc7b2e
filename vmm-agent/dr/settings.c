/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.c - section `dr` of the configuration
 * Owner, thread, time, units: settings.h. */
#include "dr/settings.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int read_targets(const struct agent_yaml *list, struct agent_dr_site *site,
                        struct agent_error *error)
{
    size_t max = sizeof(site->targets) / sizeof(site->targets[0]);

    if (list != NULL && list->kind != AGENT_YAML_LIST) {
        return agent_yaml_fail(list, error, "targets: expected a list");
    }
    for (const struct agent_yaml *item = list != NULL ? list->first : NULL; item != NULL;
         item = item->next) {
        if (item->kind != AGENT_YAML_SCALAR || item->text[0] == '\0' ||
            strlen(item->text) >= AGENT_DR_NAME_SIZE || site->target_count == max) {
            return agent_yaml_fail(item, error, "targets: at most %zu texts of 1 to %d characters",
                                   max, AGENT_DR_NAME_SIZE - 1);
        }
        snprintf(site->targets[site->target_count++], AGENT_DR_NAME_SIZE, "%s", item->text);
    }
    return 0;
}

static int read_battery(const struct agent_yaml *node, struct agent_dr_battery *battery,
                        struct agent_error *error)
{
    static const char *const known[] = {"setpoint", "yen_per_kwh", NULL};

    *battery = (struct agent_dr_battery){.yen_per_kwh = 8};
    if (node == NULL) {
        return 0;
    }
    int status = agent_yaml_only(node, known, error);
    status =
        status < 0 ? status : agent_yaml_text(node, "setpoint", NULL, &battery->setpoint, error);
    return status < 0 ? status
                      : agent_yaml_number(node, "yen_per_kwh", (struct agent_range){0, 1e4}, 8,
                                          &battery->yen_per_kwh, error);
}

static int read_site(const struct agent_yaml *node, const struct agent_inventory *inventory,
                     struct agent_dr_config *config, struct agent_error *error)
{
    static const char *const known[] = {"targets", "reserve_kw", "reserve_to", "battery", NULL};
    struct agent_dr_settings *settings = &config->settings;
    size_t index = settings->site_count;
    struct agent_dr_site *site = &settings->sites[index];
    const char *to = NULL;
    double reserve_kw = 0;
    int number = agent_inventory_site_of(inventory, node->key);

    if (number < 0 || inventory->sites[number].paper || index == AGENT_DR_SITES_MAX) {
        return agent_yaml_fail(node, error, "'%.60s': %s", node->key,
                               number < 0                    ? "no such site"
                               : index == AGENT_DR_SITES_MAX ? "too many sites"
                                                             : "a site on paper draws no power");
    }
    config->site_of[index] = number;
    snprintf(site->name, sizeof(site->name), "%s", node->key);
    settings->site_count++;
    if (node->kind != AGENT_YAML_MAP) {
        return 0; /* just named */
    }
    int status = agent_yaml_only(node, known, error);
    status = status < 0 ? status : read_targets(agent_yaml_child(node, "targets"), site, error);
    status = status < 0 ? status
                        : agent_yaml_number(node, "reserve_kw", (struct agent_range){0, 1e6}, 0,
                                            &reserve_kw, error);
    status = status < 0 ? status : agent_yaml_text(node, "reserve_to", "", &to, error);
    status = status < 0 ? status
                        : read_battery(agent_yaml_child(node, "battery"), &config->batteries[index],
                                       error);
    if (status == 0 && config->batteries[index].setpoint != NULL &&
        inventory->sites[number].battery.name == NULL) {
        return agent_yaml_fail(node, error, "battery: site '%s' declares none", node->key);
    }
    if (status == 0 && reserve_kw > 0) {
        config->reserve_to[settings->reserve_count] = to[0] != '\0' ? to : NULL;
        settings->reserves[settings->reserve_count++] =
            (struct agent_dr_reserve){index, reserve_kw, -1};
    }
    return status;
}

static int dr_site_of(const struct agent_dr_settings *settings, const char *name)
{
    for (size_t index = 0; index < settings->site_count; index++) {
        if (strcmp(settings->sites[index].name, name) == 0) {
            return (int)index;
        }
    }
    return -1;
}

static int read_sites(const struct agent_yaml *section, const struct agent_inventory *inventory,
                      struct agent_dr_config *config, struct agent_error *error)
{
    const struct agent_yaml *sites = agent_yaml_child(section, "sites");
    int status = 0;

    if (sites == NULL || sites->kind != AGENT_YAML_MAP || sites->count == 0) {
        return agent_yaml_fail(section, error, "sites: expected a map of the sites that take part");
    }
    for (const struct agent_yaml *node = sites->first; node != NULL && status == 0;
         node = node->next) {
        status = read_site(node, inventory, config, error);
    }
    for (size_t index = 0; status == 0 && index < config->settings.reserve_count; index++) {
        const char *to = config->reserve_to[index];
        struct agent_dr_reserve *reserve = &config->settings.reserves[index];
        reserve->to_site = to != NULL ? dr_site_of(&config->settings, to) : -1;
        if (to != NULL && (reserve->to_site < 0 || reserve->to_site == (int)reserve->site)) {
            return agent_yaml_fail(sites, error,
                                   "reserve_to is '%.60s', expected another of these "
                                   "sites",
                                   to);
        }
    }
    return status;
}

static int read_guest_worth(const struct agent_yaml *section,
                            const struct agent_inventory *inventory, struct agent_dr_config *config,
                            struct agent_error *error)
{
    const struct agent_yaml *map = agent_yaml_child(section, "yen_per_hour");
    int status = 0;

    for (size_t group = 0; group < AGENT_GROUPS_MAX; group++) {
        config->yen_per_hour[group] = NAN; /* by power */
    }
    for (const struct agent_yaml *node = map != NULL ? map->first : NULL;
         node != NULL && status == 0; node = node->next) {
        int group = agent_inventory_group_of(inventory, node->key);
        if (group < 0) {
            return agent_yaml_fail(node, error, "yen_per_hour: no group '%.60s'", node->key);
        }
        status = agent_yaml_number(map, node->key, (struct agent_range){0, 1e9}, NAN,
                                   &config->yen_per_hour[group], error);
    }
    return status;
}

static int check_frequency_sites(const struct agent_dr_settings *settings,
                                 struct agent_error *error)
{
    const struct agent_yaml *list = settings->frequency.sites;

    for (const struct agent_yaml *item = list != NULL ? list->first : NULL; item != NULL;
         item = item->next) {
        if (item->text == NULL || dr_site_of(settings, item->text) < 0) {
            return agent_yaml_fail(item, error, "frequency.sites: '%.60s' is none of dr.sites",
                                   item->text != NULL ? item->text : "");
        }
    }
    return 0;
}

int agent_dr_config_read(const struct agent_yaml *root, const struct agent_inventory *inventory,
                         struct agent_dr_config *config, struct agent_error *error)
{
    static const char *const known[] = {
        "sites",     "within_s", "missing_yen_per_kwh", "worth_yen_per_kwh", "yen_per_hour",
        "tolerance", "settle_s", "cap_share",           "power_accuracy",    "frequency",
        "openadr",   NULL};
    const struct agent_yaml *section = agent_yaml_child(root, "dr");
    struct agent_dr_settings *settings = &config->settings;
    const struct {
        const char *key;
        double *out;
        double fallback;
        struct agent_range range;
    } numbers[] = {
        {"within_s", &settings->within_s, AGENT_DR_FAST_S, {1, 3600}},
        {"missing_yen_per_kwh", &settings->missing_yen_per_kw_h, 5000, {1, 1e9}},
        {"worth_yen_per_kwh", &config->worth_yen_per_kwh, 100, {0, 1e9}},
        {"tolerance", &settings->tolerance, 0.05, {0, 1}},
        {"settle_s", &settings->settle_s, 5, {1, 600}},
        {"cap_share", &settings->cap_share, 0.25, {0.01, 0.99}},
        {"power_accuracy", &config->power_accuracy, 0.05, {0, 1}},
    };

    memset(config, 0, sizeof(*config));
    if (section == NULL) {
        return 0;
    }
    int status = agent_yaml_only(section, known, error);
    for (size_t index = 0; status == 0 && index < sizeof(numbers) / sizeof(numbers[0]); index++) {
        status = agent_yaml_number(section, numbers[index].key, numbers[index].range,
                                   numbers[index].fallback, numbers[index].out, error);
    }
    status = status < 0 ? status : read_sites(section, inventory, config, error);
    status = status < 0 ? status : read_guest_worth(section, inventory, config, error);
    status = status < 0 ? status
                        : agent_dr_droop_settings_read(agent_yaml_child(section, "frequency"),
                                                       &settings->frequency, error);
    status = status < 0 ? status : check_frequency_sites(settings, error);
    return status < 0 ? status
                      : agent_dr_ven_settings_read(agent_yaml_child(section, "openadr"),
                                                   &settings->openadr, error);
}

void agent_dr_config_done(struct agent_dr_config *config)
{
    agent_dr_ven_settings_done(&config->settings.openadr);
}
