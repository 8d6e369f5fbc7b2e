/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qemu.c - connecting, looking, and proving that one has gone
 * Owner, thread, time, units: qemu.h. */
#include "act/qemu.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREETING_NS (3 * AGENT_NS_PER_S)
#define ANSWER_NS   (3 * AGENT_NS_PER_S)
#define CONNECT_NS  (20 * AGENT_NS_PER_MS)
#define LOOK_MIN_NS (25 * AGENT_NS_PER_MS)

static void try_connect(struct agent_qemu *qemu);

const char *agent_qemu_state_name(enum agent_qemu_state state)
{
    static const char *const names[] = {"coming", "up", "silent", "gone"};

    return names[state];
}

static void tell(struct agent_qemu *qemu, enum agent_qemu_news news,
                 const struct agent_qemu_event *event)
{
    if (qemu->news != NULL) {
        qemu->news(qemu->opaque, qemu, news, event);
    }
}

static void become(struct agent_qemu *qemu, enum agent_qemu_state state)
{
    if (qemu->state != state) {
        qemu->state = state;
        tell(qemu, AGENT_QEMU_NEWS_STATE, NULL);
    }
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(word, *list) == 0) {
            return true;
        }
    }
    return false;
}

bool agent_qemu_owns(const struct agent_qemu *qemu)
{
    static const char *const states[] = {
        "running", "paused",         "suspended", "io-error", "watchdog",   "guest-panicked",
        "debug",   "internal-error", "shutdown",  "save-vm",  "restore-vm", NULL};

    return qemu->state == AGENT_QEMU_UP && is_one_of(qemu->status, states) &&
           !(strcmp(qemu->status, "paused") == 0 && agent_qemu_unsure(qemu));
}

bool agent_qemu_waits(const struct agent_qemu *qemu)
{
    return qemu->state == AGENT_QEMU_UP &&
           (strcmp(qemu->status, "inmigrate") == 0 || strcmp(qemu->status, "prelaunch") == 0);
}

bool agent_qemu_unsure(const struct agent_qemu *qemu)
{
    return qemu->state == AGENT_QEMU_UP && strcmp(qemu->migration, "failed") == 0 &&
           strcmp(qemu->verdict, "unknown") == 0;
}

bool agent_qemu_left(const struct agent_qemu *qemu)
{
    return qemu->state == AGENT_QEMU_UP && strcmp(qemu->status, "postmigrate") == 0 &&
           strcmp(qemu->migration, "completed") == 0;
}

/* ---- gone or silent ----------------------------------------------------------------------- */

static void end_connection(struct agent_qemu *qemu)
{
    struct agent_qmp *qmp = qemu->qmp;

    qemu->qmp = NULL;
    qemu->asking = 0;
    qemu->unanswered = 0;
    agent_qmp_close(qmp);
}

static void gone(struct agent_qemu *qemu, const char *why)
{
    if (qemu->state == AGENT_QEMU_GONE) {
        return;
    }
    end_connection(qemu);
    agent_timer_unset(&qemu->timer);
    snprintf(qemu->problem, sizeof(qemu->problem), "%s", why);
    unlink(qemu->path); /* a socket nobody listens on */
    become(qemu, AGENT_QEMU_GONE);
}

/* A local machine has gone when neither the process that listened nor any with its mark lives. */
bool agent_qemu_prove_gone(struct agent_qemu *qemu)
{
    const struct agent_mark mark = {qemu->inventory->vms[qemu->vm].name, qemu->epoch,
                                    qemu->inventory->hosts[qemu->host].directory};
    pid_t pids[AGENT_FOUND_MAX];

    if (qemu->state == AGENT_QEMU_GONE) {
        return true;
    }
    if (!qemu->inventory->hosts[qemu->host].local) {
        return false;
    }
    if (qemu->pid > 0 && qemu->world->alive(qemu->world->opaque, qemu->pid)) {
        return false;
    }
    int found = qemu->world->find(qemu->world->opaque, &mark, pids);
    for (int at = 0; at < found; at++) {
        if (qemu->world->alive(qemu->world->opaque, pids[at])) {
            qemu->pid = pids[at];
            return false;
        }
    }
    if (found < 0 || found >= AGENT_FOUND_MAX) {
        return false; /* what cannot be counted is no proof */
    }
    gone(qemu, qemu->pid > 0 ? "its process has ended" : "no process of it exists");
    return true;
}

void agent_qemu_fenced(struct agent_qemu *qemu, const char *by)
{
    char why[128];

    snprintf(why, sizeof(why), "fenced by %s", by);
    gone(qemu, why);
}

static void silent(struct agent_qemu *qemu, const char *why)
{
    snprintf(qemu->problem, sizeof(qemu->problem), "%s", why);
    end_connection(qemu);
    agent_timer_after(&qemu->timer, AGENT_QEMU_RETRY_NS);
    become(qemu, AGENT_QEMU_SILENT);
}

/* ---- looking ------------------------------------------------------------------------------ */

static void copy_text(char *out, size_t size, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    snprintf(out, size, "%s", text != NULL ? text : "");
}

