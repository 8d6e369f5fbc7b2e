/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* harness.h - two ends of one backend in one process, and peers that do not keep to the protocol
 * Owner: the test.   Thread: the test's, except the accept callbacks.   Time: real or the loop
 * world's. Waiting is always bounded (CONF_PATIENCE_MS) and moves every link, as the contract asks
 * for. */
#ifndef TESTS_CONFORMANCE_HARNESS_H
#define TESTS_CONFORMANCE_HARNESS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apnmig/backend.h>

#include "backend/loop/loop.h"
#include "support/clock.h"
#include "wire/codec.h"
#include "wire/handshake.h"
#include "wire/rdma.h"

#define CONF_LANES       32u
#define CONF_MEMORY      (8u << 20) /* region 0 of each end */
#define CONF_PATIENCE_MS (10000u * conf_slow)
#define CONF_STRANGERS   256u

/* What is under test; set once by main(). */
extern const char *conf_backend; /* "loop", "loop-virtual", "uring", ... */
extern const char *conf_filters; /* around both ends, or NULL */
/* Where the listener is: CONFORMANCE_HOST, "127.0.0.1" unless told. CONFORMANCE_NETNS="A B": the source's end is in
 * network namespace A, the destination's in B, with whatever path lies between. CONFORMANCE_DPDK="A B": sockets of the apn-dpdk of
 * source and destination. CONFORMANCE_BACKENDS="A B": another backend at each end. */
extern const char *conf_host;
extern unsigned conf_slow; /* CONFORMANCE_SLOW: how many times slower than usual this machine is */
/* Memory in which ZERO extents clear their place when poll() returns them, as the engine does; NULL: nothing does. */
extern uint8_t *conf_cleared;
void conf_enter_source(void);
void conf_enter_dest(void);

/* An event with its payload copied, because the original lives only until the next poll. */
struct conf_event {
    struct conf_event *next;
    struct apn_event event;
    uint8_t payload[];
};

/* One end of a link. */
struct conf_end {
    struct apn_link *link;
    struct apn_hello hello; /* accepted ends: what the peer said */
    struct conf_event *head, **tail;
    bool asleep; /* not polled while others wait */
};

struct conf_options {
    const char *source_secret, *dest_secret;
    const char *source_filters, *dest_filters; /* instead of conf_filters */
    uint32_t handshake_timeout_ms;             /* 0 = 2000 */
    bool no_listener;
    uint64_t features;                         /* of every hello; with postcopy the destination's memory is not registered */
};

struct conf_rig {
    struct apn_loop_world *world;
    struct apn_backend *source, *dest;
    uint16_t port;
    struct conf_options options;
    uint8_t *source_memory, *dest_memory;
    int source_fd, dest_fd; /* of the memory, -1: private */
    struct conf_end out[CONF_LANES], in[CONF_LANES];
    pthread_mutex_t lock; /* the accept thread shares what follows */
    struct apn_link *accepted[CONF_LANES];
    struct apn_hello accepted_hello[CONF_LANES];
    int authorise_code; /* what authorise answers */
    struct apn_welcome welcome;
    unsigned authorised;
    unsigned strangers;
    char stranger_text[APN_ERROR_TEXT_MAX];
};

void conf_open(struct conf_rig *rig, const struct conf_options *options);
void conf_close(struct conf_rig *rig);
bool conf_is_virtual(const struct conf_rig *rig);
uint64_t conf_now(const struct conf_rig *rig);

/** conf_connect() - start opening a lane; conf_up() also waits until both ends have it */
void conf_connect(struct conf_rig *rig, unsigned lane, uint32_t generation);
void conf_up(struct conf_rig *rig, unsigned lanes);
/** conf_accept() - wait for the other end of a lane */
void conf_accept(struct conf_rig *rig, unsigned lane);
void conf_end_close(struct conf_end *end);

/** conf_next() - the next event of @end; the test fails when none comes. Valid until the next
 * conf_next() of any end. */
struct conf_event *conf_next(struct conf_rig *rig, struct conf_end *end);
/** conf_peek() - is there an event for @end by now? */
bool conf_peek(struct conf_rig *rig, struct conf_end *end);
/** conf_idle() - let time pass, links moving */
void conf_idle(struct conf_rig *rig, unsigned ms);
/** conf_post() - post, and retry what is refused with -EAGAIN, links moving. Return: 0 or -errno
 * (not -EAGAIN). */
int conf_post(struct conf_rig *rig, struct conf_end *end, const struct apn_msg *msgs, unsigned n);
void conf_expect_down(struct conf_rig *rig, struct conf_end *end);
/** conf_wait_strangers() - until @n were reported */
void conf_wait_strangers(struct conf_rig *rig, unsigned n);

struct apn_msg conf_stream(uint64_t offset, const void *payload, uint32_t bytes);
struct apn_msg conf_extent(struct conf_rig *rig, uint64_t offset, uint32_t span);

/* ---- peers that send what they like -------------------------------------- */

struct conf_raw {
    struct apn_loop_raw *loop;
    int fd;
    uint64_t id_in, id_out, number; /* datagrams: of the lane, once up */
};

/** conf_datagrams() - is the backend under test made of datagrams? Then a stranger is a datagram, and silence is nobody */
bool conf_datagrams(void);

void conf_raw_connect(struct conf_rig *rig, struct conf_raw *raw);
/** conf_raw_server() - a port where nobody speaks the protocol; conf_raw_accept() takes its
 * connections */
uint16_t conf_raw_server(struct conf_rig *rig, int *fd);
/** conf_raw_server_possible() - no: the listener's address is a helper's, not the kernel's */
bool conf_raw_server_possible(void);
void conf_raw_accept(struct conf_rig *rig, int server, struct conf_raw *raw);
void conf_raw_send(struct conf_rig *rig, struct conf_raw *raw, const void *bytes, size_t length);
/** conf_raw_recv() - one piece of what the peer says. Return: bytes, 0 = closed or reset. */
size_t conf_raw_recv(struct conf_rig *rig, struct conf_raw *raw, void *bytes, size_t room);
/** conf_raw_say() - after conf_raw_up(): @bytes where a message goes; in a well-made datagram, when the backend is made of these */
void conf_raw_say(struct conf_rig *rig, struct conf_raw *raw, const void *bytes, size_t length);
/** conf_raw_open() - a HELLO of 112 bytes, in an OPEN when the backend is made of datagrams */
void conf_raw_open(struct conf_rig *rig, struct conf_raw *raw, const void *hello);
void conf_raw_close(struct conf_raw *raw);
/** conf_raw_up() - a raw peer that has done the handshake properly */
void conf_raw_up(struct conf_rig *rig, struct conf_raw *raw, unsigned lane);

/* tests/conformance/{traffic,peers,faults,reads}.c */
int conf_run_traffic(void);
int conf_run_peers(void);
int conf_run_faults(void);
int conf_run_reads(void);

#endif
