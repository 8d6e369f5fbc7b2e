/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.c - the state as one document: docs/agent-state.md
 * Owner, thread, time, units: private.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "act/private.h"
#include "support/file.h"
#include "support/slot.h"

#ifndef VMM_AGENT_VERSION
#define VMM_AGENT_VERSION "0"
#endif

#define STORY_LINES 200

json_t *act_time(double time_s)
{
    char text[AGENT_TIME_TEXT_SIZE];

    return time_s > 0 ? json_string(agent_time_format((int64_t)time_s, text)) : json_null();
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

/* ---- migrations --------------------------------------------------------------------------- */

static void add_figures(json_t *out, const struct move *move)
{
    const struct move_figures *figures = &move->figures;
    int64_t now_ns = agent_loop_now_ns(move->act->loop);
    bool open = move->ended_s <= 0;
    double real_s = move->begun_ns == 0 ? NAN
                    : open              ? (double)(now_ns - move->begun_ns) / (double)AGENT_NS_PER_S
                                        : move->real_s;

    set(out, "progress", number(figures->progress));
    set(out, "rate_gbit_s", number(figures->rate_gbit_s));
    set(out, "in_flight_bytes", number(figures->in_flight_bytes));
    set(out, "remaining_bytes", number(figures->remaining_bytes));
    set(out, "bytes", number(figures->bytes));
    set(out, "guest_bytes", number(figures->guest_bytes));
    set(out, "predicted_blackout_ms", number(figures->predicted_ms));
    set(out, "blackout_ms", number(figures->blackout_ms));
    set(out, "cutover_ms", number(figures->cutover_ms));
    set(out, "transfer_real_s", number(figures->transfer_real_s));
    set(out, "real_s", number(real_s));
    set(out, "energy_wh", number(figures->energy_wh));
}

json_t *act_move_json(const struct move *move)
{
    const struct agent_inventory *inventory = move->act->inventory;
    const struct agent_inventory_host *from = &inventory->hosts[move->from];
    const struct agent_inventory_host *to = &inventory->hosts[move->to];
    double retry_s =
        move->state == MOVE_QUEUED
            ? (double)(move->retry_ns - agent_loop_now_ns(move->act->loop)) / (double)AGENT_NS_PER_S
            : 0;
    json_t *out = json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:b, s:i, s:s, s:o, s:o, s:o}",
        "id", (json_int_t)move->id, "vm", inventory->vms[move->vm].name, "from",
        inventory->sites[from->site].name, "to", inventory->sites[to->site].name, "from_host",
        from->name, "to_host", to->name, "state", move_state_name(move->state), "stage",
        move_stage_name(move), "reason", move->reason, "origin", move_origin_name(move->origin),
        "benefit_yen", move->benefit_yen, "urgent", move->urgent, "attempt", move->attempt,
        "transport", move->stock ? "tcp" : "apn", "queued_at", act_time(move->queued_s),
        "started_at", act_time(move->started_s), "ended_at", act_time(move->ended_s));

    if (out == NULL) {
        return NULL;
    }
    add_figures(out, move);
    set(out, "retry_in_real_s", retry_s > 0 ? json_real(retry_s) : json_null());
    set(out, "error", move->error[0] != '\0' ? json_string(move->error) : json_null());
    set(out, "waits_for", move->waits_for[0] != '\0' ? json_string(move->waits_for) : json_null());
    return out;
}

static json_t *moves_json(const struct agent_act *act)
{
    json_t *list = json_array();

    for (const struct move *move = act->moves; move != NULL; move = move->next) {
        json_array_append_new(list, act_move_json(move));
    }
    for (const struct move *move = act->ended; move != NULL; move = move->next) {
        json_array_append_new(list, act_move_json(move));
    }
    size_t room = (size_t)(ACT_ENDED_MAX - act->ended_count);
    for (size_t at = 0; at < json_array_size(act->past) && at < room; at++) {
        json_array_append(list, json_array_get(act->past, at));
    }
    return list;
}

/* ---- sites -------------------------------------------------------------------------------- */

