/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_signals_calibrate.c - signals calibrate: idle and busy power of a host from measurements
 * Owner: none.   Thread: main.   Time: none.   Units: share of busy CPU time 0..1, W. */
#include <errno.h>
#include <stdlib.h>

#include "cli/signals.h"
#include "grid/meter.h"
#include "support/csv.h"
#include "support/file.h"
#include "support/text.h"

#define SAMPLES_MAX 10000
#define BYTES_MAX   (1u << 20)

static int read_samples(struct agent_csv *csv, struct agent_power_sample *samples, size_t *count,
                        struct agent_error *error)
{
    static struct agent_csv_row row;
    int status = 0;

    while ((status = agent_csv_next(csv, &row, error)) > 0) {
        if (agent_csv_blank(&row)) {
            continue;
        }
        if (*count == SAMPLES_MAX) {
            return agent_error_at(error, E2BIG, agent_csv_place(csv, &row, 0),
                                  "more than %d samples", SAMPLES_MAX);
        }
        struct agent_power_sample *sample = &samples[*count];
        if (row.count != 2 || agent_text_number(row.fields[0], &sample->busy) < 0 ||
            agent_text_number(row.fields[1], &sample->power_w) < 0) {
            return agent_error_at(error, EBADMSG, agent_csv_place(csv, &row, 0),
                                  "expected 'busy,power' such as 0.25,83.5");
        }
        *count += 1;
    }
    return status;
}

static int run_calibrate(struct agent_context *context)
{
    const char *path = context->operands[0];
    struct agent_power_sample *samples = calloc(SAMPLES_MAX, sizeof(*samples));
    struct agent_error error = {0};
    struct agent_csv csv;
    char *text = NULL;
    size_t size = 0;
    size_t count = 0;
    double idle_w = 0;
    double busy_w = 0;
    int status = samples == NULL ? agent_error_set(&error, ENOMEM, "no memory")
                                 : agent_file_read(path, BYTES_MAX, &text, &size, &error);

    if (status == 0) {
        agent_csv_init(&csv, text, size, path);
        status = read_samples(&csv, samples, &count, &error);
    }
    status = status < 0 ? status : agent_power_calibrate(samples, count, &idle_w, &busy_w, &error);
    free(text);
    free(samples);
    if (status < 0) {
        return agent_context_fail(context, AGENT_EXIT_INPUT, &error);
    }
    if (context->json) {
        return signals_answer(context, json_pack("{s:f,s:f,s:I}", "idle_w", idle_w, "busy_w",
                                                 busy_w, "samples", (json_int_t)count));
    }
    fprintf(context->out, "idle_w: %.1f\nbusy_w: %.1f\n", idle_w, busy_w);
    return AGENT_EXIT_OK;
}

const struct agent_command signals_calibrate = {
    .name = "calibrate",
    .summary = "idle_w and busy_w of a host power model from measurements",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .detail =
        "FILE has lines 'busy,power': the share of busy CPU time, 0 to 1, and the power in W\n"
        "that a meter showed. The answer goes into a host_power source of the configuration.",
    .run = run_calibrate,
};
