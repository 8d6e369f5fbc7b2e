/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kv.c - see kv.h */
#include "kv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VALUE_WORDS   (GUEST_KV_VALUE_BYTES / 8)
#define VALUES_PER_MIB 128
#define TRIES_MAX     200
#define TRY_NS        50000000
#define LINE_MAX_BYTES 128
#define ANSWER_S_MAX  20 /* of the guest's clock, which stands while it is paused */
#define BEHIND_NS_MAX INT64_C(1000000000) /* a longer pause is not made up for */
#define NS_PER_S      INT64_C(1000000000)

static struct kv {
    pthread_mutex_t lock; /* latency, errors */
    struct latency latency;
    uint64_t errors;
    int fd;
    uint64_t rate;
    uint32_t keys;
    uint32_t *version; /* by key: what the server must hold */
    struct guest_zipf zipf;
    uint64_t random;
    uint64_t value[VALUE_WORDS];
} kv = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void make_value(uint32_t key, uint32_t version, uint64_t value[VALUE_WORDS])
{
    uint64_t word = ((uint64_t)key << 32 | version) * UINT64_C(0x9E3779B97F4A7C15), step = word | 1;

    for (int i = 0; i < VALUE_WORDS; i++) {
        word += step;
        value[i] = word;
    }
}

static int send_all(const void *bytes, size_t left)
{
    const char *at = bytes;

    while (left > 0) {
        ssize_t n = send(kv.fd, at, left, MSG_NOSIGNAL);

        if (n <= 0) {
            return n < 0 ? -errno : -EPIPE;
        }
        at += n;
        left -= (size_t)n;
    }
    return 0;
}

static int receive_all(void *bytes, size_t count)
{
    ssize_t n = recv(kv.fd, bytes, count, MSG_WAITALL);

    return n == (ssize_t)count ? 0 : n < 0 ? -errno : -EPIPE;
}

/* The server's answer to a request, whose length is known when all is well; anything else is -EPROTO. */
static int receive_answer(char *answer, size_t wanted)
{
    ssize_t n = recv(kv.fd, answer, wanted, 0);

    if (n <= 0) {
        return n < 0 ? -errno : -EPIPE;
    }
    if ((size_t)n < wanted && answer[n - 1] == '\n' && memchr(answer, '\n', (size_t)n) == answer + n - 1 &&
        answer[0] != 'V') {
        return -EPROTO; /* one short line: an error, or END for a key that is not there */
    }
    return (size_t)n < wanted ? receive_all(answer + n, wanted - (size_t)n) : 0;
}

static int set(uint32_t key, uint32_t version)
{
    static char request[LINE_MAX_BYTES + GUEST_KV_VALUE_BYTES + 2];
    static const char stored[] = "STORED\r\n";
    char answer[sizeof(stored)];
    int head = snprintf(request, LINE_MAX_BYTES, "set k%u 0 0 %d\r\n", key, GUEST_KV_VALUE_BYTES), result;

    make_value(key, version, kv.value);
    memcpy(request + head, kv.value, GUEST_KV_VALUE_BYTES);
    memcpy(request + head + GUEST_KV_VALUE_BYTES, "\r\n", 2);
    result = send_all(request, (size_t)head + GUEST_KV_VALUE_BYTES + 2);
    result = result < 0 ? result : receive_answer(answer, sizeof(stored) - 1);
    return result < 0 ? result : memcmp(answer, stored, sizeof(stored) - 1) == 0 ? 0 : -EPROTO;
}

