/* The port: where results become packets, and how threads wait for them.
 *
 * Facts. One io_uring_enter(2) both submits and waits. It reports a timeout or a signal only if it submitted nothing. A
 * pending completion makes the ring's descriptor readable, for poll(2) in any thread.
 * Consequence. A tick of an event loop costs at most one system call, and none when nothing is staged and the time
 * is 0. Whether the time is over must be read from a clock.
 * Decision. rio_wait() in the owner submits what is staged in the call that waits, goes on waiting while what came
 * concerns no port, and never returns 0 before the time is over. Where the ring is idle it waits at the epoll set.
 * Any other thread polls an eventfd of its port, and ring and set too unless the owner does that already; when the last
 * thread that watches the ring leaves, the waiting threads are told. Waiting happens without the lock, so that other
 * threads may post meanwhile.
 */
#include "core.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ---- ports ---- */

struct port *port_find(rio_core *core, uint64_t handle) {
    struct port *port = slab_at(&core->ports, (uint32_t)handle);
    return port && port->generation == handle >> 32 && !port->is_closed ? port : NULL;
}

int rio_port_create(rio_core *core, uint64_t *handle) {
    uint32_t index;
    int error = core_enter(core);
    if (error)
        return error;
    struct port *port = core->free_port;
    if (port) {
        core->free_port = port->next_free;
    } else if (!slab_add(&core->ports, &index)) {
        port = slab_at(&core->ports, index);
        port->index = index;
    }
    if (port) {
        uint32_t generation = (port->generation + 1) & 0x7fffffff;
        *port = (struct port){.index = port->index, .generation = generation + (generation == 0)};
        *handle = make_handle(port->index, port->generation);
    }
    core_leave(core);
    return port ? 0 : RIO_E_NOBUFS;
}

/* Gives the place back when the port is closed and nothing refers to it. */
static void release(rio_core *core, struct port *port) {
    if (!port->is_closed || port->users)
        return;
    if (port->has_event)
        close(port->event_fd);
    port->has_event = false;
    port->next_free = core->free_port;
    core->free_port = port;
}

void port_leave(rio_core *core, struct port *port) {
    port->users--;
    release(core, port);
}

int rio_port_close(rio_core *core, uint64_t handle) {
    int error = core_enter(core);
    if (error)
        return error;
    struct port *port = port_find(core, handle);
    if (port && port->index) {
        port->is_closed = true;
        port_wake(core, port->index);
        release(core, port);
    } else {
        error = RIO_E_INVAL; /* the first is the core's own */
    }
    core_leave(core);
    return error;
}

/* ---- packets ---- */

void port_announce(rio_core *core, uint32_t index) {
    struct port *port = slab_at(&core->ports, index);
    uint64_t one = 1;
    if (port->has_event) {
        ssize_t written = write(port->event_fd, &one, sizeof one);
        (void)written; /* EAGAIN: it is readable already */
    }
    nudge_owner(core);
}

void ports_announce(rio_core *core) {
    for (uint32_t i = 0; i < core->ports.used; i++)
        port_announce(core, i);
}

void port_wake(rio_core *core, uint32_t index) {
    struct port *port = slab_at(&core->ports, index);
    port->is_woken = true;
    port_announce(core, index);
}

