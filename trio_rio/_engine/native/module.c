/* The module: its types, and the objects of Python that they work with. */
#include "engine.h"

struct names names;
struct given given;
struct numbers numbers;

/* setup(**objects): what is needed of Trio and of the package, in as many calls as it takes. */
static PyObject *setup(PyObject *module, PyObject *args, PyObject *keywords) {
    (void)module;
    if (PyTuple_Size(args) || !keywords) {
        PyErr_SetString(PyExc_TypeError, "setup() takes keywords only");
        return NULL;
    }
    PyObject *object;
#define X(name)                                                                                                        \
    if ((object = PyDict_GetItemString(keywords, #name)))                                                              \
        put(&given.name, object);
    GIVEN(X)
#undef X
#define X(name)                                                                                                        \
    if ((object = PyDict_GetItemString(keywords, #name)))                                                              \
        numbers.name = PyLong_AsUnsignedLongLong(object);
    NUMBERS(X)
#undef X
    if (PyErr_Occurred())
        return NULL;
    methods_set_texts();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"setup", (PyCFunction)(void (*)(void))setup, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    if (call_type) {
        PyErr_SetString(PyExc_ImportError, "the engine serves one interpreter of a process");
        return -1;
    }
#define X(name)                                                                                                        \
    if (!(names.name = PyUnicode_InternFromString(#name)))                                                             \
        return -1;
    NAMES(X)
#undef X
    if (fields_add(module) < 0 || methods_add(module) < 0 || counters_add(module) < 0)
        return -1;
    return turn_add(module) < 0 || tick_add(module) < 0 || call_add(module) < 0 ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "trio_rio._engine._native",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
