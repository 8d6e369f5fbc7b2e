/* SPDX-License-Identifier: GPL-2.0-or-later */
/* route.h - a raw request target to one known thing, or to a refusal; pure functions on bytes
 * Owner: plain values.   Thread: any, no shared state.
 * Time:  none.           Units:  bytes.
 *
 * Everything that is not listed is refused: unknown paths, unknown or repeated parameters, escapes
 * that are broken or hide a slash, bytes that are no UTF-8. The server never looks at a target
 * before this did. */
#ifndef AGENT_API_ROUTE_H
#define AGENT_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "support/error.h"

#define AGENT_ROUTE_TARGET_MAX 1024 /* bytes of a request target */
#define AGENT_ROUTE_NAME_MAX   128  /* bytes of a name in it, decoded, with its end */
#define AGENT_ROUTE_LIMIT_MAX  1000 /* members of one page of a list */

enum agent_route_kind {
    AGENT_ROUTE_FILE,    /* a file of the page; @name is its path */
    AGENT_ROUTE_OPENAPI, /* the description of this interface */
    AGENT_ROUTE_METRICS,
    AGENT_ROUTE_STATE,   /* the whole document */
    AGENT_ROUTE_SECTION, /* one member of it; lists take limit and after */
    AGENT_ROUTE_MEMBER,  /* the member of list @section called @name */
    AGENT_ROUTE_EXPLAIN, /* why VM @name is where it is */
    AGENT_ROUTE_EVENTS,
    AGENT_ROUTE_COMMAND, /* @name is the verb */
    AGENT_ROUTE_KINDS
};

enum agent_role {
    AGENT_ROLE_NONE,   /* nobody: files of the page and the description */
    AGENT_ROLE_WATCH,  /* may look */
    AGENT_ROLE_CONTROL /* may command */
};

/** struct agent_route - a request target, understood
 * @label:   the route without names, for metrics and the log; static
 * @section: member of the state document; static, "" when it does not apply
 * @key:     what a member of that list is called by ("name", "id"), "" = a list without pages;
 * static
 * @name, @after, @site, @state: decoded, "" when not given
 * @limit:   1..AGENT_ROUTE_LIMIT_MAX
 * @allow:   methods, for 405 and Allow */
struct agent_route {
    enum agent_route_kind kind;
    enum agent_role needs;
    const char *label;
    const char *section;
    const char *key;
    const char *allow;
    char name[AGENT_ROUTE_NAME_MAX];
    char after[AGENT_ROUTE_NAME_MAX];
    char site[AGENT_ROUTE_NAME_MAX];
    char state[AGENT_ROUTE_NAME_MAX];
    unsigned limit;
};

/** agent_route_find() - what @method @target asks for
 * @target: as on the request line ("/v1/vms/web%2D1?limit=5")
 * Return: 0; -ENOENT (no such path), -EPERM (the path does not know @method; @route->allow says
 * which it knows), -EINVAL (a parameter or an escape), -ENAMETOOLONG; with words for the client. */
int agent_route_find(const char *method, const char *target, struct agent_route *route,
                     struct agent_error *error);

/** agent_route_verb() - may @verb stand in a path? 1..31 of a-z and '-' */
bool agent_route_verb(const char *verb);

#endif
