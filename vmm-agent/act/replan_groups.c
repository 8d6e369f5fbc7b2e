/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replan_groups.c - Theory of operation
 * Machines of one group at one site with the same dwell left are one entry: to the planner they are
 * alike. A machine that may not move (paused, pinned, on its way, its truth unknown) still has its
 * memory and power where it is, so it is planned with, fixed. One that is known to run nowhere, or
 * whose place is not known, is left out and told so. */
#include "act/replan_groups.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GB_PER_MIB (1048576.0 / 1e9)

struct builder {
    const struct agent_replan_ask *ask;
    struct replan_groups *out;
    size_t running; /* entries of out->running in use */
};

static const struct agent_running_vm *state_of(const struct builder *builder, size_t vm)
{
    return &builder->ask->running->vms[vm];
}

static int site_of(const struct builder *builder, size_t vm)
{
    int host = state_of(builder, vm)->host;

    return host >= 0 ? builder->ask->inventory->hosts[host].site : -1;
}

/* Why no plan moves this machine, or NULL. */
static const char *fixed_of(const struct builder *builder, size_t vm)
{
    const struct agent_running_vm *state = state_of(builder, vm);

    if (state->fixed[0] != '\0') {
        return state->fixed;
    }
    if (builder->ask->inventory->vms[vm].pinned) {
        return "pinned by the configuration";
    }
    if (state->dest >= 0 || state->state == AGENT_VM_MOVING) {
        return "on its way";
    }
    if (state->state == AGENT_VM_PAUSED) {
        return "paused";
    }
    return NULL;
}

/* Slots a machine must still stay. */
static int dwell_left(const struct builder *builder, size_t vm)
{
    const struct agent_inventory_group *group =
        &builder->ask->inventory->groups[builder->ask->inventory->vms[vm].group];
    double stayed_s = (double)builder->ask->running->now_s - state_of(builder, vm)->since_s;
    double left = group->min_dwell_slots - fmax(stayed_s, 0) / AGENT_SLOT_SECONDS;

    return left > 0 ? (int)fmin(ceil(left - 1e-9), AGENT_ROLL_SLOTS) : 0;
}

static void use_of(struct builder *builder, size_t vm)
{
    const struct agent_inventory *inventory = builder->ask->inventory;
    const struct agent_inventory_group *group = &inventory->groups[inventory->vms[vm].group];
    const struct agent_running_vm *state = state_of(builder, vm);
    int ends[2] = {state->host, state->dest};

    for (int end = 0; end < 2; end++) {
        if (ends[end] >= 0) {
            struct replan_use *use = &builder->out->use[inventory->hosts[ends[end]].site];
            use->cpu += group->cpu;
            use->ram_gb += group->ram_mib * GB_PER_MIB;
        }
    }
}

/* One machine into its entry of group @at, or a new entry after the last one. */
static void add_vm(struct builder *builder, size_t at, size_t vm, int hold)
{
    struct agent_roll_group *group = &builder->out->groups[at];
    struct plan_running *running = builder->out->running + (group->running - builder->out->running);
    int site = site_of(builder, vm);
    size_t entry = 0;

    while (entry < group->running_count &&
           (running[entry].site != site || running[entry].dwell_left != hold)) {
        entry++;
    }
    if (entry == group->running_count) {
        running[entry] = (struct plan_running){site, 0, hold};
        group->running_count++;
        builder->running++;
    }
    running[entry].count++;
    group->count++;
    builder->out->vm_group[vm] = (int)at;
    builder->out->vm_entry[vm] = (int)entry;
}

/* Means over the machines of a group of what was measured; NAN = nothing was. */
static double mean_of(const struct builder *builder, int group, bool power)
{
    double sum = 0;
    int count = 0;

    for (size_t vm = 0; vm < builder->ask->inventory->vm_count; vm++) {
        const struct agent_running_vm *state = state_of(builder, vm);
        double value = power ? state->power_w : state->move_bytes;
        bool counts = !power || state->state == AGENT_VM_RUNNING;
        if (builder->ask->inventory->vms[vm].group == group && counts && isfinite(value) &&
            value > 0) {
            sum += value;
            count++;
        }
    }
    return count > 0 ? sum / count : (double)NAN;
}

static uint64_t allowed_of(const struct builder *builder, int index)
{
    const struct agent_inventory *inventory = builder->ask->inventory;
    uint64_t allowed = inventory->groups[index].sites;

    for (size_t site = 0; site < inventory->site_count; site++) {
        if (inventory->sites[site].paper) {
            allowed &= ~(UINT64_C(1) << site);
        }
    }
    return allowed;
}

