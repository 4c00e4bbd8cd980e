/* Registered I/O on io_uring: the interface that Python sees.
 *
 * Every function that can fail returns 0 or a negative errno, or a RIO_E_* code where the RIO function table names
 * one. Handles are numbers, slot | generation << 32: one that is out of date is refused, it can reach no memory.
 * All functions lock the core, so several threads may call. Only the thread that opened a core submits to its ring,
 * since the kernel ends a thread's requests with the thread; what others post starts at the owner's next call.
 */
#ifndef TRIO_RIO_H
#define TRIO_RIO_H

#include <stdint.h>

/* Changes whenever this file does in a way that Python notices: an extension that was built from another one is
 * refused. */
#define RIO_INTERFACE 7

/* Codes of the function table [winsock2.h]. */
#define RIO_E_FAULT 10014
#define RIO_E_INVAL 10022
#define RIO_E_ALREADY 10037
#define RIO_E_NOBUFS 10055
#define RIO_E_TOOMANYREFS 10059
/* Ours: the core belongs to another process; the core is closed. */
#define RIO_E_FORKED 20001
#define RIO_E_CLOSED 20002

#define RIO_FLAG_DONT_NOTIFY 1
#define RIO_FLAG_DEFER 2
#define RIO_FLAG_WAITALL 4
#define RIO_FLAG_PART 16 /* ours: a part of a send is enough */

typedef struct rio_core rio_core;

/* RIORESULT, with a native errno as status. */
typedef struct {
    int32_t status;
    uint32_t bytes_transferred;
    uint64_t socket_context;
    uint64_t request_context;
} rio_result;

/* What a wait brings: a packet of a completion queue, the end of a readiness wait, or a wake-up. */
#define RIO_EVENT_PACKET 1
#define RIO_EVENT_POLL 2
#define RIO_EVENT_WAKE 3
typedef struct {
    uint32_t kind;
    int32_t result; /* POLL: epoll(7) mask, or -errno */
    uint64_t key;   /* PACKET: completion key; POLL: the token of rio_poll_add */
} rio_event;

typedef struct {
    int ring_fd, set_fd; /* a thread that waits for the owner watches both; the second has readiness, and wake-ups */
    uint32_t setup_flags, features, sq_entries, cq_entries;
    uint32_t requests_outstanding; /* posted and not dequeued */
    uint32_t operations_in_kernel;
    uint64_t enters, submissions, completions, overflows;
} rio_info;

/* ---- core.c ---- */
int rio_core_open(rio_core **core, uint32_t entries, uint32_t withhold, const char **failed_step);
/* Waits at most timeout_ns for the kernel to let go of all memory, and for other threads to leave their waits. 0, or
 * the number of operations and threads that are left: then what they use stays allocated on purpose. */
int rio_core_close(rio_core *core, int64_t timeout_ns);
/* Frees what a closed core keeps for callers that still name it, some hundred bytes: none may name it after this. A
 * garbage collector cannot promise that, as it finalizes in any order; it leaves them. NULL is allowed. */
void rio_core_free(rio_core *core);
int rio_core_info(rio_core *core, rio_info *info);
int rio_core_is_usable(rio_core *core); /* 0, RIO_E_FORKED or RIO_E_CLOSED */

/* ---- buffers.c ---- */
int rio_register_buffer(rio_core *core, char *memory, uint64_t length, int is_read_only, uint64_t *buffer_id);
/* The number of requests that still use it; -1 for an unknown id. */
int rio_deregister_buffer(rio_core *core, uint64_t buffer_id);
int rio_buffer_uses(rio_core *core, uint64_t buffer_id);

/* ---- completion_queue.c ---- */
/* notification: 0 polled, 1 event, 2 port. port 0 is the core's own. With an event, its descriptor stays open until the
 * queue is closed, and the port is one at which waits end when the event is set. */
int rio_create_completion_queue(rio_core *core, uint32_t size, int notification, int event_fd, int notify_reset,
                                uint64_t port, uint64_t key, uint64_t *handle);
int rio_resize_completion_queue(rio_core *core, uint64_t handle, uint32_t size);
int rio_close_completion_queue(rio_core *core, uint64_t handle);
int rio_completion_queue_usage(rio_core *core, uint64_t handle, uint32_t *capacity, uint32_t *charged);
/* Results taken; bit 32 is set when one of them has a status other than 0; negative on error. */
int64_t rio_dequeue(rio_core *core, uint64_t handle, rio_result *results, uint32_t limit);
int rio_notify(rio_core *core, uint64_t handle);

/* ---- request_queue.c ---- */
int rio_create_request_queue(rio_core *core, int fd, int is_stream, uint32_t receives_max, uint32_t sends_max,
                             uint64_t receive_cq, uint64_t send_cq, uint64_t socket_context, uint64_t *handle);
