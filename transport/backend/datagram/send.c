/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* send.c - see send.h */
#include "backend/datagram/send.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backend/datagram/memory.h"
#include "wire/codec.h"

#define MESSAGE(tx, n) (&(tx)->message[(n) & (APN_DG_MESSAGES - 1)])
#define PACKET(tx, n)  (&(tx)->packet[(n) & (APN_DG_PACKETS - 1)])
#define PIECE(ring, i) (&(ring)->slot[(i) & (APN_DG_ITEMS - 1)])
#define PROBES_FAST    64u             /* then slower and slower */
#define PROBE_MIN_NS   1000000ull
#define PROBE_MAX_NS   50000000ull

int apn_dg_sender_init(struct apn_dg_sender *tx, struct apn_dg_rate *rate, uint32_t datagram_max, uint32_t staging_bytes)
{
    memset(tx, 0, sizeof(*tx));
    tx->rate = rate;
    tx->datagram_max = datagram_max;
    tx->staging_bytes = staging_bytes;
    tx->reorder = APN_DG_REORDER_MIN;
    tx->message = apn_dg_memory_new(APN_DG_MESSAGES * sizeof(*tx->message));
    tx->packet = apn_dg_memory_new(APN_DG_PACKETS * sizeof(*tx->packet));
    tx->items.slot = apn_dg_memory_new(APN_DG_ITEMS * sizeof(*tx->items.slot));
    tx->again.slot = apn_dg_memory_new(APN_DG_ITEMS * sizeof(*tx->again.slot));
    tx->missing = apn_dg_memory_new(APN_DG_PACKETS * sizeof(*tx->missing));
    return tx->message && tx->packet && tx->items.slot && tx->again.slot && tx->missing ? 0 : -ENOMEM;
}

void apn_dg_sender_done(struct apn_dg_sender *tx)
{
    apn_dg_memory_free(tx->message, APN_DG_MESSAGES * sizeof(*tx->message));
    apn_dg_memory_free(tx->packet, APN_DG_PACKETS * sizeof(*tx->packet));
    apn_dg_memory_free(tx->items.slot, APN_DG_ITEMS * sizeof(*tx->items.slot));
    apn_dg_memory_free(tx->again.slot, APN_DG_ITEMS * sizeof(*tx->again.slot));
    apn_dg_memory_free(tx->missing, APN_DG_PACKETS * sizeof(*tx->missing));
    memset(tx, 0, sizeof(*tx));
}

/* ---- posting ----------------------------------------------------------------- */

static uint32_t round_up(uint32_t value, uint32_t to)
{
    return (value + to - 1) / to * to;
}

/* even parts, so that segmentation offload can be used; whole pages where that costs no further part */
static void cut(const struct apn_dg_sender *tx, struct apn_dg_outgoing *m)
{
    const uint32_t most = tx->datagram_max - APN_DG_HEADER_BYTES - APN_DG_PART_BYTES - APN_DG_ACK_ROOM;
    static const uint32_t grains[] = {4096, 64, 8, 1};

    m->parts = 1;
    m->piece = m->bytes;
    if (m->bytes <= most) {
        return;
    }
    m->parts = (uint16_t)((m->bytes + most - 1) / most);
    for (unsigned i = 0; i < sizeof(grains) / sizeof(grains[0]); i++) {
        m->piece = round_up((m->bytes + m->parts - 1) / m->parts, grains[i]);
        if (m->piece <= most && (uint64_t)m->piece * (m->parts - 1u) < m->bytes) {
            return;
        }
    }
}

/* room in the peer's staging: never around its end */
static void stage(struct apn_dg_sender *tx, struct apn_dg_outgoing *m)
{
    const uint32_t at = (uint32_t)(tx->staged & (tx->staging_bytes - 1));
    const uint32_t skip = at + m->bytes > tx->staging_bytes ? tx->staging_bytes - at : 0;

    m->staged = tx->staged + skip;
    m->staged_bytes = skip + m->bytes;
    tx->staged += m->staged_bytes;
}

