/* What took long inside a step: a known call, an import, a wait for the GIL.

   Noted on the thread itself, in memory of our own: while a builtin returns is no time to run
   anything of the program's. What is noted holds references, so that nothing of it can go away before
   the drain has made texts of it. */

#include "calls.h"
#include "compat.h"

#define MOST_SLOW 2048
#define MOST_FRAMES 128

Timing timing;

typedef struct {
    PyCodeObject *code;
    int place;
} At;

typedef struct {
    uint64_t end, duration, tid, task;
    PyObject *name, *detail; /* owned; the latter may be NULL */
    int kind, lane, depth;
    At frames[];
} Slow;

static Slow *waiting[MOST_SLOW];
static int count;
static long long noted, dropped;

/* ------------------------------------------------------------------ details */

/* What may be held and read later on another thread: it does not change. */
static int is_keepable(PyObject *object)
{
    if (PyTuple_CheckExact(object)) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); i++) {
            PyObject *item = PyTuple_GET_ITEM(object, i);
            if (PyTuple_CheckExact(item) || !is_keepable(item))
                return 0;
        }
        return PyTuple_GET_SIZE(object) <= 64;
    }
    return PyUnicode_CheckExact(object) || PyBytes_CheckExact(object) || PyLong_CheckExact(object) ||
           object == Py_None || (timing.path != NULL && PyObject_TypeCheck(object, timing.path));
}

static PyObject *keep(PyObject *object)
{
    return object != NULL && is_keepable(object) ? Py_NewRef(object) : NULL;
}

/* Whether a name among a call's arguments is that of its first one where it has a path. */
static int names_path(PyObject *names)
{
    PyObject *first = names == NULL || !PyTuple_GET_SIZE(names) ? NULL : PyTuple_GET_ITEM(names, 0);
    return first != NULL && (PyUnicode_CompareWithASCIIString(first, "file") == 0 ||
                             PyUnicode_CompareWithASCIIString(first, "path") == 0 ||
                             PyUnicode_CompareWithASCIIString(first, "fd") == 0);
}

static PyObject *detail_of(const Wrapped *wrapped, const Given *given)
{
    PyObject *const *args = given->args, *found = NULL;
    switch (wrapped->how & DETAIL_MASK) {
    case DETAIL_FIRST:
        return given->count > 0 || names_path(given->names) ? keep(args[0]) : NULL;
    case DETAIL_SECOND:
        return given->count > 1 ? keep(args[1]) : NULL;
    case DETAIL_PAIR:
        if (given->count > 1 && is_keepable(args[0]) && is_keepable(args[1]))
            found = PyTuple_Pack(2, args[0], args[1]);
        break;
    case DETAIL_NAME: /* of a class of the program's own it might be anything */
        if (wrapped->type != NULL && Py_IS_TYPE(given->self, wrapped->type))
            found = PyObject_GetAttrString(given->self, "name");
        break;
    case DETAIL_PEER:
        found = wrapped->peer == NULL ? NULL : wrapped->peer(given->self, NULL);
        break;
    }
    PyErr_Clear();
    if (found != NULL && !is_keepable(found))
        Py_CLEAR(found);
    return found;
}

/* ------------------------------------------------------------------ noting */

static int walk(At *frames)
{
    int depth = 0;
    for (Frame *frame = innermost_frame(); frame != NULL && depth < MOST_FRAMES;
         frame = frame->previous) {
        PyCodeObject *code = code_of_frame(frame);
        if (code != NULL)
            frames[depth++] = (At){code, place_in_frame(frame, code)};
    }
    return depth;
}

static void note(int kind, const Began *began, uint64_t now, PyObject *name, PyObject *detail)
{
    if (count == MOST_SLOW) {
        dropped++;
        Py_XDECREF(detail);
        return;
    }
    At frames[MOST_FRAMES];
    int depth = walk(frames);
    Slow *slow = malloc(sizeof *slow + (size_t)depth * sizeof *frames);
    if (slow == NULL) {
        dropped++;
        Py_XDECREF(detail);
        return;
    }
    *slow = (Slow){now,    now - began->t0, began->lane->tid,    began->task, Py_NewRef(name),
                   detail, kind,            began->lane->number, depth};
    for (int i = 0; i < depth; i++) {
        Py_INCREF(frames[i].code);
        slow->frames[i] = frames[i];
    }
    waiting[count++] = slow;
    noted++;
}

/* Whether the step goes on in which it began. */
static int is_same_step(const Began *began)
{
    return began->lane == this_lane && began->lane->open.task == began->task && aio.enabled;
}

/* Whether a socket never waits for its other end: what took long is the way back to the GIL. */
static int never_blocks(const Wrapped *wrapped, PyObject *self)
{
    if (!(wrapped->how & OF_SOCKET) || wrapped->ask == NULL)
        return 0;
    PyObject *timeout = wrapped->ask(self, NULL);
    int found = timeout != NULL && PyFloat_CheckExact(timeout) && PyFloat_AS_DOUBLE(timeout) == 0;
    Py_XDECREF(timeout);
    PyErr_Clear();
    return found;
}

