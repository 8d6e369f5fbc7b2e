/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.h - one virtual machine's migration over one path
 * Owner: apn_session_new/_free.   Thread: every call here may come from any thread unless it says
 * otherwise; none may be made from inside a hook.   Time: monotonic, inside.   Units: in the names. */
#ifndef APNMIG_SESSION_H
#define APNMIG_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <apnmig/error.h>
#include <apnmig/postcopy.h>
#include <apnmig/region.h>
#include <apnmig/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

struct apn_session;

enum apn_role { APN_ROLE_SOURCE = 1, APN_ROLE_DEST = 2 };

/** enum apn_commit - who may run the guest, and when that is settled (docs/switchover.md) */
enum apn_commit {
    APN_COMMIT_FAST, /* the end of the device state is the grant: half a round trip */
    APN_COMMIT_SAFE, /* the destination loads, reports ready, then is granted: one and a half */
};

/** enum apn_state - one machine for both roles; the table is in engine/state.c */
enum apn_state {
    APN_STATE_NEW,        /* configured, nothing opened */
    APN_STATE_CONNECTING, /* source: opening lanes.  destination: listening */
    APN_STATE_SETUP,      /* lanes are up, regions are being matched */
    APN_STATE_PRECOPY,    /* extents flow; the guest runs at the source */
    APN_STATE_SWITCHOVER, /* source guest stopped, the rest flows.  destination: stays in PRECOPY */
    APN_STATE_READY,      /* safe commit: destination has loaded, no grant yet */
    APN_STATE_GRANTED,    /* the commit point is behind us: the source never resumes by itself */
    APN_STATE_POSTCOPY,   /* the destination runs the guest, its memory is still coming */
    APN_STATE_DONE,       /* destination owns the guest, and the source knows */
    APN_STATE_FAILED,     /* this attempt is over; the guest belongs to the source */
    APN_STATE_UNKNOWN,    /* source only: granted, and the path was lost before the answer */
    APN_STATE_PAUSED,     /* postcopy: the path was lost; both ends keep everything, a new session resumes */
};
const char *apn_state_name(enum apn_state state);

enum apn_trace_level { APN_TRACE_STATE, APN_TRACE_LANE, APN_TRACE_DETAIL };

/**
 * struct apn_session_config - everything a session is told; copied by apn_session_new()
 *
 * Zero means "the default" for every number. Strings are copied.
 */
struct apn_session_config {
    enum apn_role role;
    enum apn_commit commit;        /* both ends must agree; the source's choice is announced */
    const char *host;              /* source: peer; destination: address to listen on ("" or NULL = any) */
    const char *port;              /* decimal service; destination: "0" picks one, see apn_session_port() */
    const char *backend;           /* "uring" (default), "loop" in tests */
    const char *filters;           /* e.g. "delay=3ms;rate=2.5Gbit;fault=tx:GRANT:1:cut"; NULL = none */
    const void *secret;            /* shared secret for the HMAC challenge; NULL = none */
    size_t secret_bytes;           /* 16..1024 when @secret is given */
    uint32_t lanes;                /* 1..APN_LANES_MAX; 0 = from CPUs */
    uint64_t window_bytes;         /* 0 = auto (1.25 x BDP); UINT64_MAX = unlimited; else fixed */
    uint64_t rate_limit_bytes_per_s; /* pacing ceiling; 0 = none */
    uint32_t timeout_ms;           /* silence of the whole peer that ends the session; default 8000 */
    uint32_t lane_timeout_ms;      /* silence of one lane before it is reopened; default 1000 */
    bool prefault_off;             /* destination: do not populate ahead of arrival */
    const char *send_mode;         /* "auto" (default), "copy", "zero-copy" */
    bool postcopy;                 /* the guest may be started before all of its memory has arrived; one lane more */
    const uint8_t *resume_id;      /* 16 bytes: goes on with the postcopy of the session of that id; NULL = a new migration */
    apn_place_fn *place;           /* destination with postcopy */
    void (*on_trace)(void *opaque, enum apn_trace_level level, const char *text); /* any thread; no API calls inside */
    void *opaque;
};

/** apn_session_new() - check a configuration and allocate; opens nothing
 * @out: set only on success; free with apn_session_free()
 * Return: 0; -EINVAL (text names option, value, limit); -ENOMEM. May not block. */
