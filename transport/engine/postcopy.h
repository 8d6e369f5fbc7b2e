/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy.h - what the engine's files share about postcopy; docs/postcopy.md
 * Owner: embedded in struct apn_session.   Thread: under the session lock, unless marked.   Units: bytes.
 *
 * Theory of operation
 *   The last lane of such a session is the urgent one: a page that the guest waits for goes there, past everything that is queued or
 *   in the sockets of the other lanes, and bulk is kept to what the pipe itself holds, so that nothing stands in front of it on the
 *   path. While that lane is down, the first lane that is up takes its work, in front of its own.
 *   The source hands every page out once (postcopy_pending.h). What is in flight on a lane that is lost is sent again, as ever; what a
 *   request asks for a second time is on its way and is not sent again. The destination places a page only where there is none, so
 *   nothing that arrives twice overwrites what the guest has written.
 *   Where the backend can read the source's memory itself (ops->fetch), the destination reads what it asks for (postcopy_reads.c), and
 *   says so in the request: the source then moves its focus and answers nothing. A read is an early copy and nothing more. The page
 *   stays among those that the source has to send, so whatever becomes of the read, it comes, and soon: bulk goes on from there. */
#ifndef APN_ENGINE_POSTCOPY_H
#define APN_ENGINE_POSTCOPY_H

#include <pthread.h>
#include <stdatomic.h>

#include <apnmig/backend.h>
#include <apnmig/postcopy.h>

#include "engine/postcopy_pending.h"

#define APN_URGENT_MAX          4096u       /* requests waiting to be sent, or to be answered */
#define APN_URGENT_WINDOW       (4u << 20)  /* wire bytes in flight on the urgent lane: two huge pages, or a thousand small ones */
#define APN_READS_MAX           64u         /* pages that one link reads at a time */
#define APN_POSTCOPY_STAGED_MAX 48u         /* huge pages being put together at the destination */

struct apn_session;
struct apn_lane;

/** struct apn_urgent - a request that the destination sends, or the source answers */
struct apn_urgent {
    uint16_t region;     /* the source's number */
    bool claimed;        /* source: taken out of the pending pages */
    bool plain;          /* destination: to be asked for, not read */
    uint32_t bytes;
    uint64_t offset;
};

/** struct apn_reads - what a link is reading, oldest first. Thread: the lane's, no lock */
struct apn_reads {
    struct apn_urgent slot[APN_READS_MAX];
    uint32_t head, count;
};

struct apn_staged;

struct apn_postcopy {
    struct apn_pending pending;        /* source */
    bool has_pending;
    bool started;                      /* source: pages may be sent */
    bool peer_listens;                 /* source */
    struct apn_urgent *urgent;         /* ring of APN_URGENT_MAX */
    uint32_t urgent_head, urgent_count;
    atomic_bool listening;             /* destination, any thread */
    pthread_mutex_t staging_lock;      /* destination; innermost, also without the session lock */
    struct apn_staged *staged;         /* destination: list, guarded by staging_lock */
    unsigned staged_count;
    pthread_mutex_t reads_lock;        /* destination; held while a page that was read is placed; innermost as well */
    atomic_bool settled;               /* destination: none is placed any more; written under reads_lock */
};

/* ---- postcopy.c ---- */
int apn_postcopy_init(struct apn_session *s);
void apn_postcopy_free(struct apn_session *s);
/** apn_postcopy_features() - what this end announces or accepts */
uint64_t apn_postcopy_features(const struct apn_session *s);
/** apn_postcopy_check_hello() - destination: does this source want what we can do? Return: 0, -EPROTO, -ESTALE */
int apn_postcopy_check_hello(const struct apn_session *s, const struct apn_hello *hello, struct apn_error *err);
/** apn_postcopy_active() - has the guest been started, or may it be, before its memory has arrived? */
bool apn_postcopy_active(const struct apn_session *s);

/* ---- postcopy_send.c ---- */
/** apn_postcopy_urgent_lane() - the one that takes urgent work now */
struct apn_lane *apn_postcopy_urgent_lane(struct apn_session *s);
/** apn_postcopy_urgent_room() - wire bytes of urgent work that @lane may post; 0 when it is not its turn or there is none */
uint64_t apn_postcopy_urgent_room(struct apn_lane *lane);
/** apn_postcopy_urgent_next() - the next urgent message or piece of a page
 * Return: false when there is none; else @work for the source (bytes > 0), or a request in @msg */
bool apn_postcopy_urgent_next(struct apn_session *s, struct apn_work *work, struct apn_msg *msg);
/** apn_postcopy_has_bulk() - is there anything that @lane may push without being asked? */
bool apn_postcopy_has_bulk(const struct apn_lane *lane);
/** apn_postcopy_bulk_next() - the next run of pages, possibly longer than one message (a huge page). Return: false when none */
bool apn_postcopy_bulk_next(struct apn_session *s, struct apn_work *work);
/** apn_postcopy_bulk_room() - wire bytes that may be posted now, so that the path holds what it can carry and no queue */
uint64_t apn_postcopy_bulk_room(const struct apn_session *s, uint64_t in_flight_bytes, uint64_t now);
/** apn_postcopy_request_arrived() - source. Return: 0, -EPROTO and @err */
int apn_postcopy_request_arrived(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err);

/* ---- postcopy_receive.c ---- */
/** apn_postcopy_place() - destination: put a page message where it belongs; no lock. Return: 0, -errno and @err */
int apn_postcopy_place(struct apn_session *s, const struct apn_msg *msg, struct apn_error *err);
/** apn_postcopy_page_arrived() - destination: it was placed; checks and counts. L. Return: 0, -EPROTO */
int apn_postcopy_page_arrived(struct apn_lane *lane, const struct apn_msg *msg, struct apn_error *err);
void apn_postcopy_staging_free(struct apn_postcopy *pc);

/* ---- postcopy_reads.c: destination; the lane's thread ---- */
/** apn_postcopy_may_read() - is @u a request that the link may be asked to read? L */
bool apn_postcopy_may_read(const struct apn_session *s, const struct apn_urgent *u);
/** apn_postcopy_reads_begin() - requests in lane->out that want it are read by @link; the others become plain. No lock */
void apn_postcopy_reads_begin(struct apn_lane *lane, struct apn_link *link);
/** apn_postcopy_fetched() - place what was read, unless the session has settled; no lock. Return: 0, -errno and @err */
int apn_postcopy_fetched(struct apn_session *s, const struct apn_msg *msg, struct apn_error *err);
/** apn_postcopy_read_done() - the oldest read of @lane has been taken care of. L */
void apn_postcopy_read_done(struct apn_lane *lane);
/** apn_postcopy_reads_lost() - @lane is down: what it was reading is asked for instead. L */
void apn_postcopy_reads_lost(struct apn_lane *lane);

#endif
