/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backend.h - the small ops table that every way of moving messages implements, filters included
 *
 * Theory of operation
 *   A backend makes links. A link is one lane's FIFO connection: messages come out in the order in which they were
 *   posted, or the link is down and no later byte ever lands. Nothing is lost silently: either the peer gets
 *   message n, or the link dies before n.
 *   The engine calls connect/post/poll/close of one link from one thread at a time (the lane's thread); wake() and
 *   the listener's callbacks may run on any thread. A filter is a backend whose links wrap another backend's links.
 *
 * Owner: the engine.   Thread: per function below.   Time: clock->now_ns, monotonic.   Units: bytes, ns. */
#ifndef APNMIG_BACKEND_H
#define APNMIG_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <apnmig/error.h>
#include <apnmig/region.h>

#ifdef __cplusplus
extern "C" {
#endif

/** struct apn_clock - time is an argument, so that the same code runs in virtual time */
struct apn_clock {
    uint64_t (*now_ns)(void *opaque);
    void *opaque;
};
static inline uint64_t apn_clock_now(const struct apn_clock *clock)
{
    return clock->now_ns(clock->opaque);
}

/** enum apn_msg_type - values are wire values (docs/wire-protocol.md); 0 is invalid.
 * R = reliable: counted by the applied accounting and replayed when its lane is lost. */
enum apn_msg_type {
    APN_MSG_INVALID = 0,
    APN_MSG_EXTENT = 1,    /* R region, offset, span; kind; payload for DATA */
    APN_MSG_STREAM = 2,    /* R offset = position in the sender's stream, value = fence that must be complete first (0: none); payload */
    APN_MSG_FENCE = 3,     /* R offset = fence id (1..), lane = logical lane that has been sent up to here */
    APN_MSG_REGIONS = 4,   /* R payload = table piece; offset = first index, value = total regions */
    APN_MSG_REGIONS_OK = 5,/* R destination has matched the table */
    APN_MSG_PREFAULT = 6,  /* R region, offset, value = bytes: granules that will receive data */
    APN_MSG_READY = 7,     /* R destination has loaded (safe commit) */
    APN_MSG_GRANT = 8,     /* R value = the source's stream length */
    APN_MSG_STARTED = 9,   /* R destination owns the guest */
    APN_MSG_WONT = 10,     /* R destination will never start; payload = UTF-8 reason */
    APN_MSG_ABORT = 11,    /* R this attempt is over (before the grant); payload = UTF-8 reason */
    APN_MSG_RETIRE = 12,   /* R source asks: close logical lane @lane for good */
    APN_MSG_RETIRED = 13,  /* R destination has closed it, nothing of it can land any more; value = reliable bytes it had applied */
    APN_MSG_BYE = 14,      /* R orderly end: no more messages from this side */
    APN_MSG_POSTCOPY_REQUEST = 15, /* R destination waits for region, offset, span; span 0: it listens, pages may come;
                                    * value 1: it reads them itself, the source need not answer */
    APN_MSG_POSTCOPY_PAGE = 16,    /* R as EXTENT, but staged and placed: never written over what is there */
    APN_MSG_APPLIED = 32,  /* offset = reliable wire bytes applied on this lane, value = stream position consumed, span = hold us */
    APN_MSG_PING = 33,
    APN_MSG_PONG = 34,
    /* reserved: 17 RDMA_DESCRIPTOR */
};
#define APN_MSG_IS_RELIABLE(type) ((type) > 0 && (type) < 32)
#define APN_MSG_HAS_PAGES(type)   ((type) == APN_MSG_EXTENT || (type) == APN_MSG_POSTCOPY_PAGE)

enum apn_extent_kind {
    APN_EXTENT_DATA = 1,  /* payload = contents, bytes == span */
    APN_EXTENT_ZERO = 2,  /* no payload */
    APN_EXTENT_SAME = 3,  /* reserved: the destination holds this content */
    APN_EXTENT_DELTA = 4, /* reserved: payload is a delta, bytes < span */
};

#define APN_STREAM_CHUNK_MAX (64u << 10)
#define APN_CONTROL_MAX      (64u << 10) /* payload bytes of any message that is not an extent */

/**
 * struct apn_msg - one message, host byte order
 * @type:    enum apn_msg_type       @kind: enum apn_extent_kind for extents, else 0
 * @region:  extents, PREFAULT       @lane: logical lane of FENCE, RETIRE, RETIRED
 * @bytes:   payload bytes on the wire
 * @span:    guest bytes covered by an extent, else see the type
 * @offset, @value: see the type
 * @payload: posting: must stay valid and mapped until the message is applied or the link is closed; guest RAM may
 *           change meanwhile. Receiving: valid until the next poll of that link; NULL for extents, whose
 *           contents are already in guest RAM when the event is delivered.
 */
struct apn_msg {
    uint8_t type;
    uint8_t kind;
    uint16_t region;
    uint16_t lane;
    uint32_t bytes;
    uint32_t span;
    uint64_t offset;
    uint64_t value;
    const void *payload;
};

/** apn_msg_clears() - is @msg an extent whose memory the taker of its event sets to zero? */
static inline bool apn_msg_clears(const struct apn_msg *msg)
{
    return msg->type == APN_MSG_EXTENT && msg->kind == APN_EXTENT_ZERO;
}

enum apn_event_type {
    APN_EVENT_UP = 1, /* handshake done; welcome holds the peer's words */
    APN_EVENT_MSG,
    APN_EVENT_DOWN,   /* error says why; last event of a link */
    APN_EVENT_FETCHED, /* a read that ops->fetch began is complete: msg as a POSTCOPY_PAGE with contents, from no message of the peer */
};

/** enum apn_feature - bits of hello and welcome (wire values) */
enum apn_feature {
    APN_FEATURE_POSTCOPY = 1u << 0, /* messages 15 and 16; the last lane is the urgent one */
    APN_FEATURE_RESUME = 1u << 1,   /* goes on with a paused postcopy of the same session id */
};

/** struct apn_hello - who opens a lane, and what it expects (all numbers host order; wire form in wire/handshake.h) */
struct apn_hello {
    uint8_t session_id[16];
    uint16_t lane;
    uint16_t lanes;
    uint32_t generation;     /* 1 for the first connection of a lane, +1 each reopening */
    uint32_t commit;         /* enum apn_commit */
    uint32_t timeout_ms;
    uint64_t features;       /* enum apn_feature bits this end can do */
    uint64_t applied_bytes;  /* reliable bytes this end has applied on earlier generations of the lane */
};
/** struct apn_welcome - the acceptor's answer */
struct apn_welcome {
    uint64_t features;       /* chosen: subset of the hello's */
    uint64_t applied_bytes;  /* as in the hello, seen from the acceptor */
};

struct apn_event {
    enum apn_event_type type;
    struct apn_msg msg;
    struct apn_welcome welcome;
    struct apn_error error;
};

struct apn_backend;
struct apn_link;

/** struct apn_sink - how a backend finds the guest memory that an extent goes to (any lane thread) */
struct apn_sink {
    /** @resolve: host address of [offset, offset+span) of @region, or NULL when the peer may not write there */
    void *(*resolve)(void *opaque, unsigned region, uint64_t offset, uint32_t span);
    void *opaque;
};

/** struct apn_acceptor - the engine's side of a listener; called from the backend's accept thread without locks held */
struct apn_acceptor {
    /** @authorise: peer has proved the secret (if any) and says @hello. Must make sure that no byte of an earlier
     * generation of this lane can land any more before it returns 0 (may block for that, < 1 s).
     * Return: 0 and @welcome; -errno and @err (its text goes to the peer). */
    int (*authorise)(void *opaque, const struct apn_hello *hello, struct apn_welcome *welcome, struct apn_error *err);
    /** @attach: the link is up; ownership passes to the engine */
    void (*attach)(void *opaque, const struct apn_hello *hello, struct apn_link *link);
    /** @stranger: a connection that ended before it was authorised, for the log */
    void (*stranger)(void *opaque, const char *text);
    void *opaque;
};

struct apn_backend_config {
    const struct apn_clock *clock;
    const char *host;
    const char *port;
    const void *secret;
    size_t secret_bytes;
    uint32_t handshake_timeout_ms; /* one connection attempt, TCP connect included */
    uint64_t window_hint_bytes;    /* 0 = unknown: the most that will be in flight on one link, for socket buffers */
    const char *send_mode;         /* "auto", "copy", "zero-copy" */
    struct apn_sink sink;
    void *world;                   /* loop: struct apn_loop_world * */
};

enum apn_backend_caps {
    APN_CAP_ONE_SIDED = 1u << 0, /* payload is written by the peer's NIC (rdma) */
    APN_CAP_ZERO_COPY = 1u << 1,
    APN_CAP_VIRTUAL = 1u << 2,   /* runs in virtual time: no threads, poll never blocks */
    APN_CAP_REPAIRS = 1u << 3,   /* sends again what the path loses, and bounds what is in the network (datagrams) */
};

#define APN_BACKEND_NOTE_MAX 512

struct apn_backend_counters {
    uint64_t zerocopy_bytes;
    uint64_t copied_bytes;
    uint64_t requests_in_flight;     /* rdma: work requests handed to the adapter, completion not seen */
    uint64_t requests_in_flight_max;
    uint64_t requests;               /* all of them: WRITEs and SENDs */
    uint64_t doorbells;              /* times that requests were handed over */
    uint64_t registered_bytes;       /* guest memory known to the adapter */
    uint64_t registrations;
    uint64_t registrations_late;     /* made after the first page moved: none is expected */
    char send_mode[24];
    char note[APN_BACKEND_NOTE_MAX]; /* for the administrator, e.g. buffers that were not granted; "" = none, "; " between sentences */
};

/**
 * struct apn_backend_ops - contract of a backend
 *
 * @connect: start opening @hello's lane; does not wait for the network. *out's first events are UP or DOWN.
 * @listen:  bind and start accepting; strangers are limited and time out. *port is the bound port.
 * @region_add: guest RAM that posts and resolves will name; after it pinned or registered as the backend sees fit.
 *           -ENOMEM etc. only when the region cannot be served at all.
 * @post:    all @n messages, or -EAGAIN (nothing taken: poll, then retry), or -errno (link is down; DOWN follows).
 * @poll:    moves bytes both ways, fills at most @max events; waits up to @timeout_ns for the first (0 = do not wait; a
 *           backend with APN_CAP_VIRTUAL never waits). Return: number of events.
 *           The taker clears the memory of a ZERO extent, so contents that came behind it may not have landed in that place when
 *           its event is returned: end the batch there, or keep such contents back.
 * @wake:    any thread: make a poll that waits return early. Never blocks.
 * @fetch:   NULL, or read one page (@bytes = APN_PAGE_SIZE) of the peer's region @region, by the peer's number, without its
 *           threads; the lane's thread, between polls. What is read is as old as the moment of reading: of use only while nobody
 *           writes there (postcopy). Return: 0, then FETCHED follows, in order of asking, or DOWN; -EAGAIN: no room now; -ENOTSUP:
 *           not this link, or not that memory. It is never needed: whoever wants the page can ask for it by a message.
 * @link_close: after it returns, no byte of this link lands in guest RAM and no posted memory is read any more.
 * @counters: totals of the backend, any thread.
 * @free:    all links are closed; stops listening.
 */
struct apn_backend_ops {
    const char *name;
    int (*connect)(struct apn_backend *be, const struct apn_hello *hello, struct apn_link **out, struct apn_error *err);
    int (*listen)(struct apn_backend *be, const struct apn_acceptor *acceptor, uint16_t *port, struct apn_error *err);
    int (*region_add)(struct apn_backend *be, unsigned region, const struct apn_region *r, struct apn_error *err);
    int (*post)(struct apn_link *link, const struct apn_msg *msgs, unsigned n);
    int (*poll)(struct apn_link *link, struct apn_event *events, unsigned max, int64_t timeout_ns);
    void (*wake)(struct apn_link *link);
    int (*fetch)(struct apn_link *link, unsigned region, uint64_t offset, uint32_t bytes);
    void (*link_close)(struct apn_link *link);
    void (*counters)(struct apn_backend *be, struct apn_backend_counters *out);
    void (*free)(struct apn_backend *be);
};

/** struct apn_backend - base, embedded first in every backend and filter */
struct apn_backend {
    const struct apn_backend_ops *ops;
    uint32_t caps;      /* enum apn_backend_caps */
    uint32_t post_max;  /* most messages one post may hold, >= 1 */
};
/** struct apn_link - base, embedded first in every link */
struct apn_link {
    struct apn_backend *backend;
};

/** apn_backend_new() - make the backend called @name, wrapped by @filters (see filter/filter.h); the one place that knows them all
 * Return: 0, -ENOENT (text lists the names), -EINVAL, -ENOMEM, or what the backend says (e.g. -EPERM: no io_uring here). */
int apn_backend_new(struct apn_backend **out, const char *name, const char *filters, const struct apn_backend_config *config,
                    struct apn_error *err);

#ifdef __cplusplus
}
#endif
#endif
