/* The module: its types, functions and constants. */

#include "core.h"

static PyMethodDef functions[] = {
    {"set_clock", core_set_clock, METH_O, "Read time from an object instead of the system."},
    {"bind", core_bind, METH_VARARGS,
     "Give a class its plan; or the module the innermost record's variable and what to do with "
     "leaked records."},
    {"offset_of", core_offset_of, METH_VARARGS, "Return how far a slot lies from a record's start."},
    {"forget_routes", core_forget_routes, METH_NOARGS, "Make every record ask for its route."},
    {"write_ready", core_write_ready, METH_VARARGS,
     "Write what goes of a block to a descriptor, waiting some milliseconds at most."},
    {"emitted", core_emitted, METH_NOARGS, "Return how many lines went straight to a queue."},
    {"on_late", core_on_late, METH_O, "Call a function with what is done to a record too late."},
    {"id_of", (PyCFunction)(void (*)(void))core_id_of, METH_FASTCALL,
     "Return the id with a number in a series."},
    {"number_of", (PyCFunction)(void (*)(void))core_number_of, METH_FASTCALL,
     "Return the number of an id in a series, or None."},
    {NULL, NULL, 0, NULL},
};

static const struct {
    const char *name;
    PyTypeObject *type;
} types[] = {
    {"LineEncoder", &encoder_type}, {"Lines", &lines_type},         {"Batch", &batch_type},
    {"Counter", &counter_type},     {"Stopwatch", &stopwatch_type}, {"Span", &span_type},
    {"Timer", &timer_type},         {"Record", &record_type},       {"Plan", &plan_type},
    {"Instrument", &instrument_type},
};

static const struct {
    const char *name;
    int value;
} numbers[] = {
    {"OTHER", OTHER},
    {"STR", STR},
    {"BOOL", BOOL},
    {"INT", INT},
    {"INT_TEXT", INT_TEXT},
    {"FLOAT", FLOAT},
    {"ENUM", ENUM},
    {"DURATION", DURATION},
    {"BIT", BIT},
    {"READ_SLOT", READ_SLOT},
    {"READ_TIMER", READ_TIMER},
    {"READ_STOPWATCH", READ_STOPWATCH},
    {"READ_GAUGE", READ_GAUGE},
    {"READ_OUTCOME", READ_OUTCOME},
    {"READ_CALL", READ_CALL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "The native core.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (PyType_Ready(types[i].type) < 0 ||
            PyModule_AddObjectRef(made, types[i].name, (PyObject *)types[i].type) < 0)
            goto failed;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (PyModule_AddIntConstant(made, numbers[i].name, numbers[i].value) < 0)
            goto failed;
    return made;
failed:
    Py_DECREF(made);
    return NULL;
}
