/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world_act.c - guests, power and actions of the acting agent, as demand response sees them
 * Owner, thread, time, units: world_act.h. */
#include "dr/world_act.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dr/dr.h"
#include "support/file.h"

#define FRESH_NS   (20 * AGENT_NS_PER_MS)
#define FREE_NS    (2 * AGENT_NS_PER_S) /* a guest's draw is a mean of so long: before that it says how it was held */
#define PAUSE_NS   (3 * AGENT_NS_PER_S)    /* a command is seen in the guest's state by then */
#define YOUNG_NS   (100 * AGENT_NS_PER_MS) /* a measurement this young is not repeated */
#define OVERHEAD_S 3.0 /* a move's preflight, start and settling beside its bytes */
#define RATE_GBIT  1.0 /* of a link that declares and measured nothing */

static const struct agent_running *running_of(struct agent_dr_act *world)
{
    int64_t now_ns = agent_loop_now_ns(agent_act_loop(world->act));
    struct agent_running *fresh = NULL;

    if (world->running != NULL && now_ns - world->running_ns < FRESH_NS) {
        return world->running;
    }
    if (agent_act_running(world->act, &fresh) == 0) {
        agent_running_free(world->running);
        world->running = fresh;
        world->running_ns = now_ns;
    }
    return world->running;
}

/* What we did is not in the copy yet. */
static void forget_running(struct agent_dr_act *world)
{
    world->running_ns = INT64_MIN / 2;
}

static size_t guests(void *opaque)
{
    const struct agent_dr_act *world = opaque;

    return world->inventory->vm_count;
}

static int our_site_of_host(const struct agent_dr_act *world, int host)
{
    return host < 0 ? -1 : world->our_site[world->inventory->hosts[host].site];
}

/* Seconds of a move between two sites, by what the link carries or is declared to. */
static double move_seconds(struct agent_dr_act *world, size_t vm, int from, int to)
{
    const struct agent_inventory *inventory = world->inventory;
    const struct agent_running *running = running_of(world);
    const struct agent_inventory_group *group = &inventory->groups[inventory->vms[vm].group];
    int link = agent_inventory_link_of(inventory, from, to);
    double bytes = running != NULL && isfinite(running->vms[vm].move_bytes)
                       ? running->vms[vm].move_bytes
                       : group->ram_mib * 1048576;
    double gbit_s = RATE_GBIT;
    double waiting = 0;

    if (link >= 0) {
        const struct agent_inventory_link *spec = &inventory->links[link];
        double measured = running != NULL ? running->links[link].rate_gbit_s : NAN;
        gbit_s = isfinite(measured) && measured > 0 ? measured : spec->rate_gbit_s * spec->share;
        waiting = running != NULL ? running->links[link].running + running->links[link].queued : 0;
        waiting = floor(waiting / (spec->concurrent > 0 ? spec->concurrent : 1));
    }
    return OVERHEAD_S + (1 + waiting) * bytes * 8e-9 / gbit_s;
}

/* Sites that could take the guest now; only those that take part and are within its group's. */
static uint64_t dests_of(struct agent_dr_act *world, size_t vm, int from, double *seconds)
{
    uint64_t dests = 0;

    for (size_t site = 0; site < world->config->settings.site_count; site++) {
        int number = world->config->site_of[site];
        if (number != from && agent_inventory_link_of(world->inventory, from, number) >= 0 &&
            agent_act_best_host(world->act, (int)vm, number, NULL) >= 0) {
            dests |= UINT64_C(1) << site;
            *seconds = fmax(*seconds, move_seconds(world, vm, from, number));
        }
    }
    return dests;
}

static double worth_of(const struct agent_dr_act *world, size_t vm, double power_kw)
{
    double declared = world->config->yen_per_hour[world->inventory->vms[vm].group];

    return isnan(declared) ? power_kw * world->config->worth_yen_per_kwh : declared;
}

static unsigned may_of(const struct agent_dr_act *world, size_t vm)
{
    const struct agent_inventory_vm *named = &world->inventory->vms[vm];
    unsigned flex = world->inventory->groups[named->group].flex;

    return ((flex >> AGENT_FLEX_CAP & 1) != 0 ? AGENT_DR_MAY_CAP : 0) |
           ((flex >> AGENT_FLEX_PAUSE & 1) != 0 ? AGENT_DR_MAY_PAUSE : 0) |
           ((flex >> AGENT_FLEX_MIGRATE & 1) != 0 && !named->pinned ? AGENT_DR_MAY_MOVE : 0);
}

