/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_world.h - a small, obedient world for demand response: a paused guest draws nothing at
 * once, a released copy runs elsewhere after 0.3 s, a move takes its time Owner: one for the
 * process.   Thread: one.   Time: virtual, a loop of its own.   Units: kW, s. */
#ifndef VMM_AGENT_TESTS_DR_ENGINE_WORLD_H
#define VMM_AGENT_TESTS_DR_ENGINE_WORLD_H

#include "dr/dr.h"

#define START_S 1775102400.0
#define GUESTS  6

struct engine_guest {
    struct agent_dr_guest seen;
    int64_t arrives_ns; /* 0 = does not move */
    int goes_to;
    bool refuses;
};

extern struct engine_world {
    struct agent_clock clock;
    struct agent_loop *loop;
    struct agent_dr *dr;
    struct agent_dr_settings settings;
    struct engine_guest guests[GUESTS];
    struct agent_dr_cell cells[2];
    double other_kw[2]; /* draw that no guest causes */
    int commands;
    int lean[2];
    unsigned told;
} engine_world;

extern const struct agent_dr_world engine_ops;
extern const struct agent_dr_hooks engine_hooks;

int engine_setup(void **state); /* of each test */
int engine_teardown(void **state);
void engine_start(void);          /* demand response, in the world as it is now */
void engine_pass(double seconds); /* of virtual time */
int64_t engine_now_ns(void);
double engine_power(size_t site); /* kW */
/* a number of an answer, newest state; 0 where it is null */
double engine_answer_number(const char *key, size_t index);
/* one command; takes @args. Return: the reply, the caller's */
json_t *engine_command(int (*fn)(struct agent_dr *, const json_t *, json_t **,
                                 struct agent_error *),
                       json_t *args);

#endif
