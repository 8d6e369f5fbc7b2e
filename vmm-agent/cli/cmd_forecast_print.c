/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_forecast_print.c - a forecast as a table or as JSON
 * Owner: none.   Thread: main.   Time: slots.   Units: MW (own load: kW), in the keys. */
#include <errno.h>
#include <math.h>

#include "cli/cmd_forecast.h"
#include "support/json.h"

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_json(const struct agent_forecast_show *show, int i)
{
    const struct agent_fc_answer *answer = show->answer;
    char when[AGENT_TIME_TEXT_SIZE];

    agent_time_format(agent_slot_start(show->job->day_slot + i), when);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "start", when, "value",
                     number(answer->mw[i]), "p10", number(answer->bands.p10[i]), "p50",
                     number(answer->bands.p50[i]), "p90", number(answer->bands.p90[i]), "actual",
                     number(show->actual[i]));
}

static json_t *score_json(const struct agent_fc_ranking *ranking, size_t m)
{
    const struct agent_fc_score *score = &ranking->score[m];
    bool done = ranking->result[m] > 0;

    if (!done) {
        return json_pack("{s:s, s:i, s:s}", "method", ranking->method[m]->name, "days", 0, "why",
                         "too little to go on");
    }
    return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "method", ranking->method[m]->name,
                     "days", ranking->result[m], "nmae", number(score->nmae), "nmae_daylight",
                     number(score->nmae_daylight), "rmae", number(score->rmae), "pinball",
                     number(score->pinball), "coverage", number(score->coverage), "decision_regret",
                     number(score->regret));
}

static int print_json(struct agent_context *context, const struct agent_forecast_show *show)
{
    const struct agent_forecast_job *job = show->job;
    json_t *slots = json_array();
    json_t *scores = json_array();
    char asked[AGENT_TIME_TEXT_SIZE];

    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        json_array_append_new(slots, row_json(show, i));
    }
    for (size_t m = 0; m < show->ranking->count; m++) {
        json_array_append_new(scores, score_json(show->ranking, m));
    }
    agent_time_format(agent_slot_start(job->day_slot - job->lead_slots), asked);
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:b, s:s, s:s}, s:o, s:o}", "schema",
        "apn-migrate/forecast/1", "area", agent_area_name(job->area), "quantity",
        agent_fc_kind_name(job->kind), "unit", job->place != NULL ? "kW" : "MW", "asked", asked,
        "method", show->answer->method->name, "signal", "usable",
        show->verdict->fault == AGENT_GATE_OK, "fault", agent_gate_fault_name(show->verdict->fault),
        "text", show->verdict->text, "slots", slots, "back_test", scores);
    int result = root == NULL ? -ENOMEM : agent_json_print(root, context->out);
    json_decref(root);
    return result;
}

static void cell(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, " %10.1f", value);
    } else {
        fprintf(out, " %10s", "-");
    }
}

static void share(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, " %8.4f", value);
    } else {
        fprintf(out, " %8s", "-");
    }
}

static void print_scores(FILE *out, const struct agent_fc_ranking *ranking,
                         const struct agent_fc_method *used)
{
    fprintf(out, "\n%-14s %5s %8s %8s %8s %8s %8s %8s\n", "back-test", "days", "nMAE", "daylight",
            "rMAE", "pinball", "coverage", "regret");
    for (size_t m = 0; m < ranking->count; m++) {
        const struct agent_fc_score *score = &ranking->score[m];
        fprintf(out, "%-14s", ranking->method[m]->name);
        if (ranking->result[m] <= 0) {
            fprintf(out, "     - too little to go on\n");
            continue;
        }
        fprintf(out, " %5d", ranking->result[m]);
        share(out, score->nmae);
        share(out, score->nmae_daylight);
        share(out, score->rmae);
        share(out, score->pinball);
        share(out, score->coverage);
        share(out, score->regret);
        fprintf(out, "%s%s\n", m == ranking->best ? "  best" : "",
                ranking->method[m] == used ? "  used" : "");
    }
}

int agent_forecast_print(struct agent_context *context, const struct agent_forecast_show *show)
{
    const struct agent_fc_answer *answer = show->answer;
    FILE *out = context->out;
    char date[AGENT_TIME_TEXT_SIZE];

    if (context->json) {
        return print_json(context, show);
    }
    agent_date_format(agent_date_of(agent_slot_start(show->job->day_slot)), date);
    fprintf(out, "%s of %s on %s, %s, by %s\n%s\n\n%-6s %10s %10s %10s %10s %10s\n",
            agent_fc_kind_name(show->job->kind),
            show->job->place != NULL ? show->job->place : agent_area_name(show->job->area), date,
            show->job->place != NULL ? "kW" : "MW", answer->method->name, show->verdict->text,
            "slot", "value", "P10", "P50", "P90", "actual");
    for (int i = 0; i < AGENT_FC_SLOTS; i++) {
        fprintf(out, "%02d:%02d ", i / 2, i % 2 * 30);
        cell(out, answer->mw[i]);
        cell(out, answer->bands.p10[i]);
        cell(out, answer->bands.p50[i]);
        cell(out, answer->bands.p90[i]);
        cell(out, show->actual[i]);
        fputc('\n', out);
    }
    print_scores(out, show->ranking, answer->method);
    return 0;
}

int agent_forecast_list(struct agent_context *context)
{
    size_t count = 0;
    const struct agent_fc_method *const *methods = agent_fc_methods(&count);
    json_t *list = json_array();

    for (size_t m = 0; m < count; m++) {
        json_t *kinds = json_array();
        for (int kind = 0; kind < AGENT_FC_KINDS; kind++) {
            if (methods[m]->kinds & (1u << kind)) {
                json_array_append_new(kinds,
                                      json_string(agent_fc_kind_name((enum agent_fc_kind)kind)));
            }
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:o}", "name", methods[m]->name,
                                              "summary", methods[m]->summary, "history_days",
                                              (int)methods[m]->history_days, "quantities", kinds));
        if (!context->json) {
            fprintf(context->out, "%-14s %s\n", methods[m]->name, methods[m]->summary);
        }
    }
    int result = context->json ? agent_json_print(list, context->out) : 0;
    json_decref(list);
    return result;
}
