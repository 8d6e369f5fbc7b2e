/* SPDX-License-Identifier: GPL-2.0-or-later */
/* recover.c - finding out what is true: at the start, and whenever no move looks after a machine
 * Owner, thread, time, units: private.h.
 *
 * At the start every QEMU is looked for in three places: sockets in the hosts' directories, marked
 * processes, and the journal (what had the guest, and both ends of every open move). When all of
 * them have answered, are silent or are proved gone, each open row of the journal becomes a move
 * again, at the stage that fits the facts, and everything else is judged. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "act/private.h"

#define GIVE_UP_NS     (2 * AGENT_NS_PER_S) /* a found QEMU that does not answer by then is silent */
#define RECOVER_MAX_NS (4 * AGENT_NS_PER_S)
#define LOOK_NS        (100 * AGENT_NS_PER_MS)
#define AGAIN_NS       (500 * AGENT_NS_PER_MS)
#define UNCLEAR_NS     (10 * AGENT_NS_PER_S)
#define REBOOT_S       2.0
#define STABLE_NS      (10 * AGENT_NS_PER_S)

/* ---- finding ------------------------------------------------------------------------------ */

static void add_found(struct agent_act *act, int vm, int host, long long epoch)
{
    struct machine *machine = &act->machines[vm];

    if (epoch > 0 && host >= 0 && act_machine_find(machine, epoch) == NULL) {
        act_machine_add(machine, host, epoch, agent_loop_now_ns(act->loop) + GIVE_UP_NS);
    }
}

/* NAME.EPOCH.qmp of a known machine? */
static void take_socket(struct agent_act *act, int host, const char *file)
{
    char name[256];
    char rest[8] = "";
    long long epoch = 0;

    snprintf(name, sizeof(name), "%s", file);
    char *end = strrchr(name, '.');
    if (end == NULL || strcmp(end, ".qmp") != 0) {
        return;
    }
    *end = '\0';
    char *number = strrchr(name, '.');
    if (number == NULL || sscanf(number, ".%lld%7s", &epoch, rest) != 1 || epoch < 1) {
        return;
    }
    *number = '\0';
    int vm = agent_inventory_vm_of(act->inventory, name);
    if (vm >= 0) {
        add_found(act, vm, host, epoch);
    }
}

static void look_into(struct agent_act *act, int host)
{
    const char *path = act->inventory->hosts[host].directory;
    DIR *directory = opendir(path);
    char text[200];
    char key[96];

    if (directory == NULL) {
        snprintf(key, sizeof(key), "host/%s/directory", act->inventory->hosts[host].name);
        snprintf(text, sizeof(text), "%.120s: %s", path, strerror(errno));
        agent_act_alert(act, key, "", text, "does the directory exist, and may the agent use it?");
        return;
    }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        take_socket(act, host, entry->d_name);
    }
    closedir(directory);
}

static void found_process(void *owner, const struct agent_mark *mark, pid_t pid)
{
    struct agent_act *act = owner;
    int vm = agent_inventory_vm_of(act->inventory, mark->vm);

    for (int host = 0; vm >= 0 && host < (int)act->inventory->host_count; host++) {
        if (strcmp(act->inventory->hosts[host].directory, mark->directory) == 0) {
            add_found(act, vm, host, mark->epoch);
            struct agent_qemu *qemu = act_machine_find(&act->machines[vm], mark->epoch);
            if (qemu != NULL && qemu->pid == 0) {
                qemu->pid = pid;
            }
        }
    }
}

static void keep_row(void *opaque, const struct agent_journal_move *row)
{
    struct agent_act *act = opaque;
    struct agent_journal_move *rows =
        realloc(act->rows, ((size_t)act->row_count + 1) * sizeof(*rows));

    if (rows != NULL) {
        act->rows = rows;
        act->rows[act->row_count++] = *row;
    }
}

static void from_row(struct agent_act *act, const struct agent_journal_move *row)
{
    int vm = agent_inventory_vm_of(act->inventory, row->vm);

    if (vm >= 0) {
        add_found(act, vm, agent_inventory_host_of(act->inventory, row->from_host),
                  row->source_epoch);
        add_found(act, vm, agent_inventory_host_of(act->inventory, row->to_host), row->dest_epoch);
    }
}

