/* A tick of a run: one wait for everything, and the packets of the completion queues that sockets share.
 *
 * Facts. Trio calls get_events and process_events of its I/O manager once per tick. A connection that is alone has two
 * ticks for each message that it answers, and one packet; what a packet takes in Python is ten frames.
 * Decision. A Tick takes the place of these two methods. What it does is what they do (_managers/uring.py,
 * Collectors.on_packet): wait, dequeue a batch, let its tasks run, arm the queue that is empty now. Whatever else comes
 * is handed on to Python: events of other kinds, packets of other queues, errors, calls of other threads, a queue that
 * waits for the notifier already, a full batch. It serves runs whose queues signal by packets that are served in place.
 * Whoever changes one of the two methods of the manager's class, before a run or within, has that called.
 */
#include "engine.h"

/* A completion queue that sockets share. */
struct shared {
    PyObject *collector;
    uint64_t queue;
    uint32_t limit; /* results of one batch */
};

/* What Python does, by the names that the constructor has; the first two are functions of the manager's class. */
#define METHODS(X)                                                                                                     \
    X(get_events) X(process_events) X(manager) X(say_nothing) X(serve_event) X(on_packet) X(call_notifier)             \
    X(note_dequeued)

static PyTypeObject *tick_type;

struct tick {
    PyObject_HEAD
    struct turn *turn;
    PyObject *pool, *postponed;
#define X(name) PyObject *name;
    METHODS(X)
#undef X
    rio_table_event *events;
    struct shared *shared; /* by key */
    Py_ssize_t shared_count;
    unsigned long thread;
    unsigned long long commits;
    uint32_t limit; /* events of one wait */
};

