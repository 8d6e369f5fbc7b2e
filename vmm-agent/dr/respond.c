/* SPDX-License-Identifier: GPL-2.0-or-later */
/* respond.c - cheapest covering of several demands by measures, one per guest
 * Owner, thread, time, units: respond.h.
 *
 * Theory of operation. A measure's help to a demand is its change at the demand's sites, positive
 * when it goes the way that is asked. The goal is min(cost + price × missing): a covering knapsack
 * with several rows and groups. First a greedy answer: always the measure with the lowest cost per
 * kW of what is still missing. Then depth-first branch and bound over the same measures; a branch
 * ends when the bound of some demand alone, measures taken in fractions and guests ignored, is no
 * better than the best answer. Divisible measures fill up what is left at every leaf. */
#include "dr/respond.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EPSILON     1e-9
#define WIDE        500 /* above so many measures each step counts for more */
#define SITES_LIMIT 64

struct search {
    const struct agent_dr_question *question;
    size_t count;      /* measures that can help in time */
    size_t whole;      /* the first so many are indivisible */
    size_t *order;     /* place in the search to number of the measure */
    uint32_t *group;   /* place to guest group, AGENT_DR_NO_GUEST = none */
    double *help;      /* [place × demands + demand] */
    size_t *by_price;  /* [demand × count + rank] to place, by cost per kW of help */
    bool *group_taken; /* per group */
    double *share;     /* of the branch, per place */
    double *best;      /* of the best answer, per place */
    double best_value;
    double cost;
    double cover[AGENT_DR_DEMANDS_MAX];
    double need[AGENT_DR_DEMANDS_MAX];
    double used_kw[SITES_LIMIT];
    unsigned steps_left;
    bool complete;
};

static size_t demands_of(const struct search *search)
{
    return search->question->demand_count;
}

static const struct agent_dr_measure *measure_at(const struct search *search, size_t place)
{
    return &search->question->measures[search->order[place]];
}

static double effect_on(const struct agent_dr_measure *measure, uint64_t sites)
{
    double kw = (sites >> measure->site & 1) != 0 ? measure->change_kw : 0;

    if (measure->other_site != AGENT_DR_NO_SITE && (sites >> measure->other_site & 1) != 0) {
        kw += measure->other_kw;
    }
    return kw;
}

static double missing_of(const struct search *search, const double *cover)
{
    double missing = 0;

    for (size_t demand = 0; demand < demands_of(search); demand++) {
        missing += fmax(0, search->need[demand] - cover[demand]);
    }
    return missing;
}

/* Share of the measure at @place that still fits into what may be added at its sites: 0..1. */
static double room_for(const struct search *search, size_t place)
{
    const struct agent_dr_question *question = search->question;
    const struct agent_dr_measure *measure = measure_at(search, place);
    const double adds[2] = {measure->change_kw,
                            measure->other_site == AGENT_DR_NO_SITE ? 0 : measure->other_kw};
    const uint32_t sites[2] = {measure->site, measure->other_site};
    double share = 1;

    for (int end = 0; end < 2 && question->room_kw != NULL; end++) {
        if (adds[end] > EPSILON && sites[end] < question->site_count) {
            double left = fmax(0, question->room_kw[sites[end]]) - search->used_kw[sites[end]];
            share = fmin(share, fmax(0, left + EPSILON) / adds[end]);
        }
    }
    return share >= 1 ? 1 : measure->divisible ? share : 0;
}

static bool takable(const struct search *search, size_t place)
{
    uint32_t group = search->group[place];

    return (group == AGENT_DR_NO_GUEST || !search->group_taken[group]) &&
           room_for(search, place) > 0;
}

/* Adds @share of the measure at @place (or takes it away again with a negative one). */
static void apply(struct search *search, size_t place, double share)
{
    const struct agent_dr_measure *measure = measure_at(search, place);
    size_t demands = demands_of(search);

    search->cost += measure->cost_yen * share;
    search->share[place] += share;
    for (size_t demand = 0; demand < demands; demand++) {
        search->cover[demand] += search->help[place * demands + demand] * share;
    }
    search->used_kw[measure->site] += fmax(0, measure->change_kw) * share;
    if (measure->other_site != AGENT_DR_NO_SITE) {
        search->used_kw[measure->other_site] += fmax(0, measure->other_kw) * share;
    }
    if (search->group[place] != AGENT_DR_NO_GUEST) {
        search->group_taken[search->group[place]] = share > 0;
    }
}

