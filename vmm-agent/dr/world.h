/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world.h - what demand response sees and what it can do, apart from how
 * Owner: whoever implements the ops.   Thread: the loop's.
 * Time:  none.                         Units:  kW at the site's meter (PUE included), yen, s.
 *
 * The acting agent is one world (world_act.c), a simulated site another: the answer to an event is
 * tested over thousands of events without a single guest. */
#ifndef AGENT_DR_WORLD_H
#define AGENT_DR_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

#define AGENT_DR_GUESTS_MAX 4096

enum {
    AGENT_DR_MAY_CAP = 1 << 0,
    AGENT_DR_MAY_PAUSE = 1 << 1,
    AGENT_DR_MAY_MOVE = 1 << 2,
};

/** struct agent_dr_guest - one guest now
 * @site: index, -1 = not known or absent. @power_kw: what it draws, at its site's meter
 * @pue: of its site; @may: what its group allows; @fixed: must not be touched now
 * @paused, @capped: by us. @moving: on its way; @armed_site: a copy waits there converged, -1 =
 * none
 * @arming_site: a copy is being made there to be held, -1 = none
 * @dest_sites: bit per site that could take it now; @wanted_site: the plan's, -1 = none
 * @move_s: how long a move would take. @yen_per_hour: what its work is worth; @yen_per_move */
struct agent_dr_guest {
    const char *name;
    int site;
    int armed_site;
    int arming_site;
    int wanted_site;
    unsigned may;
    bool fixed;
    bool paused;
    bool capped;
    bool moving;
    double power_kw;
    double pue;
    uint64_t dest_sites;
    double move_s;
    double yen_per_hour;
    double yen_per_move;
};

/** struct agent_dr_cell - a site's battery
 * @give_kw, @take_kw: what it can give to or take from the site, seen at the site's meter
 * @held_kwh, @full_kwh: above the lowest level allowed; 0 without a battery
 * @yen_per_kwh: wear and loss of what goes through it. @set_kw: what it was told last; negative =
 * it gives, as everything that lowers the draw */
struct agent_dr_cell {
    double give_kw;
    double take_kw;
    double held_kwh;
    double full_kwh;
    double yen_per_kwh;
    double set_kw;
};

/** struct agent_dr_world - ops; sites and guests by index
 * @measure:  the site's power now; *@sigma_kw its uncertainty. NAN = not known
 * @room_kw:  how much more it may draw
 * @cap:      @share 1 lifts it. @move: queues it urgently
 * @lean:     less (-1), more (1) or nothing (0) is asked of @site now; NULL: nobody else moves anything
 * All actions return 0 or -errno with the reason; they begin at once and end later. */
struct agent_dr_world {
    size_t (*guests)(void *opaque);
    void (*guest)(void *opaque, size_t index, struct agent_dr_guest *out);
    void (*cell)(void *opaque, size_t site, struct agent_dr_cell *out);
    double (*measure)(void *opaque, size_t site, double *sigma_kw);
    double (*room_kw)(void *opaque, size_t site);
    int (*pause)(void *opaque, size_t guest, bool on, struct agent_error *error);
    int (*cap)(void *opaque, size_t guest, double share, struct agent_error *error);
    int (*release)(void *opaque, size_t guest, struct agent_error *error);
    int (*move)(void *opaque, size_t guest, size_t site, double benefit_yen,
                struct agent_error *error);
    int (*arm)(void *opaque, size_t guest, int site, struct agent_error *error); /* -1 = disarm */
    int (*charge)(void *opaque, size_t site, double set_kw, struct agent_error *error);
    void (*lean)(void *opaque, size_t site, int direction);
};

#endif