static int read_journal(struct agent_act *act, struct agent_error *error)
{
    const struct agent_inventory *inventory = act->inventory;
    char key[96];
    char value[16];
    int status = agent_journal_get(act->journal, "paused", value, sizeof(value), error);

    act->paused = status == 0 && strcmp(value, "yes") == 0;
    for (size_t vm = 0; vm < inventory->vm_count && status == 0; vm++) {
        struct machine *machine = &act->machines[vm];
        status = agent_journal_vm(act->journal, inventory->vms[vm].name, &machine->noted, error);
        machine->paused_by = strstr(machine->noted.paused_by, "person") != NULL ? ACT_BY_PERSON : 0;
        machine->paused_by |= strstr(machine->noted.paused_by, "dr") != NULL ? ACT_BY_DR : 0;
        snprintf(key, sizeof(key), "shut-down/%s", inventory->vms[vm].name);
        status =
            status < 0 ? status : agent_journal_get(act->journal, key, value, sizeof(value), error);
        machine->shut_down = strcmp(value, "yes") == 0;
    }
    for (size_t host = 0; host < inventory->host_count && status == 0; host++) {
        snprintf(key, sizeof(key), "drained/%s", inventory->hosts[host].name);
        status = agent_journal_get(act->journal, key, value, sizeof(value), error);
        act->hosts[host].drained = strcmp(value, "yes") == 0;
    }
    if (status == 0) {
        status = agent_journal_open_moves(act->journal, keep_row, act, error);
    }
    return status < 0 ? status : 0;
}

/* ---- booting ------------------------------------------------------------------------------ */

static bool none_alive(const struct machine *machine)
{
    for (const struct agent_qemu *qemu = machine->qemus; qemu != NULL; qemu = qemu->next) {
        if (qemu->state != AGENT_QEMU_GONE) {
            return false;
        }
    }
    return true;
}

static int boot_at(struct machine *machine, int host, struct agent_error *error)
{
    struct agent_act *act = machine->act;
    const struct agent_inventory_vm *vm = &act->inventory->vms[machine->vm];
    const struct agent_inventory_host *place = &act->inventory->hosts[host];
    struct agent_words words;
    char text[96];
    char log[512];
    long long epoch = agent_journal_next_epoch(act->journal, vm->name, error);

    if (epoch < 0) {
        return (int)epoch;
    }
    snprintf(text, sizeof(text), "epoch %lld at host %s", epoch, place->name);
    struct agent_journal_entry entry = {0,      vm->name, agent_clock_now_s(act->clock),
                                        "boot", "intent", text};
    int status = agent_journal_note(act->journal, &entry, error);
    machine->noted.epoch = epoch;
    machine->noted.owner = epoch;
    machine->noted.since_s = entry.at_s;
    snprintf(machine->noted.host, sizeof(machine->noted.host), "%s", place->name);
    status = status < 0 ? status : act_machine_note(machine);
    status = status < 0 ? status
                        : agent_inventory_words(act->inventory, AGENT_WORDS_BOOT, machine->vm, host,
                                                epoch, &words, error);
    if (status < 0) {
        return status;
    }
    snprintf(log, sizeof(log), "%.400s/%s.%lld.log", place->directory, vm->name, epoch);
    struct agent_spawn spawn = {&words, {vm->name, epoch, place->directory}, log};
    int pid = act->world->start(act->world->opaque, act->loop, &spawn, NULL, NULL, error);
    agent_words_done(&words);
    if (pid < 0) {
        return pid;
    }
    struct agent_qemu *qemu =
        act_machine_add(machine, host, epoch,
                        agent_loop_now_ns(act->loop) +
                            (int64_t)(act->settings.start_timeout_s * (double)AGENT_NS_PER_S));
    if (qemu == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for %s", vm->name);
    }
    qemu->pid = pid;
    return 0;
}

int act_boot(struct machine *machine, struct agent_error *error)
{
    struct agent_act *act = machine->act;
    const struct agent_inventory_vm *vm = &act->inventory->vms[machine->vm];
    int noted = agent_inventory_host_of(act->inventory, machine->noted.host);
    int host = noted >= 0 ? noted : vm->host;

    if (machine->state != AGENT_VM_ABSENT || !none_alive(machine)) {
        return agent_error_set(error, EPERM, "%s: it is not proved that it runs nowhere (%s)",
                               vm->name, machine->reason);
    }
    if (!act_room_at(act, machine->vm, host, NULL)) {
        host = agent_act_best_host(act, machine->vm, act->inventory->hosts[host].site, error);
        if (host < 0) {
            return -ENOSPC;
        }
    }
    int status = boot_at(machine, host, error);
    if (status == 0) {
        if (machine->shut_down) {
            act_machine_shut_down(machine, false);
        }
        act_machine_say(machine, "being started at host %s", act->inventory->hosts[host].name);
    }
    return status;
}

