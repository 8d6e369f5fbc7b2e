/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* options.c - see options.h */
#include "dpdk/options.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <netinet/ether.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dpdk/shared/control.h"

static const char help[] =
    "usage: apn-dpdk --port=PORT --ip=ADDRESS/PREFIX [OPTION...] [-- EAL-OPTION...]\n"
    "       apn-dpdk --show[=SOCKET]\n"
    "Carries the lanes of QEMU's apn migrations by UDP over a DPDK port, for any program that connects to its socket.\n"
    "\n"
    "  --port=PORT        PCI address of an adapter bound to vfio-pci, or a DPDK virtual device:\n"
    "                     net_af_packet0,iface=NAME   net_af_xdp0,iface=NAME   net_tap0,iface=NAME\n"
    "  --ip=ADDRESS/PREFIX  ours, IPv4 or IPv6; up to 7 of them\n"
    "  --gateway=ADDRESS  for what is not on the link; one of IPv4 and one of IPv6\n"
    "  --mac=ADDRESS      ours, as 02:00:00:00:00:01; default: the port's. With one of its own it shares an interface with the kernel\n"
    "  --mtu=BYTES        of IP packets, 1280 to 64900; default: the interface's\n"
    "  --socket=PATH      default " APN_HELPER_SOCKET "\n"
    "  --allow-uid=UID    who may connect, besides root and ourselves: number or name; up to 16 of them\n"
    "  --group=GROUP      group of the socket (its mode is 0660)\n"
    "  --user=USER        become this user once the port is open\n"
    "  --queues=N         queues of the port, a thread each, 1 to 16; default 1\n"
    "  --cpus=LIST        pin them: 2,3,...; default: the system decides\n"
    "  --spin=US          poll this long after the last datagram before sleeping; default 10\n"
    "  --zero-copy=WHEN   frames made of guest RAM itself: auto (the adapter sums and reads memory), always, never\n"
    "  --no-steering      never ask the adapter to sort flows into queues\n"
    "  --hugepages        use them; default: ordinary memory\n"
    "  --quiet            say nothing but errors\n"
    "  --show[=SOCKET]    print the figures of a running apn-dpdk as JSON lines\n";

enum { PORT = 1, IP, GATEWAY, MAC, MTU, SOCKET, ALLOW, GROUP, USER, QUEUES, CPUS, SPIN, ZEROCOPY, NO_STEERING, HUGEPAGES, QUIET, SHOW, HELP };

static const struct option names[] = {
    {"port", required_argument, NULL, PORT},       {"ip", required_argument, NULL, IP},
    {"gateway", required_argument, NULL, GATEWAY}, {"mac", required_argument, NULL, MAC},
    {"mtu", required_argument, NULL, MTU},
    {"socket", required_argument, NULL, SOCKET},   {"allow-uid", required_argument, NULL, ALLOW},
    {"group", required_argument, NULL, GROUP},     {"user", required_argument, NULL, USER},
    {"queues", required_argument, NULL, QUEUES},   {"cpus", required_argument, NULL, CPUS},
    {"spin", required_argument, NULL, SPIN},       {"zero-copy", required_argument, NULL, ZEROCOPY},
    {"no-steering", no_argument, NULL, NO_STEERING}, {"hugepages", no_argument, NULL, HUGEPAGES},
    {"quiet", no_argument, NULL, QUIET},           {"show", optional_argument, NULL, SHOW},
    {"help", no_argument, NULL, HELP},             {0},
};

static int complain(const char *option, const char *value, const char *why)
{
    fprintf(stderr, "apn-dpdk: --%s=%s: %s\n", option, value, why);
    return -EINVAL;
}

static int parse_count(const char *option, const char *text, unsigned least, unsigned most, unsigned *out)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < least || value > most) {
        fprintf(stderr, "apn-dpdk: --%s=%s: must be a number from %u to %u\n", option, text, least, most);
        return -EINVAL;
    }
    *out = (unsigned)value;
    return 0;
}

static int parse_address(struct apn_options *o, const char *text)
{
    const char *slash = strchr(text, '/');
    struct apn_host_address *a = &o->addresses[o->n_addresses];
    char ip[APN_IP_TEXT];
    unsigned prefix;

    if (!slash || (size_t)(slash - text) >= sizeof(ip)) {
        return complain("ip", text, "must be ADDRESS/PREFIX, as 192.0.2.1/24 or 2001:db8::1/64");
    }
    if (o->n_addresses == APN_HOST_ADDRESSES - 1) { /* one is kept for the link-local address */
        return complain("ip", text, "more than 7 addresses");
    }
    snprintf(ip, sizeof(ip), "%.*s", (int)(slash - text), text);
    if (apn_ip_parse(ip, &a->ip) || apn_ip_is_zero(&a->ip) || apn_ip_is_multicast(&a->ip)) {
        return complain("ip", text, "is not the address of one host");
    }
    if (parse_count("ip", slash + 1, 1, a->ip.family == 6 ? 128 : 32, &prefix)) {
        return -EINVAL;
    }
    a->prefix = (uint8_t)prefix;
    o->n_addresses++;
    return 0;
}

static int parse_gateway(struct apn_options *o, const char *text)
{
    struct apn_ip ip;

    if (apn_ip_parse(text, &ip) || apn_ip_is_zero(&ip) || apn_ip_is_multicast(&ip)) {
        return complain("gateway", text, "is not the address of one host");
    }
    if (o->gateway[ip.family == 6].family) {
        return complain("gateway", text, "there is one of this family already");
    }
    o->gateway[ip.family == 6] = ip;
    return 0;
}

