/* Counter, stopwatch, span and timer, as metrics/instruments.py describes them. */

#include "core.h"
#include <structmember.h>

/* ------------------------------------------------------------------ counter */

void counter_add(Counter *self, long long amount)
{
    long long value = self->value + amount;
    if (value < 0) {
        self->underflows++;
        value = 0;
    }
    self->value = value;
}

static int optional_number(PyObject *const *args, Py_ssize_t count, long long *number)
{
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "expected at most one argument");
        return 0;
    }
    if (count == 1) {
        *number = PyLong_AsLongLong(args[0]);
        if (*number == -1 && PyErr_Occurred())
            return 0;
    }
    return 1;
}

static PyObject *counter_add_method(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    long long amount = 1;
    if (!optional_number(args, count, &amount))
        return NULL;
    counter_add((Counter *)object, amount);
    return PyLong_FromLongLong(((Counter *)object)->value);
}

static PyObject *counter_set(PyObject *object, PyObject *value)
{
    long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    ((Counter *)object)->value = number;
    Py_RETURN_NONE;
}

static PyObject *counter_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"value", NULL};
    long long value = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|L", names, &value))
        return NULL;
    Counter *self = (Counter *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->value = value;
    return (PyObject *)self;
}

static PyObject *counter_repr(PyObject *object)
{
    return PyUnicode_FromFormat("Counter(%lld)", ((Counter *)object)->value);
}

