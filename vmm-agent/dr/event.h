/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event.h - one demand-response event, typed: who asks which sites for which power, and when
 * Owner: heap, the schedule's (agent_dr_event_free).   Thread: any, no shared state.
 * Time:  ms since 1970 UTC by our clock.               Units:  kW, share 0..1, ms.
 *
 * An event comes from a VTN (OpenADR 3.1), from a person (vmm-agent dr trigger) or from the
 * frequency. All become this struct, so everything behind it knows one kind only. Power is what the
 * site draws from the grid: less is negative. */
#ifndef AGENT_DR_EVENT_H
#define AGENT_DR_EVENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dr/instant.h"
#include "support/error.h"

#define AGENT_DR_NAME_SIZE     129 /* OpenADR: at most 128 characters */
#define AGENT_DR_TARGETS_MAX   32
#define AGENT_DR_INTERVALS_MAX 288 /* a day in steps of five minutes */
#define AGENT_DR_REPORTS_MAX   8
#define AGENT_DR_PRIORITY_NONE UINT32_MAX /* the event names none: behind all that do */
#define AGENT_DR_POWER_MAX_KW  1e6
#define AGENT_DR_EVENT_BYTES   (256u * 1024)

enum agent_dr_origin { AGENT_DR_VTN, AGENT_DR_LOCAL, AGENT_DR_FREQUENCY };

/** enum agent_dr_kind - what an interval's value means
 * @AGENT_DR_RELATIVE:  change by value kW (DISPATCH_SETPOINT_RELATIVE)
 * @AGENT_DR_ABSOLUTE:  draw value kW (DISPATCH_SETPOINT)
 * @AGENT_DR_LIMIT:     draw at most value kW (IMPORT_CAPACITY_LIMIT)
 * @AGENT_DR_LEVEL:     give up this share of what can be given up, -1..1 (SIMPLE 1 to 3 are thirds,
 *                      CONTROL_LEVEL_OFFSET tenths, CONTROL_LEVEL_OFFSET_PERCENT with its sign
 * turned)
 * @AGENT_DR_EMERGENCY: give up all (ALERT_GRID_EMERGENCY, ALERT_BLACK_START); value is 1
 * @AGENT_DR_CHARGE:    batteries to this share of their capacity (CHARGE_STATE_SETPOINT, PERCENT)
 */
enum agent_dr_kind {
    AGENT_DR_RELATIVE,
    AGENT_DR_ABSOLUTE,
    AGENT_DR_LIMIT,
    AGENT_DR_LEVEL,
    AGENT_DR_EMERGENCY,
    AGENT_DR_CHARGE
};

struct agent_dr_interval {
    int32_t id; /* the VTN's; reports name it */
    enum agent_dr_kind kind;
    int64_t start_ms;
    int64_t end_ms; /* first instant that is no longer in it */
    double value;
};

/** struct agent_dr_report_request - a reportDescriptor; names as in OpenADR, 3.1 defaults filled in
 */
struct agent_dr_report_request {
    char payload[AGENT_DR_NAME_SIZE];
    char reading[AGENT_DR_NAME_SIZE];
    char units[AGENT_DR_NAME_SIZE];
    bool aggregate;
    bool historical;
    int32_t start_interval;
    int32_t num_intervals;
    int32_t frequency;
    int32_t repeat;
};

/** struct agent_dr_event
 * @modified_ms: version of the event; an older one never replaces a newer one
 * @shift_ms:    what randomizeStart moved it by
 * @period_ms:   the intervals repeat with this period until @end_ms; 0 = they do not
 * @sites:       bit per site that it concerns (dr/schedule.h fills it in from @targets)
 * @cancelled:   withdrawn, or of no duration
 * @opted_out:   we decided not to take part; kept, so that it is reported
 * @note:        what was left out of it and why, may be empty */