/* Free to be touched: its truth is known and nobody else has it in hand. */
static bool fixed(const struct agent_dr_act *world, size_t vm, const struct agent_running_vm *now)
{
    const struct dr_known *known = &world->known[vm];

    return now->host < 0 || now->state == AGENT_VM_UNKNOWN || now->state == AGENT_VM_ABSENT ||
           (now->state == AGENT_VM_PAUSED && !known->paused);
}

static void fill_place(const struct agent_dr_act *world, size_t vm,
                       const struct agent_running_vm *now, struct agent_dr_guest *out)
{
    const struct dr_known *known = &world->known[vm];

    if (now->dest >= 0 || known->queued) {
        out->moving = true;
    } else if (now->held) {
        out->armed_site = known->arming;
    } else {
        out->arming_site = known->arming;
    }
}

/* Until its draw has been measured: what was declared, or else all of its cores at work. */
static double presumed_w(const struct agent_dr_act *world, size_t vm, int host)
{
    const struct agent_inventory_group *group =
        &world->inventory->groups[world->inventory->vms[vm].group];

    if (group->power_w > 0 || host < 0) {
        return group->power_w;
    }
    const struct agent_inventory_host *spec = &world->inventory->hosts[host];
    return spec->cpu > 0 ? group->cpu / spec->cpu * fmax(0, spec->busy_w - spec->idle_w) : 0;
}

/* Mean power of a guest that runs freely; what it last drew when it does not. */
static double power_of(struct agent_dr_act *world, size_t vm, const struct agent_running_vm *now,
                       double pue)
{
    struct dr_known *known = &world->known[vm];
    double kw = now->power_w / 1000 * pue;

    if (now->state == AGENT_VM_PAUSED || known->capped) {
        known->free_ns = world->running_ns + FREE_NS;
    } else if (world->running_ns >= known->free_ns) {
        known->kw = kw;
    }
    return known->kw > 0 ? known->kw : fmax(kw, presumed_w(world, vm, now->host) / 1000 * pue);
}

/* A person who lets a guest run again is not argued with. */
static void notice_people(struct agent_dr_act *world, size_t vm, const struct agent_running_vm *now)
{
    struct dr_known *known = &world->known[vm];

    if (known->paused && now->state == AGENT_VM_RUNNING &&
        world->running_ns - known->paused_ns > PAUSE_NS) {
        known->paused = false;
    }
}

static void guest(void *opaque, size_t vm, struct agent_dr_guest *out)
{
    struct agent_dr_act *world = opaque;
    const struct agent_running *running = running_of(world);
    const struct agent_inventory_group *group =
        &world->inventory->groups[world->inventory->vms[vm].group];
    struct dr_known *known = &world->known[vm];

    *out = (struct agent_dr_guest){.name = world->inventory->vms[vm].name,
                                   .site = -1,
                                   .armed_site = -1,
                                   .arming_site = -1,
                                   .wanted_site = -1,
                                   .pue = 1,
                                   .fixed = true};
    if (running == NULL || running->vms[vm].host < 0) {
        return;
    }
    const struct agent_running_vm *now = &running->vms[vm];
    int site = world->inventory->hosts[now->host].site;
    out->site = world->our_site[site];
    out->pue = world->inventory->sites[site].pue;
    notice_people(world, vm, now);
    out->power_kw = power_of(world, vm, now, out->pue);
    out->may = may_of(world, vm);
    out->fixed = fixed(world, vm, now);
    out->paused = known->paused;
    out->capped = known->capped;
    out->yen_per_hour = worth_of(world, vm, out->power_kw);
    out->yen_per_move =
        group->yen_per_move +
        group->yen_per_blackout_s * (isfinite(now->blackout_ms) ? now->blackout_ms / 1000 : 0.05);
    fill_place(world, vm, now, out);
    if (out->site >= 0 && (out->may & AGENT_DR_MAY_MOVE) != 0 && !out->moving) {
        out->dest_sites = dests_of(world, vm, site, &out->move_s);
    }
}

/* A battery's level runs on with what it was told; a new reading of it would come by the inventory.
 */
static void run_on(struct agent_dr_act *world, size_t site)
{
    const struct agent_inventory_site *spec =
        &world->inventory->sites[world->config->site_of[site]];
    struct dr_level *level = &world->levels[site];
    double now_s = agent_clock_now(agent_loop_clock(agent_act_loop(world->act)));
    double hours = level->at_s > 0 ? (now_s - level->at_s) / 3600 : 0;
    double kwh = level->set_kw * hours;

    kwh *= kwh > 0 ? spec->battery.charge_efficiency : 1 / spec->battery.discharge_efficiency;
    level->held_kwh =
        fmin(fmax(level->held_kwh + kwh, 0), spec->battery.soc_max_kwh - spec->battery.soc_min_kwh);
    level->at_s = now_s;
}

