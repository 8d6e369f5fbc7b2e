/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* datagram_links.c - seeds of trouble: whatever the path does, messages come out in order and guest memory is never older than what
 * was delivered
 *
 * The guest's pages have a history: each write makes a new state, a number in every 512 bytes of the page, or zero. A message is posted
 * behind a write, as in a migration; a repetition reads later states. When a message has been delivered, each piece of its pages must
 * hold the state that it was posted with or a later one; in the end both memories are equal.
 *
 * datagram_links [FIRST LAST]: seeds, 1..3000 unless told. A failure names its seed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datagram_world.h"

#define PAGES    96u
#define PIECE    512u
#define PIECES   (APN_PAGE_SIZE / PIECE)
#define MESSAGES 160u
#define STATES   (MESSAGES * 16u)
#define STEPS    40000u
#define STEP_NS  60000u

struct sent {
    struct apn_msg msg;
    uint32_t state[16]; /* of each of its pages, when it was posted */
};

struct trial {
    struct world w;
    uint8_t source[PAGES * APN_PAGE_SIZE], dest[PAGES * APN_PAGE_SIZE];
    uint32_t state[PAGES];          /* newest */
    bool is_zero[STATES + 1];       /* states are numbered over all pages */
    uint32_t states;
    struct sent sent[MESSAGES];
    unsigned posted, delivered, answers_sent, answers;
    uint8_t words[4096];
    uint64_t seed;
};

static unsigned first_seed = 1, last_seed = 3000;

static void *resolve(void *opaque, unsigned region, uint64_t offset, uint32_t span)
{
    struct trial *t = opaque;

    return region == 3 && offset + span <= sizeof(t->dest) ? t->dest + offset : NULL;
}

static void write_page(struct trial *t, unsigned page, bool zero)
{
    uint32_t state = ++t->states;

    t->state[page] = state;
    t->is_zero[state] = zero;
    memset(t->source + page * APN_PAGE_SIZE, 0, APN_PAGE_SIZE);
    for (unsigned i = 0; i < PIECES && !zero; i++) {
        memcpy(t->source + page * APN_PAGE_SIZE + i * PIECE, &state, sizeof(state));
    }
}

static void make_extent(struct trial *t, struct sent *s, bool zero)
{
    const unsigned count = 1 + world_random(&t->w, 12), page = world_random(&t->w, PAGES - count);

    for (unsigned i = 0; i < count; i++) {
        write_page(t, page + i, zero);
        s->state[i] = t->state[page + i];
    }
    s->msg = (struct apn_msg){.type = APN_MSG_EXTENT,
                              .kind = zero ? APN_EXTENT_ZERO : APN_EXTENT_DATA,
                              .region = 3,
                              .offset = page * APN_PAGE_SIZE,
                              .span = count * APN_PAGE_SIZE,
                              .bytes = zero ? 0 : count * APN_PAGE_SIZE,
                              .payload = zero ? NULL : t->source + page * APN_PAGE_SIZE};
}

static void post_some(struct trial *t)
{
    while (t->posted < MESSAGES && world_random(&t->w, 3)) {
        struct sent *s = &t->sent[t->posted];
        const unsigned kind = world_random(&t->w, 8);

        memset(s, 0, sizeof(*s));
        if (kind < 5) {
            make_extent(t, s, kind == 0);
        } else if (kind == 5) {
            s->msg = (struct apn_msg){.type = APN_MSG_STREAM, .offset = t->posted, .bytes = 1 + world_random(&t->w, 4096), .payload = t->words};
        } else {
            s->msg = (struct apn_msg){.type = APN_MSG_PING, .value = t->posted};
        }
        if (apn_dg_link_post(&t->w.link[0]->base, &s->msg, 1)) {
            return;
        }
        t->posted++;
    }
}

static void bad(const struct trial *t, const char *what, uint64_t a, uint64_t b)
{
    fail_msg("seed %llu: message %u: %s (%llu, %llu)", (unsigned long long)t->seed, t->delivered, what, (unsigned long long)a,
             (unsigned long long)b);
}

/* the state that a piece shows, at least @least; zero may be any zero state from there on */
static void check_piece(const struct trial *t, unsigned page, unsigned piece, uint32_t least)
{
    uint32_t shown;

    memcpy(&shown, t->dest + page * APN_PAGE_SIZE + piece * PIECE, sizeof(shown));
    if (shown >= least) {
        return;
    }
    if (shown) {
        bad(t, "a piece is older than what was delivered", shown, least);
    }
    for (uint32_t state = least; state <= t->states; state++) {
        if (t->is_zero[state]) { /* nearly always of another page, but each page is written often: a hole shows soon enough */
            return;
        }
    }
    bad(t, "a piece is empty that should not be", page, least);
}

static void check_extent(struct trial *t, const struct sent *s)
{
    const unsigned page = (unsigned)(s->msg.offset / APN_PAGE_SIZE);

    for (unsigned i = 0; i < s->msg.span / APN_PAGE_SIZE; i++) {
        for (unsigned k = 0; k < PIECES; k++) {
            check_piece(t, page + i, k, s->state[i]);
        }
    }
}