/* Lower bound of what the rest costs: demand by demand, undecided measures (from @place on) in
 * fractions by price, what they leave at the price of the missing. */
static double bound_of(const struct search *search, size_t place)
{
    double bound = 0;
    size_t demands = demands_of(search);

    for (size_t demand = 0; demand < demands; demand++) {
        double left = search->need[demand] - search->cover[demand];
        double cost = 0;
        for (size_t rank = 0; rank < search->count && left > EPSILON; rank++) {
            size_t at = search->by_price[demand * search->count + rank];
            double help = search->help[at * demands + demand];
            if (help <= EPSILON) {
                break; /* sorted: nothing helps from here on */
            }
            if (at >= place && search->share[at] <= 0) {
                double price = measure_at(search, at)->cost_yen / help;
                double part = fmin(left, help);
                cost += part * fmin(price, search->question->missing_yen_per_kw);
                left -= part;
            }
        }
        cost += fmax(0, left) * search->question->missing_yen_per_kw;
        bound = fmax(bound, cost);
    }
    return bound;
}

/* Most of the measure at @place that still does some good per yen: the share that covers what its
 * demands miss. */
static double fill_share(const struct search *search, size_t place)
{
    size_t demands = demands_of(search);
    double wanted = 0;

    for (size_t demand = 0; demand < demands; demand++) {
        double help = search->help[place * demands + demand];
        double left = search->need[demand] - search->cover[demand];
        if (help > EPSILON && left > EPSILON) {
            wanted = fmax(wanted, left / help);
        }
    }
    return fmin(fmin(wanted, 1), room_for(search, place));
}

/* What taking @share of it changes in cost + price × missing; negative = better. */
static double gain_of(const struct search *search, size_t place, double share)
{
    double cover[AGENT_DR_DEMANDS_MAX];
    size_t demands = demands_of(search);

    for (size_t demand = 0; demand < demands; demand++) {
        cover[demand] = search->cover[demand] + search->help[place * demands + demand] * share;
    }
    return measure_at(search, place)->cost_yen * share +
           search->question->missing_yen_per_kw *
               (missing_of(search, cover) - missing_of(search, search->cover));
}

/* A complete set: fill up with divisible measures, keep it if it is the best, undo the filling. */
static void leaf(struct search *search)
{
    double shares[SITES_LIMIT * 2];
    size_t filled = 0;

    for (size_t place = search->whole; place < search->count && filled < SITES_LIMIT * 2; place++) {
        double share = takable(search, place) ? fill_share(search, place) : 0;
        shares[filled] = share > EPSILON && gain_of(search, place, share) < 0 ? share : 0;
        if (shares[filled] > 0) {
            apply(search, place, shares[filled]);
        }
        filled++;
    }
    double value =
        search->cost + search->question->missing_yen_per_kw * missing_of(search, search->cover);
    if (value < search->best_value - EPSILON) {
        search->best_value = value;
        memcpy(search->best, search->share, search->count * sizeof(*search->best));
    }
    while (filled-- > 0) {
        if (shares[filled] > 0) {
            apply(search, search->whole + filled, -shares[filled]);
            search->share[search->whole + filled] = 0;
        }
    }
}

/* The measure with the lowest cost per kW that is still missing. Return: its place, or count. */
static size_t cheapest(const struct search *search, double *share)
{
    size_t found = search->count;
    double lowest = search->question->missing_yen_per_kw;

    for (size_t place = 0; place < search->count; place++) {
        if (search->share[place] > 0 || !takable(search, place)) {
            continue;
        }
        double part = place < search->whole ? 1 : fill_share(search, place);
        double cost = measure_at(search, place)->cost_yen * part;
        double saved = part > EPSILON ? (cost - gain_of(search, place, part)) /
                                            search->question->missing_yen_per_kw
                                      : 0;
        if (saved > EPSILON && cost / saved < lowest - EPSILON) {
            lowest = cost / saved;
            found = place;
            *share = part;
        }
    }
    return found;
}