static void maybe_boot(struct machine *machine)
{
    struct agent_act *act = machine->act;
    const struct agent_inventory_vm *vm = &act->inventory->vms[machine->vm];
    int64_t now_ns = agent_loop_now_ns(act->loop);
    struct agent_error error = {0};
    char key[96];

    if (!vm->boot || machine->shut_down || machine->move != NULL || !none_alive(machine)) {
        return;
    }
    if (machine->boots >= ACT_REBOOTS_MAX) {
        snprintf(key, sizeof(key), "vm/%s/boot", vm->name);
        agent_act_alert(act, key, vm->name, "it ended again and again after being started",
                        "see its log; vmm-agent boot VM tries again");
        return;
    }
    if (now_ns < machine->boot_at_ns) {
        agent_timer_set(&machine->timer, machine->boot_at_ns);
        return;
    }
    machine->boot_at_ns =
        now_ns + (int64_t)(REBOOT_S * exp2(machine->boots) * (double)AGENT_NS_PER_S);
    machine->boots++;
    if (act_boot(machine, &error) < 0) {
        act_machine_say(machine, "cannot be started: %.150s", error.text);
        agent_timer_set(&machine->timer, machine->boot_at_ns);
    }
}

/* ---- judging ------------------------------------------------------------------------------ */

static void forget_gone(struct machine *machine)
{
    struct agent_qemu **at = &machine->qemus;

    while (*at != NULL) {
        struct agent_qemu *qemu = *at;
        bool used = qemu == machine->owner ||
                    (machine->move != NULL &&
                     (qemu == machine->move->source || qemu == machine->move->dest));
        if (qemu->state == AGENT_QEMU_GONE && !used) {
            *at = qemu->next;
            agent_qemu_free(qemu);
        } else {
            at = &qemu->next;
        }
    }
}

static void look_again(struct machine *machine, int64_t after_ns)
{
    for (struct agent_qemu *qemu = machine->qemus; qemu != NULL; qemu = qemu->next) {
        agent_qemu_look(qemu);
    }
    agent_timer_after(&machine->timer, after_ns);
}

static void owned(struct machine *machine, const struct agent_truth *truth)
{
    struct agent_act *act = machine->act;
    struct agent_qemu *owner = truth->owner;
    const struct agent_inventory_host *host = &act->inventory->hosts[owner->host];
    bool running = strcmp(owner->status, "running") == 0;

    if (machine->owner != owner) {
        if (machine->reason[0] == '\0' || machine->owner == NULL) {
            act_machine_say(machine, "found running at host %s", host->name);
        }
    }
    if (agent_loop_now_ns(act->loop) - machine->boot_at_ns > STABLE_NS) {
        machine->boots = 0; /* it has run for a while: a later end is another story */
    }
    if (machine->noted.owner != owner->epoch || strcmp(machine->noted.host, host->name) != 0) {
        machine->noted.owner = owner->epoch;
        machine->noted.since_s = agent_clock_now_s(act->clock);
        snprintf(machine->noted.host, sizeof(machine->noted.host), "%s", host->name);
        act_machine_note(machine);
    }
    if (running && machine->paused_by != 0) { /* the intent was noted, the agent ended before it */
        agent_qemu_ask(owner, "stop", NULL, 5 * AGENT_NS_PER_S, NULL, NULL);
    }
    if (!running && strcmp(owner->status, "paused") != 0) {
        act_machine_say(machine, "QEMU says '%s'", owner->status);
    }
    act_machine_become(machine, running ? AGENT_VM_RUNNING : AGENT_VM_PAUSED, owner);
    for (struct agent_qemu *qemu = machine->qemus; qemu != NULL; qemu = qemu->next) {
        if (qemu != owner && truth->is != AGENT_TRUTH_MOVING &&
            (agent_qemu_waits(qemu) || agent_qemu_left(qemu))) {
            agent_qemu_ask(qemu, "quit", NULL, 5 * AGENT_NS_PER_S, NULL, NULL); /* a leftover */
        }
    }
}

static void unclear(struct machine *machine, const struct agent_truth *truth)
{
    struct agent_act *act = machine->act;
    const char *vm = act->inventory->vms[machine->vm].name;
    int64_t now_ns = agent_loop_now_ns(act->loop);
    char key[96];

    machine->unclear_ns = machine->unclear_ns > 0 ? machine->unclear_ns : now_ns;
    look_again(machine, AGAIN_NS);
    if (now_ns - machine->unclear_ns < UNCLEAR_NS && truth->is != AGENT_TRUTH_DOUBLE) {
        return;
    }
    snprintf(key, sizeof(key), "vm/%s/unknown", vm);
    machine->blocked = true;
    act_machine_say(machine, "%s", truth->why);
    agent_act_alert(act, key, vm, truth->why,
                    truth->is == AGENT_TRUTH_DOUBLE
                        ? "two copies say that they run: stop one by hand at once"
                        : "find out where it runs, then: vmm-agent resolve VM source|destination|"
                          "absent");
    act_machine_become(machine, AGENT_VM_UNKNOWN, NULL);
}

