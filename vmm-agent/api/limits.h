/* SPDX-License-Identifier: GPL-2.0-or-later */
/* limits.h - how much one address may ask, and how often it may guess
 * Owner: embedded in struct agent_api.   Thread: the loop, no locks.
 * Time:  now_ns from the caller.         Units:  requests, ns.
 *
 * A fixed table of buckets. When it is full the address that was quiet longest is forgotten; the
 * number of connections bounds how many addresses can be active at once. An IPv6 client owns a
 * whole /64, so that is what is counted. */
#ifndef AGENT_API_LIMITS_H
#define AGENT_API_LIMITS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define AGENT_LIMITS_ADDRESSES 512

struct agent_bucket {
    uint8_t key[8]; /* IPv4: family and address; IPv6: the /64 */
    int family;     /* 0 = the bucket is free */
    double requests;
    double failures;
    int64_t seen_ns;
};

struct agent_limits {
    double rate_per_s;
    double burst;
    double failures_per_minute;
    struct agent_bucket buckets[AGENT_LIMITS_ADDRESSES];
};

/** agent_limits_init() - every bucket full; the three limits are > 0 */
void agent_limits_init(struct agent_limits *limits, unsigned rate_per_s, unsigned burst,
                       unsigned failures_per_minute);

/** agent_limits_take() - one request of @address
 * Return: 0, or the number of seconds (1..) after which one is allowed again. */
unsigned agent_limits_take(struct agent_limits *limits, const struct sockaddr *address,
                           int64_t now_ns);

/** agent_limits_guess() - may @address show a secret? Does not pay.
 * Return: 0, or seconds (1..) to wait. */
unsigned agent_limits_guess(struct agent_limits *limits, const struct sockaddr *address,
                            int64_t now_ns);

/** agent_limits_failed() - the secret was wrong: pay for it */
void agent_limits_failed(struct agent_limits *limits, const struct sockaddr *address,
                         int64_t now_ns);

#endif
