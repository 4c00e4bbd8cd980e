/* A call: what `await stream.receive_some()` awaits.
 *
 * Facts. An awaitable of C needs no frame. CPython 3.11 resumes it by am_send; 3.12 and later by tp_iternext if the
 * value is None, and else by its method send(), which ends in StopIteration; so does a run that is traced. Trio
 * itself sends into coroutines of Python only, and wraps what is none. A coroutine begins when it is first awaited,
 * and complains if it never is.
 * Decision. One step function behind all three. A call is done here, or by a coroutine of Python that it hands
 * everything on to; which of them is decided at its first step.
 *
 *             first step             woken
 *     FRESH ──────┬────▶ WAITING ──────────────▶ OVER
 *                 ├────▶ PASSING, FAILING ─────▶ OVER
 *                 └────▶ PYTHON ◀─── what is left of it
 */
#include "engine.h"

#define MISSES_MAX 2 /* after which receives are posted at once */
#define TRY_AGAIN 16 /* receives later */

PyTypeObject *call_type;

PyObject *call_new(struct owner *owner, enum kind kind, PyObject *argument) {
    struct call *call = PyObject_GC_New(struct call, call_type);
    if (!call)
        return NULL;
    Py_INCREF((PyObject *)owner);
    Py_INCREF(argument);
    call->owner = owner;
    call->argument = argument;
    call->coroutine = NULL;
    call->value = NULL;
    call->request = NULL;
    call->sent = 0;
    call->kind = (uint8_t)kind;
    call->state = FRESH;
    PyObject_GC_Track(call);
    return (PyObject *)call;
}

static int call_traverse(PyObject *self, visitproc visit, void *arg) {
    struct call *call = (struct call *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(call->owner);
    Py_VISIT(call->argument);
    Py_VISIT(call->coroutine);
    Py_VISIT(call->value);
    Py_VISIT(call->request);
    return 0;
}

/* Whatever way it ends: the stream may send again. */
static void end(struct call *call) {
    if (call->kind == SEND_ALL && (call->state == WAITING || call->state == PASSING || call->state == FAILING))
        ((struct stream *)call->owner)->is_sending = 0;
    call->state = OVER;
}

static int call_clear(PyObject *self) {
    struct call *call = (struct call *)self;
    if (call->owner)
        end(call);
    Py_CLEAR(call->owner);
    Py_CLEAR(call->argument);
    Py_CLEAR(call->coroutine);
    Py_CLEAR(call->value);
    Py_CLEAR(call->request);
    return 0;
}

static void complain(struct call *call) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    static const char *const methods_of[] = {"RioStream.receive_some", "RioStream.send_all", "RioSocket.recv",
                                             "RioSocket.send", "RioSocket.accept", "RioSocket.recvfrom",
                                             "RioSocket.sendto"};
    const char *name = methods_of[call->kind];
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%s' was never awaited", name) < 0)
        PyErr_WriteUnraisable((PyObject *)call->owner);
    PyErr_Restore(type, value, traceback);
}

