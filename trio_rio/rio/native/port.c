/* The port: where the ring's completions become results, packets and readiness.
 *
 * Facts. One io_uring_enter(2) both submits and waits. It reports a timeout or a signal only if it submitted
 * nothing. A pending completion makes the ring's descriptor readable.
 * Consequence. A tick of an event loop costs at most one system call, and none when nothing is staged and the
 * time is 0. Whether the time is over must be read from a clock.
 * Decision. rio_wait() submits what is staged in the call that waits, goes on waiting while what came is
 * nobody's news, and never returns 0 before the time is over. Waiting happens without the lock, so that other
 * threads may post meanwhile.
 */
#include "core.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

/* ---- packets ---- */

int rio_port_create(rio_core *core, uint32_t *port) {
    int error = core_enter(core);
    if (error)
        return error;
    error = slab_add(&core->ports, port) ? RIO_E_NOBUFS : 0;
    core_leave(core);
    return error;
}

void port_post(rio_core *core, struct completion_queue *cq) {
    struct port *port = slab_at(&core->ports, cq->port);
    if (cq->packets++)
        return;
    cq->next_with_packets = NULL;
    if (port->last)
        port->last->next_with_packets = cq;
    else
        port->first = cq;
    port->last = cq;
}

static void take_first(struct port *port) {
    port->first = port->first->next_with_packets;
    if (!port->first)
        port->last = NULL;
}

/* A closed queue's packets are forgotten. */
void port_forget(rio_core *core, struct completion_queue *cq) {
    struct port *port = slab_at(&core->ports, cq->port);
    if (!cq->packets)
        return;
    cq->packets = 0;
    struct completion_queue *before = NULL, *at = port->first;
    for (; at != cq; at = at->next_with_packets)
        before = at;
    if (!before) {
        take_first(port);
    } else {
        before->next_with_packets = cq->next_with_packets;
        if (port->last == cq)
            port->last = before;
    }
}

static uint32_t take_events(rio_core *core, uint32_t port_index, rio_event *events, uint32_t limit) {
    struct port *port = slab_at(&core->ports, port_index);
    uint32_t taken = 0;
    while (taken < limit && port->first) {
        struct completion_queue *cq = port->first;
        events[taken++] = (rio_event){RIO_EVENT_PACKET, 0, cq->key};
        if (--cq->packets == 0)
            take_first(port);
    }
    while (port_index == 0 && taken < limit && core->polls_ready.first) {
        struct op *op = core->polls_ready.first;
        events[taken++] = (rio_event){RIO_EVENT_POLL, op->poll_result, make_handle(op->index, op->generation)};
        list_remove(&core->polls_ready, op);
        op_free(core, op);
    }
    return taken;
}

/* ---- the ring ---- */

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

