/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan.c - `apn-rdma plan`: what a path needs of queue pairs, depth, buffers and timers (docs/rdma-sizing.md)
 * Owner: main.   Thread: main.   Time: none.   Units: as its options say. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apnmig/rdma_plan.h>

#include "rdma.h"

static const struct option options[] = {
    {"rate", required_argument, NULL, 'r'},        {"rtt", required_argument, NULL, 't'},
    {"extent", required_argument, NULL, 'e'},      {"lanes", required_argument, NULL, 'l'},
    {"mtu", required_argument, NULL, 'm'},         {"max-qp-wr", required_argument, NULL, 'w'},
    {"message-rate", required_argument, NULL, 's'}, {"packets-per-qp", required_argument, NULL, 'p'},
    {"timeout", required_argument, NULL, 'o'},     {"ipv6", no_argument, NULL, '6'},
    {"json", no_argument, NULL, 'j'},              {NULL, 0, NULL, 0},
};

/* a number of at least 0, and nothing behind it. Return: 0, -EINVAL with a message. */
static int number(const char *name, const char *text, double scale, double max, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= 0) || value > max) {
        fprintf(stderr, "apn-rdma: --%s %s: must be a number 0..%g\n", name, text, max);
        return -EINVAL;
    }
    *out = value * scale;
    return 0;
}

static int take(int c, const char *text, struct apn_rdma_path *path)
{
    double value = 0;
    int ret;

    switch (c) {
    case 'r':
        ret = number("rate", text, 1e9 / 8, 2000, &value);
        path->rate_bytes_per_s = (uint64_t)value;
        return ret;
    case 't':
        ret = number("rtt", text, 1e6, 2000, &value);
        path->rtt_ns = (uint64_t)value;
        return ret;
    case 'e':
        ret = number("extent", text, 1024, 256, &value);
        path->page_bytes = (uint32_t)value;
        return ret;
    case 'l':
        ret = number("lanes", text, 1, 32, &value);
        path->lanes = (uint32_t)value;
        return ret;
    case 'm':
        ret = number("mtu", text, 1, 4096, &value);
        path->mtu_bytes = (uint32_t)value;
        return ret;
    case 'w':
        ret = number("max-qp-wr", text, 1, 1e9, &value);
        path->max_qp_wr = (uint32_t)value;
        return ret;
    case 's':
        ret = number("message-rate", text, 1e6, 1e6, &value);
        path->messages_per_s = (uint64_t)value;
        return ret;
    case 'p':
        ret = number("packets-per-qp", text, 1, 1 << 23, &value);
        path->packets_per_qp = (uint32_t)value;
        return ret;
    default:
        ret = number("timeout", text, 1000, 600, &value);
        path->timeout_ms = (uint32_t)value;
        return ret;
    }
}

static void print_words(const struct apn_rdma_plan *p)
{
    printf("bandwidth-delay product  %.1f MB, window %.1f MB\n", (double)p->bdp_bytes / 1e6, (double)p->window_bytes / 1e6);
    printf("queue pairs (lanes)      %u\n", p->lanes);
    printf("send queue of each       %u requests, one in %u signalled; %llu in flight fill the window\n", p->depth,
           p->signal_every, (unsigned long long)p->requests_in_flight);
    printf("receive slots of each    %u of %u bytes\n", p->slots, p->slot_bytes);
    printf("locked memory            %.1f MiB a lane and end, and guest memory\n", (double)p->lane_memory_bytes / (1 << 20));
    printf("acknowledgement timeout  %.1f ms (code %u), %u retries; RNR timer code %u\n",
           0.004096 * (double)(1ull << p->ack_timeout), p->ack_timeout, p->retries, p->rnr_timer);
    printf("guest memory             %.1f Gb/s, bounded by %s\n", (double)p->goodput_bytes_per_s * 8e-9,
           apn_rdma_bound_name(p->bound));
}

static void print_json(const struct apn_rdma_plan *p)
{
    printf("{\"lanes\": %u, \"depth\": %u, \"signal_every\": %u, \"slots\": %u, \"slot_bytes\": %u, \"cq_entries\": %u, "
           "\"ack_timeout\": %u, \"retries\": %u, \"rnr_timer\": %u, \"bdp_bytes\": %llu, \"window_bytes\": %llu, "
           "\"requests_in_flight\": %llu, \"lane_memory_bytes\": %llu, \"goodput_gbps\": %.3f, \"bound\": \"%s\"}\n",
           p->lanes, p->depth, p->signal_every, p->slots, p->slot_bytes, p->cq_entries, p->ack_timeout, p->retries,
           p->rnr_timer, (unsigned long long)p->bdp_bytes, (unsigned long long)p->window_bytes,
           (unsigned long long)p->requests_in_flight, (unsigned long long)p->lane_memory_bytes,
           (double)p->goodput_bytes_per_s * 8e-9, apn_rdma_bound_name(p->bound));
}

int rdma_plan(int argc, char **argv)
{
    struct apn_rdma_path path = {.rate_bytes_per_s = 12500000000ull, .rtt_ns = 6000000};
    struct apn_rdma_plan plan;
    struct apn_error err = {0};
    bool json = false;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'j') {
            json = true;
        } else if (c == '6') {
            path.ipv6 = true;
        } else if (c == '?' || take(c, optarg, &path)) {
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "apn-rdma: plan takes options only, got '%s'\n", argv[optind]);
        return 2;
    }
    if (apn_rdma_plan(&path, &plan, &err)) {
        fprintf(stderr, "apn-rdma: %s\n", err.text);
        return 1;
    }
    json ? print_json(&plan) : print_words(&plan);
    return 0;
}
