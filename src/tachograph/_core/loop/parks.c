/* A loop's waits, and what its thread has used: parks and checkpoints; and the first look at a loop
   that a lane did not know. */

#include "loop.h"

#include <unistd.h>

static int64_t waited_ns(int file)
{
    char text[96];
    ssize_t length = file < 0 ? -1 : pread(file, text, sizeof text - 1, 0);
    if (length <= 0)
        return -1;
    text[length] = 0;
    char *second = strchr(text, ' ');
    return second == NULL ? -1 : strtoll(second, NULL, 10);
}

void lane_checkpoint(Lane *lane, uint64_t now)
{
    struct timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    Event event = {.t0 = now,
                   .task = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec,
                   .waker = (uint64_t)waited_ns(lane->schedstat),
                   .type = CHECKPOINT};
    lane->checked_ns = now;
    ring_push(&lane->ring, &event);
}

void lane_parked(Lane *lane, Park park, uint64_t now)
{
    Event event = {.t0 = park.t0,
                   .type = PARK,
                   .queue = park.files > UINT16_MAX ? UINT16_MAX : (uint16_t)park.files};
    event.flags = span32(park.woke - park.t0, &event.duration, LONG_DURATION);
    event.flags |= span32(park.running - park.woke, &event.delay, LONG_DELAY);
    ring_push(&lane->ring, &event);
    lane->parks++;
    if (now - lane->checked_ns > CHECKPOINT_NS && lane->parks % aio.wait_every == 0)
        lane_checkpoint(lane, now);
}

/* ------------------------------------------------------------------ loops */

/* The ready queue of a loop, a new reference, or NULL; no exception stays. Python is asked once for
   each loop that a lane comes to: it has the loop's waits recorded from now on, and knows the queues
   of loops that hide theirs. */
static PyObject *queue_of(PyObject *loop)
{
    PyObject *ready = PyObject_CallOneArg(aio.on_loop, loop);
    if (ready == Py_None)
        Py_SETREF(ready, PyObject_GetAttrString(loop, "_ready"));
    if (ready == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
        PyErr_SetInterrupt(); /* it was meant for the program, which is told again */
    PyErr_Clear();
    return ready;
}

void lane_meet(Lane *lane, PyObject *loop)
{
    lane->loop = lane->watched = loop; /* before Python runs, which may run a step */
    PyObject *reference = loop == NULL ? NULL : PyWeakref_NewRef(loop, NULL);
    if (reference == NULL)
        PyErr_Clear();
    Py_XSETREF(lane->loop_ref, reference);
    lane->waiting = NULL;
    PyObject *ready = loop == NULL ? NULL : queue_of(loop);
    Py_XSETREF(lane->ready, ready);
}