/* Takes what later ones made unnecessary out again, dearest first. */
static void prune(struct search *search)
{
    for (;;) {
        size_t worst = search->count;
        double best = -EPSILON;
        for (size_t place = 0; place < search->count; place++) {
            double change =
                search->share[place] > 0 ? gain_of(search, place, -search->share[place]) : 0;
            if (change < best) {
                best = change;
                worst = place;
            }
        }
        if (worst == search->count) {
            return;
        }
        apply(search, worst, -search->share[worst]);
        search->share[worst] = 0;
    }
}

static void greedy(struct search *search)
{
    double share = 0;

    for (size_t turn = 0; turn < search->count; turn++) {
        size_t place = cheapest(search, &share);
        if (place == search->count) {
            break;
        }
        apply(search, place, share);
    }
    prune(search);
    search->best_value =
        search->cost + search->question->missing_yen_per_kw * missing_of(search, search->cover);
    memcpy(search->best, search->share, search->count * sizeof(*search->best));
    for (size_t place = 0; place < search->count; place++) {
        if (search->share[place] > 0) {
            apply(search, place, -search->share[place]);
            search->share[place] = 0;
        }
    }
}

/* Depth at most AGENT_DR_MEASURES_MAX; the first branch of each place is to take it. */
static void branch(struct search *search, size_t place)
{
    if (search->steps_left == 0) {
        search->complete = false;
        return;
    }
    search->steps_left--;
    if (search->cost + bound_of(search, place) >= search->best_value - EPSILON) {
        return;
    }
    if (place == search->whole || missing_of(search, search->cover) <= EPSILON) {
        leaf(search);
        return;
    }
    if (takable(search, place)) {
        apply(search, place, 1);
        branch(search, place + 1);
        apply(search, place, -1);
        search->share[place] = 0;
    }
    branch(search, place + 1);
}

/* For sorting: one measure with its price in the demand that is looked at. */
struct priced {
    size_t at;
    double price; /* yen per kW of help; infinite = no help */
    int kind;
    bool divisible;
};

static int by_price(const void *one, const void *other)
{
    const struct priced *left = one;
    const struct priced *right = other;

    if (left->divisible != right->divisible) {
        return left->divisible ? 1 : -1;
    }
    if (left->price != right->price) {
        return left->price < right->price ? -1 : 1;
    }
    if (left->kind != right->kind) {
        return left->kind - right->kind;
    }
    return left->at < right->at ? -1 : 1;
}

/* Usable measures in search order: indivisible ones by price of their best help, then the others.
 */
static void put_in_order(struct search *search, struct priced *list)
{
    const struct agent_dr_question *question = search->question;

    for (size_t index = 0; index < question->measure_count; index++) {
        const struct agent_dr_measure *measure = &question->measures[index];
        double help = 0;
        int touched = 0;
        for (size_t demand = 0; demand < question->demand_count; demand++) {
            double sign = question->demands[demand].change_kw < 0 ? -1 : 1;
            double effect = sign * effect_on(measure, question->demands[demand].sites);
            help = fmax(help, effect);
            touched += fabs(effect) > EPSILON ? 1 : 0;
        }
        /* a share that serves several demands is filled by rule of thumb, which proves nothing */
        search->complete = search->complete && !(measure->divisible && touched > 1);
        if (help > EPSILON && measure->lead_s <= question->within_s) {
            list[search->count++] = (struct priced){index, measure->cost_yen / help,
                                                    (int)measure->kind, measure->divisible};
            search->whole += measure->divisible ? 0 : 1;
        }
    }
    qsort(list, search->count, sizeof(*list), by_price);
    for (size_t place = 0; place < search->count; place++) {
        search->order[place] = list[place].at;
    }
}

static int by_number(const void *one, const void *other)
{
    uint32_t left = *(const uint32_t *)one;
    uint32_t right = *(const uint32_t *)other;

    return left < right ? -1 : left > right;
}

