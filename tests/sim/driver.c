/* SPDX-License-Identifier: GPL-2.0-or-later */
/* driver.c - one migration in virtual time: world, sessions, mishaps, rules (see sim.h) */
#include "sim/driver.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Once both ends are over, late arrivals may still break a rule: watch a little longer. */
#define AFTERMATH_NS    (50 * APN_NS_PER_MS)
#define BOUNDARY_NS     (10 * APN_NS_PER_MS)
#define RECOVER_NS      (50 * APN_NS_PER_MS) /* TCP's retransmission after a cut */
#define PROGRAM_TICK_NS APN_NS_PER_MS
#define RELEASE_NS      (400 * APN_NS_PER_MS)

static const char *const stage_names[] = {"connecting",     "setup",         "precopy", "stopped",
                                          "residue-posted", "state-written", "granted", "over",
                                          "loaded",         "started"};
static const char *const mishap_names[] = {"none",       "reset-lane",  "stall-lane",
                                           "cut-silent", "cut-reset",   "cancel",
                                           "kill-dest",  "kill-source", "freeze-dest"};

/* ---- words ------------------------------------------------------------------ */

void sim_violation(struct sim *sim, const char *format, ...)
{
    size_t used;
    va_list ap;

    if (sim->result->violation[0]) {
        return; /* the first one tells */
    }
    used = (size_t)snprintf(sim->result->violation, SIM_VIOLATION_MAX,
                            "%.3f ms: ", (double)sim->now / 1e6);
    va_start(ap, format);
    vsnprintf(sim->result->violation + used, SIM_VIOLATION_MAX - used, format, ap);
    va_end(ap);
}

static void say(struct sim *sim, const char *who, const char *text)
{
    if (sim->plan->verbose) {
        printf("%12.3f ms %-6s %s\n", (double)sim->now / 1e6, who, text);
    }
}

static struct sim *traced; /* one simulation at a time */

static void on_trace(void *opaque, enum apn_trace_level level, const char *text)
{
    (void)level;
    say(traced, opaque, text);
}

void sim_stage_reached(struct sim *sim, enum sim_stage stage)
{
    if (!sim->result->at_ns[stage]) {
        sim->result->at_ns[stage] = sim->now;
        say(sim, stage > SIM_OVER ? "dest" : "source", stage_names[stage]);
    }
    if (stage <= SIM_OVER) {
        sim->stage = stage;
    }
}

void sim_plan_print(const struct sim_plan *plan)
{
    static const char *const patterns[] = {"idle", "uniform", "hot", "sequential"};
    static const char *const expects[] = {"must complete", "must fail, guest at the source",
                                          "must be unknown", "any consistent outcome"};

    printf("seed %llu: %.1f Gb/s, rtt %.2f ms, %u lanes, %s commit; guest %llu MiB%s, %s %.2f "
           "Gb/s; limit %.0f ms\n",
           (unsigned long long)plan->seed, (double)plan->rate_bytes_per_s * 8e-9,
           (double)plan->delay_ns * 2e-6, plan->lanes,
           plan->commit == APN_COMMIT_SAFE ? "safe" : "fast",
           (unsigned long long)(plan->guest.bytes >> 20),
           plan->guest.real_memory ? " (compared)" : "", patterns[plan->guest.pattern],
           (double)plan->guest.dirty_bytes_per_s * 8e-9, (double)plan->downtime_ns / 1e6);
    for (unsigned i = 0; i < SIM_MISHAPS_MAX; i++) {
        const struct sim_mishap *m = &plan->mishap[i];

        if (m->kind) {
            printf("  %s, lane %u, %.3f ms after %s, for %.0f ms\n", mishap_names[m->kind], m->lane,
                   (double)m->after_ns / 1e6, stage_names[m->stage],
                   m->for_ns == UINT64_MAX ? -1. : (double)m->for_ns / 1e6);
        }
    }
    printf("  filters: source \"%s\", destination \"%s\"%s; expected: %s\n", plan->source_filters,
           plan->dest_filters, plan->load_fails ? ", device state does not load" : "",
           expects[plan->expect]);
}

/* ---- building ---------------------------------------------------------------- */

