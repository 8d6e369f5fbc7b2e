/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* socket.h - names to addresses, and TCP sockets made fit for a long fat path
 * Owner: caller.   Thread: any; resolving a name may block, a numeric address never does.   Units:
 * bytes, ms. */
#ifndef APN_BACKEND_SOCKET_H
#define APN_BACKEND_SOCKET_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apnmig/error.h>

#define APN_TCP_WINDOW_DEFAULT                                                                   \
    (16ull << 20) /* wished for when the path is unknown: 20 Gb/s at 6 ms */
#define APN_TCP_WINDOW_MAX   (512ull << 20)
#define APN_TCP_ADDRESS_TEXT 80u

/** apn_tcp_resolve() - free with freeaddrinfo(). @host NULL or "": any address (only with
 * @passive). Return: 0, -EINVAL (port), -ENOENT (no such host), -EAGAIN (resolver), -ENOMEM. */
int apn_tcp_resolve(const char *host, const char *port, bool passive, struct addrinfo **out,
                      struct apn_error *err);

/** apn_tcp_address_text() - "127.0.0.1 port 4444" */
void apn_tcp_address_text(const struct sockaddr *address, socklen_t bytes,
                            char text[APN_TCP_ADDRESS_TEXT]);

/** apn_tcp_buffers() - before connect() or listen(): room for @window_bytes in flight
 * Return: bytes that fit in flight as far as the kernel grants; @note gets a sentence when that is
 * less, else stays "". */
uint64_t apn_tcp_buffers(int fd, uint64_t window_bytes, char *note, size_t note_bytes);

/** apn_tcp_tune() - no delay, congestion control, dead-peer detection after @silence_ms;
 * best effort */
void apn_tcp_tune(int fd, uint32_t silence_ms);

/** apn_tcp_reset() - the peer gets RST, the kernel drops what it has queued; the fd stays
 * open */
void apn_tcp_reset(int fd);

#endif
