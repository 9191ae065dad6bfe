/* Collections and the GIL, timed. */

#include "calls.h"

#define MOST_PAUSES 1024
#define SHORT_NS 100000 /* a collection of the young is worth noting from here on */

typedef struct {
    uint64_t end, duration, tid, task;
    long long collected, uncollectable;
    int generation, lane;
} Pause;

static Pause pauses[MOST_PAUSES];
static int count;
static long long dropped;
static uint64_t began; /* collections do not nest */

static long long number(PyObject *info, const char *name)
{
    PyObject *value = PyDict_GetItemString(info, name); /* borrowed */
    long long found = value == NULL ? 0 : PyLong_AsLongLong(value);
    if (found == -1)
        PyErr_Clear();
    return found < 0 ? 0 : found;
}

/* What `gc.callbacks` calls, with "start" or "stop" and what it did. */
PyObject *loop_collected(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    uint64_t now = now_ns();
    if (given != 2 || !PyUnicode_Check(args[0]) || !PyDict_Check(args[1]))
        Py_RETURN_NONE;
    if (PyUnicode_CompareWithASCIIString(args[0], "start") == 0) {
        began = now;
        Py_RETURN_NONE;
    }
    uint64_t t0 = began;
    began = 0;
    int generation = (int)number(args[1], "generation");
    if (t0 == 0 || (generation == 0 && now - t0 < SHORT_NS))
        Py_RETURN_NONE;
    if (count == MOST_PAUSES) {
        dropped++;
        Py_RETURN_NONE;
    }
    Lane *lane = this_lane;
    pauses[count++] = (Pause){
        .end = now,
        .duration = now - t0,
        .tid = lane == NULL ? (uint64_t)PyThread_get_thread_native_id() : lane->tid,
        .task = lane == NULL ? 0 : lane->open.task,
        .collected = number(args[1], "collected"),
        .uncollectable = number(args[1], "uncollectable"),
        .generation = generation,
        .lane = lane == NULL ? 255 : lane->number,
    };
    Py_RETURN_NONE;
}

PyObject *loop_pauses(PyObject *module, PyObject *unused)
{
    Pause taken[64];
    PyObject *found = PyList_New(0);
    while (found != NULL && count) {
        /* Piece by piece: making objects may begin a collection, which notes itself. */
        int some = count < 64 ? count : 64;
        memcpy(taken, pauses, (size_t)some * sizeof *taken);
        memmove(pauses, pauses + some, (size_t)(count - some) * sizeof *taken);
        count -= some;
        for (int i = 0; found != NULL && i < some; i++) {
            const Pause *one = &taken[i];
            PyObject *item =
                Py_BuildValue("KiKKKiLL", (unsigned long long)one->end, one->lane,
                              (unsigned long long)one->tid, (unsigned long long)one->task,
                              (unsigned long long)one->duration, one->generation, one->collected,
                              one->uncollectable);
            if (item == NULL || PyList_Append(found, item) < 0)
                Py_CLEAR(found);
            Py_XDECREF(item);
        }
    }
    return found;
}

PyObject *loop_pauses_dropped(PyObject *module, PyObject *unused)
{
    return PyLong_FromLongLong(dropped);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Sleep without the GIL for so long, then say how long it took to have it again; None on the thread
   of a loop, which is not to sleep. */
PyObject *loop_gil_wait(PyObject *module, PyObject *sleep_ns)
{
    long long wanted = PyLong_AsLongLong(sleep_ns);
    if (wanted < 0 || wanted > 1000000000) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "gil_wait: expected at most a second, in ns");
        return NULL;
    }
    if (this_lane != NULL)
        Py_RETURN_NONE;
    struct timespec pause = {wanted / 1000000000, wanted % 1000000000};
    PyThreadState *state = PyEval_SaveThread();
    nanosleep(&pause, NULL);
    uint64_t t0 = clock_ns();
    PyEval_RestoreThread(state);
    return PyLong_FromUnsignedLongLong(clock_ns() - t0);
}
