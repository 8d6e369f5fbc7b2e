/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_dr.c - demand response by hand: dr trigger, dr cancel, dr opt-out, dr status
 * Owner: none.   Thread: main.   Time: none; durations as typed.   Units: kW, s. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/control.h"
#include "support/json.h"

static const struct agent_command dr_trigger;
static const struct agent_command dr_cancel;
static const struct agent_command dr_opt_out;
static const struct agent_command dr_status;

/* "50kW", "800W", "1.2MW", "50" (kW). */
static int parse_power(const char *text, double *kw)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1}, {"kW", 1}, {"W", 1e-3}, {"MW", 1e3}};
    char *end = NULL;
    double number = strtod(text, &end);

    for (size_t index = 0; end != text && index < sizeof(units) / sizeof(units[0]); index++) {
        if (strcmp(end, units[index].name) == 0 && isfinite(number)) {
            *kw = number * units[index].factor;
            return 0;
        }
    }
    return -EINVAL;
}

/* "90s", "30m", "2h", "45" (@unit_s each). */
static int parse_duration(const char *text, double unit_s, double *seconds)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}};
    char *end = NULL;
    double number = strtod(text, &end);

    if (end == text || !isfinite(number) || number < 0) {
        return -EINVAL;
    }
    *seconds = number * unit_s;
    if (*end == '\0') {
        return 0;
    }
    for (size_t index = 0; index < sizeof(units) / sizeof(units[0]); index++) {
        if (strcmp(end, units[index].name) == 0) {
            *seconds = number * units[index].factor;
            return 0;
        }
    }
    return -EINVAL;
}

static int bad(struct agent_error *error, const char *option, const char *text, const char *form)
{
    return agent_error_set(error, EINVAL, "--%s: expected %s, found '%.40s'", option, form, text);
}

/* Options that become a number of the command's arguments. */
static int add_powers(const struct agent_context *context, json_t *args, struct agent_error *error)
{
    static const char *const options[][2] = {
        {"down", "down_kw"}, {"up", "up_kw"}, {"setpoint", "setpoint_kw"}, {"limit", "limit_kw"}};
    int found = 0;

    for (size_t index = 0; index < sizeof(options) / sizeof(options[0]); index++) {
        const char *text = agent_context_value(context, &dr_trigger, options[index][0]);
        double kw = 0;
        if (text == NULL) {
            continue;
        }
        if (parse_power(text, &kw) < 0) {
            return bad(error, options[index][0], text, "a power such as 50kW");
        }
        json_object_set_new(args, options[index][1], json_real(kw));
        found++;
    }
    const char *level = agent_context_value(context, &dr_trigger, "level");
    char *end = NULL;
    double share = level != NULL ? strtod(level, &end) : 0;
    if (level != NULL && (end == level || *end != '\0')) {
        return bad(error, "level", level, "a share such as 0.5");
    }
    if (level != NULL) {
        json_object_set_new(args, "level", json_real(share));
        found++;
    }
    return found == 1
               ? 0
               : agent_error_set(error, EINVAL,
                                 "expected one of --down, --up, --setpoint, --limit, --level");
}

static int add_times(const struct agent_context *context, json_t *args, struct agent_error *error)
{
    static const struct {
        const char *option;
        const char *key;
        double unit_s;  /* of a number without a unit */
        double divisor; /* seconds to the unit of the key */
    } times[] = {{"for", "minutes", 60, 60}, {"in", "in_s", 1, 1}, {"within", "within_s", 1, 1}};

    for (size_t index = 0; index < sizeof(times) / sizeof(times[0]); index++) {
        const char *text = agent_context_value(context, &dr_trigger, times[index].option);
        double seconds = 0;
        if (text == NULL) {
            continue;
        }
        if (parse_duration(text, times[index].unit_s, &seconds) < 0) {
            return bad(error, times[index].option, text, "a time such as 90s, 30m or 2h");
        }
        json_object_set_new(args, times[index].key, json_real(seconds / times[index].divisor));
    }
    const char *priority = agent_context_value(context, &dr_trigger, "priority");
    char *end = NULL;
    long number = priority != NULL ? strtol(priority, &end, 10) : 0;
    if (priority != NULL && (end == priority || *end != '\0' || number < 0)) {
        return bad(error, "priority", priority, "a whole number, 0 = highest");
    }
    if (priority != NULL) {
        json_object_set_new(args, "priority", json_integer(number));
    }
    return 0;
}

