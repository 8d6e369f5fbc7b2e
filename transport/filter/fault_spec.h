/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fault_spec.h - FAULT of the grammar in filter.h, parsed
 * Owner: embedded in the fault filter.   Thread: constant after parsing.   Units: bytes, ns. */
#ifndef APN_FILTER_FAULT_SPEC_H
#define APN_FILTER_FAULT_SPEC_H

#include <apnmig/backend.h>

enum fault_where { FAULT_TX, FAULT_RX, FAULT_LANE, FAULT_ALL };

#define FAULT_EVERY   0u /* N was '*' */
#define FAULT_FOREVER UINT64_MAX

struct fault_spec {
    enum fault_where where;
    uint8_t type;         /* TX, RX; 0 = any */
    uint64_t nth;         /* TX, RX; from 1, or FAULT_EVERY */
    uint16_t lane;        /* LANE */
    bool stall;           /* else the link dies */
    uint64_t outage_ns;   /* nothing is opened again for that long; FAULT_FOREVER */
    uint64_t after_bytes; /* LANE, ALL; 0 = at once */
    uint64_t at_ns;       /* LANE, ALL; 0 = at once */
    double p;             /* 0 = certain, once */
    uint64_t seed;
};

/** fault_spec_parse() - Return: 0, or -EINVAL and @err names the part, its value and what is
 * allowed */
int fault_spec_parse(const char *text, struct fault_spec *out, struct apn_error *err);

#endif
