/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stage_listen.c - the destination is told to listen, both ends how to move
 * Owner, thread, time, units: move.h. */
#include <errno.h>
#include <string.h>

#include "act/private.h"

#define PORT_TRIES      8
#define SECRET_ID       "vmm-agent"
#define STOCK_BANDWIDTH (INT64_C(1) << 40)

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

void move_uri(const struct move *move, char *out, size_t size)
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
    move_uri(move, uri, sizeof(uri));
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
