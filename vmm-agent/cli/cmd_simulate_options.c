/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_simulate_options.c - the options of `simulate`, each checked where it is read
 * Owner: none.   Thread: main.   Time: dates are Japanese.   Units: in each option's help. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd_simulate.h"
#include "cli/options.h"
#include "support/text.h"

#define LIST_MAX 512

const struct agent_option agent_simulate_options[] = {
    {"data", "DIR", "@dir", "read measurements, prices and outlooks from DIR (default: synthetic)"},
    {"day", "DATE", NULL, "simulate from this day (default: the first of the year)"},
    {"days", "N", NULL, "so many days, 1..366 (default: 1 with --day, else the year)"},
    {"year", "YYYY", NULL, "fiscal year, April to March (default 2025)"},
    {"areas", "LIST", NULL, "one site per area, as 09,06 or kyushu,kansai (default 09,06)"},
    {"pv-ratio", "LIST", NULL,
     "peak solar power / load of all, per site or one for all "
     "(default 1)"},
    {"price-only", NULL, NULL, "no solar power: what price alone gives"},
    {"vms", "N", NULL, "simulate N VMs with every strategy and the planner (default 0: formulas)"},
    {"groups", "N", NULL, "in so many groups (default 20)"},
    {"capacity", "SHARE", NULL, "share of all VMs that fits at one site (default 1)"},
    {"method", "NAME", NULL, "forecast method (default: all, and their choice)"},
    {"lead", "SLOTS", NULL, "half hours between decision and day (default 14: 17:00)"},
    {"replan", "SLOTS", NULL,
     "plan again every so many half hours, 0 = only day plans (default 1 up to 31 days, else 4)"},
    {"gate", "SLOTS", NULL, "half hours before delivery at which procurement closes (default 2)"},
    {"imbalance", "YEN", NULL, "price of a kWh more or less than bought (default 2)"},
    {"yen-per-gb", "YEN", NULL, "price of moving (default 0.1)"},
    {"yen-per-ton", "YEN", NULL, "weight of a ton of CO2 in the objective (default 0)"},
    {"link", "GBIT", NULL, "Gb/s between two sites (default 100)"},
    {"fault", "LIST", NULL, "spoil signals, as 09:pv:late or 06:price:missing@0 (day of the run)"},
    {"seed", "N", NULL, "of the synthetic year and of the VMs (default 1)"},
    {"html", "FILE", "@file", "write a self-contained page"},
    {"plots", "DIR", "@dir", "write plots by gnuplot"},
    {"write", "DIR", "@dir", "write the synthetic days as the operators' files, and stop"},
    {NULL, NULL, NULL, NULL},
};

static const char *value_of(const struct agent_context *context, const char *name)
{
    return agent_option_value(context, agent_simulate_options, name);
}

/* The next member of a comma-separated list into @word. Return: 1, 0 at the end, -EINVAL. */
static int next_word(const char **at, char *word, size_t size)
{
    if (**at == '\0') {
        return 0;
    }
    size_t length = strcspn(*at, ",");
    if (length == 0 || length >= size || ((*at)[length] == ',' && (*at)[length + 1] == '\0')) {
        return -EINVAL;
    }
    memcpy(word, *at, length);
    word[length] = '\0';
    *at += length + ((*at)[length] == ',' ? 1 : 0);
    return 1;
}

static int areas(const struct agent_context *context, struct agent_sim_request *request,
                 struct agent_error *error)
{
    const char *text = value_of(context, "areas");
    const char *at = text != NULL ? text : "09,06";
    char word[64];
    int more = 0;

    while ((more = next_word(&at, word, sizeof(word))) > 0) {
        enum agent_area area = agent_area_of(word);
        if (area == AGENT_AREA_NONE) {
            return agent_error_set(error, EINVAL,
                                   "--areas: unknown area '%s'; expected 01..10 or a name such as "
                                   "kyushu",
                                   word);
        }
        if (request->site_count == AGENT_SIM_SITES_MAX) {
            return agent_error_set(error, EINVAL, "--areas: more than %d sites",
                                   AGENT_SIM_SITES_MAX);
        }
        request->sites[request->site_count++] =
            (struct agent_sim_site){.area = area, .ratio = 1.0, .capacity = 1.0};
    }
    if (more < 0 || request->site_count < 2) {
        return agent_error_set(error, EINVAL,
                               "--areas: expected 2..%d areas separated by commas, found '%.60s'",
                               AGENT_SIM_SITES_MAX, text != NULL ? text : "");
    }
    return 0;
}

