/* The life of a record: opened, current, ended.

   A class's plan knows where each value lies, so the usual life runs without Python: the constructor
   (construct.c) fills the slots, the end of the scope writes the line. Whatever is unusual (an error,
   a hold, a sampler, a second destination) goes to the class's `finish`, which is Python. */

#include "plan.h"
#include <structmember.h>

static PyObject *innermost; /* the context variable of the innermost open record */
static PyObject *leaked;    /* called with a record whose scope never ended */
static long long emitted;

PyObject *core_emitted(PyObject *module, PyObject *unused)
{
    return PyLong_FromLongLong(emitted);
}

void record_share(PyObject *variable, PyObject *callback)
{
    Py_XSETREF(innermost, Py_NewRef(variable));
    Py_XSETREF(leaked, Py_NewRef(callback));
}

static void become(Record *record, PyTypeObject *type)
{
    PyTypeObject *before = Py_TYPE(record);
    Py_INCREF(type);
    Py_SET_TYPE((PyObject *)record, type);
    Py_DECREF(before);
}

Record *record_innermost(int *failed)
{
    PyObject *found = NULL;
    *failed = innermost == NULL || PyContextVar_Get(innermost, NULL, &found) < 0;
    if (*failed || found == NULL)
        return NULL;
    /* The context keeps it. */
    Py_DECREF(found);
    return PyObject_TypeCheck(found, &record_type) ? (Record *)found : NULL;
}

static int is_over(const Record *record)
{
    return record->token == NULL && (record->state == DONE || record->state == DISCARDED);
}

static int push(Record *self)
{
    int failed;
    Record *outer = record_innermost(&failed);
    if (failed)
        return 0;
    /* Records that are over are left out, so that no chain of them can grow. */
    while (outer != NULL && is_over(outer))
        outer = (Record *)outer->outer;
    if (outer == self)
        outer = (Record *)self->outer;
    Py_XINCREF(outer);
    Py_XSETREF(self->outer, (PyObject *)outer);
    PyObject *token = PyContextVar_Set(innermost, (PyObject *)self);
    if (token == NULL)
        return 0;
    Py_XSETREF(self->token, token);
    return 1;
}

static void pop(Record *self)
{
    PyObject *token = self->token;
    self->token = NULL;
    if (token != NULL) {
        if (PyContextVar_Reset(innermost, token) < 0)
            PyErr_Clear(); /* ended in another context than it began; that one is gone */
        Py_DECREF(token);
    }
}

static PyObject *record_enter(PyObject *object, PyObject *unused)
{
    Record *self = (Record *)object;
    Plan *plan = self->plan;
    if (self->state != NEW || plan == NULL)
        return Py_NewRef(object);
    long long time_ns = core_time_ns();
    long long started_ns = time_ns == -1 && PyErr_Occurred() ? -1 : core_monotonic_ns();
    if (started_ns == -1 && PyErr_Occurred())
        return NULL;
    if (!push(self))
        return NULL;
    self->state = OPEN;
    self->time_ns = time_ns;
    self->started_ns = started_ns;
    for (int i = 1; i < plan->node_count; i++) {
        Record *child = plan_node(plan, self, i);
        if (child != NULL)
            child->started_ns = started_ns;
    }
    for (Py_ssize_t i = 0; i < plan->gauge_count; i++)
        counter_add(plan->gauges[i], 1);
    return Py_NewRef(object);
}

