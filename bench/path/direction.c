/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direction.c - frames in, frames out; see direction.h */
#include "direction.h"

#include "tun.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH_FRAMES     16
#define EARLY_NS         10000 /* a frame due this soon goes with the one before: saves a sleep */

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void count(struct path_direction *direction, enum path_verdict verdict, uint32_t wire_bytes)
{
    direction->counters.frames[verdict]++;
    direction->counters.bytes[verdict] += wire_bytes;
}

/* lock held; a frame that may not pass keeps its slots for the next read */
static void admit(struct path_direction *direction, int64_t now)
{
    struct path_frame *frame = &direction->next;
    enum path_verdict verdict = PATH_DROP_CUT;
    uint32_t wire_bytes = frame->wire_bytes;
    uint64_t queued;

    direction->counters.frames_in++;
    direction->counters.bytes_in += wire_bytes;
    if (!path_cut_active(&direction->cut, now)) {
        verdict = path_shape_admit(&direction->shape, now, wire_bytes, &frame->due_ns);
    }
    if (verdict == PATH_PASS && path_store_push(&direction->store, frame) < 0) {
        verdict = PATH_DROP_QUEUE;
    }
    if (verdict != PATH_PASS) {
        count(direction, verdict, wire_bytes);
    }
    queued = path_shape_queued(&direction->shape, now);
    if (queued > direction->counters.queue_peak_bytes) {
        direction->counters.queue_peak_bytes = queued;
    }
}

/* more frames on the way than there are slots: read it away, as a full router would */
static ssize_t read_and_drop(struct path_direction *direction)
{
    uint8_t scratch[2048];
    ssize_t n = read(direction->from_fd, scratch, sizeof(scratch));

    if (n > 0) {
        pthread_mutex_lock(&direction->lock);
        direction->counters.frames_in++;
        direction->counters.bytes_in += (uint64_t)n;
        count(direction, PATH_DROP_QUEUE, (uint32_t)n);
        pthread_mutex_unlock(&direction->lock);
    }
    return n;
}

/* one frame; Return: as read() */
static ssize_t take_one(struct path_direction *direction)
{
    struct path_frame *frame = &direction->next;
    struct iovec iov[PATH_STORE_CLASSES];
    ssize_t n;
    int have;

    pthread_mutex_lock(&direction->lock);
    have = path_store_reserve(&direction->store, frame);
    pthread_mutex_unlock(&direction->lock);
    if (have < 0) {
        return read_and_drop(direction);
    }
    n = readv(direction->from_fd, iov, path_store_iov(&direction->store, frame, PATH_FRAME_MAX, iov));
    if (n > 0) {
        frame->bytes = (uint32_t)n;
        frame->wire_bytes = path_tun_wire_bytes(iov[0].iov_base, frame->bytes);
        pthread_mutex_lock(&direction->lock);
        admit(direction, now_ns());
        pthread_mutex_unlock(&direction->lock);
    }
    return n;
}

int path_direction_take(struct path_direction *direction)
{
    int taken = 0;

    while (taken < BATCH_FRAMES) {
        ssize_t n = take_one(direction);

        if (n > 0) {
            taken++;
            continue;
        }
        if (taken > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR || errno == EIO))) {
            break; /* EIO: the device is down for the moment */
        }
        return n < 0 ? -errno : -EIO;
    }
    return taken;
}

/* lock held; Return: frames moved out of the queue, all of them due */
static int pop_due(struct path_direction *direction, int64_t now, struct path_frame frames[BATCH_FRAMES])
{
    const struct path_frame *head = path_store_head(&direction->store);
    int n = 0;

    while (head && n < BATCH_FRAMES && head->due_ns <= now + EARLY_NS) {
        path_histogram_add(&direction->counters.late, now - head->due_ns);
        frames[n++] = path_store_pop(&direction->store);
        head = path_store_head(&direction->store);
    }
    return n;
}

int path_direction_deliver(struct path_direction *direction)
{
    struct path_frame frames[BATCH_FRAMES];
    enum path_verdict verdicts[BATCH_FRAMES];
    int64_t now = now_ns();
    bool cut;
    int n;

    pthread_mutex_lock(&direction->lock);
    n = pop_due(direction, now, frames);
    cut = path_cut_active(&direction->cut, now);
    pthread_mutex_unlock(&direction->lock);
    if (n == 0) {
        return 0;
    }
    for (int i = 0; i < n; i++) {
        struct iovec iov[PATH_STORE_CLASSES];
        int entries = path_store_iov(&direction->store, &frames[i], frames[i].bytes, iov);

        verdicts[i] = cut ? PATH_DROP_CUT : PATH_PASS;
        if (!cut && writev(direction->to_fd, iov, entries) < 0) {
            verdicts[i] = PATH_DROP_ERROR;
        }
    }
    pthread_mutex_lock(&direction->lock);
    for (int i = n - 1; i >= 0; i--) {
        count(direction, verdicts[i], frames[i].wire_bytes);
        path_store_release(&direction->store, &frames[i]);
    }
    pthread_mutex_unlock(&direction->lock);
    return n;
}

int64_t path_direction_next_due(struct path_direction *direction)
{
    /* only the carrier pushes and pops, so its own look needs no lock */
    const struct path_frame *head = path_store_head(&direction->store);

    return head ? head->due_ns : INT64_MAX;
}

int path_direction_init(struct path_direction *direction, int from_fd, int to_fd,
                        const struct path_limits *limits, uint64_t seed)
{
    direction->from_fd = from_fd;
    direction->to_fd = to_fd;
    direction->next = (struct path_frame){.slot = {PATH_STORE_NONE, PATH_STORE_NONE, PATH_STORE_NONE}};
    pthread_mutex_init(&direction->lock, NULL);
    path_shape_init(&direction->shape, limits, seed);
    direction->shape.epoch_ns = now_ns();
    return path_store_init(&direction->store, path_limits_held_bytes(limits));
}

void path_direction_done(struct path_direction *direction)
{
    path_store_done(&direction->store);
}

void path_direction_set_cut(struct path_direction *direction, const struct path_cut *cut)
{
    pthread_mutex_lock(&direction->lock);
    direction->cut = *cut;
    pthread_mutex_unlock(&direction->lock);
}

void path_direction_set_loss(struct path_direction *direction, double loss)
{
    pthread_mutex_lock(&direction->lock);
    direction->shape.limits.loss = loss;
    pthread_mutex_unlock(&direction->lock);
}

void path_direction_read(struct path_direction *direction, bool reset, struct path_counters *counters)
{
    pthread_mutex_lock(&direction->lock);
    *counters = direction->counters;
    counters->queue_now_bytes = path_shape_queued(&direction->shape, now_ns());
    if (reset) {
        memset(&direction->counters, 0, sizeof(direction->counters));
    }
    pthread_mutex_unlock(&direction->lock);
}
