/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stage_prepare.c - stages before the guest's memory moves: preflight, start, match
 * Owner, thread, time, units: move.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "act/private.h"

#define MEMORY_SPARE_MIB 64.0
#define QUIT_AFTER_NS    (5 * AGENT_NS_PER_S) /* asked to quit and still there: kill */
#define ASK_AGAIN_NS     (1 * AGENT_NS_PER_S)
#define STUCK_NS         (30 * AGENT_NS_PER_S) /* undoing that gets nowhere: call a person */

/* ---- preflight: what can be known before anything is started ------------------------------ */

static bool declared_disk(const struct agent_inventory_group *group, const char *node)
{
    for (size_t at = 0; at < group->disk_count; at++) {
        if (node != NULL && strcmp(group->disks[at].node, node) == 0) {
            return true;
        }
    }
    return false;
}

/* Every disk the guest can write to must be shared or be declared to travel. */
static void on_blocks(struct move *move, const struct agent_qmp_result *result)
{
    const struct agent_inventory *inventory = move->act->inventory;
    const struct agent_inventory_group *group = &inventory->groups[inventory->vms[move->vm].group];
    size_t index;
    size_t found = 0;
    json_t *device;

    json_array_foreach((json_t *)(uintptr_t)result->value, index, device)
    {
        const json_t *medium = json_object_get(device, "inserted");
        const char *node = json_string_value(json_object_get(medium, "node-name"));
        if (medium == NULL || json_is_true(json_object_get(medium, "ro"))) {
            continue;
        }
        bool declared = declared_disk(group, node);
        found += declared ? 1 : 0;
        if (!declared && !group->shared_storage) {
            move_fail(
                move, false,
                "storage: disk '%.60s' is writable and neither listed under disks of group %s "
                "nor is its storage shared (shared_storage)",
                node != NULL ? node : "?", group->name);
            return;
        }
    }
    if (found < group->disk_count) {
        move_fail(move, false, "storage: group %s lists %zu disks, QEMU has %zu of them",
                  group->name, group->disk_count, found);
        return;
    }
    move_next(move);
}

static bool path_fits(struct move *move)
{
    const struct agent_inventory *inventory = move->act->inventory;
    const struct agent_inventory_host *to = &inventory->hosts[move->to];
    const struct agent_inventory_host *from = &inventory->hosts[move->from];

    if (inventory->sites[to->site].paper) {
        move_fail(move, false, "site %s exists on paper only", inventory->sites[to->site].name);
        return false;
    }
    if (move->link < 0 && to->site != from->site) {
        move_fail(move, false, "path: no link joins %s and %s", inventory->sites[from->site].name,
                  inventory->sites[to->site].name);
        return false;
    }
    return true;
}

static bool memory_fits(struct move *move)
{
    struct agent_act *act = move->act;
    const struct agent_inventory *inventory = act->inventory;
    double needed = inventory->groups[inventory->vms[move->vm].group].ram_mib + MEMORY_SPARE_MIB;
    double there =
        inventory->hosts[move->to].local ? act->world->memory_mib(act->world->opaque) : -1;

    if (there >= 0 && there < needed) {
        move_fail(move, true, "memory: %.0f MiB are available at host %s, %.0f are needed", there,
                  inventory->hosts[move->to].name, needed);
        return false;
    }
    return true;
}

void stage_preflight(struct move *move)
{
    struct agent_act *act = move->act;
    struct machine *machine = move_machine(move);
    struct agent_error error = {0};

    if (machine->owner == NULL || machine->owner != move->source ||
        !agent_qemu_owns(move->source)) {
        move_fail(move, true, "the guest is not running at host %s any more",
                  act->inventory->hosts[move->from].name);
        return;
    }
    if (!path_fits(move)) {
        return;
    }
    if (!act_room_at(act, move->vm, move->to, &error)) {
        move_fail(move, true, "capacity: %s", error.text);
        return;
    }
    if (memory_fits(move)) {
        move_ask(move, move->source, "query-block", NULL, on_blocks);
    }
}

/* ---- start: a destination that waits ------------------------------------------------------ */