static struct apn_session *session_new(struct sim *sim, enum apn_role role)
{
    const struct sim_plan *plan = sim->plan;
    bool source = role == APN_ROLE_SOURCE;
    struct apn_session_config config = {
        .role = role,
        .commit = plan->commit,
        .host = "loop",
        .port = source ? sim->port : "0",
        .backend = "loop",
        .filters = source ? plan->source_filters : plan->dest_filters,
        .lanes = plan->lanes,
        .window_bytes = plan->window_bytes,
        .timeout_ms = plan->timeout_ms,
        .on_trace = plan->verbose ? on_trace : NULL,
        .opaque = source ? "source" : "dest",
    };
    struct apn_session_env env = {.clock = apn_loop_world_clock(sim->world),
                                  .world = sim->world,
                                  .manual = true,
                                  .seed = plan->seed * 2 + source};
    struct apn_region region = {
        .name = "pc.ram", .length = plan->guest.bytes, .page_size = APN_PAGE_SIZE};
    struct apn_session *s = NULL;
    struct apn_error err = {0};

    region.host = source ? sim->guest.memory : sim->dest_memory;
    if (apn_session_new_env(&s, &config, &env, &err) ||
        apn_session_add_region(s, &region, &err) < 0) {
        sim_violation(sim, "session: %s", err.text);
        apn_session_free(s);
        return NULL;
    }
    return s;
}

static int sim_open(struct sim *sim)
{
    const struct sim_plan *plan = sim->plan;
    struct apn_loop_config path = {
        .to_listener = {.delay_ns = plan->delay_ns, .rate_bytes_per_s = plan->rate_bytes_per_s},
        .to_connector = {.delay_ns = plan->delay_ns, .rate_bytes_per_s = plan->rate_bytes_per_s},
        .recover_ns = RECOVER_NS,
        .seed = plan->seed,
        .virtual_time = true};
    struct apn_error err = {0};
    int ret;

    sim->world = apn_loop_world_new(&path);
    if (!sim->world) {
        return -ENOMEM;
    }
    sim->now = apn_clock_now(apn_loop_world_clock(sim->world));
    sim->dest_memory =
        plan->guest.real_memory ? aligned_alloc(APN_PAGE_SIZE, plan->guest.bytes) : NULL;
    if (guest_init(&sim->guest, &plan->guest, plan->seed, sim->now) ||
        (plan->guest.real_memory && !sim->dest_memory)) {
        return -ENOMEM;
    }
    if (sim->dest_memory) {
        memset(sim->dest_memory, 0x5a, plan->guest.bytes); /* never assumed to be zero */
    }
    sim->source_runs = true;
    sim->drained = true;
    for (unsigned lane = 0; lane < plan->lanes; lane++) {
        sim->lane_granules[lane] =
            sim->guest.granules / plan->lanes + (lane < sim->guest.granules % plan->lanes);
    }
    sim->dest = session_new(sim, APN_ROLE_DEST);
    ret = sim->dest ? apn_session_listen(sim->dest, &err) : -EINVAL;
    if (ret) {
        sim_violation(sim, "destination: %s", err.text);
        return ret;
    }
    snprintf(sim->port, sizeof(sim->port), "%u", apn_session_port(sim->dest));
    sim->source = session_new(sim, APN_ROLE_SOURCE);
    if (!sim->source) {
        return -EINVAL;
    }
    ret = apn_session_connect(sim->source, &err);
    return ret == -EINPROGRESS ? 0 : ret;
}

static void sim_close(struct sim *sim)
{
    apn_session_free(sim->source);
    apn_session_free(sim->dest);
    apn_loop_world_free(sim->world);
    guest_done(&sim->guest);
    free(sim->dest_memory);
}

/* ---- mishaps ------------------------------------------------------------------- */

/* The process is gone without a word; its connections are reset. */
static void kill_end(struct sim *sim, struct apn_session **end)
{
    bool cut = sim->restore_ns;

    apn_loop_world_cut(sim->world, APN_LOOP_CUT_RESET);
    apn_session_free(*end);
    *end = NULL;
    if (!cut) {
        apn_loop_world_restore(sim->world);
    }
}

