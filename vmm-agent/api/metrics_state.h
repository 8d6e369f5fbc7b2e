/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics_state.h - the state document as gauges; and the few words of the text format
 * Owner: none, pure functions on a stream.   Thread: any.
 * Time:  none.                               Units:  base units out (W, J, bytes, s, ratios). */
#ifndef AGENT_API_METRICS_STATE_H
#define AGENT_API_METRICS_STATE_H

#include <jansson.h>
#include <stdio.h>

/** agent_metrics_write_state() - every gauge that @state has a number for; NULL writes nothing */
void agent_metrics_write_state(FILE *out, const json_t *state);

/** agent_metrics_family() - the HELP and TYPE lines that stand before the samples of @name */
void agent_metrics_family(FILE *out, const char *name, const char *type, const char *help);

/** agent_metrics_label() - a label's value, escaped */
void agent_metrics_label(FILE *out, const char *text);

/** agent_metrics_value() - " VALUE\n" */
void agent_metrics_value(FILE *out, double value);

#endif
