/* The plan of a record class: taken from Python once, read by constructors, scopes and encoders. */

#include "plan.h"
#include <structmember.h>

PyObject *plan_name;
unsigned long long plan_epoch = 1;

PyObject *core_forget_routes(PyObject *module, PyObject *unused)
{
    plan_epoch++;
    Py_RETURN_NONE;
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

static PyObject *plan_current(PyObject *object, PyObject *unused)
{
    Plan *self = (Plan *)object;
    int failed;
    Record *record = record_innermost(&failed);
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
    self->epoch = plan_epoch;
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