static json_t *plan_site(const struct agent_act *act, const char *name)
{
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(act->plan.document, "sites"), index, entry)
    {
        const char *id = json_string_value(json_object_get(entry, "id"));
        if (id != NULL && strcmp(id, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* Member @slot of a series that is one number, an array, or quantiles of arrays. */
static json_t *series_at(const json_t *outlook, const char *key, int slot)
{
    const json_t *series = json_object_get(outlook, key);

    series = json_is_object(series) ? json_object_get(series, "p50") : series;
    const json_t *value = json_is_array(series) ? json_array_get(series, (size_t)slot) : series;
    return json_is_number(value) ? json_real(json_number_value(value)) : json_null();
}

/* kW of the machines that the plan has at @site in @slot, by their power now or as declared. */
static double planned_load_kw(const struct agent_act *act, int site, int slot)
{
    const struct agent_inventory *inventory = act->inventory;
    double load_w = 0;

    for (size_t host = 0; host < inventory->host_count; host++) {
        load_w += inventory->hosts[host].site == site ? inventory->hosts[host].idle_w : 0;
    }
    for (size_t vm = 0; vm < inventory->vm_count; vm++) {
        const struct agent_replan_vm *wanted = &act->plan.vms[vm];
        int there = wanted->site != NULL ? wanted->site[slot] : act_site_of(&act->machines[vm]);
        double power_w = act_machine_power_w(&act->machines[vm]);
        load_w += there != site ? 0
                  : power_w > 0 ? power_w
                                : inventory->groups[inventory->vms[vm].group].power_w;
    }
    return load_w * inventory->sites[site].pue / 1000;
}

static json_t *slots_json(const struct agent_act *act, int site)
{
    const char *name = act->inventory->sites[site].name;
    json_t *past = json_object_get(act->measured_slots, name);
    json_t *list = past != NULL ? json_copy(past) : json_array();
    char start[AGENT_TIME_TEXT_SIZE];

    if (!act->have_plan) {
        return list;
    }
    const json_t *outlook = json_object_get(plan_site(act, name), "outlook");
    int64_t first = agent_slot_of(act->plan.first_slot_s);
    for (int slot = 0; slot < act->plan.slots; slot++) {
        if (first + slot < act->slot) {
            continue; /* measured by now */
        }
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:o, s:f}", "start",
                            agent_time_format(agent_slot_start(first + slot), start), "surplus_kw",
                            series_at(outlook, "surplus_kw", slot), "price_yen_per_kwh",
                            series_at(outlook, "price_yen_per_kwh", slot), "carbon_g_per_kwh",
                            series_at(outlook, "carbon_g_per_kwh", slot), "load_kw",
                            planned_load_kw(act, site, slot)));
    }
    return list;
}

static json_t *battery_json(const struct agent_inventory_site *site)
{
    return site->battery.name == NULL
               ? json_null()
               : json_pack("{s:s, s:f, s:f, s:n}", "name", site->battery.name, "soc_kwh",
                           site->battery.soc_kwh, "soc_max_kwh", site->battery.soc_max_kwh,
                           "power_kw");
}

static json_t *site_json(const struct agent_act *act, int site)
{
    const struct agent_inventory_site *named = &act->inventory->sites[site];
    double power_w = 0;
    int vms = 0;

    for (size_t host = 0; host < act->inventory->host_count; host++) {
        power_w += act->inventory->hosts[host].site == site ? act->hosts[host].power_w : 0;
    }
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        vms += act->machines[vm].owner != NULL && act_site_of(&act->machines[vm]) == site ? 1 : 0;
    }
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:b, s:i, s:f, s:o, s:o, s:o, s:o, s:o}", "name", named->name, "title",
        named->title, "area", agent_area_name(named->area), "paper", named->paper, "vms", vms,
        "power_kw", power_w * named->pue / 1000, "limit_kw", number(named->power_kw), "surplus_kw",
        number(act_outlook(act, site, "surplus_kw")), "price_yen_per_kwh",
        number(act_outlook(act, site, "price_yen_per_kwh")), "carbon_g_per_kwh",
        number(act_outlook(act, site, "carbon_g_per_kwh")), "battery", battery_json(named));
    if (out != NULL) {
        set(out, "energy_kwh", json_real(act->sites[site].kwh));
        set(out, "renewable_kwh", json_real(act->sites[site].renewable_kwh));
        set(out, "slots", slots_json(act, site));
    }
    return out;
}

/* ---- hosts, machines, links --------------------------------------------------------------- */

