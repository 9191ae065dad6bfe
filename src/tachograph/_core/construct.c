/* The making of a record: its slots are filled without an argument tuple and without Python, unless
   something about the call is unusual. */

#include "plan.h"

static int fill(Plan *plan, Record *record, const Item *items, Py_ssize_t count);

static Record *make_child(Plan *plan, int number)
{
    const Node *node = &plan->nodes[number];
    Record *child = record_make(node->plan, node->cls, CHILD);
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
    Record *record = record_make(plan, (PyTypeObject *)cls, NEW);
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

/* Take over the calls of a class, or note the two things that all classes share. */
PyObject *core_bind(PyObject *module, PyObject *args)
{
    PyObject *first, *second;
    if (!PyArg_ParseTuple(args, "OO", &first, &second))
        return NULL;
    if (plan_name == NULL && (plan_name = PyUnicode_InternFromString("__plan__")) == NULL)
        return NULL;
    if (PyContextVar_CheckExact(first)) {
        record_share(first, second);
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
