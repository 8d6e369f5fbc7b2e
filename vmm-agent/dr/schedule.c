/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_target(const struct agent_dr_site *site, const char *target)
{
    for (size_t index = 0; index < site->target_count; index++) {
        if (strcmp(site->targets[index], target) == 0) {
            return true;
        }
    }
    return strcmp(site->name, target) == 0;
}

int agent_dr_schedule_init(struct agent_dr_schedule *schedule, const struct agent_dr_site *sites,
                           size_t count, struct agent_error *error)
{
    *schedule = (struct agent_dr_schedule){.version = 1};
    if (count == 0 || count > AGENT_DR_SITES_MAX) {
        return agent_error_set(error, EINVAL, "demand response: %zu sites, expected 1..%d", count,
                               AGENT_DR_SITES_MAX);
    }
    for (size_t index = 0; index < count; index++) {
        for (size_t other = 0; other < index; other++) {
            if (strcmp(sites[index].name, sites[other].name) == 0) {
                return agent_error_set(error, EINVAL, "demand response: site '%s' is given twice",
                                       sites[index].name);
            }
        }
        schedule->sites[index] = sites[index];
    }
    schedule->site_count = count;
    return 0;
}

void agent_dr_schedule_done(struct agent_dr_schedule *schedule)
{
    for (size_t index = 0; index < schedule->count; index++) {
        agent_dr_event_free(schedule->events[index]);
    }
    schedule->count = 0;
}

int agent_dr_schedule_site(const struct agent_dr_schedule *schedule, const char *name)
{
    for (size_t index = 0; index < schedule->site_count; index++) {
        if (strcmp(schedule->sites[index].name, name) == 0) {
            return (int)index;
        }
    }
    return -ENOENT;
}

static uint64_t sites_of(const struct agent_dr_schedule *schedule,
                         const struct agent_dr_event *event)
{
    uint64_t sites = 0;

    for (size_t site = 0; site < schedule->site_count; site++) {
        bool named = event->target_count == 0; /* for whoever reads it */
        for (size_t index = 0; index < event->target_count && !named; index++) {
            named = has_target(&schedule->sites[site], event->targets[index]);
        }
        sites |= named ? UINT64_C(1) << site : 0;
    }
    return sites;
}

static size_t place_of(const struct agent_dr_schedule *schedule, const char *id)
{
    size_t index = 0;

    while (index < schedule->count && strcmp(schedule->events[index]->id, id) != 0) {
        index++;
    }
    return index;
}

struct agent_dr_event *agent_dr_schedule_find(const struct agent_dr_schedule *schedule,
                                              const char *id)
{
    size_t index = place_of(schedule, id);

    return index < schedule->count ? schedule->events[index] : NULL;
}

static void drop(struct agent_dr_schedule *schedule, size_t index)
{
    agent_dr_event_free(schedule->events[index]);
    schedule->events[index] = schedule->events[--schedule->count];
    schedule->version++;
}

/* Events that are over make room: those older than AGENT_DR_KEEP_MS always; when still full, the
 * one that ended first. */
static void make_room(struct agent_dr_schedule *schedule, int64_t now_ms)
{
    size_t first = 0;

    for (size_t index = schedule->count; index-- > 0;) {
        if (schedule->events[index]->end_ms < now_ms - AGENT_DR_KEEP_MS) {
            drop(schedule, index);
        }
    }
    for (size_t index = 1; index < schedule->count; index++) {
        first = schedule->events[index]->end_ms < schedule->events[first]->end_ms ? index : first;
    }
    if (schedule->count == AGENT_DR_EVENTS_MAX && schedule->events[first]->end_ms <= now_ms) {
        drop(schedule, first);
    }
}

/* The version at hand against the one offered; @event replaces it or is freed. */
static int replace(struct agent_dr_schedule *schedule, size_t index, struct agent_dr_event *event)
{
    struct agent_dr_event *held = schedule->events[index];

    bool back = held->cancelled && !event->cancelled && event->seen > held->seen;
    if (event->modified_ms <= held->modified_ms &&
        !(event->modified_ms == held->modified_ms && back)) { /* listed again after all */
        int put = event->modified_ms == held->modified_ms ? AGENT_DR_PUT_KNOWN : AGENT_DR_PUT_OLDER;
        held->seen = event->seen > held->seen ? event->seen : held->seen;
        agent_dr_event_free(event);
        return put;
    }
    event->opted_out = event->opted_out || held->opted_out;
    schedule->events[index] = event;
    schedule->version++;
    agent_dr_event_free(held);
    return AGENT_DR_PUT_CHANGED;
}

int agent_dr_schedule_put(struct agent_dr_schedule *schedule, struct agent_dr_event *event,
                          unsigned listing, int64_t now_ms, struct agent_error *error)
{
    size_t index = place_of(schedule, event->id);

    event->seen = listing;
    event->sites = sites_of(schedule, event);
    if (event->sites == 0) {
        agent_error_set(error, ENOENT, "event '%.60s': none of our sites has its target '%.60s'",
                        event->id, event->targets[0]);
        agent_dr_event_free(event);
        return -ENOENT;
    }
    if (index < schedule->count) {
        return replace(schedule, index, event);
    }
    make_room(schedule, now_ms);
    if (schedule->count == AGENT_DR_EVENTS_MAX) {
        agent_error_set(error, ENOSPC, "event '%.60s': %d events are at hand already", event->id,
                        AGENT_DR_EVENTS_MAX);
        agent_dr_event_free(event);
        return -ENOSPC;
    }
    schedule->events[schedule->count++] = event;
    schedule->version++;
    return AGENT_DR_PUT_NEW;
}

