/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_event.c - OpenADR events become typed ones, and malformed ones are refused in words
 * Owner: none.   Thread: one.   Time: received at RECEIVED.   Units: ms, kW.
 *
 * The objects are written by hand from the OpenADR 3.1 description of its interface. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dr/event.h"

#define RECEIVED INT64_C(1775102400000) /* 2026-04-02T04:00:00Z */
#define MINUTE   INT64_C(60000)
#define HOUR     (60 * MINUTE)

#define HEAD                                                                                       \
    "'id':'e-1','programID':'p1','createdDateTime':'2026-04-02T03:00:00Z',"                        \
    "'modificationDateTime':'2026-04-02T03:30:00.500Z','objectType':'EVENT'"
#define UNITS                                                                                      \
    ",'payloadDescriptors':[{'objectType':'EVENT_PAYLOAD_DESCRIPTOR',"                             \
    "'payloadType':'DISPATCH_SETPOINT_RELATIVE','units':'KW'}]"
#define DOWN "'payloads':[{'type':'DISPATCH_SETPOINT_RELATIVE','values':[-50]}]"

/* JSON with ' for " to an object. */
static json_t *object_of(const char *text)
{
    char *copy = strdup(text);
    json_error_t problem;

    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    json_t *object = json_loads(copy, JSON_DECODE_ANY, &problem);
    if (object == NULL) {
        fail_msg("the test's own JSON: %s in %s", problem.text, copy);
    }
    free(copy);
    return object;
}

static const struct agent_dr_reading plain = {
    .received_ms = RECEIVED, .seed = 7, .levels = {0, 0.25, 0.5, 1}};

static struct agent_dr_event *parse_with(const char *text, const struct agent_dr_reading *reading)
{
    struct agent_dr_event *event = NULL;
    struct agent_error error = {0};
    json_t *object = object_of(text);

    if (agent_dr_event_parse(object, reading, &event, &error) != 0) {
        fail_msg("refused: %s", error.text);
    }
    json_decref(object);
    return event;
}

static struct agent_dr_event *parse(const char *text)
{
    return parse_with(text, &plain);
}

static void whole_event(void **state)
{
    (void)state;
    struct agent_dr_event *event =
        parse("{" HEAD UNITS ",'eventName':'evening','priority':2,'targets':['group-1','east'],"
              "'future':{'unknown':1},'reportDescriptors':[{'payloadType':'USAGE','units':'KWH'}],"
              "'intervalPeriod':{'start':'2026-04-02T13:30:00+09:00','duration':'PT30M'},"
              "'intervals':[{'id':0," DOWN "},{'id':4," DOWN
              ",'intervalPeriod':{'duration':'PT1H'}},{'id':9,'payloads':[{'type':'PRICE','values':"
              "[9]}]}]}");

    assert_string_equal(event->id, "e-1");
    assert_string_equal(event->name, "evening");
    assert_int_equal(event->priority, 2);
    assert_int_equal(event->target_count, 2);
    assert_string_equal(event->targets[1], "east");
    assert_int_equal(event->report_count, 1);
    assert_int_equal(event->reports[0].repeat, 1);
    assert_true(event->reports[0].historical);
    assert_int_equal(event->interval_count, 2);
    assert_int_equal(event->intervals[0].start_ms, RECEIVED + 30 * MINUTE);
    assert_int_equal(event->intervals[1].start_ms, RECEIVED + HOUR);
    assert_int_equal(event->intervals[1].end_ms, RECEIVED + 2 * HOUR);
    assert_int_equal(event->intervals[1].id, 4);
    assert_true(event->intervals[0].value == -50);
    assert_int_equal(event->end_ms,
                     RECEIVED + 150 * MINUTE); /* the priced interval is part of it */
    assert_string_equal(event->note, "not followed: PRICE");
    assert_int_equal(event->modified_ms - event->created_ms, 30 * MINUTE + 500);
    agent_dr_event_free(event);
}

