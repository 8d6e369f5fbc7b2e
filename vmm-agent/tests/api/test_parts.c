/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_parts.c - the parts of api/ that need no network: routes, buckets, the ring, secrets,
 * figures Owner: cmocka.   Thread: main.   Time: passed in.   Units: as named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs those first */
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/auth.h"
#include "api/config.h"
#include "api/embedded.h"
#include "api/events.h"
#include "api/limits.h"
#include "api/metrics.h"
#include "api/route.h"

#define S INT64_C(1000000000)

static struct agent_route found;
static struct agent_error error;

static int route(const char *method, const char *target)
{
    agent_error_clear(&error);
    return agent_route_find(method, target, &found, &error);
}

static void test_routes(void **state)
{
    (void)state;
    assert_int_equal(route("GET", "/"), 0);
    assert_int_equal(found.needs, AGENT_ROLE_NONE);
    assert_int_equal(route("GET", "/v1/vms/web%2D1"), 0);
    assert_string_equal(found.name, "web-1");
    assert_int_equal(found.kind, AGENT_ROUTE_MEMBER);
    assert_int_equal(route("HEAD", "/v1/vms?limit=5&after=%E6%9D%B1&site=a&state=moving"), 0);
    assert_int_equal(found.limit, 5);
    assert_string_equal(found.after, "\xe6\x9d\xb1");
    assert_int_equal(route("GET", "/v1/vms/%E6%9D%B1%E4%BA%AC/explain"), 0);
    assert_int_equal(found.kind, AGENT_ROUTE_EXPLAIN);
    assert_int_equal(route("POST", "/v1/command/dr-trigger"), 0);
    assert_int_equal(found.needs, AGENT_ROLE_CONTROL);
    assert_string_equal(found.name, "dr-trigger");
}

static void test_refused_targets(void **state)
{
    static const struct {
        const char *method, *target;
        int status;
    } wrong[] = {
        {"GET", "", -EINVAL},
        {"GET", "v1/state", -EINVAL},
        {"GET", "/v1", -ENOENT},
        {"GET", "/v1/state/", -ENOENT},
        {"GET", "//v1/state", -ENOENT},
        {"GET", "/v1/./state", -ENOENT},
        {"GET", "/v1/../etc/passwd", -ENOENT},
        {"GET", "/page/..%2f..%2fetc", -EINVAL},
        {"GET", "/page/%00", -EINVAL},
        {"GET", "/page/%c3%28", -EINVAL},
        {"GET", "/page/%4", -EINVAL},
        {"GET", "/page/%zz", -EINVAL},
        {"GET", "/v1/vms/", -ENOENT},
        {"GET", "/v1/a/b/c/d/e/f", -ENOENT},
        {"GET", "/v1/vms?limit=0", -EINVAL},
        {"GET", "/v1/vms?limit=1001", -EINVAL},
        {"GET", "/v1/vms?limit=-1", -EINVAL},
        {"GET", "/v1/vms?limit=1e2", -EINVAL},
        {"GET", "/v1/vms?limit=5&limit=6", -EINVAL},
        {"GET", "/v1/vms?limit", -EINVAL},
        {"GET", "/v1/vms?after=", -EINVAL},
        {"GET", "/v1/vms?token=x", -EINVAL},
        {"GET", "/v1/sites?state=x", -EINVAL},
        {"GET", "/v1/state?x=1", -EINVAL},
        {"POST", "/v1/state", -EPERM},
        {"GET", "/v1/command/migrate", -EPERM},
        {"DELETE", "/v1/vms/a", -EPERM},
        {"POST", "/v1/command/Mig", -ENOENT},
        {"POST", "/v1/command/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", -ENOENT},
    };

    (void)state;
    for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
        int status = route(wrong[index].method, wrong[index].target);
        if (status != wrong[index].status || error.text[0] == '\0') {
            fail_msg("%s '%s': %d, not %d (%s)", wrong[index].method, wrong[index].target, status,
                     wrong[index].status, error.text);
        }
    }
    char target[AGENT_ROUTE_TARGET_MAX + 8];
    memset(target, 'a', sizeof(target));
    target[0] = '/';
    target[sizeof(target) - 1] = '\0';
    assert_int_equal(route("GET", target), -ENAMETOOLONG);
    target[200] = '\0';
    assert_int_equal(route("GET", target), -ENAMETOOLONG);
}

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage out = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out;

    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        out.ss_family = AF_INET;
    } else {
        inet_pton(AF_INET6, text, &six->sin6_addr);
        out.ss_family = AF_INET6;
    }
    return out;
}

