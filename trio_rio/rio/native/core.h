/* The inside of a core: shared by the files that implement rio.h. */
#ifndef TRIO_RIO_CORE_H
#define TRIO_RIO_CORE_H

#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "rio.h"
#include "ring.h"

enum direction { RECEIVE = 0, SEND = 1 };

/* What a completion of the ring belongs to: the top four bits of user_data. A readiness wait (KIND_POLL) has
 * none; KIND_SET is the poll of the set in which it is. */
enum kind { KIND_REQUEST = 1, KIND_POLL = 2, KIND_SET = 3, KIND_CANCEL = 4 };

/* The life of an operation. QUEUED waits behind another of its direction; STAGED goes with the next submission;
 * a readiness wait is WAITING, then READY: it has ended, and its event was not taken yet. */
enum op_state { OP_FREE, OP_QUEUED, OP_STAGED, OP_IN_KERNEL, OP_CANCELLING, OP_WAITING, OP_READY };

struct request_queue;

/* A request, or a readiness wait. Lives until its own completion came. */
struct op {
    struct op *next, *previous; /* in the staged, the cancel, the ready or a watch's list; free list uses next */
    struct op *behind;          /* the next request of the same direction */
    uint32_t index, generation;
    uint8_t kind, state, direction;
    bool is_cancel_sent; /* the cancellation is in the kernel */
    bool is_tried_again; /* it is cancelled only to be staged again */
    uint32_t flags;
    int fd;
    uint32_t poll_mask;
    int32_t poll_result;
    struct request_queue *queue;
    uint64_t context;
    char *data;
    uint32_t length, done;
    uint32_t buffer, address_buffer; /* registry slots; 0 for none */
    char *address; /* 28 bytes, as aligned as the caller made them; NULL for none */
    struct iovec vector;
    struct msghdr message;
};

struct op_list {
    struct op *first, *last;
};

struct completion {
    rio_result result;
    struct request_queue *queue;
    uint32_t buffer, address_buffer;
    uint8_t direction;
    bool qualifies;
};

struct completion_queue {
    uint32_t index, generation;
    struct completion *entries; /* a circle of `room` places, room >= charged */
    uint32_t room, first, count;
    uint32_t capacity, charged;
    uint32_t qualifying;
    uint32_t queues; /* request queues that refer to it */
    bool is_closed, is_armed, notify_reset;
    int notification, event_fd;
    uint32_t port;
    uint64_t key;
    uint32_t packets; /* posted to the port, not taken */
    struct completion_queue *next_with_packets;
    struct completion_queue *next_free;
};

struct request_queue {
    uint32_t index, generation;
    int fd;
    bool is_stream, is_closed, is_live;
    bool is_drained; /* of datagrams: there was none just now, so the next receive will have to wait */
    int reader_error; /* what ended the connection, and is the next receive's to tell */
    int sender_error; /* what a send was told that was not posted, and is the next one's that is */
    uint64_t socket_context;
    struct completion_queue *cq[2];
    uint32_t max[2], outstanding[2];
    struct op *head[2], *tail[2];
    struct request_queue *next_free;
};

struct buffer {
    char *memory;
    uint64_t length;
    uint32_t generation, uses;
    bool is_registered, is_read_only;
    uint32_t next_free;
};

struct port {
    uint32_t index, generation;
    uint32_t users;                        /* completion queues that name it, and threads that wait for it */
    struct completion_queue *first, *last; /* queues with packets */
    bool is_closed;
    bool is_woken;  /* the next wait brings a wake-up */
    bool has_event; /* a thread other than the owner has waited here */
    int event_fd;   /* for such threads: written whenever there is news */
    struct port *next_free;
};

/* What is waited for at one descriptor, and how the epoll set knows it. */
struct watch {
    struct op_list waits;
    uint32_t generation;
    uint32_t armed; /* what the set reports next */
    bool is_known;  /* the set has the number, unless its file was closed without us */
};

struct watch_table {
    struct watch **blocks; /* NULL where no number was ever waited for */
    uint32_t block_count;
};

/* A table of things that never move: chunks of pointers to blocks. */
#define SLAB_BLOCK 64u
struct slab {
    size_t item_size_bytes;
    char **blocks;
    uint32_t block_count, used;
};

struct rio_core {
    pthread_mutex_t lock;
    uint64_t *guard; /* a page that a forked child sees as zeros */
    void *owner;     /* address of the owner thread's marker */
    bool is_closed, is_leaked, is_draining, must_submit;
    bool is_owner_waiting;         /* in the kernel, without the lock: only the owner may reap now */
    bool is_owner_submitting;      /* on its way there without the lock: prepared entries are the kernel's to read */
    uint32_t inside, others_waiting; /* threads in a wait without the lock; those of them that are not the owner */
    uint32_t others_watching;        /* those of the others that poll the ring too */
    pthread_cond_t left;           /* one of them has come back to a closed core */
    struct ring ring;
    int wake_fd, epoll_fd;
    struct watch_table watches;
    uint32_t watches_armed, looks_in_vain;
    uint32_t looks_at_rest; /* receives of datagrams are not submitted by so many looks: their reader will look again */
    struct op *set_poll; /* WAITING while the ring does not poll the epoll set */
    struct slab ops, buffers, completion_queues, request_queues, ports;
    struct op *free_op;
    uint32_t free_buffer;
    struct completion_queue *free_cq;
    struct request_queue *free_rq;
    struct port *free_port;
    struct op_list staged, cancels, polls_ready;
    uint32_t requests_outstanding;
    uint32_t in_kernel, own_in_kernel; /* all operations; those that serve the core itself */
    uint64_t submissions, completions;
    int64_t refused_since_ns; /* the kernel has had no memory for what the owner submits; 0: it has */
};

