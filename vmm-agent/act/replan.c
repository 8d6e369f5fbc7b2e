/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replan.c - Theory of operation
 * Signals (replan_signals.c) and what runs (replan_groups.c) become the typed question that the
 * simulation asks as well (plan/rolling.h). The plan speaks of groups; here its ways are given back
 * to machines: those of an entry take its ways in the order of the inventory, so that the next plan
 * means the same machines. What a machine's moves are worth is what staying would cost more at the
 * plan's prices (plan/explain.c). */
#include "act/replan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "act/replan_groups.h"
#include "act/replan_signals.h"
#include "forecast/forecast.h"
#include "plan/plan_json.h"
#include "support/yaml.h"

void agent_replan_settings_default(struct agent_replan_settings *settings)
{
    *settings = (struct agent_replan_settings){
        .weight_price = 1,
        .risk = AGENT_PLAN_RISK_USUAL,
        .gate_slots = 2,
        .imbalance_yen_per_kwh = 2,
        .horizon_slots = AGENT_SLOTS_PER_DAY,
        .time_limit_s = 20,
        .threads = 1,
    };
}

static int read_risk(const struct agent_yaml *node, double *risk, struct agent_error *error)
{
    static const char *const keys[] = {"p10", "p50", "p90", NULL};
    const struct agent_range share = {0, 1};
    double sum = 0;

    if (node == NULL) {
        return 0;
    }
    int status = agent_yaml_only(node, keys, error);
    for (int at = 0; at < PLAN_QUANTILES && status == 0; at++) {
        status = agent_yaml_number(node, keys[at], share, risk[at], &risk[at], error);
        sum += risk[at];
    }
    return status == 0 && fabs(sum - 1) > 1e-9
               ? agent_yaml_fail(node, error, "risk: p10 + p50 + p90 is %.10g, not 1", sum)
               : status;
}

static int read_whole(const struct agent_yaml *node, const char *key, struct agent_range range,
                      int *out, struct agent_error *error)
{
    double value = *out;
    int status = agent_yaml_number(node, key, range, value, &value, error);

    if (status == 0 && floor(value) < value) {
        return agent_yaml_fail(agent_yaml_child(node, key), error,
                               "%s: expected a whole number, found %g", key, value);
    }
    *out = (int)value;
    return status;
}

static int read_method(const struct agent_yaml *node, struct agent_replan_settings *settings,
                       struct agent_error *error)
{
    const char *name = NULL;
    int status = agent_yaml_text(node, "method", "", &name, error);

    if (status < 0 || name[0] == '\0') {
        return status;
    }
    settings->method = agent_fc_find(name);
    if (settings->method == NULL || !(settings->method->kinds & (1u << AGENT_FC_PV))) {
        return agent_yaml_fail(agent_yaml_child(node, "method"), error,
                               "method: '%.40s' is no forecast method for solar power (vmm-agent "
                               "forecast --list shows them)",
                               name);
    }
    return 0;
}

int agent_replan_settings_read(const struct agent_yaml *root,
                               struct agent_replan_settings *settings, struct agent_error *error)
{
    static const char *const keys[] = {"price",
                                       "carbon_yen_per_kg",
                                       "risk",
                                       "grid_yen_per_kwh",
                                       "gate_slots",
                                       "imbalance_yen_per_kwh",
                                       "method",
                                       "horizon_slots",
                                       "time_limit_s",
                                       "threads",
                                       NULL};
    const struct agent_yaml *node = agent_yaml_child(root, "plan");
    const struct {
        const char *key;
        struct agent_range range;
        double *out;
    } numbers[] = {
        {"price", {0, 1000}, &settings->weight_price},
        {"carbon_yen_per_kg", {0, 1000}, &settings->carbon_yen_per_kg},
        {"grid_yen_per_kwh", {0, 1000}, &settings->grid_yen_per_kwh},
        {"imbalance_yen_per_kwh", {0, 1000}, &settings->imbalance_yen_per_kwh},
        {"time_limit_s", {0.1, 600}, &settings->time_limit_s},
    };

