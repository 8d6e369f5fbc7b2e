/* SPDX-License-Identifier: GPL-2.0-or-later */
/* data_host.c - a host's own power as a half-hour series */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid/adapter.h"
#include "simulate/data.h"
#include "support/slot.h"

#define WATTS_PER_KW   1000.0
#define LEAST_COVERAGE 0.5 /* of a half hour must be metered */

/* Energy and metered time per slot. */
struct meter {
    double *joules;
    double *seconds;
    size_t series;
};

static void add(const struct agent_sim_data *data, const struct agent_point *point,
                struct meter *meter)
{
    int64_t at = point->start_s;
    int64_t end = point->start_s + point->length_s;

    while (at < end) {
        int64_t slot = agent_slot_of(at);
        int64_t slot_end = agent_slot_start(slot) + AGENT_SLOT_SECONDS;
        int64_t until = slot_end < end ? slot_end : end;
        int64_t index = slot - data->first_slot;
        if (index >= (int64_t)data->slots) {
            return;
        }
        if (index >= 0) {
            meter->joules[index] += point->value * (double)(until - at);
            meter->seconds[index] += (double)(until - at);
        } else { /* far before: jump to where the data begin */
            until =
                agent_slot_start(data->first_slot) < end ? agent_slot_start(data->first_slot) : end;
        }
        at = until;
    }
}

static int read_one(const char *directory, const char *name, const char *place, int64_t now_s,
                    const struct agent_sim_data *data, struct meter *meter)
{
    struct agent_batch *batch = malloc(sizeof(*batch));
    char path[4096];

    if (batch == NULL) {
        return -ENOMEM;
    }
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (agent_grid_load(path, NULL, AGENT_AREA_NONE, now_s, batch, NULL) == 0) {
        for (size_t k = 0; k < batch->count; k++) {
            const struct agent_series *series = &batch->series[k];
            if (series->quantity != AGENT_HOST_POWER || strcmp(series->place, place) != 0) {
                continue;
            }
            meter->series++;
            for (size_t i = 0; i < series->count; i++) {
                if (agent_sim_quality_usable(series->points[i].quality)) {
                    add(data, &series->points[i], meter);
                }
            }
        }
        agent_batch_done(batch);
    }
    free(batch);
    return 0;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int scan(const char *directory, const char *place, int64_t now_s,
                const struct agent_sim_data *data, struct meter *meter)
{
    struct dirent **list = NULL;
    int result = 0;
    int count = scandir(directory, &list, visible, alphasort);

    for (int i = 0; i < count; i++) {
        if (result == 0 && i < AGENT_SIM_FILES_MAX) {
            result = read_one(directory, list[i]->d_name, place, now_s, data, meter);
        }
        free(list[i]);
    }
    free(list);
    return count < 0 ? -errno : result;
}

int agent_sim_data_host(const char *directory, const char *place, int64_t now_s,
                        enum agent_area area, struct agent_sim_data *data,
                        struct agent_error *error)
{
    struct meter meter = {calloc(data->slots, sizeof(double)), calloc(data->slots, sizeof(double)),
                          0};
    int result = meter.joules == NULL || meter.seconds == NULL
                     ? -ENOMEM
                     : scan(directory, place, now_s, data, &meter);

    if (result == 0 && meter.series == 0) {
        result = agent_error_set(error, ENOENT, "%.300s: no power of a host '%.40s' in any file",
                                 directory, place);
    }
    for (int signal = 0; signal < SIM_SIGNALS && result == 0; signal++) {
        free(data->value[area][signal]); /* the area's own signals must not be taken for it */
        data->value[area][signal] = NULL;
    }
    if (result == 0) {
        for (size_t i = 0; i < data->slots; i++) {
            bool enough = meter.seconds[i] >= LEAST_COVERAGE * AGENT_SLOT_SECONDS;
            meter.joules[i] =
                enough ? meter.joules[i] / meter.seconds[i] / WATTS_PER_KW : (double)NAN;
        }
        data->value[area][SIM_DEMAND] = meter.joules;
        meter.joules = NULL;
    }
    free(meter.joules);
    free(meter.seconds);
    return result == 0 ? 0
                       : agent_error_set(error, result, "%.300s: %s", directory, strerror(-result));
}
