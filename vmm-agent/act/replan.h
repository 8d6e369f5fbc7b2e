/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replan.h - the day planned again from what runs now: store + inventory + running state in, plan
 * out Owner: the caller owns what it asks with; struct agent_replan_answer is filled and then its
 * own. Thread: any one thread per call, no shared state: agent_replan_run() opens the store for
 * itself and reads inventory, running state and settings only. It takes seconds: not the loop's.
 * Time:  ask->running->now_s (agent time).   Units: in every name; slots of half an hour.
 *
 * What depends on a signal that is late, missing, zero, stale, future-dated, implausible or
 * replaced after it was planned with stays where it is; the answer names the signal, its place and
 * why. When no plan exists, or none is found, everything stays and @note says which constraint is
 * in the way. The same ask gives the same answer, bit for bit, unless settings->time_limit_s is
 * hit. */
#ifndef AGENT_ACT_REPLAN_H
#define AGENT_ACT_REPLAN_H

#include <jansson.h>

#include "act/act.h"
#include "act/inventory.h"
#include "plan/rolling.h"

#define AGENT_REPLAN_NOTE_MAX 512

/** struct agent_replan_settings - section `plan` of the configuration, read by _settings_read()
 * @weight_price, @carbon_yen_per_kg, @grid_yen_per_kwh: of the objective; default 1, 0, 0
 * @risk:           weights of P10, P50, P90 of the renewable power; default 0.3, 0.4, 0.3
 * @gate_slots:     half hours before delivery at which procurement closes; default 2
 * @imbalance_yen_per_kwh: what kWh cost above (or bring below) the price past that; default 2
 * @horizon_slots:  how far to plan, 4..48; it ends where prices end; default 48
 * @method:         forecast method, NULL = chosen by back-test once a day
 * @time_limit_s:   real seconds for the solver; default 20
 * @threads:        of the solver; default 1 */
struct agent_replan_settings {
    double weight_price;
    double carbon_yen_per_kg;
    double grid_yen_per_kwh;
    double risk[PLAN_QUANTILES];
    int gate_slots;
    double imbalance_yen_per_kwh;
    int horizon_slots;
    const struct agent_fc_method *method;
    double time_limit_s;
    int threads;
};

/** agent_replan_settings_default() - as said above */
void agent_replan_settings_default(struct agent_replan_settings *settings);

/** agent_replan_settings_read() - section `plan` of a configuration; absent = the defaults
 * Return: 0, or -EINVAL with file, line and column. */
int agent_replan_settings_read(const struct agent_yaml *root,
                               struct agent_replan_settings *settings, struct agent_error *error);

/** struct agent_replan_ask - all borrowed until agent_replan_run() returns
 * @store_path: read by a connection of its own; NULL or absent file = no signal is known
 * @before:     document of the last answer, or NULL: prices to start from, what was committed, and
 *              the moment after which a replaced signal counts as revised. Must not change
 * meanwhile.
 * @instance_too: keep the instance in the answer as JSON (for people and `vmm-agent plan`) */
struct agent_replan_ask {
    const struct agent_inventory *inventory;
    const struct agent_running *running;
    const struct agent_replan_settings *settings;
    const char *store_path;
    const json_t *before;
    bool instance_too;
};

/** struct agent_replan_vm - what the plan wants of one machine
 * @site:    per planned slot (answer->slots of them); NULL = not the plan's business, see @reason
 * @benefit_yen: what its first move is worth at the plan's prices, its cost taken off; 0 without
 * one
 * @reason:  one line: why it stays or goes */
struct agent_replan_vm {
    uint8_t *site;
    double benefit_yen;
    char reason[AGENT_ACT_REASON_MAX];
};

/** struct agent_replan_answer - zeroed before, agent_replan_answer_done() after
 * @document: `apn-migrate/plan/1` (docs/planner.md) with "made_at", "first_slot_at", "note",
 * "signals" (what each site's signals were found to be), "inputs" (batches of the store) and per
 * site "outlook" (price, carbon, surplus, load and import by slot)
 * @first_slot_s: agent time at which planned slot 0 begins: the slot that is running now
 * @stayed:   there is no plan; everything is to stay, @note says why
 * @note:     empty, or one line for people ("nothing moves: ...") */
struct agent_replan_answer {
    json_t *document;
    json_t *instance;
    int64_t first_slot_s;
    int slots;
    size_t vm_count;
    struct agent_replan_vm *vms; /* as in the inventory */
    bool stayed;
    char note[AGENT_REPLAN_NOTE_MAX];
    double solve_real_s;
};

/** agent_replan_run() - make the plan
 * Return: 0 (also when everything stays), -EINVAL (the inventory cannot be planned with: which
 * key), -ENODATA (no machine runs anywhere), -errno of the store (its reading, not what is missing
 * in it), -ENOMEM. */
int agent_replan_run(const struct agent_replan_ask *ask, struct agent_replan_answer *answer,
                     struct agent_error *error);

void agent_replan_answer_done(struct agent_replan_answer *answer);

#endif
