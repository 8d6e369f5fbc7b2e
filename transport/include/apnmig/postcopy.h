/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy.h - the guest runs at the destination while its memory is still arriving (docs/postcopy.md)
 * Owner: as session.h.   Thread: any; none of these may be called from inside a hook.   Units: bytes, ms.
 *
 * Both ends set apn_session_config.postcopy. The session then has one lane more, for urgent pages alone. Up to the switchover it is a
 * precopy. Then
 *   source                                         destination
 *     switchover, fence, discards, device state      apn_session_postcopy_listen() once userfaultfd watches the memory
 *     apn_session_postcopy_add() what is missing     faults: apn_session_postcopy_request()
 *     apn_session_postcopy_start(), _grant()         apn_session_granted(), _started()
 *     apn_session_postcopy_wait() until 0 remain     pages come through config.place
 *     the end of the stream, apn_session_postcopy_done() on both ends; at the destination _settle() before userfaultfd is closed
 * A path that is lost meanwhile ends both sessions in APN_STATE_PAUSED; new ones with config.resume_id go on: both commit their
 * regions, the source adds what the destination has not received, and starts. */
#ifndef APNMIG_POSTCOPY_H
#define APNMIG_POSTCOPY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct apn_session;

#define APN_SESSION_ID_BYTES    16u
#define APN_POSTCOPY_EXTENT_MAX (64u << 10) /* bytes of one page message: it is staged, and an urgent one waits behind it */
#define APN_POSTCOPY_PAGE_MAX   (2u << 20)  /* largest host page that can be placed as a whole */

/**
 * apn_place_fn - destination: put pages into guest memory, atomically and only where nothing has been placed yet
 * @region:   as apn_session_add_region() numbered it here
 * @bytes:    whole host pages of the region, at most APN_POSTCOPY_EXTENT_MAX or one page
 * @contents: valid during the call; NULL = zeros
 * Called on lane threads, several at a time, without locks; may not call the session.
 * Return: 0 (also for pages that were there: what the guest has written since stays), -errno: the session pauses. */
typedef int apn_place_fn(void *opaque, unsigned region, uint64_t offset, uint32_t bytes, const void *contents);

/** apn_session_id() - what a later session needs as config.resume_id; valid once connected or bound */
void apn_session_id(struct apn_session *s, uint8_t id[APN_SESSION_ID_BYTES]);

/** apn_session_postcopy_add() - source, before the start: these pages are still to be sent
 * Return: 0, -EINVAL (outside the region, not aligned to its pages), -ENOMEM, -EPROTO (no postcopy session, or started). */
int apn_session_postcopy_add(struct apn_session *s, unsigned region, uint64_t offset, uint64_t bytes);

/** apn_session_postcopy_start() - source: the guest is stopped for good unless the destination proves that it never starts; send
 * what was added, what the destination asks for first. After switchover, or in a resumed session. Return: 0, -errno. */
int apn_session_postcopy_start(struct apn_session *s);

/** apn_session_postcopy_wait() - source: sleep until every page is placed, the session ends, or @timeout_ms passed
 * @remaining: guest bytes not known to be placed
 * Return: 0 all placed and the destination runs; -ETIMEDOUT; -EPIPE session over, see apn_session_error(). */
int apn_session_postcopy_wait(struct apn_session *s, uint32_t timeout_ms, uint64_t *remaining);

/** apn_session_postcopy_listen() - destination: from here pages are placed, and requested; sent to the source */
int apn_session_postcopy_listen(struct apn_session *s);

/** apn_session_postcopy_request() - destination: the guest waits for these pages. Overtakes everything else; may block while
 * thousands wait. Return: 0, -EPIPE when the session is over (ask again in the next one), -EINVAL. */
int apn_session_postcopy_request(struct apn_session *s, unsigned region, uint64_t offset, uint32_t bytes);

/** apn_session_postcopy_settle() - destination: every page has arrived; from the return on, no page that a backend read by itself goes
 * through config.place. To be called before whatever that hook needs is taken apart: reads may still be under way, of pages that came
 * by another way meanwhile. Waits for a call of the hook that has begun, not for the path. Again, or without reads: no effect. */
void apn_session_postcopy_settle(struct apn_session *s);

/** apn_session_postcopy_done() - everything is there and the stream has ended. Return: 0, -EPROTO in any other state. */
int apn_session_postcopy_done(struct apn_session *s);

#ifdef __cplusplus
}
#endif
#endif
