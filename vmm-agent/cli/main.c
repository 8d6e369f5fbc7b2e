/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - finds the subcommand, fills its context, runs it
 * Owner: process.   Thread: main.
 * Time:  CLOCK_REALTIME, read once.   Units: seconds. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/options.h"
#include "support/text.h"

#define COMMAND_DEPTH_MAX 3

static const struct agent_command *find(const struct agent_command *const *list, const char *name)
{
    for (size_t index = 0; list[index] != NULL; index++) {
        if (strcmp(list[index]->name, name) == 0) {
            return list[index];
        }
    }
    return NULL;
}

static void no_such_command(const struct agent_command *const *list, const char *name,
                            struct agent_error *error)
{
    const char *names[64];
    size_t count = 0;

    while (list[count] != NULL && count < 63) {
        names[count] = list[count]->name;
        count++;
    }
    names[count] = NULL;
    const char *near = agent_text_nearest(name, names);
    agent_error_set(error, EINVAL, "unknown command '%.40s'%s%s%s (vmm-agent --help lists them)",
                    name, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "");
}

/* Walks argv down the tables; *@used counts the words taken, @path collects the commands. */
static int resolve(int argc, char **argv, const struct agent_command **path, int *used,
                   struct agent_error *error)
{
    const struct agent_command *const *list = agent_commands;
    int depth = 0;
    int at = 1;

    while (list != NULL && at < argc && argv[at][0] != '-' && depth < COMMAND_DEPTH_MAX) {
        path[depth] = find(list, argv[at]);
        if (path[depth] == NULL) {
            no_such_command(list, argv[at], error);
            return -EINVAL;
        }
        list = path[depth]->children;
        depth++;
        at++;
    }
    *used = at;
    return depth;
}

static int run(struct agent_context *context, int argc, char **argv)
{
    const struct agent_command *path[COMMAND_DEPTH_MAX + 1] = {NULL};
    struct agent_error error = {0};
    struct agent_parsed parsed = {context, false};
    int used = 1;
    int depth = resolve(argc, argv, path, &used, &error);

    if (depth < 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    if (depth == 0) {
        return agent_help_top(context, argc, argv);
    }
    const struct agent_command *leaf = path[depth - 1];
    if (agent_options_parse(leaf, argc - used, argv + used, &parsed, &error) < 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    if (parsed.help || leaf->run == NULL) {
        agent_help_command(parsed.help ? context->out : context->err, path, depth);
        return parsed.help ? AGENT_EXIT_OK : AGENT_EXIT_USAGE;
    }
    return leaf->run(context);
}

int main(int argc, char **argv)
{
    struct agent_context context = {.out = stdout, .err = stderr, .now_s = (int64_t)time(NULL)};
    struct agent_error error = {0};
    int code = run(&context, argc, argv);

    if (fflush(stdout) != 0 || ferror(stdout)) {
        agent_error_set(&error, EIO, "cannot write the answer: %s", strerror(errno));
        context.json = false;
        return agent_context_fail(&context, AGENT_EXIT_SYSTEM, &error);
    }
    return code;
}
