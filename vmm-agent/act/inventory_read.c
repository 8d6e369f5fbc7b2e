/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory_read.c - reading and checking the inventory
 * Owner, thread, time, units: inventory.h. */
#include "act/inventory.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct agent_inventory *inventory;
    struct agent_error *error;
};

/* Names become parts of file names: letters, digits, - _ . and not a dot first. */
static bool name_fits(const char *name)
{
    size_t length = strlen(name);

    for (size_t at = 0; at < length; at++) {
        if (!isalnum((unsigned char)name[at]) && strchr("-_.", name[at]) == NULL) {
            return false;
        }
    }
    return length > 0 && length < AGENT_INVENTORY_NAME_MAX && name[0] != '.' && name[0] != '-';
}

static int read_name(struct reader *reader, const struct agent_yaml *node, const char **name,
                     int (*find)(const struct agent_inventory *, const char *))
{
    if (node->kind != AGENT_YAML_MAP) {
        return agent_yaml_fail(node, reader->error, "expected a member with its keys");
    }
    int status = agent_yaml_text(node, "name", NULL, name, reader->error);
    if (status < 0) {
        return status;
    }
    if (!name_fits(*name)) {
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

/* A reference by name; -1 when the key is absent and @optional. */
static int read_reference(struct reader *reader, const struct agent_yaml *node, const char *key,
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

/* ---- pieces ------------------------------------------------------------------------------- */

struct number {
    const char *key;
    struct agent_range range;
    double fallback; /* NAN = required */
    double *out;
};

static int read_numbers(const struct agent_yaml *node, const struct number *numbers, size_t count,
                        struct agent_error *error)
{
    int status = 0;

    for (size_t at = 0; at < count && status == 0; at++) {
        status = agent_yaml_number(node, numbers[at].key, numbers[at].range, numbers[at].fallback,
                                   numbers[at].out, error);
    }
    return status;
}
#define READ_NUMBERS(node, list, error)                                                            \
    read_numbers(node, list, sizeof(list) / sizeof((list)[0]), error)

/* A NAN fallback is "required" to the getter: what may be absent and unlimited comes here. */
static int read_limit(const struct agent_yaml *node, const char *key, double *out,
                      struct agent_error *error)
{
    *out = INFINITY;
    return agent_yaml_child(node, key) == NULL
               ? 0
               : agent_yaml_number(node, key, (struct agent_range){0, 1e9}, NAN, out, error);
}

static int read_words(struct reader *reader, const struct agent_yaml *node, const char *key,
                      const char ***words, size_t *count)
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

static int read_battery(const struct agent_yaml *site, struct agent_battery_spec *battery,
                        struct agent_error *error)
{
    static const char *const keys[] = {
        "name",    "charge_kw",   "discharge_kw", "efficiency", "discharge_efficiency",
        "soc_kwh", "soc_min_kwh", "soc_max_kwh",  NULL};
    const struct agent_yaml *node = agent_yaml_child(site, "battery");
    const struct number numbers[] = {
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
    status = status < 0 ? status : READ_NUMBERS(node, numbers, error);
    if (status == 0 &&
        (battery->soc_min_kwh > battery->soc_kwh || battery->soc_kwh > battery->soc_max_kwh)) {
        status = agent_yaml_fail(node, error,
                                 "battery: soc_min_kwh %g <= soc_kwh %g <= soc_max_kwh "
                                 "%g does not hold",
                                 battery->soc_min_kwh, battery->soc_kwh, battery->soc_max_kwh);
    }
    return status;
}

/* ---- members ------------------------------------------------------------------------------ */

static int read_site(struct reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"name",         "title",    "area",
                                       "paper",        "power_kw", "contract_kw",
                                       "pue",          "battery",  "demand_yen_per_kw",
                                       "renewable_kw", "plan",     NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_site *site = &inventory->sites[inventory->site_count];
    const char *area = "";
    const struct number numbers[] = {
        {"pue", {1, 5}, 1, &site->pue},
        {"demand_yen_per_kw", {0, 1e6}, 0, &site->demand_yen_per_kw},
        {"renewable_kw", {0, 1e6}, 0, &site->renewable_kw},
    };
    int status = read_name(reader, node, &site->name, agent_inventory_site_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, reader->error);
    status = status < 0 ? status
                        : agent_yaml_text(node, "title", site->name, &site->title, reader->error);
    status = status < 0 ? status : agent_yaml_text(node, "area", NULL, &area, reader->error);
    status =
        status < 0 ? status : agent_yaml_bool(node, "paper", false, &site->paper, reader->error);
    status = status < 0 ? status : READ_NUMBERS(node, numbers, reader->error);
    status = status < 0 ? status : read_limit(node, "power_kw", &site->power_kw, reader->error);
    status =
        status < 0 ? status : read_limit(node, "contract_kw", &site->contract_kw, reader->error);
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

static int read_host_texts(struct reader *reader, const struct agent_yaml *node,
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

static int read_host(struct reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"name",   "site",   "address", "directory",   "local",
                                       "apn",    "cpu",    "ram_mib", "idle_w",      "busy_w",
                                       "ports",  "secret", "cgroup",  "accelerator", "fence",
                                       "prefix", NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_host *host = &inventory->hosts[inventory->host_count];
    struct agent_error *error = reader->error;
    const struct number numbers[] = {
        {"cpu", {0.1, 100000}, NAN, &host->cpu},
        {"ram_mib", {1, 1e9}, NAN, &host->ram_mib},
        {"idle_w", {0, 100000}, NAN, &host->idle_w},
        {"busy_w", {0, 100000}, NAN, &host->busy_w},
    };
    int status = read_name(reader, node, &host->name, agent_inventory_host_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, error);
    status = status < 0
                 ? status
                 : read_reference(reader, node, "site", agent_inventory_site_of, &host->site);
    status = status < 0 ? status : read_host_texts(reader, node, host);
    status = status < 0 ? status : agent_yaml_bool(node, "local", true, &host->local, error);
    status = status < 0 ? status : agent_yaml_bool(node, "apn", true, &host->apn, error);
    status = status < 0 ? status : READ_NUMBERS(node, numbers, error);
    status = status < 0 ? status : read_ports(node, host, error);
    status =
        status < 0 ? status : read_words(reader, node, "fence", &host->fence, &host->fence_count);
    status = status < 0 ? status
                        : read_words(reader, node, "prefix", &host->prefix, &host->prefix_count);
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

static int read_link(struct reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"a",      "b",          "rate_gbit_s", "share",
                                       "rtt_ms", "yen_per_gb", "concurrent",  NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_link *link = &inventory->links[inventory->link_count];
    double concurrent = 1;
    const struct number numbers[] = {
        {"rate_gbit_s", {0.001, 100000}, NAN, &link->rate_gbit_s},
        {"share", {0.01, 1}, 1, &link->share},
        {"rtt_ms", {0, 10000}, 0, &link->rtt_ms},
        {"yen_per_gb", {0, 1e6}, 0, &link->yen_per_gb},
        {"concurrent", {1, 64}, 2, &concurrent},
    };
    int status = agent_yaml_only(node, keys, reader->error);

    status =
        status < 0 ? status : read_reference(reader, node, "a", agent_inventory_site_of, &link->a);
    status =
        status < 0 ? status : read_reference(reader, node, "b", agent_inventory_site_of, &link->b);
    status = status < 0 ? status : READ_NUMBERS(node, numbers, reader->error);
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

/* A list of site names as bits; all sites when absent. */
static int read_sites(struct reader *reader, const struct agent_yaml *node, uint64_t *sites)
{
    const struct agent_yaml *list = agent_yaml_child(node, "sites");
    size_t count = reader->inventory->site_count;

    *sites = count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    if (list == NULL) {
        return 0;
    }
    *sites = 0;
    for (const struct agent_yaml *name = list->first; name != NULL; name = name->next) {
        int site = name->kind == AGENT_YAML_SCALAR
                       ? agent_inventory_site_of(reader->inventory, name->text)
                       : -1;
        if (site < 0) {
            return agent_yaml_fail(name, reader->error, "sites: there is no site '%.60s'",
                                   name->kind == AGENT_YAML_SCALAR ? name->text : "(not a name)");
        }
        *sites |= UINT64_C(1) << site;
    }
    return *sites != 0 ? 0
                       : agent_yaml_fail(list, reader->error, "sites: expected a list of names");
}

static int read_flex(struct reader *reader, const struct agent_yaml *node, unsigned *flex)
{
    static const char *const words[] = {"none", "cap", "pause", "migrate"};
    const struct agent_yaml *list = agent_yaml_child(node, "flex");

    *flex = list == NULL ? 1u << AGENT_FLEX_MIGRATE : 0;
    for (const struct agent_yaml *word = list != NULL ? list->first : NULL; word != NULL;
         word = word->next) {
        unsigned at = 0;
        while (at < 4 && (word->kind != AGENT_YAML_SCALAR || strcmp(words[at], word->text) != 0)) {
            at++;
        }
        if (at == 4) {
            return agent_yaml_fail(word, reader->error,
                                   "flex: expected none, cap, pause or migrate, found '%.40s'",
                                   word->kind == AGENT_YAML_SCALAR ? word->text : "no word");
        }
        *flex |= at == AGENT_FLEX_NONE ? 0 : 1u << at;
    }
    return 0;
}

static int read_disks(struct reader *reader, const struct agent_yaml *node,
                      struct agent_inventory_group *group)
{
    static const char *const keys[] = {"node", "gib", NULL};
    const struct agent_yaml *list = agent_yaml_child(node, "disks");

    if (list != NULL && (list->kind != AGENT_YAML_LIST || list->count > AGENT_DISKS_MAX)) {
        return agent_yaml_fail(list, reader->error, "disks: expected a list of at most %d",
                               AGENT_DISKS_MAX);
    }
    int status = 0;
    for (const struct agent_yaml *at = list != NULL ? list->first : NULL; at != NULL && status == 0;
         at = at->next) {
        struct agent_disk_spec *disk = &group->disks[group->disk_count];
        status = agent_yaml_only(at, keys, reader->error);
        status =
            status < 0 ? status : agent_yaml_text(at, "node", NULL, &disk->node, reader->error);
        status = status < 0 ? status
                            : agent_yaml_number(at, "gib", (struct agent_range){0, 1e6}, 0,
                                                &disk->gib, reader->error);
        if (status == 0 && !name_fits(disk->node)) {
            status = agent_yaml_fail(at, reader->error, "disks: node name '%.40s' is not usable",
                                     disk->node);
        }
        group->disk_count += status == 0 ? 1 : 0;
    }
    return status;
}

static int read_group(struct reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"name",
                                       "cpu",
                                       "ram_mib",
                                       "power_w",
                                       "min_dwell_slots",
                                       "yen_per_move",
                                       "sites",
                                       "flex",
                                       "start",
                                       "yen_per_blackout_s",
                                       "downtime_ms",
                                       "disks",
                                       "prepare",
                                       "announce",
                                       "plan",
                                       "dr",
                                       "shared_storage",
                                       NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_group *group = &inventory->groups[inventory->group_count];
    const struct number numbers[] = {
        {"cpu", {0.01, 10000}, 1, &group->cpu},
        {"ram_mib", {1, 1e8}, NAN, &group->ram_mib},
        {"power_w", {0, 100000}, 0, &group->power_w},
        {"min_dwell_slots", {0, 336}, 2, &group->min_dwell_slots},
        {"yen_per_move", {0, 1e6}, 0, &group->yen_per_move},
        {"yen_per_blackout_s", {0, 1e6}, 0, &group->yen_per_blackout_s},
        {"downtime_ms", {1, 60000}, 300, &group->downtime_ms},
    };
    int status = read_name(reader, node, &group->name, agent_inventory_group_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, reader->error);
    status = status < 0 ? status : READ_NUMBERS(node, numbers, reader->error);
    status = status < 0 ? status : read_sites(reader, node, &group->sites);
    status = status < 0 ? status
                        : agent_yaml_bool(node, "shared_storage", false, &group->shared_storage,
                                          reader->error);
    status = status < 0 ? status : read_flex(reader, node, &group->flex);
    status = status < 0 ? status : read_disks(reader, node, group);
    status =
        status < 0 ? status : read_words(reader, node, "start", &group->start, &group->start_count);
    status = status < 0
                 ? status
                 : read_words(reader, node, "prepare", &group->prepare, &group->prepare_count);
    status = status < 0
                 ? status
                 : read_words(reader, node, "announce", &group->announce, &group->announce_count);
    if (status == 0 && group->start_count == 0) {
        status = agent_yaml_fail(node, reader->error,
                                 "group %s: needs start, the words of the "
                                 "command that starts a machine",
                                 group->name);
    }
    group->node = node;
    inventory->group_count += status == 0 ? 1 : 0;
    return status;
}

static int read_sets(struct reader *reader, const struct agent_yaml *node,
                     struct agent_inventory_vm *vm)
{
    const struct agent_yaml *map = agent_yaml_child(node, "set");

    if (map == NULL) {
        return 0;
    }
    if (map->kind != AGENT_YAML_MAP || map->count > AGENT_SETS_MAX) {
        return agent_yaml_fail(map, reader->error, "set: expected at most %d names with values",
                               AGENT_SETS_MAX);
    }
    for (const struct agent_yaml *at = map->first; at != NULL; at = at->next) {
        if (at->kind != AGENT_YAML_SCALAR) {
            return agent_yaml_fail(at, reader->error, "set: %.40s is no plain value", at->key);
        }
        vm->sets[vm->set_count++] = (struct agent_set){at->key, at->text};
    }
    return 0;
}

/* Every command a machine may ever need is built once, so that a typing error shows at start. */
static int try_commands(struct reader *reader, int vm, const struct agent_yaml *node)
{
    const struct agent_inventory *inventory = reader->inventory;

    for (size_t host = 0; host < inventory->host_count; host++) {
        for (int kind = AGENT_WORDS_BOOT; kind <= AGENT_WORDS_FENCE; kind++) {
            struct agent_words words;
            struct agent_error why = {0};
            int status = agent_inventory_words(inventory, (enum agent_command_kind)kind, vm,
                                               (int)host, 999999999, &words, &why);
            if (status < 0 && status != -ENOENT) {
                return agent_yaml_fail(node, reader->error, "%s", why.text);
            }
            if (status == 0) {
                agent_words_done(&words);
            }
        }
    }
    return 0;
}

static int read_vm(struct reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"name", "group", "host", "boot", "pinned", "set", NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_vm *vm = &inventory->vms[inventory->vm_count];
    struct agent_error *error = reader->error;
    int status = read_name(reader, node, &vm->name, agent_inventory_vm_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, error);
    status = status < 0
                 ? status
                 : read_reference(reader, node, "group", agent_inventory_group_of, &vm->group);
    status = status < 0 ? status
                        : read_reference(reader, node, "host", agent_inventory_host_of, &vm->host);
    status = status < 0 ? status : agent_yaml_bool(node, "boot", false, &vm->boot, error);
    status = status < 0 ? status : agent_yaml_bool(node, "pinned", false, &vm->pinned, error);
    status = status < 0 ? status : read_sets(reader, node, vm);
    if (status < 0) {
        return status;
    }
    int site = inventory->hosts[vm->host].site;
    if ((inventory->groups[vm->group].sites >> site & 1) == 0) {
        return agent_yaml_fail(agent_yaml_child(node, "host"), error,
                               "vm %s: its group may not run at site '%s'", vm->name,
                               inventory->sites[site].name);
    }
    inventory->vm_count++;
    return try_commands(reader, (int)inventory->vm_count - 1, node);
}

/* ---- sections ----------------------------------------------------------------------------- */

struct section {
    const char *key;
    size_t max;
    size_t member_size;
    void **members;
    int (*read)(struct reader *reader, const struct agent_yaml *node);
};

static int read_section(struct reader *reader, const struct agent_yaml *root,
                        const struct section *section)
{
    const struct agent_yaml *list = agent_yaml_child(root, section->key);
    size_t count = list != NULL ? list->count : 0;
    int status = 0;

    if (list != NULL && (list->kind != AGENT_YAML_LIST || count > section->max)) {
        return agent_yaml_fail(list, reader->error, "%s: expected a list of at most %zu members",
                               section->key, section->max);
    }
    *section->members = calloc(count > 0 ? count : 1, section->member_size);
    if (*section->members == NULL) {
        return agent_error_set(reader->error, ENOMEM, "no memory for the inventory");
    }
    for (const struct agent_yaml *node = list != NULL ? list->first : NULL;
         node != NULL && status == 0; node = node->next) {
        status = section->read(reader, node);
    }
    return status;
}

int agent_inventory_read(const struct agent_yaml *root, struct agent_inventory **out,
                         struct agent_error *error)
{
    struct agent_inventory *inventory = calloc(1, sizeof(*inventory));
    struct reader reader = {inventory, error};

    if (inventory == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the inventory");
    }
    const struct section sections[] = {
        {"sites", AGENT_SITES_MAX, sizeof(*inventory->sites), (void **)&inventory->sites,
         read_site},
        {"hosts", AGENT_HOSTS_MAX, sizeof(*inventory->hosts), (void **)&inventory->hosts,
         read_host},
        {"links", AGENT_LINKS_MAX, sizeof(*inventory->links), (void **)&inventory->links,
         read_link},
        {"groups", AGENT_GROUPS_MAX, sizeof(*inventory->groups), (void **)&inventory->groups,
         read_group},
        {"vms", AGENT_VMS_MAX, sizeof(*inventory->vms), (void **)&inventory->vms, read_vm},
    };
    int status = 0;
    for (size_t at = 0; at < sizeof(sections) / sizeof(sections[0]) && status == 0; at++) {
        status = read_section(&reader, root, &sections[at]);
    }
    if (status == 0 && inventory->vm_count == 0) {
        status = agent_error_set(error, EINVAL,
                                 "the inventory names no vms (sections sites, hosts, "
                                 "links, groups, vms of the configuration)");
    }
    if (status < 0) {
        agent_inventory_free(inventory);
        return status;
    }
    *out = inventory;
    return 0;
}
