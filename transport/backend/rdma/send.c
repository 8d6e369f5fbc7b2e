/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* send.c - see send.h */
#include "backend/rdma/send.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

#define QUEUE(i)       ((i) & (APN_RDMA_QUEUE - 1))
#define PENDING(i)     ((i) & (APN_RDMA_PENDING - 1))
#define EXTENT_WRS     4u /* requests that one extent may need: it crosses pieces of either end */
#define WRITE_MAX      (1u << 20)
#define CREDIT_RESERVE 1u /* the last slot of the peer is for telling credit, or both ends could wait for each other */

int apn_rdma_sender_init(struct apn_rdma_sender *tx, struct apn_rdma_qp *qp, struct apn_rdma_memory *memory,
                         struct apn_rdma_totals *totals, const struct apn_rdma_plan *plan)
{
    *tx = (struct apn_rdma_sender){.qp = qp, .memory = memory, .totals = totals, .signal_every = plan->signal_every};
    tx->queue = calloc(APN_RDMA_QUEUE, sizeof(*tx->queue));
    tx->frame_end = calloc(plan->slots, sizeof(*tx->frame_end));
    tx->pending = calloc(APN_RDMA_PENDING, sizeof(*tx->pending));
    tx->bucket = malloc(APN_RDMA_BUCKETS * sizeof(*tx->bucket));
    if (!tx->queue || !tx->frame_end || !tx->pending || !tx->bucket) {
        return -ENOMEM;
    }
    memset(tx->bucket, 0xff, APN_RDMA_BUCKETS * sizeof(*tx->bucket));
    return 0;
}

void apn_rdma_sender_done(struct apn_rdma_sender *tx)
{
    if (tx->totals) {
        atomic_fetch_sub(&tx->totals->in_flight, tx->posted - tx->done);
    }
    free(tx->queue);
    free(tx->frame_end);
    free(tx->pending);
    free(tx->bucket);
    *tx = (struct apn_rdma_sender){0};
}

int apn_rdma_sender_post(struct apn_rdma_sender *tx, const struct apn_msg *msgs, unsigned n)
{
    if (n > APN_RDMA_QUEUE - (tx->tail - tx->head)) {
        return -EAGAIN;
    }
    for (unsigned i = 0; i < n; i++) {
        assert(msgs[i].bytes == 0 || msgs[i].payload);
        tx->queue[QUEUE(tx->tail++)] = msgs[i];
    }
    return 0;
}

/* ---- work requests ------------------------------------------------------------- */

static uint32_t request_room(const struct apn_rdma_sender *tx)
{
    return tx->qp->depth - (uint32_t)(tx->posted + tx->chain - tx->done);
}

static int ring_doorbell(struct apn_rdma_sender *tx)
{
    struct ibv_send_wr *bad;
    uint64_t flying;
    int ret;

    if (!tx->chain) {
        return 0;
    }
    tx->wr[tx->chain - 1].next = NULL;
    ret = ibv_post_send(tx->qp->qp, tx->wr, &bad);
    if (ret) {
        return -ret;
    }
    tx->posted += tx->chain;
    flying = atomic_fetch_add(&tx->totals->in_flight, tx->chain) + tx->chain;
    if (flying > atomic_load(&tx->totals->in_flight_max)) {
        atomic_store(&tx->totals->in_flight_max, flying);
    }
    atomic_fetch_add(&tx->totals->doorbells, 1);
    tx->chain = 0;
    return 0;
}

static struct ibv_send_wr *next_request(struct apn_rdma_sender *tx)
{
    struct ibv_send_wr *wr = &tx->wr[tx->chain];

    if (tx->chain) {
        tx->wr[tx->chain - 1].next = wr;
    }
    *wr = (struct ibv_send_wr){.sg_list = tx->sge[tx->chain]};
    tx->chain++;
    if (++tx->unsignalled >= tx->signal_every) {
        wr->send_flags = IBV_SEND_SIGNALED;
        tx->unsignalled = 0;
    }
    wr->wr_id = tx->posted + tx->chain; /* completion says: this many are done */
    return wr;
}

