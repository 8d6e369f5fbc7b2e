/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* regions.c - guest RAM blocks: described, sent, matched by name and length */
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

bool apn_session_pins_memory(const struct apn_session *s)
{
    return (s->backend->caps & APN_CAP_ONE_SIDED) && (!s->config.postcopy || s->config.role == APN_ROLE_SOURCE);
}

int apn_session_add_region(struct apn_session *s, const struct apn_region *region, struct apn_error *err)
{
    struct apn_region *r;

    if (s->regions_committed) {
        return apn_error_set(err, -EBUSY, APN_SCOPE_SESSION, "region %s: the table is already announced", region->name);
    }
    if (s->region_count == APN_REGIONS_MAX) {
        return apn_error_set(err, -ENOSPC, APN_SCOPE_SESSION, "region %s: more than %u regions", region->name, APN_REGIONS_MAX);
    }
    if (!region->name[0] || !memchr(region->name, 0, sizeof(region->name)) || !region->length ||
        region->page_size < APN_PAGE_SIZE || (region->page_size & (region->page_size - 1)) || region->length % region->page_size ||
        (uintptr_t)region->host % APN_PAGE_SIZE) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "region %.80s: length %llu, page size %u or address is not usable",
                             region->name, (unsigned long long)region->length, region->page_size);
    }
    for (uint32_t i = 0; i < s->region_count; i++) {
        if (!strcmp(s->regions[i].name, region->name)) {
            return apn_error_set(err, -EEXIST, APN_SCOPE_SESSION, "region %s is there twice", region->name);
        }
    }
    r = &s->regions[s->region_count];
    *r = *region;
    /* userfaultfd must see every access: an adapter's would pass it by. The source's may be read, by whoever can hold it still */
    if (s->config.postcopy && (s->config.role == APN_ROLE_DEST || !(r->flags & APN_REGION_FIXED))) {
        r->flags = (r->flags & ~APN_REGION_FIXED) | APN_REGION_PLACED;
    }
    s->first_granule[s->region_count + 1] =
        s->first_granule[s->region_count] + (region->length + APN_GRANULE_SIZE - 1) / APN_GRANULE_SIZE;
    return (int)s->region_count++;
}

unsigned apn_session_lane_of(const struct apn_session *s, unsigned region, uint64_t offset)
{
    return (unsigned)((s->first_granule[region] + offset / APN_GRANULE_SIZE) % s->bulk_lanes);
}

int apn_regions_receive(struct apn_session *s, const struct apn_msg *msg, struct apn_error *err)
{
    int n;

    if (s->config.role != APN_ROLE_DEST || s->regions_matched) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "region table at the wrong time");
    }
    if (msg->value > APN_REGIONS_MAX || !msg->value || msg->offset != s->peer_region_count) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "region table: piece %llu of %llu, limit %u",
                             (unsigned long long)msg->offset, (unsigned long long)msg->value, APN_REGIONS_MAX);
    }
    n = apn_region_table_decode(msg->payload, msg->bytes, s->peer_regions + msg->offset,
                                (unsigned)(msg->value - msg->offset), err);
    if (n < 0) {
        return n;
    }
    s->peer_region_total = (uint32_t)msg->value;
    s->peer_region_count += (uint32_t)n;
    return s->regions_committed ? apn_regions_match(s, err) : 0;
}

