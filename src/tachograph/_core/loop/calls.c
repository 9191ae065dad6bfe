/* Known blocking calls, timed where they are: the C function in a builtin's own table is exchanged
   for one that calls it.

   So every reference to the builtin is reached, `from time import sleep` too, no attribute is looked
   up anew and no frame is added. The table's entry keeps its convention. Our function gets no word of
   which builtin it stands in, so there is one for each, made by macros, for each convention. */

#include "calls.h"

#include <unistd.h>

/* Conventions by the type of their C functions; METH_O, METH_NOARGS and METH_VARARGS share one. */
enum { TWO, KEYWORDS, FAST, FAST_KEYWORDS, METHOD, SHAPES };

#define EACH 100 /* builtins of each shape */

static Wrapped tables[SHAPES][EACH];

/* ------------------------------------------------------------------ timing */

static int is_taken(const Wrapped *wrapped, PyObject *lock)
{
    PyObject *taken = wrapped->ask(lock, NULL);
    if (taken == NULL)
        PyErr_Clear();
    Py_XDECREF(taken);
    return taken != Py_False;
}

/* A free lock is had at once: nobody can take it before, for that needs the GIL. */
static inline int begins(const Wrapped *wrapped, PyObject *self, Began *began)
{
    return unlikely(began_in_step(began)) &&
           (!(wrapped->how & OF_LOCK) || wrapped->ask == NULL || is_taken(wrapped, self));
}

static inline void ends(const Wrapped *wrapped, const Began *began, PyObject *self,
                        PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    uint64_t now = now_ns();
    if (unlikely(now - began->t0 >= timing.threshold_ns))
        note_slow(wrapped, began, &(Given){self, args, names, count}, now);
}

#define STOCK(type) ((type)(void (*)(void))wrapped->stock)

static PyObject *via_two(PyObject *self, PyObject *arg, const Wrapped *wrapped)
{
    Began began;
    if (likely(!begins(wrapped, self, &began)))
        return wrapped->stock(self, arg);
    PyObject *result = wrapped->stock(self, arg);
    if (arg != NULL && wrapped->method->ml_flags & METH_VARARGS && PyTuple_Check(arg))
        ends(wrapped, &began, self, &PyTuple_GET_ITEM(arg, 0), PyTuple_GET_SIZE(arg), NULL);
    else
        ends(wrapped, &began, self, &arg, arg != NULL, NULL);
    return result;
}

static PyObject *via_keywords(PyObject *self, PyObject *args, PyObject *names,
                              const Wrapped *wrapped)
{
    Began began;
    if (likely(!begins(wrapped, self, &began)))
        return STOCK(PyCFunctionWithKeywords)(self, args, names);
    PyObject *result = STOCK(PyCFunctionWithKeywords)(self, args, names);
    ends(wrapped, &began, self, &PyTuple_GET_ITEM(args, 0), PyTuple_GET_SIZE(args), NULL);
    return result;
}

typedef PyObject *(*Fast)(PyObject *, PyObject *const *, Py_ssize_t);
typedef PyObject *(*FastKeywords)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

static PyObject *via_fast(PyObject *self, PyObject *const *args, Py_ssize_t count,
                          const Wrapped *wrapped)
{
    Began began;
    if (likely(!begins(wrapped, self, &began)))
        return STOCK(Fast)(self, args, count);
    PyObject *result = STOCK(Fast)(self, args, count);
    ends(wrapped, &began, self, args, count, NULL);
    return result;
}

static PyObject *via_fast_keywords(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *names, const Wrapped *wrapped)
{
    Began began;
    if (likely(!begins(wrapped, self, &began)))
        return STOCK(FastKeywords)(self, args, count, names);
    PyObject *result = STOCK(FastKeywords)(self, args, count, names);
    ends(wrapped, &began, self, args, count, names);
    return result;
}

static PyObject *via_method(PyObject *self, PyTypeObject *type, PyObject *const *args,
                            Py_ssize_t count, PyObject *names, const Wrapped *wrapped)
{
    Began began;
    if (likely(!begins(wrapped, self, &began)))
        return STOCK(PyCMethod)(self, type, args, (size_t)count, names);
    PyObject *result = STOCK(PyCMethod)(self, type, args, (size_t)count, names);
    ends(wrapped, &began, self, args, count, names);
    return result;
}

/* ------------------------------------------------------------------ one function for each builtin */

#define TEN(M, d) M(d##0) M(d##1) M(d##2) M(d##3) M(d##4) M(d##5) M(d##6) M(d##7) M(d##8) M(d##9)
#define ALL(M)                                                                                     \
    TEN(M, ) TEN(M, 1) TEN(M, 2) TEN(M, 3) TEN(M, 4) TEN(M, 5) TEN(M, 6) TEN(M, 7) TEN(M, 8)       \
        TEN(M, 9)

