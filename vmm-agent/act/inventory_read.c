/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory_read.c - the inventory, section by section
 * Owner, thread, time, units: inventory.h. */
#include "act/inventory_reader.h"

#include <errno.h>
#include <stdlib.h>

struct section {
    const char *key;
    size_t max;
    size_t member_size;
    void **members;
    int (*read)(struct inventory_reader *reader, const struct agent_yaml *node);
};

static int read_section(struct inventory_reader *reader, const struct agent_yaml *root,
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
    struct inventory_reader reader = {inventory, error};

    if (inventory == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for the inventory");
    }
    const struct section sections[] = {
        {"sites", AGENT_SITES_MAX, sizeof(*inventory->sites), (void **)&inventory->sites,
         inventory_read_site},
        {"hosts", AGENT_HOSTS_MAX, sizeof(*inventory->hosts), (void **)&inventory->hosts,
         inventory_read_host},
        {"links", AGENT_LINKS_MAX, sizeof(*inventory->links), (void **)&inventory->links,
         inventory_read_link},
        {"groups", AGENT_GROUPS_MAX, sizeof(*inventory->groups), (void **)&inventory->groups,
         inventory_read_group},
        {"vms", AGENT_VMS_MAX, sizeof(*inventory->vms), (void **)&inventory->vms,
         inventory_read_vm},
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
