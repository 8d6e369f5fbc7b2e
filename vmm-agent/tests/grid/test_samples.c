/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_samples.c - real files of the operators, where a developer has them: every one parses, and
 * every row of area actuals balances within 2 MW
 * The directory is APN_GRID_SAMPLES, or ../shared/data/grid beside the checkout. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "grid/adapter.h"
#include "support/slot.h"

static int failures;

static void check(int truth, const char *path, const char *what, double value)
{
    if (!truth) {
        printf("%s: %s (%g)\n", path, what, value);
        failures++;
    }
}

static double value_of(const struct agent_batch *batch, enum agent_area area,
                       enum agent_quantity quantity, size_t index)
{
    const struct agent_series *series = agent_batch_find(batch, area, quantity, AGENT_ACTUAL, "");

    return series == NULL || index >= series->count || isnan(series->points[index].value)
               ? 0
               : series->points[index].value;
}

static double worst_residual(const struct agent_batch *batch)
{
    static const enum agent_quantity sources[] = {AGENT_NUCLEAR,
                                                  AGENT_THERMAL_LNG,
                                                  AGENT_THERMAL_COAL,
                                                  AGENT_THERMAL_OIL,
                                                  AGENT_THERMAL_OTHER,
                                                  AGENT_HYDRO,
                                                  AGENT_GEOTHERMAL,
                                                  AGENT_BIOMASS,
                                                  AGENT_PV,
                                                  AGENT_WIND,
                                                  AGENT_PUMPED,
                                                  AGENT_GRID_BATTERY,
                                                  AGENT_INTERCONNECTION,
                                                  AGENT_OTHER};
    enum agent_area area = batch->series[0].area;
    double worst = 0;

    for (size_t index = 0; index < batch->series[0].count; index++) {
        double sum = 0;
        for (size_t source = 0; source < sizeof(sources) / sizeof(sources[0]); source++) {
            sum += value_of(batch, area, sources[source], index);
        }
        worst = fmax(worst, fabs(sum - value_of(batch, area, AGENT_TOTAL, index)));
    }
    return worst;
}

static void check_file(const char *path)
{
    static struct agent_batch batch;
    struct agent_error error = {0};
    char text[1024];

    if (agent_grid_load(path, NULL, AGENT_AREA_NONE, (int64_t)time(NULL), &batch, &error) < 0) {
        printf("%s\n", agent_error_format(&error, text, sizeof(text)));
        failures++;
        return;
    }
    for (size_t at = 0; at < batch.count; at++) {
        const uint32_t allowed = AGENT_QUALITY_INCOMPLETE; /* excerpts end in the middle of a day */
        for (size_t index = 0; index < batch.series[at].count; index++) {
            uint32_t quality = batch.series[at].points[index].quality;
            check((quality & ~allowed) == 0, path, "a real value is doubted", quality);
        }
    }
    if (strcmp(batch.format, "area-actual") == 0) {
        double residual = worst_residual(&batch);
        check(residual <= 2, path, "balance residual above 2 MW", residual);
        printf("%s: worst residual %g MW in %zu rows\n", path, residual, batch.series[0].count);
    }
    /* Known from the publisher: 13 curtailed slots, 10.4 GWh, at most 3,138 MW. */
    const struct agent_series *cut =
        agent_batch_find(&batch, AGENT_AREA_KYUSHU, AGENT_PV_CURTAILED, AGENT_ACTUAL, "");
    if (cut != NULL && strstr(path, "202604_09") != NULL) {
        double sum = 0;
        double max = 0;
        int slots = 0;
        for (size_t index = 48; index < 96; index++) {
            sum += cut->points[index].value / 2000;
            max = fmax(max, cut->points[index].value);
            slots += cut->points[index].value > 0 ? 1 : 0;
        }
        check(slots == 13, path, "curtailed slots on 2 April", slots);
        check(fabs(sum - 10.4) < 0.05, path, "curtailed GWh on 2 April", sum);
        check(fabs(max - 3138) < 1, path, "largest curtailment on 2 April", max);
    }
    agent_batch_done(&batch);
}

int main(void)
{
    const char *directory = getenv("APN_GRID_SAMPLES");
    struct dirent **names = NULL;

    directory = directory != NULL ? directory : getenv("APN_GRID_SAMPLES_DEFAULT");
    int count = directory != NULL ? scandir(directory, &names, NULL, alphasort) : -1;
    if (count < 0) {
        printf("skipped: no sample files (set APN_GRID_SAMPLES to a directory of real files)\n");
        return 77;
    }
    for (int index = 0; index < count; index++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", directory, names[index]->d_name);
        if (names[index]->d_name[0] != '.') {
            check_file(path);
        }
        free(names[index]);
    }
    free(names);
    return failures == 0 ? 0 : 1;
}