static void cell(void *opaque, size_t site, struct agent_dr_cell *out)
{
    struct agent_dr_act *world = opaque;
    const struct agent_battery_spec *spec =
        &world->inventory->sites[world->config->site_of[site]].battery;
    const struct agent_dr_battery *ours = &world->config->batteries[site];

    *out = (struct agent_dr_cell){0};
    if (ours->setpoint == NULL || spec->name == NULL) {
        return;
    }
    run_on(world, site);
    double trip = spec->charge_efficiency * spec->discharge_efficiency;
    *out = (struct agent_dr_cell){
        .give_kw = spec->discharge_kw,
        .take_kw = spec->charge_kw,
        .held_kwh = world->levels[site].held_kwh,
        .full_kwh = spec->soc_max_kwh - spec->soc_min_kwh,
        .yen_per_kwh = ours->yen_per_kwh + world->config->worth_yen_per_kwh * 0.1 * (1 - trip),
        .set_kw = world->levels[site].set_kw,
    };
}

static double measure(void *opaque, size_t site, double *sigma_kw)
{
    struct agent_dr_act *world = opaque;
    int number = world->config->site_of[site];
    int64_t at_ns = 0;
    double kw = agent_act_site_power_w(world->act, number, &at_ns) / 1000;

    if (agent_loop_now_ns(agent_act_loop(world->act)) - at_ns > YOUNG_NS) {
        agent_act_measure(world->act);
        kw = agent_act_site_power_w(world->act, number, NULL) / 1000;
    }
    *sigma_kw = fabs(kw) * world->config->power_accuracy;
    /* its controller's meter would show what the battery does; the setpoint stands for it */
    return kw + world->levels[site].set_kw;
}

static double room_kw(void *opaque, size_t site)
{
    struct agent_dr_act *world = opaque;
    int number = world->config->site_of[site];
    const struct agent_inventory_site *spec = &world->inventory->sites[number];
    double limit_kw = fmin(spec->power_kw, spec->contract_kw);

    return limit_kw - agent_act_site_power_w(world->act, number, NULL) / 1000 -
           world->levels[site].set_kw;
}

static int pause_guest(void *opaque, size_t vm, bool on, struct agent_error *error)
{
    struct agent_dr_act *world = opaque;
    struct dr_known *known = &world->known[vm];
    int status = on ? agent_act_pause_vm(world->act, (int)vm, "dr", error)
                    : agent_act_resume_vm(world->act, (int)vm, "dr", error);

    if (status == 0 || status == -EALREADY) {
        known->paused = on;
        known->paused_ns = agent_loop_now_ns(agent_act_loop(world->act));
        forget_running(world);
        status = 0;
    }
    return status;
}

static int cap_guest(void *opaque, size_t vm, double share, struct agent_error *error)
{
    struct agent_dr_act *world = opaque;
    int status = agent_act_cap(world->act, (int)vm, share, error);

    if (status == 0) {
        world->known[vm].capped = share < 1;
        forget_running(world);
    }
    return status;
}

static void on_released(void *opaque, int vm, int status)
{
    struct agent_dr_act *world = opaque;

    (void)status;
    world->known[vm].queued = false;
    forget_running(world);
    if (world->dr != NULL) {
        agent_dr_changed(world->dr);
    }
}

static int release_guest(void *opaque, size_t vm, struct agent_error *error)
{
    struct agent_dr_act *world = opaque;
    int status = agent_act_release(world->act, (int)vm, on_released, world, error);

    if (status == 0) {
        world->known[vm].queued = true;
        world->known[vm].arming = -1;
        forget_running(world);
    }
    return status;
}

static int move_guest(void *opaque, size_t vm, size_t site, double benefit_yen,
                      struct agent_error *error)
{
    struct agent_dr_act *world = opaque;
    int host = agent_act_best_host(world->act, (int)vm, world->config->site_of[site], error);
    int status = host < 0 ? -ENOSPC
                          : agent_act_move(world->act, (int)vm, host, "demand response",
                                           benefit_yen, true, error);

    if (status == 0) {
        world->known[vm].queued = true;
        forget_running(world);
    }
    return status;
}

static int arm_guest(void *opaque, size_t vm, int site, struct agent_error *error)
{
    struct agent_dr_act *world = opaque;

    if (site < 0) {
        world->known[vm].arming = -1;
        forget_running(world);
        return agent_act_disarm(world->act, (int)vm, error);
    }
    int host = agent_act_best_host(world->act, (int)vm, world->config->site_of[site], error);
    int status = host < 0 ? -ENOSPC : agent_act_arm(world->act, (int)vm, host, error);
    if (status == 0) {
        world->known[vm].arming = site;
        forget_running(world);
    }
    return status;
}