/* All answers of a look are in: the facts are of one moment, or nearly. */
static void answered(struct agent_qemu *qemu, const struct agent_qmp_result *result)
{
    if (result->status == -ECANCELED || result->status == -ECONNRESET) {
        return; /* the connection's end tells its own story */
    }
    qemu->unanswered = result->status == -ETIMEDOUT ? qemu->unanswered + 1 : 0;
    if (qemu->asking > 0 && --qemu->asking > 0) {
        return;
    }
    agent_timer_after(&qemu->timer,
                      AGENT_QEMU_LOOK_NS); /* before telling: who hears may want it sooner */
    if (qemu->unanswered >= AGENT_QEMU_SILENT_MAX) {
        qemu->unanswered = 0;
        snprintf(qemu->problem, sizeof(qemu->problem), "it does not answer its monitor");
        become(qemu, AGENT_QEMU_SILENT); /* still connected: an answer brings it back */
    } else if (qemu->unanswered == 0) {
        qemu->problem[0] = '\0';
        qemu->looked_ns = qemu->look_began_ns;
        if (qemu->state != AGENT_QEMU_UP) {
            become(qemu, AGENT_QEMU_UP);
        }
        tell(qemu, AGENT_QEMU_NEWS_FACTS, NULL);
    }
}

static void on_migration(void *opaque, const struct agent_qmp_result *result)
{
    struct agent_qemu *qemu = opaque;

    if (result->status == 0) {
        const json_t *apn = json_object_get(result->value, "apn");
        copy_text(qemu->migration, sizeof(qemu->migration), result->value, "status");
        copy_text(qemu->verdict, sizeof(qemu->verdict), apn, "verdict");
        copy_text(qemu->migration_error, sizeof(qemu->migration_error), result->value,
                  "error-desc");
    }
    answered(qemu, result);
}

static void on_status(void *opaque, const struct agent_qmp_result *result)
{
    struct agent_qemu *qemu = opaque;

    if (result->status == 0) {
        copy_text(qemu->status, sizeof(qemu->status), result->value, "status");
    }
    answered(qemu, result);
}

void agent_qemu_look(struct agent_qemu *qemu)
{
    int64_t now_ns = agent_loop_now_ns(qemu->loop);
    int64_t next_ns = qemu->look_began_ns + LOOK_MIN_NS;

    if (qemu->qmp == NULL || qemu->asking > 0) {
        return;
    }
    if (qemu->look_began_ns > 0 && now_ns < next_ns) { /* who looks at every answer must not spin */
        if (!agent_timer_is_set(&qemu->timer) || qemu->timer.at_ns > next_ns) {
            agent_timer_set(&qemu->timer, next_ns);
        }
        return;
    }
    qemu->asking = 2;
    qemu->look_began_ns = now_ns;
    agent_timer_after(&qemu->timer, 2 * ANSWER_NS); /* if nothing could be sent, look again */
    int status = agent_qmp_command(qemu->qmp, "query-migrate", NULL, ANSWER_NS, on_migration, qemu);
    status = status < 0
                 ? status
                 : agent_qmp_command(qemu->qmp, "query-status", NULL, ANSWER_NS, on_status, qemu);
    if (status < 0) {
        qemu->asking = 0;
        qemu->unanswered++;
        agent_timer_after(&qemu->timer, AGENT_QEMU_RETRY_NS);
    }
}

static void on_parameters(void *opaque, const struct agent_qmp_result *result)
{
    struct agent_qemu *qemu = opaque;

    if (result->status == 0) {
        qemu->apn = json_object_get(result->value, "apn-lanes") != NULL;
    }
    if (result->status == 0 || result->status == -EREMOTEIO) {
        agent_qemu_look(qemu);
    } else if (result->status == -ETIMEDOUT) {
        silent(qemu, "it does not answer its monitor");
    }
}

/* A socket's name can be wrong, QEMU's own name is what was given to it. */
static void on_name(void *opaque, const struct agent_qmp_result *result)
{
    struct agent_qemu *qemu = opaque;
    const char *name = json_string_value(json_object_get(result->value, "name"));
    const char *expected = qemu->inventory->vms[qemu->vm].name;

    if (result->status == 0 && name != NULL && strcmp(name, expected) != 0) {
        snprintf(qemu->problem, sizeof(qemu->problem),
                 "the QEMU behind its socket is named '%.60s'", name);
        end_connection(qemu);
        become(qemu, AGENT_QEMU_SILENT);
    }
}

static void on_ready(void *opaque, const json_t *greeting)
{
    struct agent_qemu *qemu = opaque;
    const json_t *version = json_object_get(greeting, "qemu");

    qemu->version_major = (int)json_integer_value(json_object_get(version, "major"));
    qemu->version_minor = (int)json_integer_value(json_object_get(version, "minor"));
    if (agent_qmp_peer(qemu->qmp) > 0 && agent_qmp_peer(qemu->qmp) != getpid()) {
        qemu->pid = agent_qmp_peer(qemu->qmp);
    }
    agent_qmp_command(
        qemu->qmp, "migrate-set-capabilities",
        json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "events", "state", 1),
        ANSWER_NS, NULL, NULL);
    agent_qmp_command(qemu->qmp, "query-name", NULL, ANSWER_NS, on_name, qemu);
    if (agent_qmp_command(qemu->qmp, "query-migrate-parameters", NULL, ANSWER_NS, on_parameters,
                          qemu) < 0) {
        silent(qemu, "its monitor takes no commands");
    }
}

