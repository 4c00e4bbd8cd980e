/* One io_uring: set up, prepare, submit, peek, advance. Knows nothing of RIO. */
#ifndef TRIO_RIO_RING_H
#define TRIO_RIO_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "uring_abi.h"

struct ring {
    int fd;
    uint32_t setup_flags; /* those that the kernel took */
    uint32_t features;
    uint32_t sq_entries, cq_entries, sq_mask, cq_mask;
    uint32_t *sq_head, *sq_tail, *sq_flags, *sq_array;
    uint32_t *cq_head, *cq_tail, *cq_overflow;
    struct uring_sqe *sqes;
    struct uring_cqe *cqes;
    uint32_t sqe_tail;  /* prepared, ours; what is before *sq_tail is visible to the kernel */
    uint64_t enters;    /* system calls made */
    void *map;
    size_t map_size_bytes, sqes_size_bytes;
};

/* Makes a ring. 0, or -errno with *failed_step naming what failed. Flags in `withhold` are not tried. */
int ring_open(struct ring *ring, uint32_t entries, uint32_t withhold, const char **failed_step);
void ring_close(struct ring *ring);

/* A free entry, zeroed, or NULL when the submission ring is full. Nothing is performed. */
struct uring_sqe *ring_prepare(struct ring *ring);
uint32_t ring_prepared(const struct ring *ring);

/* Of the prepared entries that the kernel has not taken, the one at this place, or NULL. It may be changed while no
 * thread is in ring_enter() with something to submit. */
struct uring_sqe *ring_untaken(const struct ring *ring, uint32_t place);

/* Makes what is prepared visible to the kernel, which takes it at the next ring_enter(). */
void ring_publish(struct ring *ring);

/* Hands `submit` published entries over and, when `wait_for` > 0, waits for that many completions or the timeout
 * (nanoseconds; < 0 for ever). Returns entries taken, or -errno (-ETIME when the time is over, -EINTR). */
int ring_enter(struct ring *ring, uint32_t submit, uint32_t wait_for, int64_t timeout_ns);

/* Cancels every operation of the ring, from any thread; their completions follow. 0 or -errno: -EINVAL before Linux
 * 6.0, -ETIME when the time is over. */
int ring_cancel_all(struct ring *ring, int64_t timeout_ns);

/* The next completion, or NULL; never enters the kernel. ring_advance() gives its place back. */
const struct uring_cqe *ring_peek(const struct ring *ring);
void ring_advance(struct ring *ring);

/* Whether the kernel holds completions back until it is entered. */
bool ring_needs_enter(const struct ring *ring);

/* How often the kernel was entered. */
uint64_t ring_enters(const struct ring *ring);

#endif
