/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_rig.h - two sessions and a path in virtual time, for tests of the engine
 * Owner: the test (rig_new/rig_free).   Time: the loop world's, moved by rig_run().   Thread: one. */
#ifndef ENGINE_RIG_H
#define ENGINE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <apnmig/apnmig.h>

#include "backend/loop/loop.h"

#define RIG_MS 1000000ull

struct rig_options {
    unsigned lanes;             /* 0: 2 */
    enum apn_commit commit;
    uint64_t ram_bytes;         /* 0: 8 MiB */
    uint64_t dest_ram_bytes;    /* 0: the same */
    const char *source_secret, *dest_secret;
    const char *source_filters, *dest_filters;
    uint64_t rate_bytes_per_s;  /* 0: 312500000 */
};

struct rig {
    struct rig_options options;
    struct apn_loop_world *world;
    struct apn_session *source, *dest;
    uint8_t *source_ram, *dest_ram;
    struct apn_error error;     /* of the last call that failed */
    uint64_t next_post;
    uint64_t seed;
    char dest_got[64];
    int dest_step;              /* what the destination's program has done, see rig.c */
    bool dest_refuses;          /* its device state does not load */
    bool dest_holds;            /* it does not answer after loading */
};

struct rig *rig_new(const struct rig_options *options);
void rig_free(struct rig *rig);
/** rig_source_new() - another source session for the same listener; caller frees */
struct apn_session *rig_source_new(struct rig *rig);
/** rig_run() - let time pass until @done says so, at most @ms. Return: whether it did */
bool rig_run(struct rig *rig, bool (*done)(struct rig *rig), uint64_t ms);
uint64_t rig_now(struct rig *rig);
/** rig_connect(), rig_setup(), rig_send_all(), rig_switchover() - the usual way, step by step; each asserts its success */
void rig_connect(struct rig *rig);
void rig_setup(struct rig *rig);
void rig_send_all(struct rig *rig);
void rig_switchover(struct rig *rig);
bool rig_over(struct rig *rig);
bool rig_both_over(struct rig *rig);
/** rig_kill_dest() - the destination's process dies without a word */
void rig_kill_dest(struct rig *rig);

#endif