static void start_dest(struct move *move)
{
    struct agent_act *act = move->act;
    const struct agent_inventory *inventory = act->inventory;
    enum agent_command_kind kind = move->stock ? AGENT_WORDS_DEST_PAUSED : AGENT_WORDS_DEST;
    struct agent_words words;
    struct agent_error error = {0};
    char log[512];
    int pid = agent_inventory_words(inventory, kind, move->vm, move->to, move->dest_epoch, &words,
                                    &error);

    if (pid == 0) {
        snprintf(log, sizeof(log), "%.400s/%s.%lld.log", inventory->hosts[move->to].directory,
                 inventory->vms[move->vm].name, move->dest_epoch);
        struct agent_spawn spawn = {
            &words,
            {inventory->vms[move->vm].name, move->dest_epoch, inventory->hosts[move->to].directory},
            log};
        pid = act->world->start(act->world->opaque, act->loop, &spawn, NULL, NULL, &error);
        agent_words_done(&words);
    }
    if (pid < 0) {
        move_fail(move, true, "%s", error.text);
        return;
    }
    int64_t give_up_ns =
        move->stage_ns + (int64_t)(act->settings.start_timeout_s * (double)AGENT_NS_PER_S);
    move->dest = act_machine_add(move_machine(move), move->to, move->dest_epoch, give_up_ns);
    if (move->dest == NULL) {
        move_fail(move, true, "no memory for the destination");
        return;
    }
    move->dest->pid = pid;
}

struct prepared {
    struct agent_act *act;
    int64_t move;
    uint64_t serial;
};

static void on_prepared(void *owner, int status)
{
    struct prepared prepared = *(struct prepared *)owner;
    struct move *move = move_find(prepared.act, prepared.move);

    free(owner);
    if (move == NULL || move->serial != prepared.serial) {
        return;
    }
    if (status != 0) {
        move_fail(move, true, "prepare: the command ended with status %d", status);
        return;
    }
    start_dest(move);
}

/* Return: 1 a command was started, 0 there is none, -errno (the move has failed). */
static int prepare(struct move *move)
{
    struct agent_act *act = move->act;
    const struct agent_inventory *inventory = act->inventory;
    struct agent_words words;
    struct agent_error error = {0};
    char log[512];
    int status = agent_inventory_words(inventory, AGENT_WORDS_PREPARE, move->vm, move->to,
                                       move->dest_epoch, &words, &error);

    if (status == -ENOENT) {
        return 0;
    }
    struct prepared *prepared = malloc(sizeof(*prepared));
    if (status == 0 && prepared != NULL) {
        *prepared = (struct prepared){act, move->id, move->serial};
        snprintf(log, sizeof(log), "%.400s/%s.%lld.prepare.log",
                 inventory->hosts[move->to].directory, inventory->vms[move->vm].name,
                 move->dest_epoch);
        struct agent_spawn spawn = {&words, {.epoch = 0}, log};
        status =
            act->world->start(act->world->opaque, act->loop, &spawn, on_prepared, prepared, &error);
    }
    agent_words_done(&words);
    if (status < 0 || prepared == NULL) {
        free(prepared);
        move_fail(move, true, "prepare: %s", error.text);
        return -EIO;
    }
    return 1;
}

void stage_start(struct move *move)
{
    struct agent_act *act = move->act;
    const char *vm = act->inventory->vms[move->vm].name;
    struct agent_error error = {0};
    char text[96];

    move->stock = !move->source->apn || !act->inventory->hosts[move->to].apn || move->no_apn;
    move->dest_epoch = agent_journal_next_epoch(act->journal, vm, &error);
    if (move->dest_epoch < 0) {
        move->dest_epoch = 0;
        act_journal_failed(act, &error);
        move_fail(move, true, "the journal cannot be written: nothing is done without it");
        return;
    }
    snprintf(text, sizeof(text), "epoch %lld at host %s", move->dest_epoch,
             act->inventory->hosts[move->to].name);
    if (move_log(move, "intent", text) < 0) {
        move_fail(move, true, "the journal cannot be written: nothing is done without it");
        return;
    }
    if (prepare(move) == 0) {
        start_dest(move);
    }
}

