/* One io_uring by raw system calls.
 *
 * Facts. A ring is three shared mappings: submission indices, submission entries, completions. Since Linux 5.4
 * indices and completions share one mapping. Reading a completion takes no system call; with COOP_TASKRUN the
 * kernel posts completions only when the thread that submitted enters the kernel, and raises a flag when an
 * enter would post some [io_uring_setup(2)].
 * Consequence. Peeking is memory reads, plus one look at that flag.
 * Decision. Setup asks for the newest flags and goes back step by step on EINVAL, so one build serves every kernel
 * from 5.11. The mappings are not inherited over fork (MADV_DONTFORK), the descriptor not over exec (the kernel
 * makes it CLOEXEC).
 */
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD_ACQUIRE(pointer) __atomic_load_n((pointer), __ATOMIC_ACQUIRE)
#define STORE_RELEASE(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELEASE)

/* The kernel's own limit [io_uring_setup(2), IORING_SETUP_CLAMP]; eight times as many must fit in 32 bits. */
#define ENTRIES_MAX 32768u

/* What the provider cannot do without; Linux 5.11 has all of it. */
static const uint32_t REQUIRED_FEATURES =
    URING_FEAT_SINGLE_MMAP | URING_FEAT_NODROP | URING_FEAT_FAST_POLL | URING_FEAT_EXT_ARG;

/* Tried in this order; the first that the kernel takes is used. */
static const uint32_t OPTIONAL_SETUP_FLAGS[] = {
    URING_SETUP_SUBMIT_ALL | URING_SETUP_COOP_TASKRUN | URING_SETUP_TASKRUN_FLAG, /* 5.19 */
    URING_SETUP_SUBMIT_ALL,                                                       /* 5.18 */
    0,
};

static int setup(uint32_t entries, struct uring_params *params) {
    int fd = (int)syscall(URING_NR_SETUP, entries, params);
    return fd < 0 ? -errno : fd;
}

static int map_ring(struct ring *ring, const struct uring_params *params) {
    size_t sq_size = params->sq_offsets.array + params->sq_entries * sizeof(uint32_t);
    size_t cq_size = params->cq_offsets.cqes + params->cq_entries * sizeof(struct uring_cqe);
    ring->map_size_bytes = sq_size > cq_size ? sq_size : cq_size;
    ring->sqes_size_bytes = params->sq_entries * sizeof(struct uring_sqe);
    int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    void *map = mmap(NULL, ring->map_size_bytes, protection, flags, ring->fd, URING_OFF_SQ_RING);
    if (map == MAP_FAILED)
        return -errno;
    ring->map = map;
    void *sqes = mmap(NULL, ring->sqes_size_bytes, protection, flags, ring->fd, URING_OFF_SQES);
    if (sqes == MAP_FAILED)
        return -errno;
    ring->sqes = sqes;
    if (madvise(map, ring->map_size_bytes, MADV_DONTFORK) || madvise(sqes, ring->sqes_size_bytes, MADV_DONTFORK))
        return -errno;
    char *base = map;
    ring->sq_head = (uint32_t *)(base + params->sq_offsets.head);
    ring->sq_tail = (uint32_t *)(base + params->sq_offsets.tail);
    ring->sq_flags = (uint32_t *)(base + params->sq_offsets.flags);
    ring->sq_array = (uint32_t *)(base + params->sq_offsets.array);
    ring->cq_head = (uint32_t *)(base + params->cq_offsets.head);
    ring->cq_tail = (uint32_t *)(base + params->cq_offsets.tail);
    ring->cq_overflow = (uint32_t *)(base + params->cq_offsets.overflow);
    ring->cqes = (struct uring_cqe *)(base + params->cq_offsets.cqes);
    ring->sq_mask = params->sq_entries - 1;
    ring->cq_mask = params->cq_entries - 1;
    /* Entry i of the indirection array always names entry i: written once. */
    for (uint32_t i = 0; i < params->sq_entries; i++)
        ring->sq_array[i] = i;
    return 0;
}