/* Write the line and end; 0 when Python must do it. */
static int finish_directly(Plan *plan, Record *self, long long now_ns)
{
    if (self->state != OPEN || self->more != NULL || plan->encoder == NULL || plan->epoch != plan_epoch)
        return 0;
    /* The writers of unusual values are Python and may end this very record or the route. */
    PyObject *encoder = Py_NewRef(plan->encoder);
    PyObject *lines = Py_NewRef(plan->lines);
    self->state = DONE;
    int done = encoder_write_record(encoder, self, now_ns, (Lines *)lines);
    Py_DECREF(encoder);
    Py_DECREF(lines);
    if (done <= 0) {
        PyErr_Clear();
        self->state = OPEN;
        return 0;
    }
    emitted++;
    for (int i = (int)plan->node_count - 1; i > 0; i--) {
        Record *child = plan_node(plan, self, i);
        if (child != NULL)
            become(child, plan->nodes[i].done);
    }
    for (Py_ssize_t i = 0; i < plan->gauge_count; i++)
        counter_add(plan->gauges[i], -1);
    become(self, plan->done);
    return 1;
}

static PyObject *record_exit(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    Record *self = (Record *)object;
    Plan *plan = self->plan;
    if (self->token == NULL || plan == NULL)
        Py_RETURN_NONE;
    PyObject *error = count > 1 ? args[1] : Py_None;
    long long now_ns = core_monotonic_ns();
    if (now_ns == -1 && PyErr_Occurred())
        return NULL;
    pop(self);
    if (error == Py_None && plan->direct && finish_directly(plan, self, now_ns))
        Py_RETURN_NONE;
    PyObject *now = PyLong_FromLongLong(now_ns);
    if (now == NULL)
        return NULL;
    PyObject *arguments[] = {object, now, error};
    PyObject *done = PyObject_Vectorcall(plan->finish, arguments, 3, NULL);
    Py_DECREF(now);
    if (done == NULL)
        return NULL;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static PyObject *record_pause(PyObject *object, PyObject *unused)
{
    pop((Record *)object);
    Py_RETURN_NONE;
}

static PyObject *record_resume(PyObject *object, PyObject *unused)
{
    Record *self = (Record *)object;
    if (self->token == NULL && self->state == OPEN && !push(self))
        return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------ the record's type */

static PyObject *record_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    Record *record = record_make(plan_of(type), type, NEW);
    return (PyObject *)record;
}

static void record_finalize(PyObject *object)
{
    Record *self = (Record *)object;
    if ((self->state != OPEN && self->state != HELD) || leaked == NULL)
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *done = PyObject_CallOneArg(leaked, object);
    if (done == NULL)
        PyErr_WriteUnraisable(object);
    Py_XDECREF(done);
    PyErr_Restore(type, value, traceback);
}

static int record_traverse(PyObject *object, visitproc visit, void *arg)
{
    Record *self = (Record *)object;
    Py_VISIT(self->token);
    Py_VISIT(self->outer);
    Py_VISIT(self->more);
    return 0;
}

static int record_clear(PyObject *object)
{
    Record *self = (Record *)object;
    Py_CLEAR(self->token);
    Py_CLEAR(self->outer);
    Py_CLEAR(self->more);
    return 0;
}

static void record_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    record_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef record_methods[] = {
    {"__enter__", record_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))record_exit, METH_FASTCALL, NULL},
    {"_pause", record_pause, METH_NOARGS, "Be current no longer, for a while."},
    {"_resume", record_resume, METH_NOARGS, "Be current again."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef record_members[] = {
    {"_state", T_INT, offsetof(Record, state), 0, NULL},
    {"_started_ns", T_LONGLONG, offsetof(Record, started_ns), 0, NULL},
    {"_time_ns", T_LONGLONG, offsetof(Record, time_ns), 0, NULL},
    {"_token", T_OBJECT, offsetof(Record, token), READONLY, NULL},
    {"_outer", T_OBJECT, offsetof(Record, outer), READONLY, NULL},
    {"_more", T_OBJECT, offsetof(Record, more), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject record_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Record",
    .tp_doc = "What every record has besides its fields.",
    .tp_basicsize = sizeof(Record),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = record_new,
    .tp_dealloc = record_dealloc,
    .tp_finalize = record_finalize,
    .tp_traverse = record_traverse,
    .tp_clear = record_clear,
    .tp_methods = record_methods,
    .tp_members = record_members,
};
