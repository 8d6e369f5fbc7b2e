/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#define SEGMENTS_MAX 5
#define VERB_MAX     31

/* Which parameters a path knows. */
enum { TAKES_NOTHING = 0, TAKES_PAGE = 1, TAKES_SITE = 2, TAKES_STATE = 4 };

/* A path: "*" is a name. The first row that fits is it. */
struct pattern {
    const char *segments[SEGMENTS_MAX];
    enum agent_route_kind kind;
    enum agent_role needs;
    const char *label;
    const char *section;
    const char *key;
    unsigned takes;
};

#define SECTION(name, key, takes)                                                                  \
    {                                                                                              \
        {"v1", name}, AGENT_ROUTE_SECTION, AGENT_ROLE_WATCH, "/v1/" name, name, key, takes         \
    }
#define MEMBER(name, key)                                                                          \
    {                                                                                              \
        {"v1", name, "*"}, AGENT_ROUTE_MEMBER, AGENT_ROLE_WATCH, "/v1/" name "/{" key "}", name,   \
            key, TAKES_NOTHING                                                                     \
    }

static const struct pattern patterns[] = {
    {{""}, AGENT_ROUTE_FILE, AGENT_ROLE_NONE, "/", "", "", 0},
    {{"page", "*"}, AGENT_ROUTE_FILE, AGENT_ROLE_NONE, "/page/{file}", "", "", 0},
    {{"v1", "openapi.json"}, AGENT_ROUTE_OPENAPI, AGENT_ROLE_NONE, "/v1/openapi.json", "", "", 0},
    {{"metrics"}, AGENT_ROUTE_METRICS, AGENT_ROLE_WATCH, "/metrics", "", "", 0},
    {{"v1", "state"}, AGENT_ROUTE_STATE, AGENT_ROLE_WATCH, "/v1/state", "", "", 0},
    {{"v1", "events"}, AGENT_ROUTE_EVENTS, AGENT_ROLE_WATCH, "/v1/events", "", "", 0},
    SECTION("sites", "name", TAKES_PAGE),
    MEMBER("sites", "name"),
    SECTION("hosts", "name", TAKES_PAGE | TAKES_SITE),
    MEMBER("hosts", "name"),
    SECTION("vms", "name", TAKES_PAGE | TAKES_SITE | TAKES_STATE),
    MEMBER("vms", "name"),
    SECTION("links", "", TAKES_NOTHING),
    SECTION("migrations", "id", TAKES_PAGE | TAKES_STATE),
    MEMBER("migrations", "id"),
    SECTION("alerts", "key", TAKES_PAGE),
    SECTION("plan", "", TAKES_NOTHING),
    SECTION("dr", "", TAKES_NOTHING),
    {{"v1", "vms", "*", "explain"},
     AGENT_ROUTE_EXPLAIN,
     AGENT_ROLE_WATCH,
     "/v1/vms/{name}/explain",
     "vms",
     "name",
     0},
    {{"v1", "command", "*"},
     AGENT_ROUTE_COMMAND,
     AGENT_ROLE_CONTROL,
     "/v1/command/{verb}",
     "",
     "",
     0},
};

static int hex(char letter)
{
    if (letter >= '0' && letter <= '9') {
        return letter - '0';
    }
    letter = (char)(letter | 0x20);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* @from..@end with %XX undone into @out. No '/', no control bytes, valid UTF-8. */
static int decode(const char *from, const char *end, char *out, size_t size,
                  struct agent_error *error)
{
    size_t used = 0;

    while (from < end) {
        int byte = (unsigned char)*from++;
        if (byte == '%') {
            int high = end - from >= 2 ? hex(from[0]) : -1;
            int low = high >= 0 ? hex(from[1]) : -1;
            if (low < 0) {
                return agent_error_set(error, EINVAL,
                                       "a %% in the address is not followed by two "
                                       "hexadecimal digits");
            }
            byte = high * 16 + low;
            from += 2;
        }
        if (byte < 0x20 || byte == 0x7f || byte == '/') {
            return agent_error_set(error, EINVAL, "a name in the address holds the byte 0x%02x",
                                   (unsigned)byte);
        }
        if (used + 1 >= size) {
            return agent_error_set(error, ENAMETOOLONG,
                                   "a name in the address is longer than %zu bytes", size - 1);
        }
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    if (u8_check((const uint8_t *)out, used) != NULL) {
        return agent_error_set(error, EINVAL, "a name in the address is not UTF-8");
    }
    return 0;
}

bool agent_route_verb(const char *verb)
{
    size_t length = strspn(verb, "abcdefghijklmnopqrstuvwxyz-");

    return length > 0 && length <= VERB_MAX && verb[length] == '\0';
}

/* Segments of @path (without its first '/'), decoded. Return: their number or -errno. */
static int split(const char *path, size_t size, char segments[][AGENT_ROUTE_NAME_MAX],
                 struct agent_error *error)
{
    const char *end = path + size;
    int count = 0;

    for (;;) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        const char *stop = slash != NULL ? slash : end;
        if (count == SEGMENTS_MAX) {
            return -ENOENT;
        }
        int status = decode(path, stop, segments[count++], AGENT_ROUTE_NAME_MAX, error);
        if (status < 0) {
            return status;
        }
        if (slash == NULL) {
            return count;
        }
        path = slash + 1;
    }
}

static bool fits(const struct pattern *pattern, char segments[][AGENT_ROUTE_NAME_MAX], int count)
{
    int index = 0;

    for (; index < count && pattern->segments[index] != NULL; index++) {
        bool any = strcmp(pattern->segments[index], "*") == 0;
        if (any ? segments[index][0] == '\0'
                : strcmp(pattern->segments[index], segments[index]) != 0) {
            return false;
        }
    }
    return index == count && (index == SEGMENTS_MAX || pattern->segments[index] == NULL);
}

static const struct pattern *find_pattern(char segments[][AGENT_ROUTE_NAME_MAX], int count,
                                          struct agent_route *route)
{
    for (size_t index = 0; index < sizeof(patterns) / sizeof(patterns[0]); index++) {
        const struct pattern *pattern = &patterns[index];
        if (!fits(pattern, segments, count)) {
            continue;
        }
        for (int place = 0; place < count; place++) {
            if (strcmp(pattern->segments[place], "*") == 0) {
                memcpy(route->name, segments[place], AGENT_ROUTE_NAME_MAX);
            }
        }
        return pattern;
    }
    return NULL;
}

static int read_limit(const char *text, unsigned *limit, struct agent_error *error)
{
    char *end = NULL;
    long number = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || strlen(text) > 4 || *end != '\0' || number < 1 ||
        number > AGENT_ROUTE_LIMIT_MAX) {
        return agent_error_set(error, EINVAL, "limit=%.20s is not a number of 1..%d", text,
                               AGENT_ROUTE_LIMIT_MAX);
    }
    *limit = (unsigned)number;
    return 0;
}

