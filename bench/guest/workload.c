/* SPDX-License-Identifier: GPL-2.0-or-later */
/* workload.c - see workload.h */
#include "workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLICE_PAGES    64 /* between two looks at the clock: well below 1 ms even when emulated */
#define PAGES_PER_MIB  256
#define BEHIND_NS_MAX  INT64_C(100000000) /* a longer pause is not made up for */
#define NS_PER_S       UINT64_C(1000000000)

int guest_workload_init(struct guest_workload *workload)
{
    struct guest_pages *pages = &workload->pages;
    size_t bytes = workload->params.mib << 20;

    pages->count = (uint32_t)(workload->params.mib * PAGES_PER_MIB);
    pages->seed = workload->params.seed * UINT64_C(0x9E3779B97F4A7C15);
    workload->random = pages->seed | 1;
    pages->sequence = calloc(pages->count, sizeof(*pages->sequence));
    pages->pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages->pages == MAP_FAILED) {
        pages->pages = NULL;
    }
    if (!pages->sequence || !pages->pages) {
        guest_workload_done(workload);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < pages->count; i++) {
        guest_pages_write(pages, i);
    }
    return guest_workload_order(workload, workload->params.order);
}

void guest_workload_done(struct guest_workload *workload)
{
    struct guest_pages *pages = &workload->pages;

    if (pages->pages) {
        munmap(pages->pages, (size_t)pages->count * GUEST_PAGE_BYTES);
    }
    free(pages->sequence);
    guest_zipf_done(&workload->zipf);
    memset(pages, 0, sizeof(*pages));
}

/* Return: pages due now, at most SLICE_PAGES. A guest that was paused does not hurry afterwards. */
static uint32_t due(struct guest_pace *pace, uint64_t mib_per_s, int64_t now_ns)
{
    uint64_t wanted, late;

    if (mib_per_s == 0) {
        return 0;
    }
    wanted = (uint64_t)(now_ns - pace->since_ns) / 1000 * mib_per_s * PAGES_PER_MIB / (NS_PER_S / 1000);
    late = BEHIND_NS_MAX / 1000 * mib_per_s * PAGES_PER_MIB / (NS_PER_S / 1000);
    if (pace->since_ns == 0 || wanted > pace->done + late + SLICE_PAGES) {
        pace->since_ns = now_ns;
        pace->done = 0;
        return 0;
    }
    if (wanted <= pace->done) {
        return 0;
    }
    return wanted - pace->done < SLICE_PAGES ? (uint32_t)(wanted - pace->done) : SLICE_PAGES;
}

/* which page to rewrite next */
static uint32_t pick(struct guest_workload *workload)
{
    uint32_t hot = (uint32_t)(workload->params.hot * PAGES_PER_MIB);

    switch (workload->params.order) {
    case GUEST_SEQUENTIAL:
        workload->write_at = workload->write_at + 1 < hot ? workload->write_at + 1 : 0;
        return workload->write_at;
    case GUEST_ZIPF:
        return guest_zipf_pick(&workload->zipf, guest_random(&workload->random));
    default:
        return (uint32_t)((guest_random(&workload->random) >> 32) * hot >> 32);
    }
}

static void check_next(struct guest_workload *workload)
{
    enum guest_fault fault = guest_pages_check(&workload->pages, workload->check_at);
    bool asked = workload->asked_left > 0;

    if (fault != GUEST_PAGE_GOOD) {
        workload->errors++;
        workload->asked_errors += asked;
        if (workload->errors <= GUEST_REPORTS_MAX) {
            workload->report(workload->check_at, fault, workload);
        }
    }
    if (asked && --workload->asked_left == 0) {
        workload->passed(true, workload);
    }
    if (++workload->check_at == workload->pages.count) {
        workload->check_at = 0;
        workload->passes++;
        workload->passed(false, workload);
    }
}

bool guest_workload_run(struct guest_workload *workload, int64_t now_ns)
{
    uint32_t to_write = due(&workload->writing, workload->params.rate, now_ns);
    uint32_t to_check = due(&workload->verifying, workload->params.verify, now_ns);
    int64_t begin_ns = workload->now_ns && to_write + to_check > 0 ? workload->now_ns() : 0;

    for (uint32_t i = 0; i < to_write; i++) {
        guest_pages_write(&workload->pages, pick(workload));
    }
    workload->writing.done += to_write;
    workload->writes += to_write;
    workload->verifying.done += to_check;
    if (workload->asked_left > 0) {
        to_check = SLICE_PAGES;
    }
    for (uint32_t i = 0; i < to_check; i++) {
        check_next(workload);
    }
    if (begin_ns) {
        latency_add(&workload->latency, (uint64_t)(workload->now_ns() - begin_ns) / (to_write + to_check),
                    to_write + to_check);
    }
    return to_write == SLICE_PAGES || to_check == SLICE_PAGES;
}

void guest_workload_ask(struct guest_workload *workload)
{
    workload->asked_left = workload->pages.count;
    workload->asked_errors = 0;
}

int guest_workload_rate(struct guest_workload *workload, uint64_t rate)
{
    if (rate > 0 && workload->params.hot == 0) {
        return -EINVAL;
    }
    workload->params.rate = rate;
    workload->writing = (struct guest_pace){0, 0};
    return 0;
}

int guest_workload_hot(struct guest_workload *workload, uint64_t mib)
{
    uint64_t before = workload->params.hot;

    if (mib > workload->params.mib || (mib == 0 && workload->params.rate > 0)) {
        return -EINVAL;
    }
    workload->params.hot = mib;
    workload->write_at = 0;
    guest_zipf_done(&workload->zipf);
    if (guest_workload_order(workload, workload->params.order) < 0) {
        workload->params.hot = before;
        return -ENOMEM;
    }
    return 0;
}

int guest_workload_order(struct guest_workload *workload, enum guest_order order)
{
    uint32_t hot = (uint32_t)(workload->params.hot * PAGES_PER_MIB);

    if (order == GUEST_ZIPF && hot > 0 && workload->zipf.count != hot) {
        guest_zipf_done(&workload->zipf);
        if (guest_zipf_init(&workload->zipf, hot) < 0) {
            workload->params.order = GUEST_RANDOM; /* needs no table */
            return -ENOMEM;
        }
    }
    workload->params.order = order;
    return 0;
}