/* "east,west" to a list; one name stays a name. */
static void add_sites(const struct agent_context *context, json_t *args)
{
    const char *text = agent_context_value(context, &dr_trigger, "site");
    json_t *list = json_array();

    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, ",");
        json_array_append_new(list, json_stringn(text, length));
        text += length + (text[length] == ',' ? 1 : 0);
    }
    if (json_array_size(list) > 0) {
        json_object_set(args, "sites", list);
    }
    json_decref(list);
}

static void print_answer(FILE *out, const json_t *answer)
{
    const json_t *measures = json_object_get(answer, "measures");
    const char *kind = NULL;
    json_t *count = NULL;

    fprintf(out, "  asked %+.3f kW, planned %+.3f kW",
            json_number_value(json_object_get(answer, "target_kw")),
            json_number_value(json_object_get(answer, "planned_kw")));
    double missing = json_number_value(json_object_get(answer, "missing_kw"));
    if (missing > 0) {
        fprintf(out, ", %.3f kW cannot be had", missing);
    }
    fprintf(out, "; commands out after %.0f ms:",
            1000 * json_number_value(json_object_get(answer, "commanded_real_s")));
    json_object_foreach((json_t *)(uintptr_t)measures, kind, count)
    {
        fprintf(out, " %s %lld", kind, (long long)json_integer_value(count));
    }
    fprintf(out, "%s\n", json_object_size(measures) == 0 ? " nothing to do" : "");
}

