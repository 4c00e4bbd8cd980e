/* Requests: posting, the kernel's answers, and cancelling.
 *
 * Facts. A receive or send in io_uring may end short, or with EINTR or EAGAIN, for reasons that are no news to a
 * caller of RIO: a RIO send completes when all of it went, a WAITALL receive when all of it came. A cancelled
 * operation ends with ECANCELED, with EINTR, or with its result if that came first [io_uring_cancelation(7)]. A
 * datagram that is longer than its slice is reported by a length beyond the slice (MSG_TRUNC in a plain receive) or
 * by a flag (recvmsg). A socket tells once that its connection is gone: to the operation that looks first. After that
 * a receive sees the end of the stream, and a send EPIPE. A receive waits until as much is there as SO_RCVLOWAT says,
 * but its first try takes what there is. A send that waits goes on when a good part of the buffer is free; a new one
 * takes any room.
 * Consequence. One request may take several operations in a row; only the last of them is its completion. If a
 * connection breaks while a send and a receive wait, the send may be told, and the receive would see a proper end. A
 * receive of a stream must never skip its first try. Only a try tells whether a send would have to wait.
 * Decision. request_finish() looks at the answer: once more, or complete. A request that has not reached the kernel
 * is aborted at once, without touching its socket. Once a part of a send with RIO_FLAG_PART has gone, its further
 * operations do not wait: it completes, as send(2) does, when the socket takes no more for now. A receive that is
 * posted gets the error that ended the connection, whoever was told. rio_try_sends() takes the first send back from
 * the kernel, and stages it again.
 *
 *             post          submit             answer
 *   (none) ─┬──────▶ STAGED ──────▶ IN_KERNEL ────────▶ complete ─▶ completion queue
 *           │          ▲ ▲              │  ▲                ▲
 *           ▼   head   │ └── again ─────┘  │                │
 *         QUEUED ──────┘                   cancel ─▶ CANCELLING
 *           └───────────── cancel ──────────────────────────┘
 */
#include "core.h"

#include <netinet/in.h>

#define SOCKADDR_INET_SIZE 28u
#define AT_ONCE_MAX 0x7ffff000u /* bytes: the kernel carries no more in one operation, and refuses 2 GiB */

static void stage(rio_core *core, struct op *op) {
    op->state = OP_STAGED;
    list_append(&core->staged, op);
}

static void unlink_from_queue(struct op *op) {
    struct request_queue *rq = op->queue;
    struct op *before = NULL, *at = rq->head[op->direction];
    for (; at != op; at = at->behind)
        before = at;
    if (before)
        before->behind = op->behind;
    else
        rq->head[op->direction] = op->behind;
    if (rq->tail[op->direction] == op)
        rq->tail[op->direction] = before;
}

void request_complete(rio_core *core, struct op *op, int32_t status) {
    struct request_queue *rq = op->queue;
    struct completion completion = {
        .result = {status, op->done, rq->socket_context, op->context},
        .queue = rq,
        .buffer = op->buffer,
        .address_buffer = op->address_buffer,
        .direction = op->direction,
        .qualifies = !(op->flags & RIO_FLAG_DONT_NOTIFY),
    };
    unlink_from_queue(op);
    struct op *head = rq->head[op->direction];
    op_free(core, op);
    if (head && head->state == OP_QUEUED && !rq->is_closed) {
        stage(core, head);
        core->must_submit = true;
    }
    cq_push(core, completion.queue->cq[completion.direction], &completion); /* may retire the queue: last */
}

/* What has gone is enough: if nothing more can go at once, the send is over. */
static bool is_enough(const struct op *op) { return op->flags & RIO_FLAG_PART && op->done; }

