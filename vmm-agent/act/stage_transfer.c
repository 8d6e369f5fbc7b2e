/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stage_transfer.c - listen, transfer, and settling who has the guest
 * Owner, thread, time, units: move.h. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "act/private.h"

#define ASK_AGAIN_NS (1 * AGENT_NS_PER_S)
#define LATE_START_NS                                                                              \
    (12 * AGENT_NS_PER_S) /* a granted destination has started by then or never will */
#define UNCLEAR_NS      (15 * AGENT_NS_PER_S) /* silence of one end before a person is called */
#define PORT_TRIES      8
#define STUCK_NS        (30 * AGENT_NS_PER_S) /* undoing that gets nowhere: call a person */
#define SECRET_ID       "vmm-agent"
#define STOCK_BANDWIDTH (INT64_C(1) << 40)

static struct machine *machine_of(const struct move *move)
{
    return &move->act->machines[move->vm];
}

/* ---- listen ------------------------------------------------------------------------------- */

static bool port_taken(const struct move *move, int port)
{
    for (const struct move *other = move->act->moves; other != NULL; other = other->next) {
        if (other != move && other->to == move->to && other->state != MOVE_QUEUED &&
            (other->port == port || other->port + 1 == port)) {
            return true;
        }
    }
    return false;
}

int move_choose_port(struct move *move)
{
    const struct agent_inventory_host *host = &move->act->inventory->hosts[move->to];
    int room = (host->port_last - host->port_first + 1) / 2;

    for (int at = 0; at < room; at++) {
        int port = host->port_first + 2 * (int)((move->id + move->port_tries + at) % room);
        if (!port_taken(move, port)) {
            move->port = port;
            return 0;
        }
    }
    return -ENOSPC;
}

static void uri_of(const struct move *move, char *out, size_t size)
{
    const char *address = move->act->inventory->hosts[move->to].address;
    bool six = strchr(address, ':') != NULL;

    snprintf(out, size, "%s:%s%s%s:%d", move->stock ? "tcp" : "apn", six ? "[" : "", address,
             six ? "]" : "", move->port);
}

static bool group_has_disks(const struct move *move)
{
    const struct agent_inventory *inventory = move->act->inventory;

    return inventory->groups[inventory->vms[move->vm].group].disk_count > 0;
}

static void listen_at(struct move *move);

static void on_listening(struct move *move, const struct agent_qmp_result *result)
{
    if (result->status == 0) {
        move_next(move);
        return;
    }
    if (result->status == -EREMOTEIO && ++move->port_tries < PORT_TRIES) {
        listen_at(move); /* the port may be somebody else's */
        return;
    }
    move_fail(move, true, "migrate-incoming: %s", result->text);
}

static void listen_at(struct move *move)
{
    char uri[160];

    bool keep =
        group_has_disks(move) && move->port_tries == 0; /* its disks use the one beside it */
    if (!keep && move_choose_port(move) < 0) {
        move_fail(move, true, "host %s: all its migration ports are in use",
                  move->act->inventory->hosts[move->to].name);
        return;
    }
    uri_of(move, uri, sizeof(uri));
    move_ask_any(move, move->dest, "migrate-incoming", json_pack("{s:s}", "uri", uri),
                 on_listening);
}

static json_t *parameters(const struct move *move, bool source)
{
    const struct agent_act *act = move->act;
    const struct agent_inventory *inventory = act->inventory;
    const struct agent_inventory_group *group = &inventory->groups[inventory->vms[move->vm].group];
    const struct agent_inventory_host *host = &inventory->hosts[source ? move->from : move->to];
    json_t *set = json_object();

    if (source) {
        json_object_set_new(set, "downtime-limit", json_integer((json_int_t)group->downtime_ms));
    }
    if (move->stock && source) {
        json_object_set_new(set, "max-bandwidth", json_integer(STOCK_BANDWIDTH));
    } else if (!move->stock) {
        bool secret = inventory->hosts[move->from].secret != NULL && host->secret != NULL;
        json_object_set_new(set, "apn-secret", json_string(secret ? SECRET_ID : ""));
        json_object_set_new(set, "apn-commit",
                            json_string(act->settings.commit_safe ? "safe" : "fast"));
        if (source) {
            json_object_set_new(set, "apn-hold", json_boolean(move->hold));
        }
    }
    return set;
}

