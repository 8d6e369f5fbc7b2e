/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fixture.h - small made-up files in every format the adapters read, with the operators' quirks
 * Owner: struct fixture_file owns its bytes.   Thread: any.
 * Time:  2026-04-01 and -02 (JST).             Units: as the files.
 *
 * Values are functions of (area, column, slot), so that a test can say what must come out. */
#ifndef TEST_GRID_FIXTURE_H
#define TEST_GRID_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "grid/series.h"

#define FIXTURE_NOW_S INT64_C(1775437200) /* 2026-04-06 10:00 JST */
#define FIXTURE_SLOTS 96
#define FIXTURE_COUNT 24

enum fixture_encoding { FIXTURE_UTF8, FIXTURE_UTF8_BOM, FIXTURE_CP932 };

struct fixture_file {
    char name[64];
    char format[AGENT_FORMAT_MAX];
    enum fixture_encoding encoding;
    char *text; /* UTF-8 with LF */
    size_t text_size;
    char *bytes; /* as on disk */
    size_t size;
};

/** fixture_make() - file @index, 0..FIXTURE_COUNT - 1: the ten areas' actuals, three forecasts,
 * a plan, a result, two usage forecasts, two spot files, imbalance, outlook, lines (5 and 30
 * minutes), JSON lines. Never fails (aborts when out of memory). */
void fixture_make(int index, struct fixture_file *file);
void fixture_done(struct fixture_file *file);

/** fixture_encode() - UTF-8 text to any encoding iconv knows; NULL when it cannot be told in it */
char *fixture_encode(const char *text, size_t size, const char *encoding, size_t *out_size);

/** fixture_mw() - what an area's actuals say: integer MW, sources adding up to the total */
int fixture_mw(enum agent_area area, enum agent_quantity quantity, int slot);

/** fixture_price() - spot price in hundredths of JPY/kWh */
int fixture_price(enum agent_area area, int slot);

#endif
