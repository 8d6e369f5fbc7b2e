/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lines.c - flows on the lines between areas, with their capacities (連系線潮流実績)
 * Owner: none.   Thread: the caller's.
 * Time:  from the file (JST, end of each 5 or 30 minutes).   Units: MW.
 *
 * Positive is the forward direction (順方向), from the first area of the line's name to the second;
 * the file gives the reverse capacity as a negative number and so do the series. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "grid/reader.h"
#include "support/text.h"

#define LINE_COUNT 15

/* FLOW and what stands before it are read; the rest is known only to notice an exchange. */
enum column {
    LINE,
    DAY,
    TIME,
    FORWARD,
    REVERSE,
    FRAME_FORWARD,
    FRAME_REVERSE,
    MARGIN_FORWARD,
    MARGIN_REVERSE,
    FREE_FORWARD,
    FREE_REVERSE,
    PLAN_FORWARD,
    PLAN_REVERSE,
    FLOW,
    COLUMN_COUNT
};

static const char *const keys[COLUMN_COUNT] = {"連系線",
                                               "対象日付",
                                               "対象時刻",
                                               "運用容量(順方向)",
                                               "運用容量(逆方向)",
                                               "広域調整枠(順方向)",
                                               "広域調整枠(逆方向)",
                                               "マージン(順方向)",
                                               "マージン(逆方向)",
                                               "空容量(順方向)",
                                               "空容量(逆方向)",
                                               "計画潮流(順方向)",
                                               "計画潮流(逆方向)",
                                               "潮流実績"};

static bool read_column(int index)
{
    return index <= REVERSE || index == FLOW;
}

/* largest_mw: above any capacity planned for the line, to catch slips. */
static const struct {
    const char *key;
    const char *place;
    double largest_mw;
} lines[LINE_COUNT] = {
    {"北海道・本州間電力連系設備", "hokkaido-tohoku", 2000},
    {"相馬双葉幹線", "tohoku-tokyo", 15000},
    {"周波数変換設備", "tokyo-chubu", 4500},
    {"中部フェンス", "chubu-fence", 8000},
    {"北陸フェンス", "hokuriku-fence", 5000},
    {"関西フェンス", "kansai-fence", 10000},
    {"三重東近江線", "chubu-kansai", 6000},
    {"南福光連系所・南福光変電所の連系設備", "chubu-hokuriku", 1000},
    {"越前嶺南線", "hokuriku-kansai", 4000},
    {"西播東岡山線・山崎智頭線", "kansai-chugoku", 9000},
    {"関西-中国(東)", "kansai-chugoku-east", 9000},
    {"関西-中国(西)", "kansai-chugoku-west", 9000},
    {"阿南紀北直流幹線", "kansai-shikoku", 2500},
    {"本四連系線", "chugoku-shikoku", 2500},
    {"関門連系線", "chugoku-kyushu", 6000},
};

struct flows {
    struct grid_reader *reader;
    struct grid_column columns[COLUMN_COUNT];
    struct grid_table tables[LINE_COUNT];
    size_t width;
    bool five_minutes;
    bool reordered;
};

static bool match(const struct grid_reader *reader)
{
    return strstr(reader->head, "対象日付") != NULL && strstr(reader->head, "潮流実績") != NULL;
}

static int read_header(struct flows *flows)
{
    struct grid_reader *reader = flows->reader;

    for (int banner = 0; banner < GRID_BANNER_MAX; banner++) {
        char key[GRID_KEY_MAX];
        int status = grid_next_row(reader);
        if (status <= 0) {
            return status < 0 ? status
                              : grid_fail(reader, 0, "expected the column names, found the end");
        }
        if (agent_text_key(reader->row.fields[0], key, sizeof(key)) < 0 ||
            strcmp(key, keys[LINE]) != 0) {
            continue;
        }
        for (int index = 0; index < COLUMN_COUNT; index++) {
            flows->columns[index] = (struct grid_column){keys[index], read_column(index), -1};
        }
        int width = grid_columns(reader, flows->columns, COLUMN_COUNT, true, &flows->reordered);
        flows->width = width > 0 ? (size_t)width : 0;
        return width < 0 ? width : 0;
    }
    return grid_fail(reader, 0, "expected the column '連系線' within the first %d rows",
                     GRID_BANNER_MAX);
}

