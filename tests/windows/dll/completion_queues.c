/* Completion queues: results in order, room that is promised in advance, and one signal each time one is asked for. */
#include "lane.h"

#include <stdlib.h>

/* The queue of a handle that must be alive; under the lock. */
struct completion_queue *live_queue(const char *function, RIO_HANDLE handle) {
    struct completion_queue *queue = object_of(COMPLETION_QUEUE, handle);
    if (queue != NULL && !queue->is_dead) return queue;
    misuse(function, "completion queue %#llx is %s", handle, queue ? "closed" : "no completion queue");
    return NULL;
}

static struct completion_queue *all;

/* No two queues may share an OVERLAPPED, and NULL is none. */
static int check_notification(const struct rio_notification *notification) {
    const struct rio_notification *how = notification;
    if (how->type == EVENT_COMPLETION) return how->event.handle == NULL ? WSAEINVAL : 0;
    if (how->type != IOCP_COMPLETION || how->iocp.handle == NULL) return WSAEINVAL;
    if (how->iocp.overlapped == NULL || (ULONG_PTR)how->iocp.overlapped == (ULONG_PTR)-1) {
        misuse("RIOCreateCompletionQueue", "Iocp.Overlapped is no OVERLAPPED");
        return WSAEINVAL;
    }
    EnterCriticalSection(&lane_lock);
    for (const struct completion_queue *other = all; other != NULL; other = other->next)
        if (!other->is_dead && other->notification.type == IOCP_COMPLETION &&
            other->notification.iocp.overlapped == how->iocp.overlapped)
            misuse("RIOCreateCompletionQueue", "Iocp.Overlapped is that of another completion queue");
    LeaveCriticalSection(&lane_lock);
    return 0;
}

RIO_HANDLE WINAPI create_completion_queue(DWORD size, struct rio_notification *notification) {
    int error = size < 1 || size > MAX_CQ_SIZE ? WSAEINVAL : 0;
    if (error == 0 && notification != NULL) error = check_notification(notification);
    if (knobs.refuse_queues) error = WSAEFAULT;
    struct completion_queue *queue = error ? NULL : calloc(1, sizeof *queue);
    if (error == 0 && queue == NULL) error = WSAENOBUFS;
    if (error) {
        WSASetLastError(error);
        return 0;
    }
    queue->size = size;
    if (notification != NULL) queue->notification = *notification;
    EnterCriticalSection(&lane_lock);
    queue->handle = new_handle(COMPLETION_QUEUE, queue);
    queue->next = all;
    all = queue;
    LeaveCriticalSection(&lane_lock);
    return queue->handle;
}

/* Enter a queue that must be alive: alone, and with the lock held. NULL, and nothing held, if it is not. */
static struct completion_queue *enter_queue(const char *function, RIO_HANDLE handle, bool *has_entered) {
    EnterCriticalSection(&lane_lock);
    struct completion_queue *queue = live_queue(function, handle);
    LeaveCriticalSection(&lane_lock);
    if (queue == NULL) return NULL;
    *has_entered = enter(&queue->user, function, "completion queue");
    EnterCriticalSection(&lane_lock);
    if (!queue->is_dead) return queue;
    misuse(function, "the completion queue was closed meanwhile");
    LeaveCriticalSection(&lane_lock);
    leave(&queue->user, *has_entered);
    return NULL;
}

static void leave_queue(struct completion_queue *queue, bool has_entered) {
    LeaveCriticalSection(&lane_lock);
    leave(&queue->user, has_entered);
}

static struct request *take_first(struct completion_queue *queue) {
    struct request *request = queue->first;
    queue->first = request->next;
    if (queue->first == NULL) queue->last = NULL;
    if (!(request->flags & MSG_DONT_NOTIFY)) queue->qualifying--;
    return request;
}

/* The request is dequeued or dropped: its slices, its credit, and at last the charge of its queue come back. */
void forget_request(struct request *request) {
    let_slices_go(request);
    request->owner->lines[request->direction].outstanding--;
    return_charge(request->owner);
    free(request);
}