static PyMemberDef tick_members[] = {
    {"commits", T_ULONGLONG, offsetof(struct tick, commits), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int tick_traverse(PyObject *self, visitproc visit, void *arg) {
    struct tick *tick = (struct tick *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(tick->turn);
    Py_VISIT(tick->pool);
    Py_VISIT(tick->postponed);
#define X(name) Py_VISIT(tick->name);
    METHODS(X)
#undef X
    for (Py_ssize_t i = 0; i < tick->shared_count; i++)
        Py_VISIT(tick->shared[i].collector);
    return 0;
}

static int tick_clear(PyObject *self) {
    struct tick *tick = (struct tick *)self;
    Py_CLEAR(tick->turn);
    Py_CLEAR(tick->pool);
    Py_CLEAR(tick->postponed);
#define X(name) Py_CLEAR(tick->name);
    METHODS(X)
#undef X
    while (tick->shared_count) {
        tick->shared_count--;
        Py_CLEAR(tick->shared[tick->shared_count].collector);
    }
    return 0;
}

static void tick_dealloc(PyObject *self) {
    struct tick *tick = (struct tick *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    tick_clear(self);
    PyMem_Free(tick->shared);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* From a list of (collector, completion queue, results of a batch). */
static int take_shared(struct tick *tick, PyObject *list) {
    Py_ssize_t count = PyList_Size(list);
    tick->shared = PyMem_Calloc((size_t)count, sizeof *tick->shared);
    if (!tick->shared) {
        PyErr_NoMemory();
        return -1;
    }
    for (; tick->shared_count < count; tick->shared_count++) {
        struct shared *shared = &tick->shared[tick->shared_count];
        unsigned long long queue;
        PyObject *collector;
        if (!PyArg_ParseTuple(PyList_GetItem(list, tick->shared_count), "OKI", &collector, &queue, &shared->limit))
            return -1;
        put(&shared->collector, collector);
        shared->queue = queue;
    }
    return 0;
}

/* Tick(turn, pool, shared, postponed, events, limit, thread, **methods): events go to that address, which has room for
 * so many. While there is something in the set `postponed`, note_dequeued is called after each batch. */
static int tick_init(PyObject *self, PyObject *args, PyObject *keywords) {
    struct tick *tick = (struct tick *)self;
    PyObject *turn, *pool, *list, *postponed, *method;
    unsigned long long events;
    if (tick->turn) {
        PyErr_SetString(PyExc_TypeError, "a Tick is made once");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "O!OO!O!KIk:Tick", turn_type, &turn, &pool, &PyList_Type, &list, &PySet_Type,
                          &postponed, &events, &tick->limit, &tick->thread))
        return -1;
#define X(name)                                                                                                        \
    if (!(method = keywords ? PyDict_GetItemString(keywords, #name) : NULL)) {                                         \
        PyErr_SetString(PyExc_TypeError, "a Tick needs " #name);                                                       \
        return -1;                                                                                                     \
    }                                                                                                                  \
    put(&tick->name, method);
    METHODS(X)
#undef X
    tick->events = (rio_table_event *)(uintptr_t)events;
    put(&tick->pool, pool);
    put(&tick->postponed, postponed);
    put((PyObject **)&tick->turn, turn);
    return take_shared(tick, list);
}

/* ---- waiting ---- */

/* Rounded up, so that a wait does not end before its time. */
static int64_t nanoseconds(double seconds) {
    double wanted = seconds * 1e9;
    if (wanted >= 9e18)
        return -1; /* without end */
    int64_t whole = (int64_t)wanted;
    return whole + ((double)whole < wanted);
}

/* Calls what the manager's class has by this name. */
static PyObject *call_method(const struct tick *tick, PyObject *name, PyObject *argument) {
    PyObject *method = PyObject_GetAttr((PyObject *)Py_TYPE(tick->manager), name);
    PyObject *result = method ? PyObject_CallFunctionObjArgs(method, tick->manager, argument, NULL) : NULL;
    Py_XDECREF(method);
    return result;
}

static bool is_changed(const struct tick *tick, PyObject *name, PyObject *method) {
    PyObject *now = PyObject_GetAttr((PyObject *)Py_TYPE(tick->manager), name);
    Py_XDECREF(now);
    PyErr_Clear();
    return now != method;
}

static PyObject *tick_get_events(PyObject *self, PyObject *timeout) {
    struct tick *tick = (struct tick *)self;
    const struct turn *turn = tick->turn;
    double seconds = PyFloat_AsDouble(timeout);
    int count;
    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    bool is_of_host = PyThread_get_thread_ident() != tick->thread; /* of a guest: it may only look */
    if (is_of_host || is_changed(tick, names.get_events, tick->get_events))
        return call_method(tick, names.get_events, timeout);
    tick->commits++;
    Py_BEGIN_ALLOW_THREADS
    count = turn->table->wait(turn->provider, nanoseconds(seconds), tick->events, tick->limit);
    Py_END_ALLOW_THREADS
    PyObject *number = PyLong_FromLong(count);
    if (count >= 0 || !number)
        return number;
    PyObject *events = PyObject_CallFunctionObjArgs(tick->say_nothing, number, NULL);
    Py_DECREF(number);
    return events;
}

/* ---- packets ---- */

static int call(PyObject *method, PyObject *argument) {
    PyObject *done = PyObject_CallFunctionObjArgs(method, argument, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int call_with_key(PyObject *method, uint64_t key) {
    PyObject *number = PyLong_FromUnsignedLongLong(key);
    int result = number ? call(method, number) : -1;
    Py_XDECREF(number);
    return result;
}

/* As Collector._wake(). */
static int wake(struct tick *tick, PyObject *woken, int woken_before) {
    struct turn *turn = tick->turn;
    if (turn->woken != woken_before) {
        PyObject *count = PyLong_FromLong(turn->woken);
        int failed = !count || PyObject_SetAttr(tick->pool, names.woken, count) < 0;
        Py_XDECREF(count);
        if (failed)
            return -1;
    }
    if (!PyList_Size(woken))
        return 0;
    PyObject *done = PyObject_CallFunctionObjArgs(given.reschedule_all, turn->runner, woken, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* What comes after a batch: the rest is the notifier's, or there is none, and the queue is armed. */
static int go_on(struct tick *tick, const struct shared *shared, int64_t taken) {
    struct turn *turn = tick->turn;
    if (taken == shared->limit)
        return call(tick->call_notifier, shared->collector);
    if (turn->table->notify(turn->provider, shared->queue)) { /* Python is told so too, and knows what to do */
        PyObject *done = PyObject_CallMethodObjArgs(shared->collector, names.arm, NULL);
        Py_XDECREF(done);
        return done ? 0 : -1;
    }
    turn->counters->armed++;
    return PyObject_SetAttr(shared->collector, names.is_armed, Py_True);
}

/* Dequeues a batch of a queue whose packet has come, lets its tasks run, and goes on. */
static int serve_batch(struct tick *tick, const struct shared *shared, uint64_t key, PyObject *woken) {
    struct turn *turn = tick->turn;
    int woken_before = turn->woken;
    int64_t taken;
    if (!turn_collect(turn, shared->collector, shared->queue, shared->limit, woken, &taken))
        return -1;
    if (taken < 0)
        return call_with_key(tick->on_packet, key); /* Python is refused too, and raises */
    if (PySet_Size(tick->postponed) > 0 && call(tick->note_dequeued, NULL) < 0)
        return -1;
    return wake(tick, woken, woken_before) < 0 ? -1 : go_on(tick, shared, taken);
}

/* As Collectors.on_packet(). */
static int serve_packet(struct tick *tick, uint64_t key) {
    const struct shared *shared = &tick->shared[key];
    PyObject *pending = PyObject_GetAttr(shared->collector, names.is_pending);
    if (!pending)
        return -1;
    Py_DECREF(pending);
    if (pending != Py_False || tick->turn->runner == Py_None)
        return call_with_key(tick->on_packet, key);
    PyObject *woken = PyList_New(0);
    int result = woken ? PyObject_SetAttr(shared->collector, names.is_armed, Py_False) : -1;
    tick->turn->counters->received++;
    if (!result)
        result = serve_batch(tick, shared, key, woken);
    Py_XDECREF(woken);
    return result;
}

static int serve_event(struct tick *tick, rio_table_event event) {
    if (event.kind == RIO_TABLE_PACKET && event.key < (uint64_t)tick->shared_count)
        return serve_packet(tick, event.key);
    PyObject *done = PyObject_CallFunction(tick->serve_event, "IiK", (unsigned int)event.kind, (int)event.result,
                                           (unsigned long long)event.key);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *tick_process_events(PyObject *self, PyObject *events) {
    struct tick *tick = (struct tick *)self;
    long count = PyLong_CheckExact(events) ? PyLong_AsLong(events) : -1;
    bool is_else = count < 0 || count > (long)tick->limit; /* of a guest, or of nothing */
    if (is_else || is_changed(tick, names.process_events, tick->process_events))
        return call_method(tick, names.process_events, events);
    for (long i = 0; i < count; i++)
        if (serve_event(tick, tick->events[i]) < 0)
            return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef tick_methods[] = {
    {"get_events", tick_get_events, METH_O, NULL},
    {"process_events", tick_process_events, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot tick_slots[] = {
    {Py_tp_init, (void *)tick_init},         {Py_tp_members, tick_members},
    {Py_tp_methods, tick_methods},           {Py_tp_traverse, (void *)tick_traverse},
    {Py_tp_clear, (void *)tick_clear},       {Py_tp_dealloc, (void *)tick_dealloc},
    {0, NULL},
};
static PyType_Spec tick_spec = {"trio_rio._engine._native.Tick", sizeof(struct tick), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, tick_slots};

int tick_add(PyObject *module) {
    tick_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &tick_spec, NULL);
    return tick_type ? PyModule_AddType(module, tick_type) : -1;
}
