/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.h - section `dr` of the configuration, checked against the inventory
 * Owner: struct agent_dr_config, _read/_done; texts borrowed from the configuration.   Thread:
 * main. Time:  none.                                                             Units: in every
 * name. */
#ifndef AGENT_DR_SETTINGS_H
#define AGENT_DR_SETTINGS_H

#include "act/inventory.h"
#include "dr/dr.h"

/** struct agent_dr_battery - @setpoint: file that takes kW (negative = discharge) for the battery's
 * own controller; NULL = the battery is not ours to use */
struct agent_dr_battery {
    const char *setpoint;
    double yen_per_kwh;
};

/** struct agent_dr_config - @site_of: our site number to the inventory's
 * @yen_per_hour: per group, NAN = by its power and @worth_yen_per_kwh
 * @power_accuracy: one standard deviation of the declared power model, as a share */
struct agent_dr_config {
    struct agent_dr_settings settings;
    int site_of[AGENT_DR_SITES_MAX];
    const char *reserve_to[AGENT_DR_SITES_MAX];
    struct agent_dr_battery batteries[AGENT_DR_SITES_MAX];
    double yen_per_hour[AGENT_GROUPS_MAX];
    double worth_yen_per_kwh;
    double power_accuracy;
};

/** agent_dr_config_read() - no section `dr`: no site takes part (settings.site_count is 0)
 * Return: 0, or -errno with file, line and column. */
int agent_dr_config_read(const struct agent_yaml *root, const struct agent_inventory *inventory,
                         struct agent_dr_config *config, struct agent_error *error);

/** agent_dr_config_done() - a zeroed struct is fine */
void agent_dr_config_done(struct agent_dr_config *config);

#endif