/* Guests get numbers 0.. in ascending order, found again by bisection. */
static void group_guests(struct search *search, uint32_t *guests)
{
    size_t distinct = 0;

    for (size_t place = 0; place < search->count; place++) {
        guests[place] = measure_at(search, place)->guest;
    }
    qsort(guests, search->count, sizeof(*guests), by_number);
    for (size_t index = 0; index < search->count; index++) {
        if (distinct == 0 || guests[index] != guests[distinct - 1]) {
            guests[distinct++] = guests[index];
        }
    }
    for (size_t place = 0; place < search->count; place++) {
        uint32_t guest = measure_at(search, place)->guest;
        const uint32_t *found = bsearch(&guest, guests, distinct, sizeof(*guests), by_number);
        search->group[place] = guest == AGENT_DR_NO_GUEST || found == NULL
                                   ? AGENT_DR_NO_GUEST
                                   : (uint32_t)(found - guests);
    }
}

static void put_prices(struct search *search, struct priced *list)
{
    const struct agent_dr_question *question = search->question;
    size_t demands = question->demand_count;

    for (size_t demand = 0; demand < demands; demand++) {
        double sign = question->demands[demand].change_kw < 0 ? -1 : 1;
        search->need[demand] = fabs(question->demands[demand].change_kw);
        for (size_t place = 0; place < search->count; place++) {
            const struct agent_dr_measure *measure = measure_at(search, place);
            double help = sign * effect_on(measure, question->demands[demand].sites);
            search->help[place * demands + demand] = help;
            list[place] =
                (struct priced){place, help > EPSILON ? measure->cost_yen / help : INFINITY,
                                (int)measure->kind, false};
        }
        qsort(list, search->count, sizeof(*list), by_price);
        for (size_t rank = 0; rank < search->count; rank++) {
            search->by_price[demand * search->count + rank] = list[rank].at;
        }
    }
}

static bool finite_in(double value, double min, double max)
{
    return isfinite(value) && value >= min && value <= max;
}

static int check_measure(const struct agent_dr_measure *measure, size_t index,
                         struct agent_error *error)
{
    bool move = measure->other_site != AGENT_DR_NO_SITE;

    if (measure->site >= SITES_LIMIT || (move && measure->other_site >= SITES_LIMIT) ||
        !finite_in(measure->change_kw, -1e9, 1e9) ||
        (move && !finite_in(measure->other_kw, -1e9, 1e9)) ||
        !finite_in(measure->cost_yen, 0, 1e12) || !finite_in(measure->lead_s, 0, 1e9)) {
        return agent_error_set(error, EINVAL,
                               "measure %zu (%s): site %u, %g kW, %g yen, %g s: out of range",
                               index, agent_dr_measure_name(measure->kind), measure->site,
                               measure->change_kw, measure->cost_yen, measure->lead_s);
    }
    return 0;
}

static int check(const struct agent_dr_question *question, struct agent_error *error)
{
    int status = 0;

    if (question->measure_count > AGENT_DR_MEASURES_MAX ||
        question->demand_count > AGENT_DR_DEMANDS_MAX || question->site_count > SITES_LIMIT) {
        return agent_error_set(
            error, E2BIG, "%zu measures, %zu demands, %zu sites: at most %d, %d, %d",
            question->measure_count, question->demand_count, question->site_count,
            AGENT_DR_MEASURES_MAX, AGENT_DR_DEMANDS_MAX, SITES_LIMIT);
    }
    if (!finite_in(question->missing_yen_per_kw, 1e-6, 1e12) || isnan(question->within_s)) {
        return agent_error_set(error, EINVAL, "a missing kW at %g yen: expected more than 0",
                               question->missing_yen_per_kw);
    }
    for (size_t index = 0; index < question->demand_count && status == 0; index++) {
        if (!finite_in(question->demands[index].change_kw, -1e9, 1e9)) {
            status = agent_error_set(error, EINVAL, "demand %zu: %g kW", index,
                                     question->demands[index].change_kw);
        }
    }
    for (size_t index = 0; index < question->measure_count && status == 0; index++) {
        status = check_measure(&question->measures[index], index, error);
    }
    return status;
}