int apn_dg_sender_post(struct apn_dg_sender *tx, const struct apn_msg *msgs, unsigned n)
{
    if (tx->posted - tx->delivered + n > APN_DG_MESSAGES || tx->posted - tx->unsent + n > APN_DG_UNSENT_MAX) {
        return -EAGAIN;
    }
    for (unsigned i = 0; i < n; i++, tx->posted++) {
        struct apn_dg_outgoing *m = MESSAGE(tx, tx->posted);
        const bool ram = msgs[i].type == APN_MSG_EXTENT;

        memset(m, 0, sizeof(*m));
        apn_msg_encode(&msgs[i], m->header);
        m->payload = msgs[i].payload;
        m->bytes = msgs[i].bytes;
        m->region = ram || msgs[i].type == APN_MSG_POSTCOPY_PAGE ? msgs[i].region : APN_PORT_NO_REGION;
        m->offset = msgs[i].offset;
        assert(m->bytes == 0 || m->payload);
        cut(tx, m);
        if (!ram) {
            stage(tx, m);
        }
    }
    return 0;
}

/* ---- building ---------------------------------------------------------------- */

static bool has_window(const struct apn_dg_sender *tx, uint64_t message)
{
    const struct apn_dg_outgoing *m = MESSAGE(tx, message);

    return !m->bytes || !m->staged_bytes || m->staged + m->bytes - tx->released <= tx->staging_bytes;
}

/* what comes next: lost parts first. Return: false when there is nothing, or the peer has no room for it */
static bool peek(struct apn_dg_sender *tx, struct apn_dg_piece *out)
{
    while (tx->again.head != tx->again.tail) {
        *out = *PIECE(&tx->again, tx->again.head);
        if (apn_dg_expand(out->message, tx->delivered) >= tx->delivered) {
            return true;
        }
        tx->again.head++; /* delivered meanwhile: it was late, not lost */
    }
    if (tx->unsent == tx->posted || !has_window(tx, tx->unsent)) {
        return false;
    }
    *out = (struct apn_dg_piece){(uint32_t)tx->unsent, MESSAGE(tx, tx->unsent)->next};
    return true;
}

static void take(struct apn_dg_sender *tx, struct apn_dg_packet *packet, const struct apn_dg_piece *piece)
{
    struct apn_dg_outgoing *m = MESSAGE(tx, piece->message);

    if (tx->again.head != tx->again.tail) {
        tx->again.head++;
        tx->repeated++;
    } else if (++m->next == m->parts) {
        tx->unsent++;
    }
    *PIECE(&tx->items, tx->items.tail) = *piece;
    tx->items.tail++;
    packet->items++;
}

static bool rings_full(const struct apn_dg_sender *tx)
{
    const uint32_t heads = APN_PORT_HEAD_MAX / APN_DG_PART_BYTES + 1; /* parts that fit in one datagram */

    return tx->next - tx->floor >= APN_DG_PACKETS - 1 || tx->items.tail - tx->items.head + heads > APN_DG_ITEMS;
}

bool apn_dg_sender_due(const struct apn_dg_sender *tx)
{
    struct apn_dg_piece piece;

    return tx->in_flight_bytes < tx->rate->cwnd && !rings_full(tx) && peek((struct apn_dg_sender *)tx, &piece);
}

