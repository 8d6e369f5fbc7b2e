/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/help.h"

#include <errno.h>
#include <string.h>

#include "cli/options.h"

static void print_options(FILE *out, const struct agent_option *options)
{
    for (int index = 0; options != NULL && options[index].name != NULL; index++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", options[index].name,
                 options[index].argument != NULL ? " " : "",
                 options[index].argument != NULL ? options[index].argument : "");
        fprintf(out, "  %-26s %s\n", left, options[index].help);
        if (options[index].choices != NULL && options[index].choices[0] != '@') {
            fprintf(out, "  %-26s one of: %s\n", "", options[index].choices);
        }
    }
}

static void print_commands(FILE *out, const struct agent_command *const *list)
{
    for (size_t index = 0; list[index] != NULL; index++) {
        fprintf(out, "  %-12s %s\n", list[index]->name, list[index]->summary);
    }
}

static void print_top(FILE *out)
{
    fprintf(out, "vmm-agent - decides from power-grid signals when and where virtual machines "
                 "run\n\nUsage: vmm-agent COMMAND [OPTIONS] [OPERANDS]\n\nCommands:\n");
    print_commands(out, agent_commands);
    fprintf(out, "\nOptions of every command:\n");
    print_options(out, agent_common_options());
    fprintf(out, "\nExit codes: 0 done; 1 done, the answer is no (flagged data, infeasible); "
                 "2 usage or\nconfiguration; 3 an input cannot be read; 4 store or system.\n"
                 "vmm-agent COMMAND --help tells more.\n");
}

int agent_help_top(struct agent_context *context, int argc, char **argv)
{
    struct agent_error error = {0};

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_top(context->out);
        return AGENT_EXIT_OK;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        fprintf(context->out, "vmm-agent %s\n", VMM_AGENT_VERSION);
        return AGENT_EXIT_OK;
    }
    if (argc > 1) {
        agent_error_set(&error, EINVAL, "options come after the command; found '%.40s' first",
                        argv[1]);
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    print_top(context->err);
    return AGENT_EXIT_USAGE;
}

void agent_help_command(FILE *out, const struct agent_command *const *path, int depth)
{
    const struct agent_command *command = path[depth - 1];

    fprintf(out, "vmm-agent");
    for (int index = 0; index < depth; index++) {
        fprintf(out, " %s", path[index]->name);
    }
    fprintf(out, " - %s\n\nUsage: vmm-agent", command->summary);
    for (int index = 0; index < depth; index++) {
        fprintf(out, " %s", path[index]->name);
    }
    if (command->children != NULL) {
        fprintf(out, " COMMAND ...\n\nCommands:\n");
        print_commands(out, command->children);
        return;
    }
    bool operands = command->operands != NULL && command->operands[0] != '\0';
    fprintf(out, " [OPTIONS]%s%s\n", operands ? " " : "", operands ? command->operands : "");
    if (command->detail != NULL) {
        fprintf(out, "\n%s\n", command->detail);
    }
    fprintf(out, "\nOptions:\n");
    print_options(out, command->options);
    print_options(out, agent_common_options());
}