int apn_session_new(struct apn_session **out, const struct apn_session_config *config, struct apn_error *err);

/** apn_session_free() - abort if still open, join all threads, free. NULL is fine. Blocks < 1 s. */
void apn_session_free(struct apn_session *s);

/** apn_session_connect() - source: open all lanes and authenticate. Blocks up to the session timeout.
 * Return: 0; -ETIMEDOUT, -ECONNREFUSED, -EACCES (secret), -EPROTO (version), -EBUSY (another session). */
int apn_session_connect(struct apn_session *s, struct apn_error *err);

/** apn_session_listen() - destination: accept lanes of one session; strangers are dropped and never end it
 * Return: 0 when bound (does not wait for a peer); -EADDRINUSE, -EINVAL, ... */
int apn_session_listen(struct apn_session *s, struct apn_error *err);
/** apn_session_port() - the TCP port in use after apn_session_listen(), or 0 */
uint16_t apn_session_port(struct apn_session *s);

/** apn_session_pins_memory() - may this session's backend register regions with APN_REGION_FIXED? (With postcopy, the source's alone:
 * they are read.) The caller then sets that flag
 * only where nothing takes pages away while the session lives (balloons, discards), and sees to that. */
bool apn_session_pins_memory(const struct apn_session *s);

/** apn_session_add_region() - describe one RAM block; before apn_session_regions_commit(). Return: region id >= 0 or -errno. */
int apn_session_add_region(struct apn_session *s, const struct apn_region *region, struct apn_error *err);

/** apn_session_regions_commit() - match both ends' regions by name and length
 * Source: sends the table and blocks until the destination has answered (or the session failed).
 * Destination: returns at once; pages are accepted from here on. */
int apn_session_regions_commit(struct apn_session *s, struct apn_error *err);

/* ---- pages (source) ---------------------------------------------------- */

/** apn_session_lane_count() - logical lanes; a granule's lane is apn_session_lane_of() for the whole session */
unsigned apn_session_lane_count(struct apn_session *s);
unsigned apn_session_lane_of(const struct apn_session *s, unsigned region, uint64_t offset);

/** apn_session_seems_empty() - was the granule at @offset all zero when it was looked at? A hint for the order of the first pass: examining
 * empty memory takes time in which the path idles, unless it is handed over between granules with contents. False until the granule
 * has been looked at, and where nothing looks ahead (no prefault). Any thread. */
bool apn_session_seems_empty(const struct apn_session *s, unsigned region, uint64_t offset);

/** apn_session_lane_room() - guest bytes that may be posted to @lane now (0 when its queue is full) */
uint64_t apn_session_lane_room(struct apn_session *s, unsigned lane);

/** struct apn_run - consecutive dirty pages; must not cross a granule boundary */
struct apn_run {
    uint32_t region;
    uint32_t bytes;   /* multiple of APN_PAGE_SIZE, 1 page..APN_GRANULE_SIZE */
    uint64_t offset;  /* bytes from the region's start, page-aligned */
};

/** apn_session_post() - hand over runs; their dirty bits must be cleared (and re-protected) before this call
 *
 * Contents are read later, as close to the wire as possible; a page that changes afterwards must be posted again.
 * Return: number of runs accepted from the front of @runs (0 when the first one's lane is full), or -errno when the
 * session has failed. Never blocks. */
int apn_session_post(struct apn_session *s, const struct apn_run *runs, unsigned count);

/** apn_session_wait_room() - sleep until some lane has room, the session leaves its state, or @timeout_ms passed.
 * Must not be called with locks that posting needs (QEMU: not inside bitmap_mutex). Return: 0; -ETIMEDOUT (only the wait);
 * -EPIPE when the session takes no pages any more, see apn_session_error(). */
int apn_session_wait_room(struct apn_session *s, uint32_t timeout_ms);

/** apn_session_unapplied() - guest bytes queued or in flight: handed over, but not known to be applied */
uint64_t apn_session_unapplied(struct apn_session *s);

/** apn_session_fence() - everything posted before is applied before any stream byte written after is delivered.
 * Does not wait: the destination holds the later stream bytes back until every lane has passed the fence. */
int apn_session_fence(struct apn_session *s);
/** apn_session_drain() - wait until nothing is queued or in flight (controls and tests; not needed for correctness) */
int apn_session_drain(struct apn_session *s, uint32_t timeout_ms);