/* one part into the head. Return: false when it has no place here */
static bool add(struct apn_dg_sender *tx, const struct apn_dg_piece *piece, uint8_t *head, uint32_t *used, struct apn_port_datagram *out)
{
    const struct apn_dg_outgoing *m = MESSAGE(tx, piece->message);
    const uint32_t offset = m->piece * piece->part;
    const uint32_t bytes = piece->part + 1u < m->parts ? m->piece : m->bytes - offset;
    struct apn_dg_part part = {.kind = bytes > APN_DG_INLINE_MAX ? APN_DG_BULK : APN_DG_PART,
                               .part = piece->part,
                               .parts = m->parts,
                               .message = piece->message,
                               .piece = m->piece,
                               .staged = (uint32_t)m->staged,
                               .header = m->header};
    const uint32_t need = APN_DG_PART_BYTES + (part.kind == APN_DG_PART ? bytes : 0);
    const uint32_t most = tx->datagram_max < APN_PORT_HEAD_MAX ? tx->datagram_max : APN_PORT_HEAD_MAX;

    if (*used + need > most || *used + APN_DG_PART_BYTES + bytes > tx->datagram_max) {
        return false;
    }
    apn_dg_part_encode(&part, head + *used);
    if (part.kind == APN_DG_PART && bytes) {
        memcpy(head + *used + APN_DG_PART_BYTES, m->payload + offset, bytes);
    } else if (bytes) {
        out->payload = m->payload + offset;
        out->payload_bytes = bytes;
        out->region = m->region;
        out->offset = m->offset + offset;
    }
    *used += need;
    return true;
}

static void remember(struct apn_dg_sender *tx, struct apn_dg_packet *packet, uint32_t bytes, uint64_t now_ns)
{
    if (!tx->in_flight_bytes) {
        tx->first_ns = tx->acked_ns = now_ns; /* the pipe was empty: what was before is not this flight's time */
    }
    if (tx->floor == tx->next) {
        tx->oldest_ns = now_ns;
        tx->probes = 0;
    }
    packet->sent_ns = now_ns;
    packet->delivered_bytes = tx->acked_bytes;
    packet->delivered_ns = tx->acked_ns;
    packet->first_ns = tx->first_ns;
    packet->bytes = bytes;
    packet->state = APN_DG_SENT;
    packet->app_limited = tx->app_limited_until > tx->acked_bytes;
    tx->in_flight_bytes += bytes;
    tx->next++;
}

int apn_dg_sender_build(struct apn_dg_sender *tx, uint8_t *head, uint32_t *head_bytes, struct apn_port_datagram *out, uint64_t now_ns)
{
    struct apn_dg_packet *packet = PACKET(tx, tx->next);
    struct apn_dg_piece piece;
    uint32_t used = *head_bytes;

    if (rings_full(tx)) {
        return 0;
    }
    *packet = (struct apn_dg_packet){.item = tx->items.tail};
    *out = (struct apn_port_datagram){.head = head, .region = APN_PORT_NO_REGION};
    while (!out->payload && peek(tx, &piece) && add(tx, &piece, head, &used, out)) {
        take(tx, packet, &piece);
    }
    if (!packet->items) {
        return 0;
    }
    *head_bytes = used;
    out->head_bytes = used;
    remember(tx, packet, used + out->payload_bytes, now_ns);
    if (!peek(tx, &piece) && tx->in_flight_bytes < tx->rate->cwnd) {
        apn_dg_sender_limited(tx);
    }
    return 1;
}

/* ---- acknowledgements ----------------------------------------------------------- */

static void arrived(struct apn_dg_sender *tx, struct apn_dg_packet *packet, uint64_t now_ns)
{
    tx->in_flight_bytes -= packet->bytes;
    tx->acked_bytes += packet->bytes;
    tx->acked_ns = now_ns;
    packet->state = APN_DG_ARRIVED;
}

static void lose(struct apn_dg_sender *tx, uint64_t number, struct apn_dg_sample *sample)
{
    struct apn_dg_packet *packet = PACKET(tx, number);

    packet->state = APN_DG_LOST;
    tx->doubted[tx->lost % APN_DG_DOUBTED] = number;
    tx->in_flight_bytes -= packet->bytes;
    sample->lost_bytes += packet->bytes;
    tx->lost++;
    for (uint32_t i = 0; i < packet->items && tx->again.tail - tx->again.head < APN_DG_ITEMS; i++) {
        const struct apn_dg_piece *piece = PIECE(&tx->items, packet->item + i);

        if (apn_dg_expand(piece->message, tx->delivered) >= tx->delivered) {
            *PIECE(&tx->again, tx->again.tail) = *piece;
            tx->again.tail++;
        }
    }
}

/** struct walk - over the gaps of one ACK, numbers ascending */
struct walk {
    const struct apn_dg_ack *ack;
    unsigned gap;
};

