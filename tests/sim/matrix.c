/* SPDX-License-Identifier: GPL-2.0-or-later */
/* matrix.c - every arrow of the ladder lost, at either end, in every way; every end killed,
 * stopped, cancelled, cut off at every stage What must come of it is the crash table of
 * docs/switchover.md. Guests are small and compared (see sim.h). */
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"

#define MS  APN_NS_PER_MS
#define MIB (1ull << 20)

/** struct arrow - a message, and what it means when it never arrives because the path is gone from
 * there on */
struct arrow {
    const char *type;
    enum apn_commit commit; /* that sends it; the other one is tried too when @both */
    bool both;
    bool from_source;
    enum sim_expect forever;
    const char *scene; /* filter that makes it appear; NULL = it appears by itself */
    bool load_fails, cancels;
};

static const struct arrow arrows[] = {
    {"REGIONS", 0, true, true, SIM_MUST_FAIL, NULL, false, false},
    {"REGIONS_OK", 0, true, false, SIM_MUST_FAIL, NULL, false, false},
    {"EXTENT", 0, true, true, SIM_MUST_FAIL, NULL, false, false},
    {"APPLIED", 0, true, false, SIM_MUST_FAIL, NULL, false, false},
    {"STREAM", 0, true, true, SIM_MAY_BE_ANY, NULL, false, false},
    {"FENCE", 0, true, true, SIM_MAY_BE_ANY, NULL, false, false},
    {"READY", APN_COMMIT_SAFE, false, false, SIM_MUST_FAIL, NULL, false, false},
    {"GRANT", 0, true, true, SIM_MUST_BE_UNKNOWN, NULL, false, false},
    {"STARTED", 0, true, false, SIM_MUST_BE_UNKNOWN, NULL, false, false},
    {"WONT", APN_COMMIT_FAST, false, false, SIM_MUST_BE_UNKNOWN, NULL, true, false},
    {"WONT", APN_COMMIT_SAFE, false, false, SIM_MUST_FAIL, NULL, true, false},
    {"ABORT", 0, true, true, SIM_MUST_FAIL, NULL, false, true},
    {"RETIRE", 0, true, true, SIM_MUST_FAIL, "fault=lane:1:cut-forever@after=60KB;", false, false},
    {"RETIRED", 0, true, false, SIM_MUST_FAIL, "fault=lane:1:cut-forever@after=60KB;", false,
     false},
};
#define ARROWS (sizeof(arrows) / sizeof(arrows[0]))

static const char *const actions[] = {"cut",          "stall",       "cut@for=3s",
                                      "stall@for=3s", "cut-forever", "stall-forever"};
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

struct tally {
    unsigned runs, broken;
    bool verbose;
};

static void plan_base(struct sim_plan *plan, enum apn_commit commit)
{
    *plan = (struct sim_plan){
        .seed = 7,
        .rate_bytes_per_s = 312500000,
        .delay_ns = 3 * MS,
        .lanes = 3,
        .commit = commit,
        .guest = {.bytes = 12 * MIB,
                  .real_memory = true,
                  .pattern = GUEST_HOT,
                  .hot_bytes = MIB,
                  .dirty_bytes_per_s = 60000000},
        .downtime_ns = 25 * MS,
        .stop_ns = 1 * MS,
        .sync_ns = 1 * MS,
        .save_ns = 2 * MS,
        .load_ns = 4 * MS,
        .state_bytes = 300000,
        .expect = SIM_MUST_COMPLETE,
        .quantum_ns = 20 * APN_NS_PER_US,
        .precopy_max_ns = 60 * APN_NS_PER_S,
        .limit_ns = 100 * APN_NS_PER_S,
    };
}

/* Return: whether the lanes felt anything. */
static bool run(struct tally *tally, struct sim_plan *plan, const char *what)
{
    struct sim_result result;

    plan->verbose = tally->verbose;
    tally->runs++;
    if (sim_run(plan, &result)) {
        tally->broken++;
        sim_plan_print(plan);
        printf("matrix: %s: BROKEN: %s\n  replay: sim --matrix '%s' --verbose\n", what,
               result.violation, what);
    }
    return result.lanes_lost > 0;
}

/* One arrow lost where it is sent or where it arrives. Return: whether it was there to be lost. */
static bool lose(struct tally *tally, const struct arrow *arrow, enum apn_commit commit,
                 const char *action, bool at_sender, const char *only)
{
    bool forever = strstr(action, "forever");
    struct sim_plan plan;
    bool at_source = arrow->from_source == at_sender;
    char *filters = at_source ? plan.source_filters : plan.dest_filters;
    char what[96];

    plan_base(&plan, commit);
    snprintf(what, sizeof(what), "%s %s %s at %s", commit == APN_COMMIT_SAFE ? "safe" : "fast",
             arrow->type, action, at_source ? "source" : "dest");
    if (only && strcmp(only, what)) {
        return true;
    }
    if (arrow->scene) {
        snprintf(plan.source_filters, sizeof(plan.source_filters), "%s", arrow->scene);
        plan.guest.bytes = 16 * MIB;
    }
    snprintf(filters + (at_source ? strlen(filters) : 0), 64, "fault=%s:%s:1:%s",
             at_sender ? "tx" : "rx", arrow->type, action);
    plan.source_filters[strlen(plan.source_filters) - (arrow->scene && !at_source)] =
        '\0'; /* no semicolon at the end */
    plan.load_fails = arrow->load_fails;
    if (arrow->cancels) {
        plan.mishap[0] =
            (struct sim_mishap){.kind = SIM_CANCEL, .stage = SIM_PRECOPY, .after_ns = 5 * MS};
    }
    plan.expect = forever                               ? arrow->forever
                  : arrow->load_fails || arrow->cancels ? SIM_MUST_FAIL
                                                        : SIM_MUST_COMPLETE;
    return run(tally, &plan, what);
}

