/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uring_throughput.c - what one GiB costs on one link (uring's, or any other backend's): rate, round trip and CPU
 * seconds, one JSON line per run
 *
 * Two processes: `receive PORT` and `send HOST PORT`. The receiver reports what has been applied
 * every 256 KiB or 1 ms, the sender keeps a fixed window of unreported bytes in flight, as the
 * engine does. Memory is populated in large pages first.
 *
 * Owner: the process.   Thread: main.   Time: CLOCK_MONOTONIC; CPU: CLOCK_PROCESS_CPUTIME_ID.
 * Units: bytes, s. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <apnmig/backend.h>

#include "support/clock.h"

#define REPORT_BYTES (256u << 10)
#define REPORT_NS    APN_NS_PER_MS
#define EVENTS       64
#define IDLE_NS      (20 * APN_NS_PER_S) /* without anything happening */
#define POSTED_MAX   4096u

struct bench {
    struct apn_backend_config config;
    struct apn_backend *backend;
    struct apn_link *link;
    uint8_t *memory;
    uint64_t memory_bytes;
    uint64_t total_bytes;
    uint64_t window_bytes;
    uint32_t extent_bytes;
    const char *name; /* of the backend */
    bool shared;      /* memory as of memory-backend-memfd,share=on */
    int attached[2]; /* pipe: the accept thread hands the link over */
};

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "uring-throughput: %s\n", text);
    exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
    return apn_clock_now(&apn_clock_monotonic);
}

/* exact, where getrusage() may count in ticks */
static double cpu_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    struct bench *b = opaque;

    return region == 0 && offset < b->memory_bytes && span <= b->memory_bytes - offset
               ? b->memory + offset
               : NULL;
}

static int authorise(void *opaque, const struct apn_hello *hello, struct apn_welcome *welcome,
                     struct apn_error *err)
{
    (void)opaque;
    (void)hello;
    (void)err;
    *welcome = (struct apn_welcome){0};
    return 0;
}

static void attach(void *opaque, const struct apn_hello *hello, struct apn_link *link)
{
    struct bench *b = opaque;

    (void)hello;
    if (write(b->attached[1], &link, sizeof(link)) != (ssize_t)sizeof(link)) {
        die("pipe");
    }
}

static void stranger(void *opaque, const char *text)
{
    (void)opaque;
    fprintf(stderr, "uring-throughput: stranger: %s\n", text);
}

