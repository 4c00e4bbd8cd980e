/* The methods of streams and sockets that begin in C. Each makes a call; what is unusual about its arguments is for the
 * method of Python to say, whose coroutine is then what the caller gets.
 */
#include "engine.h"

static int owner_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct owner *)self)->channel);
    return 0;
}

static int owner_clear(PyObject *self) {
    Py_CLEAR(((struct owner *)self)->channel);
    return 0;
}

static int stream_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((struct stream *)self)->socket);
    Py_VISIT(((struct stream *)self)->_sock);
    return owner_traverse(self, visit, arg);
}

static int stream_clear(PyObject *self) {
    Py_CLEAR(((struct stream *)self)->socket);
    Py_CLEAR(((struct stream *)self)->_sock);
    return owner_clear(self);
}

static void owner_dealloc(PyObject *self) { fields_dealloc(self, owner_clear); }
static void stream_dealloc(PyObject *self) { fields_dealloc(self, stream_clear); }

/* ---- streams ---- */

static PyMemberDef stream_members[] = {
    {"socket", T_OBJECT_EX, offsetof(struct stream, socket), 0, NULL},
    {"_sock", T_OBJECT_EX, offsetof(struct stream, _sock), 0, NULL},
    {"_channel", T_OBJECT, offsetof(struct owner, channel), 0, NULL},
    {"_is_sending", T_BOOL, offsetof(struct stream, is_sending), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* The one argument, by place or by name; NULL with an exception. */
static PyObject *argument(const char *method, const char *name, PyObject *const *args, Py_ssize_t count,
                          PyObject *keywords, PyObject *otherwise) {
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    PyObject *unknown = named ? PyTuple_GetItem(keywords, 0) : NULL;
    if (unknown && PyUnicode_CompareWithASCIIString(unknown, name)) {
        PyErr_Format(PyExc_TypeError, "RioStream.%s() got an unexpected keyword argument %R", method, unknown);
        return NULL;
    }
    if (count + named == 1)
        return args[0];
    if (count + named == 0 && otherwise)
        return otherwise;
    PyErr_Format(PyExc_TypeError, "RioStream.%s() takes one argument, %s (%zd given)", method, name, count + named);
    return NULL;
}

static PyObject *stream_receive_some(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *max_bytes = argument("receive_some", "max_bytes", args, count, keywords, Py_None);
    return max_bytes ? call_new((struct owner *)self, RECEIVE_SOME, max_bytes) : NULL;
}

static PyObject *stream_send_all(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords) {
    PyObject *data = argument("send_all", "data", args, count, keywords, NULL);
    return data ? call_new((struct owner *)self, SEND_ALL, data) : NULL;
}

#define METHOD(name, function, flags) {name, (PyCFunction)(void (*)(void))function, flags, NULL}

static PyMethodDef stream_methods[] = {
    METHOD("receive_some", stream_receive_some, METH_FASTCALL | METH_KEYWORDS),
    METHOD("send_all", stream_send_all, METH_FASTCALL | METH_KEYWORDS),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_members, stream_members},
    {Py_tp_methods, stream_methods},
    {Py_tp_traverse, (void *)stream_traverse},
    {Py_tp_clear, (void *)stream_clear},
    {Py_tp_dealloc, (void *)stream_dealloc},
    {0, NULL},
};
static PyType_Spec stream_spec = {"trio_rio._engine._native.StreamFields", sizeof(struct stream), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, stream_slots};

/* ---- sockets ---- */

static PyMemberDef socket_members[] = {
    {"_channel", T_OBJECT, offsetof(struct owner, channel), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* Calls a method of Python with all the arguments; its coroutine. */
static PyObject *in_python(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t count) {
    PyObject *method = PyObject_GetAttr(self, name), *all = method ? PyTuple_New(count) : NULL, *coroutine = NULL;
    for (Py_ssize_t i = 0; all && i < count; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(all, i, args[i]);
    }
    if (all)
        coroutine = PyObject_Call(method, all, NULL);
    Py_XDECREF(all);
    Py_XDECREF(method);
    return coroutine;
}

static PyObject *socket_call(PyObject *self, enum kind kind, PyObject *name, PyObject *const *args, Py_ssize_t count) {
    struct owner *owner = (struct owner *)self;
    bool is_usual = count == 1 && owner->channel && owner->channel != Py_None;
    return is_usual ? call_new(owner, kind, args[0]) : in_python(self, name, args, count);
}

static PyObject *socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return socket_call(self, RECV, names._recv, args, count);
}

static PyObject *socket_send(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return socket_call(self, SEND, names._send, args, count);
}

static PyMethodDef socket_methods[] = {
    METHOD("recv", socket_recv, METH_FASTCALL),
    METHOD("send", socket_send, METH_FASTCALL),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot socket_slots[] = {
    {Py_tp_members, socket_members},
    {Py_tp_methods, socket_methods},
    {Py_tp_traverse, (void *)owner_traverse},
    {Py_tp_clear, (void *)owner_clear},
    {Py_tp_dealloc, (void *)owner_dealloc},
    {0, NULL},
};
static PyType_Spec socket_spec = {"trio_rio._engine._native.SocketFields", sizeof(struct owner), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, socket_slots};

void methods_set_texts(void) {
    /* What was given lives as long as the process, and so does its text. */
    const struct {
        PyMethodDef *method;
        PyObject *text;
    } texts[] = {
        {&stream_methods[0], given.receive_some_text},
        {&stream_methods[1], given.send_all_text},
        {&socket_methods[0], given.recv_text},
        {&socket_methods[1], given.send_text},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            texts[i].method->ml_doc = PyUnicode_AsUTF8AndSize(texts[i].text, NULL);
}

int methods_add(PyObject *module) {
    PyTypeObject *stream = (PyTypeObject *)PyType_FromModuleAndSpec(module, &stream_spec, NULL);
    PyTypeObject *socket = (PyTypeObject *)PyType_FromModuleAndSpec(module, &socket_spec, NULL);
    bool is_added = stream && socket && !PyModule_AddType(module, stream) && !PyModule_AddType(module, socket);
    return is_added ? 0 : -1;
}
