/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dr.c - from start to end, the tick, and what VEN and meter bring
 * Owner, thread, time, units: dr.h. */
#include "dr/dr.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dr/private.h"
#include "support/file.h"

#define MEASURE_AGE_MS                                                                             \
    50                    /* older than this, power is measured again before anything is decided   \
                           */
#define DECIDE_EVERY_S 10 /* also when nothing seems to have changed: the world may have */

int64_t dr_now_ms(const struct agent_dr *dr)
{
    return (int64_t)(agent_clock_now(agent_loop_clock(dr->loop)) * 1000);
}

int64_t dr_now_ns(const struct agent_dr *dr)
{
    return agent_loop_now_ns(dr->loop);
}

double dr_hours_left(const struct agent_dr *dr, int64_t to_ms)
{
    double hours = (double)(to_ms - dr_now_ms(dr)) / 3.6e6;

    return fmin(fmax(hours, 0), 24);
}

void dr_tell(struct agent_dr *dr, const char *type, json_t *body)
{
    if (dr->hooks != NULL) {
        dr->hooks->tell(dr->hooks_opaque, type, body);
    } else {
        json_decref(body);
    }
}

void dr_alert(struct agent_dr *dr, const char *key, const char *format, ...)
{
    char text[300];
    va_list words;

    va_start(words, format);
    vsnprintf(text, sizeof(text), format, words);
    va_end(words);
    if (dr->hooks != NULL) {
        dr->hooks->alert(dr->hooks_opaque, key, text);
    }
}

void dr_alert_clear(struct agent_dr *dr, const char *key)
{
    if (dr->hooks != NULL) {
        dr->hooks->alert(dr->hooks_opaque, key, NULL);
    }
}

int dr_put(struct agent_dr *dr, struct agent_dr_event *event, unsigned listing,
           struct agent_error *error)
{
    char id[AGENT_DR_NAME_SIZE];

    memcpy(id, event->id, sizeof(id));
    int put = agent_dr_schedule_put(&dr->schedule, event, listing, dr_now_ms(dr), error);
    if (put == AGENT_DR_PUT_NEW || put == AGENT_DR_PUT_CHANGED) {
        dr_tell(dr, "dr.event", agent_dr_event_json(agent_dr_schedule_find(&dr->schedule, id)));
    }
    return put;
}

/* ---- what the VTN says ---------------------------------------------------------------------- */

static void look_soon(struct agent_dr *dr)
{
    agent_timer_after(&dr->soon, 0);
}

static void on_event(void *opaque, struct agent_dr_event *event, unsigned listing)
{
    struct agent_dr *dr = opaque;
    struct agent_error error = {0};
    char id[AGENT_DR_NAME_SIZE];

    memcpy(id, event->id, sizeof(id));
    if (dr_put(dr, event, listing, &error) < 0) {
        dr_tell(dr, "dr.refused",
                json_pack("{s:s,s:s}", "event", id, "text", agent_dr_clean(error.text)));
        return;
    }
    look_soon(dr);
}

/* A malformed version leaves the one at hand in force: silence is no withdrawal. */
static void on_refused(void *opaque, const char *id, unsigned listing, const char *why)
{
    struct agent_dr *dr = opaque;
    struct agent_dr_event *held = id != NULL ? agent_dr_schedule_find(&dr->schedule, id) : NULL;

    if (held != NULL && listing > held->seen) {
        held->seen = listing;
    }
    if (why != NULL) {
        char text[AGENT_ERROR_TEXT_MAX];
        snprintf(text, sizeof(text), "%s", why);
        dr_tell(
            dr, "dr.refused",
            json_pack("{s:s,s:s}", "event", id != NULL ? id : "", "text", agent_dr_clean(text)));
    }
}

static void on_deleted(void *opaque, const char *id, unsigned listing)
{
    struct agent_dr *dr = opaque;
    struct agent_dr_event *event = agent_dr_schedule_find(&dr->schedule, id);

    if (event != NULL) {
        event->seen = listing; /* a listing that began before this may still name it */
    }
    if (event != NULL && event->origin == AGENT_DR_VTN &&
        agent_dr_schedule_cancel(&dr->schedule, id, dr_now_ms(dr), "the VTN deleted it") > 0) {
        dr_tell(dr, "dr.event", agent_dr_event_json(event));
        look_soon(dr);
    }
}

