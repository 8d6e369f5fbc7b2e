/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grid/series.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void agent_series_init(struct agent_series *series, enum agent_area area,
                       enum agent_quantity quantity, enum agent_stage stage)
{
    memset(series, 0, sizeof(*series));
    series->area = area;
    series->quantity = quantity;
    series->stage = stage;
}

void agent_series_done(struct agent_series *series)
{
    if (series != NULL) {
        free(series->points);
        series->points = NULL;
        series->count = 0;
        series->capacity = 0;
    }
}

static int grow(struct agent_series *series)
{
    size_t capacity = series->capacity == 0 ? 64 : series->capacity * 2;

    if (capacity > AGENT_SERIES_POINTS_MAX) {
        capacity = AGENT_SERIES_POINTS_MAX;
    }
    struct agent_point *points = realloc(series->points, capacity * sizeof(*points));
    if (points == NULL) {
        return -ENOMEM;
    }
    series->points = points;
    series->capacity = capacity;
    return 0;
}

int agent_series_append(struct agent_series *series, struct agent_point point)
{
    if (point.length_s <= 0) {
        return -EINVAL;
    }
    if (series->count > 0) {
        const struct agent_point *last = &series->points[series->count - 1];
        if (point.start_s < last->start_s + last->length_s) {
            return -EINVAL;
        }
    }
    if (series->count == AGENT_SERIES_POINTS_MAX) {
        return -E2BIG;
    }
    if (series->count == series->capacity && grow(series) < 0) {
        return -ENOMEM;
    }
    series->points[series->count++] = point;
    return 0;
}

const struct agent_point *agent_series_find(const struct agent_series *series, int64_t time_s)
{
    size_t low = 0;
    size_t high = series->count;

    while (low < high) { /* invariant: points before low start at or before time_s */
        size_t middle = low + (high - low) / 2;
        if (series->points[middle].start_s <= time_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return NULL;
    }
    const struct agent_point *point = &series->points[low - 1];
    return time_s < point->start_s + point->length_s ? point : NULL;
}

void agent_batch_init(struct agent_batch *batch, const char *source, const char *format)
{
    memset(batch, 0, sizeof(*batch));
    snprintf(batch->source, sizeof(batch->source), "%s", source);
    snprintf(batch->format, sizeof(batch->format), "%s", format);
}

void agent_batch_done(struct agent_batch *batch)
{
    for (size_t index = 0; index < batch->count; index++) {
        agent_series_done(&batch->series[index]);
    }
    batch->count = 0;
}

const struct agent_series *agent_batch_find(const struct agent_batch *batch, enum agent_area area,
                                            enum agent_quantity quantity, enum agent_stage stage,
                                            const char *place)
{
    for (size_t index = 0; index < batch->count; index++) {
        const struct agent_series *series = &batch->series[index];
        if (series->area == area && series->quantity == quantity && series->stage == stage &&
            strcmp(series->place, place != NULL ? place : "") == 0) {
            return series;
        }
    }
    return NULL;
}

struct agent_series *agent_batch_series(struct agent_batch *batch, enum agent_area area,
                                        enum agent_quantity quantity, enum agent_stage stage,
                                        const char *place)
{
    const struct agent_series *found = agent_batch_find(batch, area, quantity, stage, place);

    if (found != NULL) {
        return &batch->series[found - batch->series];
    }
    if (batch->count == AGENT_SERIES_MAX) {
        return NULL;
    }
    struct agent_series *series = &batch->series[batch->count++];
    agent_series_init(series, area, quantity, stage);
    snprintf(series->place, sizeof(series->place), "%s", place != NULL ? place : "");
    return series;
}
