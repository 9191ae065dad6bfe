/* Loops whose handles do not pass through asyncio's, such as uvloop's: what they are given to call is
   wrapped in an object that records the step around it.

   The hooks stand in the loop's own class, above the methods that do the work. Callbacks that the
   loop makes for itself, and protocol methods that it calls from its own C, are not seen. */

#include "loop.h"

#define KEPT 256

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *callback;
    PyObject *loop; /* borrowed: it runs us */
    Ready ready;
} Wrapped;

static struct {
    PyTypeObject *loop;
    PyObject *call_soon, *call_soon_threadsafe, *call_later;
    PyObject *create_task, *get_task_factory;
} own;

static Wrapped *kept[KEPT];
static int kept_count;
static PyObject *no_arguments; /* the empty tuple */

/* Call what was given. A task's step has no other way in than its type's, and takes nothing. */
static inline PyObject *call_through(PyObject *callback, PyObject *const *args, size_t flags,
                                     PyObject *names)
{
    if (likely(Py_TYPE(callback) == aio.step_wrapper && PyVectorcall_NARGS(flags) == 0 &&
               names == NULL))
        return aio.step_wrapper->tp_call(callback, no_arguments, NULL);
    return PyObject_Vectorcall(callback, args, flags, names);
}

static PyObject *wrapped_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Wrapped *self = (Wrapped *)object;
    PyObject *callback = Py_NewRef(self->callback);
    Lane *lane = aio.enabled ? lane_here() : NULL;
    Step step;
    if (likely(lane != NULL))
        step_begin(lane, self->loop, callback, self->ready, &step);
    PyObject *result = call_through(callback, args, flags, names);
    if (likely(lane != NULL && lane == this_lane)) {
        PyObject *type, *error, *traceback;
        if (unlikely(result == NULL))
            PyErr_Fetch(&type, &error, &traceback);
        step_end(lane, &step);
        if (unlikely(result == NULL))
            PyErr_Restore(type, error, traceback);
    }
    Py_DECREF(callback);
    return result;
}

static int wrapped_traverse(Wrapped *self, visitproc visit, void *arg)
{
    Py_VISIT(self->callback);
    return 0;
}

static int wrapped_clear(Wrapped *self)
{
    Py_CLEAR(self->callback);
    return 0;
}

static void wrapped_dealloc(Wrapped *self)
{
    PyObject_GC_UnTrack(self);
    wrapped_clear(self);
    if (kept_count < KEPT)
        kept[kept_count++] = self;
    else
        PyObject_GC_Del(self);
}

/* Whoever looks at it, in a message for instance, sees what is called. */
static PyObject *wrapped_repr(Wrapped *self)
{
    return PyObject_Repr(self->callback);
}

static PyObject *wrapped_getattro(PyObject *object, PyObject *name)
{
    PyObject *callback = ((Wrapped *)object)->callback;
    PyObject *found = callback == NULL ? NULL : PyObject_GetAttr(callback, name);
    if (found != NULL || (callback != NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)))
        return found;
    PyErr_Clear();
    return PyObject_GenericGetAttr(object, name);
}

PyTypeObject wrapped_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Wrapped",
    .tp_basicsize = sizeof(Wrapped),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Wrapped, call),
    .tp_call = PyVectorcall_Call,
    .tp_traverse = (traverseproc)wrapped_traverse,
    .tp_clear = (inquiry)wrapped_clear,
    .tp_dealloc = (destructor)wrapped_dealloc,
    .tp_repr = (reprfunc)wrapped_repr,
    .tp_getattro = wrapped_getattro,
    .tp_doc = "Calls a callback and records the step.",
};

static PyObject *wrap(PyObject *loop, PyObject *callback, Ready ready)
{
    Wrapped *made;
    if (kept_count > 0) {
        made = kept[--kept_count];
        _Py_NewReference((PyObject *)made);
    } else if ((made = PyObject_GC_New(Wrapped, &wrapped_type)) == NULL)
        return NULL;
    made->call = wrapped_call;
    made->callback = Py_NewRef(callback);
    made->loop = loop;
    made->ready = ready;
    PyObject_GC_Track(made);
    return (PyObject *)made;
}