/* One "key=value" of the query. @seen: bits of the parameters that were there before. */
static int read_parameter(const char *from, const char *end, unsigned takes, unsigned *seen,
                          struct agent_route *route, struct agent_error *error)
{
    char limit[AGENT_ROUTE_NAME_MAX];
    const struct {
        const char *key;
        unsigned group;
        char *out;
    } known[] = {{"limit", TAKES_PAGE, limit},
                 {"after", TAKES_PAGE, route->after},
                 {"site", TAKES_SITE, route->site},
                 {"state", TAKES_STATE, route->state}};
    const char *equals = memchr(from, '=', (size_t)(end - from));
    size_t key_size = (size_t)((equals != NULL ? equals : end) - from);

    for (unsigned index = 0; index < sizeof(known) / sizeof(known[0]); index++) {
        if (strlen(known[index].key) != key_size || memcmp(known[index].key, from, key_size) != 0 ||
            (known[index].group & takes) == 0) {
            continue;
        }
        if (equals == NULL || equals + 1 == end || (*seen & 1u << index) != 0) {
            return agent_error_set(error, EINVAL, "parameter '%s' is %s", known[index].key,
                                   (*seen & 1u << index) != 0 ? "given twice" : "empty");
        }
        *seen |= 1u << index;
        int status = decode(equals + 1, end, known[index].out, AGENT_ROUTE_NAME_MAX, error);
        return status == 0 && index == 0 ? read_limit(limit, &route->limit, error) : status;
    }
    return agent_error_set(error, EINVAL, "%s has no parameter '%.*s'", route->label,
                           key_size < 40 ? (int)key_size : 40, from);
}

static int read_query(const char *query, unsigned takes, struct agent_route *route,
                      struct agent_error *error)
{
    unsigned seen = 0;
    int status = 0;

    while (*query != '\0' && status == 0) {
        size_t size = strcspn(query, "&");
        status = read_parameter(query, query + size, takes, &seen, route, error);
        query += size + (query[size] == '&' ? 1 : 0);
    }
    return status;
}

int agent_route_find(const char *method, const char *target, struct agent_route *route,
                     struct agent_error *error)
{
    char segments[SEGMENTS_MAX][AGENT_ROUTE_NAME_MAX];
    size_t size = strlen(target);

    memset(route, 0, sizeof(*route));
    route->label = "unknown";
    route->section = route->key = "";
    route->allow = "GET, HEAD";
    route->limit = AGENT_ROUTE_LIMIT_MAX;
    if (size > AGENT_ROUTE_TARGET_MAX) {
        return agent_error_set(error, ENAMETOOLONG,
                               "the address is %zu bytes long, the limit is %d", size,
                               AGENT_ROUTE_TARGET_MAX);
    }
    if (target[0] != '/') {
        return agent_error_set(error, EINVAL, "the address does not begin with /");
    }
    size_t path_size = strcspn(target, "?");
    int count = split(target + 1, path_size - 1, segments, error);
    const struct pattern *pattern = count < 0 ? NULL : find_pattern(segments, count, route);
    if (count < 0 && count != -ENOENT) {
        return count;
    }
    if (pattern == NULL ||
        (pattern->kind == AGENT_ROUTE_COMMAND && !agent_route_verb(route->name))) {
        return agent_error_set(error, ENOENT,
                               "there is nothing at this address; /v1/openapi.json "
                               "lists what there is");
    }
    route->kind = pattern->kind;
    route->needs = pattern->needs;
    route->label = pattern->label;
    route->section = pattern->section;
    route->key = pattern->key;
    bool command = pattern->kind == AGENT_ROUTE_COMMAND;
    route->allow = command ? "POST" : "GET, HEAD";
    bool right = command ? strcmp(method, "POST") == 0
                         : strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!right) {
        return agent_error_set(error, EPERM, "%s takes %s, not %.16s", pattern->label, route->allow,
                               method);
    }
    return target[path_size] == '?'
               ? read_query(target + path_size + 1, pattern->takes, route, error)
               : 0;
}
