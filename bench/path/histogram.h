/* SPDX-License-Identifier: GPL-2.0-or-later */
/* histogram.h - how late frames left, as quantiles
 * Owner: embedded in struct path_direction.  Thread: any, under the direction's lock.
 * Time:  none.                               Units:  ns, resolution 6 % or 1 us, whichever is larger. */
#ifndef APN_BENCH_PATH_HISTOGRAM_H
#define APN_BENCH_PATH_HISTOGRAM_H

#include <stdint.h>

/* 16 linear steps per power of two of microseconds; the last bucket holds everything above 2^28 us */
#define PATH_HISTOGRAM_STEPS   16
#define PATH_HISTOGRAM_BUCKETS (25 * PATH_HISTOGRAM_STEPS + PATH_HISTOGRAM_STEPS)

struct path_histogram {
    uint64_t counts[PATH_HISTOGRAM_BUCKETS];
    uint64_t total;
    int64_t max_ns;
};

/** path_histogram_add() - count one value
 * @value_ns: any; negative counts as 0 */
void path_histogram_add(struct path_histogram *histogram, int64_t value_ns);

/** path_histogram_quantile() - smallest bucket bound that @share of the values do not exceed
 * @share: 0..1
 * Return: ns, 0 when nothing was counted. */
int64_t path_histogram_quantile(const struct path_histogram *histogram, double share);

/** path_histogram_merge() - add all of @from's values to @sum */
void path_histogram_merge(struct path_histogram *sum, const struct path_histogram *from);

/** path_histogram_bound_us() - values of this bucket are below it; @bucket: 0..PATH_HISTOGRAM_BUCKETS - 1 */
int64_t path_histogram_bound_us(unsigned bucket);

#endif
