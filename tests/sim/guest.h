/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.h - a guest that writes to its memory, and the dirty bitmaps a hypervisor keeps of it
 * Owner: embedded in the simulation.   Thread: one.   Time: argument.   Units: bytes, ns, pages of
 * 4 KiB. Two bitmaps, as in QEMU: the log that every write sets, and the one that rounds send from;
 * a sync moves one into the other. */
#ifndef TESTS_SIM_GUEST_H
#define TESTS_SIM_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <apnmig/session.h>

enum guest_pattern { GUEST_IDLE, GUEST_UNIFORM, GUEST_HOT, GUEST_SEQUENTIAL };

struct guest_model {
    uint64_t bytes;
    bool real_memory; /* contents are moved and compared */
    enum guest_pattern pattern;
    uint64_t dirty_bytes_per_s;
    uint64_t hot_bytes; /* GUEST_HOT: nine of ten writes go here */
};

struct guest {
    struct guest_model model;
    uint8_t *memory; /* NULL: imagined */
    uint64_t pages, granules;
    uint64_t *log, *dirty;   /* bit per page */
    uint16_t *granule_dirty; /* bits of @dirty per granule */
    uint64_t dirty_pages;
    uint64_t log_pages;
    uint64_t random;
    uint64_t ran_until_ns;
    uint64_t next_page; /* GUEST_SEQUENTIAL */
    double due;         /* pages, fraction carried on */
    bool running;
};

int guest_init(struct guest *guest, const struct guest_model *model, uint64_t seed,
               uint64_t now_ns);
void guest_done(struct guest *guest);
/** guest_run() - everything the guest writes until @now_ns */
void guest_run(struct guest *guest, uint64_t now_ns);
void guest_sync(struct guest *guest);
/** guest_take() - first dirty run of a granule at or after @page; its bits are cleared. Return:
 * pages, 0 = none. */
uint32_t guest_take(struct guest *guest, uint64_t granule, uint32_t from, struct apn_run *run);
/** guest_give_back() - a run that was not accepted */
void guest_give_back(struct guest *guest, const struct apn_run *run);
uint64_t sim_random(uint64_t *state);

#endif