static int find_local(const struct apn_session *s, const char *name)
{
    for (uint32_t i = 0; i < s->region_count; i++) {
        if (!strcmp(s->regions[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

static int match_one(struct apn_session *s, uint32_t peer, struct apn_error *err)
{
    const struct apn_region *theirs = &s->peer_regions[peer];
    int local = find_local(s, theirs->name);

    if (local < 0) {
        return apn_error_set(err, -ENOENT, APN_SCOPE_SESSION, "RAM block '%.100s' of the source does not exist here", theirs->name);
    }
    if (s->regions[local].length != theirs->length) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "RAM block '%.100s': source has %llu bytes, destination %llu",
                             theirs->name, (unsigned long long)theirs->length, (unsigned long long)s->regions[local].length);
    }
    s->peer_to_local[peer] = (uint16_t)local;
    return 0;
}

/* Both tables are known: match them, or end the session with words for both ends */
int apn_regions_match(struct apn_session *s, struct apn_error *err)
{
    if (!s->peer_region_total || s->peer_region_count < s->peer_region_total || s->regions_matched) {
        return 0;
    }
    if (s->peer_region_total != s->region_count) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "source has %u RAM blocks, destination %u", s->peer_region_total,
                             s->region_count);
    }
    for (uint32_t i = 0; i < s->peer_region_total; i++) {
        int ret = match_one(s, i, err);

        if (ret) {
            return ret;
        }
    }
    s->regions_matched = true;
    atomic_store(&s->postcopy.listening, s->config.resume_id != NULL);
    atomic_store_explicit(&s->resolve_ready, true, memory_order_release);
    apn_control_push(s, (struct apn_msg){.type = APN_MSG_REGIONS_OK}, NULL);
    return apn_state_event(s, s->config.resume_id ? APN_EV_RESUMED : APN_EV_MATCHED, NULL);
}

static int send_table(struct apn_session *s)
{
    uint8_t *payload = malloc(APN_CONTROL_MAX);
    unsigned first = 0;
    int ret = payload ? 0 : -ENOMEM;

    while (!ret && first < s->region_count) {
        size_t bytes = 0;
        unsigned n = apn_region_table_encode(s->regions, s->region_count, first, payload, APN_CONTROL_MAX, &bytes);
        struct apn_msg msg = {.type = APN_MSG_REGIONS, .offset = first, .value = s->region_count, .bytes = (uint32_t)bytes};

        ret = n ? apn_control_push(s, msg, payload) : -EMSGSIZE;
        first += n;
    }
    free(payload);
    return ret;
}

static int register_all(struct apn_session *s, struct apn_error *err)
{
    for (uint32_t i = 0; i < s->region_count; i++) {
        int ret = s->backend->ops->region_add(s->backend, i, &s->regions[i], err);

        if (ret) {
            return ret;
        }
    }
    return 0;
}

static int wait_matched(struct apn_session *s, struct apn_error *err)
{
    uint64_t deadline = apn_session_now(s) + (uint64_t)s->config.timeout_ms * 1000000;

    if (s->env.manual) {
        return -EINPROGRESS;
    }
    while (s->state == APN_STATE_SETUP && apn_session_wait(s, deadline)) {
    }
    if (s->state == APN_STATE_SETUP) {
        return apn_error_set(err, -ETIMEDOUT, APN_SCOPE_SESSION, "destination did not accept the RAM blocks within %u ms",
                             s->config.timeout_ms);
    }
    if (s->state == APN_STATE_FAILED) {
        return apn_error_set(err, apn_session_failed_code(s), APN_SCOPE_SESSION, "%s", s->error.text);
    }
    return 0;
}

int apn_session_regions_commit(struct apn_session *s, struct apn_error *err)
{
    struct apn_error why = {0};
    int ret;

    if (!s->region_count) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "no memory regions");
    }
    ret = register_all(s, err);
    if (ret) {
        return ret;
    }
    pthread_mutex_lock(&s->lock);
    if (s->state != APN_STATE_SETUP) {
        ret = apn_error_set(err, s->error.code ? s->error.code : -EPROTO, APN_SCOPE_SESSION, "%s",
                            s->error.code ? s->error.text : "regions: the session is not set up");
    } else if (s->regions_committed) {
        ret = apn_error_set(err, -EALREADY, APN_SCOPE_SESSION, "regions were announced before");
    } else {
        s->regions_committed = true;
        if (s->config.role == APN_ROLE_SOURCE) {
            ret = send_table(s);
            ret = ret ? ret : wait_matched(s, err);
        } else {
            ret = apn_regions_match(s, &why);
            if (ret) {
                apn_session_failed(s, &why);
                apn_error_set(err, ret, why.scope, "%s", why.text);
            }
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (!ret && s->config.role == APN_ROLE_SOURCE) {
        ret = apn_scout_start(s);
    }
    return ret;
}