void request_prepare(const rio_core *core, const struct op *op, struct uring_sqe *sqe) {
    bool is_send = op->direction == SEND;
    sqe->fd = op->fd;
    if (op->address) {
        sqe->opcode = is_send ? URING_OP_SENDMSG : URING_OP_RECVMSG;
        sqe->address = (uint64_t)(uintptr_t)&op->message;
        sqe->length = 1;
    } else {
        sqe->opcode = is_send ? URING_OP_SEND : URING_OP_RECV;
        uint32_t left = op->length - op->done;
        sqe->address = (uint64_t)(uintptr_t)(op->data + op->done);
        sqe->length = left < AT_ONCE_MAX ? left : AT_ONCE_MAX;
    }
    /* A datagram has been tried for already. The kernel that brought COOP_TASKRUN has this too. */
    if (!is_send && op->queue->is_drained && core->ring.setup_flags & URING_SETUP_COOP_TASKRUN)
        sqe->ioprio = URING_RECV_POLL_FIRST;
    if (is_send)
        sqe->op_flags = MSG_NOSIGNAL | (is_enough(op) ? MSG_DONTWAIT : 0);
    else if (!op->queue->is_stream && !op->address)
        sqe->op_flags = MSG_TRUNC; /* answer with the datagram's own length */
}

static bool is_wanted_whole(const struct op *op) {
    return op->queue->is_stream && (op->direction == SEND || op->flags & RIO_FLAG_WAITALL);
}

static bool is_end_of_connection(int32_t status) {
    return status == ECONNRESET || status == ECONNABORTED || status == ETIMEDOUT || status == EHOSTUNREACH ||
           status == ENETUNREACH;
}

int32_t request_told_to_sender(struct request_queue *rq, int32_t status) {
    const struct op *reader = rq->head[RECEIVE];
    if (!is_end_of_connection(status) || !reader || reader->state == OP_CANCELLING)
        return status;
    rq->reader_error = status;
    return EPIPE;
}

/* What a request of a stream ends with: the receive tells what ended the connection, also if a send was told. */
static int32_t told_to(const struct op *op, int32_t status) {
    struct request_queue *rq = op->queue;
    if (op->direction == SEND) {
        int32_t earlier = rq->sender_error;
        rq->sender_error = 0;
        return request_told_to_sender(rq, status == EPIPE && earlier ? earlier : status);
    }
    if (!status && !op->done) {
        status = rq->reader_error;
        rq->reader_error = 0;
    }
    return status;
}

void request_finish(rio_core *core, struct op *op, int32_t result) {
    bool is_cancelled = op->state == OP_CANCELLING && !op->is_tried_again;
    int32_t status = 0;
    if (op->direction == RECEIVE)
        op->queue->is_drained = false; /* of datagrams the kernel does not say whether there are more */
    if (op->state == OP_CANCELLING && !op->is_cancel_sent)
        list_remove(&core->cancels, op);
    if (op->is_tried_again && result == -ECANCELED)
        result = -EINTR;
    op->is_tried_again = op->is_cancel_sent = false;
    if (result >= 0) {
        bool is_truncated = !op->queue->is_stream && ((uint32_t)result > op->length ||
                                                      (op->address && op->message.msg_flags & MSG_TRUNC));
        op->done = is_truncated ? op->length : op->done + (uint32_t)result;
        status = is_truncated ? EMSGSIZE : 0;
        if (is_wanted_whole(op) && result > 0 && op->done < op->length) {
            if (!is_cancelled) {
                stage(core, op);
                core->must_submit = true;
                return;
            }
            status = ECANCELED;
        }
    } else if (result == -EINTR || (result == -EAGAIN && !is_enough(op))) {
        if (!is_cancelled) {
            stage(core, op);
            core->must_submit = true;
            return;
        }
        status = ECANCELED;
    } else if (result != -EAGAIN) {
        status = -result;
    }
    struct request_queue *rq = op->queue;
    if (rq->is_stream)
        status = told_to(op, status);
    bool may_have_more = !rq->is_stream && op->direction == RECEIVE && !rq->is_closed;
    request_complete(core, op, status);
    if (may_have_more && rq->head[RECEIVE])
        datagrams_move(core, rq->head[RECEIVE]);
}

