/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_grid.c - libFuzzer target of one format (GRID_FORMAT) of the grid adapters
 * Whatever the bytes are: no crash, and what comes out obeys the promises of series.h. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "grid/adapter.h"
#include "tests/grid/fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int truth)
{
    if (!truth) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct agent_input input = {(const char *)bytes, size,         "fuzz", GRID_FORMAT,
                                AGENT_AREA_KYUSHU,   FIXTURE_NOW_S};
    struct agent_error error = {0};
    static struct agent_batch batch;

    if (size > 0 && (bytes[0] & 1) != 0) {
        input.area = AGENT_AREA_TOHOKU; /* start labels, other sign */
    }
    if (agent_grid_parse(&input, &batch, &error) < 0) {
        require(error.code < 0 && error.text[0] != '\0');
        return 0;
    }
    require(batch.count > 0 && batch.count <= AGENT_SERIES_MAX);
    for (size_t at = 0; at < batch.count; at++) {
        const struct agent_series *series = &batch.series[at];
        int64_t end_s = INT64_MIN;
        require(series->count > 0 && series->quantity < AGENT_QUANTITY_COUNT);
        for (size_t index = 0; index < series->count; index++) {
            const struct agent_point *point = &series->points[index];
            require(point->length_s > 0 && point->start_s >= end_s);
            require((isnan(point->value) != 0) == ((point->quality & AGENT_QUALITY_MISSING) != 0));
            end_s = point->start_s + point->length_s;
        }
    }
    agent_batch_done(&batch);
    return 0;
}
