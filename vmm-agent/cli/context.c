/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/options.h"
#include "support/json.h"

#define PROGRESS_INTERVAL_NS INT64_C(250000000)

int agent_context_fail(struct agent_context *context, int exit_code,
                       const struct agent_error *error)
{
    char text[AGENT_ERROR_TEXT_MAX + AGENT_ERROR_FILE_MAX + 32];

    fprintf(context->err, "vmm-agent: %s\n", agent_error_format(error, text, sizeof(text)));
    if (context->json) {
        json_t *answer = json_pack("{s:{s:i, s:s, s:i, s:i, s:s}}", "error", "exit", exit_code,
                                   "file", error->file, "line", (int)error->line, "column",
                                   (int)error->column, "text", error->text);
        if (answer != NULL) {
            agent_json_print(answer, context->out);
            json_decref(answer);
        }
    }
    return exit_code;
}

const char *agent_context_value(const struct agent_context *context,
                                const struct agent_command *command, const char *name)
{
    int index = agent_option_index(command->options, name, strlen(name));

    return index < 0 ? NULL : context->values[index];
}

void agent_progress(struct agent_context *context, const char *verb, uint64_t done, uint64_t total)
{
    static int64_t last_ns; /* the terminal is one per process as well */
    struct timespec now;

    if (context->quiet || !isatty(fileno(context->err))) {
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    bool finished = total > 0 && done >= total;
    if (now_ns - last_ns < PROGRESS_INTERVAL_NS && !finished) {
        return;
    }
    last_ns = now_ns;
    if (total > 0) {
        fprintf(context->err, "\r%s: %llu/%llu%s", verb, (unsigned long long)done,
                (unsigned long long)total, finished ? "\n" : "");
    } else {
        fprintf(context->err, "\r%s: %llu", verb, (unsigned long long)done);
    }
    fflush(context->err);
}