void stage_start_look(struct move *move)
{
    const struct agent_qemu *dest = move->dest;

    if (dest == NULL) {
        return; /* being prepared */
    }
    if (dest->state == AGENT_QEMU_GONE || dest->state == AGENT_QEMU_SILENT) {
        move_fail(move, true, "the destination did not start (%.100s); see %s/%s.%lld.log",
                  dest->problem, move->act->inventory->hosts[move->to].directory,
                  move->act->inventory->vms[move->vm].name, move->dest_epoch);
    } else if (agent_qemu_waits(dest)) {
        move_next(move);
    } else if (dest->state == AGENT_QEMU_UP) {
        move_fail(
            move, false,
            "the destination is in state '%s' instead of waiting for a migration; is {incoming} "
            "missing in start?",
            dest->status);
    }
}

static void fence_remote(struct move *move);

/* Only a destination that cannot have the guest is removed: the source holds it and sends nothing.
 */
static bool may_remove(const struct move *move)
{
    const struct agent_qemu *source = move->source;
    const struct agent_qemu *dest = move->dest;
    bool source_has = source != NULL && source->state == AGENT_QEMU_UP &&
                      source->looked_ns >= move->stage_ns && agent_qemu_owns(source) &&
                      !agent_truth_migrating(source);
    bool never_ran =
        dest->state != AGENT_QEMU_UP || agent_qemu_waits(dest) || (move->stock && !move->cont_sent);
    bool nobody_has = (source == NULL || source->state == AGENT_QEMU_GONE) &&
                      agent_qemu_waits(dest); /* after settle has waited for a late start */

    return never_ran && (source_has || nobody_has);
}

void stage_start_undo(struct move *move)
{
    struct agent_act *act = move->act;
    struct agent_qemu *dest = move->dest;
    int64_t now_ns = agent_loop_now_ns(act->loop);

    if (dest == NULL || dest->state == AGENT_QEMU_GONE) {
        move_undone(move);
        return;
    }
    if (dest->state == AGENT_QEMU_UP && agent_qemu_owns(dest) &&
        !(move->stock && !move->cont_sent)) {
        move->undoing = false; /* it went through after all */
        move->stage = MOVE_SETTLE;
        move->serial++;
        stage_settle(move);
        return;
    }
    if (!may_remove(move)) {
        if (move->source != NULL && now_ns - move->asked_ns > ASK_AGAIN_NS / 4) {
            move->asked_ns = now_ns;
            agent_qemu_look(move->source);
        }
        if (now_ns - move->stage_ns > STUCK_NS) {
            move_unknown(
                move, "the source does not say that it has the guest",
                "look at both QEMUs, then: vmm-agent resolve VM source|destination|absent");
        }
        return;
    }
    if (now_ns - move->asked_ns < ASK_AGAIN_NS) {
        agent_qemu_prove_gone(dest);
        return;
    }
    move->asked_ns = now_ns;
    if (!act->inventory->hosts[move->to].local && dest->state != AGENT_QEMU_UP) {
        fence_remote(move);
    } else if (dest->state == AGENT_QEMU_UP && now_ns - move->stage_ns < QUIT_AFTER_NS) {
        move_ask_any(move, dest, "quit", NULL, NULL);
    } else if (dest->pid > 0) {
        act->world->kill(act->world->opaque, dest->pid);
    }
}

static void on_fenced(void *owner, int status)
{
    struct prepared prepared = *(struct prepared *)owner;
    struct move *move = move_find(prepared.act, prepared.move);

    free(owner);
    if (move != NULL && move->dest != NULL && status == 0) {
        agent_qemu_fenced(move->dest, "the host's fence command");
    }
}

/* A host that is not local: its own command proves the end. */
static void fence_remote(struct move *move)
{
    struct agent_act *act = move->act;
    struct agent_words words;
    struct agent_error error = {0};
    struct prepared *prepared = malloc(sizeof(*prepared));
    int status = agent_inventory_words(act->inventory, AGENT_WORDS_FENCE, move->vm, move->to,
                                       move->dest_epoch, &words, &error);

    if (status == 0 && prepared != NULL) {
        *prepared = (struct prepared){act, move->id, move->serial};
        struct agent_spawn spawn = {&words, {.epoch = 0}, "/dev/null"};
        status =
            act->world->start(act->world->opaque, act->loop, &spawn, on_fenced, prepared, &error);
        agent_words_done(&words);
    }
    if (status < 0 || prepared == NULL) {
        free(prepared);
        move_unknown(move, "the destination does not answer and its host cannot be fenced",
                     "make sure that it does not run there, then: vmm-agent resolve VM source");
    }
}

