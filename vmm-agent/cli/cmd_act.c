/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_act.c - what a person tells the running agent: migrate, cancel, drain, undrain, pause,
 * resume, boot, resolve, replan; and explain VM Owner: none.   Thread: main.   Time: none.   Units:
 * none. */
#include <errno.h>
#include <string.h>

#include "cli/act.h"
#include "cli/commands.h"
#include "cli/control.h"
#include "support/json.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "-";
}

/* Asks, and prints either the answer as JSON or @done. */
static int ask(struct agent_context *context, const struct agent_command *command, const char *verb,
               json_t *args, const char *done)
{
    json_t *answer = NULL;
    int code = control_command(context, command, verb, args, &answer);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    if (context->json) {
        agent_json_print(answer, context->out);
    } else if (done != NULL && !context->quiet) {
        fprintf(context->out, "%s\n", done);
    }
    json_decref(answer);
    return AGENT_EXIT_OK;
}

/* ---- migrate ------------------------------------------------------------------------------ */

struct waiting {
    struct agent_context *context;
    json_int_t id;
    int code;
};

static int watch_move(void *opaque, const json_t *event)
{
    struct waiting *waiting = opaque;
    struct agent_context *context = waiting->context;

    if (json_integer_value(json_object_get(event, "id")) != waiting->id) {
        return 0;
    }
    const char *type = text_of(event, "event");
    if (strcmp(type, "migration.stage") == 0 && !context->json) {
        fprintf(context->out, "%-10s %-7s %s\n", text_of(event, "stage"), text_of(event, "phase"),
                text_of(event, "text"));
        fflush(context->out);
    }
    if (strcmp(type, "migration.end") != 0) {
        return 0;
    }
    waiting->code = strcmp(text_of(event, "state"), "done") == 0 ? AGENT_EXIT_OK : AGENT_EXIT_NO;
    if (context->json) {
        agent_json_print(event, context->out);
    }
    return 1;
}

static int run_migrate(struct agent_context *context)
{
    const struct agent_command *command = &agent_cmd_migrate;
    bool host = agent_context_value(context, command, "host") != NULL;
    bool wait = agent_context_value(context, command, "wait") != NULL;
    json_t *args = json_pack("{s:s, s:s, s:b}", "vm", context->operands[0], host ? "host" : "site",
                             context->operands[1], "urgent",
                             agent_context_value(context, command, "urgent") != NULL);
    json_t *answer = NULL;
    int code = control_command(context, command, "migrate", args, &answer);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    struct waiting waiting = {context, json_integer_value(json_object_get(answer, "migration")),
                              AGENT_EXIT_SYSTEM};
    if (context->json && !wait) {
        agent_json_print(answer, context->out);
    } else if (!context->json && !context->quiet) {
        fprintf(context->out, "migration %lld: %s to %s\n", (long long)waiting.id,
                context->operands[0], context->operands[1]);
    }
    json_decref(answer);
    if (!wait) {
        return AGENT_EXIT_OK;
    }
    code = control_watch(context, command, watch_move, &waiting);
    return code == AGENT_EXIT_OK ? waiting.code : code;
}

static const struct agent_option migrate_options[] = {
    {"host", NULL, NULL, "the second word names a host, not a site"},
    {"urgent", NULL, NULL, "before everything that waits"},
    {"wait", NULL, NULL, "show its stages; exit code 1 when it did not arrive"},
    CONTROL_OPTION,
    {NULL, NULL, NULL, NULL},
};

const struct agent_command agent_cmd_migrate = {
    .name = "migrate",
    .summary = "move a machine to a site now",
    .operands = "VM SITE",
    .operands_min = 2,
    .operands_max = 2,
    .detail =
        "Queues the move; the agent chooses the host of the site with most room. The plan may "
        "want it elsewhere in a later slot: pinned machines stay.",
    .options = migrate_options,
    .run = run_migrate,
};

/* ---- one word and done -------------------------------------------------------------------- */

static const struct agent_option only_socket[] = {CONTROL_OPTION, {NULL, NULL, NULL, NULL}};

static int run_cancel(struct agent_context *context)
{
    return ask(context, &agent_cmd_cancel, "cancel", json_pack("{s:s}", "vm", context->operands[0]),
               "taken back");
}

const struct agent_command agent_cmd_cancel = {
    .name = "cancel",
    .summary = "take back a machine's open migration",
    .operands = "VM",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "Refused once the destination may own the guest.",
    .options = only_socket,
    .run = run_cancel,
};

static int run_drain(struct agent_context *context)
{
    json_t *answer = NULL;
    int code = control_command(context, &agent_cmd_drain, "drain",
                               json_pack("{s:s}", "host", context->operands[0]), &answer);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    if (context->json) {
        agent_json_print(answer, context->out);
    } else {
        fprintf(context->out, "%s: %lld machines leave, %lld have nowhere to go yet\n",
                context->operands[0],
                (long long)json_integer_value(json_object_get(answer, "moves")),
                (long long)json_integer_value(json_object_get(answer, "staying")));
    }
    json_decref(answer);
    return AGENT_EXIT_OK;
}

const struct agent_command agent_cmd_drain = {
    .name = "drain",
    .summary = "empty a host: nothing comes any more, what is there leaves",
    .operands = "HOST",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "Stays in force over restarts until vmm-agent undrain. Machines go to other hosts of "
              "the site, else to other sites; those without room anywhere are tried again.",
    .options = only_socket,
    .run = run_drain,
};