static void on_listed(void *opaque, unsigned oldest)
{
    struct agent_dr *dr = opaque;
    uint64_t version = dr->schedule.version;

    dr->listed = true;
    agent_dr_schedule_sweep(&dr->schedule, oldest, dr_now_ms(dr));
    if (dr->schedule.version != version) {
        look_soon(dr);
    }
}

static void on_state(void *opaque, const char *text)
{
    struct agent_dr *dr = opaque;

    dr_tell(dr, "dr.state", json_pack("{s:s}", "text", text));
}

static const struct agent_dr_ven_ops ven_ops = {
    .event = on_event,
    .refused = on_refused,
    .deleted = on_deleted,
    .listed = on_listed,
    .state = on_state,
};

static int on_notification(void *opaque, const json_t *notification, struct agent_error *error)
{
    struct agent_dr *dr = opaque;
    int status = agent_dr_ven_notified(dr->ven, notification, error);

    if (status < 0) {
        dr_tell(dr, "dr.refused",
                json_pack("{s:s,s:s}", "event", "", "text",
                          error->text[0] != '\0' ? agent_dr_clean(error->text) : "notification"));
    }
    return status;
}

/* ---- frequency ------------------------------------------------------------------------------ */

static void set_sites(const struct agent_dr *dr, struct agent_dr_event *event)
{
    const struct agent_yaml *list = dr->settings->frequency.sites;

    for (const struct agent_yaml *item = list != NULL ? list->first : NULL;
         item != NULL && event->target_count < AGENT_DR_TARGETS_MAX; item = item->next) {
        snprintf(event->targets[event->target_count++], AGENT_DR_NAME_SIZE, "%s", item->text);
    }
}

/* The frequency's call is an event like any other, for as long as it lasts. */
static void call_by_frequency(struct agent_dr *dr)
{
    struct agent_dr_event *event = NULL;
    int64_t now_ms = dr_now_ms(dr);
    const struct agent_dr_event *held = agent_dr_schedule_find(&dr->schedule, "frequency");

    if (dr->droop.answer_kw == 0) {
        agent_dr_schedule_cancel(&dr->schedule, "frequency", now_ms, "the frequency is calm");
        dr_look(dr);
        return;
    }
    event = agent_dr_event_new(1);
    if (event == NULL) {
        return;
    }
    bool goes_on = held != NULL && !held->cancelled;
    snprintf(event->id, sizeof(event->id), "frequency");
    snprintf(event->name, sizeof(event->name), "%.3f Hz", dr->droop.hz);
    event->origin = AGENT_DR_FREQUENCY;
    event->priority = (uint32_t)dr->settings->frequency.priority;
    event->received_ms = now_ms;
    event->modified_ms =
        held != NULL && held->modified_ms >= now_ms ? held->modified_ms + 1 : now_ms;
    event->start_ms = goes_on ? held->start_ms : now_ms;
    event->end_ms = AGENT_DR_FOREVER_MS;
    event->interval_count = 1;
    event->intervals[0] = (struct agent_dr_interval){0, AGENT_DR_RELATIVE, event->start_ms,
                                                     AGENT_DR_FOREVER_MS, dr->droop.answer_kw};
    set_sites(dr, event);
    dr_put(dr, event, 0, NULL);
    dr_look(dr);
}

static void read_meter(struct agent_dr *dr)
{
    struct agent_error error = {0};
    double hz = 0;
    int64_t now_ns = dr_now_ns(dr);
    int status = agent_dr_meter_read(&dr->meter, dr->settings->frequency.nominal_hz, &hz, &error);
    int changed = status > 0 ? agent_dr_droop_take(&dr->droop, hz, now_ns)
                             : agent_dr_droop_tick(&dr->droop, now_ns);

    if (status < 0) {
        dr_alert(dr, "dr/frequency", "%s%s%s", error.file, error.file[0] != '\0' ? ": " : "",
                 error.text);
    } else if (dr->droop.stale && now_ns - dr->start_ns > 10 * AGENT_NS_PER_S) {
        dr_alert(dr, "dr/frequency", "no reading of the frequency for more than %g s",
                 dr->settings->frequency.stale_s);
    } else if (status > 0) {
        dr_alert_clear(dr, "dr/frequency");
    }
    if (changed > 0) {
        call_by_frequency(dr);
    }
}