void port_post(rio_core *core, struct completion_queue *cq) {
    struct port *port = slab_at(&core->ports, cq->port);
    port_announce(core, cq->port);
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

static bool has_news(const rio_core *core, uint32_t index) {
    const struct port *port = slab_at(&core->ports, index);
    return port->first || port->is_woken || (index == 0 && core->polls_ready.first);
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
    if (taken < limit && port->is_woken) {
        port->is_woken = port->is_closed; /* for each that waits */
        events[taken++] = (rio_event){RIO_EVENT_WAKE, 0, 0};
    }
    return taken;
}

/* ---- waiting ---- */

/* A thread has stopped watching the ring. If it was the last, the waiting threads must watch: one of two at a port may
 * have read what the owner told both. */
static void watch_over(rio_core *core) {
    if (core->others_waiting && !core->others_watching && !core->is_owner_waiting)
        ports_announce(core);
}

/* How long the kernel may go on having no memory for requests: the caller hears of it only then. */
#define REFUSED_MAX_NS 5000000000LL

/* It had none: 0, and the caller may try again, or the error when that has gone on for too long. */
static int bear_with(rio_core *core, int error) {
    int64_t now = now_ns();
    if (!core->refused_since_ns)
        core->refused_since_ns = now;
    return now - core->refused_since_ns < REFUSED_MAX_NS ? 0 : error;
}

/* Prepares what is staged. 0; 1: the kernel has no room for more now; or -errno. */
static int fill(rio_core *core) {
    while (!ring_fill(core)) {
        int error = ring_flush(core);
        if (ring_is_short(error))
            return bear_with(core, error) ? error : 1;
        if (error)
            return error == -EBUSY ? 1 : error;
    }
    return 0;
}

/* Whether the ring has nothing to take, and nothing to bring but what the epoll set has. */
static bool is_ring_idle(const rio_core *core) {
    return core->in_kernel == core->own_in_kernel && !ring_prepared(&core->ring) && !ring_needs_enter(&core->ring);
}

static int wait_at_set(rio_core *core, int64_t left) {
    core->refused_since_ns = 0; /* nothing is left that could be refused */
    if (left == 0) {
        if (core->watches_armed && !set_is_polled(core))
            set_look(core);
        return 0;
    }
    int error = set_wait(core, left);
    if (error > 0)
        return error;
    watch_over(core);
    return ring_reap(core) ? 0 : error;
}

/* One look, or one wait of at most `left` nanoseconds, in the owner. 0, -errno, or a code: then the lock is gone. */
static int wait_in_owner(rio_core *core, uint32_t index, int64_t left) {
    int filled = left == 0 && datagrams_rest(core) ? 0 : fill(core);
    if (!filled && !is_ring_idle(core) && !set_is_polled(core)) {
        set_poll(core);
        filled = fill(core);
    }
    if (filled)
        return filled < 0 ? filled : 0;
    if (has_news(core, index)) /* datagrams went past the ring */
        left = 0;
    if (is_ring_idle(core))
        return wait_at_set(core, left);
    uint32_t submit = ring_prepared(&core->ring);
    if (left == 0 && !submit && !ring_needs_enter(&core->ring))
        return 0;
    ring_publish(&core->ring);
    core->is_owner_waiting = left != 0; /* a look without a wait misses nothing, and need not announce its end */
    core->is_owner_submitting = true;
    core_step_out(core);
    int taken = ring_enter(&core->ring, submit, left ? 1 : 0, left);
    int error = core_step_in(core);
    if (error)
        return error;
    core->is_owner_waiting = core->is_owner_submitting = false;
    if (left)
        watch_over(core);
    uint32_t reaped = ring_reap(core);
    if (taken == -ETIME || taken == -EBUSY || reaped)
        return 0;
    if (ring_is_short(taken)) {
        usleep(1000);
        return bear_with(core, taken);
    }
    core->refused_since_ns = 0;
    /* Entries were taken, nothing came, and the kernel came back: the time is over, or a signal. The caller's clock
     * tells which. */
    return taken > 0 && left ? -EINTR : taken < 0 ? taken : 0;
}

/* Makes the port's event unreadable, or makes the event. It is written again when there is news. */
static int reset_event(struct port *port) {
    uint64_t ignored;
    if (port->has_event) {
        ssize_t size = read(port->event_fd, &ignored, sizeof ignored);
        (void)size; /* EAGAIN: it was not written */
        return 0;
    }
    port->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (port->event_fd < 0)
        return -errno;
    port->has_event = true;
    return 0;
}

/* The same in a thread that is not the owner. */
static int wait_elsewhere(rio_core *core, uint32_t index, int64_t left) {
    struct port *port = slab_at(&core->ports, index);
    bool is_set_readable = index == 0;
    if (left) {
        struct timespec time = {left / 1000000000, left % 1000000000};
        bool watches_ring = !core->is_owner_waiting;
        int error = reset_event(port);
        if (error)
            return error;
        struct pollfd watched[] = {
            {port->event_fd, POLLIN, 0}, {core->ring.fd, POLLIN, 0}, {core->epoll_fd, POLLIN, 0}};
        core->others_waiting++;
        core->others_watching += watches_ring;
        core_step_out(core);
        int ready = ppoll(watched, watches_ring ? 3 : 1, left < 0 ? NULL : &time, NULL);
        int result = ready < 0 ? -errno : 0;
        if ((error = core_step_in(core)))
            return error;
        core->others_waiting--;
        core->others_watching -= watches_ring;
        if (watches_ring)
            watch_over(core);
        if (result)
            return result;
        is_set_readable = watched[2].revents;
    }
    if (core->is_owner_waiting)
        return 0;
    if (ring_needs_enter(&core->ring))
        ring_enter(&core->ring, 0, 0, 0); /* moves completions in that had no room */
    ring_reap(core);
    if (is_set_readable)
        set_look(core);
    return 0;
}

/* A signal that comes between two sleeps ends neither of them, so the caller must get to look from time to time. */
#define ROUNDS_MAX 64

/* Waits until there is news at the port or the time is over. 0, -errno, or a code: then the lock is gone. */
static int wait_for_news(rio_core *core, uint32_t port, int64_t timeout_ns) {
    int64_t end = timeout_ns > 0 ? now_ns() + timeout_ns : 0, left = timeout_ns;
    bool is_owner = core_is_owner(core);
    int rounds = 0;
    ring_reap(core);
    do {
        if (rounds++ == ROUNDS_MAX)
            return -EINTR;
        int64_t time = has_news(core, port) ? 0 : left;
        int error = is_owner ? wait_in_owner(core, port, time) : wait_elsewhere(core, port, time);
        if (timeout_ns > 0 && (error || !has_news(core, port))) {
            left = end - now_ns();
            left = left < 0 ? 0 : left;
        }
        if (error && !(error == -EINTR && left == 0))
            return error;
    } while (!has_news(core, port) && left);
    return 0;
}

int rio_wait(rio_core *core, uint64_t handle, int64_t timeout_ns, rio_event *events, uint32_t limit) {
    if (core_enter(core))
        return -EBADF;
    int result = -EINVAL;
    struct port *port = port_find(core, handle);
    if (port) {
        port->users++;
        result = wait_for_news(core, port->index, timeout_ns > TIMEOUT_MAX ? -1 : timeout_ns);
        if (result > 0)
            return -EBADF; /* closed meanwhile */
        if (!result)
            result = (int)take_events(core, port->index, events, limit);
        port_leave(core, port);
    }
    core_leave(core);
    return result;
}

int rio_wake(rio_core *core, uint64_t handle) {
    uint64_t one = 1;
    int error = core_enter(core);
    if (error)
        return error;
    struct port *port = port_find(core, handle);
    if (port) {
        port_wake(core, port->index);
        /* Also for threads that watch this descriptor themselves. */
        ssize_t written = write(core->wake_fd, &one, sizeof one);
        (void)written; /* EAGAIN: woken more often than a counter can hold, so woken */
    } else {
        error = RIO_E_INVAL;
    }
    core_leave(core);
    return error;
}

int rio_flush(rio_core *core, int only_cancels) {
    int error = core_enter(core);
    if (error)
        return error;
    if (!only_cancels || core->cancels.first) {
        core->must_submit = true;
        if (core_is_owner(core))
            error = ring_flush(core);
        nudge_owner(core);
    }
    core_leave(core);
    return error;
}