void apn_rdma_sender_completed(struct apn_rdma_sender *tx, uint64_t count)
{
    if (count > tx->done && count <= tx->posted) {
        atomic_fetch_sub(&tx->totals->in_flight, count - tx->done);
        tx->done = count;
        while (tx->frames_done != tx->frames_sent && tx->frame_end[tx->frames_done % tx->qp->frames] <= count) {
            tx->frames_done++;
        }
    }
}

/* ---- frames ---------------------------------------------------------------------- */

/* Return: true when a frame may be begun. @reserve: slots of the peer to leave alone */
static bool frame_room(struct apn_rdma_sender *tx, uint32_t reserve)
{
    if (request_room(tx) <= EXTENT_WRS || tx->frames_sent - tx->frames_done >= tx->qp->frames) {
        tx->blocked = true;
        return false;
    }
    return tx->frames_sent - tx->credit + reserve < tx->qp->peer_slots;
}

static void open_frame(struct apn_rdma_sender *tx, uint8_t type)
{
    tx->frame = apn_rdma_qp_frame(tx->qp, tx->frames_sent);
    tx->frame_type = type;
    tx->fill = APN_WIRE_FRAME_BYTES;
}

/* the frame becomes a SEND at the end of the chain */
static int close_frame(struct apn_rdma_sender *tx, const struct apn_rdma_told *told)
{
    struct apn_frame header = {tx->frame_type, (uint16_t)tx->frames_sent, told->credit, told->handled};
    struct ibv_send_wr *wr;

    if (!tx->frame) {
        return 0;
    }
    apn_frame_encode(&header, tx->frame);
    wr = next_request(tx);
    wr->opcode = IBV_WR_SEND;
    wr->num_sge = 1;
    wr->sg_list[0] = (struct ibv_sge){(uint64_t)(uintptr_t)tx->frame, tx->fill, tx->qp->mr->lkey};
    wr->send_flags |= tx->fill <= tx->qp->inline_bytes ? IBV_SEND_INLINE : 0;
    /* one completion for a frame and the WRITEs before it: buffers and counts come back with it */
    wr->send_flags |= IBV_SEND_SIGNALED;
    tx->unsignalled = 0;
    tx->frame_end[tx->frames_sent++ % tx->qp->frames] = tx->posted + tx->chain;
    tx->told_credit = told->credit;
    tx->told_handled = told->handled;
    tx->frame = NULL;
    atomic_fetch_add(&tx->totals->sends, 1);
    return tx->chain + EXTENT_WRS + 1 >= APN_RDMA_CHAIN ? ring_doorbell(tx) : 0;
}

int apn_rdma_sender_greet(struct apn_rdma_sender *tx, uint8_t type, uint32_t bytes, const struct apn_rdma_told *told)
{
    int ret;

    assert(!tx->frame);
    if (!frame_room(tx, type == APN_FRAME_CREDIT ? 0 : CREDIT_RESERVE)) {
        return -EAGAIN;
    }
    open_frame(tx, type);
    if (bytes > tx->fill) {
        bytes = bytes < tx->qp->peer_slot_bytes ? bytes : tx->qp->peer_slot_bytes;
        memset(tx->frame + tx->fill, 0, bytes - tx->fill);
        tx->fill = bytes;
    }
    ret = close_frame(tx, told);
    tx->end_sent |= type == APN_FRAME_END;
    return ret ? ret : ring_doorbell(tx);
}

int apn_rdma_sender_keys(struct apn_rdma_sender *tx, const struct apn_key *keys, unsigned count,
                         const struct apn_rdma_told *told)
{
    int ret;

    assert(!tx->frame && APN_WIRE_FRAME_BYTES + count * sizeof(struct apn_wire_key) <= tx->qp->peer_slot_bytes);
    if (!frame_room(tx, CREDIT_RESERVE)) {
        return -EAGAIN;
    }
    open_frame(tx, APN_FRAME_KEYS);
    for (unsigned i = 0; i < count; i++) {
        apn_key_encode(&keys[i], tx->frame + tx->fill);
        tx->fill += sizeof(struct apn_wire_key);
    }
    ret = close_frame(tx, told);
    return ret ? ret : ring_doorbell(tx);
}