static int ratios(const struct agent_context *context, struct agent_sim_request *request,
                  struct agent_error *error)
{
    const char *text = value_of(context, "pv-ratio");
    bool price_only = value_of(context, "price-only") != NULL;
    const char *at = text != NULL ? text : price_only ? "0" : "1";
    double ratio = 0.0;
    char word[64];
    size_t count = 0;
    int more = 0;

    if (price_only && text != NULL) {
        return agent_error_set(error, EINVAL, "--price-only and --pv-ratio exclude each other");
    }
    while ((more = next_word(&at, word, sizeof(word))) > 0) {
        if (agent_text_number(word, &ratio) != 0 || !(ratio >= 0.0 && ratio <= 1000.0)) {
            return agent_error_set(error, EINVAL,
                                   "--pv-ratio: expected numbers 0..1000, found '%s'", word);
        }
        if (count < request->site_count) {
            request->sites[count].ratio = ratio;
        }
        count++;
    }
    if (more < 0 || (count != 1 && count != request->site_count)) {
        return agent_error_set(error, EINVAL,
                               "--pv-ratio: expected 1 or %zu numbers, found '%.60s'",
                               request->site_count, text != NULL ? text : "");
    }
    for (size_t s = 1; count == 1 && s < request->site_count; s++) {
        request->sites[s].ratio = ratio;
    }
    return 0;
}

/* AREA:SIGNAL:KIND or AREA:SIGNAL:KIND@DAY */
static int fault(const char *word, struct agent_sim_fault *out, struct agent_error *error)
{
    char area[24] = "";
    char signal[24] = "";
    char kind[24] = "";
    int day = -1;
    int used = 0;
    int fields =
        sscanf(word, "%23[^:]:%23[^:]:%23[^@]%n@%d%n", area, signal, kind, &used, &day, &used);

    out->area = agent_area_of(area);
    out->signal = strcmp(signal, "pv") == 0 ? SIM_PV : SIM_PRICE;
    out->kind = agent_gate_fault_parse(kind);
    out->day = fields == 4 ? day : -1;
    if (fields < 3 || word[used] != '\0' || out->area == AGENT_AREA_NONE ||
        (strcmp(signal, "pv") != 0 && strcmp(signal, "price") != 0) || out->kind == AGENT_GATE_OK ||
        out->kind == AGENT_GATE_FAULTS || (fields == 4 && (day < 0 || day >= AGENT_SIM_DAYS_MAX))) {
        return agent_error_set(error, EINVAL,
                               "--fault: expected AREA:pv|price:missing|late|stale|zero|future|"
                               "revised|implausible[@DAY], found '%.60s'",
                               word);
    }
    return 0;
}

static int faults(const struct agent_context *context, struct agent_sim_request *request,
                  struct agent_error *error)
{
    const char *at = value_of(context, "fault");
    char word[LIST_MAX];
    int more = 0;

    while (at != NULL && (more = next_word(&at, word, sizeof(word))) > 0) {
        if (request->fault_count == AGENT_SIM_FAULTS_MAX) {
            return agent_error_set(error, EINVAL, "--fault: more than %d", AGENT_SIM_FAULTS_MAX);
        }
        int result = fault(word, &request->faults[request->fault_count++], error);
        if (result != 0) {
            return result;
        }
    }
    return more < 0 ? agent_error_set(error, EINVAL, "--fault: an empty member in the list") : 0;
}

static int period(const struct agent_context *context, struct agent_simulate_job *job,
                  struct agent_error *error)
{
    struct agent_sim_request *request = &job->request;
    const char *day = value_of(context, "day");
    double year = 2025;
    double days = 0;
    struct agent_date first = {0, 4, 1};

