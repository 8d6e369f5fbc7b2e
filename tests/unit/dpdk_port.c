/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dpdk_port.c - the dpdk backend's carrier against helpers that lie, hang up, come back, or are not there
 * A thread plays the helper over a real socket and real shared memory; it needs neither DPDK nor rights. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/dpdk/client.h"
#include "backend/dpdk/dpdk.h"
#include "support/clock.h"

#define SLOT 8972u

/* what the helper does wrong; set before it is asked */
struct lies {
    uint32_t slot_bytes;   /* 0: the truth */
    uint32_t slots;
    uint32_t datagram_max;
    bool short_memory;
    bool no_bell;
    bool deaf;             /* hangs up when asked for a channel */
    int refuse;            /* the code of its answer to HELLO */
    int answer_type;       /* of another type than asked for */
};

struct helper {
    char path[64];
    int listen_fd, fd, bell;
    struct apn_rings rings; /* of the channel opened last */
    struct lies lies;
    unsigned opened, closed, regions;
    struct apn_helper_msg region;  /* the last one */
    struct apn_helper_msg open;
    pthread_t thread;
};

static void answer_open(struct helper *h, struct apn_helper_msg *msg, int fds[2])
{
    const uint32_t slots = 64;
    size_t bytes;
    void *memory;
    int pair[2];

    h->open = *msg;
    bytes = apn_rings_plan(&h->rings, NULL, slots, slots, SLOT);
    fds[0] = memfd_create("rings", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fds[0], (off_t)(h->lies.short_memory ? 4096 : bytes)), 0);
    if (!h->lies.short_memory) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
        assert_true(memory != MAP_FAILED);
        apn_rings_plan(&h->rings, memory, slots, slots, SLOT);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    h->bell = pair[0];
    fds[1] = pair[1];
    msg->send_slots = h->lies.slots ? h->lies.slots : slots;
    msg->come_slots = slots;
    msg->slot_bytes = h->lies.slot_bytes ? h->lies.slot_bytes : SLOT;
    msg->length = bytes;
    msg->datagram_max4 = h->lies.datagram_max ? h->lies.datagram_max : SLOT;
    msg->channel = h->opened++;
    msg->local.port = msg->local.port ? msg->local.port : 50000;
}

static int serve_one(struct helper *h)
{
    struct apn_helper_msg msg;
    int fds[APN_HELPER_FDS], give[2] = {-1, -1};
    unsigned n = 0;

    if (apn_helper_receive(h->fd, &msg, fds, 5000)) {
        return -1;
    }
    if (fds[0] >= 0) {
        close(fds[0]);
    }
    msg.code = 0;
    msg.text[0] = 0;
    if (msg.type == APN_HELPER_HELLO) {
        msg.n_addresses = 1;
        msg.addresses[0] = (struct apn_ring_address){.ip = {10, 0, 0, 1}, .family = 4};
        msg.code = h->lies.refuse;
        snprintf(msg.text, sizeof(msg.text), "user 1000 may not use this port");
    } else if (msg.type == APN_HELPER_OPEN) {
        if (h->lies.deaf) {
            return -1;
        }
        answer_open(h, &msg, give);
        n = h->lies.no_bell ? 1 : 2;
    } else if (msg.type == APN_HELPER_REGION) {
        h->region = msg;
        h->regions++;
    } else {
        h->closed++;
    }
    msg.type = h->lies.answer_type ? (uint32_t)h->lies.answer_type : msg.type;
    apn_helper_send(h->fd, &msg, give, n);
    for (unsigned i = 0; i < 2; i++) {
        if (give[i] >= 0) {
            close(give[i]);
        }
    }
    return 0;
}

static void *serve(void *opaque)
{
    struct helper *h = opaque;

    h->fd = accept(h->listen_fd, NULL, NULL);
    while (h->fd >= 0 && !serve_one(h)) {
    }
    shutdown(h->listen_fd, SHUT_RDWR); /* it has ended for everybody */
    if (h->fd >= 0) {
        close(h->fd);
    }
    if (h->bell >= 0) {
        close(h->bell);
        h->bell = -1;
    }
    return NULL;
}