int apn_rdma_sender_read(struct apn_rdma_sender *tx, const struct ibv_sge *to, uint64_t remote, uint32_t rkey)
{
    struct ibv_send_wr *wr;

    assert(!tx->frame && !tx->chain);
    if (request_room(tx) <= EXTENT_WRS + 1) {
        return -EAGAIN; /* what is left is for frames: the page can be asked for in one */
    }
    wr = next_request(tx);
    wr->opcode = IBV_WR_RDMA_READ;
    wr->num_sge = 1;
    wr->sg_list[0] = *to;
    wr->send_flags = IBV_SEND_SIGNALED;
    wr->wr.rdma.remote_addr = remote;
    wr->wr.rdma.rkey = rkey;
    tx->unsignalled = 0;
    atomic_fetch_add(&tx->totals->reads, 1);
    return ring_doorbell(tx);
}

/* ---- what the peer's CPU has to apply ------------------------------------------------ */

static uint32_t bucket_of(unsigned region, uint64_t offset)
{
    return (uint32_t)((offset / APN_RDMA_BUCKET_BYTES * 2654435761u) ^ (region * 40503u)) & (APN_RDMA_BUCKETS - 1);
}

static bool pending_full(const struct apn_rdma_sender *tx)
{
    return tx->pending_tail - tx->pending_head == APN_RDMA_PENDING;
}

static void pending_add(struct apn_rdma_sender *tx, const struct apn_msg *msg)
{
    uint32_t index = PENDING(tx->pending_tail++);
    struct apn_rdma_pending *p = &tx->pending[index];
    const uint64_t ends[2] = {msg->offset, msg->offset + msg->span - 1};

    *p = (struct apn_rdma_pending){tx->records, msg->offset, msg->offset + msg->span, msg->region, {-1, -1}};
    for (unsigned i = 0; i < 2; i++) {
        int32_t *first = &tx->bucket[bucket_of(msg->region, ends[i])];

        /* node number: entry and which of its two links; one bucket may hold both */
        p->next[i] = *first;
        *first = (int32_t)(index * 2 + i);
    }
}

static void unlink_node(struct apn_rdma_sender *tx, uint32_t bucket, int32_t node)
{
    int32_t *at = &tx->bucket[bucket];

    while (*at != node) {
        at = &tx->pending[*at / 2].next[*at % 2];
    }
    *at = tx->pending[node / 2].next[node % 2];
}

static void pending_forget(struct apn_rdma_sender *tx)
{
    while (tx->pending_head != tx->pending_tail && tx->pending[PENDING(tx->pending_head)].record < tx->handled) {
        uint32_t index = PENDING(tx->pending_head++);
        const struct apn_rdma_pending *p = &tx->pending[index];

        unlink_node(tx, bucket_of(p->region, p->offset), (int32_t)(index * 2));
        unlink_node(tx, bucket_of(p->region, p->end - 1), (int32_t)(index * 2 + 1));
    }
}

/* extents are no longer than a bucket, so two that overlap have a bucket in common */
static bool overlaps_pending(const struct apn_rdma_sender *tx, const struct apn_msg *msg)
{
    const uint64_t end = msg->offset + msg->span;
    const uint64_t places[2] = {msg->offset, end - 1};

    for (unsigned i = 0; i < 2 && tx->pending_head != tx->pending_tail; i++) {
        for (int32_t node = tx->bucket[bucket_of(msg->region, places[i])]; node >= 0;
             node = tx->pending[node / 2].next[node % 2]) {
            const struct apn_rdma_pending *p = &tx->pending[node / 2];

            if (p->region == msg->region && p->offset < end && msg->offset < p->end) {
                return true;
            }
        }
    }
    return false;
}

int apn_rdma_sender_heard(struct apn_rdma_sender *tx, uint32_t credit, uint64_t handled)
{
    if (credit - tx->credit > tx->frames_sent - tx->credit || handled > tx->records) {
        return -EPROTO;
    }
    tx->credit = credit;
    if (handled > tx->handled) {
        tx->handled = handled;
        pending_forget(tx);
    }
    return 0;
}

