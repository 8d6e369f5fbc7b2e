/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats.h - what a session measured so far
 * Owner: the caller.   Thread: a consistent copy, taken under the session lock.
 * Units: in the names. Counters never decrease. */
#ifndef APNMIG_STATS_H
#define APNMIG_STATS_H

#include <stdint.h>

#define APN_LANES_MAX 32u

struct apn_lane_stats {
    uint64_t posted_bytes;     /* wire bytes handed to the link */
    uint64_t applied_bytes;    /* wire bytes the peer has applied */
    uint64_t in_flight_bytes;  /* posted, not yet applied */
    uint64_t queued_bytes;     /* guest bytes accepted, not yet posted */
    uint64_t rtt_ns;           /* last sample, post to applied report */
    uint32_t reconnects;       /* times the lane was opened again */
    uint8_t up;                /* 1 while the link carries messages */
};

struct apn_stats {
    char backend[16];
    char send_mode[24];        /* how payload leaves: "copy", "zero-copy", ... */
    uint32_t lanes;
    uint64_t rtt_min_ns;       /* smallest post-to-applied time: the path itself; 0 unknown */
    uint64_t rate_bytes_per_s; /* delivered rate, maximum over the last round trips; 0 unknown */
    uint64_t window_bytes;     /* limit for bytes in flight now */
    uint64_t in_flight_bytes;
    uint64_t queued_bytes;
    uint64_t posted_bytes;     /* wire bytes, headers included */
    uint64_t applied_bytes;
    uint64_t guest_bytes;      /* guest memory described by posted extents */
    uint64_t data_pages;       /* 4 KiB pages posted with their contents */
    uint64_t zero_pages;       /* 4 KiB pages posted as zero descriptors */
    uint64_t resent_bytes;     /* guest bytes posted again because a lane was lost */
    uint64_t zerocopy_bytes;   /* payload sent without a copy, as the kernel reported it */
    uint64_t copied_bytes;     /* payload asked to go zero-copy that the kernel copied after all */
    uint64_t requests;               /* rdma: work requests so far */
    uint64_t requests_in_flight_max; /* rdma: most of them at once */
    uint64_t registered_bytes;       /* rdma: guest memory known to the adapter */
    uint64_t registrations;
    uint64_t registrations_late;     /* after the first page had moved: none is expected */
    uint64_t stream_bytes;     /* bytes of the main stream posted */
    uint64_t prefault_granules;/* destination: populated ahead of arrival */
    uint64_t postcopy_requests;/* pages that the guest waited for: asked for (destination), or heard of (source) */
    uint64_t postcopy_urgent;  /* of these, sent ahead of their turn (source); the others were on their way, or read */
    uint64_t postcopy_reads;   /* of these, read by the destination itself: placed (destination), announced (source) */
    uint32_t lanes_lost;       /* link losses */
    uint32_t fences;           /* fences applied by the peer (source) or here (destination) */
    struct apn_lane_stats lane[APN_LANES_MAX];
};

/**
 * struct apn_prediction - what the guest's dark time would be if it stopped now; all in ns
 * @total_ns is the sum of the others. Basis: (unapplied in flight + queued + remaining dirty + device state) /
 * delivered rate + half a round trip + fixed costs (stop, save, load).
 */
struct apn_prediction {
    uint64_t flight_ns;   /* bytes in flight and queued now */
    uint64_t residue_ns;  /* dirty pages not handed over yet */
    uint64_t state_ns;    /* device state */
    uint64_t path_ns;     /* half a round trip (safe commit: one and a half) */
    uint64_t fixed_ns;    /* stop + save + load */
    uint64_t total_ns;
};

#endif
