/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* listener.c - the port: one thread that accepts, shakes hands and hands over links
 *
 * Theory of operation
 *   Strangers are expected. At most GUESTS_MAX connections may be in their handshake; each has the
 * handshake timeout to finish it. When all places are taken, the oldest guest that has had
 * GUEST_GRACE_NS gives way to a new one, so that a crowd that says nothing cannot keep the real
 * peer out. A guest costs a descriptor and a kilobyte; nothing of the session is touched before it
 * has proved itself.
 *
 * Owner: the backend.   Thread: its own; stop() from the thread that frees the backend.
 * Time: config->clock.   Units: ns, ms. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/listener.h"
#include "backend/socket.h"
#include "support/clock.h"
#include "wire/handshake.h"

#define GUESTS_MAX     16u
#define SOCKETS_MAX    8u /* addresses that one name may listen on */
#define BACKLOG        64
#define PICKS_MAX      8u
#define GUEST_GRACE_NS (500 * APN_NS_PER_MS)
#define PAUSE_NS                                                                                   \
    (100 * APN_NS_PER_MS) /* after accept() failed for lack of descriptors or memory               \
                           */

struct guest {
    int fd; /* -1: place is free */
    uint64_t since_ns;
    struct apn_handshake hs;
    char address[APN_TCP_ADDRESS_TEXT];
};

struct apn_listener {
    struct apn_listener_hooks hooks;
    struct apn_acceptor acceptor;
    int sockets[SOCKETS_MAX];
    unsigned socket_count;
    int stop_fd; /* ends a wait */
    atomic_bool stopping;
    pthread_t thread;
    uint64_t paused_until_ns;
    struct guest guests[GUESTS_MAX];
};

static uint64_t now(const struct apn_listener *l)
{
    return apn_clock_now(l->hooks.config->clock);
}

static void tell(const struct apn_listener *l, const char *who, const char *what)
{
    char text[APN_ERROR_TEXT_MAX + APN_TCP_ADDRESS_TEXT + 4];

    if (l->acceptor.stranger) {
        snprintf(text, sizeof(text), "%s: %s", who, what);
        l->acceptor.stranger(l->acceptor.opaque, text);
    }
}

/* ---- guests --------------------------------------------------------------- */

static void guest_leave(struct guest *guest)
{
    uint8_t unread[APN_WIRE_HS_MAX];

    /* a PROOF that came with its HELLO: closed over, it would be answered with a reset, which can take our REJECT with it */
    (void)!recv(guest->fd, unread, sizeof(unread), MSG_DONTWAIT);
    close(guest->fd);
    guest->fd = -1;
}

static void guest_dismiss(struct apn_listener *l, struct guest *guest, const char *why)
{
    tell(l, guest->address, why);
    guest_leave(guest);
}

/* Handshake is over: the socket becomes a link and leaves this thread. */
static void guest_attach(struct apn_listener *l, struct guest *guest)
{
    struct apn_error err = {0};
    struct apn_link *link;

    apn_tcp_tune(guest->fd, guest->hs.hello.timeout_ms);
    link = l->hooks.adopt(l->hooks.opaque, &guest->hs.hello, &guest->hs.welcome, guest->fd, &err);
    if (!link) {
        guest_dismiss(l, guest, err.text);
        return;
    }
    guest->fd = -1;
    l->acceptor.attach(l->acceptor.opaque, &guest->hs.hello, link);
}

static void guest_decide(struct apn_listener *l, struct guest *guest)
{
    struct apn_welcome welcome = {0};
    struct apn_error err = {0};
    int ret = l->acceptor.authorise(l->acceptor.opaque, &guest->hs.hello, &welcome, &err);

    if (ret >= 0 && l->hooks.decide) {
        ret = l->hooks.decide(l->hooks.opaque, &guest->hs.hello, guest->fd, &welcome, &err);
    }
    if (ret < 0) {
        apn_handshake_reject(&guest->hs, ret, err.code ? err.text : strerror(-ret));
    } else {
        apn_handshake_welcome(&guest->hs, &welcome);
    }
}

