/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory.h - what there is: sites, hosts, links, groups of virtual machines and each machine
 * Owner: struct agent_inventory owns everything it points to, _load/_free; read-only afterwards.
 * Thread: any once loaded.
 * Time:  none.   Units: kW, W, kWh, MiB, cores, Gb/s (10^9 bit), ms; slots of half an hour.
 *
 * Sections `sites`, `hosts`, `links`, `groups`, `vms` of the configuration; docs/act.md has an
 * example with every key. What is *true* (where a guest runs, its state, its power) is not here but
 * in act/: the inventory says what may be, QEMU says what is.
 *
 * A machine is started by a command line of the operator's: words, no shell. In every word {vm},
 * {group}, {host}, {site}, {address}, {epoch}, {qmp}, {dir}, {log}, {ram_mib}, {cpu} and the names
 * under the machine's `set:` are replaced; a word that is just {incoming} becomes "-incoming defer"
 * (with "-S" where the agent has to say `cont`) for a destination and nothing for a boot. */
#ifndef AGENT_ACT_INVENTORY_H
#define AGENT_ACT_INVENTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "grid/series.h"
#include "support/yaml.h"

#define AGENT_SITES_MAX          64
#define AGENT_HOSTS_MAX          512
#define AGENT_LINKS_MAX          1024
#define AGENT_GROUPS_MAX         1024
#define AGENT_VMS_MAX            4096
#define AGENT_WORDS_MAX          200
#define AGENT_DISKS_MAX          8
#define AGENT_SETS_MAX           16
#define AGENT_INVENTORY_NAME_MAX 48 /* bytes of a name, its end included */
#define AGENT_SOCKET_PATH_MAX    108

/** struct agent_battery_spec - declared; its level comes from the signals (place = @name) */
struct agent_battery_spec {
    const char *name; /* NULL = the site has none */
    double charge_kw, discharge_kw;
    double charge_efficiency, discharge_efficiency; /* (0, 1] */
    double soc_kwh;                                 /* assumed while no reading is there */
    double soc_min_kwh, soc_max_kwh;
};

/** struct agent_inventory_site - @paper: planned with, but nothing is started or moved there
 * @power_kw: facility limit; @contract_kw: import limit; both INFINITY when not given
 * @renewable_kw: peak of the site's own or contracted renewable power; what it gives by slot
 *                follows the area's (see docs/act.md) */
struct agent_inventory_site {
    const char *name;
    const char *title; /* for people, any script; the name when not given */
    enum agent_area area;
    bool paper;
    double power_kw;
    double contract_kw;
    double demand_yen_per_kw;
    double pue;
    double renewable_kw;
    struct agent_battery_spec battery;
    const struct agent_yaml *node; /* for sections of other folders */
};

/** struct agent_inventory_host - @local: its QEMUs are processes of this machine, so that "gone"
 * can be proved; otherwise only @fence proves it
 * @address: where the other hosts reach it; migration listens on ports @port_first..@port_last
 * @directory: holds the QMP sockets NAME.EPOCH.qmp and logs
 * @apn: its QEMU knows `apn:`; asked of QEMU too, and the declared word wins only when it is no
 * @idle_w, @busy_w: declared power model, with all of @cpu busy */
struct agent_inventory_host {
    const char *name;
    int site;
    const char *address;
    const char *directory;
    const char *accelerator; /* for people */
    bool local;
    bool apn;
    double cpu;
    double ram_mib;
    double idle_w;
    double busy_w;
    int port_first, port_last;
    const char *secret; /* path of a migration secret on that host, or NULL */
    const char *cgroup; /* delegated cgroup directory for caps, or NULL */
    size_t fence_count; /* words; exit 0 = {vm} does not run there and never will */
    const char **fence;
    size_t prefix_count; /* words in front of every command for this host */
    const char **prefix;
};

/** struct agent_inventory_link - both directions between two sites
 * @rate_gbit_s: declared, until something was measured; @share: of it, for migrations, (0, 1]
 * @concurrent: migrations at once, 1..64 */
struct agent_inventory_link {
    int a, b; /* sites */
    double rate_gbit_s;
    double share;
    double rtt_ms;
    double yen_per_gb;
    int concurrent;
};

/** struct agent_disk_spec - a local disk that travels with the machine by QEMU's NBD mirror
 * @node: block node name on both ends */
