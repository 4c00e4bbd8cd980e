/* A core: one ring with everything that hangs on it, and the rules of which thread may touch it.
 *
 * Facts. Memory mapped MADV_WIPEONFORK reads as zero in a forked child (Linux 4.14). The ring's mappings are not there
 * at all in the child. The address of a thread-local variable is different in every living thread.
 * Consequence. Whether we are in the process and the thread that made the core costs one memory read each, and no
 * system call.
 * Decision. Every public function goes through core_enter(): first the guard (before the lock, which another thread
 * may have held at the moment of the fork), then the lock. A thread that waits in the kernel leaves the lock, and is
 * counted: the thread that closes the core wakes it and lets it go first.
 */
#include "core.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static __thread char thread_marker;

bool core_is_owner(const rio_core *core) { return core->owner == &thread_marker; }

int rio_core_is_usable(rio_core *core) {
    /* In this order: a core that is being closed gives its guard away after it says that it is closed. */
    bool is_ours = __atomic_load_n(core->guard, __ATOMIC_ACQUIRE) == GUARD_ALIVE;
    if (__atomic_load_n(&core->is_closed, __ATOMIC_ACQUIRE))
        return RIO_E_CLOSED;
    return is_ours ? 0 : RIO_E_FORKED;
}

int core_enter(rio_core *core) {
    int error = rio_core_is_usable(core);
    if (error)
        return error;
    pthread_mutex_lock(&core->lock);
    if (core->is_closed) {
        pthread_mutex_unlock(&core->lock);
        return RIO_E_CLOSED;
    }
    return 0;
}

void core_leave(rio_core *core) { pthread_mutex_unlock(&core->lock); }

void core_step_out(rio_core *core) {
    core->inside++;
    core_leave(core);
}

int core_step_in(rio_core *core) {
    pthread_mutex_lock(&core->lock);
    core->inside--;
    if (!core->is_closed)
        return 0;
    pthread_cond_broadcast(&core->left);
    pthread_mutex_unlock(&core->lock);
    return RIO_E_CLOSED;
}

/* ---- slabs ---- */

void *slab_at(const struct slab *slab, uint32_t index) {
    if (index >= slab->used)
        return NULL;
    return slab->blocks[index / SLAB_BLOCK] + (size_t)(index % SLAB_BLOCK) * slab->item_size_bytes;
}

int slab_add(struct slab *slab, uint32_t *index) {
    if (slab->used == slab->block_count * SLAB_BLOCK) {
        char **blocks = realloc(slab->blocks, (slab->block_count + 1) * sizeof *blocks);
        if (!blocks)
            return -ENOMEM;
        slab->blocks = blocks;
        blocks[slab->block_count] = calloc(SLAB_BLOCK, slab->item_size_bytes);
        if (!blocks[slab->block_count])
            return -ENOMEM;
        slab->block_count++;
    }
    *index = slab->used++;
    return 0;
}

static void slab_free(struct slab *slab) {
    for (uint32_t i = 0; i < slab->block_count; i++)
        free(slab->blocks[i]);
    free(slab->blocks);
    memset(slab, 0, sizeof *slab);
}

/* ---- lists ---- */

void list_append(struct op_list *list, struct op *op) {
    op->next = NULL;
    op->previous = list->last;
    if (list->last)
        list->last->next = op;
    else
        list->first = op;
    list->last = op;
}

void list_remove(struct op_list *list, struct op *op) {
    if (op->previous)
        op->previous->next = op->next;
    else
        list->first = op->next;
    if (op->next)
        op->next->previous = op->previous;
    else
        list->last = op->previous;
    op->next = op->previous = NULL;
}

/* ---- operations ---- */

struct op *op_new(rio_core *core, enum kind kind) {
    struct op *op = core->free_op;
    if (op) {
        core->free_op = op->next;
    } else {
        uint32_t index;
        if (slab_add(&core->ops, &index))
            return NULL;
        op = slab_at(&core->ops, index);
        op->index = index;
        op->generation = 1;
    }
    op->next = op->previous = op->behind = NULL;
    op->kind = kind;
    op->is_cancel_sent = op->is_tried_again = false;
    return op;
}

void op_free(rio_core *core, struct op *op) {
    assert(op->state != OP_FREE);
    op->state = OP_FREE;
    op->generation = (op->generation + 1) & 0xfffffff; /* the 28 bits that user_data has room for */
    op->generation += op->generation == 0;
    op->next = core->free_op;
    core->free_op = op;
}

uint64_t op_user_data(const struct op *op) {
    return (uint64_t)op->kind << 60 | (uint64_t)op->generation << 32 | op->index;
}

