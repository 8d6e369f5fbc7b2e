/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_explain.c - "vmm-agent explain INSTANCE.json [PLAN.json]": why a plan is as it is
 * Owner: none.   Thread: main.   Time: none.   Units: yen at the plan's shadow prices. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/act.h"
#include "cli/commands.h"
#include "cli/control.h"
#include "cli/plan.h"

static const struct agent_option options[] = {
    {"group", "ID", NULL, "only this group of VMs"},
    CONTROL_OPTION,
    {NULL, NULL, NULL, NULL},
};

static void print_unknown(FILE *out, const json_t *list)
{
    size_t index;
    json_t *entry;

    json_array_foreach(list, index, entry) {
        fprintf(out, "unknown  %s of %s: %s; %s\n",
                json_string_value(json_object_get(entry, "signal")),
                json_string_value(json_object_get(entry, "where")),
                json_string_value(json_object_get(entry, "reason")),
                json_string_value(json_object_get(entry, "effect")));
    }
}

static void print_full(FILE *out, const json_t *list)
{
    size_t index;
    json_t *entry;

    json_array_foreach(list, index, entry) {
        const json_t *slots = json_object_get(entry, "slots");
        size_t count = json_array_size(slots);
        fprintf(out, "full     %s: %s: %zu slots (%lld..%lld), one more is worth up to %.4f yen\n",
                json_string_value(json_object_get(entry, "where")),
                json_string_value(json_object_get(entry, "what")), count,
                (long long)json_integer_value(json_array_get(slots, 0)),
                (long long)json_integer_value(json_array_get(slots, count - 1)),
                json_real_value(json_object_get(entry, "worth_yen_max")));
    }
}

static void print_way(FILE *out, const char *id, const json_t *way)
{
    const json_t *at = json_object_get(way, "at");
    const json_t *stay = json_object_get(way, "stay_yen");
    size_t index;
    json_t *step;

    fprintf(out, "group    %s: %lld VMs:", id,
            (long long)json_integer_value(json_object_get(way, "count")));
    json_array_foreach(at, index, step) {
        fprintf(out, "%s %s from slot %lld", index > 0 ? "," : "",
                json_string_value(json_array_get(step, 1)),
                (long long)json_integer_value(json_array_get(step, 0)));
    }
    fprintf(out, "; %s (way %.3f", json_string_value(json_object_get(way, "reason")),
            json_real_value(json_object_get(way, "way_yen")));
    if (json_is_real(stay)) {
        fprintf(out, ", staying %.3f", json_real_value(stay));
    }
    fprintf(out, ", cheapest %.3f yen)\n", json_real_value(json_object_get(way, "cheapest_yen")));
}

static void print_reasons(FILE *out, const json_t *root)
{
    const json_t *groups = json_object_get(root, "groups");
    size_t index;
    size_t at;
    json_t *group;
    json_t *way;

    print_unknown(out, json_object_get(root, "unknown"));
    print_full(out, json_object_get(root, "full"));
    json_array_foreach(groups, index, group) {
        json_array_foreach(json_object_get(group, "ways"), at, way) {
            print_way(out, json_string_value(json_object_get(group, "id")), way);
        }
    }
}

static int tell(struct agent_context *context, const struct agent_plan *plan)
{
    const char *group = agent_context_value(context, &agent_cmd_explain, "group");
    struct agent_error error = {0};
    json_t *root = agent_plan_explain(plan, group);

    if (root != NULL && group != NULL && json_array_size(json_object_get(root, "groups")) == 0) {
        json_decref(root);
        agent_error_set(&error, ENOENT, "--group: the plan has no group '%.64s'", group);
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    if (context->json || root == NULL) {
        return plan_print_json(context, root);
    }
    print_reasons(context->out, root);
    json_decref(root);
    return AGENT_EXIT_OK;
}

/* A file is a planning question; anything else is the name of a machine of the running agent. */
static bool names_a_file(const struct agent_context *context)
{
    const char *word = context->operands[0];
    size_t length = strlen(word);

    return context->operand_count > 1 || strcmp(word, "-") == 0 || strchr(word, '/') != NULL ||
           (length > 5 && strcmp(word + length - 5, ".json") == 0) || access(word, F_OK) == 0;
}

static int run(struct agent_context *context)
{
    if (!names_a_file(context)) {
        return act_explain_vm(context, &agent_cmd_explain, context->operands[0]);
    }
    struct agent_plan_instance *instance = NULL;
    struct agent_plan_options usual = {0};
    struct agent_plan *plan = NULL;
    struct agent_error error = {0};
    int code;

    if (agent_plan_instance_load(context->operands[0], &instance, &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_INPUT, &error);
    }
    code = context->operand_count > 1
               ? plan_load(context, instance, context->operands[1], false, &plan)
               : plan_solve(context, instance, &usual, &plan);
    if (code == AGENT_EXIT_OK) {
        code = tell(context, plan);
    }
    agent_plan_free(plan);
    agent_plan_instance_free(instance);
    return code;
}

const struct agent_command agent_cmd_explain = {
    .name = "explain",
    .summary = "say why a plan is as it is, or why a machine is where it is",
    .operands = "INSTANCE.json [PLAN.json] | VM",
    .operands_min = 1,
    .operands_max = 2,
    .detail = "Lists the signals that were unknown and what they kept in place, the resources that "
              "are full with what one more unit would be worth, and for each group what its way "
              "costs at these prices against staying and against the cheapest way. Without "
              "PLAN.json the instance is planned first.\n"
              "VM is asked of the running agent: where it is, what the plan wants, who says so, and "
              "its story from the journal.",
    .options = options,
    .run = run,
};
