/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qmp.c - the connection: bytes out, messages in, who waits for what
 * Owner, thread, time, units: qmp.h.
 *
 * A function of the caller may close the connection. So before such a call everything needed
 * afterwards is on the stack, and qmp->closing is looked at after it: agent_qmp_close() inside a
 * call only marks, the memory goes when the outermost turn ends. */
#include "act/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "act/qmp_message.h"

#define READ_BYTES 16384
#define TURNS_MAX  16 /* reads per call of the loop: one busy QEMU must not starve the others */

struct pending {
    int64_t id; /* -1 = free place */
    int64_t until_ns;
    agent_qmp_done done;
    void *opaque;
    char command[40];
};

struct agent_qmp {
    struct agent_loop *loop;
    struct agent_qmp_owner owner;
    struct agent_watch *watch;
    struct agent_timer timer;
    struct agent_qmp_reader reader;
    int fd;
    pid_t peer;
    bool ready;
    bool over;    /* the owner was told, or is about to be */
    bool closing; /* agent_qmp_close() was called inside a turn */
    int depth;    /* turns under way */
    int64_t next_id;
    int64_t ready_by_ns;
    json_t *greeting;
    char *unsent;
    size_t unsent_used, unsent_room;
    struct pending pending[AGENT_QMP_PENDING_MAX];
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

static FILE *recording; /* one per process, like the log */

static void record(const struct agent_qmp *qmp, const char *way, json_t *message)
{
    if (recording == NULL || ftell(recording) > (long)AGENT_QMP_RECORD_MAX) {
        return;
    }
    json_t *line = json_pack("{s:I, s:s, s:O}", "ns", (json_int_t)agent_loop_now_ns(qmp->loop),
                             "path", qmp->path, way, message);
    if (line != NULL && json_dumpf(line, recording, JSON_COMPACT) == 0) {
        fputc('\n', recording);
        fflush(recording);
    }
    json_decref(line);
}

void agent_qmp_record(FILE *file)
{
    recording = file;
}

static void release(struct agent_qmp *qmp)
{
    agent_timer_unset(&qmp->timer);
    agent_loop_unwatch(qmp->watch);
    if (qmp->fd >= 0) {
        close(qmp->fd);
    }
    agent_qmp_reader_done(&qmp->reader);
    json_decref(qmp->greeting);
    free(qmp->unsent);
    free(qmp);
}

static void enter(struct agent_qmp *qmp)
{
    qmp->depth++;
}

static void leave(struct agent_qmp *qmp)
{
    if (--qmp->depth == 0 && qmp->closing) {
        release(qmp);
    }
}

static void end(struct pending *pending, const struct agent_qmp_result *result)
{
    struct pending copy = *pending;

    pending->id = -1;
    if (copy.done != NULL) {
        copy.done(copy.opaque, result);
    }
}

static void end_all(struct agent_qmp *qmp, const struct agent_qmp_result *result)
{
    for (int at = 0; at < AGENT_QMP_PENDING_MAX; at++) {
        if (qmp->pending[at].id >= 0) {
            end(&qmp->pending[at], result);
        }
    }
}

void agent_qmp_close(struct agent_qmp *qmp)
{
    struct agent_qmp_result result = {-ECANCELED, NULL, "", "the connection was given up"};

    if (qmp == NULL || qmp->closing) {
        return;
    }
    enter(qmp);
    qmp->closing = true;
    qmp->over = true;
    end_all(qmp, &result);
    leave(qmp);
}

/* The connection is over: everybody who waits hears it, then the owner. */
static void fail(struct agent_qmp *qmp, const struct agent_error *why)
{
    struct agent_qmp_result result = {-ECONNRESET, NULL, "", why->text};

    if (qmp->over) {
        return;
    }
    qmp->over = true;
    enter(qmp);
    agent_timer_unset(&qmp->timer);
    agent_loop_unwatch(qmp->watch);
    qmp->watch = NULL;
    close(qmp->fd);
    qmp->fd = -1;
    end_all(qmp, &result);
    if (!qmp->closing && qmp->owner.closed != NULL) {
        qmp->owner.closed(qmp->owner.opaque, why);
    }
    leave(qmp);
}

static void fail_text(struct agent_qmp *qmp, int code, const char *text)
{
    struct agent_error why = {0};

    agent_error_set(&why, code, "qmp %s: %s", qmp->path, text);
    fail(qmp, &why);
}

static void set_timer(struct agent_qmp *qmp)
{
    int64_t at_ns = qmp->ready ? AGENT_LOOP_NEVER_NS : qmp->ready_by_ns;

    for (int at = 0; at < AGENT_QMP_PENDING_MAX; at++) {
        if (qmp->pending[at].id >= 0 && qmp->pending[at].until_ns < at_ns) {
            at_ns = qmp->pending[at].until_ns;
        }
    }
    if (at_ns == AGENT_LOOP_NEVER_NS) {
        agent_timer_unset(&qmp->timer);
    } else if (!agent_timer_is_set(&qmp->timer) || qmp->timer.at_ns != at_ns) {
        agent_timer_set(&qmp->timer, at_ns);
    }
}

static void on_timer(void *opaque)
{
    struct agent_qmp *qmp = opaque;
    int64_t now_ns = agent_loop_now_ns(qmp->loop);

    enter(qmp);
    if (!qmp->ready && now_ns >= qmp->ready_by_ns) {
        fail_text(qmp, ETIMEDOUT, "no greeting in time; does another program hold this monitor?");
    }
    for (int at = 0; at < AGENT_QMP_PENDING_MAX && !qmp->over; at++) {
        struct pending *pending = &qmp->pending[at];
        if (pending->id >= 0 && now_ns >= pending->until_ns) {
            char text[128];
            snprintf(text, sizeof(text), "%s: no answer in time", pending->command);
            struct agent_qmp_result result = {-ETIMEDOUT, NULL, "", text};
            end(pending, &result);
        }
    }
    if (!qmp->over) {
        set_timer(qmp);
    }
    leave(qmp);
}

/* ---- out ---------------------------------------------------------------------------------- */

static void flush(struct agent_qmp *qmp)
{
    while (qmp->unsent_used > 0) {
        ssize_t sent = send(qmp->fd, qmp->unsent, qmp->unsent_used, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        }
        if (sent < 0) {
            break; /* the reading side sees the end and says so, after what QEMU still had to say */
        }
        qmp->unsent_used -= (size_t)sent;
        memmove(qmp->unsent, qmp->unsent + sent, qmp->unsent_used);
    }
    agent_loop_change(qmp->watch, qmp->unsent_used > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int append(struct agent_qmp *qmp, const char *line, size_t size)
{
    if (qmp->unsent_used + size > AGENT_QMP_UNSENT_MAX) {
        return -EAGAIN;
    }
    if (qmp->unsent_used + size > qmp->unsent_room) {
        char *bytes = realloc(qmp->unsent, qmp->unsent_used + size);
        if (bytes == NULL) {
            return -ENOMEM;
        }
        qmp->unsent = bytes;
        qmp->unsent_room = qmp->unsent_used + size;
    }
    memcpy(qmp->unsent + qmp->unsent_used, line, size);
    qmp->unsent_used += size;
    return 0;
}

static int send_command(struct agent_qmp *qmp, const char *command, json_t *arguments, int64_t id)
{
    json_t *root = json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t)id);

    if (root == NULL || (arguments != NULL && json_object_set(root, "arguments", arguments) < 0)) {
        json_decref(root);
        return -ENOMEM;
    }
    char *line = json_dumps(root, JSON_COMPACT);
    record(qmp, "out", root);
    json_decref(root);
    if (line == NULL) {
        return -ENOMEM;
    }
    size_t size = strlen(line);
    line[size] = '\n'; /* over the end: sent by size */
    int status = append(qmp, line, size + 1);
    free(line);
    if (status == 0) {
        flush(qmp);
    }
    return status;
}

static struct pending *free_place(struct agent_qmp *qmp)
{
    for (int at = 0; at < AGENT_QMP_PENDING_MAX; at++) {
        if (qmp->pending[at].id < 0) {
            return &qmp->pending[at];
        }
    }
    return NULL;
}

int agent_qmp_command(struct agent_qmp *qmp, const char *command, json_t *arguments,
                      int64_t timeout_ns, agent_qmp_done done, void *opaque)
{
    struct pending *pending = free_place(qmp);
    int status = qmp->over ? -ENOTCONN : pending == NULL ? -EAGAIN : 0;

    if (status == 0) {
        status = send_command(qmp, command, arguments, qmp->next_id);
    }
    json_decref(arguments);
    if (status < 0) {
        return status;
    }
    *pending = (struct pending){.id = qmp->next_id++,
                                .until_ns = agent_loop_now_ns(qmp->loop) + timeout_ns,
                                .done = done,
                                .opaque = opaque};
    snprintf(pending->command, sizeof(pending->command), "%s", command);
    set_timer(qmp);
    return 0;
}

/* ---- in ----------------------------------------------------------------------------------- */

static void on_capabilities(void *opaque, const struct agent_qmp_result *result)
{
    struct agent_qmp *qmp = opaque;

    if (result->status < 0) {
        fail_text(qmp, EPROTO, result->text);
        return;
    }
    qmp->ready = true;
    set_timer(qmp);
    if (qmp->owner.ready != NULL) {
        qmp->owner.ready(qmp->owner.opaque, qmp->greeting);
    }
}

static void greeted(struct agent_qmp *qmp, const struct agent_qmp_message *message)
{
    if (qmp->greeting != NULL) {
        fail_text(qmp, EPROTO, "greeted twice");
        return;
    }
    qmp->greeting = json_incref((json_t *)(uintptr_t)json_object_get(message->value, "version"));
    int status =
        agent_qmp_command(qmp, "qmp_capabilities", NULL,
                          qmp->ready_by_ns - agent_loop_now_ns(qmp->loop), on_capabilities, qmp);
    if (status < 0) {
        fail_text(qmp, -status, "cannot answer the greeting");
    }
}

static void answered(struct agent_qmp *qmp, const struct agent_qmp_message *message)
{
    bool error = message->kind == AGENT_QMP_ERROR;
    struct agent_qmp_result result = {error ? -EREMOTEIO : 0, error ? NULL : message->value,
                                      error ? message->name : "", error ? message->text : ""};

    if (message->id < 0) {
        fail_text(qmp, EPROTO, message->text); /* it could not parse what we sent */
        return;
    }
    if (message->id >= qmp->next_id) {
        fail_text(qmp, EPROTO, "answers a command that was never sent");
        return;
    }
    for (int at = 0; at < AGENT_QMP_PENDING_MAX; at++) {
        if (qmp->pending[at].id == message->id) {
            end(&qmp->pending[at], &result);
            break; /* else: it came after its time */
        }
    }
    if (!qmp->over) {
        set_timer(qmp);
    }
}

static void take(struct agent_qmp *qmp, const struct agent_qmp_message *message)
{
    if (message->kind == AGENT_QMP_GREETING) {
        greeted(qmp, message);
    } else if (qmp->greeting == NULL) {
        fail_text(qmp, EPROTO, "talks before its greeting");
    } else if (message->kind != AGENT_QMP_EVENT) {
        answered(qmp, message);
    } else if (qmp->owner.event != NULL && qmp->ready) {
        qmp->owner.event(qmp->owner.opaque, message->name, message->value, message->at_s);
    }
}

/* Return: bytes, 0 nothing now, -errno the connection is over (-ECONNRESET: QEMU closed it). */
static int fill(struct agent_qmp *qmp)
{
    char *at = NULL;
    int room = agent_qmp_reader_room(&qmp->reader, READ_BYTES, &at);

    if (room < 0) {
        return room;
    }
    ssize_t got = recv(qmp->fd, at, (size_t)room, MSG_DONTWAIT);
    if (got > 0) {
        agent_qmp_reader_put(&qmp->reader, (size_t)got);
        return (int)got;
    }
    if (got == 0) {
        return -ECONNRESET;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
}

static void take_all(struct agent_qmp *qmp)
{
    struct agent_qmp_message message;
    struct agent_error why = {0};
    int status = 1;

    while (!qmp->over && (status = agent_qmp_reader_next(&qmp->reader, &message, &why)) > 0) {
        record(qmp, "in", message.root);
        take(qmp, &message);
        json_decref(message.root);
    }
    if (!qmp->over && status < 0) {
        fail(qmp, &why);
    }
}

static void on_socket(void *opaque, uint32_t events)
{
    struct agent_qmp *qmp = opaque;
    int got = 1;

    enter(qmp);
    if ((events & EPOLLOUT) != 0) {
        flush(qmp);
    }
    for (int turn = 0; turn < TURNS_MAX && got > 0 && !qmp->over; turn++) {
        got = fill(qmp);
        take_all(qmp);
    }
    if (got < 0 && !qmp->over) {
        fail_text(qmp, -got,
                  got == -ECONNRESET ? "QEMU closed it"
                  : got == -EMSGSIZE ? "a line longer than 4 MiB"
                                     : strerror(-got));
    }
    leave(qmp);
}

/* ---- opening ------------------------------------------------------------------------------ */

static int connect_to(struct agent_qmp *qmp, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    if (strlen(path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(qmp->path, path, strlen(path) + 1);
    qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (qmp->fd < 0 || connect(qmp->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        return -errno;
    }
    if (getsockopt(qmp->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
        qmp->peer = peer.pid;
    }
    return 0;
}

int agent_qmp_open(struct agent_loop *loop, const char *path, int64_t timeout_ns,
                   const struct agent_qmp_owner *owner, struct agent_qmp **out,
                   struct agent_error *error)
{
    struct agent_qmp *qmp = calloc(1, sizeof(*qmp));

    if (qmp == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for a QMP connection");
    }
    qmp->loop = loop;
    qmp->owner = *owner;
    qmp->fd = -1;
    qmp->ready_by_ns = agent_loop_now_ns(loop) + timeout_ns;
    agent_timer_init(&qmp->timer, loop, on_timer, qmp);
    agent_qmp_reader_init(&qmp->reader);
    for (int at = 0; at < AGENT_QMP_PENDING_MAX; at++) {
        qmp->pending[at].id = -1;
    }
    int status = connect_to(qmp, path);
    if (status == 0) {
        status = agent_loop_watch(loop, qmp->fd, EPOLLIN, on_socket, qmp, &qmp->watch);
    }
    if (status == 0) {
        status = agent_timer_set(&qmp->timer, qmp->ready_by_ns);
    }
    if (status < 0) {
        release(qmp);
        return agent_error_set(error, status, "qmp %s: %s", path, strerror(-status));
    }
    *out = qmp;
    return 0;
}

pid_t agent_qmp_peer(const struct agent_qmp *qmp)
{
    return qmp->peer;
}
