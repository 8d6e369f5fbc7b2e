/* SPDX-License-Identifier: GPL-2.0-or-later */
/* write_fixtures.c - writes every fixture of one format into a directory: seeds for the fuzzer,
 * shortened to a few rows
 * usage: write_fixtures FORMAT DIRECTORY */
#include <stdio.h>
#include <string.h>

#include "tests/grid/fixture.h"

#define SEED_BYTES_MAX 3000

int main(int argc, char **argv)
{
    int wrote = 0;

    for (int index = 0; argc == 3 && index < FIXTURE_COUNT; index++) {
        struct fixture_file file;
        char path[512];
        fixture_make(index, &file);
        snprintf(path, sizeof(path), "%s/%s", argv[2], file.name);
        size_t size = file.size;
        if (strcmp(file.format, "outlook") != 0) { /* a page is only whole as a whole */
            size = size > SEED_BYTES_MAX ? SEED_BYTES_MAX : size;
            while (size > 0 && file.bytes[size - 1] != '\n') {
                size--;
            }
        }
        FILE *out = strcmp(file.format, argv[1]) == 0 ? fopen(path, "we") : NULL;
        if (out != NULL) {
            wrote += fwrite(file.bytes, 1, size, out) == size ? 1 : 0;
            fclose(out);
        }
        fixture_done(&file);
    }
    return wrote > 0 ? 0 : 1;
}
