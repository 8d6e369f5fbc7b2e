/* SPDX-License-Identifier: GPL-2.0-or-later */
/* move.c - `apn-rdma send` and `receive`: memory from one process into another over a session, measured and compared
 * Owner: main.   Thread: main.   Time: monotonic.   Units: bytes, ns. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <apnmig/apnmig.h>

#include "rdma.h"

#define TIMEOUT_MS 20000u
#define MIB_MAX    65536u
#define RUNS       64u

static const struct option options[] = {
    {"backend", required_argument, NULL, 'b'}, {"mib", required_argument, NULL, 'm'},
    {"lanes", required_argument, NULL, 'l'},   {"passes", required_argument, NULL, 'p'},
    {"scattered", no_argument, NULL, 's'},     {"window", required_argument, NULL, 'w'},
    {"filters", required_argument, NULL, 'f'},
    {NULL, 0, NULL, 0},
};

struct move {
    const char *backend, *filters, *host, *port;
    uint64_t bytes, window_bytes;
    unsigned lanes, passes;
    bool scattered;
    uint8_t *memory;
    struct apn_session *session;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static int whole(const char *name, const char *text, unsigned long max, unsigned long *out)
{
    char *end = NULL;

    errno = 0;
    *out = strtoul(text, &end, 10);
    if (errno || end == text || *end || *out < 1 || *out > max) {
        fprintf(stderr, "apn-rdma: --%s %s: must be a whole number 1..%lu\n", name, text, max);
        return -EINVAL;
    }
    return 0;
}

static int parse(int argc, char **argv, struct move *m)
{
    unsigned long value = 0;
    int c, ret = 0;

    *m = (struct move){.backend = "rdma", .bytes = 256ull << 20, .lanes = 2, .passes = 1};
    while (!ret && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'b':
            m->backend = optarg;
            break;
        case 'm':
            ret = whole("mib", optarg, MIB_MAX, &value);
            m->bytes = (uint64_t)value << 20;
            break;
        case 'l':
            ret = whole("lanes", optarg, APN_LANES_MAX, &value);
            m->lanes = (unsigned)value;
            break;
        case 'p':
            ret = whole("passes", optarg, 1000, &value);
            m->passes = (unsigned)value;
            break;
        case 'w':
            ret = whole("window", optarg, 1u << 20, &value);
            m->window_bytes = (uint64_t)value << 10;
            break;
        case 'f':
            m->filters = optarg;
            break;
        case 's':
            m->scattered = true;
            break;
        default:
            ret = -EINVAL;
        }
    }
    if (!ret && argc - optind != 2) {
        fprintf(stderr, "apn-rdma: an address and a port are needed, got %d words\n", argc - optind);
        ret = -EINVAL;
    }
    if (!ret) {
        m->host = argv[optind];
        m->port = argv[optind + 1];
    }
    return ret;
}

static int fail(const char *what, const struct apn_error *err)
{
    fprintf(stderr, "apn-rdma: %s: %s\n", what, err->text);
    return 1;
}

static int memory_new(struct move *m, bool fill)
{
    uint64_t x = 88172645463325252ull;

    m->memory = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->memory == MAP_FAILED) {
        fprintf(stderr, "apn-rdma: %llu MiB of memory: %s\n", (unsigned long long)m->bytes >> 20, strerror(errno));
        return 1;
    }
    for (uint64_t i = 0; fill && i < m->bytes / 8; i++) { /* xorshift: no page is like another */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((uint64_t *)(void *)m->memory)[i] = x;
    }
    return 0;
}

/* what the receiver must come to: of the pages that were sent, the others stay zero */
static uint64_t checksum(const struct move *m, bool scattered)
{
    const uint64_t step = scattered ? 2 * APN_PAGE_SIZE : APN_PAGE_SIZE;
    uint64_t sum = 0;

    for (uint64_t at = 0; at < m->bytes; at += step) {
        for (uint64_t i = 0; i < APN_PAGE_SIZE / 8; i++) {
            sum = sum * 1099511628211ull + ((const uint64_t *)(const void *)(m->memory + at))[i];
        }
    }
    return sum;
}

static void trace(void *opaque, enum apn_trace_level level, const char *text)
{
    (void)opaque;
    if (level <= APN_TRACE_LANE) {
        fprintf(stderr, "apn-rdma: %s\n", text);
    }
}

static int open_session(struct move *m, enum apn_role role, struct apn_error *err)
{
    struct apn_session_config config = {.role = role,
                                        .host = m->host,
                                        .port = m->port,
                                        .backend = m->backend,
                                        .filters = m->filters,
                                        .lanes = m->lanes,
                                        .window_bytes = m->window_bytes,
                                        .timeout_ms = TIMEOUT_MS,
                                        .on_trace = trace};
    struct apn_region region = {.name = "memory", .host = m->memory, .length = m->bytes, .page_size = APN_PAGE_SIZE,
                                .flags = APN_REGION_FIXED | APN_REGION_PREFAULT};
    int ret = apn_session_new(&m->session, &config, err);

    if (ret) {
        return ret;
    }
    ret = role == APN_ROLE_SOURCE ? apn_session_connect(m->session, err) : apn_session_listen(m->session, err);
    while (!ret && role == APN_ROLE_DEST && apn_session_state(m->session) == APN_STATE_CONNECTING) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ret = ret ? ret : apn_session_add_region(m->session, &region, err) < 0 ? err->code : 0;
    return ret ? ret : apn_session_regions_commit(m->session, err);
}

/* ---- send ------------------------------------------------------------------------ */

