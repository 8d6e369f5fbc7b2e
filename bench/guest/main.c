/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - apn-guest: the program inside the guest whose migration is measured
 * Owner: the process, process 1 of the bench guest; also runs on a host for its tests.
 * Thread: main works on pages and talks on the console; one thread beats the heartbeat.
 * Time:   CLOCK_MONOTONIC of the guest, which stands still while the guest is paused.
 * Units:  see params.h. README.md has the lines and commands. */
#include "kv.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <sys/io.h>
#endif
#include <sys/sysinfo.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BEAT_NS        1000000
#define BEAT_PORT      0xe9
#define STATUS_NS      INT64_C(1000000000)
#define COMMAND_MAX    64
#define SPARE_MIB      48 /* the kernel's own, beside what is filled */
#define IDLE_SLEEP_MS  2

static atomic_uint_fast64_t beats;
static int beat_fd = -1;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* QEMU's debug console: one instruction, no driver, no interrupt, so that beating costs the emulated
 * processor little and QEMU's main thread nothing; through a UART it took a fifth of a core */
static void beat_port(unsigned char byte)
{
#if defined(__x86_64__)
    outb(byte, BEAT_PORT);
#else
    (void)byte;
#endif
}

/* One byte per millisecond, counting up. A beat that the file cannot take is left out, not queued:
 * the next byte's value tells how many are missing. */
static void *beat_main(void *opaque)
{
    struct sched_param param = {.sched_priority = 50};
    struct timespec next;

    (void)opaque;
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &param); /* best effort outside the guest */
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (;;) {
        unsigned char byte = (unsigned char)atomic_fetch_add(&beats, 1);

        if (beat_fd < 0) {
            beat_port(byte);
        } else {
            (void)!write(beat_fd, &byte, 1);
        }
        next.tv_nsec += BEAT_NS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    return NULL;
}

static void make_raw(int fd)
{
    struct termios mode;

    if (tcgetattr(fd, &mode) == 0) {
        cfmakeraw(&mode);
        tcsetattr(fd, TCSANOW, &mode);
    }
}