/* ---- WRITE ---------------------------------------------------------------------------- */

/* one run of an extent that is one piece there; here it may be several: gathered */
struct run {
    const uint8_t *local;
    uint64_t remote;
    uint32_t rkey;
    uint32_t bytes;
};

/* Return: runs of @msg, 0 when some of it is not registered here or not open there */
static unsigned split(struct apn_rdma_sender *tx, const struct apn_msg *msg, struct run runs[EXTENT_WRS])
{
    uint32_t done = 0;
    unsigned n = 0;

    while (done < msg->span && n < EXTENT_WRS) {
        const struct apn_key *key = apn_rdma_keys_find(tx->memory, msg->region, msg->offset + done);
        uint64_t into = key ? msg->offset + done - key->offset : 0;
        uint32_t left = msg->span - done;

        if (!key) {
            return 0;
        }
        left = left < key->length - into ? left : (uint32_t)(key->length - into);
        runs[n++] = (struct run){(const uint8_t *)msg->payload + done, key->address + into, key->rkey, left};
        done += left;
    }
    return done == msg->span ? n : 0;
}

/* gather list for @bytes from @local. Return: entries, 0 when not all is registered or there are too many. */
static unsigned gather(struct apn_rdma_sender *tx, const uint8_t *local, uint32_t bytes, struct ibv_sge *sge)
{
    unsigned n = 0;

    while (bytes) {
        uint64_t length;
        const struct apn_rdma_piece *piece = apn_rdma_memory_find(tx->memory, local, &length);

        if (!piece || n == tx->qp->gather) {
            return 0;
        }
        length = length < bytes ? length : bytes;
        sge[n++] = (struct ibv_sge){(uint64_t)(uintptr_t)local, (uint32_t)length, piece->mr->lkey};
        local += length;
        bytes -= (uint32_t)length;
    }
    return n;
}

/* a run that goes on where the WRITE before it ended becomes part of it */
static bool lengthen(struct apn_rdma_sender *tx, const struct run *run, const struct ibv_sge *sge)
{
    struct ibv_send_wr *wr = tx->chain ? &tx->wr[tx->chain - 1] : NULL;
    struct ibv_sge *last;

    if (!wr || wr->opcode != IBV_WR_RDMA_WRITE || wr->wr.rdma.rkey != run->rkey) {
        return false;
    }
    last = &wr->sg_list[wr->num_sge - 1];
    if (wr->num_sge != 1 || wr->wr.rdma.remote_addr + last->length != run->remote || last->lkey != sge->lkey ||
        last->addr + last->length != sge->addr || last->length + run->bytes > WRITE_MAX) {
        return false;
    }
    last->length += run->bytes;
    return true;
}