static void clear_up(struct machine *machine)
{
    char key[96];

    machine->unclear_ns = 0;
    if (machine->blocked) {
        machine->blocked = false;
        snprintf(key, sizeof(key), "vm/%s/unknown", machine->act->inventory->vms[machine->vm].name);
        agent_act_alert_clear(machine->act, key);
    }
}

static void nowhere(struct machine *machine, const struct agent_truth *truth)
{
    bool was_there = machine->owner != NULL;

    for (struct agent_qemu *qemu = machine->qemus; qemu != NULL; qemu = qemu->next) {
        if (agent_qemu_waits(qemu) || agent_qemu_left(qemu)) {
            agent_qemu_ask(qemu, "quit", NULL, 5 * AGENT_NS_PER_S, NULL, NULL);
        }
    }
    if (machine->state != AGENT_VM_ABSENT) {
        act_machine_say(machine, "%s%s", was_there ? "its QEMU ended; " : "",
                        machine->shut_down ? "it was shut down" : truth->why);
    }
    machine->cpu_used = 0;
    machine->cpu.looks = 0;
    act_machine_become(machine, AGENT_VM_ABSENT, NULL);
    struct move *move = machine->move;
    if (move != NULL && move->state == MOVE_QUEUED) {
        snprintf(move->error, sizeof(move->error), "the guest runs nowhere any more");
        move_end(move, MOVE_FAILED);
        return;
    }
    maybe_boot(machine);
}

void act_judge(struct machine *machine)
{
    struct move *move = machine->move;

    if (machine->act->recovering || (move != NULL && move->state != MOVE_QUEUED)) {
        return;
    }
    struct agent_truth truth = agent_truth_of(machine->qemus);
    agent_timer_unset(&machine->timer);
    switch (truth.is) {
    case AGENT_TRUTH_HERE:
    case AGENT_TRUTH_MOVING:
    case AGENT_TRUTH_HANDED:
        clear_up(machine);
        owned(machine, &truth);
        break;
    case AGENT_TRUTH_DEST_RUNS:
        clear_up(machine);
        owned(machine, &truth);
        agent_qemu_ask(truth.source, "migrate-apn-resolve",
                       json_pack("{s:s}", "outcome", "destination-runs"), 5 * AGENT_NS_PER_S, NULL,
                       NULL);
        agent_timer_after(&machine->timer, AGAIN_NS);
        break;
    case AGENT_TRUTH_ABSENT:
        clear_up(machine);
        nowhere(machine, &truth);
        break;
    default:
        unclear(machine, &truth);
        break;
    }
    forget_gone(machine);
}

static void judge_again(void *opaque)
{
    act_judge(opaque);
}

/* ---- after the questions ------------------------------------------------------------------ */

static struct move *remake(struct agent_act *act, const struct agent_journal_move *row, int vm)
{
    int from = agent_inventory_host_of(act->inventory, row->from_host);
    int to = agent_inventory_host_of(act->inventory, row->to_host);
    struct move *move = from >= 0 && to >= 0 ? move_remake(act, vm, from, to) : NULL;

    if (move == NULL) {
        return NULL;
    }
    move->id = row->id;
    move->attempt = row->attempt;
    move->benefit_yen = row->benefit_yen;
    move->urgent = row->urgent;
    move->queued_s = (double)row->queued_s;
    move->source_epoch = row->source_epoch;
    move->dest_epoch = row->dest_epoch;
    move->hold = strcmp(row->state, "held") == 0;
    snprintf(move->reason, sizeof(move->reason), "%s", row->reason);
    for (int origin = MOVE_BY_PLAN; origin <= MOVE_BY_DR; origin++) {
        if (strcmp(row->origin, move_origin_name((enum move_origin)origin)) == 0) {
            move->origin = (enum move_origin)origin;
        }
    }
    act->machines[vm].move = move;
    return move;
}

