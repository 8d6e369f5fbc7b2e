/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.h - a simulation: days, sites, VMs, strategies; what came out
 * Owner: struct agent_sim_result, _run/_done.   Thread: one; progress is called back.
 * Time:  slots, passed in.                      Units: as world.h and kpi.h. */
#ifndef AGENT_SIMULATE_RUN_H
#define AGENT_SIMULATE_RUN_H

#include "forecast/backtest.h"
#include "forecast/gate.h"
#include "simulate/data.h"
#include "simulate/kpi.h"
#include "simulate/strategy.h"

#define AGENT_SIM_DAYS_MAX     366
#define AGENT_SIM_HISTORY_DAYS 120 /* before the first day, for the forecasts */
#define AGENT_SIM_FAULTS_MAX   16
#define AGENT_SIM_OUTCOMES_MAX 24
#define AGENT_SIM_VERDICTS_MAX 64
#define AGENT_SIM_FINDINGS_MAX 12
#define AGENT_SIM_TRACE_DAYS   7
#define AGENT_SIM_FLAT_JPY     10.0 /* per kWh everywhere, when some site has no price */

/** struct agent_sim_fault - spoil a signal before anybody sees it; the truth stays what it is
 * @day: only this day of the run, 0..; -1 = every day */
struct agent_sim_fault {
    enum agent_area area;
    enum agent_sim_signal signal; /* SIM_PV or SIM_PRICE */
    enum agent_gate_fault kind;
    int day;
};

struct agent_sim_request {
    size_t site_count;
    struct agent_sim_site sites[AGENT_SIM_SITES_MAX];
    int64_t first_day; /* slot 00:00 JST */
    size_t days;       /* 1..AGENT_SIM_DAYS_MAX */
    int vms;           /* 0 = formulas only */
    int groups;
    uint64_t seed;
    double yen_per_gb;
    double yen_per_ton;
    double link_gbit_s;
    int64_t lead_slots;
    int replan_slots; /* the rolling plan is made again every so many half hours; 0 = there is none */
    int gate_slots;   /* half hours before delivery at which procurement closes */
    double imbalance_yen_per_kwh;
    const struct agent_fc_method *method; /* NULL = all, and their choice */
    size_t fault_count;
    struct agent_sim_fault faults[AGENT_SIM_FAULTS_MAX];
    void (*progress)(void *arg, const char *verb, uint64_t done, uint64_t total);
    void *progress_arg;
};

/** struct agent_sim_outcome - what one strategy came to
 * @name:   "uniform", "best_static", "cheapest-now", "plan:clear-sky", "rolling:chosen" …
 * @used_share: renewable energy used / load, per day (0..days-1) */
struct agent_sim_outcome {
    char name[40];
    bool plan; /* made by the planner from a forecast: a row of the regret table */
    struct agent_sim_account account;
    double regret;       /* objective above the oracle's, JPY */
    double regret_share; /* of the oracle's objective */
    float *used_share;
};

/** struct agent_sim_verdict - a signal that was refused, on how many days, and the first message */
struct agent_sim_verdict {
    enum agent_area area;
    enum agent_sim_signal signal;
    enum agent_gate_fault fault;
    size_t days;
    char text[256];
};

/** struct agent_sim_result - filled by agent_sim_run()
 * @priced:  every site has a price; otherwise the objective is at AGENT_SIM_FLAT_JPY everywhere
 * @trace…:  of the first AGENT_SIM_TRACE_DAYS days: renewable power and price of each site, and the
 *           share of the load the chosen plan has there */
struct agent_sim_result {
    bool use_known;
    struct agent_kpi_use use;
    double peak_mw[AGENT_SIM_SITES_MAX];
    bool price_known;
    struct agent_kpi_price price;
    bool priced;
    double load_kw;
    size_t outcome_count;
    struct agent_sim_outcome outcomes[AGENT_SIM_OUTCOMES_MAX];
    size_t best_static_site;
    char chosen[AGENT_SIM_SITES_MAX][24]; /* last choice of method per site */
    struct agent_fc_ranking ranking[AGENT_SIM_SITES_MAX];
    size_t verdict_count;
    struct agent_sim_verdict verdicts[AGENT_SIM_VERDICTS_MAX];
    size_t finding_count;
    char findings[AGENT_SIM_FINDINGS_MAX][400];
    size_t trace_slots;
    float trace_renewable[AGENT_SIM_SITES_MAX][AGENT_SIM_TRACE_DAYS * AGENT_SIM_SLOTS];
    float trace_price[AGENT_SIM_SITES_MAX][AGENT_SIM_TRACE_DAYS * AGENT_SIM_SLOTS];
    float trace_share[AGENT_SIM_SITES_MAX][AGENT_SIM_TRACE_DAYS * AGENT_SIM_SLOTS];
};

/** agent_sim_run() - simulate @request over @data
 * @result: large: keep it off the stack. Filled on success, then the caller's (_done).
 * Return: 0; -EINVAL (request), -ENODATA (no renewable and no price is known for a site on these
 * days: which), -ENOMEM, or what the planner returned. */
int agent_sim_run(const struct agent_sim_request *request, const struct agent_sim_data *data,
                  struct agent_sim_result *result, struct agent_error *error);

void agent_sim_result_done(struct agent_sim_result *result);

/** agent_sim_find() - outcome by name, NULL = none */
const struct agent_sim_outcome *agent_sim_find(const struct agent_sim_result *result,
                                               const char *name);

/** agent_sim_findings() - sentences a reader should not miss, from the figures (findings.c) */
void agent_sim_findings(const struct agent_sim_request *request, struct agent_sim_result *result);

#endif
