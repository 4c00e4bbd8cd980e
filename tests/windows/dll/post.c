/* RIOReceive, RIOSend and their Ex forms: the checks, and a place in the line. */
#include "lane.h"

#include <stdlib.h>

struct call {
    const char *function;
    enum direction direction;
    ULONG data_count;
    const struct rio_buf *slices[SLICES];
    DWORD flags;
    void *context;
};

static bool has_slices(const struct call *call) {
    for (int i = 0; i < SLICES; i++)
        if (call->slices[i] != NULL) return true;
    return call->data_count > 0;
}

/* What can be said without knowing the state of the queue. */
static int check_call(const struct request_queue *queue, const struct call *call) {
    if (call->flags & ~(DWORD)MSG_ALL) return WSAEINVAL;
    if (call->flags & MSG_COMMIT_ONLY)
        return call->flags != MSG_COMMIT_ONLY || has_slices(call) || call->context != NULL ? WSAEINVAL : 0;
    if (call->flags & MSG_WAIT_FOR_ALL && (call->direction == SEND || queue->is_datagram)) return WSAEINVAL;
    if (call->data_count > 1 || (call->slices[DATA] == NULL) != (call->data_count == 0)) return WSAEINVAL;
    if (call->direction == SEND && call->slices[LOCAL] != NULL) return WSAEINVAL;
    for (int i = LOCAL; i <= REMOTE; i++)
        if (call->slices[i] != NULL && call->slices[i]->length < SOCKADDR_INET_SIZE) return WSAEINVAL;
    if (call->slices[CONTROL] != NULL && call->slices[CONTROL]->length < CMSG_BASE_SIZE) return WSAEINVAL;
    if (call->slices[FLAGS] != NULL && call->slices[FLAGS]->length < sizeof(DWORD)) return WSAEINVAL;
    return 0;
}

static void append(struct line *line, struct request *request) {
    if (line->last != NULL)
        line->last->next = request;
    else
        line->first = request;
    line->last = request;
    line->outstanding++;
}

/* Start all of a direction; whether there was anything to start. */
static bool commit(struct request_queue *queue, enum direction direction) {
    bool is_new = false;
    for (struct request *request = queue->lines[direction].first; request != NULL; request = request->next) {
        is_new |= !request->is_started;
        request->is_started = true;
    }
    return is_new;
}

static int post(struct request_queue *queue, const struct call *call) {
    static ULONG calls, requests;
    struct line *line = &queue->lines[call->direction];
    int error = check_call(queue, call);
    if (error) return error;
    if (line->queue->is_dead) {
        misuse(call->function, "the completion queue of this request queue is closed");
        return WSAEINVAL;
    }
    if (call->flags & MSG_COMMIT_ONLY) {
        if (commit(queue, call->direction)) wake_worker();
        return 0;
    }
    if (line->outstanding >= line->maximum || every(knobs.fail_calls, &calls)) return WSAENOBUFS;
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL) return WSAENOBUFS;
    for (int i = 0; i < SLICES && error == 0; i++)
        take_slice(call->function, call->slices[i], &request->slices[i], &error);
    if (error) {
        free(request);
        return error;
    }
    request->owner = queue;
    request->direction = call->direction;
    request->flags = call->flags;
    request->context = call->context;
    request->is_doomed = every(knobs.fail_requests, &requests);
    hold_slices(call->function, request);
    append(line, request);
    if (queue->is_deaf && call->direction == RECEIVE)
        misuse(call->function, "the listener of this socket lacked WSA_FLAG_REGISTERED_IO: nothing will ever arrive");
    bool is_early = knobs.start_deferred_early && random_below(2) == 0;
    if ((!(call->flags & MSG_DEFER) || is_early) && commit(queue, call->direction)) wake_worker();
    return 0;
}

static BOOL request(RIO_HANDLE handle, const struct call *call) {
    bool has_entered;
    bool is_alone = call->flags != MSG_COMMIT_ONLY; /* a commit need not be serialised */
    struct request_queue *queue = enter_request_queue(call->function, handle, is_alone, &has_entered);
    int error = WSAEINVAL;
    if (queue != NULL) {
        error = post(queue, call);
        leave_request_queue(queue, has_entered);
    }
    if (error) WSASetLastError(error);
    return error == 0;
}

BOOL WINAPI receive(RIO_HANDLE queue, struct rio_buf *data, ULONG count, DWORD flags, void *context) {
    return request(queue, &(struct call){"RIOReceive", RECEIVE, count, {data}, flags, context});
}

BOOL WINAPI send_data(RIO_HANDLE queue, struct rio_buf *data, ULONG count, DWORD flags, void *context) {
    return request(queue, &(struct call){"RIOSend", SEND, count, {data}, flags, context});
}

int WINAPI receive_ex(RIO_HANDLE queue, struct rio_buf *data, ULONG count, struct rio_buf *local,
                      struct rio_buf *remote, struct rio_buf *control, struct rio_buf *flags_buffer, DWORD flags,
                      void *context) {
    return request(queue, &(struct call){"RIOReceiveEx", RECEIVE, count, {data, local, remote, control, flags_buffer},
                                         flags, context});
}

BOOL WINAPI send_ex(RIO_HANDLE queue, struct rio_buf *data, ULONG count, struct rio_buf *local, struct rio_buf *remote,
                    struct rio_buf *control, struct rio_buf *flags_buffer, DWORD flags, void *context) {
    return request(queue, &(struct call){"RIOSendEx", SEND, count, {data, local, remote, control, flags_buffer}, flags,
                                         context});
}

const struct rio_table rio_table = {
    .size = sizeof(struct rio_table),
    .receive = receive,
    .receive_ex = receive_ex,
    .send = send_data,
    .send_ex = send_ex,
    .close_completion_queue = close_completion_queue,
    .create_completion_queue = create_completion_queue,
    .create_request_queue = create_request_queue,
    .dequeue_completion = dequeue_completion,
    .deregister_buffer = deregister_buffer,
    .notify = notify,
    .register_buffer = register_buffer,
    .resize_completion_queue = resize_completion_queue,
    .resize_request_queue = resize_request_queue,
};