static void cancel(struct sim *sim)
{
    int ret = apn_session_abort(sim->source, "cancelled by the user");

    if (sim->result->granted && ret != -EPERM &&
        apn_session_state(sim->source) == APN_STATE_GRANTED) {
        sim_violation(sim, "abort after the grant returned %d", ret);
    }
    sim->cancelled |= !ret;
}

static void cut(struct sim *sim, const struct sim_mishap *mishap)
{
    apn_loop_world_cut(sim->world,
                       mishap->kind == SIM_CUT_RESET ? APN_LOOP_CUT_RESET : APN_LOOP_CUT_STALL);
    sim->restore_ns = mishap->for_ns == UINT64_MAX ? UINT64_MAX : sim->now + mishap->for_ns;
}

static void strike(struct sim *sim, const struct sim_mishap *mishap)
{
    say(sim, "mishap", mishap_names[mishap->kind]);
    switch (mishap->kind) {
    case SIM_RESET_LANE:
        apn_loop_world_reset_lane(sim->world, mishap->lane % sim->plan->lanes);
        break;
    case SIM_STALL_LANE:
        apn_loop_world_stall_lane(sim->world, mishap->lane % sim->plan->lanes);
        break;
    case SIM_FREEZE_DEST: /* as seen from the source: silence */
        sim->thaw_ns = mishap->for_ns == UINT64_MAX ? UINT64_MAX : sim->now + mishap->for_ns;
        /* fall through */
    case SIM_CUT_SILENT:
    case SIM_CUT_RESET:
        cut(sim, mishap);
        break;
    case SIM_CANCEL:
        if (sim->source) {
            cancel(sim);
        }
        break;
    case SIM_KILL_DEST:
        sim->dest_runs = false; /* and it never will */
        sim->dest_never = true;
        kill_end(sim, &sim->dest);
        break;
    case SIM_KILL_SOURCE:
        sim->source_runs = false;
        sim->source_dead = true;
        kill_end(sim, &sim->source);
        break;
    default:
        break;
    }
}

/* Return: when the next one is due. */
static uint64_t run_mishaps(struct sim *sim)
{
    uint64_t next = UINT64_MAX;

    if (sim->restore_ns && sim->restore_ns <= sim->now) {
        sim->restore_ns = sim->thaw_ns = 0;
        apn_loop_world_restore(sim->world);
        say(sim, "path", "restored");
    }
    for (unsigned i = 0; i < SIM_MISHAPS_MAX; i++) {
        const struct sim_mishap *mishap = &sim->plan->mishap[i];
        uint64_t due = sim->result->at_ns[mishap->stage] + mishap->after_ns;

        if (!mishap->kind || sim->mishap_done[i] || !sim->result->at_ns[mishap->stage]) {
            continue;
        }
        if (due <= sim->now) {
            sim->mishap_done[i] = true;
            strike(sim, mishap);
        } else {
            next = due < next ? due : next;
        }
    }
    return sim->restore_ns && sim->restore_ns < next ? sim->restore_ns : next;
}

/* ---- measuring ------------------------------------------------------------------ */

void sim_measure_boundary(struct sim *sim)
{
    struct apn_loop_counters counters;

    if (sim->boundary_ns[0]) {
        return;
    }
    apn_loop_world_counters(sim->world, &counters);
    sim->boundary_ns[0] = sim->now;
    sim->boundary_ns[1] = sim->now + BOUNDARY_NS;
    sim->boundary_busy_ns = counters.busy_ns[0];
}

/* busy_ns counts what was given to the wire; a full pipe gives exactly as much as time passes. */
static void measure(struct sim *sim)
{
    struct apn_loop_counters counters;
    double share;

    if (sim->stage != SIM_PRECOPY || !sim->bulk_start_ns) {
        return;
    }
    apn_loop_world_counters(sim->world, &counters);
    if (counters.backlog[0] > sim->result->backlog_max) {
        sim->result->backlog_max = counters.backlog[0];
    }
    if (!sim->boundary_ns[0] || sim->now < sim->boundary_ns[1]) {
        return;
    }
    share = 1 - (double)(counters.busy_ns[0] - sim->boundary_busy_ns) /
                    (double)(sim->now - sim->boundary_ns[0]);
    if (share > sim->result->boundary_idle_max) {
        sim->result->boundary_idle_max = share;
    }
    sim->boundary_ns[0] = 0;
}