/* ---- match: both ends are alike enough ---------------------------------------------------- */

static void on_dest_features(struct move *move, const struct agent_qmp_result *result)
{
    size_t index;
    json_t *word;

    json_array_foreach(result->status == 0 ? move->kept : NULL, index, word)
    {
        const json_t *other = json_array_get(result->value, index);
        json_int_t needed = json_integer_value(json_object_get(word, "features"));
        json_int_t there = json_integer_value(json_object_get(other, "features"));
        if ((needed & ~there) != 0) {
            move_fail(
                move, false,
                "CPU model: the destination lacks features %#llx of CPUID %#llx %s that the "
                "guest has",
                (unsigned long long)(needed & ~there),
                (unsigned long long)json_integer_value(json_object_get(word, "cpuid-input-eax")),
                json_string_value(json_object_get(word, "cpuid-register")));
            return;
        }
    }
    json_decref(move->kept);
    move->kept = NULL;
    move_next(move);
}

static json_t *qom(const char *path, const char *property)
{
    return json_pack("{s:s, s:s}", "path", path, "property", property);
}

#define CPU_PATH                                                                                   \
    "/machine/unattached/device[0]" /* of the first CPU on x86; elsewhere it is skipped */

static void on_source_features(struct move *move, const struct agent_qmp_result *result)
{
    json_decref(move->kept);
    move->kept = NULL;
    if (result->status < 0 || !json_is_array(result->value)) {
        move_next(move); /* no CPUID words here: QEMU compares what it can while loading */
        return;
    }
    move->kept = json_incref((json_t *)(uintptr_t)result->value);
    move_ask_any(move, move->dest, "qom-get", qom(CPU_PATH, "feature-words"), on_dest_features);
}

static void on_dest_memory(struct move *move, const struct agent_qmp_result *result)
{
    const json_t *one = json_object_get(move->kept, "base-memory");
    const json_t *other = json_object_get(result->value, "base-memory");

    if (json_integer_value(one) != json_integer_value(other)) {
        move_fail(move, false, "memory: the guest has %lld MiB, the destination %lld",
                  (long long)json_integer_value(one) >> 20,
                  (long long)json_integer_value(other) >> 20);
        return;
    }
    move_ask_any(move, move->source, "qom-get", qom(CPU_PATH, "feature-words"), on_source_features);
}

static void on_source_memory(struct move *move, const struct agent_qmp_result *result)
{
    json_decref(move->kept);
    move->kept = json_incref((json_t *)(uintptr_t)result->value);
    move_ask(move, move->dest, "query-memory-size-summary", NULL, on_dest_memory);
}

static void on_dest_machine(struct move *move, const struct agent_qmp_result *result)
{
    const char *one = json_string_value(move->kept);
    const char *other = json_string_value(result->value);

    if (one == NULL || other == NULL || strcmp(one, other) != 0) {
        move_fail(move, false, "machine type: the guest has %.40s, the destination %.40s",
                  one != NULL ? one : "none", other != NULL ? other : "none");
        return;
    }
    move_ask(move, move->source, "query-memory-size-summary", NULL, on_source_memory);
}

static void on_source_machine(struct move *move, const struct agent_qmp_result *result)
{
    json_decref(move->kept);
    move->kept = json_incref((json_t *)(uintptr_t)result->value);
    move_ask(move, move->dest, "qom-get", qom("/machine", "type"), on_dest_machine);
}

void stage_match(struct move *move)
{
    const struct agent_qemu *source = move->source;
    const struct agent_qemu *dest = move->dest;
    int one = source->version_major * 1000 + source->version_minor;
    int other = dest->version_major * 1000 + dest->version_minor;

    if (other < one) {
        move_fail(
            move, false, "version: the guest runs under QEMU %d.%d, the destination has %d.%d",
            source->version_major, source->version_minor, dest->version_major, dest->version_minor);
        return;
    }
    if (!move->stock && !dest->apn) {
        move->no_apn =
            true; /* the next try goes over tcp, with a destination that waits for `cont` */
        move_fail(move, true, "the destination's QEMU does not know apn: falling back to tcp");
        return;
    }
    move_ask(move, move->source, "qom-get", qom("/machine", "type"), on_source_machine);
}
