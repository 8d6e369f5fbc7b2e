/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* internal.h - the session and its lanes as the engine's files share them
 * Owner: apn_session_new/_free.   Time: env.clock, monotonic ns.   Units: bytes, ns.
 *
 * Threads and locks
 *   lane threads (one per lane), the backend's accept thread, the scout (source), the prefault worker
 *   (destination) and API callers. One mutex, session.lock, guards every field marked L. The order is: session.lock, then
 *   nothing; no hook, backend call or guest memory access happens under it, except ops->wake(), which never blocks.
 *   Fields marked T belong to the lane's thread alone; unmarked ones are constant after the session has left APN_STATE_NEW. */
#ifndef APN_ENGINE_INTERNAL_H
#define APN_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <apnmig/apnmig.h>
#include <apnmig/backend.h>

#include "engine/item.h"
#include "engine/postcopy.h"
#include "engine/session_env.h"
#include "engine/stream.h"
#include "engine/window.h"

#define APN_TIMEOUT_MS_DEFAULT      8000u
#define APN_LANE_TIMEOUT_MS_DEFAULT 2000u
#define APN_REPORT_BYTES            (256u << 10) /* applied reports: at least this often, or */
#define APN_REPORT_NS               1000000ull
#define APN_UNSAID_MS               2000u  /* destination: without a lane and without a word since the handshake */
#define APN_BACKOFF_MIN_NS          10000000ull
#define APN_BACKOFF_MAX_NS          500000000ull
#define APN_REFUSED_MAX             5u   /* consecutive refusals of a reopening before the peer's process counts as gone */
#define APN_EVENTS_MAX              64u  /* events taken per poll */
#define APN_OUT_MAX                 256u /* messages built per step and lane */
#define APN_BATCH_BYTES             (1u << 20) /* guest bytes examined per step and lane */
#define APN_CONTROL_QUEUE_MAX       1024u
#define APN_FENCES_MAX              64u  /* fences sent and not complete */
#define APN_LINGER_NS               300000000ull /* last words wait for silence of this, or of three round trips ... */
#define APN_LINGER_MAX_NS           3000000000ull /* ... and this in all */

enum apn_lane_phase {
    APN_LANE_IDLE,       /* destination: waits for the peer; source: not started */
    APN_LANE_CONNECTING, /* source: a link is being opened */
    APN_LANE_UP,
    APN_LANE_BACKOFF,    /* source: waits before it opens again */
    APN_LANE_RETIRED,    /* closed for good, its granules travel elsewhere */
};

/** struct apn_kept - payload of a control message; lives as long as the session, so that it can be replayed */
struct apn_kept {
    struct apn_kept *next;
    uint8_t bytes[];
};

