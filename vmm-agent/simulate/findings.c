/* SPDX-License-Identifier: GPL-2.0-or-later */
/* findings.c - the sentences a reader of the report should not miss
 * Each is a claim with its figures and its base. A gain is always stated against best static, and
 * where it is small the text says so. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "simulate/run.h"

#define LITTLE 0.01 /* relative gain over best static below which it "adds little" */

static void say(struct agent_sim_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct agent_sim_result *result, const char *format, ...)
{
    va_list args;

    if (result->finding_count == AGENT_SIM_FINDINGS_MAX) {
        return;
    }
    va_start(args, format);
    vsnprintf(result->findings[result->finding_count++], sizeof(result->findings[0]), format, args);
    va_end(args);
}

static double gain(double better, double base)
{
    return base > 0.0 ? better / base - 1.0 : (double)NAN;
}

static void renewable(const struct agent_sim_request *request, struct agent_sim_result *result)
{
    const struct agent_kpi_use *use = &result->use;
    const char *best = agent_area_name(request->sites[use->best_site].area);
    double uniform = use->uniform / use->load;
    double best_static = use->best_static / use->load;
    double dynamic = use->dynamic / use->load;

    say(result,
        "Renewable use: uniform %.1f %%, best static (%s) %.1f %%, dynamic %.1f %% of the load: "
        "%+.1f points (%+.1f %%) against uniform, %+.1f points (%+.1f %%) against best static.",
        100 * uniform, best, 100 * best_static, 100 * dynamic, 100 * (dynamic - uniform),
        100 * gain(dynamic, uniform), 100 * (dynamic - best_static),
        100 * gain(dynamic, best_static));
    if (gain(dynamic, best_static) < LITTLE) {
        say(result,
            "For renewable use dynamic adds little over best static (%s): %.2f %% more, before any "
            "cost of moving.",
            best, 100 * gain(dynamic, best_static));
    }
}

static void prices(const struct agent_sim_request *request, struct agent_sim_result *result)
{
    const struct agent_kpi_price *price = &result->price;
    const char *best = agent_area_name(request->sites[price->best_site].area);
    double saved = price->best_static - price->dynamic;
    double share = price->best_static > 0.0 ? saved / price->best_static : 0.0;

    if (request->site_count < 2) {
        return;
    }
    if (share < LITTLE) {
        say(result,
            "On price alone dynamic adds little over best static: always %s costs %.2f JPY/kWh, "
            "always the cheapest %.2f (%.2f %% less, moving free). What there is to gain lies in "
            "surplus, curtailment, congestion and reserve, not in following the price.",
            best, price->best_static, price->dynamic, 100 * share);
        return;
    }
    say(result,
        "On price alone dynamic saves %.2f %% against best static (always %s: %.2f JPY/kWh, always "
        "the cheapest: %.2f), before any cost of moving; %zu changes of the cheapest site.",
        100 * share, best, price->best_static, price->dynamic, price->switches);
}

/* The plan to judge by: the choice, or the one method that was asked for. */
static const struct agent_sim_outcome *last_plan(const struct agent_sim_result *result)
{
    const struct agent_sim_outcome *plan = NULL;

    for (size_t i = 0; i < result->outcome_count; i++) {
        plan = result->outcomes[i].plan ? &result->outcomes[i] : plan;
    }
    return plan;
}

static void plans(struct agent_sim_result *result)
{
    const struct agent_sim_outcome *best_static = agent_sim_find(result, "best_static");
    const struct agent_sim_outcome *persistence = agent_sim_find(result, "plan:persistence");
    const struct agent_sim_outcome *chosen = agent_sim_find(result, "plan:chosen");
    const struct agent_sim_outcome *oracle = agent_sim_find(result, "oracle");
    const char *unit = result->priced ? "JPY" : "JPY at a flat 10 JPY/kWh";

    if (best_static == NULL || persistence == NULL || oracle == NULL) {
        return;
    }
    if (chosen == NULL) {
        const struct agent_sim_outcome *plan = last_plan(result);
        double saved = best_static->account.objective - plan->account.objective;
        say(result,
            "With %s, the plan of the VMs saves %.2f %% against best static (%.0f %s, moves "
            "included).",
            result->use_known ? plan->name + strlen("plan:") : "known prices",
            100 * saved / fmax(fabs(best_static->account.objective), 1e-9), saved, unit);
        return;
    }
    say(result,
        "The plan with the chosen forecasts misses the oracle by %.2f %% (%.0f %s); with "
        "persistence by %.2f %%; best static misses it by %.2f %%.",
        100 * chosen->regret_share, chosen->regret, unit, 100 * persistence->regret_share,
        100 * best_static->regret_share);
}

/* A plan that loses to doing nothing must not be sold as a gain. */
static void warn_of_losses(struct agent_sim_result *result)
{
    static const char *const bases[] = {"uniform", "best_static"};
    const struct agent_sim_outcome *plan = last_plan(result);

    for (size_t k = 0; plan != NULL && k < 2; k++) {
        const struct agent_sim_outcome *base = agent_sim_find(result, bases[k]);
        double worse = plan->account.objective - base->account.objective;
        if (worse > 1e-6 * fabs(base->account.objective)) {
            say(result,
                "Here the plan costs %.2f %% more than %s, which never moves: do not migrate for "
                "this.",
                100 * worse / fmax(fabs(base->account.objective), 1e-9), bases[k]);
        }
    }
}

static void refused(struct agent_sim_result *result)
{
    for (size_t i = 0; i < result->verdict_count && i < 3; i++) {
        const struct agent_sim_verdict *verdict = &result->verdicts[i];
        say(result, "%s (%zu %s): what is at that site stays there and nothing comes.",
            verdict->text, verdict->days, verdict->days == 1 ? "day" : "days");
    }
}

void agent_sim_findings(const struct agent_sim_request *request, struct agent_sim_result *result)
{
    result->finding_count = 0;
    if (result->use_known) {
        renewable(request, result);
        if (result->use.unknown > 0) {
            say(result, "%zu of %zu half hours are not known at every site and count for nobody.",
                result->use.unknown, result->use.unknown + result->use.slots);
        }
    }
    if (result->price_known) {
        prices(request, result);
    }
    plans(result);
    warn_of_losses(result);
    refused(result);
}
