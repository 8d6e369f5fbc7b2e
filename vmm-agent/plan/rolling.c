/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rolling.c - Theory of operation
 * The question becomes the instance an operator would write and goes through the same reader. It
 * is solved from the prices of the document before, slot by slot of the same instant. When there is
 * no plan the answer is to stay: where things are is a fact, and no constraint is bent for it. */
#include "plan/rolling.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "plan/rolling_question.h"

int64_t agent_roll_slot(const json_t *document)
{
    const char *start = json_string_value(json_object_get(document, "start"));
    int64_t start_s = 0;

    return start != NULL && agent_time_parse(start, &start_s, NULL) == 0 ? agent_slot_of(start_s)
                                                                         : -1;
}

void agent_roll_answer_done(struct agent_roll_answer *answer)
{
    agent_plan_free(answer->plan);
    agent_plan_instance_free(answer->instance);
    json_decref(answer->question);
    json_decref(answer->document);
    memset(answer, 0, sizeof(*answer));
}

/* Prices of the document before, or NULL: a bad or foreign document only costs the warm start. */
static struct agent_plan *warm_of(const struct agent_roll *roll,
                                  const struct agent_plan_instance *instance)
{
    struct agent_plan *warm = NULL;

    if (roll->before == NULL ||
        agent_plan_from_json(roll->before, instance, true, &warm, NULL) < 0) {
        return NULL;
    }
    return warm;
}

/* Staying as a plan with its cost; what it breaks was said by the solver. */
static int stay(struct agent_roll_answer *answer)
{
    struct plan_breaches breaches = {0};
    int ret = agent_plan_stay(answer->instance, &answer->plan);

    answer->stayed = true;
    if (ret == -ENOENT) { /* some VM is not placed yet: there is nothing to stay at */
        return 0;
    }
    if (ret == 0) {
        agent_plan_check(answer->plan, &breaches, &answer->plan->cost, &answer->plan->figures);
        answer->plan->gap = NAN;
    }
    return ret;
}

static int solve(const struct agent_roll *roll, struct agent_roll_answer *answer,
                 struct agent_error *error)
{
    struct agent_plan_options options = roll->options;
    struct agent_plan *warm = warm_of(roll, answer->instance);
    struct agent_error why = {0};

    options.warm = warm;
    int ret = agent_plan_solve(answer->instance, &options, &answer->plan, NULL, &why);
    agent_plan_free(warm);
    if (ret == -EDOM) {
        snprintf(answer->why, sizeof(answer->why), "%s", why.text);
        ret = stay(answer);
    }
    return ret < 0 ? agent_error_set(error, ret, "plan: %s",
                                     why.text[0] != '\0' ? why.text : strerror(-ret))
                   : 0;
}

int agent_roll_solve(const struct agent_roll *roll, struct agent_roll_answer *answer,
                     struct agent_error *error)
{
    answer->question = roll_question(roll);
    if (answer->question == NULL) {
        return agent_error_set(error, ENOMEM, "plan: out of memory for an instance");
    }
    int ret = agent_plan_instance_parse(answer->question, &answer->instance, error);
    ret = ret < 0 ? ret : solve(roll, answer, error);
    if (ret == 0 && answer->plan != NULL) {
        answer->document = agent_plan_to_json(answer->plan);
        ret = answer->document != NULL
                  ? 0
                  : agent_error_set(error, ENOMEM, "plan: out of memory for a document");
    }
    if (ret == 0 && answer->stayed && answer->document != NULL) {
        json_object_set_new(answer->document, "stopped", json_string("no-plan"));
        json_object_set_new(answer->document, "no_plan", json_string(answer->why));
    }
    return ret;
}