/* ---- open and close ---- */

static int open_descriptors(rio_core *core, const char **failed_step) {
    *failed_step = "eventfd";
    core->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (core->wake_fd < 0)
        return -errno;
    *failed_step = "epoll_create1";
    int error = set_open(core);
    if (error)
        return error;
    *failed_step = "mmap of the fork guard";
    core->guard = mmap(NULL, sizeof *core->guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (core->guard == MAP_FAILED) {
        core->guard = NULL;
        return -errno;
    }
    if (madvise(core->guard, sizeof *core->guard, MADV_WIPEONFORK))
        return -errno;
    *core->guard = GUARD_ALIVE;
    return 0;
}

static void close_descriptors(rio_core *core) {
    if (core->ring.fd >= 0)
        close(core->ring.fd);
    if (core->wake_fd >= 0)
        close(core->wake_fd);
    if (core->epoll_fd >= 0)
        close(core->epoll_fd);
    core->ring.fd = core->wake_fd = core->epoll_fd = -1;
    for (uint32_t i = 0; i < core->ports.used; i++) {
        struct port *port = slab_at(&core->ports, i);
        if (port->has_event)
            close(port->event_fd);
        port->has_event = false;
    }
}

static void free_all(rio_core *core) {
    close_descriptors(core);
    ring_close(&core->ring);
    for (uint32_t i = 0; i < core->completion_queues.used; i++) {
        struct completion_queue *cq = slab_at(&core->completion_queues, i);
        free(cq->entries);
    }
    watches_free(&core->watches);
    slab_free(&core->ops);
    slab_free(&core->buffers);
    slab_free(&core->completion_queues);
    slab_free(&core->request_queues);
    slab_free(&core->ports);
}

int rio_core_open(rio_core **result, uint32_t entries, uint32_t withhold, const char **failed_step) {
    uint32_t index;
    *result = NULL;
    *failed_step = "memory";
    rio_core *core = calloc(1, sizeof *core);
    if (!core)
        return -ENOMEM;
    core->ring.fd = core->wake_fd = core->epoll_fd = -1;
    core->ops.item_size_bytes = sizeof(struct op);
    core->buffers.item_size_bytes = sizeof(struct buffer);
    core->completion_queues.item_size_bytes = sizeof(struct completion_queue);
    core->request_queues.item_size_bytes = sizeof(struct request_queue);
    core->ports.item_size_bytes = sizeof(struct port);
    core->owner = &thread_marker;
    pthread_mutex_init(&core->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&core->left, &attributes);
    pthread_condattr_destroy(&attributes);
    /* Slot 0 of buffers means "none", and port 0 is the core's own. */
    int error = slab_add(&core->buffers, &index) || slab_add(&core->ports, &index) ? -ENOMEM : 0;
    if (!error)
        error = ring_open(&core->ring, entries, withhold, failed_step);
    if (!error)
        error = open_descriptors(core, failed_step);
    if (!error) {
        *failed_step = "io_uring_enter"; /* a filter may let rings be made, and refuse to have them entered */
        set_poll(core);
        error = ring_flush(core);
    }
    if (error) {
        if (core->guard)
            munmap(core->guard, sizeof *core->guard);
        free_all(core);
        free(core);
        return error;
    }
    *result = core;
    return 0;
}

int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void cancel_all(rio_core *core) {
    for (uint32_t i = 0; i < core->request_queues.used; i++)
        ((struct request_queue *)slab_at(&core->request_queues, i))->is_closed = true; /* start nothing more */
    for (uint32_t i = 0; i < core->ops.used; i++) {
        struct op *op = slab_at(&core->ops, i);
        if (op->state == OP_STAGED && op->kind != KIND_REQUEST) {
            list_remove(&core->staged, op);
            op->state = OP_WAITING;
        } else if (op->kind == KIND_REQUEST && op->state != OP_FREE) {
            request_cancel(core, op);
        } else if (op->state == OP_IN_KERNEL) {
            op->state = OP_CANCELLING;
            list_append(&core->cancels, op);
        }
    }
}

/* Ends everything and waits until the kernel has answered each operation, or the time is over. */
static void drain(rio_core *core, int64_t end) {
    core->is_draining = true;
    cancel_all(core);
    while (core->in_kernel) {
        int64_t left = end - now_ns();
        int error = left > 0 ? ring_flush(core) : -ETIME;
        if (error && !ring_is_short(error) && error != -EBUSY)
            return; /* the time is over, or the ring's descriptor was closed */
        if (ring_is_short(error)) {
            ring_withdraw(core, NULL);
            ring_cancel_all(&core->ring, left); /* it needs no memory; before Linux 6.0 there is no such call */
        }
        ring_reap(core);
        if (!core->in_kernel)
            return;
        error = ring_enter(&core->ring, 0, 1, left);
        if (ring_is_short(error))
            usleep(1000);
        else if (error && error != -EINTR && error != -EBUSY)
            return;
        ring_reap(core);
    }
}

/* The same in another thread, when no thread is in a wait any more. Before Linux 6.0 this ends nothing. */
static void drain_elsewhere(rio_core *core, int64_t end) {
    core->is_draining = true;
    core->is_owner_waiting = false;
    cancel_all(core);
    ring_withdraw(core, NULL); /* what the owner could not hand over: no answer to it ever comes */
    int64_t left = end - now_ns();
    int error = ring_cancel_all(&core->ring, left > 0 ? left : 0);
    ring_reap(core);
    while (!error && core->in_kernel && (left = end - now_ns()) > 0) {
        struct timespec time = {left / 1000000000, left % 1000000000};
        struct pollfd ring = {core->ring.fd, POLLIN, 0};
        ppoll(&ring, 1, &time, NULL);
        if (ring_needs_enter(&core->ring))
            ring_enter(&core->ring, 0, 0, 0); /* moves completions in that had no room */
        ring_reap(core);
    }
}

/* Makes the threads that wait without the lock return, until the time is over. How many are left. */
static uint32_t see_out(rio_core *core, int64_t end) {
    uint64_t one = 1;
    struct timespec time = {end / 1000000000, end % 1000000000};
    ports_announce(core);
    ssize_t written = write(core->wake_fd, &one, sizeof one);
    (void)written; /* EAGAIN: it is readable already */
    while (core->inside)
        if (pthread_cond_timedwait(&core->left, &core->lock, &time))
            break;
    return core->inside;
}

static uint32_t requests_in_kernel(const rio_core *core) {
    uint32_t count = 0; /* readiness waits hold no memory of ours */
    for (uint32_t i = 0; i < core->ops.used; i++) {
        const struct op *op = slab_at(&core->ops, i);
        count += op->kind == KIND_REQUEST && (op->state == OP_IN_KERNEL || op->state == OP_CANCELLING);
    }
    return count;
}

int rio_core_close(rio_core *core, int64_t timeout_ns) {
    int error = core_enter(core);
    if (error == RIO_E_FORKED) {
        /* A child's copy: its descriptors are its own, the ring and its operations are the parent's. Where the ring is
         * mapped in the parent, the child may have something else by now. */
        core->ring.map = NULL;
        core->ring.sqes = NULL;
        free_all(core);
        return 0;
    }
    if (error)
        return 0;
    int64_t end = now_ns() + (timeout_ns < TIMEOUT_MAX ? timeout_ns : TIMEOUT_MAX);
    if (core_is_owner(core))
        drain(core, end);
    __atomic_store_n(&core->is_closed, true, __ATOMIC_RELEASE);
    uint32_t inside = see_out(core, end);
    if (!inside && !core_is_owner(core))
        drain_elsewhere(core, end);
    uint32_t held = requests_in_kernel(core);
    core->is_leaked = held || inside;
    if (!core->is_leaked) {
        free_all(core);
    } else if (!inside) {
        close_descriptors(core);
        ring_close(&core->ring); /* its last reference, so the kernel cancels; until it has, it may write to memory */
    }
    madvise(core->guard, sizeof *core->guard, MADV_DONTNEED); /* it stays readable, and takes no memory */
    core_leave(core);
    return held + inside > INT_MAX ? INT_MAX : (int)(held + inside);
}

void rio_core_free(rio_core *core) {
    if (!core || core->is_leaked || !rio_core_is_usable(core))
        return;
    munmap(core->guard, sizeof *core->guard);
    free(core);
}

int rio_core_info(rio_core *core, rio_info *info) {
    int error = core_enter(core);
    if (error)
        return error;
    *info = (rio_info){
        .ring_fd = core->ring.fd,
        .set_fd = core->epoll_fd,
        .setup_flags = core->ring.setup_flags,
        .features = core->ring.features,
        .sq_entries = core->ring.sq_entries,
        .cq_entries = core->ring.cq_entries,
        .requests_outstanding = core->requests_outstanding,
        .operations_in_kernel = core->in_kernel - core->own_in_kernel,
        .enters = ring_enters(&core->ring),
        .submissions = core->submissions,
        .completions = core->completions,
        .overflows = *core->ring.cq_overflow,
    };
    core_leave(core);
    return 0;
}
