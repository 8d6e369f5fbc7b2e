/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate/report.h"
#include "simulate/svg.h"

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light}body{font:15px/1.5 system-ui,\"Noto Sans CJK JP\",sans-serif;"
    "margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;background:#fff}\n"
    "h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\n"
    ".sub{color:#57606a;margin:0 0 1rem}.cards{display:flex;flex-wrap:wrap;gap:.8rem}\n"
    ".card{flex:1 1 10rem;border:1px solid #d0d7de;border-radius:.4rem;padding:.6rem .9rem}\n"
    ".card b{display:block;font-size:1.5rem}.card span{color:#57606a;font-size:.85rem}\n"
    "table{border-collapse:collapse;width:100%;font-size:.88rem}th,td{padding:.25rem .5rem;"
    "border-bottom:1px solid #d8dee4;text-align:right;white-space:nowrap}\n"
    "th{white-space:normal;vertical-align:bottom}th:first-child,td:first-child{text-align:left}tr."
    "s td{font-weight:600}\n"
    ".wide{overflow-x:auto}ul{padding-left:1.2rem}svg{width:100%;height:auto;margin:.6rem 0}\n"
    "svg .t{font-size:14px;font-weight:600}svg .y{font-size:11px;text-anchor:end;fill:#57606a}\n"
    "svg .x{font-size:11px;fill:#57606a}svg .l{font-size:12px}svg .b{font-size:12px;"
    "text-anchor:end}\nsvg .g{stroke:#d8dee4}svg .s{fill:none;stroke-width:2}\n"
    "svg .d{fill:none;stroke-width:2;stroke-dasharray:6 4}code{font-size:.9em}\n"
    "</style>\n";

static void card(FILE *out, const char *value, const char *label)
{
    fputs("<div class=\"card\"><b>", out);
    agent_html_text(value, out);
    fputs("</b><span>", out);
    agent_html_text(label, out);
    fputs("</span></div>\n", out);
}

static void cards(const struct agent_sim_report *report, FILE *out)
{
    const struct agent_kpi_use *use = &report->result->use;
    const struct agent_kpi_price *price = &report->result->price;
    char text[64];

    fputs("<div class=\"cards\">\n", out);
    if (report->result->use_known) {
        const double share[3] = {use->uniform / use->load, use->best_static / use->load,
                                 use->dynamic / use->load};
        static const char *const label[3] = {"renewable use, uniform", "renewable use, best static",
                                             "renewable use, dynamic = oracle"};
        for (int k = 0; k < 3; k++) {
            snprintf(text, sizeof(text), "%.1f %%", 100 * share[k]);
            card(out, text, label[k]);
        }
        snprintf(text, sizeof(text), "%+.1f points",
                 100 * (use->dynamic - use->best_static) / use->load);
        card(out, text, "dynamic against best static");
    }
    if (report->result->price_known) {
        snprintf(text, sizeof(text), "%.2f / %.2f", price->best_static, price->dynamic);
        card(out, text, "JPY/kWh, best static / always cheapest");
    }
    fputs("</div>\n", out);
}

static void findings(const struct agent_sim_report *report, FILE *out)
{
    fputs("<h2>Findings</h2>\n<ul>\n", out);
    for (size_t i = 0; i < report->result->finding_count; i++) {
        fputs("<li>", out);
        agent_html_text(report->result->findings[i], out);
        fputs("</li>\n", out);
    }
    fputs("</ul>\n", out);
}

struct labels {
    char name[AGENT_SIM_SITES_MAX][40];
    char mark_text[24][24];
    const char *mark[24];
    size_t marks;
};

static void labels_make(const struct agent_sim_report *report, struct labels *labels)
{
    size_t days = report->result->trace_slots / AGENT_SIM_SLOTS;

    for (size_t s = 0; s < report->request->site_count; s++) {
        agent_sim_label(report->request, s, labels->name[s]);
    }
    labels->marks = days > 1 ? days : 8;
    for (size_t k = 0; k < labels->marks; k++) {
        int64_t slot = report->request->first_day + (int64_t)(k * (days > 1 ? 48 : 6));
        struct agent_date date = agent_date_of(agent_slot_start(slot));
        if (days > 1) {
            snprintf(labels->mark_text[k], sizeof(labels->mark_text[k]), "%d/%d", date.month,
                     date.day);
        } else {
            snprintf(labels->mark_text[k], sizeof(labels->mark_text[k]), "%zu:00", k * 3);
        }
        labels->mark[k] = labels->mark_text[k];
    }
}

static struct agent_svg_chart chart_of(const struct agent_sim_report *report,
                                       const struct labels *labels, const char *title,
                                       const char *unit)
{
    struct agent_svg_chart chart = {.title = title,
                                    .unit = unit,
                                    .count = report->result->trace_slots,
                                    .mark_count = labels->marks,
                                    .marks = labels->mark};

    chart.line_count = report->request->site_count;
    for (size_t s = 0; s < chart.line_count; s++) {
        chart.lines[s].label = labels->name[s];
    }
    return chart;
}

static bool any(const float *value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (isfinite(value[i]) && value[i] > 0.0f) {
            return true;
        }
    }
    return false;
}

