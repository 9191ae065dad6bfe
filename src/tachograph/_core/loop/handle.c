/* Handles made natively: cheaper than the interpreter's own, and they know when they were put on the
   queue and by whom.

   The types are subclasses of asyncio's, so whoever looks at a handle finds what is documented. Their
   objects have the fields of their base at the offsets that `configure` found, and two numbers behind
   them. A few freed ones are kept, to be used again. */

#include "loop.h"
#include <structmember.h>

#define KEPT 256

PyTypeObject *native_handle, *native_timer;
static PyTypeObject *native_thread_handle; /* NULL where asyncio has no such kind */

static PyObject *kept[KEPT];
static int kept_count;
/* In each kind. */
enum { HANDLE, TIMER_HANDLE, THREAD_HANDLE };
static Py_ssize_t enqueued_at[3], waker_at[3];

static inline uint64_t *number_in(PyObject *handle, Py_ssize_t offset)
{
    return (uint64_t *)((char *)handle + offset);
}

uint64_t handle_enqueued(PyObject *handle, uint64_t *waker)
{
    PyTypeObject *type = Py_TYPE(handle);
    int kind = type == native_handle ? HANDLE
               : type == native_timer ? TIMER_HANDLE
               : type == native_thread_handle ? THREAD_HANDLE
                                              : -1;
    if (kind < 0)
        return 0;
    *waker = *number_in(handle, waker_at[kind]);
    return *number_in(handle, enqueued_at[kind]);
}

static void clear_fields(PyObject *self)
{
    Py_CLEAR(*slot_of(self, aio.callback));
    Py_CLEAR(*slot_of(self, aio.args));
    Py_CLEAR(*slot_of(self, aio.cancelled));
    Py_CLEAR(*slot_of(self, aio.loop));
    Py_CLEAR(*slot_of(self, aio.traceback));
    Py_CLEAR(*slot_of(self, aio.repr));
    Py_CLEAR(*slot_of(self, aio.context));
}

static void handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (*slot_of(self, type->tp_weaklistoffset) != NULL)
        PyObject_ClearWeakRefs(self);
    clear_fields(self);
    if (type == native_handle && kept_count < KEPT)
        kept[kept_count++] = self; /* with its reference to the type */
    else {
        if (type == native_timer) {
            Py_CLEAR(*slot_of(self, aio.scheduled));
            Py_CLEAR(*slot_of(self, aio.when));
        }
        type->tp_free(self);
        Py_DECREF(type);
    }
}

static int handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(*slot_of(self, aio.callback));
    Py_VISIT(*slot_of(self, aio.args));
    Py_VISIT(*slot_of(self, aio.loop));
    Py_VISIT(*slot_of(self, aio.traceback));
    Py_VISIT(*slot_of(self, aio.context));
    return 0;
}

static int handle_clear(PyObject *self)
{
    clear_fields(self);
    return 0;
}

/* As asyncio's own does, which are Python functions and take most of the time of a heap of timers. */
static PyObject *timer_compare(PyObject *self, PyObject *other, int operation)
{
    if (!PyObject_TypeCheck(other, aio.timer_handle))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *mine = *slot_of(self, aio.when), *theirs = *slot_of(other, aio.when);
    if (mine == NULL || theirs == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_when");
        return NULL;
    }
    switch (operation) {
    case Py_LT:
    case Py_GT:
        if (PyFloat_CheckExact(mine) && PyFloat_CheckExact(theirs)) {
            double a = PyFloat_AS_DOUBLE(mine), b = PyFloat_AS_DOUBLE(theirs);
            return PyBool_FromLong(operation == Py_LT ? a < b : a > b);
        }
        return PyObject_RichCompare(mine, theirs, operation);
    case Py_LE:
    case Py_GE: {
        int beyond = PyObject_RichCompareBool(mine, theirs, operation == Py_LE ? Py_LT : Py_GT);
        if (beyond != 0)
            return beyond < 0 ? NULL : Py_NewRef(Py_True);
        return timer_compare(self, other, Py_EQ);
    }
    case Py_NE: {
        PyObject *equal = timer_compare(self, other, Py_EQ);
        if (equal == NULL || equal == Py_NotImplemented)
            return equal;
        Py_SETREF(equal, PyBool_FromLong(equal != Py_True));
        return equal;
    }
    default: {
        const Py_ssize_t fields[] = {aio.when, aio.callback, aio.args, aio.cancelled};
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            PyObject *a = *slot_of(self, fields[i]), *b = *slot_of(other, fields[i]);
            int same = a == b ? 1
                       : a == NULL || b == NULL ? 0
                                                : PyObject_RichCompareBool(a, b, Py_EQ);
            if (same <= 0)
                return same < 0 ? NULL : Py_NewRef(Py_False);
        }
        Py_RETURN_TRUE;
    }
    }
}

static Py_hash_t timer_hash(PyObject *self)
{
    PyObject *when = *slot_of(self, aio.when);
    return PyObject_Hash(when == NULL ? Py_None : when);
}

static PyTypeObject *make_type(PyTypeObject *base, PyType_Slot *slots, int which)
{
    static const char *const names[] = {"asyncio.events.Handle", "asyncio.events.TimerHandle",
                                        "asyncio.events._ThreadSafeHandle"};
    Py_ssize_t size = (base->tp_basicsize + 7) / 8 * 8;
    enqueued_at[which] = size;
    waker_at[which] = size + 8;
    PyType_Spec spec = {
        .name = names[which],
        .basicsize = (int)size + 16,
        /* One that brings no ways of its own through its fields inherits its base's. */
        .flags = Py_TPFLAGS_DEFAULT | (which == THREAD_HANDLE ? 0 : Py_TPFLAGS_HAVE_GC),
        .slots = slots,
    };
    PyObject *bases = PyTuple_Pack(1, base);
    if (bases == NULL)
        return NULL;
    PyTypeObject *made = (PyTypeObject *)PyType_FromSpecWithBases(&spec, bases);
    Py_DECREF(bases);
    return made;
}

