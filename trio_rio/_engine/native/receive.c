/* Receiving where it costs least: a small slice, on demand, from a stream that nobody else receives from. */
#include "engine.h"

/* How much the call wants at most; 0: Python says what is wrong with it, or takes a larger slice. */
static Py_ssize_t size_wanted(const struct call *call, const struct channel *channel) {
    if (channel->is_busy || !channel->is_stream)
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

static bool is_waited_for(const struct channel *channel) {
    int found = channel->reader != Py_None ? 1 : PySequence_Contains(channel->waits, channel->read_key);
    if (found < 0)
        PyErr_Clear();
    return found != 0;
}

/* A stream learns that it needs more than a small slice; a datagram would be cut. */
static struct request *take(const struct channel *channel, Py_ssize_t size) {
    struct turn *turn = channel->turn;
    if (channel->is_stream)
        return call_take_request(turn->small);
    PyObject *first = PyList_Size(turn->small) > 0 ? PyList_GetItem(turn->small, 0) : NULL;
    bool is_small = first && size <= ((struct request *)first)->room;
    struct request *request = call_take_request(is_small ? turn->small : turn->large);
    if (request && size > request->room && request->room < numbers.datagram_bytes_max) {
        if (!request_finish(request))
            PyErr_Clear();
        Py_CLEAR(request);
    }
    return request;
}

struct request *receive_post(struct channel *channel, PyObject *task, Py_ssize_t size) {
    struct turn *turn = channel->turn;
    struct request *request = take(channel, size);
    if (!request)
        return NULL;
    uint32_t length = size < request->room ? (uint32_t)size : request->room;
    put(&request->channel, (PyObject *)channel);
    put(&request->task, task);
    put(&request->state, given.waited_state);
    request->is_receive = 1;
    request->length = length;
    uint32_t flags = (uint32_t)numbers.defer_flag;
    int refused = channel->is_stream
                      ? turn->table->receive(turn->provider, channel->queue, request->buffer_id, request->offset,
                                             length, flags, request->context)
                      : turn->table->receive_ex(turn->provider, channel->queue, request->buffer_id, request->offset,
                                                length, request->buffer_id, request->address_offset, flags,
                                                request->context);
    if (!refused) {
        put(&channel->reader, (PyObject *)request);
        return request;
    }
    if (!request_finish(request))
        PyErr_Clear();
    Py_DECREF(request);
    return NULL; /* Python will be refused too, and say why */
}

PySendResult receive_begin(struct call *call, PyObject **result) {
    struct channel *channel = call_channel(call->owner);
    Py_ssize_t size = channel ? size_wanted(call, channel) : 0;
    if (!size || is_waited_for(channel))
        return call_in_python(call, result);
    PyObject *task = call_task(channel);
    struct request *request = task ? receive_post(channel, task, size) : NULL;
    Py_XDECREF(task);
    return request ? call_wait(call, request, result) : call_in_python(call, result);
}

PySendResult receive_end(struct call *call, PyObject *woken, PyObject **result) {
    struct request *request = call->request;
    if (!call_ended_well(call, woken))
        return PYGEN_ERROR;
    struct channel *channel = (struct channel *)request->channel;
    if (channel->is_busy || request->count == request->length || !channel->is_direct) {
        *result = PyObject_CallMethodObjArgs((PyObject *)channel, names.take_bytes, (PyObject *)request, NULL);
        return *result ? PYGEN_RETURN : PYGEN_ERROR;
    }
    *result = PyBytes_FromStringAndSize(request->data, request->count);
    if (!*result) { /* no memory: take_bytes() keeps them for the next reader, and says so */
        PyErr_Clear();
        *result = PyObject_CallMethodObjArgs((PyObject *)channel, names.take_bytes, (PyObject *)request, NULL);
        return *result ? PYGEN_RETURN : PYGEN_ERROR;
    }
    if (!request_finish(request)) {
        Py_CLEAR(*result);
        return PYGEN_ERROR;
    }
    return PYGEN_RETURN;
}
