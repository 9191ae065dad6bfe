/* What the parts know of each other that time known calls: blocking ones, imports, collections. */

#ifndef TACHOGRAPH_CALLS_H
#define TACHOGRAPH_CALLS_H

#include "loop.h"

/* Which of a call's arguments tell what it is about, and what kind of object it belongs to. */
enum {
    DETAIL_NONE,
    DETAIL_FIRST,  /* argument */
    DETAIL_SECOND,
    DETAIL_PAIR,   /* both */
    DETAIL_NAME,   /* of the file it is a method of */
    DETAIL_PEER,   /* of the socket */
    DETAIL_MASK = 7,
    OF_LOCK = 8,
    OF_SOCKET = 16,
};

/* A builtin whose C function was exchanged for one of ours. */
typedef struct {
    PyMethodDef *method; /* NULL: free */
    PyCFunction stock, ours;
    PyObject *name;
    PyTypeObject *type; /* of a method */
    PyCFunction ask;    /* of a lock: whether it is taken; of a socket: its time-out */
    PyCFunction peer;   /* of a socket */
    int how;
} Wrapped;

/* A call that is being timed. The lane is compared before it is followed. */
typedef struct {
    Lane *lane;
    uint64_t task, t0;
} Began;

typedef struct {
    PyObject *self, *const *args, *names;
    Py_ssize_t count;
} Given;

enum { SLOW_CALL, SLOW_IMPORT, SLOW_FOR_GIL };

typedef struct {
    uint64_t threshold_ns; /* 0: off */
    PyTypeObject *path;    /* whose instances are paths */
} Timing;
extern Timing timing; /* slow.c */

/* The step that is open on this thread; 0: none, or nothing is timed. */
static inline int began_in_step(Began *began)
{
    Lane *lane = this_lane;
    if (likely(lane == NULL || lane->open.task == 0 || !timing.threshold_ns || !aio.enabled))
        return 0;
    if (lane->number >= FIRST_POOL_LANE) /* to block is what threads of pools are for */
        return 0;
    *began = (Began){lane, lane->open.task, now_ns()};
    return 1;
}

/* A call took as long as is worth noting. Keeps an exception that is set. */
void note_slow(const Wrapped *wrapped, const Began *began, const Given *given, uint64_t now);
void slow_forget(void);

PyObject *loop_wrap_call(PyObject *module, PyObject *args); /* calls.c */
PyObject *loop_unwrap_calls(PyObject *module, PyObject *unused);
PyObject *loop_call_shapes(PyObject *module, PyObject *unused);
PyObject *loop_time_calls(PyObject *module, PyObject *args); /* slow.c */
PyObject *loop_slow_calls(PyObject *module, PyObject *unused);
PyObject *loop_slow_counts(PyObject *module, PyObject *unused);
PyObject *loop_importer(PyObject *module, PyObject *stock);
PyObject *loop_collected(PyObject *module, PyObject *const *args, Py_ssize_t count); /* pauses.c */
PyObject *loop_pauses(PyObject *module, PyObject *unused);
PyObject *loop_pauses_dropped(PyObject *module, PyObject *unused);
PyObject *loop_gil_wait(PyObject *module, PyObject *sleep_ns);

#endif
