/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_simulate.c - `vmm-agent simulate`: what moving VMs would have brought
 * Owner: the run's result, on the heap.   Thread: main.
 * Time:  context.now_s only to judge files.   Units: as simulate/run.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cmd_simulate.h"
#include "cli/commands.h"
#include "simulate/report.h"
#include "support/json.h"

static void progress(void *arg, const char *verb, uint64_t done, uint64_t total)
{
    agent_progress(arg, verb, done, total);
}

/* A whole day more in front than the forecasts can use, and nothing behind. */
static int load(struct agent_context *context, const struct agent_simulate_job *job,
                struct agent_sim_data *data, struct agent_error *error)
{
    const struct agent_sim_request *request = &job->request;
    int64_t history = (int64_t)AGENT_SIM_HISTORY_DAYS * AGENT_SLOTS_PER_DAY;
    int64_t first = request->first_day - history;
    size_t slots = (size_t)history + request->days * AGENT_SLOTS_PER_DAY;

    if (job->data_dir != NULL) {
        return agent_sim_data_files(job->data_dir, first, slots, context->now_s, data, error);
    }
    return agent_sim_data_synth(request->seed, first, slots, data, error);
}

static int print(struct agent_context *context, const struct agent_sim_report *report)
{
    if (!context->json) {
        agent_sim_report_text(report, context->out);
        return 0;
    }
    json_t *root = agent_sim_report_json(report);
    int result = root == NULL ? -ENOMEM : agent_json_print(root, context->out);
    json_decref(root);
    return result;
}

static int show(struct agent_context *context, const struct agent_simulate_job *job,
                const struct agent_sim_report *report, struct agent_error *error)
{
    int result = print(context, report);

    if (result != 0) {
        return agent_error_set(error, result, "the report cannot be written: %s",
                               strerror(-result));
    }
    if (job->html != NULL) {
        result = agent_sim_report_html(report, job->html, error);
    }
    if (result == 0 && job->plots != NULL) {
        int images = agent_sim_report_plots(report, job->plots, error);
        if (images == 0) {
            fprintf(context->err,
                    "vmm-agent: gnuplot is not installed: %s has scripts and data, "
                    "no images\n",
                    job->plots);
        }
        result = images < 0 ? images : 0;
    }
    return result;
}

static int simulate(struct agent_context *context, const struct agent_simulate_job *job,
                    struct agent_error *error)
{
    struct agent_sim_data *data = calloc(1, sizeof(*data));
    struct agent_sim_result *result = calloc(1, sizeof(*result));
    char source[512];
    int status = -ENOMEM;

    if (data == NULL || result == NULL) {
        agent_error_set(error, ENOMEM, "simulate: out of memory");
    } else {
        status = load(context, job, data, error);
    }
    if (status == 0) {
        status = agent_sim_run(&job->request, data, result, error);
        if (status == 0) {
            struct agent_sim_report report = {&job->request, data, result, source};
            if (job->data_dir != NULL) {
                snprintf(source, sizeof(source), "%zu files in %.400s", data->files, job->data_dir);
            } else {
                snprintf(source, sizeof(source), "synthetic, seed %llu",
                         (unsigned long long)job->request.seed);
            }
            status = show(context, job, &report, error);
            agent_sim_result_done(result);
        }
        agent_sim_data_done(data);
    }
    free(result);
    free(data);
    return status;
}

/* The synthetic files of the days asked for; their fiscal year must be one. */
static int write_files(struct agent_context *context, const struct agent_simulate_job *job,
                       struct agent_error *error)
{
    struct agent_date first = agent_date_of(agent_slot_start(job->request.first_day));
    int fiscal_year = agent_fiscal_year(first);
    struct agent_synth synth;
    struct agent_synth_request request = {.directory = job->write_dir,
                                          .days = (int)job->request.days};

    if (mkdir(job->write_dir, 0777) != 0 && errno != EEXIST) {
        return agent_error_set(error, errno, "--write: %.300s: %s", job->write_dir,
                               strerror(errno));
    }
    int result = agent_synth_make(fiscal_year, agent_sim_synth_seed(job->request.seed, fiscal_year),
                                  &synth, error);
    if (result != 0) {
        return result;
    }
    request.first_day = (int)((job->request.first_day - synth.first_slot) / AGENT_SLOTS_PER_DAY);
    int files = agent_synth_write(&synth, &request, error);
    agent_synth_done(&synth);
    if (files < 0) {
        return files;
    }
    if (context->json) {
        json_t *root = json_pack("{s:s, s:i, s:i}", "directory", job->write_dir, "files", files,
                                 "fiscal_year", fiscal_year);
        result = root == NULL ? -ENOMEM : agent_json_print(root, context->out);
        json_decref(root);
        return result;
    }
    fprintf(context->out, "%d files in %s\n", files, job->write_dir);
    return 0;
}

/* No data, no match, unreadable: the input's fault; the rest is the machine's. */
static int exit_code(int status)
{
    return status == -ENOMEM || status == -EIO || status == -ENOSPC || status == -EROFS
               ? AGENT_EXIT_SYSTEM
               : AGENT_EXIT_INPUT;
}

static int run(struct agent_context *context)
{
    struct agent_simulate_job job;
    struct agent_error error = {0};

    if (agent_simulate_parse(context, &job, &error) != 0) {
        return agent_context_fail(context, AGENT_EXIT_USAGE, &error);
    }
    job.request.progress = progress;
    job.request.progress_arg = context;
    int status = job.write_dir != NULL ? write_files(context, &job, &error)
                                       : simulate(context, &job, &error);
    return status == 0 ? AGENT_EXIT_OK : agent_context_fail(context, exit_code(status), &error);
}

const struct agent_command agent_cmd_simulate = {
    .name = "simulate",
    .summary = "what moving VMs would have brought on given or synthetic days",
    .operands = "",
    .operands_max = 0,
    .detail =
        "Compares uniform placement, the best static place, cheapest-now, greedy max-surplus, "
        "the day plan with every forecast method, and an oracle. Without --vms only the "
        "formulas for divisible load are evaluated.\n\n"
        "Example: vmm-agent simulate --data DIR --day 2026-04-02 --areas 09,06 --pv-ratio "
        "1.0,0.2 --json",
    .options = agent_simulate_options,
    .run = run,
};