static unsigned take(struct agent_limits *limits, const char *text, int64_t now_ns)
{
    struct sockaddr_storage from = address(text);

    return agent_limits_take(limits, (struct sockaddr *)&from, now_ns);
}

static void test_rate(void **state)
{
    static struct agent_limits limits;

    (void)state;
    agent_limits_init(&limits, 2, 5, 3);
    for (int request = 0; request < 5; request++) {
        assert_int_equal(take(&limits, "10.0.0.1", S), 0);
    }
    assert_int_equal(take(&limits, "10.0.0.1", S), 1);
    assert_int_equal(take(&limits, "10.0.0.2", S), 0); /* another address has its own */
    assert_int_equal(take(&limits, "10.0.0.1", S + S / 2), 0);
    assert_int_equal(take(&limits, "10.0.0.1", S + S / 2), 1);
    /* one IPv6 client owns its whole /64 */
    for (int request = 0; request < 5; request++) {
        char text[40];
        snprintf(text, sizeof(text), "2001:db8::%x", request);
        assert_int_equal(take(&limits, text, S), 0);
    }
    assert_int_equal(take(&limits, "2001:db8::ffff", S), 1);
    assert_int_equal(take(&limits, "2001:db8:0:1::1", S), 0);
}

static void test_guesses(void **state)
{
    static struct agent_limits limits;
    struct sockaddr_storage from = address("10.0.0.1");
    const struct sockaddr *peer = (const struct sockaddr *)&from;

    (void)state;
    agent_limits_init(&limits, 100, 100, 3);
    for (int guess = 0; guess < 3; guess++) {
        assert_int_equal(agent_limits_guess(&limits, peer, S), 0);
        agent_limits_failed(&limits, peer, S);
    }
    assert_int_equal(agent_limits_guess(&limits, peer, S), 20);
    assert_int_equal(agent_limits_guess(&limits, peer, 20 * S + S / 2), 1);
    assert_int_equal(agent_limits_guess(&limits, peer, 21 * S + 1), 0);
}

static void test_many_addresses(void **state)
{
    static struct agent_limits limits;

    (void)state;
    agent_limits_init(&limits, 1, 2, 3);
    take(&limits, "10.9.9.9", S);
    take(&limits, "10.9.9.9", S);
    for (int host = 0; host < 3 * AGENT_LIMITS_ADDRESSES; host++) {
        char text[24];
        snprintf(text, sizeof(text), "10.0.%d.%d", host / 250, host % 250 + 1);
        assert_int_equal(take(&limits, text, S + 1 + host), 0);
        assert_int_not_equal(take(&limits, "10.9.9.9", S + 2 + host),
                             0); /* an active one stays known */
    }
}

static void add(struct agent_events *events, int number)
{
    json_t *event = json_pack("{s:i}", "n", number);

    assert_int_equal(agent_events_add(events, "test.event", event), 0);
    json_decref(event);
}

static void test_ring(void **state)
{
    static struct agent_events events;
    struct agent_events_place place;
    static char out[1 << 17];

    (void)state;
    agent_events_init(&events, 0xabc);
    add(&events, 1);
    agent_events_join(&events, NULL, &place);
    add(&events, 2);
    out[agent_events_read(&events, &place, out, sizeof(out) - 1)] = '\0';
    assert_string_equal(out, ": here\n\nid: abc-2\nevent: test.event\ndata: {\"n\":2}\n\n");
    assert_int_equal(agent_events_read(&events, &place, out, sizeof(out)), 0);
    /* by bytes: the same text whatever the pieces */
    add(&events, 3);
    size_t used = 0, got;
    while ((got = agent_events_read(&events, &place, out + used, 1)) > 0) {
        used += got;
    }
    out[used] = '\0';
    assert_string_equal(out, "id: abc-3\nevent: test.event\ndata: {\"n\":3}\n\n");
    agent_events_leave(&place);
    agent_events_join(&events, "abc-1", &place);
    out[agent_events_read(&events, &place, out, sizeof(out) - 1)] = '\0';
    assert_non_null(strstr(out, "id: abc-2\n"));
    assert_non_null(strstr(out, "id: abc-3\n"));
    agent_events_leave(&place);
    agent_events_done(&events);
}

