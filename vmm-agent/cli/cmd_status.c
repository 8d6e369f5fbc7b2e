/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_status.c - "vmm-agent status": what is true, what is under way, what a person must look at
 * Owner: none.   Thread: main.   Time: none.   Units: as in docs/agent-state.md. */
#include <string.h>

#include "cli/commands.h"
#include "cli/control.h"
#include "support/json.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL && text[0] != '\0' ? text : "-";
}

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void print_number(FILE *out, const json_t *object, const char *key, const char *unit)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_number(value)) {
        fprintf(out, " %.4g %s", json_number_value(value), unit);
    } else {
        fprintf(out, " - %s", unit);
    }
}

static void print_sites(FILE *out, const json_t *state)
{
    size_t index;
    json_t *site;

    json_array_foreach(json_object_get(state, "sites"), index, site)
    {
        fprintf(out, "site   %-14s %3lld machines,", text_of(site, "name"),
                (long long)json_integer_value(json_object_get(site, "vms")));
        print_number(out, site, "power_kw", "kW, surplus");
        print_number(out, site, "surplus_kw", "kW, price");
        print_number(out, site, "price_yen_per_kwh", "JPY/kWh");
        fprintf(out, "%s\n", json_is_true(json_object_get(site, "paper")) ? ", on paper" : "");
    }
}

static void print_machines(FILE *out, const json_t *state)
{
    size_t index;
    json_t *vm;

    json_array_foreach(json_object_get(state, "vms"), index, vm)
    {
        fprintf(out, "vm     %-14s %-8s %-12s %-10s %6.1f W  %s\n", text_of(vm, "name"),
                text_of(vm, "state"), text_of(vm, "site"), text_of(vm, "host"),
                number_of(vm, "power_w"), text_of(vm, "reason"));
    }
}

static void print_move(FILE *out, const json_t *move)
{
    fprintf(out, "move   %-5lld %-14s %s -> %s: %s",
            (long long)json_integer_value(json_object_get(move, "id")), text_of(move, "vm"),
            text_of(move, "from"), text_of(move, "to"), text_of(move, "state"));
    if (strcmp(text_of(move, "state"), "running") == 0) {
        fprintf(out, ", %s, %.0f %%,", text_of(move, "stage"), 100 * number_of(move, "progress"));
        print_number(out, move, "rate_gbit_s", "Gb/s, blackout predicted");
        print_number(out, move, "predicted_blackout_ms", "ms");
    } else if (strcmp(text_of(move, "state"), "done") == 0) {
        fprintf(out, ", blackout");
        print_number(out, move, "blackout_ms", "ms,");
        print_number(out, move, "real_s", "s");
    } else if (json_is_string(json_object_get(move, "waits_for"))) {
        fprintf(out, ", waits for %s", text_of(move, "waits_for"));
    }
    if (json_is_string(json_object_get(move, "error"))) {
        fprintf(out, " (%s)", text_of(move, "error"));
    }
    fputc('\n', out);
}

static void print_moves(FILE *out, const json_t *state, size_t ended)
{
    size_t index;
    size_t shown = 0;
    json_t *move;

    json_array_foreach(json_object_get(state, "migrations"), index, move)
    {
        bool open = json_is_null(json_object_get(move, "ended_at"));
        if (open || shown < ended) {
            print_move(out, move);
            shown += open ? 0 : 1;
        }
    }
}