static void take_up(struct agent_act *act, const struct agent_journal_move *row)
{
    int vm = agent_inventory_vm_of(act->inventory, row->vm);
    struct machine *machine = vm >= 0 ? &act->machines[vm] : NULL;
    struct move *move = machine == NULL || machine->move != NULL ? NULL : remake(act, row, vm);
    struct agent_journal_move closed = *row;

    if (move == NULL) { /* machine or host is not in the inventory any more, or a second row */
        snprintf(closed.state, sizeof(closed.state), "failed");
        closed.ended_s = agent_clock_now_s(act->clock);
        struct agent_journal_entry entry = {row->id,        row->vm,
                                            closed.ended_s, row->stage,
                                            "failed",       "not in the inventory after a restart"};
        agent_journal_step(act->journal, &closed, NULL, &entry, NULL);
        return;
    }
    struct agent_truth truth = agent_truth_of(machine->qemus);
    move->source = row->source_epoch > 0 ? act_machine_find(machine, row->source_epoch) : NULL;
    move->dest = row->dest_epoch > 0 ? act_machine_find(machine, row->dest_epoch) : NULL;
    act_machine_say(machine, "migration %lld to %s was open when the agent ended",
                    (long long)row->id, row->to_host);
    if (row->dest_epoch == 0) {
        if (move->origin == MOVE_BY_PLAN) {
            snprintf(move->error, sizeof(move->error),
                     "the agent was restarted; the next plan decides");
            move_end(move, MOVE_CANCELLED);
        } else {
            move_log(move, "queued", "kept over a restart of the agent");
        }
    } else if (truth.is == AGENT_TRUTH_HERE && truth.owner == move->source && truth.owner != NULL) {
        machine->owner = truth.owner;
        move->state = MOVE_RUNNING;
        move->forced = true;
        move->stage = MOVE_TRANSFER;
        move_fail(move, true, "the agent ended during stage %s; taken back", row->stage);
    } else if (truth.is == AGENT_TRUTH_MOVING && truth.owner == move->source) {
        machine->owner = truth.owner;
        machine->state = AGENT_VM_MOVING;
        move_adopt(move, MOVE_TRANSFER);
    } else {
        machine->owner = truth.owner;
        move_adopt(move, MOVE_SETTLE);
    }
}

static void recovered(struct agent_act *act)
{
    int open = act->row_count;

    act->recovering = false;
    act->past = agent_journal_ended(act->journal, ACT_ENDED_MAX);
    for (int at = 0; at < act->row_count; at++) {
        take_up(act, &act->rows[at]);
    }
    free(act->rows);
    act->rows = NULL;
    act->row_count = 0;
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        act_judge(&act->machines[vm]);
    }
    double real_s =
        (double)(agent_loop_now_ns(act->loop) - act->started_ns) / (double)AGENT_NS_PER_S;
    agent_act_tell(act, "agent.ready",
                   json_pack("{s:i, s:i, s:f}", "vms", (int)act->inventory->vm_count, "open", open,
                             "real_s", real_s));
    act_kick(act);
}

static void on_recovery(void *opaque)
{
    struct agent_act *act = opaque;
    bool coming = false;

    for (size_t vm = 0; vm < act->inventory->vm_count && !coming; vm++) {
        for (struct agent_qemu *qemu = act->machines[vm].qemus; qemu != NULL; qemu = qemu->next) {
            coming = coming || qemu->state == AGENT_QEMU_COMING;
        }
    }
    if (coming && agent_loop_now_ns(act->loop) - act->started_ns < RECOVER_MAX_NS) {
        agent_timer_after(&act->recovery, LOOK_NS);
        return;
    }
    recovered(act);
}

int act_recover(struct agent_act *act, struct agent_error *error)
{
    int status = read_journal(act, error);

    if (status < 0) {
        return status;
    }
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        agent_timer_init(&act->machines[vm].timer, act->loop, judge_again, &act->machines[vm]);
    }
    for (size_t host = 0; host < act->inventory->host_count; host++) {
        if (!act->inventory->sites[act->inventory->hosts[host].site].paper) {
            look_into(act, (int)host);
        }
    }
    for (int at = 0; at < act->row_count; at++) {
        from_row(act, &act->rows[at]);
    }
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        add_found(act, (int)vm,
                  agent_inventory_host_of(act->inventory, act->machines[vm].noted.host),
                  act->machines[vm].noted.owner);
    }
    status = act->world->scan(act->world->opaque, found_process, act);
    if (status < 0) {
        return agent_error_set(error, status, "/proc cannot be read: %s", strerror(-status));
    }
    agent_timer_init(&act->recovery, act->loop, on_recovery, act);
    agent_timer_after(&act->recovery, 0);
    return 0;
}
