/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.c - a session's life: made, opened, closed */
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "support/clock.h"

#define HANDSHAKE_TIMEOUT_MS 1000u
#define WINDOW_HINT_BYTES    (64ull << 20) /* before anything is measured: 100 Gb/s x 5 ms */

uint64_t apn_session_now(const struct apn_session *s)
{
    return apn_clock_now(s->env.clock);
}

/* splitmix64: simulations replay from their seed */
static uint64_t seeded_random(struct apn_session *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void apn_session_random(struct apn_session *s, void *out, size_t length)
{
    uint8_t *at = out;

    if (!s->env.manual) {
        while (length) {
            ssize_t n = getrandom(at, length, 0);

            if (n > 0) {
                at += n;
                length -= (size_t)n;
            }
        }
        return;
    }
    for (size_t i = 0; i < length; i++) {
        at[i] = (uint8_t)seeded_random(s);
    }
}

void apn_session_wake_lane(struct apn_lane *lane)
{
    if (lane->idle) {
        if (lane->link) {
            lane->session->backend->ops->wake(lane->link);
            lane->idle = false; /* one wake is enough until the thread sleeps again */
        } else {
            pthread_cond_broadcast(&lane->session->changed);
        }
    }
}

void apn_session_wake_all(struct apn_session *s)
{
    for (unsigned i = 0; i < s->lane_count; i++) {
        apn_session_wake_lane(&s->lane[i]);
    }
}

bool apn_session_wait_on(struct apn_session *s, pthread_cond_t *cond, uint64_t deadline_ns)
{
    struct timespec ts = {(time_t)(deadline_ns / APN_NS_PER_S), (long)(deadline_ns % APN_NS_PER_S)};

    if (s->env.manual || apn_session_now(s) >= deadline_ns) {
        return false;
    }
    pthread_cond_timedwait(cond, &s->lock, &ts);
    return true;
}

bool apn_session_wait(struct apn_session *s, uint64_t deadline_ns)
{
    return apn_session_wait_on(s, &s->changed, deadline_ns);
}

int apn_session_failed_code(const struct apn_session *s)
{
    return s->error.code ? s->error.code : -EPIPE;
}

static void set_fd(int fd, bool *is_set, bool want)
{
    uint64_t one = 1;

    if (want == *is_set) {
        return;
    }
    *is_set = want;
    if (want ? write(fd, &one, sizeof(one)) < 0 : read(fd, &one, sizeof(one)) < 0) {
        *is_set = !want; /* cannot happen with a non-blocking eventfd at 0 or 1 */
    }
}

void apn_session_fds_update(struct apn_session *s)
{
    bool over = apn_state_over(s->state) || s->bye_received;

    set_fd(s->read_fd, &s->read_fd_set, over || apn_stream_rx_readable(&s->rx) > 0);
    set_fd(s->write_fd, &s->write_fd_set, over || apn_stream_tx_room(&s->tx) > 0);
}

/* ---- made ---------------------------------------------------------------- */

static int lane_init(struct apn_session *s, unsigned index)
{
    struct apn_lane *lane = &s->lane[index];

    lane->session = s;
    lane->index = index;
    lane->host = index;
    lane->backoff_ns = APN_BACKOFF_MIN_NS;
    lane->out = calloc(APN_OUT_MAX + 4, sizeof(*lane->out));
    lane->events = calloc(APN_EVENTS_MAX, sizeof(*lane->events));
    if (!lane->out || !lane->events || apn_work_ring_init(&lane->queue) || apn_item_ring_init(&lane->inflight, APN_ITEMS_MAX) ||
        apn_item_ring_init(&lane->replay, 2 * APN_ITEMS_MAX)) {
        return -ENOMEM;
    }
    return 0;
}

static void lane_done(struct apn_lane *lane)
{
    free(lane->out);
    free(lane->events);
    apn_work_ring_done(&lane->queue);
    apn_item_ring_done(&lane->inflight);
    apn_item_ring_done(&lane->replay);
}

static int init_locks(struct apn_session *s)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_cond_init(&s->room, &attr);
    pthread_condattr_destroy(&attr);
    return 0;
}

