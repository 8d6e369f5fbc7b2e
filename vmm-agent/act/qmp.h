/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qmp.h - a client of one QEMU's machine protocol: asynchronous, bounded, in no doubt about time
 * Owner: struct agent_qmp, _open/_close.   Thread: the loop's; no call blocks.
 * Time:  monotonic, from the loop.         Units:  ns, bytes.
 *
 * Every command ends exactly once: with its return, QEMU's error, -ETIMEDOUT, -ECONNRESET when the
 * connection ends first, or -ECANCELED when the caller closes it. A command that timed out may
 * still have been done: whoever asked must look, not assume. Its late answer is dropped. The
 * connection ends by itself when QEMU closes it, sends what is no QMP, or leaves
 * AGENT_QMP_UNSENT_MAX bytes unread; then @closed is told, once, and nothing else comes. Functions
 * of the caller are called from the loop, never from inside agent_qmp_command(), and may close the
 * connection. */
#ifndef AGENT_ACT_QMP_H
#define AGENT_ACT_QMP_H

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

#include "act/loop.h"

#define AGENT_QMP_PENDING_MAX 32
#define AGENT_QMP_RECORD_MAX  (256u << 20) /* bytes; a recording ends there */
#define AGENT_QMP_UNSENT_MAX  (1u << 20)

struct agent_qmp;

/** struct agent_qmp_result - how a command ended
 * @status: 0; -EREMOTEIO: QEMU refused, see @kind and @text; -ETIMEDOUT; -ECONNRESET;
 * -ECANCELED
 * @value: its return, borrowed during the call; NULL unless @status is 0 */
struct agent_qmp_result {
    int status;
    const json_t *value;
    const char *kind; /* QEMU's error class, or "" */
    const char *text; /* in words, never NULL */
};

typedef void (*agent_qmp_done)(void *opaque, const struct agent_qmp_result *result);

/** struct agent_qmp_owner - who is told what happens
 * @ready: greeted, capabilities agreed; @greeting: QEMU's version object
 * @event: @data may be NULL; @at_s: QEMU's wall clock
 * @closed: the connection is over; close it when convenient */
struct agent_qmp_owner {
    void (*ready)(void *opaque, const json_t *greeting);
    void (*event)(void *opaque, const char *name, const json_t *data, double at_s);
    void (*closed)(void *opaque, const struct agent_error *why);
    void *opaque;
};

/** agent_qmp_open() - connect to the unix socket at @path and shake hands within @timeout_ns
 * Return: 0; -ENOENT no such socket; -ECONNREFUSED a socket nobody listens on: its QEMU has gone;
 * -EAGAIN its backlog is full; -ENAMETOOLONG; -errno. */
int agent_qmp_open(struct agent_loop *loop, const char *path, int64_t timeout_ns,
                   const struct agent_qmp_owner *owner, struct agent_qmp **out,
                   struct agent_error *error);

/** agent_qmp_close() - pending commands end with -ECANCELED, @closed is not told; NULL is fine */
void agent_qmp_close(struct agent_qmp *qmp);

/** agent_qmp_peer() - process that listens on the socket, 0 = the kernel does not say */
pid_t agent_qmp_peer(const struct agent_qmp *qmp);

/** agent_qmp_command() - send one; @arguments are stolen and may be NULL
 * @done: may be NULL. It is called for every outcome, failures to send included.
 * Return: 0; -EAGAIN (AGENT_QMP_PENDING_MAX wait already), -ENOTCONN, -ENOMEM: then @done is not
 * called. */
int agent_qmp_command(struct agent_qmp *qmp, const char *command, json_t *arguments,
                      int64_t timeout_ns, agent_qmp_done done, void *opaque);

/** agent_qmp_record() - write every message of every connection to @file from now on, as JSON lines
 * {"ns", "path", "out" or "in": message}; NULL ends it. For finding out what happened, and for
 * tests that replay it. One recording per process; @file is borrowed. */
void agent_qmp_record(FILE *file);

#endif