/* Return: 1 something moved, 0 must wait, -errno the connection is over */
static int guest_move(struct guest *guest)
{
    uint8_t input[APN_WIRE_HS_MAX];
    const uint8_t *output;
    size_t pending = apn_handshake_output(&guest->hs, &output);
    size_t wants = apn_handshake_wants(&guest->hs);
    ssize_t n;

    if (pending) {
        n = send(guest->fd, output, pending, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            apn_handshake_sent(&guest->hs, (size_t)n);
            return 1;
        }
    } else if (wants) {
        n = recv(guest->fd, input, wants, MSG_DONTWAIT);
        if (n > 0) {
            apn_handshake_input(&guest->hs, input, (size_t)n);
            return 1;
        }
        if (n == 0) {
            return -ECONNRESET;
        }
    } else {
        return 0;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void guest_serve(struct apn_listener *l, struct guest *guest)
{
    const uint8_t *output;
    int moved;

    do {
        moved = guest_move(guest);
        if (moved < 0) {
            guest_dismiss(l, guest,
                          guest->hs.error.code ? guest->hs.error.text
                                               : "left before the handshake was complete");
            return;
        }
        if (guest->hs.step == APN_HS_STEP_DECIDE) {
            guest_decide(l, guest);
        }
        if (apn_handshake_output(&guest->hs, &output) == 0 && guest->hs.step == APN_HS_STEP_DONE) {
            guest_attach(l, guest);
            return;
        }
        if (apn_handshake_output(&guest->hs, &output) == 0 &&
            guest->hs.step == APN_HS_STEP_FAILED) {
            guest_dismiss(l, guest, guest->hs.error.text);
            return;
        }
    } while (moved);
}

static void guests_expire(struct apn_listener *l)
{
    uint64_t now_ns = now(l), limit_ns = l->hooks.config->handshake_timeout_ms * APN_NS_PER_MS;
    char why[64];

    for (unsigned i = 0; i < GUESTS_MAX; i++) {
        if (l->guests[i].fd >= 0 && now_ns - l->guests[i].since_ns >= limit_ns) {
            snprintf(why, sizeof(why), "no handshake within %u ms",
                     l->hooks.config->handshake_timeout_ms);
            guest_dismiss(l, &l->guests[i], why);
        }
    }
}

/* ---- accepting ------------------------------------------------------------ */

/* a free place, or that of the oldest guest when it has had its time; NULL: none */
static struct guest *find_place(struct apn_listener *l, uint64_t now_ns, bool evict)
{
    struct guest *oldest = NULL;

    for (unsigned i = 0; i < GUESTS_MAX; i++) {
        struct guest *guest = &l->guests[i];

        if (guest->fd < 0) {
            return guest;
        }
        if (!oldest || guest->since_ns < oldest->since_ns) {
            oldest = guest;
        }
    }
    if (now_ns - oldest->since_ns < GUEST_GRACE_NS) {
        return NULL;
    }
    if (evict) {
        guest_dismiss(l, oldest,
                      "gave way to a newer connection (16 handshakes at once are the limit)");
    }
    return oldest;
}

static void welcome_guest(struct apn_listener *l, int fd,
                          const struct sockaddr_storage *address, socklen_t bytes)
{
    struct guest *guest = find_place(l, now(l), true);
    uint8_t nonce[32];

    if (!guest || getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce)) {
        close(fd);
        return;
    }
    guest->fd = fd;
    guest->since_ns = now(l);
    apn_tcp_address_text((const struct sockaddr *)address, bytes, guest->address);
    apn_handshake_server_init(&guest->hs, l->hooks.config->secret, l->hooks.config->secret_bytes, nonce);
    guest_serve(l, guest);
}

static void accept_some(struct apn_listener *l, int socket)
{
    for (unsigned i = 0; i < GUESTS_MAX && find_place(l, now(l), false); i++) {
        struct sockaddr_storage address;
        socklen_t bytes = sizeof(address);
        int fd = accept4(socket, (struct sockaddr *)&address, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            welcome_guest(l, fd, &address, bytes);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            tell(l, "accept", strerror(errno));
            l->paused_until_ns = now(l) + PAUSE_NS;
        }
        return; /* nothing more to accept, or the one that was is gone */
    }
}

/* ---- the thread ------------------------------------------------------------ */

static unsigned fill(struct apn_listener *l, struct pollfd *fds, uint64_t now_ns,
                     int *wait_ms)
{
    uint64_t limit_ns = l->hooks.config->handshake_timeout_ms * APN_NS_PER_MS, wake_ns = UINT64_MAX;
    bool paused = now_ns < l->paused_until_ns, place = find_place(l, now_ns, false) != NULL;
    unsigned n = 0;

    fds[n++] = (struct pollfd){.fd = l->stop_fd, .events = POLLIN};
    for (unsigned i = 0; i < l->socket_count; i++) {
        fds[n++] = (struct pollfd){.fd = paused || !place ? -1 : l->sockets[i], .events = POLLIN};
    }
    if (paused) {
        wake_ns = l->paused_until_ns;
    }
    for (unsigned i = 0; i < GUESTS_MAX; i++) {
        const struct guest *guest = &l->guests[i];
        const uint8_t *output;

        fds[n++] =
            (struct pollfd){.fd = guest->fd,
                            .events = apn_handshake_output(&guest->hs, &output) ? POLLOUT : POLLIN};
        if (guest->fd >= 0) {
            uint64_t due_ns = guest->since_ns + (place ? limit_ns : GUEST_GRACE_NS);

            wake_ns = due_ns < wake_ns ? due_ns : wake_ns;
        }
    }
    *wait_ms = wake_ns == UINT64_MAX ? -1
               : wake_ns <= now_ns   ? 0
                                     : (int)((wake_ns - now_ns) / APN_NS_PER_MS) + 1;
    return n;
}

static void *accept_thread(void *opaque)
{
    struct apn_listener *l = opaque;
    struct pollfd fds[1 + SOCKETS_MAX + GUESTS_MAX];

    while (!atomic_load(&l->stopping)) {
        int wait_ms;
        unsigned n = fill(l, fds, now(l), &wait_ms);

        if (poll(fds, n, wait_ms) < 0) { /* EINTR, ENOMEM: the port must outlive it */
            struct timespec pause = {.tv_nsec = (long)(errno == EINTR ? 0 : PAUSE_NS)};

            nanosleep(&pause, NULL);
            continue;
        }
        for (unsigned i = 0; i < GUESTS_MAX;
             i++) { /* before expiry: authorise() of another guest may have taken long */
            if (l->guests[i].fd >= 0 && fds[1 + l->socket_count + i].revents) {
                guest_serve(l, &l->guests[i]);
            }
        }
        guests_expire(l);
        for (unsigned i = 0; i < l->socket_count; i++) {
            if (fds[1 + i].revents) {
                accept_some(l, l->sockets[i]);
            }
        }
    }
    return NULL;
}

/* ---- start and stop --------------------------------------------------------- */

static void set_port(struct sockaddr *address, uint16_t port)
{
    if (address->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    }
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &bytes)) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

