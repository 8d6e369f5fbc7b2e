/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_price.c - spot and imbalance prices with the statistics of fiscal year 2025
 * Kyushu's price follows tightness and the hour; the lowest slots are put on the 0.01 floor and the
 * rest is scaled so that every two-hour block has its mean. Kansai is Kyushu's price, but dearer
 * where the Kanmon line is the limit (sun in Kyushu). Tokyo is Kansai's plus a premium when the
 * converters are full. Hokkaido is Tokyo's unless its cable is full, either way. The shares of
 * equal slots, the floors and the means are exact up to rounding, whatever the seed. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate/synth_parts.h"

#define FLOOR 0.01
#define CAP   80.0

struct ranked {
    double key;
    size_t slot;
};

struct market {
    struct agent_synth *synth;
    struct ranked *list;
    double *gap;
    uint8_t *fixed; /* slots that scaling must not touch: floor or cap */
    size_t n;
};

static int by_key(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;

    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    return left->slot < right->slot ? -1 : left->slot > right->slot;
}

static double cents(double price)
{
    return fmin(fmax(round(price * 100.0) / 100.0, FLOOR + 0.01), CAP);
}

static void rank(struct market *market)
{
    qsort(market->list, market->n, sizeof(*market->list), by_key);
}

/* How much wind and sun an area has for each megawatt of demand. */
static double green(const struct agent_synth *synth, int area, size_t i)
{
    return synth->potential[area][i] / fmax(synth->mw[area][AGENT_DEMAND][i], 1.0);
}

/* Scale what is not fixed so that slots with @block (0..11, -1 = all) have @mean. */
static void scale(struct market *market, double *price, int block, double mean)
{
    for (int pass = 0; pass < 4; pass++) { /* rounding and limits need more than one */
        double fixed = 0.0;
        double free_sum = 0.0;
        size_t count = 0;
        for (size_t i = 0; i < market->n; i++) {
            if (block >= 0 && (int)(i % AGENT_SLOTS_PER_DAY) / 4 != block) {
                continue;
            }
            count++;
            *(market->fixed[i] ? &fixed : &free_sum) += price[i];
        }
        double factor = free_sum > 0.0 ? (mean * (double)count - fixed) / free_sum : 1.0;
        for (size_t i = 0; i < market->n; i++) {
            if (!market->fixed[i] && (block < 0 || (int)(i % AGENT_SLOTS_PER_DAY) / 4 == block)) {
                price[i] = cents(price[i] * factor);
            }
        }
    }
}

static void kyushu(struct market *market, double floor_share)
{
    /* two-hour means; their mean 9.79 is brought to the year's 9.81 */
    static const double block_mean[12] = {9.5, 9.0, 9.7,  10.3, 9.2,  7.0,
                                          5.1, 6.9, 10.6, 14.7, 13.6, 11.9};
    struct agent_synth *synth = market->synth;
    struct agent_random random = agent_random_start(synth->seed, SYNTH_PRICE, 1);
    double *price = synth->price[AGENT_AREA_KYUSHU];
    double day = 0.0;
    double hour = 0.0;

    for (size_t i = 0; i < market->n; i++) {
        if (i % AGENT_SLOTS_PER_DAY == 0) {
            day = 0.8 * day + 0.08 * agent_random_normal(&random);
        }
        hour = 0.85 * hour + 0.035 * agent_random_normal(&random);
        double load = synth->mw[AGENT_AREA_KYUSHU][AGENT_DEMAND][i] /
                      agent_synth_areas[AGENT_AREA_KYUSHU].demand;
        double tight = 0.35 * (load - 1.0) - 0.75 * green(synth, AGENT_AREA_KYUSHU, i);
        price[i] = block_mean[i % AGENT_SLOTS_PER_DAY / 4] * exp(tight + day + hour);
        double cut = synth->mw[AGENT_AREA_KYUSHU][AGENT_PV_CURTAILED][i];
        market->list[i] = (struct ranked){price[i] - 0.02 * cut, i};
    }
    rank(market);
    memset(market->fixed, 0, market->n);
    for (size_t k = 0; k < (size_t)lrint(floor_share * (double)market->n); k++) {
        price[market->list[k].slot] = FLOOR;
        market->fixed[market->list[k].slot] = 1;
    }
    for (int block = 0; block < 12; block++) {
        scale(market, price, block, block_mean[block] * 9.81 / 9.792);
    }
}