static void helper_start(struct helper *h, const struct lies *lies)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static unsigned number;

    if (!h->path[0]) {
        snprintf(h->path, sizeof(h->path), "/tmp/apn-test-dpdk-%d-%u.sock", (int)getpid(), number++);
    }
    h->lies = lies ? *lies : (struct lies){0};
    h->bell = -1;
    h->fd = -1;
    h->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", h->path);
    unlink(h->path);
    assert_int_equal(bind(h->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(h->listen_fd, 4), 0);
    assert_int_equal(pthread_create(&h->thread, NULL, serve, h), 0);
}

/* as a process that dies: everything closes at once */
static void helper_die(struct helper *h)
{
    shutdown(h->listen_fd, SHUT_RDWR);
    if (h->fd >= 0) {
        shutdown(h->fd, SHUT_RDWR);
    }
    pthread_join(h->thread, NULL);
    close(h->listen_fd);
    unlink(h->path);
    if (h->rings.memory) {
        munmap(h->rings.memory, h->rings.bytes);
        memset(&h->rings, 0, sizeof(h->rings));
    }
}

/* ---- the carrier ------------------------------------------------------------------ */

static void carrier_open(struct apn_dpdk_carrier *c, const struct helper *h)
{
    struct apn_error err = {0};

    memset(c, 0, sizeof(*c));
    assert_int_equal(apn_dpdk_client_init(&c->client, h->path), 0);
    if (apn_dpdk_client_connect(&c->client, &err)) {
        fail_msg("%s", err.text);
    }
}

static const union apn_address far = {.in = {.sin_family = AF_INET, .sin_port = 0x5c11, .sin_addr = {0x0200000a}}};
static const union apn_address nowhere;

static struct apn_port *flow(struct apn_dpdk_carrier *c, struct apn_error *err)
{
    struct apn_port *port = NULL;
    int ret = apn_dpdk_port_new(c, &nowhere, &far, &port, err);

    assert_true(ret == 0 || (ret < 0 && err->text[0]));
    return port;
}

/* the helper delivers @bytes of @fill */
static void come(struct helper *h, uint32_t bytes, uint8_t kind, int fill)
{
    struct apn_arrival_entry *e = &h->rings.come[h->rings.made & (h->rings.come_slots - 1)];

    *e = (struct apn_arrival_entry){.bytes = bytes, .kind = kind, .tos = 3, .remote = {{10, 0, 0, 2}, 4444, 4, 0}};
    if (bytes <= h->rings.slot_bytes) {
        memset(apn_rings_come_buffer(&h->rings, h->rings.made), fill, bytes);
    }
    apn_rings_come_publish(&h->rings, 1);
}

static void datagrams_pass_both_ways(void **state)
{
    struct helper h = {0};
    struct apn_dpdk_carrier c;
    struct apn_error err = {0};
    struct apn_port_arrival a[APN_PORT_BURST_MAX];
    struct apn_port_datagram d = {.head = "head", .head_bytes = 4, .payload = "payload", .payload_bytes = 7, .region = APN_PORT_NO_REGION};
    uint8_t rest[SLOT];
    struct apn_port *port;

    (void)state;
    helper_start(&h, NULL);
    carrier_open(&c, &h);
    port = flow(&c, &err);
    assert_non_null(port);
    assert_int_equal(port->datagram_max, SLOT);
    assert_int_equal(h.open.remote.port, 0x115c);
    assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), 1);
    assert_int_equal(apn_rings_send_pending(&h.rings), 1);
    assert_memory_equal(apn_rings_send_buffer(&h.rings, 0), "headpayload", 11);
    assert_int_equal(h.rings.send[0].region, APN_RING_NO_REGION);
    d.payload_bytes = SLOT;
    assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), -EMSGSIZE);

    assert_int_equal(apn_dpdk_port_receive(port, a, APN_PORT_BURST_MAX), 0);
    come(&h, 100, APN_ARRIVAL_DATAGRAM, 1);
    come(&h, SLOT, APN_ARRIVAL_DATAGRAM, 2);
    come(&h, 0, APN_ARRIVAL_DATAGRAM, 0);
    assert_int_equal(apn_dpdk_port_receive(port, a, APN_PORT_BURST_MAX), 2);
    assert_int_equal(a[0].head_bytes, 100);
    assert_int_equal(a[0].ecn, 3);
    assert_int_equal(a[1].total_bytes, SLOT);
    assert_int_equal(a[1].head_bytes, APN_PORT_HEAD_MAX);
    memset(h.rings.come_buffers, 0xee, h.rings.stride + APN_PORT_HEAD_MAX); /* the helper thinks again */
    assert_int_equal(a[0].head[50], 1);
    assert_int_equal(a[1].head[2000], 2);
    assert_int_equal(apn_dpdk_port_read(port, &a[1], &(struct iovec){rest, SLOT - APN_PORT_HEAD_MAX}, 1), 0);
    assert_int_equal(rest[SLOT - APN_PORT_HEAD_MAX - 1], 2);
    assert_int_equal(apn_rings_come_room(&h.rings), 64 - 3); /* shown: not given back yet */
    assert_int_equal(apn_dpdk_port_receive(port, a, APN_PORT_BURST_MAX), 0);
    assert_int_equal(apn_rings_come_room(&h.rings), 64);
    apn_dpdk_port_close(port);
    assert_int_equal(h.closed, 1);
    apn_dpdk_client_done(&c.client);
    helper_die(&h);
}

