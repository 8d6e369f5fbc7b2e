/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory.c - what is where, by name; and its end
 * Owner, thread, time, units: inventory.h. */
#include "act/inventory.h"

#include <stdlib.h>
#include <string.h>

int agent_inventory_site_of(const struct agent_inventory *inventory, const char *name)
{
    for (size_t at = 0; at < inventory->site_count; at++) {
        if (strcmp(inventory->sites[at].name, name) == 0) {
            return (int)at;
        }
    }
    return -1;
}

int agent_inventory_host_of(const struct agent_inventory *inventory, const char *name)
{
    for (size_t at = 0; at < inventory->host_count; at++) {
        if (strcmp(inventory->hosts[at].name, name) == 0) {
            return (int)at;
        }
    }
    return -1;
}

int agent_inventory_group_of(const struct agent_inventory *inventory, const char *name)
{
    for (size_t at = 0; at < inventory->group_count; at++) {
        if (strcmp(inventory->groups[at].name, name) == 0) {
            return (int)at;
        }
    }
    return -1;
}

int agent_inventory_vm_of(const struct agent_inventory *inventory, const char *name)
{
    for (size_t at = 0; at < inventory->vm_count; at++) {
        if (strcmp(inventory->vms[at].name, name) == 0) {
            return (int)at;
        }
    }
    return -1;
}

int agent_inventory_link_of(const struct agent_inventory *inventory, int site, int other)
{
    for (size_t at = 0; at < inventory->link_count; at++) {
        const struct agent_inventory_link *link = &inventory->links[at];
        if ((link->a == site && link->b == other) || (link->a == other && link->b == site)) {
            return (int)at;
        }
    }
    return -1;
}

void agent_inventory_free(struct agent_inventory *inventory)
{
    if (inventory == NULL) {
        return;
    }
    for (size_t at = 0; at < inventory->block_count; at++) {
        free(inventory->blocks[at]);
    }
    free(inventory->blocks);
    free(inventory->sites);
    free(inventory->hosts);
    free(inventory->links);
    free(inventory->groups);
    free(inventory->vms);
    free(inventory);
}
