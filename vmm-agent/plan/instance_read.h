/* SPDX-License-Identifier: GPL-2.0-or-later */
/* instance_read.h - what the files that read an instance share
 * Owner: struct plan_reader lives on the stack of agent_plan_instance_parse().
 * Thread: one.   Time: none.   Units: as in instance.h. */
#ifndef AGENT_PLAN_INSTANCE_READ_H
#define AGENT_PLAN_INSTANCE_READ_H

#include "plan/instance.h"
#include "support/json.h"

#define PLAN_WHERE_MAX 160

/** struct plan_reader - @where is the place shown in messages */
struct plan_reader {
    struct agent_plan_instance *instance;
    struct agent_error *error;
    char where[PLAN_WHERE_MAX];
};

/** struct plan_series_rule - how one per-slot key is read
 * @fallback: value of an absent key, used when @required is false
 * @signal:   name of the signal when null stands for "unknown", or NULL when null is refused */
struct plan_series_rule {
    const char *key;
    struct agent_range range;
    bool required;
    double fallback;
    const char *signal;
};

/** plan_read_series() - a number, or an array of one number per slot
 * @null_slot: first slot that is null, -1 when none; may be NULL when the rule has no signal
 * Return: 0 with *@out from the arena, or -errno. */
int plan_read_series(struct plan_reader *reader, const json_t *object,
                     const struct plan_series_rule *rule, double **out, int *null_slot);

/** plan_read_id() - the member's "id", copied, after which @where names it */
int plan_read_id(struct plan_reader *reader, const json_t *object, const char *list, size_t index,
                 const char **out);

/** plan_find_site() - index of a site, or -ENOENT */
int plan_find_site(const struct agent_plan_instance *instance, const char *id);

/** plan_need_site() - required text @key that names a site; the error names the nearest id */
int plan_need_site(struct plan_reader *reader, const json_t *object, const char *key, int *out);

/** plan_note_unknown() - record an unknown signal; texts are copied
 * Return: 0 or -ENOMEM. */
int plan_note_unknown(struct plan_reader *reader, const struct plan_unknown *unknown);

int plan_read_sites(struct plan_reader *reader, const json_t *root);
int plan_read_areas(struct plan_reader *reader, const json_t *root);
int plan_read_links(struct plan_reader *reader, const json_t *root);
int plan_read_groups(struct plan_reader *reader, const json_t *root);
int plan_read_rules(struct plan_reader *reader, const json_t *root);   /* affinity, limits */
int plan_read_unknown(struct plan_reader *reader, const json_t *root); /* after the others */

#endif
