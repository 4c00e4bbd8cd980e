/* The inside of the engine in C: shared by the files of this folder.
 *
 * Facts. Trio runs a task by sending a value into its coroutine, and gets a message back; an object of C may stand at
 * the end of a chain of awaits (am_send, PEP 489's types from specs). What a receive costs in Python is mostly
 * frames, calls between Python and C, and attributes of many small objects.
 * Consequence. The few steps that nearly every receive and send consists of can be one function of C, if it sees the
 * fields of requests and channels.
 * Decision. Those fields are structs; the classes of Python inherit them, and add the methods, so that there is one
 * object and one set of rules. C does the common case and nothing else: whatever is unusual (no request that is free,
 * a socket that is busy, a bulk receive, an error) is left to the coroutine of Python, which begins anew. Nothing
 * here knows io_uring: requests go through the table in table.h.
 */
#ifndef TRIO_RIO_ENGINE_H
#define TRIO_RIO_ENGINE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "table.h"

/* ---- module.c: names and objects of Python, given by setup() when the package is imported ---- */

#define NAMES(X)                                                                                                       \
    X(task) X(_runner) X(_cancel_points) X(_cancel_status) X(effectively_cancelled) X(main_task) X(ki_pending)         \
    X(_did_shutdown_SHUT_WR) X(_receive_some) X(_send_all) X(_recv) X(_send) X(_accept) X(_recvfrom) X(_sendto)        \
    X(_send_rest_of) X(_accept_now) X(_destinations) X(as_given) X(recv) X(send) X(recvfrom) X(sendto) X(obj)          \
    X(take_bytes) X(finish) X(_complete) X(throw) X(close) X(get_events) X(process_events) X(is_bulk) X(quiet)         \
    X(is_pending) X(is_armed) X(woken) X(arm)
#define X(name) PyObject *name;
struct names { NAMES(X) };
#undef X
extern struct names names;

/* What Python gives to setup(), by these names. The states are those that the table of requests.py leads to. */
#define GIVEN(X)                                                                                                       \
    X(run_context) X(shielded_checkpoint) X(free_state) X(waited_state) X(done_state) X(raise_aborted)                 \
    X(status_from_errno) X(internal_error) X(error_outcome) X(stdlib_socket) X(end_receive_some) X(end_send_all)       \
    X(end_recv) X(end_send) X(end_accept) X(end_recvfrom) X(end_sendto) X(wait_receive_some) X(wait_recv)              \
    X(wait_accept) X(wait_recvfrom) X(take_datagram) X(receive_some_text) X(send_all_text) X(recv_text) X(send_text)   \
    X(accept_text) X(recvfrom_text) X(sendto_text) X(reschedule_all)
#define X(name) PyObject *name;
struct given { GIVEN(X) };
#undef X
extern struct given given;

/* Numbers of Python: flags of a post, what a request context is made of, and how much is sent at once. */
#define NUMBERS(X)                                                                                                     \
    X(defer_flag) X(part_flag) X(slot_mask) X(generation) X(context_mask) X(send_now_bytes_max)                        \
    X(datagram_bytes_max) X(receive_size_bytes)
#define X(name) uint64_t name;
struct numbers { NUMBERS(X) };
#undef X
extern struct numbers numbers;

/* A new reference in place of the one that is there. */
static inline void put(PyObject **field, PyObject *value) {
    PyObject *old = *field;
    Py_INCREF(value);
    *field = value;
    Py_XDECREF(old);
}

/* ---- fields.c ---- */

struct request {
    PyObject_HEAD
    PyObject *pool, *home, *slice, *state, *channel, *task, *registered, *memory, *raise_cancel, *message;
    uint64_t context;
    Py_ssize_t length, count;
    int status;
    char is_receive;
    /* The slice, for C. */
    char *data;
    uint64_t buffer_id;
    uint32_t offset, room, address_offset;
};

struct turn;

struct channel {
    PyObject_HEAD
    struct turn *turn; /* NULL: the engine in Python serves it */
    PyObject *reader, *sends, *fileno, *waits, *read_key, *write_key, *pool;
    uint64_t queue;
    Py_ssize_t receive_size_bytes;
    int fd;
    char is_direct, is_busy, is_stream;
    uint8_t misses; /* plain calls to receive, in a row, that found nothing */
};

/* What calls are made on: streams and sockets. */
struct owner {
    PyObject_HEAD
    PyObject *channel;
};

struct socket {
    struct owner owner;
    PyObject *_sock;
    int calls_left; /* that go Trio's own way */
    char begins_in_c; /* the engine in C serves the run that made it */
    char did_shutdown;
};

struct stream {
    struct owner owner;
    PyObject *socket, *_sock;
    char is_sending;
};

extern PyTypeObject *request_type, *channel_type, *turn_type, *call_type, *socket_type;
int fields_add(PyObject *module);

void fields_dealloc(PyObject *self, int (*clear)(PyObject *)); /* of a type that Python may inherit */
bool request_finish(struct request *request); /* as RequestPool.finish(); false: an exception is set */