/* Return: fd or -errno */
static int listen_on(const struct apn_listener_hooks *hooks, const struct addrinfo *a)
{
    const int on = 1;
    char note[APN_ERROR_TEXT_MAX] = "";
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ret;

    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on,
                   sizeof(on)); /* IPv4 has a socket of its own */
    }
    apn_tcp_buffers(fd, hooks->config->window_hint_bytes, note, sizeof(note));
    hooks->note(hooks->opaque, note);
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, BACKLOG)) {
        ret = -errno;
        close(fd);
        return ret;
    }
    return fd;
}

static bool listed_before(const struct addrinfo *list, const struct addrinfo *a)
{
    for (; list != a; list = list->ai_next) {
        if (list->ai_addrlen == a->ai_addrlen &&
            !memcmp(list->ai_addr, a->ai_addr, a->ai_addrlen)) {
            return true; /* a hosts file may name an address twice */
        }
    }
    return false;
}

/* Every address that works. A family that the machine does not have is no error as long as another
 * one works. When the port is left to the kernel, all share the one that the first was given.
 * Return: 0, or why an address that should work does not (its text in @text). */
static int listen_on_all(struct apn_listener *l, const struct addrinfo *list, uint16_t *port,
                         char text[APN_TCP_ADDRESS_TEXT])
{
    int failed = 0;

    for (const struct addrinfo *a = list; a && l->socket_count < SOCKETS_MAX; a = a->ai_next) {
        int ret;

        if (*port) {
            set_port(a->ai_addr, *port);
        }
        if (listed_before(list, a)) {
            continue;
        }
        ret = listen_on(&l->hooks, a);
        if (ret >= 0) {
            l->sockets[l->socket_count++] = ret;
            *port = bound_port(ret);
            set_port(a->ai_addr, *port);
        } else if (ret != -EAFNOSUPPORT && (ret != -EADDRNOTAVAIL || !l->socket_count)) {
            failed = ret;
            apn_tcp_address_text(a->ai_addr, a->ai_addrlen, text);
        }
    }
    return l->socket_count == 0 || failed == -EADDRINUSE ? (failed ? failed : -EAFNOSUPPORT) : 0;
}

