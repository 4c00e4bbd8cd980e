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

PyTypeObject *socket_type;

static PyMemberDef socket_members[] = {
    {"_channel", T_OBJECT, offsetof(struct owner, channel), 0, NULL},
    {"_sock", T_OBJECT_EX, offsetof(struct socket, _sock), 0, NULL},
    {"_begins_in_c", T_BOOL, offsetof(struct socket, begins_in_c), 0, NULL},
    {"_calls_left", T_INT, offsetof(struct socket, calls_left), 0, NULL},
    {"_did_shutdown_SHUT_WR", T_BOOL, offsetof(struct socket, did_shutdown), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int socket_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((struct socket *)self)->_sock);
    return owner_traverse(self, visit, arg);
}

static int socket_clear(PyObject *self) {
    Py_CLEAR(((struct socket *)self)->_sock);
    return owner_clear(self);
}

static void socket_dealloc(PyObject *self) { fields_dealloc(self, socket_clear); }

/* All the arguments. */
static PyObject *in_tuple(PyObject *const *args, Py_ssize_t count) {
    PyObject *all = PyTuple_New(count);
    for (Py_ssize_t i = 0; all && i < count; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(all, i, args[i]);
    }
    return all;
}

/* Calls a method of Python with all the arguments; its coroutine. */
static PyObject *in_python(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t count) {
    PyObject *method = PyObject_GetAttr(self, name), *all = method ? in_tuple(args, count) : NULL;
    PyObject *coroutine = all ? PyObject_Call(method, all, NULL) : NULL;
    Py_XDECREF(all);
    Py_XDECREF(method);
    return coroutine;
}

static bool has_channel(PyObject *self) {
    PyObject *channel = ((struct owner *)self)->channel;
    return channel && channel != Py_None;
}

static PyObject *socket_call(PyObject *self, enum kind kind, PyObject *name, PyObject *const *args, Py_ssize_t count) {
    struct socket *socket = (struct socket *)self;
    bool is_usual = count == 1 && (has_channel(self) || socket->calls_left > 0);
    return is_usual ? call_new(&socket->owner, kind, args[0]) : in_python(self, name, args, count);
}

static PyObject *socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return socket_call(self, RECV, names._recv, args, count);
}

static PyObject *socket_send(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return socket_call(self, SEND, names._send, args, count);
}

static PyObject *socket_accept(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return call_new((struct owner *)self, ACCEPT, Py_None);
}

static PyObject *socket_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    bool is_usual = count == 1 && has_channel(self);
    return is_usual ? call_new((struct owner *)self, RECVFROM, args[0]) : in_python(self, names._recvfrom, args, count);
}

static PyObject *socket_sendto(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !has_channel(self))
        return in_python(self, names._sendto, args, count);
    PyObject *both = in_tuple(args, count);
    PyObject *call = both ? call_new((struct owner *)self, SENDTO, both) : NULL;
    Py_XDECREF(both);
    return call;
}

static PyMethodDef socket_methods[] = {
    METHOD("recv", socket_recv, METH_FASTCALL),
    METHOD("send", socket_send, METH_FASTCALL),
    METHOD("accept", socket_accept, METH_NOARGS),
    METHOD("recvfrom", socket_recvfrom, METH_FASTCALL),
    METHOD("sendto", socket_sendto, METH_FASTCALL),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot socket_slots[] = {
    {Py_tp_members, socket_members},
    {Py_tp_methods, socket_methods},
    {Py_tp_traverse, (void *)socket_traverse},
    {Py_tp_clear, (void *)socket_clear},
    {Py_tp_dealloc, (void *)socket_dealloc},
    {0, NULL},
};
static PyType_Spec socket_spec = {"trio_rio._engine._native.SocketFields", sizeof(struct socket), 0,
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
        {&socket_methods[2], given.accept_text},
        {&socket_methods[3], given.recvfrom_text},
        {&socket_methods[4], given.sendto_text},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            texts[i].method->ml_doc = PyUnicode_AsUTF8AndSize(texts[i].text, NULL);
}

int methods_add(PyObject *module) {
    PyTypeObject *stream = (PyTypeObject *)PyType_FromModuleAndSpec(module, &stream_spec, NULL);
    socket_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &socket_spec, NULL);
    bool is_made = stream && socket_type;
    return is_made && !PyModule_AddType(module, stream) && !PyModule_AddType(module, socket_type) ? 0 : -1;
}
