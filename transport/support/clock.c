/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.c - see clock.h */
#include "support/clock.h"

#include <time.h>

static uint64_t monotonic_now(void *opaque)
{
    struct timespec ts;

    (void)opaque;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * APN_NS_PER_S + (uint64_t)ts.tv_nsec;
}

const struct apn_clock apn_clock_monotonic = {monotonic_now, NULL};