static void a_full_ring_takes_no_more(void **state)
{
    struct helper h = {0};
    struct apn_dpdk_carrier c;
    struct apn_error err = {0};
    struct apn_port_datagram d[APN_PORT_BURST_MAX];
    struct apn_port *port;
    uint64_t start;

    (void)state;
    for (unsigned i = 0; i < APN_PORT_BURST_MAX; i++) {
        d[i] = (struct apn_port_datagram){.head = "x", .head_bytes = 1, .region = APN_PORT_NO_REGION};
    }
    helper_start(&h, NULL);
    carrier_open(&c, &h);
    port = flow(&c, &err);
    assert_int_equal(apn_dpdk_port_send(port, NULL, d, 40), 40);
    assert_int_equal(apn_dpdk_port_send(port, NULL, d, 40), 24);
    assert_int_equal(apn_dpdk_port_send(port, NULL, d, 40), 0);
    start = apn_clock_now(&apn_clock_monotonic);
    apn_dpdk_port_wait(port, APN_PORT_WAIT_SEND, 20 * APN_NS_PER_MS);
    assert_true(apn_clock_now(&apn_clock_monotonic) - start >= 19 * APN_NS_PER_MS);
    apn_rings_send_release(&h.rings, 10);
    apn_dpdk_port_wait(port, APN_PORT_WAIT_SEND, 10 * APN_NS_PER_S); /* returns at once, or the test's time runs out */
    assert_int_equal(apn_dpdk_port_send(port, NULL, d, 40), 10);
    apn_dpdk_port_wake(port);
    apn_dpdk_port_wait(port, APN_PORT_WAIT_RECEIVE, 10 * APN_NS_PER_S);
    apn_dpdk_port_close(port);
    apn_dpdk_client_done(&c.client);
    helper_die(&h);
}

static void words_are_heard(void **state)
{
    struct helper h = {0};
    struct apn_dpdk_carrier c;
    struct apn_error err = {0};
    struct apn_port_arrival a[8];
    struct apn_port_datagram d = {.head = "x", .head_bytes = 1, .region = APN_PORT_NO_REGION};
    struct apn_port *port;

    (void)state;
    helper_start(&h, NULL);
    carrier_open(&c, &h);
    port = flow(&c, &err);
    come(&h, 10, APN_ARRIVAL_DATAGRAM, 1);
    come(&h, 0, APN_ARRIVAL_REFUSED, 0);
    come(&h, 1372, APN_ARRIVAL_TOO_BIG, 0);
    come(&h, 50, APN_ARRIVAL_TOO_BIG, 0); /* a path of nothing: not believed */
    assert_int_equal(apn_dpdk_port_receive(port, a, 8), 1);
    assert_int_equal(apn_dpdk_port_receive(port, a, 8), -ECONNREFUSED);
    assert_int_equal(apn_dpdk_port_receive(port, a, 8), 0);
    assert_int_equal(port->datagram_max, 1372);
    assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), -EMSGSIZE); /* once */
    assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), 1);
    apn_dpdk_port_close(port);
    apn_dpdk_client_done(&c.client);
    helper_die(&h);
}