static void on_source_set(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    listen_at(move);
}

static void on_dest_set(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    move_ask(move, move->source, "migrate-set-parameters", parameters(move, true), on_source_set);
}

static json_t *capabilities(const struct move *move)
{
    bool disks = group_has_disks(move);

    return json_pack("{s:[{s:s, s:b}, {s:s, s:b}, {s:s, s:b}]}", "capabilities", "capability",
                     "events", "state", 1, "capability", "return-path", "state", 1, "capability",
                     "pause-before-switchover", "state", disks ? 1 : 0);
}

static void on_source_capable(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    move_ask(move, move->dest, "migrate-set-parameters", parameters(move, false), on_dest_set);
}

static void on_dest_capable(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    move_ask(move, move->source, "migrate-set-capabilities", capabilities(move), on_source_capable);
}

static void on_secrets(struct move *move, const struct agent_qmp_result *result)
{
    (void)result; /* "duplicate" from an earlier move is fine; a wrong file shows when it is used */
    move_ask(move, move->dest, "migrate-set-capabilities", capabilities(move), on_dest_capable);
}

static json_t *secret_object(const struct agent_inventory_host *host)
{
    return json_pack("{s:s, s:s, s:s}", "qom-type", "secret", "id", SECRET_ID, "file",
                     host->secret);
}

static void on_dest_secret(struct move *move, const struct agent_qmp_result *result)
{
    const struct agent_inventory_host *host = &move->act->inventory->hosts[move->from];

    (void)result;
    move_ask_any(move, move->source, "object-add", secret_object(host), on_secrets);
}

void stage_listen(struct move *move)
{
    const struct agent_inventory *inventory = move->act->inventory;
    const struct agent_inventory_host *to = &inventory->hosts[move->to];
    bool one = inventory->hosts[move->from].secret != NULL;

    if (!move->stock && one != (to->secret != NULL)) {
        move_fail(move, false, "only one of the hosts %s and %s has a migration secret",
                  inventory->hosts[move->from].name, to->name);
    } else if (!move->stock && one) {
        move_ask_any(move, move->dest, "object-add", secret_object(to), on_dest_secret);
    } else {
        move_ask(move, move->dest, "migrate-set-capabilities", capabilities(move), on_dest_capable);
    }
}

/* ---- transfer ----------------------------------------------------------------------------- */

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void read_apn(struct move *move, const json_t *apn)
{
    struct move_figures *figures = &move->figures;
    const json_t *prediction = json_object_get(apn, "prediction");
    const json_t *decided = json_object_get(apn, "predicted-blackout");

    figures->bytes = number_of(apn, "posted");
    figures->guest_bytes = number_of(apn, "guest-bytes");
    figures->in_flight_bytes = number_of(apn, "in-flight");
    figures->predicted_ms = number_of(decided != NULL ? decided : prediction, "total-us") / 1000;
    if (json_object_get(apn, "downtime-us") != NULL) {
        figures->blackout_ms = number_of(apn, "downtime-us") / 1000;
    }
}

static void read_progress(struct move *move, const json_t *answer)
{
    struct move_figures *figures = &move->figures;
    const json_t *ram = json_object_get(answer, "ram");
    const json_t *apn = json_object_get(answer, "apn");
    double total = number_of(ram, "total");
    double remaining = number_of(ram, "remaining");
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    figures->transfer_real_s = (double)(now_ns - move->wire_ns) / (double)AGENT_NS_PER_S;
    if (apn != NULL) {
        read_apn(move, apn);
    } else if (ram != NULL) {
        figures->bytes = number_of(ram, "transferred");
        figures->guest_bytes = figures->bytes;
        figures->blackout_ms = number_of(answer, "downtime");
    }
    if (isfinite(figures->bytes) && figures->transfer_real_s > 0.05) {
        figures->rate_gbit_s = figures->bytes * 8e-9 / figures->transfer_real_s;
    }
    if (total > 0 && isfinite(remaining)) {
        double share =
            1 - remaining / total; /* rewritten pages make it fall; people want it to rise */
        figures->remaining_bytes = remaining;
        figures->progress = share > figures->progress ? share : figures->progress;
    }
}