struct apn_lane {
    struct apn_session *session;
    unsigned index;
    pthread_t thread;
    bool thread_started;
    /* L */
    enum apn_lane_phase phase;
    struct apn_link *link;       /* used by the lane's thread; others only wake it, under the lock */
    struct apn_link *attached;   /* destination: given by the accept thread, not taken over yet */
    struct apn_hello attached_hello;
    bool closing;                /* a link is being closed, without the lock: its bytes may still land */
    bool close_wanted;           /* destination: a newer generation waits until this link is closed */
    bool idle;                   /* thread is in poll or wait and wants a wake when work comes */
    unsigned host;               /* lane that carries this logical lane's granules */
    uint32_t generation;
    uint32_t losses;
    uint32_t refused;            /* consecutive refused reopenings */
    uint64_t down_since_ns;
    uint64_t retry_at_ns;
    uint64_t backoff_ns;
    uint64_t heard_ns;           /* last event from the peer */
    uint64_t pinged_ns;
    bool pong_due;
    struct apn_work_ring queue;
    uint32_t reserved_runs;      /* taken from the queue by the thread, may be pushed back */
    uint64_t reserved_bytes;
    uint64_t building_bytes;     /* guest bytes planned, neither queued nor in flight */
    struct apn_item_ring inflight;
    struct apn_item_ring replay;
    uint64_t inflight_guest_bytes;
    uint64_t replay_guest_bytes;
    uint64_t posted_bytes;       /* reliable wire bytes, cumulative over generations */
    uint64_t applied_bytes;      /* ... the peer has applied */
    uint64_t received_bytes;     /* reliable wire bytes applied here */
    uint64_t reported_bytes;     /* ... and told */
    uint64_t reported_ns;
    uint64_t received_ns;        /* when the newest unreported byte was applied */
    bool report_now;
    uint64_t rtt_ns;
    uint64_t fence_passed;       /* destination: newest fence applied on this logical lane */
    uint32_t ask_retire, say_retired; /* bit per lane: RETIRE, RETIRED to be sent on this one */
    unsigned retire_host;
    bool retiring;               /* source: RETIRE was sent.  destination: RETIRED is owed */
    bool lost;                   /* down, and the peer has not yet said what it had applied */
    bool ping_due;
    /* T */
    struct apn_msg *out;         /* built, not yet taken by the link: out_next..out_count */
    unsigned out_next, out_count;
    unsigned out_asked;          /* up to here the link was asked to read what requests are for */
    struct apn_reads reads;
    struct apn_event *events;
};

struct apn_prefault;
struct apn_scout;

struct apn_session {
    struct apn_session_config config;   /* strings are our copies */
    struct apn_session_env env;
    struct apn_backend *backend;
    uint32_t lane_count;
    uint32_t bulk_lanes;         /* those that carry granules: all but the urgent one of postcopy */
    struct apn_lane lane[APN_LANES_MAX];
    pthread_mutex_t lock;
    pthread_cond_t changed;      /* state, stream, applied: waiters re-check */
    pthread_cond_t room;         /* a queue became half empty, or the state changed: reports alone wake nobody here */
    bool stopping;               /* L  threads leave */
    uint32_t waiters_room;       /* L  API threads in wait_room */
    enum apn_state state;        /* L  changed by apn_state_event() only */
    struct apn_error error;      /* L  why FAILED or UNKNOWN */
    uint16_t port;               /* L  destination: the port in use */
    bool bound;                  /* L  destination: a source is known */
    bool unbinding;              /* L  destination: that source vanished before it sent anything */
    uint8_t session_id[16];      /* L on the destination */
    uint64_t heard_ns;           /* L  newest sign of life of the peer */
    uint64_t started_ns;
    uint64_t random;             /* L  manual: state of the generator */
    struct apn_region *regions;  /* grown until commit */
    uint64_t *first_granule;     /* global granule number of each region's start */
    uint32_t region_count;
    uint64_t furthest_granule;   /* L  source: global number behind the last granule handed over, empty ones aside */
    _Atomic uint8_t *granule_seen; /* source: what the scout saw in each; NULL: it does not look */
    bool regions_committed;      /* L */
    bool regions_matched;        /* L */
    atomic_bool resolve_ready;   /* destination: regions are matched, extents may land */
    uint16_t *peer_to_local;     /* destination: the source's region ids to ours */
    struct apn_region *peer_regions; /* destination: table as announced */
    uint32_t peer_region_count, peer_region_total;
    struct apn_window window;    /* L */
    uint64_t in_flight_bytes;    /* L  sum of posted - applied of the lanes that are up */
    uint64_t reserved_bytes;     /* L  room promised to batches being built */
    uint64_t paced_ns;           /* L  rate limit: when the next byte may leave */
    struct apn_stream_tx tx;     /* L */
    struct apn_stream_rx rx;     /* L */
    int read_fd, write_fd;
    bool read_fd_set, write_fd_set; /* L */
    struct apn_msg *control;     /* L  ring: messages that are neither page nor stream, for the carrier */
    uint32_t control_head, control_count;
    struct apn_kept *kept;       /* L */
    uint64_t fence_next;         /* L  id of the next fence, from 1 */
    uint64_t fence_done;         /* L  every fence up to here is complete (destination) or applied by the peer (source) */
    bool grant_pending;          /* L  destination: GRANT is here, what it stands behind is not */
    bool ready_received, grant_queued, grant_posted, grant_received, started_sent, started_applied, wont_sent, wont_applied,
        bye_received, bye_applied, last_words_applied; /* L */
    struct apn_stats total;      /* L  counters */
    struct apn_postcopy postcopy;
    struct apn_scout *scout;
    struct apn_prefault *prefault;
};

