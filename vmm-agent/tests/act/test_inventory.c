/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_inventory.c - what an inventory may say, what is refused and in which words; command lines
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "act/inventory.h"

#define SITES                                                                                      \
    "sites:\n"                                                                                     \
    "  - {name: fukuoka, title: 福岡, area: kyushu, pue: 1.2, power_kw: 5, renewable_kw: 3,\n"   \
    "     battery: {name: b1, charge_kw: 1, discharge_kw: 1, soc_max_kwh: 4, soc_kwh: 2}}\n"       \
    "  - {name: tokyo, area: tokyo}\n"                                                             \
    "  - {name: osaka, area: kansai, paper: true}\n"
#define HOSTS                                                                                      \
    "hosts:\n"                                                                                     \
    "  - {name: f1, site: fukuoka, address: 10.86.0.1, directory: /run/x, cpu: 4, ram_mib: "       \
    "4096,\n"                                                                                      \
    "     idle_w: 60, busy_w: 200, prefix: [apn-path, exec, p-a, --], secret: /etc/s}\n"           \
    "  - {name: t1, site: tokyo, address: 10.86.0.2, directory: /run/y, cpu: 4, ram_mib: 4096,\n"  \
    "     idle_w: 60, busy_w: 200, local: false, fence: [fence-it, '{vm}'], ports: 5000-5009}\n"
#define LINKS "links:\n  - {a: fukuoka, b: tokyo, rate_gbit_s: 2.5, rtt_ms: 6, concurrent: 3}\n"
#define GROUPS                                                                                     \
    "groups:\n"                                                                                    \
    "  - {name: web, ram_mib: 192, cpu: 1, sites: [fukuoka, tokyo], flex: [pause, migrate],\n"     \
    "     disks: [{node: d0, gib: 1}],\n"                                                          \
    "     start: [qemu, -name, '{vm},process={epoch}', '{incoming}', -qmp, 'unix:{qmp},server',\n" \
    "             -m, '{ram_mib}', '{mac}', '{\"json\":{}}']}\n"
#define VMS "vms:\n  - {name: web1, group: web, host: f1, boot: true, set: {mac: 'aa:bb'}}\n"

static int read_text(const char *text, struct agent_yaml **root, struct agent_inventory **out,
                     struct agent_error *error)
{
    int status = agent_yaml_parse(text, strlen(text), "t.yaml", root, error);

    return status < 0 ? status : agent_inventory_read(*root, out, error);
}

static void test_all_is_read(void **state)
{
    struct agent_inventory *inventory = NULL;
    struct agent_yaml *root = NULL;
    struct agent_error error = {0};

    (void)state;
    int status = read_text(SITES HOSTS LINKS GROUPS VMS, &root, &inventory, &error);
    assert_string_equal(error.text, "");
    assert_int_equal(status, 0);
    assert_int_equal(inventory->site_count, 3);
    assert_string_equal(inventory->sites[0].title, "福岡");
    assert_string_equal(inventory->sites[1].title, "tokyo");
    assert_true(isinf(inventory->sites[1].power_kw));
    assert_true(inventory->sites[2].paper);
    assert_string_equal(inventory->sites[0].battery.name, "b1");
    assert_null(inventory->sites[1].battery.name);
    assert_false(inventory->hosts[1].local);
    assert_int_equal(inventory->hosts[1].port_last, 5009);
    assert_null(inventory->hosts[1].secret);
    assert_int_equal(agent_inventory_link_of(inventory, 1, 0), 0);
    assert_int_equal(agent_inventory_link_of(inventory, 1, 2), -1);
    assert_int_equal(inventory->links[0].concurrent, 3);
    assert_int_equal(inventory->groups[0].sites, 3);
    assert_int_equal(inventory->groups[0].flex, 1u << AGENT_FLEX_PAUSE | 1u << AGENT_FLEX_MIGRATE);
    assert_int_equal(agent_inventory_vm_of(inventory, "web1"), 0);
    agent_inventory_free(inventory);
    agent_yaml_free(root);
}

static void join(const struct agent_words *words, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t at = 0; at < words->count; at++) {
        snprintf(out + strlen(out), size - strlen(out), "%s%s", at > 0 ? " " : "",
                 words->words[at]);
    }
}