static void tell_progress(struct move *move)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (now_ns - move->told_ns >= MOVE_PROGRESS_NS) {
        move->told_ns = now_ns;
        agent_act_tell(move->act, "migration.progress", act_move_json(move));
    }
}

static void say_hold(struct move *move, bool hold)
{
    move_ask_any(move, move->source, "migrate-set-parameters", json_pack("{s:b}", "apn-hold", hold),
                 NULL);
}

static void on_holding(struct move *move)
{
    move->state = MOVE_HELD;
    move->was_held = true;
    if (move->on_wire) { /* what follows the guest's writes is little: the link is free again */
        move->on_wire = false;
        act_link_wire(move->act, move->link, -1);
    }
    move_log(move, "held", "converged; waits for the word");
    act_kick(move->act);
}

static void on_progress(struct move *move, const struct agent_qmp_result *result)
{
    move->asking = false;
    if (result->status < 0) {
        return; /* silence is dealt with by whoever looks after that QEMU */
    }
    const json_t *apn = json_object_get(result->value, "apn");
    const char *status = json_string_value(json_object_get(result->value, "status"));
    status = status != NULL ? status : "";
    read_progress(move, result->value);
    if (strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
        strcmp(status, "cancelled") == 0) {
        move_next(move);
        return;
    }
    tell_progress(move);
    if (strcmp(status, "pre-switchover") == 0) {
        stage_disks_finish(move);
    } else if (json_is_true(json_object_get(apn, "holding")) && !move->hold) {
        say_hold(move, false); /* it was let go after the source had been told to hold */
    } else if (json_is_true(json_object_get(apn, "holding")) && move->state == MOVE_RUNNING) {
        on_holding(move);
    }
}

static void on_begun(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    move->asked_ns = 0;
    stage_transfer_look(move);
}

static void measure_before(struct move *move)
{
    struct agent_act *act = move->act;

    move->cpu_before_s[0] = act->world->cpu_s(act->world->opaque, move->source->pid);
    move->cpu_before_s[1] = act->world->cpu_s(act->world->opaque, move->dest->pid);
    move->cpu_rate = machine_of(move)->cpu_used;
}

void stage_transfer(struct move *move)
{
    char uri[160];

    uri_of(move, uri, sizeof(uri));
    measure_before(move);
    machine_of(move)->state = AGENT_VM_MOVING;
    move_ask(move, move->source, "migrate", json_pack("{s:s}", "uri", uri), on_begun);
}

static bool is_gone(const struct agent_qemu *qemu)
{
    return qemu == NULL || qemu->state == AGENT_QEMU_GONE;
}

void stage_transfer_look(struct move *move)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (is_gone(move->source)) {
        move_next(move);
        return;
    }
    if (is_gone(move->dest) && strcmp(move->source->verdict, "granted") != 0 &&
        strcmp(move->source->verdict, "started") != 0) {
        move_fail(move, true, "the destination ended: %s",
                  move->dest != NULL ? move->dest->problem : "gone");
        return;
    }
    if (!move->asking && now_ns - move->asked_ns >= MOVE_LOOK_NS - AGENT_NS_PER_MS) {
        move->asking = true;
        move->asked_ns = now_ns;
        move_ask_any(move, move->source, "query-migrate", NULL, on_progress);
    }
}

static void leave_undo(struct move *move)
{
    move->undoing = false;
    move->stage = MOVE_SETTLE;
    move->serial++;
    move->stage_ns = agent_loop_now_ns(move->act->loop);
    stage_settle(move);
}

/* Taken back only when the source says, after we asked, that it has the guest and sends nothing. */
void stage_transfer_undo(struct move *move)
{
    struct agent_qemu *source = move->source;
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (move->lost) {
        move_undone(move); /* nobody has the guest: only what is left is removed */
        return;
    }
    if (is_gone(source) || agent_qemu_unsure(source) || agent_qemu_left(source)) {
        leave_undo(move);
        return;
    }
    if (now_ns - move->stage_ns > STUCK_NS) {
        move_unknown(move, "the source does not say that it has the guest",
                     "look at both QEMUs, then: vmm-agent resolve VM source|destination|absent");
    }
    if (source->state != AGENT_QEMU_UP || source->looked_ns < move->stage_ns) {
        agent_qemu_look(source);
        return;
    }
    if (agent_qemu_owns(source) && !agent_truth_migrating(source)) {
        move_undone(move);
        return;
    }
    if (agent_truth_migrating(source) && now_ns - move->asked_ns >= ASK_AGAIN_NS) {
        move->asked_ns = now_ns;
        move_ask_any(move, source, "migrate_cancel", NULL, NULL); /* refused after the grant */
    }
    agent_qemu_look(source);
}

