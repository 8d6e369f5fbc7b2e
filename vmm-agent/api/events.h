/* SPDX-License-Identifier: GPL-2.0-or-later */
/* events.h - server-sent events: one bounded ring for everybody, a place in it per listener
 * Owner: embedded in struct agent_api.   Thread: the loop, no locks.
 * Time:  none.                           Units:  events, bytes.
 *
 * The text/event-stream format (WHATWG HTML, 9.2). An id is "EPOCH-NUMBER": EPOCH differs with
 * every start of the agent, so an id of an earlier life is known as such. A listener whose place
 * has been overwritten, or whose Last-Event-ID is not in the ring, gets one event "gap" ({"missed":
 * N or null}) and goes on with what is there: it should read /v1/state again. A slow listener
 * therefore costs a number, not memory. */
#ifndef AGENT_API_EVENTS_H
#define AGENT_API_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_EVENTS_MAX       1024
#define AGENT_EVENTS_BYTES_MAX (1u << 20) /* of all events together */
#define AGENT_EVENT_BYTES_MAX                                                                      \
    (64u << 10) /* of one; a larger one is announced without its content */

struct agent_event; /* one event as sent, counted references */

struct agent_events {
    struct agent_event *ring[AGENT_EVENTS_MAX];
    uint64_t next;  /* number of the next event, from 1; those in the ring end just before it */
    uint64_t first; /* number of the oldest one still there */
    size_t bytes;
    char epoch[20];
};

/** struct agent_events_place - where one listener is
 * @next: number of the event to begin next. @open: the event being sent, or NULL; @sent of it
 * @missed: announce a gap first; UINT64_MAX = nobody knows how many
 * @ping:   send a comment, so that both sides notice a dead connection */
struct agent_events_place {
    uint64_t next;
    struct agent_event *open;
    size_t sent;
    uint64_t missed;
    bool ping;
};

/** agent_events_init() - empty; @epoch_ns makes this life's ids differ from the last one's */
void agent_events_init(struct agent_events *events, int64_t epoch_ns);

/** agent_events_done() - forget all events; places still open keep theirs until they are done */
void agent_events_done(struct agent_events *events);

/** agent_events_add() - append one event, dropping the oldest beyond the limits
 * @type: letters, digits, dots. Return: 0 or -ENOMEM. */
int agent_events_add(struct agent_events *events, const char *type, const json_t *content);

/** agent_events_join() - place a new listener
 * @last_id: its Last-Event-ID, or NULL to begin with what comes next */
void agent_events_join(const struct agent_events *events, const char *last_id,
                       struct agent_events_place *place);

/** agent_events_read() - the next bytes for a listener; whole events back to back
 * Return: bytes written to @out, 0 = nothing to send now. */
size_t agent_events_read(const struct agent_events *events, struct agent_events_place *place,
                         char *out, size_t size);

/** agent_events_leave() - a listener is gone */
void agent_events_leave(struct agent_events_place *place);

#endif
