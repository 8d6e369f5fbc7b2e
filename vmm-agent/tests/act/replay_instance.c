/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay_instance.c - see replay_instance.h */
#include "replay_instance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SHARE_MOVED 0.53 /* of RAM, in the recording: 107.7 MB of 201 MB */

/* ---- what an instance says ---------------------------------------------------------------- */

void replay_instance_release(struct instance *instance)
{
    agent_loop_unwatch(instance->client_watch);
    agent_loop_unwatch(instance->listen_watch);
    instance->client_watch = NULL;
    instance->listen_watch = NULL;
    agent_timer_unset(&instance->timer);
    if (instance->client >= 0) {
        close(instance->client);
    }
    if (instance->listener >= 0) {
        close(instance->listener);
    }
    instance->client = -1;
    instance->listener = -1;
}

void replay_instance_die(struct instance *instance)
{
    replay_instance_release(instance);
    instance->phase = DEAD;
    if (instance->peer != NULL) {
        instance->peer->peer = NULL;
        instance->peer = NULL;
    }
}

static void say(struct instance *instance, const json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    size_t size = text != NULL ? strlen(text) : 0;

    if (text != NULL && instance->client >= 0) {
        text[size] = '\n';
        ssize_t sent = send(instance->client, text, size + 1, MSG_NOSIGNAL);
        (void)sent;
    }
    free(text);
}

/* Recorded time that this instance is at: before the move, within it, or after. */
static int64_t recorded_ns(const struct instance *instance)
{
    const struct instance *sender = instance->phase == RECEIVING ? instance->peer : instance;

    switch (instance->phase) {
    case SENDING:
    case RECEIVING:
        return sender == NULL ? 0
                              : (int64_t)(sender->moved / sender->total *
                                          (double)(instance->replay->length_ns - 1));
    case SENT:
        return INT64_MAX;
    case OWNS:
        return instance->arrived ? INT64_MAX : -1;
    default:
        return -1;
    }
}

static bool acts_as_source(const struct instance *instance)
{
    return instance->phase == BEFORE || instance->phase == SENDING || instance->phase == SENT ||
           (instance->phase == OWNS && !instance->arrived);
}

static const json_t *answer_for(const struct instance *instance, const char *key)
{
    const struct replay *replay = instance->replay;
    int64_t until_ns = recorded_ns(instance);
    bool source = acts_as_source(instance);
    const json_t *found = NULL;

    for (int pass = 0; pass < 2 && found == NULL; pass++) {
        for (size_t at = 0; at < replay->line_count; at++) {
            const struct line *line = &replay->lines[at];
            bool fits = line->in && (pass == 1 || line->source == source) &&
                        strcmp(line->command, key) == 0;
            if (fits && (line->ns <= until_ns || found == NULL)) {
                found = line->message; /* the last one up to now, else the first there is */
            }
        }
    }
    return found;
}

static void refuse(struct instance *instance, json_t *id, const char *class, const char *text)
{
    json_t *answer =
        json_pack("{s:{s:s, s:s}, s:O?}", "error", "class", class, "desc", text, "id", id);

    say(instance, answer);
    json_decref(answer);
}

void replay_instance_event(struct instance *instance, const char *name, const char *status)
{
    double now_s = agent_clock_now(agent_loop_clock(instance->replay->loop));
    json_t *message =
        json_pack("{s:s, s:{s:I, s:I}}", "event", name, "timestamp", "seconds", (json_int_t)now_s,
                  "microseconds", (json_int_t)((now_s - floor(now_s)) * 1e6));

    if (status != NULL) {
        json_object_set_new(message, "data", json_pack("{s:s}", "status", status));
    }
    say(instance, message);
    json_decref(message);
}

static struct instance *find_instance(const struct replay *replay, const char *uri)
{
    char address[64] = "";
    int port = 0;

    sscanf(uri, "apn:%63[^:]:%d", address, &port);
    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->phase == RECEIVING && at->moved == (double)port &&
            strcmp(replay->inventory->hosts[at->host].address, address) == 0) {
            return at;
        }
    }
    return NULL;
}

static void begin_transfer(struct instance *instance, const char *uri)
{
    struct replay *replay = instance->replay;
    const struct agent_inventory_vm *vm = &replay->inventory->vms[instance->vm];

    instance->peer = find_instance(replay, uri);
    if (instance->peer == NULL) {
        replay_instance_event(instance, "MIGRATION", "failed");
        return;
    }
    instance->peer->peer = instance;
    instance->phase = SENDING;
    instance->moved = 0;
    instance->event_at = 0;
    instance->total = replay->inventory->groups[vm->group].ram_mib * 1048576 * SHARE_MOVED;
    instance->fails = replay->fail_next[instance->peer->host];
    replay->fail_next[instance->peer->host] = false;
    if (replay->order_count < REPLAY_ORDER_MAX) {
        replay->order[replay->order_count++] = instance->vm;
    }
    if (replay->figures.first_ns == 0) {
        replay->figures.first_ns = agent_loop_now_ns(replay->loop);
    }
    replay_instance_event(instance, "MIGRATION", "setup");
}

