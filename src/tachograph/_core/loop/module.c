/* The module, and what it is told of asyncio before a hook may stand anywhere. */

#include "calls.h"
#include "watch.h"

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
        take(facts, "thread_handle", &found.thread_handle, 1) < 0 ||
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
        take(facts, "on_loop", &found.on_loop, 0) < 0 ||
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
        {"offset_task_cancels", &found.task_cancels},
    };
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        if (offset(facts, offsets[i].name, offsets[i].to) < 0)
            return NULL;
    if (!PyType_Check(found.handle) || !PyType_Check(found.base_loop) || !PyType_Check(found.task) ||
        !PyTuple_Check(found.plumbing)) {
        PyErr_SetString(PyExc_TypeError, "configure: expected classes and a tuple of paths");
        return NULL;
    }
    found.tracks = 1;
    found.wait_every = 10;
    PyObject *wrappers = PyDict_GetItemString(facts, "wrappers");
    if (wrappers != NULL && PyTuple_Check(wrappers) && chains_configure(wrappers) < 0)
        return NULL;
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
    if (wanted)
        lanes_look_again();
    aio.enabled = wanted;
    Py_RETURN_NONE;
}

static PyObject *options(PyObject *module, PyObject *args)
{
    int tracks;
    unsigned long wait_every;
    if (!PyArg_ParseTuple(args, "pk", &tracks, &wait_every))
        return NULL;
    if (wait_every == 0) {
        PyErr_SetString(PyExc_ValueError, "options: expected 1 or more parks for a look, got 0");
        return NULL;
    }
    aio.tracks = tracks;
    aio.wait_every = wait_every;
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
    {"options", options, METH_VARARGS,
     "Say whether tasks are tracked, and of how many parks one looks at the scheduler's numbers."},
    {"descriptors", loop_descriptors, METH_NOARGS, "Return the hooks by the names they go under."},
    {"lanes", loop_lanes, METH_NOARGS, "Return the lanes there are."},
    {"rings", loop_rings, METH_VARARGS, "Say where rings lie and how many events they hold."},
    {"lane_counts", loop_lane_counts, METH_NOARGS, "Return what lanes could not do."},
    {"name_counts", loop_name_counts, METH_NOARGS, "Return how full the tables of names are."},
    {"table_sizes", loop_table_sizes, METH_NOARGS, "Return how full the table of tasks is."},
    {"task_id", loop_task_id, METH_O, "Return the id of a task, or None."},
    {"running_task", loop_running_task, METH_NOARGS,
     "Return the id of the task whose step this is; None in another step, 0 if not known."},
    {"task_ids", loop_task_ids, METH_NOARGS, "Return the ids of known tasks, 64 bits each."},
    {"keep_tasks", loop_keep_tasks, METH_O, "Forget all tasks but these, which live."},
    {"adopt", loop_adopt, METH_O, "Return the id of a task; it gets one if it has none."},
    {"note_ends", loop_note_ends, METH_O, "Tell of tasks that end badly, or None: do not."},
    {"forget_task", loop_forget_task, METH_O, "Forget a task that no step ends."},
    {"job_hook", loop_job_hook, METH_VARARGS, "Return the hook of an executor's submit."},
    {"jobs", loop_jobs, METH_O, "Record jobs, or not."},
    {"job", loop_job, METH_VARARGS, "Return a callable that records the job around it."},
    {"spawn_job", loop_spawn_job, METH_O, "Note a job of elsewhere; return its id and name, or None."},
    {"listener", loop_listener, METH_VARARGS, "Return a method that tells of its arguments."},
    {"take_jobs", loop_take_jobs, METH_NOARGS, "Return the jobs that no lane tells."},
    {"job_counts", loop_job_counts, METH_NOARGS, "Return what became of jobs."},
    {"wrappers", loop_wrappers, METH_O, "Return the hooks of a loop that wraps what it is given."},
    {"find_libuv", loop_find_libuv, METH_VARARGS, "Look for libuv in a loop's extension."},
    {"columns", loop_columns, METH_VARARGS, "Return the columns of the compact profile."},
    {"fields", (PyCFunction)(void (*)(void))loop_fields, METH_FASTCALL,
     "Return the fields of an event as bytes; None for what is not simple."},
    {"chains", loop_chains, METH_O, "Note where tasks wait, or not."},
    {"chain_of", loop_chain_of, METH_O, "Return the number of a coroutine's chain, and its end."},
    {"chains_in", loop_chains_in, METH_O, "Return the numbers of chains in raw events."},
    {"chain_counts", loop_chain_counts, METH_NOARGS, "Return how full the table of chains is."},
    {"watch", loop_watch, METH_VARARGS, "Look at all threads, so often, and at steps so old."},
    {"unwatch", loop_unwatch, METH_NOARGS, "Look no more."},
    {"samples", loop_samples, METH_NOARGS, "Return new frames, new stacks, and the samples."},
    {"watch_counts", loop_watch_counts, METH_NOARGS, "Return what became of samples."},
    {"wrap_call", loop_wrap_call, METH_VARARGS, "Time a builtin; return None, or why not."},
    {"unwrap_calls", loop_unwrap_calls, METH_NOARGS, "Give builtins back; return how many."},
    {"call_shapes", loop_call_shapes, METH_NOARGS, "Return a builtin for each convention."},
    {"time_calls", loop_time_calls, METH_VARARGS, "Note what takes so long; 0: nothing."},
    {"slow_calls", loop_slow_calls, METH_NOARGS, "Return what was noted."},
    {"slow_counts", loop_slow_counts, METH_NOARGS, "Return how much was noted, and was not."},
    {"importer", loop_importer, METH_O, "Return what times importlib's function."},
    {"collected", (PyCFunction)(void (*)(void))loop_collected, METH_FASTCALL,
     "Note a collection; for `gc.callbacks`."},
    {"pauses", loop_pauses, METH_NOARGS, "Return the collections that were noted."},
    {"pauses_dropped", loop_pauses_dropped, METH_NOARGS, "Return how many were not."},
    {"gil_wait", loop_gil_wait, METH_O, "Sleep without the GIL; return the wait for it after."},
    {"heap_start", loop_heap_start, METH_VARARGS, "Sample Python's memory, by bytes."},
    {"heap_stop", loop_heap_stop, METH_NOARGS, "Sample no more; whether the hooks are gone."},
    {"heap_take", loop_heap_take, METH_NOARGS, "Return what was sampled since the last time."},
    {"heap_is_seen", loop_heap_is_seen, METH_NOARGS, "Return whether memory still passes by."},
    {"heap_counts", loop_heap_counts, METH_NOARGS, "Return what became of allocations."},
    {"heap_feed", loop_heap_feed, METH_VARARGS, "Return how many of equal sizes are sampled."},
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
        PyType_Ready(&wrapped_type) < 0 || PyType_Ready(&turns_type) < 0 ||
        PyType_Ready(&living_type) < 0 ||
        PyType_Ready(&job_type) < 0 || PyType_Ready(&pool_type) < 0 ||
        PyType_Ready(&listener_type) < 0 || PyType_Ready(&requests_type) < 0 ||
        PyModule_AddObjectRef(made, "RequestLog", (PyObject *)&requests_type) < 0 ||
        PyModule_AddObjectRef(made, "Pool", (PyObject *)&pool_type) < 0 ||
        PyModule_AddObjectRef(made, "Living", (PyObject *)&living_type) < 0 ||
        PyModule_AddObjectRef(made, "Lane", (PyObject *)&lane_type) < 0 ||
        PyModule_AddObjectRef(made, "Select", (PyObject *)&select_type) < 0 ||
        PyModule_AddObjectRef(made, "Turns", (PyObject *)&turns_type) < 0 ||
        PyModule_AddIntConstant(made, "EVENT_BYTES", sizeof(Event)) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
