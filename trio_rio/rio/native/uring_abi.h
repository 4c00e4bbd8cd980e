/* The part of the io_uring kernel ABI that this provider uses.
 *
 * Facts. The ABI is fixed by the kernel, not by a library: structure layouts and numbers never change, new ones
 * are added [linux/include/uapi/linux/io_uring.h; io_uring_setup(2), io_uring_enter(2)]. Build machines carry
 * headers of every age, and the oldest wheel platforms carry none.
 * Consequence. A build against the system header fails, or loses features, by accident of the build machine.
 * Decision. The few numbers are written down here, each with the kernel that brought it; what the running kernel
 * can do is found by trying.
 */
#ifndef TRIO_RIO_URING_ABI_H
#define TRIO_RIO_URING_ABI_H

#include <stdint.h>

/* System calls: the same numbers on every architecture but alpha. Linux 5.1. */
#define URING_NR_SETUP 425
#define URING_NR_ENTER 426
#define URING_NR_REGISTER 427

/* Setup flags. */
#define URING_SETUP_CQSIZE (1u << 3)        /* 5.5: the completion ring's size is given */
#define URING_SETUP_CLAMP (1u << 4)         /* 5.6: too large sizes are made smaller */
#define URING_SETUP_SUBMIT_ALL (1u << 7)    /* 5.18: go on after an entry that fails */
#define URING_SETUP_COOP_TASKRUN (1u << 8)  /* 5.19: no interrupt to post a completion */
#define URING_SETUP_TASKRUN_FLAG (1u << 9)  /* 5.19: tell when an enter would post some */

/* What setup reports. */
#define URING_FEAT_SINGLE_MMAP (1u << 0) /* 5.4 */
#define URING_FEAT_NODROP (1u << 1)      /* 5.5: a full completion ring loses nothing */
#define URING_FEAT_FAST_POLL (1u << 5)   /* 5.7: a receive without data waits without a thread */
#define URING_FEAT_EXT_ARG (1u << 8)     /* 5.11: enter takes a timeout */
#define URING_FEAT_NO_IOWAIT (1u << 17)  /* 6.15: waiting need not count as I/O wait */

/* Enter flags. */
#define URING_ENTER_GETEVENTS (1u << 0)
#define URING_ENTER_EXT_ARG (1u << 3)   /* 5.11 */
#define URING_ENTER_NO_IOWAIT (1u << 7) /* 6.15 */

/* Flags that the kernel sets in the submission ring. */
#define URING_SQ_CQ_OVERFLOW (1u << 1) /* 5.8 */
#define URING_SQ_TASKRUN (1u << 2)     /* 5.19 */

/* Of register: 6.0: cancel at once, from any thread; with these flags all operations. */
#define URING_REGISTER_SYNC_CANCEL 24
#define URING_CANCEL_ALL (1u << 0)
#define URING_CANCEL_ANY (1u << 2)

/* Offsets for mmap. */
#define URING_OFF_SQ_RING 0ULL
#define URING_OFF_SQES 0x10000000ULL

/* Operations. */
#define URING_OP_NOP 0           /* 5.1 */
#define URING_OP_POLL_ADD 6      /* 5.1 */
#define URING_OP_SENDMSG 9       /* 5.3 */
#define URING_OP_RECVMSG 10      /* 5.3 */
#define URING_OP_ASYNC_CANCEL 14 /* 5.5 */
#define URING_OP_SEND 26         /* 5.6 */
#define URING_OP_RECV 27         /* 5.6 */

/* Of a receive, in ioprio. */
#define URING_RECV_POLL_FIRST (1u << 0) /* 5.19: wait for data before the first try */

struct uring_sqe {
    uint8_t opcode;
    uint8_t flags;
    uint16_t ioprio;
    int32_t fd;
    uint64_t offset;
    uint64_t address;
    uint32_t length;
    uint32_t op_flags; /* msg_flags, poll32_events, cancel_flags */
    uint64_t user_data;
    uint64_t reserved[3];
};

struct uring_cqe {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};

struct uring_sq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, reserved;
    uint64_t user_address;
};

struct uring_cq_offsets {
    uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved;
    uint64_t user_address;
};

struct uring_params {
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd;
    uint32_t reserved[3];
    struct uring_sq_offsets sq_offsets;
    struct uring_cq_offsets cq_offsets;
};

struct uring_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

struct uring_getevents_arg {
    uint64_t signal_mask;
    uint32_t signal_mask_size;
    uint32_t min_wait_microseconds;
    uint64_t timespec;
};

struct uring_sync_cancel {
    uint64_t address;
    int32_t fd;
    uint32_t flags;
    struct uring_timespec timeout;
    uint64_t reserved[4];
};

_Static_assert(sizeof(struct uring_sqe) == 64, "io_uring_sqe is 64 bytes");
_Static_assert(sizeof(struct uring_cqe) == 16, "io_uring_cqe is 16 bytes");
_Static_assert(sizeof(struct uring_params) == 120, "io_uring_params is 120 bytes");
_Static_assert(sizeof(struct uring_getevents_arg) == 24, "io_uring_getevents_arg is 24 bytes");
_Static_assert(sizeof(struct uring_sync_cancel) == 64, "io_uring_sync_cancel_reg is 64 bytes");

#endif