struct agent_disk_spec {
    const char *node;
    double gib;
};

enum agent_flex { AGENT_FLEX_NONE, AGENT_FLEX_CAP, AGENT_FLEX_PAUSE, AGENT_FLEX_MIGRATE };

/** struct agent_inventory_group - machines that are alike; the planner's group */
struct agent_inventory_group {
    const char *name;
    double cpu;
    double ram_mib;
    double power_w; /* per machine, until measured */
    double min_dwell_slots;
    double yen_per_move;
    double yen_per_blackout_s;
    double downtime_ms;
    uint64_t sites; /* bit per site where it may run */
    unsigned flex;  /* bit per enum agent_flex: what demand response may do to it */
    size_t start_count, prepare_count, announce_count;
    const char **start;    /* command that starts QEMU */
    const char **prepare;  /* run before it at the destination (make disk files), or none */
    const char **announce; /* run after a move (routes, DNS), or none */
    bool shared_storage;   /* writable disks not listed under @disks are seen by all hosts */
    size_t disk_count;
    struct agent_disk_spec disks[AGENT_DISKS_MAX];
    const struct agent_yaml *node;
};

struct agent_set {
    const char *name;
    const char *value;
};

/** struct agent_inventory_vm - @host: where it is booted when it runs nowhere and @boot is set */
struct agent_inventory_vm {
    const char *name;
    int group;
    int host;
    bool boot;
    bool pinned; /* never moved by a plan; a person may */
    size_t set_count;
    struct agent_set sets[AGENT_SETS_MAX];
};

struct agent_inventory {
    size_t site_count, host_count, link_count, group_count, vm_count;
    struct agent_inventory_site *sites;
    struct agent_inventory_host *hosts;
    struct agent_inventory_link *links;
    struct agent_inventory_group *groups;
    struct agent_inventory_vm *vms;
    void **blocks; /* what else to free */
    size_t block_count;
};

/** agent_inventory_read() - from a loaded configuration; @root is borrowed and must outlive it
 * Everything is checked: names unique, references known, numbers in range, commands usable.
 * Return: 0, -EINVAL or -ENOENT with file, line and column, -ENOMEM. */
int agent_inventory_read(const struct agent_yaml *root, struct agent_inventory **out,
                         struct agent_error *error);

/** agent_inventory_free() - NULL is fine */
void agent_inventory_free(struct agent_inventory *inventory);

/** agent_inventory_site_of() and the like - index of a name, or -1 */
int agent_inventory_site_of(const struct agent_inventory *inventory, const char *name);
int agent_inventory_host_of(const struct agent_inventory *inventory, const char *name);
int agent_inventory_group_of(const struct agent_inventory *inventory, const char *name);
int agent_inventory_vm_of(const struct agent_inventory *inventory, const char *name);

/** agent_inventory_link_of() - the link that joins two sites, or -1 */
int agent_inventory_link_of(const struct agent_inventory *inventory, int site, int other);

/** struct agent_words - a command line, NULL-ended, owned */
struct agent_words {
    size_t count;
    char *words[AGENT_WORDS_MAX + 1];
};

enum agent_command_kind {
    AGENT_WORDS_BOOT,
    AGENT_WORDS_DEST,        /* waits for a migration and runs by itself when it has come */
    AGENT_WORDS_DEST_PAUSED, /* the same, but waits for `cont` */
    AGENT_WORDS_PREPARE,
    AGENT_WORDS_ANNOUNCE,
    AGENT_WORDS_FENCE
};

/** agent_inventory_words() - the command of @kind for a machine at a host, placeholders filled
 * @epoch: which start of this machine it is: part of the socket's name
 * Return: 0 with @out to be freed by agent_words_done(); -ENOENT (no such command is declared);
 * -EINVAL (an unknown placeholder, a path too long), -ENOMEM. */
int agent_inventory_words(const struct agent_inventory *inventory, enum agent_command_kind kind,
                          int vm, int host, long long epoch, struct agent_words *out,
                          struct agent_error *error);

void agent_words_done(struct agent_words *words);

/** agent_inventory_socket() - path of the QMP socket of one start of a machine
 * Return: 0, or -ENAMETOOLONG (a unix socket's path has at most 107 bytes). */
int agent_inventory_socket(const struct agent_inventory *inventory, int vm, int host,
                           long long epoch, char *out, size_t size);

#endif
