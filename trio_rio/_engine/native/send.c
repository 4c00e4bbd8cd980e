/* Sending where it costs least: what fits into a slice, on a stream where nothing is being sent.
 *
 * Memory that may be touched without danger is that of bytes, of bytearrays, and what memoryviews show of them. It is
 * copied, or sent, before the call waits.
 */
#include "engine.h"

/* The rest of the data, which the socket did not take. */
static PySendResult send_rest(struct call *call, Py_ssize_t sent, PyObject **result) {
    PyObject *count = PyLong_FromSsize_t(sent);
    PyObject *owner = (PyObject *)call->owner, *rest = NULL;
    if (count)
        rest = PyObject_CallMethodObjArgs(owner, names._send_rest_of, call->argument, count, NULL);
    Py_XDECREF(count);
    if (rest)
        ((struct stream *)call->owner)->is_sending = 1; /* and the coroutine ends that */
    return call_go_on(call, rest, result);
}

PySendResult send_return(struct call *call, Py_ssize_t sent, PyObject **result) {
    if (call->kind == SEND) {
        *result = PyLong_FromSsize_t(sent);
        return *result ? PYGEN_RETURN : PYGEN_ERROR;
    }
    if (sent < PyBytes_Size(call->argument))
        return send_rest(call, sent, result);
    Py_INCREF(Py_None);
    *result = Py_None;
    return PYGEN_RETURN;
}

static bool is_ended(const struct stream *stream) {
    PyObject *ended = stream->_sock ? PyObject_GetAttr(stream->_sock, names._did_shutdown_SHUT_WR) : NULL;
    bool is_open = ended == Py_False;
    Py_XDECREF(ended);
    PyErr_Clear();
    return !is_open;
}

bool send_may_begin(const struct call *call) {
    const struct stream *stream = (const struct stream *)call->owner;
    return PyBytes_CheckExact(call->argument) && PyBytes_Size(call->argument) && !stream->is_sending &&
           !is_ended(stream);
}

static bool is_in_use(const struct call *call, const struct channel *channel) {
    if (!channel->is_stream || PySet_Size(channel->sends) != 0)
        return true;
    if (call->kind == SEND_ALL && !send_may_begin(call))
        return true;
    int found = PySequence_Contains(channel->waits, channel->write_key);
    if (found < 0)
        PyErr_Clear();
    return found != 0;
}

/* Whether the data are of memory that may be touched. */
static bool is_ordinary(const struct call *call) {
    if (PyBytes_CheckExact(call->argument))
        return true;
    if (call->kind != SEND || Py_TYPE(call->argument) != &PyMemoryView_Type)
        return false;
    PyObject *of = PyObject_GetAttr(call->argument, names.obj);
    bool is_known = of && (PyBytes_CheckExact(of) || PyByteArray_CheckExact(of));
    Py_XDECREF(of);
    PyErr_Clear();
    return is_known;
}

static struct request *take(struct turn *turn, Py_ssize_t size) {
    if (size > turn->copy_bytes_max)
        return NULL;
    PyObject *first = PyList_Size(turn->small) > 0 ? PyList_GetItem(turn->small, 0) : NULL;
    bool is_small = first && size <= ((struct request *)first)->room;
    return call_take_request(is_small ? turn->small : turn->large);
}

static struct request *post(const struct call *call, struct channel *channel, PyObject *task, const Py_buffer *data) {
    struct turn *turn = channel->turn;
    struct request *request = take(turn, data->len);
    bool is_posted = false;
    if (!request)
        return NULL;
    if (data->len <= request->room) {
        uint32_t flags = (uint32_t)(numbers.defer_flag | (call->kind == SEND ? numbers.part_flag : 0));
        put(&request->channel, (PyObject *)channel);
        put(&request->task, task);
        put(&request->state, given.waited_state);
        request->is_receive = 0;
        request->length = data->len;
        memcpy(request->data, data->buf, (size_t)data->len);
        is_posted = PySet_Add(channel->sends, (PyObject *)request) == 0 &&
                    !turn->table->send(turn->provider, channel->queue, request->buffer_id, request->offset,
                                       (uint32_t)data->len, flags, request->context);
    }
    if (is_posted)
        return request;
    PySet_Discard(channel->sends, (PyObject *)request);
    PyErr_Clear();
    if (!request_finish(request))
        PyErr_Clear();
    Py_DECREF(request);
    return NULL; /* Python will be refused too, and say why */
}

/* What goes at once, when a task is alone; 0: post it. */
static Py_ssize_t send_now(struct channel *channel, PyObject *task, const Py_buffer *data, bool is_part_enough) {
    struct turn *turn = channel->turn;
    uint64_t size = (uint64_t)data->len;
    if (!turn->table->send_now || turn->woken > 1)
        return 0;
    if (size > numbers.send_now_bytes_max) {
        if (!is_part_enough)
            return 0;
        size = numbers.send_now_bytes_max;
    }
    if (!call_pass_cancel_point(task))
        return 0;
    return turn->table->send_now(turn->provider, channel->queue, data->buf, (uint32_t)size);
}

/* Sends at once, or posts; false: neither. */
static bool begin(struct call *call, struct channel *channel, const Py_buffer *data) {
    PyObject *task = data->len ? call_task(channel) : NULL;
    if (!task)
        return false;
    call->sent = send_now(channel, task, data, call->kind == SEND);
    call->request = call->sent ? NULL : post(call, channel, task, data);
    Py_DECREF(task);
    return call->sent || call->request;
}

PySendResult send_begin(struct call *call, PyObject **result) {
    struct channel *channel = call_channel(call->owner);
    Py_buffer data;
    if (!channel || is_in_use(call, channel) || !is_ordinary(call))
        return call_in_python(call, result);
    if (PyObject_GetBuffer(call->argument, &data, PyBUF_SIMPLE) < 0) { /* not contiguous, or released */
        PyErr_Clear();
        return call_in_python(call, result);
    }
    bool has_begun = begin(call, channel, &data);
    Py_ssize_t size = data.len;
    PyBuffer_Release(&data);
    return has_begun ? send_has_begun(call, size, result) : call_in_python(call, result);
}

PySendResult send_has_begun(struct call *call, Py_ssize_t size, PyObject **result) {
    if (call->kind == SEND_ALL && call->sent && call->sent < size)
        return send_rest(call, call->sent, result);
    if (call->kind == SEND_ALL)
        ((struct stream *)call->owner)->is_sending = 1;
    return call->request ? call_wait(call, call->request, result) : call_pass(call, result);
}

PySendResult send_end(struct call *call, PyObject *woken, PyObject **result) {
    if (!call_ended_well(call, woken))
        return PYGEN_ERROR;
    Py_ssize_t sent = call->request->count;
    return request_finish(call->request) ? send_return(call, sent, result) : PYGEN_ERROR;
}