/* ---- settle: the facts decide who has the guest ------------------------------------------- */

static bool facts_are_fresh(struct move *move)
{
    bool fresh = true;

    for (struct agent_qemu *qemu = machine_of(move)->qemus; qemu != NULL; qemu = qemu->next) {
        if (qemu->state == AGENT_QEMU_UP && qemu->looked_ns < move->stage_ns) {
            agent_qemu_look(qemu);
            fresh = false;
        }
    }
    return fresh;
}

static void look_at_all(struct move *move)
{
    for (struct agent_qemu *qemu = machine_of(move)->qemus; qemu != NULL; qemu = qemu->next) {
        agent_qemu_look(qemu);
    }
}

static void on_resolved(struct move *move, const struct agent_qmp_result *result)
{
    if (result->status < 0) {
        move_log(move, "note", result->text);
    }
    look_at_all(move);
}

static void on_fence_told(struct move *move, const struct agent_qmp_result *result)
{
    if (result->status < 0) {
        move_log(move, "note", result->text);
        return;
    }
    move_ask_any(move, move->source, "cont", NULL, on_resolved);
}

static void resolve(struct move *move, struct agent_qemu *source, const char *outcome,
                    move_then then)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (now_ns - move->asked_ns < ASK_AGAIN_NS) {
        return;
    }
    move->asked_ns = now_ns;
    move->source = source;
    if (!move->resolved) {
        move->resolved = true;
        move_log(move, "intent", outcome);
    }
    move_ask_any(move, source, "migrate-apn-resolve", json_pack("{s:s}", "outcome", outcome), then);
}

static void note_cutover(struct move *move)
{
    struct agent_act *act = move->act;
    const struct agent_inventory_host *host = &act->inventory->hosts[move->to];
    double used = 0;

    if (move->source != NULL && move->source->stop_at_s > 0 && move->dest->resume_at_s > 0) {
        move->figures.cutover_ms = (move->dest->resume_at_s - move->source->stop_at_s) * 1000;
    }
    for (int end = 0; end < 2; end++) {
        const struct agent_qemu *qemu = end == 0 ? move->source : move->dest;
        double now_s = qemu != NULL ? act->world->cpu_s(act->world->opaque, qemu->pid) : -1;
        if (now_s < 0 || move->cpu_before_s[end] < 0 || move->forced) {
            return;
        }
        used += now_s - move->cpu_before_s[end];
    }
    used -= move->cpu_rate * move->figures.transfer_real_s;
    move->figures.energy_wh = fmax(0, used) * (host->busy_w - host->idle_w) / host->cpu / 3600;
}

/* The destination has the guest. */
static void arrived(struct move *move, struct agent_qemu *owner)
{
    struct machine *machine = machine_of(move);
    bool should_run = machine->paused_by == 0;

    move->dest = owner;
    if (should_run && strcmp(owner->status, "paused") == 0 && move->stock) {
        int64_t now_ns = agent_loop_now_ns(move->act->loop);
        if (now_ns - move->asked_ns >= ASK_AGAIN_NS) {
            move->asked_ns = now_ns;
            if (!move->cont_sent) {
                move_log(move, "intent", "cont at the destination");
            }
            move->cont_sent = true;
            move_ask_any(move, owner, "cont", NULL, on_resolved);
        }
        return;
    }
    note_cutover(move);
    machine->noted.owner = owner->epoch;
    machine->noted.since_s = agent_clock_now_s(move->act->clock);
    snprintf(machine->noted.host, sizeof(machine->noted.host), "%s",
             move->act->inventory->hosts[owner->host].name);
    act_machine_note(machine);
    act_machine_say(machine, "arrived at host %s: %s",
                    move->act->inventory->hosts[owner->host].name, move->reason);
    act_machine_become(
        machine, strcmp(owner->status, "running") == 0 ? AGENT_VM_RUNNING : AGENT_VM_PAUSED, owner);
    move->figures.progress = 1;
    move_next(move);
}