/* Withdrawn now: what already happened stays for the reports. */
static void withdraw(struct agent_dr_event *event, int64_t now_ms, const char *why)
{
    event->cancelled = true;
    event->end_ms = now_ms < event->end_ms ? now_ms : event->end_ms;
    snprintf(event->note, sizeof(event->note), "%s", why);
}

int agent_dr_schedule_cancel(struct agent_dr_schedule *schedule, const char *id, int64_t now_ms,
                             const char *why)
{
    struct agent_dr_event *event = agent_dr_schedule_find(schedule, id);

    if (event == NULL || event->cancelled || event->end_ms <= now_ms) {
        return 0;
    }
    withdraw(event, now_ms, why);
    schedule->version++;
    return 1;
}

int agent_dr_schedule_sweep(struct agent_dr_schedule *schedule, unsigned oldest, int64_t now_ms)
{
    int gone = 0;

    for (size_t index = 0; index < schedule->count; index++) {
        struct agent_dr_event *event = schedule->events[index];
        if (event->origin == AGENT_DR_VTN && event->seen < oldest) {
            gone +=
                agent_dr_schedule_cancel(schedule, event->id, now_ms, "the VTN no longer lists it");
        }
    }
    return gone;
}

int agent_dr_schedule_opt_out(struct agent_dr_schedule *schedule, const char *id, bool out)
{
    struct agent_dr_event *event = agent_dr_schedule_find(schedule, id);

    if (event == NULL) {
        return -ENOENT;
    }
    event->opted_out = out;
    schedule->version++;
    return 0;
}

/* Order of rank: < 0 when @one wins over @other. */
static int rank(const struct agent_dr_event *one, const struct agent_dr_event *other)
{
    if (one->priority != other->priority) {
        return one->priority < other->priority ? -1 : 1;
    }
    if (one->modified_ms != other->modified_ms) {
        return one->modified_ms > other->modified_ms ? -1 : 1;
    }
    return -strcmp(one->id, other->id);
}

static int by_rank(const void *one, const void *other)
{
    const struct agent_dr_need *left = one;
    const struct agent_dr_need *right = other;
    bool lost = left->shadowed != NULL;

    if (lost != (right->shadowed != NULL)) {
        return lost ? 1 : -1;
    }
    int order = rank(left->event, right->event);
    return order != 0 ? order : (int)left->kind - (int)right->kind;
}

/* Kinds that exclude each other at a site share a channel. */
static const unsigned channels[] = {
    1u << AGENT_DR_RELATIVE | 1u << AGENT_DR_ABSOLUTE | 1u << AGENT_DR_LEVEL |
        1u << AGENT_DR_EMERGENCY,
    1u << AGENT_DR_LIMIT,
    1u << AGENT_DR_CHARGE,
};

static unsigned channel_of(enum agent_dr_kind kind)
{
    unsigned channel = 0;

    while ((channels[channel] & (1u << kind)) == 0) {
        channel++;
    }
    return channel;
}

/* A level or offset of 0, or a change by nothing: "normal operation", but it does hold its rank. */
static void resolve(struct agent_dr_need *needs, size_t count)
{
    qsort(needs, count, sizeof(*needs), by_rank); /* nobody is shadowed yet: by rank alone */
    for (size_t index = 0; index < count; index++) {
        for (size_t other = 0; other < index && needs[index].shadowed == NULL; other++) {
            bool meet = (needs[other].sites & needs[index].sites) != 0 &&
                        channel_of(needs[other].kind) == channel_of(needs[index].kind);
            if (meet && needs[other].shadowed == NULL && needs[index].kind != AGENT_DR_LIMIT) {
                needs[index].shadowed = needs[other].event;
            }
        }
    }
    qsort(needs, count, sizeof(*needs), by_rank);
}

size_t agent_dr_schedule_needs(const struct agent_dr_schedule *schedule, int64_t now_ms,
                               struct agent_dr_need *needs, size_t max)
{
    size_t count = 0;

    for (size_t index = 0; index < schedule->count; index++) {
        const struct agent_dr_event *event = schedule->events[index];
        for (size_t channel = 0; channel < sizeof(channels) / sizeof(channels[0]); channel++) {
            struct agent_dr_need need = {.event = event, .sites = event->sites};
            const struct agent_dr_interval *interval =
                event->cancelled || event->opted_out
                    ? NULL
                    : agent_dr_event_at(event, channels[channel], now_ms, &need.from_ms,
                                        &need.to_ms);
            if (interval != NULL && count < max) {
                need.kind = interval->kind;
                need.interval = interval->id;
                need.value = interval->value;
                needs[count++] = need;
            }
        }
    }
    resolve(needs, count);
    return count;
}

int64_t agent_dr_schedule_next_ms(const struct agent_dr_schedule *schedule, int64_t now_ms)
{
    int64_t next_ms = AGENT_DR_FOREVER_MS;

    for (size_t index = 0; index < schedule->count; index++) {
        int64_t each_ms = agent_dr_event_next_ms(schedule->events[index], now_ms);
        next_ms = each_ms < next_ms ? each_ms : next_ms;
    }
    return next_ms;
}
