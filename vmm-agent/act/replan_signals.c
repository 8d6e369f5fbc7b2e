/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replan_signals.c - Theory of operation
 * Per site: the price of the area (known, not forecast), carbon of the area's mix at the same time
 * of the day before, and renewable power: the area's solar forecast as a share of the largest it
 * has given, times the site's peak. Each series passes the gate (forecast/gate.h) first. A value
 * counts as revised when the last plan was made with another one; so a plan after a correction
 * keeps things in place once, and the next uses what was corrected.
 *
 * Today is forecast as of 17:00 yesterday and then follows what it measures; from 17:00 on tomorrow
 * is forecast as well. The plan ends where the first site's price or forecast ends. */
#include "act/replan_signals.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forecast/update.h"
#include "simulate/data.h"

#define HISTORY_DAYS    160
#define LOOK_BACK_SLOTS (2 * AGENT_SLOTS_PER_DAY)
#define SEARCH_BACK_S   (8 * (int64_t)AGENT_DAY_SECONDS) /* for the newest value of what is late */
#define REPEAT_MAX      24 /* half a day of the very same non-zero solar power: a stuck meter */
#define BATTERY_STALE_S 3600
#define METHOD_KEPT_S   AGENT_DAY_SECONDS

/* One reading of the store on behalf of an ask. */
struct reader {
    const struct agent_replan_ask *ask;
    struct agent_store *store; /* NULL: nothing is known */
    struct replan_signals *signals;
    struct agent_sim_data *data;
    int64_t now_s;
    int64_t before_s; /* when the last plan was made, 0 = there was none */
    struct agent_error *error;
};

/* Series of @query without marks that do not matter here, REVISED only when the last plan was made
 * with another value. Return: points or -errno. */
static int read_series(struct reader *reader, const struct agent_query *query,
                       struct agent_series *series)
{
    struct agent_query then = *query;
    struct agent_series old = {0};
    int count = agent_store_series(reader->store, query, series, reader->error);

    then.as_of_s = reader->before_s;
    int before = reader->before_s > 0 && count > 0
                     ? agent_store_series(reader->store, &then, &old, reader->error)
                     : 0;
    if (before < 0) {
        agent_series_done(series);
        return before;
    }
    for (size_t at = 0; count > 0 && at < series->count; at++) {
        struct agent_point *point = &series->points[at];
        const struct agent_point *was = before > 0 ? agent_series_find(&old, point->start_s) : NULL;
        point->quality &= ~(uint32_t)(AGENT_QUALITY_REVISED | AGENT_QUALITY_INCOMPLETE);
        if (was != NULL && isfinite(was->value) && isfinite(point->value) &&
            fabs(was->value - point->value) > 1e-9) {
            point->quality |= AGENT_QUALITY_REVISED;
        }
    }
    agent_series_done(&old);
    return count;
}

/* Batches behind @query, each once. */
static int add_inputs(struct reader *reader, const struct agent_query *query)
{
    json_t *list = NULL;
    json_t *entry = NULL;
    size_t index = 0;
    int status = agent_store_provenance(reader->store, query, &list, reader->error);

    json_array_foreach(list, index, entry)
    {
        json_t *known = NULL;
        size_t at = 0;
        bool there = false;
        json_array_foreach(reader->signals->inputs, at, known)
        {
            there = there || json_equal(known, entry) != 0;
        }
        if (!there) {
            json_array_append(reader->signals->inputs, entry);
        }
    }
    json_decref(list);
    return status < 0 ? status : 0;
}

/* Judge one series by @rule. Return: 1 it may be used, 0 not (@verdict), -errno. */
static int judge(struct reader *reader, const struct agent_query *query,
                 const struct agent_gate_rule *rule, struct agent_gate_verdict *verdict)
{
    struct agent_series series;
    char name[80];

    snprintf(name, sizeof(name), "%s %s", agent_area_name(query->area),
             agent_quantity_name(query->quantity));
    if (reader->store == NULL) {
        agent_gate_check(NULL, name, rule, verdict);
        return 0;
    }
    int status = read_series(reader, query, &series);
    if (status < 0) {
        return status;
    }
    struct agent_gate_rule from_first = *rule;
    if (query->quantity == AGENT_PV && status > 0 && series.points[0].start_s > rule->from_s) {
        from_first.from_s =
            series.points[0].start_s; /* nobody has what was before the first file */
    }
    bool good = agent_gate_check(&series, name, &from_first, verdict);
    agent_series_done(&series);
    status = add_inputs(reader, query);
    return status < 0 ? status : good ? 1 : 0;
}

