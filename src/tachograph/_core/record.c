/* The life of a record: made, opened, current, ended.

   A class's plan knows where each value lies, so the usual life runs without Python: the
   constructor fills the slots, the end of the scope writes the line. Whatever is unusual (an error,
   a hold, a sampler, a second destination) goes to the class's `finish`, which is Python. */

#include "core.h"
#include <structmember.h>

enum { REQUIRED, DEFAULT, FACTORY, IS_CHILD };

typedef struct {
    PyObject *name; /* interned; NULL for what is no argument of the constructor */
    Py_ssize_t offset;
    int how;
    int node; /* for a child */
    PyObject *value;
} Item;

typedef struct {
    struct Plan *plan; /* of the child's class; borrowed: the class is held by `cls` */
    PyTypeObject *cls, *done;
    Py_ssize_t offset; /* in its parent */
    int parent;
    Item *items;
    Py_ssize_t item_count;
} Node;

typedef struct Plan {
    PyObject_HEAD
    PyObject *init, *finish, *inert;
    PyTypeObject *done;
    Item *items;
    Py_ssize_t item_count;
    Node *nodes; /* the children; number 0 is the record itself and has no entry in use */
    Py_ssize_t node_count;
    Counter **gauges;
    Py_ssize_t gauge_count;
    Source *sources;
    Py_ssize_t source_count;
    PyObject *encoder, *lines; /* where the lines go as long as `epoch` is the present one */
    unsigned long long epoch;
    int direct; /* whether the end of a scope may be written without Python */
} Plan;

static PyObject *innermost; /* the context variable of the innermost open record */
static PyObject *leaked;    /* called with a record whose scope never ended */
static PyObject *plan_name; /* "__plan__" */
static unsigned long long epoch = 1;
static long long emitted;

PyObject *core_forget_routes(PyObject *module, PyObject *unused)
{
    epoch++;
    Py_RETURN_NONE;
}

PyObject *core_emitted(PyObject *module, PyObject *unused)
{
    return PyLong_FromLongLong(emitted);
}

/* ------------------------------------------------------------------ helpers */

static Plan *plan_of(PyTypeObject *type)
{
    PyObject *plan = plan_name == NULL ? NULL : _PyType_Lookup(type, plan_name);
    return plan != NULL && Py_IS_TYPE(plan, &plan_type) ? (Plan *)plan : NULL;
}

static inline PyObject **slot(Record *record, Py_ssize_t offset)
{
    return (PyObject **)((char *)record + offset);
}

const Source *plan_sources(Plan *plan, Py_ssize_t *count)
{
    *count = plan->source_count;
    return plan->sources;
}

Record *plan_node(Plan *plan, Record *record, int number)
{
    if (number == 0)
        return record;
    const Node *node = &plan->nodes[number];
    Record *parent = plan_node(plan, record, node->parent);
    if (parent == NULL)
        return NULL;
    PyObject *child = *slot(parent, node->offset);
    /* A user may have put another object there. */
    return child != NULL && Py_IS_TYPE(child, node->cls) ? (Record *)child : NULL;
}

static void become(Record *record, PyTypeObject *type)
{
    PyTypeObject *before = Py_TYPE(record);
    Py_INCREF(type);
    Py_SET_TYPE((PyObject *)record, type);
    Py_DECREF(before);
}

/* ------------------------------------------------------------------ making */

static Record *make(Plan *plan, PyTypeObject *cls, int state)
{
    Record *record = (Record *)cls->tp_alloc(cls, 0);
    if (record != NULL) {
        record->plan = plan;
        record->state = state;
    }
    return record;
}

static int fill(Plan *plan, Record *record, const Item *items, Py_ssize_t count);

static Record *make_child(Plan *plan, int number)
{
    const Node *node = &plan->nodes[number];
    Record *child = make(node->plan, node->cls, CHILD);
    if (child != NULL && !fill(plan, child, node->items, node->item_count))
        Py_CLEAR(child);
    return child;
}

/* Give each slot that is still empty what a new record starts with; 0 with or without an exception
   when one is required. */
static int fill(Plan *plan, Record *record, const Item *items, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        const Item *item = &items[i];
        PyObject **place = slot(record, item->offset);
        if (*place != NULL)
            continue;
        switch (item->how) {
        case DEFAULT:
            *place = Py_NewRef(item->value);
            break;
        case FACTORY: {
            PyObject *made = PyObject_CallNoArgs(item->value);
            if (made == NULL)
                return 0;
            Py_XSETREF(*place, made);
            break;
        }
        case IS_CHILD: {
            Record *child = make_child(plan, item->node);
            if (child == NULL)
                return 0;
            Py_XSETREF(*place, (PyObject *)child);
            break;
        }
        default:
            return 0;
        }
    }
    return 1;
}