static void charts(const struct agent_sim_report *report, FILE *out)
{
    const struct agent_sim_result *result = report->result;
    float one[AGENT_SIM_TRACE_DAYS * AGENT_SIM_SLOTS];
    struct labels labels;
    bool cut = report->request->days > AGENT_SIM_TRACE_DAYS;

    labels_make(report, &labels);
    for (size_t i = 0; i < result->trace_slots; i++) {
        one[i] = 1.0f;
    }
    fprintf(out, "<h2>%s</h2>\n", cut ? "The first seven days" : "Half hour by half hour");
    if (result->use_known) {
        struct agent_svg_chart chart =
            chart_of(report, &labels, "Renewable power of the sites, load = 1", "of load");
        for (size_t s = 0; s < chart.line_count; s++) {
            chart.lines[s].value = result->trace_renewable[s];
        }
        chart.lines[chart.line_count++] = (struct agent_svg_line){"load", one, true};
        chart.stacked = true;
        agent_svg_lines(&chart, out);
    }
    if (any(result->trace_share[0], result->trace_slots) ||
        any(result->trace_share[report->request->site_count - 1], result->trace_slots)) {
        struct agent_svg_chart chart =
            chart_of(report, &labels, "Where the plan puts the load", "of load");
        for (size_t s = 0; s < chart.line_count; s++) {
            chart.lines[s].value = result->trace_share[s];
        }
        chart.stacked = true;
        chart.top = 1.0;
        agent_svg_lines(&chart, out);
    }
    if (result->price_known) {
        struct agent_svg_chart chart = chart_of(report, &labels, "Area prices", "JPY/kWh");
        for (size_t s = 0; s < chart.line_count; s++) {
            chart.lines[s].value = result->trace_price[s];
        }
        agent_svg_lines(&chart, out);
    }
}

static void bars(const struct agent_sim_report *report, bool regret, FILE *out)
{
    const struct agent_sim_result *result = report->result;
    struct agent_svg_bar list[AGENT_SIM_OUTCOMES_MAX];

    for (size_t i = 0; i < result->outcome_count; i++) {
        const struct agent_sim_outcome *one = &result->outcomes[i];
        double value = 100 * (regret ? one->regret_share : agent_sim_use_share(one));
        snprintf(list[i].label, sizeof(list[i].label), "%.40s", one->name);
        snprintf(list[i].text, sizeof(list[i].text), "%.2f %%", value);
        list[i].value = value;
        list[i].strong = one->plan || strcmp(one->name, "oracle") == 0;
    }
    agent_svg_bars(regret ? "Regret: objective above the oracle's" : "Renewable use of the load",
                   list, result->outcome_count, out);
}

static void strategies(const struct agent_sim_report *report, FILE *out)
{
    const struct agent_sim_result *result = report->result;

    fprintf(out, "<h2>%d VMs in %d groups, %.0f kW, every strategy</h2>\n", report->request->vms,
            report->request->groups, result->load_kw);
    if (result->use_known) {
        bars(report, false, out);
    }
    bars(report, true, out);
    fprintf(out,
            "<div class=\"wide\"><table><tr><th>strategy</th><th>renewable use</th>"
            "<th>absorption</th><th>renewable MWh</th><th>%s</th><th>t CO2</th><th>migrations</th>"
            "<th>GB moved</th><th>dwell broken</th><th>regret</th></tr>\n",
            result->priced ? "JPY" : "no prices");
    for (size_t i = 0; i < result->outcome_count; i++) {
        const struct agent_sim_outcome *one = &result->outcomes[i];
        const struct agent_sim_account *account = &one->account;
        double absorbed =
            account->available_kwh > 0.0 ? 100 * account->used_kwh / account->available_kwh : 0.0;
        fprintf(out, "<tr%s><td>", one->plan ? " class=\"s\"" : "");
        agent_html_text(one->name, out);
        fprintf(out,
                "</td><td>%.2f %%</td><td>%.2f %%</td><td>%.2f</td><td>%.0f</td><td>%.3f</td>"
                "<td>%llu</td><td>%.0f</td><td>%llu</td><td>%.2f %%</td></tr>\n",
                100 * agent_sim_use_share(one), absorbed, account->used_kwh / 1000.0,
                result->priced ? account->yen : 0.0, account->gco2 / 1e6,
                (unsigned long long)account->migrations, account->gb,
                (unsigned long long)account->dwell_violations, 100 * one->regret_share);
    }
    fputs("</table></div>\n", out);
}

