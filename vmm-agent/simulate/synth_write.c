/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "simulate/synth_file.h"

int agent_synth_write(const struct agent_synth *synth, const struct agent_synth_request *request,
                      struct agent_error *error)
{
    int (*const families[])(const struct agent_synth *, const struct agent_synth_request *,
                            struct agent_error *) = {
        agent_synth_write_actuals,
        agent_synth_write_slots,
        agent_synth_write_markets,
        agent_synth_write_outlooks,
    };
    int last = (int)(synth->slots / AGENT_SLOTS_PER_DAY);
    int files = 0;

    if (request->first_day < 0 || request->days < 1 || request->first_day + request->days > last) {
        return agent_error_set(
            error, EINVAL, "synthetic files: days %d..%d are asked for, the year has 0..%d",
            request->first_day, request->first_day + request->days - 1, last - 1);
    }
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        int wrote = families[i](synth, request, error);
        if (wrote < 0) {
            return wrote;
        }
        files += wrote;
    }
    return files;
}
