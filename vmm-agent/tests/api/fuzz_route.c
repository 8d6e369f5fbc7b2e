/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_route.c - any bytes as method and request target: a route or a refusal, never more
 * Owner: libFuzzer.   Thread: main.   Time: none.   Units: bytes. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "api/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const struct agent_route *route)
{
    const char *texts[] = {route->name, route->after, route->site, route->state};

    if (route->kind >= AGENT_ROUTE_KINDS || route->limit < 1 ||
        route->limit > AGENT_ROUTE_LIMIT_MAX || route->label == NULL) {
        abort();
    }
    for (size_t index = 0; index < sizeof(texts) / sizeof(texts[0]); index++) {
        size_t length = strnlen(texts[index], AGENT_ROUTE_NAME_MAX);
        if (length == AGENT_ROUTE_NAME_MAX || strchr(texts[index], '/') != NULL ||
            u8_check((const uint8_t *)texts[index], length) != NULL) {
            abort();
        }
    }
    if (route->kind == AGENT_ROUTE_COMMAND &&
        (!agent_route_verb(route->name) || route->needs != AGENT_ROLE_CONTROL)) {
        abort();
    }
    if (route->needs == AGENT_ROLE_NONE && route->kind != AGENT_ROUTE_FILE &&
        route->kind != AGENT_ROUTE_OPENAPI) {
        abort(); /* state without a secret */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const methods[] = {"GET", "POST", "HEAD", "PUT"};
    struct agent_route route;
    struct agent_error error = {0};
    char target[2 * AGENT_ROUTE_TARGET_MAX];

    if (size < 1 || size >= sizeof(target)) {
        return 0;
    }
    memcpy(target, bytes + 1, size - 1);
    target[size - 1] = '\0';
    int status = agent_route_find(methods[bytes[0] & 3], target, &route, &error);
    if (status == 0) {
        check(&route);
    } else if (error.code != status || error.text[0] == '\0') {
        abort(); /* a refusal without words */
    }
    return 0;
}