static json_t *host_json(const struct agent_act *act, int host)
{
    const struct agent_inventory_host *named = &act->inventory->hosts[host];
    double ram_mib = 0;
    int vms = 0;

    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        const struct machine *machine = &act->machines[vm];
        bool there = machine->owner != NULL && machine->owner->host == host;
        bool coming = machine->move != NULL && machine->move->state != MOVE_QUEUED &&
                      machine->move->to == host;
        vms += there ? 1 : 0;
        ram_mib +=
            there || coming ? act->inventory->groups[act->inventory->vms[vm].group].ram_mib : 0;
    }
    return json_pack("{s:s, s:s, s:b, s:b, s:f, s:f, s:f, s:f, s:f, s:i, s:s}", "name", named->name,
                     "site", act->inventory->sites[named->site].name, "up", 1, "drained",
                     act->hosts[host].drained, "cpu", named->cpu, "cpu_used",
                     act->hosts[host].cpu_used, "ram_mib", named->ram_mib, "ram_used_mib", ram_mib,
                     "power_w", act->hosts[host].power_w, "vms", vms, "reason",
                     act->hosts[host].drained ? "drained by a person" : "");
}

static json_t *paused_by(const struct machine *machine)
{
    json_t *list = json_array();

    if ((machine->paused_by & ACT_BY_PERSON) != 0) {
        json_array_append_new(list, json_string("person"));
    }
    if ((machine->paused_by & ACT_BY_DR) != 0) {
        json_array_append_new(list, json_string("dr"));
    }
    return list;
}

static json_t *armed_json(const struct machine *machine)
{
    const struct move *move = machine->move;

    if (move == NULL || !move->hold) {
        return json_null();
    }
    return json_pack("{s:s, s:b}", "host", machine->act->inventory->hosts[move->to].name,
                     "converged", move->state == MOVE_HELD);
}

static json_t *machine_json(const struct machine *machine)
{
    const struct agent_inventory *inventory = machine->act->inventory;
    const struct agent_inventory_vm *vm = &inventory->vms[machine->vm];
    const struct agent_inventory_host *host =
        machine->owner != NULL ? &inventory->hosts[machine->owner->host] : NULL;
    /* a copy that is held ready elsewhere ("armed") moves nothing yet */
    bool moving = machine->move != NULL && machine->move->state != MOVE_QUEUED &&
                  !machine->move->hold && machine->owner != NULL &&
                  machine->state == AGENT_VM_RUNNING;
    char fixed[AGENT_ACT_REASON_MAX];
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:I, s:o, s:f, s:f, s:f, s:I, s:o, s:o, s:o, s:b}", "name",
        vm->name, "group", inventory->groups[vm->group].name, "state",
        moving ? "moving" : agent_vm_state_name(machine->state), "site",
        text_or_null(host != NULL ? inventory->sites[host->site].name : NULL), "host",
        text_or_null(host != NULL ? host->name : NULL), "epoch",
        (json_int_t)(machine->owner != NULL ? machine->owner->epoch : machine->noted.owner),
        "since", act_time((double)machine->noted.since_s), "power_w", act_machine_power_w(machine),
        "cpu_used", machine->cpu_used, "ram_mib", inventory->groups[vm->group].ram_mib, "moves",
        (json_int_t)machine->noted.moves, "migration",
        machine->move != NULL ? json_integer((json_int_t)machine->move->id) : json_null(),
        "wanted_site",
        text_or_null(machine->wanted_site >= 0 ? inventory->sites[machine->wanted_site].name
                                               : NULL),
        "paused_by", paused_by(machine), "pinned", vm->pinned);

    if (out != NULL) {
        set(out, "cap", machine->cap < 1 ? json_real(machine->cap) : json_null());
        set(out, "armed", armed_json(machine));
        set(out, "fixed", json_string(act_fixed(machine, fixed, sizeof(fixed))));
        set(out, "reason", json_string(machine->reason));
        set(out, "plan_reason",
            text_or_null(machine->act->have_plan &&
                                 machine->act->plan.vms[machine->vm].reason[0] != '\0'
                             ? machine->act->plan.vms[machine->vm].reason
                             : NULL));
    }
    return out;
}

