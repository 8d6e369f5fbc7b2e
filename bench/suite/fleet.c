/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fleet.c - one or many migrations at once over one simulated link, in virtual time; prints one line of JSON
 *
 * Theory of operation
 *   Every migration has an engine session at both ends, a guest model and the programs of tests/sim, which do what
 *   QEMU does. All share one loop world, that is one wire in each direction, first come, first served. What stops,
 *   saves and loads a guest takes the given times. No memory is moved. The programs stop a guest as soon as the
 *   predicted blackout fits the limit; QEMU goes on while more rounds make it shorter. So a member's limit is 0
 *   until QEMU's rule says stop.
 *
 * Owner: the process.   Thread: one.   Time: virtual ns, moved on by at least @quantum_ns.   Units: bytes, ns.
 * Exit: 0, 1 = a migration failed or broke a rule, 2 = usage. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/driver.h"

#define GIB           (UINT64_C(1) << 30)
#define GBIT          125000000.0
#define MS            APN_NS_PER_MS
#define MEMBERS_MAX   1000u
#define GUEST_GIB_MAX 4096.0
#define STATE_BYTES   (110u << 10) /* of the bench guest's devices, see docs/bench.md */
#define SYNC_NS_PER_GIB (APN_NS_PER_MS / 5) /* harvesting the dirty bitmap of a GiB */
#define QUANTUM_NS    (20 * APN_NS_PER_US)
#define LIMIT_FACTOR  10 /* of the time that the bytes alone take */
#define LIMIT_NS      (10 * APN_NS_PER_S) /* and so much more */
#define TICK_NS       APN_NS_PER_MS
/* of the series, under the same names */
#define ROUND_NS      (5 * APN_NS_PER_MS) /* QEMU waits between rounds in which nothing was written */
#define STALE_ROUNDS  12
#define POLISH_ROUNDS 8
#define POLISH_NS     (500 * APN_NS_PER_MS)
#define POLISH_MAX_NS (2000 * APN_NS_PER_MS)

/* whether more rounds still make the blackout shorter: the rule of the QEMU series */
struct polish {
    uint64_t limit_ns;
    uint64_t fits_since_ns, best_ns;
    uint64_t looked_ns;
    unsigned rounds, stale_rounds, seen_rounds;
};

struct member {
    struct sim sim;
    struct sim_plan plan;
    struct polish polish;
};

struct fleet {
    struct sim_plan plan;
    struct apn_loop_world *world;
    struct member *members; /* by number */
    struct sim_result *results;
    unsigned count, over;
    uint64_t now, begin;
};

/* ---- what the programs of tests/sim call ------------------------------------- */

void sim_violation(struct sim *sim, const char *format, ...)
{
    va_list ap;

    if (!sim->result->violation[0]) {
        va_start(ap, format);
        vsnprintf(sim->result->violation, SIM_VIOLATION_MAX, format, ap);
        va_end(ap);
    }
}

void sim_stage_reached(struct sim *sim, enum sim_stage stage)
{
    if (!sim->result->at_ns[stage]) {
        sim->result->at_ns[stage] = sim->now;
    }
    if (stage <= SIM_OVER) {
        sim->stage = stage;
    }
}

void sim_measure_boundary(struct sim *sim)
{
    (void)sim; /* tests/sim asserts it; here nobody asks */
}

/* ---- building ------------------------------------------------------------------ */

static struct apn_session *session_new(struct sim *sim, enum apn_role role, uint64_t seed)
{
    bool source = role == APN_ROLE_SOURCE;
    struct apn_session_config config = {.role = role, .commit = APN_COMMIT_FAST, .host = "loop",
                                        .port = source ? sim->port : "0", .backend = "loop",
                                        .lanes = sim->plan->lanes};
    struct apn_session_env env = {.clock = apn_loop_world_clock(sim->world), .world = sim->world, .manual = true,
                                  .seed = seed};
    struct apn_region region = {.name = "pc.ram", .length = sim->plan->guest.bytes, .page_size = APN_PAGE_SIZE};
    struct apn_session *session = NULL;
    struct apn_error err = {0};