static void collect_source(struct sim *sim)
{
    if (sim->source) {
        sim->result->source_state = apn_session_state(sim->source);
        apn_session_error(sim->source, &sim->result->source_error);
        apn_session_stats(sim->source, &sim->result->stats);
    }
}

/* Long enough after the end of the attempt for last words: then the hypervisor lets go of a failed
 * session. */
static void release_source(struct sim *sim)
{
    if (sim->source && sim->stage == SIM_OVER && !sim->result->granted &&
        sim->now > sim->result->at_ns[SIM_OVER] + RELEASE_NS) {
        collect_source(sim);
        apn_session_free(sim->source);
        sim->source = NULL;
    }
}

/* ---- running --------------------------------------------------------------------- */

static void check_ownership(struct sim *sim)
{
    if (sim->source_runs && sim->dest_runs) {
        sim_violation(sim, "two copies run");
    }
    if (sim->source_runs && sim->result->granted && !sim->dest_never) {
        sim_violation(sim, "the source runs after the grant without proof");
    }
    if (sim->dest_ran && sim->dest_never && sim->dest && sim->source_runs) {
        sim_violation(sim, "the destination ran, and the source took the guest back");
    }
}

static bool dest_over(const struct sim *sim)
{
    enum apn_state state;

    if (!sim->dest || sim->dest_never || sim->thaw_ns == UINT64_MAX) {
        return true;
    }
    state = apn_session_state(sim->dest);
    if (state == APN_STATE_DONE && sim->plan->expect == SIM_MUST_COMPLETE && sim->source) {
        return apn_session_started(sim->dest, 1) != -EINPROGRESS; /* and knows that it was heard */
    }
    /* A listener whose source vanished before sending anything listens on: that is its end state
     * here. */
    return state == APN_STATE_FAILED || state == APN_STATE_DONE ||
           (state == APN_STATE_CONNECTING && (!sim->source || sim->stage == SIM_OVER));
}

/* Return: when a session wants to be stepped again. */
static uint64_t step_sessions(struct sim *sim)
{
    uint64_t next = UINT64_MAX, at;

    if (sim->source) {
        next = apn_session_step(sim->source);
    }
    if (sim->dest && !sim->thaw_ns) {
        at = apn_session_step(sim->dest);
        next = at < next ? at : next;
    }
    return next;
}

static uint64_t step_all(struct sim *sim)
{
    uint64_t next = step_sessions(sim);

    sim_source_program(sim);
    if (!sim->thaw_ns) {
        sim_dest_program(sim);
    }
    if (sim->stage != SIM_PRECOPY) {
        next = step_sessions(
            sim); /* what the programs have just said leaves now; in bulk the next step will do */
    }
    return sim->next_ns < next ? sim->next_ns : next;
}

static void advance(struct sim *sim, uint64_t next)
{
    uint64_t world = apn_loop_world_next(sim->world);
    bool active = sim->stage == SIM_PRECOPY || sim->stage == SIM_STOPPED;

    next = world < next ? world : next;
    if (active && next > sim->now + PROGRAM_TICK_NS) {
        next = sim->now + PROGRAM_TICK_NS; /* the program looks for room by itself */
    }
    if (next < sim->now + sim->plan->quantum_ns) {
        next = sim->now + sim->plan->quantum_ns;
    }
    if (next == UINT64_MAX) {
        next = sim->now + 100 * APN_NS_PER_MS;
    }
    sim->now = next;
    apn_loop_world_advance(sim->world, next);
}

