/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopy_reads.c - destination: pages that the guest waits for, read from the source's memory by the backend
 * Thread: the lane's; apn_session_postcopy_settle() any.
 *
 * Theory of operation
 *   A request that may be read leaves as two things, in this order: a read (ops->fetch), and a message that says that it is read. What
 *   comes back is placed as a page message would be. The copy of the message that is kept for a lost lane says nothing of reading, and
 *   what a lane was reading when it was lost is asked for once more: a read is tried once, and nothing waits for it.
 *   The end of a migration does not wait for reads either. All pages are there when it comes, so a read that is still out has been
 *   overtaken, and reads_lock keeps it from being placed once the owner takes userfaultfd down. */
#include "engine/internal.h"

bool apn_postcopy_may_read(const struct apn_session *s, const struct apn_urgent *u)
{
    return s->backend->ops->fetch && !u->plain && u->bytes == APN_PAGE_SIZE && !atomic_load(&s->postcopy.settled);
}

/* Return: does the link read it? */
static bool begin(struct apn_lane *lane, struct apn_link *link, const struct apn_msg *msg)
{
    struct apn_reads *reads = &lane->reads;

    if (reads->count == APN_READS_MAX || lane->session->backend->ops->fetch(link, msg->region, msg->offset, msg->span)) {
        return false;
    }
    reads->slot[(reads->head + reads->count++) % APN_READS_MAX] =
        (struct apn_urgent){.region = msg->region, .plain = true, .bytes = msg->span, .offset = msg->offset};
    return true;
}

void apn_postcopy_reads_begin(struct apn_lane *lane, struct apn_link *link)
{
    for (; lane->session->backend->ops->fetch && lane->out_asked < lane->out_count; lane->out_asked++) {
        struct apn_msg *msg = &lane->out[lane->out_asked];

        if (msg->type == APN_MSG_POSTCOPY_REQUEST && msg->value) {
            msg->value = begin(lane, link, msg);
        }
    }
}

int apn_postcopy_fetched(struct apn_session *s, const struct apn_msg *msg, struct apn_error *err)
{
    struct apn_postcopy *pc = &s->postcopy;
    int ret = 0;

    pthread_mutex_lock(&pc->reads_lock);
    if (!atomic_load(&pc->settled)) {
        ret = apn_postcopy_place(s, msg, err);
    }
    pthread_mutex_unlock(&pc->reads_lock);
    return ret;
}

void apn_postcopy_read_done(struct apn_lane *lane)
{
    struct apn_reads *reads = &lane->reads;

    if (reads->count) {
        reads->head = (reads->head + 1) % APN_READS_MAX;
        reads->count--;
        lane->session->total.postcopy_reads += !atomic_load(&lane->session->postcopy.settled);
    }
}

void apn_postcopy_reads_lost(struct apn_lane *lane)
{
    struct apn_session *s = lane->session;
    struct apn_postcopy *pc = &s->postcopy;
    struct apn_reads *reads = &lane->reads;

    /* without room in the ring a page waits for bulk, which sends it anyway */
    for (; reads->count; reads->head = (reads->head + 1) % APN_READS_MAX, reads->count--) {
        if (pc->urgent_count < APN_URGENT_MAX && !apn_state_over(s->state)) {
            pc->urgent[(pc->urgent_head + pc->urgent_count++) % APN_URGENT_MAX] = reads->slot[reads->head];
            apn_session_wake_lane(apn_postcopy_urgent_lane(s));
        }
    }
}

void apn_session_postcopy_settle(struct apn_session *s)
{
    pthread_mutex_lock(&s->postcopy.reads_lock);
    atomic_store(&s->postcopy.settled, true);
    pthread_mutex_unlock(&s->postcopy.reads_lock);
}
