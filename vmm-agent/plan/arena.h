/* SPDX-License-Identifier: GPL-2.0-or-later */
/* arena.h - memory that is freed in one go, zeroed when handed out
 * Owner: embedded in the instance, the model and the plan.   Thread: one at a time.
 * Time:  none.                                               Units:  bytes. */
#ifndef AGENT_PLAN_ARENA_H
#define AGENT_PLAN_ARENA_H

#include <stddef.h>

struct plan_arena {
    struct plan_chunk *chunks;
};

/** plan_arena_get() - @count members of @size bytes, zeroed, aligned to 16
 * Return: the memory, NULL when there is none left or the product overflows. */
void *plan_arena_get(struct plan_arena *arena, size_t count, size_t size);

/** plan_arena_text() - copy of a string, or NULL */
char *plan_arena_text(struct plan_arena *arena, const char *text);

/** plan_arena_done() - frees everything; a zeroed arena is fine */
void plan_arena_done(struct plan_arena *arena);

#endif