#define TWO_(n)                                                                                    \
    static PyObject *two_##n(PyObject *self, PyObject *arg)                                        \
    {                                                                                              \
        return via_two(self, arg, &tables[TWO][n]);                                                \
    }
#define KEYWORDS_(n)                                                                               \
    static PyObject *keywords_##n(PyObject *self, PyObject *args, PyObject *names)                 \
    {                                                                                              \
        return via_keywords(self, args, names, &tables[KEYWORDS][n]);                              \
    }
#define FAST_(n)                                                                                   \
    static PyObject *fast_##n(PyObject *self, PyObject *const *args, Py_ssize_t count)             \
    {                                                                                              \
        return via_fast(self, args, count, &tables[FAST][n]);                                      \
    }
#define FAST_KEYWORDS_(n)                                                                          \
    static PyObject *fast_keywords_##n(PyObject *self, PyObject *const *args, Py_ssize_t count,    \
                                       PyObject *names)                                            \
    {                                                                                              \
        return via_fast_keywords(self, args, count, names, &tables[FAST_KEYWORDS][n]);             \
    }
#define METHOD_(n)                                                                                 \
    static PyObject *method_##n(PyObject *self, PyTypeObject *type, PyObject *const *args,         \
                                size_t count, PyObject *names)                                     \
    {                                                                                              \
        return via_method(self, type, args, (Py_ssize_t)count, names, &tables[METHOD][n]);         \
    }

ALL(TWO_)
ALL(KEYWORDS_)
ALL(FAST_)
ALL(FAST_KEYWORDS_)
ALL(METHOD_)

#define AS_ITEM(shape, n) (PyCFunction)(void (*)(void))shape##_##n,
#define TWO_ITEM(n) AS_ITEM(two, n)
#define KEYWORDS_ITEM(n) AS_ITEM(keywords, n)
#define FAST_ITEM(n) AS_ITEM(fast, n)
#define FAST_KEYWORDS_ITEM(n) AS_ITEM(fast_keywords, n)
#define METHOD_ITEM(n) AS_ITEM(method, n)

static const PyCFunction functions[SHAPES][EACH] = {
    {ALL(TWO_ITEM)},           {ALL(KEYWORDS_ITEM)}, {ALL(FAST_ITEM)},
    {ALL(FAST_KEYWORDS_ITEM)}, {ALL(METHOD_ITEM)},
};

/* ------------------------------------------------------------------ exchanging */

static int shape_of(int flags)
{
    switch (flags & ~(METH_CLASS | METH_STATIC | METH_COEXIST)) {
    case METH_O:
    case METH_NOARGS:
    case METH_VARARGS:
        return TWO;
    case METH_VARARGS | METH_KEYWORDS:
        return KEYWORDS;
    case METH_FASTCALL:
        return FAST;
    case METH_FASTCALL | METH_KEYWORDS:
        return FAST_KEYWORDS;
    case METH_METHOD | METH_FASTCALL | METH_KEYWORDS:
        return METHOD;
    }
    return -1;
}

static PyMethodDef *method_of(PyObject *callable, PyTypeObject **type)
{
    *type = NULL;
    if (PyCFunction_Check(callable))
        return ((PyCFunctionObject *)callable)->m_ml;
    if (!Py_IS_TYPE(callable, &PyMethodDescr_Type) && !Py_IS_TYPE(callable, &PyClassMethodDescr_Type))
        return NULL;
    *type = PyDescr_TYPE(callable);
    return ((PyMethodDescrObject *)callable)->d_method;
}

/* Whether a table may be written to. The kernel tries, with what stands there, and says no where a
   store would crash: tables may lie in memory that is read only. */
static int is_writable(PyCFunction *at)
{
    int ends[2], found = 0;
    if (pipe(ends) < 0)
        return 0;
    if (write(ends[1], at, sizeof *at) == (ssize_t)sizeof *at)
        found = read(ends[0], at, sizeof *at) == (ssize_t)sizeof *at;
    close(ends[0]);
    close(ends[1]);
    return found;
}

static Wrapped *place_for(PyMethodDef *method, int shape)
{
    Wrapped *free = NULL;
    for (int i = 0; i < EACH; i++) {
        Wrapped *wrapped = &tables[shape][i];
        if (wrapped->method == method)
            return wrapped; /* in use, or once was: somebody may still be in it */
        if (wrapped->method == NULL && free == NULL) {
            free = wrapped;
            free->ours = functions[shape][i];
        }
    }
    return free;
}

static PyCFunction plain_method(PyObject *owner, const char *name)
{
    PyTypeObject *type;
    PyObject *found = owner == Py_None ? NULL : PyObject_GetAttrString(owner, name);
    PyMethodDef *method = found == NULL ? NULL : method_of(found, &type);
    PyErr_Clear();
    Py_XDECREF(found); /* its type has it */
    return method != NULL && method->ml_flags == METH_NOARGS ? method->ml_meth : NULL;
}

