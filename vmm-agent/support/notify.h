/* SPDX-License-Identifier: GPL-2.0-or-later */
/* notify.h - tell the service manager: ready, alive, stopping (sd_notify(3)'s protocol)
 * Owner: none, the environment's $NOTIFY_SOCKET.   Thread: any; one datagram, never waits.
 * Time:  none.                                     Units: ns. */
#ifndef AGENT_SUPPORT_NOTIFY_H
#define AGENT_SUPPORT_NOTIFY_H

#include <stdint.h>

/** agent_notify() - send "READY=1" and the like, lines separated by \n
 * Return: 1 sent, 0 nobody asked for it, -errno. */
int agent_notify(const char *text);

/** agent_notify_watchdog_ns() - within how long "WATCHDOG=1" is wanted, 0 = not at all */
int64_t agent_notify_watchdog_ns(void);

#endif
