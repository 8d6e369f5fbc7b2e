/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/metrics_state.h"

#include <stdbool.h>
#include <string.h>

#define KW     1000.0
#define KWH    3.6e6     /* J */
#define GBIT_S (1e9 / 8) /* bytes/s */
#define MIB    1048576.0

/* What tells one sample from another: label, and the member it is read from. */
enum labels { SITE, HOST, VM, LINK, DR_SITE, MOVE };

static const struct {
    const char *label;
    const char *member;
} label_sets[][3] = {
    [SITE] = {{"site", "name"}},    [HOST] = {{"host", "name"}, {"site", "site"}},
    [VM] = {{"vm", "name"}},        [LINK] = {{"a", "a"}, {"b", "b"}},
    [DR_SITE] = {{"site", "site"}}, [MOVE] = {{"vm", "vm"}, {"from", "from"}, {"to", "to"}},
};

/* One number of every member of a list.
 * @list: "sites", or "dr/sites" one level down
 * @key: "power_kw", or "battery/soc_kwh" one level down; booleans count 0 and 1
 */
struct list_gauge {
    const char *name;
    const char *type;
    const char *help;
    const char *list;
    const char *key;
    double scale;
    enum labels labels;
};

static const struct list_gauge list_gauges[] = {
    {"vmm_agent_site_power_watts", "gauge", "Power by the declared model on measured CPU time.",
     "sites", "power_kw", KW, SITE},
    {"vmm_agent_site_power_limit_watts", "gauge", "Declared limit of power.", "sites", "limit_kw",
     KW, SITE},
    {"vmm_agent_site_surplus_watts", "gauge", "Renewable surplus of the current slot.", "sites",
     "surplus_kw", KW, SITE},
    {"vmm_agent_site_price_yen_per_joule", "gauge",
     "Price of the current slot (x 3.6e6 = yen/kWh).", "sites", "price_yen_per_kwh", 1 / KWH, SITE},
    {"vmm_agent_site_carbon_grams_per_joule", "gauge", "CO2 of the current slot.", "sites",
     "carbon_g_per_kwh", 1 / KWH, SITE},
    {"vmm_agent_site_energy_joules_total", "counter", "Energy used since the agent started.",
     "sites", "energy_kwh", KWH, SITE},
    {"vmm_agent_site_renewable_energy_joules_total", "counter",
     "Of that, covered by renewable surplus.", "sites", "renewable_kwh", KWH, SITE},
    {"vmm_agent_site_vms", "gauge", "Machines that run there or are moving there.", "sites", "vms",
     1, SITE},
    {"vmm_agent_site_battery_charge_joules", "gauge", "Energy in the site's battery.", "sites",
     "battery/soc_kwh", KWH, SITE},
    {"vmm_agent_site_battery_power_watts", "gauge", "Power of the site's battery.", "sites",
     "battery/power_kw", KW, SITE},
    {"vmm_agent_host_up", "gauge", "1 if the host answers.", "hosts", "up", 1, HOST},
    {"vmm_agent_host_drained", "gauge", "1 if nothing may come and what is there leaves.", "hosts",
     "drained", 1, HOST},
    {"vmm_agent_host_power_watts", "gauge", "Power by the declared model.", "hosts", "power_w", 1,
     HOST},
    {"vmm_agent_host_cpu_used_cores", "gauge", "Cores in use.", "hosts", "cpu_used", 1, HOST},
    {"vmm_agent_host_memory_used_bytes", "gauge", "Memory of machines there and on their way.",
     "hosts", "ram_used_mib", MIB, HOST},
    {"vmm_agent_vm_power_watts", "gauge", "A machine's part of its host's power.", "vms", "power_w",
     1, VM},
    {"vmm_agent_vm_moves_total", "counter", "Completed moves since the journal began.", "vms",
     "moves", 1, VM},
    {"vmm_agent_link_declared_bytes_per_second", "gauge", "Declared rate of the path.", "links",
     "rate_gbit_s", GBIT_S, LINK},
    {"vmm_agent_link_measured_bytes_per_second", "gauge", "Measured rate of the path.", "links",
     "measured_gbit_s", GBIT_S, LINK},
    {"vmm_agent_link_busy_ratio", "gauge", "Share of the last minute in which bytes moved.",
     "links", "busy", 1, LINK},
    {"vmm_agent_link_running", "gauge", "Migrations under way on the path.", "links", "running", 1,
     LINK},
    {"vmm_agent_link_queued", "gauge", "Migrations that wait for the path.", "links", "queued", 1,
     LINK},
};

