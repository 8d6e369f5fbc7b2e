/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <string.h>

#include "simulate/report.h"

const char *agent_sim_label(const struct agent_sim_request *request, size_t site, char *out)
{
    const char *name = agent_area_name(request->sites[site].area);
    int copy = 1;

    for (size_t s = 0; s < site; s++) {
        copy += request->sites[s].area == request->sites[site].area ? 1 : 0;
    }
    if (copy == 1) {
        snprintf(out, 40, "%.30s", name);
    } else {
        snprintf(out, 40, "%.24s #%d", name, copy);
    }
    return out;
}

double agent_sim_use_share(const struct agent_sim_outcome *outcome)
{
    double load = outcome->account.load_kwh;

    return load > 0.0 ? outcome->account.used_kwh / load : (double)NAN;
}

/* NAN and infinities have no JSON number: null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void put(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, number(value));
}

static json_t *four(const struct agent_kpi_use *use, double divisor)
{
    json_t *object = json_object();

    put(object, "uniform", use->uniform / divisor);
    put(object, "best_static", use->best_static / divisor);
    put(object, "dynamic", use->dynamic / divisor);
    put(object, "oracle", use->oracle / divisor);
    return object;
}

static json_t *gain(double better, double base, double load)
{
    json_t *object = json_object();

    put(object, "ratio", base > 0.0 ? better / base : (double)NAN);
    put(object, "points", 100.0 * (better - base) / load);
    put(object, "kwh", (better - base) * 0.5 * AGENT_SIM_BASE_KW);
    return object;
}

static json_t *sites(const struct agent_sim_report *report)
{
    json_t *list = json_array();
    char label[40];

    for (size_t s = 0; s < report->request->site_count; s++) {
        const struct agent_sim_site *site = &report->request->sites[s];
        json_t *object =
            json_pack("{s:s, s:s, s:i}", "name", agent_sim_label(report->request, s, label), "area",
                      agent_area_name(site->area), "number", (int)site->area);
        put(object, "pv_ratio", site->ratio);
        put(object, "capacity_share", site->capacity);
        put(object, "pv_peak_mw", report->result->peak_mw[s]);
        json_array_append_new(list, object);
    }
    return list;
}

static void renewable(const struct agent_sim_report *report, json_t *root)
{
    const struct agent_kpi_use *use = &report->result->use;
    char label[40];

    if (!report->result->use_known) {
        json_object_set_new(root, "renewable_use", json_null());
        return;
    }
    json_object_set_new(root, "renewable_use", four(use, use->load));
    json_object_set_new(root, "absorption", four(use, use->available));
    json_object_set_new(root, "renewable_kwh", four(use, 2.0 / AGENT_SIM_BASE_KW));
    json_object_set_new(root, "gain",
                        json_pack("{s:o, s:o}", "over_uniform",
                                  gain(use->dynamic, use->uniform, use->load), "over_best_static",
                                  gain(use->dynamic, use->best_static, use->load)));
    json_object_set_new(
        root, "renewable_basis",
        json_pack("{s:s, s:s, s:i, s:i, s:f}", "formula",
                  "uniform = sum min(L/n, R); best_static = max sum min(L, R); dynamic = oracle = "
                  "sum min(L, sum R): divisible load, moving free",
                  "best_static_site", agent_sim_label(report->request, use->best_site, label),
                  "half_hours", (int)use->slots, "half_hours_unknown", (int)use->unknown, "load_kw",
                  AGENT_SIM_BASE_KW));
}

static json_t *price(const struct agent_sim_report *report)
{
    const struct agent_kpi_price *found = &report->result->price;
    char label[40];

    if (!report->result->price_known) {
        return json_null();
    }
    json_t *object = json_object();
    put(object, "uniform_jpy_per_kwh", found->uniform);
    put(object, "best_static_jpy_per_kwh", found->best_static);
    put(object, "dynamic_jpy_per_kwh", found->dynamic);
    put(object, "dynamic_saves_share_of_best_static",
        found->best_static > 0.0 ? 1.0 - found->dynamic / found->best_static : (double)NAN);
    json_object_set_new(object, "best_static_site",
                        json_string(agent_sim_label(report->request, found->best_site, label)));
    put(object, "equal_share", found->equal_share);
    json_object_set_new(object, "switches", json_integer((json_int_t)found->switches));
    json_object_set_new(object, "half_hours", json_integer((json_int_t)found->slots));
    return object;
}

static json_t *outcome(const struct agent_sim_result *result, const struct agent_sim_outcome *one)
{
    const struct agent_sim_account *account = &one->account;
    json_t *object = json_pack("{s:s}", "name", one->name);

    put(object, "renewable_use", agent_sim_use_share(one));
    put(object, "absorption",
        account->available_kwh > 0.0 ? account->used_kwh / account->available_kwh : (double)NAN);
    put(object, "renewable_kwh", account->used_kwh);
    put(object, "load_kwh", account->load_kwh);
    put(object, "jpy", result->priced ? account->yen : (double)NAN);
    put(object, "gco2", account->gco2);
    put(object, "imbalance_kwh", account->imbalance_kwh);
    json_object_set_new(object, "migrations", json_integer((json_int_t)account->migrations));
    put(object, "moved_gb", account->gb);
    json_object_set_new(object, "dwell_violations",
                        json_integer((json_int_t)account->dwell_violations));
    put(object, "objective", account->objective);
    put(object, "regret", one->regret);
    put(object, "regret_share", one->regret_share);
    return object;
}

static json_t *scores(const struct agent_fc_ranking *ranking)
{
    json_t *list = json_array();

    for (size_t m = 0; m < ranking->count; m++) {
        const struct agent_fc_score *score = &ranking->score[m];
        bool done = ranking->result[m] > 0;
        json_t *object = json_pack("{s:s, s:i}", "method", ranking->method[m]->name, "days",
                                   done ? ranking->result[m] : 0);
        put(object, "nmae", done ? score->nmae : (double)NAN);
        put(object, "nmae_daylight", done ? score->nmae_daylight : (double)NAN);
        put(object, "rmae", done ? score->rmae : (double)NAN);
        put(object, "pinball", done ? score->pinball : (double)NAN);
        put(object, "coverage", done ? score->coverage : (double)NAN);
        put(object, "decision_regret", done ? score->regret : (double)NAN);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *forecasts(const struct agent_sim_report *report)
{
    json_t *list = json_array();
    char label[40];

    for (size_t s = 0; s < report->request->site_count; s++) {
        if (report->result->chosen[s][0] == '\0') {
            continue;
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "site",
                                              agent_sim_label(report->request, s, label), "chosen",
                                              report->result->chosen[s], "back_test",
                                              scores(&report->result->ranking[s])));
    }
    return list;
}

static json_t *signals(const struct agent_sim_result *result)
{
    json_t *list = json_array();

    for (size_t i = 0; i < result->verdict_count; i++) {
        const struct agent_sim_verdict *verdict = &result->verdicts[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "area",
                                              agent_area_name(verdict->area), "signal",
                                              agent_sim_signal_name(verdict->signal), "fault",
                                              agent_gate_fault_name(verdict->fault), "days",
                                              (int)verdict->days, "effect", "keep-in-place", "text",
                                              verdict->text));
    }
    return list;
}

static json_t *texts(char const *const *text, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_string(text[i]));
    }
    return list;
}

static void vms(const struct agent_sim_report *report, json_t *root)
{
    const struct agent_sim_result *result = report->result;
    json_t *strategies = json_array();
    json_t *regrets = json_array();
    char label[40];

    for (size_t i = 0; i < result->outcome_count; i++) {
        const struct agent_sim_outcome *one = &result->outcomes[i];
        json_array_append_new(strategies, outcome(result, one));
        if (one->plan) {
            json_t *row = json_pack("{s:s}", "method", one->name + strlen("plan:"));
            put(row, "regret", one->regret);
            put(row, "regret_share", one->regret_share);
            put(row, "renewable_use", agent_sim_use_share(one));
            json_array_append_new(regrets, row);
        }
    }
    json_object_set_new(
        root, "vms",
        json_pack("{s:i, s:i, s:f, s:s, s:s}", "count", report->request->vms, "groups",
                  report->request->groups, "load_kw", result->load_kw, "best_static_site",
                  agent_sim_label(report->request, result->best_static_site, label), "objective",
                  result->priced
                      ? "JPY incl. weighted carbon and moves"
                      : "no prices are known: grid energy at a flat 10 JPY/kWh, plus moves"));
    json_object_set_new(root, "strategies", strategies);
    json_object_set_new(root, "regret_by_method", regrets);
    json_object_set_new(root, "forecasts", forecasts(report));
}

json_t *agent_sim_report_json(const struct agent_sim_report *report)
{
    const struct agent_sim_result *result = report->result;
    const char *note[AGENT_SIM_NOTES_MAX];
    const char *finding[AGENT_SIM_FINDINGS_MAX];
    size_t notes = report->data->note_count < AGENT_SIM_NOTES_MAX ? report->data->note_count
                                                                  : AGENT_SIM_NOTES_MAX;
    char date[AGENT_TIME_TEXT_SIZE];
    struct agent_date day = agent_date_of(agent_slot_start(report->request->first_day));

    for (size_t i = 0; i < notes; i++) {
        note[i] = report->data->notes[i];
    }
    for (size_t i = 0; i < result->finding_count; i++) {
        finding[i] = result->findings[i];
    }
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:s, s:i, s:o}", "schema", AGENT_SIM_REPORT_SCHEMA, "from",
                  agent_date_format(day, date), "days", (int)report->request->days, "source",
                  report->source, "files", (int)report->data->files, "sites", sites(report));
    if (root == NULL) {
        return NULL;
    }
    renewable(report, root);
    json_object_set_new(root, "price", price(report));
    if (report->request->vms > 0) {
        vms(report, root);
    }
    json_object_set_new(root, "signals", signals(result));
    json_object_set_new(root, "findings", texts(finding, result->finding_count));
    json_object_set_new(root, "notes", texts(note, notes));
    json_object_set_new(root, "notes_total", json_integer((json_int_t)report->data->note_count));
    return root;
}
