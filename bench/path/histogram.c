/* SPDX-License-Identifier: GPL-2.0-or-later */
/* histogram.c - log-linear buckets; see histogram.h */
#include "histogram.h"

static unsigned bucket_of(uint64_t us)
{
    unsigned power, step;

    if (us < PATH_HISTOGRAM_STEPS) {
        return (unsigned)us;
    }
    power = 63u - (unsigned)__builtin_clzll(us); /* >= 4 */
    step = (unsigned)(us >> (power - 4)) & (PATH_HISTOGRAM_STEPS - 1);
    power = (power - 3) * PATH_HISTOGRAM_STEPS + step;
    return power < PATH_HISTOGRAM_BUCKETS ? power : PATH_HISTOGRAM_BUCKETS - 1;
}

int64_t path_histogram_bound_us(unsigned bucket)
{
    unsigned power = bucket / PATH_HISTOGRAM_STEPS;
    unsigned step = bucket % PATH_HISTOGRAM_STEPS;

    if (power == 0) {
        return (int64_t)step + 1;
    }
    return (int64_t)(PATH_HISTOGRAM_STEPS + step + 1) << (power - 1);
}

void path_histogram_add(struct path_histogram *histogram, int64_t value_ns)
{
    if (value_ns < 0) {
        value_ns = 0;
    }
    if (value_ns > histogram->max_ns) {
        histogram->max_ns = value_ns;
    }
    histogram->counts[bucket_of((uint64_t)value_ns / 1000)]++;
    histogram->total++;
}

int64_t path_histogram_quantile(const struct path_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total + 0.5);
    uint64_t seen = 0;
    int64_t end_ns;

    for (unsigned i = 0; i < PATH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > 0 && seen >= wanted) {
            end_ns = path_histogram_bound_us(i) * 1000;
            return end_ns < histogram->max_ns ? end_ns : histogram->max_ns;
        }
    }
    return 0;
}

void path_histogram_merge(struct path_histogram *sum, const struct path_histogram *from)
{
    for (unsigned i = 0; i < PATH_HISTOGRAM_BUCKETS; i++) {
        sum->counts[i] += from->counts[i];
    }
    sum->total += from->total;
    sum->max_ns = from->max_ns > sum->max_ns ? from->max_ns : sum->max_ns;
}
