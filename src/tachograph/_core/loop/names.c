/* Numbers for what is seen often: groups of callbacks; where tasks are made and what they run.

   A table's keys are addresses of objects that the table holds, so that no address is used twice.
   The first time a number is given, Python is told what it stands for; that is the only call into
   Python that a hook makes, and it is made once for each place in the program's code. */

#include "loop.h"
#include "compat.h"

#define MOST_CALLBACKS 4096
#define MOST_SPAWNS 16384
#define MOST_CODES 16384

typedef struct {
    const void *a, *b;
    uint64_t place;
    uint64_t number; /* 0: free */
} Name;

typedef struct {
    Name *names;
    size_t capacity, used, most;
} Table;

static Table callbacks = {.most = MOST_CALLBACKS}, spawns = {.most = MOST_SPAWNS},
             codes = {.most = MOST_CODES};
static uint64_t other_callbacks;
static uint32_t last_name;
static long long names_full, names_failed;

static inline size_t home(const Table *table, const void *a, const void *b, uint64_t place)
{
    uint64_t mixed = ((uintptr_t)a >> 4) ^ ((uintptr_t)b << 13) ^ place << 40;
    return (size_t)(mixed * 0x9E3779B97F4A7C15u >> 24) & (table->capacity - 1);
}

/* The entry of a key, or where it belongs; NULL when the table is full. */
static Name *look(Table *table, const void *a, const void *b, uint64_t place)
{
    if (unlikely(table->names == NULL)) {
        table->capacity = table->most * 2; /* at most half full: no search is long */
        table->names = PyMem_RawCalloc(table->capacity, sizeof(Name));
        if (table->names == NULL)
            return NULL;
    }
    for (size_t i = home(table, a, b, place);; i = (i + 1) & (table->capacity - 1)) {
        Name *name = &table->names[i];
        if (name->number == 0)
            return table->used < table->most ? name : NULL;
        if (name->a == a && name->b == b && name->place == place)
            return name;
    }
}

static void tell(int kind, uint64_t number, PyObject *first, int line, PyObject *second)
{
    PyObject *error_type, *error, *traceback;
    PyErr_Fetch(&error_type, &error, &traceback);
    PyObject *done = PyObject_CallFunction(aio.note_name, "iKOiO", kind, number,
                                           first == NULL ? Py_None : first, line,
                                           second == NULL ? Py_None : second);
    if (done == NULL) {
        names_failed++;
        PyErr_Clear();
    }
    Py_XDECREF(done);
    PyErr_Restore(error_type, error, traceback);
}

/* ------------------------------------------------------------------ callbacks */

static PyObject *partial_type, *func_name;

static int is_partial(PyObject *callback)
{
    if (partial_type == NULL) {
        PyObject *functools = PyImport_ImportModule("functools");
        partial_type = functools == NULL ? NULL : PyObject_GetAttrString(functools, "partial");
        func_name = PyUnicode_InternFromString("func");
        Py_XDECREF(functools);
        if (partial_type == NULL || func_name == NULL) {
            PyErr_Clear();
            return 0;
        }
    }
    return (PyObject *)Py_TYPE(callback) == partial_type;
}

/* What stays the same of a callable however often it is made; `holds` keeps the address from being
   another's. What is called in the end is left in `function`. */
static const void *key_of(PyObject **function, PyObject **holds)
{
    if (PyMethod_Check(*function))
        *function = PyMethod_GET_FUNCTION(*function);
    if (PyFunction_Check(*function))
        return *holds = PyFunction_GET_CODE(*function);
    if (PyCFunction_Check(*function)) {
        *holds = NULL;
        return ((PyCFunctionObject *)*function)->m_ml; /* of a type or a module: it stays */
    }
    return *holds = (PyObject *)Py_TYPE(*function);
}

uint64_t callback_group(PyObject *callback)
{
    PyObject *held = NULL; /* what is called in the end, a reference if it was asked for */
    for (int depth = 0; depth < 4 && is_partial(callback); depth++) {
        PyObject *inner = PyObject_GetAttr(callback, func_name);
        Py_XSETREF(held, inner);
        if (inner == NULL) {
            PyErr_Clear();
            return 0;
        }
        callback = inner;
    }
    PyObject *function = callback, *holds;
    const void *key = key_of(&function, &holds);
    Name *name = look(&callbacks, key, NULL, 0);
    uint64_t number = 0;
    if (name == NULL) {
        names_full++;
        number = other_callbacks;
        if (number == 0) {
            number = other_callbacks = new_task_id();
            tell(NAME_CALLBACK, number, NULL, 0, NULL);
        }
    } else if (name->number)
        number = name->number;
    else {
        Py_XINCREF(holds);
        number = new_task_id();
        *name = (Name){key, NULL, 0, number};
        callbacks.used++;
        tell(NAME_CALLBACK, number, function, 0, NULL);
    }
    Py_XDECREF(held);
    return number;
}