/* Commands that change something; what they return is recorded like everything else. */
static void act_on(struct instance *instance, const char *command, const json_t *arguments)
{
    const char *uri = json_string_value(json_object_get(arguments, "uri"));

    if (strcmp(command, "migrate-incoming") == 0 && uri != NULL) {
        int port = 0;
        sscanf(uri, "apn:%*[^:]:%d", &port);
        instance->phase = RECEIVING;
        instance->moved = port; /* until a source comes */
        replay_instance_event(instance, "MIGRATION", "setup");
    } else if (strcmp(command, "migrate") == 0 && uri != NULL) {
        begin_transfer(instance, uri);
    } else if (strcmp(command, "migrate_cancel") == 0 && instance->phase == SENDING) {
        instance->phase = OWNS;
        replay_instance_event(instance, "MIGRATION", "cancelled");
    }
}

static void answer(struct instance *instance, json_t *message)
{
    char key[64];
    json_t *id = json_object_get(message, "id");
    const char *command = json_string_value(json_object_get(message, "execute"));

    replay_key_of(message, key, sizeof(key));
    if (strcmp(key, "quit") == 0) {
        replay_instance_die(instance);
        return;
    }
    const json_t *recorded = strcmp(key, "migrate_cancel") == 0 ? answer_for(instance, "migrate")
                                                                : answer_for(instance, key);
    if (recorded == NULL) {
        refuse(instance, id, "CommandNotFound", "this command is not in the recording");
        return;
    }
    json_t *copy = json_deep_copy(recorded);
    json_object_set(copy, "id", id);
    if (strcmp(key, "query-name") == 0) {
        json_object_set_new(
            copy, "return",
            json_pack("{s:s}", "name", instance->replay->inventory->vms[instance->vm].name));
    }
    say(instance, copy);
    json_decref(copy);
    act_on(instance, command, json_object_get(message, "arguments"));
}

/* ---- sockets ------------------------------------------------------------------------------ */

static void on_client(void *opaque, uint32_t events)
{
    struct instance *instance = opaque;
    ssize_t got = recv(instance->client, instance->in + instance->in_used,
                       sizeof(instance->in) - instance->in_used, MSG_DONTWAIT);

    (void)events;
    if (got <= 0) {
        agent_loop_unwatch(instance->client_watch);
        instance->client_watch = NULL;
        close(instance->client);
        instance->client = -1;
        return;
    }
    instance->in_used += (size_t)got;
    char *end;
    while (instance->client >= 0 && (end = memchr(instance->in, '\n', instance->in_used)) != NULL) {
        json_t *message = json_loadb(instance->in, (size_t)(end - instance->in), 0, NULL);
        size_t taken = (size_t)(end - instance->in) + 1;
        instance->in_used -= taken;
        memmove(instance->in, end + 1, instance->in_used);
        answer(instance, message);
        json_decref(message);
    }
}

static void on_listener(void *opaque, uint32_t events)
{
    struct instance *instance = opaque;
    int client = accept4(instance->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (client < 0 || instance->client >= 0) {
        if (client >= 0) {
            close(client);
        }
        return;
    }
    instance->client = client;
    instance->in_used = 0;
    agent_loop_watch(instance->replay->loop, client, EPOLLIN, on_client, instance,
                     &instance->client_watch);
    for (size_t at = 0; at < instance->replay->line_count; at++) {
        const struct line *line = &instance->replay->lines[at];
        if (line->in && json_object_get(line->message, "QMP") != NULL) {
            say(instance, line->message);
            return;
        }
    }
}

void replay_instance_open(void *opaque)
{
    struct instance *instance = opaque;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, instance->path, strlen(instance->path) + 1);
    unlink(instance->path);
    instance->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (instance->listener < 0 ||
        bind(instance->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(instance->listener, 4) < 0) {
        perror(instance->path);
        abort(); /* the test's own surroundings are broken */
    }
    agent_loop_watch(instance->replay->loop, instance->listener, EPOLLIN, on_listener, instance,
                     &instance->listen_watch);
    if (instance->phase == COMING) {
        instance->phase = WAITING;
    }
}

struct instance *replay_instance_add(struct replay *replay, int vm, int host, long long epoch)
{
    struct instance *instance = calloc(1, sizeof(*instance));

    instance->replay = replay;
    instance->vm = vm;
    instance->host = host;
    instance->epoch = epoch;
    instance->pid = replay->next_pid++;
    instance->listener = -1;
    instance->client = -1;
    agent_inventory_socket(replay->inventory, vm, host, epoch, instance->path,
                           sizeof(instance->path));
    agent_timer_init(&instance->timer, replay->loop, replay_instance_open, instance);
    instance->next = replay->instances;
    replay->instances = instance;
    return instance;
}