void note_slow(const Wrapped *wrapped, const Began *began, const Given *given, uint64_t now)
{
    if (!is_same_step(began))
        return;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    int for_gil = never_blocks(wrapped, given->self);
    note(for_gil ? SLOW_FOR_GIL : SLOW_CALL, began, now, wrapped->name,
         for_gil ? NULL : detail_of(wrapped, given));
    PyErr_Restore(type, error, traceback);
}

/* ------------------------------------------------------------------ imports */

static __thread struct {
    uint64_t task;
    int depth;
} importing;

static PyObject *import_call(PyObject *stock, PyObject *const *args, Py_ssize_t given,
                             PyObject *names)
{
    Began began;
    if (likely(!began_in_step(&began)))
        return PyObject_Vectorcall(stock, args, (size_t)given, names);
    if (importing.task != began.task) { /* a step that never came back from one */
        importing.task = began.task;
        importing.depth = 0;
    }
    importing.depth++;
    PyObject *result = PyObject_Vectorcall(stock, args, (size_t)given, names);
    if (importing.task == began.task && importing.depth > 0)
        importing.depth--;
    uint64_t now = now_ns();
    int is_outermost = importing.depth == 0 && result != NULL;
    if ((is_outermost || now - began.t0 >= timing.threshold_ns) && given > 0 &&
        PyUnicode_CheckExact(args[0]) && is_same_step(&began))
        note(SLOW_IMPORT, &began, now, args[0], NULL);
    return result;
}

static PyMethodDef import_method = {"_find_and_load", (PyCFunction)(void (*)(void))import_call,
                                    METH_FASTCALL | METH_KEYWORDS, "Find and load a module."};

/* What stands for importlib's own function, and calls it. A forked child inherits its parent's. */
PyObject *loop_importer(PyObject *module, PyObject *stock)
{
    if (PyCFunction_CheckExact(stock) && ((PyCFunctionObject *)stock)->m_ml == &import_method)
        return Py_NewRef(stock);
    return PyCFunction_New(&import_method, stock);
}

/* ------------------------------------------------------------------ for the drain */

PyObject *loop_time_calls(PyObject *module, PyObject *args)
{
    unsigned long long threshold_ns;
    PyObject *path;
    if (!PyArg_ParseTuple(args, "KO!", &threshold_ns, &PyType_Type, &path))
        return NULL;
    timing.path = (PyTypeObject *)Py_NewRef(path); /* for the life of the process */
    if (threshold_ns)
        noted = dropped = 0;
    timing.threshold_ns = threshold_ns;
    Py_RETURN_NONE;
}

static PyObject *frames_of(const Slow *slow)
{
    PyObject *found = PyTuple_New(slow->depth);
    for (int i = 0; found != NULL && i < slow->depth; i++) {
        PyCodeObject *code = slow->frames[i].code;
        int line = PyCode_Addr2Line(code, slow->frames[i].place);
        PyObject *item = Py_BuildValue("OOi", code->co_filename, code->co_qualname,
                                       line > 0 ? line : code->co_firstlineno);
        if (item == NULL)
            Py_CLEAR(found);
        else
            PyTuple_SET_ITEM(found, i, item);
    }
    return found;
}

static PyObject *object_of(const Slow *slow)
{
    PyObject *frames = frames_of(slow);
    if (frames == NULL)
        return NULL;
    return Py_BuildValue("iKKKiKOON", slow->kind, (unsigned long long)slow->end,
                         (unsigned long long)slow->duration, (unsigned long long)slow->tid,
                         slow->lane, (unsigned long long)slow->task, slow->name,
                         slow->detail == NULL ? Py_None : slow->detail, frames);
}

static void slow_free(Slow *slow)
{
    for (int i = 0; i < slow->depth; i++)
        Py_DECREF(slow->frames[i].code);
    Py_DECREF(slow->name);
    Py_XDECREF(slow->detail);
    free(slow);
}

PyObject *loop_slow_calls(PyObject *module, PyObject *unused)
{
    /* Making objects may run a program's own code, and let others note more. */
    int taken = count;
    Slow **ours = taken ? malloc((size_t)taken * sizeof *ours) : NULL;
    if (taken && ours == NULL)
        return PyErr_NoMemory();
    if (taken)
        memcpy(ours, waiting, (size_t)taken * sizeof *ours);
    count = 0;
    PyObject *found = PyList_New(0);
    for (int i = 0; i < taken; i++) {
        PyObject *item = found == NULL ? NULL : object_of(ours[i]);
        if (found != NULL && (item == NULL || PyList_Append(found, item) < 0))
            Py_CLEAR(found);
        Py_XDECREF(item);
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        slow_free(ours[i]);
        PyErr_Restore(type, error, traceback);
    }
    free(ours);
    return found;
}

PyObject *loop_slow_counts(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{sLsL}", "calls_noted", noted, "calls_dropped", dropped);
}

/* In a forked child: what waits is the parent's. */
void slow_forget(void)
{
    timing.threshold_ns = 0;
    while (count)
        slow_free(waiting[--count]);
    noted = dropped = 0;
}
