/* A send or receive of a stream that is done at once, or not at all: it is not posted, and needs no credit.
 *
 * Facts. A lone request costs a visit to the kernel, a completion and a notification; a plain call that need not wait
 * costs the visit. It would overtake what is posted.
 * Consequence. It may be made only where none of its direction is posted, by a caller who posts what was not done.
 * Decision. Behind the guard and the lock of every call. Whatever is in the way, a closed core, the end of the stream
 * and a broken connection included, looks like a socket that would have to wait: then the caller posts, and that
 * request is told. What the system tells only once is kept for it; of a send, it may be for the receive, as in
 * request.c.
 */
#include "core.h"

uint32_t rio_send_now(rio_core *core, uint64_t handle, const char *data, uint32_t length) {
    if (core_enter(core))
        return 0;
    uint32_t sent = 0;
    struct request_queue *rq = rq_find(core, handle);
    if (rq && rq->is_stream && !rq->head[SEND]) {
        ssize_t count = send(rq->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count >= 0)
            sent = (uint32_t)count;
        else if (errno != EAGAIN)
            rq->sender_error = request_told_to_sender(rq, errno);
    }
    core_leave(core);
    return sent;
}

uint32_t rio_receive_now(rio_core *core, uint64_t handle, char *data, uint32_t length) {
    if (core_enter(core))
        return 0;
    uint32_t received = 0;
    struct request_queue *rq = rq_find(core, handle);
    if (rq && rq->is_stream && !rq->head[RECEIVE] && !rq->reader_error) {
        ssize_t count = recv(rq->fd, data, length, MSG_DONTWAIT);
        if (count >= 0)
            received = (uint32_t)count;
        else if (errno != EAGAIN && errno != EINTR)
            rq->reader_error = errno;
    }
    core_leave(core);
    return received;
}
