/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_completion.c - prints a bash completion script made from the command tables
 * Owner: none.   Thread: main.   Time: none.   Units: none. */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"

static void print_words(FILE *out, const struct agent_option *options)
{
    for (int index = 0; options != NULL && options[index].name != NULL; index++) {
        fprintf(out, " --%s", options[index].name);
    }
}

static void print_values(FILE *out, const struct agent_option *options)
{
    for (int index = 0; options != NULL && options[index].name != NULL; index++) {
        const char *choices = options[index].choices;
        if (choices == NULL) {
            continue;
        }
        fprintf(out, "            --%s) ", options[index].name);
        if (choices[0] == '@') {
            fprintf(out, "COMPREPLY=($(compgen %s -- \"$word\")) ;;\n",
                    choices[1] == 'd' ? "-d" : "-f");
        } else {
            fprintf(out, "COMPREPLY=($(compgen -W \"%s\" -- \"$word\")) ;;\n", choices);
        }
    }
}

/* One case branch per command: what may follow "parent name". */
static void print_leaf(FILE *out, const char *parent, const struct agent_command *command)
{
    fprintf(out, "    \"%s%s%s\")\n        case \"$before\" in\n", parent,
            parent[0] != '\0' ? " " : "", command->name);
    print_values(out, command->options);
    print_values(out, agent_common_options());
    fprintf(out, "            *) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"");
    print_words(out, command->options);
    print_words(out, agent_common_options());
    fprintf(out, "\" -- \"$word\")); else COMPREPLY=($(compgen -f -- \"$word\")); fi ;;\n"
                 "        esac ;;\n");
}

static void print_branch(FILE *out, const struct agent_command *command)
{
    if (command->children == NULL) {
        print_leaf(out, "", command);
        return;
    }
    fprintf(out, "    \"%s\") COMPREPLY=($(compgen -W \"--help", command->name);
    for (size_t index = 0; command->children[index] != NULL; index++) {
        fprintf(out, " %s", command->children[index]->name);
    }
    fprintf(out, "\" -- \"$word\")) ;;\n");
    for (size_t index = 0; command->children[index] != NULL; index++) {
        print_leaf(out, command->name, command->children[index]);
    }
}

static int run(struct agent_context *context)
{
    FILE *out = context->out;

    if (strcmp(context->operands[0], "bash") != 0) {
        struct agent_error error = {0};
        agent_error_set(&error, EINVAL, "completion: expected bash, found '%.20s'",
                        context->operands[0]);
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    fprintf(out, "# bash completion of vmm-agent; made by: vmm-agent completion bash\n"
                 "_vmm_agent() {\n    local word=${COMP_WORDS[COMP_CWORD]}\n"
                 "    local before=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    local path=${COMP_WORDS[1]}\n    COMPREPLY=()\n"
                 "    if ((COMP_CWORD == 1)); then\n        COMPREPLY=($(compgen -W \"");
    for (size_t index = 0; agent_commands[index] != NULL; index++) {
        fprintf(out, "%s ", agent_commands[index]->name);
    }
    fprintf(out, "--help --version\" -- \"$word\"))\n        return\n    fi\n"
                 "    case \"$path\" in\n    -");
    for (size_t index = 0; agent_commands[index] != NULL; index++) {
        if (agent_commands[index]->children != NULL) {
            fprintf(out, "|%s", agent_commands[index]->name);
        }
    }
    fprintf(out, ") ((COMP_CWORD > 2)) && path+=\" ${COMP_WORDS[2]}\" ;;\n    esac\n"
                 "    case \"$path\" in\n");
    for (size_t index = 0; agent_commands[index] != NULL; index++) {
        print_branch(out, agent_commands[index]);
    }
    fprintf(out, "    esac\n}\ncomplete -F _vmm_agent vmm-agent\n");
    return AGENT_EXIT_OK;
}

const struct agent_command agent_cmd_completion = {
    .name = "completion",
    .summary = "print a completion script for the shell",
    .operands = "bash",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "Put it where bash looks:\n"
              "  vmm-agent completion bash > /etc/bash_completion.d/vmm-agent",
    .run = run,
};