static const Item *argument(const Plan *plan, PyObject *name, Py_ssize_t guess)
{
    /* Arguments mostly come in the order of the declaration. */
    for (Py_ssize_t i = guess; i < plan->item_count; i++)
        if (plan->items[i].name == name)
            return &plan->items[i];
    for (Py_ssize_t i = 0; i < guess && i < plan->item_count; i++)
        if (plan->items[i].name == name)
            return &plan->items[i];
    for (Py_ssize_t i = 0; i < plan->item_count; i++)
        if (plan->items[i].name != NULL && PyUnicode_Compare(plan->items[i].name, name) == 0)
            return &plan->items[i];
    return NULL;
}

/* Let the class's own `__init__` do it, which fills every slot or says what is wrong. */
static PyObject *construct_slowly(Plan *plan, Record *record, PyObject *const *args,
                                  size_t nargsf, PyObject *names)
{
    Py_ssize_t total = PyVectorcall_NARGS(nargsf) + (names ? PyTuple_GET_SIZE(names) : 0);
    PyObject **all = PyMem_Malloc((size_t)(total + 1) * sizeof *all);
    if (all == NULL) {
        Py_DECREF(record);
        return PyErr_NoMemory();
    }
    all[0] = (PyObject *)record;
    if (total)
        memcpy(all + 1, args, (size_t)total * sizeof *all);
    PyObject *done =
        PyObject_Vectorcall(plan->init, all, (size_t)PyVectorcall_NARGS(nargsf) + 1, names);
    PyMem_Free(all);
    if (done == NULL) {
        Py_DECREF(record);
        return NULL;
    }
    Py_DECREF(done);
    return (PyObject *)record;
}

static PyObject *construct(PyObject *cls, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Plan *plan = plan_of((PyTypeObject *)cls);
    if (plan == NULL) {
        PyErr_SetString(PyExc_TypeError, "expected a record class");
        return NULL;
    }
    Record *record = make(plan, (PyTypeObject *)cls, NEW);
    if (record == NULL)
        return NULL;
    Py_ssize_t count = names ? PyTuple_GET_SIZE(names) : 0;
    if (PyVectorcall_NARGS(nargsf) != 0)
        return construct_slowly(plan, record, args, nargsf, names);
    Py_ssize_t guess = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const Item *item = argument(plan, PyTuple_GET_ITEM(names, i), guess);
        if (item == NULL || item->how == IS_CHILD)
            return construct_slowly(plan, record, args, nargsf, names);
        guess = item - plan->items + 1;
        Py_XSETREF(*slot(record, item->offset), Py_NewRef(args[i]));
    }
    if (!fill(plan, record, plan->items, plan->item_count)) {
        if (PyErr_Occurred()) {
            Py_DECREF(record);
            return NULL;
        }
        return construct_slowly(plan, record, args, nargsf, names);
    }
    return (PyObject *)record;
}

/* ------------------------------------------------------------------ the scope */

/* Borrowed; NULL without an exception when no record is open here. */
static Record *innermost_record(int *failed)
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
    Record *outer = innermost_record(&failed);
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
    if (self->state != OPEN || self->more != NULL || plan->encoder == NULL || plan->epoch != epoch)
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
    Record *record = make(plan_of(type), type, NEW);
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

/* ------------------------------------------------------------------ the plan */

static PyObject *plan_current(PyObject *object, PyObject *unused)
{
    Plan *self = (Plan *)object;
    int failed;
    Record *record = innermost_record(&failed);
    if (failed)
        return NULL;
    for (; record != NULL; record = (Record *)record->outer) {
        Plan *plan = record->plan;
        if (plan == self)
            return Py_NewRef((PyObject *)record);
        if (plan == NULL)
            continue;
        for (int i = (int)plan->node_count - 1; i > 0; i--) {
            if (plan->nodes[i].plan != self)
                continue;
            Record *parent = record;
            int chain[16], depth = 0;
            for (int n = i; n > 0 && depth < 16; n = plan->nodes[n].parent)
                chain[depth++] = n;
            while (depth > 0 && parent != NULL)
                parent = (Record *)*slot(parent, plan->nodes[chain[--depth]].offset);
            if (parent != NULL && PyObject_TypeCheck((PyObject *)parent, &record_type))
                return Py_NewRef((PyObject *)parent);
        }
    }
    return Py_NewRef(self->inert);
}

static PyObject *plan_set_route(PyObject *object, PyObject *args)
{
    Plan *self = (Plan *)object;
    PyObject *encoder, *lines;
    if (!PyArg_ParseTuple(args, "O!O!", &encoder_type, &encoder, &lines_type, &lines))
        return NULL;
    Py_XSETREF(self->encoder, Py_NewRef(encoder));
    Py_XSETREF(self->lines, Py_NewRef(lines));
    self->epoch = epoch;
    Py_RETURN_NONE;
}

