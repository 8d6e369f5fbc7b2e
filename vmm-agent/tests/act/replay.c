/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replay.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/json.h"

#define LINES_MAX   4096
#define ORDER_MAX   20000
#define TICK_NS     (20 * AGENT_NS_PER_MS)
#define START_NS    (300 * AGENT_NS_PER_MS) /* until a started QEMU has its monitor */
#define BUFFER      16384
#define FIRST_PID   2000000 /* above any real one on the machines this runs on */
#define SHARE_MOVED 0.53    /* of RAM, in the recording: 107.7 MB of 201 MB */

struct line {
    int64_t ns;
    bool source; /* role */
    bool in;
    json_t *message;
    char command[64]; /* in with id: what it answers; with the property of qom-get */
};

enum phase { COMING, BEFORE, SENDING, SENT, WAITING, RECEIVING, OWNS, DEAD };

struct instance {
    struct replay *replay;
    struct instance *next;
    int vm, host;
    long long epoch;
    pid_t pid;
    enum phase phase;
    int listener, client;
    struct agent_watch *listen_watch, *client_watch;
    struct agent_timer timer;
    char path[AGENT_SOCKET_PATH_MAX];
    char in[BUFFER];
    size_t in_used;
    double moved, total; /* bytes of the transfer this one sends */
    size_t event_at;     /* next recorded line to look at for events */
    struct instance *peer;
    bool fails;
    bool arrived; /* by a move: its story before is the dest's */
};

struct replay {
    struct agent_loop *loop;
    const struct agent_inventory *inventory;
    struct agent_world world;
    struct line *lines;
    size_t line_count;
    int64_t length_ns; /* of the recorded transfer */
    struct instance *instances;
    struct agent_timer tick;
    int64_t ticked_ns;
    pid_t next_pid;
    bool fail_next[AGENT_HOSTS_MAX];
    struct replay_figures figures;
    int order[ORDER_MAX];
    int order_count;
};

/* ---- the recording ------------------------------------------------------------------------ */

static void key_of(const json_t *message, char *out, size_t size)
{
    const char *command = json_string_value(json_object_get(message, "execute"));
    const char *property =
        json_string_value(json_object_get(json_object_get(message, "arguments"), "property"));

    snprintf(out, size, "%s%s%s", command != NULL ? command : "", property != NULL ? "/" : "",
             property != NULL ? property : "");
}

/* Gives every answer the command it belongs to, by role and id. */
static void name_answers(struct replay *replay)
{
    for (size_t at = 0; at < replay->line_count; at++) {
        struct line *answer = &replay->lines[at];
        json_t *id = json_object_get(answer->message, "id");
        for (size_t before = at; answer->in && id != NULL && before-- > 0;) {
            const struct line *asked = &replay->lines[before];
            if (!asked->in && asked->source == answer->source &&
                json_equal(json_object_get(asked->message, "id"), id)) {
                key_of(asked->message, answer->command, sizeof(answer->command));
                break;
            }
        }
    }
}

static int load(struct replay *replay, const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;

    replay->lines = calloc(LINES_MAX, sizeof(*replay->lines));
    if (file == NULL || replay->lines == NULL) {
        return -errno;
    }
    while (getline(&text, &room, file) > 0 && replay->line_count < LINES_MAX) {
        json_t *root = json_loads(text, 0, NULL);
        if (json_object_get(root, "recorded") == NULL) {
            struct line *line = &replay->lines[replay->line_count++];
            line->ns = (int64_t)json_integer_value(json_object_get(root, "ns"));
            line->source = strcmp(json_string_value(json_object_get(root, "role")), "source") == 0;
            line->in = json_object_get(root, "in") != NULL;
            line->message = json_incref(json_object_get(root, line->in ? "in" : "out"));
            const char *status = json_string_value(
                json_object_get(json_object_get(line->message, "data"), "status"));
            if (line->source && status != NULL && strcmp(status, "completed") == 0) {
                replay->length_ns = line->ns;
            }
        }
        json_decref(root);
    }
    free(text);
    fclose(file);
    name_answers(replay);
    return replay->length_ns > 0 ? 0 : -EBADMSG;
}

/* ---- what an instance says ---------------------------------------------------------------- */

static void release(struct instance *instance)
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

