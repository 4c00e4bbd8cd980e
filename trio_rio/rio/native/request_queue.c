/* Request queues: one socket's credits, and the order of its requests.
 *
 * Facts. RIO fills posted receives, and sends posted sends, in the order of posting. io_uring promises no order
 * among several operations of one direction of a socket [io_uring(7)]. A request in the kernel holds the file:
 * close(2) alone neither ends it nor sends FIN.
 * Consequence. At most one request per direction may be in the kernel, and a socket can be closed only after
 * its requests have been cancelled.
 * Decision. Each direction is a list whose head alone is staged or in the kernel; when it completes, the next
 * is staged. Closing aborts what has not started, cancels what has, and enters the kernel once, so that the
 * caller's close(2) is the last reference. A queue's place, and its charge on the completion queues, come back
 * when its last result is dequeued.
 */
#include "core.h"

struct request_queue *rq_find(rio_core *core, uint64_t handle) {
    struct request_queue *rq = slab_at(&core->request_queues, (uint32_t)handle);
    return rq && rq->is_live && !rq->is_closed && rq->generation == handle >> 32 ? rq : NULL;
}

static bool has_room(const struct completion_queue *cq, int64_t more) {
    return (int64_t)cq->charged + more <= (int64_t)cq->capacity;
}

static struct request_queue *rq_new(rio_core *core) {
    struct request_queue *rq = core->free_rq;
    uint32_t index;
    if (rq) {
        core->free_rq = rq->next_free;
    } else {
        if (slab_add(&core->request_queues, &index))
            return NULL;
        rq = slab_at(&core->request_queues, index);
        rq->index = index;
    }
    uint32_t generation = (rq->generation + 1) & 0x7fffffff;
    *rq = (struct request_queue){.index = rq->index, .generation = generation + (generation == 0), .is_live = true};
    return rq;
}

static int create(rio_core *core, int fd, bool is_stream, const uint32_t max[2], const uint64_t cq_handles[2],
                  uint64_t socket_context, uint64_t *handle) {
    struct completion_queue *cq[2] = {cq_find(core, cq_handles[RECEIVE]), cq_find(core, cq_handles[SEND])};
    if (!cq[RECEIVE] || !cq[SEND])
        return RIO_E_INVAL;
    bool is_shared = cq[RECEIVE] == cq[SEND];
    if (!has_room(cq[RECEIVE], (int64_t)max[RECEIVE] + (is_shared ? max[SEND] : 0)) || !has_room(cq[SEND], max[SEND]))
        return RIO_E_NOBUFS;
    if (!cq_reserve(cq[RECEIVE], cq[RECEIVE]->charged + max[RECEIVE] + (is_shared ? max[SEND] : 0)) ||
        !cq_reserve(cq[SEND], cq[SEND]->charged + max[SEND]))
        return RIO_E_NOBUFS;
    struct request_queue *rq = rq_new(core);
    if (!rq)
        return RIO_E_NOBUFS;
    rq->fd = fd;
    rq->is_stream = is_stream;
    rq->socket_context = socket_context;
    for (int direction = 0; direction < 2; direction++) {
        rq->cq[direction] = cq[direction];
        rq->max[direction] = max[direction];
        cq[direction]->charged += max[direction];
        cq[direction]->queues++;
    }
    *handle = make_handle(rq->index, rq->generation);
    return 0;
}

int rio_create_request_queue(rio_core *core, int fd, int is_stream, uint32_t receives_max, uint32_t sends_max,
                             uint64_t receive_cq, uint64_t send_cq, uint64_t socket_context, uint64_t *handle) {
    const uint32_t max[2] = {receives_max, sends_max};
    const uint64_t cqs[2] = {receive_cq, send_cq};
    if (!receives_max && !sends_max)
        return RIO_E_INVAL;
    int error = core_enter(core);
    if (error)
        return error;
    error = create(core, fd, is_stream, max, cqs, socket_context, handle);
    core_leave(core);
    return error;
}

int rio_resize_request_queue(rio_core *core, uint64_t handle, uint32_t receives_max, uint32_t sends_max) {
    const uint32_t max[2] = {receives_max, sends_max};
    if (!receives_max && !sends_max)
        return RIO_E_INVAL;
    int error = core_enter(core);
    if (error)
        return error;
    struct request_queue *rq = rq_find(core, handle);
    if (!rq) {
        core_leave(core);
        return RIO_E_INVAL;
    }
    int64_t more[2] = {(int64_t)receives_max - rq->max[RECEIVE], (int64_t)sends_max - rq->max[SEND]};
    bool is_shared = rq->cq[RECEIVE] == rq->cq[SEND];
    if (receives_max < rq->outstanding[RECEIVE] || sends_max < rq->outstanding[SEND])
        error = RIO_E_TOOMANYREFS;
    for (int direction = 0; direction < 2 && !error; direction++) {
        int64_t change = is_shared ? more[RECEIVE] + more[SEND] : more[direction];
        if (change > 0 && (!has_room(rq->cq[direction], change) ||
                           !cq_reserve(rq->cq[direction], rq->cq[direction]->charged + (uint32_t)change)))
            error = RIO_E_NOBUFS;
    }
    for (int direction = 0; direction < 2 && !error; direction++) {
        rq->cq[direction]->charged = (uint32_t)(rq->cq[direction]->charged + more[direction]);
        rq->max[direction] = max[direction];
    }
    core_leave(core);
    return error;
}

static void retire(rio_core *core, struct request_queue *rq) {
    if (!rq->is_closed || !rq->is_live || rq->outstanding[RECEIVE] || rq->outstanding[SEND])
        return;
    rq->is_live = false;
    for (int direction = 0; direction < 2; direction++) {
        struct completion_queue *cq = rq->cq[direction];
        cq->charged -= rq->max[direction];
        cq->queues--;
        if (direction == SEND || cq != rq->cq[SEND])
            cq_release(core, cq);
    }
    rq->next_free = core->free_rq;
    core->free_rq = rq;
}

/* A result of the queue was dequeued: its credit is free again. */
void rq_credit(rio_core *core, struct request_queue *rq, enum direction direction) {
    assert(rq->outstanding[direction] > 0);
    rq->outstanding[direction]--;
    retire(core, rq);
}

int rio_rebind(rio_core *core, uint64_t handle, int fd) {
    int error = core_enter(core);
    if (!error)
        error = ring_settle(core);
    if (error)
        return error;
    struct request_queue *rq = rq_find(core, handle);
    if (rq) {
        rq->fd = fd;
        for (int direction = 0; direction < 2; direction++)
            for (struct op *op = rq->head[direction]; op; op = op->behind)
                op->fd = fd;
        ring_redirect(core, rq);
    }
    core_leave(core);
    return rq ? 0 : RIO_E_INVAL;
}

int rio_close_request_queue(rio_core *core, uint64_t handle) {
    int error = core_enter(core);
    if (!error)
        error = ring_settle(core);
    if (error)
        return error;
    struct request_queue *rq = rq_find(core, handle);
    if (rq) {
        rq->is_closed = true;
        bool in_kernel = false;
        for (int direction = 0; direction < 2; direction++) {
            for (struct op *op = rq->head[direction], *behind; op; op = behind) {
                behind = op->behind;
                request_cancel(core, op); /* the queue is closed: no successor is staged */
            }
            in_kernel |= rq->head[direction] != NULL;
        }
        if (in_kernel && core_is_owner(core))
            ring_flush(core);
        ring_withdraw(core, rq); /* nothing, unless the kernel was short of memory */
        nudge_owner(core);
        retire(core, rq);
    }
    core_leave(core);
    return 0;
}