static int post_pass(struct move *m)
{
    const uint64_t step = m->scattered ? 2 * APN_PAGE_SIZE : APN_GRANULE_SIZE;
    struct apn_run runs[RUNS];
    unsigned count = 0;
    uint64_t at = 0;

    while (at < m->bytes || count) {
        int taken;

        for (; count < RUNS && at < m->bytes; at += step) {
            uint64_t left = m->bytes - at;

            runs[count++] = (struct apn_run){
                .bytes = m->scattered ? APN_PAGE_SIZE : (uint32_t)(left < step ? left : step), .offset = at};
        }
        taken = apn_session_post(m->session, runs, count);
        if (taken < 0) {
            return taken;
        }
        memmove(runs, runs + taken, (count - (unsigned)taken) * sizeof(runs[0]));
        count -= (unsigned)taken;
        if (!taken && apn_session_wait_room(m->session, TIMEOUT_MS) == -EPIPE) {
            return -EPIPE;
        }
    }
    return 0;
}

static void print_sent(const struct move *m, uint64_t sent_ns, unsigned passes)
{
    const uint64_t bytes = m->bytes / (m->scattered ? 2 : 1) * passes;
    struct apn_stats st;

    apn_session_stats(m->session, &st);
    printf("{\"backend\": \"%s\", \"send_mode\": \"%s\", \"mib\": %llu, \"scattered\": %s, \"lanes\": %u, \"seconds\": %.4f, "
           "\"mb_per_s\": %.2f, \"rtt_us\": %llu, \"window_bytes\": %llu, \"requests\": %llu, \"requests_in_flight_max\": %llu, "
           "\"registrations\": %llu, \"registrations_late\": %llu, \"one_sided_bytes\": %llu, \"copied_bytes\": %llu}\n",
           st.backend, st.send_mode, (unsigned long long)m->bytes >> 20, m->scattered ? "true" : "false", st.lanes,
           (double)sent_ns / 1e9, (double)bytes / (double)sent_ns * 1e3, (unsigned long long)st.rtt_min_ns / 1000,
           (unsigned long long)st.window_bytes, (unsigned long long)st.requests,
           (unsigned long long)st.requests_in_flight_max, (unsigned long long)st.registrations,
           (unsigned long long)st.registrations_late, (unsigned long long)st.zerocopy_bytes,
           (unsigned long long)st.copied_bytes);
}

static int send_all(struct move *m)
{
    const unsigned measured = m->passes > 1 ? m->passes - 1 : 1;
    const uint64_t sum = checksum(m, m->scattered);
    struct apn_error err = {0};
    uint64_t start = now_ns(), end;
    int ret = 0;

    for (unsigned pass = 0; !ret && pass < m->passes; pass++) {
        if (pass + measured == m->passes) {
            ret = apn_session_drain(m->session, TIMEOUT_MS);
            start = now_ns();
        }
        ret = ret ? ret : post_pass(m);
    }
    ret = ret ? ret : apn_session_drain(m->session, 60 * TIMEOUT_MS);
    end = now_ns();
    ret = ret ? ret : apn_session_fence(m->session);
    if (!ret && apn_session_write(m->session, &sum, sizeof(sum), true) != (ssize_t)sizeof(sum)) {
        ret = -EPIPE;
    }
    ret = ret ? ret : apn_session_flush_stream(m->session, TIMEOUT_MS);
    if (ret) {
        apn_session_error(m->session, &err);
        apn_error_set(&err, ret, APN_SCOPE_SESSION, "%s", strerror(-ret));
        return fail("send", &err);
    }
    print_sent(m, end - start, measured);
    return 0;
}

static void finish(struct move *m)
{
    apn_session_free(m->session);
    if (m->memory && m->memory != MAP_FAILED) {
        munmap(m->memory, m->bytes);
    }
}

int rdma_send(int argc, char **argv)
{
    struct apn_error err = {0};
    struct move m;
    int ret = parse(argc, argv, &m) ? 2 : memory_new(&m, true);

    if (!ret) {
        ret = open_session(&m, APN_ROLE_SOURCE, &err) ? fail("connect", &err) : send_all(&m);
        /* the peer has read the checksum when it hangs up */
        for (unsigned i = 0; !ret && i < TIMEOUT_MS && apn_session_state(m.session) != APN_STATE_FAILED; i++) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        finish(&m);
    }
    return ret;
}

/* ---- receive ----------------------------------------------------------------------- */

int rdma_receive(int argc, char **argv)
{
    uint64_t wanted = 0, sums[2];
    struct apn_error err = {0};
    struct apn_stats st;
    struct move m;
    int ret = parse(argc, argv, &m) ? 2 : memory_new(&m, false);

    if (ret) {
        return ret;
    }
    if (open_session(&m, APN_ROLE_DEST, &err)) {
        ret = fail("listen", &err);
    } else if (apn_session_read(m.session, &wanted, sizeof(wanted), true) != (ssize_t)sizeof(wanted)) {
        apn_session_error(m.session, &err);
        ret = fail("receive", &err);
    } else {
        sums[0] = checksum(&m, false);
        sums[1] = checksum(&m, true);
        apn_session_stats(m.session, &st);
        ret = wanted != sums[0] && wanted != sums[1];
        printf("{\"equal\": %s, \"registrations\": %llu, \"registered_bytes\": %llu}\n", ret ? "false" : "true",
               (unsigned long long)st.registrations, (unsigned long long)st.registered_bytes);
        fflush(stdout);
    }
    finish(&m);
    return ret;
}