static void begin_group(struct builder *builder, int index, bool movable)
{
    const struct agent_inventory_group *from = &builder->ask->inventory->groups[index];
    size_t at = builder->out->count;
    double disks_gb = 0;
    double power_w = mean_of(builder, index, true);
    double moved = mean_of(builder, index, false);

    for (size_t disk = 0; disk < from->disk_count; disk++) {
        disks_gb += from->disks[disk].gib * 1024 * GB_PER_MIB;
    }
    snprintf(builder->out->names[at], sizeof(builder->out->names[at]), "%s%s", from->name,
             movable ? "" : " (fixed)");
    builder->out->groups[at] = (struct agent_roll_group){
        .id = builder->out->names[at],
        .cpu = from->cpu,
        .ram_gb = from->ram_mib * GB_PER_MIB,
        .power_w = isfinite(power_w) ? power_w : from->power_w,
        .move_gb = isfinite(moved) ? moved / 1e9 : from->ram_mib * GB_PER_MIB + disks_gb,
        .yen_per_move = from->yen_per_move,
        .yen_per_blackout_s = from->yen_per_blackout_s,
        .dwell_slots = (int)ceil(from->min_dwell_slots),
        .sites = allowed_of(builder, index),
        .running = builder->out->running + builder->running,
        .fixed = movable ? NULL : "fixed",
    };
}

/* Machines of inventory group @index that may, or may not, be moved. */
static void fill_group(struct builder *builder, int index, bool movable)
{
    const struct agent_inventory *inventory = builder->ask->inventory;

    begin_group(builder, index, movable);
    for (size_t vm = 0; vm < inventory->vm_count; vm++) {
        const char *fixed = fixed_of(builder, vm);
        if (inventory->vms[vm].group != index || (fixed == NULL) != movable) {
            continue;
        }
        if (site_of(builder, vm) < 0) {
            snprintf(builder->out->why[vm], sizeof(builder->out->why[vm]), "%s",
                     state_of(builder, vm)->state == AGENT_VM_ABSENT
                         ? "it runs nowhere"
                         : "it is not known where it runs");
            continue;
        }
        if (fixed != NULL) {
            snprintf(builder->out->why[vm], sizeof(builder->out->why[vm]), "%s", fixed);
            /* where it is is allowed as far as the plan is concerned: it has no say */
            builder->out->groups[builder->out->count].sites |= UINT64_C(1) << site_of(builder, vm);
        }
        add_vm(builder, builder->out->count, vm, fixed != NULL ? 0 : dwell_left(builder, vm));
    }
    builder->out->count += builder->out->groups[builder->out->count].count > 0 ? 1 : 0;
}

static void count_hosts(struct builder *builder)
{
    const struct agent_inventory *inventory = builder->ask->inventory;

    for (size_t host = 0; host < inventory->host_count; host++) {
        const struct agent_inventory_host *from = &inventory->hosts[host];
        struct replan_use *use = &builder->out->use[from->site];
        if (builder->ask->running->hosts[host].up && !builder->ask->running->hosts[host].drained) {
            use->hosts_cpu += from->cpu;
            use->hosts_ram_gb += from->ram_mib * GB_PER_MIB;
        }
        use->idle_kw += builder->ask->running->hosts[host].up ? from->idle_w / 1000 : 0;
    }
}

static double blackout_of(const struct builder *builder)
{
    const struct agent_inventory *inventory = builder->ask->inventory;
    double sum = 0;
    double most = 0;
    int count = 0;

    for (size_t vm = 0; vm < inventory->vm_count; vm++) {
        double ms = state_of(builder, vm)->blackout_ms;
        sum += isfinite(ms) ? ms : 0;
        count += isfinite(ms) ? 1 : 0;
    }
    for (size_t group = 0; group < inventory->group_count; group++) {
        most = fmax(most, inventory->groups[group].downtime_ms);
    }
    return count > 0 ? sum / count : most;
}

int replan_groups_new(const struct agent_replan_ask *ask, struct replan_groups **out,
                      struct agent_error *error)
{
    struct replan_groups *groups = calloc(1, sizeof(*groups));
    struct builder builder = {.ask = ask, .out = groups};
    size_t vms = ask->inventory->vm_count + 1;
    size_t most = 2 * ask->inventory->group_count + 1;

    if (groups != NULL) {
        groups->groups = calloc(most, sizeof(*groups->groups));
        groups->names = calloc(most, sizeof(*groups->names));
        groups->running = calloc(vms, sizeof(*groups->running));
        groups->vm_group = calloc(vms, sizeof(*groups->vm_group));
        groups->vm_entry = calloc(vms, sizeof(*groups->vm_entry));
        groups->why = calloc(vms, sizeof(*groups->why));
        groups->use = calloc(ask->inventory->site_count + 1, sizeof(*groups->use));
    }
    if (groups == NULL || groups->groups == NULL || groups->names == NULL ||
        groups->running == NULL || groups->vm_group == NULL || groups->vm_entry == NULL ||
        groups->why == NULL || groups->use == NULL) {
        replan_groups_free(groups);
        return agent_error_set(error, ENOMEM, "plan: out of memory for the groups");
    }
    count_hosts(&builder);
    for (size_t vm = 0; vm < ask->inventory->vm_count; vm++) {
        groups->vm_group[vm] = -1;
        use_of(&builder, vm);
    }
    for (int group = 0; group < (int)ask->inventory->group_count; group++) {
        fill_group(&builder, group, true);
        fill_group(&builder, group, false);
    }
    groups->blackout_ms = blackout_of(&builder);
    *out = groups;
    return 0;
}

void replan_groups_free(struct replan_groups *groups)
{
    if (groups != NULL) {
        free(groups->groups);
        free(groups->names);
        free(groups->running);
        free(groups->vm_group);
        free(groups->vm_entry);
        free(groups->why);
        free(groups->use);
        free(groups);
    }
}
