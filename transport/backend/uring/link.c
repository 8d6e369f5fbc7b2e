/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* link.c - life of a link: made, polled, closed; see link.h */
#include "backend/uring/link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/clock.h"

#define WAIT_MAX_NS (60 * APN_NS_PER_S) /* of one poll; a longer wish gets an early 0 */

static uint64_t now(const struct apn_uring_link *link)
{
    return apn_clock_now(apn_uring_link_backend(link)->config.clock);
}

/* io_uring waits for a socket only when it is a blocking one */
static void make_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0) {
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
}

static void become_up(struct apn_uring_link *link)
{
    struct apn_uring_backend *be = apn_uring_link_backend(link);

    make_blocking(link->fd);
    if (be->zerocopy_possible && atomic_load(&be->mode) == APN_URING_MODE_AUTO) {
        apn_uring_probe_start(&link->probe);
    }
}

struct apn_uring_link *apn_uring_link_new(struct apn_uring_backend *be,
                                          const struct apn_hello *hello, int fd,
                                          struct apn_error *err)
{
    struct apn_uring_link *link = calloc(1, sizeof(*link));

    if (!link) {
        apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "uring: lane %u: out of memory", hello->lane);
        return NULL;
    }
    link->base.backend = &be->base;
    link->hello = *hello;
    link->fd = -1;
    link->low_water = 1;
    link->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (link->wake_fd < 0) {
        apn_error_set(err, -errno, APN_SCOPE_LANE, "uring: lane %u: eventfd: %s", hello->lane,
                      strerror(errno));
        goto fail;
    }
    if (apn_uring_receiver_init(&link->rx, &be->config.sink) || apn_uring_sender_init(&link->tx)) {
        apn_error_set(err, -ENOMEM, APN_SCOPE_LANE, "uring: lane %u: out of memory", hello->lane);
        goto fail;
    }
    if (fd >= 0) {
        link->fd = fd;
        link->stage = APN_URING_UP;
        become_up(link);
    }
    return link;
fail:
    apn_uring_link_close(&link->base);
    return NULL;
}

/* ---- failing -------------------------------------------------------------- */

static void keep_reason(struct apn_uring_link *link, int code, const char *text)
{
    apn_error_set(&link->error, code, APN_SCOPE_LANE, "uring: lane %u: %s", link->hello.lane, text);
}

void apn_uring_link_fail(struct apn_uring_link *link, int code, const char *format, ...)
{
    char text[APN_ERROR_TEXT_MAX];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    keep_reason(link, code, text);
    if (link->stage < APN_URING_FAILED) {
        link->stage = APN_URING_FAILED;
    }
}

void apn_uring_link_stop_sending(struct apn_uring_link *link, int code)
{
    char text[APN_ERROR_TEXT_MAX];

    snprintf(text, sizeof(text), "send: %s", strerror(-code));
    keep_reason(link, code, text);
    shutdown(link->fd, SHUT_RDWR); /* the receive that is due ends after what has arrived */
}

/* ---- polling -------------------------------------------------------------- */

static unsigned take_messages(struct apn_uring_link *link, struct apn_event *events, unsigned max)
{
    unsigned n = 0;

    while (n < max && !link->damaged) {
        struct apn_error err = {0};
        int ret = apn_uring_receiver_next(&link->rx, &events[n].msg, &err);

        if (ret < 0) {
            link->damaged = true;
            apn_uring_link_fail(link, ret, "%s", err.text);
        }
        if (ret <= 0) {
            break;
        }
        events[n++].type = APN_EVENT_MSG;
        if (apn_msg_clears(&events[n - 1].msg)) {
            break; /* cleared by whoever takes the event: nothing behind it may land before that */
        }
    }
    return n;
}

static unsigned take_events(struct apn_uring_link *link, struct apn_event *events, unsigned max)
{
    unsigned n = 0;

    if (link->up_due) {
        link->up_due = false;
        become_up(link);
        events[n++] = (struct apn_event){.type = APN_EVENT_UP, .welcome = link->hs.welcome};
    }
    if (link->stage >= APN_URING_UP && link->stage < APN_URING_OVER) {
        n += take_messages(link, events + n, max - n);
    }
    if (link->stage == APN_URING_FAILED && n < max) {
        link->stage = APN_URING_OVER;
        events[n++] = (struct apn_event){.type = APN_EVENT_DOWN, .error = link->error};
    }
    return n;
}