    if (apn_session_new_env(&session, &config, &env, &err) || apn_session_add_region(session, &region, &err) < 0) {
        sim_violation(sim, "session: %s", err.text);
        apn_session_free(session);
        return NULL;
    }
    return session;
}

static int member_open(struct fleet *fleet, unsigned number)
{
    struct member *member = &fleet->members[number];
    struct sim *sim = &member->sim;
    struct apn_error err = {0};
    int ret;

    member->plan = fleet->plan;
    member->plan.downtime_ns = 0;
    member->polish.limit_ns = fleet->plan.downtime_ns;
    *sim = (struct sim){.plan = &member->plan, .result = &fleet->results[number], .world = fleet->world,
                        .now = fleet->now, .source_runs = true, .drained = true};
    if (guest_init(&sim->guest, &fleet->plan.guest, number + 1, fleet->now)) {
        sim_violation(sim, "guest: out of memory");
        return -ENOMEM;
    }
    for (unsigned lane = 0; lane < fleet->plan.lanes; lane++) {
        sim->lane_granules[lane] =
            sim->guest.granules / fleet->plan.lanes + (lane < sim->guest.granules % fleet->plan.lanes);
    }
    sim->dest = session_new(sim, APN_ROLE_DEST, number * 2 + 1);
    ret = sim->dest ? apn_session_listen(sim->dest, &err) : -EINVAL;
    if (ret) {
        sim_violation(sim, "listen: %s", err.text);
        return ret;
    }
    snprintf(sim->port, sizeof(sim->port), "%u", apn_session_port(sim->dest));
    sim->source = session_new(sim, APN_ROLE_SOURCE, number * 2 + 2);
    ret = sim->source ? apn_session_connect(sim->source, &err) : -EINVAL;
    if (ret && ret != -EINPROGRESS) {
        sim_violation(sim, "connect: %s", err.text);
        return ret;
    }
    sim->result->at_ns[SIM_CONNECTING] = fleet->now;
    return 0;
}

static int fleet_open(struct fleet *fleet)
{
    struct apn_loop_config path = {
        .to_listener = {.delay_ns = fleet->plan.delay_ns, .rate_bytes_per_s = fleet->plan.rate_bytes_per_s},
        .to_connector = {.delay_ns = fleet->plan.delay_ns, .rate_bytes_per_s = fleet->plan.rate_bytes_per_s},
        .seed = 1, .virtual_time = true};

    fleet->world = apn_loop_world_new(&path);
    fleet->members = calloc(fleet->count, sizeof(*fleet->members));
    fleet->results = calloc(fleet->count, sizeof(*fleet->results));
    if (!fleet->world || !fleet->members || !fleet->results) {
        fprintf(stderr, "fleet: out of memory for %u migrations\n", fleet->count);
        return -ENOMEM;
    }
    fleet->now = fleet->begin = apn_clock_now(apn_loop_world_clock(fleet->world));
    for (unsigned i = 0; i < fleet->count; i++) {
        if (member_open(fleet, i)) {
            fprintf(stderr, "fleet: migration %u: %s\n", i, fleet->results[i].violation);
            return -EINVAL;
        }
    }
    return 0;
}

static void member_close(struct sim *sim)
{
    apn_session_free(sim->source);
    apn_session_free(sim->dest);
    sim->source = sim->dest = NULL;
    guest_done(&sim->guest);
}

static void fleet_close(struct fleet *fleet)
{
    for (unsigned i = 0; fleet->members && i < fleet->count; i++) {
        member_close(&fleet->members[i].sim);
    }
    apn_loop_world_free(fleet->world);
    free(fleet->members);
    free(fleet->results);
}

/* ---- running --------------------------------------------------------------------- */

