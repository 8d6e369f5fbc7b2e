/* SPDX-License-Identifier: GPL-2.0-or-later */
/* act.h - the interface of an acting agent: server, loop and agent put together
 * Owner: struct agent_api_run, _start/_stop.   Thread: the loop's.
 * Time:  the loop's monotonic time.            Units: none. */
#ifndef AGENT_API_ACT_H
#define AGENT_API_ACT_H

#include "act/act.h"
#include "api/api.h"

struct agent_api_run;

/** agent_api_start() - listen, and serve what @act knows from @loop
 * @loop, @act: borrowed until agent_api_stop(). @config: copied.
 * Return: 0 or -errno with words; nothing is left open then. */
int agent_api_start(struct agent_loop *loop, struct agent_act *act,
                    const struct agent_api_config *config, struct agent_api_run **out,
                    struct agent_error *error);

/** agent_api_stop() - end every connection; NULL is fine */
void agent_api_stop(struct agent_api_run *run);

#endif