enum nonsense { COME_INDEX, SEND_INDEX, LENGTH, KIND, NONSENSES };

static void a_helper_that_writes_nonsense_is_left(void **state)
{
    (void)state;
    for (int what = 0; what < NONSENSES; what++) {
        struct helper h = {0};
        struct apn_dpdk_carrier c;
        struct apn_error err = {0};
        struct apn_port_arrival a[8];
        struct apn_port_datagram d = {.head = "x", .head_bytes = 1, .region = APN_PORT_NO_REGION};
        struct apn_port *port;

        helper_start(&h, NULL);
        carrier_open(&c, &h);
        port = flow(&c, &err);
        if (what == COME_INDEX) {
            atomic_store(&h.rings.page->come_made.index, 1u << 31);
        } else if (what == SEND_INDEX) {
            atomic_store(&h.rings.page->send_taken.index, 5);
        } else if (what == LENGTH) {
            come(&h, SLOT + 1, APN_ARRIVAL_DATAGRAM, 0);
        } else {
            come(&h, 10, 77, 0);
        }
        if (what == SEND_INDEX) {
            assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), -EPROTO);
        } else {
            assert_int_equal(apn_dpdk_port_receive(port, a, 8), -EPROTO);
        }
        assert_int_equal(apn_dpdk_port_receive(port, a, 8), -ENOLINK);
        assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), -ENOLINK);
        apn_dpdk_port_wait(port, APN_PORT_WAIT_RECEIVE, APN_NS_PER_MS);
        apn_dpdk_port_close(port);
        apn_dpdk_client_done(&c.client);
        helper_die(&h);
    }
}

static void rings_that_do_not_fit_are_refused(void **state)
{
    const struct lies lies[] = {{.slots = 63}, {.slots = 4096}, {.slot_bytes = 65536}, {.slot_bytes = 1}, {.datagram_max = SLOT + 1},
                                {.datagram_max = 100}, {.short_memory = true}, {.no_bell = true}, {.deaf = true},
                                {.answer_type = APN_HELPER_CLOSE}};

    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct helper h = {0};
        struct apn_dpdk_carrier c;
        struct apn_error err = {0};

        helper_start(&h, NULL);
        carrier_open(&c, &h);
        h.lies = lies[i];
        assert_null(flow(&c, &err));
        assert_true(err.code < 0 && !strncmp(err.text, "dpdk: ", 6));
        apn_dpdk_client_done(&c.client);
        helper_die(&h);
    }
}

static void a_helper_that_dies_is_noticed_at_once(void **state)
{
    struct helper h = {0};
    struct apn_dpdk_carrier c;
    struct apn_error err = {0};
    struct apn_port_arrival a[8];
    struct apn_port *port, *listener;
    uint64_t start;

    (void)state;
    helper_start(&h, NULL);
    carrier_open(&c, &h);
    assert_int_equal(apn_dpdk_port_new(&c, &nowhere, NULL, &listener, &err), 0);
    assert_int_equal(apn_dpdk_port_number(listener), 50000);
    close(h.bell);
    port = flow(&c, &err);
    helper_die(&h);
    start = apn_clock_now(&apn_clock_monotonic);
    apn_dpdk_port_wait(port, APN_PORT_WAIT_RECEIVE, 10 * APN_NS_PER_S);
    assert_int_equal(apn_dpdk_port_receive(port, a, 8), -ENOLINK);
    assert_true(apn_clock_now(&apn_clock_monotonic) - start < APN_NS_PER_S);
    assert_non_null(strstr(c.client.note, "has ended"));
    assert_int_equal(apn_dpdk_port_receive(listener, a, 8), -ENOLINK);
    assert_null(flow(&c, &err));
    assert_non_null(strstr(err.text, "no helper at"));
    assert_int_equal(err.code, -ENODEV); /* not -ECONNREFUSED: that is a peer's word */
    apn_dpdk_port_close(port);
    /* started again: the listener is where it was */
    helper_start(&h, NULL);
    assert_int_equal(apn_dpdk_port_receive(listener, a, 8), 0);
    assert_int_equal(h.open.local.port, 50000);
    assert_int_equal(h.open.remote.family, 0);
    apn_dpdk_port_close(listener);
    apn_dpdk_client_done(&c.client);
    helper_die(&h);
}