static void refuse(struct replan_site_signals *site, const char *signal, const char *reason)
{
    if (site->unknown == NULL) {
        site->unknown = signal;
        snprintf(site->reason, sizeof(site->reason), "%.299s", reason);
    }
}

static enum agent_area area_of(const struct reader *reader, size_t site)
{
    return reader->ask->inventory->sites[site].area;
}

/* Price of one day of the window into its slots. Return: 1, 0 (it may not be used), -errno. */
static int price_of_day(struct reader *reader, size_t site, int day,
                        struct agent_gate_verdict *verdict)
{
    struct replan_site_signals *out = &reader->signals->sites[site];
    int first = day * AGENT_SLOTS_PER_DAY;
    int64_t slot = reader->signals->day_slot + first;
    struct agent_query query = {.area = area_of(reader, site),
                                .quantity = AGENT_PRICE_SPOT,
                                .stage = AGENT_ACTUAL,
                                .from_s = agent_slot_start(slot) - SEARCH_BACK_S,
                                .to_s = agent_slot_start(slot + AGENT_SLOTS_PER_DAY)};
    struct agent_gate_rule rule = {
        .from_s = agent_slot_start(slot), .until_s = query.to_s, .now_s = reader->now_s};
    int good = judge(reader, &query, &rule, verdict);

    for (int at = 0; good > 0 && at < AGENT_SLOTS_PER_DAY; at++) {
        out->price[first + at] = agent_sim_data_at(reader->data, query.area, SIM_PRICE, slot + at);
    }
    return good;
}

static int read_price(struct reader *reader, size_t site)
{
    struct replan_site_signals *out = &reader->signals->sites[site];
    struct agent_gate_verdict verdict;
    int today = price_of_day(reader, site, 0, &verdict);

    if (today == 0) {
        refuse(out, "price", verdict.text);
    }
    if (today <= 0) {
        return today;
    }
    int tomorrow = price_of_day(reader, site, 1, &verdict);
    if (tomorrow == 0) {
        snprintf(out->ends_at, sizeof(out->ends_at), "%s", verdict.text);
    }
    return tomorrow < 0 ? tomorrow : 0;
}

/* Carbon of the same time of day, as late as it is known. */
static void read_carbon(struct reader *reader, size_t site)
{
    struct replan_site_signals *out = &reader->signals->sites[site];
    bool needed = reader->ask->settings->carbon_yen_per_kg > 0;

    for (int slot = 0; slot < AGENT_ROLL_SLOTS; slot++) {
        out->carbon[slot] = NAN;
        for (int day = 0; day < 4 && !isfinite(out->carbon[slot]); day++) {
            int64_t at = reader->signals->day_slot + slot - day * AGENT_SLOTS_PER_DAY;
            if (agent_slot_start(at) + AGENT_SLOT_SECONDS <= reader->now_s) {
                out->carbon[slot] =
                    agent_sim_data_at(reader->data, area_of(reader, site), SIM_CARBON, at);
            }
        }
        if (!isfinite(out->carbon[slot]) && needed) {
            refuse(out, "carbon", "the area's generation is not known for the past three days");
        }
        out->carbon[slot] = isfinite(out->carbon[slot]) ? out->carbon[slot] : 0.0;
    }
}

static struct agent_fc_track track(const struct agent_sim_data *data, enum agent_area area,
                                   enum agent_sim_signal signal)
{
    const double *value = data->value[area][signal];

    return (struct agent_fc_track){value, data->first_slot, value != NULL ? data->slots : 0};
}

/* The method that the last plan chose for this site today: back-testing again would say the same.
 */
