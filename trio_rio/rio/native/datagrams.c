/* Datagrams: many in one call, from Python and into the kernel.
 *
 * Facts. An operation of a ring carries one datagram, and the kernel promises no order among several of one socket.
 * recvmmsg(2) and sendmmsg(2) carry many, in order, and stop at the first that would have to wait; an error is theirs
 * if it is the first one's, else the next call's. Unlike a stream's, a datagram's completion on the ring does not say
 * whether there is more to receive.
 * Consequence. Only the wait for the first datagram needs the ring.
 * Decision. datagrams_move() takes what is staged for a datagram socket, with all that is queued behind it, past the
 * ring as far as it goes without waiting. What remains waits in the ring as ever, one request per direction. When that
 * completes, those behind it are moved at once, so that one wake-up brings all that have come.
 *
 * Facts. A peer that answers at once has often answered when the reader comes back. To have the kernel wait for that
 * datagram costs more than to read the socket. A read would overtake a receive that the kernel has.
 * Decision. rio_receives_rest() is for a reader that is alone: it says whether the socket may be read. Then receives of
 * datagrams rest for two looks of the owner: the reader is back by then, or waits, and the wait submits them.
 */
#include "core.h"

#define AT_ONCE 64u /* as the stack has room for */
#define LOOKS_AT_REST 2u
#define ADDRESS_SIZE 28u

static uint32_t gather(struct op *head, struct mmsghdr *messages) {
    uint32_t count = 0;
    for (struct op *op = head; op && count < AT_ONCE; op = op->behind) {
        struct msghdr *message = &messages[count++].msg_hdr;
        if (op->address) {
            *message = op->message;
        } else {
            op->vector = (struct iovec){op->data, op->length};
            *message = (struct msghdr){.msg_iov = &op->vector, .msg_iovlen = 1};
        }
    }
    return count;
}

/* The first `count` requests are done. */
static void complete_all(rio_core *core, struct op *op, const struct mmsghdr *messages, uint32_t count) {
    struct op *behind = op;
    for (uint32_t i = 0; i < count; i++, behind = behind->behind)
        behind->state = OP_IN_KERNEL; /* so that none of them is staged as the one before it goes */
    for (uint32_t i = 0; i < count; i++, op = behind) {
        bool is_truncated = op->direction == RECEIVE && messages[i].msg_hdr.msg_flags & MSG_TRUNC;
        behind = op->behind;
        op->done = messages[i].msg_len;
        request_complete(core, op, is_truncated ? EMSGSIZE : 0);
    }
}

/* Moves one batch; whether any of it is done. */
static bool move(rio_core *core, struct op *head) {
    struct request_queue *rq = head->queue;
    struct mmsghdr messages[AT_ONCE];
    bool is_receive = head->direction == RECEIVE;
    uint32_t count = gather(head, messages);
    int moved = is_receive ? recvmmsg(rq->fd, messages, count, MSG_DONTWAIT, NULL)
                           : sendmmsg(rq->fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved < 0 && (errno == EAGAIN || errno == EINTR)) {
        rq->is_drained |= is_receive;
        return false;
    }
    list_remove(&core->staged, head);
    if (moved < 0) {
        request_complete(core, head, errno);
        return true;
    }
    if (is_receive)
        rq->is_drained = (uint32_t)moved < count;
    complete_all(core, head, messages, (uint32_t)moved);
    return true;
}

bool datagrams_move(rio_core *core, struct op *head) {
    enum direction direction = head->direction;
    struct request_queue *rq = head->queue; /* not closed, or its head would not be staged: it stays */
    bool has_moved = false;
    for (struct op *op = head; op && op->state == OP_STAGED && !(direction == RECEIVE && rq->is_drained);
         op = rq->head[direction]) {
        if (!move(core, op))
            break;
        has_moved = true;
    }
    return has_moved;
}

int rio_receives_rest(rio_core *core, uint64_t handle) {
    int error = core_enter(core);
    if (error)
        return -error;
    int state = 0;
    struct request_queue *rq = rq_find(core, handle);
    if (rq && !rq->is_stream) {
        ring_reap(core);
        const struct op *head = rq->head[RECEIVE];
        state = rq->cq[RECEIVE]->count ? 2 : head && head->state == OP_STAGED;
        core->looks_at_rest = LOOKS_AT_REST;
    }
    core_leave(core);
    return state;
}

bool datagrams_rest(rio_core *core) {
    if (!core->looks_at_rest || core->cancels.first)
        return false;
    for (const struct op *op = core->staged.first; op; op = op->next)
        if (op->kind != KIND_REQUEST || op->queue->is_stream || op->direction != RECEIVE)
            return false;
    core->looks_at_rest--;
    return true;
}

static int finish_posts(rio_core *core, uint32_t posted, uint32_t flags, int error) {
    if (posted && !(flags & RIO_FLAG_DEFER))
        request_submit_soon(core); /* what the kernel does not take now goes with the next submission */
    core_leave(core);
    return posted ? (int)posted : -error;
}

int rio_receive_many(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t stride,
                     uint32_t length, uint32_t address_offset, uint32_t address_stride, uint32_t count, uint32_t flags,
                     uint64_t first_context) {
    uint32_t posted = 0;
    int error = core_enter(core);
    if (error)
        return -error;
    for (; posted < count; posted++) {
        uint64_t at = offset + (uint64_t)posted * stride;
        uint64_t address_at = address_offset + (uint64_t)posted * address_stride;
        struct post post = {RECEIVE, buffer_id, at, length, flags | RIO_FLAG_DEFER, first_context + posted,
                            true, buffer_id, address_at};
        if ((error = request_post(core, handle, &post)))
            break;
    }
    return finish_posts(core, posted, flags, error);
}

int rio_send_many(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, const uint32_t *lengths,
                  int has_addresses, uint32_t address_offset, uint32_t count, uint32_t flags, uint64_t first_context) {
    uint32_t posted = 0;
    int error = core_enter(core);
    if (error)
        return -error;
    for (uint64_t at = offset; posted < count; at += lengths[posted++]) {
        struct post post = {SEND, buffer_id, at, lengths[posted], flags | RIO_FLAG_DEFER, first_context + posted,
                            has_addresses != 0, buffer_id, address_offset + (uint64_t)posted * ADDRESS_SIZE};
        if ((error = request_post(core, handle, &post)))
            break;
    }
    return finish_posts(core, posted, flags, error);
}
