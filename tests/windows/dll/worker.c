/* The thread that does all I/O, and the life of a request: waiting, in the kernel, done, dequeued. */
#include "lane.h"

#define CLOSE_MILLISECONDS 5000
#define NUDGE_MILLISECONDS 20

HANDLE transfer_event; /* set by the kernel for every transfer that has ended */
static HANDLE work_event;
static bool has_begun; /* a transfer, since this was last cleared */
static CONDITION_VARIABLE line_is_empty;
static struct request_queue *live;

/* The request leaves its line and enters its completion queue. */
static void finish(struct request *request) {
    struct request_queue *queue = request->owner;
    struct line *line = &queue->lines[request->direction];
    line->first = request->next;
    if (line->first == NULL) line->last = NULL;
    if (queue->is_dead && request->status != 0) request->status = abort_status();
    if (!queue->is_dead && queue->broken && request->done == 0) request->status = queue->broken;
    queue_result(request);
}

/* By the knob: the request fails, and a stream is broken from here on. */
static void doom(struct request *request) {
    struct request_queue *queue = request->owner;
    request->status = (LONG)knobs.fail_status;
    if (queue->is_datagram) return;
    queue->broken = (int)knobs.fail_status;
    shutdown(queue->socket, SD_BOTH);
}

static bool is_connected(SOCKET socket) {
    struct sockaddr_storage name;
    int size = sizeof name;
    return getpeername(socket, (struct sockaddr *)&name, &size) == 0;
}

/* Begin with the head of a line. */
static void start(struct request *request) {
    struct request_queue *queue = request->owner;
    request->state = DONE;
    if (queue->is_dead)
        request->status = WSA_OPERATION_ABORTED;
    else if (queue->broken)
        request->status = queue->broken;
    else if (request->is_doomed)
        doom(request);
    else if (queue->is_deaf && request->direction == RECEIVE)
        request->state = WAITING;
    else {
        request->begun = GetTickCount64();
        if (request->direction == SEND && queue->is_datagram && is_connected(queue->socket)) queue->may_stall = true;
        has_begun = true;
        request->status = start_transfer(request);
        if (request->status == 0) request->state = IN_KERNEL;
    }
}

/* By the knob: whether the request must still wait, before its I/O or after it. */
static bool is_held(struct request *request, enum state when, ULONGLONG now, ULONGLONG *soonest) {
    if (knobs.delay_milliseconds == 0 || request->owner->is_dead) return false;
    if (request->due == 0) {
        request->due = now + random_below(knobs.delay_milliseconds + 1);
        request->held = random_below(2) ? WAITING : DONE;
    }
    if (request->held != when || now >= request->due) return false;
    if (request->due < *soonest) *soonest = request->due;
    return true;
}

/* When ICMP says that nobody got what a connected datagram socket has sent, Wine watches the socket no more: what is
 * pending stays pending, and only a call that finds a datagram there succeeds. So a receive begins again and again,
 * which loses nothing. */
static void nudge(struct request *request, ULONGLONG now, ULONGLONG *soonest) {
    ULONGLONG when = request->begun + NUDGE_MILLISECONDS;
    if (request->direction != RECEIVE || !request->owner->may_stall) return;
    if (now >= when) {
        CancelIoEx((HANDLE)request->owner->socket, (OVERLAPPED *)&request->overlapped);
    } else if (when < *soonest) {
        *soonest = when;
    }
}

/* Move the head of a line on; whether it has left the line. */
static bool move_on(struct request *request, ULONGLONG now, ULONGLONG *soonest) {
    if (request->state == WAITING) {
        if (is_held(request, WAITING, now, soonest)) return false;
        start(request);
    }
    while (request->state == IN_KERNEL) {
        if (request->overlapped.Internal == (ULONG_PTR)STATUS_PENDING) {
            nudge(request, now, soonest);
            return false;
        }
        if (finish_transfer(request))
            request->state = DONE;
        else
            start(request);
    }
    if (request->state != DONE || is_held(request, DONE, now, soonest)) return false;
    finish(request);
    return true;
}

/* Move all lines on; how long nothing is due. */
static DWORD look_around(void) {
    ULONGLONG now = GetTickCount64(), soonest = ~0ull;
    for (struct request_queue *queue = live; queue != NULL; queue = queue->next_live) {
        for (int i = 0; i < DIRECTIONS; i++) {
            struct line *line = &queue->lines[i];
            while (line->first != NULL && line->first->is_started && move_on(line->first, now, &soonest)) continue;
        }
        if (queue->is_dead) WakeAllConditionVariable(&line_is_empty);
    }
    return soonest == ~0ull ? INFINITE : (DWORD)(soonest - now);
}

static DWORD WINAPI work(void *unused) {
    HANDLE events[] = {work_event, transfer_event};
    (void)unused;
    for (;;) {
        DWORD milliseconds;
        EnterCriticalSection(&lane_lock);
        /* To begin a transfer resets its event, which may have told of the end of another that was looked at before. */
        do {
            has_begun = false;
            milliseconds = look_around();
        } while (has_begun);
        LeaveCriticalSection(&lane_lock);
        if (WaitForMultipleObjects(2, events, FALSE, milliseconds) == WAIT_FAILED) return 1;
    }
}

/* Under the lock. Threads are started late: not every process that loads the DLL uses RIO. */
bool start_worker(void) {
    if (work_event != NULL) return true;
    InitializeConditionVariable(&line_is_empty);
    work_event = CreateEventW(NULL, FALSE, FALSE, NULL);
    transfer_event = CreateEventW(NULL, FALSE, FALSE, NULL);
    HANDLE thread = CreateThread(NULL, 0, work, NULL, 0, NULL);
    if (thread != NULL) CloseHandle(thread);
    return thread != NULL;
}

void wake_worker(void) { SetEvent(work_event); }

void look_after(struct request_queue *queue) {
    queue->next_live = live;
    live = queue;
}

/* End every request of a dead queue. Under the lock, which is free while this waits. */
void end_requests(struct request_queue *queue) {
    ULONGLONG deadline = GetTickCount64() + CLOSE_MILLISECONDS;
    for (int i = 0; i < DIRECTIONS; i++) {
        struct request *head = queue->lines[i].first;
        if (head != NULL && head->state == IN_KERNEL)
            CancelIoEx((HANDLE)queue->socket, (OVERLAPPED *)&head->overlapped);
        for (struct request *request = head; request != NULL; request = request->next) request->is_started = true;
    }
    wake_worker();
    while (queue->lines[RECEIVE].first != NULL || queue->lines[SEND].first != NULL) {
        ULONGLONG now = GetTickCount64();
        if (now >= deadline) {
            misuse("closesocket", "no misuse, but a fault of the lane: a request did not end after it was cancelled");
            return;
        }
        SleepConditionVariableCS(&line_is_empty, &lane_lock, (DWORD)(deadline - now));
    }
    for (struct request_queue **link = &live; *link != NULL; link = &(*link)->next_live) {
        if (*link != queue) continue;
        *link = queue->next_live;
        return;
    }
}
