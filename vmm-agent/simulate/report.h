/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.h - a simulation's result for programs and people
 * Owner: borrows everything; returned JSON is the caller's.   Thread: one.
 * Time:  none.   Units: in the names of keys and columns. */
#ifndef AGENT_SIMULATE_REPORT_H
#define AGENT_SIMULATE_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "simulate/run.h"

#define AGENT_SIM_REPORT_SCHEMA "apn-migrate/simulation/1"
#define AGENT_SIM_BASE_KW       1000.0 /* kWh of the formulas are per so much load */

/** struct agent_sim_report - what to report on; @source: "files in DIR" or "synthetic year …" */
struct agent_sim_report {
    const struct agent_sim_request *request;
    const struct agent_sim_data *data;
    const struct agent_sim_result *result;
    const char *source;
};

/** agent_sim_report_json() - new reference, or NULL without memory */
json_t *agent_sim_report_json(const struct agent_sim_report *report);

/** agent_sim_report_text() - tables for a terminal */
void agent_sim_report_text(const struct agent_sim_report *report, FILE *out);

/** agent_sim_report_html() - one page that needs nothing else (charts are inline SVG)
 * Return: 0, or -errno with the file in @error. */
int agent_sim_report_html(const struct agent_sim_report *report, const char *path,
                          struct agent_error *error);

/** agent_sim_report_plots() - day.png/.svg and strategies.png/.svg in @directory by gnuplot, with
 * the data and scripts beside them
 * Return: images made (0: gnuplot is not installed, the scripts are there), -errno. */
int agent_sim_report_plots(const struct agent_sim_report *report, const char *directory,
                           struct agent_error *error);

/** agent_sim_label() - "kyushu" or, when an area comes twice, "kyushu #2"
 * @out: at least 40 bytes. Return: @out. */
const char *agent_sim_label(const struct agent_sim_request *request, size_t site, char *out);

/** agent_sim_use_share() - renewable energy used / load of an outcome, NAN without load */
double agent_sim_use_share(const struct agent_sim_outcome *outcome);

#endif
