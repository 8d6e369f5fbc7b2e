/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host_power.c - RAPL energy counters (Documentation/power/powercap), /proc/stat as a fallback
 * Owner, thread, time, units: meter.h. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grid/meter.h"
#include "support/file.h"

#define ZONES_MAX      16
#define SUBZONES_MAX   8
#define GAP_MIN_S      0.05 /* counters advance about every millisecond; closer is noise */
#define SMALL_FILE_MAX 65536

static int read_text(const char *path, char *out, size_t size)
{
    char *bytes = NULL;
    size_t length = 0;
    int status = agent_file_read(path, SMALL_FILE_MAX, &bytes, &length, NULL);

    if (status == 0) {
        snprintf(out, size, "%.*s", (int)strcspn(bytes, "\n"), bytes);
    }
    free(bytes);
    return status;
}

static bool read_number(const char *path, uint64_t *value)
{
    char text[32];
    char rest = 0;

    return read_text(path, text, sizeof(text)) == 0 &&
           sscanf(text, "%" SCNu64 "%c", value, &rest) == 1;
}

struct domain {
    char path[PATH_MAX];
    char name[32];
    uint64_t energy_uj;
    uint64_t range_uj;
};

static bool read_domain(const char *root, const char *zone, struct domain *domain)
{
    char path[PATH_MAX + 32];

    snprintf(domain->path, sizeof(domain->path), "%s/sys/class/powercap/%s", root, zone);
    snprintf(path, sizeof(path), "%s/name", domain->path);
    if (read_text(path, domain->name, sizeof(domain->name)) < 0) {
        return false;
    }
    snprintf(path, sizeof(path), "%s/energy_uj", domain->path);
    if (!read_number(path, &domain->energy_uj)) {
        return false; /* since Linux 5.10 only root may read it */
    }
    snprintf(path, sizeof(path), "%s/max_energy_range_uj", domain->path);
    return read_number(path, &domain->range_uj) && domain->range_uj > 0;
}

/* Domains to add up. Return: how many, 0 = the host has none that we may read. */
static unsigned read_domains(const char *root, struct domain *domains)
{
    unsigned count = 0;

    for (int zone = 0; zone < ZONES_MAX; zone++) {
        char name[64];
        snprintf(name, sizeof(name), "intel-rapl:%d", zone);
        struct domain *domain = &domains[count];
        if (count == AGENT_METER_DOMAINS_MAX || !read_domain(root, name, domain)) {
            continue;
        }
        if (strcmp(domain->name, "psys") == 0) { /* holds everything else */
            domains[0] = *domain;
            return 1;
        }
        count += strncmp(domain->name, "package", 7) == 0 ? 1 : 0;
        for (int sub = 0; sub < SUBZONES_MAX && count < AGENT_METER_DOMAINS_MAX; sub++) {
            snprintf(name, sizeof(name), "intel-rapl:%d:%d", zone, sub);
            domain = &domains[count];
            if (read_domain(root, name, domain) && strcmp(domain->name, "dram") == 0) {
                count++; /* core and uncore are inside the package */
            }
        }
    }
    return count;
}

/* Joules between two readings of a counter that wraps at range_uj. */
static double joules(uint64_t before, const struct domain *domain)
{
    uint64_t used = domain->energy_uj >= before ? domain->energy_uj - before
                                                : domain->energy_uj + (domain->range_uj - before);
    return (double)used / 1e6;
}

static int from_rapl(struct agent_power_meter *meter, const struct domain *domains, unsigned count,
                     double time_s, struct agent_power_reading *reading)
{
    double gap_s = time_s - meter->last_time_s;
    bool usable = meter->has_last && meter->last_rapl && meter->domains == count;
    double sum_j = 0;

    if (usable && gap_s < GAP_MIN_S) {
        return 0; /* keep the older reading as the base */
    }
    for (unsigned index = 0; index < count; index++) {
        usable = usable && meter->last_uj[index] <= domains[index].range_uj;
        sum_j += usable ? joules(meter->last_uj[index], &domains[index]) : 0;
        meter->last_uj[index] = domains[index].energy_uj;
    }
    meter->domains = count;
    meter->has_last = true;
    meter->last_rapl = true;
    meter->last_time_s = time_s;
    if (!usable) {
        return 0;
    }
    *reading = (struct agent_power_reading){sum_j / gap_s * meter->overhead, false};
    return 1;
}