static void run_to_the_end(struct sim *sim)
{
    uint64_t limit = sim->now + sim->plan->limit_ns, over_ns = 0;

    sim->result->at_ns[SIM_CONNECTING] = sim->now;
    while (!sim->result->violation[0]) {
        uint64_t next = run_mishaps(sim), at = step_all(sim);
        bool over = (!sim->source || sim->stage == SIM_OVER) && dest_over(sim);

        check_ownership(sim);
        release_source(sim);
        measure(sim);
        if (sim->stage == SIM_PRECOPY && !sim->cancelled &&
            sim->now > sim->result->at_ns[SIM_PRECOPY] + sim->plan->precopy_max_ns) {
            cancel(sim);
        }
        if (over && !over_ns) {
            over_ns = sim->now;
        }
        if (over_ns && sim->now >= over_ns + AFTERMATH_NS) {
            break;
        }
        if (sim->now > limit) {
            sim_violation(sim, "not over after %.1f s: source %s (%s), destination %s",
                          (double)sim->plan->limit_ns / 1e9,
                          sim->source ? apn_state_name(apn_session_state(sim->source)) : "dead",
                          stage_names[sim->stage],
                          sim->dest ? apn_state_name(apn_session_state(sim->dest)) : "dead");
            break;
        }
        at = over_ns && over_ns + AFTERMATH_NS < at ? over_ns + AFTERMATH_NS : at;
        advance(sim, at < next ? at : next);
    }
    sim->result->end_ns = over_ns ? over_ns : sim->now;
}

static void check_outcome(struct sim *sim)
{
    struct sim_result *r = sim->result;
    bool completed = sim->dest_runs && !sim->source_runs && r->source_state == APN_STATE_DONE;
    bool at_source = sim->source_runs && !sim->dest_ran;

    if (sim->plan->expect == SIM_MUST_COMPLETE && !completed) {
        sim_violation(sim, "must complete: source %s (%s), destination %s (%s)",
                      apn_state_name(r->source_state), r->source_error.text,
                      apn_state_name(r->dest_state), r->dest_error.text);
    }
    if (sim->plan->expect == SIM_MUST_FAIL && !at_source) {
        sim_violation(sim, "must fail with the guest at the source: source %s, destination %s",
                      apn_state_name(r->source_state), apn_state_name(r->dest_state));
    }
    if (sim->plan->expect == SIM_MUST_BE_UNKNOWN && r->source_state != APN_STATE_UNKNOWN) {
        sim_violation(sim, "must be unknown: source %s (%s), destination %s",
                      apn_state_name(r->source_state), r->source_error.text,
                      apn_state_name(r->dest_state));
    }
    if (!sim->source_dead && !sim->source_runs && !sim->dest_runs &&
        r->source_state != APN_STATE_UNKNOWN && r->source_state != APN_STATE_DONE) {
        sim_violation(sim,
                      "nobody runs the guest, and the source does not say that this is unknown: %s",
                      apn_state_name(r->source_state));
    }
    if (r->source_state == APN_STATE_UNKNOWN && (sim->source_runs || !r->source_error.text[0])) {
        sim_violation(sim, "unknown must keep the guest paused and say why");
    }
    if (r->source_state == APN_STATE_FAILED && !r->source_error.text[0]) {
        sim_violation(sim, "failed without a word");
    }
}

static void collect(struct sim *sim)
{
    struct sim_result *r = sim->result;
    struct apn_stats stats = {0};

    collect_source(sim);
    r->source_runs = sim->source_runs;
    if (sim->dest) {
        r->dest_state = apn_session_state(sim->dest);
        apn_session_error(sim->dest, &r->dest_error);
        apn_session_stats(sim->dest, &stats);
    }
    r->lanes_lost = stats.lanes_lost > r->stats.lanes_lost ? stats.lanes_lost : r->stats.lanes_lost;
    if (r->bulk_ns) {
        r->bulk_share = (double)r->bulk_bytes /
                        ((double)sim->plan->rate_bytes_per_s * (double)r->bulk_ns / 1e9);
    }
}

int sim_run(const struct sim_plan *plan, struct sim_result *result)
{
    struct sim *sim = calloc(1, sizeof(*sim));

    memset(result, 0, sizeof(*result));
    if (!sim) {
        snprintf(result->violation, SIM_VIOLATION_MAX, "out of memory");
        return -1;
    }
    sim->plan = plan;
    sim->result = result;
    traced = sim;
    if (sim_open(sim)) {
        sim_violation(sim, "cannot set the simulation up");
    } else {
        run_to_the_end(sim);
    }
    if (sim->world) {
        collect(sim);
    }
    if (!result->violation[0]) {
        check_outcome(sim);
    }
    sim_close(sim);
    free(sim);
    return result->violation[0] ? -1 : 0;
}