static bool in_gap(struct walk *w, uint64_t number)
{
    const struct apn_dg_ack *ack = w->ack;

    if (number < ack->base) {
        return false;
    }
    while (w->gap < ack->gaps && ack->base + ack->gap[w->gap].start + ack->gap[w->gap].count <= number) {
        w->gap++;
    }
    return w->gap < ack->gaps && number >= ack->base + ack->gap[w->gap].start;
}

/* what was given up too early shows for half a round trip, until the peer hears that nobody waits for it any more */
static void regret(struct apn_dg_sender *tx, const struct apn_dg_ack *ack)
{
    for (unsigned i = 0; i < APN_DG_DOUBTED && i < tx->lost; i++) {
        struct walk walk = {.ack = ack};
        uint64_t number = tx->doubted[i];

        if (number >= ack->base && number < ack->base + ack->known && !in_gap(&walk, number)) {
            tx->doubted[i] = 0;
            tx->spurious++;
            tx->reorder = tx->reorder * 2 > APN_DG_REORDER_MAX ? APN_DG_REORDER_MAX : tx->reorder * 2;
        }
    }
}

static bool is_lost(const struct apn_dg_sender *tx, const struct apn_dg_ack *ack, uint64_t number, uint64_t now_ns)
{
    const uint64_t age_ns = tx->rate->rtt_ns + tx->rate->rtt_ns / 8 + 1000;

    return number + tx->reorder < ack->base + ack->top || now_ns - PACKET(tx, number)->sent_ns > age_ns;
}

/* numbers that were missing before: arrived by now, lost by now, or still in doubt */
static void look_again(struct apn_dg_sender *tx, const struct apn_dg_ack *ack, struct apn_dg_sample *sample, uint64_t now_ns)
{
    struct walk walk = {.ack = ack};
    uint32_t end = tx->missing_tail;

    for (uint32_t i = tx->missing_head; i != end; i++) {
        uint64_t number = apn_dg_expand(tx->missing[i & (APN_DG_PACKETS - 1)], tx->floor);
        struct apn_dg_packet *packet = PACKET(tx, number);

        tx->missing_head = i + 1;
        if (number >= ack->base + ack->known) { /* this ACK does not reach so far: as before */
            tx->missing[tx->missing_tail++ & (APN_DG_PACKETS - 1)] = (uint32_t)number;
        } else if (!in_gap(&walk, number)) {
            sample->acked_bytes += packet->bytes;
            arrived(tx, packet, now_ns);
        } else if (is_lost(tx, ack, number, now_ns)) {
            lose(tx, number, sample);
        } else {
            tx->missing[tx->missing_tail++ & (APN_DG_PACKETS - 1)] = (uint32_t)number;
        }
    }
}

static void sample_of(struct apn_dg_sender *tx, uint64_t number, struct apn_dg_sample *sample, uint64_t now_ns)
{
    const struct apn_dg_packet *packet = PACKET(tx, number);
    const uint64_t sent_ns = packet->sent_ns - packet->first_ns, acked_ns = now_ns - packet->delivered_ns;

    sample->delivered_bytes = tx->acked_bytes - packet->delivered_bytes;
    sample->interval_ns = sent_ns > acked_ns ? sent_ns : acked_ns;
    sample->app_limited = packet->app_limited || packet->sent_ns < tx->silent_until_ns;
    sample->round_ended = number >= tx->round_end;
    if (sample->round_ended) {
        tx->round_end = tx->next;
    }
    tx->first_ns = packet->sent_ns;
}

