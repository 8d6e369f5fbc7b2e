/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frequency.h - primary reserve: how much more or less power the frequency asks for
 * Owner: struct agent_dr_droop and struct agent_dr_meter, embedded.   Thread: the loop's.
 * Time:  monotonic now_ns from the caller; a meter file's age against the real clock.
 * Units: Hz, kW, ns.
 *
 * A straight line outside a deadband: nothing within +-deadband, all at +-full, in between in
 * proportion. Low frequency: draw less (negative kW). An answer grows at once and goes back only
 * after
 * @hold_s of a calmer frequency, so that guests are not stopped and started by every swing. */
#ifndef AGENT_DR_FREQUENCY_H
#define AGENT_DR_FREQUENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"
#include "support/yaml.h"

#define AGENT_DR_METER_POLL_MS  100
#define AGENT_DR_METER_TEXT_MAX 128

/** struct agent_dr_droop_settings - section `dr.frequency`
 * @meter:      "unix:PATH" (datagrams, one reading each) or the path of a file that is rewritten;
 *              NULL = no frequency is followed
 * @down_kw:    drawn less at @full_hz below; @up_kw: drawn more at @full_hz above; 0 = not offered
 * @step_kw:    smaller changes of the answer are not worth an action
 * @hold_s, @stale_s: a calmer answer waits; a reading older than this is none
 * @priority:   of the answer among other events, 0 = highest */
struct agent_dr_droop_settings {
    const char *meter;
    double nominal_hz;
    double deadband_hz;
    double full_hz;
    double down_kw;
    double up_kw;
    double step_kw;
    double hold_s;
    double stale_s;
    double priority;
    const struct agent_yaml *sites; /* list of site names; absent = all */
};

/** struct agent_dr_droop - @answer_kw: what is asked now, negative = draw less */
struct agent_dr_droop {
    struct agent_dr_droop_settings settings;
    double hz; /* 0 = none yet */
    double answer_kw;
    bool stale;
    int64_t read_ns;
    int64_t calmer_ns; /* since when the frequency asks for less than @answer_kw, 0 = it does not */
};

/** agent_dr_droop_settings_read() - @section: dr.frequency, NULL = nothing is followed
 * Return: 0, or -EINVAL/-ENOENT with file, line and column. */
int agent_dr_droop_settings_read(const struct agent_yaml *section,
                                 struct agent_dr_droop_settings *settings,
                                 struct agent_error *error);

/** agent_dr_droop_kw() - the line: kW asked for at @hz; pure */
double agent_dr_droop_kw(const struct agent_dr_droop_settings *settings, double hz);

/** agent_dr_droop_take() - a reading of the meter
 * Return: 1 @answer_kw changed, 0 it did not. */
int agent_dr_droop_take(struct agent_dr_droop *droop, double hz, int64_t now_ns);

/** agent_dr_droop_tick() - time passes without a reading: an answer given for a frequency that
 * nobody measures any more goes back after @hold_s
 * Return: 1 @answer_kw changed, 0 it did not. */
int agent_dr_droop_tick(struct agent_dr_droop *droop, int64_t now_ns);

/** agent_dr_frequency_parse() - "49.987" with white space around; within 10 % of @nominal_hz
 * Return: 0 or -EINVAL. */
int agent_dr_frequency_parse(const char *text, double nominal_hz, double *hz,
                             struct agent_error *error);

/** struct agent_dr_meter - where readings come from. @fd: to watch, -1 = poll the file */
struct agent_dr_meter {
    const char *path;
    bool is_socket;
    int fd;
    int64_t seen_ns; /* time stamp of the file's content read last, real clock */
};

/** agent_dr_meter_open() - @meter as in the settings, borrowed; a socket is made with mode 0660
 * Return: 0, -ENAMETOOLONG, -errno of the socket. A file need not be there yet. */
int agent_dr_meter_open(struct agent_dr_meter *meter, const char *where, struct agent_error *error);

/** agent_dr_meter_read() - the newest reading
 * Return: 1 with *@hz; 0 nothing new; -EINVAL no frequency in it; -errno of reading. */
int agent_dr_meter_read(struct agent_dr_meter *meter, double nominal_hz, double *hz,
                        struct agent_error *error);

/** agent_dr_meter_close() - also removes the socket; a meter that never opened is fine */
void agent_dr_meter_close(struct agent_dr_meter *meter);

#endif