static void figure(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, "<td>%.4f</td>", value);
    } else {
        fputs("<td>–</td>", out);
    }
}

static void forecasts(const struct agent_sim_report *report, FILE *out)
{
    char label[40];

    for (size_t s = 0; s < report->request->site_count; s++) {
        const struct agent_fc_ranking *ranking = &report->result->ranking[s];
        if (ranking->count == 0) {
            continue;
        }
        fputs("<h2>Solar forecasts of ", out);
        agent_html_text(agent_sim_label(report->request, s, label), out);
        fputs(", last back-test (60 days)</h2>\n<div class=\"wide\"><table><tr><th>method</th>"
              "<th>nMAE</th><th>nMAE by day</th><th>rMAE</th><th>pinball</th><th>coverage</th>"
              "<th>decision regret</th></tr>\n",
              out);
        for (size_t m = 0; m < ranking->count; m++) {
            const struct agent_fc_score *score = &ranking->score[m];
            if (ranking->result[m] <= 0) {
                continue;
            }
            fprintf(out, "<tr%s><td>%s</td>", m == ranking->best ? " class=\"s\"" : "",
                    ranking->method[m]->name);
            figure(out, score->nmae);
            figure(out, score->nmae_daylight);
            figure(out, score->rmae);
            figure(out, score->pinball);
            figure(out, score->coverage);
            figure(out, score->regret);
            fputs("</tr>\n", out);
        }
        fputs("</table></div>\n", out);
    }
}

static void remarks(const struct agent_sim_report *report, FILE *out)
{
    const struct agent_sim_result *result = report->result;

    if (result->verdict_count > 0) {
        fputs("<h2>Signals that were refused</h2>\n<ul>\n", out);
        for (size_t i = 0; i < result->verdict_count; i++) {
            fprintf(out, "<li>%zu day(s): ", result->verdicts[i].days);
            agent_html_text(result->verdicts[i].text, out);
            fputs(". What depends on it was kept in place.</li>\n", out);
        }
        fputs("</ul>\n", out);
    }
    fputs(
        "<h2>How it is computed</h2>\n<p>With load L and renewable power R of each site, per half "
        "hour: uniform = &Sigma; min(L/n, R); best static = the one site with the largest "
        "&Sigma; min(L, R); dynamic = &Sigma; min(L, &Sigma; R). The last needs divisible load "
        "and free moves, so it is also the oracle of these formulas; the table of strategies "
        "shows what whole VMs, forecasts made the day before, dwell times and migration costs "
        "leave of it. Regret is the objective above that of the same planner knowing the "
        "truth.</p>\n",
        out);
    if (report->data->note_count > 0) {
        fputs("<h2>Notes</h2>\n<ul>\n", out);
        for (size_t i = 0; i < report->data->note_count && i < AGENT_SIM_NOTES_MAX; i++) {
            fputs("<li>", out);
            agent_html_text(report->data->notes[i], out);
            fputs("</li>\n", out);
        }
        fputs("</ul>\n", out);
    }
}

static void page(const struct agent_sim_report *report, FILE *out)
{
    char date[AGENT_TIME_TEXT_SIZE];
    char label[40];

    agent_date_format(agent_date_of(agent_slot_start(report->request->first_day)), date);
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width\">\n"
            "<title>Simulation from %s</title>\n%s</head><body>\n"
            "<h1>Moving VMs from %s, %zu day%s</h1>\n<p class=\"sub\">",
            date, style, date, report->request->days, report->request->days == 1 ? "" : "s");
    agent_html_text(report->source, out);
    fputs("; sites (solar peak / load): ", out);
    for (size_t s = 0; s < report->request->site_count; s++) {
        fprintf(out, "%s%s %.3g", s > 0 ? ", " : "", agent_sim_label(report->request, s, label),
                report->request->sites[s].ratio);
    }
    fputs("</p>\n", out);
    cards(report, out);
    findings(report, out);
    charts(report, out);
    if (report->request->vms > 0) {
        strategies(report, out);
        forecasts(report, out);
    }
    remarks(report, out);
    fputs("</body></html>\n", out);
}

int agent_sim_report_html(const struct agent_sim_report *report, const char *path,
                          struct agent_error *error)
{
    FILE *out = fopen(path, "w");

    if (out == NULL) {
        return agent_error_set(error, errno, "page %.300s: %s", path, strerror(errno));
    }
    page(report, out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        return agent_error_set(error, EIO, "page %.300s: cannot be written", path);
    }
    return 0;
}