static void back_to_watching(struct move *move)
{
    move->stage = MOVE_TRANSFER;
    move->serial++;
    move->asking = false;
    stage_transfer_look(move);
}

static void nobody_has_it(struct move *move, const struct agent_truth *truth)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    if (now_ns - move->stage_ns < LATE_START_NS && truth->dest != NULL) {
        look_at_all(move); /* it may have been granted and be loading */
        return;
    }
    move->lost = true;
    move_fail(move, false, "no QEMU has the guest any more: %s", truth->why);
}

static void facts_came(struct move *move)
{
    char key[96];

    if (move->state == MOVE_UNKNOWN) {
        snprintf(key, sizeof(key), "vm/%s/unknown", move->act->inventory->vms[move->vm].name);
        move->state = MOVE_RUNNING;
        move_log(move, "note", "both ends can be asked again");
        agent_act_alert_clear(move->act, key);
    }
}

static void still_unclear(struct move *move, const struct agent_truth *truth)
{
    int64_t now_ns = agent_loop_now_ns(move->act->loop);

    look_at_all(move);
    if (now_ns - move->stage_ns >= UNCLEAR_NS || truth->is == AGENT_TRUTH_DOUBLE) {
        move_unknown(move, truth->why,
                     truth->is == AGENT_TRUTH_DOUBLE
                         ? "two copies say that they run: stop one by hand at once"
                         : "find out which host runs the guest, then: vmm-agent resolve VM "
                           "source|destination|absent");
    }
}

void stage_settle(struct move *move)
{
    struct agent_qemu *source = move->source;

    if (!facts_are_fresh(move)) {
        return;
    }
    if (move->stock && !move->cont_sent && source != NULL && agent_qemu_owns(source) &&
        !agent_truth_migrating(source)) {
        move_fail(move, true, "the transfer failed: %s", source->migration_error);
        return; /* its destination was never told to run */
    }
    struct agent_truth truth = agent_truth_of(machine_of(move)->qemus);
    if (truth.is != AGENT_TRUTH_UNCLEAR && truth.is != AGENT_TRUTH_WAIT &&
        truth.is != AGENT_TRUTH_DOUBLE) {
        facts_came(move);
    }
    switch (truth.is) {
    case AGENT_TRUTH_HERE:
    case AGENT_TRUTH_HANDED:
        if (truth.owner->epoch == move->dest_epoch) {
            arrived(move, truth.owner);
        } else {
            move->source = truth.owner;
            move_fail(move, true, "the transfer failed: %.200s", truth.owner->migration_error);
        }
        break;
    case AGENT_TRUTH_MOVING:
        back_to_watching(move);
        break;
    case AGENT_TRUTH_DEST_RUNS:
        move->dest = truth.owner;
        resolve(move, truth.source, "destination-runs", on_resolved);
        break;
    case AGENT_TRUTH_DEST_GONE:
        resolve(move, truth.source, "destination-fenced", on_fence_told);
        break;
    case AGENT_TRUTH_ABSENT:
        nobody_has_it(move, &truth);
        break;
    default:
        still_unclear(move, &truth);
        break;
    }
}

/* ---- the end of a hold -------------------------------------------------------------------- */

static void on_let_go(struct move *move, const struct agent_qmp_result *result)
{
    (void)result;
    move->asked_ns = 0;
    stage_transfer_look(move);
}

int move_release(struct move *move, struct agent_error *error)
{
    if (move->stage != MOVE_TRANSFER || move->undoing || !move->hold) {
        return agent_error_set(error, EPERM, "migration %lld is not armed", (long long)move->id);
    }
    move->hold = false;
    move->state = MOVE_RUNNING;
    move->stage_ns = agent_loop_now_ns(move->act->loop); /* its time limit counts from the word */
    if (move_log(move, "intent", "let go") < 0) {
        return agent_error_set(error, EIO, "the journal cannot be written");
    }
    move_ask(move, move->source, "migrate-set-parameters", json_pack("{s:b}", "apn-hold", 0),
             on_let_go);
    return 0;
}