void request_cancel(rio_core *core, struct op *op) {
    switch (op->state) {
    case OP_STAGED:
        list_remove(&core->staged, op);
        request_complete(core, op, ECANCELED);
        break;
    case OP_QUEUED:
        request_complete(core, op, ECANCELED);
        break;
    case OP_IN_KERNEL:
        op->state = OP_CANCELLING;
        list_append(&core->cancels, op);
        core->must_submit = true;
        break;
    default: /* cancelling already */
        op->is_tried_again = false;
        break;
    }
}

static int address_length(const char *address, socklen_t *length) {
    sa_family_t family; /* copied: a slice has no alignment */
    memcpy(&family, address + offsetof(struct sockaddr, sa_family), sizeof family);
    if (family == AF_INET)
        *length = sizeof(struct sockaddr_in);
    else if (family == AF_INET6)
        *length = sizeof(struct sockaddr_in6);
    else
        return RIO_E_INVAL;
    return 0;
}

/* Takes the memory that the post names; on an error nothing is held. */
static int take_memory(rio_core *core, struct op *op, const struct post *post) {
    bool is_receive = post->direction == RECEIVE;
    char *address = NULL;
    socklen_t address_size = SOCKADDR_INET_SIZE;
    int error = 0;
    op->buffer = op->address_buffer = 0;
    op->data = NULL;
    op->address = NULL;
    if (post->buffer_id)
        error = buffer_take(core, post->buffer_id, post->offset, post->length, is_receive, &op->buffer, &op->data);
    if (error)
        return error;
    if (post->has_address) {
        error = buffer_take(core, post->address_buffer_id, post->address_offset, SOCKADDR_INET_SIZE, is_receive,
                            &op->address_buffer, &address);
        if (!error && !is_receive) {
            error = address_length(address, &address_size);
            if (error)
                buffer_release(core, op->address_buffer);
        }
        if (error) {
            buffer_release(core, op->buffer);
            return error;
        }
        if (is_receive)
            memset(address, 0, SOCKADDR_INET_SIZE);
        op->address = address;
        op->vector = (struct iovec){op->data, post->length};
        op->message = (struct msghdr){
            .msg_name = address, .msg_namelen = address_size, .msg_iov = &op->vector, .msg_iovlen = 1};
    }
    return 0;
}

static int check(const struct request_queue *rq, const struct post *post) {
    if (rq->is_stream && (post->has_address || !post->buffer_id || !post->length))
        return RIO_E_INVAL;
    if (!rq->is_stream && post->flags & RIO_FLAG_WAITALL)
        return RIO_E_INVAL;
    if (!post->buffer_id && post->length)
        return RIO_E_INVAL;
    return rq->outstanding[post->direction] >= rq->max[post->direction] ? RIO_E_NOBUFS : 0;
}

int request_submit_soon(rio_core *core) {
    if (core_is_owner(core))
        return ring_flush(core) < 0 ? RIO_E_NOBUFS : 0;
    core->must_submit = true;
    nudge_owner(core);
    return 0;
}

int request_post(rio_core *core, uint64_t handle, const struct post *post) {
    struct request_queue *rq = rq_find(core, handle);
    if (!rq)
        return RIO_E_INVAL;
    int error = check(rq, post);
    if (error)
        return error;
    struct op *op = op_new(core, KIND_REQUEST);
    if (!op)
        return RIO_E_NOBUFS;
    op->state = OP_QUEUED;
    error = take_memory(core, op, post);
    if (error) {
        op_free(core, op);
        return error;
    }
    op->queue = rq;
    op->fd = rq->fd;
    op->direction = (uint8_t)post->direction;
    op->flags = post->flags;
    op->context = post->context;
    op->length = post->length;
    op->done = 0;
    rq->outstanding[post->direction]++;
    core->requests_outstanding++;
    if (rq->tail[post->direction])
        rq->tail[post->direction]->behind = op;
    else
        rq->head[post->direction] = op;
    rq->tail[post->direction] = op;
    if (rq->head[post->direction] == op)
        stage(core, op);
    if (!(post->flags & RIO_FLAG_DEFER))
        request_submit_soon(core);
    return 0;
}