static void check_event(struct trial *t, const struct apn_event *event)
{
    const struct sent *s = &t->sent[t->delivered];
    const struct apn_msg *m = &event->msg;

    if (event->type != APN_EVENT_MSG) {
        fail_msg("seed %llu: link down: %s", (unsigned long long)t->seed, event->error.text);
    }
    if (t->delivered >= t->posted || m->type != s->msg.type || m->kind != s->msg.kind || m->offset != s->msg.offset || m->span != s->msg.span ||
        m->bytes != s->msg.bytes || m->value != s->msg.value) {
        bad(t, "not the next one", m->type, m->offset);
    }
    if (m->type == APN_MSG_STREAM && memcmp(m->payload, t->words, m->bytes)) {
        bad(t, "stream bytes differ", m->bytes, 0);
    }
    t->delivered++;
}

/* as the engine: what the events say is done after the poll, then they count */
static void take(struct trial *t)
{
    struct apn_event events[16];
    const unsigned max = 1 + world_random(&t->w, 16), before = t->delivered;
    const int n = world_poll(&t->w, 1, events, max);

    for (int i = 0; i < n; i++) {
        check_event(t, &events[i]);
    }
    for (unsigned i = before; i < t->delivered; i++) {
        if (t->sent[i].msg.kind == APN_EXTENT_ZERO) {
            memset(t->dest + t->sent[i].msg.offset, 0, t->sent[i].msg.span);
        }
    }
    /* newer contents under a ZERO come back with the next poll, and nothing behind it was given out */
    if (n && t->sent[t->delivered - 1].msg.kind == APN_EXTENT_ZERO) {
        return;
    }
    for (unsigned i = before; i < t->delivered; i++) {
        if (t->sent[i].msg.type == APN_MSG_EXTENT) {
            check_extent(t, &t->sent[i]);
        }
    }
}

static void answer(struct trial *t)
{
    struct apn_msg msg = {.type = APN_MSG_APPLIED, .offset = t->answers_sent};
    struct apn_event events[8];
    int n;

    if (world_random(&t->w, 4) == 0 && !apn_dg_link_post(&t->w.link[1]->base, &msg, 1)) {
        t->answers_sent++;
    }
    n = world_poll(&t->w, 0, events, 8);
    for (int i = 0; i < n; i++) {
        assert_int_equal(events[i].type, APN_EVENT_MSG);
        assert_int_equal(events[i].msg.offset, t->answers++);
    }
}

static void run(struct trial *t, uint64_t seed)
{
    static const struct apn_datagram_options own, shared = {.shared = true};
    const struct apn_sink sink = {resolve, t};
    struct world_path path = {.delay_ns = 1000000};
    uint64_t cut_at;

    memset(t, 0, sizeof(*t));
    t->seed = seed;
    t->w.random = seed;
    path.loss = world_random(&t->w, 4) ? world_random(&t->w, 150) / 1000. : 0;
    path.copies = world_random(&t->w, 2) ? world_random(&t->w, 200) / 1000. : 0;
    path.disorder = world_random(&t->w, 2) ? world_random(&t->w, 500) / 1000. : 0;
    path.jitter_ns = 1 + world_random(&t->w, 4000000);
    path.rate = world_random(&t->w, 2) ? 12500000 : 0;
    /* a shared path takes losses, and delays that vary, for advice: then it is slow, by intention */
    cut_at = world_random(&t->w, 4) ? 0 : 1 + world_random(&t->w, 200);
    world_init(&t->w, &path, seed, APN_PORT_DATAGRAM_MIN + world_random(&t->w, 3) * 4000, path.loss > 0.01 || path.disorder > 0 ? &own : &shared, &sink);
    t->w.shows_heads = world_random(&t->w, 2);
    for (unsigned i = 0; i < sizeof(t->words); i++) {
        t->words[i] = (uint8_t)(i * 7 + seed);
    }
    for (unsigned step = 1; step < STEPS && (t->delivered < MESSAGES || t->w.link[1]->rx.held.span || t->answers < t->answers_sent); step++) {
        t->w.cut = cut_at && step >= cut_at && step < cut_at + 500;
        if (step % 3 == 0) {
            post_some(t);
        }
        take(t);
        if (t->delivered < MESSAGES) {
            answer(t);
        } else {
            struct apn_event events[8];
            int n = world_poll(&t->w, 0, events, 8);

            t->answers += n > 0 ? (unsigned)n : 0;
        }
        t->w.now_ns += STEP_NS;
    }
    if (t->delivered < MESSAGES || memcmp(t->source, t->dest, sizeof(t->dest))) {
        bad(t, "not everything arrived, or memory differs in the end", t->delivered, MESSAGES);
    }
    world_done(&t->w);
}

static void every_seed(void **state)
{
    struct trial *t = malloc(sizeof(*t));
    uint64_t lost = 0, late = 0;

    (void)state;
    assert_non_null(t);
    for (uint64_t seed = first_seed; seed <= last_seed; seed++) {
        uint64_t kept;

        run(t, seed);
        kept = t->w.end[0].lost;
        lost += kept;
        late += t->w.end[0].sent;
    }
    assert_true(last_seed - first_seed < 100 || lost > 1000); /* the path did what it was told to */
    print_message("seeds %u..%u: %llu datagrams, %llu lost\n", first_seed, last_seed, (unsigned long long)late, (unsigned long long)lost);
    free(t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_seed)};

    if (argc == 3) {
        first_seed = (unsigned)atoi(argv[1]);
        last_seed = (unsigned)atoi(argv[2]);
    }
    return cmocka_run_group_tests_name("datagram_links", tests, NULL, NULL);
}
