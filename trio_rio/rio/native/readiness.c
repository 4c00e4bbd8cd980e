/* Readiness waits: an epoll set beside the ring, whose own descriptor is polled on the ring.
 *
 * Facts. POLL_ADD on the ring holds its file until it ends, so a descriptor that is closed meanwhile does not close for
 * its peer; it takes regular files, and reports POLLRDHUP whatever it is asked for. An epoll set holds no file: what is
 * closed leaves it, and reports nothing. It refuses regular files with EPERM. It knows a file by its number *and* the
 * open file behind it, so a new file under an old number has to be added; the old one, if it is open under another
 * number too, stays in the set and goes on reporting under the old number [epoll(7)].
 * Consequence. Waits in an epoll set are no obstacle to a close. What is registered must be checked anew with each
 * wait, since a number changes its file without notice.
 * Decision. All waits for a descriptor share one registration, one-shot, which each wait that comes, ends or is
 * cancelled changes at once, from any thread: EPOLL_CTL_MOD, or, where that does not find the file, EPOLL_CTL_ADD under
 * a new generation; what reports under an old one is not heard. The wake-up descriptor is in the set for good. A
 * wait for the ring has the ring poll the set; while the ring has nothing of its own to bring, the owner waits at the
 * set itself (port.c), which costs what a loop on epoll costs.
 */
#include "core.h"

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 32
#define WATCHES_IN_BLOCK 64u
#define NR_EPOLL_PWAIT2 441 /* the same on every architecture but alpha; Linux 5.11 */
#define WAKE_UP UINT64_MAX  /* in an event: the wake-up descriptor */

/* Looks that find nothing before the ring is to tell of the set: from then on a look costs no system call. */
#define LOOKS_IN_VAIN_MAX 4

/* ---- the table, by number ---- */

/* NULL: there was none, or, with `makes`, there is no memory for one. */
static struct watch *watch_at(rio_core *core, uint32_t fd, bool makes) {
    struct watch_table *table = &core->watches;
    uint32_t block = fd / WATCHES_IN_BLOCK;
    if (block >= table->block_count) {
        if (!makes)
            return NULL;
        uint32_t count = block >= 2 * table->block_count ? block + 1 : 2 * table->block_count;
        struct watch **blocks = realloc(table->blocks, count * sizeof *blocks);
        if (!blocks)
            return NULL;
        memset(blocks + table->block_count, 0, (count - table->block_count) * sizeof *blocks);
        table->blocks = blocks;
        table->block_count = count;
    }
    if (!table->blocks[block] && makes)
        table->blocks[block] = calloc(WATCHES_IN_BLOCK, sizeof(struct watch));
    return table->blocks[block] ? &table->blocks[block][fd % WATCHES_IN_BLOCK] : NULL;
}

void watches_free(struct watch_table *table) {
    for (uint32_t i = 0; i < table->block_count; i++)
        free(table->blocks[i]);
    free(table->blocks);
    *table = (struct watch_table){0};
}

/* ---- registrations ---- */

static void note_armed(rio_core *core, struct watch *watch, uint32_t mask) {
    core->watches_armed += (mask != 0) - (watch->armed != 0);
    watch->armed = mask;
}

/* Has the set report what is waited for, if it does not already. 0 or -errno. */
static int update(rio_core *core, int fd, struct watch *watch) {
    uint32_t wanted = 0;
    for (const struct op *op = watch->waits.first; op; op = op->next)
        wanted |= op->poll_mask;
    if (wanted == watch->armed)
        return 0;
    struct epoll_event event = {.events = wanted | EPOLLONESHOT};
    event.data.u64 = make_handle((uint32_t)fd, watch->generation);
    note_armed(core, watch, 0);
    if (!watch->is_known || epoll_ctl(core->epoll_fd, EPOLL_CTL_MOD, fd, &event)) {
        watch->is_known = false;
        if (!wanted)
            return 0;
        event.data.u64 = make_handle((uint32_t)fd, ++watch->generation);
        if (epoll_ctl(core->epoll_fd, EPOLL_CTL_ADD, fd, &event) &&
            (errno != EEXIST || epoll_ctl(core->epoll_fd, EPOLL_CTL_MOD, fd, &event)))
            return -errno;
        watch->is_known = true;
    }
    note_armed(core, watch, wanted);
    return 0;
}

static void end(rio_core *core, struct watch *watch, struct op *op, int32_t result) {
    list_remove(&watch->waits, op);
    op->state = OP_READY;
    op->poll_result = result;
    list_append(&core->polls_ready, op);
    port_announce(core, 0);
}

/* The same; where that fails, every wait for the descriptor ends with the error. */
static int update_or_end(rio_core *core, int fd, struct watch *watch) {
    int error = update(core, fd, watch);
    while (error && watch->waits.first)
        end(core, watch, watch->waits.first, error);
    return error;
}