void WINAPI close_completion_queue(RIO_HANDLE handle) {
    EnterCriticalSection(&lane_lock);
    struct completion_queue *queue = object_of(COMPLETION_QUEUE, handle);
    LeaveCriticalSection(&lane_lock);
    if (queue == NULL || queue->is_dead) return; /* ignored, says the documentation */
    bool has_entered = enter(&queue->user, "RIOCloseCompletionQueue", "completion queue");
    EnterCriticalSection(&lane_lock);
    while (queue->first != NULL) forget_request(take_first(queue));
    queue->is_dead = true;
    queue->is_armed = false;
    leave_queue(queue, has_entered);
}

ULONG WINAPI dequeue_completion(RIO_HANDLE handle, struct rio_result *results, ULONG length) {
    bool has_entered;
    struct completion_queue *queue = enter_queue("RIODequeueCompletion", handle, &has_entered);
    if (queue == NULL) return CORRUPT_CQ;
    if (results == NULL || length == 0) misuse("RIODequeueCompletion", "no room for a result");
    ULONG taken = 0;
    while (taken < length && queue->first != NULL) {
        struct request *request = take_first(queue);
        results[taken++] = (struct rio_result){
            .status = request->status,
            .bytes_transferred = request->done,
            .socket_context = (ULONG_PTR)request->owner->context,
            .request_context = (ULONG_PTR)request->context,
        };
        forget_request(request);
    }
    leave_queue(queue, has_entered);
    return taken;
}

BOOL WINAPI resize_completion_queue(RIO_HANDLE handle, DWORD size) {
    bool has_entered;
    struct completion_queue *queue = enter_queue("RIOResizeCompletionQueue", handle, &has_entered);
    int error = WSAEINVAL;
    if (queue != NULL) {
        if (size >= 1 && size <= MAX_CQ_SIZE) error = size < queue->charged ? WSAETOOMANYREFS : 0;
        if (error == 0) queue->size = size;
        leave_queue(queue, has_entered);
    }
    if (error) WSASetLastError(error);
    return error == 0;
}

static void signal_queue(struct completion_queue *queue) {
    static ULONG count;
    const struct rio_notification *how = &queue->notification;
    queue->is_armed = false;
    if (every(knobs.lose_notifications, &count)) return;
    BOOL is_done;
    if (how->type == EVENT_COMPLETION)
        is_done = SetEvent(how->event.handle);
    else
        is_done = PostQueuedCompletionStatus(how->iocp.handle, 0, (ULONG_PTR)how->iocp.key, how->iocp.overlapped);
    if (!is_done) misuse("RIONotify", "the event or port is closed: error %lu", GetLastError());
}

/* The result is the error code. */
INT WINAPI notify(RIO_HANDLE handle) {
    bool has_entered;
    struct completion_queue *queue = enter_queue("RIONotify", handle, &has_entered);
    if (queue == NULL) return WSAEINVAL;
    INT error = queue->notification.type == 0 ? WSAEINVAL : queue->is_armed ? WSAEALREADY : 0;
    if (error == 0) {
        if (queue->notification.type == EVENT_COMPLETION && queue->notification.event.notify_reset)
            ResetEvent(queue->notification.event.handle);
        queue->is_armed = true;
        if (queue->qualifying > 0) signal_queue(queue);
    }
    leave_queue(queue, has_entered);
    return error;
}

/* A request has ended; under the lock. Results of a closed queue are dropped. By the knob nobody hears of it. */
void queue_result(struct request *request) {
    struct completion_queue *queue = request->owner->lines[request->direction].queue;
    if (knobs.lose_completions) return;
    if (queue->is_dead) {
        forget_request(request);
        return;
    }
    request->next = NULL;
    if (queue->last != NULL)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
    if (request->flags & MSG_DONT_NOTIFY) return;
    queue->qualifying++;
    if (queue->is_armed) signal_queue(queue);
}
