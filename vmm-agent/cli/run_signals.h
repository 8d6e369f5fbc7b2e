/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_signals.h - the configured sources into the store while the agent runs, on a thread of its
 * own Owner: struct run_signals, _start/_stop.   Thread: its own; @news is called on the loop's.
 * Time:  agent time, from the loop's clock.   Units: s. */
#ifndef AGENT_CLI_RUN_SIGNALS_H
#define AGENT_CLI_RUN_SIGNALS_H

#include "act/loop.h"
#include "cli/config.h"

struct run_signals;

/** struct run_signals_news - what one source brought, or what is wrong with it (@problem not "") */
struct run_signals_news {
    char source[256];
    char format[64];
    int points_added;
    char problem[AGENT_ERROR_TEXT_MAX + AGENT_ERROR_FILE_MAX + 32];
};

/** run_signals_start() - @config, @loop: borrowed until _stop. No sources: nothing is started,
 * *@out is NULL. Return: 0 or -errno with words. */
int run_signals_start(struct agent_loop *loop, const struct agent_config *config,
                      const char *store_path,
                      void (*news)(void *opaque, const struct run_signals_news *news), void *opaque,
                      struct run_signals **out, struct agent_error *error);

/** run_signals_stop() - waits for a poll under way (a URL: up to 40 s); NULL is fine */
void run_signals_stop(struct run_signals *signals);

#endif