/* Prepares what is staged. False when the submission ring is full before all of it is in. */
static bool fill(rio_core *core) {
    struct uring_sqe *sqe;
    struct op *op;
    while ((op = core->staged.first)) {
        if (!(sqe = ring_prepare(&core->ring)))
            return false;
        list_remove(&core->staged, op);
        op->state = OP_IN_KERNEL;
        core->in_kernel++;
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

int ring_flush(rio_core *core) {
    for (int tries = 0;;) {
        bool is_all = fill(core);
        uint32_t prepared = ring_prepared(&core->ring);
        if (!prepared && !ring_needs_enter(&core->ring))
            return 0;
        int taken = ring_enter(&core->ring, prepared, 0, 0);
        if (taken == -EBUSY || taken == -EAGAIN || taken == -EINTR) {
            /* No room for completions, or no memory for requests: make room, and give the kernel a moment. */
            ring_reap(core);
            if (++tries > 100)
                return taken;
            if (taken == -EAGAIN)
                usleep(1000);
            continue;
        }
        if (taken < 0)
            return taken;
        if (is_all && ring_prepared(&core->ring) == 0)
            return 0;
    }
}

static void answer(rio_core *core, uint64_t user_data, int32_t result, uint32_t flags) {
    struct op *op = slab_at(&core->ops, (uint32_t)user_data);
    if (user_data >> 60 == KIND_CANCEL)
        return;
    assert(op && op_user_data(op) == user_data && (op->state == OP_IN_KERNEL || op->state == OP_CANCELLING));
    core->in_kernel--;
    core->completions++;
    if (op->kind == KIND_REQUEST) {
        request_finish(core, op, result, flags);
        return;
    }
    if (op->state == OP_CANCELLING && !op->is_cancel_sent)
        list_remove(&core->cancels, op);
    if (op->kind == KIND_WAKE) {
        uint64_t count;
        ssize_t size = read(core->wake_fd, &count, sizeof count);
        (void)size; /* EAGAIN: taken already */
        core->wake_is_armed = false;
        core->was_woken = true;
        op_free(core, op);
        if (!core->is_draining)
            arm_wake(core);
    } else if (op->kind == KIND_EPOLL) {
        op_free(core, op);
        epoll_is_readable(core);
    } else {
        poll_finish(core, op, result);
    }
}

uint32_t ring_reap(rio_core *core) {
    const struct uring_cqe *cqe;
    uint32_t count = 0;
    for (; (cqe = ring_peek(&core->ring)); count++) {
        uint64_t user_data = cqe->user_data;
        int32_t result = cqe->result;
        uint32_t flags = cqe->flags;
        ring_advance(&core->ring);
        answer(core, user_data, result, flags);
    }
    return count;
}

/* ---- waiting ---- */

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* One look, or one wait of at most `left` nanoseconds. 0, or -EINTR, or a negative errno that is fatal. */
static int enter_once(rio_core *core, int64_t left) {
    bool is_owner = core_is_owner(core);
    while (is_owner && !fill(core)) {
        int taken = ring_enter(&core->ring, ring_prepared(&core->ring), 0, 0);
        if (taken == -EBUSY || taken == -EAGAIN)
            ring_reap(core);
        else if (taken < 0 && taken != -EINTR)
            return taken;
    }
    uint32_t submit = is_owner ? ring_prepared(&core->ring) : 0;
    if (left == 0 && !submit && !ring_needs_enter(&core->ring))
        return 0;
    core_leave(core);
    int taken = ring_enter(&core->ring, submit, left ? 1 : 0, left);
    int error = core_enter(core); /* closed meanwhile? */
    if (error)
        return -EBADF;
    uint32_t reaped = ring_reap(core);
    if (taken == -ETIME || taken == -EBUSY || reaped)
        return 0;
    if (taken == -EAGAIN) { /* the kernel is short of memory for requests */
        usleep(1000);
        return 0;
    }
    /* Entries were taken, nothing came, and the kernel came back: the time is over, or a signal. The caller's clock
     * tells which. */
    return taken > 0 && left ? -EINTR : taken < 0 ? taken : 0;
}

int rio_wait(rio_core *core, uint32_t port, int64_t timeout_ns, rio_event *events, uint32_t limit) {
    int64_t end = timeout_ns > 0 ? now_ns() + timeout_ns : 0, left = timeout_ns;
    if (core_enter(core))
        return -EBADF;
    if (!slab_at(&core->ports, port)) {
        core_leave(core);
        return -EINVAL;
    }
    ring_reap(core);
    for (bool is_first = true;; is_first = false) {
        struct port *waited = slab_at(&core->ports, port);
        bool has_news = waited->first || (port == 0 && core->polls_ready.first) || core->was_woken;
        if (!is_first && (has_news || left == 0))
            break;
        int error = enter_once(core, has_news ? 0 : left);
        if (error == -EBADF && core->is_closed)
            return error;
        if (timeout_ns > 0) {
            left = end - now_ns();
            left = left < 0 ? 0 : left;
        }
        if (error && !(error == -EINTR && timeout_ns >= 0 && left == 0)) {
            core_leave(core);
            return error;
        }
    }
    int taken = (int)take_events(core, port, events, limit);
    if (!taken && core->was_woken)
        taken = -EINTR;
    core->was_woken = false;
    core_leave(core);
    return taken;
}

int arm_wake(rio_core *core) {
    struct op *op = op_new(core, KIND_WAKE);
    if (!op)
        return -ENOMEM;
    op->fd = core->wake_fd;
    op->poll_mask = POLLIN;
    op->state = OP_STAGED;
    list_append(&core->staged, op);
    core->wake_is_armed = true;
    return 0;
}

int rio_wake(rio_core *core) {
    uint64_t one = 1;
    int error = rio_core_is_usable(core);
    if (error)
        return error;
    ssize_t written = write(core->wake_fd, &one, sizeof one);
    (void)written; /* EAGAIN: woken more often than a counter can hold, so woken */
    return 0;
}

int rio_flush(rio_core *core, int only_cancels) {
    int error = core_enter(core);
    if (error)
        return error;
    if (!only_cancels || core->cancels.first) {
        if (core_is_owner(core))
            error = ring_flush(core);
        else
            error = rio_wake(core);
    }
    core_leave(core);
    return error;
}