/* Return: true when all of @msg's payload is on its way into the peer's memory */
static bool write_extent(struct apn_rdma_sender *tx, const struct apn_msg *msg)
{
    struct run runs[EXTENT_WRS];
    struct ibv_sge sge[EXTENT_WRS][APN_RDMA_GATHER];
    unsigned entries[EXTENT_WRS], n = split(tx, msg, runs);

    for (unsigned i = 0; i < n; i++) {
        entries[i] = gather(tx, runs[i].local, runs[i].bytes, sge[i]);
        if (!entries[i]) {
            return false;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        struct ibv_send_wr *wr;

        if (entries[i] == 1 && lengthen(tx, &runs[i], sge[i])) {
            continue;
        }
        wr = next_request(tx);
        wr->opcode = IBV_WR_RDMA_WRITE;
        wr->wr.rdma.remote_addr = runs[i].remote;
        wr->wr.rdma.rkey = runs[i].rkey;
        wr->num_sge = (int)entries[i];
        memcpy(wr->sg_list, sge[i], entries[i] * sizeof(sge[i][0]));
        atomic_fetch_add(&tx->totals->writes, 1);
    }
    return n > 0;
}

/* ---- records ----------------------------------------------------------------------------- */

/* Return: true when the next message became a record (and WRITEs), false when there is no room */
static bool begin_record(struct apn_rdma_sender *tx)
{
    const struct apn_msg *msg = &tx->queue[QUEUE(tx->head)];
    const bool data = msg->type == APN_MSG_EXTENT && msg->kind == APN_EXTENT_DATA;
    bool written = false;

    if (msg->type == APN_MSG_EXTENT && pending_full(tx)) {
        return false; /* the peer tells what it has applied: then there is room */
    }
    if (data) {
        if (request_room(tx) <= EXTENT_WRS + 1) {
            tx->blocked = true;
            return false;
        }
        atomic_store_explicit(&tx->memory->in_use, true, memory_order_relaxed);
        written = !overlaps_pending(tx, msg) && write_extent(tx, msg);
    }
    if (APN_MSG_HAS_PAGES(msg->type)) {
        atomic_fetch_add(written ? &tx->totals->written_bytes : &tx->totals->copied_bytes, msg->bytes);
    }
    if (msg->type == APN_MSG_EXTENT && !written) {
        pending_add(tx, msg);
    }
    memset(tx->record, 0, 4);
    tx->record[0] = written;
    apn_msg_encode(msg, tx->record + 4);
    tx->record_left = APN_WIRE_RECORD_BYTES;
    tx->body = msg->payload;
    tx->body_left = written ? 0 : msg->bytes;
    tx->records++;
    tx->head++;
    return true;
}

static uint32_t copy_some(struct apn_rdma_sender *tx, const uint8_t *from, uint32_t bytes)
{
    uint32_t room = tx->qp->peer_slot_bytes - tx->fill;

    bytes = bytes < room ? bytes : room;
    memcpy(tx->frame + tx->fill, from, bytes);
    tx->fill += bytes;
    return bytes;
}

/* as much of the record as the open frame takes */
static void fill_frame(struct apn_rdma_sender *tx)
{
    if (tx->record_left) {
        tx->record_left -= copy_some(tx, tx->record + APN_WIRE_RECORD_BYTES - tx->record_left, tx->record_left);
    }
    if (!tx->record_left && tx->body_left) {
        uint32_t took = copy_some(tx, tx->body, tx->body_left);

        tx->body += took;
        tx->body_left -= took;
    }
}

/* credit is worth a frame of its own when the peer could run dry, applied records when it could fill up */
static bool must_tell(const struct apn_rdma_sender *tx, const struct apn_rdma_told *told)
{
    return told->credit - tx->told_credit >= tx->qp->slots / 4 || told->handled - tx->told_handled >= APN_RDMA_PENDING / 8;
}

int apn_rdma_sender_pump(struct apn_rdma_sender *tx, const struct apn_rdma_told *told)
{
    int ret = 0;

    tx->blocked = false;
    while (!ret && (tx->record_left || tx->body_left || tx->head != tx->tail)) {
        if (!tx->frame) {
            if (!frame_room(tx, CREDIT_RESERVE)) {
                break;
            }
            open_frame(tx, APN_FRAME_RECORDS);
        }
        if (!tx->record_left && !tx->body_left && !begin_record(tx)) {
            break;
        }
        fill_frame(tx);
        if (tx->fill == tx->qp->peer_slot_bytes) {
            ret = close_frame(tx, told);
        } else if (tx->chain + EXTENT_WRS + 1 >= APN_RDMA_CHAIN) {
            ret = ring_doorbell(tx); /* WRITEs may leave before the frame that tells of them */
        }
    }
    if (tx->frame && tx->fill == APN_WIRE_FRAME_BYTES) {
        tx->frame = NULL; /* opened for nothing */
    }
    ret = ret ? ret : close_frame(tx, told);
    ret = ret ? ret : ring_doorbell(tx);
    if (!ret && must_tell(tx, told)) {
        ret = apn_rdma_sender_greet(tx, APN_FRAME_CREDIT, 0, told);
        ret = ret == -EAGAIN ? 0 : ret;
    }
    return ret;
}
