/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signals.h - what the signals subcommands share: options, JSON of a batch, text tables
 * Owner: none.   Thread: main.   Time: context.   Units: see grid/series.h. */
#ifndef AGENT_CLI_SIGNALS_H
#define AGENT_CLI_SIGNALS_H

#include <jansson.h>

#include "cli/command.h"
#include "cli/config.h"

#define SIGNALS_AREAS "hokkaido tohoku tokyo chubu hokuriku kansai chugoku shikoku kyushu okinawa"

extern const struct agent_command signals_import;
extern const struct agent_command signals_show;
extern const struct agent_command signals_watch;
extern const struct agent_command signals_calibrate;

/** struct signals_tally - points and how many carry each doubt */
struct signals_tally {
    size_t points;
    size_t usable;
    uint32_t flags; /* all that occur */
};

struct signals_tally signals_tally(const struct agent_series *series);

/** signals_series_json() - a new reference; with @points also every point */
json_t *signals_series_json(const struct agent_series *series, bool points);

/** signals_batch_json() - source, format, digest, series */
json_t *signals_batch_json(const struct agent_batch *batch, bool points);

/** signals_print_series() - one line for people: key, points, usable, range of values, doubts */
void signals_print_series(FILE *out, const struct agent_series *series);

/** signals_answer() - print and release one JSON document. Return: AGENT_EXIT_OK or _SYSTEM. */
int signals_answer(struct agent_context *context, json_t *answer);

/** signals_open_store() - the configuration and its store; --store PATH wins
 * Return: AGENT_EXIT_OK, or the exit code after the message. */
int signals_open_store(struct agent_context *context, const char *path, struct agent_config *config,
                       struct agent_store **store);

#endif