/* Longer times are for ever: 146 years and a clock reading fit in 64 bits. */
#define TIMEOUT_MAX (INT64_MAX / 2)

#define GUARD_ALIVE 0x7472696f5f72696fULL

/* core.c */
int core_enter(rio_core *core); /* lock, or a code */
void core_leave(rio_core *core);
void core_step_out(rio_core *core);  /* unlock for a wait; the core stays allocated */
int core_step_in(rio_core *core);    /* lock after it, or a code */
bool core_is_owner(const rio_core *core);
void *slab_at(const struct slab *slab, uint32_t index);
int slab_add(struct slab *slab, uint32_t *index); /* a zeroed new item */
int64_t now_ns(void);
void list_append(struct op_list *list, struct op *op);
void list_remove(struct op_list *list, struct op *op);
struct op *op_new(rio_core *core, enum kind kind);
void op_free(rio_core *core, struct op *op);
uint64_t op_user_data(const struct op *op);

static inline uint64_t make_handle(uint32_t index, uint32_t generation) {
    return (uint64_t)generation << 32 | index;
}

/* completion_queue.c */
struct completion_queue *cq_find(rio_core *core, uint64_t handle);
bool cq_reserve(struct completion_queue *cq, uint32_t room);
void cq_push(rio_core *core, struct completion_queue *cq, const struct completion *completion);
void cq_release(rio_core *core, struct completion_queue *cq);

/* request_queue.c */
struct request_queue *rq_find(rio_core *core, uint64_t handle);
void rq_credit(rio_core *core, struct request_queue *rq, enum direction direction);

/* request.c */
struct post {
    enum direction direction;
    uint64_t buffer_id, offset; /* a row's offset may have more than 32 bits, and is refused then */
    uint32_t length, flags;
    uint64_t context;
    bool has_address;
    uint64_t address_buffer_id, address_offset;
};
int request_post(rio_core *core, uint64_t handle, const struct post *post);
int request_submit_soon(rio_core *core);
void request_complete(rio_core *core, struct op *op, int32_t status);
void request_prepare(const rio_core *core, const struct op *op, struct uring_sqe *sqe);
void request_cancel(rio_core *core, struct op *op);
void request_finish(rio_core *core, struct op *op, int32_t result); /* the kernel's answer */
int32_t request_told_to_sender(struct request_queue *rq, int32_t status); /* what a send ends with that was told this */

/* datagrams.c */
bool datagrams_move(rio_core *core, struct op *head); /* what can go now goes; whether anything did */
bool datagrams_rest(rio_core *core); /* asked once by each look: whether what is staged, if anything is, may stay so */

/* buffers.c */
int buffer_take(rio_core *core, uint64_t id, uint64_t offset, uint64_t length, bool for_writing, uint32_t *slot,
                char **address);
void buffer_release(rio_core *core, uint32_t slot);

/* operations.c */
bool ring_fill(rio_core *core);     /* prepare what is staged; false if the ring is full before all is in */
int ring_flush(rio_core *core);     /* submit all that is staged; owner's thread */
uint32_t ring_reap(rio_core *core); /* take what the kernel has posted; how many */
bool ring_is_short(int error);      /* whether the kernel will take the same again when it has memory */
/* A prepared entry names its socket by number until the kernel takes it. So a close first lets the owner, if it is on
 * its way into the kernel, get there: ring_settle() gives 0, or a code, and then the lock is gone. ring_withdraw()
 * aborts what the kernel did not take: that of one queue, or all. ring_redirect() gives what is left the queue's new
 * number. */
int ring_settle(rio_core *core);
void ring_withdraw(rio_core *core, const struct request_queue *rq_or_null);
void ring_redirect(rio_core *core, const struct request_queue *rq);
void nudge_owner(rio_core *core);   /* let it look at what it must submit, or at its port, if it waits */

/* port.c */
struct port *port_find(rio_core *core, uint64_t handle);
void port_leave(rio_core *core, struct port *port); /* one user less */
void port_post(rio_core *core, struct completion_queue *cq);
void port_forget(rio_core *core, struct completion_queue *cq);
void port_wake(rio_core *core, uint32_t index);
void ports_announce(rio_core *core); /* let all that wait, anywhere, look again */
void port_announce(rio_core *core, uint32_t index);

/* readiness.c */
int set_open(rio_core *core); /* 0 or -errno */
bool set_is_polled(const rio_core *core);
void set_poll(rio_core *core); /* have the ring poll it, until it is readable once */
void set_look(rio_core *core); /* take what it has; not while the owner waits */
int set_wait(rio_core *core, int64_t left); /* in the owner: 0, -errno, or a code: then the lock is gone */
void watches_free(struct watch_table *table);

#endif