static void now_and_for_ever(void **state)
{
    (void)state;
    struct agent_dr_event *event = parse(
        "{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'P9999Y'},"
        "'intervals':[{'id':0,'payloads':[{'type':'ALERT_GRID_EMERGENCY','values':['x']}]}]}");
    int64_t from = 0;
    int64_t to = 0;

    assert_int_equal(event->start_ms, RECEIVED);
    assert_int_equal(event->end_ms, AGENT_DR_FOREVER_MS);
    assert_non_null(agent_dr_event_at(event, ~0u, RECEIVED + 900 * HOUR, &from, &to));
    assert_int_equal(event->intervals[0].kind, AGENT_DR_EMERGENCY);
    assert_int_equal(agent_dr_event_next_ms(event, RECEIVED), AGENT_DR_FOREVER_MS);
    agent_dr_event_free(event);
}

static void clock_of_the_vtn(void **state)
{
    (void)state;
    struct agent_dr_reading fast = plain;
    fast.clock_ms = 90 * 1000; /* its clock is a minute and a half ahead */
    struct agent_dr_event *event =
        parse_with("{" HEAD UNITS ",'intervalPeriod':{'start':'2026-04-02T05:01:30Z','duration':"
                   "'PT1H'},'intervals':[{'id':0," DOWN "}]}",
                   &fast);

    assert_int_equal(event->start_ms, RECEIVED + HOUR);
    agent_dr_event_free(event);
}

static void random_start(void **state)
{
    (void)state;
    const char *text =
        "{" HEAD UNITS ",'intervalPeriod':{'start':'2026-04-02T05:00:00Z','duration':"
        "'PT1H','randomizeStart':'PT10M'},'intervals':[{'id':0," DOWN "},{'id':1," DOWN "}]}";
    int64_t least = INT64_MAX;
    int64_t most = INT64_MIN;

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct agent_dr_reading reading = plain;
        reading.seed = seed * 977;
        struct agent_dr_event *one = parse_with(text, &reading);
        struct agent_dr_event *again = parse_with(text, &reading);
        assert_int_equal(one->start_ms, again->start_ms);
        assert_int_equal(one->start_ms - one->shift_ms, RECEIVED + HOUR);
        assert_int_equal(one->intervals[1].start_ms, one->intervals[0].end_ms);
        assert_int_equal(one->intervals[0].end_ms - one->intervals[0].start_ms, HOUR);
        least = one->shift_ms < least ? one->shift_ms : least;
        most = one->shift_ms > most ? one->shift_ms : most;
        agent_dr_event_free(one);
        agent_dr_event_free(again);
    }
    assert_in_range(-least, 9 * MINUTE, 10 * MINUTE);
    assert_in_range(most, 9 * MINUTE, 10 * MINUTE);
}

static void random_only_one_interval(void **state)
{
    (void)state;
    struct agent_dr_event *event =
        parse("{" HEAD UNITS ",'intervalPeriod':{'start':'2026-04-02T05:00:00Z','duration':'PT1H'},"
              "'intervals':[{'id':0," DOWN "},{'id':1,'intervalPeriod':{'start':"
              "'2026-04-02T08:00:00Z','randomizeStart':'PT10M'}," DOWN "}]}");

    assert_int_equal(event->intervals[0].start_ms, RECEIVED + HOUR);
    assert_int_not_equal(event->intervals[1].start_ms, RECEIVED + 4 * HOUR);
    assert_in_range(event->intervals[1].start_ms, RECEIVED + 4 * HOUR - 10 * MINUTE,
                    RECEIVED + 4 * HOUR + 10 * MINUTE);
    agent_dr_event_free(event);
}