static Item *take_items(PyObject *list, Py_ssize_t *count)
{
    Item *items = PyMem_Calloc((size_t)PyTuple_GET_SIZE(list) + 1, sizeof(Item));
    if (items == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list); i++) {
        Item *item = &items[i];
        PyObject *name;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(list, i), "OniiO", &name, &item->offset, &item->how,
                              &item->node, &item->value)) {
            item->value = NULL;
            return items;
        }
        Py_INCREF(item->value);
        if (name != Py_None) {
            item->name = Py_NewRef(name);
            PyUnicode_InternInPlace(&item->name);
        }
        *count = i + 1;
    }
    return items;
}

static void free_items(Item *items, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; items != NULL && i < count; i++) {
        Py_XDECREF(items[i].name);
        Py_XDECREF(items[i].value);
    }
    PyMem_Free(items);
}

static int take_nodes(Plan *self, PyObject *list)
{
    Py_ssize_t count = PyTuple_GET_SIZE(list);
    self->nodes = PyMem_Calloc((size_t)count + 1, sizeof(Node));
    if (self->nodes == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    self->node_count = 1;
    for (Py_ssize_t i = 0; i < count; i++) {
        Node *node = &self->nodes[i + 1];
        PyObject *items;
        PyTypeObject *cls, *done;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(list, i), "inO!O!O!", &node->parent, &node->offset,
                              &PyType_Type, &cls, &PyType_Type, &done, &PyTuple_Type, &items))
            return 0;
        node->plan = plan_of(cls);
        if (node->plan == NULL || node->parent < 0 || node->parent > i) {
            PyErr_SetString(PyExc_ValueError, "nodes: expected record classes, parents first");
            return 0;
        }
        node->cls = (PyTypeObject *)Py_NewRef((PyObject *)cls);
        node->done = (PyTypeObject *)Py_NewRef((PyObject *)done);
        self->node_count = i + 2;
        node->items = take_items(items, &node->item_count);
        if (PyErr_Occurred())
            return 0;
    }
    return 1;
}

static int take_sources(Plan *self, PyObject *list)
{
    Py_ssize_t count = PyTuple_GET_SIZE(list);
    self->sources = PyMem_Calloc((size_t)count + 1, sizeof(Source));
    if (self->sources == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Source *source = &self->sources[i];
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(list, i), "iinO", &source->how, &source->node,
                              &source->offset, &source->object)) {
            source->object = NULL;
            return 0;
        }
        Py_INCREF(source->object);
        self->source_count = i + 1;
        if (source->node < 0 || source->node >= self->node_count ||
            (source->how == READ_GAUGE && !Py_IS_TYPE(source->object, &counter_type))) {
            PyErr_SetString(PyExc_ValueError, "sources: expected a node's slot or a Counter");
            return 0;
        }
    }
    return 1;
}

static int take_gauges(Plan *self, PyObject *list)
{
    Py_ssize_t count = PyTuple_GET_SIZE(list);
    self->gauges = PyMem_Calloc((size_t)count + 1, sizeof(Counter *));
    if (self->gauges == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *gauge = PyTuple_GET_ITEM(list, i);
        if (!Py_IS_TYPE(gauge, &counter_type)) {
            PyErr_SetString(PyExc_TypeError, "gauges: expected Counters");
            return 0;
        }
        self->gauges[i] = (Counter *)Py_NewRef(gauge);
        self->gauge_count = i + 1;
    }
    return 1;
}

