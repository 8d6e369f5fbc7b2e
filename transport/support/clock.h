/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.h - the monotonic clock of real runs (simulations bring their own) */
#ifndef APN_SUPPORT_CLOCK_H
#define APN_SUPPORT_CLOCK_H

#include <apnmig/backend.h>

#define APN_NS_PER_S  1000000000ull
#define APN_NS_PER_MS 1000000ull
#define APN_NS_PER_US 1000ull

/** apn_clock_monotonic - CLOCK_MONOTONIC in ns */
extern const struct apn_clock apn_clock_monotonic;

#endif