/* ---- main stream, both directions, over the warm lanes ------------------ */

/** apn_session_write() - append to this end's stream. @may_block false: returns -EAGAIN when the peer's buffer is full.
 * Return: bytes taken (> 0), -EAGAIN, -EPIPE (session over). */
ssize_t apn_session_write(struct apn_session *s, const void *bytes, size_t length, bool may_block);
/** apn_session_read() - read the peer's stream in order. Return: bytes, 0 at its end (peer finished), -EAGAIN, -errno (failed). */
ssize_t apn_session_read(struct apn_session *s, void *bytes, size_t length, bool may_block);
/** apn_session_read_fd() - eventfd, readable while apn_session_read() would not return -EAGAIN; owned by the session */
int apn_session_read_fd(struct apn_session *s);
/** apn_session_write_fd() - eventfd, readable while apn_session_write() would not return -EAGAIN; owned by the session */
int apn_session_write_fd(struct apn_session *s);
/** apn_session_flush_stream() - wait until the peer holds every stream byte written so far */
int apn_session_flush_stream(struct apn_session *s, uint32_t timeout_ms);

/* ---- switchover (docs/switchover.md) ------------------------------------ */

/** apn_session_predict() - see struct apn_prediction
 * @remaining_bytes: guest bytes still dirty and not handed over
 * @state_bytes:     device state to come; @fixed_ns: stop + save + load as the caller knows them */
void apn_session_predict(struct apn_session *s, uint64_t remaining_bytes, uint64_t state_bytes, uint64_t fixed_ns,
                         struct apn_prediction *out);

/** apn_session_switchover() - source: the guest has stopped. From here cancel still works, until apn_session_grant() */
int apn_session_switchover(struct apn_session *s, struct apn_error *err);

/** apn_session_grant() - source: the commit point. All stream bytes are written; the destination may run from here.
 * Fast: posts the grant behind the stream and returns. Safe: waits for the destination's READY first (before that it may
 * fail with the guest still ours). Return: 0 = granted, never resume by yourself; -errno = not granted, resume is right. */
int apn_session_grant(struct apn_session *s, struct apn_error *err);

enum apn_verdict {
    APN_VERDICT_STARTED = 1, /* the destination owns the guest */
    APN_VERDICT_WONT,        /* it proved that it will never start: the source may resume */
    APN_VERDICT_UNKNOWN,     /* the path was lost first: stay paused, keep everything, a fence must decide */
};
/** apn_session_wait_verdict() - source, after the grant. Blocks up to the session timeout after the last sign of life.
 * @err: for WONT the destination's reason, for UNKNOWN what is known. */
enum apn_verdict apn_session_wait_verdict(struct apn_session *s, struct apn_error *err);

/** apn_session_granted() - destination: 1 granted, 0 not yet, -errno never (session failed: the guest must not start) */
int apn_session_granted(struct apn_session *s);
/** apn_session_ready() - destination, safe commit: device state is loaded; asks for the grant. No-op when fast. */
int apn_session_ready(struct apn_session *s);
/** apn_session_started() - destination: owns the guest now; tells the source. Waits until the source has it, at most @timeout_ms. */
int apn_session_started(struct apn_session *s, uint32_t timeout_ms);
/** apn_session_wont() - destination: will never start, and why; waits until the source has it, at most @timeout_ms.
 * -EALREADY after apn_session_started(). */
int apn_session_wont(struct apn_session *s, const char *why, uint32_t timeout_ms);

/** apn_session_abort() - end this attempt from this side, tell the peer why. Before the grant only: -EPERM afterwards. */
int apn_session_abort(struct apn_session *s, const char *why);

/** apn_session_set_rate_limit() - change the pacing ceiling of a session at any time; 0 = none */
void apn_session_set_rate_limit(struct apn_session *s, uint64_t bytes_per_s);

enum apn_state apn_session_state(struct apn_session *s);
/** apn_session_error() - copy of the reason of APN_STATE_FAILED/UNKNOWN; code 0 otherwise */
void apn_session_error(struct apn_session *s, struct apn_error *out);
void apn_session_stats(struct apn_session *s, struct apn_stats *out);

#ifdef __cplusplus
}
#endif
#endif