static const struct agent_fc_method *method_of(const struct reader *reader, size_t site)
{
    const json_t *entry = json_array_get(json_object_get(reader->ask->before, "signals"), site);
    const char *name = json_string_value(json_object_get(entry, "method"));
    bool same_day = agent_roll_slot(reader->ask->before) == reader->signals->day_slot;

    if (reader->ask->settings->method != NULL) {
        return reader->ask->settings->method;
    }
    return name != NULL && same_day ? agent_fc_find(name) : NULL;
}

/* Forecast of one day of the window, MW of the area, as of 17:00 the day before or now. */
static int forecast_day(struct reader *reader, size_t site, int day, double scale)
{
    struct replan_site_signals *out = &reader->signals->sites[site];
    enum agent_area area = area_of(reader, site);
    int first = day * AGENT_SLOTS_PER_DAY;
    struct agent_fc_case ask = {.kind = AGENT_FC_PV,
                                .actual = track(reader->data, area, SIM_PV),
                                .outlook = track(reader->data, area, SIM_OUTLOOK_WIND_PV),
                                .day_slot = reader->signals->day_slot + first,
                                .place = agent_solar_area(area)};
    struct agent_fc_answer answer;

    ask.known_until = ask.day_slot - AGENT_FC_LEAD_DEFAULT;
    int status = agent_fc_answer_day(&ask, method_of(reader, site), &answer, reader->error);
    if (status < 0) {
        return status;
    }
    out->method = answer.method;
    for (int at = 0; at < AGENT_SLOTS_PER_DAY; at++) {
        bool wide = isfinite(answer.bands.p10[at]);
        out->surplus[PLAN_P10][first + at] = scale * (wide ? answer.bands.p10[at] : answer.mw[at]);
        out->surplus[PLAN_P50][first + at] = scale * (wide ? answer.bands.p50[at] : answer.mw[at]);
        out->surplus[PLAN_P90][first + at] = scale * (wide ? answer.bands.p90[at] : answer.mw[at]);
    }
    return 0;
}

static void follow_today(struct reader *reader, size_t site, double scale)
{
    struct replan_site_signals *out = &reader->signals->sites[site];
    double measured[AGENT_SLOTS_PER_DAY];
    double *band[3] = {out->surplus[PLAN_P10], out->surplus[PLAN_P50], out->surplus[PLAN_P90]};
    int64_t today = reader->signals->day_slot;
    struct agent_fc_case ask = {.kind = AGENT_FC_PV,
                                .actual = {measured, today, AGENT_SLOTS_PER_DAY},
                                .day_slot = today,
                                .known_until = today + reader->signals->first};

    for (int at = 0; at < AGENT_SLOTS_PER_DAY; at++) {
        measured[at] =
            scale * agent_sim_data_at(reader->data, area_of(reader, site), SIM_PV, today + at);
    }
    out->ratio = agent_fc_update(&ask, band);
}

/* kW at the site per MW of its area: its peak at the most the area has given. */
static double scale_of(const struct reader *reader, size_t site)
{
    double most = 0;

    for (int64_t at = 0; at < (int64_t)reader->data->slots; at++) {
        double mw = agent_sim_data_at(reader->data, area_of(reader, site), SIM_PV,
                                      reader->data->first_slot + at);
        most = isfinite(mw) && mw > most ? mw : most;
    }
    return most > 0 ? reader->ask->inventory->sites[site].renewable_kw / most : 0.0;
}