static bool as_good_as_it_gets(struct polish *polish, const struct apn_prediction *p, uint64_t now)
{
    uint64_t left = p->flight_ns + p->residue_ns, rest = p->path_ns + p->state_ns + p->fixed_ns;

    if (left <= (rest / 8 > MS ? rest / 8 : MS)) {
        return true;
    }
    if (!polish->fits_since_ns) {
        polish->fits_since_ns = now;
        polish->best_ns = left;
        polish->rounds = polish->stale_rounds = 0;
        return false;
    }
    polish->rounds++;
    if (left < polish->best_ns - polish->best_ns / 8) {
        polish->best_ns = left;
        polish->stale_rounds = 0;
    } else {
        polish->stale_rounds++;
    }
    if (now - polish->fits_since_ns > POLISH_MAX_NS) {
        return true;
    }
    return (polish->stale_rounds >= STALE_ROUNDS ||
            (now - polish->fits_since_ns > POLISH_NS && polish->rounds >= POLISH_ROUNDS)) &&
           left <= polish->best_ns + polish->best_ns / 4;
}

/* after a round: does the next one stop the guest, if its prediction still fits? */
static void decide(struct member *member)
{
    const struct sim_result *r = member->sim.result;
    struct polish *polish = &member->polish;

    if (r->rounds == polish->seen_rounds || member->sim.stage != SIM_PRECOPY ||
        member->sim.now - polish->looked_ns < ROUND_NS) {
        return;
    }
    polish->looked_ns = member->sim.now;
    polish->seen_rounds = r->rounds;
    if (r->predicted.total_ns > polish->limit_ns) {
        polish->fits_since_ns = 0;
        member->plan.downtime_ns = 0;
        return;
    }
    member->plan.downtime_ns = as_good_as_it_gets(polish, &r->predicted, member->sim.now) ? polish->limit_ns : 0;
}

/* Return: when a member wants to run again; its session is let go once both ends know how it ended. */
static uint64_t member_step(struct fleet *fleet, struct member *member)
{
    struct sim *sim = &member->sim;
    uint64_t next, at;

    sim->now = fleet->now;
    next = apn_session_step(sim->source);
    at = apn_session_step(sim->dest);
    next = at < next ? at : next;
    sim_source_program(sim);
    decide(member);
    sim_dest_program(sim);
    next = sim->next_ns < next ? sim->next_ns : next;
    if (sim->stage != SIM_PRECOPY) { /* what the programs have just said leaves now */
        apn_session_step(sim->source);
        apn_session_step(sim->dest);
    }
    if (sim->stage == SIM_OVER) {
        sim->result->source_state = apn_session_state(sim->source);
        apn_session_error(sim->source, &sim->result->source_error);
        apn_session_stats(sim->source, &sim->result->stats);
        member_close(sim);
        fleet->over++;
        return UINT64_MAX;
    }
    at = fleet->now + TICK_NS;
    return (sim->stage == SIM_PRECOPY || sim->stage == SIM_STOPPED) && at < next ? at : next;
}

/* Return: 0, or -ETIME when the fleet is not over in time. */
static int fleet_run(struct fleet *fleet)
{
    while (fleet->over < fleet->count) {
        uint64_t next = UINT64_MAX, at;

        for (unsigned i = 0; i < fleet->count; i++) {
            if (fleet->members[i].sim.source) {
                at = member_step(fleet, &fleet->members[i]);
                next = at < next ? at : next;
            }
        }
        if (fleet->now - fleet->begin > fleet->plan.limit_ns) {
            return -ETIME;
        }
        at = apn_loop_world_next(fleet->world);
        next = at < next ? at : next;
        if (next < fleet->now + fleet->plan.quantum_ns || next == UINT64_MAX) {
            next = fleet->now + fleet->plan.quantum_ns;
        }
        fleet->now = next;
        apn_loop_world_advance(fleet->world, next);
    }
    return 0;
}

/* ---- result ------------------------------------------------------------------------ */

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