static int find_line(struct flows *flows)
{
    struct grid_reader *reader = flows->reader;
    size_t at = (size_t)flows->columns[LINE].at;
    char key[GRID_KEY_MAX] = "";

    if (agent_text_key(reader->row.fields[at], key, sizeof(key)) == 0) {
        for (int line = 0; line < LINE_COUNT; line++) {
            char known[GRID_KEY_MAX];
            if (agent_text_key(lines[line].key, known, sizeof(known)) == 0 &&
                strcmp(known, key) == 0) {
                return line;
            }
        }
    }
    return grid_fail(reader, at, "unknown line '%.90s'", key);
}

static int read_end(struct flows *flows, int64_t *end_s)
{
    struct grid_reader *reader = flows->reader;
    size_t at = (size_t)flows->columns[TIME].at;
    int minutes = grid_minutes(reader->row.fields[at]);
    struct agent_date date;
    int status = grid_date(reader, (size_t)flows->columns[DAY].at, &date);

    if (status < 0) {
        return status;
    }
    if (minutes <= 0 || minutes % 5 != 0) {
        return grid_fail(reader, at, "expected the end of 5 minutes, 0:05 to 24:00, found '%.20s'",
                         reader->row.fields[at]);
    }
    flows->five_minutes = flows->five_minutes || minutes % 30 != 0;
    *end_s = agent_date_start(date) + minutes * 60;
    return 0;
}

static int read_row(struct flows *flows)
{
    struct grid_reader *reader = flows->reader;
    int64_t end_s = 0;
    int status = grid_row_width(reader, flows->width);
    int line = status < 0 ? status : find_line(flows);

    status = line < 0 ? line : read_end(flows, &end_s);
    if (status < 0) {
        return status;
    }
    /* The length is known only at the end of the file: until then records hold the end. */
    struct grid_record *record = grid_table_add(&flows->tables[line], end_s, 1, reader->row.line);
    if (record == NULL) {
        return -ENOMEM;
    }
    for (int index = FORWARD; index < COLUMN_COUNT && status >= 0; index++) {
        size_t at = (size_t)flows->columns[index].at;
        if (!read_column(index)) {
            continue;
        }
        status = grid_number(reader, at, keys[index], &record->values[index]);
        if (!reader->row.complete && at + 1 == reader->row.count) {
            record->doubtful_column = index;
        }
    }
    double largest = lines[line].largest_mw;
    bool odd = record->values[FORWARD] < 0 || record->values[REVERSE] > 0 ||
               record->values[FORWARD] > largest || record->values[REVERSE] < -largest ||
               fabs(record->values[FLOW]) > largest;
    record->quality |= odd ? AGENT_QUALITY_RANGE : 0;
    record->quality |= flows->reordered ? AGENT_QUALITY_LAYOUT : 0;
    return status < 0 ? status : 0;
}

static int emit_line(struct flows *flows, int line)
{
    static const enum agent_quantity quantities[COLUMN_COUNT] = {
        [FORWARD] = AGENT_LINE_CAPACITY_FORWARD,
        [REVERSE] = AGENT_LINE_CAPACITY_REVERSE,
        [FLOW] = AGENT_LINE_FLOW};
    struct grid_table *table = &flows->tables[line];
    int32_t length_s = flows->five_minutes ? 300 : AGENT_SLOT_SECONDS;

    for (size_t index = 0; index < table->count; index++) {
        table->records[index].start_s -= length_s;
        table->records[index].length_s = length_s;
    }
    int status = grid_table_sort(table, flows->reader);
    for (int index = FORWARD; index < COLUMN_COUNT && status == 0 && table->count > 0; index++) {
        if (!read_column(index)) {
            continue;
        }
        status =
            grid_table_emit(table, (size_t)index, 1,
                            agent_batch_series(flows->reader->batch, AGENT_AREA_NONE,
                                               quantities[index], AGENT_ACTUAL, lines[line].place));
    }
    return status;
}

static int parse(struct grid_reader *reader)
{
    struct flows flows = {.reader = reader};
    int status = 0;

    for (int line = 0; line < LINE_COUNT; line++) {
        grid_table_init(&flows.tables[line], COLUMN_COUNT);
    }
    status = read_header(&flows);
    while (status >= 0) {
        status = grid_next_row(reader);
        if (status <= 0) {
            break;
        }
        status = read_row(&flows);
    }
    for (int line = 0; line < LINE_COUNT; line++) {
        status = status < 0 ? status : emit_line(&flows, line);
        grid_table_done(&flows.tables[line]);
    }
    return status;
}

const struct grid_adapter grid_lines = {"lines", match, parse};