static void repeats_and_is_cut(void **state)
{
    (void)state;
    const char *body = UNITS ",'intervalPeriod':{'start':'2026-04-02T04:00:00Z','duration':'PT1H'},"
                             "'intervals':[{'id':0," DOWN "},{'id':1,'payloads':[{'type':"
                             "'DISPATCH_SETPOINT_RELATIVE','values':[20]}]}]}";
    char text[2048];
    int64_t from = 0;
    int64_t to = 0;

    snprintf(text, sizeof(text), "{" HEAD ",'duration':'PT7H'%s", body);
    struct agent_dr_event *event = parse(text);
    assert_int_equal(event->period_ms, 2 * HOUR);
    const struct agent_dr_interval *found =
        agent_dr_event_at(event, ~0u, RECEIVED + 5 * HOUR + 1, &from, &to);
    assert_non_null(found);
    assert_int_equal(found->id, 1);
    assert_int_equal(from, RECEIVED + 5 * HOUR);
    assert_int_equal(to, RECEIVED + 6 * HOUR);
    assert_int_equal(agent_dr_event_next_ms(event, RECEIVED + 5 * HOUR), RECEIVED + 6 * HOUR);
    assert_null(agent_dr_event_at(event, ~0u, RECEIVED + 7 * HOUR, &from, &to));
    agent_dr_event_free(event);

    snprintf(text, sizeof(text), "{" HEAD ",'duration':'PT90M'%s", body);
    event = parse(text);
    assert_int_equal(event->period_ms, 0);
    assert_non_null(agent_dr_event_at(event, ~0u, RECEIVED + 80 * MINUTE, &from, &to));
    assert_int_equal(to, RECEIVED + 90 * MINUTE);
    assert_int_equal(agent_dr_event_next_ms(event, RECEIVED + 70 * MINUTE), RECEIVED + 90 * MINUTE);
    assert_int_equal(agent_dr_event_next_ms(event, RECEIVED + 90 * MINUTE), AGENT_DR_FOREVER_MS);
    agent_dr_event_free(event);
}

static void several_values_share_the_time(void **state)
{
    (void)state;
    struct agent_dr_event *event =
        parse("{" HEAD UNITS ",'intervalPeriod':{'start':'2026-04-02T04:00:00Z','duration':'PT1H'},"
              "'intervals':[{'id':5,'payloads':[{'type':'DISPATCH_SETPOINT_RELATIVE','values':"
              "[-1,-2,-3,4]}]}]}");

    assert_int_equal(event->interval_count, 4);
    assert_int_equal(event->intervals[3].start_ms, RECEIVED + 45 * MINUTE);
    assert_int_equal(event->intervals[3].end_ms, RECEIVED + HOUR);
    assert_int_equal(event->intervals[3].id, 5);
    assert_true(event->intervals[3].value == 4);
    agent_dr_event_free(event);
}

static void levels_and_units(void **state)
{
    (void)state;
    json_t *program = object_of("{'payloadDescriptors':[{'payloadType':'IMPORT_CAPACITY_LIMIT',"
                                "'units':'MW'}]}");
    struct agent_dr_reading reading = plain;
    reading.program = program;
    struct agent_dr_event *event = parse_with(
        "{" HEAD
        ",'intervalPeriod':{'start':'2026-04-02T04:00:00Z','duration':'PT1H'},'intervals':["
        "{'id':0,'payloads':[{'type':'SIMPLE','values':[2]}]},"
        "{'id':1,'payloads':[{'type':'CONTROL_LEVEL_OFFSET','values':[-3]}]},"
        "{'id':2,'payloads':[{'type':'CONTROL_LEVEL_OFFSET_PERCENT','values':[-0.4]}]},"
        "{'id':3,'payloads':[{'type':'IMPORT_CAPACITY_LIMIT','values':[0.02]}]},"
        "{'id':4,'payloads':[{'type':'CHARGE_STATE_SETPOINT','values':[0.9]}]}]}",
        &reading);
    static const double expected[] = {0.5, -0.3, 0.4, 20, 0.9};

    assert_int_equal(event->interval_count, 5);
    for (size_t index = 0; index < 5; index++) {
        assert_float_equal(event->intervals[index].value, expected[index], 1e-9);
    }
    assert_int_equal(event->intervals[0].kind, AGENT_DR_LEVEL);
    assert_int_equal(event->intervals[3].kind, AGENT_DR_LIMIT);
    assert_int_equal(event->intervals[4].kind, AGENT_DR_CHARGE);
    agent_dr_event_free(event);
    json_decref(program);
}

static void cancelled_by_no_duration(void **state)
{
    (void)state;
    struct agent_dr_event *event =
        parse("{" HEAD UNITS ",'intervalPeriod':{'start':'0001-01-01','duration':'PT0S'},"
              "'intervals':[{'id':0," DOWN "}]}");

    assert_true(event->cancelled);
    assert_int_equal(event->interval_count, 0);
    agent_dr_event_free(event);
}