static int post_request(rio_core *core, uint64_t handle, const struct post *post) {
    int error = core_enter(core);
    if (error)
        return error;
    error = request_post(core, handle, post);
    core_leave(core);
    return error;
}

int rio_receive(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length, uint32_t flags,
                uint64_t context) {
    return post_request(core, handle, &(struct post){RECEIVE, buffer_id, offset, length, flags, context, false, 0, 0});
}

int rio_send(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length, uint32_t flags,
             uint64_t context) {
    return post_request(core, handle, &(struct post){SEND, buffer_id, offset, length, flags, context, false, 0, 0});
}

int rio_receive_from(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length,
                     uint64_t address_buffer_id, uint32_t address_offset, uint32_t flags, uint64_t context) {
    return post_request(core, handle,
                        &(struct post){RECEIVE, buffer_id, offset, length, flags, context, true, address_buffer_id,
                                       address_offset});
}

int rio_send_to(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length,
                uint64_t address_buffer_id, uint32_t address_offset, uint32_t flags, uint64_t context) {
    return post_request(core, handle,
                        &(struct post){SEND, buffer_id, offset, length, flags, context, true, address_buffer_id,
                                       address_offset});
}

int rio_commit(rio_core *core, uint64_t handle) {
    int error = core_enter(core);
    if (error)
        return error;
    error = rq_find(core, handle) ? request_submit_soon(core) : RIO_E_INVAL;
    core_leave(core);
    return error;
}

int rio_commit_all(rio_core *core) {
    int error = core_enter(core);
    if (error)
        return error;
    error = request_submit_soon(core);
    core_leave(core);
    return error;
}

int rio_cancel(rio_core *core, uint64_t handle, uint64_t context) {
    int error = core_enter(core);
    if (error)
        return error;
    struct request_queue *rq = rq_find(core, handle);
    for (int direction = 0; rq && direction < 2; direction++)
        for (struct op *op = rq->head[direction]; op; op = op->behind)
            if (op->context == context) {
                request_cancel(core, op);
                if (core->cancels.first && core_is_owner(core))
                    ring_flush(core); /* what the kernel does not take now goes with the next submission */
                nudge_owner(core);
                core_leave(core);
                return 0;
            }
    core_leave(core);
    return 0;
}

/* A peer that reads while we try may let a long send go on and on: such a send does not have to wait. */
#define TRIES_MAX 64

/* Lets the sends go as far as they go now; whether one is left that has to wait. */
static bool push_sends(rio_core *core, const struct request_queue *rq) {
    struct op *head = rq->head[SEND];
    if (head && head->state == OP_IN_KERNEL) {
        request_cancel(core, head);
        head->is_tried_again = true;
    }
    for (int tries = 0; tries < TRIES_MAX && rq->head[SEND]; tries++) {
        if (ring_flush(core) < 0)
            return false;
        ring_reap(core);
        head = rq->head[SEND];
        if (head && head->state == OP_IN_KERNEL)
            return true;
    }
    /* A worker thread of the kernel may have it, which gives it back later: it has to wait there. */
    head = rq->head[SEND];
    return head && head->state == OP_CANCELLING && head->is_tried_again;
}

int rio_try_sends(rio_core *core, uint64_t handle) {
    int error = core_enter(core);
    if (error)
        return -error;
    struct request_queue *rq = rq_find(core, handle);
    int result = !rq ? -RIO_E_INVAL : core_is_owner(core) && push_sends(core, rq);
    core_leave(core);
    return result;
}
