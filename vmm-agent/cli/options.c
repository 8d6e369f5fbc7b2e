/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c - words of the command line to a filled context, guided by the command tables
 * Owner: context is the caller's.   Thread: main.
 * Time:  none.                      Units: none. */
#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/text.h"

static const struct agent_option common[] = {
    {"config", "FILE", "@file", "configuration in YAML"},
    {"json", NULL, NULL, "answer with one JSON document on standard output"},
    {"quiet", NULL, NULL, "no progress on standard error"},
    {"now", "TIME", NULL, "pretend that it is TIME (2026-04-02T13:00+09:00): repeatable runs"},
    {"help", NULL, NULL, "show this help"},
    {NULL, NULL, NULL, NULL},
};

const struct agent_option *agent_common_options(void)
{
    return common;
}

int agent_option_index(const struct agent_option *options, const char *name, size_t length)
{
    for (int index = 0; options != NULL && options[index].name != NULL; index++) {
        if (strlen(options[index].name) == length &&
            strncmp(options[index].name, name, length) == 0) {
            return index;
        }
    }
    return -ENOENT;
}

static bool choice_known(const char *choices, const char *value)
{
    size_t length = strlen(value);

    while (length > 0 && *choices != '\0') {
        size_t word = strcspn(choices, " ");
        if (word == length && strncmp(choices, value, length) == 0) {
            return true;
        }
        choices += word + (choices[word] == ' ' ? 1 : 0);
    }
    return false;
}

static int unknown_option(const struct agent_command *command, const char *word, size_t length,
                          struct agent_error *error)
{
    const char *names[2 * AGENT_OPTIONS_MAX + 1];
    char name[64];
    int count = 0;

    snprintf(name, sizeof(name), "%.*s", (int)length, word);
    for (int index = 0; command->options != NULL && command->options[index].name != NULL &&
                        index < AGENT_OPTIONS_MAX;
         index++) {
        names[count++] = command->options[index].name;
    }
    for (int index = 0; common[index].name != NULL; index++) {
        names[count++] = common[index].name;
    }
    names[count] = NULL;
    const char *near = agent_text_nearest(name, names);
    return agent_error_set(error, EINVAL, "%s: unknown option --%s%s%s%s", command->name, name,
                           near != NULL ? "; did you mean --" : "", near != NULL ? near : "",
                           near != NULL ? "?" : "");
}

static int store_common(int index, const char *value, struct agent_parsed *parsed,
                        struct agent_error *error)
{
    switch (index) {
    case 0:
        parsed->context->config_path = value;
        return 0;
    case 1:
        parsed->context->json = true;
        return 0;
    case 2:
        parsed->context->quiet = true;
        return 0;
    case 3:
        return agent_time_parse(value, &parsed->context->now_s, error);
    default:
        parsed->help = true;
        return 0;
    }
}

/* One "--name", "--name=value" or "--name value"; *@at moves past what was used. */
static int take_option(const struct agent_command *command, int argc, char **argv, int *at,
                       struct agent_parsed *parsed, struct agent_error *error)
{
    const char *word = argv[*at] + 2;
    size_t length = strcspn(word, "=");
    const char *value = word[length] == '=' ? word + length + 1 : NULL;
    int own = agent_option_index(command->options, word, length);
    int index = own >= 0 ? own : agent_option_index(common, word, length);

    if (index < 0) {
        return unknown_option(command, word, length, error);
    }
    const struct agent_option *option = own >= 0 ? &command->options[own] : &common[index];
    if (option->argument == NULL && value != NULL) {
        return agent_error_set(error, EINVAL, "--%s takes no value, '%.60s' was given",
                               option->name, value);
    }
    if (option->argument != NULL && value == NULL) {
        if (*at + 1 >= argc) {
            return agent_error_set(error, EINVAL, "--%s needs a value: --%s %s", option->name,
                                   option->name, option->argument);
        }
        value = argv[++*at];
    }
    if (option->choices != NULL && option->choices[0] != '@' && value != NULL &&
        !choice_known(option->choices, value)) {
        return agent_error_set(error, EINVAL, "--%s: expected one of: %s; found '%.60s'",
                               option->name, option->choices, value);
    }
    value = value != NULL ? value : "";
    if (own < 0) {
        return store_common(index, value, parsed, error);
    }
    if (parsed->context->values[own] != NULL) {
        return agent_error_set(error, EINVAL, "--%s is given twice", option->name);
    }
    parsed->context->values[own] = value;
    return 0;
}

int agent_options_parse(const struct agent_command *command, int argc, char **argv,
                        struct agent_parsed *parsed, struct agent_error *error)
{
    struct agent_context *context = parsed->context;
    bool only_operands = false;
    int kept = 0;

    for (int at = 0; at < argc; at++) {
        bool option = !only_operands && strncmp(argv[at], "--", 2) == 0;
        if (option && argv[at][2] == '\0') {
            only_operands = true;
        } else if (option) {
            int status = take_option(command, argc, argv, &at, parsed, error);
            if (status < 0) {
                return status;
            }
        } else if (!only_operands && argv[at][0] == '-' && argv[at][1] != '\0') {
            return agent_error_set(error, EINVAL,
                                   "%s: unknown option %.40s (options are long: "
                                   "see --help)",
                                   command->name, argv[at]);
        } else {
            argv[kept++] = argv[at];
        }
    }
    context->operands = argv;
    context->operand_count = kept;
    if (parsed->help || command->run == NULL) {
        return 0;
    }
    if (kept < command->operands_min ||
        (command->operands_max >= 0 && kept > command->operands_max)) {
        bool none = command->operands_max == 0;
        return agent_error_set(error, EINVAL, "%s: %s%s; %d given", command->name,
                               none ? "takes no operands" : "expects ",
                               none ? "" : command->operands, kept);
    }
    return 0;
}

const char *agent_option_value(const struct agent_context *context,
                               const struct agent_option *options, const char *name)
{
    int index = agent_option_index(options, name, strlen(name));

    return index < 0 ? NULL : context->values[index];
}

int agent_option_numbers(const struct agent_context *context, const struct agent_option *options,
                         const struct agent_number_rule *rules, size_t count,
                         struct agent_error *error)
{
    for (size_t index = 0; index < count; index++) {
        const struct agent_number_rule *rule = &rules[index];
        const char *text = agent_option_value(context, options, rule->name);
        double found = 0.0;
        if (text == NULL) {
            continue;
        }
        if (agent_text_number(text, &found) != 0 || !(found >= rule->min && found <= rule->max) ||
            (rule->whole && floor(found) < found)) {
            return agent_error_set(
                error, EINVAL, "--%s: expected a %snumber %.10g..%.10g, found '%.40s'", rule->name,
                rule->whole ? "whole " : "", rule->min, rule->max, text);
        }
        *rule->out = found;
    }
    return 0;
}