static json_t *link_json(const struct agent_act *act, int link)
{
    const struct agent_inventory_link *named = &act->inventory->links[link];
    int queued = 0;

    for (const struct move *move = act->moves; move != NULL; move = move->next) {
        queued += move->link == link && !move->on_wire && move->state != MOVE_HELD ? 1 : 0;
    }
    return json_pack("{s:s, s:s, s:f, s:o, s:f, s:i, s:f, s:i, s:i, s:f}", "a",
                     act->inventory->sites[named->a].name, "b",
                     act->inventory->sites[named->b].name, "rate_gbit_s", named->rate_gbit_s,
                     "measured_gbit_s", number(act->links[link].rate_gbit_s), "share", named->share,
                     "concurrent", named->concurrent, "busy", act_link_busy(act, link), "running",
                     act->links[link].on_wire, "queued", queued, "rtt_ms", named->rtt_ms);
}

/* ---- plan --------------------------------------------------------------------------------- */

static const struct move *any_move(const struct agent_act *act, int64_t id)
{
    for (const struct move *move = act->moves; move != NULL; move = move->next) {
        if (move->id == id) {
            return move;
        }
    }
    for (const struct move *move = act->ended; move != NULL; move = move->next) {
        if (move->id == id) {
            return move;
        }
    }
    return NULL;
}

static json_t *plan_moves_json(const struct agent_act *act)
{
    json_t *list = json_deep_copy(act->plan_moves);
    size_t index;
    json_t *entry;

    json_array_foreach(list, index, entry)
    {
        int64_t id = (int64_t)json_integer_value(json_object_get(entry, "migration"));
        const struct move *move = id > 0 ? any_move(act, id) : NULL;
        if (move != NULL) {
            set(entry, "state", json_string(move_state_name(move->state)));
        }
        if (move != NULL && move->error[0] != '\0') {
            set(entry, "error", json_string(move->error));
        }
    }
    return list;
}

/* A document counts slots from 00:00 of its first day; here they count from the plan's start. */
static json_t *ways_from_start(const json_t *groups, json_int_t start_slot)
{
    json_t *out = json_deep_copy(groups);
    size_t g, w, e;
    json_t *group, *way, *entry;

    json_array_foreach(out, g, group)
    {
        json_array_foreach(json_object_get(group, "ways"), w, way)
        {
            json_array_foreach(json_object_get(way, "at"), e, entry)
            {
                json_t *slot = json_array_get(entry, 0);
                json_integer_set(slot, json_integer_value(slot) - start_slot);
            }
        }
    }
    return out != NULL ? out : json_null();
}

static json_t *plan_json(const struct agent_act *act)
{
    static const char *const copied[] = {"made_at", "stay_cost_yen", "bound_yen", "gap",
                                         "kept",    "figures",       "signals",   NULL};
    char start[AGENT_TIME_TEXT_SIZE];

    if (!act->have_plan) {
        return json_null();
    }
    int64_t first = agent_slot_of(act->plan.first_slot_s);
    json_t *out = json_pack(
        "{s:s, s:i, s:I, s:f, s:I, s:s, s:b, s:o}", "start",
        agent_time_format(act->plan.first_slot_s, start), "slots", act->plan.slots, "slot_now",
        (json_int_t)(act->slot - first), "solve_real_s", act->plan.solve_real_s, "age_s",
        (json_int_t)(agent_clock_now_s(act->clock) - act->plan.first_slot_s), "note",
        act->plan_note, "stayed", act->plan.stayed, "moves", plan_moves_json(act));
    for (int at = 0; out != NULL && copied[at] != NULL; at++) {
        json_t *value = json_object_get(act->plan.document, copied[at]);
        json_object_set(out, copied[at], value != NULL ? value : json_null());
    }
    json_t *cost = json_object_get(act->plan.document, "cost_yen");
    json_t *total = json_is_object(cost) ? json_object_get(cost, "total") : cost;
    json_object_set(out, "cost_yen", total != NULL ? total : json_null());
    json_object_set(out, "cost_parts_yen", json_is_object(cost) ? cost : json_null());
    set(out, "groups",
        ways_from_start(json_object_get(act->plan.document, "groups"),
                        json_integer_value(json_object_get(act->plan.document, "start_slot"))));
    return out;
}

/* ---- all ---------------------------------------------------------------------------------- */