static int allocate(struct apn_session *s)
{
    s->regions = calloc(APN_REGIONS_MAX, sizeof(*s->regions));
    s->peer_regions = calloc(APN_REGIONS_MAX, sizeof(*s->peer_regions));
    s->first_granule = calloc(APN_REGIONS_MAX + 1, sizeof(*s->first_granule));
    s->peer_to_local = calloc(APN_REGIONS_MAX, sizeof(*s->peer_to_local));
    s->control = calloc(APN_CONTROL_QUEUE_MAX, sizeof(*s->control));
    s->read_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->write_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (apn_stream_init(&s->tx, &s->rx) || !s->regions || !s->peer_regions || !s->first_granule || !s->peer_to_local ||
        !s->control || s->read_fd < 0 || s->write_fd < 0) {
        return -ENOMEM;
    }
    return 0;
}

static int make_backend(struct apn_session *s, struct apn_error *err)
{
    struct apn_backend_config config = {.clock = s->env.clock,
                                        .host = s->config.host,
                                        .port = s->config.port,
                                        .secret = s->config.secret,
                                        .secret_bytes = s->config.secret_bytes,
                                        .handshake_timeout_ms = HANDSHAKE_TIMEOUT_MS,
                                        .window_hint_bytes = WINDOW_HINT_BYTES,
                                        .send_mode = s->config.send_mode,
                                        .sink = {apn_receiver_resolve, s},
                                        .world = s->env.world};

    if (s->config.window_bytes && s->config.window_bytes != UINT64_MAX) {
        config.window_hint_bytes = s->config.window_bytes;
    }
    return apn_backend_new(&s->backend, s->config.backend ? s->config.backend : "uring", s->config.filters, &config, err);
}

/* simulations have one clock for everything */
static uint64_t wall_now(const struct apn_session *s)
{
    struct timespec ts = {0};

    if (s->env.manual) {
        return apn_session_now(s);
    }
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * APN_NS_PER_S + (uint64_t)ts.tv_nsec;
}

int apn_session_new_env(struct apn_session **out, const struct apn_session_config *config, const struct apn_session_env *env,
                        struct apn_error *err)
{
    struct apn_session *s = calloc(1, sizeof(*s));
    int ret = -ENOMEM;

    if (!s) {
        return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "session: out of memory");
    }
    s->read_fd = s->write_fd = -1;
    s->env = *env;
    s->random = env->seed;
    init_locks(s);
    ret = apn_config_copy(&s->config, config, err);
    if (ret) {
        goto fail;
    }
    s->lane_count = s->config.lanes;
    s->started_ns = apn_session_now(s);
    apn_window_init(&s->window, s->config.window_bytes, s->started_ns, wall_now(s));
    s->fence_next = 1;
    s->bulk_lanes = s->lane_count - (s->config.postcopy ? 1 : 0);
    ret = allocate(s);
    ret = ret ? ret : apn_postcopy_init(s);
    for (unsigned i = 0; !ret && i < s->lane_count && s->config.role == APN_ROLE_SOURCE; i++) {
        ret = lane_init(s, i);
    }
    if (ret) {
        apn_error_set(err, ret, APN_SCOPE_SESSION, "session: out of memory");
        goto fail;
    }
    ret = make_backend(s, err);
    if (ret) {
        goto fail;
    }
    *out = s;
    return 0;
fail:
    apn_session_free(s);
    return ret;
}

int apn_session_new(struct apn_session **out, const struct apn_session_config *config, struct apn_error *err)
{
    struct apn_session_env env = {.clock = &apn_clock_monotonic};

    return apn_session_new_env(out, config, &env, err);
}

/* ---- opened --------------------------------------------------------------- */

static int start_lanes(struct apn_session *s)
{
    for (unsigned i = 0; i < s->lane_count && !s->env.manual; i++) {
        if (pthread_create(&s->lane[i].thread, NULL, apn_lane_thread, &s->lane[i])) {
            return -EAGAIN;
        }
        s->lane[i].thread_started = true;
    }
    return 0;
}

static bool all_lanes_up(const struct apn_session *s)
{
    for (unsigned i = 0; i < s->lane_count; i++) {
        if (s->lane[i].phase != APN_LANE_UP) {
            return false;
        }
    }
    return true;
}

/* L. Return: 0 connected, -EINPROGRESS, or why not */
static int connect_progress(struct apn_session *s, struct apn_error *err)
{
    if (s->state == APN_STATE_FAILED) {
        return apn_error_set(err, apn_session_failed_code(s), APN_SCOPE_SESSION, "%s", s->error.text);
    }
    if (s->state == APN_STATE_CONNECTING && all_lanes_up(s)) {
        apn_state_event(s, APN_EV_LANES_UP, NULL);
    }
    return s->state == APN_STATE_CONNECTING ? -EINPROGRESS : 0;
}