static int read_surplus(struct reader *reader, size_t site)
{
    struct replan_site_signals *out = &reader->signals->sites[site];
    int64_t asked = reader->signals->day_slot - AGENT_FC_LEAD_DEFAULT;
    struct agent_query query = {.area = area_of(reader, site),
                                .quantity = AGENT_PV,
                                .stage = AGENT_ACTUAL,
                                .from_s = agent_slot_start(asked) - SEARCH_BACK_S,
                                .to_s = reader->now_s + AGENT_DAY_SECONDS};
    struct agent_gate_rule rule = {.from_s = agent_slot_start(asked - LOOK_BACK_SLOTS),
                                   .until_s = agent_slot_start(asked),
                                   .now_s = reader->now_s,
                                   .repeat_max = REPEAT_MAX};
    struct agent_gate_verdict verdict;
    double scale = scale_of(reader, site);

    memset(out->surplus, 0, sizeof(out->surplus));
    out->ratio = 1.0;
    if (!(reader->ask->inventory->sites[site].renewable_kw > 0)) {
        return 0;
    }
    int good = judge(reader, &query, &rule, &verdict);
    if (good == 0) {
        refuse(out, "surplus", verdict.text);
    }
    if (good <= 0) {
        return good;
    }
    struct agent_error why = {0};
    struct agent_error *outer = reader->error;
    reader->error = &why;
    int status = forecast_day(reader, site, 0, scale);
    if (status == 0) {
        follow_today(reader, site, scale);
        bool evening = reader->signals->first >= AGENT_SLOTS_PER_DAY - AGENT_FC_LEAD_DEFAULT;
        bool next = evening && forecast_day(reader, site, 1, scale) == 0;
        for (int slot = AGENT_SLOTS_PER_DAY; slot < AGENT_ROLL_SLOTS && !next; slot++) {
            out->surplus[PLAN_P10][slot] = NAN;
        }
    } else {
        refuse(out, "surplus", why.text);
    }
    reader->error = outer;
    return 0;
}

static int read_battery(struct reader *reader, size_t site)
{
    struct replan_site_signals *out = &reader->signals->sites[site];
    const char *name = reader->ask->inventory->sites[site].battery.name;
    struct agent_query query = {.quantity = AGENT_BATTERY_CHARGE,
                                .stage = AGENT_ACTUAL,
                                .place = name,
                                .from_s = reader->now_s - AGENT_DAY_SECONDS,
                                .to_s = reader->now_s + 1};
    struct agent_series series;
    char when[AGENT_TIME_TEXT_SIZE];

    if (name == NULL || reader->store == NULL) {
        return 0;
    }
    int count = agent_store_series(reader->store, &query, &series, reader->error);
    if (count > 0) {
        const struct agent_point *last = &series.points[series.count - 1];
        out->battery_seen = true;
        out->soc_share = last->value;
        out->battery_known = agent_quality_usable(last->quality) && isfinite(last->value) &&
                             last->start_s + last->length_s >= reader->now_s - BATTERY_STALE_S;
        snprintf(out->battery_reason, sizeof(out->battery_reason),
                 "battery '%s': newest usable reading %s, older than an hour or doubted", name,
                 agent_time_format(last->start_s, when));
    }
    if (count >= 0) {
        agent_series_done(&series);
    }
    return count < 0 ? count : 0;
}

static int known_slots(const struct replan_site_signals *site, int first)
{
    int slot = first;

    while (slot < AGENT_ROLL_SLOTS && isfinite(site->price[slot]) &&
           isfinite(site->surplus[PLAN_P10][slot])) {
        slot++;
    }
    return slot;
}

/* The plan ends where the first usable site's signals end; frozen sites do not shorten it. */
static void set_end(struct reader *reader)
{
    struct replan_signals *signals = reader->signals;
    int end = AGENT_ROLL_SLOTS;
    bool any = false;

    for (size_t site = 0; site < signals->site_count; site++) {
        if (signals->sites[site].unknown == NULL) {
            int until = known_slots(&signals->sites[site], signals->first);
            end = until < end ? until : end;
            any = true;
        }
    }
    end = any ? end : AGENT_SLOTS_PER_DAY;
    int most = signals->first + reader->ask->settings->horizon_slots;
    end = end < most ? end : most;
    signals->end = end > signals->first ? end : signals->first + 1;
}

static int read_sites(struct reader *reader)
{
    struct replan_signals *signals = reader->signals;
    int status = 0;

    for (size_t site = 0; site < signals->site_count && status >= 0; site++) {
        struct replan_site_signals *out = &signals->sites[site];
        for (int slot = 0; slot < AGENT_ROLL_SLOTS; slot++) {
            out->price[slot] = NAN;
        }
        status = read_price(reader, site);
        status = status < 0 ? status : read_surplus(reader, site);
        status = status < 0 ? status : read_battery(reader, site);
        if (status >= 0) {
            read_carbon(reader, site);
            bool hole = out->unknown == NULL && known_slots(out, signals->first) == signals->first;
            if (hole) {
                refuse(out, "price", "there is no usable price of the current half hour");
            }
        }
    }
    set_end(reader);
    return status < 0 ? status : 0;
}