/* ---- state.c ---- */
enum apn_event_id {
    APN_EV_OPEN, APN_EV_LANES_UP, APN_EV_MATCHED, APN_EV_SWITCHOVER, APN_EV_READY, APN_EV_GRANT, APN_EV_STARTED, APN_EV_WONT,
    APN_EV_LOST, APN_EV_FAILED, APN_EV_UNBOUND, APN_EV_RESUMED, APN_EV_RUNS, APN_EV_COMPLETE,
};
/** apn_state_event() - the only writer of session.state; call with the lock. @err: reason for LOST, FAILED, WONT
 * Return: 0, or -EPROTO when the table does not list the event in this state (a failure of the session, if it still can fail) */
int apn_state_event(struct apn_session *s, enum apn_event_id event, const struct apn_error *err);
static inline bool apn_state_over(enum apn_state state)
{
    return state == APN_STATE_DONE || state == APN_STATE_FAILED || state == APN_STATE_UNKNOWN || state == APN_STATE_PAUSED;
}
void apn_trace(struct apn_session *s, enum apn_trace_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- session.c ---- */
uint64_t apn_session_now(const struct apn_session *s);
void apn_session_random(struct apn_session *s, void *out, size_t length); /* nonces; lock not needed unless manual */
void apn_session_wake_lane(struct apn_lane *lane);                        /* L */
void apn_session_wake_all(struct apn_session *s);                         /* L */
/** apn_session_wait() - sleep on `changed`, at most until @deadline_ns. Return: false when the time is up (or manual). L */
bool apn_session_wait(struct apn_session *s, uint64_t deadline_ns);
bool apn_session_wait_on(struct apn_session *s, pthread_cond_t *cond, uint64_t deadline_ns); /* L  the same, on another condition */
/** apn_session_bind() - destination: this hello opens the session; starts its lanes. L */
int apn_session_bind(struct apn_session *s, const struct apn_hello *hello, struct apn_error *err);
void apn_session_fds_update(struct apn_session *s);                       /* L  after anything that changes readability */
int apn_session_failed_code(const struct apn_session *s);                 /* L  -errno of the error, -EPIPE without one */
/** apn_session_failed() - end this attempt because of @err, and tell the peer. Nothing happens once it is over. L */
void apn_session_failed(struct apn_session *s, const struct apn_error *err);
bool apn_session_check_silence(struct apn_session *s, uint64_t now);      /* L */

/* ---- lane.c ---- */
void *apn_lane_thread(void *lane);
/** apn_lane_step() - one turn of a lane. Return: absolute ns at which it wants the next one */
uint64_t apn_lane_step(struct apn_lane *lane, bool may_wait);
/** apn_lane_settle() - open, take over or close the lane's link as wished; timers. L (released around backend calls) */
void apn_lane_settle(struct apn_lane *lane);
/** apn_lane_down() - the link is gone or must go. L (released around link_close) */
void apn_lane_down(struct apn_lane *lane, const struct apn_error *err);

/* ---- retire.c; all L ---- */
void apn_retire_consider(struct apn_lane *lane, uint64_t now); /* source: give up a lane that stays down */
void apn_retire_confirm(struct apn_lane *lane);                /* destination: it is closed, say so */
void apn_retire_push(struct apn_lane *lane);                   /* send what @lane was asked to say for others */
void apn_lane_retire(struct apn_lane *lane);                   /* destination: close for good, then say RETIRED */
/** apn_lane_retired() - source: the destination has closed @lane after applying @applied_bytes; its work moves to its host */
int apn_lane_retired(struct apn_session *s, unsigned lane, uint64_t applied_bytes, struct apn_error *err);

/* ---- accept.c: struct apn_acceptor's functions ---- */
int apn_lane_authorise(void *session, const struct apn_hello *hello, struct apn_welcome *welcome, struct apn_error *err);
void apn_lane_attach(void *session, const struct apn_hello *hello, struct apn_link *link);
void apn_lane_stranger(void *session, const char *text);

/* ---- sender.c, report.c ---- */
/** apn_sender_build() - fill lane->out with what may be sent now; takes and releases the lock itself. Return: messages in out */
unsigned apn_sender_build(struct apn_lane *lane, uint64_t now);
/** apn_sender_applied() - the peer's report. L. Return: 0, -EPROTO when it claims more than was posted */
int apn_sender_applied(struct apn_lane *lane, uint64_t applied_bytes, uint64_t hold_ns, uint64_t now);
/** apn_sender_lost() - the lane's link is gone: its bytes no longer count as in flight. L */
void apn_sender_lost(struct apn_lane *lane);
/** apn_control_push() - queue a control message; @payload is copied. L. Return: 0, -ENOBUFS, -ENOMEM */
int apn_control_push(struct apn_session *s, struct apn_msg msg, const void *payload);
/** apn_sender_resume() - a lane's peer says what it had applied before the link was lost; the rest is sent again. L */
int apn_sender_resume(struct apn_lane *lane, uint64_t applied_bytes, uint64_t now);
/** apn_sender_move() - @lane is closed for good: its lost, queued and control work goes to @host. L */
void apn_sender_move(struct apn_lane *lane, struct apn_lane *host);
/** apn_sender_insert() - put one control message without payload at the front of @lane, whatever the carrier is. L */
void apn_sender_insert(struct apn_lane *lane, const struct apn_msg *msg);
/** apn_sender_has_work() - would apn_sender_build() find something now? L */
bool apn_sender_has_work(const struct apn_lane *lane, uint64_t now);
/** apn_sender_carrier() - the lane that carries stream and control messages. L */
static inline struct apn_lane *apn_sender_carrier(struct apn_session *s)
{
    return &s->lane[s->lane[0].host];
}
uint64_t apn_queue_limit(const struct apn_session *s);                                      /* L  guest bytes per lane */

/* ---- receiver.c ---- */
/** apn_receiver_apply_zero() - clear the pages of a ZERO extent that are not zero yet; no lock */
void apn_receiver_apply_zero(struct apn_session *s, const struct apn_msg *msg);
/** apn_receiver_handle() - one message from the peer. L. Return: 0, or -errno = protocol error, err filled */
int apn_receiver_handle(struct apn_lane *lane, const struct apn_msg *msg, uint64_t now, struct apn_error *err);
void *apn_receiver_resolve(void *session, unsigned region, uint64_t offset, uint32_t span);

/* ---- regions.c ---- */
int apn_regions_receive(struct apn_session *s, const struct apn_msg *msg, struct apn_error *err); /* L */
int apn_regions_match(struct apn_session *s, struct apn_error *err);                             /* L */

/* ---- scout.c, prefault.c ---- */
int apn_scout_start(struct apn_session *s);
void apn_scout_stop(struct apn_session *s);
int apn_prefault_start(struct apn_session *s);
void apn_prefault_stop(struct apn_session *s);
void apn_prefault_request(struct apn_session *s, unsigned region, uint64_t offset, uint64_t bytes); /* L */

/* ---- config.c ---- */
int apn_config_copy(struct apn_session_config *to, const struct apn_session_config *from, struct apn_error *err);
void apn_config_done(struct apn_session_config *config);
uint32_t apn_config_auto_lanes(void);

#endif
