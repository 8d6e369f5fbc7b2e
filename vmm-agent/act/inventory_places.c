/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory_places.c - members of the inventory where guests may be: sites, hosts, links
 * Owner, thread, time, units: inventory.h. */
#include "act/inventory_reader.h"

#include <math.h>
#include <string.h>

static int read_battery(const struct agent_yaml *site, struct agent_battery_spec *battery,
                        struct agent_error *error)
{
    static const char *const keys[] = {
        "name",    "charge_kw",   "discharge_kw", "efficiency", "discharge_efficiency",
        "soc_kwh", "soc_min_kwh", "soc_max_kwh",  NULL};
    const struct agent_yaml *node = agent_yaml_child(site, "battery");
    const struct inventory_number numbers[] = {
        {"charge_kw", {0, 1e6}, NAN, &battery->charge_kw},
        {"discharge_kw", {0, 1e6}, NAN, &battery->discharge_kw},
        {"efficiency", {0.05, 1}, 0.95, &battery->charge_efficiency},
        {"discharge_efficiency", {0.05, 1}, 0.95, &battery->discharge_efficiency},
        {"soc_max_kwh", {0, 1e7}, NAN, &battery->soc_max_kwh},
        {"soc_min_kwh", {0, 1e7}, 0, &battery->soc_min_kwh},
        {"soc_kwh", {0, 1e7}, 0, &battery->soc_kwh},
    };

    if (node == NULL) {
        return 0;
    }
    int status = agent_yaml_only(node, keys, error);
    status = status < 0 ? status : agent_yaml_text(node, "name", NULL, &battery->name, error);
    status = status < 0 ? status : INVENTORY_READ_NUMBERS(node, numbers, error);
    if (status == 0 &&
        (battery->soc_min_kwh > battery->soc_kwh || battery->soc_kwh > battery->soc_max_kwh)) {
        status = agent_yaml_fail(node, error,
                                 "battery: soc_min_kwh %g <= soc_kwh %g <= soc_max_kwh "
                                 "%g does not hold",
                                 battery->soc_min_kwh, battery->soc_kwh, battery->soc_max_kwh);
    }
    return status;
}

int inventory_read_site(struct inventory_reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"name",         "title",    "area",
                                       "paper",        "power_kw", "contract_kw",
                                       "pue",          "battery",  "demand_yen_per_kw",
                                       "renewable_kw", "plan",     NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_site *site = &inventory->sites[inventory->site_count];
    const char *area = "";
    const struct inventory_number numbers[] = {
        {"pue", {1, 5}, 1, &site->pue},
        {"demand_yen_per_kw", {0, 1e6}, 0, &site->demand_yen_per_kw},
        {"renewable_kw", {0, 1e6}, 0, &site->renewable_kw},
    };
    int status = inventory_read_name(reader, node, &site->name, agent_inventory_site_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, reader->error);
    status = status < 0 ? status
                        : agent_yaml_text(node, "title", site->name, &site->title, reader->error);
    status = status < 0 ? status : agent_yaml_text(node, "area", NULL, &area, reader->error);
    status =
        status < 0 ? status : agent_yaml_bool(node, "paper", false, &site->paper, reader->error);
    status = status < 0 ? status : INVENTORY_READ_NUMBERS(node, numbers, reader->error);
    status = status < 0 ? status
                        : inventory_read_limit(node, "power_kw", &site->power_kw, reader->error);
    status = status < 0
                 ? status
                 : inventory_read_limit(node, "contract_kw", &site->contract_kw, reader->error);
    status = status < 0 ? status : read_battery(node, &site->battery, reader->error);
    if (status < 0) {
        return status;
    }
    site->area = agent_area_of(area);
    if (site->area == AGENT_AREA_NONE) {
        return agent_yaml_fail(agent_yaml_child(node, "area"), reader->error,
                               "unknown area '%.40s'", area);
    }
    site->node = node;
    inventory->site_count++;
    return 0;
}

static int read_ports(const struct agent_yaml *node, struct agent_inventory_host *host,
                      struct agent_error *error)
{
    const char *text = NULL;
    char rest = 0;
    int status = agent_yaml_text(node, "ports", "4460-4479", &text, error);

    if (status < 0) {
        return status;
    }
    int found = sscanf(text, "%d-%d%c", &host->port_first, &host->port_last, &rest);
    bool fits = found == 2 && host->port_first >= 1 && host->port_last <= 65535 &&
                host->port_first <= host->port_last;
    return fits
               ? 0
               : agent_yaml_fail(agent_yaml_child(node, "ports"), error,
                                 "ports: expected FIRST-LAST within 1..65535, found '%.30s'", text);
}