/* Return: 0, -EPROTO when the answer is wrong, another -errno when the connection is. */
static int get(uint32_t key)
{
    static char answer[LINE_MAX_BYTES + GUEST_KV_VALUE_BYTES];
    static const char end[] = "\r\nEND\r\n";
    char request[LINE_MAX_BYTES], wanted[LINE_MAX_BYTES];
    int asked = snprintf(request, sizeof(request), "get k%u\r\n", key);
    int head = snprintf(wanted, sizeof(wanted), "VALUE k%u 0 %d\r\n", key, GUEST_KV_VALUE_BYTES);
    int result = send_all(request, (size_t)asked);

    result = result < 0 ? result : receive_answer(answer, (size_t)head + GUEST_KV_VALUE_BYTES + sizeof(end) - 1);
    if (result < 0) {
        return result;
    }
    make_value(key, kv.version[key], kv.value);
    return memcmp(answer, wanted, (size_t)head) == 0 && memcmp(answer + head, kv.value, GUEST_KV_VALUE_BYTES) == 0 &&
                   memcmp(answer + head + GUEST_KV_VALUE_BYTES, end, sizeof(end) - 1) == 0
               ? 0 : -EPROTO;
}

static int ask(void)
{
    uint64_t random = guest_random(&kv.random);
    uint32_t key = guest_zipf_pick(&kv.zipf, guest_random(&kv.random));
    int result;

    if (random % 10) {
        return get(key);
    }
    result = set(key, kv.version[key] + 1);
    if (result == 0) {
        kv.version[key]++;
    }
    return result;
}

static void count(int64_t took_ns, int result)
{
    pthread_mutex_lock(&kv.lock);
    latency_add(&kv.latency, (uint64_t)took_ns, 1);
    if (result < 0 && kv.errors++ == 0) {
        printf("APN-CORRUPT kv: %s\n", result == -EPROTO ? "wrong or missing answer" : strerror(-result));
    }
    pthread_mutex_unlock(&kv.lock);
}

static void *kv_main(void *opaque)
{
    int64_t due_ns = now_ns();

    (void)opaque;
    for (;;) {
        struct timespec until = {due_ns / NS_PER_S, due_ns % NS_PER_S};
        int result;

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        result = ask();
        count(now_ns() - due_ns, result);
        if (result < 0 && result != -EPROTO) {
            return NULL; /* the connection is gone: said once, and errors stay above 0 */
        }
        due_ns += NS_PER_S / (int64_t)kv.rate;
        if (now_ns() - due_ns > BEHIND_NS_MAX) {
            due_ns = now_ns();
        }
    }
}

/* the server may still be starting */
static int kv_connect(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(GUEST_KV_PORT),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = ANSWER_S_MAX};
    int one = 1, result = -ETIMEDOUT;

    for (int i = 0; i < TRIES_MAX; i++) {
        kv.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (kv.fd < 0) {
            return -errno;
        }
        if (connect(kv.fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
            setsockopt(kv.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            return setsockopt(kv.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ? -errno : 0;
        }
        result = -errno;
        close(kv.fd);
        nanosleep(&(struct timespec){.tv_nsec = TRY_NS}, NULL);
    }
    return result;
}

int guest_kv_start(const struct guest_params *params, char *text, size_t text_bytes)
{
    pthread_t thread;
    int result = kv_connect();

    if (result < 0) {
        snprintf(text, text_bytes, "port %d: %s; does this image hold memcached?", GUEST_KV_PORT, strerror(-result));
        return result;
    }
    kv.rate = params->kv;
    kv.keys = (uint32_t)(params->kv_mib * VALUES_PER_MIB);
    kv.random = params->seed | 1;
    kv.version = calloc(kv.keys, sizeof(*kv.version));
    if (!kv.version || guest_zipf_init(&kv.zipf, kv.keys) < 0) {
        snprintf(text, text_bytes, "out of memory for %u keys", kv.keys);
        return -ENOMEM;
    }
    for (uint32_t key = 0; key < kv.keys && result == 0; key++) {
        result = set(key, 0);
        if (result < 0) {
            snprintf(text, text_bytes, "value %u of %u cannot be stored: %s", key, kv.keys, strerror(-result));
        }
    }
    return result < 0 ? result : -pthread_create(&thread, NULL, kv_main, NULL);
}

uint64_t guest_kv_take(struct latency *latency)
{
    uint64_t errors;

    pthread_mutex_lock(&kv.lock);
    *latency = kv.latency;
    errors = kv.errors;
    latency_reset(&kv.latency);
    pthread_mutex_unlock(&kv.lock);
    return errors;
}