static json_t *alerts_json(const struct agent_act *act)
{
    json_t *list = json_array();

    for (int at = 0; at < act->alert_count; at++) {
        const struct act_alert *alert = &act->alerts[at];
        bool person = strstr(alert->key, "/unknown") != NULL;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "key", alert->key,
                                              "severity", person ? "person" : "warning", "vm",
                                              alert->vm, "text", alert->text, "check", alert->check,
                                              "since", act_time(alert->since_s)));
    }
    return list;
}

static double memory_mib(void)
{
    char *text = NULL;
    size_t size = 0;
    double pages = 0;

    if (agent_file_read("/proc/self/statm", 4096, &text, &size, NULL) == 0) {
        sscanf(text, "%*f %lf", &pages);
        free(text);
    }
    return pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static json_t *agent_json(const struct agent_act *act)
{
    return json_pack("{s:s, s:i, s:I, s:s, s:b, s:o, s:f}", "version", VMM_AGENT_VERSION, "pid",
                     (int)getpid(), "run", (json_int_t)act->run, "state",
                     act->recovering ? "recovering" : "ready", "paused", act->paused, "started_at",
                     act_time(act->started_s), "memory_mib", memory_mib());
}

static json_t *clock_json(const struct agent_act *act)
{
    int64_t slot = agent_slot_of(agent_clock_now_s(act->clock));
    double left_s = (double)agent_slot_start(slot + 1) - agent_clock_now(act->clock);

    return json_pack("{s:f, s:o, s:f}", "scale", act->clock->scale, "slot",
                     act_time((double)agent_slot_start(slot)), "slot_ends_in_real_s",
                     left_s / act->clock->scale);
}

json_t *agent_act_snapshot(const struct agent_act *act)
{
    const struct agent_inventory *inventory = act->inventory;
    json_t *sites = json_array();
    json_t *hosts = json_array();
    json_t *vms = json_array();
    json_t *links = json_array();

    for (size_t at = 0; at < inventory->site_count; at++) {
        json_array_append_new(sites, site_json(act, (int)at));
    }
    for (size_t at = 0; at < inventory->host_count; at++) {
        json_array_append_new(hosts, host_json(act, (int)at));
    }
    for (size_t at = 0; at < inventory->vm_count; at++) {
        json_array_append_new(vms, machine_json(&act->machines[at]));
    }
    for (size_t at = 0; at < inventory->link_count; at++) {
        json_array_append_new(links, link_json(act, (int)at));
    }
    json_t *out =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "schema",
                  AGENT_STATE_SCHEMA, "now", act_time(agent_clock_now(act->clock)), "agent",
                  agent_json(act), "clock", clock_json(act), "sites", sites, "hosts", hosts,
                  "links", links, "vms", vms, "migrations", moves_json(act), "plan", plan_json(act),
                  "plan_problem", act->plan_problem, "alerts", alerts_json(act));
    for (int at = 0; out != NULL && at < act->section_count; at++) {
        json_t *section = act->sections[at].fn(act->sections[at].opaque);
        set(out, act->sections[at].name, section != NULL ? section : json_null());
    }
    if (out != NULL && json_object_get(out, "dr") == NULL) {
        set(out, "dr", json_object());
    }
    return out;
}

json_t *act_explain(struct agent_act *act, int vm)
{
    const struct machine *machine = &act->machines[vm];
    const struct agent_inventory_vm *named = &act->inventory->vms[vm];
    json_t *qemus = json_array();

    for (const struct agent_qemu *qemu = machine->qemus; qemu != NULL; qemu = qemu->next) {
        json_array_append_new(qemus,
                              json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "epoch",
                                        (json_int_t)qemu->epoch, "host",
                                        act->inventory->hosts[qemu->host].name, "answers",
                                        agent_qemu_state_name(qemu->state), "status", qemu->status,
                                        "migration", qemu->migration, "verdict", qemu->verdict,
                                        "problem", qemu->problem, "pid", (int)qemu->pid));
    }
    const char *wants = act->have_plan ? act->plan.vms[vm].reason : "no plan was made yet";
    return json_pack("{s:o, s:o, s:o, s:s, s:o}", "vm", machine_json(machine), "qemus", qemus,
                     "migration",
                     machine->move != NULL ? act_move_json(machine->move) : json_null(), "plan",
                     wants, "story", agent_journal_story(act->journal, named->name, STORY_LINES));
}
