/* A turn: the results of one dequeue, handed to the tasks that wait for them.
 *
 * Facts. A batch has up to hundreds of results, nearly all of which belong to a task that waits. In Python each is a
 * tuple, and a dozen attributes.
 * Decision. turn_collect() reads them from the provider's array and marks their requests; what nearly every completion
 * is (WAITED, COMPLETE, WAKE) is done here, and all else by Collector._complete(). Python makes the tasks runnable:
 * that is Trio's, and guests and instruments have a say in it.
 */
#include "engine.h"

#define ROOM_MAX 65536u

PyTypeObject *turn_type;

static PyMemberDef turn_members[] = {
    {"runner", T_OBJECT_EX, offsetof(struct turn, runner), 0, NULL},
    {"woken", T_INT, offsetof(struct turn, woken), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int turn_traverse(PyObject *self, visitproc visit, void *arg) {
    struct turn *turn = (struct turn *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(turn->runner);
    Py_VISIT(turn->requests);
    Py_VISIT(turn->small);
    Py_VISIT(turn->large);
    Py_VISIT(turn->counters);
    return 0;
}

static int turn_clear(PyObject *self) {
    struct turn *turn = (struct turn *)self;
    Py_CLEAR(turn->runner);
    Py_CLEAR(turn->requests);
    Py_CLEAR(turn->small);
    Py_CLEAR(turn->large);
    Py_CLEAR(turn->counters);
    return 0;
}

static void turn_dealloc(PyObject *self) {
    PyMem_Free(((struct turn *)self)->results);
    fields_dealloc(self, turn_clear);
}

/* Turn(table, provider, requests, small, large, counters, copy_bytes_max): addresses, the lists of a RequestPool, and
 * what is counted. */
static int turn_init(PyObject *self, PyObject *args, PyObject *keywords) {
    struct turn *turn = (struct turn *)self;
    unsigned long long table, provider;
    PyObject *requests, *small, *large, *counters;
    unsigned int copy_bytes_max;
    if (keywords || turn->requests) {
        PyErr_SetString(PyExc_TypeError, "a Turn is made once, without keywords");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "KKO!O!O!O!I:Turn", &table, &provider, &PyList_Type, &requests, &PyList_Type, &small,
                          &PyList_Type, &large, counters_type, &counters, &copy_bytes_max))
        return -1;
    turn->table = (const rio_table *)(uintptr_t)table;
    turn->provider = (void *)(uintptr_t)provider;
    if (turn->table->version != RIO_TABLE_VERSION) {
        PyErr_Format(PyExc_ImportError, "the engine has version %u of table.h, the provider %u", RIO_TABLE_VERSION,
                     turn->table->version);
        return -1;
    }
    put(&turn->requests, requests);
    put(&turn->small, small);
    put(&turn->large, large);
    put((PyObject **)&turn->counters, counters);
    put(&turn->runner, Py_None);
    turn->copy_bytes_max = copy_bytes_max;
    return 0;
}

/* Takes the array out of the turn: whoever looks for results while these are handed out, as a finalizer may, makes
 * another. NULL with an exception: no memory. */
static rio_table_result *take_results(struct turn *turn, uint32_t room) {
    rio_table_result *results = turn->room < room ? NULL : turn->results;
    if (results) {
        turn->results = NULL;
        turn->room = 0;
        return results;
    }
    results = PyMem_Malloc(room * sizeof *results);
    if (!results)
        PyErr_NoMemory();
    return results;
}

static void put_results_back(struct turn *turn, rio_table_result *results, uint32_t room) {
    PyMem_Free(turn->results);
    turn->results = results;
    turn->room = room;
}

static int complete(PyObject *collector, struct request *request, PyObject *woken) {
    PyObject *done = PyObject_CallMethodObjArgs(collector, names._complete, (PyObject *)request, woken, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static bool set_status(struct request *request, int number) {
    request->status = 0;
    if (!number)
        return true;
    PyObject *native = PyLong_FromLong(number);
    PyObject *status = native ? PyObject_CallFunctionObjArgs(given.status_from_errno, native, NULL) : NULL;
    Py_XDECREF(native);
    if (!status)
        return false;
    request->status = (int)PyLong_AsLong(status);
    Py_DECREF(status);
    return true;
}

static int hand_out(struct turn *turn, const rio_table_result *result, PyObject *collector, PyObject *woken) {
    Py_ssize_t slot = (Py_ssize_t)(result->request_context & numbers.slot_mask);
    PyObject *found = PyList_GetItem(turn->requests, slot); /* borrowed */
    struct request *request = (struct request *)found;
    if (!found || request->context != result->request_context) {
        PyErr_Format(given.internal_error, "a result came for request context %llx, which is not in use",
                     (unsigned long long)result->request_context);
        return -1;
    }
    request->count = result->bytes_transferred;
    if (!set_status(request, result->status))
        return -1;
    if (request->state != given.waited_state || !PyObject_TypeCheck(request->channel, channel_type))
        return complete(collector, request, woken);
    struct channel *channel = (struct channel *)request->channel;
    put(&request->state, given.done_state);
    if (request->is_receive)
        put(&channel->reader, Py_None);
    else if (PySet_Discard(channel->sends, found) < 0)
        return -1;
    return PyList_Append(woken, found);
}

static bool hand_out_all(struct turn *turn, const rio_table_result *results, uint32_t count, PyObject *collector,
                         PyObject *woken) {
    counters_note_dequeue(turn->counters, count);
    for (uint32_t i = 0; i < count; i++)
        if (hand_out(turn, &results[i], collector, woken) < 0)
            return false;
    turn->woken = count ? (int)PyList_Size(woken) : turn->woken;
    return true;
}

bool turn_collect(struct turn *turn, PyObject *collector, uint64_t queue, uint32_t limit, PyObject *woken,
                  int64_t *taken) {
    limit = limit < ROOM_MAX ? limit : ROOM_MAX;
    rio_table_result *results = take_results(turn, limit);
    if (!results)
        return false;
    bool is_done = true;
    *taken = turn->table->dequeue(turn->provider, queue, results, limit);
    if (*taken >= 0) {
        *taken = (uint32_t)*taken; /* bit 32 says that there is an error */
        is_done = hand_out_all(turn, results, (uint32_t)*taken, collector, woken);
    }
    put_results_back(turn, results, limit);
    return is_done;
}

/* collect(collector, completion_queue, limit, woken): turn_collect(). */
static PyObject *collect(PyObject *self, PyObject *args) {
    PyObject *collector, *woken;
    unsigned long long queue;
    unsigned int limit;
    int64_t taken;
    if (!PyArg_ParseTuple(args, "OKIO!:collect", &collector, &queue, &limit, &PyList_Type, &woken))
        return NULL;
    if (!turn_collect((struct turn *)self, collector, queue, limit, woken, &taken))
        return NULL;
    return PyLong_FromLongLong(taken);
}

static PyMethodDef turn_methods[] = {
    {"collect", collect, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot turn_slots[] = {
    {Py_tp_init, (void *)turn_init},         {Py_tp_members, turn_members},
    {Py_tp_methods, turn_methods},           {Py_tp_traverse, (void *)turn_traverse},
    {Py_tp_clear, (void *)turn_clear},       {Py_tp_dealloc, (void *)turn_dealloc},
    {0, NULL},
};
static PyType_Spec turn_spec = {"trio_rio._engine._native.Turn", sizeof(struct turn), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, turn_slots};

int turn_add(PyObject *module) {
    turn_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &turn_spec, NULL);
    return turn_type ? PyModule_AddType(module, turn_type) : -1;
}