/* Which ids are of this life, and what a listener hears when it was away for too long. */
static void test_gap(void **state)
{
    static struct agent_events events;
    static const char *const strange[] = {"abd-1", "abc",    "abc-", "abc-x",
                                          "abc-9", "abc-1x", "-1",   "abc-99999999999999999999999"};
    struct agent_events_place place;
    char out[4096];

    (void)state;
    agent_events_init(&events, 0xabc);
    add(&events, 1);
    for (size_t index = 0; index < sizeof(strange) / sizeof(strange[0]); index++) {
        agent_events_join(&events, strange[index], &place);
        out[agent_events_read(&events, &place, out, sizeof(out) - 1)] = '\0';
        assert_string_equal(out, ": here\n\nevent: gap\ndata: {\"missed\":null}\n\n");
        agent_events_leave(&place);
    }
    agent_events_join(&events, "abc-1", &place);
    for (int number = 2; number < 2 + AGENT_EVENTS_MAX + 10; number++) {
        add(&events, number);
    }
    out[agent_events_read(&events, &place, out, sizeof(out) - 1)] = '\0';
    assert_non_null(strstr(out, "event: gap\ndata: {\"missed\":10}\n\nid: abc-12\n"));
    agent_events_leave(&place);
    agent_events_done(&events);
}

/* A listener that holds an event while the ring goes round keeps only that event. */
static void test_ring_bytes(void **state)
{
    static struct agent_events events;
    struct agent_events_place place;
    static char text[40000];
    char out[16];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    agent_events_init(&events, 1);
    agent_events_join(&events, NULL, &place);
    place.ping = false;
    for (int number = 0; number < 200; number++) {
        json_t *event = json_pack("{s:s}", "text", text);
        agent_events_add(&events, "big", event);
        json_decref(event);
        assert_true(events.bytes <= AGENT_EVENTS_BYTES_MAX);
        if (number == 0) {
            assert_int_equal(agent_events_read(&events, &place, out, sizeof(out)), sizeof(out));
        }
    }
    assert_int_equal(agent_events_read(&events, &place, out, 1), 1);
    assert_int_equal(out[0], 'i'); /* goes on in the first event: "id: 1-1\nevent: b|ig" */
    agent_events_leave(&place);
    json_t *huge = json_pack("{s:s%, s:s, s:s}", "a", text, sizeof(text) - 1, "b", text, "c", "");
    agent_events_add(&events, "huge", huge);
    agent_events_join(&events, NULL, &place);
    json_decref(huge);
    agent_events_leave(&place);
    agent_events_done(&events);
}

static int listen_to(const char *text, struct agent_api_config *config)
{
    agent_api_config_init(config);
    snprintf(config->token_path, sizeof(config->token_path), "/nowhere/token");
    agent_error_clear(&error);
    return agent_api_config_listen(text, config, &error);
}

static void test_listen(void **state)
{
    static const char *const wrong[] = {"",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        ":80",
                                        "localhost:80",
                                        "127.0.0.1:x",
                                        "127.0.0.1:65536",
                                        "127.0.0.1:-1",
                                        "::1:80",
                                        "[::1]",
                                        "[::1]80",
                                        "[127.0.0.1]:80",
                                        "1.2.3:80",
                                        "127.0.0.1:80 "};
    struct agent_api_config config;

    (void)state;
    for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
        if (listen_to(wrong[index], &config) != -EINVAL) {
            fail_msg("'%s' was taken", wrong[index]);
        }
    }
    const char *const near[] = {"127.0.0.1:0", "127.1.2.3:8470", "[::1]:8470", "none"};
    for (size_t index = 0; index < 4; index++) {
        assert_int_equal(listen_to(near[index], &config), 0);
        assert_int_equal(agent_api_config_check(&config, &error), 0);
    }
    const char *const far[] = {"0.0.0.0:8470", "192.0.2.1:80", "[::]:80", "[2001:db8::1]:80",
                               "[::ffff:127.0.0.1]:80"};
    for (size_t index = 0; index < 5; index++) {
        assert_int_equal(listen_to(far[index], &config), 0);
        assert_int_equal(agent_api_config_check(&config, &error), -EINVAL);
        assert_non_null(strstr(error.text, "reaches beyond this machine"));
        strcpy(config.cert_path, "/cert");
        strcpy(config.key_path, "/key");
        assert_int_equal(agent_api_config_check(&config, &error), 0);
    }
    assert_int_equal(listen_to("127.0.0.1:0", &config), 0);
    config.token_path[0] = '\0';
    assert_int_equal(agent_api_config_check(&config, NULL), -EINVAL); /* nobody could get in */
}