static void die(struct instance *instance)
{
    release(instance);
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

static void event(struct instance *instance, const char *name, const char *status)
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
        event(instance, "MIGRATION", "failed");
        return;
    }
    instance->peer->peer = instance;
    instance->phase = SENDING;
    instance->moved = 0;
    instance->event_at = 0;
    instance->total = replay->inventory->groups[vm->group].ram_mib * 1048576 * SHARE_MOVED;
    instance->fails = replay->fail_next[instance->peer->host];
    replay->fail_next[instance->peer->host] = false;
    if (replay->order_count < ORDER_MAX) {
        replay->order[replay->order_count++] = instance->vm;
    }
    if (replay->figures.first_ns == 0) {
        replay->figures.first_ns = agent_loop_now_ns(replay->loop);
    }
    event(instance, "MIGRATION", "setup");
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
        event(instance, "MIGRATION", "setup");
    } else if (strcmp(command, "migrate") == 0 && uri != NULL) {
        begin_transfer(instance, uri);
    } else if (strcmp(command, "migrate_cancel") == 0 && instance->phase == SENDING) {
        instance->phase = OWNS;
        event(instance, "MIGRATION", "cancelled");
    }
}

static void answer(struct instance *instance, json_t *message)
{
    char key[64];
    json_t *id = json_object_get(message, "id");
    const char *command = json_string_value(json_object_get(message, "execute"));

    key_of(message, key, sizeof(key));
    if (strcmp(key, "quit") == 0) {
        die(instance);
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

static void open_socket(void *opaque)
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

static struct instance *add(struct replay *replay, int vm, int host, long long epoch)
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
    agent_timer_init(&instance->timer, replay->loop, open_socket, instance);
    instance->next = replay->instances;
    replay->instances = instance;
    return instance;
}

/* ---- transfers ---------------------------------------------------------------------------- */

static bool owns(const struct instance *instance)
{
    return instance->phase == BEFORE || instance->phase == SENDING || instance->phase == OWNS;
}

static void complete(struct instance *instance)
{
    struct instance *dest = instance->peer;
    struct replay *replay = instance->replay;

    event(instance, "STOP", NULL);
    event(instance, "MIGRATION", "device");
    instance->phase = SENT;
    instance->peer = NULL;
    dest->peer = NULL;
    dest->phase = OWNS;
    dest->arrived = true;
    event(dest, "RESUME", NULL);
    event(dest, "MIGRATION", "completed");
    event(instance, "MIGRATION", "completed");
    replay->figures.completed++;
    replay->figures.last_ns = agent_loop_now_ns(replay->loop);
    int copies = 0;
    for (const struct instance *at = replay->instances; at != NULL; at = at->next) {
        copies += at->vm == dest->vm && owns(at) ? 1 : 0;
    }
    replay->figures.doubled += copies > 1 ? 1 : 0;
}

static void advance(struct instance *instance, double bytes)
{
    instance->moved += bytes;
    if (instance->peer == NULL || (instance->fails && instance->moved > instance->total / 2)) {
        instance->phase = OWNS;
        if (instance->peer != NULL) {
            die(instance->peer);
        }
        event(instance, "MIGRATION", "failed");
    } else if (instance->moved >= instance->total) {
        complete(instance);
    }
}

static int link_of(const struct replay *replay, const struct instance *instance)
{
    const struct agent_inventory *inventory = replay->inventory;

    return instance->peer == NULL
               ? -1
               : agent_inventory_link_of(inventory, inventory->hosts[instance->host].site,
                                         inventory->hosts[instance->peer->host].site);
}

static void on_tick(void *opaque)
{
    struct replay *replay = opaque;
    int64_t now_ns = agent_loop_now_ns(replay->loop);
    double passed_s = (double)(now_ns - replay->ticked_ns) / (double)AGENT_NS_PER_S;
    int active[AGENT_LINKS_MAX] = {0};
    int all = 0;

    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        int link = at->phase == SENDING ? link_of(replay, at) : -1;
        active[link >= 0 ? link : 0] += link >= 0 ? 1 : 0;
        all += at->phase == SENDING ? 1 : 0;
    }
    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        int link = at->phase == SENDING ? link_of(replay, at) : -1;
        if (at->phase == SENDING) {
            double rate = link < 0 ? 0 : replay->inventory->links[link].rate_gbit_s * 125e6;
            advance(at, link < 0 ? 0 : rate * passed_s / active[link]);
        }
    }
    replay->figures.busy_ns += all > 0 ? now_ns - replay->ticked_ns : 0;
    replay->figures.most_at_once =
        all > replay->figures.most_at_once ? all : replay->figures.most_at_once;
    replay->ticked_ns = now_ns;
    agent_timer_after(&replay->tick, TICK_NS);
}

/* ---- the world ---------------------------------------------------------------------------- */

static int world_start(void *opaque, struct agent_loop *loop, const struct agent_spawn *spawn,
                       void (*ended)(void *owner, int status), void *owner,
                       struct agent_error *error)
{
    struct replay *replay = opaque;
    int vm = agent_inventory_vm_of(replay->inventory, spawn->mark.vm);
    int host = 0;