static void on_event(void *opaque, const char *name, const json_t *data, double at_s)
{
    struct agent_qemu *qemu = opaque;
    struct agent_qemu_event event = {name, data, at_s};

    if (strcmp(name, "STOP") == 0) {
        qemu->stop_at_s = at_s;
    } else if (strcmp(name, "RESUME") == 0) {
        qemu->resume_at_s = at_s;
    } else if (strcmp(name, "SHUTDOWN") == 0) {
        qemu->shut_down = true;
        copy_text(qemu->shut_down_by, sizeof(qemu->shut_down_by), data, "reason");
    } else if (strcmp(name, "MIGRATION") == 0) {
        copy_text(qemu->migration, sizeof(qemu->migration), data, "status");
    }
    tell(qemu, AGENT_QEMU_NEWS_EVENT, &event);
    if (strcmp(name, "MIGRATION") == 0 || strcmp(name, "STOP") == 0 ||
        strcmp(name, "RESUME") == 0 || strcmp(name, "SUSPEND") == 0 ||
        strcmp(name, "WAKEUP") == 0) {
        agent_qemu_look(qemu);
    }
}

static void on_closed(void *opaque, const struct agent_error *why)
{
    struct agent_qemu *qemu = opaque;

    if (!agent_qemu_prove_gone(qemu)) {
        silent(qemu, why->text);
    }
}

/* ---- connecting --------------------------------------------------------------------------- */

static void not_connected(struct agent_qemu *qemu, int status, const struct agent_error *why)
{
    int64_t now_ns = agent_loop_now_ns(qemu->loop);
    bool nobody = status == -ENOENT || status == -ECONNREFUSED;

    bool may_be_gone = qemu->state != AGENT_QEMU_COMING || now_ns >= qemu->give_up_ns ||
                       qemu->pid > 0; /* what was started may have ended at once */
    if (nobody && may_be_gone && agent_qemu_prove_gone(qemu)) {
        return;
    }
    if (qemu->state == AGENT_QEMU_COMING && now_ns >= qemu->give_up_ns) {
        silent(qemu, why->text);
        return;
    }
    agent_timer_after(&qemu->timer,
                      qemu->state == AGENT_QEMU_COMING ? CONNECT_NS : AGENT_QEMU_RETRY_NS);
}

static void try_connect(struct agent_qemu *qemu)
{
    const struct agent_qmp_owner owner = {on_ready, on_event, on_closed, qemu};
    struct agent_error why = {0};
    int status = agent_qmp_open(qemu->loop, qemu->path, GREETING_NS, &owner, &qemu->qmp, &why);

    if (status < 0) {
        qemu->qmp = NULL;
        not_connected(qemu, status, &why);
    }
}

static void on_timer(void *opaque)
{
    struct agent_qemu *qemu = opaque;

    if (qemu->state == AGENT_QEMU_GONE) {
        return;
    }
    if (qemu->qmp == NULL) {
        try_connect(qemu);
    } else {
        qemu->asking = 0;
        agent_qemu_look(qemu);
    }
}

struct agent_qemu *agent_qemu_new(struct agent_loop *loop, const struct agent_world *world,
                                  const struct agent_inventory *inventory,
                                  struct agent_qemu_where where, int64_t give_up_ns)
{
    struct agent_qemu *qemu = calloc(1, sizeof(*qemu));

    if (qemu == NULL || agent_inventory_socket(inventory, where.vm, where.host, where.epoch,
                                               qemu->path, sizeof(qemu->path)) < 0) {
        free(qemu);
        return NULL;
    }
    qemu->loop = loop;
    qemu->world = world;
    qemu->inventory = inventory;
    qemu->vm = where.vm;
    qemu->host = where.host;
    qemu->epoch = where.epoch;
    qemu->give_up_ns = give_up_ns;
    qemu->cpu_s = -1;
    agent_timer_init(&qemu->timer, loop, on_timer, qemu);
    agent_timer_after(&qemu->timer, 0);
    return qemu;
}

void agent_qemu_free(struct agent_qemu *qemu)
{
    if (qemu != NULL) {
        qemu->news = NULL;
        agent_timer_unset(&qemu->timer);
        end_connection(qemu);
        agent_timer_unset(&qemu->timer);
        free(qemu);
    }
}

int agent_qemu_ask(struct agent_qemu *qemu, const char *command, json_t *arguments,
                   int64_t timeout_ns, agent_qmp_done done, void *opaque)
{
    if (qemu == NULL || qemu->qmp == NULL) {
        json_decref(arguments);
        return -ENOTCONN;
    }
    return agent_qmp_command(qemu->qmp, command, arguments, timeout_ns, done, opaque);
}