static void lose_all(struct tally *tally, const char *only)
{
    for (size_t i = 0; i < ARROWS; i++) {
        for (size_t a = 0; a < ACTIONS * 4; a++) {
            enum apn_commit commit = a & 1 ? APN_COMMIT_SAFE : APN_COMMIT_FAST;

            if (!arrows[i].both && commit != arrows[i].commit) {
                continue;
            }
            if (!lose(tally, &arrows[i], commit, actions[a / 4], a & 2, only) &&
                !strstr(actions[a / 4], "stall")) {
                printf("matrix: %s %s: BROKEN: the message never passed, nothing was lost\n",
                       arrows[i].type, actions[a / 4]);
                tally->broken++;
            }
        }
    }
}

/* ---- stages ------------------------------------------------------------------- */

struct blow {
    const char *name;
    struct sim_mishap mishap;
    bool final; /* the destination is not seen again */
};

static const struct blow blows[] = {
    {"cancel", {.kind = SIM_CANCEL}, false},
    {"kill-dest", {.kind = SIM_KILL_DEST}, true},
    {"freeze-dest", {.kind = SIM_FREEZE_DEST, .for_ns = UINT64_MAX}, true},
    {"freeze-dest-4s", {.kind = SIM_FREEZE_DEST, .for_ns = 4000 * MS}, false},
    {"cut-silent", {.kind = SIM_CUT_SILENT, .for_ns = UINT64_MAX}, true},
    {"cut-reset", {.kind = SIM_CUT_RESET, .for_ns = UINT64_MAX}, true},
    {"cut-silent-5s", {.kind = SIM_CUT_SILENT, .for_ns = 5000 * MS}, false},
    {"cut-reset-5s", {.kind = SIM_CUT_RESET, .for_ns = 5000 * MS}, false},
    {"kill-source", {.kind = SIM_KILL_SOURCE}, false},
};
#define BLOWS (sizeof(blows) / sizeof(blows[0]))

static const struct {
    const char *name;
    enum sim_stage stage;
} stages[] = {{"connecting", SIM_CONNECTING}, {"setup", SIM_SETUP},     {"precopy", SIM_PRECOPY},
              {"stopped", SIM_STOPPED},       {"residue", SIM_RESIDUE}, {"state", SIM_STATE},
              {"granted", SIM_GRANTED},       {"loaded", SIM_LOADED},   {"started", SIM_STARTED}};
#define STAGES (sizeof(stages) / sizeof(stages[0]))

static const uint64_t offsets[] = {0, MS, 7 * MS};
#define OFFSETS (sizeof(offsets) / sizeof(offsets[0]))

/* What the crash table demands; where a blow at that moment may fall on either side of the commit
 * point, only the rules. */
static enum sim_expect expectation(const struct blow *blow, enum sim_stage stage, uint64_t after_ns,
                                   enum apn_commit commit)
{
    enum sim_mishap_kind kind = blow->mishap.kind;

    if (kind == SIM_KILL_SOURCE) {
        return SIM_MAY_BE_ANY;
    }
    if (kind != SIM_CANCEL && !blow->final) {
        return stage == SIM_CONNECTING ? SIM_MAY_BE_ANY : SIM_MUST_COMPLETE;
    }
    if (kind == SIM_CANCEL && (stage == SIM_GRANTED || stage == SIM_STARTED ||
                               (stage == SIM_LOADED && commit == APN_COMMIT_FAST))) {
        return SIM_MUST_COMPLETE; /* refused */
    }
    if (stage > SIM_PRECOPY && commit == APN_COMMIT_FAST &&
        (kind == SIM_FREEZE_DEST || kind == SIM_CUT_SILENT)) {
        return SIM_MAY_BE_ANY; /* the source does not wait for anything before it grants: unknown,
                                  when the silence comes that late */
    }
    if (stage <= SIM_PRECOPY || (stage < SIM_STATE && !after_ns)) {
        return SIM_MUST_FAIL;
    }
    return SIM_MAY_BE_ANY;
}

static void strike_all(struct tally *tally, const char *only)
{
    for (size_t i = 0; i < BLOWS * STAGES * OFFSETS * 2; i++) {
        const struct blow *blow = &blows[i / 2 / OFFSETS / STAGES];
        enum apn_commit commit = i & 1 ? APN_COMMIT_SAFE : APN_COMMIT_FAST;
        uint64_t after_ns = offsets[i / 2 % OFFSETS];
        size_t stage = i / 2 / OFFSETS % STAGES;
        struct sim_plan plan;
        char what[96];

        snprintf(what, sizeof(what), "%s %s at %s +%llu ms",
                 commit == APN_COMMIT_SAFE ? "safe" : "fast", blow->name, stages[stage].name,
                 (unsigned long long)(after_ns / MS));
        if (only && strcmp(only, what)) {
            continue;
        }
        plan_base(&plan, commit);
        plan.mishap[0] = blow->mishap;
        plan.mishap[0].stage = stages[stage].stage;
        plan.mishap[0].after_ns = after_ns;
        plan.expect = expectation(blow, stages[stage].stage, after_ns, commit);
        run(tally, &plan, what);
    }
}

int sim_matrix(const char *only, bool verbose)
{
    struct tally tally = {.verbose = verbose};

    lose_all(&tally, only);
    strike_all(&tally, only);
    printf("sim: matrix: %u runs, %u broken\n", tally.runs, tally.broken);
    return !tally.runs ? -1 : (int)tally.broken;
}
