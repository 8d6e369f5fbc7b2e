/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.c - section `act` of the configuration
 * Owner: caller.   Thread: any.   Time: none.   Units: in each key's name. */
#include <math.h>
#include <string.h>

#include "act/act.h"

int agent_act_settings_read(const struct agent_yaml *root, struct agent_act_settings *settings,
                            struct agent_error *error)
{
    static const char *const keys[] = {"hysteresis_yen",
                                       "attempts_max",
                                       "backoff_s",
                                       "backoff_max_s",
                                       "start_timeout_s",
                                       "migrate_timeout_s",
                                       "qmp_timeout_s",
                                       "queue_age_s",
                                       "plan_every_slot",
                                       "commit_safe",
                                       NULL};
    const struct agent_yaml *node = agent_yaml_child(root, "act");
    double attempts = 3;
    const struct {
        const char *key;
        struct agent_range range;
        double fallback;
        double *out;
    } numbers[] = {
        {"hysteresis_yen", {0, 1e9}, 0, &settings->hysteresis_yen},
        {"attempts_max", {1, 100}, 3, &attempts},
        {"backoff_s", {0.01, 3600}, 5, &settings->backoff_s},
        {"backoff_max_s", {0.01, 86400}, 300, &settings->backoff_max_s},
        {"start_timeout_s", {1, 600}, 20, &settings->start_timeout_s},
        {"migrate_timeout_s", {1, 86400}, 600, &settings->migrate_timeout_s},
        {"qmp_timeout_s", {0.1, 600}, 5, &settings->qmp_timeout_s},
        {"queue_age_s", {0.1, 86400}, 60, &settings->queue_age_s},
    };
    int status = 0;

    memset(settings, 0, sizeof(*settings));
    if (node != NULL) {
        status = agent_yaml_only(node, keys, error);
    }
    for (size_t at = 0; at < sizeof(numbers) / sizeof(numbers[0]) && status == 0; at++) {
        status = agent_yaml_number(node, numbers[at].key, numbers[at].range, numbers[at].fallback,
                                   numbers[at].out, error);
    }
    settings->attempts_max = (int)attempts;
    status = status < 0 ? status
                        : agent_yaml_bool(node, "plan_every_slot", true, &settings->plan_every_slot,
                                          error);
    return status < 0 ? status
                      : agent_yaml_bool(node, "commit_safe", false, &settings->commit_safe, error);
}
