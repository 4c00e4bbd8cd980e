/* Requests and channels as structs, whose fields Python sees as attributes.
 *
 * Facts. A class of Python may inherit from a type of C, and add methods and slots; the struct is then at the front
 * of each object. Requests, their messages and their pool refer to each other in circles.
 * Decision. The types here have fields and nothing else, and take part in garbage collection. A field that was never
 * set raises AttributeError, as a slot does.
 */
#include "engine.h"

#define FIELD(type, struct_name, name, flags) {#name, type, offsetof(struct struct_name, name), flags, NULL}

/* Visits, or drops, the objects of a struct: those from `first` up to and including `last`, which follow each other. */
#define VISIT_FROM(object, first, last)                                                                                \
    for (PyObject **field = (PyObject **)&(object)->first; field <= (PyObject **)&(object)->last; field++)             \
    Py_VISIT(*field)
#define CLEAR_FROM(object, first, last)                                                                                \
    for (PyObject **field = (PyObject **)&(object)->first; field <= (PyObject **)&(object)->last; field++)             \
    Py_CLEAR(*field)

void fields_dealloc(PyObject *self, int (*clear)(PyObject *)) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* ---- requests ---- */

static PyMemberDef request_members[] = {
    FIELD(T_OBJECT_EX, request, pool, 0),
    FIELD(T_OBJECT_EX, request, home, 0),
    FIELD(T_OBJECT_EX, request, slice, READONLY),
    FIELD(T_OBJECT_EX, request, state, 0),
    FIELD(T_OBJECT_EX, request, channel, 0),
    FIELD(T_OBJECT_EX, request, task, 0),
    FIELD(T_OBJECT_EX, request, registered, 0),
    FIELD(T_OBJECT_EX, request, memory, 0),
    FIELD(T_OBJECT_EX, request, raise_cancel, 0),
    FIELD(T_OBJECT_EX, request, message, 0),
    FIELD(T_ULONGLONG, request, context, 0),
    FIELD(T_PYSSIZET, request, length, 0),
    FIELD(T_PYSSIZET, request, count, 0),
    FIELD(T_INT, request, status, 0),
    FIELD(T_BOOL, request, is_receive, 0),
    {NULL, 0, 0, 0, NULL},
};

static int request_traverse(PyObject *self, visitproc visit, void *arg) {
    struct request *request = (struct request *)self;
    Py_VISIT(Py_TYPE(self));
    VISIT_FROM(request, pool, message);
    return 0;
}

static int request_clear(PyObject *self) {
    struct request *request = (struct request *)self;
    CLEAR_FROM(request, pool, message);
    return 0;
}

static void request_dealloc(PyObject *self) { fields_dealloc(self, request_clear); }

/* _set_slice(slice, buffer_id, offset, address_offset, view): the memory of a request; once, and for good. */
static PyObject *request_set_slice(PyObject *self, PyObject *args) {
    struct request *request = (struct request *)self;
    PyObject *slice, *view;
    unsigned long long buffer_id;
    unsigned int offset, address_offset;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(args, "OKIIO:_set_slice", &slice, &buffer_id, &offset, &address_offset, &view))
        return NULL;
    put(&request->slice, slice);
    if (view == Py_None)
        Py_RETURN_NONE;
    if (PyObject_GetBuffer(view, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    /* The slice keeps the view, and so the memory. */
    request->data = buffer.buf;
    request->room = (uint32_t)buffer.len;
    request->buffer_id = buffer_id;
    request->offset = offset;
    request->address_offset = address_offset;
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
}

static PyMethodDef request_methods[] = {
    {"_set_slice", request_set_slice, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_members, request_members},
    {Py_tp_methods, request_methods},
    {Py_tp_traverse, (void *)request_traverse},
    {Py_tp_clear, (void *)request_clear},
    {Py_tp_dealloc, (void *)request_dealloc},
    {0, NULL},
};
static PyType_Spec request_spec = {"trio_rio._engine._native.RequestFields", sizeof(struct request), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, request_slots};

bool request_finish(struct request *request) {
    if (request->registered != Py_None) {
        PyObject *done = PyObject_CallMethodObjArgs(request->pool, names.finish, request, NULL);
        Py_XDECREF(done);
        return done != NULL;
    }
    put(&request->state, given.free_state);
    put(&request->raise_cancel, given.raise_aborted);
    request->context = (request->context + numbers.generation) & numbers.context_mask;
    put(&request->channel, Py_None);
    put(&request->task, Py_None);
    return PyList_Append(request->home, (PyObject *)request) == 0;
}

/* ---- channels ---- */

static PyMemberDef channel_members[] = {
    FIELD(T_OBJECT_EX, channel, turn, 0),
    FIELD(T_OBJECT_EX, channel, reader, 0),
    FIELD(T_OBJECT_EX, channel, sends, 0),
    FIELD(T_OBJECT_EX, channel, fileno, 0),
    FIELD(T_OBJECT_EX, channel, waits, 0),
    FIELD(T_OBJECT_EX, channel, read_key, 0),
    FIELD(T_OBJECT_EX, channel, write_key, 0),
    FIELD(T_OBJECT_EX, channel, pool, 0),
    FIELD(T_ULONGLONG, channel, queue, 0),
    FIELD(T_PYSSIZET, channel, receive_size_bytes, 0),
    FIELD(T_INT, channel, fd, 0),
    FIELD(T_BOOL, channel, is_direct, 0),
    FIELD(T_BOOL, channel, is_busy, 0),
    FIELD(T_BOOL, channel, is_stream, 0),
    {NULL, 0, 0, 0, NULL},
};

static int channel_traverse(PyObject *self, visitproc visit, void *arg) {
    struct channel *channel = (struct channel *)self;
    Py_VISIT(Py_TYPE(self));
    VISIT_FROM(channel, turn, pool);
    return 0;
}

static int channel_clear(PyObject *self) {
    struct channel *channel = (struct channel *)self;
    CLEAR_FROM(channel, turn, pool);
    return 0;
}

static void channel_dealloc(PyObject *self) { fields_dealloc(self, channel_clear); }

static PyType_Slot channel_slots[] = {
    {Py_tp_members, channel_members},
    {Py_tp_traverse, (void *)channel_traverse},
    {Py_tp_clear, (void *)channel_clear},
    {Py_tp_dealloc, (void *)channel_dealloc},
    {0, NULL},
};
static PyType_Spec channel_spec = {"trio_rio._engine._native.ChannelFields", sizeof(struct channel), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, channel_slots};

PyTypeObject *request_type, *channel_type;

int fields_add(PyObject *module) {
    request_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &request_spec, NULL);
    channel_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &channel_spec, NULL);
    if (!request_type || !channel_type)
        return -1;
    return PyModule_AddType(module, request_type) || PyModule_AddType(module, channel_type) ? -1 : 0;
}
