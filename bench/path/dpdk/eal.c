/* SPDX-License-Identifier: GPL-2.0-or-later */
/* eal.c - see eal.h */
#include "eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX     40
#define WORD_BYTES    800
#define LIST_BYTES    768
#define CPUS_BYTES    32 /* the list of processors, once per lcore */
#define SAID_READ_MAX 4096
#define SPARE_BYTES   (UINT64_C(48) << 20) /* DPDK's own tables, and rounding */

struct words {
    int count;
    char *word[WORDS_MAX + 1];
    char room[WORDS_MAX][WORD_BYTES];
};

static FILE *quiet;    /* what DPDK says when nobody wants to see it */
static long said_from; /* what it said at its start explains nothing later */

static void add(struct words *words, const char *format, const char *value)
{
    if (words->count < WORDS_MAX) {
        words->word[words->count] = words->room[words->count];
        snprintf(words->room[words->count++], WORD_BYTES, format, value);
    }
}

bool path_eal_is_pci(const char *device)
{
    unsigned domain, bus, slot, function;
    int used = 0;

    return (sscanf(device, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &used) == 4 ||
            sscanf(device, "%2x:%2x.%1x%n", &bus, &slot, &function, &used) == 3) &&
           (device[used] == '\0' || device[used] == ',');
}

/* The processors that we may use, as "0-3,8", as many as fit; Return: how many are in @processor */
static int list_processors(int processor[CPU_SETSIZE], char list[CPUS_BYTES])
{
    cpu_set_t allowed;
    int count = 0;
    size_t n = 0;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0) {
        CPU_ZERO(&allowed);
        CPU_SET(0, &allowed);
    }
    for (int i = 0; i < CPU_SETSIZE; i++) {
        int first = i;

        if (!CPU_ISSET(i, &allowed)) {
            continue;
        }
        for (; i < CPU_SETSIZE && CPU_ISSET(i, &allowed); i++) {
            processor[count++] = i;
        }
        if (n + 12 < CPUS_BYTES) {
            n += (size_t)snprintf(list + n, CPUS_BYTES - n, "%s%d-%d", n ? "," : "", first, i - 1);
        }
    }
    return count;
}

/* "0@(0-1),1@(0-1)": every lcore may run on every processor that we may use, and the scheduler places it.
 * With network cards each worker gets a processor of its own as far as they reach: @pinned */
static void lcores(unsigned workers, bool pinned, char out[LIST_BYTES])
{
    int processor[CPU_SETSIZE];
    char all[CPUS_BYTES];
    int count = list_processors(processor, all);
    size_t n = (size_t)snprintf(out, LIST_BYTES, "0@(%s)", all);

    for (unsigned w = 1; w <= workers && n < LIST_BYTES; w++) {
        if (pinned && count > 1) {
            n += (size_t)snprintf(out + n, LIST_BYTES - n, ",%u@%d", w, processor[w % (unsigned)count]);
        } else {
            n += (size_t)snprintf(out + n, LIST_BYTES - n, ",%u@(%s)", w, all);
        }
    }
}

static int add_plugin(struct words *words, const char *library)
{
    char pattern[WORD_BYTES];
    glob_t found;
    int result = -ENOENT;

    snprintf(pattern, sizeof(pattern), "%s/librte_%s.so*", RTE_EAL_PMD_PATH, library);
    if (glob(pattern, 0, NULL, &found) == 0) {
        add(words, "%s", "-d");
        add(words, "%s", found.gl_pathv[0]);
        result = 0;
    }
    globfree(&found);
    return result;
}

/* Without a list DPDK loads every driver that it has, more than a hundred libraries. Our own devices need
 * three. Return: 0; -ENOENT when a driver is not installed (@text says which). */
