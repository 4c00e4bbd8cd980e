/* Completion queues: a circle of results in user space, with an admission rule and a one-shot notification.
 *
 * Facts. RIO promises at the creation of a request queue that its completion queue will have room for every
 * result; a result leaves the queue, and frees its credit, only by dequeueing; a notification fires once per
 * RIONotify, for results that were not posted with DONT_NOTIFY [Microsoft Learn: RIOCreateRequestQueue,
 * RIODequeueCompletion, RIONotify].
 * Consequence. A completion queue cannot overflow, whatever the kernel's ring does, if memory for all that is
 * promised is there before the promise.
 * Decision. cq_reserve() grows the circle to the charge before a request queue is made; cq_push() then cannot
 * fail. A packet is a count in the queue itself, and the port a list of queues: posting one needs no memory
 * either.
 */
#include "core.h"

#include <unistd.h>

#define CQ_SIZE_MAX 0x8000000u

enum notification { POLLED = 0, EVENT = 1, PORT = 2 };

struct completion_queue *cq_find(rio_core *core, uint64_t handle) {
    struct completion_queue *cq = slab_at(&core->completion_queues, (uint32_t)handle);
    return cq && cq->generation == handle >> 32 && !cq->is_closed ? cq : NULL;
}

bool cq_reserve(struct completion_queue *cq, uint32_t room) {
    if (room <= cq->room)
        return true;
    uint32_t grown = cq->room ? cq->room : 16;
    while (grown < room)
        grown *= 2;
    struct completion *entries = calloc(grown, sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = 0; i < cq->count; i++)
        entries[i] = cq->entries[(cq->first + i) % cq->room];
    free(cq->entries);
    cq->entries = entries;
    cq->room = grown;
    cq->first = 0;
    return true;
}

static struct completion_queue *cq_new(rio_core *core) {
    struct completion_queue *cq = core->free_cq;
    uint32_t index;
    if (cq) {
        core->free_cq = cq->next_free;
        return cq;
    }
    if (slab_add(&core->completion_queues, &index))
        return NULL;
    cq = slab_at(&core->completion_queues, index);
    cq->index = index;
    return cq;
}

int rio_create_completion_queue(rio_core *core, uint32_t size, int notification, int event_fd, int notify_reset,
                                uint64_t port_handle, uint64_t key, uint64_t *handle) {
    if (size < 1 || size > CQ_SIZE_MAX)
        return RIO_E_INVAL;
    int error = core_enter(core);
    if (error)
        return error;
    struct completion_queue *cq = NULL;
    struct port *port = port_find(core, notification == POLLED ? 0 : port_handle);
    if (!port)
        error = RIO_E_INVAL;
    else if (!(cq = cq_new(core)))
        error = RIO_E_NOBUFS;
    if (cq) {
        uint32_t generation = (cq->generation + 1) & 0x7fffffff;
        *cq = (struct completion_queue){
            .index = cq->index,
            .generation = generation + (generation == 0),
            .capacity = size,
            .notification = notification,
            .event_fd = event_fd,
            .notify_reset = notify_reset,
            .port = port->index,
            .key = key,
        };
        port->users++;
        *handle = make_handle(cq->index, cq->generation);
    }
    core_leave(core);
    return error;
}

int rio_resize_completion_queue(rio_core *core, uint64_t handle, uint32_t size) {
    if (size < 1 || size > CQ_SIZE_MAX)
        return RIO_E_INVAL;
    int error = core_enter(core);
    if (error)
        return error;
    struct completion_queue *cq = cq_find(core, handle);
    if (!cq)
        error = RIO_E_INVAL;
    else if (size < cq->charged)
        error = RIO_E_TOOMANYREFS;
    else
        cq->capacity = size;
    core_leave(core);
    return error;
}

int rio_completion_queue_usage(rio_core *core, uint64_t handle, uint32_t *capacity, uint32_t *charged) {
    int error = core_enter(core);
    if (error)
        return error;
    struct completion_queue *cq = cq_find(core, handle);
    if (cq) {
        *capacity = cq->capacity;
        *charged = cq->charged;
    }
    core_leave(core);
    return cq ? 0 : RIO_E_INVAL;
}

