/* What a run counts, as a struct whose fields Python sees as attributes. All are 0 at first. */
#include "engine.h"

PyTypeObject *counters_type;

void counters_note_dequeue(struct counters *counters, uint32_t results) {
    counters->dequeues++;
    if (!results)
        return;
    counters->completions += results;
    counters->dequeues_with_results++;
    if (results > counters->results_max)
        counters->results_max = results;
    if (results < counters->results_min || !counters->results_min)
        counters->results_min = results;
}

#define COUNTER(name) {#name, T_ULONGLONG, offsetof(struct counters, name), 0, NULL}
static PyMemberDef counters_members[] = {
    COUNTER(completions),  COUNTER(dequeues), COUNTER(dequeues_with_results), COUNTER(results_min),
    COUNTER(results_max),  COUNTER(armed),    COUNTER(received),              COUNTER(drained_late),
    COUNTER(sockets),      COUNTER(window_stalls), {NULL, 0, 0, 0, NULL},
};

static PyType_Slot counters_slots[] = {{Py_tp_members, counters_members}, {0, NULL}};
static PyType_Spec counters_spec = {"trio_rio._engine._native.CounterFields", sizeof(struct counters), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, counters_slots};

int counters_add(PyObject *module) {
    counters_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &counters_spec, NULL);
    return counters_type ? PyModule_AddType(module, counters_type) : -1;
}
