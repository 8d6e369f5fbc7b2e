/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dpdk_rings.c - rings between two processes: order, room, sleep; an other side that writes nonsense; files behind memory;
 * messages with descriptors */
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
#include <unistd.h>

#include <cmocka.h>

#include "backend/dpdk/client.h"
#include "dpdk/shared/control.h"
#include "dpdk/shared/rings.h"

#define SLOTS APN_RING_SLOTS_MIN
#define SLOT  2048u

struct pair {
    struct apn_rings client, helper;
    void *memory;
};

static void open_pair(struct pair *p)
{
    struct apn_rings plan;
    size_t bytes = apn_rings_plan(&plan, NULL, SLOTS, SLOTS, SLOT);

    assert_int_not_equal(bytes, 0);
    p->memory = aligned_alloc(4096, bytes); /* exact: a sanitizer sees what is behind it */
    assert_non_null(p->memory);
    memset(p->memory, 0, bytes);
    assert_int_equal(apn_rings_plan(&p->client, p->memory, SLOTS, SLOTS, SLOT), bytes);
    assert_int_equal(apn_rings_plan(&p->helper, p->memory, SLOTS, SLOTS, SLOT), bytes);
}

static void geometry_is_bounded(void **state)
{
    const uint32_t bad[][3] = {{0, 64, 2048}, {64, 0, 2048}, {63, 64, 2048}, {96, 64, 2048}, {64, 8192, 2048}, {64, 64, 100}, {64, 64, 65537},
                               {UINT32_MAX, 64, 2048}, {64, 64, UINT32_MAX}};
    struct apn_rings r;

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(apn_rings_plan(&r, NULL, bad[i][0], bad[i][1], bad[i][2]), 0);
    }
    for (uint32_t slot = APN_RING_SLOT_MIN; slot <= APN_RING_SLOT_MAX; slot += 499) {
        const uint32_t slots = apn_rings_slots(slot);
        size_t bytes = apn_rings_plan(&r, (void *)4096, slots, slots, slot);

        assert_in_range(bytes, 1, 64u << 20);
        assert_true(r.come_buffers + (size_t)(slots - 1) * r.stride + slot <= r.memory + bytes);
        assert_true(r.send_buffers + (size_t)slots * r.stride <= r.come_buffers);
        assert_true((uint8_t *)(r.come + slots) <= r.send_buffers);
    }
}

static void entries_pass_in_order_and_room_is_kept(void **state)
{
    struct pair p;
    uint32_t made = 0, taken = 0;

    (void)state;
    open_pair(&p);
    p.client.made = p.helper.taken = UINT32_MAX - 100; /* indexes run over */
    atomic_store(&p.client.page->send_made.index, UINT32_MAX - 100);
    atomic_store(&p.client.page->send_taken.index, UINT32_MAX - 100);
    srand(3);
    while (taken < 2000) {
        int room = apn_rings_send_room(&p.client), n;

        assert_int_equal(room, SLOTS - (made - taken));
        n = room ? rand() % (room + 1) : 0;
        for (int i = 0; i < n; i++) {
            p.client.send[(p.client.made + (uint32_t)i) & (SLOTS - 1)].offset = made++;
        }
        apn_rings_send_publish(&p.client, (uint32_t)n);
        n = apn_rings_send_pending(&p.helper);
        assert_int_equal(n, made - taken);
        n = n ? rand() % (n + 1) : 0;
        for (int i = 0; i < n; i++) {
            assert_int_equal(p.helper.send[p.helper.taken & (SLOTS - 1)].offset, taken++);
            apn_rings_send_release(&p.helper, 1);
        }
    }
    free(p.memory);
}

static void nonsense_is_found(void **state)
{
    const uint32_t nonsense[] = {SLOTS + 1, UINT32_MAX, 0x80000000u, 12345};
    struct pair p;

    (void)state;
    open_pair(&p);
    for (unsigned i = 0; i < 4; i++) {
        atomic_store(&p.client.page->send_made.index, nonsense[i]);
        assert_int_equal(apn_rings_send_pending(&p.helper), -EPROTO);
        atomic_store(&p.client.page->come_taken.index, -nonsense[i]);
        assert_int_equal(apn_rings_come_room(&p.helper), -EPROTO);
        atomic_store(&p.client.page->come_made.index, nonsense[i]);
        assert_int_equal(apn_rings_come_pending(&p.client), -EPROTO);
        atomic_store(&p.client.page->send_taken.index, -nonsense[i]);
        assert_int_equal(apn_rings_send_room(&p.client), -EPROTO);
    }
    free(p.memory);
}

static void sleepers_are_woken_once_and_for_what_they_wish(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_false(apn_rings_send_publish(&p.client, 1));
    apn_rings_helper_sleeps(&p.helper, true);
    assert_true(apn_rings_send_publish(&p.client, 1));
    assert_false(apn_rings_send_publish(&p.client, 1));
    apn_rings_client_sleeps(&p.client, APN_RING_ARRIVAL);
    assert_false(apn_rings_client_wants_waking(&p.helper, APN_RING_ROOM));
    assert_true(apn_rings_client_wants_waking(&p.helper, APN_RING_ROOM | APN_RING_ARRIVAL));
    assert_false(apn_rings_client_wants_waking(&p.helper, APN_RING_ARRIVAL));
    free(p.memory);
}

