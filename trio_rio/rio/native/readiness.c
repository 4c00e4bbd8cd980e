/* Readiness waits: poll(2) on the ring, and where that cannot serve, on an epoll set beside it.
 *
 * Facts. A one-shot POLL_ADD holds its file until it ends. poll(2) says that a regular file is always ready,
 * where epoll(7) refuses it with EPERM. POLL_ADD cannot be told to ignore POLLRDHUP: once the peer has shut
 * down sending, a wait for writability ends at once, writable or not (Linux 5.1 to 6.18).
 * Consequence. Whoever waits for writability of such a socket would spin. epoll reports only what it was asked
 * for, and errors.
 * Decision. A wait for writability that ends with nothing but POLLRDHUP goes on in an epoll set, whose own
 * descriptor is polled on the ring while there is such a wait. The same set tells what epoll refuses.
 */
#include "core.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define EPOLL_EVENTS_AT_ONCE 16

/* What epoll would say of this file: 0, -EPERM for one that cannot be waited for, -EBADF. */
static int refusal(rio_core *core, int fd) {
    struct stat status;
    struct epoll_event event = {.events = EPOLLONESHOT};
    if (fstat(fd, &status))
        return -errno;
    if (S_ISSOCK(status.st_mode) || S_ISFIFO(status.st_mode))
        return 0;
    if (epoll_ctl(core->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return errno == EEXIST ? 0 : -errno;
    epoll_ctl(core->epoll_fd, EPOLL_CTL_DEL, fd, &event);
    return 0;
}

int64_t rio_poll_add(rio_core *core, int fd, uint32_t mask) {
    int error = core_enter(core);
    if (error)
        return -EBADF;
    struct op *op = NULL;
    int64_t token = refusal(core, fd);
    if (!token && !(op = op_new(core, KIND_POLL)))
        token = -ENOMEM;
    if (op) {
        op->fd = fd;
        op->poll_mask = mask;
        op->state = OP_STAGED;
        list_append(&core->staged, op);
        token = (int64_t)make_handle(op->index, op->generation);
        nudge_owner(core);
    }
    core_leave(core);
    return token;
}

static void ready(rio_core *core, struct op *op, int32_t result) {
    op->state = OP_READY;
    op->poll_result = result;
    list_append(&core->polls_ready, op);
    port_announce(core, 0);
}

/* Polls the epoll set on the ring, if it is not polled already. False without memory. */
static bool arm_epoll(rio_core *core) {
    if (core->epoll_is_armed)
        return true;
    struct op *op = op_new(core, KIND_EPOLL);
    if (!op)
        return false;
    op->fd = core->epoll_fd;
    op->poll_mask = POLLIN;
    op->state = OP_STAGED;
    list_append(&core->staged, op);
    core->epoll_is_armed = true;
    core->must_submit = true;
    return true;
}

static void leave_epoll(rio_core *core, struct op *op) {
    struct epoll_event event = {0};
    epoll_ctl(core->epoll_fd, EPOLL_CTL_DEL, op->fd, &event);
    core->epoll_waits--;
}

static void go_on_in_epoll(rio_core *core, struct op *op) {
    struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT,
                                .data.u64 = make_handle(op->index, op->generation)};
    epoll_ctl(core->epoll_fd, EPOLL_CTL_DEL, op->fd, &event); /* left over, if the file was closed without us */
    if (epoll_ctl(core->epoll_fd, EPOLL_CTL_ADD, op->fd, &event)) {
        ready(core, op, -errno);
        return;
    }
    op->state = OP_IN_EPOLL;
    core->epoll_waits++;
    if (!arm_epoll(core)) {
        leave_epoll(core, op);
        ready(core, op, -ENOMEM);
    }
}

void epoll_is_readable(rio_core *core) {
    struct epoll_event events[EPOLL_EVENTS_AT_ONCE];
    core->epoll_is_armed = false;
    int count = epoll_wait(core->epoll_fd, events, EPOLL_EVENTS_AT_ONCE, 0);
    for (int i = 0; i < count; i++) {
        struct op *op = slab_at(&core->ops, (uint32_t)events[i].data.u64);
        if (op && op->state == OP_IN_EPOLL && make_handle(op->index, op->generation) == events[i].data.u64) {
            leave_epoll(core, op);
            ready(core, op, (int32_t)events[i].events);
        }
    }
    if (core->epoll_waits && !core->is_draining)
        arm_epoll(core); /* the operation that ended has left its place */
}

/* The ring's answer to a wait. */
void poll_finish(rio_core *core, struct op *op, int32_t result) {
    if (op->is_orphan)
        op_free(core, op);
    else if (result > 0 && op->poll_mask == POLLOUT && !(result & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)))
        go_on_in_epoll(core, op);
    else
        ready(core, op, result);
}

int rio_poll_remove(rio_core *core, uint64_t token) {
    int error = core_enter(core);
    if (error)
        return error;
    struct op *op = slab_at(&core->ops, (uint32_t)token);
    if (op && op->kind == KIND_POLL && op->generation == token >> 32) {
        switch (op->state) {
        case OP_IN_KERNEL:
            op->is_orphan = true;
            op->state = OP_CANCELLING;
            list_append(&core->cancels, op);
            break;
        case OP_STAGED:
            list_remove(&core->staged, op);
            op_free(core, op);
            break;
        case OP_READY:
            list_remove(&core->polls_ready, op);
            op_free(core, op);
            break;
        case OP_IN_EPOLL:
            leave_epoll(core, op);
            op_free(core, op);
            break;
        default: /* over, or being cancelled */
            break;
        }
        nudge_owner(core);
    }
    core_leave(core);
    return 0;
}