/* What is replaced in a good event, and what the refusal must name. */
static const struct {
    const char *text;
    const char *words;
} refusals[] = {
    {"[]", "expected an object"},
    {"{'id':'e'}", "'programID' is missing"},
    {"{'id':'a/b','programID':'p'}", "event.id"},
    {"{'id':'','programID':'p'}", "event.id"},
    {"{'id':7,'programID':'p'}", "event.id"},
    {"{'id':'e','programID':'p','objectType':'PROGRAM'}", "expected EVENT, found 'PROGRAM'"},
    {"{'id':'e','programID':'p'}", "'createdDateTime' is missing"},
    {"{'id':'e','programID':'p','createdDateTime':'yesterday'}", "createdDateTime"},
    {"{'id':'e','programID':'p','createdDateTime':'0001-01-01'}", "createdDateTime"},
    {"{" HEAD ",'priority':-1}", "event.priority"},
    {"{" HEAD ",'priority':1.5}", "event.priority"},
    {"{" HEAD ",'priority':'high'}", "event.priority"},
    {"{" HEAD ",'targets':[{'type':'GROUP','values':['x']}]}", "OpenADR 3.0"},
    {"{" HEAD ",'targets':'x'}", "event.targets: expected a list"},
    {"{" HEAD ",'targets':['']}", "event.targets[0]"},
    {"{" HEAD ",'reportDescriptors':[{}]}", "payloadType"},
    {"{" HEAD ",'reportDescriptors':[{'payloadType':'USAGE','repeat':0.5}]}", "repeat"},
    {"{" HEAD ",'duration':'1h'}", "event.duration"},
    {"{" HEAD ",'duration':'P1M'}", "event.duration"},
    {"{" HEAD ",'duration':'-PT1H'}", "event.duration"},
    {"{" HEAD ",'intervalPeriod':'PT1H'}", "event.intervalPeriod: expected an object"},
    {"{" HEAD ",'intervalPeriod':{'start':'2026-04-02'}}", "event.intervalPeriod.start"},
    {"{" HEAD ",'intervalPeriod':{'start':'2026-04-02T04:00:00'}}", "event.intervalPeriod.start"},
    {"{" HEAD ",'intervalPeriod':{'start':'2026-13-02T04:00:00Z'}}", "event.intervalPeriod.start"},
    {"{" HEAD ",'intervalPeriod':{'randomizeStart':'PT48H'}}", "more than a day"},
    {"{" HEAD ",'intervals':[5]}", "intervals[0]: expected an object"},
    {"{" HEAD ",'intervals':[{'payloads':[]}]}", "'id' is missing"},
    {"{" HEAD ",'intervals':[{'id':1.5}]}", "intervals[0].id"},
    {"{" HEAD ",'intervals':[{'id':0,'payloads':[]}]}", "intervals[0]: no start"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01'},'intervals':[{'id':0,'payloads':[]}]}",
     "intervals[0]: no duration"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0}]}",
     "'payloads' is missing"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'P9999Y'},'intervals':[{'id':0,"
     "'payloads':[]},{'id':1,'payloads':[]}]}",
     "after an interval that has no end"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0,"
     "'payloads':[{'values':[1]}]}]}",
     "payloads[0]: key 'type' is missing"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0,"
     "'payloads':[{'type':'SIMPLE'}]}]}",
     "payloads[0].values"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0,"
     "'payloads':[{'type':'SIMPLE','values':[]}]}]}",
     "0 values"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0,"
     "'payloads':[{'type':'SIMPLE','values':[4]}]}]}",
     "SIMPLE wants a whole number in 0..3, found 4"},
    {"{" HEAD ",'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0,"
     "'payloads':[{'type':'SIMPLE','values':['high']}]}]}",
     "SIMPLE wants a whole number"},
    {"{" HEAD
     ",'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0," DOWN "}]}",
     "units are not named"},
    {"{" HEAD ",'payloadDescriptors':[{'payloadType':'DISPATCH_SETPOINT_RELATIVE','units':'KWH'}],"
     "'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0," DOWN "}]}",
     "units are 'KWH', expected KW, W or MW"},
    {"{" HEAD ",'payloadDescriptors':[{'payloadType':'DISPATCH_SETPOINT_RELATIVE','units':'MW'}],"
     "'intervalPeriod':{'start':'0001-01-01','duration':'PT1H'},'intervals':[{'id':0,'payloads':["
     "{'type':'DISPATCH_SETPOINT_RELATIVE','values':[-5000]}]}]}",
     "in -1000000..1000000"},
};