static void populate(struct bench *b, int fill)
{
    const int fd = b->shared ? memfd_create("ram", MFD_CLOEXEC) : -1;

    if (b->shared && (fd < 0 || ftruncate(fd, (off_t)b->memory_bytes))) {
        die("no memfd");
    }
    b->memory = mmap(NULL, b->memory_bytes, PROT_READ | PROT_WRITE,
                     b->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
    if (b->memory == MAP_FAILED) {
        die("no memory");
    }
    madvise(b->memory, b->memory_bytes, MADV_HUGEPAGE);
    memset(b->memory, fill, b->memory_bytes);
}

static void register_memory(struct bench *b)
{
    struct apn_region region = {.name = "ram", .host = b->memory, .length = b->memory_bytes,
                                .page_size = APN_PAGE_SIZE};
    struct apn_error err = {0};

    if (b->backend->ops->region_add(b->backend, 0, &region, &err)) {
        die(err.text);
    }
}

static void print_result(const struct bench *b, const char *role, double seconds, double cpu,
                         uint64_t rtt_ns)
{
    struct apn_backend_counters counters;

    b->backend->ops->counters(b->backend, &counters);
    printf("{\"role\":\"%s\",\"gbps\":%.3f,\"cpu_s_per_gib\":%.3f,\"rtt_ms_mean\":%.2f,\"mode\":\"%"
           "s\",\"zerocopy_mib\":%" PRIu64 ",\"copied_mib\":%" PRIu64 ",\"note\":\"%s\"}\n",
           role, (double)b->total_bytes * 8 / seconds / 1e9,
           cpu / ((double)b->total_bytes / (1ull << 30)), (double)rtt_ns / 1e6, counters.send_mode,
           counters.zerocopy_bytes >> 20, counters.copied_bytes >> 20, counters.note);
}

/* ---- receiving ------------------------------------------------------------ */

static void receive(struct bench *b)
{
    const struct apn_acceptor acceptor = {authorise, attach, stranger, b};
    struct apn_error err = {0};
    struct apn_event events[EVENTS];
    struct apn_msg report = {.type = APN_MSG_APPLIED};
    uint64_t applied = 0, reported = 0, reported_ns = 0, start_ns = 0;
    double cpu_start = 0;
    uint16_t port;

    if (pipe(b->attached) || b->backend->ops->listen(b->backend, &acceptor, &port, &err)) {
        die(err.text);
    }
    if (read(b->attached[0], &b->link, sizeof(b->link)) != (ssize_t)sizeof(b->link)) {
        die("pipe");
    }
    for (;;) {
        bool unreported = applied > reported;
        int n = b->link->backend->ops->poll(b->link, events, EVENTS,
                                            (int64_t)(unreported ? REPORT_NS : IDLE_NS));

        for (int i = 0; i < n; i++) {
            if (events[i].type == APN_EVENT_DOWN) {
                if (applied < b->total_bytes) {
                    die(events[i].error.text);
                }
                print_result(b, "receive", (double)(reported_ns - start_ns) / 1e9,
                             cpu_s() - cpu_start, 0);
                return;
            }
            if (!start_ns) {
                start_ns = now_ns();
                cpu_start = cpu_s();
            }
            applied += events[i].msg.bytes;
        }
        if (applied - reported >= REPORT_BYTES ||
            (applied > reported && now_ns() - reported_ns >= REPORT_NS)) {
            report.offset = reported = applied;
            reported_ns = now_ns();
            b->link->backend->ops->post(b->link, &report, 1);
        }
        if (n == 0 && !unreported) {
            die("receive: nothing arrives");
        }
    }
}

/* ---- sending -------------------------------------------------------------- */

static void connect_link(struct bench *b)
{
    const struct apn_hello hello = {.lanes = 1, .generation = 1, .timeout_ms = 8000};
    struct apn_error err = {0};
    struct apn_event event = {0};

    if (b->backend->ops->connect(b->backend, &hello, &b->link, &err)) {
        die(err.text);
    }
    for (unsigned i = 0; i < 100 && !event.type; i++) {
        b->link->backend->ops->poll(b->link, &event, 1, (int64_t)APN_NS_PER_S);
    }
    if (event.type != APN_EVENT_UP) {
        die(event.error.text);
    }
}

static void send_all(struct bench *b)
{
    static struct {
        uint64_t end, at_ns;
    } posts[POSTED_MAX];
    struct apn_event events[EVENTS];
    struct apn_msg msg = {.type = APN_MSG_EXTENT,
                          .kind = APN_EXTENT_DATA,
                          .bytes = b->extent_bytes,
                          .span = b->extent_bytes};
    uint64_t posted = 0, applied = 0, start_ns = now_ns(), rtt_sum_ns = 0, rtts = 0;
    unsigned first = 0, last = 0;
    double cpu_start = cpu_s();

    while (applied < b->total_bytes) {
        int n;

        while (posted < b->total_bytes && posted - applied + b->extent_bytes <= b->window_bytes &&
               last - first < POSTED_MAX) {
            msg.offset = posted % b->memory_bytes;
            msg.payload = b->memory + msg.offset;
            if (b->link->backend->ops->post(b->link, &msg, 1)) {
                break;
            }
            posted += b->extent_bytes;
            posts[last % POSTED_MAX].end = posted;
            posts[last++ % POSTED_MAX].at_ns = now_ns();
        }
        n = b->link->backend->ops->poll(b->link, events, EVENTS, (int64_t)IDLE_NS);
        if (n == 0) {
            die("send: nothing is reported");
        }
        for (int i = 0; i < n; i++) {
            if (events[i].type == APN_EVENT_DOWN) {
                die(events[i].error.text);
            }
            applied = events[i].msg.offset;
        }
        for (; first != last && posts[first % POSTED_MAX].end <= applied; first++, rtts++) {
            rtt_sum_ns += now_ns() - posts[first % POSTED_MAX].at_ns;
        }
    }
    print_result(b, "send", (double)(now_ns() - start_ns) / 1e9, cpu_s() - cpu_start,
                 rtts ? rtt_sum_ns / rtts : 0);
    b->link->backend->ops->link_close(b->link);
}

static void usage(void)
{
    fputs("usage: uring-throughput [options] receive PORT | send HOST PORT\n"
          "  --bytes MIB    to transfer (1024)     --window KIB  in flight (2400)\n"
          "  --memory MIB   cycled through (256)   --extent KIB  4..256 (256)\n"
          "  --mode MODE    auto, copy, zero-copy  (both ends take the same --bytes)\n"
          "  --backend NAME uring, udp, dpdk[:OPTIONS] ...   --shared  memory of a memfd\n",
          stderr);
    exit(2);
}

static uint64_t number(const char *text, uint64_t unit)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (*end || value == 0 || value > 1u << 20) {
        usage();
    }
    return value * unit;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"bytes", 1, NULL, 'b'},  {"window", 1, NULL, 'w'},
                                            {"memory", 1, NULL, 'm'}, {"extent", 1, NULL, 'e'},
                                            {"mode", 1, NULL, 'o'},   {"backend", 1, NULL, 'n'},
                                            {"shared", 0, NULL, 's'}, {NULL, 0, NULL, 0}};
    struct bench b = {.memory_bytes = 256u << 20,
                      .total_bytes = 1u << 30,
                      .window_bytes = 2400u << 10,
                      .extent_bytes = 256u << 10,
                      .name = "uring"};
    struct apn_error err = {0};
    int c;

    b.config =
        (struct apn_backend_config){.clock = &apn_clock_monotonic, .handshake_timeout_ms = 5000};
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'b':
            b.total_bytes = number(optarg, 1u << 20);
            break;
        case 'w':
            b.window_bytes = number(optarg, 1u << 10);
            break;
        case 'm':
            b.memory_bytes = number(optarg, 1u << 20);
            break;
        case 'e':
            b.extent_bytes = (uint32_t)number(optarg, 1u << 10);
            break;
        case 'o':
            b.config.send_mode = optarg;
            break;
        case 'n':
            b.name = optarg;
            break;
        case 's':
            b.shared = true;
            break;
        default:
            usage();
        }
    }
    if (argc - optind < 2 || b.extent_bytes > APN_EXTENT_MAX || b.memory_bytes % b.extent_bytes) {
        usage();
    }
    const bool sending = !strcmp(argv[optind], "send");
    b.config.host = sending ? argv[optind + 1] : "";
    b.config.port = argv[optind + (sending && argc - optind > 2 ? 2 : 1)];
    b.config.window_hint_bytes = b.window_bytes * 4;
    b.config.sink = (struct apn_sink){resolve, &b};
    populate(&b, sending ? 0x5a : 0);
    if (apn_backend_new(&b.backend, b.name, NULL, &b.config, &err)) {
        die(err.text);
    }
    register_memory(&b);
    if (sending) {
        connect_link(&b);
        send_all(&b);
    } else {
        receive(&b);
        b.link->backend->ops->link_close(b.link);
    }
    b.backend->ops->free(b.backend);
    return 0;
}