static PyMethodDef counter_methods[] = {
    {"add", (PyCFunction)(void (*)(void))counter_add_method, METH_FASTCALL,
     "Add an amount, 1 unless given, and return the new number; it stops at zero."},
    {"set", counter_set, METH_O, "Replace the number."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef counter_members[] = {
    {"value", T_LONGLONG, offsetof(Counter, value), READONLY, "The number now."},
    {"_value", T_LONGLONG, offsetof(Counter, value), 0, NULL},
    {"underflows", T_LONGLONG, offsetof(Counter, underflows), 0,
     "How often it was asked to go below zero; each is a missing increment somewhere."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject counter_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Counter",
    .tp_doc = "A number that any thread may change; never below zero.",
    .tp_basicsize = sizeof(Counter),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = counter_new,
    .tp_repr = counter_repr,
    .tp_methods = counter_methods,
    .tp_members = counter_members,
};

/* ------------------------------------------------------------------ stopwatch */

typedef struct {
    PyObject_HEAD
    Stopwatch *stopwatch;
    long long started_ns;
    int open;
} Span;

int stopwatch_elapsed(Stopwatch *self, long long now_ns, long long *elapsed_ns)
{
    *elapsed_ns = self->total_ns + self->running * now_ns;
    return self->started != 0;
}

static PyObject *on_late; /* called with what was done to a record that is over */

PyObject *core_on_late(PyObject *module, PyObject *callback)
{
    Py_XSETREF(on_late, Py_NewRef(callback));
    Py_RETURN_NONE;
}

/* Count it; 0, or -1 with an exception set in strict mode. */
static int late(const char *what)
{
    PyObject *done = on_late == NULL ? Py_NewRef(Py_None) : PyObject_CallFunction(on_late, "s", what);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* 1: begun; 0: too late, which was counted; -1: an exception is set. */
static int stopwatch_begin(Stopwatch *self, long long *now_ns)
{
    if (self->over)
        return late("A stopwatch was started");
    *now_ns = core_monotonic_ns();
    if (*now_ns == -1 && PyErr_Occurred())
        return -1;
    self->total_ns -= *now_ns;
    self->running++;
    self->started++;
    return 1;
}

static int stopwatch_end(Stopwatch *self)
{
    long long now_ns = core_monotonic_ns();
    if (now_ns == -1 && PyErr_Occurred())
        return -1;
    if (self->running) {
        self->total_ns += now_ns;
        self->running--;
    }
    return 0;
}

static PyObject *stopwatch_enter(PyObject *object, PyObject *unused)
{
    long long now_ns;
    return stopwatch_begin((Stopwatch *)object, &now_ns) < 0 ? NULL : Py_NewRef(object);
}

static PyObject *stopwatch_exit(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (stopwatch_end((Stopwatch *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *stopwatch_start(PyObject *object, PyObject *unused)
{
    long long now_ns = 0;
    Span *span = PyObject_New(Span, &span_type);
    if (span == NULL)
        return NULL;
    span->stopwatch = (Stopwatch *)Py_NewRef(object);
    span->open = stopwatch_begin((Stopwatch *)object, &now_ns);
    if (span->open < 0) {
        Py_DECREF(span);
        return NULL;
    }
    span->started_ns = now_ns;
    return (PyObject *)span;
}

static PyObject *stopwatch_clear(PyObject *object, PyObject *unused)
{
    Stopwatch *self = (Stopwatch *)object;
    if (self->over && late("A stopwatch was cleared") < 0)
        return NULL;
    if (!self->over)
        self->total_ns = self->running = self->started = 0;
    Py_RETURN_NONE;
}

static PyObject *stopwatch_elapsed_ns(PyObject *object, PyObject *now)
{
    long long now_ns = PyLong_AsLongLong(now), elapsed_ns;
    if (now_ns == -1 && PyErr_Occurred())
        return NULL;
    if (!stopwatch_elapsed((Stopwatch *)object, now_ns, &elapsed_ns))
        Py_RETURN_NONE;
    return PyLong_FromLongLong(elapsed_ns);
}

static PyObject *stopwatch_close_ns(PyObject *object, PyObject *now)
{
    ((Stopwatch *)object)->over = 1;
    return stopwatch_elapsed_ns(object, now);
}

static PyObject *stopwatch_spans(PyObject *object, void *unused)
{
    return PyLong_FromLongLong(((Stopwatch *)object)->started);
}

static PyMethodDef stopwatch_methods[] = {
    {"__enter__", stopwatch_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))stopwatch_exit, METH_FASTCALL, NULL},
    {"start", stopwatch_start, METH_NOARGS,
     "Start a span and return it; it stops by its `stop()` or at the end of a `with`."},
    {"clear", stopwatch_clear, METH_NOARGS, "Forget every span, the open ones too."},
    {"elapsed_ns", stopwatch_elapsed_ns, METH_O,
     "Return the sum of all spans in nanoseconds, open ones until then; None if none."},
    {"close_ns", stopwatch_close_ns, METH_O,
     "Do as `elapsed_ns`, for the last time: what is measured later is counted as too late."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stopwatch_attributes[] = {
    {"spans", stopwatch_spans, NULL, "How many spans there were, open ones included.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject stopwatch_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Stopwatch",
    .tp_doc = "The sum of the spans that were measured with it; absent if there was none.",
    .tp_basicsize = sizeof(Stopwatch),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_methods = stopwatch_methods,
    .tp_getset = stopwatch_attributes,
};

/* ------------------------------------------------------------------ span */

static PyObject *span_stop(PyObject *object, PyObject *unused)
{
    Span *self = (Span *)object;
    if (self->open) {
        self->open = 0;
        if (stopwatch_end(self->stopwatch) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *span_discard(PyObject *object, PyObject *unused)
{
    Span *self = (Span *)object;
    Stopwatch *watch = self->stopwatch;
    if (self->open && watch->over) {
        self->open = 0;
        if (late("A span was discarded") < 0)
            return NULL;
    } else if (self->open && watch->running) {
        self->open = 0;
        watch->total_ns += self->started_ns;
        watch->running--;
        watch->started--;
    }
    Py_RETURN_NONE;
}

static PyObject *span_overwrite(PyObject *object, PyObject *unused)
{
    Span *self = (Span *)object;
    if (self->open && self->stopwatch->over) {
        self->open = 0;
        if (late("A stopwatch was overwritten") < 0)
            return NULL;
    } else if (self->open) {
        long long now_ns = core_monotonic_ns();
        if (now_ns == -1 && PyErr_Occurred())
            return NULL;
        self->open = 0;
        self->stopwatch->running = 0;
        self->stopwatch->started = 1;
        self->stopwatch->total_ns = now_ns - self->started_ns;
    }
    Py_RETURN_NONE;
}

static PyObject *span_enter(PyObject *object, PyObject *unused)
{
    return Py_NewRef(object);
}

static PyObject *span_exit(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return span_stop(object, NULL);
}

static void span_dealloc(PyObject *object)
{
    Py_XDECREF(((Span *)object)->stopwatch);
    PyObject_Free(object);
}

static PyMethodDef span_methods[] = {
    {"stop", span_stop, METH_NOARGS, "Add the span to the stopwatch's sum."},
    {"discard", span_discard, METH_NOARGS, "End the span as if it had never started."},
    {"overwrite", span_overwrite, METH_NOARGS,
     "Make this span the stopwatch's only one, and end it."},
    {"__enter__", span_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))span_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject span_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Span",
    .tp_doc = "One measurement of a stopwatch; ends once, by `stop`, `discard` or `overwrite`.",
    .tp_basicsize = sizeof(Span),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = span_dealloc,
    .tp_methods = span_methods,
};

/* ------------------------------------------------------------------ timer */

long long timer_elapsed(Timer *self, long long now_ns)
{
    return (self->stopped ? self->stopped_ns : now_ns) - self->started_ns;
}

static PyObject *timer_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"started_ns", NULL};
    long long started_ns;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "L", names, &started_ns))
        return NULL;
    Timer *self = (Timer *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->started_ns = started_ns;
    return (PyObject *)self;
}

static PyObject *timer_stop(PyObject *object, PyObject *unused)
{
    Timer *self = (Timer *)object;
    if (!self->stopped) {
        long long now_ns = core_monotonic_ns();
        if (now_ns == -1 && PyErr_Occurred())
            return NULL;
        self->stopped_ns = now_ns;
        self->stopped = 1;
    }
    return PyLong_FromLongLong(self->stopped_ns - self->started_ns);
}

static PyObject *timer_elapsed_ns(PyObject *object, PyObject *now)
{
    long long now_ns = PyLong_AsLongLong(now);
    if (now_ns == -1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromLongLong(timer_elapsed((Timer *)object, now_ns));
}

static PyMethodDef timer_methods[] = {
    {"stop", timer_stop, METH_NOARGS,
     "Stop, and return the elapsed nanoseconds; a second call returns the first's value."},
    {"elapsed_ns", timer_elapsed_ns, METH_O,
     "Return the nanoseconds until the stop, or until then while it runs."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject timer_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Timer",
    .tp_doc = "Time since the record started, until `stop()` or the record's end.",
    .tp_basicsize = sizeof(Timer),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = timer_new,
    .tp_methods = timer_methods,
};

/* ------------------------------------------------------------------ attributes */

/* The attribute of a record under which a stopwatch or timer is reached: it makes the instrument
   when it is first touched. */
typedef struct {
    PyObject_HEAD
    PyObject *state;   /* name of the hidden slot */
    PyObject *refuse;  /* called with (record, value) for an assignment */
    Py_ssize_t offset; /* of the hidden slot; 0 until the class is there */
    int is_timer;
} Attribute;

static PyObject *make_instrument(Attribute *self, PyObject *record)
{
    if (!self->is_timer)
        return stopwatch_type.tp_alloc(&stopwatch_type, 0);
    Timer *timer = (Timer *)timer_type.tp_alloc(&timer_type, 0);
    if (timer == NULL)
        return NULL;
    timer->started_ns = ((Record *)record)->started_ns;
    if (timer->started_ns == 0) {
        timer->started_ns = core_monotonic_ns();
        if (timer->started_ns == -1 && PyErr_Occurred()) {
            Py_DECREF(timer);
            return NULL;
        }
    }
    return (PyObject *)timer;
}

static PyObject *attribute_get(PyObject *object, PyObject *record, PyObject *owner)
{
    Attribute *self = (Attribute *)object;
    if (record == NULL || record == Py_None)
        return Py_NewRef(object);
    if (self->offset == 0 || !PyObject_TypeCheck(record, &record_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a record of this class");
        return NULL;
    }
    PyObject **slot = (PyObject **)((char *)record + self->offset);
    if (*slot != NULL && *slot != Py_None)
        return Py_NewRef(*slot);
    PyObject *made = make_instrument(self, record);
    if (made == NULL)
        return NULL;
    if (Py_TYPE(record)->tp_setattro == PyObject_GenericSetAttr)
        Py_XSETREF(*slot, Py_NewRef(made));
    else if (PyObject_SetAttr(record, self->state, made) < 0) /* an ended record: counted there */
        Py_CLEAR(made);
    return made;
}

static int attribute_set(PyObject *object, PyObject *record, PyObject *value)
{
    Attribute *self = (Attribute *)object;
    PyObject *done =
        PyObject_CallFunctionObjArgs(self->refuse, record, value ? value : Py_None, NULL);
    if (done == NULL)
        return -1;
    Py_DECREF(done);
    return 0;
}

static PyObject *attribute_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"state", "refuse", "is_timer", NULL};
    PyObject *state, *refuse;
    int is_timer;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "UOp", names, &state, &refuse, &is_timer))
        return NULL;
    Attribute *self = (Attribute *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->state = Py_NewRef(state);
    self->refuse = Py_NewRef(refuse);
    self->is_timer = is_timer;
    return (PyObject *)self;
}

static void attribute_dealloc(PyObject *object)
{
    Attribute *self = (Attribute *)object;
    Py_XDECREF(self->state);
    Py_XDECREF(self->refuse);
    Py_TYPE(object)->tp_free(object);
}

static PyMemberDef attribute_members[] = {
    {"offset", T_PYSSIZET, offsetof(Attribute, offset), 0, "Of the hidden slot."},
    {"state", T_OBJECT, offsetof(Attribute, state), READONLY, "Name of the hidden slot."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject instrument_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Instrument",
    .tp_doc = "The attribute of a record under which a stopwatch or timer is reached.",
    .tp_basicsize = sizeof(Attribute),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = attribute_new,
    .tp_dealloc = attribute_dealloc,
    .tp_descr_get = attribute_get,
    .tp_descr_set = attribute_set,
    .tp_members = attribute_members,
};
