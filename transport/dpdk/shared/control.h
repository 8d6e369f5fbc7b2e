/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* control.h - what a program and apn-dpdk say to each other over their unix socket (SOCK_SEQPACKET)
 *
 * Theory of operation
 *   A request is one message, its answer is one message of the same type with @code 0 or -errno and words for a person. File
 *   descriptors ride on them (SCM_RIGHTS): guest RAM with REGION; ring memory and a doorbell with the answer to OPEN.
 *   Requests are answered in order, one at a time. When either end of the socket closes, everything that was made over it ends.
 *
 * Versions: 1, the first.
 * Owner: both sides.   Thread: the caller's.   Time: the caller's patience, ms.   Units: bytes; ports in host order. */
#ifndef APN_DPDK_SHARED_CONTROL_H
#define APN_DPDK_SHARED_CONTROL_H

#include "dpdk/shared/rings.h"

#define APN_HELPER_SOCKET   "/run/apn/dpdk.sock"
#define APN_HELPER_MAGIC    0x644e5041u /* "APNd" */
#define APN_HELPER_VERSION  1u
#define APN_HELPER_FDS      2u
#define APN_HELPER_ADDRESSES 8u
#define APN_HELPER_REGIONS  64u
#define APN_HELPER_TEXT     200u

enum apn_helper_type {
    APN_HELPER_HELLO = 1, /* answer: addresses, datagram_max, flags */
    APN_HELPER_REGION,    /* fd, region, offset (of the region in the file), length, flags */
    APN_HELPER_OPEN,      /* local (port 0: chosen; family 0: any), remote (family 0: listening); answer: channel, local, geometry, fds */
    APN_HELPER_CLOSE,     /* channel; the answer comes when nothing of guest RAM is read on its behalf any more */
    APN_HELPER_STATS,     /* answer: as many messages as there are lines; text is a line of JSON, the last one is empty */
};

enum apn_helper_flags {
    APN_HELPER_ZEROCOPY = 1u << 0, /* HELLO: frames are made of guest RAM itself; REGION: ours may stay pinned */
    APN_HELPER_DEVICE = 1u << 1,   /* HELLO: an adapter reads memory by itself; it needs it pinned */
    APN_HELPER_ECN = 1u << 2,      /* OPEN: datagrams may be marked instead of dropped (RFC 3168) */
};

/**
 * struct apn_helper_msg - every request and every answer
 * @magic, @version: checked before anything else
 */
struct apn_helper_msg {
    uint32_t magic;
    uint32_t version;
    uint32_t type;
    int32_t code;
    uint32_t flags;
    uint32_t region;
    uint64_t offset;
    uint64_t length;
    uint32_t channel;
    uint32_t send_slots, come_slots, slot_bytes;
    uint32_t datagram_max4, datagram_max6;
    uint32_t n_addresses;
    struct apn_ring_address addresses[APN_HELPER_ADDRESSES];
    struct apn_ring_address local, remote;
    char text[APN_HELPER_TEXT];
};

/** apn_helper_send() - @fds: @n_fds, 0..APN_HELPER_FDS, stay the caller's. Never blocks. Return: 0 or -errno. */
int apn_helper_send(int fd, struct apn_helper_msg *msg, const int *fds, unsigned n_fds);

/** apn_helper_receive() - one message, checked. @fds: APN_HELPER_FDS, -1 where there is none; the caller's then
 * @wait_ms: 0 = do not wait
 * Return: 0; -EAGAIN or -ETIMEDOUT; -EPIPE (closed); -EPROTO (not ours). */
int apn_helper_receive(int fd, struct apn_helper_msg *msg, int fds[APN_HELPER_FDS], unsigned wait_ms);

/** apn_doorbell_ring(), apn_doorbell_drain() - a byte into the socket pair, all bytes out of it; never block.
 * Return of drain: 0, -EPIPE when the other side is gone. */
void apn_doorbell_ring(int fd);
int apn_doorbell_drain(int fd);

#endif
