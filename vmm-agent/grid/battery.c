/* SPDX-License-Identifier: GPL-2.0-or-later */
/* battery.c - /sys/class/power_supply: charge and power of the host's batteries
 * Owner, thread, time, units: meter.h.
 *
 * Batteries of a site that are not on this host come as JSON lines (json_lines.c). */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grid/meter.h"
#include "support/file.h"
#include "support/text.h"

struct battery {
    double charge; /* 0..1 */
    double full_j; /* capacity, NaN = not told */
    double power_w;
};

static int read_word(const char *directory, const char *name, char *out, size_t size)
{
    char path[PATH_MAX + 64];
    char *bytes = NULL;
    size_t length = 0;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int status = agent_file_read(path, 4096, &bytes, &length, NULL);
    if (status == 0) {
        snprintf(out, size, "%.*s", (int)strcspn(bytes, "\n"), bytes);
    }
    free(bytes);
    return status;
}

static double read_value(const char *directory, const char *name)
{
    char word[32];
    double value = NAN;

    return read_word(directory, name, word, sizeof(word)) == 0 &&
                   agent_text_number(word, &value) == 0
               ? value
               : NAN;
}

/* Power is given directly, or as current and voltage; its sign comes from the status. */
static double read_power(const char *directory)
{
    char status[32] = "";
    double power_w = fabs(read_value(directory, "power_now")) / 1e6;

    if (isnan(power_w)) {
        power_w = fabs(read_value(directory, "current_now")) / 1e6 *
                  (read_value(directory, "voltage_now") / 1e6);
    }
    if (read_word(directory, "status", status, sizeof(status)) < 0) {
        return NAN;
    }
    if (strcmp(status, "Charging") == 0) {
        return -power_w;
    }
    return strcmp(status, "Discharging") == 0 ? power_w : 0;
}

/* Return: 1 a battery, 0 something else, -EBADMSG. */
static int read_battery(const char *directory, struct battery *battery, struct agent_error *error)
{
    char type[32] = "";

    if (read_word(directory, "type", type, sizeof(type)) < 0 || strcmp(type, "Battery") != 0 ||
        read_value(directory, "present") < 0.5) {
        return 0;
    }
    battery->charge = read_value(directory, "capacity") / 100;
    battery->full_j = read_value(directory, "energy_full") * 0.0036;
    battery->power_w = read_power(directory);
    if (!(battery->charge >= 0 && battery->charge <= 1)) {
        return agent_error_at(error, EBADMSG, (struct agent_place){directory, 0, 0},
                              "capacity: expected 0 to 100 percent, found %g",
                              battery->charge * 100);
    }
    return 1;
}

int agent_battery_read(const char *root, struct agent_battery_state *state,
                       struct agent_error *error)
{
    char base[PATH_MAX];
    char directory[PATH_MAX + 300];
    struct dirent **names = NULL;
    double weights = 0;
    double charge = 0;
    double power_w = 0;
    int found = 0;

    snprintf(base, sizeof(base), "%s/sys/class/power_supply", root);
    int count = scandir(base, &names, NULL, alphasort);
    for (int index = 0; index < count; index++) {
        struct battery battery;
        snprintf(directory, sizeof(directory), "%s/%s", base, names[index]->d_name);
        int status = found < 0 || names[index]->d_name[0] == '.'
                         ? 0
                         : read_battery(directory, &battery, error);
        free(names[index]);
        if (status > 0) {
            double weight = battery.full_j > 0 ? battery.full_j : 1;
            weights += weight;
            charge += weight * battery.charge;
            power_w += battery.power_w;
            found++;
        }
        found = status < 0 ? status : found;
    }
    free(names);
    if (found > 0) {
        *state = (struct agent_battery_state){charge / weights, power_w};
    }
    return found;
}
