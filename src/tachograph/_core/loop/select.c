/* Waiting for files: what `EpollSelector.select` does, natively, with the moments before and after.

   An object of this type stands in a selector as its attribute `select`. Between the kernel's answer
   and the lock of the interpreter the thread is awake and may not run: that is the wait for the GIL. */

#include "loop.h"

#include <errno.h>
#include <math.h>
#include <sys/epoll.h>

#define MOST_EVENTS 256 /* of one call; the rest comes at once with the next */

typedef struct {
    PyObject_HEAD
    PyObject *stock;    /* the selector's own method, for whatever is unusual */
    PyObject *keys;     /* its files, a dict of the number to the key */
    int file;           /* of the kernel's object */
    vectorcallfunc call;
} Select;

/* Milliseconds of a time-out, rounded away from zero; -2: leave it to Python. */
static int milliseconds(PyObject *timeout)
{
    double seconds;
    if (timeout == Py_None)
        return -1;
    if (PyFloat_CheckExact(timeout))
        seconds = PyFloat_AS_DOUBLE(timeout);
    else if (PyLong_CheckExact(timeout))
        seconds = PyLong_AsDouble(timeout);
    else
        return -2;
    if (!(seconds > 0))
        return seconds <= 0 ? 0 : -2;
    seconds = ceil(seconds * 1e3);
    return seconds < INT_MAX ? (int)seconds : -2;
}

static PyObject *answer(Select *self, const struct epoll_event *events, int count)
{
    PyObject *found = PyList_New(0);
    for (int i = 0; found != NULL && i < count; i++) {
        PyObject *number = PyLong_FromLong(events[i].data.fd);
        PyObject *key = number == NULL ? NULL : PyDict_GetItemWithError(self->keys, number);
        Py_XDECREF(number);
        if (key == NULL) {
            if (PyErr_Occurred())
                Py_CLEAR(found);
            continue; /* no longer registered */
        }
        long wanted = PyTuple_Check(key) && PyTuple_GET_SIZE(key) > 2
                          ? PyLong_AsLong(PyTuple_GET_ITEM(key, 2))
                          : -1;
        if (wanted == -1 && PyErr_Occurred()) {
            Py_CLEAR(found);
            break;
        }
        /* As the selector has it: an error or a hang-up lets both read and write. */
        long ready = (events[i].events & ~EPOLLIN ? 2 : 0) | (events[i].events & ~EPOLLOUT ? 1 : 0);
        PyObject *mask = PyLong_FromLong(ready & wanted);
        PyObject *pair = mask == NULL ? NULL : PyTuple_Pack(2, key, mask);
        if (pair == NULL || PyList_Append(found, pair) < 0)
            Py_CLEAR(found);
        Py_XDECREF(pair);
        Py_XDECREF(mask);
    }
    return found;
}

static uint64_t real_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t end_of_wait(int wait)
{
    return real_ns() + (uint64_t)wait * 1000000u;
}

/* Milliseconds, rounded away from zero. */
static int rest_of_wait(uint64_t until)
{
    uint64_t now = real_ns();
    return until > now ? (int)((until - now + 999999u) / 1000000u) : 0;
}

static PyObject *select_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Select *self = (Select *)object;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    int wait = count == 1 && names == NULL ? milliseconds(args[0]) : -2;
    if (wait == -2)
        return PyObject_Vectorcall(self->stock, args, flags, names);
    struct epoll_event events[MOST_EVENTS];
    Py_ssize_t files = PyDict_GET_SIZE(self->keys);
    int most = files < 1 ? 1 : files > MOST_EVENTS ? MOST_EVENTS : (int)files;
    Lane *lane = aio.enabled ? this_lane : NULL;
    int found, error;
    const int waits = wait != 0;
    uint64_t t0 = lane == NULL ? 0 : now_ns(), woke = 0, until = wait > 0 ? end_of_wait(wait) : 0;
    do {
        PyThreadState *state = PyEval_SaveThread();
        found = epoll_wait(self->file, events, most, wait);
        error = errno;
        if (lane != NULL && waits)
            atomic_store_explicit(&lane->wants_gil_ns, woke = now_ns(), memory_order_release);
        PyEval_RestoreThread(state);
        if (woke)
            atomic_store_explicit(&lane->wants_gil_ns, 0, memory_order_relaxed);
        if (found < 0 && error == EINTR) { /* go on for the rest, as Python's own does */
            if (PyErr_CheckSignals() < 0)
                return NULL;
            wait = until ? rest_of_wait(until) : wait;
        }
    } while (found < 0 && error == EINTR);
    /* Another thread may have stopped the recorder meanwhile. */
    if (lane != NULL && lane == this_lane && lane->ring.header != NULL) {
        uint64_t now = now_ns();
        lane->unparked_ns = now;
        if (waits)
            lane_parked(lane, (Park){t0, woke, now, found < 0 ? 0 : (uint64_t)found}, now);
    }
    if (found < 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return answer(self, events, found);
}

static PyObject *select_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    PyObject *stock, *keys;
    int file;
    if (!PyArg_ParseTuple(args, "OO!i", &stock, &PyDict_Type, &keys, &file))
        return NULL;
    Select *self = (Select *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->stock = Py_NewRef(stock);
    self->keys = Py_NewRef(keys);
    self->file = file;
    self->call = select_call;
    return (PyObject *)self;
}

static int select_traverse(Select *self, visitproc visit, void *arg)
{
    Py_VISIT(self->stock);
    Py_VISIT(self->keys);
    return 0;
}

static int select_clear(Select *self)
{
    Py_CLEAR(self->stock);
    Py_CLEAR(self->keys);
    return 0;
}

static void select_dealloc(Select *self)
{
    PyObject_GC_UnTrack(self);
    select_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *select_stock(Select *self, void *unused)
{
    return Py_NewRef(self->stock);
}

static PyGetSetDef select_getset[] = {
    {"stock", (getter)select_stock, NULL, "The selector's own method.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject select_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Select",
    .tp_basicsize = sizeof(Select),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Select, call),
    .tp_call = PyVectorcall_Call,
    .tp_new = select_new,
    .tp_traverse = (traverseproc)select_traverse,
    .tp_clear = (inquiry)select_clear,
    .tp_dealloc = (destructor)select_dealloc,
    .tp_getset = select_getset,
    .tp_doc = "Waits for files as a selector does, and records the wait.",
};