static PyObject *plan_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"init",  "finish", "inert",   "done",   "items",
                            "nodes", "gauges", "sources", "direct", NULL};
    PyObject *init, *finish, *inert, *items, *nodes, *gauges, *sources;
    PyTypeObject *done;
    int direct;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOO!O!O!O!O!p", names, &init, &finish, &inert,
                                     &PyType_Type, &done, &PyTuple_Type, &items, &PyTuple_Type,
                                     &nodes, &PyTuple_Type, &gauges, &PyTuple_Type, &sources,
                                     &direct))
        return NULL;
    Plan *self = (Plan *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->init = Py_NewRef(init);
    self->finish = Py_NewRef(finish);
    self->inert = Py_NewRef(inert);
    self->done = (PyTypeObject *)Py_NewRef((PyObject *)done);
    self->direct = direct;
    self->items = take_items(items, &self->item_count);
    if (PyErr_Occurred() || !take_nodes(self, nodes) || !take_sources(self, sources) ||
        !take_gauges(self, gauges)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int plan_traverse(PyObject *object, visitproc visit, void *arg)
{
    Plan *self = (Plan *)object;
    Py_VISIT(self->init);
    Py_VISIT(self->finish);
    Py_VISIT(self->inert);
    Py_VISIT(self->done);
    Py_VISIT(self->encoder);
    Py_VISIT(self->lines);
    for (Py_ssize_t i = 0; i < self->item_count; i++)
        Py_VISIT(self->items[i].value);
    for (Py_ssize_t n = 1; n < self->node_count; n++) {
        Py_VISIT(self->nodes[n].cls);
        Py_VISIT(self->nodes[n].done);
        for (Py_ssize_t i = 0; i < self->nodes[n].item_count; i++)
            Py_VISIT(self->nodes[n].items[i].value);
    }
    for (Py_ssize_t i = 0; i < self->source_count; i++)
        Py_VISIT(self->sources[i].object);
    return 0;
}

/* Only what can be part of a cycle that the class is part of too; the rest goes with the object. */
static int plan_clear(PyObject *object)
{
    Plan *self = (Plan *)object;
    Py_CLEAR(self->encoder);
    Py_CLEAR(self->lines);
    return 0;
}

static void plan_dealloc(PyObject *object)
{
    Plan *self = (Plan *)object;
    PyObject_GC_UnTrack(object);
    plan_clear(object);
    Py_XDECREF(self->init);
    Py_XDECREF(self->finish);
    Py_XDECREF(self->inert);
    Py_XDECREF(self->done);
    free_items(self->items, self->item_count);
    for (Py_ssize_t n = 1; n < self->node_count; n++) {
        Py_XDECREF(self->nodes[n].cls);
        Py_XDECREF(self->nodes[n].done);
        free_items(self->nodes[n].items, self->nodes[n].item_count);
    }
    PyMem_Free(self->nodes);
    for (Py_ssize_t i = 0; i < self->source_count; i++)
        Py_XDECREF(self->sources[i].object);
    PyMem_Free(self->sources);
    for (Py_ssize_t i = 0; i < self->gauge_count; i++)
        Py_XDECREF(self->gauges[i]);
    PyMem_Free(self->gauges);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef plan_methods[] = {
    {"current", plan_current, METH_NOARGS, "Return the innermost open record of the class."},
    {"set_route", plan_set_route, METH_VARARGS, "Write lines by an encoder straight into a queue."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject plan_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Plan",
    .tp_doc = "Where the values of one record class lie, and how its records live.",
    .tp_basicsize = sizeof(Plan),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = plan_new,
    .tp_dealloc = plan_dealloc,
    .tp_traverse = plan_traverse,
    .tp_clear = plan_clear,
    .tp_methods = plan_methods,
};

/* Take over the calls of a class, or note the two things that all classes share. */
PyObject *core_bind(PyObject *module, PyObject *args)
{
    PyObject *first, *second;
    if (!PyArg_ParseTuple(args, "OO", &first, &second))
        return NULL;
    if (plan_name == NULL && (plan_name = PyUnicode_InternFromString("__plan__")) == NULL)
        return NULL;
    if (PyContextVar_CheckExact(first)) {
        Py_XSETREF(innermost, Py_NewRef(first));
        Py_XSETREF(leaked, Py_NewRef(second));
        Py_RETURN_NONE;
    }
    if (!PyType_Check(first) || !Py_IS_TYPE(second, &plan_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a record class and its plan");
        return NULL;
    }
    PyTypeObject *cls = (PyTypeObject *)first;
    if (PyObject_SetAttr(first, plan_name, second) < 0)
        return NULL;
    /* Calling the class comes here without an argument tuple. A class of classes that is written in
       Python does not inherit the flag before 3.12; the offset it does. */
    PyTypeObject *meta = Py_TYPE(cls);
    if (meta->tp_vectorcall_offset == offsetof(PyTypeObject, tp_vectorcall) &&
        meta->tp_call == PyType_Type.tp_call) {
        meta->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        cls->tp_vectorcall = construct;
    }
    Py_RETURN_NONE;
}

/* Return how far a slot lies from the start of a record. */
PyObject *core_offset_of(PyObject *module, PyObject *args)
{
    PyTypeObject *cls;
    PyObject *name;
    if (!PyArg_ParseTuple(args, "O!U", &PyType_Type, &cls, &name))
        return NULL;
    PyObject *found = _PyType_Lookup(cls, name);
    if (found == NULL || !Py_IS_TYPE(found, &PyMemberDescr_Type) ||
        !PyType_IsSubtype(cls, &record_type))
        return PyErr_Format(PyExc_ValueError, "%R is no slot of %R", name, cls);
    return PyLong_FromSsize_t(((PyMemberDescrObject *)found)->d_member->offset);
}