/* How wide a gap would be in each slot if there is one: a mood of days and a touch of noise. */
static void smooth_gaps(struct market *market, struct agent_random *random)
{
    double slow = 0.0;

    for (size_t i = 0; i < market->n; i++) {
        slow = 0.997 * slow + 0.027 * agent_random_normal(random);
        market->gap[i] = exp(slow + 0.06 * agent_random_normal(random));
    }
}

/* Add a positive gap to @from in the @split slots of lowest list key; gaps are scaled so that the
 * year's mean of @to is @mean. The others are copies. list must be ranked. */
static void widen(struct market *market, const double *from, double *to, size_t split, double mean,
                  struct agent_random *random)
{
    double gap_sum = 0.0;
    double need = 0.0;

    memcpy(to, from, market->n * sizeof(*to));
    for (size_t k = 0; k < market->n; k++) {
        need += mean - from[k];
    }
    smooth_gaps(market, random);
    for (size_t k = 0; k < split; k++) {
        market->list[k].key = market->gap[market->list[k].slot];
        gap_sum += market->list[k].key;
    }
    for (size_t k = 0; k < split; k++) {
        size_t i = market->list[k].slot;
        double gap = fmax(market->list[k].key * need / gap_sum, 0.02);
        to[i] = fmin(cents(from[i] + gap), CAP - 0.01);
    }
}

/* Choose the @count slots of @from's floor that stay on the floor: those with least @list key among
 * them go first. They become equal slots and cannot be widened: put them at the list's end. */
static void keep_floor(struct market *market, const double *from, size_t count)
{
    size_t kept = 0;

    rank(market);
    for (size_t k = market->n; k-- > 0 && kept < count;) { /* least wish to widen first */
        if (from[market->list[k].slot] <= FLOOR) {
            market->list[k].key = 1e9;
            kept++;
        }
    }
    for (size_t k = 0; k < market->n; k++) { /* the rest of the floor must leave it */
        if (from[market->list[k].slot] <= FLOOR && market->list[k].key < 1e9) {
            market->list[k].key = -1e9;
        }
    }
    rank(market);
}

static void kansai(struct market *market)
{
    struct agent_synth *synth = market->synth;
    struct agent_random random = agent_random_start(synth->seed, SYNTH_PRICE, 2);
    const double *from = synth->price[AGENT_AREA_KYUSHU];
    double *to = synth->price[AGENT_AREA_KANSAI];
    double slow = 0.0;

    for (size_t i = 0; i < market->n; i++) {
        slow = 0.99 * slow + 0.015 * agent_random_normal(&random);
        market->list[i] = (struct ranked){-green(synth, AGENT_AREA_KYUSHU, i) +
                                              0.6 * green(synth, AGENT_AREA_KANSAI, i) + slow,
                                          i};
    }
    keep_floor(market, from, (size_t)lrint(0.016 * (double)market->n));
    size_t split = (size_t)lrint(0.23 * (double)market->n);
    widen(market, from, to, split, 10.65, &random);
    /* now and then Kyushu is the dearer one: a reactor trip, a cable out */
    for (size_t k = 0; k < split; k += 90) {
        size_t i = market->list[k].slot;
        if (from[i] > 2.0) {
            to[i] = cents(from[i] * 0.93);
        }
    }
    for (size_t i = 0; i < market->n; i++) {
        market->fixed[i] = to[i] <= from[i];
    }
    scale(market, to, -1, 10.65);
}