static void on_meter(void *opaque, uint32_t events)
{
    (void)events;
    read_meter(opaque);
}

static void on_meter_timer(void *opaque)
{
    struct agent_dr *dr = opaque;

    read_meter(dr);
    agent_timer_after(&dr->meter_timer, AGENT_DR_METER_POLL_MS * AGENT_NS_PER_MS);
}

/* ---- the tick ------------------------------------------------------------------------------- */

static void measure(struct agent_dr *dr)
{
    int64_t now_ms = dr_now_ms(dr);

    for (size_t index = 0; index < dr->schedule.site_count; index++) {
        struct dr_site *site = &dr->sites[index];
        site->now_kw = dr->world->measure(dr->world_opaque, index, &site->now_sigma_kw);
        struct agent_dr_sample sample = {now_ms, site->now_kw, site->now_sigma_kw};
        agent_dr_history_add(&site->history, &sample, site->active);
    }
    dr->sampled_ns = dr_now_ns(dr);
}

void dr_look(struct agent_dr *dr)
{
    if (!dr->started || dr->waiting) {
        return;
    }
    dr->looked_version = dr->schedule.version;
    if (dr_now_ns(dr) - dr->sampled_ns > MEASURE_AGE_MS * AGENT_NS_PER_MS) {
        measure(dr); /* so that what was drawn before is not mixed with what is drawn after */
    }
    dr_hands_adopt(dr);
    dr_answers_update(dr);
    dr_hands_settle(dr);
    dr_decide(dr);
    dr_outcomes_send(dr);
    dr->looked_ns = dr_now_ns(dr);
    dr->edge_ms = agent_dr_schedule_next_ms(&dr->schedule, dr_now_ms(dr));
}

static void on_soon(void *opaque)
{
    dr_look(opaque);
}

/* When the next tick is due: soon while a change of power is awaited, at the next begin or end of
 * an interval, else each second. */
static void set_tick(struct agent_dr *dr)
{
    const struct agent_clock *clock = agent_loop_clock(dr->loop);
    int64_t now_ns = dr_now_ns(dr);
    int64_t wait_ms = dr_answers_waiting(dr) ? DR_WATCH_MS : DR_TICK_MS;
    int64_t due_ns = now_ns + wait_ms * AGENT_NS_PER_MS;
    int64_t next_ms = agent_dr_schedule_next_ms(&dr->schedule, dr_now_ms(dr));

    if (next_ms < AGENT_DR_FOREVER_MS) {
        int64_t edge_ns = agent_clock_at_ns(clock, (double)next_ms / 1000) + AGENT_NS_PER_MS;
        due_ns = edge_ns > now_ns && edge_ns < due_ns ? edge_ns : due_ns;
    }
    agent_timer_set(&dr->tick, due_ns);
}

static void on_tick(void *opaque)
{
    struct agent_dr *dr = opaque;
    int64_t now_ns = dr_now_ns(dr);
    bool edge = dr->edge_ms <= dr_now_ms(dr);
    bool watching = dr_answers_waiting(dr);

    if (watching || now_ns - dr->sampled_ns >= (DR_TICK_MS - 10) * AGENT_NS_PER_MS) {
        measure(dr);
    }
    if (edge || dr->looked_version != dr->schedule.version || dr_answers_turned(dr, dr->looked_ns) ||
        now_ns - dr->looked_ns > DECIDE_EVERY_S * AGENT_NS_PER_S) {
        dr_look(dr);
    } else if (!dr->waiting) {
        dr_hands_settle(dr);
    }
    dr_answer_watch(dr);
    if (!dr->waiting) {
        dr_arm(dr);
    }
    set_tick(dr);
}

void agent_dr_changed(struct agent_dr *dr)
{
    look_soon(dr);
}

/* ---- from start to end ---------------------------------------------------------------------- */

static int open_sites(struct agent_dr *dr, struct agent_error *error)
{
    double scale = agent_loop_clock(dr->loop)->scale;

    for (size_t index = 0; index < dr->settings->site_count; index++) {
        struct dr_site *site = &dr->sites[index];
        site->reference_kw = NAN;
        site->now_kw = NAN;
        if (agent_dr_history_init(&site->history) < 0) {
            return agent_error_set(error, ENOMEM, "no memory for demand response");
        }
        site->history.gap_ms = (int64_t)((double)site->history.gap_ms * fmax(scale, 1));
    }
    return 0;
}

