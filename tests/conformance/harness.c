/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* harness.c - see harness.h */
#include "conformance/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Virtual path: 600 km at 10 Gb/s. Real loop: a short one, so that messages are on their way for a
 * while. */
static const struct apn_loop_config virtual_path = {
    .to_listener = {.delay_ns = 3000000, .rate_bytes_per_s = 1250000000},
    .to_connector = {.delay_ns = 3000000, .rate_bytes_per_s = 1250000000},
    .link_bytes = 4 << 20,
    .seed = 1,
    .virtual_time = true,
};
static const struct apn_loop_config real_path = {
    .to_listener = {.delay_ns = 100000},
    .to_connector = {.delay_ns = 100000},
    .link_bytes = 4 << 20,
};

#define VIRTUAL_STEP_NS 100000u

bool conf_is_virtual(const struct conf_rig *rig)
{
    return rig->source->caps & APN_CAP_VIRTUAL;
}

uint64_t conf_now(const struct conf_rig *rig)
{
    return apn_clock_now(rig->world ? apn_loop_world_clock(rig->world) : &apn_clock_monotonic);
}

/* ---- places ---------------------------------------------------------------- */

/* the dpdk backend that is made next finds the @index-th end's helper */
static void choose_helper(unsigned index)
{
    const char *names = getenv("CONFORMANCE_DPDK");
    char name[2][108];

    if (names) {
        assert_int_equal(sscanf(names, "%107s %107s", name[0], name[1]), 2);
        setenv("APN_DPDK_SOCKET", name[index], 1);
    }
}

/* the calling thread, and every socket it makes from now on, moves into the @index-th namespace */
static void enter(unsigned index)
{
    const char *names = getenv("CONFORMANCE_NETNS");
    char name[2][32], path[64];
    int fd;

    choose_helper(index);
    if (!names) {
        return;
    }
    assert_int_equal(sscanf(names, "%31s %31s", name[0], name[1]), 2);
    snprintf(path, sizeof(path), "/run/netns/%s", name[index]);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET)) {
        fail_msg("network namespace %s: %s", path, strerror(errno));
    }
    close(fd);
}

void conf_enter_source(void)
{
    enter(0);
}

void conf_enter_dest(void)
{
    enter(1);
}

/* ---- accepting ----------------------------------------------------------- */

static int on_authorise(void *opaque, const struct apn_hello *hello, struct apn_welcome *welcome,
                        struct apn_error *err)
{
    struct conf_rig *rig = opaque;
    int code;

    pthread_mutex_lock(&rig->lock);
    rig->authorised++;
    code = rig->authorise_code;
    *welcome = rig->welcome;
    pthread_mutex_unlock(&rig->lock);
    return code ? apn_error_set(err, code, APN_SCOPE_SESSION, "lane %u is not wanted today",
                                hello->lane)
                : 0;
}

static void on_attach(void *opaque, const struct apn_hello *hello, struct apn_link *link)
{
    struct conf_rig *rig = opaque;
    struct apn_link *older;

    pthread_mutex_lock(&rig->lock);
    older = rig->accepted[hello->lane];
    rig->accepted[hello->lane] = link;
    rig->accepted_hello[hello->lane] = *hello;
    pthread_mutex_unlock(&rig->lock);
    if (older) {
        older->backend->ops->link_close(older);
    }
}

static void on_stranger(void *opaque, const char *text)
{
    struct conf_rig *rig = opaque;

    pthread_mutex_lock(&rig->lock);
    rig->strangers++;
    snprintf(rig->stranger_text, sizeof(rig->stranger_text), "%s", text);
    pthread_mutex_unlock(&rig->lock);
}

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    struct conf_rig *rig = opaque;

    if (region != 0 || offset > CONF_MEMORY || span > CONF_MEMORY - offset) {
        return NULL;
    }
    return rig->dest_memory + offset;
}

static void *no_resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    (void)opaque, (void)region, (void)offset, (void)span;
    return NULL; /* nobody writes into the source */
}

/* ---- rig ----------------------------------------------------------------- */