/* Gives the place back when the queue is closed and no request queue refers to it. */
void cq_release(rio_core *core, struct completion_queue *cq) {
    if (!cq->is_closed || cq->queues)
        return;
    free(cq->entries);
    cq->entries = NULL;
    cq->next_free = core->free_cq;
    core->free_cq = cq;
}

static void drop(rio_core *core, const struct completion *completion) {
    buffer_release(core, completion->buffer);
    buffer_release(core, completion->address_buffer);
    core->requests_outstanding--;
    rq_credit(core, completion->queue, completion->direction);
}

int rio_close_completion_queue(rio_core *core, uint64_t handle) {
    int error = core_enter(core);
    if (error)
        return error;
    struct completion_queue *cq = cq_find(core, handle);
    if (cq) {
        cq->queues++; /* held while we drop: the last credit may release it */
        cq->is_closed = true;
        cq->is_armed = false;
        port_forget(core, cq);
        port_leave(core, slab_at(&core->ports, cq->port));
        for (; cq->count; cq->count--) {
            drop(core, &cq->entries[cq->first]);
            cq->first = (cq->first + 1) % cq->room;
        }
        cq->queues--;
        cq_release(core, cq);
    }
    core_leave(core);
    return 0;
}

static void fire(rio_core *core, struct completion_queue *cq) {
    uint64_t one = 1;
    cq->is_armed = false;
    if (cq->notification == PORT) {
        port_post(core, cq);
    } else {
        ssize_t written = write(cq->event_fd, &one, sizeof one);
        (void)written; /* EAGAIN: the counter is at its top, so the event is set */
        port_wake(core, cq->port);
    }
}

void cq_push(rio_core *core, struct completion_queue *cq, const struct completion *completion) {
    if (cq->is_closed) {
        drop(core, completion);
        return;
    }
    assert(cq->count < cq->room);
    cq->entries[(cq->first + cq->count) % cq->room] = *completion;
    cq->count++;
    if (completion->qualifies) {
        cq->qualifying++;
        if (cq->is_armed)
            fire(core, cq);
    }
}

int64_t rio_dequeue(rio_core *core, uint64_t handle, rio_result *results, uint32_t limit) {
    int error = core_enter(core);
    if (error)
        return -error;
    struct completion_queue *cq = cq_find(core, handle);
    if (!cq) {
        core_leave(core);
        return -RIO_E_INVAL;
    }
    if (!cq->count) {
        /* A caller that polls must come to see everything: read the ring, and enter the kernel only when it says that
         * results wait there, or when a request became ready to start outside of a wait. */
        bool nobody_waits = cq->notification != PORT;
        if (core_is_owner(core) && (core->must_submit || (nobody_waits && ring_needs_enter(&core->ring))))
            ring_flush(core);
        ring_reap(core);
    }
    uint32_t taken = 0;
    int64_t any_error = 0;
    for (; taken < limit && cq->count; taken++) {
        struct completion *completion = &cq->entries[cq->first];
        results[taken] = completion->result;
        if (completion->result.status)
            any_error = 1LL << 32;
        cq->first = cq->first + 1 == cq->room ? 0 : cq->first + 1;
        cq->count--;
        cq->qualifying -= completion->qualifies;
        drop(core, completion);
    }
    core_leave(core);
    return taken | any_error;
}

int rio_notify(rio_core *core, uint64_t handle) {
    int error = core_enter(core);
    if (error)
        return error;
    struct completion_queue *cq = cq_find(core, handle);
    if (!cq || cq->notification == POLLED) {
        error = RIO_E_INVAL;
    } else if (cq->is_armed) {
        error = RIO_E_ALREADY;
    } else {
        uint64_t ignored;
        if (cq->notification == EVENT && cq->notify_reset) {
            ssize_t taken = read(cq->event_fd, &ignored, sizeof ignored);
            (void)taken; /* EAGAIN: it was not set */
        }
        cq->is_armed = true;
        if (cq->qualifying)
            fire(core, cq);
    }
    core_leave(core);
    return error;
}
