/* SPDX-License-Identifier: GPL-2.0-or-later */
/* make_man.c - manual pages from the command tables, so that they can never disagree with --help
 * Owner: none.   Thread: main.   Time: none.   Units: none.
 * usage: make-man COMMAND|top > page.1 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/options.h"

/* Text for roff: no line may begin with a mark, no backslash or minus is taken literally. */
static void put_text(const char *text)
{
    bool line_start = true;

    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", stdout);
        }
        line_start = *text == '\n';
        if (*text == '\\') {
            fputs("\\e", stdout);
        } else if (*text == '-') {
            fputs("\\-", stdout);
        } else {
            putchar(*text);
        }
    }
}

static void put_heading(const char *name, const char *summary)
{
    printf(".TH \"");
    for (const char *at = name; *at != '\0'; at++) {
        putchar(toupper((unsigned char)*at));
    }
    printf("\" 1 \"\" \"vmm\\-agent %s\" \"vmm\\-agent\"\n.SH NAME\n", VMM_AGENT_VERSION);
    put_text(name);
    printf(" \\- ");
    put_text(summary);
    putchar('\n');
}

static void put_options(const struct agent_option *options)
{
    for (int index = 0; options != NULL && options[index].name != NULL; index++) {
        printf(".TP\n\\fB\\-\\-");
        put_text(options[index].name);
        printf("\\fR");
        if (options[index].argument != NULL) {
            printf(" \\fI%s\\fR", options[index].argument);
        }
        putchar('\n');
        put_text(options[index].help);
        const char *choices = options[index].choices;
        if (choices != NULL && choices[0] != '@') {
            printf("; one of: ");
            put_text(choices);
        }
        printf(".\n");
    }
}

static void put_leaf(const char *parent, const struct agent_command *command, const char *section)
{
    printf(".%s \"", section);
    put_text(parent);
    printf("%s", parent[0] != '\0' ? " " : "");
    put_text(command->name);
    printf("\"\n.B vmm\\-agent ");
    put_text(parent);
    printf(" ");
    put_text(command->name);
    printf("\n.RI [ OPTIONS ]\n");
    if (command->operands != NULL && command->operands[0] != '\0') {
        put_text(command->operands);
        printf("\n");
    }
    printf(".PP\n");
    put_text(command->summary);
    printf(".\n");
    if (command->detail != NULL) {
        printf(".PP\n");
        put_text(command->detail);
        putchar('\n');
    }
    put_options(command->options);
}

static void put_common(void)
{
    printf(".SH \"COMMON OPTIONS\"\n");
    put_options(agent_common_options());
    printf(
        ".SH \"EXIT STATUS\"\n"
        "0 done; 1 done, and the answer is no (doubtful data, an infeasible instance); 2 command\n"
        "line or configuration; 3 an input cannot be read or is not what it should be; 4 store or\n"
        "system.\n");
}

static void put_top(void)
{
    put_heading("vmm-agent", "decides from power-grid signals when and where virtual machines run");
    printf(".SH SYNOPSIS\n.B vmm\\-agent\n.I COMMAND\n.RI [ OPTIONS ]\n.RI [ OPERANDS ]\n"
           ".SH COMMANDS\n");
    for (size_t index = 0; agent_commands[index] != NULL; index++) {
        printf(".TP\n.BR vmm\\-agent\\-%s (1)\n", agent_commands[index]->name);
        put_text(agent_commands[index]->summary);
        printf(".\n");
    }
    put_common();
    printf(".SH \"SEE ALSO\"\n.BR vmm\\-agent.yaml (5)\n");
}

static int put_command(const char *name)
{
    char title[64];

    for (size_t index = 0; agent_commands[index] != NULL; index++) {
        const struct agent_command *command = agent_commands[index];
        if (strcmp(command->name, name) != 0) {
            continue;
        }
        snprintf(title, sizeof(title), "vmm-agent-%s", name);
        put_heading(title, command->summary);
        printf(".SH DESCRIPTION\n");
        if (command->children == NULL) {
            put_leaf("", command, "SS");
        }
        for (size_t at = 0; command->children != NULL && command->children[at] != NULL; at++) {
            put_leaf(name, command->children[at], "SS");
        }
        put_common();
        printf(".SH \"SEE ALSO\"\n.BR vmm\\-agent (1),\n.BR vmm\\-agent.yaml (5)\n");
        return 0;
    }
    fprintf(stderr, "make-man: no command '%s'\n", name);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make-man COMMAND|top\n");
        return 2;
    }
    if (strcmp(argv[1], "top") == 0) {
        put_top();
        return 0;
    }
    return put_command(argv[1]);
}