    agent_replan_settings_default(settings);
    if (node == NULL) {
        return 0;
    }
    int status = agent_yaml_only(node, keys, error);
    for (size_t at = 0; at < sizeof(numbers) / sizeof(numbers[0]) && status == 0; at++) {
        status = agent_yaml_number(node, numbers[at].key, numbers[at].range, *numbers[at].out,
                                   numbers[at].out, error);
    }
    const struct agent_range day = {0, AGENT_SLOTS_PER_DAY};
    const struct agent_range horizon = {4, AGENT_SLOTS_PER_DAY};
    status =
        status < 0 ? status : read_whole(node, "gate_slots", day, &settings->gate_slots, error);
    status = status < 0
                 ? status
                 : read_whole(node, "horizon_slots", horizon, &settings->horizon_slots, error);
    status = status < 0 ? status
                        : read_whole(node, "threads", (struct agent_range){1, 64},
                                     &settings->threads, error);
    status = status < 0 ? status : read_risk(agent_yaml_child(node, "risk"), settings->risk, error);
    return status < 0 ? status : read_method(node, settings, error);
}

/* What one question borrows. */
struct question {
    const struct agent_replan_ask *ask;
    struct replan_signals *signals;
    struct replan_groups *groups;
    struct agent_roll roll;
    struct agent_roll_site *sites;
    struct plan_battery *batteries;
    struct agent_roll_link *links;
    char note[AGENT_REPLAN_NOTE_MAX];
};