static void test_commands(void **state)
{
    static const struct {
        enum agent_command_kind kind;
        int host;
        const char *expected;
    } cases[] = {
        {AGENT_WORDS_BOOT, 0,
         "apn-path exec p-a -- qemu -name web1,process=7 -qmp unix:/run/x/web1.7.qmp,server -m 192 "
         "aa:bb {\"json\":{}}"},
        {AGENT_WORDS_DEST, 1,
         "qemu -name web1,process=7 -incoming defer -qmp unix:/run/y/web1.7.qmp,server -m 192 "
         "aa:bb "
         "{\"json\":{}}"},
        {AGENT_WORDS_DEST_PAUSED, 1,
         "qemu -name web1,process=7 -incoming defer -S -qmp unix:/run/y/web1.7.qmp,server -m 192 "
         "aa:bb {\"json\":{}}"},
        {AGENT_WORDS_FENCE, 1, "fence-it web1"},
    };
    struct agent_inventory *inventory = NULL;
    struct agent_yaml *root = NULL;
    struct agent_words words;
    char line[1024];

    (void)state;
    assert_int_equal(read_text(SITES HOSTS LINKS GROUPS VMS, &root, &inventory, NULL), 0);
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        assert_int_equal(
            agent_inventory_words(inventory, cases[at].kind, 0, cases[at].host, 7, &words, NULL),
            0);
        join(&words, line, sizeof(line));
        assert_string_equal(line, cases[at].expected);
        agent_words_done(&words);
    }
    assert_int_equal(agent_inventory_words(inventory, AGENT_WORDS_PREPARE, 0, 0, 7, &words, NULL),
                     -ENOENT);
    agent_inventory_free(inventory);
    agent_yaml_free(root);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {SITES, "names no vms"},
        {"sites:\n  - {name: a, area: mars}\n", "unknown area 'mars'"},
        {"sites:\n  - {name: 'a b', area: tokyo}\n", "name 'a b'"},
        {"sites:\n  - {name: ../x, area: tokyo}\n", "name '../x'"},
        {"sites:\n  - {name: a, area: tokyo}\n  - {name: a, area: tokyo}\n", "'a' is taken"},
        {"sites:\n  - {name: a, area: tokyo, colour: red}\n", "colour"},
        {"sites:\n  - {name: a, area: tokyo, battery: {name: b, charge_kw: 1, discharge_kw: 1, "
         "soc_max_kwh: 1, soc_kwh: 2}}\n",
         "soc_kwh 2"},
        {SITES
         "hosts:\n  - {name: h, site: nowhere, address: x, directory: /x, cpu: 1, ram_mib: 1, "
         "idle_w: 1, busy_w: 2}\n",
         "there is no 'nowhere'"},
        {SITES "hosts:\n  - {name: h, site: tokyo, address: x, directory: x, cpu: 1, ram_mib: 1, "
               "idle_w: 1, busy_w: 2}\n",
         "not an absolute path"},
        {SITES "hosts:\n  - {name: h, site: tokyo, address: x, directory: /x, cpu: 1, ram_mib: 1, "
               "idle_w: 3, busy_w: 2}\n",
         "busy_w 2 is below"},
        {SITES "hosts:\n  - {name: h, site: tokyo, address: x, directory: /x, cpu: 1, ram_mib: 1, "
               "idle_w: 1, busy_w: 2, ports: 9-8}\n",
         "ports"},
        {SITES "links:\n  - {a: tokyo, b: tokyo, rate_gbit_s: 1}\n", "both ends are 'tokyo'"},
        {SITES "links:\n  - {a: tokyo, b: fukuoka, rate_gbit_s: 1}\n  - {a: fukuoka, b: tokyo, "
               "rate_gbit_s: 1}\n",
         "joined twice"},
        {SITES "groups:\n  - {name: g, ram_mib: 1}\n", "needs start"},
        {SITES "groups:\n  - {name: g, ram_mib: 1, start: qemu}\n", "list of 1 to"},
        {SITES "groups:\n  - {name: g, ram_mib: 1, start: [q], flex: [bend]}\n", "'bend'"},
        {SITES "groups:\n  - {name: g, ram_mib: 1, start: [q], sites: [x]}\n", "no site 'x'"},
        {SITES HOSTS GROUPS "vms:\n  - {name: w, group: web, host: f1}\n", "placeholder {mac}"},
        {SITES HOSTS "groups:\n  - {name: g, ram_mib: 1, start: [q], sites: [osaka]}\n"
                     "vms:\n  - {name: w, group: g, host: f1}\n",
         "may not run at site 'fukuoka'"},
        {SITES
         "hosts:\n  - {name: h, site: tokyo, address: x, directory: /0123456789012345678901234"
         "56789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
         ", "
         "cpu: 1, ram_mib: 1, idle_w: 1, busy_w: 2}\n"
         "groups:\n  - {name: g, ram_mib: 1, start: [q]}\nvms:\n  - {name: w, group: g, host: h}\n",
         "longer than 107 bytes"},
    };

    (void)state;
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        struct agent_inventory *inventory = NULL;
        struct agent_yaml *root = NULL;
        struct agent_error error = {0};
        assert_true(read_text(cases[at].text, &root, &inventory, &error) < 0);
        if (strstr(error.text, cases[at].words) == NULL) {
            fail_msg("case %zu: expected '%s' in '%s'", at, cases[at].words, error.text);
        }
        assert_null(inventory);
        agent_yaml_free(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_read),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