static int read_config(const char *text)
{
    struct agent_api_config config;
    struct agent_yaml *root = NULL;

    agent_error_clear(&error);
    agent_api_config_init(&config);
    assert_int_equal(agent_yaml_parse(text, strlen(text), "t", &root, &error), 0);
    int status = agent_api_config_read(agent_yaml_child(root, "api"), &config, &error);
    agent_yaml_free(root);
    return status;
}

static void test_config(void **state)
{
    static const char *const wrong[] = {
        "api: {listne: none}",
        "api: {listen: here}",
        "api: {listen: '0.0.0.0:1', token_file: /t}",
        "api: {token_file: /t, tls: {certificate: /c}}",
        "api: {token_file: /t, tls: {client_ca: /c}}",
        "api: {token_file: /t, tls: {certificate: /c, key: /k, control_names: [a]}}",
        "api: {limits: {connections: 0}}",
        "api: {limits: {connections: 1.5}}",
        "api: {limits: {conections: 1}}",
        "api: {limits: {body_bytes: 1e9}}",
        "api: {listen: '127.0.0.1:1', token_file: none}",
    };

    (void)state;
    for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
        if (read_config(wrong[index]) != -EINVAL || error.text[0] == '\0') {
            fail_msg("%s was taken", wrong[index]);
        }
    }
    assert_int_equal(read_config("api: {listen: '[::1]:1', socket: none, token_file: /t, limits: "
                                 "{streams: 0, rate_per_s: 7}}"),
                     0);
}

static char folder[] = "/tmp/test-api-XXXXXX";

static void write_file(const char *path, const char *text, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    fchmod(fd, mode);
    close(fd);
}

static void test_token(void **state)
{
    struct agent_api_config config;
    struct agent_auth auth;
    char caller[AGENT_CALLER_MAX], header[400];
    const char secret[] = "0123456789abcdef0123456789abcdef";

    (void)state;
    assert_non_null(mkdtemp(folder));
    listen_to("127.0.0.1:0", &config);
    snprintf(config.token_path, sizeof(config.token_path), "%s/token", folder);
    assert_int_equal(agent_auth_open(&auth, &config, &error), 0); /* made, 0600, 64 digits */
    struct stat made;
    assert_int_equal(stat(config.token_path, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0600);
    assert_int_equal(auth.control.size, 64);
    snprintf(header, sizeof(header), "Bearer %.*s", 64, auth.control.bytes);
    assert_int_equal(agent_auth_bearer(&auth, header, caller), AGENT_ROLE_CONTROL);
    header[strlen(header) - 1] ^= 1;
    assert_int_equal(agent_auth_bearer(&auth, header, caller), AGENT_ROLE_NONE);
    header[strlen(header) - 1] = '\0';
    assert_int_equal(agent_auth_bearer(&auth, header, caller), AGENT_ROLE_NONE);
    assert_int_equal(agent_auth_bearer(&auth, NULL, caller), AGENT_ROLE_NONE);
    assert_int_equal(agent_auth_bearer(&auth, "", caller), AGENT_ROLE_NONE);
    assert_int_equal(agent_auth_bearer(&auth, "Bearer ", caller), AGENT_ROLE_NONE);
    /* another secret in the file holds from the next request on */
    write_file(config.token_path, "0123456789abcdef0123456789abcdef\n", 0600);
    snprintf(header, sizeof(header), "bearer %s", secret);
    assert_int_equal(agent_auth_bearer(&auth, header, caller), AGENT_ROLE_CONTROL);
    assert_string_equal(caller, "token");
    /* one that everybody can read closes this way in */
    chmod(config.token_path, 0644);
    assert_int_equal(agent_auth_bearer(&auth, header, caller), AGENT_ROLE_NONE);
    chmod(config.token_path, 0600);
    assert_int_equal(agent_auth_bearer(&auth, header, caller), AGENT_ROLE_CONTROL);
    unlink(config.token_path);
    assert_int_equal(agent_auth_bearer(&auth, header, caller), AGENT_ROLE_NONE);
    agent_auth_done(&auth);
}

static void test_bad_token_files(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        int status;
    } wrong[] = {
        {"0123456789abcdef0123456789abcdef", 0640, -EPERM},
        {"0123456789abcdef0123456789abcdef", 0604, -EPERM},
        {"0123456789abcdef0123456789abcde", 0600, -EINVAL},
        {"0123456789abcdef 0123456789abcdef", 0600, -EINVAL},
        {"0123456789abcdef0123456789abcdef\nsecond line", 0600, -EINVAL},
        {"", 0600, -EINVAL},
    };
    struct agent_api_config config;
    struct agent_auth auth;

    (void)state;
    listen_to("127.0.0.1:0", &config);
    snprintf(config.token_path, sizeof(config.token_path), "%s/bad", folder);
    for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
        write_file(config.token_path, wrong[index].text, wrong[index].mode);
        agent_error_clear(&error);
        assert_int_equal(agent_auth_open(&auth, &config, &error), wrong[index].status);
        assert_non_null(strstr(error.text, config.token_path));
    }
    unlink(config.token_path);
    assert_int_equal(mkdir(config.token_path, 0700), 0);
    agent_error_clear(&error);
    assert_true(agent_auth_open(&auth, &config, &error) < 0);
    rmdir(config.token_path);
    rmdir(folder);
}

