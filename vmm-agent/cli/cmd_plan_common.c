/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_plan_common.c - solving, loading and printing for the subcommands about plans
 * Owner: caller.   Thread: main.   Time: none.   Units: as in plan/plan.h. */
#include <errno.h>

#include "cli/plan.h"
#include "support/json.h"

#define PLAN_BYTES_MAX ((size_t)256 * 1024 * 1024)

int plan_print_json(struct agent_context *context, json_t *root)
{
    struct agent_error error = {0};
    int ret = root != NULL ? agent_json_print(root, context->out) : -ENOMEM;

    json_decref(root);
    if (ret < 0) {
        agent_error_set(&error, -ret, "cannot print the answer as JSON");
        context->json = false;
        return agent_context_fail(context, AGENT_EXIT_SYSTEM, &error);
    }
    return AGENT_EXIT_OK;
}

int plan_load(struct agent_context *context, const struct agent_plan_instance *instance,
              const char *path, bool prices_only, struct agent_plan **out)
{
    struct agent_error error = {0};
    json_t *root = NULL;
    int ret = agent_json_load(path, PLAN_BYTES_MAX, &root, &error);

    if (ret == 0) {
        ret = agent_plan_from_json(root, instance, prices_only, out, &error);
        json_decref(root);
        if (ret < 0 && error.file[0] == '\0') {
            snprintf(error.file, sizeof(error.file), "%s", path);
        }
    }
    return ret == 0 ? AGENT_EXIT_OK : agent_context_fail(context, AGENT_EXIT_INPUT, &error);
}

int plan_solve(struct agent_context *context, const struct agent_plan_instance *instance,
               const struct agent_plan_options *options, struct agent_plan **out)
{
    struct plan_breaches breaches;
    struct agent_error error = {0};
    int ret = agent_plan_solve(instance, options, out, &breaches, &error);

    if (ret == 0) {
        return AGENT_EXIT_OK;
    }
    for (int index = 0; !context->json && !context->quiet && index < breaches.count &&
                        index < AGENT_PLAN_BREACHES_MAX;
         index++) {
        fprintf(context->err, "best attempt: %s\n", breaches.worst[index].text);
    }
    return agent_context_fail(context, ret == -EDOM ? AGENT_EXIT_NO : AGENT_EXIT_SYSTEM, &error);
}