/* Exchange the function of a builtin; None, or why not. */
PyObject *loop_wrap_call(PyObject *module, PyObject *args)
{
    PyObject *callable, *name, *owner;
    int how;
    if (!PyArg_ParseTuple(args, "OUiO", &callable, &name, &how, &owner))
        return NULL;
#ifdef Py_GIL_DISABLED
    return PyUnicode_FromString("this Python has no GIL, under which tables are changed");
#endif
    PyTypeObject *type;
    PyMethodDef *method = method_of(callable, &type);
    if (method == NULL)
        return PyUnicode_FromFormat("a %s, no builtin", Py_TYPE(callable)->tp_name);
    int shape = shape_of(method->ml_flags);
    if (shape < 0)
        return PyUnicode_FromFormat("its convention %d is not known", method->ml_flags);
    Wrapped *wrapped = place_for(method, shape);
    if (wrapped == NULL)
        return PyUnicode_FromString("there are too many of its convention");
    if (method->ml_meth == wrapped->ours)
        Py_RETURN_NONE;
    if (wrapped->method != NULL && wrapped->stock != method->ml_meth)
        return PyUnicode_FromString("something else has exchanged it meanwhile");
    if (!is_writable(&method->ml_meth))
        return PyUnicode_FromString("its table cannot be written to");
    if (wrapped->method == NULL)
        *wrapped = (Wrapped){.stock = method->ml_meth,
                             .ours = wrapped->ours,
                             .name = Py_NewRef(name),
                             .type = type,
                             .ask = plain_method(owner, how & OF_LOCK ? "locked" : "gettimeout"),
                             .peer = plain_method(owner, "getpeername"),
                             .how = how,
                             .method = method};
    __atomic_store_n(&method->ml_meth, wrapped->ours, __ATOMIC_RELEASE);
    Py_RETURN_NONE;
}

/* Give all functions back; how many could be. A call that goes on in one of ours ends there. */
PyObject *loop_unwrap_calls(PyObject *module, PyObject *unused)
{
    long count = 0;
    for (int shape = 0; shape < SHAPES; shape++)
        for (int i = 0; i < EACH; i++) {
            Wrapped *wrapped = &tables[shape][i];
            if (wrapped->method == NULL || wrapped->method->ml_meth != wrapped->ours)
                continue;
            __atomic_store_n(&wrapped->method->ml_meth, wrapped->stock, __ATOMIC_RELEASE);
            count++;
        }
    return PyLong_FromLong(count);
}

/* ------------------------------------------------------------------ for the self-test */

static PyObject *echo_two(PyObject *self, PyObject *arg)
{
    return Py_BuildValue("sO", "two", arg == NULL ? Py_None : arg);
}

static PyObject *echo_keywords(PyObject *self, PyObject *args, PyObject *names)
{
    return Py_BuildValue("sOO", "keywords", args, names == NULL ? Py_None : names);
}

static PyObject *echo_fast(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return Py_BuildValue("sOn", "fast", count ? args[count - 1] : Py_None, count);
}

static PyObject *echo_fast_keywords(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                    PyObject *names)
{
    return Py_BuildValue("sOnO", "fast_keywords", count ? args[count - 1] : Py_None, count,
                         names == NULL ? Py_None : names);
}

static PyObject *echo_error(PyObject *self, PyObject *arg)
{
    PyErr_SetObject(PyExc_LookupError, arg);
    return NULL;
}

static PyObject *echo_method(PyObject *self, PyTypeObject *type, PyObject *const *args, size_t count,
                             PyObject *names)
{
    return Py_BuildValue("sOnO", "method", (PyObject *)type, (Py_ssize_t)count,
                         names == NULL ? Py_None : names);
}

#define ANY(function) (PyCFunction)(void (*)(void))function

static PyMethodDef echoes[] = {
    {"none", echo_two, METH_NOARGS, NULL},
    {"one", echo_two, METH_O, NULL},
    {"many", echo_two, METH_VARARGS, NULL},
    {"error", echo_error, METH_O, NULL},
    {"keywords", ANY(echo_keywords), METH_VARARGS | METH_KEYWORDS, NULL},
    {"fast", ANY(echo_fast), METH_FASTCALL, NULL},
    {"fast_keywords", ANY(echo_fast_keywords), METH_FASTCALL | METH_KEYWORDS, NULL},
    {"method", ANY(echo_method), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
};

/* One builtin for each convention, which tells what it was given. */
PyObject *loop_call_shapes(PyObject *module, PyObject *unused)
{
    PyObject *found = PyDict_New();
    for (size_t i = 0; found != NULL && i < sizeof echoes / sizeof *echoes; i++) {
        PyTypeObject *type = echoes[i].ml_flags & METH_METHOD ? &lane_type : NULL;
        PyObject *made = PyCMethod_New(&echoes[i], module, NULL, type);
        if (made == NULL || PyDict_SetItemString(found, echoes[i].ml_name, made) < 0)
            Py_CLEAR(found);
        Py_XDECREF(made);
    }
    return found;
}
