/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* steer.c - see steer.h: open addressing with linear probing, removal closes the gap */
#include "dpdk/steer.h"

#include <errno.h>
#include <string.h>

static unsigned hash(const struct apn_steer_key *key)
{
    uint64_t h = 0x9e3779b97f4a7c15ull ^ ((uint64_t)key->local_port << 16 | key->remote_port);
    uint64_t w[2];

    /* our own address is left out: "any" must be found by the same hash */
    memcpy(w, key->remote.bytes, sizeof(w));
    h = (h ^ w[0]) * 0xff51afd7ed558ccdull;
    h = (h ^ h >> 29 ^ w[1] ^ key->remote.family) * 0xc4ceb9fe1a85ec53ull;
    return (unsigned)(h >> 32) & (APN_STEER_SLOTS - 1);
}

static bool matches(const struct apn_steer_key *have, const struct apn_steer_key *wanted, bool exact)
{
    return have->local_port == wanted->local_port && have->remote_port == wanted->remote_port &&
           apn_ip_equal(&have->remote, &wanted->remote) &&
           ((!exact && !have->local.family) || apn_ip_equal(&have->local, &wanted->local));
}

void apn_steer_init(struct apn_steer *s)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < APN_STEER_SLOTS; i++) {
        s->slots[i].channel = APN_STEER_NONE;
    }
}

static unsigned look_up(const struct apn_steer *s, const struct apn_steer_key *key, bool exact)
{
    unsigned at = hash(key);

    while (s->slots[at].channel != APN_STEER_NONE && !matches(&s->slots[at].key, key, exact)) {
        at = (at + 1) & (APN_STEER_SLOTS - 1);
    }
    return at;
}

int apn_steer_add(struct apn_steer *s, const struct apn_steer_key *key, uint16_t channel)
{
    unsigned at;

    if (s->used >= APN_STEER_SLOTS / 2) {
        return -ENOSPC;
    }
    at = look_up(s, key, true);
    if (s->slots[at].channel != APN_STEER_NONE) {
        return -EADDRINUSE;
    }
    s->slots[at].key = *key;
    s->slots[at].channel = channel;
    s->used++;
    return 0;
}

void apn_steer_remove(struct apn_steer *s, const struct apn_steer_key *key)
{
    unsigned gap = look_up(s, key, true);

    if (s->slots[gap].channel == APN_STEER_NONE) {
        return;
    }
    s->slots[gap].channel = APN_STEER_NONE;
    s->used--;
    for (unsigned at = (gap + 1) & (APN_STEER_SLOTS - 1); s->slots[at].channel != APN_STEER_NONE; at = (at + 1) & (APN_STEER_SLOTS - 1)) {
        const unsigned home = hash(&s->slots[at].key);

        if (((at - home) & (APN_STEER_SLOTS - 1)) >= ((at - gap) & (APN_STEER_SLOTS - 1))) {
            s->slots[gap] = s->slots[at];
            s->slots[at].channel = APN_STEER_NONE;
            gap = at;
        }
    }
}

uint16_t apn_steer_find(const struct apn_steer *s, const struct apn_steer_key *datagram)
{
    struct apn_steer_key listening = {.local = datagram->local, .local_port = datagram->local_port};
    uint16_t channel = s->slots[look_up(s, datagram, false)].channel;

    return channel != APN_STEER_NONE ? channel : s->slots[look_up(s, &listening, false)].channel;
}