static void close_sockets(struct apn_listener *l)
{
    while (l->socket_count) {
        close(l->sockets[--l->socket_count]);
    }
}

static int open_sockets(struct apn_listener *l, uint16_t *port, struct apn_error *err)
{
    const bool any_port = !strcmp(l->hooks.config->port, "0");
    char text[APN_TCP_ADDRESS_TEXT] = "";
    int ret = -EADDRINUSE;

    /* a port that is free in one family may be taken in the other: then the kernel picks again */
    for (unsigned tries = 0; ret == -EADDRINUSE && tries < (any_port ? PICKS_MAX : 1); tries++) {
        struct addrinfo *list;

        close_sockets(l);
        ret = apn_tcp_resolve(l->hooks.config->host, l->hooks.config->port, true, &list, err);
        if (ret) {
            return ret;
        }
        *port = 0;
        ret = listen_on_all(l, list, port, text);
        freeaddrinfo(list);
    }
    if (ret) {
        return apn_error_set(err, ret, APN_SCOPE_SESSION, "%s: listen on %s: %s", l->hooks.name,
                             *text ? text : l->hooks.config->host, strerror(-ret));
    }
    return 0;
}

int apn_listener_start(struct apn_listener **out, const struct apn_listener_hooks *hooks,
                       const struct apn_acceptor *acceptor, uint16_t *port, struct apn_error *err)
{
    struct apn_listener *l = calloc(1, sizeof(*l));
    uint16_t bound = 0;
    int ret;

    if (!l) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "%s: out of memory", hooks->name);
    }
    l->hooks = *hooks;
    l->acceptor = *acceptor;
    for (unsigned i = 0; i < GUESTS_MAX; i++) {
        l->guests[i].fd = -1;
    }
    l->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ret = l->stop_fd < 0
              ? apn_error_set(err, -errno, APN_SCOPE_SESSION, "%s: eventfd: %s", hooks->name, strerror(errno))
              : open_sockets(l, &bound, err);
    if (ret) {
        goto fail;
    }
    ret = -pthread_create(&l->thread, NULL, accept_thread, l);
    if (ret) {
        apn_error_set(err, ret, APN_SCOPE_SESSION, "%s: accept thread: %s", hooks->name, strerror(-ret));
        goto fail;
    }
    *port = bound;
    *out = l;
    return 0;
fail:
    close_sockets(l);
    if (l->stop_fd >= 0) {
        close(l->stop_fd);
    }
    free(l);
    return ret;
}

void apn_listener_stop(struct apn_listener *l)
{
    const uint64_t one = 1;

    if (!l) {
        return;
    }
    atomic_store(&l->stopping, true);
    if (write(l->stop_fd, &one, sizeof(one)) < 0) {
        /* only when it has been told already */
    }
    pthread_join(l->thread, NULL);
    for (unsigned i = 0; i < GUESTS_MAX; i++) {
        if (l->guests[i].fd >= 0) {
            guest_leave(&l->guests[i]);
        }
    }
    close_sockets(l);
    close(l->stop_fd);
    free(l);
}
