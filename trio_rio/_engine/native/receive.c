/* Receiving where it costs least: into a slice, on demand, from a stream that nobody else receives from.
 *
 * Facts. What a peer that talks in turns answers is often there when its server comes back from sending; on another CPU
 * it nearly always comes later.
 * Decision. A task that is alone tries a plain call first; one that missed twice in a row posts at once, and tries
 * again now and then. What is there completes the request that would have been posted, as if it had been.
 */
#include "engine.h"

/* In the middle of much, when receives have new bytes of their own, or none. */
static bool is_bulk(const struct channel *channel) {
    PyObject *answer = PyObject_GetAttr((PyObject *)channel, names.is_bulk);
    bool is_small = answer == Py_False;
    Py_XDECREF(answer);
    PyErr_Clear();
    return !is_small;
}

/* How much the call wants at most; 0: Python says what is wrong with it, or takes another way. */
static Py_ssize_t size_wanted(const struct call *call, const struct channel *channel) {
    if (!channel->is_stream || (channel->is_busy && is_bulk(channel)))
        return 0;
    if (call->argument == Py_None && call->kind == RECEIVE_SOME)
        return channel->receive_size_bytes;
    if (!PyLong_CheckExact(call->argument))
        return 0;
    Py_ssize_t size = PyLong_AsSsize_t(call->argument);
    if (size == -1)
        PyErr_Clear();
    return size > 0 ? size : 0;
}

bool receive_is_waited_for(const struct channel *channel) {
    int found = channel->reader != Py_None ? 1 : PySequence_Contains(channel->waits, channel->read_key);
    if (found < 0)
        PyErr_Clear();
    return found != 0;
}

/* A stream learns that it needs more than a small slice; a datagram would be cut. */
static struct request *take(const struct channel *channel, Py_ssize_t size) {
    struct turn *turn = channel->turn;
    if (channel->is_stream && !channel->is_busy)
        return call_take_request(turn->small);
    PyObject *first = PyList_Size(turn->small) > 0 ? PyList_GetItem(turn->small, 0) : NULL;
    bool is_small = first && size <= ((struct request *)first)->room;
    if (first)
        turn->small_size_bytes = ((struct request *)first)->room;
    struct request *request = call_take_request(is_small ? turn->small : turn->large);
    bool is_cut = request && size > request->room && request->room < numbers.datagram_bytes_max;
    if (is_cut && !channel->is_stream) {
        if (!request_finish(request))
            PyErr_Clear();
        Py_CLEAR(request);
    }
    return request;
}

static void set_out(struct request *request, struct channel *channel, PyObject *state, Py_ssize_t size) {
    put(&request->channel, (PyObject *)channel);
    put(&request->state, state);
    request->is_receive = 1;
    request->length = size < request->room ? size : request->room;
}

static bool post(struct channel *channel, PyObject *task, struct request *request, Py_ssize_t size) {
    struct turn *turn = channel->turn;
    uint32_t flags = (uint32_t)numbers.defer_flag;
    set_out(request, channel, given.waited_state, size);
    put(&request->task, task);
    uint32_t length = (uint32_t)request->length;
    int refused = channel->is_stream
                      ? turn->table->receive(turn->provider, channel->queue, request->buffer_id, request->offset,
                                             length, flags, request->context)
                      : turn->table->receive_ex(turn->provider, channel->queue, request->buffer_id, request->offset,
                                                length, request->buffer_id, request->address_offset, flags,
                                                request->context);
    if (!refused)
        put(&channel->reader, (PyObject *)request);
    else if (!request_finish(request))
        PyErr_Clear();
    return !refused; /* or Python will be refused too, and say why */
}

struct request *receive_post(struct channel *channel, PyObject *task, Py_ssize_t size) {
    struct request *request = take(channel, size);
    if (request && !post(channel, task, request, size))
        Py_CLEAR(request);
    return request;
}

/* As Traffic.note_received(), of a receive that says at most that the connection is not quiet; false: it says more. */
static bool note_received(const struct channel *channel, const struct request *request) {
    if (!channel->is_direct || request->count == request->length)
        return false;
    if (!channel->is_busy)
        return true;
    uint32_t small = channel->turn->small_size_bytes; /* 0: not known yet */
    PyObject *zero = small && request->count > small ? PyLong_FromLong(0) : NULL;
    bool is_noted = zero && PyObject_SetAttr((PyObject *)channel, names.quiet, zero) == 0;
    Py_XDECREF(zero);
    PyErr_Clear();
    return is_noted;
}

/* The bytes that a request has brought; it is free again. */
static PyObject *take_bytes(struct channel *channel, struct request *request) {
    PyObject *bytes = NULL;
    bool is_usual = note_received(channel, request);
    if (is_usual && !(bytes = PyBytes_FromStringAndSize(request->data, request->count)))
        PyErr_Clear(); /* no memory: Channel.take_bytes() keeps them for the next reader, and says so */
    if (!bytes)
        return PyObject_CallMethodObjArgs((PyObject *)channel, names.take_bytes, (PyObject *)request, NULL);
    if (!request_finish(request))
        Py_CLEAR(bytes);
    return bytes;
}

static bool begin_to_try(struct channel *channel, PyObject *task) {
    const struct turn *turn = channel->turn;
    bool is_alone = turn->table->receive_now && turn->woken <= 1;
    return is_alone && call_next_is_tried(channel) && call_pass_cancel_point(task);
}

/* What is there completes the request at once, and is returned after a checkpoint. */
static bool receive_now(struct call *call, struct channel *channel, struct request *request, Py_ssize_t size) {
    const struct turn *turn = channel->turn;
    uint32_t room = size < request->room ? (uint32_t)size : request->room;
    uint32_t count = turn->table->receive_now(turn->provider, channel->queue, request->data, room);
    channel->misses = count ? 0 : channel->misses + 1;
    if (!count)
        return false;
    set_out(request, channel, given.done_state, size); /* as if posted, and completed; but it is not counted as used */
    request->context = (request->context - numbers.generation) & numbers.context_mask;
    request->count = count;
    request->status = 0;
    call->value = take_bytes(channel, request);
    return true;
}

PySendResult receive_begin(struct call *call, PyObject **result) {
    struct channel *channel = call_channel(call->owner);
    Py_ssize_t size = channel ? size_wanted(call, channel) : 0;
    if (!size || receive_is_waited_for(channel))
        return call_in_python(call, result);
    PyObject *task = call_task(channel);
    struct request *request = task ? take(channel, size) : NULL;
    bool is_done = request && begin_to_try(channel, task) && receive_now(call, channel, request, size);
    bool is_posted = request && !is_done && post(channel, task, request, size);
    Py_XDECREF(task);
    if (is_posted)
        return call_wait(call, request, result);
    Py_XDECREF((PyObject *)request);
    if (is_done)
        return call->value ? call_pass(call, result) : PYGEN_ERROR;
    return call_in_python(call, result);
}

PySendResult receive_end(struct call *call, PyObject *woken, PyObject **result) {
    struct request *request = call->request;
    if (!call_ended_well(call, woken))
        return PYGEN_ERROR;
    *result = take_bytes((struct channel *)request->channel, request);
    return *result ? PYGEN_RETURN : PYGEN_ERROR;
}
