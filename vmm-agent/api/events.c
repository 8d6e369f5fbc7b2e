/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 48

struct agent_event {
    unsigned references;
    size_t size;
    char text[];
};

static void release(struct agent_event *event)
{
    if (event != NULL && --event->references == 0) {
        free(event);
    }
}

void agent_events_init(struct agent_events *events, int64_t epoch_ns)
{
    memset(events, 0, sizeof(*events));
    events->next = events->first = 1;
    snprintf(events->epoch, sizeof(events->epoch), "%llx", (unsigned long long)epoch_ns);
}

static void drop_oldest(struct agent_events *events)
{
    struct agent_event **slot = &events->ring[events->first % AGENT_EVENTS_MAX];

    events->bytes -= (*slot)->size;
    release(*slot);
    *slot = NULL;
    events->first++;
}

void agent_events_done(struct agent_events *events)
{
    while (events->first < events->next) {
        drop_oldest(events);
    }
}

/* One event as text; JSON has no raw line ends, so one data line is enough. */
static struct agent_event *event_make(const char *id, const char *type, const char *content)
{
    size_t room = strlen(id) + strlen(type) + strlen(content) + 32;
    struct agent_event *event = malloc(sizeof(*event) + room);

    if (event != NULL) {
        event->references = 1;
        event->size = (size_t)snprintf(event->text, room, "%s%s%sevent: %s\ndata: %s\n\n",
                                       id[0] != '\0' ? "id: " : "", id, id[0] != '\0' ? "\n" : "",
                                       type, content);
    }
    return event;
}

int agent_events_add(struct agent_events *events, const char *type, const json_t *content)
{
    char id[ID_MAX];
    char *text = json_dumps(content, JSON_COMPACT | JSON_REAL_PRECISION(10));

    snprintf(id, sizeof(id), "%s-%llu", events->epoch, (unsigned long long)events->next);
    struct agent_event *event =
        text == NULL
            ? NULL
            : event_make(id, type, strlen(text) < AGENT_EVENT_BYTES_MAX ? text : "{\"cut\":true}");
    free(text);
    if (event == NULL) {
        return -ENOMEM;
    }
    while (events->next - events->first >= AGENT_EVENTS_MAX ||
           (events->first < events->next && events->bytes + event->size > AGENT_EVENTS_BYTES_MAX)) {
        drop_oldest(events);
    }
    events->ring[events->next % AGENT_EVENTS_MAX] = event;
    events->bytes += event->size;
    events->next++;
    return 0;
}

/* Number in an id of this life, 0 if it is not one. */
static uint64_t id_number(const struct agent_events *events, const char *id)
{
    size_t length = strlen(events->epoch);
    char *end = NULL;

    if (strncmp(id, events->epoch, length) != 0 || id[length] != '-' || id[length + 1] < '0' ||
        id[length + 1] > '9') {
        return 0;
    }
    errno = 0;
    unsigned long long number = strtoull(id + length + 1, &end, 10);
    return errno == 0 && *end == '\0' && number < events->next ? number : 0;
}

void agent_events_join(const struct agent_events *events, const char *last_id,
                       struct agent_events_place *place)
{
    memset(place, 0, sizeof(*place));
    place->next = events->next;
    place->ping = true; /* so that the client's headers and first byte come at once */
    if (last_id == NULL || last_id[0] == '\0') {
        return;
    }
    uint64_t last = id_number(events, last_id);
    if (last == 0) {
        place->missed = UINT64_MAX;
    } else {
        place->next = last + 1;
    }
}

/* The event to send next, or NULL. The place holds a reference until it is sent. */
static struct agent_event *next_event(const struct agent_events *events,
                                      struct agent_events_place *place)
{
    char content[64];

    if (place->next < events->first) {
        place->missed = events->first - place->next;
        place->next = events->first;
    }
    if (place->missed != 0) {
        if (place->missed == UINT64_MAX) {
            snprintf(content, sizeof(content), "{\"missed\":null}");
        } else {
            snprintf(content, sizeof(content), "{\"missed\":%llu}",
                     (unsigned long long)place->missed);
        }
        struct agent_event *gap = event_make("", "gap", content);
        place->missed = gap != NULL ? 0 : place->missed;
        return gap;
    }
    if (place->next == events->next) {
        return NULL;
    }
    struct agent_event *event = events->ring[place->next++ % AGENT_EVENTS_MAX];
    event->references++;
    return event;
}

size_t agent_events_read(const struct agent_events *events, struct agent_events_place *place,
                         char *out, size_t size)
{
    static const char ping[] = ": here\n\n";
    size_t used = 0;

    while (used < size) {
        if (place->open == NULL && place->ping && size - used >= sizeof(ping) - 1) {
            memcpy(out + used, ping, sizeof(ping) - 1);
            used += sizeof(ping) - 1;
            place->ping = false;
        }
        if (place->open == NULL) {
            place->open = next_event(events, place);
            place->sent = 0;
        }
        if (place->open == NULL) {
            break;
        }
        size_t left = place->open->size - place->sent;
        size_t part = left < size - used ? left : size - used;
        memcpy(out + used, place->open->text + place->sent, part);
        used += part;
        place->sent += part;
        if (place->sent == place->open->size) {
            release(place->open);
            place->open = NULL;
        }
    }
    return used;
}

void agent_events_leave(struct agent_events_place *place)
{
    release(place->open);
    place->open = NULL;
}