static void shared_memory_is_named_and_private_copied(void **state)
{
    struct helper h = {0};
    struct apn_dpdk_carrier c;
    struct apn_error err = {0};
    struct apn_region r = {.name = "pc.ram", .length = 4u << 20, .page_size = 4096};
    struct apn_port_datagram d = {.head = "h", .head_bytes = 1, .payload_bytes = 4096, .offset = 8192};
    int fd = memfd_create("guest", MFD_CLOEXEC);
    struct apn_port *port;
    uint8_t *private = mmap(NULL, r.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_int_equal(ftruncate(fd, (off_t)r.length), 0);
    r.host = mmap(NULL, r.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(r.host != MAP_FAILED && private != MAP_FAILED);
    helper_start(&h, NULL);
    carrier_open(&c, &h);
    assert_int_equal(apn_dpdk_client_region(&c.client, 3, &r, &err), 0);
    assert_int_equal(h.regions, 1);
    assert_int_equal(h.region.length, r.length);
    assert_int_equal(h.region.offset, 0);
    r.host = private;
    assert_int_equal(apn_dpdk_client_region(&c.client, 4, &r, &err), 0);
    assert_int_equal(h.regions, 1);
    assert_non_null(strstr(c.client.note, "pc.ram is private memory"));
    assert_int_equal(apn_dpdk_client_region(&c.client, APN_REGIONS_MAX, &r, &err), -EINVAL);
    port = flow(&c, &err);
    memset(private + 8192, 0x77, 4096);
    d.region = 3;
    d.payload = (const uint8_t *)c.client.regions[3].host + 8192;
    assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), 1);
    assert_int_equal(h.rings.send[0].region, 0); /* the helper's first */
    assert_int_equal(h.rings.send[0].offset, 8192);
    d.payload = private + 8192; /* says that it is of region 3, and lies elsewhere */
    assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), 1);
    assert_int_equal(h.rings.send[1].region, APN_RING_NO_REGION);
    apn_rings_send_release(&h.rings, 1);
    d.region = 4;
    assert_int_equal(apn_dpdk_port_send(port, NULL, &d, 1), 1);
    assert_int_equal(h.rings.send[2].region, APN_RING_NO_REGION);
    assert_int_equal(apn_rings_send_buffer(&h.rings, 2)[4096], 0x77);
    apn_dpdk_port_close(port);
    apn_dpdk_client_done(&c.client);
    helper_die(&h);
    close(fd);
    munmap(private, r.length);
}

static void what_is_wrong_is_said(void **state)
{
    const struct apn_backend_config config = {.clock = &apn_clock_monotonic, .host = "10.0.0.2", .port = "4444"};
    const struct lies refused = {.refuse = -EACCES};
    struct apn_backend *be = NULL;
    struct apn_error err = {0};
    struct helper h = {0};
    char option[100];

    (void)state;
    assert_int_equal(apn_dpdk_backend_new(&be, &config, "socket=/nowhere/apn.sock", &err), -ENODEV);
    assert_non_null(strstr(err.text, "/nowhere/apn.sock"));
    assert_non_null(strstr(err.text, "apn-dpdk --port="));
    err = (struct apn_error){0};
    assert_int_equal(apn_dpdk_backend_new(&be, &config, "sockets=/nowhere", &err), -EINVAL);
    assert_non_null(strstr(err.text, "socket=PATH"));
    err = (struct apn_error){0};
    helper_start(&h, &refused);
    snprintf(option, sizeof(option), "socket=%s,ceiling=1Gbit", h.path);
    assert_int_equal(apn_dpdk_backend_new(&be, &config, option, &err), -EPERM);
    assert_non_null(strstr(err.text, "user 1000 may not"));
    assert_null(be);
    helper_die(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_pass_both_ways),
        cmocka_unit_test(a_full_ring_takes_no_more),
        cmocka_unit_test(words_are_heard),
        cmocka_unit_test(a_helper_that_writes_nonsense_is_left),
        cmocka_unit_test(rings_that_do_not_fit_are_refused),
        cmocka_unit_test(a_helper_that_dies_is_noticed_at_once),
        cmocka_unit_test(shared_memory_is_named_and_private_copied),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
