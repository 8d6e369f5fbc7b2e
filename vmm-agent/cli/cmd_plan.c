/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_plan.c - "vmm-agent plan INSTANCE.json": a checked day plan with its proven gap
 * Owner: none.   Thread: main, helpers inside the planner.   Time: monotonic.   Units: yen, s. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/plan.h"
#include "support/json.h"
#include "support/text.h"

static const struct agent_option options[] = {
    {"gap", NULL, NULL, "print only cost, bound and gap"},
    {"time-limit", "SECONDS", NULL, "stop improving after this long (0.1..86400; default: none)"},
    {"threads", "N", NULL, "helpers, 1..16 (default 2); never changes the plan"},
    {"warm", "PLAN.json", "@file", "start from the prices of an earlier plan"},
    {"output", "FILE", "@file", "write the plan there as JSON, whatever is printed"},
    {"check", "PLAN.json", "@file", "do not plan: check this plan against the instance"},
    {NULL, NULL, NULL, NULL},
};

static int number_option(struct agent_context *context, const char *name, struct agent_range range,
                         double *out)
{
    const char *text = agent_context_value(context, &agent_cmd_plan, name);
    struct agent_error error = {0};

    if (text == NULL) {
        return 0;
    }
    if (agent_text_number(text, out) < 0 || !(*out >= range.min) || !(*out <= range.max)) {
        agent_error_set(&error, EINVAL, "--%s is '%.40s', allowed %g..%g", name, text, range.min,
                        range.max);
        agent_context_fail(context, AGENT_EXIT_USAGE, &error);
        return -EINVAL;
    }
    return 0;
}

static void print_gap(FILE *out, const struct agent_plan *plan)
{
    fprintf(out, "cost   %.4f yen\nbound  %.4f yen (no plan costs less)\ngap    %.4f %%\n",
            plan->cost.total, plan->bound, plan->gap * 100);
}

static void print_plan(FILE *out, const struct agent_plan *plan)
{
    const struct agent_plan_instance *instance = plan->instance;
    const struct plan_cost *cost = &plan->cost;
    const struct plan_figures *figures = &plan->figures;

    fprintf(out, "%s: slots %d..%d\n", instance->name, instance->first, instance->end - 1);
    print_gap(out, plan);
    fprintf(out,
            "       energy %.2f, carbon %.2f, grid weight %.2f, imbalance %.2f, demand %.2f, moves "
            "%.2f\n",
            cost->energy, cost->carbon, cost->grid, cost->imbalance, cost->demand, cost->moves);
    if (isfinite(plan->stay_cost)) {
        fprintf(out, "stay   %.4f yen if nothing moves: the plan saves %.4f\n", plan->stay_cost,
                plan->stay_cost - cost->total);
    } else {
        fprintf(out, "stay   not possible: moving nothing breaks a constraint\n");
    }
    fprintf(out, "moves  %lld, %.1f GB, %.2f s of blackout in all\n", (long long)figures->moves,
            figures->moved_gb, figures->blackout_s);
    fprintf(out, "energy %.1f kWh, %.1f from surplus (%.1f %%), %.1f kg CO2\n", figures->load_kwh,
            figures->renewable_kwh,
            figures->load_kwh > 0 ? 100 * figures->renewable_kwh / figures->load_kwh : 0,
            figures->carbon_kg);
    for (int index = 0; index < instance->unknown_count; index++) {
        const struct plan_unknown *unknown = &instance->unknowns[index];
        fprintf(out, "kept   %s of %s is unknown (%s): %s\n", unknown->signal, unknown->where,
                unknown->reason, unknown->effect);
    }
    if (plan->stop == PLAN_STOP_TIME) {
        fprintf(out, "note   stopped by the time limit after %.1f s\n", plan->seconds);
    }
}

static json_t *gap_json(const struct agent_plan *plan)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "cost_yen", plan->cost.total, "bound_yen",
                     plan->bound, "bound_rounding_yen", plan->bound_error, "gap", plan->gap);
}