static uint64_t earlier(const struct apn_uring_link *link, uint64_t deadline_ns)
{
    uint64_t own_ns = link->stage == APN_URING_CONNECTING ? link->address_deadline_ns
                      : link->stage == APN_URING_SHAKING  ? link->deadline_ns
                                                          : UINT64_MAX;

    return own_ns < deadline_ns ? own_ns : deadline_ns;
}

/* one step towards something to tell; true when the kernel was asked */
static void advance(struct apn_uring_link *link, uint64_t deadline_ns)
{
    if (link->stage < APN_URING_UP) {
        apn_uring_connect_step(link, now(link));
        if (link->stage >= APN_URING_UP) {
            return;
        }
    } else {
        apn_uring_ring_feed(link);
    }
    apn_uring_ring_enter(link, deadline_ns ? earlier(link, deadline_ns) : 0);
}

int apn_uring_link_poll(struct apn_link *base, struct apn_event *events, unsigned max,
                        int64_t timeout_ns)
{
    struct apn_uring_link *link = (struct apn_uring_link *)base;
    uint64_t wait_ns =
        timeout_ns < 0 || (uint64_t)timeout_ns > WAIT_MAX_NS ? WAIT_MAX_NS : (uint64_t)timeout_ns;
    uint64_t deadline_ns = wait_ns ? now(link) + wait_ns : 0;
    bool entered = false;
    unsigned n;
    int ret;

    if (max == 0) {
        return 0;
    }
    if (!link->has_ring && link->stage < APN_URING_FAILED) {
        ret = apn_uring_ring_open(link);
        if (ret) {
            apn_uring_explain_setup(ret, &link->error);
            apn_uring_link_fail(link, ret, "no ring");
        }
    }
    for (;;) {
        n = take_events(link, events, max);
        if (n || link->stage == APN_URING_OVER || link->woken ||
            (entered && (deadline_ns == 0 || now(link) >= deadline_ns))) {
            break;
        }
        advance(link, deadline_ns);
        entered = true;
    }
    link->woken = false;
    return (int)n;
}

int apn_uring_link_post(struct apn_link *base, const struct apn_msg *msgs, unsigned n)
{
    struct apn_uring_link *link = (struct apn_uring_link *)base;

    if (link->stage != APN_URING_UP || link->error.code) {
        return link->stage < APN_URING_UP ? -ENOTCONN : -EPIPE;
    }
    return apn_uring_sender_post(&link->tx, msgs, n);
}

void apn_uring_link_wake(struct apn_link *base)
{
    struct apn_uring_link *link = (struct apn_uring_link *)base;
    const uint64_t one = 1;

    if (!atomic_exchange(&link->wake_pending, true) &&
        write(link->wake_fd, &one, sizeof(one)) < 0) {
        /* full means that a wake is pending already */
    }
}

/* ---- closing -------------------------------------------------------------- */

/* Everything posted has left: let it arrive (FIN). Anything else ends at once (RST), so that
 * nothing is read or lands later. */
static void end_connection(struct apn_uring_link *link)
{
    if (link->has_ring && link->stage == APN_URING_UP && !link->error.code) {
        apn_uring_ring_feed(link);
        apn_uring_ring_enter(link, 0);
    }
    if (link->stage == APN_URING_UP && !link->error.code && apn_uring_sender_idle(&link->tx)) {
        shutdown(link->fd, SHUT_RDWR);
    } else {
        apn_tcp_reset(link->fd);
    }
}

void apn_uring_link_close(struct apn_link *base)
{
    struct apn_uring_link *link = (struct apn_uring_link *)base;

    if (!link) {
        return;
    }
    if (link->fd >= 0) {
        end_connection(link);
    }
    apn_uring_ring_close(link);
    if (link->fd >= 0) {
        close(link->fd);
    }
    if (link->wake_fd >= 0) {
        close(link->wake_fd);
    }
    apn_uring_receiver_done(&link->rx);
    apn_uring_sender_done(&link->tx);
    free(link);
}
