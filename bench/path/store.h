/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.h - memory for the frames on their way, and their order
 * Owner: embedded in struct path_direction.  Thread: the carrier's.
 * Time:  due times as given.                Units:  bytes, ns.
 *
 * Nothing is allocated per frame. A frame of n bytes occupies one slot of each class that it reaches
 * into: bytes 0..2 KiB in a small slot, up to 16 KiB in a middle one, the rest in a big one. A read
 * offers all three (readv) and keeps those that were filled, so an acknowledgement costs 2 KiB and
 * not 64. Free slots are stacks: the memory last used is used next and stays in the cache.
 */
#ifndef APN_BENCH_PATH_STORE_H
#define APN_BENCH_PATH_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PATH_STORE_CLASSES 3
#define PATH_STORE_NONE    UINT32_MAX
#define PATH_FRAME_MAX     (64 * 1024 + 1024) /* largest segment plus headers plus virtio header */

struct path_frame {
    int64_t due_ns;
    uint32_t bytes;      /* as read: virtio header and IP packet */
    uint32_t wire_bytes; /* as the line counts it */
    uint32_t slot[PATH_STORE_CLASSES];
};

struct path_slots {
    uint8_t *memory;
    uint32_t *free;
    uint32_t count;
    uint32_t free_count;
    uint32_t slot_bytes;
};

struct path_store {
    struct path_slots slots[PATH_STORE_CLASSES];
    struct path_frame *fifo; /* ring of fifo_size, a power of two */
    uint32_t fifo_size, head, tail;
};

/** path_store_init() - reserve for what one direction can hold
 * @held_bytes: delay x rate + queue; frames smaller than 512 bytes may run out of slots earlier
 * Return: 0, or -ENOMEM (then nothing is held). */
int path_store_init(struct path_store *store, uint64_t held_bytes);

/** path_store_done() - give everything back; takes a zeroed or half-built store */
void path_store_done(struct path_store *store);

/** path_store_reserve() - slots of every class for a frame of unknown size
 * @frame: slots that it still holds are kept, missing ones are filled in
 * Return: 0, or -EAGAIN when a class is empty (the frame keeps what it has). */
int path_store_reserve(struct path_store *store, struct path_frame *frame);

/** path_store_iov() - the frame's memory as an I/O vector
 * @bytes: length to cover, up to PATH_FRAME_MAX
 * Return: number of entries written to @iov, 1..PATH_STORE_CLASSES. */
int path_store_iov(const struct path_store *store, const struct path_frame *frame, uint32_t bytes,
                   struct iovec iov[PATH_STORE_CLASSES]);

/** path_store_push() - queue a frame of frame->bytes; the slots it fills now belong to the queue
 * @frame: keeps the slots that were not filled, for the next frame
 * Return: 0, or -EAGAIN when the queue of descriptors is full. */
int path_store_push(struct path_store *store, struct path_frame *frame);

/** path_store_head() - oldest frame or NULL; valid until the next pop */
const struct path_frame *path_store_head(const struct path_store *store);

/** path_store_pop() - take the oldest frame out; its slots belong to the caller until released */
struct path_frame path_store_pop(struct path_store *store);

/** path_store_release() - give a frame's slots back */
void path_store_release(struct path_store *store, const struct path_frame *frame);

#endif
