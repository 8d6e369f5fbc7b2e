/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watch.c - see watch.h; reads the same JSON as everybody else */
#include "watch.h"

#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS 1000000000
#define BAR_CELLS   20

/* what is shown of one direction; keys as in the answer to `stats` */
static const char *const shown[] = {"frames_in", "bytes_passed", "queue", "loss", "cut", "error", "port",
                                    "queue_bytes", "queue_bytes_max", "rate_gbps", "p50", "p99"};
enum { FRAMES_IN, BYTES_PASSED, QUEUE, LOSS, CUT, ERROR, PORT, QUEUE_BYTES, QUEUE_MAX, RATE, P50, P99, SHOWN };

struct picture {
    double value[PATH_WAYS][SHOWN];
    int64_t at_ns;
};

/* number after "key": from @json on, 0 when absent */
static double number_after(const char *json, const char *key)
{
    char quoted[32];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    at = strstr(json, quoted);
    return at ? strtod(at + strlen(quoted), NULL) : 0;
}

static int take(const char *name, struct picture *picture)
{
    static char answer[PATH_ANSWER_MAX];
    int result = path_control_ask(name, "stats", answer, sizeof(answer));
    double count;

    if (result < 0) {
        return result;
    }
    picture->at_ns = path_now();
    for (int way = 0; way < PATH_WAYS; way++) {
        const char *from = strstr(answer, way == PATH_WAY_AB ? "\"ab\":{" : "\"ba\":{");
        const char *dropped = from ? strstr(from, "\"dropped\":{") : NULL;

        if (!dropped) {
            return -EPROTO;
        }
        for (int i = 0; i < SHOWN; i++) {
            picture->value[way][i] = number_after(i >= QUEUE && i <= PORT ? dropped : from, shown[i]);
        }
        /* rate and queue are those of one wavelength */
        count = number_after(from, "wavelength_count");
        if (count > 1) {
            picture->value[way][RATE] *= count;
            picture->value[way][QUEUE_MAX] *= count;
        }
    }
    return 0;
}

static void print_way(const struct picture *now, const struct picture *before, int way)
{
    const double *n = now->value[way], *b = before->value[way];
    double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    double gbps = (n[BYTES_PASSED] - b[BYTES_PASSED]) * 8e-9 / seconds;
    double full = n[RATE] > 0 ? gbps / n[RATE] : 0;
    char bar[BAR_CELLS + 1];
    int cells = (int)(full * BAR_CELLS + 0.5);

    cells = cells < 0 ? 0 : cells > BAR_CELLS ? BAR_CELLS : cells;
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', (size_t)cells);
    bar[BAR_CELLS] = '\0';
    printf("%s [%s] %8.3f Gb/s %9.0f frames/s  queue %3.0f %%  dropped/s: queue %.0f loss %.0f cut %.0f other %.0f"
           "  late p50 %.0f p99 %.0f us\n", way == PATH_WAY_AB ? "a>b" : "b>a", bar, gbps,
           (n[FRAMES_IN] - b[FRAMES_IN]) / seconds, n[QUEUE_MAX] > 0 ? 100 * n[QUEUE_BYTES] / n[QUEUE_MAX] : 0,
           (n[QUEUE] - b[QUEUE]) / seconds, (n[LOSS] - b[LOSS]) / seconds, (n[CUT] - b[CUT]) / seconds,
           (n[ERROR] - b[ERROR] + n[PORT] - b[PORT]) / seconds, n[P50], n[P99]);
}

int path_watch(const char *name, unsigned count)
{
    struct picture before, now;
    int result = take(name, &before);

    for (unsigned i = 0; result == 0 && (count == 0 || i < count); i++) {
        struct timespec pause = {.tv_sec = INTERVAL_NS / 1000000000, .tv_nsec = INTERVAL_NS % 1000000000};

        nanosleep(&pause, NULL);
        result = take(name, &now);
        if (result < 0) {
            return result == -ENOENT || result == -EIO ? 0 : result;
        }
        if (i > 0 && isatty(STDOUT_FILENO)) {
            fputs("\033[2A\033[J", stdout);
        }
        for (int way = 0; way < PATH_WAYS; way++) {
            if (now.value[way][FRAMES_IN] < before.value[way][FRAMES_IN]) {
                memset(before.value, 0, sizeof(before.value)); /* somebody else's reset */
            }
            print_way(&now, &before, way);
        }
        if (fflush(stdout) != 0) {
            return -errno;
        }
        before = now;
    }
    return result;
}
