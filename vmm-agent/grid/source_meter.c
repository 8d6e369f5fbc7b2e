/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source_meter.c - the host's power and batteries as sources
 * Owner: see source.h.   Thread: the polling one.
 * Time:  now_s, and CLOCK_MONOTONIC for the length of a measurement.   Units: W, ratio. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "grid/adapter.h"
#include "grid/meter.h"
#include "grid/reader.h"
#include "grid/source_private.h"

struct meter_source {
    struct agent_source base;
    struct agent_power_meter meter;
    int64_t last_s;
};

static void close_meter(struct agent_source *source)
{
    free(source);
}

static int give(struct agent_source *source, const char *format, const struct agent_point *point,
                enum agent_quantity quantity, const struct agent_sink *sink)
{
    struct agent_batch *batch = malloc(sizeof(*batch));

    if (batch == NULL) {
        return -ENOMEM;
    }
    agent_batch_init(batch, source->config.name, format);
    batch->fetched_s = point->start_s + point->length_s;
    struct agent_series *series =
        agent_batch_series(batch, AGENT_AREA_NONE, quantity, AGENT_ACTUAL, source->config.place);
    int status = agent_series_append(series, *point);
    if (status == 0) {
        grid_check_series(series, batch->fetched_s);
        status = sink->batch(sink->opaque, batch);
    }
    agent_batch_done(batch);
    free(batch);
    return status < 0 ? status : 1;
}

static int poll_power(struct agent_source *source, int64_t now_s, const struct agent_sink *sink)
{
    struct meter_source *meter = (struct meter_source *)source;
    struct agent_power_reading reading = {0};
    struct agent_error error = {0};
    struct timespec clock;

    clock_gettime(CLOCK_MONOTONIC, &clock);
    int64_t from_s = meter->last_s;
    source->due_s = now_s + (int64_t)source->config.poll_s;
    int status = agent_power_read(&meter->meter, (double)clock.tv_sec + (double)clock.tv_nsec / 1e9,
                                  &reading, &error);
    meter->last_s = status >= 0 ? now_s : meter->last_s;
    if (status < 0) {
        sink->problem(sink->opaque, &error);
        return 0;
    }
    if (status == 0 || now_s <= from_s) {
        return 0;
    }
    struct agent_point point = {from_s, (int32_t)(now_s - from_s),
                                reading.modelled ? AGENT_QUALITY_MODELLED : 0, reading.power_w};
    return give(source, "host-power", &point, AGENT_HOST_POWER, sink);
}

static int poll_battery(struct agent_source *source, int64_t now_s, const struct agent_sink *sink)
{
    struct agent_battery_state state = {0};
    struct agent_error error = {0};
    int32_t length_s = source->config.poll_s >= 1 ? (int32_t)source->config.poll_s : 1;
    int status = agent_battery_read(source->config.location, &state, &error);

    source->due_s = now_s + length_s;
    if (status == 0) {
        status = agent_error_set(&error, ENODEV, "source %s: this host has no battery",
                                 source->config.name);
    }
    if (status < 0) {
        sink->problem(sink->opaque, &error);
        return 0;
    }
    struct agent_point charge = {now_s - length_s, length_s, 0, state.charge};
    int given = give(source, "battery", &charge, AGENT_BATTERY_CHARGE, sink);
    if (given < 0 || isnan(state.power_w)) {
        return given;
    }
    struct agent_point power = {now_s - length_s, length_s, 0, state.power_w};
    int more = give(source, "battery", &power, AGENT_BATTERY_POWER, sink);
    return more < 0 ? more : given + more;
}

int source_open_meter(const struct agent_source_config *config, struct agent_source **out,
                      struct agent_error *error)
{
    static const struct source_ops power = {poll_power, close_meter};
    static const struct source_ops battery = {poll_battery, close_meter};
    struct meter_source *meter = calloc(1, sizeof(*meter));

    if (meter == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for source %s", config->name);
    }
    meter->base = (struct agent_source){config->kind == AGENT_SOURCE_BATTERY ? &battery : &power,
                                        *config, -1, 0};
    meter->meter =
        (struct agent_power_meter){.root = meter->base.config.location,
                                   .idle_w = config->idle_w,
                                   .busy_w = config->busy_w,
                                   .overhead = config->overhead > 0 ? config->overhead : 1};
    *out = &meter->base;
    return 0;
}