static int write_output(struct agent_context *context, const struct agent_plan *plan,
                        const char *path)
{
    json_t *root = agent_plan_to_json(plan);
    struct agent_error error = {0};
    FILE *file = root != NULL ? fopen(path, "w") : NULL;
    int ret = file != NULL ? agent_json_print(root, file) : -EIO;

    json_decref(root);
    if (file == NULL || fclose(file) != 0 || ret < 0) {
        agent_error_set(&error, errno != 0 ? errno : EIO, "--output: cannot write '%.200s': %s",
                        path, strerror(errno));
        return agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    }
    return AGENT_EXIT_OK;
}

static int answer(struct agent_context *context, const struct agent_plan *plan)
{
    const char *output = agent_context_value(context, &agent_cmd_plan, "output");
    bool gap = agent_context_value(context, &agent_cmd_plan, "gap") != NULL;

    if (output != NULL) {
        int code = write_output(context, plan, output);
        if (code != AGENT_EXIT_OK) {
            return code;
        }
    }
    if (context->json) {
        return plan_print_json(context, gap ? gap_json(plan) : agent_plan_to_json(plan));
    }
    if (gap) {
        print_gap(context->out, plan);
    } else {
        print_plan(context->out, plan);
    }
    return AGENT_EXIT_OK;
}

static int run_check(struct agent_context *context, const struct agent_plan_instance *instance,
                     const char *path)
{
    struct agent_plan *plan = NULL;
    struct plan_breaches breaches;
    int code = plan_load(context, instance, path, false, &plan);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    int broken = agent_plan_check(plan, &breaches, &plan->cost, &plan->figures);
    if (context->json) {
        json_t *list = json_array();
        for (int index = 0; index < broken && index < AGENT_PLAN_BREACHES_MAX; index++) {
            json_array_append_new(list, json_string(breaches.worst[index].text));
        }
        code = plan_print_json(context, json_pack("{s:b, s:i, s:o, s:f}", "sound", broken == 0,
                                                  "broken", broken, "breaches", list, "cost_yen",
                                                  plan->cost.total));
    } else {
        fprintf(context->out, "%d constraints broken, cost %.4f yen\n", broken, plan->cost.total);
        for (int index = 0; index < broken && index < AGENT_PLAN_BREACHES_MAX; index++) {
            fprintf(context->out, "%s\n", breaches.worst[index].text);
        }
    }
    agent_plan_free(plan);
    return code != AGENT_EXIT_OK ? code : broken > 0 ? AGENT_EXIT_NO : AGENT_EXIT_OK;
}

static int run_plan(struct agent_context *context, const struct agent_plan_instance *instance)
{
    struct agent_plan_options how = {0};
    struct agent_plan *warm = NULL;
    struct agent_plan *plan = NULL;
    const char *warm_path = agent_context_value(context, &agent_cmd_plan, "warm");
    double threads = 2;
    int code = AGENT_EXIT_OK;

    if (number_option(context, "time-limit", (struct agent_range){0.1, 86400},
                      &how.time_limit_s) < 0 ||
        number_option(context, "threads", (struct agent_range){1, 16}, &threads) < 0) {
        return AGENT_EXIT_USAGE;
    }
    if (warm_path != NULL) {
        code = plan_load(context, instance, warm_path, true, &warm);
    }
    if (code == AGENT_EXIT_OK) {
        how.threads = (int)threads;
        how.warm = warm;
        code = plan_solve(context, instance, &how, &plan);
    }
    if (code == AGENT_EXIT_OK) {
        code = answer(context, plan);
    }
    agent_plan_free(plan);
    agent_plan_free(warm);
    return code;
}

static int run(struct agent_context *context)
{
    const char *check = agent_context_value(context, &agent_cmd_plan, "check");
    struct agent_plan_instance *instance = NULL;
    struct agent_error error = {0};
    int code;

    if (agent_plan_instance_load(context->operands[0], &instance, &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_INPUT, &error);
    }
    code = check != NULL ? run_check(context, instance, check) : run_plan(context, instance);
    agent_plan_instance_free(instance);
    return code;
}

const struct agent_command agent_cmd_plan = {
    .name = "plan",
    .summary = "compute a placement plan with a proven optimality gap",
    .operands = "INSTANCE.json",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "Reads a planning instance (docs/planner.md) and prints the cheapest placement found, "
              "checked constraint by constraint, and a bound below which no plan can cost. The "
              "same instance gives the same plan. Exit status 1: no plan, with the constraint that "
              "cannot be kept and by how much.",
    .options = options,
    .run = run,
};