/* ------------------------------------------------------------------ where tasks are made */

enum { UNSEEN, PLUMBING, PROGRAM };

/* Whether a frame of this code only passes a coroutine on: asyncio's own, and the like. */
static int is_plumbing(PyCodeObject *code)
{
    Name *name = look(&codes, code, NULL, 0);
    if (name != NULL && name->number)
        return name->number == PLUMBING;
    int found = 0;
    for (Py_ssize_t i = 0; aio.plumbing != NULL && !found && i < PyTuple_GET_SIZE(aio.plumbing); i++)
        found = PyUnicode_Tailmatch(code->co_filename, PyTuple_GET_ITEM(aio.plumbing, i), 0,
                                    PY_SSIZE_T_MAX, -1) > 0;
    if (name != NULL) {
        *name = (Name){Py_NewRef(code), NULL, 0, found ? PLUMBING : PROGRAM};
        codes.used++;
    }
    return found;
}

static uint32_t named(PyCodeObject *maker, int place, PyObject *coro)
{
    PyObject *what =
        coro == NULL ? NULL
        : is_coroutine(coro) ? (PyObject *)code_of_coro(coro)
                             : Py_NewRef((PyObject *)Py_TYPE(coro));
    Name *name = look(&spawns, what, maker, (uint64_t)(maker == NULL ? 0 : place + 1));
    uint32_t number = 0;
    if (name == NULL)
        names_full++;
    else if (name->number)
        number = (uint32_t)name->number;
    else {
        number = ++last_name;
        Py_XINCREF(maker);
        Py_XINCREF(what);
        *name = (Name){what, maker, (uint64_t)(maker == NULL ? 0 : place + 1), number};
        spawns.used++;
        int line = maker == NULL ? 0 : PyCode_Addr2Line(maker, place);
        tell(NAME_SPAWN, number, (PyObject *)maker, line, coro);
    }
    Py_XDECREF(what);
    return number;
}

uint32_t spawn_name(PyObject *coro)
{
    Frame *frame = innermost_frame();
    for (int depth = 0; frame != NULL && depth < 64; depth++, frame = frame->previous) {
        PyCodeObject *code = code_of_frame(frame);
        if (code != NULL && !is_plumbing(code))
            return named(code, place_in_frame(frame, code), coro);
    }
    return named(NULL, 0, coro);
}

uint32_t spawn_name_of_running(PyObject *coro)
{
    return named(NULL, 0, coro);
}

/* ------------------------------------------------------------------ jobs */

static int is_run_of_context(PyObject *callable)
{
    PyObject *owner = PyCFunction_Check(callable) ? PyCFunction_GET_SELF(callable) : NULL;
    return owner != NULL && PyContext_CheckExact(owner);
}

/* What a callable calls in the end: within partials, and within a context that it is run in, as
   `asyncio.to_thread` does. A new reference. */
static PyObject *called_in_the_end(PyObject *callable, PyObject *first)
{
    PyObject *found = Py_NewRef(callable);
    for (int depth = 0; depth < 4; depth++) {
        PyObject *inner = NULL;
        if (is_partial(found)) {
            inner = PyObject_GetAttr(found, func_name);
            PyObject *args = inner != NULL && is_run_of_context(inner)
                                 ? PyObject_GetAttrString(found, "args")
                                 : NULL;
            if (args != NULL && PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 0)
                Py_SETREF(inner, Py_NewRef(PyTuple_GET_ITEM(args, 0)));
            Py_XDECREF(args);
        } else if (first != NULL && is_run_of_context(found))
            inner = Py_NewRef(first);
        if (inner == NULL) {
            PyErr_Clear();
            break;
        }
        Py_SETREF(found, inner);
        first = NULL;
    }
    return found;
}

uint32_t job_name(PyObject *callable, PyObject *first)
{
    PyObject *called = called_in_the_end(callable, first), *function = called, *holds;
    const void *key = key_of(&function, &holds);
    Name *name = look(&spawns, key, NULL, 1); /* a place that no maker of a task has */
    uint32_t number = 0;
    if (name == NULL)
        names_full++;
    else if (name->number)
        number = (uint32_t)name->number;
    else {
        number = ++last_name;
        Py_XINCREF(holds);
        *name = (Name){key, NULL, 1, number};
        spawns.used++;
        tell(NAME_JOB, number, function, 0, NULL);
    }
    Py_DECREF(called);
    return number;
}

PyObject *loop_name_counts(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{snsnsLsL}", "names_callbacks", (Py_ssize_t)callbacks.used,
                         "names_spawns", (Py_ssize_t)spawns.used, "names_full", names_full,
                         "names_failed", names_failed);
}