struct agent_dr_event {
    char id[AGENT_DR_NAME_SIZE];
    char program[AGENT_DR_NAME_SIZE];
    char name[AGENT_DR_NAME_SIZE];
    enum agent_dr_origin origin;
    uint32_t priority; /* 0 = highest */
    int64_t created_ms;
    int64_t modified_ms;
    int64_t received_ms;
    int64_t shift_ms;
    int64_t start_ms;
    int64_t end_ms;
    int64_t period_ms;
    double within_s; /* how soon it wants to be answered, 0 = as configured */
    uint64_t sites;
    unsigned seen; /* number of the listing that named it last; the schedule's */
    bool cancelled;
    bool opted_out;
    bool reported; /* its reports are on their way */
    size_t target_count;
    char targets[AGENT_DR_TARGETS_MAX][AGENT_DR_NAME_SIZE];
    size_t report_count;
    struct agent_dr_report_request reports[AGENT_DR_REPORTS_MAX];
    size_t interval_count;
    struct agent_dr_interval *intervals; /* owned */
    char note[256];
};

/** struct agent_dr_reading - what parsing needs to know besides the text
 * @received_ms:  when it arrived; "now" in the event means this
 * @clock_ms:     the VTN's clock minus ours; its times are moved by it
 * @seed:         makes randomizeStart repeatable: the same VEN and event move the same way
 * @program:      the event's program object or NULL: its payloadDescriptors name units
 * @units:        unit of power when neither event nor program names one; NULL = then it is refused
 * @levels:       share to give up for SIMPLE 0..3 */
struct agent_dr_reading {
    int64_t received_ms;
    int64_t clock_ms;
    uint64_t seed;
    const json_t *program;
    const char *units;
    double levels[4];
};

/** agent_dr_event_parse() - an event as a VTN represents it
 * Keys that OpenADR does not name are ignored, as it demands; what it names must be right.
 * Payloads that ask for no power (PRICE, GHG, ...) are noted and leave no interval.
 * Return: 0 with @out (caller frees), or -EINVAL/-ENOENT with path, value and limit. */
int agent_dr_event_parse(const json_t *object, const struct agent_dr_reading *reading,
                         struct agent_dr_event **out, struct agent_error *error);

/** agent_dr_event_id() - the checked "id" of @object, borrowed; NULL if it has none of use */
const char *agent_dr_event_id(const json_t *object);

/** agent_dr_event_new() - an empty event with room for @intervals; NULL = no memory */
struct agent_dr_event *agent_dr_event_new(size_t intervals);

/** agent_dr_event_free() - NULL is fine */
void agent_dr_event_free(struct agent_dr_event *event);

/** agent_dr_event_at() - the interval of @event that holds @now_ms, of the kinds in @kinds (bits)
 * Of several the one that stands last in the event. Repeating events are unrolled: @from_ms and
 * @to_ms are this round's. Return: the interval, or NULL. */
const struct agent_dr_interval *agent_dr_event_at(const struct agent_dr_event *event,
                                                  unsigned kinds, int64_t now_ms, int64_t *from_ms,
                                                  int64_t *to_ms);

/** agent_dr_event_next_ms() - first instant after @now_ms at which an interval begins or ends
 * Return: AGENT_DR_FOREVER_MS when nothing more happens. */
int64_t agent_dr_event_next_ms(const struct agent_dr_event *event, int64_t now_ms);

/** agent_dr_event_json() - for the agent's state document; new reference or NULL */
json_t *agent_dr_event_json(const struct agent_dr_event *event);

/** agent_dr_clean() - what a peer wrote, and we may have cut: bytes that are no UTF-8 and control
 * characters become '?', in place, so that it can stand in JSON and in one line of a log
 * Return: @text. */
char *agent_dr_clean(char *text);

/** agent_dr_kind_name() - "relative", "absolute", ... */
const char *agent_dr_kind_name(enum agent_dr_kind kind);

/** agent_dr_origin_name() - "vtn", "local", "frequency" */
const char *agent_dr_origin_name(enum agent_dr_origin origin);

#endif
