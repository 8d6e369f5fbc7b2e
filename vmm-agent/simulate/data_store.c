/* SPDX-License-Identifier: GPL-2.0-or-later */
/* data_store.c - what a simulation or a live plan knows, from the store
 * Owner: struct agent_sim_data.   Thread: the store's.   Time: slots.   Units: as in data.h. */
#include <errno.h>
#include <stdlib.h>

#include "simulate/data.h"

#define MIX_DAYS 3 /* carbon is that of the days just past */

/* One series of the store into the batch; its own days may have holes, quality says so. */
static int add(struct agent_store *store, const struct agent_query *query,
               struct agent_batch *batch, struct agent_error *error)
{
    struct agent_series *series =
        agent_batch_series(batch, query->area, query->quantity, query->stage, query->place);
    struct agent_series found;

    if (series == NULL) {
        return agent_error_set(error, ENOMEM, "store: no memory for a series");
    }
    int count = agent_store_series(store, query, &found, error);
    if (count >= 0) {
        agent_series_done(series);
        *series = found;
    }
    return count < 0 ? count : count > 0 ? 1 : 0;
}

int agent_sim_data_store(struct agent_store *store, enum agent_area area,
                         struct agent_sim_data *data, struct agent_error *error)
{
    struct agent_batch *batch = malloc(sizeof(*batch));
    struct agent_query query = {.area = area};
    int64_t end_s = agent_slot_start(data->first_slot + (int64_t)data->slots);
    int series = 0;
    int status = 0;

    if (batch == NULL) {
        return agent_error_set(error, ENOMEM, "store: no memory for a batch");
    }
    agent_batch_init(batch, "store", "store");
    for (int quantity = AGENT_DEMAND; quantity <= AGENT_PRICE_SPOT && status >= 0; quantity++) {
        bool ahead = quantity == AGENT_WIND_PV || quantity == AGENT_PRICE_SPOT;
        if (quantity > AGENT_TOTAL && !ahead) {
            continue;
        }
        bool long_past = quantity == AGENT_DEMAND || quantity == AGENT_PV ||
                         quantity == AGENT_PV_CURTAILED || ahead;
        query.quantity = (enum agent_quantity)quantity;
        query.stage = quantity == AGENT_WIND_PV ? AGENT_FORECAST : AGENT_ACTUAL;
        query.to_s = end_s;
        query.from_s = long_past ? agent_slot_start(data->first_slot)
                                 : end_s - (MIX_DAYS + 1) * (int64_t)AGENT_DAY_SECONDS;
        status = add(store, &query, batch, error);
        series += status > 0 ? 1 : 0;
    }
    if (status >= 0) {
        query = (struct agent_query){.area = area,
                                     .quantity = AGENT_DEMAND,
                                     .stage = AGENT_FORECAST,
                                     .from_s = agent_slot_start(data->first_slot),
                                     .to_s = end_s};
        status = add(store, &query, batch, error);
    }
    status = status < 0 ? status : agent_sim_data_take(data, batch);
    agent_batch_done(batch);
    free(batch);
    return status < 0 ? status : series;
}
