/* The module, and what it is told of asyncio before a hook may stand anywhere. */

#include "loop.h"

#include <structmember.h>

Asyncio aio;

static int take(PyObject *from, const char *name, void *to, int optional)
{
    PyObject *value = PyDict_GetItemString(from, name); /* borrowed */
    if (value == NULL || value == Py_None) {
        *(PyObject **)to = NULL;
        if (optional)
            return 0;
        PyErr_Format(PyExc_ValueError, "configure: expected `%s`", name);
        return -1;
    }
    *(PyObject **)to = Py_NewRef(value); /* for the life of the process, like the hooks */
    return 0;
}

static int offset(PyObject *from, const char *name, Py_ssize_t *to)
{
    PyObject *value = PyDict_GetItemString(from, name);
    *to = value == NULL || value == Py_None ? 0 : PyLong_AsSsize_t(value);
    return *to == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *configure(PyObject *module, PyObject *facts)
{
    if (aio.handle != NULL)
        Py_RETURN_NONE;
    if (!PyDict_Check(facts)) {
        PyErr_SetString(PyExc_TypeError, "configure: expected a dict");
        return NULL;
    }
    PyObject *wakeup;
    Asyncio found = {0};
    if (take(facts, "handle", &found.handle, 0) < 0 ||
        take(facts, "timer_handle", &found.timer_handle, 0) < 0 ||
        take(facts, "base_loop", &found.base_loop, 0) < 0 ||
        take(facts, "task", &found.task, 0) < 0 ||
        take(facts, "step_wrapper", &found.step_wrapper, 1) < 0 ||
        take(facts, "wakeup", &wakeup, 1) < 0 || take(facts, "py_step", &found.py_step, 1) < 0 ||
        take(facts, "py_wakeup", &found.py_wakeup, 1) < 0 ||
        take(facts, "stock_run", &found.stock_run, 0) < 0 ||
        take(facts, "stock_call_soon", &found.stock_call_soon, 0) < 0 ||
        take(facts, "stock_call_soon_threadsafe", &found.stock_call_soon_threadsafe, 0) < 0 ||
        take(facts, "stock_call_at", &found.stock_call_at, 0) < 0 ||
        take(facts, "stock_create_task", &found.stock_create_task, 0) < 0 ||
        take(facts, "report", &found.report, 0) < 0 ||
        take(facts, "note_name", &found.note_name, 0) < 0 ||
        take(facts, "plumbing", &found.plumbing, 0) < 0 ||
        take(facts, "deque", &found.deque, 0) < 0 ||
        take(facts, "deque_append", &found.deque_append, 0) < 0 ||
        take(facts, "heappush", &found.heappush, 0) < 0)
        return NULL;
    if (wakeup != NULL && PyCFunction_CheckExact(wakeup))
        found.wakeup = ((PyCFunctionObject *)wakeup)->m_ml;
    const struct {
        const char *name;
        Py_ssize_t *to;
    } offsets[] = {
        {"offset_callback", &found.callback},
        {"offset_args", &found.args},
        {"offset_cancelled", &found.cancelled},
        {"offset_loop", &found.loop},
        {"offset_traceback", &found.traceback},
        {"offset_repr", &found.repr},
        {"offset_context", &found.context},
        {"offset_when", &found.when},
        {"offset_scheduled", &found.scheduled},
        {"offset_wrapper_task", &found.wrapper_task},
        {"offset_task_coro", &found.task_coro},
        {"offset_future_state", &found.future_state},
        {"offset_future_exception", &found.future_exception},
    };
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        if (offset(facts, offsets[i].name, offsets[i].to) < 0)
            return NULL;
    if (!PyType_Check(found.handle) || !PyType_Check(found.base_loop) || !PyType_Check(found.task) ||
        !PyTuple_Check(found.plumbing)) {
        PyErr_SetString(PyExc_TypeError, "configure: expected classes and a tuple of paths");
        return NULL;
    }
    aio = found;
    if (steps_ready() < 0 || handle_types() < 0) {
        aio.handle = NULL;
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *enable(PyObject *module, PyObject *on)
{
    int wanted = PyObject_IsTrue(on);
    if (wanted < 0)
        return NULL;
    if (wanted && aio.handle == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "enable: expected `configure` before");
        return NULL;
    }
    aio.enabled = wanted;
    Py_RETURN_NONE;
}

/* For the self-test: the words of an object's memory, as numbers. */
static PyObject *words(PyObject *module, PyObject *object)
{
    Py_ssize_t count = Py_TYPE(object)->tp_basicsize / (Py_ssize_t)sizeof(uint32_t);
    PyObject *found = PyList_New(count);
    for (Py_ssize_t i = 0; found != NULL && i < count; i++) {
        PyObject *word = PyLong_FromUnsignedLong(((uint32_t *)object)[i]);
        if (word == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, i, word);
    }
    return found;
}

static PyObject *offset_of(PyObject *module, PyObject *descriptor)
{
    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) {
        PyErr_Format(PyExc_TypeError, "offset_of: expected a slot of a class, got %R", descriptor);
        return NULL;
    }
    return PyLong_FromSsize_t(((PyMemberDescrObject *)descriptor)->d_member->offset);
}

static PyMethodDef functions[] = {
    {"configure", configure, METH_O, "Tell what asyncio is made of, once."},
    {"enable", enable, METH_O, "Record, or not."},
    {"descriptors", loop_descriptors, METH_NOARGS, "Return the hooks by the names they go under."},
    {"lanes", loop_lanes, METH_NOARGS, "Return the lanes there are."},
    {"rings", loop_rings, METH_VARARGS, "Say where rings lie and how many events they hold."},
    {"lane_counts", loop_lane_counts, METH_NOARGS, "Return what lanes could not do."},
    {"name_counts", loop_name_counts, METH_NOARGS, "Return how full the tables of names are."},
    {"table_sizes", loop_table_sizes, METH_NOARGS, "Return how full the table of tasks is."},
    {"task_id", loop_task_id, METH_O, "Return the id of a task, or None."},
    {"wrappers", loop_wrappers, METH_O, "Return the hooks of a loop that wraps what it is given."},
    {"columns", loop_columns, METH_VARARGS, "Return the columns of the compact profile."},
    {"set_clock", loop_set_clock, METH_O, "Stop the clock at a number of ns, or let it go on."},
    {"forget_parent", loop_forget_parent, METH_NOARGS, "Begin anew in a forked child."},
    {"offset_of", offset_of, METH_O, "Return how far a slot lies from its object's start."},
    {"words", words, METH_O, "Return an object's memory as numbers of 32 bits."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_loop",
    .m_doc = "The native core of the recorder.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__loop(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made == NULL)
        return NULL;
    if (PyType_Ready(&lane_type) < 0 || PyType_Ready(&select_type) < 0 ||
        PyType_Ready(&wrapped_type) < 0 ||
        PyModule_AddObjectRef(made, "Lane", (PyObject *)&lane_type) < 0 ||
        PyModule_AddObjectRef(made, "Select", (PyObject *)&select_type) < 0 ||
        PyModule_AddIntConstant(made, "EVENT_BYTES", sizeof(Event)) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