static int run_trigger(struct agent_context *context)
{
    struct agent_error error = {0};
    json_t *args = json_object();
    json_t *reply = NULL;
    const char *name = agent_context_value(context, &dr_trigger, "name");
    int status = add_powers(context, args, &error);

    status = status < 0 ? status : add_times(context, args, &error);
    if (status < 0) {
        json_decref(args);
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    add_sites(context, args);
    if (name != NULL) {
        json_object_set_new(args, "name", json_string(name));
    }
    int code = control_command(context, &dr_trigger, "dr-trigger", args, &reply);
    if (code != AGENT_EXIT_OK) {
        return code;
    }
    if (context->json) {
        agent_json_print(reply, context->out);
    } else {
        const json_t *answers = json_object_get(reply, "answers");
        fprintf(context->out, "%s\n", json_string_value(json_object_get(reply, "event")));
        for (size_t index = 0; index < json_array_size(answers) && !context->quiet; index++) {
            print_answer(context->out, json_array_get(answers, index));
        }
    }
    json_decref(reply);
    return AGENT_EXIT_OK;
}

static int tell_event(struct agent_context *context, const struct agent_command *command,
                      const char *verb, json_t *args)
{
    json_t *reply = NULL;
    int code = control_command(context, command, verb, args, &reply);

    if (code == AGENT_EXIT_OK && context->json) {
        agent_json_print(reply, context->out);
    }
    json_decref(reply);
    return code;
}

static int run_cancel(struct agent_context *context)
{
    return tell_event(context, &dr_cancel, "dr-cancel",
                      json_pack("{s:s}", "event", context->operands[0]));
}

static int run_opt_out(struct agent_context *context)
{
    bool again = agent_context_value(context, &dr_opt_out, "undo") != NULL;

    return tell_event(context, &dr_opt_out, "dr-opt-out",
                      json_pack("{s:s,s:b}", "event", context->operands[0], "out", (int)!again));
}

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void print_state(FILE *out, const json_t *dr)
{
    size_t index;
    json_t *entry;

    json_array_foreach(json_object_get(dr, "sites"), index, entry)
    {
        fprintf(out, "%-16s %9.3f kW%s\n", text_in(entry, "site"),
                json_number_value(json_object_get(entry, "power_kw")),
                json_is_true(json_object_get(entry, "answering")) ? "  answering" : "");
    }
    json_array_foreach(json_object_get(dr, "events"), index, entry)
    {
        bool out_of = json_is_true(json_object_get(entry, "opted_out"));
        bool gone = json_is_true(json_object_get(entry, "cancelled"));
        fprintf(out, "event %-30s %-9s %s to %s%s%s\n", text_in(entry, "id"),
                text_in(entry, "origin"), text_in(entry, "start"), text_in(entry, "end"),
                out_of ? "  opted out" : "", gone ? "  cancelled" : "");
    }
    json_array_foreach(json_object_get(dr, "answers"), index, entry)
    {
        fprintf(out, "answer %-29s %s\n", text_in(entry, "event"),
                json_is_true(json_object_get(entry, "open")) ? "open" : "ended");
        print_answer(out, entry);
    }
    json_array_foreach(json_object_get(dr, "guests"), index, entry)
    {
        fprintf(out, "guest %-30s %s%s%s\n", text_in(entry, "vm"), text_in(entry, "measure"),
                json_is_true(json_object_get(entry, "armed")) ? ", copy held at " : "",
                json_is_true(json_object_get(entry, "armed")) ? text_in(entry, "copy_at") : "");
    }
    if (json_is_object(json_object_get(dr, "openadr"))) {
        fprintf(out, "OpenADR: %s\n", text_in(json_object_get(dr, "openadr"), "state"));
    }
}

static int run_status(struct agent_context *context)
{
    struct agent_error error = {0};
    json_t *state = NULL;
    int code = control_get(context, &dr_status, "/v1/state", &state);

    if (code != AGENT_EXIT_OK) {
        return code;
    }
    const json_t *dr = json_object_get(state, "dr");
    if (json_object_size(dr) == 0) {
        agent_error_set(&error, ENOENT,
                        "no site takes part in demand response: the configuration "
                        "has no section dr");
        code = agent_context_fail(context, AGENT_EXIT_NO, &error);
    } else if (context->json) {
        agent_json_print(dr, context->out);
    } else {
        print_state(context->out, dr);
    }
    json_decref(state);
    return code;
}

static const struct agent_option trigger_options[] = {
    {"site", "NAME[,NAME...]", NULL, "sites that answer, several in sum; all when not given"},
    {"down", "POWER", NULL, "draw so much less, such as 50kW"},
    {"up", "POWER", NULL, "draw so much more"},
    {"setpoint", "POWER", NULL, "draw so much"},
    {"limit", "POWER", NULL, "draw at most so much"},
    {"level", "SHARE", NULL, "give up this share of what can be given up, 0 to 1"},
    {"for", "TIME", NULL, "how long, such as 30m (30m)"},
    {"in", "TIME", NULL, "begin later (now)"},
    {"within", "TIME", NULL, "how soon it must be there: 10s pauses guests, 5m moves them (10s)"},
    {"priority", "NUMBER", NULL, "among events for the same site, 0 is the highest (0)"},
    {"name", "TEXT", NULL, "shown beside it"},
    CONTROL_OPTION,
    {NULL, NULL, NULL, NULL},
};

static const struct agent_option plain_options[] = {
    CONTROL_OPTION,
    {NULL, NULL, NULL, NULL},
};

static const struct agent_option opt_out_options[] = {
    {"undo", NULL, NULL, "take part again"},
    CONTROL_OPTION,
    {NULL, NULL, NULL, NULL},
};

static const struct agent_command dr_trigger = {
    .name = "trigger",
    .summary = "make an event here, as if the grid had asked",
    .detail = "Prints the event's id, and what is done about it.",
    .options = trigger_options,
    .run = run_trigger,
};

static const struct agent_command dr_cancel = {
    .name = "cancel",
    .summary = "end an event that was made here",
    .operands = "EVENT",
    .operands_min = 1,
    .operands_max = 1,
    .options = plain_options,
    .run = run_cancel,
};

static const struct agent_command dr_opt_out = {
    .name = "opt-out",
    .summary = "take no part in an event",
    .operands = "EVENT",
    .operands_min = 1,
    .operands_max = 1,
    .detail = "What was done for it is undone; its reports say that we opted out.",
    .options = opt_out_options,
    .run = run_opt_out,
};

static const struct agent_command dr_status = {
    .name = "status",
    .summary = "events, answers, held copies, the connection to the VTN",
    .options = plain_options,
    .run = run_status,
};

static const struct agent_command *const children[] = {
    &dr_trigger, &dr_cancel, &dr_opt_out, &dr_status, NULL,
};

const struct agent_command agent_cmd_dr = {
    .name = "dr",
    .summary = "demand response: make, cancel or leave events; what holds now",
    .children = children,
};