/* One number at a fixed place. */
static const struct {
    const char *name;
    const char *help;
    const char *object;
    const char *key;
    double scale;
} gauges[] = {
    {"vmm_agent_paused", "1 while a person stopped new moves.", "agent", "paused", 1},
    {"vmm_agent_starts", "How often this agent has started on its journal.", "agent", "run", 1},
    {"vmm_agent_clock_scale", "Agent seconds per second; 1 in service.", "clock", "scale", 1},
    {"vmm_agent_plan_cost_yen", "What the plan expects to cost.", "plan", "cost_yen", 1},
    {"vmm_agent_plan_stay_cost_yen", "What moving nothing would cost.", "plan", "stay_cost_yen", 1},
    {"vmm_agent_plan_gap_ratio", "Proven distance of the plan from the best one.", "plan", "gap",
     1},
    {"vmm_agent_plan_age_seconds", "Age of the plan.", "plan", "age_s", 1},
    {"vmm_agent_dr_frequency_hertz", "Frequency of the grid.", "dr", "frequency/hz", 1},
    {"vmm_agent_dr_frequency_answer_watts", "What the droop asks for.", "dr", "frequency/answer_kw",
     KW},
    {"vmm_agent_plan_solve_seconds", "Time the planner took.", "plan", "solve_real_s", 1},
};

/* The member at "key" or "key/below", or NULL. */
static const json_t *member_at(const json_t *object, const char *path)
{
    const char *slash = strchr(path, '/');

    if (slash == NULL) {
        return json_object_get(object, path);
    }
    return json_object_get(json_object_getn(object, path, (size_t)(slash - path)), slash + 1);
}

/* A number, or a boolean as 0 or 1. */
static bool number_at(const json_t *object, const char *path, double *value)
{
    const json_t *at = member_at(object, path);

    if (json_is_boolean(at)) {
        *value = json_is_true(at) ? 1 : 0;
        return true;
    }
    *value = json_is_number(at) ? json_number_value(at) : 0;
    return json_is_number(at);
}

static void write_labels(FILE *out, const struct list_gauge *gauge, const json_t *member)
{
    for (size_t index = 0; index < 3 && label_sets[gauge->labels][index].label != NULL; index++) {
        const char *text =
            json_string_value(json_object_get(member, label_sets[gauge->labels][index].member));
        fprintf(out, "%s%s=\"", index == 0 ? "{" : ",", label_sets[gauge->labels][index].label);
        agent_metrics_label(out, text != NULL ? text : "");
        fputc('"', out);
    }
    fputc('}', out);
}

static void write_list_gauge(FILE *out, const struct list_gauge *gauge, const json_t *state)
{
    const json_t *list = member_at(state, gauge->list);
    bool begun = false;
    size_t index;
    json_t *member;

    json_array_foreach(list, index, member)
    {
        double value = 0;
        if (!number_at(member, gauge->key, &value)) {
            continue;
        }
        if (!begun) {
            agent_metrics_family(out, gauge->name, gauge->type, gauge->help);
            begun = true;
        }
        fputs(gauge->name, out);
        write_labels(out, gauge, member);
        agent_metrics_value(out, value * gauge->scale);
    }
}

