/* SPDX-License-Identifier: GPL-2.0-or-later */
/* webhook.h - where a VTN sends notifications: one URL, a challenge, a bearer token
 * Owner: struct agent_dr_webhook, _new/_free; borrows loop and settings.   Thread: the loop's.
 * Time:  the loop's, for the rate limit.                                   Units:  bytes, s.
 *
 * GET ?echo=TEXT answers TEXT (OpenADR 3.1: the VTN makes sure that the address is ours). POST
 * takes a notification, only with the bearer token we chose for the subscription, at most
 * AGENT_DR_WEBHOOK_BODY bytes, and not more often than the rate limit. */
#ifndef AGENT_DR_WEBHOOK_H
#define AGENT_DR_WEBHOOK_H

#include <jansson.h>

#include "act/loop.h"
#include "dr/ven.h"

#define AGENT_DR_WEBHOOK_BODY        (256u * 1024)
#define AGENT_DR_WEBHOOK_CONNECTIONS 16
#define AGENT_DR_WEBHOOK_TIMEOUT_S   10
#define AGENT_DR_WEBHOOK_PER_S       20 /* notifications a second, a burst of as many */
#define AGENT_DR_WEBHOOK_ECHO_MAX    256

struct agent_dr_webhook;

/** agent_dr_webhook_new() - listen. @fn gets each notification and returns 0 or -errno with a
 * reason that the VTN is told. Return: 0, -EINVAL (address, certificate), -errno of listening. */
int agent_dr_webhook_new(struct agent_loop *loop, const struct agent_dr_webhook_settings *settings,
                         int (*fn)(void *opaque, const json_t *notification,
                                   struct agent_error *error),
                         void *opaque, struct agent_dr_webhook **out, struct agent_error *error);

/** agent_dr_webhook_free() - NULL is fine */
void agent_dr_webhook_free(struct agent_dr_webhook *webhook);

/** agent_dr_webhook_token() - the bearer token for the subscription: 256 random bits, new each
 * start */
const char *agent_dr_webhook_token(const struct agent_dr_webhook *webhook);

/** agent_dr_webhook_port() - the port it got, for tests with port 0 */
int agent_dr_webhook_port(const struct agent_dr_webhook *webhook);

#endif