static void tokyo(struct market *market)
{
    struct agent_synth *synth = market->synth;
    struct agent_random random = agent_random_start(synth->seed, SYNTH_PRICE, 3);
    const double *from = synth->price[AGENT_AREA_KANSAI];
    double *to = synth->price[AGENT_AREA_TOKYO];
    double slow = 0.0;

    for (size_t i = 0; i < market->n; i++) {
        slow = 0.997 * slow + 0.009 * agent_random_normal(&random);
        double hour = (double)(i % AGENT_SLOTS_PER_DAY) / 2.0;
        double evening = 0.35 * exp(-pow((hour - 18.0) / 3.0, 2.0));
        market->list[i] =
            (struct ranked){slow + 0.6 * green(synth, AGENT_AREA_TOKYO, i) - evening, i};
    }
    keep_floor(market, from, (size_t)lrint(0.006 * (double)market->n));
    widen(market, from, to, (size_t)lrint(0.62 * (double)market->n), 12.45, &random);
    /* three half hours of scarcity: the tightest winter evening */
    size_t tightest = 0;
    for (size_t i = 0; i < market->n; i++) {
        size_t in_day = i % AGENT_SLOTS_PER_DAY;
        const int32_t *demand = synth->mw[AGENT_AREA_TOKYO][AGENT_DEMAND];
        if (in_day == 35 && i > market->n / 2 && demand[i] > demand[tightest]) {
            tightest = i;
        }
    }
    for (size_t k = 0; k < 3 && tightest + k < market->n; k++) {
        to[tightest + k] = CAP;
    }
    memset(market->fixed, 0, market->n);
    for (size_t i = 0; i < market->n; i++) {
        market->fixed[i] = to[i] <= FLOOR || to[i] >= CAP || to[i] == from[i];
    }
    scale(market, to, -1, 12.45);
}

static void hokkaido(struct market *market)
{
    struct agent_synth *synth = market->synth;
    struct agent_random random = agent_random_start(synth->seed, SYNTH_PRICE, 4);
    const double *from = synth->price[AGENT_AREA_TOKYO];
    double *to = synth->price[AGENT_AREA_HOKKAIDO];
    size_t cheaper = (size_t)lrint(0.36 * (double)market->n);
    size_t dearer = (size_t)lrint(0.13 * (double)market->n);
    size_t floor_more = (size_t)lrint(0.021 * (double)market->n);
    double slow = 0.0;

    memcpy(to, from, market->n * sizeof(*to));
    memset(market->fixed, 1, market->n);
    for (size_t i = 0; i < market->n; i++) {
        slow = 0.997 * slow + 0.015 * agent_random_normal(&random);
        double hour = (double)(i % AGENT_SLOTS_PER_DAY) / 2.0;
        double noon = 0.3 * exp(-pow((hour - 12.0) / 4.0, 2.0));
        double evening = 0.3 * exp(-pow((hour - 18.5) / 3.0, 2.0));
        double key = slow - noon + evening - 0.4 * green(synth, AGENT_AREA_HOKKAIDO, i);
        bool stay = from[i] <= FLOOR || from[i] >= CAP;
        market->list[i] = (struct ranked){stay ? 0.0 : key + (key > 0.0 ? 1.0 : -1.0), i};
    }
    rank(market);
    smooth_gaps(market, &random);
    for (size_t k = 0; k < dearer; k++) { /* short of power: the far end of the list */
        size_t i = market->list[market->n - 1 - k].slot;
        to[i] = fmin(cents(from[i] * (1.0 + 0.2 * market->gap[i]) + 0.5), CAP - 1);
    }
    for (size_t k = 0; k < cheaper; k++) {
        size_t i = market->list[k].slot;
        bool floor_now = k < floor_more;
        to[i] = floor_now ? FLOOR : cents(from[i] * exp(-0.3 * market->gap[i]));
        market->fixed[i] = floor_now ? 1 : 0;
    }
    for (int pass = 0; pass < 8; pass++) {
        scale(market, to, -1, 11.70);
        for (size_t k = floor_more; k < cheaper; k++) { /* cheaper must stay cheaper */
            size_t i = market->list[k].slot;
            to[i] = fmin(to[i], fmax(from[i] - 0.01, FLOOR + 0.01));
        }
    }
}

