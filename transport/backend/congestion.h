/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* congestion.h - a TCP sender on a path that loses segments at random
 *
 * Theory of operation
 *   A lane begins with reno: it costs as little as cubic where nothing is lost, and its slow start goes on until the engine's window is
 * full. Cubic's ends early where acknowledgements come in trains (HyStart, RFC 9406), in a third of the starts here at half the rate.
 *   On a long path one loss takes the window of either down for seconds, though nothing was congested: a long clean path is
 * ours alone, or shared out by others. So once segments were lost AND data waits in the socket for TCP's window, the connection
 * changes to bbr, for good. bbr goes by the rate that arrives and not by loss; it costs the sender some processor time more.
 * Where the system does not offer bbr it is cubic, which comes back sooner than reno, and a note says what would help.
 * Figures: docs/performance-uring.md.
 *
 * Owner: embedded in a link.   Thread: the link's.   Time: none.   Units: bytes. */
#ifndef APN_BACKEND_CONGESTION_H
#define APN_BACKEND_CONGESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The engine's window already keeps the queue short, so what is wanted of TCP is to fill it, at little cost: bbr, with its own pacing
 * timers, costs the sender half as much CPU again, and several streams starve each other. Reno is always there and always allowed. */
#define APN_TCP_CONGESTION "reno"
#define APN_TCP_CONGESTION_LOSSY "bbr"
#define APN_TCP_CONGESTION_LOSSY_ELSE "cubic"
#define APN_TCP_LOOK_BYTES (1u << 20) /* between two looks: a system call per MiB */

struct apn_tcp_congestion {
    uint64_t unlooked_bytes;
    bool settled; /* changed, or it cannot be */
};

/** apn_tcp_congestion_sent() - @bytes more went into the socket @fd
 * Return: true when @note was written (once at most): what was changed, or what would help. */
bool apn_tcp_congestion_sent(struct apn_tcp_congestion *c, int fd, uint64_t bytes, char *note, size_t note_bytes);

#endif
