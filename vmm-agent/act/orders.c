/* SPDX-License-Identifier: GPL-2.0-or-later */
/* orders.c - moves, held copies, pauses and caps as people and demand response ask for them
 * Owner, thread, time, units: act.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "act/private.h"

static int movable(struct agent_act *act, int vm, int host, struct agent_error *error)
{
    struct machine *machine = &act->machines[vm];
    const char *name = act->inventory->vms[vm].name;

    if (act->recovering) {
        return agent_error_set(error, EPERM, "still asking what is true after the start");
    }
    if (machine->owner == NULL || machine->blocked || machine->state == AGENT_VM_UNKNOWN) {
        return agent_error_set(error, EPERM, "%s cannot be moved: %s", name, machine->reason);
    }
    if (machine->move != NULL) {
        return agent_error_set(error, EALREADY, "%s: migration %lld to %s is open already", name,
                               (long long)machine->move->id,
                               act->inventory->hosts[machine->move->to].name);
    }
    if (machine->owner->host == host) {
        return agent_error_set(error, EALREADY, "%s runs at host %s already", name,
                               act->inventory->hosts[host].name);
    }
    return 0;
}

static struct move *queue_move(struct agent_act *act, int vm, int host, enum move_origin origin,
                               const char *reason, struct agent_error *error)
{
    return movable(act, vm, host, error) < 0 ? NULL
                                             : move_new(act, vm, host, origin, reason, error);
}

/* A copy that is held at that site already is let go; one elsewhere is given up first. */
static int move_held(struct agent_act *act, struct move *held, int host, struct agent_error *error)
{
    const struct agent_inventory *inventory = act->inventory;

    if (inventory->hosts[held->to].site == inventory->hosts[host].site) {
        return agent_act_release(act, held->vm, NULL, NULL, error);
    }
    int status = move_cancel(held, error);
    return status < 0
               ? status
               : agent_error_set(error, EAGAIN,
                                 "%s: its copy held at %s is given up first; ask again",
                                 inventory->vms[held->vm].name, inventory->hosts[held->to].name);
}

int agent_act_move(struct agent_act *act, int vm, int host, const char *reason, double benefit_yen,
                   bool urgent, struct agent_error *error)
{
    struct agent_error why = {0};
    struct move *held = act->machines[vm].move;

    if (held != NULL && held->hold && !held->undoing) {
        return move_held(act, held, host, error);
    }
    struct move *move =
        queue_move(act, vm, host, urgent ? MOVE_BY_DR : MOVE_BY_PERSON, reason, &why);
    if (move == NULL) {
        return agent_error_set(error, why.code, "%s", why.text);
    }
    move->benefit_yen = benefit_yen;
    move->urgent = urgent;
    return 0;
}

int agent_act_arm(struct agent_act *act, int vm, int host, struct agent_error *error)
{
    struct agent_error why = {0};
    struct move *move = queue_move(act, vm, host, MOVE_BY_DR, "armed for demand response", &why);

    if (move == NULL) {
        return agent_error_set(error, why.code, "%s", why.text);
    }
    move->hold = true;
    move->urgent = false; /* arming is preparation: it queues with the others */
    return move_log(move, "note", "to be held when it has converged") < 0
               ? agent_error_set(error, EIO, "the journal cannot be written")
               : 0;
}

bool agent_act_armed(const struct agent_act *act, int vm)
{
    const struct move *move = act->machines[vm].move;

    return move != NULL && move->state == MOVE_HELD;
}

int agent_act_release(struct agent_act *act, int vm, void (*fn)(void *opaque, int vm, int status),
                      void *opaque, struct agent_error *error)
{
    struct move *move = act->machines[vm].move;

    if (move == NULL || !move->hold) {
        return agent_error_set(error, EPERM, "%s is not armed", act->inventory->vms[vm].name);
    }
    move->released = fn;
    move->released_opaque = opaque;
    if (move->state != MOVE_HELD) { /* not converged yet: it leaves without waiting for the word */
        move->urgent = true;
        if (move->stage != MOVE_TRANSFER) {
            move->hold = false;
            move->retry_ns = 0; /* after a failure too: who needs the power now does not wait it out */
            move_log(move, "note", "let go before it was held");
            act_queue_turn(act);
            return 0;
        }
    }
    return move_release(move, error);
}

int agent_act_disarm(struct agent_act *act, int vm, struct agent_error *error)
{
    struct move *move = act->machines[vm].move;

    if (move == NULL || !move->hold) {
        return agent_error_set(error, EPERM, "%s is not armed", act->inventory->vms[vm].name);
    }
    return move_cancel(move, error);
}

/* Moves of the plan's that began before the call: those that are not yet at the point of no return */
static void give_up_against(struct agent_act *act)
{
    struct move *next = NULL;

    for (struct move *move = act->moves; move != NULL; move = next) {
        const struct agent_inventory_host *hosts = act->inventory->hosts;
        char why[AGENT_ACT_REASON_MAX];
        next = move->next;
        if (move->origin == MOVE_BY_PLAN && !move->undoing &&
            act_against_demand(act, hosts[move->from].site, hosts[move->to].site, why, sizeof(why))) {
            snprintf(move->error, sizeof(move->error), "%s", why);
            move_cancel(move, NULL);
        }
    }
}