/* Areas nobody gave figures for: with their neighbours, apart in some slots. */
static void others(struct market *market)
{
    struct agent_synth *synth = market->synth;
    struct agent_random random = agent_random_start(synth->seed, SYNTH_PRICE, 5);
    double **price = synth->price;
    double mood[3] = {0, 0, 0};

    for (size_t i = 0; i < market->n; i++) {
        for (int k = 0; k < 3; k++) {
            mood[k] = 0.995 * mood[k] + 0.0999 * agent_random_normal(&random);
        }
        double west = price[AGENT_AREA_KANSAI][i];
        price[AGENT_AREA_TOHOKU][i] =
            mood[0] > 0.4 ? price[AGENT_AREA_HOKKAIDO][i] : price[AGENT_AREA_TOKYO][i];
        price[AGENT_AREA_CHUBU][i] = mood[1] > 1.0 ? price[AGENT_AREA_TOKYO][i] : west;
        price[AGENT_AREA_HOKURIKU][i] = west;
        price[AGENT_AREA_CHUGOKU][i] = mood[1] < -0.8 ? price[AGENT_AREA_KYUSHU][i] : west;
        double low = green(synth, AGENT_AREA_SHIKOKU, i) > 0.6 && mood[2] > 0.0 ? 0.71 : 1.0;
        price[AGENT_AREA_SHIKOKU][i] =
            low < 1.0 && west > 0.05 ? cents(west * low) : price[AGENT_AREA_CHUGOKU][i];
    }
}

/* System price: what one market without lines would pay, near the volume-weighted mean. Imbalance
 * price: spot plus what the area was short of its own forecast, never below the floor. */
static void system_and_imbalance(struct market *market)
{
    struct agent_synth *synth = market->synth;
    struct agent_random random = agent_random_start(synth->seed, SYNTH_PRICE, 6);
    double shock = 0.0;

    for (size_t i = 0; i < market->n; i++) {
        double paid = 0.0;
        double volume = 0.0;
        for (int area = 1; area < AGENT_AREA_OKINAWA; area++) {
            double demand = synth->mw[area][AGENT_DEMAND][i];
            paid += synth->price[area][i] * demand;
            volume += demand;
        }
        synth->system_price[i] = cents(paid / volume);
        shock = 0.6 * shock + 0.12 * agent_random_normal(&random);
        for (int area = 1; area < AGENT_AREA_COUNT; area++) {
            double demand = synth->mw[area][AGENT_DEMAND][i];
            double shortage = (demand - synth->outlook_demand[area][i]) / fmax(demand, 1.0);
            double spot =
                area == AGENT_AREA_OKINAWA ? synth->system_price[i] : synth->price[area][i];
            double factor = exp(fmin(shock + 6.0 * shortage, 1.0));
            synth->imbalance[area][i] = spot <= FLOOR ? FLOOR : cents(spot * factor);
        }
    }
}

int agent_synth_prices(struct agent_synth *synth)
{
    struct market market = {.synth = synth, .n = synth->slots};
    int result = -ENOMEM;

    market.list = calloc(market.n, sizeof(*market.list));
    market.gap = calloc(market.n, sizeof(*market.gap));
    market.fixed = calloc(market.n, 1);
    if (market.list != NULL && market.gap != NULL && market.fixed != NULL) {
        kyushu(&market, 0.056);
        kansai(&market);
        tokyo(&market);
        hokkaido(&market);
        others(&market);
        system_and_imbalance(&market);
        result = 0;
    }
    free(market.list);
    free(market.gap);
    free(market.fixed);
    return result;
}
