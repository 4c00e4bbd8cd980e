/* The operations of the ring: what is staged goes in, what the kernel answers comes out. Datagrams that can go without
 * waiting do not pass through it (datagrams.c).
 *
 * Facts. Without room for completions, or memory for requests, io_uring_enter(2) takes nothing and says EBUSY, or
 * EAGAIN or ENOMEM. A thread that sleeps in it is woken by a completion that is posted after it has begun to sleep, or
 * sees one that is still there then; one that another thread has taken in between is gone for it.
 * Consequence. A submission may need several attempts. If threads besides the sleeper take completions, it may sleep on
 * although news has come for it.
 * Decision. While the owner waits in the kernel, only the owner takes completions. A thread that has something for it
 * then writes to the wake-up descriptor, which is in the epoll set: the owner waits at the set, or has it polled.
 */
#include "core.h"

#include <sched.h>
#include <unistd.h>

static void prepare(rio_core *core, struct op *op, struct uring_sqe *sqe) {
    sqe->user_data = op_user_data(op);
    if (op->kind == KIND_REQUEST) {
        request_prepare(core, op, sqe);
    } else {
        sqe->opcode = URING_OP_POLL_ADD;
        sqe->fd = op->fd;
        sqe->op_flags = op->poll_mask; /* poll32_events; the kernel swaps halves on big-endian machines */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        sqe->op_flags = op->poll_mask << 16 | op->poll_mask >> 16;
#endif
    }
}

bool ring_fill(rio_core *core) {
    struct uring_sqe *sqe;
    struct op *op;
    while ((op = core->staged.first)) {
        if (op->kind == KIND_REQUEST && !op->queue->is_stream && datagrams_move(core, op))
            continue;
        if (!(sqe = ring_prepare(&core->ring)))
            return false;
        list_remove(&core->staged, op);
        op->state = OP_IN_KERNEL;
        core->in_kernel++;
        core->own_in_kernel += op->kind == KIND_SET;
        core->submissions++;
        prepare(core, op, sqe);
    }
    while ((op = core->cancels.first)) {
        if (!(sqe = ring_prepare(&core->ring)))
            return false;
        list_remove(&core->cancels, op);
        op->is_cancel_sent = true;
        sqe->opcode = URING_OP_ASYNC_CANCEL;
        sqe->fd = -1;
        sqe->address = op_user_data(op);
        sqe->user_data = (uint64_t)KIND_CANCEL << 60;
    }
    core->must_submit = false;
    return true;
}

bool ring_is_short(int error) { return error == -EAGAIN || error == -ENOMEM; }

int ring_flush(rio_core *core) {
    for (int tries = 0;;) {
        bool is_all = ring_fill(core);
        uint32_t prepared = ring_prepared(&core->ring);
        if (!prepared && !ring_needs_enter(&core->ring))
            return 0;
        ring_publish(&core->ring);
        int taken = ring_enter(&core->ring, prepared, 0, 0);
        if (taken == -EBUSY || taken == -EINTR || ring_is_short(taken)) {
            /* No room for completions, or no memory for requests: make room, and give the kernel a moment. */
            ring_reap(core);
            if (ring_is_short(taken))
                usleep(1000);
            if (++tries <= 100)
                continue;
        }
        if (taken < 0) {
            core->must_submit = true; /* still prepared: it goes with the next submission */
            return taken;
        }
        if (is_all && ring_prepared(&core->ring) == 0)
            return 0;
    }
}

static void answer(rio_core *core, uint64_t user_data, int32_t result) {
    struct op *op = slab_at(&core->ops, (uint32_t)user_data);
    if (user_data >> 60 == KIND_CANCEL)
        return;
    assert(op && op_user_data(op) == user_data && (op->state == OP_IN_KERNEL || op->state == OP_CANCELLING));
    core->in_kernel--;
    core->own_in_kernel -= op->kind == KIND_SET;
    core->completions++;
    if (op->kind == KIND_REQUEST) {
        request_finish(core, op, result);
        return;
    }
    if (op->state == OP_CANCELLING && !op->is_cancel_sent)
        list_remove(&core->cancels, op);
    op->state = OP_WAITING;
    if (!core->is_draining)
        set_look(core);
}

void ring_withdraw(rio_core *core, const struct request_queue *rq) {
    struct uring_sqe *sqe;
    for (uint32_t i = 0; (sqe = ring_untaken(&core->ring, i)); i++) {
        uint64_t user_data = sqe->user_data;
        const struct op *op = slab_at(&core->ops, (uint32_t)user_data);
        if (user_data >> 60 == KIND_CANCEL || (rq && (user_data >> 60 != KIND_REQUEST || op->queue != rq)))
            continue;
        *sqe = (struct uring_sqe){.opcode = URING_OP_NOP, .user_data = (uint64_t)KIND_CANCEL << 60};
        answer(core, user_data, -ECANCELED);
    }
}

void ring_redirect(rio_core *core, const struct request_queue *rq) {
    struct uring_sqe *sqe;
    for (uint32_t i = 0; (sqe = ring_untaken(&core->ring, i)); i++) {
        const struct op *op = slab_at(&core->ops, (uint32_t)sqe->user_data);
        if (sqe->user_data >> 60 == KIND_REQUEST && op->queue == rq)
            sqe->fd = rq->fd;
    }
}

int ring_settle(rio_core *core) {
    int error = 0;
    while (!error && core->is_owner_submitting && ring_prepared(&core->ring)) {
        core_step_out(core);
        sched_yield();
        error = core_step_in(core);
    }
    return error;
}

uint32_t ring_reap(rio_core *core) {
    const struct uring_cqe *cqe;
    uint32_t count = 0;
    if (core->is_owner_waiting)
        return 0;
    for (; (cqe = ring_peek(&core->ring)); count++) {
        uint64_t user_data = cqe->user_data;
        int32_t result = cqe->result;
        ring_advance(&core->ring);
        answer(core, user_data, result);
    }
    return count;
}

void nudge_owner(rio_core *core) {
    uint64_t one = 1;
    if (!core->is_owner_waiting)
        return;
    ssize_t written = write(core->wake_fd, &one, sizeof one);
    (void)written; /* EAGAIN: nudged more often than a counter can hold, so nudged */
}