/* Numbers where text is expected, text where numbers are, names with quotes: nothing breaks the
 * lines. */
static void test_metrics(void **state)
{
    static struct agent_metrics metrics;
    struct agent_metrics_now now = {1, 2};
    json_t *document = json_loads(
        "{\"agent\": 5, \"clock\": null, \"plan\": [], \"sites\": [{\"name\": \"a\\\"b\\\\c\\nd\", "
        "\"power_kw\": 1.5, \"battery\": null}, 7, null, {\"power_kw\": \"x\"}], \"vms\": "
        "{\"a\": 1}, \"migrations\": [{\"state\": 5}, {\"state\": \"running\", \"vm\": \"v\", "
        "\"rate_gbit_s\": 2}]}",
        0, NULL);
    char *text = NULL;
    size_t size = 0;

    (void)state;
    agent_metrics_init(&metrics);
    agent_metrics_request(&metrics, "/v1/state", 200, S / 1000);
    json_t *end = json_pack("{s:s, s:f, s:i}", "state", "done", "blackout_ms", 9.5, "bytes", 1000);
    agent_metrics_event(&metrics, "migration.end", end);
    agent_metrics_event(&metrics, "migration.end", document);
    json_decref(end);
    assert_int_equal(agent_metrics_write(&metrics, &now, document, &text, &size), 0);
    assert_non_null(strstr(text, "vmm_agent_site_power_watts{site=\"a\\\"b\\\\c\\nd\"} 1500\n"));
    assert_non_null(strstr(text,
                           "vmm_agent_migration_rate_bytes_per_second{vm=\"v\",from=\"\",to=\"\"} "
                           "250000000\n"));
    assert_non_null(strstr(text, "vmm_agent_migration_blackout_seconds_bucket{le=\"0.01\"} 1\n"));
    assert_non_null(strstr(text, "vmm_agent_migrations_ended_total{result=\"done\"} 1\n"));
    assert_non_null(
        strstr(text, "vmm_agent_http_requests_total{route=\"/v1/state\",code=\"200\"} 1\n"));
    free(text);
    json_decref(document);
    assert_int_equal(agent_metrics_write(&metrics, &now, NULL, &text, &size), 0);
    free(text);
}

static void test_embedded(void **state)
{
    static const char *const wanted[] = {"index.html", "app.css", "app.js", "openapi.json"};

    (void)state;
    for (size_t index = 0; index < 4; index++) {
        const struct agent_embedded *file = agent_embedded_find(wanted[index]);
        assert_non_null(file);
        assert_true(file->size > 100 && file->etag[0] == '"');
    }
    assert_null(agent_embedded_find("../api.h"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_refused_targets),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_ring_bytes),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_bad_token_files),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_embedded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