/* @file: instead of the port, for tests on a host; or NULL */
static int start_beating(const char *file)
{
    pthread_t thread;

#if defined(__x86_64__)
    if (!file && ioperm(BEAT_PORT, 1, 1) < 0) { /* inherited by the thread */
        return -errno;
    }
#else
    if (!file) {
        return -ENOSYS;
    }
#endif
    if (file) {
        beat_fd = open(file, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (beat_fd < 0) {
            return -errno;
        }
    }
    return -pthread_create(&thread, NULL, beat_main, NULL);
}

static void say_corrupt(uint32_t index, enum guest_fault fault, const struct guest_workload *workload)
{
    const uint64_t *page = workload->pages.pages[index];

    printf("APN-CORRUPT page=%u why=%s expected_sequence=%u found_index=%llu found_sequence=%llu\n", index,
           guest_fault_name(fault), workload->pages.sequence[index], (unsigned long long)page[1],
           (unsigned long long)page[2]);
}

static void say_passed(bool asked, const struct guest_workload *workload)
{
    if (asked) {
        printf("APN-CHECK pages=%u errors=%llu writes=%llu\n", workload->pages.count,
               (unsigned long long)workload->asked_errors, (unsigned long long)workload->writes);
        return;
    }
    printf("APN-OK pages=%u passes=%llu errors=%llu\n", workload->pages.count,
           (unsigned long long)workload->passes, (unsigned long long)workload->errors);
}

static void say_status(const struct guest_workload *workload, int64_t now)
{
    printf("APN-STAT uptime_ms=%lld writes=%llu passes=%llu errors=%llu beats=%llu\n",
           (long long)(now / 1000000), (unsigned long long)workload->writes,
           (unsigned long long)workload->passes, (unsigned long long)workload->errors,
           (unsigned long long)atomic_load(&beats));
}

/* what operations took since this was asked before */
static void say_latency(struct guest_workload *workload)
{
    static struct latency kv;
    uint64_t errors = guest_kv_take(&kv);

    for (int kind = 0; kind < (workload->params.kv ? 2 : 1); kind++) {
        const struct latency *latency = kind ? &kv : &workload->latency;

        printf("APN-LATENCY kind=%s operations=%llu busy_us=%llu p50_ns=%llu p99_ns=%llu p999_ns=%llu max_ns=%llu "
               "errors=%llu\n", kind ? "kv" : "page", (unsigned long long)latency->operations,
               (unsigned long long)latency->busy_ns / 1000, (unsigned long long)latency_at(latency, 500),
               (unsigned long long)latency_at(latency, 990), (unsigned long long)latency_at(latency, 999),
               (unsigned long long)latency->max_ns, (unsigned long long)(kind ? errors : workload->errors));
    }
    latency_reset(&workload->latency);
}

static bool set_order(struct guest_workload *workload, const char *name)
{
    enum guest_order order;

    if (guest_order_find(name, &order) < 0 || guest_workload_order(workload, order) < 0) {
        return false;
    }
    printf("APN-ORDER order=%s\n", guest_order_name(order));
    return true;
}

static void obey(struct guest_workload *workload, char *command)
{
    char *save = NULL, *verb = strtok_r(command, " \t\r", &save), *word = strtok_r(NULL, " \t\r", &save);
    uint64_t number = 0;

    if (!verb) {
        return;
    }
    if (strcmp(verb, "check") == 0 && !word) {
        guest_workload_ask(workload);
    } else if (strcmp(verb, "status") == 0 && !word) {
        say_status(workload, now_ns());
    } else if (strcmp(verb, "rate") == 0 && word && guest_number(word, 100000, &number) == 0 &&
               guest_workload_rate(workload, number) == 0) {
        printf("APN-RATE mib_s=%llu\n", (unsigned long long)number);
    } else if (strcmp(verb, "latency") == 0 && !word) {
        say_latency(workload);
    } else if (strcmp(verb, "hot") == 0 && word && guest_number(word, workload->params.mib, &number) == 0 &&
               guest_workload_hot(workload, number) == 0) {
        printf("APN-HOT mib=%llu\n", (unsigned long long)number);
    } else if (strcmp(verb, "order") == 0 && word && set_order(workload, word)) {
        return;
    } else if (strcmp(verb, "spoil") == 0 && word &&
               guest_number(word, workload->pages.count - 1, &number) == 0) {
        workload->pages.pages[number][100] ^= 1; /* so that a test can see that the check checks */
        printf("APN-SPOILT page=%llu\n", (unsigned long long)number);
    } else {
        printf("APN-ERROR command %s %s: known: check, status, latency, rate 0..100000 (needs hot memory), "
               "hot 0..apn.mib, order random|sequential|zipf, spoil PAGE\n", verb, word ? word : "");
    }
}

/* bytes from the console into commands; too long a line is dropped
 * Return: false when the console has ended */
static bool listen_console(struct guest_workload *workload, int wait_ms)
{
    static char command[COMMAND_MAX];
    static size_t used;
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char c;

    if (poll(&in, 1, wait_ms) <= 0) {
        return true;
    }
    if (read(STDIN_FILENO, &c, 1) != 1) {
        return false;
    }
    if (c == '\n' || c == '\r') {
        command[used < COMMAND_MAX ? used : 0] = '\0';
        used = 0;
        obey(workload, command);
    } else if (used < COMMAND_MAX) {
        command[used++] = c;
    }
    if (used == COMMAND_MAX) {
        used = COMMAND_MAX - 1;
        command[0] = '\0';
    }
    return true;
}

/* Return: 0, or -EINVAL with a message */
static int read_params(struct guest_params *params, const char *line, char *text, size_t text_bytes)
{
    char from_kernel[4096] = "";
    struct sysinfo memory;
    FILE *file;

    if (!line) {
        file = fopen("/proc/cmdline", "re");
        if (!file || !fgets(from_kernel, sizeof(from_kernel), file)) {
            snprintf(text, text_bytes, "/proc/cmdline cannot be read");
            if (file) {
                fclose(file);
            }
            return -EINVAL;
        }
        fclose(file);
        line = from_kernel;
    }
    if (guest_params_parse(params, line, text, text_bytes) < 0) {
        return -EINVAL;
    }
    if (sysinfo(&memory) == 0) {
        uint64_t free_mib = (uint64_t)memory.freeram * memory.mem_unit >> 20;

        if (params->mib + SPARE_MIB > free_mib) {
            snprintf(text, text_bytes, "apn.mib=%llu: at most %llu fit", (unsigned long long)params->mib,
                     (unsigned long long)(free_mib > SPARE_MIB ? free_mib - SPARE_MIB : 0));
            return -EINVAL;
        }
    }
    return 0;
}

/* process 1 may not end: the kernel would panic over the message */
static int end(int status)
{
    while (getpid() == 1) {
        pause();
    }
    return status;
}

int main(int argc, char **argv)
{
    static struct guest_workload workload = {.report = say_corrupt, .passed = say_passed, .now_ns = now_ns};
    const char *line = argc > 2 && strcmp(argv[1], "--cmdline") == 0 ? argv[2] : NULL;
    const char *file = argc > 4 && strcmp(argv[3], "--heartbeat") == 0 ? argv[4] : NULL;
    char text[256];
    int64_t status_ns;
    int result;

    setvbuf(stdout, NULL, _IOLBF, 0);
    make_raw(STDIN_FILENO);
    if (argc > 1 && !line) {
        puts("usage: apn-guest [--cmdline 'apn.mib=64 apn.hot=16 apn.rate=10' [--heartbeat FILE]]");
        return 2;
    }
    if (read_params(&workload.params, line, text, sizeof(text)) < 0) {
        printf("APN-ERROR %s\n", text);
        return end(1);
    }
    if (guest_workload_init(&workload) < 0) {
        printf("APN-ERROR apn.mib=%llu: out of memory\n", (unsigned long long)workload.params.mib);
        return end(1);
    }
    result = start_beating(file);
    if (result < 0) {
        printf("APN-ERROR heartbeat on %s: %s\n", file ? file : "port 0xe9", strerror(-result));
        return end(1);
    }
    result = workload.params.kv ? guest_kv_start(&workload.params, text, sizeof(text)) : 0;
    if (result < 0) {
        printf("APN-ERROR apn.kv: %s\n", text);
        return end(1);
    }
    printf("APN-READY pages=%u hot_mib=%llu rate_mib_s=%llu seed=%llu\n", workload.pages.count,
           (unsigned long long)workload.params.hot, (unsigned long long)workload.params.rate,
           (unsigned long long)workload.params.seed);
    status_ns = now_ns();
    for (bool more = false;;) {
        int64_t now;

        if (!listen_console(&workload, more ? 0 : IDLE_SLEEP_MS)) {
            return end(0);
        }
        now = now_ns();
        more = guest_workload_run(&workload, now);
        if (now - status_ns >= STATUS_NS) {
            status_ns += STATUS_NS;
            say_status(&workload, now);
        }
    }
}