int rio_resize_request_queue(rio_core *core, uint64_t handle, uint32_t receives_max, uint32_t sends_max);
/* Aborts all requests of the queue; on return the kernel holds the socket no longer (owner's thread). */
int rio_close_request_queue(rio_core *core, uint64_t handle);

/* ---- request.c ---- */
int rio_receive(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length, uint32_t flags,
                uint64_t context);
int rio_send(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length, uint32_t flags,
             uint64_t context);
int rio_receive_from(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length,
                     uint64_t address_buffer_id, uint32_t address_offset, uint32_t flags, uint64_t context);
int rio_send_to(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t length,
                uint64_t address_buffer_id, uint32_t address_offset, uint32_t flags, uint64_t context);
int rio_commit(rio_core *core, uint64_t handle);
int rio_commit_all(rio_core *core);
/* In the owner's thread the kernel knows of it on return, and has answered, unless it is short of memory. */
int rio_cancel(rio_core *core, uint64_t handle, uint64_t context);
/* Lets the sends of a socket go as far as they go now. 1: one that is not cancelled is left, and has to wait; 0: none,
 * or this is not the owner's thread; else a negative code. */
int rio_try_sends(rio_core *core, uint64_t handle);

/* ---- table.c ---- */
/* Where the rio_table of table.h is, for an engine in C; its functions take the core first. */
uint64_t rio_table_address(void);

/* ---- now.c ---- */
/* Sends what the socket of a stream takes now, if no send is posted: how many bytes. 0: none went, and a post has to be
 * made, which waits or says why. */
uint32_t rio_send_now(rio_core *core, uint64_t handle, const char *data, uint32_t length);
uint32_t rio_receive_now(rio_core *core, uint64_t handle, char *data, uint32_t length);

/* ---- datagrams.c ---- */
/* For a reader that is alone. 1: no receive of the datagram socket is in the kernel, and none has completed, so whoever
 * reads the socket before the owner next waits, looks or commits overtakes none; 2: results are there; 0: neither. What
 * is staged is not submitted by the next two looks of rio_wait (a time of 0), but by the first wait. A negative code:
 * the core is closed, or another process has it. */
int rio_receives_rest(rio_core *core, uint64_t handle);
/* Many posts in one call. How many were posted, or the negative code that the first of them was refused with. */
/* Receive i writes to offset + i * stride, its sender's address to address_offset + i * address_stride, and has the
 * context first_context + i. */
int rio_receive_many(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, uint32_t stride,
                     uint32_t length, uint32_t address_offset, uint32_t address_stride, uint32_t count, uint32_t flags,
                     uint64_t first_context);
/* Send i takes the lengths[i] bytes behind those of send i - 1, and goes to the address at address_offset + 28 * i;
 * without addresses to where the socket is connected. */
int rio_send_many(rio_core *core, uint64_t handle, uint64_t buffer_id, uint32_t offset, const uint32_t *lengths,
                  int has_addresses, uint32_t address_offset, uint32_t count, uint32_t flags, uint64_t first_context);

/* ---- port.c ---- */
int rio_port_create(rio_core *core, uint64_t *port);
/* Waits for the port end with RIO_EVENT_WAKE; queues may go on to name it until they are closed. */
int rio_port_close(rio_core *core, uint64_t port);
/* Submits what is staged and waits until something has come for the port (port 0: readiness too), the time is over
 * (timeout_ns < 0: never), or a signal. Events taken, or -EINTR: a signal, or so much came that concerned no port that
 * the caller should see whether there was one; 0 means: the full time is over. Any thread may wait, also several for
 * one port; in a thread that is not the owner it submits nothing. */
int rio_wait(rio_core *core, uint64_t port, int64_t timeout_ns, rio_event *events, uint32_t limit);
/* Makes a wait for the port that is running, or else the next one, bring RIO_EVENT_WAKE. From any thread. */
int rio_wake(rio_core *core, uint64_t port);
/* A readiness wait, for POLLIN, POLLOUT or POLLPRI. A token > 0, or -errno as epoll_ctl(2) has it: -EBADF, -EPERM for
 * a regular file. It keeps no file open: a descriptor that is closed brings no event any more. */
int64_t rio_poll_add(rio_core *core, int fd, uint32_t mask);
/* Its event will not come any more. */
int rio_poll_remove(rio_core *core, uint64_t token);
/* A request queue's socket has another descriptor now: a duplicate. What the kernel has goes on with the file that it
 * took; the rest, and what is left of a part, goes by the new number. */
int rio_rebind(rio_core *core, uint64_t handle, int fd);
/* Submits now. With only_cancels: only if a cancellation is waiting, after which closed files are really closed. */
int rio_flush(rio_core *core, int only_cancels);

#endif