/* How many members of @list have @key equal to each of @words. */
static void write_counts(FILE *out, const char *name, const char *help, const json_t *list,
                         const char *key, const char *const *words)
{
    agent_metrics_family(out, name, "gauge", help);
    for (; *words != NULL; words++) {
        unsigned count = 0;
        size_t index;
        json_t *member;
        json_array_foreach(list, index, member)
        {
            const char *value = json_string_value(json_object_get(member, key));
            count += value != NULL && strcmp(value, *words) == 0;
        }
        fprintf(out, "%s{%s=\"%s\"} %u\n", name, key, *words, count);
    }
}

/* Open migrations: how far, how fast, how much is under way. */
static void write_migrations(FILE *out, const json_t *list)
{
    static const struct list_gauge open_gauges[] = {
        {"vmm_agent_migration_progress_ratio", "gauge", "Progress of an open migration.", "",
         "progress", 1, MOVE},
        {"vmm_agent_migration_rate_bytes_per_second", "gauge", "Rate of an open migration.", "",
         "rate_gbit_s", GBIT_S, MOVE},
        {"vmm_agent_migration_in_flight_bytes", "gauge", "Bytes sent and not yet applied.", "",
         "in_flight_bytes", 1, MOVE},
        {"vmm_agent_migration_predicted_blackout_seconds", "gauge",
         "Blackout if the switchover came now.", "", "predicted_blackout_ms", 0.001, MOVE},
    };

    for (size_t row = 0; row < sizeof(open_gauges) / sizeof(open_gauges[0]); row++) {
        bool begun = false;
        size_t index;
        json_t *member;
        json_array_foreach(list, index, member)
        {
            const char *state = json_string_value(json_object_get(member, "state"));
            double value = 0;
            bool open =
                state != NULL && (strcmp(state, "running") == 0 || strcmp(state, "held") == 0);
            if (!open || !number_at(member, open_gauges[row].key, &value)) {
                continue;
            }
            if (!begun) {
                agent_metrics_family(out, open_gauges[row].name, "gauge", open_gauges[row].help);
                begun = true;
            }
            fputs(open_gauges[row].name, out);
            write_labels(out, &open_gauges[row], member);
            agent_metrics_value(out, value * open_gauges[row].scale);
        }
    }
}

static void write_build(FILE *out, const json_t *agent)
{
    const char *version = json_string_value(json_object_get(agent, "version"));

    agent_metrics_family(out, "vmm_agent_build_info", "gauge", "1, with the version as a label.");
    fputs("vmm_agent_build_info{version=\"", out);
    agent_metrics_label(out, version != NULL ? version : "");
    fputs("\"} 1\n", out);
}

void agent_metrics_write_state(FILE *out, const json_t *state)
{
    static const char *const vm_states[] = {"unknown", "absent", "running",
                                            "paused",  "moving", NULL};
    static const char *const open_states[] = {"queued", "running", "held", "unknown", NULL};
    static const char *const severities[] = {"warning", "person", NULL};

    if (state == NULL) {
        return;
    }
    write_build(out, json_object_get(state, "agent"));
    for (size_t index = 0; index < sizeof(gauges) / sizeof(gauges[0]); index++) {
        double value = 0;
        if (number_at(json_object_get(state, gauges[index].object), gauges[index].key, &value)) {
            agent_metrics_family(out, gauges[index].name, "gauge", gauges[index].help);
            fputs(gauges[index].name, out);
            agent_metrics_value(out, value * gauges[index].scale);
        }
    }
    for (size_t index = 0; index < sizeof(list_gauges) / sizeof(list_gauges[0]); index++) {
        write_list_gauge(out, &list_gauges[index], state);
    }
    write_counts(out, "vmm_agent_vms", "Machines by state.", json_object_get(state, "vms"), "state",
                 vm_states);
    write_counts(out, "vmm_agent_migrations", "Migrations that have not ended, by state.",
                 json_object_get(state, "migrations"), "state", open_states);
    write_counts(out, "vmm_agent_alerts", "What a person must look at, by severity.",
                 json_object_get(state, "alerts"), "severity", severities);
    write_migrations(out, json_object_get(state, "migrations"));
}