static int parse_mac(struct apn_options *o, const char *text)
{
    static const struct ether_addr nobody;
    struct ether_addr found;

    if (!ether_aton_r(text, &found)) {
        return complain("mac", text, "must be six bytes, as 02:00:00:00:00:01");
    }
    if (found.ether_addr_octet[0] & 1 || !memcmp(&found, &nobody, sizeof(found))) {
        return complain("mac", text, "is not the address of one host");
    }
    memcpy(o->mac, found.ether_addr_octet, sizeof(o->mac));
    return 0;
}

static int parse_allowed(struct apn_options *o, const char *text)
{
    const struct passwd *user = getpwnam(text);
    unsigned uid;

    if (o->n_allowed == APN_ALLOWED_MAX) {
        return complain("allow-uid", text, "more than 16 users");
    }
    if (user) {
        uid = user->pw_uid;
    } else if (parse_count("allow-uid", text, 0, UINT32_MAX - 1, &uid)) {
        return -EINVAL;
    }
    o->allowed[o->n_allowed++] = uid;
    return 0;
}

static int parse_cpus(struct apn_options *o, const char *text)
{
    char *copy = strdup(text), *save = NULL;
    int ret = copy ? 0 : -ENOMEM;

    for (char *word = copy ? strtok_r(copy, ",", &save) : NULL; word && !ret; word = strtok_r(NULL, ",", &save)) {
        if (o->n_cpus == APN_WORKERS_MAX) {
            ret = complain("cpus", text, "more than 16");
        } else {
            ret = parse_count("cpus", word, 0, 1023, &o->cpus[o->n_cpus++]);
        }
    }
    free(copy);
    return ret;
}

static int parse_zerocopy(struct apn_options *o, const char *text)
{
    static const char *const words[] = {"auto", "always", "never"};

    for (unsigned i = 0; i < 3; i++) {
        if (!strcmp(text, words[i])) {
            o->zerocopy = (enum apn_zerocopy)i;
            return 0;
        }
    }
    return complain("zero-copy", text, "must be auto, always or never");
}

static int take(struct apn_options *o, int name, const char *value)
{
    switch (name) {
    case PORT: o->port = value; return 0;
    case IP: return parse_address(o, value);
    case GATEWAY: return parse_gateway(o, value);
    case MAC: return parse_mac(o, value);
    case MTU: return parse_count("mtu", value, APN_MTU_MIN, APN_MTU_MAX, &o->mtu);
    case SOCKET: o->socket = value; return 0;
    case ALLOW: return parse_allowed(o, value);
    case GROUP: o->group = value; return 0;
    case USER: o->user = value; return 0;
    case QUEUES: return parse_count("queues", value, 1, APN_WORKERS_MAX, &o->queues);
    case CPUS: return parse_cpus(o, value);
    case SPIN: return parse_count("spin", value, 0, 1000000, &o->spin_us);
    case ZEROCOPY: return parse_zerocopy(o, value);
    case NO_STEERING: o->steer = false; return 0;
    case HUGEPAGES: o->hugepages = true; return 0;
    case QUIET: o->quiet = true; return 0;
    case SHOW: o->show = value ? value : APN_HELPER_SOCKET; return 0;
    case HELP: fputs(help, stdout); return 1;
    default: fprintf(stderr, "apn-dpdk: apn-dpdk --help shows what there is\n"); return -EINVAL;
    }
}

static int check(const struct apn_options *o)
{
    if (o->show) {
        return 0;
    }
    if (!o->port) {
        fprintf(stderr, "apn-dpdk: --port is missing: a PCI address, or a virtual device as net_af_packet0,iface=NAME\n");
        return -EINVAL;
    }
    if (!o->n_addresses) {
        fprintf(stderr, "apn-dpdk: --ip is missing: the address that this port has, as 192.0.2.1/24\n");
        return -EINVAL;
    }
    if (o->n_cpus && o->n_cpus != o->queues) {
        fprintf(stderr, "apn-dpdk: --cpus names %u, --queues says %u: they must be the same\n", o->n_cpus, o->queues);
        return -EINVAL;
    }
    if (o->user && !getpwnam(o->user)) {
        return complain("user", o->user, "there is no such user");
    }
    if (o->group && !getgrnam(o->group)) {
        return complain("group", o->group, "there is no such group");
    }
    return 0;
}

int apn_options_parse(struct apn_options *o, int argc, char **argv)
{
    int name, ret;

    *o = (struct apn_options){.socket = APN_HELPER_SOCKET, .queues = 1, .spin_us = APN_SPIN_US_DEFAULT, .steer = true};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        ret = take(o, name, optarg);
        if (ret) {
            return ret;
        }
    }
    if (optind < argc && strcmp(argv[optind - 1], "--")) {
        fprintf(stderr, "apn-dpdk: \"%s\": options of DPDK's EAL go behind \"--\"\n", argv[optind]);
        return -EINVAL;
    }
    if ((unsigned)(argc - optind) > APN_EAL_ARGS_MAX) {
        fprintf(stderr, "apn-dpdk: more than %u options for the EAL\n", APN_EAL_ARGS_MAX);
        return -EINVAL;
    }
    o->eal = argv + optind;
    o->n_eal = (unsigned)(argc - optind);
    return check(o);
}
