/* Request queues: made, resized, and ended with their socket. */
#include "lane.h"

#include <stdlib.h>

static int check_socket(SOCKET socket, struct socket_entry **entry, bool *is_datagram) {
    int type = 0, size = sizeof type;
    struct sockaddr_storage name = {0};
    WSAPROTOCOL_INFOW info;
    int info_size = sizeof info;
    if (getsockopt(socket, SOL_SOCKET, SO_TYPE, (char *)&type, &size) != 0) return WSAENOTSOCK;
    if (getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &info_size) == 0)
        name.ss_family = (ADDRESS_FAMILY)info.iAddressFamily;
    *entry = entry_of(socket);
    if (*entry == NULL || !(*entry)->is_rio) return WSAEOPNOTSUPP;
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return WSAEOPNOTSUPP;
    if (name.ss_family != AF_INET && name.ss_family != AF_INET6) return WSAEOPNOTSUPP;
    *is_datagram = type == SOCK_DGRAM;
    return 0;
}

/* Whether both queues have room for so many more; that they are charged if so is the caller's to do. */
static bool has_room(struct completion_queue *queues[DIRECTIONS], const ULONG more[DIRECTIONS]) {
    ULONGLONG receive = more[RECEIVE], send = more[SEND];
    if (queues[RECEIVE] == queues[SEND]) return queues[SEND]->charged + receive + send <= queues[SEND]->size;
    return queues[RECEIVE]->charged + receive <= queues[RECEIVE]->size &&
           queues[SEND]->charged + send <= queues[SEND]->size;
}

static int make_queue(SOCKET socket, const ULONG maxima[DIRECTIONS], const RIO_HANDLE handles[DIRECTIONS],
                      void *context, RIO_HANDLE *made) {
    const char *function = "RIOCreateRequestQueue";
    struct completion_queue *queues[DIRECTIONS];
    struct socket_entry *entry;
    bool is_datagram;
    for (int i = 0; i < DIRECTIONS; i++) {
        queues[i] = live_queue(function, handles[i]);
        if (queues[i] == NULL) return WSAEINVAL;
    }
    int error = check_socket(socket, &entry, &is_datagram);
    if (error) return error;
    if (entry->queue != NULL) {
        misuse(function, "the socket has a request queue already");
        return WSAEINVAL;
    }
    if (!has_room(queues, maxima)) return WSAENOBUFS;
    struct request_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL || !start_worker()) {
        free(queue);
        return WSAENOBUFS;
    }
    queue->socket = socket;
    queue->context = context;
    queue->is_datagram = is_datagram;
    queue->is_deaf = entry->is_deaf;
    queue->is_charged = true;
    for (int i = 0; i < DIRECTIONS; i++) {
        queue->lines[i].queue = queues[i];
        queue->lines[i].maximum = maxima[i];
        queues[i]->charged += maxima[i];
    }
    entry->queue = queue;
    look_after(queue);
    *made = queue->handle = new_handle(REQUEST_QUEUE, queue);
    return 0;
}

RIO_HANDLE WINAPI create_request_queue(SOCKET socket, ULONG receives, ULONG receive_buffers, ULONG sends,
                                       ULONG send_buffers, RIO_HANDLE receive_queue, RIO_HANDLE send_queue,
                                       void *context) {
    const ULONG maxima[DIRECTIONS] = {receives, sends};
    const RIO_HANDLE queues[DIRECTIONS] = {receive_queue, send_queue};
    RIO_HANDLE made = 0;
    int error = WSAEINVAL;
    if ((receives > 0 || sends > 0) && receive_buffers == 1 && send_buffers == 1) {
        EnterCriticalSection(&lane_lock);
        error = make_queue(socket, maxima, queues, context, &made);
        LeaveCriticalSection(&lane_lock);
    }
    if (error) WSASetLastError(error);
    return made;
}

/* The queue of a handle, entered alone and with the lock held; NULL, and nothing held, if it cannot be used. */
struct request_queue *enter_request_queue(const char *function, RIO_HANDLE handle, bool is_alone, bool *has_entered) {
    EnterCriticalSection(&lane_lock);
    struct request_queue *queue = object_of(REQUEST_QUEUE, handle);
    LeaveCriticalSection(&lane_lock);
    *has_entered = false;
    if (queue == NULL) {
        misuse(function, "%#llx is no request queue: this would be a crash", handle);
        return NULL;
    }
    if (is_alone) *has_entered = enter(&queue->user, function, "request queue");
    EnterCriticalSection(&lane_lock);
    if (!queue->is_dead) return queue;
    misuse(function, "the socket of this request queue is closed: this would be a crash");
    leave_request_queue(queue, *has_entered);
    return NULL;
}

void leave_request_queue(struct request_queue *queue, bool has_entered) {
    LeaveCriticalSection(&lane_lock);
    leave(&queue->user, has_entered);
}

static int resize(struct request_queue *queue, const ULONG maxima[DIRECTIONS]) {
    struct completion_queue *queues[DIRECTIONS] = {queue->lines[RECEIVE].queue, queue->lines[SEND].queue};
    ULONG more[DIRECTIONS] = {0};
    if (maxima[RECEIVE] == 0 && maxima[SEND] == 0) return WSAEINVAL;
    for (int i = 0; i < DIRECTIONS; i++) {
        if (maxima[i] < queue->lines[i].outstanding) return WSAETOOMANYREFS;
        if (maxima[i] > queue->lines[i].maximum) more[i] = maxima[i] - queue->lines[i].maximum;
    }
    if (!has_room(queues, more)) return WSAENOBUFS;
    for (int i = 0; i < DIRECTIONS; i++) {
        queues[i]->charged += maxima[i] - queue->lines[i].maximum;
        queue->lines[i].maximum = maxima[i];
    }
    return 0;
}

BOOL WINAPI resize_request_queue(RIO_HANDLE handle, DWORD receives, DWORD sends) {
    bool has_entered;
    struct request_queue *queue = enter_request_queue("RIOResizeRequestQueue", handle, true, &has_entered);
    int error = WSAEINVAL;
    if (queue != NULL) {
        error = resize(queue, (const ULONG[DIRECTIONS]){receives, sends});
        leave_request_queue(queue, has_entered);
    }
    if (error) WSASetLastError(error);
    return error == 0;
}

/* Give the charge back, once the socket is closed and its last result is dequeued: the later of the two moments that
 * the documentation leaves open. */
void return_charge(struct request_queue *queue) {
    if (!queue->is_dead || !queue->is_charged) return;
    if (queue->lines[RECEIVE].outstanding > 0 || queue->lines[SEND].outstanding > 0) return;
    for (int i = 0; i < DIRECTIONS; i++) queue->lines[i].queue->charged -= queue->lines[i].maximum;
    queue->is_charged = false;
}

/* The socket is about to be closed: end all requests, and wait until the kernel has let go of them. Under the lock. */
void close_request_queue(struct request_queue *queue) {
    queue->is_dead = true;
    end_requests(queue);
    return_charge(queue);
}