static double at_share(const double *sorted, unsigned count, double share)
{
    unsigned index = (unsigned)(share * count);

    return sorted[index < count ? index : count - 1];
}

static bool completed(const struct sim_result *r)
{
    return r->dest_ran && r->source_state == APN_STATE_DONE && !r->violation[0];
}

static int fleet_print(const struct fleet *fleet, double computing_s)
{
    double *dark = calloc(fleet->count, sizeof(*dark)), *total = calloc(fleet->count, sizeof(*total));
    double sum = 0, squares = 0, line;
    struct apn_loop_counters counters;
    unsigned rounds = 0, n = fleet->count;

    if (!dark || !total) {
        free(dark);
        free(total);
        return 1;
    }
    for (unsigned i = 0; i < n; i++) {
        const struct sim_result *r = &fleet->results[i];

        dark[i] = (double)r->blackout_ns / 1e6;
        total[i] = (double)(r->at_ns[SIM_STARTED] - r->at_ns[SIM_CONNECTING]) / 1e9;
        sum += 1 / total[i];
        squares += 1 / total[i] / total[i];
        rounds = r->rounds > rounds ? r->rounds : rounds;
    }
    qsort(dark, n, sizeof(*dark), by_size);
    qsort(total, n, sizeof(*total), by_size);
    apn_loop_world_counters(fleet->world, &counters);
    line = (double)counters.bytes[0] / ((double)fleet->plan.rate_bytes_per_s * total[n - 1]);
    printf("{\"total_s\":%.4f,\"total_first_s\":%.4f,\"line_share\":%.4f,\"wire_gib\":%.3f,\"blackout_p50_ms\":%.3f,"
           "\"blackout_p99_ms\":%.3f,\"blackout_max_ms\":%.3f,\"fairness\":%.4f,\"rounds\":%u,\"backlog_max_mib\":%.2f,"
           "\"quantum_us\":%.0f,\"computing_s\":%.2f}\n",
           total[n - 1], total[0], line, (double)counters.bytes[0] / (double)GIB, at_share(dark, n, 0.5),
           at_share(dark, n, 0.99), dark[n - 1], sum * sum / (n * squares), rounds,
           (double)counters.backlog_max[0] / 1048576.0, (double)fleet->plan.quantum_ns / 1e3, computing_s);
    free(dark);
    free(total);
    return 0;
}

/* ---- command line --------------------------------------------------------------- */

static double wanted[] = {100, 6, 64, 0, 1, 1, 50, 4, 1, 3, 4};

static const struct {
    const char *name;
    double low, high;
} limits[] = {{"rate-gbps", 0.01, 400}, {"rtt-ms", 0.1, 1000}, {"guest-gib", 0.01, GUEST_GIB_MAX},
              {"dirty-gbps", 0, 400}, {"hot-gib", 0, GUEST_GIB_MAX}, {"count", 1, MEMBERS_MAX},
              {"downtime-ms", 1, 10000}, {"lanes", 1, APN_LANES_MAX}, {"stop-ms", 0, 10000}, {"save-ms", 0, 10000},
              {"load-ms", 0, 10000}};
enum { RATE, RTT, GUEST, DIRTY, HOT, COUNT, DOWNTIME, LANES, STOP, SAVE, LOAD, WANTED };

static int parse(int argc, char **argv)
{
    struct option options[WANTED + 1] = {{0}};
    int c, which = 0;

    for (unsigned i = 0; i < WANTED; i++) {
        options[i] = (struct option){limits[i].name, required_argument, NULL, 'n'};
    }
    while ((c = getopt_long(argc, argv, "", options, &which)) >= 0) {
        char *end;

        if (c != 'n') {
            return -EINVAL;
        }
        wanted[which] = strtod(optarg, &end);
        if (*end || end == optarg || !(wanted[which] >= limits[which].low && wanted[which] <= limits[which].high)) {
            fprintf(stderr, "fleet: --%s \"%s\": must be within %g..%g\n", limits[which].name, optarg,
                    limits[which].low, limits[which].high);
            return -EINVAL;
        }
    }
    if (wanted[HOT] > wanted[GUEST]) {
        wanted[HOT] = wanted[GUEST];
    }
    return optind == argc ? 0 : -EINVAL;
}