static void malformed_are_refused(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof(refusals) / sizeof(refusals[0]); index++) {
        struct agent_dr_event *event = NULL;
        struct agent_error error = {0};
        json_t *object = object_of(refusals[index].text);
        int status = agent_dr_event_parse(object, &plain, &event, &error);

        if (status >= 0 || strstr(error.text, refusals[index].words) == NULL) {
            fail_msg("%s\n  expected '%s'\n  found %d '%s'", refusals[index].text,
                     refusals[index].words, status, error.text);
        }
        assert_null(event);
        json_decref(object);
    }
}

static void instants(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"2026-04-02T04:00:00Z", RECEIVED},
        {"2026-04-02T13:00:00.000+09:00", RECEIVED},
        {"2026-04-02T04:00:00.123456Z", RECEIVED + 123},
        {"2026-04-02T04:00:00.5Z", RECEIVED + 500},
    };
    static const struct {
        const char *text;
        int64_t ms;
    } durations[] = {
        {"PT0S", 0},
        {"PT1H30M", 90 * MINUTE},
        {"P1DT1H", 25 * HOUR},
        {"P1W", 168 * HOUR},
        {"PT0.25S", 250},
        {"P9999Y", AGENT_DR_FOREVER_MS},
        {"P999999D", AGENT_DR_FOREVER_MS},
    };
    static const char *const bad[] = {
        "",    "P",     "PT",     "T1H",   "PT1H1H", "PT1M1H",  "P1H",   "P1Y",  "P1M",  "1H",
        "PT1", "PT-1H", "PT1.5H", "PT1.S", "PTT1H",  "PT1HT1M", "P1D1W", "pt1h", "PT1H "};
    int64_t ms = 0;
    char text[AGENT_DR_TIME_TEXT_SIZE];

    for (size_t index = 0; index < sizeof(good) / sizeof(good[0]); index++) {
        assert_int_equal(agent_dr_time_parse(good[index].text, &ms, NULL), 0);
        assert_int_equal(ms, good[index].ms);
    }
    for (size_t index = 0; index < sizeof(durations) / sizeof(durations[0]); index++) {
        assert_int_equal(agent_dr_duration_parse(durations[index].text, 0, &ms, NULL), 0);
        assert_int_equal(ms, durations[index].ms);
    }
    for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
        if (agent_dr_duration_parse(bad[index], 1, &ms, NULL) != -EINVAL) {
            fail_msg("'%s' was taken as a duration", bad[index]);
        }
    }
    assert_string_equal(agent_dr_time_format(RECEIVED + 45, text), "2026-04-02T04:00:00.045Z");
    assert_string_equal(agent_dr_time_format(RECEIVED - 4 * HOUR, text),
                        "2026-04-02T00:00:00.000Z");
    assert_string_equal(agent_dr_time_format(RECEIVED + 20 * HOUR - 1, text),
                        "2026-04-02T23:59:59.999Z");
    assert_string_equal(agent_dr_duration_format(90 * MINUTE + 1500, text), "PT1H30M1.500S");
    assert_string_equal(agent_dr_duration_format(0, text), "PT0S");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants),
        cmocka_unit_test(whole_event),
        cmocka_unit_test(now_and_for_ever),
        cmocka_unit_test(clock_of_the_vtn),
        cmocka_unit_test(random_start),
        cmocka_unit_test(random_only_one_interval),
        cmocka_unit_test(repeats_and_is_cut),
        cmocka_unit_test(several_values_share_the_time),
        cmocka_unit_test(levels_and_units),
        cmocka_unit_test(cancelled_by_no_duration),
        cmocka_unit_test(malformed_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
