/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_event.c - libFuzzer target of the event reader: any bytes, a sound event or a reason why not
 * Owner: none.   Thread: one.   Time: fixed.   Units: ms. */
#include <stdint.h>
#include <stdlib.h>

#include "dr/event.h"

#define RECEIVED INT64_C(1775102400000)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What everything behind the parser relies on. */
static void check(const struct agent_dr_event *event)
{
    int64_t from = 0;
    int64_t to = 0;
    int64_t at = event->start_ms;

    if (event->interval_count > AGENT_DR_INTERVALS_MAX || event->end_ms < event->start_ms ||
        event->period_ms < 0) {
        abort();
    }
    for (size_t index = 0; index < event->interval_count; index++) {
        if (event->intervals[index].start_ms >= event->intervals[index].end_ms ||
            event->intervals[index].start_ms < event->start_ms) {
            abort();
        }
    }
    for (int turn = 0; turn < 64 && at < event->end_ms; turn++) {
        const struct agent_dr_interval *held = agent_dr_event_at(event, ~0u, at, &from, &to);
        if (held != NULL && (from > at || to <= at)) {
            abort();
        }
        int64_t next = agent_dr_event_next_ms(event, at);
        if (next <= at) {
            abort();
        }
        at = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct agent_dr_reading reading = {
        .received_ms = RECEIVED, .clock_ms = 250, .seed = size, .levels = {0, 0.3, 0.6, 1}};
    struct agent_dr_event *event = NULL;
    struct agent_error error = {0};
    json_t *object = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);

    if (object == NULL) {
        return 0;
    }
    if (agent_dr_event_parse(object, &reading, &event, &error) == 0) {
        check(event);
        json_decref(agent_dr_event_json(event));
        agent_dr_event_free(event);
    } else if (error.text[0] == '\0') {
        abort();
    }
    json_decref(object);
    return 0;
}
