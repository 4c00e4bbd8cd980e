/* Single datagrams of a Trio socket that has its channel: recvfrom() and sendto().
 *
 * Facts. For a datagram that is there already, or that goes at once, a plain call costs less than a request. One that
 * is not there costs the call and an exception: between two that talk in turns, each time.
 * Decision. As for streams, a receive that missed twice in a row goes to the request queue at once. A destination must
 * be one that the system takes as it is, or Python has to resolve it.
 */
#include "engine.h"

/* As _is_plain() of destinations.py: a tuple of a str and ints, for which Python runs nothing of the program's. */
static bool is_plain_address(PyObject *address) {
    if (!PyTuple_CheckExact(address) || PyTuple_Size(address) < 2 || !PyUnicode_CheckExact(PyTuple_GetItem(address, 0)))
        return false;
    for (Py_ssize_t i = 1; i < PyTuple_Size(address); i++)
        if (!PyLong_CheckExact(PyTuple_GetItem(address, i)))
            return false;
    return true;
}

/* Whether the system takes the destination of sendto() as it is. */
static bool is_as_given(const struct call *call) {
    PyObject *address = PyTuple_GetItem(call->argument, 1);
    PyObject *known = is_plain_address(address) ? PyObject_GetAttr((PyObject *)call->owner, names._destinations) : NULL;
    PyObject *as_given = known && known != Py_None ? PyObject_GetAttr(known, names.as_given) : NULL;
    bool is_taken = as_given && PySet_Contains(as_given, address) == 1;
    Py_XDECREF(as_given);
    Py_XDECREF(known);
    PyErr_Clear(); /* Python says what is wrong with it */
    return is_taken;
}

static PySendResult receive(struct call *call, struct channel *channel, PyObject *task, PyObject *sock,
                            PyObject **result) {
    Py_ssize_t size = PyLong_CheckExact(call->argument) ? PyLong_AsSsize_t(call->argument) : 0;
    PyErr_Clear();
    if (size < 1)
        return call_in_python(call, result);
    if (call_next_is_tried(channel)) {
        PySendResult outcome;
        if (!call_pass_cancel_point(task))
            return call_in_python(call, result);
        if (own_way_call(call, sock, &outcome, result)) {
            channel->misses = 0;
            return outcome;
        }
        channel->misses++;
    }
    struct request *request = receive_post(channel, task, size);
    if (request)
        return call_wait(call, request, result);
    PyObject *owner = (PyObject *)call->owner;
    PyObject *rest = PyObject_CallFunctionObjArgs(given.wait_recvfrom, owner, sock, call->argument, NULL);
    return call_go_on(call, rest, result);
}

static PySendResult send(struct call *call, const struct channel *channel, PyObject *task, PyObject *sock,
                         PyObject **result) {
    PySendResult outcome;
    bool is_plain = PyBytes_CheckExact(PyTuple_GetItem(call->argument, 0)) && PySet_Size(channel->sends) == 0;
    bool is_at_once = is_plain && is_as_given(call) && call_pass_cancel_point(task);
    return is_at_once && own_way_call(call, sock, &outcome, result) ? outcome : call_in_python(call, result);
}

PySendResult datagram_begin(struct call *call, PyObject **result) {
    struct channel *channel = call_channel(call->owner);
    PyObject *sock = ((struct socket *)call->owner)->_sock;
    bool is_known_socket = sock && Py_TYPE(sock) == (PyTypeObject *)given.stdlib_socket;
    /* As Channel.is_free_for_datagrams(): nothing is overtaken. */
    bool is_free = is_known_socket && channel && !channel->is_stream && !receive_is_waited_for(channel);
    PyObject *task = is_free ? call_task(channel) : NULL;
    if (!task)
        return call_in_python(call, result);
    Py_INCREF(sock);
    PySendResult outcome = call->kind == RECVFROM ? receive(call, channel, task, sock, result)
                                                  : send(call, channel, task, sock, result);
    Py_DECREF(sock);
    Py_DECREF(task);
    return outcome;
}

PySendResult datagram_end(struct call *call, PyObject *woken, PyObject **result) {
    struct request *request = call->request;
    if (!call_ended_well(call, woken))
        return PYGEN_ERROR;
    *result = PyObject_CallFunctionObjArgs(given.take_datagram, request->channel, (PyObject *)request, NULL);
    return *result ? PYGEN_RETURN : PYGEN_ERROR;
}
