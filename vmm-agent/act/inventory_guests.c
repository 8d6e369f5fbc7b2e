/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory_guests.c - members of the inventory that move: groups and vms
 * Owner, thread, time, units: inventory.h. */
#include "act/inventory_reader.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* A list of site names as bits; all sites when absent. */
static int read_sites(struct inventory_reader *reader, const struct agent_yaml *node,
                      uint64_t *sites)
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

static int read_flex(struct inventory_reader *reader, const struct agent_yaml *node, unsigned *flex)
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

static int read_disks(struct inventory_reader *reader, const struct agent_yaml *node,
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
        if (status == 0 && !inventory_name_fits(disk->node)) {
            status = agent_yaml_fail(at, reader->error, "disks: node name '%.40s' is not usable",
                                     disk->node);
        }
        group->disk_count += status == 0 ? 1 : 0;
    }
    return status;
}

int inventory_read_group(struct inventory_reader *reader, const struct agent_yaml *node)
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
    const struct inventory_number numbers[] = {
        {"cpu", {0.01, 10000}, 1, &group->cpu},
        {"ram_mib", {1, 1e8}, NAN, &group->ram_mib},
        {"power_w", {0, 100000}, 0, &group->power_w},
        {"min_dwell_slots", {0, 336}, 2, &group->min_dwell_slots},
        {"yen_per_move", {0, 1e6}, 0, &group->yen_per_move},
        {"yen_per_blackout_s", {0, 1e6}, 0, &group->yen_per_blackout_s},
        {"downtime_ms", {1, 60000}, 300, &group->downtime_ms},
    };
    int status = inventory_read_name(reader, node, &group->name, agent_inventory_group_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, reader->error);
    status = status < 0 ? status : INVENTORY_READ_NUMBERS(node, numbers, reader->error);
    status = status < 0 ? status : read_sites(reader, node, &group->sites);
    status = status < 0 ? status
                        : agent_yaml_bool(node, "shared_storage", false, &group->shared_storage,
                                          reader->error);
    status = status < 0 ? status : read_flex(reader, node, &group->flex);
    status = status < 0 ? status : read_disks(reader, node, group);
    status = status < 0
                 ? status
                 : inventory_read_words(reader, node, "start", &group->start, &group->start_count);
    status = status < 0 ? status
                        : inventory_read_words(reader, node, "prepare", &group->prepare,
                                               &group->prepare_count);
    status = status < 0 ? status
                        : inventory_read_words(reader, node, "announce", &group->announce,
                                               &group->announce_count);
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

static int read_sets(struct inventory_reader *reader, const struct agent_yaml *node,
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
static int try_commands(struct inventory_reader *reader, int vm, const struct agent_yaml *node)
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

int inventory_read_vm(struct inventory_reader *reader, const struct agent_yaml *node)
{
    static const char *const keys[] = {"name", "group", "host", "boot", "pinned", "set", NULL};
    struct agent_inventory *inventory = reader->inventory;
    struct agent_inventory_vm *vm = &inventory->vms[inventory->vm_count];
    struct agent_error *error = reader->error;
    int status = inventory_read_name(reader, node, &vm->name, agent_inventory_vm_of);

    status = status < 0 ? status : agent_yaml_only(node, keys, error);
    status = status < 0 ? status
                        : inventory_read_reference(reader, node, "group", agent_inventory_group_of,
                                                   &vm->group);
    status = status < 0 ? status
                        : inventory_read_reference(reader, node, "host", agent_inventory_host_of,
                                                   &vm->host);
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
