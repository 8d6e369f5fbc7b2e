/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/signals.h"
#include "support/slot.h"

struct signals_tally signals_tally(const struct agent_series *series)
{
    struct signals_tally tally = {series->count, 0, 0};

    for (size_t index = 0; index < series->count; index++) {
        tally.usable += agent_quality_usable(series->points[index].quality) ? 1 : 0;
        tally.flags |= series->points[index].quality;
    }
    return tally;
}

static json_t *time_json(int64_t time_s)
{
    char text[AGENT_TIME_TEXT_SIZE];

    return time_s == 0 ? json_null() : json_string(agent_time_format(time_s, text));
}

static json_t *point_json(const struct agent_point *point)
{
    char quality[160];
    json_t *value = isnan(point->value) ? json_null() : json_real(point->value);

    return json_pack("{s:o,s:i,s:o,s:s}", "start", time_json(point->start_s), "seconds",
                     (int)point->length_s, "value", value, "quality",
                     agent_quality_format(point->quality, quality, sizeof(quality)));
}

json_t *signals_series_json(const struct agent_series *series, bool points)
{
    struct signals_tally tally = signals_tally(series);
    char quality[160];
    json_t *json = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:s}", "area", agent_area_name(series->area), "quantity",
        agent_quantity_name(series->quantity), "stage", agent_stage_name(series->stage), "place",
        series->place, "unit", agent_unit_name(agent_quantity_unit(series->quantity)), "issued_at",
        time_json(series->issued_s), "points_total", (json_int_t)tally.points, "points_usable",
        (json_int_t)tally.usable, "quality",
        agent_quality_format(tally.flags, quality, sizeof(quality)));
    json_t *list = points ? json_array() : NULL;

    for (size_t index = 0; points && index < series->count; index++) {
        json_array_append_new(list, point_json(&series->points[index]));
    }
    if (points) {
        json_object_set_new(json, "points", list);
    }
    return json;
}

json_t *signals_batch_json(const struct agent_batch *batch, bool points)
{
    char digest[20];
    json_t *list = json_array();

    snprintf(digest, sizeof(digest), "%016" PRIx64, batch->digest);
    for (size_t index = 0; index < batch->count; index++) {
        json_array_append_new(list, signals_series_json(&batch->series[index], points));
    }
    return json_pack("{s:s,s:s,s:s,s:o}", "source", batch->source, "format", batch->format,
                     "digest", digest, "series", list);
}

void signals_print_series(FILE *out, const struct agent_series *series)
{
    struct signals_tally tally = signals_tally(series);
    const char *unit = agent_unit_name(agent_quantity_unit(series->quantity));
    double min = NAN;
    double max = NAN;
    char quality[160];
    char from[AGENT_TIME_TEXT_SIZE] = "";
    char name[96];

    for (size_t index = 0; index < series->count; index++) {
        min = fmin(min, series->points[index].value);
        max = fmax(max, series->points[index].value);
    }
    if (series->count > 0) {
        agent_time_format(series->points[0].start_s, from);
        from[16] = '\0'; /* to the minute; all times are JST */
    }
    snprintf(name, sizeof(name), "%s%s%s %s", agent_quantity_name(series->quantity),
             series->place[0] != '\0' ? "@" : "", series->place, agent_stage_name(series->stage));
    fprintf(out, "  %-9s %-36s %5zu points, %5zu usable, from %s, %.6g to %.6g %s, %s\n",
            agent_area_name(series->area), name, tally.points, tally.usable, from, min, max,
            strcmp(unit, "1") == 0 ? "" : unit,
            agent_quality_format(tally.flags, quality, sizeof(quality)));
}
