/* Two readings, the system's or a test's. */

#include "core.h"
#include <time.h>

/* Where the interpreter's own clocks read something else, they are asked through Python. */
#if defined(__linux__)
#define READS_THE_SYSTEM 1
#else
#define READS_THE_SYSTEM 0
#endif

static PyObject *replaced; /* has time_ns() and monotonic_ns() */

static long long ask(const char *method)
{
    PyObject *clock = Py_XNewRef(replaced);
    if (clock == NULL && (clock = PyImport_ImportModule("time")) == NULL)
        return -1;
    PyObject *found = PyObject_CallMethod(clock, method, NULL);
    Py_DECREF(clock);
    if (found == NULL)
        return -1;
    long long ns = PyLong_AsLongLong(found);
    Py_DECREF(found);
    return ns;
}

#if READS_THE_SYSTEM
static long long read_system(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (long long)now.tv_sec * 1000000000LL + now.tv_nsec;
}
#endif

long long core_monotonic_ns(void)
{
#if READS_THE_SYSTEM
    if (replaced == NULL)
        return read_system(CLOCK_MONOTONIC);
#endif
    return ask("monotonic_ns");
}

long long core_time_ns(void)
{
#if READS_THE_SYSTEM
    if (replaced == NULL)
        return read_system(CLOCK_REALTIME);
#endif
    return ask("time_ns");
}

PyObject *core_set_clock(PyObject *module, PyObject *clock)
{
    Py_XSETREF(replaced, clock == Py_None ? NULL : Py_NewRef(clock));
    Py_RETURN_NONE;
}