/* Call the loop's own method with the argument at `place` wrapped. */
static PyObject *call_wrapped(PyObject *function, PyObject *self, PyObject *const *args,
                              Py_ssize_t count, PyObject *names, Py_ssize_t place, Ready ready)
{
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    /* One place ahead is free for whoever takes the call, by the flag. */
    PyObject *small[10], **copied = small;
    if (unlikely(all + 2 > 10) && (copied = PyMem_New(PyObject *, (size_t)all + 2)) == NULL)
        return PyErr_NoMemory();
    PyObject *wrapped = wrap(self, args[place], ready), *result = NULL;
    if (likely(wrapped != NULL)) {
        copied[1] = self;
        for (Py_ssize_t i = 0; i < all; i++)
            copied[i + 2] = args[i];
        copied[place + 2] = wrapped;
        result = PyObject_Vectorcall(function, copied + 1,
                                     ((size_t)count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, names);
        Py_DECREF(wrapped);
    }
    if (unlikely(copied != small))
        PyMem_Free(copied);
    return result;
}

static PyObject *call_soon(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Lane *lane = aio.enabled ? lane_here() : NULL;
    if (lane == NULL || count < 1)
        return call_stock(own.call_soon, self, args, count, names);
    Ready ready = {now_ns(), lane->waker};
    note_spawn(lane, args[0], ready.since_ns);
    return call_wrapped(own.call_soon, self, args, count, names, 0, ready);
}

static PyObject *call_soon_threadsafe(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                      PyObject *names)
{
    if (!aio.enabled || count < 1)
        return call_stock(own.call_soon_threadsafe, self, args, count, names);
    Lane *lane = this_lane;
    uint64_t waker = lane != NULL && is_waker(lane, self)
                         ? lane->waker
                         : WAKER_THREAD | (PyThread_get_thread_native_id() & 0xFFFFFFFFu);
    return call_wrapped(own.call_soon_threadsafe, self, args, count, names, 0,
                        (Ready){now_ns(), waker});
}

static PyObject *call_later(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    double seconds = !aio.enabled || count < 2     ? -1
                     : PyFloat_CheckExact(args[0]) ? PyFloat_AS_DOUBLE(args[0])
                     : PyLong_CheckExact(args[0])  ? PyLong_AsDouble(args[0])
                                                   : -1;
    if (seconds == -1 && PyErr_Occurred())
        PyErr_Clear();
    if (!(seconds >= 0 && seconds < 1e9))
        return call_stock(own.call_later, self, args, count, names);
    uint64_t due = now_ns() + (uint64_t)(seconds * 1e9);
    return call_wrapped(own.call_later, self, args, count, names, 1, (Ready){due, WAKER_TIMER});
}

/* Only for what begins at once, as in steps.c. The loop hides its factory: it is asked for it. */
static PyObject *create_task(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Lane *lane = aio.enabled ? this_lane : NULL;
    if (!may_begin_at_once(lane, args, count))
        return call_stock(own.create_task, self, args, count, names);
    PyObject *factory = PyObject_CallOneArg(own.get_task_factory, self);
    if (factory == NULL)
        PyErr_Clear();
    Py_XDECREF(factory);
    if (likely(factory == NULL || factory == Py_None))
        return call_stock(own.create_task, self, args, count, names);
    return create_by_factory(lane, own.create_task, self, args, names);
}

static PyMethodDef methods[] = {
    {"call_soon", (PyCFunction)(void (*)(void))call_soon, METH_FASTCALL | METH_KEYWORDS,
     "Arrange for a callback to be called as soon as possible."},
    {"call_soon_threadsafe", (PyCFunction)(void (*)(void))call_soon_threadsafe,
     METH_FASTCALL | METH_KEYWORDS, "Like call_soon(), but thread-safe."},
    {"call_later", (PyCFunction)(void (*)(void))call_later, METH_FASTCALL | METH_KEYWORDS,
     "Arrange for a callback to be called at a given time."},
    {"create_task", (PyCFunction)(void (*)(void))create_task, METH_FASTCALL | METH_KEYWORDS,
     "Schedule a coroutine object."},
};

PyObject *loop_wrappers(PyObject *module, PyObject *facts)
{
    PyObject *loop, *soon, *threadsafe, *later, *create, *factory;
    if (!PyArg_ParseTuple(facts, "O!OOOOO", &PyType_Type, &loop, &soon, &threadsafe, &later, &create,
                          &factory))
        return NULL;
    if (no_arguments == NULL && (no_arguments = PyTuple_New(0)) == NULL)
        return NULL;
    if (own.loop == NULL) { /* for the life of the process, like the hooks */
        own.loop = (PyTypeObject *)Py_NewRef(loop);
        own.call_soon = Py_NewRef(soon);
        own.call_soon_threadsafe = Py_NewRef(threadsafe);
        own.call_later = Py_NewRef(later);
        own.create_task = Py_NewRef(create);
        own.get_task_factory = Py_NewRef(factory);
    }
    PyObject *found = PyDict_New();
    for (size_t i = 0; found != NULL && i < sizeof methods / sizeof *methods; i++) {
        PyObject *method = PyDescr_NewMethod(own.loop, &methods[i]);
        if (method == NULL || PyDict_SetItemString(found, methods[i].ml_name, method) < 0)
            Py_CLEAR(found);
        Py_XDECREF(method);
    }
    return found;
}