/* what the backend did not get from the system, once, for whoever reads the trace */
static void trace_note(struct apn_session *s)
{
    struct apn_backend_counters counters = {0};

    s->backend->ops->counters(s->backend, &counters);
    if (counters.note[0]) {
        apn_trace(s, APN_TRACE_STATE, "%s", counters.note);
    }
}

int apn_session_connect(struct apn_session *s, struct apn_error *err)
{
    uint64_t deadline;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (s->config.role != APN_ROLE_SOURCE || s->state != APN_STATE_NEW) {
        pthread_mutex_unlock(&s->lock);
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "connect: not a new source session");
    }
    apn_session_random(s, s->session_id, sizeof(s->session_id));
    if (s->config.resume_id) {
        memcpy(s->session_id, s->config.resume_id, sizeof(s->session_id));
    }
    s->heard_ns = apn_session_now(s);
    s->bound = true;
    apn_state_event(s, APN_EV_OPEN, NULL);
    if (start_lanes(s)) {
        struct apn_error failed = {0};

        apn_error_set(&failed, -EAGAIN, APN_SCOPE_SESSION, "cannot start %u lane threads", s->lane_count);
        apn_state_event(s, APN_EV_FAILED, &failed);
    }
    deadline = s->heard_ns + (uint64_t)s->config.timeout_ms * APN_NS_PER_MS;
    do {
        ret = connect_progress(s, err);
    } while (ret == -EINPROGRESS && apn_session_wait(s, deadline));
    if (ret == -EINPROGRESS && !s->env.manual) {
        ret = apn_error_set(err, -ETIMEDOUT, APN_SCOPE_SESSION, "%s:%s: no connection within %u ms", s->config.host, s->config.port,
                            s->config.timeout_ms);
    }
    pthread_mutex_unlock(&s->lock);
    if (!ret) {
        trace_note(s);
    }
    return ret;
}

int apn_session_listen(struct apn_session *s, struct apn_error *err)
{
    struct apn_acceptor acceptor = {apn_lane_authorise, apn_lane_attach, apn_lane_stranger, s};
    uint16_t port = 0;
    int ret;

    if (s->config.role != APN_ROLE_DEST || s->state != APN_STATE_NEW) {
        return apn_error_set(err, -EINVAL, APN_SCOPE_SESSION, "listen: not a new destination session");
    }
    pthread_mutex_lock(&s->lock);
    apn_state_event(s, APN_EV_OPEN, NULL);
    pthread_mutex_unlock(&s->lock);
    ret = s->backend->ops->listen(s->backend, &acceptor, &port, err);
    pthread_mutex_lock(&s->lock);
    s->port = port;
    if (ret) {
        apn_state_event(s, APN_EV_FAILED, err);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

void apn_session_set_rate_limit(struct apn_session *s, uint64_t bytes_per_s)
{
    pthread_mutex_lock(&s->lock);
    s->config.rate_limit_bytes_per_s = bytes_per_s;
    s->paced_ns = 0; /* what the old limit put off may go now */
    apn_session_wake_all(s);
    pthread_mutex_unlock(&s->lock);
}

uint16_t apn_session_port(struct apn_session *s)
{
    uint16_t port;

    pthread_mutex_lock(&s->lock);
    port = s->port;
    pthread_mutex_unlock(&s->lock);
    return port;
}

int apn_session_bind(struct apn_session *s, const struct apn_hello *hello, struct apn_error *err)
{
    if (hello->commit != APN_COMMIT_FAST && hello->commit != APN_COMMIT_SAFE) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "commit mode %u is neither fast nor safe", hello->commit);
    }
    for (unsigned i = 0; i < hello->lanes; i++) {
        if (!s->lane[i].out && lane_init(s, i)) {
            return apn_error_set(err, -ENOMEM, APN_SCOPE_SESSION, "out of memory for %u lanes", hello->lanes);
        }
    }
    memcpy(s->session_id, hello->session_id, sizeof(s->session_id));
    s->config.commit = (enum apn_commit)hello->commit;
    s->lane_count = hello->lanes;
    s->bulk_lanes = hello->lanes - (hello->features & APN_FEATURE_POSTCOPY ? 1 : 0);
    s->heard_ns = apn_session_now(s);
    s->bound = true;
    for (unsigned i = 0; i < s->lane_count && !s->env.manual; i++) {
        if (!s->lane[i].thread_started && pthread_create(&s->lane[i].thread, NULL, apn_lane_thread, &s->lane[i])) {
            s->bound = false;
            return apn_error_set(err, -EAGAIN, APN_SCOPE_SESSION, "cannot start %u lane threads", s->lane_count);
        }
        s->lane[i].thread_started = true;
    }
    if (!s->prefault) {
        apn_prefault_start(s); /* without it pages fault on arrival: slower, not wrong */
    }
    return 0;
}