    if (day != NULL && value_of(context, "year") != NULL) {
        return agent_error_set(error, EINVAL, "--day and --year exclude each other");
    }
    const struct agent_number_rule rules[] = {{"year", 2002, 2096, true, &year},
                                              {"days", 1, AGENT_SIM_DAYS_MAX, true, &days}};
    int result = agent_option_numbers(context, agent_simulate_options, rules, 2, error);
    first.year = (int)year;
    if (result == 0 && day != NULL) {
        result = agent_date_parse(day, &first, error);
        if (result == 0 && (first.year < 2002 || first.year > 2096)) {
            result =
                agent_error_set(error, EINVAL, "--day: expected 2002..2096, found '%.20s'", day);
        }
    }
    if (result != 0) {
        return result;
    }
    struct agent_date next = {first.year + 1, 4, 1};
    request->first_day = agent_slot_at(first, 0);
    int64_t whole_year = (agent_slot_at(next, 0) - request->first_day) / AGENT_SLOTS_PER_DAY;
    request->days = days > 0 ? (size_t)days : day != NULL ? 1 : (size_t)whole_year;
    return 0;
}

static int method(const struct agent_context *context, struct agent_sim_request *request,
                  struct agent_error *error)
{
    const char *name = value_of(context, "method");

    if (name == NULL) {
        return 0;
    }
    request->method = agent_fc_find(name);
    if (request->method == NULL || !(request->method->kinds & (1u << AGENT_FC_PV))) {
        return agent_error_set(error, EINVAL,
                               "--method: '%.40s' is no method for solar power (vmm-agent forecast "
                               "--list shows them)",
                               name);
    }
    return 0;
}

static int sizes(const struct agent_context *context, struct agent_sim_request *request,
                 struct agent_error *error)
{
    double vms = 0, groups = 20, capacity = 1, lead = AGENT_FC_LEAD_DEFAULT, seed = 1;
    double replan = request->days <= 31 ? 1 : 4, gate = 2;
    double least = 1.0 / (double)request->site_count;
    const struct agent_number_rule rules[] = {
        {"vms", 0, AGENT_SIM_VMS_MAX, true, &vms},
        {"groups", 1, AGENT_SIM_GROUPS_MAX, true, &groups},
        {"capacity", least, 1, false, &capacity},
        {"lead", 0, AGENT_FC_LEAD_MAX, true, &lead},
        {"replan", 0, AGENT_SIM_SLOTS, true, &replan},
        {"gate", 0, AGENT_SIM_SLOTS, true, &gate},
        {"imbalance", 0, 1000, false, &request->imbalance_yen_per_kwh},
        {"seed", 0, 9e15, true, &seed},
        {"yen-per-gb", 0, 1e4, false, &request->yen_per_gb},
        {"yen-per-ton", 0, 1e6, false, &request->yen_per_ton},
        {"link", 0.001, 1e5, false, &request->link_gbit_s},
    };
    int result = agent_option_numbers(context, agent_simulate_options, rules,
                                      sizeof(rules) / sizeof(rules[0]), error);

    if (result == 0 && vms > 0 && vms < groups && value_of(context, "groups") == NULL) {
        groups = vms; /* the default is for many */
    }
    if (result == 0 && vms > 0 && vms < groups) {
        result = agent_error_set(error, EINVAL, "--groups: %.0f groups cannot be made of %.0f VMs",
                                 groups, vms);
    }
    request->vms = (int)vms;
    request->groups = (int)groups;
    request->lead_slots = (int64_t)lead;
    request->seed = (uint64_t)seed;
    request->replan_slots = (int)replan;
    request->gate_slots = (int)gate;
    for (size_t s = 0; s < request->site_count; s++) {
        request->sites[s].capacity = capacity;
    }
    return result;
}

int agent_simulate_parse(const struct agent_context *context, struct agent_simulate_job *job,
                         struct agent_error *error)
{
    struct agent_sim_request *request = &job->request;

    *job = (struct agent_simulate_job){
        .request = {.yen_per_gb = 0.1, .link_gbit_s = 100, .imbalance_yen_per_kwh = 2},
        .data_dir = value_of(context, "data"),
        .write_dir = value_of(context, "write"),
        .html = value_of(context, "html"),
        .plots = value_of(context, "plots"),
    };
    if (job->data_dir != NULL && job->write_dir != NULL) {
        return agent_error_set(error, EINVAL, "--data and --write exclude each other");
    }
    int result = period(context, job, error);
    result = result != 0 ? result : areas(context, request, error);
    result = result != 0 ? result : ratios(context, request, error);
    result = result != 0 ? result : method(context, request, error);
    result = result != 0 ? result : sizes(context, request, error);
    return result != 0 ? result : faults(context, request, error);
}
