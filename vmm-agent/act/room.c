/* SPDX-License-Identifier: GPL-2.0-or-later */
/* room.c - what hosts carry or have promised to carry, and where there is room
 * Owner, thread: private.h.   Time: none.   Units: cores, MiB. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "act/private.h"

struct used {
    double cpu;
    double ram_mib;
};

/* What @host carries or has promised to carry, without @but. */
static struct used used_at(const struct agent_act *act, int host, int but)
{
    struct used used = {0, 0};

    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        const struct machine *machine = &act->machines[vm];
        const struct agent_inventory_group *group =
            &act->inventory->groups[act->inventory->vms[vm].group];
        bool there = machine->owner != NULL
                         ? machine->owner->host == host
                         : machine->state == AGENT_VM_UNKNOWN &&
                               agent_inventory_host_of(act->inventory, machine->noted.host) == host;
        bool coming = machine->move != NULL && machine->move->to == host &&
                      machine->move->state != MOVE_QUEUED;
        if ((int)vm != but && (there || coming)) {
            used.cpu += group->cpu;
            used.ram_mib += group->ram_mib;
        }
    }
    return used;
}

bool act_room_at(const struct agent_act *act, int vm, int host, struct agent_error *error)
{
    const struct agent_inventory_host *place = &act->inventory->hosts[host];
    const struct agent_inventory_group *group =
        &act->inventory->groups[act->inventory->vms[vm].group];
    struct used used = used_at(act, host, vm);

    if (act->hosts[host].drained) {
        agent_error_set(error, EPERM, "host %s is drained", place->name);
        return false;
    }
    if ((group->sites >> place->site & 1) == 0) {
        agent_error_set(error, EPERM, "group %s may not run at site %s", group->name,
                        act->inventory->sites[place->site].name);
        return false;
    }
    if (used.ram_mib + group->ram_mib > place->ram_mib) {
        agent_error_set(error, ENOSPC, "host %s: %.0f of %.0f MiB are in use, %.0f more are needed",
                        place->name, used.ram_mib, place->ram_mib, group->ram_mib);
        return false;
    }
    if (used.cpu + group->cpu > place->cpu + 1e-9) {
        agent_error_set(error, ENOSPC, "host %s: %g of %g cores are in use, %g more are needed",
                        place->name, used.cpu, place->cpu, group->cpu);
        return false;
    }
    return true;
}

int agent_act_best_host(const struct agent_act *act, int vm, int site, struct agent_error *error)
{
    struct agent_error first = {0};
    double best_room = -INFINITY;
    int best = -1;

    for (size_t host = 0; host < act->inventory->host_count; host++) {
        const struct agent_inventory_host *place = &act->inventory->hosts[host];
        if (place->site != site || !act_room_at(act, vm, (int)host, &first)) {
            continue;
        }
        double room = place->ram_mib - used_at(act, (int)host, vm).ram_mib;
        if (room > best_room) {
            best_room = room;
            best = (int)host;
        }
    }
    if (best < 0) {
        agent_error_set(error, ENOSPC, "no host of site %s can take it: %s",
                        act->inventory->sites[site].name,
                        first.text[0] != '\0' ? first.text : "it has none");
    }
    return best;
}