static void plan_fill(struct sim_plan *plan)
{
    double small_ns = wanted[GUEST] * (double)GIB / (wanted[RATE] * GBIT) * 1e9 / 20000; /* cut a transfer finely */
    uint64_t bytes = (uint64_t)(wanted[GUEST] * (double)GIB) / APN_PAGE_SIZE * APN_PAGE_SIZE;

    *plan = (struct sim_plan){
        .seed = 1,
        .rate_bytes_per_s = (uint64_t)(wanted[RATE] * GBIT),
        .delay_ns = (uint64_t)(wanted[RTT] * 1e6 / 2),
        .lanes = (uint32_t)wanted[LANES],
        .commit = APN_COMMIT_FAST,
        .guest = {.bytes = bytes, .pattern = wanted[DIRTY] > 0 ? GUEST_HOT : GUEST_IDLE,
                  .dirty_bytes_per_s = (uint64_t)(wanted[DIRTY] * GBIT),
                  .hot_bytes = (uint64_t)(wanted[HOT] * (double)GIB) / APN_PAGE_SIZE * APN_PAGE_SIZE},
        .downtime_ns = (uint64_t)(wanted[DOWNTIME] * 1e6),
        .stop_ns = (uint64_t)(wanted[STOP] * 1e6),
        .sync_ns = (uint64_t)(wanted[GUEST] * (double)SYNC_NS_PER_GIB),
        .save_ns = (uint64_t)(wanted[SAVE] * 1e6),
        .load_ns = (uint64_t)(wanted[LOAD] * 1e6),
        .state_bytes = STATE_BYTES,
        .expect = SIM_MUST_COMPLETE,
        .quantum_ns = QUANTUM_NS,
        .limit_ns = LIMIT_NS + (uint64_t)(LIMIT_FACTOR * wanted[COUNT] * (double)bytes / (wanted[RATE] * GBIT) * 1e9),
    };
    /* as fine as the transfer and the number of migrations allow in bounded computing time */
    if ((double)plan->quantum_ns > small_ns && small_ns > 1000) {
        plan->quantum_ns = (uint64_t)small_ns;
    }
    plan->quantum_ns += (uint64_t)((unsigned)wanted[COUNT] - 1) * APN_NS_PER_US;
}

int main(int argc, char **argv)
{
    struct fleet fleet = {0};
    clock_t begin = clock();
    int failed = 1;

    if (parse(argc, argv) < 0) {
        fprintf(stderr, "usage: fleet [--NAME NUMBER]..., with NAME one of");
        for (unsigned i = 0; i < WANTED; i++) {
            fprintf(stderr, " %s", limits[i].name);
        }
        fprintf(stderr, "\n");
        return 2;
    }
    plan_fill(&fleet.plan);
    fleet.count = (unsigned)wanted[COUNT];
    if (fleet_open(&fleet) == 0) {
        failed = fleet_run(&fleet);
        if (failed) {
            fprintf(stderr, "fleet: %u of %u migrations over after %.0f s: they do not converge\n", fleet.over, fleet.count,
                    (double)fleet.plan.limit_ns / 1e9);
        }
        for (unsigned i = 0; !failed && i < fleet.count; i++) {
            if (!completed(&fleet.results[i])) {
                fprintf(stderr, "fleet: migration %u: source %s (%s) %s\n", i, apn_state_name(fleet.results[i].source_state),
                        fleet.results[i].source_error.text, fleet.results[i].violation);
                failed = 1;
            }
        }
        failed = failed ? 1 : fleet_print(&fleet, (double)(clock() - begin) / CLOCKS_PER_SEC);
    }
    fleet_close(&fleet);
    return failed ? 1 : 0;
}
