/* SPDX-License-Identifier: GPL-2.0-or-later */
/* instant.h - instants and durations as OpenADR writes them (RFC 3339, ISO 8601)
 * Owner: plain values.              Thread: any, no shared state, no TZ lookups.
 * Time:  always passed in.          Units:  ms since 1970 UTC, ms.
 *
 * Milliseconds, not seconds: a ten-second answer is measured with them. */
#ifndef AGENT_DR_INSTANT_H
#define AGENT_DR_INSTANT_H

#include <stdint.h>

#include "support/error.h"

#define AGENT_DR_NOW_MS     INT64_MIN          /* "0001-01-01": the moment the event is received */
#define AGENT_DR_FOREVER_MS (INT64_C(1) << 52) /* "P9999Y" and every end after 2100 */
#define AGENT_DR_DURATION_MAX_MS                                                                   \
    (INT64_C(3660) * 86400 * 1000) /* ten years, else it is for ever                               \
                                    */
#define AGENT_DR_TIME_TEXT_SIZE 40

/** agent_dr_time_parse() - "2026-04-02T04:00:00.250Z" or with +09:00; years 2000..2099
 * "0001-01-01" and "0001-01-01T00:00:00[Z]" give AGENT_DR_NOW_MS (OpenADR User Guide 7.3).
 * Return: 0, or -EINVAL saying what was found. */
int agent_dr_time_parse(const char *text, int64_t *time_ms, struct agent_error *error);

/** agent_dr_duration_parse() - "PT4H", "P1DT30M", "PT0.5S"; with a sign only if @negative_too
 * Years and months have no fixed length and are refused, except "P9999Y" = AGENT_DR_FOREVER_MS.
 * Return: 0, or -EINVAL saying what was found. */
int agent_dr_duration_parse(const char *text, int negative_too, int64_t *duration_ms,
                            struct agent_error *error);

/** agent_dr_time_format() - "2026-04-02T04:00:00.250Z"; "always" for AGENT_DR_FOREVER_MS and later
 * @out: AGENT_DR_TIME_TEXT_SIZE bytes. Return: @out. */
const char *agent_dr_time_format(int64_t time_ms, char *out);

/** agent_dr_duration_format() - "PT1H30M" with milliseconds where needed, "P9999Y" for ever */
const char *agent_dr_duration_format(int64_t duration_ms, char *out);

/** agent_dr_ends() - @start_ms + @duration_ms without overflow; for ever stays for ever */
int64_t agent_dr_ends(int64_t start_ms, int64_t duration_ms);

#endif