static int open_ven(struct agent_dr *dr, struct agent_error *error)
{
    const struct agent_dr_ven_settings *settings = &dr->settings->openadr;

    if (settings->url == NULL) {
        dr->listed = true;
        return 0;
    }
    int status = agent_dr_ven_new(dr->loop, settings, &ven_ops, dr, &dr->ven, error);
    if (status == 0 && settings->webhook.listen != NULL) {
        status = agent_dr_webhook_new(dr->loop, &settings->webhook, on_notification, dr,
                                      &dr->webhook, error);
    }
    if (status == 0 && dr->webhook != NULL) {
        agent_dr_ven_subscribe(dr->ven, settings->webhook.url, agent_dr_webhook_token(dr->webhook));
    }
    return status;
}

static int open_meter(struct agent_dr *dr, struct agent_error *error)
{
    const struct agent_dr_droop_settings *settings = &dr->settings->frequency;

    dr->droop.settings = *settings;
    if (settings->meter == NULL) {
        return 0;
    }
    int status = agent_dr_meter_open(&dr->meter, settings->meter, error);
    if (status == 0 && dr->meter.fd >= 0) {
        status = agent_loop_watch(dr->loop, dr->meter.fd, EPOLLIN, on_meter, dr, &dr->meter_watch);
    }
    return status;
}

int agent_dr_new(struct agent_loop *loop, const struct agent_dr_settings *settings,
                 const struct agent_dr_world *world, void *world_opaque, struct agent_dr **out,
                 struct agent_error *error)
{
    struct agent_dr *dr = calloc(1, sizeof(*dr));

    if (dr == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for demand response");
    }
    dr->loop = loop;
    dr->settings = settings;
    dr->world = world;
    dr->world_opaque = world_opaque;
    dr->meter.fd = -1;
    dr->edge_ms = AGENT_DR_FOREVER_MS;
    agent_timer_init(&dr->tick, loop, on_tick, dr);
    agent_timer_init(&dr->soon, loop, on_soon, dr);
    agent_timer_init(&dr->meter_timer, loop, on_meter_timer, dr);
    int status =
        agent_dr_schedule_init(&dr->schedule, settings->sites, settings->site_count, error);
    status = status < 0 ? status : open_sites(dr, error);
    if (status < 0) {
        agent_dr_free(dr);
        return status;
    }
    *out = dr;
    return 0;
}

void agent_dr_hook(struct agent_dr *dr, const struct agent_dr_hooks *hooks, void *opaque)
{
    dr->hooks = hooks;
    dr->hooks_opaque = opaque;
}

void agent_dr_wait(struct agent_dr *dr)
{
    dr->waiting = true;
}

void agent_dr_go(struct agent_dr *dr)
{
    dr->waiting = false;
    dr_look(dr);
}

int agent_dr_start(struct agent_dr *dr, struct agent_error *error)
{
    int status = open_ven(dr, error);

    status = status < 0 ? status : open_meter(dr, error);
    if (status < 0) {
        return status;
    }
    dr->started = true;
    dr->start_ns = dr_now_ns(dr);
    agent_timer_after(&dr->tick, 0);
    if (dr->settings->frequency.meter != NULL) {
        agent_timer_after(&dr->meter_timer, 0);
    }
    if (dr->ven != NULL) {
        agent_dr_ven_start(dr->ven);
    }
    return 0;
}

void agent_dr_free(struct agent_dr *dr)
{
    if (dr == NULL) {
        return;
    }
    agent_timer_unset(&dr->tick);
    agent_timer_unset(&dr->soon);
    agent_timer_unset(&dr->meter_timer);
    agent_loop_unwatch(dr->meter_watch);
    agent_dr_meter_close(&dr->meter);
    agent_dr_webhook_free(dr->webhook);
    agent_dr_ven_free(dr->ven);
    agent_dr_schedule_done(&dr->schedule);
    for (size_t index = 0; index < AGENT_DR_SITES_MAX; index++) {
        agent_dr_history_done(&dr->sites[index].history);
    }
    free(dr);
}
