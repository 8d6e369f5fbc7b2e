/* SPDX-License-Identifier: GPL-2.0-or-later */
/* roll.c - Theory of operation
 * The day plan asked again as the day goes. At each question VMs are where they are, with the dwell
 * they have left; the renewable power of what is left of the day is the forecast moved by what the
 * day has measured until then (forecast/update.h); from the hour at which the next day is forecast
 * (17:00) the next day belongs to the plan. Only the half hours until the next question are lived.
 *
 * When a half hour's gate closes the planned load has bought its energy. A later plan may depart
 * from that: the planner knows what it costs, and it is charged (agent_sim_account_gate). */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "forecast/update.h"
#include "simulate/run_parts.h"

/* Quantiles of one day as kW at the site into the view from half hour @at on. Return: all known? */
static bool put_day(struct run *run, const struct actor *actor, size_t site, size_t day, int at)
{
    double kw_per_mw = agent_sim_run_scale(run, site);
    bool known = true;

    for (int q = 0; q < SIM_QUANTILES; q++) {
        const float *mw = agent_sim_forecasts_day(&run->forecasts, actor->method, site, day,
                                                  (enum agent_sim_quantile)q);
        for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
            double kw = run->request->sites[site].ratio > 0.0 ? kw_per_mw * (double)mw[i] : 0.0;
            known = known && isfinite(kw);
            run->view.renewable[site][q][at + i] = kw;
        }
    }
    return known;
}

/* What has been measured of the day by half hour @now moves what is left of it. */
static void update_day(struct run *run, size_t site, int now)
{
    double kw_per_mw = agent_sim_run_scale(run, site);
    double measured[AGENT_SIM_SLOTS];
    double *band[3] = {run->view.renewable[site][SIM_P10], run->view.renewable[site][SIM_P50],
                       run->view.renewable[site][SIM_P90]};
    struct agent_fc_case ask = {.kind = AGENT_FC_PV,
                                .actual = {measured, run->view.today, AGENT_SIM_SLOTS},
                                .day_slot = run->view.today,
                                .known_until = run->view.today + now};

    for (int i = 0; i < AGENT_SIM_SLOTS; i++) {
        measured[i] = kw_per_mw * agent_sim_data_at(run->data, run->request->sites[site].area,
                                                    SIM_PV, run->view.today + i);
    }
    agent_fc_update(&ask, band);
}

/* Prices and carbon of the next day; carbon is that of the last known day. Return: all known? */
static bool put_tomorrow(struct run *run, const struct actor *actor, size_t site)
{
    struct agent_sim_view *view = &run->view;
    enum agent_area area = run->request->sites[site].area;
    bool known = put_day(run, actor, site, run->day + 1, AGENT_SIM_SLOTS);

    for (int i = AGENT_SIM_SLOTS; i < AGENT_SIM_WINDOW; i++) {
        view->price[site][i] = run->result->priced
                                   ? agent_sim_data_at(run->data, area, SIM_PRICE, view->today + i)
                                   : AGENT_SIM_FLAT_JPY;
        view->carbon[site][i] = view->carbon[site][i - AGENT_SIM_SLOTS];
        known = known && isfinite(view->price[site][i]);
    }
    return known && !run->tomorrow.refused[site];
}

/* What may be known at half hour @now; sets the part of the window to plan. */
static void look(struct run *run, const struct actor *actor, int now)
{
    bool tomorrow =
        run->day + 1 < run->request->days && now >= AGENT_SIM_SLOTS - run->request->lead_slots;

    for (size_t s = 0; s < run->world.site_count; s++) {
        bool refused = run->signals.refused[s];
        bool known = put_day(run, actor, s, run->day, 0);
        if (known && !refused && run->request->sites[s].ratio > 0.0) {
            update_day(run, s, now);
        }
        if (!known && !refused) {
            run->view.frozen[s] = "no forecast of the renewable power";
        }
        tomorrow = tomorrow && (refused || put_tomorrow(run, actor, s));
    }
    run->view.first = now;
    run->view.end = tomorrow ? AGENT_SIM_WINDOW : AGENT_SIM_SLOTS;
    if (run->view.end > now + AGENT_SIM_SLOTS) {
        run->view.end = now + AGENT_SIM_SLOTS;
    }
}

static int plan(struct run *run, struct actor *actor, int now)
{
    json_t *document = NULL;

    look(run, actor, now);
    run->view.before = actor->document;
    run->view.document = &document;
    int result = actor->strategy->decide(&run->view, &actor->state, run->schedule, run->error);
    run->view.before = NULL;
    run->view.document = NULL;
    if (result != 0) {
        return result;
    }
    int open = now + run->world.gate_slots;
    open = open < actor->bought_end ? open : actor->bought_end > now ? actor->bought_end : now;
    for (int slot = open; slot < run->view.end; slot++) {
        actor->bought[slot] = run->schedule[slot];
    }
    actor->bought_end = run->view.end > actor->bought_end ? run->view.end : actor->bought_end;
    json_decref(actor->document);
    actor->document = document;
    return 0;
}

/* Refusals of the next day's signals end the window at midnight. */
static int judge_tomorrow(struct run *run)
{
    memset(&run->tomorrow, 0, sizeof(run->tomorrow));
    if (run->day + 1 >= run->request->days) {
        return 0;
    }
    return agent_sim_signals_judge(run->request, run->data, run->day + 1, run->result->priced,
                                   &run->tomorrow, NULL);
}

int agent_sim_roll_day(struct run *run, struct actor *actor)
{
    int result = judge_tomorrow(run);

    for (int slot = 0; slot < AGENT_SIM_SLOTS && result == 0; slot++) {
        if (slot % run->request->replan_slots == 0) {
            result = plan(run, actor, slot);
        }
        if (result == 0) {
            agent_sim_account_gate(&run->world, &actor->bought[slot], &run->schedule[slot],
                                   &run->truth, slot, &actor->outcome->account);
            agent_sim_account_slot(&run->world, &actor->state, &run->schedule[slot], &run->truth,
                                   slot, &actor->outcome->account);
        }
    }
    memmove(actor->bought, actor->bought + AGENT_SIM_SLOTS,
            AGENT_SIM_SLOTS * sizeof(*actor->bought));
    actor->bought_end -= AGENT_SIM_SLOTS;
    run->view.first = 0;
    run->view.end = AGENT_SIM_SLOTS;
    return result;
}