static int add_plugins(struct words *words, const struct path_eal_want *want, char *text, size_t text_bytes)
{
    if (add_plugin(words, "bus_vdev") < 0 || add_plugin(words, "mempool_ring") < 0 ||
        add_plugin(words, "mempool_stack") < 0) {
        return 0; /* linked in, or elsewhere: DPDK's own way of finding them */
    }
    for (int end = 0; end < PATH_ENDS; end++) {
        char driver[64];
        size_t n = strcspn(want->device[end], ",");

        while (n > 0 && isdigit((unsigned char)want->device[end][n - 1])) {
            n--;
        }
        snprintf(driver, sizeof(driver), "%.*s", (int)n, want->device[end]);
        if (add_plugin(words, driver) < 0) {
            snprintf(text, text_bytes, "port %c: DPDK has no driver '%s' (no librte_%s.so in %s)", 'A' + end, driver,
                     driver, RTE_EAL_PMD_PATH);
            return -ENOENT;
        }
    }
    return 0;
}

static int add_words(struct words *words, const struct path_eal_want *want, char *text, size_t text_bytes)
{
    bool pci = path_eal_is_pci(want->device[0]) || path_eal_is_pci(want->device[1]);
    char list[LIST_BYTES];

    add(words, "%s", "apn-path-dpdk");
    add(words, "%s", "--no-telemetry");
    add(words, "--file-prefix=apn-path-%s", want->name);
    lcores(want->workers, pci, list);
    add(words, "--lcores=%s", list);
    if (want->hugepages) {
        add(words, "%s", "--in-memory");
    } else {
        add(words, "%s", "--no-huge");
        add(words, "%s", "--no-shconf");
        snprintf(list, sizeof(list), "%llu", (unsigned long long)((want->memory_bytes + SPARE_BYTES) >> 20));
        add(words, "%s", "-m");
        add(words, "%s", list);
    }
    if (!pci) {
        add(words, "%s", "--no-pci");
        return add_plugins(words, want, text, text_bytes);
    }
    for (int end = 0; end < PATH_ENDS; end++) {
        if (path_eal_is_pci(want->device[end])) {
            add(words, "--allow=%s", want->device[end]); /* no other is touched */
        }
    }
    return 0;
}

int path_eal_start(const struct path_eal_want *want, char *text, size_t text_bytes)
{
    static struct words words; /* DPDK keeps pointers to its arguments */
    int result;

    if (!want->verbose) {
        quiet = tmpfile();
        if (quiet) {
            setvbuf(quiet, NULL, _IOLBF, 0);
            rte_openlog_stream(quiet);
        }
    }
    result = add_words(&words, want, text, text_bytes);
    if (result < 0) {
        return result;
    }
    if (rte_eal_init(words.count, words.word) < 0) {
        char said[200];

        result = rte_errno > 0 ? -rte_errno : -EIO;
        path_eal_said(said, sizeof(said));
        snprintf(text, text_bytes, "DPDK does not start (%s memory, %llu MiB): %s%s%s",
                 want->hugepages ? "hugepage" : "ordinary", (unsigned long long)(want->memory_bytes >> 20),
                 strerror(-result), said[0] ? ": " : "", said);
        return result;
    }
    if (quiet && fflush(quiet) == 0) {
        said_from = ftell(quiet);
    }
    return 0;
}

void path_eal_said(char *said, size_t said_bytes)
{
    char tail[SAID_READ_MAX];
    const char *from = tail, *next;
    long end;
    size_t n;

    said[0] = '\0';
    if (!quiet || fflush(quiet) != 0 || fseek(quiet, 0, SEEK_END) != 0 || (end = ftell(quiet)) <= said_from) {
        return;
    }
    fseek(quiet, end - said_from > (long)sizeof(tail) - 1 ? end - (long)sizeof(tail) + 1 : said_from, SEEK_SET);
    n = fread(tail, 1, sizeof(tail) - 1, quiet);
    while (n > 0 && isspace((unsigned char)tail[n - 1])) {
        n--;
    }
    tail[n] = '\0';
    /* whole lines from the end, as many as fit */
    while (strlen(from) >= said_bytes && (next = strchr(from, '\n'))) {
        from = next + 1;
    }
    snprintf(said, said_bytes, "%s", from);
    for (char *c = said; *c; c++) {
        *c = *c == '\n' ? ';' : *c;
    }
    fseek(quiet, 0, SEEK_END);
}

void path_eal_stop(void)
{
    rte_eal_cleanup();
}