static void note(struct question *question, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first note is kept: it is what a person should know first. */
static void note(struct question *question, const char *format, ...)
{
    va_list args;

    if (question->note[0] == '\0') {
        va_start(args, format);
        vsnprintf(question->note, sizeof(question->note), format, args);
        va_end(args);
    }
}

static void ask_battery(struct question *question, size_t site)
{
    const struct agent_battery_spec *spec = &question->ask->inventory->sites[site].battery;
    const struct replan_site_signals *signals = &question->signals->sites[site];
    double level = signals->battery_seen ? signals->soc_share * spec->soc_max_kwh : spec->soc_kwh;
    double middle = (spec->soc_min_kwh + spec->soc_max_kwh) / 2;

    if (spec->name == NULL) {
        return;
    }
    if (signals->battery_seen && !signals->battery_known) {
        level = NAN;
        note(question, "%s", signals->battery_reason);
    }
    question->batteries[site] = (struct plan_battery){
        .present = true,
        .charge_kw = spec->charge_kw,
        .discharge_kw = spec->discharge_kw,
        .charge_efficiency = spec->charge_efficiency,
        .discharge_efficiency = spec->discharge_efficiency,
        .soc_kwh = level,
        .soc_min_kwh = spec->soc_min_kwh,
        .soc_max_kwh = spec->soc_max_kwh,
        .soc_final_kwh = fmin(level, middle), /* what is left after the window is worth something */
    };
    question->sites[site].battery = &question->batteries[site];
}

static void ask_site(struct question *question, size_t site)
{
    const struct agent_inventory_site *from = &question->ask->inventory->sites[site];
    const struct replan_site_signals *signals = &question->signals->sites[site];
    const struct replan_use *use = &question->groups->use[site];

    if (use->cpu > use->hosts_cpu + 1e-9 || use->ram_gb > use->hosts_ram_gb + 1e-9) {
        note(question,
             "site '%s': what runs there takes %.4g cores and %.4g GB, its usable hosts have %.4g "
             "and %.4g: nothing more may come",
             from->name, use->cpu, use->ram_gb, use->hosts_cpu, use->hosts_ram_gb);
    }
    question->sites[site] = (struct agent_roll_site){
        .id = from->name,
        .area = agent_area_name(from->area),
        .cpu = fmax(use->cpu, use->hosts_cpu),
        .ram_gb = fmax(use->ram_gb, use->hosts_ram_gb),
        .power_kw = from->power_kw,
        .contract_kw = from->contract_kw,
        .idle_kw = use->idle_kw,
        .pue = from->pue,
        .demand_yen_per_kw = from->demand_yen_per_kw,
        .price = signals->price,
        .carbon = signals->carbon,
        .surplus_kw = {signals->surplus[PLAN_P10], signals->surplus[PLAN_P50],
                       signals->surplus[PLAN_P90]},
        .unknown_signal = signals->unknown,
        .unknown_reason = signals->reason,
    };
    ask_battery(question, site);
}

/* Room that a machine on its way holds at its destination is not the plan's to give. */
static void hold_room(struct question *question)
{
    const struct agent_inventory *inventory = question->ask->inventory;

    for (size_t vm = 0; vm < inventory->vm_count; vm++) {
        int dest = question->ask->running->vms[vm].dest;
        const struct agent_inventory_group *group = &inventory->groups[inventory->vms[vm].group];
        if (dest >= 0 && question->ask->running->vms[vm].host >= 0) {
            struct agent_roll_site *site = &question->sites[inventory->hosts[dest].site];
            site->cpu = fmax(0, site->cpu - group->cpu);
            site->ram_gb = fmax(0, site->ram_gb - group->ram_mib * 1048576.0 / 1e9);
        }
    }
}

static void ask_links(struct question *question)
{
    const struct agent_inventory *inventory = question->ask->inventory;
    double scale = question->ask->running->scale > 0 ? question->ask->running->scale : 1.0;

    for (size_t index = 0; index < inventory->link_count; index++) {
        const struct agent_inventory_link *from = &inventory->links[index];
        double measured = question->ask->running->links[index].rate_gbit_s;
        double rate = isfinite(measured) ? measured : from->rate_gbit_s;
        struct agent_roll_link link = {
            .from = from->a,
            .to = from->b,
            .rate_gbit_s = rate * from->share / scale, /* a slot has 1800 / scale real seconds */
            .yen_per_gb = from->yen_per_gb,
            .blackout_ms = question->groups->blackout_ms,
        };
        question->links[2 * index] = link;
        link.from = from->b;
        link.to = from->a;
        question->links[2 * index + 1] = link;
    }
}

static int ask_all(struct question *question, struct agent_error *error)
{
    const struct agent_replan_ask *ask = question->ask;
    const struct agent_replan_settings *settings = ask->settings;

    question->sites = calloc(ask->inventory->site_count + 1, sizeof(*question->sites));
    question->batteries = calloc(ask->inventory->site_count + 1, sizeof(*question->batteries));
    question->links = calloc(2 * ask->inventory->link_count + 1, sizeof(*question->links));
    if (question->sites == NULL || question->batteries == NULL || question->links == NULL) {
        return agent_error_set(error, ENOMEM, "plan: out of memory for a question");
    }
    for (size_t site = 0; site < ask->inventory->site_count; site++) {
        ask_site(question, site);
    }
    hold_room(question);
    ask_links(question);
    question->roll = (struct agent_roll){
        .name = "rolling",
        .day_slot = question->signals->day_slot,
        .first = question->signals->first,
        .end = question->signals->end,
        .weight_price = settings->weight_price,
        .carbon_yen_per_kg = settings->carbon_yen_per_kg,
        .grid_yen_per_kwh = settings->grid_yen_per_kwh,
        .gate_slots = settings->gate_slots,
        .imbalance_yen_per_kwh = settings->imbalance_yen_per_kwh,
        .site_count = ask->inventory->site_count,
        .sites = question->sites,
        .link_count = 2 * ask->inventory->link_count,
        .links = question->links,
        .group_count = question->groups->count,
        .groups = question->groups->groups,
        .before = ask->before,
        .options = {.threads = settings->threads, .time_limit_s = settings->time_limit_s},
    };
    memcpy(question->roll.risk, settings->risk, sizeof(question->roll.risk));
    return 0;
}

/* The machine's way, what it is worth and why, from leg @index of the plan. */
static int give_leg(const struct question *question, const struct agent_plan *plan, int index,
                    const json_t *reasons, struct agent_replan_vm *vm)
{
    const struct plan_leg *leg = &plan->legs[index];
    double way = json_number_value(json_object_get(reasons, "way_yen"));
    const json_t *stay = json_object_get(reasons, "stay_yen");
    const char *reason = json_string_value(json_object_get(reasons, "reason"));
    int home = plan->instance->groups[leg->group].running[leg->start].site;
    int slot = 0;

    vm->site = malloc((size_t)plan->slots);
    if (vm->site == NULL) {
        return -ENOMEM;
    }
    memcpy(vm->site, leg->sites, (size_t)plan->slots);
    while (slot < plan->slots && leg->sites[slot] == home) {
        slot++;
    }
    bool moves = slot < plan->slots;
    vm->benefit_yen = moves && json_is_number(stay) ? json_number_value(stay) - way : 0;
    if (moves) {
        char when[AGENT_TIME_TEXT_SIZE];
        agent_time_format(
            agent_slot_start(question->signals->day_slot + plan->instance->first + slot), when);
        snprintf(vm->reason, sizeof(vm->reason),
                 "to %.40s at %.16s JST: %.76s, %+.2f JPY by the plan's end",
                 question->ask->inventory->sites[leg->sites[slot]].name, when,
                 reason != NULL ? reason : "planned", -vm->benefit_yen);
    } else {
        const char *frozen = plan->instance->sites[home].frozen;
        snprintf(vm->reason, sizeof(vm->reason), "%.90s%s%.100s", reason != NULL ? reason : "stays",
                 frozen != NULL ? ": " : "",
                 frozen != NULL ? question->signals->sites[home].reason : "");
    }
    return 0;
}

/* Ways of the plan back to machines: those of an entry take its ways in the inventory's order. */
static int give_ways(const struct question *question, const struct agent_plan *plan,
                     struct agent_replan_answer *answer)
{
    json_t *explained = agent_plan_explain(plan, NULL);
    int *left = calloc((size_t)plan->leg_count + 1, sizeof(*left));
    int status = explained != NULL && left != NULL ? 0 : -ENOMEM;

    for (int leg = 0; status == 0 && leg < plan->leg_count; leg++) {
        left[leg] = plan->legs[leg].count;
    }
    for (size_t vm = 0; vm < answer->vm_count && status == 0; vm++) {
        int first = 0;
        for (int leg = 0; leg < plan->leg_count; leg++) {
            const struct plan_leg *from = &plan->legs[leg];
            first = leg > 0 && from->group != plan->legs[leg - 1].group ? leg : first;
            if (from->group == question->groups->vm_group[vm] &&
                from->start == question->groups->vm_entry[vm] && left[leg] > 0) {
                const json_t *group =
                    json_array_get(json_object_get(explained, "groups"), (size_t)from->group);
                left[leg]--;
                if (question->groups->why[vm][0] == '\0') {
                    status = give_leg(
                        question, plan, leg,
                        json_array_get(json_object_get(group, "ways"), (size_t)(leg - first)),
                        &answer->vms[vm]);
                }
                break;
            }
        }
    }
    free(left);
    json_decref(explained);
    return status;
}

static void add_outlook(const struct question *question, json_t *document)
{
    json_t *sites = json_object_get(document, "sites");
    json_t *entry = NULL;
    size_t index = 0;

    json_array_foreach(sites, index, entry)
    {
        const struct replan_site_signals *site = &question->signals->sites[index];
        int first = question->signals->first;
        int count = question->signals->end - first;
        static const char *const names[PLAN_QUANTILES] = {"p10", "p50", "p90"};
        json_t *surplus = json_object();
        for (int q = 0; q < PLAN_QUANTILES; q++) {
            json_object_set_new(surplus, names[q],
                                plan_series_json(site->surplus[q] + first, count));
        }
        json_object_set_new(
            entry, "outlook",
            json_pack("{s:o, s:o, s:o}", "price_yen_per_kwh",
                      plan_series_json(site->price + first, count), "carbon_g_per_kwh",
                      plan_series_json(site->carbon + first, count), "surplus_kw", surplus));
    }
}

static void add_provenance(const struct question *question, struct agent_replan_answer *answer)
{
    char when[AGENT_TIME_TEXT_SIZE];
    json_t *document = answer->document;

    json_object_set_new(document, "made_at",
                        json_string(agent_time_format(question->ask->running->now_s, when)));
    json_object_set_new(document, "first_slot_at",
                        json_string(agent_time_format(answer->first_slot_s, when)));
    json_object_set_new(document, "note", json_string(answer->note));
    json_object_set_new(document, "signals", replan_signals_json(question->ask, question->signals));
    json_object_set(document, "inputs", question->signals->inputs);
    add_outlook(question, document);
}

/* One line for people when nothing moves: the first reason found. */
static void say_why(struct question *question, const struct agent_roll_answer *solved,
                    struct agent_replan_answer *answer)
{
    const struct replan_site_signals *frozen = NULL;
    size_t frozen_count = 0;

    for (size_t site = 0; site < question->signals->site_count; site++) {
        bool here = question->signals->sites[site].unknown != NULL;
        frozen = here && frozen == NULL ? &question->signals->sites[site] : frozen;
        frozen_count += here ? 1 : 0;
    }
    if (solved->stayed) {
        snprintf(answer->note, sizeof(answer->note), "nothing moves: %.470s", solved->why);
    } else if (frozen != NULL && solved->plan->figures.moves == 0) {
        snprintf(answer->note, sizeof(answer->note),
                 "nothing moves: %zu of %zu sites are left as they are: %.300s", frozen_count,
                 question->signals->site_count, frozen->reason);
    } else if (frozen != NULL) {
        snprintf(answer->note, sizeof(answer->note),
                 "%zu of %zu sites are left as they are: %.300s", frozen_count,
                 question->signals->site_count, frozen->reason);
    } else if (question->note[0] != '\0') {
        snprintf(answer->note, sizeof(answer->note), "%s", question->note);
    } else if (solved->plan->figures.moves == 0) {
        snprintf(answer->note, sizeof(answer->note),
                 "no beneficial move until the plan's end: staying costs %.2f JPY and no other way "
                 "less, moves included",
                 solved->plan->cost.total);
    }
}

static int take(struct question *question, struct agent_roll_answer *solved,
                struct agent_replan_answer *answer, struct agent_error *error)
{
    answer->first_slot_s = agent_slot_start(question->signals->day_slot + question->signals->first);
    answer->slots = question->signals->end - question->signals->first;
    answer->stayed = solved->stayed;
    say_why(question, solved, answer);
    for (size_t vm = 0; vm < answer->vm_count; vm++) {
        snprintf(answer->vms[vm].reason, sizeof(answer->vms[vm].reason), "%s",
                 question->groups->why[vm]);
    }
    answer->document = json_incref(solved->document);
    answer->instance = question->ask->instance_too ? json_incref(solved->question) : NULL;
    if (answer->document == NULL) {
        return agent_error_set(error, ENOMEM, "plan: out of memory for a document");
    }
    add_provenance(question, answer);
    return give_ways(question, solved->plan, answer) == 0
               ? 0
               : agent_error_set(error, ENOMEM, "plan: out of memory for the machines");
}

static double real_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int run(struct question *question, struct agent_replan_answer *answer,
               struct agent_error *error)
{
    struct agent_roll_answer solved = {0};
    int status = replan_signals_read(question->ask, &question->signals, error);

    status = status < 0 ? status : replan_groups_new(question->ask, &question->groups, error);
    status = status < 0 ? status : ask_all(question, error);
    if (status < 0) {
        return status;
    }
    if (question->groups->count == 0) {
        return agent_error_set(error, ENODATA, "plan: no machine is known to run anywhere");
    }
    double begun = real_s();
    status = agent_roll_solve(&question->roll, &solved, error);
    answer->solve_real_s = real_s() - begun;
    status = status < 0 ? status : take(question, &solved, answer, error);
    agent_roll_answer_done(&solved);
    return status;
}

int agent_replan_run(const struct agent_replan_ask *ask, struct agent_replan_answer *answer,
                     struct agent_error *error)
{
    struct question question = {.ask = ask};

    answer->vm_count = ask->inventory->vm_count;
    answer->vms = calloc(answer->vm_count + 1, sizeof(*answer->vms));
    int status = answer->vms != NULL
                     ? run(&question, answer, error)
                     : agent_error_set(error, ENOMEM, "plan: out of memory for the machines");
    free(question.sites);
    free(question.batteries);
    free(question.links);
    replan_groups_free(question.groups);
    replan_signals_free(question.signals);
    if (status < 0) {
        agent_replan_answer_done(answer);
    }
    return status;
}

void agent_replan_answer_done(struct agent_replan_answer *answer)
{
    for (size_t vm = 0; answer->vms != NULL && vm < answer->vm_count; vm++) {
        free(answer->vms[vm].site);
    }
    free(answer->vms);
    json_decref(answer->document);
    json_decref(answer->instance);
    memset(answer, 0, sizeof(*answer));
}