/* ---- two threads: nothing is lost between "I sleep" and "wake up" --------------------------- */

#define PASSED 200000u

struct race {
    struct pair p;
    int bell[2];
};

static void *take_all(void *opaque)
{
    struct race *r = opaque;
    uint32_t taken = 0;
    char byte;

    while (taken < PASSED) {
        int n = apn_rings_send_pending(&r->p.helper);

        if (!n) {
            apn_rings_helper_sleeps(&r->p.helper, true);
            if (!apn_rings_send_pending(&r->p.helper) && recv(r->bell[0], &byte, 1, 0) != 1) {
                return NULL;
            }
            apn_rings_helper_sleeps(&r->p.helper, false);
        }
        for (int i = 0; i < n; i++) {
            if (r->p.helper.send[r->p.helper.taken & (SLOTS - 1)].offset != taken++) {
                return NULL;
            }
            apn_rings_send_release(&r->p.helper, 1);
        }
    }
    return r;
}

static void no_wake_up_is_lost(void **state)
{
    static struct race r;
    pthread_t thread;
    void *result;
    uint32_t made = 0;

    (void)state;
    open_pair(&r.p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, r.bell), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_all, &r), 0);
    while (made < PASSED) {
        if (apn_rings_send_room(&r.p.client) > 0) {
            r.p.client.send[r.p.client.made & (SLOTS - 1)].offset = made++;
            if (apn_rings_send_publish(&r.p.client, 1)) {
                apn_doorbell_ring(r.bell[1]);
            }
        }
    }
    assert_int_equal(pthread_join(thread, &result), 0); /* a lost one would hang, and the test's time runs out */
    assert_non_null(result);
    close(r.bell[0]);
    assert_int_equal(apn_doorbell_drain(r.bell[1]), -EPIPE);
    close(r.bell[1]);
    free(r.p.memory);
}

/* ---- messages ---------------------------------------------------------------------------------- */

static void messages_are_checked(void **state)
{
    struct apn_helper_msg msg = {.type = APN_HELPER_HELLO}, got;
    int pair[2], fds[APN_HELPER_FDS], give[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(pipe(give), 0);
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 0), -EAGAIN);
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 10), -ETIMEDOUT);
    assert_int_equal(apn_helper_send(pair[0], &msg, give, 2), 0);
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 100), 0);
    assert_true(fds[0] >= 0 && fds[1] >= 0 && got.type == APN_HELPER_HELLO);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(send(pair[0], &msg, sizeof(msg) - 1, 0), sizeof(msg) - 1); /* too short */
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 100), -EPROTO);
    msg.version = 99;
    assert_int_equal(send(pair[0], &msg, sizeof(msg), 0), sizeof(msg));
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 100), -EPROTO);
    msg.n_addresses = 200;
    assert_int_equal(apn_helper_send(pair[0], &msg, NULL, 0), 0);
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 100), -EPROTO);
    msg.n_addresses = 0;
    memset(msg.text, 'x', sizeof(msg.text)); /* without an end */
    assert_int_equal(apn_helper_send(pair[0], &msg, NULL, 0), 0);
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 100), 0);
    assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
    close(pair[0]);
    assert_int_equal(apn_helper_receive(pair[1], &got, fds, 100), -EPIPE);
    close(pair[1]);
    close(give[0]);
    close(give[1]);
}

/* ---- files behind memory ------------------------------------------------------------------------ */

static void the_file_behind_guest_memory_is_found(void **state)
{
    const size_t bytes = 8u << 20;
    int fd = memfd_create("guest", MFD_CLOEXEC), found;
    uint8_t *at, *rest;
    uint64_t offset;
    struct stat a, b;

    (void)state;
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    assert_int_equal(madvise(at + (1u << 20), 1u << 20, MADV_DONTFORK), 0); /* splits the mapping */
    found = apn_dpdk_find_file(at + 4096, bytes - 4096, &offset);
    assert_true(found >= 0);
    assert_int_equal(offset, 4096);
    assert_int_equal(fstat(fd, &a), 0);
    assert_int_equal(fstat(found, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_int_equal(fcntl(found, F_GETFL) & O_ACCMODE, O_RDONLY); /* the helper reads guests, it does not write them */
    close(found);
    assert_int_equal(apn_dpdk_find_file(at, bytes + 4096, &offset), -ENOENT); /* behind its end */
    close(fd);
    assert_int_equal(apn_dpdk_find_file(at, bytes, &offset), -ENOENT); /* nobody has it open */
    munmap(at, bytes);
    rest = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(rest != MAP_FAILED);
    assert_int_equal(apn_dpdk_find_file(rest, bytes, &offset), -ENOENT); /* private */
    munmap(rest, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry_is_bounded),
        cmocka_unit_test(entries_pass_in_order_and_room_is_kept),
        cmocka_unit_test(nonsense_is_found),
        cmocka_unit_test(sleepers_are_woken_once_and_for_what_they_wish),
        cmocka_unit_test(no_wake_up_is_lost),
        cmocka_unit_test(messages_are_checked),
        cmocka_unit_test(the_file_behind_guest_memory_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