static void print_plan(FILE *out, const json_t *state)
{
    const json_t *plan = json_object_get(state, "plan");
    const char *problem = text_of(state, "plan_problem");
    size_t index;
    json_t *move;

    if (!json_is_object(plan)) {
        fprintf(out, "plan   none: %s\n", strcmp(problem, "-") != 0 ? problem : "not made yet");
        return;
    }
    fprintf(out, "plan   made %s: cost", text_of(plan, "made_at"));
    print_number(out, json_object_get(plan, "cost_yen"), "total", "JPY, staying");
    print_number(out, plan, "stay_cost_yen", "JPY, gap");
    fprintf(out, " %.2f %%", 100 * number_of(plan, "gap"));
    fprintf(out, "%s%s\n", strcmp(text_of(plan, "note"), "-") != 0 ? "; " : "",
            strcmp(text_of(plan, "note"), "-") != 0 ? text_of(plan, "note") : "");
    json_array_foreach(json_object_get(plan, "moves"), index, move)
    {
        if (strcmp(text_of(move, "state"), "skipped") == 0) {
            fprintf(out, "plan   wants %s at %s, not done: %s\n", text_of(move, "vm"),
                    text_of(move, "to"), text_of(move, "reason"));
        }
    }
    if (strcmp(problem, "-") != 0) {
        fprintf(out, "plan   the last one failed: %s\n", problem);
    }
}

static size_t print_alerts(FILE *out, const json_t *state)
{
    size_t index;
    json_t *alert;

    json_array_foreach(json_object_get(state, "alerts"), index, alert)
    {
        fprintf(out, "ALERT  %s%s%s\n       check: %s\n", text_of(alert, "vm"),
                strcmp(text_of(alert, "vm"), "-") != 0 ? ": " : "", text_of(alert, "text"),
                text_of(alert, "check"));
    }
    return json_array_size(json_object_get(state, "alerts"));
}

static void print_links(FILE *out, const json_t *state)
{
    size_t index;
    json_t *link;

    json_array_foreach(json_object_get(state, "links"), index, link)
    {
        fprintf(out, "link   %s - %s: %.0f %% busy, %lld on the way, %lld waiting, measured",
                text_of(link, "a"), text_of(link, "b"), 100 * number_of(link, "busy"),
                (long long)json_integer_value(json_object_get(link, "running")),
                (long long)json_integer_value(json_object_get(link, "queued")));
        print_number(out, link, "measured_gbit_s", "Gb/s\n");
    }
}

static int follow(void *opaque, const json_t *event)
{
    struct agent_context *context = opaque;

    if (json_dumpf(event, context->out, JSON_COMPACT) == 0) {
        fputc('\n', context->out);
    }
    return fflush(context->out) != 0;
}

static int run_status(struct agent_context *context)
{
    json_t *state = NULL;

    if (agent_context_value(context, &agent_cmd_status, "follow") != NULL) {
        return control_watch(context, &agent_cmd_status, follow, context);
    }
    int code = control_get(context, &agent_cmd_status, "/v1/state", &state);
    if (code != AGENT_EXIT_OK) {
        return code;
    }
    if (context->json) {
        agent_json_print(state, context->out);
        json_decref(state);
        return AGENT_EXIT_OK;
    }
    const json_t *agent = json_object_get(state, "agent");
    fprintf(context->out, "agent  %s at %s%s, %.1f MiB\n", text_of(agent, "state"),
            text_of(state, "now"),
            json_is_true(json_object_get(agent, "paused")) ? ", begins no new moves (paused)" : "",
            number_of(agent, "memory_mib"));
    print_sites(context->out, state);
    print_links(context->out, state);
    print_machines(context->out, state);
    print_moves(context->out, state,
                agent_context_value(context, &agent_cmd_status, "all") != NULL ? 1000 : 5);
    print_plan(context->out, state);
    size_t alerts = print_alerts(context->out, state);
    json_decref(state);
    return alerts > 0 ? AGENT_EXIT_NO : AGENT_EXIT_OK;
}

static const struct agent_option options[] = {
    {"all", NULL, NULL, "all ended migrations that the agent remembers, not only five"},
    {"follow", NULL, NULL, "print events as JSON lines as they happen"},
    CONTROL_OPTION,
    {NULL, NULL, NULL, NULL},
};

const struct agent_command agent_cmd_status = {
    .name = "status",
    .summary = "show where everything runs and what is under way",
    .operands_max = 0,
    .detail = "Exit code 1 when something waits for a person. --json gives the whole state as "
              "docs/agent-state.md describes it.",
    .options = options,
    .run = run_status,
};