/* CONFORMANCE_SHARED: as a guest's memory-backend-memfd,share=on. @fd: -1, or what the caller closes with the memory */
static uint8_t *memory_new(int *fd)
{
    const bool shared = getenv("CONFORMANCE_SHARED");
    void *memory;

    *fd = shared ? memfd_create("ram", MFD_CLOEXEC) : -1;
    assert_true(!shared || (*fd >= 0 && ftruncate(*fd, CONF_MEMORY) == 0));
    memory = mmap(NULL, CONF_MEMORY, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, *fd, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

#define BACKEND_NAME 128u

/* CONFORMANCE_BACKENDS="SOURCE DEST": ends of two kinds that speak the same protocol */
static void backend_name(bool is_source, char name[BACKEND_NAME])
{
    const char *names = getenv("CONFORMANCE_BACKENDS");
    char both[2][BACKEND_NAME];

    snprintf(name, BACKEND_NAME, "%.*s", (int)strcspn(conf_backend, "-"), conf_backend);
    if (names) {
        assert_int_equal(sscanf(names, "%127s %127s", both[0], both[1]), 2);
        snprintf(name, BACKEND_NAME, "%s", both[is_source ? 0 : 1]);
    }
}

static struct apn_backend *backend_new(struct conf_rig *rig, bool is_source, const char *port)
{
    const struct conf_options *o = &rig->options;
    const char *secret = is_source ? o->source_secret : o->dest_secret;
    const char *filters = is_source ? o->source_filters : o->dest_filters;
    struct apn_region region = {
        .length = CONF_MEMORY, .page_size = APN_PAGE_SIZE, .flags = APN_REGION_FIXED};
    struct apn_backend_config config = {
        .clock = rig->world ? apn_loop_world_clock(rig->world) : &apn_clock_monotonic,
        .host = conf_host,
        .port = port,
        .secret = secret,
        .secret_bytes = secret ? strlen(secret) : 0,
        .handshake_timeout_ms = (o->handshake_timeout_ms ? o->handshake_timeout_ms : 2000) * conf_slow,
        .send_mode = "auto",
        .sink = {is_source ? no_resolve : resolve, rig},
        .world = rig->world,
    };
    struct apn_backend *be = NULL;
    struct apn_error err = {0};
    char name[BACKEND_NAME];

    backend_name(is_source, name);
    if (apn_backend_new(&be, name, filters ? filters : conf_filters, &config, &err)) {
        fail_msg("backend %s: %s", conf_backend, err.text);
    }
    snprintf(region.name, sizeof(region.name), "ram");
    region.flags = !is_source && (o->features & APN_FEATURE_POSTCOPY) ? APN_REGION_PLACED : region.flags;
    region.host = is_source ? rig->source_memory : rig->dest_memory;
    assert_int_equal(be->ops->region_add(be, 0, &region, &err), 0);
    return be;
}

void conf_open(struct conf_rig *rig, const struct conf_options *options)
{
    struct apn_acceptor acceptor = {on_authorise, on_attach, on_stranger, rig};
    struct apn_error err = {0};
    char port[8];

    memset(rig, 0, sizeof(*rig));
    pthread_mutex_init(&rig->lock, NULL);
    if (options) {
        rig->options = *options;
    }
    if (!strncmp(conf_backend, "loop", 4)) {
        rig->world =
            apn_loop_world_new(strcmp(conf_backend, "loop-virtual") ? &real_path : &virtual_path);
        assert_non_null(rig->world);
    }
    for (unsigned i = 0; i < CONF_LANES; i++) {
        rig->out[i].tail = &rig->out[i].head;
        rig->in[i].tail = &rig->in[i].head;
    }
    rig->source_memory = memory_new(&rig->source_fd);
    rig->dest_memory = memory_new(&rig->dest_fd);
    for (size_t i = 0; i < CONF_MEMORY / 8; i++) {
        ((uint64_t *)(void *)rig->source_memory)[i] = i * 0x9e3779b97f4a7c15ull;
    }
    conf_enter_dest();
    rig->dest = backend_new(rig, false, "0");
    if (rig->dest->ops->listen(rig->dest, &acceptor, &rig->port, &err)) {
        fail_msg("listen: %s", err.text);
    }
    conf_enter_source();
    assert_int_not_equal(rig->port, 0);
    snprintf(port, sizeof(port), "%u", rig->port);
    rig->source = backend_new(rig, true, port);
    if (rig->options.no_listener) {
        rig->dest->ops->free(rig->dest);
        rig->dest = NULL;
    }
}

void conf_end_close(struct conf_end *end)
{
    if (end->link) {
        end->link->backend->ops->link_close(end->link);
        end->link = NULL;
    }
    while (end->head) {
        struct conf_event *event = end->head;

        end->head = event->next;
        free(event);
    }
    end->tail = &end->head;
}

static struct conf_event *kept; /* by conf_next() */

void conf_close(struct conf_rig *rig)
{
    for (unsigned i = 0; i < CONF_LANES; i++) {
        conf_end_close(&rig->out[i]);
        conf_end_close(&rig->in[i]);
    }
    rig->source->ops->free(rig->source);
    for (unsigned i = 0; i < CONF_LANES; i++) {
        if (rig->accepted[i]) {
            rig->accepted[i]->backend->ops->link_close(rig->accepted[i]);
        }
    }
    if (rig->dest) {
        rig->dest->ops->free(rig->dest);
    }
    apn_loop_world_free(rig->world);
    munmap(rig->source_memory, CONF_MEMORY);
    munmap(rig->dest_memory, CONF_MEMORY);
    close(rig->source_fd); /* -1 is refused, and that is fine */
    close(rig->dest_fd);
    pthread_mutex_destroy(&rig->lock);
    free(kept);
    kept = NULL;
}

/* ---- moving -------------------------------------------------------------- */

static void keep_event(struct conf_end *end, const struct apn_event *event)
{
    bool told = event->type == APN_EVENT_MSG || event->type == APN_EVENT_FETCHED;
    size_t bytes = told && event->msg.payload ? event->msg.bytes : 0;
    struct conf_event *copy = malloc(sizeof(*copy) + bytes);

    assert_non_null(copy);
    copy->event = *event;
    copy->next = NULL;
    if (bytes) {
        memcpy(copy->payload, event->msg.payload, bytes);
        copy->event.msg.payload = copy->payload;
    }
    *end->tail = copy;
    end->tail = &copy->next;
}

uint8_t *conf_cleared;

static void end_poll(struct conf_end *end, int64_t timeout_ns)
{
    struct apn_event events[16];
    int n;

    if (!end->link || end->asleep) {
        return;
    }
    n = end->link->backend->ops->poll(end->link, events, 16, timeout_ns);
    assert_in_range(n, 0, 16);
    for (int i = 0; i < n; i++) {
        const struct apn_msg *msg = &events[i].msg;

        if (conf_cleared && events[i].type == APN_EVENT_MSG && msg->type == APN_MSG_EXTENT && msg->kind == APN_EXTENT_ZERO) {
            memset(conf_cleared + msg->offset, 0, msg->span);
        }
        keep_event(end, &events[i]);
    }
}

static void take_accepted(struct conf_rig *rig)
{
    for (unsigned i = 0; i < CONF_LANES; i++) {
        if (!rig->in[i].link && rig->accepted[i]) {
            rig->in[i].link = rig->accepted[i];
            rig->in[i].hello = rig->accepted_hello[i];
            rig->accepted[i] = NULL;
        }
    }
}

/* Everything moves once; @patient is given a little time. */
static void move(struct conf_rig *rig, struct conf_end *patient)
{
    for (unsigned i = 0; i < CONF_LANES; i++) {
        end_poll(&rig->out[i], 0);
        end_poll(&rig->in[i], 0);
    }
    if (conf_is_virtual(rig)) {
        uint64_t now = conf_now(rig), next = apn_loop_world_next(rig->world);

        apn_loop_world_advance(
            rig->world, next > now && next < now + VIRTUAL_STEP_NS ? next : now + VIRTUAL_STEP_NS);
    } else if (patient && patient->link && !patient->head) {
        end_poll(patient, 200000);
    } else {
        nanosleep(&(struct timespec){0, 20000}, NULL);
    }
}

bool conf_peek(struct conf_rig *rig, struct conf_end *end)
{
    move(rig, NULL);
    return end->head;
}

struct conf_event *conf_next(struct conf_rig *rig, struct conf_end *end)
{
    uint64_t until = conf_now(rig) + CONF_PATIENCE_MS * APN_NS_PER_MS;

    while (!end->head && conf_now(rig) < until) {
        pthread_mutex_lock(&rig->lock);
        take_accepted(rig); /* a backend may need both ends moving before either is up */
        pthread_mutex_unlock(&rig->lock);
        move(rig, end);
    }
    if (!end->head) {
        fail_msg("no event within %u ms", CONF_PATIENCE_MS);
    }
    free(kept);
    kept = end->head;
    end->head = kept->next;
    if (!end->head) {
        end->tail = &end->head;
    }
    return kept;
}

void conf_idle(struct conf_rig *rig, unsigned ms)
{
    uint64_t until = conf_now(rig) + ms * APN_NS_PER_MS;

    while (conf_now(rig) < until) {
        move(rig, NULL);
    }
}

int conf_post(struct conf_rig *rig, struct conf_end *end, const struct apn_msg *msgs, unsigned n)
{
    uint64_t until = conf_now(rig) + CONF_PATIENCE_MS * APN_NS_PER_MS;
    int ret;

    while ((ret = end->link->backend->ops->post(end->link, msgs, n)) == -EAGAIN) {
        if (conf_now(rig) > until) {
            fail_msg("post still refused after %u ms", CONF_PATIENCE_MS);
        }
        move(rig, end);
    }
    return ret;
}

void conf_expect_down(struct conf_rig *rig, struct conf_end *end)
{
    struct apn_event after[4];
    struct conf_event *event = conf_next(rig, end);

    assert_int_equal(event->event.type, APN_EVENT_DOWN);
    assert_true(event->event.error.code < 0);
    assert_true(event->event.error.text[0]);
    assert_int_equal(end->link->backend->ops->poll(end->link, after, 4, 0),
                     0); /* the last event of a link */
}

void conf_connect(struct conf_rig *rig, unsigned lane, uint32_t generation)
{
    struct apn_hello hello = {.lane = (uint16_t)lane,
                              .lanes = CONF_LANES,
                              .generation = generation,
                              .commit = 0,
                              .timeout_ms = 8000,
                              .features = rig->options.features,
                              .applied_bytes = 1000 + lane};
    struct apn_error err = {0};

    memset(hello.session_id, 0x5a, sizeof(hello.session_id));
    if (rig->source->ops->connect(rig->source, &hello, &rig->out[lane].link, &err)) {
        fail_msg("connect: %s", err.text);
    }
}

void conf_accept(struct conf_rig *rig, unsigned lane)
{
    uint64_t until = conf_now(rig) + CONF_PATIENCE_MS * APN_NS_PER_MS;

    while (conf_now(rig) < until) {
        pthread_mutex_lock(&rig->lock);
        take_accepted(rig);
        pthread_mutex_unlock(&rig->lock);
        if (rig->in[lane].link) {
            return;
        }
        move(rig, NULL);
    }
    fail_msg("lane %u was not accepted within %u ms", lane, CONF_PATIENCE_MS);
}

/* Some at a time: opening a link may cost milliseconds, all of them here on one thread, and a listener lets those go first
 * that have been shaking hands for long. */
#define TOGETHER 8u

void conf_up(struct conf_rig *rig, unsigned lanes)
{
    for (unsigned lane = 0, begun = 0; lane < lanes; lane++) {
        struct conf_event *event;

        for (; begun < lanes && begun < lane - lane % TOGETHER + TOGETHER; begun++) {
            conf_connect(rig, begun, 1);
        }
        event = conf_next(rig, &rig->out[lane]);
        if (event->event.type != APN_EVENT_UP) {
            fail_msg("lane %u: %s", lane, event->event.error.text);
        }
        conf_accept(rig, lane);
    }
}

void conf_wait_strangers(struct conf_rig *rig, unsigned n)
{
    uint64_t until = conf_now(rig) + CONF_PATIENCE_MS * APN_NS_PER_MS;
    unsigned seen;

    do {
        pthread_mutex_lock(&rig->lock);
        seen = rig->strangers;
        pthread_mutex_unlock(&rig->lock);
        move(rig, NULL);
    } while (seen < n && conf_now(rig) < until);
    assert_true(seen >= n);
}

struct apn_msg conf_stream(uint64_t offset, const void *payload, uint32_t bytes)
{
    return (struct apn_msg){
        .type = APN_MSG_STREAM, .offset = offset, .payload = payload, .bytes = bytes};
}

struct apn_msg conf_extent(struct conf_rig *rig, uint64_t offset, uint32_t span)
{
    return (struct apn_msg){.type = APN_MSG_EXTENT,
                            .kind = APN_EXTENT_DATA,
                            .offset = offset,
                            .span = span,
                            .bytes = span,
                            .payload = rig->source_memory + offset};
}
