/* What is known of a record class: where each value lies and how its records live. */

#ifndef TACHOGRAPH_PLAN_H
#define TACHOGRAPH_PLAN_H

#include "core.h"

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

/* plan.c */
extern PyObject *plan_name;           /* "__plan__"; NULL until the first class is bound */
extern unsigned long long plan_epoch; /* of the routes: those of another one are forgotten */

/* record.c: borrowed; NULL without an exception when no record is open here. */
Record *record_innermost(int *failed);
/* Note the context variable of the innermost open record, and what is called with a record whose
   scope never ended. */
void record_share(PyObject *variable, PyObject *callback);

static inline Plan *plan_of(PyTypeObject *type)
{
    PyObject *plan = plan_name == NULL ? NULL : _PyType_Lookup(type, plan_name);
    return plan != NULL && Py_IS_TYPE(plan, &plan_type) ? (Plan *)plan : NULL;
}

static inline PyObject **slot(Record *record, Py_ssize_t offset)
{
    return (PyObject **)((char *)record + offset);
}

static inline Record *record_make(Plan *plan, PyTypeObject *cls, int state)
{
    Record *record = (Record *)cls->tp_alloc(cls, 0);
    if (record != NULL) {
        record->plan = plan;
        record->state = state;
    }
    return record;
}

#endif