static void on_event(rio_core *core, const struct epoll_event *event) {
    uint32_t fd = (uint32_t)event->data.u64, events = event->events;
    if (event->data.u64 == WAKE_UP) {
        uint64_t count;
        ssize_t size = read(core->wake_fd, &count, sizeof count);
        (void)size; /* EAGAIN: taken already */
        return;
    }
    struct watch *watch = watch_at(core, fd, false);
    if (!watch || make_handle(fd, watch->generation) != event->data.u64)
        return; /* of a file that had the number before */
    note_armed(core, watch, 0);
    for (struct op *op = watch->waits.first, *next; op; op = next) {
        next = op->next;
        if (events & (op->poll_mask | EPOLLERR | EPOLLHUP)) /* an error is for all */
            end(core, watch, op, (int32_t)events);
    }
    update_or_end(core, (int)fd, watch);
}

/* ---- the set ---- */

int set_open(rio_core *core) {
    struct epoll_event event = {.events = EPOLLIN};
    event.data.u64 = WAKE_UP;
    core->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (core->epoll_fd < 0 || epoll_ctl(core->epoll_fd, EPOLL_CTL_ADD, core->wake_fd, &event))
        return -errno;
    if (!(core->set_poll = op_new(core, KIND_SET)))
        return -ENOMEM;
    core->set_poll->fd = core->epoll_fd;
    core->set_poll->poll_mask = POLLIN;
    core->set_poll->state = OP_WAITING;
    return 0;
}

bool set_is_polled(const rio_core *core) { return core->set_poll->state != OP_WAITING; }

void set_poll(rio_core *core) {
    if (set_is_polled(core) || core->is_draining)
        return;
    core->looks_in_vain = 0;
    core->set_poll->state = OP_STAGED;
    list_append(&core->staged, core->set_poll);
    core->must_submit = true;
}

void set_look(rio_core *core) {
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(core->epoll_fd, events, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < count; i++)
        on_event(core, &events[i]);
    if (count > 0)
        core->looks_in_vain = 0;
    else if (++core->looks_in_vain == LOOKS_IN_VAIN_MAX)
        set_poll(core);
}

static int wait_for_events(int epoll_fd, struct epoll_event *events, int64_t left) {
    struct timespec time = {left / 1000000000, left % 1000000000};
    int count = (int)syscall(NR_EPOLL_PWAIT2, epoll_fd, events, EVENTS_AT_ONCE, left < 0 ? NULL : &time, NULL, 0);
    if (count < 0 && errno != EINTR) { /* a filter that does not know the call */
        int64_t ms = (left + 999999) / 1000000;
        count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, left < 0 ? -1 : ms < INT_MAX ? (int)ms : INT_MAX);
    }
    return count < 0 ? -errno : count;
}

int set_wait(rio_core *core, int64_t left) {
    struct epoll_event events[EVENTS_AT_ONCE];
    core->is_owner_waiting = true;
    core_step_out(core);
    int count = wait_for_events(core->epoll_fd, events, left);
    int error = core_step_in(core);
    if (error)
        return error;
    core->is_owner_waiting = false;
    core->looks_in_vain = 0;
    for (int i = 0; i < count; i++)
        on_event(core, &events[i]);
    return count < 0 ? count : 0;
}

/* ---- what Python calls ---- */

int64_t rio_poll_add(rio_core *core, int fd, uint32_t mask) {
    if (fd < 0 || core_enter(core))
        return -EBADF;
    int64_t token = -ENOMEM;
    struct watch *watch = watch_at(core, (uint32_t)fd, true);
    struct op *op = watch ? op_new(core, KIND_POLL) : NULL;
    if (op) {
        op->fd = fd;
        op->poll_mask = mask;
        op->state = OP_WAITING;
        list_append(&watch->waits, op);
        token = update(core, fd, watch);
        if (token) {
            list_remove(&watch->waits, op);
            op_free(core, op);
            update_or_end(core, fd, watch); /* the others find out too */
        } else {
            token = (int64_t)make_handle(op->index, op->generation);
        }
    }
    core_leave(core);
    return token;
}

int rio_poll_remove(rio_core *core, uint64_t token) {
    int error = core_enter(core);
    if (error)
        return error;
    struct op *op = slab_at(&core->ops, (uint32_t)token);
    if (op && op->kind == KIND_POLL && op->generation == token >> 32) {
        if (op->state == OP_READY) {
            list_remove(&core->polls_ready, op);
            op_free(core, op);
        } else if (op->state == OP_WAITING) {
            struct watch *watch = watch_at(core, (uint32_t)op->fd, false);
            int fd = op->fd;
            list_remove(&watch->waits, op);
            op_free(core, op);
            update_or_end(core, fd, watch);
        }
    }
    core_leave(core);
    return 0;
}