    (void)loop;
    (void)error;
    (void)ended;
    (void)owner;
    while (strcmp(replay->inventory->hosts[host].directory, spawn->mark.directory) != 0) {
        host++;
    }
    struct instance *instance = add(replay, vm, host, spawn->mark.epoch);
    bool waits = false;
    for (size_t at = 0; at < spawn->words->count; at++) {
        waits = waits || strcmp(spawn->words->words[at], "-incoming") == 0;
    }
    instance->phase = waits ? COMING : OWNS;
    agent_timer_after(&instance->timer, START_NS);
    return instance->pid;
}

static int world_scan(void *opaque,
                      void (*fn)(void *owner, const struct agent_mark *mark, pid_t pid),
                      void *owner)
{
    struct replay *replay = opaque;

    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->phase != DEAD) {
            struct agent_mark mark = {replay->inventory->vms[at->vm].name, at->epoch,
                                      replay->inventory->hosts[at->host].directory};
            fn(owner, &mark, at->pid);
        }
    }
    return 0;
}

static struct instance *by_pid(struct replay *replay, pid_t pid)
{
    struct instance *at = replay->instances;

    while (at != NULL && at->pid != pid) {
        at = at->next;
    }
    return at;
}

static int world_find(void *opaque, const struct agent_mark *mark, pid_t *pids)
{
    struct replay *replay = opaque;
    int found = 0;

    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->phase != DEAD && at->epoch == mark->epoch &&
            strcmp(replay->inventory->vms[at->vm].name, mark->vm) == 0) {
            pids[found++] = at->pid;
        }
    }
    return found;
}

static int world_kill(void *opaque, pid_t pid)
{
    struct instance *instance = by_pid(opaque, pid);

    if (instance == NULL || instance->phase == DEAD) {
        return -ESRCH;
    }
    die(instance);
    return 0;
}

static bool world_alive(void *opaque, pid_t pid)
{
    const struct instance *instance = by_pid(opaque, pid);

    return instance != NULL && instance->phase != DEAD;
}

static double world_cpu_s(void *opaque, pid_t pid)
{
    const struct replay *replay = opaque;

    (void)pid;
    return (double)agent_loop_now_ns(replay->loop) / (double)AGENT_NS_PER_S * 0.1;
}

static double world_memory_mib(void *opaque)
{
    (void)opaque;
    return -1;
}

/* ---- from outside ------------------------------------------------------------------------- */

struct replay *replay_new(struct agent_loop *loop, const struct agent_inventory *inventory,
                          const char *recording)
{
    struct replay *replay = calloc(1, sizeof(*replay));

    replay->loop = loop;
    replay->inventory = inventory;
    replay->next_pid = FIRST_PID;
    replay->world = (struct agent_world){replay,     world_start, world_find,  world_scan,
                                         world_kill, world_alive, world_cpu_s, world_memory_mib};
    if (load(replay, recording) < 0) {
        fprintf(stderr, "%s: no recording of a whole migration\n", recording);
        replay_free(replay);
        return NULL;
    }
    agent_timer_init(&replay->tick, loop, on_tick, replay);
    replay->ticked_ns = agent_loop_now_ns(loop);
    agent_timer_after(&replay->tick, TICK_NS);
    return replay;
}

void replay_free(struct replay *replay)
{
    while (replay->instances != NULL) {
        struct instance *next = replay->instances->next;
        release(replay->instances);
        unlink(replay->instances->path);
        free(replay->instances);
        replay->instances = next;
    }
    agent_timer_unset(&replay->tick);
    for (size_t at = 0; at < replay->line_count; at++) {
        json_decref(replay->lines[at].message);
    }
    free(replay->lines);
    free(replay);
}

const struct agent_world *replay_world(struct replay *replay)
{
    return &replay->world;
}

void replay_running(struct replay *replay, int vm)
{
    struct instance *instance = add(replay, vm, replay->inventory->vms[vm].host, 1);

    instance->phase = BEFORE;
    open_socket(instance);
}

void replay_kill(struct replay *replay, int vm, long long epoch)
{
    for (struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->vm == vm && at->epoch == epoch && at->phase != DEAD) {
            die(at);
        }
    }
}

void replay_fail_next(struct replay *replay, int host)
{
    replay->fail_next[host] = true;
}

struct replay_figures replay_figures(const struct replay *replay)
{
    return replay->figures;
}

int replay_order(const struct replay *replay, int at)
{
    return at < replay->order_count ? replay->order[at] : -1;
}

int replay_site_of(const struct replay *replay, int vm)
{
    for (const struct instance *at = replay->instances; at != NULL; at = at->next) {
        if (at->vm == vm && owns(at)) {
            return replay->inventory->hosts[at->host].site;
        }
    }
    return -1;
}