/* The areas of all sites, each once. */
static int read_areas(struct reader *reader)
{
    bool seen[AGENT_AREA_COUNT] = {false};
    int status = 0;

    for (size_t site = 0; site < reader->signals->site_count && status >= 0; site++) {
        enum agent_area area = area_of(reader, site);
        if (!seen[area] && area != AGENT_AREA_NONE && reader->store != NULL) {
            status = agent_sim_data_store(reader->store, area, reader->data, reader->error);
        }
        seen[area] = true;
    }
    return status < 0 ? status : 0;
}

static int64_t made_at(const json_t *document)
{
    const char *text = json_string_value(json_object_get(document, "made_at"));
    int64_t made_s = 0;

    return text != NULL && agent_time_parse(text, &made_s, NULL) == 0 ? made_s : 0;
}

int replan_signals_read(const struct agent_replan_ask *ask, struct replan_signals **out,
                        struct agent_error *error)
{
    struct replan_signals *signals = calloc(1, sizeof(*signals));
    struct agent_sim_data *data = malloc(sizeof(*data));
    struct reader reader = {.ask = ask, .signals = signals, .data = data, .error = error};
    int status = 0;

    if (signals != NULL) {
        signals->site_count = ask->inventory->site_count;
        signals->sites = calloc(signals->site_count, sizeof(*signals->sites));
        signals->inputs = json_array();
    }
    if (signals == NULL || data == NULL || signals->sites == NULL || signals->inputs == NULL) {
        free(data);
        replan_signals_free(signals);
        return agent_error_set(error, ENOMEM, "plan: out of memory for the signals");
    }
    reader.now_s = ask->running->now_s;
    reader.before_s = made_at(ask->before);
    int64_t now_slot = agent_slot_of(reader.now_s);
    signals->first = agent_slot_in_day(now_slot);
    signals->day_slot = now_slot - signals->first;
    agent_sim_data_empty(data, signals->day_slot - HISTORY_DAYS * AGENT_SLOTS_PER_DAY,
                         HISTORY_DAYS * AGENT_SLOTS_PER_DAY + AGENT_ROLL_SLOTS);
    if (ask->store_path != NULL && access(ask->store_path, F_OK) == 0) {
        status = agent_store_open(ask->store_path, &reader.store, error);
    }
    status = status < 0 ? status : read_areas(&reader);
    status = status < 0 ? status : read_sites(&reader);
    agent_store_close(reader.store);
    agent_sim_data_done(data);
    free(data);
    if (status < 0) {
        replan_signals_free(signals);
        return status;
    }
    *out = signals;
    return 0;
}

void replan_signals_free(struct replan_signals *signals)
{
    if (signals != NULL) {
        free(signals->sites);
        json_decref(signals->inputs);
        free(signals);
    }
}

json_t *replan_signals_json(const struct agent_replan_ask *ask,
                            const struct replan_signals *signals)
{
    json_t *list = json_array();

    for (size_t index = 0; index < signals->site_count; index++) {
        const struct replan_site_signals *site = &signals->sites[index];
        json_t *entry = json_pack("{s:s, s:s, s:s}", "site", ask->inventory->sites[index].name,
                                  "area", agent_area_name(ask->inventory->sites[index].area),
                                  "verdict", site->unknown == NULL ? "ok" : site->unknown);
        if (site->unknown != NULL) {
            json_object_set_new(entry, "reason", json_string(site->reason));
        }
        if (site->method != NULL) {
            json_object_set_new(entry, "method", json_string(site->method->name));
            json_object_set_new(entry, "measured_over_expected", json_real(site->ratio));
        }
        if (site->ends_at[0] != '\0') {
            json_object_set_new(entry, "next_day", json_string(site->ends_at));
        }
        json_array_append_new(list, entry);
    }
    return list;
}
