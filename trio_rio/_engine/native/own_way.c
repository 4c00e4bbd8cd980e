/* Trio's own way of a call, where it need not wait: a plain call of the stdlib's socket, and a checkpoint.
 *
 * Facts. The first calls of a stream go so (_sockets/own_way.py), and so does a single datagram that is there, or goes
 * at once. On Python's side that is a frame or two, a context manager and a coroutine for a call of a microsecond.
 * Decision. The plain call is made here, with the socket's own method, so that every argument means what it means
 * there. What it raises is raised after the checkpoint, by a function that bears the name of the call. A call that
 * would block waits in Python, and goes on there.
 */
#include "engine.h"

struct socket *own_way_socket(const struct call *call) {
    const struct owner *owner = call->owner;
    PyObject *found = is_of_stream(call->kind) ? ((const struct stream *)owner)->_sock : (PyObject *)owner;
    if (owner->channel && owner->channel != Py_None)
        return NULL;
    if (!found || !PyObject_TypeCheck(found, socket_type))
        return NULL;
    struct socket *socket = (struct socket *)found;
    bool is_served = socket->begins_in_c && socket->calls_left > 0 && socket->_sock;
    return is_served && Py_TYPE(socket->_sock) == (PyTypeObject *)given.stdlib_socket ? socket : NULL;
}

static bool pass_cancel_point(void) {
    PyObject *task = PyObject_GetAttr(given.run_context, names.task);
    bool is_passed = task && call_pass_cancel_point(task);
    Py_XDECREF(task);
    PyErr_Clear();
    return is_passed;
}

/* ---- which socket's plain call it is; NULL: Python does it ---- */

static PyObject *stream_socket(struct call *call) {
    struct socket *socket = own_way_socket(call);
    if (!socket)
        return NULL;
    if (call->kind == RECEIVE_SOME && call->argument != Py_None) {
        Py_ssize_t size = PyLong_CheckExact(call->argument) ? PyLong_AsSsize_t(call->argument) : 0;
        PyErr_Clear();
        if (size < 1)
            return NULL;
    }
    return call->kind == SEND_ALL && !send_may_begin(call) ? NULL : socket->_sock;
}

/* A first call was made. */
static void count(const struct call *call) {
    struct socket *socket = own_way_socket(call);
    if (socket && call->kind != ACCEPT)
        socket->calls_left--;
}

static PyObject *listening_socket(const struct call *call) {
    struct socket *socket = (struct socket *)call->owner;
    bool is_served = socket->begins_in_c && socket->_sock;
    return is_served && Py_TYPE(socket->_sock) == (PyTypeObject *)given.stdlib_socket ? socket->_sock : NULL;
}

/* ---- the call ---- */

static PyObject *call_socket(const struct call *call, PyObject *sock) {
    PyObject *argument = call->argument, *size, *received;
    switch (call->kind) {
    case RECEIVE_SOME:
        if (argument != Py_None)
            return PyObject_CallMethodObjArgs(sock, names.recv, argument, NULL);
        if (!(size = PyLong_FromLongLong(numbers.receive_size_bytes)))
            return NULL;
        received = PyObject_CallMethodObjArgs(sock, names.recv, size, NULL);
        Py_DECREF(size);
        return received;
    case RECV:
        return PyObject_CallMethodObjArgs(sock, names.recv, argument, NULL);
    case ACCEPT:
        return PyObject_CallMethodObjArgs((PyObject *)call->owner, names._accept_now, sock, NULL);
    case RECVFROM:
        return PyObject_CallMethodObjArgs(sock, names.recvfrom, argument, NULL);
    case SENDTO:
        return PyObject_CallMethodObjArgs(sock, names.sendto, PyTuple_GetItem(argument, 0),
                                          PyTuple_GetItem(argument, 1), NULL);
    default:
        return PyObject_CallMethodObjArgs(sock, names.send, argument, NULL);
    }
}

/* What was raised is raised after the checkpoint. */
static PySendResult fail(struct call *call, PyObject **result) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback && error)
        PyException_SetTraceback(error, traceback);
    call->value = error ? PyObject_CallFunctionObjArgs(given.error_outcome, error, NULL) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    if (!call->value)
        return PYGEN_ERROR;
    if (call->kind == SEND_ALL)
        ((struct stream *)call->owner)->is_sending = 1; /* until the end */
    PySendResult outcome = call_pass(call, result);
    call->state = FAILING;
    return outcome;
}

bool own_way_call(struct call *call, PyObject *sock, PySendResult *outcome, PyObject **result) {
    PyObject *value = call_socket(call, sock);
    if (value && (call->kind == SEND || call->kind == SEND_ALL)) {
        call->sent = PyLong_AsSsize_t(value);
        Py_DECREF(value);
        *outcome = send_has_begun(call, call->kind == SEND_ALL ? PyBytes_Size(call->argument) : 0, result);
    } else if (value) {
        call->value = value;
        *outcome = call_pass(call, result);
    } else if (PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
        PyErr_Clear();
        return false;
    } else {
        *outcome = fail(call, result);
    }
    return true;
}

/* It would block: Python waits, and makes the call. */
static PySendResult wait(struct call *call, PyObject *sock, PyObject **result) {
    PyObject *begin = call->kind == ACCEPT ? given.wait_accept : call->kind == RECV ? given.wait_recv : NULL;
    begin = call->kind == RECEIVE_SOME ? given.wait_receive_some : begin;
    if (!begin)
        return call_in_python(call, result);
    PyObject *owner = (PyObject *)call->owner;
    count(call);
    return call_go_on(call, PyObject_CallFunctionObjArgs(begin, owner, sock, call->argument, NULL), result);
}

PySendResult own_way_begin(struct call *call, PyObject **result) {
    PyObject *sock = call->kind == ACCEPT ? listening_socket(call) : stream_socket(call);
    PySendResult outcome;
    if (!sock || !pass_cancel_point())
        return call_in_python(call, result);
    Py_INCREF(sock);
    if (own_way_call(call, sock, &outcome, result))
        count(call);
    else
        outcome = wait(call, sock, result);
    Py_DECREF(sock);
    return outcome;
}