static int read_host_texts(struct inventory_reader *reader, const struct agent_yaml *node,
                           struct agent_inventory_host *host)
{
    const struct {
        const char *key;
        const char *fallback;
        const char **out;
    } texts[] = {
        {"address", NULL, &host->address},       {"directory", NULL, &host->directory},
        {"secret", "", &host->secret},           {"cgroup", "", &host->cgroup},
        {"accelerator", "", &host->accelerator},
    };
    int status = 0;

    for (size_t at = 0; at < sizeof(texts) / sizeof(texts[0]) && status == 0; at++) {
        status =
            agent_yaml_text(node, texts[at].key, texts[at].fallback, texts[at].out, reader->error);
    }
    if (status == 0 && host->directory[0] != '/') {
        status = agent_yaml_fail(agent_yaml_child(node, "directory"), reader->error,
                                 "directory: '%.60s' is not an absolute path", host->directory);
    }
    if (status == 0) {
        host->secret = host->secret[0] != '\0' ? host->secret : NULL;
        host->cgroup = host->cgroup[0] != '\0' ? host->cgroup : NULL;
    }
    return status;
}

int inventory_read_host(struct inventory_reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"name",   "site",   "address", "directory",   "local",
                                       "apn",    "cpu",    "ram_mib", "idle_w",      "busy_w",
                                       "ports",  "secret", "cgroup",  "accelerator", "fence",
                                       "prefix", NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_host *host = &inventory->hosts[inventory->host_count];
    struct agent_error *error = reader->error;
    const struct inventory_number numbers[] = {
        {"cpu", {0.1, 100000}, NAN, &host->cpu},
        {"ram_mib", {1, 1e9}, NAN, &host->ram_mib},
        {"idle_w", {0, 100000}, NAN, &host->idle_w},
        {"busy_w", {0, 100000}, NAN, &host->busy_w},
    };
    int status = inventory_read_name(reader, node, &host->name, agent_inventory_host_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, error);
    status = status < 0 ? status
                        : inventory_read_reference(reader, node, "site", agent_inventory_site_of,
                                                   &host->site);
    status = status < 0 ? status : read_host_texts(reader, node, host);
    status = status < 0 ? status : agent_yaml_bool(node, "local", true, &host->local, error);
    status = status < 0 ? status : agent_yaml_bool(node, "apn", true, &host->apn, error);
    status = status < 0 ? status : INVENTORY_READ_NUMBERS(node, numbers, error);
    status = status < 0 ? status : read_ports(node, host, error);
    status = status < 0
                 ? status
                 : inventory_read_words(reader, node, "fence", &host->fence, &host->fence_count);
    status = status < 0
                 ? status
                 : inventory_read_words(reader, node, "prefix", &host->prefix, &host->prefix_count);
    for (size_t at = 0; at < inventory->host_count && status == 0; at++) {
        if (strcmp(inventory->hosts[at].directory, host->directory) == 0) {
            status = agent_yaml_fail(agent_yaml_child(node, "directory"), error,
                                     "directory: %s belongs to host %s already", host->directory,
                                     inventory->hosts[at].name);
        }
    }
    if (status == 0 && host->busy_w < host->idle_w) {
        status = agent_yaml_fail(node, error, "busy_w %g is below idle_w %g", host->busy_w,
                                 host->idle_w);
    }
    inventory->host_count += status == 0 ? 1 : 0;
    return status;
}

int inventory_read_link(struct inventory_reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"a",      "b",          "rate_gbit_s", "share",
                                       "rtt_ms", "yen_per_gb", "concurrent",  NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_link *link = &inventory->links[inventory->link_count];
    double concurrent = 1;
    const struct inventory_number numbers[] = {
        {"rate_gbit_s", {0.001, 100000}, NAN, &link->rate_gbit_s},
        {"share", {0.01, 1}, 1, &link->share},
        {"rtt_ms", {0, 10000}, 0, &link->rtt_ms},
        {"yen_per_gb", {0, 1e6}, 0, &link->yen_per_gb},
        {"concurrent", {1, 64}, 2, &concurrent},
    };
    int status = agent_yaml_only(node, keys, reader->error);

    status = status < 0
                 ? status
                 : inventory_read_reference(reader, node, "a", agent_inventory_site_of, &link->a);
    status = status < 0
                 ? status
                 : inventory_read_reference(reader, node, "b", agent_inventory_site_of, &link->b);
    status = status < 0 ? status : INVENTORY_READ_NUMBERS(node, numbers, reader->error);
    if (status < 0) {
        return status;
    }
    link->concurrent = (int)concurrent;
    if (link->a == link->b) {
        return agent_yaml_fail(node, reader->error, "a link joins two sites; both ends are '%s'",
                               inventory->sites[link->a].name);
    }
    if (agent_inventory_link_of(inventory, link->a, link->b) >= 0) {
        return agent_yaml_fail(node, reader->error, "'%s' and '%s' are joined twice",
                               inventory->sites[link->a].name, inventory->sites[link->b].name);
    }
    inventory->link_count++;
    return 0;
}