int handle_types(void)
{
    static PyType_Slot of_handle[] = {
        {Py_tp_dealloc, handle_dealloc},
        {Py_tp_traverse, handle_traverse},
        {Py_tp_clear, handle_clear},
        {Py_tp_doc, "A handle that knows when it was put on the queue."},
        {0, NULL},
    };
    static PyType_Slot of_timer[] = {
        {Py_tp_dealloc, handle_dealloc},
        {Py_tp_traverse, handle_traverse},
        {Py_tp_clear, handle_clear},
        {Py_tp_richcompare, timer_compare},
        {Py_tp_hash, timer_hash},
        {Py_tp_doc, "A timer that knows when it was made."},
        {0, NULL},
    };
    static PyType_Slot of_thread_handle[] = {
        {Py_tp_doc, "A handle with a lock that knows when it was put on the queue."},
        {0, NULL},
    };
    if (native_handle != NULL)
        return 0;
    PyTypeObject *handle = make_type(aio.handle, of_handle, HANDLE);
    PyTypeObject *timer = make_type(aio.timer_handle, of_timer, TIMER_HANDLE);
    PyTypeObject *thread = aio.thread_handle == NULL
                               ? NULL
                               : make_type(aio.thread_handle, of_thread_handle, THREAD_HANDLE);
    if (handle == NULL || timer == NULL || (thread == NULL && aio.thread_handle != NULL)) {
        Py_XDECREF(handle);
        Py_XDECREF(timer);
        return -1;
    }
    native_handle = handle;
    native_timer = timer;
    native_thread_handle = thread;
    return 0;
}

static PyObject *fresh(PyTypeObject *type)
{
    if (type == native_handle && kept_count > 0) {
        PyObject *found = kept[--kept_count];
        _Py_NewReference(found); /* it kept its reference to the type */
        return found;
    }
    PyObject *made = type->tp_alloc(type, 0);
    if (made != NULL)
        PyObject_GC_UnTrack(made); /* until it is filled */
    return made;
}

static PyObject *fill(PyTypeObject *type, PyObject *loop, PyObject *callback, PyObject *const *args,
                      Py_ssize_t count, PyObject *context)
{
    PyObject *tuple = PyTuple_New(count);
    if (tuple == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    context = context == NULL || context == Py_None ? PyContext_CopyCurrent() : Py_NewRef(context);
    PyObject *made = context == NULL ? NULL : fresh(type);
    if (made == NULL) {
        Py_XDECREF(context);
        Py_DECREF(tuple);
        return NULL;
    }
    *slot_of(made, aio.callback) = Py_NewRef(callback);
    *slot_of(made, aio.args) = tuple;
    *slot_of(made, aio.cancelled) = Py_NewRef(Py_False);
    *slot_of(made, aio.loop) = Py_NewRef(loop);
    *slot_of(made, aio.traceback) = Py_NewRef(Py_None);
    *slot_of(made, aio.repr) = Py_NewRef(Py_None);
    *slot_of(made, aio.context) = context;
    return made;
}

PyObject *handle_make(PyObject *loop, PyObject *callback, PyObject *const *args, Py_ssize_t count,
                      PyObject *context, uint64_t waker, uint64_t enqueued)
{
    PyObject *made = fill(native_handle, loop, callback, args, count, context);
    if (made != NULL) {
        *number_in(made, enqueued_at[HANDLE]) = enqueued;
        *number_in(made, waker_at[HANDLE]) = waker;
        PyObject_GC_Track(made);
    }
    return made;
}

/* Made as asyncio makes it: the lock by which `cancel` waits for a callback that runs is its own. */
PyObject *thread_handle_make(PyObject *loop, PyObject *callback, PyObject *const *args,
                             Py_ssize_t count, PyObject *context, uint64_t waker,
                             uint64_t enqueued)
{
    if (native_thread_handle == NULL)
        return handle_make(loop, callback, args, count, context, waker, enqueued);
    PyObject *tuple = PyTuple_New(count);
    if (tuple == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    PyObject *given[] = {callback, tuple, loop, context == NULL ? Py_None : context};
    PyObject *made = PyObject_Vectorcall((PyObject *)native_thread_handle, given, 4, NULL);
    Py_DECREF(tuple);
    if (made != NULL) {
        *number_in(made, enqueued_at[THREAD_HANDLE]) = enqueued;
        *number_in(made, waker_at[THREAD_HANDLE]) = waker;
    }
    return made;
}

PyObject *timer_make(PyObject *loop, PyObject *when, PyObject *callback, PyObject *const *args,
                     Py_ssize_t count, PyObject *context)
{
    PyObject *made = fill(native_timer, loop, callback, args, count, context);
    if (made != NULL) {
        *slot_of(made, aio.when) = Py_NewRef(when);
        *slot_of(made, aio.scheduled) = Py_NewRef(Py_False);
        *number_in(made, enqueued_at[TIMER_HANDLE]) = 0;
        *number_in(made, waker_at[TIMER_HANDLE]) = 0;
        PyObject_GC_Track(made);
    }
    return made;
}