void agent_act_lean(struct agent_act *act, int site, int direction)
{
    if (act->sites[site].lean == direction) {
        return;
    }
    act->sites[site].lean = direction;
    give_up_against(act);
    for (size_t vm = 0; vm < act->inventory->vm_count; vm++) {
        struct machine *machine = &act->machines[vm];
        if (machine->move == NULL && machine->owner != NULL && !act->recovering) {
            act_want_again(machine); /* what was held back may go now; what may not says why */
        }
    }
}

struct asked {
    struct machine *machine;
    bool pause;
};

static void on_paused(void *opaque, const struct agent_qmp_result *result)
{
    struct asked *asked = opaque;
    struct machine *machine = asked->machine;

    if (result->status < 0 && result->status != -ECANCELED) {
        agent_act_alert(machine->act, "pause", machine->act->inventory->vms[machine->vm].name,
                        result->text, "is the guest paused or not?");
    }
    free(asked);
}

static int say_pause(struct machine *machine, bool pause, struct agent_error *error)
{
    struct asked *asked = malloc(sizeof(*asked));
    int status = -ENOMEM;

    if (asked != NULL) {
        *asked = (struct asked){machine, pause};
        status = agent_qemu_ask(machine->owner, pause ? "stop" : "cont", NULL, 5 * AGENT_NS_PER_S,
                                on_paused, asked);
    }
    if (status < 0) {
        free(asked);
        return agent_error_set(error, status, "%s: its QEMU cannot be asked",
                               machine->act->inventory->vms[machine->vm].name);
    }
    return 0;
}

static unsigned bit_of(const char *who)
{
    return strcmp(who, "dr") == 0 ? ACT_BY_DR : ACT_BY_PERSON;
}

static int pausable(struct machine *machine, struct agent_error *error)
{
    const char *name = machine->act->inventory->vms[machine->vm].name;

    if (machine->owner == NULL || machine->state == AGENT_VM_UNKNOWN) {
        return agent_error_set(error, EPERM, "%s: %s", name, machine->reason);
    }
    if (machine->move != NULL && machine->move->stage >= MOVE_SETTLE &&
        machine->move->state != MOVE_QUEUED) {
        return agent_error_set(error, EPERM, "%s is just arriving; try again in a moment", name);
    }
    return 0;
}

int agent_act_pause_vm(struct agent_act *act, int vm, const char *who, struct agent_error *error)
{
    struct machine *machine = &act->machines[vm];
    int status = pausable(machine, error);

    if (status < 0) {
        return status;
    }
    if ((machine->paused_by & bit_of(who)) != 0) {
        return agent_error_set(error, EALREADY, "%s is paused by %s already",
                               act->inventory->vms[vm].name, who);
    }
    machine->paused_by |= bit_of(who);
    if (act_machine_note(machine) < 0) {
        machine->paused_by &= ~bit_of(who);
        return agent_error_set(error, EIO, "the journal cannot be written");
    }
    act_machine_say(machine, "paused by %s", who);
    return say_pause(machine, true, error);
}

int agent_act_resume_vm(struct agent_act *act, int vm, const char *who, struct agent_error *error)
{
    struct machine *machine = &act->machines[vm];
    int status = pausable(machine, error);

    if (status < 0) {
        return status;
    }
    if (strcmp(who, "person") == 0) {
        machine->paused_by = 0; /* a person overrules */
    } else if ((machine->paused_by & bit_of(who)) == 0) {
        return agent_error_set(error, EALREADY, "%s is not paused by %s",
                               act->inventory->vms[vm].name, who);
    }
    machine->paused_by &= ~bit_of(who);
    act_machine_note(machine);
    act_machine_say(machine, "resumed by %s", who);
    return machine->paused_by != 0 ? 0 : say_pause(machine, false, error);
}

int agent_act_cap(struct agent_act *act, int vm, double share, struct agent_error *error)
{
    struct machine *machine = &act->machines[vm];
    const struct agent_inventory_vm *named = &act->inventory->vms[vm];
    char path[512];

    if (machine->owner == NULL) {
        return agent_error_set(error, EPERM, "%s: %s", named->name, machine->reason);
    }
    const struct agent_inventory_host *host = &act->inventory->hosts[machine->owner->host];
    if (host->cgroup == NULL || !host->local) {
        return agent_error_set(error, EPERM,
                               "host %s: no delegated cgroup is declared (cgroup:), so "
                               "%s cannot be capped",
                               host->name, named->name);
    }
    if (!(share > 0 && share <= 1)) {
        return agent_error_set(error, EINVAL, "cap: share %g is outside 0..1", share);
    }
    snprintf(path, sizeof(path), "%.300s/%s/cpu.max", host->cgroup, named->name);
    FILE *file = fopen(path, "w");
    double cores = act->inventory->groups[named->group].cpu * share;
    bool written = file != NULL && (share < 1 ? fprintf(file, "%.0f 100000\n", cores * 100000)
                                              : fprintf(file, "max 100000\n")) > 0;
    if (file != NULL && fclose(file) != 0) {
        written = false;
    }
    if (!written) {
        return agent_error_set(error, errno, "%s: %s", path, strerror(errno));
    }
    machine->cap = share;
    return 0;
}