/* ---- methods.c: streams and sockets ---- */
int methods_add(PyObject *module);
void methods_set_texts(void); /* the docstrings, from what setup() was given */

/* ---- counters.c ---- */

/* Of trio_rio/_engine/counters.py. */
struct counters {
    PyObject_HEAD
    unsigned long long completions, dequeues, dequeues_with_results, results_min, results_max, armed, received;
    unsigned long long drained_late, sockets, window_stalls;
};
extern PyTypeObject *counters_type;
int counters_add(PyObject *module);
void counters_note_dequeue(struct counters *counters, uint32_t results);

/* ---- turn.c ---- */

struct turn {
    PyObject_HEAD
    const rio_table *table;
    void *provider;
    PyObject *runner; /* of the run, while it takes requests */
    PyObject *requests, *small, *large;
    struct counters *counters;
    uint32_t copy_bytes_max, small_size_bytes;
    int woken; /* tasks that the last batch of results woke */
    rio_table_result *results;
    uint32_t room;
};
int turn_add(PyObject *module);

/* Dequeues once, and counts it; the requests whose tasks are to run are appended to the list. Taken: how many results
 * there were, or less than 0: the code with which the dequeue was refused. False: an exception is set. */
bool turn_collect(struct turn *turn, PyObject *collector, uint64_t queue, uint32_t limit, PyObject *woken,
                  int64_t *taken);

/* ---- tick.c ---- */
int tick_add(PyObject *module);

/* ---- call.c ---- */

/* The methods: what they hand on to in Python, and what raises how they ended, is by kind. */
enum kind { RECEIVE_SOME, SEND_ALL, RECV, SEND, ACCEPT, RECVFROM, SENDTO };
static inline bool is_receive(enum kind kind) { return kind == RECEIVE_SOME || kind == RECV; }
static inline bool is_of_stream(enum kind kind) { return kind == RECEIVE_SOME || kind == SEND_ALL; }

/* Never awaited; waiting for its request; at the checkpoint of what is done, or of what has failed; done by a coroutine
 * of Python; over. */
enum call_state { FRESH, WAITING, PASSING, FAILING, PYTHON, OVER };

struct call {
    PyObject_HEAD
    struct owner *owner;
    PyObject *argument; /* max_bytes, or data; of sendto, data and address */
    PyObject *coroutine;
    PyObject *value; /* at the checkpoint: what to return, if it is no count; or the outcome that it failed with */
    struct request *request;
    Py_ssize_t sent; /* at once */
    uint8_t kind, state;
};

int call_add(PyObject *module);
PyObject *call_new(struct owner *owner, enum kind kind, PyObject *argument);
PySendResult call_in_python(struct call *call, PyObject **result); /* the whole call */
PySendResult call_go_on(struct call *call, PyObject *coroutine, PyObject **result); /* steals the coroutine */
bool call_ended_well(struct call *call, PyObject *woken); /* false: an exception is set */
PySendResult call_wait(struct call *call, struct request *request, PyObject **result);
PySendResult call_pass(struct call *call, PyObject **result);

/* A new reference to the task that runs, if the turn may serve it now: it is of the turn's run, and the channel's
 * socket is the one that it was. NULL without an exception: it may not. */
PyObject *call_task(const struct channel *channel);
int call_enter_cancel_point(PyObject *task); /* 1: it is cancelled; -1: an exception is set */
struct channel *call_channel(const struct owner *owner); /* NULL: the engine in Python is to do it; borrowed */
bool call_next_is_tried(struct channel *channel); /* by a plain call, before it is posted; the next receive, counted */
bool call_pass_cancel_point(PyObject *task); /* false: it is cancelled, or that cannot be told; no exception is set */
struct request *call_take_request(PyObject *free); /* from a list of free ones; NULL: there is none */

/* receive.c, send.c: the first step of a call, and the one after its request has completed. */
PySendResult receive_begin(struct call *call, PyObject **result);
PySendResult receive_end(struct call *call, PyObject *woken, PyObject **result);
PySendResult send_begin(struct call *call, PyObject **result);
PySendResult send_end(struct call *call, PyObject *woken, PyObject **result);
PySendResult send_return(struct call *call, Py_ssize_t sent, PyObject **result);
bool send_may_begin(const struct call *call); /* of send_all: as far as the stream and the data can tell */
PySendResult send_has_begun(struct call *call, Py_ssize_t size, PyObject **result); /* sent, or request, is set */

struct request *receive_post(struct channel *channel, PyObject *task, Py_ssize_t size); /* NULL: not done */
bool receive_is_waited_for(const struct channel *channel); /* by another task, or it cannot be told */

/* own_way.c: calls that go by a plain call of the socket. */
PySendResult own_way_begin(struct call *call, PyObject **result);
bool own_way_call(struct call *call, PyObject *sock, PySendResult *outcome, PyObject **result); /* false: would block */
struct socket *own_way_socket(const struct call *call); /* whose first call it is; NULL: none of these */

/* datagram.c: recvfrom and sendto. */
PySendResult datagram_begin(struct call *call, PyObject **result);
PySendResult datagram_end(struct call *call, PyObject *woken, PyObject **result);

#endif