static void lean_site(void *opaque, size_t site, int direction)
{
    struct agent_dr_act *world = opaque;

    agent_act_lean(world->act, world->config->site_of[site], direction);
}

static int charge_cell(void *opaque, size_t site, double set_kw, struct agent_error *error)
{
    struct agent_dr_act *world = opaque;
    const char *path = world->config->batteries[site].setpoint;
    char text[32];
    int used = snprintf(text, sizeof(text), "%.3f\n", set_kw);

    if (path == NULL) {
        return agent_error_set(error, EPERM, "the battery of site %s is not ours to use",
                               world->config->settings.sites[site].name);
    }
    run_on(world, site);
    int status = agent_file_write(path, text, (size_t)used, error);
    if (status == 0) {
        world->levels[site].set_kw = set_kw;
    }
    return status;
}

const struct agent_dr_world agent_dr_act_world = {
    .guests = guests,
    .guest = guest,
    .cell = cell,
    .measure = measure,
    .room_kw = room_kw,
    .pause = pause_guest,
    .cap = cap_guest,
    .release = release_guest,
    .move = move_guest,
    .arm = arm_guest,
    .charge = charge_cell,
    .lean = lean_site,
};

int agent_dr_act_open(struct agent_dr_act *world, struct agent_act *act,
                      const struct agent_dr_config *config, struct agent_error *error)
{
    const struct agent_inventory *inventory = agent_act_inventory(act);

    *world = (struct agent_dr_act){.act = act, .inventory = inventory, .config = config};
    world->known = calloc(inventory->vm_count + 1, sizeof(*world->known));
    if (world->known == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for demand response");
    }
    for (size_t vm = 0; vm < inventory->vm_count; vm++) {
        world->known[vm].arming = -1;
    }
    for (size_t site = 0; site < AGENT_SITES_MAX; site++) {
        world->our_site[site] = -1;
    }
    for (size_t site = 0; site < config->settings.site_count; site++) {
        const struct agent_battery_spec *spec = &inventory->sites[config->site_of[site]].battery;
        world->our_site[config->site_of[site]] = (int)site;
        world->levels[site].held_kwh = fmax(0, spec->soc_kwh - spec->soc_min_kwh);
    }
    forget_running(world);
    return 0;
}

void agent_dr_act_close(struct agent_dr_act *world)
{
    agent_running_free(world->running);
    free(world->known);
    *world = (struct agent_dr_act){0};
}

static int vm_of(const struct agent_dr_act *world, const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "vm"));

    return name != NULL ? agent_inventory_vm_of(world->inventory, name) : -1;
}

bool agent_dr_act_event(struct agent_dr_act *world, const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "event"));
    int vm = vm_of(world, event);

    if (type == NULL) {
        return false;
    }
    if (strcmp(type, "agent.ready") == 0) {
        agent_dr_act_adopt(world);
        return true;
    }
    if (vm >= 0 && strcmp(type, "migration.end") == 0) {
        world->known[vm].queued = false;
        world->known[vm].arming = -1;
        forget_running(world);
        return true;
    }
    if (vm >= 0 && strcmp(type, "vm.state") == 0) {
        const char *state = json_string_value(json_object_get(event, "state"));
        forget_running(world);
        /* somebody else let it run again */
        world->known[vm].paused =
            world->known[vm].paused && !(state != NULL && strcmp(state, "absent") == 0);
        return true;
    }
    return false;
}

static bool by_dr(const json_t *list)
{
    for (size_t index = 0; index < json_array_size(list); index++) {
        const char *who = json_string_value(json_array_get(list, index));
        if (who != NULL && strcmp(who, "dr") == 0) {
            return true;
        }
    }
    return false;
}

void agent_dr_act_adopt(struct agent_dr_act *world)
{
    json_t *state = agent_act_snapshot(world->act);
    const json_t *list = json_object_get(state, "vms");

    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *entry = json_array_get(list, index);
        const char *name = json_string_value(json_object_get(entry, "name"));
        int vm = name != NULL ? agent_inventory_vm_of(world->inventory, name) : -1;
        if (vm >= 0) {
            world->known[vm].paused = by_dr(json_object_get(entry, "paused_by"));
            world->known[vm].capped = json_is_number(json_object_get(entry, "cap"));
            const char *host =
                json_string_value(json_object_get(json_object_get(entry, "armed"), "host"));
            world->known[vm].arming =
                host != NULL
                    ? our_site_of_host(world, agent_inventory_host_of(world->inventory, host))
                    : -1;
        }
    }
    json_decref(state);
    forget_running(world);
}
