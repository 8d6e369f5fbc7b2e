/* SPDX-License-Identifier: GPL-2.0-or-later */
/* power.c - power by the declared model of each host on the measured CPU time of its QEMUs
 * Owner, thread: private.h.
 * Time:  CPU time per monotonic second; energy is power x agent time.   Units: W, kWh, cores.
 *
 * host = idle_w + (busy_w - idle_w) x cores in use / cores. A site adds its hosts and multiplies by
 * PUE. A model, declared by the operator: nothing here pretends to be a meter. */
#include <math.h>
#include <string.h>

#include "act/private.h"
#include "support/slot.h"

#define TOO_SHORT_NS (20 * AGENT_NS_PER_MS) /* CPU time counts in ticks of 10 ms */
#define MEAN_S       2.0                    /* single looks are rough; demand response means sites over as much */

static const struct agent_inventory_host *host_of(const struct machine *machine)
{
    return &machine->act->inventory->hosts[machine->owner->host];
}

double act_machine_power_w(const struct machine *machine)
{
    if (machine->owner == NULL) {
        return 0;
    }
    const struct agent_inventory_host *host = host_of(machine);
    return (host->busy_w - host->idle_w) * machine->cpu_used / host->cpu;
}

/* Cores that one QEMU used since the last look; negative = not known. */
static double cores_of(struct agent_act *act, struct agent_qemu *qemu, double passed_s)
{
    double now_s = qemu->pid > 0 && qemu->state != AGENT_QEMU_GONE
                       ? act->world->cpu_s(act->world->opaque, qemu->pid)
                       : -1;
    double before_s = qemu->cpu_s;

    qemu->cpu_s = now_s;
    return now_s < 0 || before_s < 0 ? -1 : fmax(0, now_s - before_s) / passed_s;
}

/* Takes in that @cores were used for @passed_s; returns the mean of the last MEAN_S. */
static double mean_cores(struct act_cpu *cpu, double passed_s, double cores)
{
    double time_s = 0;
    double sum = 0;

    cpu->passed_s[cpu->looks % ACT_CPU_LOOKS] = passed_s;
    cpu->cores[cpu->looks % ACT_CPU_LOOKS] = cores;
    cpu->looks++;
    for (unsigned back = 1; back <= ACT_CPU_LOOKS && back <= cpu->looks && time_s < MEAN_S; back++) {
        unsigned at = (cpu->looks - back) % ACT_CPU_LOOKS;
        double part_s = fmin(cpu->passed_s[at], MEAN_S - time_s);
        sum += cpu->cores[at] * part_s;
        time_s += part_s;
    }
    return time_s > 0 ? sum / time_s : cores;
}

static void measure_machines(struct agent_act *act, double passed_s)
{
    for (size_t host = 0; host < act->inventory->host_count; host++) {
        act->hosts[host].cpu_used = 0;
    }
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        struct machine *machine = &act->machines[vm];
        for (struct agent_qemu *qemu = machine->qemus; qemu != NULL; qemu = qemu->next) {
            double cores = cores_of(act, qemu, passed_s);
            if (cores >= 0) {
                act->hosts[qemu->host].cpu_used += cores;
            }
            if (cores >= 0 && qemu == machine->owner) {
                machine->cpu_used = mean_cores(&machine->cpu, passed_s, cores);
            }
        }
    }
}

double act_outlook_at(const struct agent_act *act, int site, const char *key, int64_t at_slot)
{
    const char *name = act->inventory->sites[site].name;
    size_t index;
    json_t *entry;

    if (!act->have_plan) {
        return NAN;
    }
    int64_t slot = at_slot - agent_slot_of(act->plan.first_slot_s);
    json_array_foreach(json_object_get(act->plan.document, "sites"), index, entry) {
        const char *id = json_string_value(json_object_get(entry, "id"));
        const json_t *series = json_object_get(json_object_get(entry, "outlook"), key);
        series = json_is_object(series) ? json_object_get(series, "p50") : series;
        if (id != NULL && strcmp(id, name) == 0) {
            const json_t *value = json_is_array(series) ? json_array_get(series, (size_t)slot)
                                                        : series;
            return json_is_number(value) ? json_number_value(value) : NAN;
        }
    }
    return NAN;
}

double act_outlook(const struct agent_act *act, int site, const char *key)
{
    return act_outlook_at(act, site, key, agent_slot_of(agent_clock_now_s(act->clock)));
}

static void account(struct agent_act *act, double passed_s)
{
    double hours = passed_s * act->clock->scale / 3600;

    for (size_t site = 0; site < act->inventory->site_count; site++) {
        double kw = agent_act_site_power_w(act, (int)site, NULL) / 1000;
        double surplus_kw = act_outlook(act, (int)site, "surplus_kw");
        act->sites[site].kwh += kw * hours;
        act->sites[site].slot_kwh += kw * hours;
        if (isfinite(surplus_kw)) {
            act->sites[site].renewable_kwh += fmin(kw, fmax(0, surplus_kw)) * hours;
        }
    }
}

void act_measure(struct agent_act *act)
{
    int64_t now_ns = agent_loop_now_ns(act->loop);
    int64_t passed_ns = now_ns - act->measured_ns;

    if (passed_ns < TOO_SHORT_NS) {
        return;
    }
    double passed_s = (double)passed_ns / (double)AGENT_NS_PER_S;
    act->measured_ns = now_ns;
    measure_machines(act, passed_s);
    for (size_t host = 0; host < act->inventory->host_count; host++) {
        const struct agent_inventory_host *named = &act->inventory->hosts[host];
        double share = fmin(1, act->hosts[host].cpu_used / named->cpu);
        act->hosts[host].power_w = named->idle_w + (named->busy_w - named->idle_w) * share;
    }
    account(act, passed_s);
}

void agent_act_measure(struct agent_act *act)
{
    act_measure(act);
}

double agent_act_site_power_w(struct agent_act *act, int site, int64_t *at_ns)
{
    double sum_w = 0;

    for (size_t host = 0; host < act->inventory->host_count; host++) {
        sum_w += act->inventory->hosts[host].site == site ? act->hosts[host].power_w : 0;
    }
    if (at_ns != NULL) {
        *at_ns = act->measured_ns;
    }
    return sum_w * act->inventory->sites[site].pue;
}

double agent_act_vm_power_w(struct agent_act *act, int vm)
{
    return act_machine_power_w(&act->machines[vm]);
}
