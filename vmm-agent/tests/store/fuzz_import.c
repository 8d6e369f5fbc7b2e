/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_import.c - libFuzzer target: any bytes as an export to import
 * Owner: none.   Thread: one.   Time: none.   Units: none.
 *
 * What is refused must leave nothing and say why; what is taken must be sound, must export, and
 * its export must import into an empty store and add the same number of records. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct agent_store *open_store(void)
{
    struct agent_store *store = NULL;

    if (agent_store_open(":memory:", &store, NULL) < 0) {
        abort();
    }
    return store;
}

static int64_t export_to(struct agent_store *store, char **text, size_t *size)
{
    FILE *out = open_memstream(text, size);
    int64_t records = out != NULL ? agent_store_export(store, out, NULL) : -1;

    if (out == NULL || fclose(out) != 0 || records < 0) {
        abort();
    }
    return records;
}

static int64_t import_from(struct agent_store *store, const void *text, size_t size,
                           struct agent_error *error)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, size, "r");

    if (in == NULL) {
        abort();
    }
    int64_t added = agent_store_import(store, in, "fuzz", error);
    fclose(in);
    return added;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct agent_error error = {0};
    char *text = NULL;
    size_t length = 0;

    if (size == 0) {
        return 0;
    }
    struct agent_store *store = open_store();
    int64_t added = import_from(store, bytes, size, &error);
    int64_t there = export_to(store, &text, &length);
    if (added < 0 ? error.text[0] == '\0' || there != 0 : there > added) {
        abort();
    }
    if (added > 0) {
        struct agent_store *again = open_store();
        if (agent_store_check(store, &error) < 0 ||
            import_from(again, text, length, &error) != there) {
            abort();
        }
        agent_store_close(again);
    }
    free(text);
    agent_store_close(store);
    return 0;
}