static int pick_order(const void *one, const void *other, void *opaque)
{
    const struct agent_dr_pick *left = one;
    const struct agent_dr_pick *right = other;
    const struct agent_dr_measure *measures = opaque;
    int kinds = (int)measures[left->measure].kind - (int)measures[right->measure].kind;

    return kinds != 0                       ? kinds
           : left->measure < right->measure ? -1
                                            : left->measure > right->measure;
}

static void write_answer(const struct search *search, struct agent_dr_answer *answer)
{
    const struct agent_dr_question *question = search->question;

    answer->count = 0;
    answer->cost_yen = 0;
    answer->optimal = search->complete;
    for (size_t demand = 0; demand < question->demand_count; demand++) {
        answer->change_kw[demand] = 0;
    }
    for (size_t place = 0; place < search->count; place++) {
        const struct agent_dr_measure *measure = measure_at(search, place);
        if (search->best[place] <= 0) {
            continue;
        }
        answer->picks[answer->count++] =
            (struct agent_dr_pick){search->order[place], search->best[place]};
        answer->cost_yen += measure->cost_yen * search->best[place];
        for (size_t demand = 0; demand < question->demand_count; demand++) {
            answer->change_kw[demand] +=
                effect_on(measure, question->demands[demand].sites) * search->best[place];
        }
    }
    for (size_t demand = 0; demand < question->demand_count; demand++) {
        double sign = question->demands[demand].change_kw < 0 ? -1 : 1;
        answer->missing_kw[demand] =
            fmax(0, search->need[demand] - sign * answer->change_kw[demand]);
    }
    qsort_r(answer->picks, answer->count, sizeof(answer->picks[0]), pick_order,
            (void *)(uintptr_t)question->measures);
}

static bool search_open(struct search *search, size_t count, size_t demands)
{
    size_t cells = (count + 1) * (demands + 1);

    search->order = calloc(count + 1, sizeof(*search->order));
    search->group = calloc(count + 1, sizeof(*search->group));
    search->help = calloc(cells, sizeof(*search->help));
    search->by_price = calloc(cells, sizeof(*search->by_price));
    search->group_taken = calloc(count + 1, sizeof(*search->group_taken));
    search->share = calloc(count + 1, sizeof(*search->share));
    search->best = calloc(count + 1, sizeof(*search->best));
    return search->order != NULL && search->group != NULL && search->help != NULL &&
           search->by_price != NULL && search->group_taken != NULL && search->share != NULL &&
           search->best != NULL;
}

static void search_close(struct search *search)
{
    free(search->order);
    free(search->group);
    free(search->help);
    free(search->by_price);
    free(search->group_taken);
    free(search->share);
    free(search->best);
}

int agent_dr_respond(const struct agent_dr_question *question, struct agent_dr_answer *answer,
                     struct agent_error *error)
{
    struct search search = {.question = question, .complete = true};
    int status = check(question, error);

    if (status < 0) {
        return status;
    }
    struct priced *list = calloc(question->measure_count + 1, sizeof(*list));
    uint32_t *guests = calloc(question->measure_count + 1, sizeof(*guests));
    if (list == NULL || guests == NULL ||
        !search_open(&search, question->measure_count, question->demand_count)) {
        status = agent_error_set(error, ENOMEM, "no memory to decide about %zu measures",
                                 question->measure_count);
    } else {
        unsigned steps = question->search > 0 ? question->search : AGENT_DR_SEARCH_DEFAULT;
        put_in_order(&search, list);
        group_guests(&search, guests);
        put_prices(&search, list);
        search.steps_left =
            search.count > WIDE ? (unsigned)((uint64_t)steps * WIDE / search.count) : steps;
        greedy(&search);
        branch(&search, 0);
        write_answer(&search, answer);
    }
    search_close(&search);
    free(guests);
    free(list);
    return status;
}

const char *agent_dr_measure_name(enum agent_dr_measure_kind kind)
{
    static const char *const names[] = {"battery", "release", "cap", "restore", "pause", "migrate"};

    return names[kind];
}
