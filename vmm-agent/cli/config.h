/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config.h - the operator's YAML file, checked as a whole before anything runs
 * Owner: struct agent_config, _load/_done.   Thread: main.
 * Time:  none.                               Units: in each key's name. */
#ifndef AGENT_CLI_CONFIG_H
#define AGENT_CLI_CONFIG_H

#include "grid/source.h"
#include "store/store.h"
#include "support/yaml.h"

#define AGENT_CONFIG_SOURCES_MAX 64

/** struct agent_config - texts are borrowed from @root
 * Sections that belong to other folders are read by them from @root with the agent_yaml_ getters;
 * the section names sites, hosts, links, groups, vms, act, dr, api, plan, forecast and simulate are
 * reserved for them. */
struct agent_config {
    struct agent_yaml *root; /* NULL when there is no file */
    const char *store_path;
    struct agent_retention retention;
    size_t source_count;
    struct agent_source_config sources[AGENT_CONFIG_SOURCES_MAX];
};

/** agent_config_load() - @path NULL = built-in defaults (store vmm-agent.db, no sources)
 * Return: 0, or -errno with file, line and column. */
int agent_config_load(const char *path, struct agent_config *config, struct agent_error *error);

/** agent_config_done() - free; a zeroed struct is fine */
void agent_config_done(struct agent_config *config);

#endif
