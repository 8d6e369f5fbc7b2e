/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>

#include "simulate/report.h"

static void formulas(const struct agent_sim_report *report, FILE *out)
{
    const struct agent_sim_result *result = report->result;
    const struct agent_kpi_use *use = &result->use;
    const struct agent_kpi_price *price = &result->price;
    char label[40];

    if (result->use_known) {
        fprintf(out, "\nrenewable use, share of the load (divisible load, moving free)\n");
        fprintf(out, "  uniform      %6.2f %%\n", 100 * use->uniform / use->load);
        fprintf(out, "  best static  %6.2f %%  (%s)\n", 100 * use->best_static / use->load,
                agent_sim_label(report->request, use->best_site, label));
        fprintf(out, "  dynamic      %6.2f %%\n", 100 * use->dynamic / use->load);
        fprintf(out, "  oracle       %6.2f %%\n", 100 * use->oracle / use->load);
        fprintf(out, "  absorbed     %6.2f %% of %.1f kWh per kW of load\n",
                100 * use->dynamic / use->available, use->available / 2.0);
    }
    if (result->price_known) {
        fprintf(out, "\nprice alone, JPY/kWh (same price everywhere in %.1f %% of half hours)\n",
                100 * price->equal_share);
        fprintf(out, "  uniform      %6.2f\n", price->uniform);
        fprintf(out, "  best static  %6.2f  (%s)\n", price->best_static,
                agent_sim_label(report->request, price->best_site, label));
        fprintf(out, "  dynamic      %6.2f  (%zu switches)\n", price->dynamic, price->switches);
    }
}

static void strategies(const struct agent_sim_report *report, FILE *out)
{
    const struct agent_sim_result *result = report->result;
    char label[40];

    fprintf(out, "\n%d VMs in %d groups, %.0f kW; best static is %s\n", report->request->vms,
            report->request->groups, result->load_kw,
            agent_sim_label(report->request, result->best_static_site, label));
    fprintf(out, "%-20s %8s %12s %12s %11s %11s %7s %12s %8s\n", "strategy", "renew. %",
            result->priced ? "JPY" : "-", "kg CO2", "migrations", "GB", "dwell!", "regret", "%");
    for (size_t i = 0; i < result->outcome_count; i++) {
        const struct agent_sim_outcome *one = &result->outcomes[i];
        fprintf(out, "%-20s %8.2f %12.0f %12.0f %11llu %11.0f %7llu %12.0f %8.2f\n", one->name,
                100 * agent_sim_use_share(one), result->priced ? one->account.yen : 0.0,
                one->account.gco2 / 1000.0, (unsigned long long)one->account.migrations,
                one->account.gb, (unsigned long long)one->account.dwell_violations, one->regret,
                100 * one->regret_share);
    }
    for (size_t s = 0; s < report->request->site_count; s++) {
        if (result->chosen[s][0] != '\0' && report->request->method == NULL) {
            fprintf(out, "forecast chosen for %s: %s\n", agent_sim_label(report->request, s, label),
                    result->chosen[s]);
        }
    }
}

void agent_sim_report_text(const struct agent_sim_report *report, FILE *out)
{
    const struct agent_sim_result *result = report->result;
    char date[AGENT_TIME_TEXT_SIZE];
    char label[40];

    agent_date_format(agent_date_of(agent_slot_start(report->request->first_day)), date);
    fprintf(out, "%s, %zu day%s, %s\nsites (solar peak / load):", date, report->request->days,
            report->request->days == 1 ? "" : "s", report->source);
    for (size_t s = 0; s < report->request->site_count; s++) {
        fprintf(out, "%s %s %.3g", s > 0 ? "," : "", agent_sim_label(report->request, s, label),
                report->request->sites[s].ratio);
    }
    fputc('\n', out);
    formulas(report, out);
    if (report->request->vms > 0) {
        strategies(report, out);
    }
    fprintf(out, "\n");
    for (size_t i = 0; i < result->finding_count; i++) {
        fprintf(out, "* %s\n", result->findings[i]);
    }
    size_t shown = report->data->note_count < 5 ? report->data->note_count : 5;
    for (size_t i = 0; i < shown; i++) {
        fprintf(out, "note: %s\n", report->data->notes[i]);
    }
    if (report->data->note_count > shown) {
        fprintf(out, "note: and %zu more, see --json\n", report->data->note_count - shown);
    }
}
