/* SPDX-License-Identifier: GPL-2.0-or-later */
/* arena.c - chunks of memory, each larger than the last request, freed together
 * Owner: struct plan_arena.   Thread: one at a time.   Time: none.   Units: bytes. */
#include "plan/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)256 * 1024)
#define ALIGNMENT   ((size_t)16)

struct plan_chunk {
    struct plan_chunk *next;
    size_t used;
    size_t size;
    _Alignas(16) char bytes[];
};

static struct plan_chunk *chunk_new(struct plan_arena *arena, size_t need)
{
    size_t size = need > CHUNK_BYTES ? need : CHUNK_BYTES;
    struct plan_chunk *chunk = calloc(1, sizeof(*chunk) + size);

    if (chunk == NULL) {
        return NULL;
    }
    chunk->size = size;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return chunk;
}

void *plan_arena_get(struct plan_arena *arena, size_t count, size_t size)
{
    struct plan_chunk *chunk = arena->chunks;
    size_t need;

    if (__builtin_mul_overflow(count, size, &need) || need > SIZE_MAX / 2) {
        return NULL;
    }
    need = (need + ALIGNMENT) & ~(ALIGNMENT - 1); /* never 0, so that NULL means failure only */
    if (chunk == NULL || chunk->size - chunk->used < need) {
        chunk = chunk_new(arena, need);
        if (chunk == NULL) {
            return NULL;
        }
    }
    void *out = chunk->bytes + chunk->used;
    chunk->used += need;
    return out;
}

char *plan_arena_text(struct plan_arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *out = plan_arena_get(arena, size, 1);

    return out != NULL ? memcpy(out, text, size) : NULL;
}

void plan_arena_done(struct plan_arena *arena)
{
    struct plan_chunk *chunk = arena->chunks;

    while (chunk != NULL) {
        struct plan_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    arena->chunks = NULL;
}