static int read_cpu(const char *root, uint64_t *busy, uint64_t *total, struct agent_error *error)
{
    char path[PATH_MAX];
    char line[512];
    uint64_t part[8] = {0};

    snprintf(path, sizeof(path), "%s/proc/stat", root);
    int status = read_text(path, line, sizeof(line));
    /* user nice system idle iowait irq softirq steal; guest time is inside user */
    if (status < 0 || sscanf(line,
                             "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                             " %" SCNu64 " %" SCNu64 " %" SCNu64,
                             &part[0], &part[1], &part[2], &part[3], &part[4], &part[5], &part[6],
                             &part[7]) < 4) {
        return agent_error_at(error, EBADMSG, (struct agent_place){path, 1, 0},
                              "expected 'cpu' and its times");
    }
    *total = 0;
    for (int index = 0; index < 8; index++) {
        *total += part[index];
    }
    *busy = *total - part[3] - part[4];
    return 0;
}

static int from_model(struct agent_power_meter *meter, double time_s,
                      struct agent_power_reading *reading, struct agent_error *error)
{
    uint64_t busy = 0;
    uint64_t total = 0;

    if (!(meter->busy_w > 0)) {
        return agent_error_set(error, ENOTSUP,
                               "host power: no readable RAPL counters and no model; "
                               "set idle_w and busy_w");
    }
    int status = read_cpu(meter->root, &busy, &total, error);
    if (status < 0) {
        return status;
    }
    bool usable = meter->has_last && !meter->last_rapl && total > meter->last_total &&
                  busy >= meter->last_busy;
    double share =
        usable ? (double)(busy - meter->last_busy) / (double)(total - meter->last_total) : 0;
    meter->has_last = true;
    meter->last_rapl = false;
    meter->last_time_s = time_s;
    meter->last_busy = busy;
    meter->last_total = total;
    if (!usable || share > 1) {
        return 0;
    }
    double power_w = meter->idle_w + (meter->busy_w - meter->idle_w) * share;
    *reading = (struct agent_power_reading){power_w * meter->overhead, true};
    return 1;
}

int agent_power_read(struct agent_power_meter *meter, double time_s,
                     struct agent_power_reading *reading, struct agent_error *error)
{
    struct domain *domains = calloc(AGENT_METER_DOMAINS_MAX + 1, sizeof(*domains));
    int status = 0;

    if (domains == NULL) {
        return agent_error_set(error, ENOMEM, "no memory to read the host's power");
    }
    unsigned count = read_domains(meter->root, domains);
    status = count > 0 ? from_rapl(meter, domains, count, time_s, reading)
                       : from_model(meter, time_s, reading, error);
    free(domains);
    return status;
}

int agent_power_calibrate(const struct agent_power_sample *samples, size_t count, double *idle_w,
                          double *busy_w, struct agent_error *error)
{
    double mean_busy = 0;
    double mean_power = 0;
    double spread = 0;
    double joint = 0;

    for (size_t index = 0; index < count; index++) {
        bool good = samples[index].busy >= 0 && samples[index].busy <= 1 &&
                    samples[index].power_w > 0 && isfinite(samples[index].power_w);
        if (!good) {
            return agent_error_set(error, EINVAL,
                                   "calibration: sample %zu: busy %g, power %g W: "
                                   "expected 0..1 and a positive power",
                                   index + 1, samples[index].busy, samples[index].power_w);
        }
        mean_busy += samples[index].busy / (double)count;
        mean_power += samples[index].power_w / (double)count;
    }
    for (size_t index = 0; index < count; index++) {
        double off = samples[index].busy - mean_busy;
        spread += off * off;
        joint += off * (samples[index].power_w - mean_power);
    }
    if (count < 2 || spread < 1e-3) {
        return agent_error_set(error, EINVAL,
                               "calibration: %zu samples with too little spread in "
                               "CPU use: measure an idle and a busy host",
                               count);
    }
    double slope = joint / spread;
    double idle = mean_power - slope * mean_busy;
    if (slope < 0 || idle < 0) {
        return agent_error_set(error, EINVAL, "calibration: idle %.1f W, busy %.1f W make no sense",
                               idle, idle + slope);
    }
    *idle_w = idle;
    *busy_w = idle + slope;
    return 0;
}