static int run_undrain(struct agent_context *context)
{
    return ask(context, &agent_cmd_undrain, "undrain",
               json_pack("{s:s}", "host", context->operands[0]), "open again");
}

const struct agent_command agent_cmd_undrain = {
    .name = "undrain",
    .summary = "let machines come to a host again",
    .operands = "HOST",
    .operands_min = 1,
    .operands_max = 1,
    .options = only_socket,
    .run = run_undrain,
};

static json_t *maybe_vm(const struct agent_context *context)
{
    return context->operand_count > 0 ? json_pack("{s:s}", "vm", context->operands[0])
                                      : json_object();
}

static int run_pause(struct agent_context *context)
{
    return ask(context, &agent_cmd_pause, "pause", maybe_vm(context),
               context->operand_count > 0 ? "paused" : "no new moves are begun");
}

const struct agent_command agent_cmd_pause = {
    .name = "pause",
    .summary = "begin no new moves; or stop a machine's processors",
    .operands = "[VM]",
    .operands_max = 1,
    .detail =
        "Without VM the agent begins no moves of plans and drains; what is open goes on, and so "
        "do commands and demand response. Both last over restarts until vmm-agent resume.",
    .options = only_socket,
    .run = run_pause,
};

static int run_resume(struct agent_context *context)
{
    return ask(context, &agent_cmd_resume, "resume", maybe_vm(context),
               context->operand_count > 0 ? "goes on" : "moves are begun again");
}

const struct agent_command agent_cmd_resume = {
    .name = "resume",
    .summary = "undo pause",
    .operands = "[VM]",
    .operands_max = 1,
    .options = only_socket,
    .run = run_resume,
};

static int run_boot(struct agent_context *context)
{
    return ask(context, &agent_cmd_boot, "boot", json_pack("{s:s}", "vm", context->operands[0]),
               "being started");
}

const struct agent_command agent_cmd_boot = {
    .name = "boot",
    .summary = "start a machine that runs nowhere",
    .operands = "VM",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "Refused unless it is proved that no copy of it exists.",
    .options = only_socket,
    .run = run_boot,
};

static int run_resolve(struct agent_context *context)
{
    return ask(context, &agent_cmd_resolve, "resolve",
               json_pack("{s:s, s:s}", "vm", context->operands[0], "outcome", context->operands[1]),
               "noted");
}

const struct agent_command agent_cmd_resolve = {
    .name = "resolve",
    .summary = "say who runs a machine when the agent cannot know",
    .operands = "VM source|destination|absent",
    .operands_min = 2,
    .operands_max = 2,
    .detail =
        "For a machine in state unknown, after you have made sure. What you name not running is "
        "taken for fenced: if it does run, two copies of the guest will. The agent refuses what "
        "contradicts a QEMU that answers.",
    .options = only_socket,
    .run = run_resolve,
};

static int run_replan(struct agent_context *context)
{
    return ask(context, &agent_cmd_replan, "replan", NULL, "planning");
}

const struct agent_command agent_cmd_replan = {
    .name = "replan",
    .summary = "make a new plan now",
    .operands_max = 0,
    .options = only_socket,
    .run = run_replan,
};

/* ---- explain VM --------------------------------------------------------------------------- */

static void print_story(FILE *out, const json_t *story)
{
    size_t index;
    json_t *entry;

    json_array_foreach((json_t *)(uintptr_t)story, index, entry)
    {
        fprintf(out, "  %6lld  %-10s %-7s %s\n",
                (long long)json_integer_value(json_object_get(entry, "migration")),
                text_of(entry, "stage"), text_of(entry, "phase"), text_of(entry, "text"));
    }
}

static void print_explained(FILE *out, const json_t *answer)
{
    const json_t *vm = json_object_get(answer, "vm");
    size_t index;
    json_t *qemu;

    fprintf(out, "%s is %s at %s (host %s): %s\n", text_of(vm, "name"), text_of(vm, "state"),
            text_of(vm, "site"), text_of(vm, "host"), text_of(vm, "reason"));
    fprintf(out, "plan     wants it at %s: %s\n", text_of(vm, "wanted_site"),
            text_of(answer, "plan"));
    if (strcmp(text_of(vm, "fixed"), "-") != 0 && text_of(vm, "fixed")[0] != '\0') {
        fprintf(out, "fixed    %s\n", text_of(vm, "fixed"));
    }
    json_array_foreach(json_object_get(answer, "qemus"), index, qemu)
    {
        fprintf(out, "qemu     epoch %lld at %s: %s, %s%s%s\n",
                (long long)json_integer_value(json_object_get(qemu, "epoch")),
                text_of(qemu, "host"), text_of(qemu, "answers"), text_of(qemu, "status"),
                text_of(qemu, "problem")[0] != '\0' ? ": " : "", text_of(qemu, "problem"));
    }
    fprintf(out, "journal  migration, stage, what:\n");
    print_story(out, json_object_get(answer, "story"));
}

int act_explain_vm(struct agent_context *context, const struct agent_command *command,
                   const char *vm)
{
    json_t *answer = NULL;
    int code = control_command(context, command, "explain", json_pack("{s:s}", "vm", vm), &answer);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    if (context->json) {
        agent_json_print(answer, context->out);
    } else {
        print_explained(context->out, answer);
    }
    json_decref(answer);
    return AGENT_EXIT_OK;
}