static void call_dealloc(PyObject *self) {
    struct call *call = (struct call *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (call->state == FRESH && call->owner)
        complain(call);
    call_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- what receive.c and send.c need ---- */

struct channel *call_channel(const struct owner *owner) {
    if (!owner->channel || !PyObject_TypeCheck(owner->channel, channel_type))
        return NULL;
    struct channel *channel = (struct channel *)owner->channel;
    return channel->is_direct && channel->turn && Py_TYPE((PyObject *)channel->turn) == turn_type ? channel : NULL;
}

PyObject *call_task(const struct channel *channel) {
    PyObject *task = PyObject_GetAttr(given.run_context, names.task);
    PyObject *runner = task ? PyObject_GetAttr(task, names._runner) : NULL;
    PyObject *number = runner ? PyObject_CallNoArgs(channel->fileno) : NULL;
    bool is_served = number && runner == channel->turn->runner && PyLong_AsLong(number) == channel->fd;
    Py_XDECREF(number);
    Py_XDECREF(runner);
    if (is_served)
        return task;
    Py_XDECREF(task);
    PyErr_Clear(); /* outside of a run, or the socket has gone: Python says so */
    return NULL;
}

static int is_true(PyObject *object, PyObject *name) {
    PyObject *value = PyObject_GetAttr(object, name);
    int result = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return result;
}

static int is_interrupted(PyObject *task) {
    PyObject *runner = PyObject_GetAttr(task, names._runner);
    PyObject *main_task = runner ? PyObject_GetAttr(runner, names.main_task) : NULL;
    int result = !main_task ? -1 : main_task == task ? is_true(runner, names.ki_pending) : 0;
    Py_XDECREF(main_task);
    Py_XDECREF(runner);
    return result;
}

int call_enter_cancel_point(PyObject *task) {
    PyObject *points = PyObject_GetAttr(task, names._cancel_points);
    PyObject *one = points ? PyLong_FromLong(1) : NULL;
    PyObject *more = one ? PyNumber_Add(points, one) : NULL;
    int failed = !more || PyObject_SetAttr(task, names._cancel_points, more) < 0;
    Py_XDECREF(more);
    Py_XDECREF(one);
    Py_XDECREF(points);
    PyObject *status = failed ? NULL : PyObject_GetAttr(task, names._cancel_status);
    int result = status ? is_true(status, names.effectively_cancelled) : -1;
    Py_XDECREF(status);
    return result ? result : is_interrupted(task);
}

bool call_pass_cancel_point(PyObject *task) {
    int is_cancelled = call_enter_cancel_point(task);
    if (is_cancelled)
        PyErr_Clear();
    return !is_cancelled;
}

bool call_next_is_tried(struct channel *channel) {
    if (channel->misses < MISSES_MAX)
        return true;
    channel->misses = channel->misses < MISSES_MAX + TRY_AGAIN ? channel->misses + 1 : MISSES_MAX - 1;
    return false;
}

struct request *call_take_request(PyObject *free) {
    Py_ssize_t count = PyList_Size(free);
    if (count <= 0)
        return NULL;
    PyObject *last = PyList_GetItem(free, count - 1);
    Py_INCREF(last);
    if (PyList_SetSlice(free, count - 1, count, NULL) < 0) {
        Py_DECREF(last);
        return NULL;
    }
    return (struct request *)last;
}

PySendResult call_wait(struct call *call, struct request *request, PyObject **result) {
    call->state = WAITING;
    call->request = request;
    Py_INCREF(request->message);
    *result = request->message;
    return PYGEN_NEXT;
}

PySendResult call_pass(struct call *call, PyObject **result) {
    call->state = PASSING;
    Py_INCREF(given.shielded_checkpoint);
    *result = given.shielded_checkpoint;
    return PYGEN_NEXT;
}

/* ---- steps ---- */

PySendResult call_go_on(struct call *call, PyObject *coroutine, PyObject **result) {
    if (!coroutine)
        return PYGEN_ERROR;
    Py_XDECREF(call->coroutine);
    call->coroutine = coroutine;
    call->state = PYTHON;
    return PyIter_Send(coroutine, Py_None, result);
}

PySendResult call_in_python(struct call *call, PyObject **result) {
    PyObject *in_python[] = {names._receive_some, names._send_all, names._recv,  names._send,
                             names._accept,       names._recvfrom, names._sendto};
    PyObject *name = in_python[call->kind], *owner = (PyObject *)call->owner, *coroutine;
    if (call->kind == ACCEPT)
        coroutine = PyObject_CallMethodObjArgs(owner, name, NULL);
    else if (call->kind == SENDTO)
        coroutine = PyObject_CallMethodObjArgs(owner, name, PyTuple_GetItem(call->argument, 0),
                                               PyTuple_GetItem(call->argument, 1), NULL);
    else
        coroutine = PyObject_CallMethodObjArgs(owner, name, call->argument, NULL);
    return call_go_on(call, coroutine, result);
}

/* Trio resumes with the request itself, or with an outcome if the socket was closed. */
bool call_ended_well(struct call *call, PyObject *woken) {
    PyObject *ends[] = {given.end_receive_some, given.end_send_all, given.end_recv,  given.end_send,
                        given.end_accept,       given.end_recvfrom, given.end_sendto};
    if (call->request && woken == (PyObject *)call->request && !call->request->status)
        return true;
    PyObject *told = PyObject_CallFunctionObjArgs(ends[call->kind], woken, NULL);
    Py_XDECREF(told);
    return told != NULL;
}

static PySendResult refuse(PyObject *type, const char *why) {
    PyErr_SetString(type, why);
    return PYGEN_ERROR;
}

static PySendResult begin(struct call *call, PyObject **result) {
    if (call->kind >= RECVFROM)
        return datagram_begin(call, result);
    if (call->kind == ACCEPT || own_way_socket(call))
        return own_way_begin(call, result);
    return is_receive(call->kind) ? receive_begin(call, result) : send_begin(call, result);
}

/* After the checkpoint: what there is to tell. */
static PySendResult pass(struct call *call, PyObject **result) {
    if (call->state == FAILING)
        return call_ended_well(call, call->value) ? refuse(PyExc_SystemError, "a failure was lost") : PYGEN_ERROR;
    if (!call->value)
        return send_return(call, call->sent, result);
    *result = call->value;
    call->value = NULL;
    return PYGEN_RETURN;
}

static PySendResult wake(struct call *call, PyObject *woken, PyObject **result) {
    if (call->kind == RECVFROM)
        return datagram_end(call, woken, result);
    return is_receive(call->kind) ? receive_end(call, woken, result) : send_end(call, woken, result);
}

static PySendResult step(struct call *call, PyObject *value, PyObject **result) {
    PySendResult outcome = PYGEN_ERROR;
    *result = NULL;
    switch (call->state) {
    case FRESH:
        if (value != Py_None)
            return refuse(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        outcome = begin(call, result);
        break;
    case WAITING:
        outcome = wake(call, value, result);
        break;
    case PASSING:
    case FAILING:
        outcome = pass(call, result);
        break;
    case PYTHON:
        outcome = PyIter_Send(call->coroutine, value, result);
        break;
    default:
        return refuse(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    }
    if (outcome != PYGEN_NEXT)
        end(call);
    return outcome;
}

static PySendResult call_am_send(PyObject *self, PyObject *value, PyObject **result) {
    Py_INCREF(self); /* what it awaits may drop it */
    PySendResult outcome = step((struct call *)self, value, result);
    Py_DECREF(self);
    return outcome;
}

/* The value of a coroutine that ends, as generators tell it. */
static PyObject *stop(PyObject *value) {
    PyObject *error = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);
    if (error)
        PyErr_SetObject(PyExc_StopIteration, error);
    Py_XDECREF(error);
    Py_DECREF(value);
    return NULL;
}

static PyObject *call_send(PyObject *self, PyObject *value) {
    PyObject *result;
    PySendResult outcome = call_am_send(self, value, &result);
    return outcome == PYGEN_RETURN ? stop(result) : result;
}

static PyObject *call_iternext(PyObject *self) { return call_send(self, Py_None); }

static PyObject *call_throw(PyObject *self, PyObject *args) {
    struct call *call = (struct call *)self;
    PyObject *type, *value = Py_None, *traceback = Py_None;
    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &type, &value, &traceback))
        return NULL;
    if (call->state == PYTHON) {
        PyObject *throw = PyObject_GetAttr(call->coroutine, names.throw);
        PyObject *result = throw ? PyObject_Call(throw, args, NULL) : NULL;
        Py_XDECREF(throw);
        if (!result)
            end(call);
        return result;
    }
    end(call);
    if (PyExceptionInstance_Check(type))
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    else if (PyExceptionClass_Check(type))
        PyErr_SetObject(type, value == Py_None ? NULL : value);
    else
        PyErr_SetString(PyExc_TypeError, "throw() takes an exception, or its class and value");
    return NULL;
}

static PyObject *call_close(PyObject *self, PyObject *ignored) {
    struct call *call = (struct call *)self;
    (void)ignored;
    PyObject *done = NULL;
    if (call->state == PYTHON) {
        done = PyObject_CallMethodObjArgs(call->coroutine, names.close, NULL);
        if (!done)
            return NULL;
        Py_DECREF(done);
    }
    end(call);
    Py_RETURN_NONE;
}

static PyObject *call_self(PyObject *self) {
    Py_INCREF(self);
    return self;
}

static PyMethodDef call_methods[] = {
    {"send", call_send, METH_O, NULL},
    {"throw", call_throw, METH_VARARGS, NULL},
    {"close", call_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* What a task awaits is told by these (Task.iter_await_frames() of Trio). A call that is done here has no frame, and
 * then not the attribute; one that is done by a coroutine shows the coroutine's. */
static PyObject *call_inside(PyObject *self, void *name) {
    struct call *call = (struct call *)self;
    if (call->state == PYTHON)
        return PyObject_GetAttrString(call->coroutine, name);
    PyErr_Format(PyExc_AttributeError, "this call has no %s: C does it", (const char *)name);
    return NULL;
}

static PyGetSetDef call_attributes[] = {
    {"cr_frame", call_inside, NULL, NULL, "cr_frame"},
    {"cr_await", call_inside, NULL, NULL, "cr_await"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_am_await, (void *)call_self},      {Py_am_send, (void *)call_am_send}, {Py_tp_iter, (void *)call_self},
    {Py_tp_iternext, (void *)call_iternext}, {Py_tp_methods, call_methods},    {Py_tp_traverse, (void *)call_traverse},
    {Py_tp_clear, (void *)call_clear},     {Py_tp_dealloc, (void *)call_dealloc}, {Py_tp_getset, call_attributes},
    {0, NULL},
};
static PyType_Spec call_spec = {"trio_rio._engine._native.Call", sizeof(struct call), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                call_slots};

int call_add(PyObject *module) {
    call_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &call_spec, NULL);
    return call_type ? PyModule_AddType(module, call_type) : -1;
}