int ring_open(struct ring *ring, uint32_t entries, uint32_t withhold, const char **failed_step) {
    struct uring_params params;
    int fd = -EINVAL;
    memset(ring, 0, sizeof *ring);
    ring->fd = -1;
    *failed_step = "io_uring_setup";
    entries = entries < ENTRIES_MAX ? entries : ENTRIES_MAX;
    size_t tries = sizeof OPTIONAL_SETUP_FLAGS / sizeof OPTIONAL_SETUP_FLAGS[0];
    for (size_t i = 0; i < tries && fd == -EINVAL; i++) {
        memset(&params, 0, sizeof params);
        params.flags = URING_SETUP_CLAMP | URING_SETUP_CQSIZE | (OPTIONAL_SETUP_FLAGS[i] & ~withhold);
        params.cq_entries = entries * 8;
        fd = setup(entries, &params);
    }
    if (fd < 0)
        return fd;
    ring->fd = fd;
    ring->setup_flags = params.flags;
    ring->features = params.features;
    ring->sq_entries = params.sq_entries;
    ring->cq_entries = params.cq_entries;
    if ((params.features & REQUIRED_FEATURES) != REQUIRED_FEATURES) {
        *failed_step = "features";
        ring_close(ring);
        return -ENOSYS;
    }
    *failed_step = "mmap";
    int error = map_ring(ring, &params);
    if (error)
        ring_close(ring);
    return error;
}

void ring_close(struct ring *ring) {
    if (ring->sqes)
        munmap(ring->sqes, ring->sqes_size_bytes);
    if (ring->map)
        munmap(ring->map, ring->map_size_bytes);
    if (ring->fd >= 0)
        close(ring->fd);
    ring->sqes = NULL;
    ring->map = NULL;
    ring->fd = -1;
}

struct uring_sqe *ring_prepare(struct ring *ring) {
    if (ring->sqe_tail - LOAD_ACQUIRE(ring->sq_head) == ring->sq_entries)
        return NULL;
    struct uring_sqe *sqe = &ring->sqes[ring->sqe_tail++ & ring->sq_mask];
    memset(sqe, 0, sizeof *sqe);
    return sqe;
}

uint32_t ring_prepared(const struct ring *ring) { return ring->sqe_tail - LOAD_ACQUIRE(ring->sq_head); }

struct uring_sqe *ring_untaken(const struct ring *ring, uint32_t place) {
    return place < ring_prepared(ring) ? &ring->sqes[(LOAD_ACQUIRE(ring->sq_head) + place) & ring->sq_mask] : NULL;
}

void ring_publish(struct ring *ring) { STORE_RELEASE(ring->sq_tail, ring->sqe_tail); }

uint64_t ring_enters(const struct ring *ring) { return __atomic_load_n(&ring->enters, __ATOMIC_RELAXED); }

int ring_enter(struct ring *ring, uint32_t submit, uint32_t wait_for, int64_t timeout_ns) {
    struct uring_timespec timespec = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    struct uring_getevents_arg argument = {0};
    uint32_t flags = URING_ENTER_GETEVENTS;
    void *argument_pointer = NULL;
    size_t argument_size = 0;
    if (wait_for && timeout_ns >= 0) {
        argument.timespec = (uint64_t)(uintptr_t)&timespec;
        flags |= URING_ENTER_EXT_ARG;
        argument_pointer = &argument;
        argument_size = sizeof argument;
    }
    /* An idle server waits all day; that is not I/O wait, and tools should not show it as such. */
    if (wait_for && (ring->features & URING_FEAT_NO_IOWAIT))
        flags |= URING_ENTER_NO_IOWAIT;
    __atomic_fetch_add(&ring->enters, 1, __ATOMIC_RELAXED); /* several threads may be in here */
    int taken = (int)syscall(URING_NR_ENTER, ring->fd, submit, wait_for, flags, argument_pointer, argument_size);
    return taken < 0 ? -errno : taken;
}

int ring_cancel_all(struct ring *ring, int64_t timeout_ns) {
    struct uring_sync_cancel argument = {
        .fd = -1,
        .flags = URING_CANCEL_ALL | URING_CANCEL_ANY,
        .timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000},
    };
    long cancelled = syscall(URING_NR_REGISTER, ring->fd, URING_REGISTER_SYNC_CANCEL, &argument, 1);
    return cancelled >= 0 || errno == ENOENT ? 0 : -errno;
}

const struct uring_cqe *ring_peek(const struct ring *ring) {
    uint32_t head = *ring->cq_head; /* only we write it */
    return head == LOAD_ACQUIRE(ring->cq_tail) ? NULL : &ring->cqes[head & ring->cq_mask];
}

void ring_advance(struct ring *ring) { STORE_RELEASE(ring->cq_head, *ring->cq_head + 1); }

bool ring_needs_enter(const struct ring *ring) {
    return LOAD_ACQUIRE(ring->sq_flags) & (URING_SQ_TASKRUN | URING_SQ_CQ_OVERFLOW);
}
