/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/limits.h"

#include <math.h>
#include <netinet/in.h>
#include <string.h>

#define NS_PER_S 1e9

void agent_limits_init(struct agent_limits *limits, unsigned rate_per_s, unsigned burst,
                       unsigned failures_per_minute)
{
    memset(limits, 0, sizeof(*limits));
    limits->rate_per_s = rate_per_s;
    limits->burst = burst;
    limits->failures_per_minute = failures_per_minute;
}

static int key_of(const struct sockaddr *address, uint8_t key[8])
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;

    memset(key, 0, 8);
    if (address->sa_family == AF_INET) {
        memcpy(key, &four->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        memcpy(key, &six->sin6_addr, 8);
    }
    return address->sa_family == AF_UNSPEC ? AF_UNIX : address->sa_family;
}

/* The bucket of @address, refilled up to @now_ns. A new address starts full. */
static struct agent_bucket *find(struct agent_limits *limits, const struct sockaddr *address,
                                 int64_t now_ns)
{
    uint8_t key[8];
    int family = key_of(address, key);
    struct agent_bucket *oldest = &limits->buckets[0];

    for (size_t index = 0; index < AGENT_LIMITS_ADDRESSES; index++) {
        struct agent_bucket *bucket = &limits->buckets[index];
        if (bucket->family == family && memcmp(bucket->key, key, sizeof(key)) == 0) {
            double passed_s = (double)(now_ns - bucket->seen_ns) / NS_PER_S;
            bucket->requests =
                fmin(limits->burst, bucket->requests + passed_s * limits->rate_per_s);
            bucket->failures = fmin(limits->failures_per_minute,
                                    bucket->failures + passed_s * limits->failures_per_minute / 60);
            bucket->seen_ns = now_ns;
            return bucket;
        }
        if (bucket->family == 0 || (oldest->family != 0 && bucket->seen_ns < oldest->seen_ns)) {
            oldest = oldest->family == 0 ? oldest : bucket;
        }
    }
    memcpy(oldest->key, key, sizeof(key));
    oldest->family = family;
    oldest->requests = limits->burst;
    oldest->failures = limits->failures_per_minute;
    oldest->seen_ns = now_ns;
    return oldest;
}

unsigned agent_limits_take(struct agent_limits *limits, const struct sockaddr *address,
                           int64_t now_ns)
{
    struct agent_bucket *bucket = find(limits, address, now_ns);

    if (bucket->requests < 1) {
        return (unsigned)ceil((1 - bucket->requests) / limits->rate_per_s);
    }
    bucket->requests -= 1;
    return 0;
}

unsigned agent_limits_guess(struct agent_limits *limits, const struct sockaddr *address,
                            int64_t now_ns)
{
    struct agent_bucket *bucket = find(limits, address, now_ns);

    if (bucket->failures < 1) {
        return (unsigned)ceil((1 - bucket->failures) * 60 / limits->failures_per_minute);
    }
    return 0;
}

void agent_limits_failed(struct agent_limits *limits, const struct sockaddr *address,
                         int64_t now_ns)
{
    struct agent_bucket *bucket = find(limits, address, now_ns);

    bucket->failures = fmax(0, bucket->failures - 1);
}