/* numbers that no ACK reached before */
static void scan(struct apn_dg_sender *tx, const struct apn_dg_ack *ack, struct apn_dg_sample *sample, uint64_t now_ns)
{
    const uint64_t end = ack->base + ack->known;
    struct walk walk = {.ack = ack};
    uint64_t newest = UINT64_MAX;

    for (; tx->scanned < end; tx->scanned++) {
        struct apn_dg_packet *packet = PACKET(tx, tx->scanned);

        if (!in_gap(&walk, tx->scanned)) {
            sample->acked_bytes += packet->bytes;
            arrived(tx, packet, now_ns);
            newest = tx->scanned;
        } else if (is_lost(tx, ack, tx->scanned, now_ns)) {
            lose(tx, tx->scanned, sample);
        } else {
            packet->state = APN_DG_MISSING;
            tx->missing[tx->missing_tail++ & (APN_DG_PACKETS - 1)] = (uint32_t)tx->scanned;
        }
    }
    if (newest != UINT64_MAX) {
        sample_of(tx, newest, sample, now_ns);
    }
}

static void free_oldest(struct apn_dg_sender *tx)
{
    while (tx->floor < tx->next) {
        struct apn_dg_packet *packet = PACKET(tx, tx->floor);

        if (packet->state == APN_DG_SENT || packet->state == APN_DG_MISSING) {
            break;
        }
        packet->state = APN_DG_FREE;
        tx->items.head = packet->item + packet->items;
        tx->floor++;
    }
}

static int check(const struct apn_dg_sender *tx, const struct apn_dg_ack *ack, struct apn_error *err)
{
    if (ack->base + ack->top > tx->next || ack->delivered > tx->posted || ack->released > tx->staged) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_LANE,
                             "datagram: ACK up to %llu, %llu messages, %llu staged bytes; sent were %llu, %llu, %llu",
                             (unsigned long long)(ack->base + ack->top), (unsigned long long)ack->delivered,
                             (unsigned long long)ack->released, (unsigned long long)tx->next, (unsigned long long)tx->posted,
                             (unsigned long long)tx->staged);
    }
    return 0;
}

int apn_dg_sender_acked(struct apn_dg_sender *tx, const struct apn_dg_ack *ack, uint64_t now_ns, struct apn_error *err)
{
    struct apn_dg_sample sample = {0};
    int ret = check(tx, ack, err);

    if (ret) {
        return ret;
    }
    tx->delivered = ack->delivered > tx->delivered ? ack->delivered : tx->delivered;
    tx->unsent = tx->unsent > tx->delivered ? tx->unsent : tx->delivered;
    tx->released = ack->released > tx->released ? ack->released : tx->released;
    if (tx->probes) {
        tx->silent_until_ns = now_ns; /* the path was away: what was sent before says nothing about its rate */
    }
    regret(tx, ack);
    look_again(tx, ack, &sample, now_ns);
    scan(tx, ack, &sample, now_ns);
    free_oldest(tx);
    if ((int32_t)(ack->marked - tx->marked) > 0) {
        sample.marked = ack->marked - tx->marked;
        tx->marked = ack->marked;
    }
    sample.in_flight_bytes = tx->in_flight_bytes;
    apn_dg_rate_sample(tx->rate, &sample, now_ns);
    tx->oldest_ns = now_ns;
    tx->probes = 0;
    return 0;
}

/* ---- silence ----------------------------------------------------------------------- */

uint64_t apn_dg_sender_probe_at(const struct apn_dg_sender *tx)
{
    const uint64_t half = tx->rate->rtt_ns / 2;
    uint64_t every = half > PROBE_MIN_NS ? half : PROBE_MIN_NS;

    if (tx->in_flight_bytes == 0 && (tx->unsent == tx->posted || has_window(tx, tx->unsent)) &&
        tx->posted - tx->delivered < APN_DG_MESSAGES / 2) {
        return UINT64_MAX;
    }
    for (unsigned i = tx->probes / PROBES_FAST; i && every < PROBE_MAX_NS; i--) {
        every *= 2;
    }
    every = every > PROBE_MAX_NS && half < PROBE_MAX_NS ? PROBE_MAX_NS : every;
    return tx->probes ? tx->probed_ns + every : tx->oldest_ns + apn_dg_rate_patience(tx->rate);
}

void apn_dg_sender_probed(struct apn_dg_sender *tx, uint64_t now_ns)
{
    tx->probed_ns = now_ns;
    tx->probes++;
}
