/* SPDX-License-Identifier: GPL-2.0-or-later */
/* params.h - what the guest was asked to do, from its kernel command line
 * Owner: the workload.  Thread: one.  Time: none.  Units: MiB, MiB/s. */
#ifndef APN_BENCH_GUEST_PARAMS_H
#define APN_BENCH_GUEST_PARAMS_H

#include <stddef.h>
#include <stdint.h>

#include "order.h"

struct guest_params {
    uint64_t mib;    /* apn.mib: memory to fill */
    uint64_t hot;    /* apn.hot: the first so many MiB are rewritten; 0..mib */
    uint64_t rate;   /* apn.rate: MiB/s of rewriting; 0 = idle */
    uint64_t verify; /* apn.verify: MiB/s of checking; 0 = only when asked */
    uint64_t seed;   /* apn.seed */
    uint64_t kv;     /* apn.kv: requests/s to the key-value server that init started; 0 = none */
    uint64_t kv_mib; /* apn.kv_mib: values to store in it */
    enum guest_order order; /* apn.order */
};

/** guest_params_parse() - find the apn.* words of a command line
 * @text: receives a message that names the word and the limit
 * Return: 0, or -EINVAL with @text set. */
int guest_params_parse(struct guest_params *params, const char *line, char *text, size_t text_bytes);

/** guest_number() - a decimal number
 * Return: 0, or -EINVAL when it is none or larger than @max. */
int guest_number(const char *word, uint64_t max, uint64_t *value);

#endif