uint64_t apn_session_step(struct apn_session *s)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; s->bound && i < s->lane_count; i++) {
        uint64_t at = apn_lane_step(&s->lane[i], false);

        next = at < next ? at : next;
    }
    if (s->config.role == APN_ROLE_SOURCE) {
        pthread_mutex_lock(&s->lock);
        connect_progress(s, NULL);
        pthread_mutex_unlock(&s->lock);
    }
    return next;
}

/* ---- closed --------------------------------------------------------------- */

static bool anything_unsaid(const struct apn_session *s)
{
    const struct apn_lane *lane = &s->lane[s->lane[0].host];

    return lane->phase == APN_LANE_UP && (s->control_count || lane->inflight.count || lane->replay.count || s->tx.posted < s->tx.written);
}

/* L. when last words that began at @began_ns are given up: behind a full window a far or narrow path takes long, and says so by what it
 * applies; one that is dead says nothing */
static uint64_t linger_deadline(const struct apn_session *s, uint64_t began_ns)
{
    uint64_t silence_ns = 3 * s->window.rtt_min_ns > APN_LINGER_NS ? 3 * s->window.rtt_min_ns : APN_LINGER_NS;
    uint64_t deadline = (s->heard_ns > began_ns ? s->heard_ns : began_ns) + silence_ns;

    return deadline < began_ns + APN_LINGER_MAX_NS ? deadline : began_ns + APN_LINGER_MAX_NS;
}

/* L. last words, and what the stream still holds, get a moment to arrive: a peer that only sees its lanes go waits for new ones */
static void linger(struct apn_session *s)
{
    uint64_t began_ns = apn_session_now(s);

    if (s->backend && s->lane_count && s->lane[0].out && !s->env.manual) {
        if (s->state == APN_STATE_DONE) {
            apn_control_push(s, (struct apn_msg){.type = APN_MSG_BYE}, NULL);
        }
        while (anything_unsaid(s) && apn_session_wait(s, linger_deadline(s, began_ns))) {
        }
    }
}

static void close_manual(struct apn_session *s)
{
    struct apn_error end = {-ESHUTDOWN, APN_SCOPE_LANE, "session ends here"};

    for (unsigned i = 0; i < APN_LANES_MAX && s->env.manual; i++) {
        struct apn_lane *lane = &s->lane[i];

        if (lane->attached && !lane->link) {
            lane->link = lane->attached;
            lane->attached = NULL;
        }
        if (lane->link) {
            apn_lane_down(lane, &end);
        }
    }
}

void apn_session_free(struct apn_session *s)
{
    struct apn_kept *kept;

    if (!s) {
        return;
    }
    apn_session_abort(s, "closed");
    apn_scout_stop(s);
    pthread_mutex_lock(&s->lock);
    linger(s);
    s->stopping = true;
    apn_session_wake_all(s);
    pthread_cond_broadcast(&s->changed);
    pthread_cond_broadcast(&s->room);
    close_manual(s);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < APN_LANES_MAX; i++) {
        if (s->lane[i].thread_started) {
            pthread_join(s->lane[i].thread, NULL);
        }
    }
    apn_prefault_stop(s);
    if (s->backend) {
        s->backend->ops->free(s->backend);
    }
    for (unsigned i = 0; i < APN_LANES_MAX; i++) {
        lane_done(&s->lane[i]);
    }
    while ((kept = s->kept)) {
        s->kept = kept->next;
        free(kept);
    }
    apn_stream_done(&s->tx, &s->rx);
    apn_postcopy_free(s);
    free(s->regions);
    free(s->peer_regions);
    free(s->first_granule);
    free((void *)s->granule_seen);
    free(s->peer_to_local);
    free(s->control);
    if (s->read_fd >= 0) {
        close(s->read_fd);
    }
    if (s->write_fd >= 0) {
        close(s->write_fd);
    }
    pthread_cond_destroy(&s->changed);
    pthread_cond_destroy(&s->room);
    pthread_mutex_destroy(&s->lock);
    apn_config_done(&s->config);
    free(s);
}
