/* Which tasks live: begun and not ended, as far as the events tell that were read from the rings.

   The drain shows each piece of a ring that it has written, and asks when it begins a segment, so that
   what lives is exactly what that segment's events go on from. Nothing of it runs in a hook. */

#include "loop.h"

#include <stdlib.h>

typedef struct {
    PyObject_HEAD
    Event *entries; /* the spawn of each task, by its id; `queue` is the lane, `delay` a mark */
    size_t capacity, used, most;
    unsigned long long untold;
} Living;

static inline size_t home(const Living *living, uint64_t id)
{
    return (size_t)(id * 0x9E3779B97F4A7C15u >> 20) & (living->capacity - 1);
}

/* The entry of a task, or the free one where it belongs. */
static inline Event *look(Living *living, uint64_t id)
{
    size_t at = home(living, id);
    while (living->entries[at].task != id && living->entries[at].task != 0)
        at = (at + 1) & (living->capacity - 1);
    return &living->entries[at];
}

static int grow(Living *living)
{
    size_t before = living->capacity;
    Event *old = living->entries;
    Event *fresh = calloc(before ? before * 2 : 1024, sizeof(Event));
    if (fresh == NULL)
        return 0;
    living->entries = fresh;
    living->capacity = before ? before * 2 : 1024;
    for (size_t i = 0; i < before; i++)
        if (old[i].task != 0)
            *look(living, old[i].task) = old[i];
    free(old);
    return 1;
}

static void put(Living *living, const Event *spawn, uint16_t lane)
{
    if (living->used >= living->most ||
        ((living->used + 1) * 5 > living->capacity * 3 && !grow(living))) {
        living->untold++;
        return;
    }
    Event *entry = look(living, spawn->task);
    living->used += entry->task == 0;
    *entry = *spawn;
    entry->queue = lane;
    entry->delay = 0;
}

/* Free an entry; those behind it move up, so that no search stops early. */
static void free_entry(Living *living, Event *entry)
{
    size_t mask = living->capacity - 1, hole = (size_t)(entry - living->entries), at = hole;
    for (;;) {
        at = (at + 1) & mask;
        if (living->entries[at].task == 0)
            break;
        size_t from = home(living, living->entries[at].task);
        if (((at - from) & mask) >= ((at - hole) & mask)) {
            living->entries[hole] = living->entries[at];
            hole = at;
        }
    }
    living->entries[hole].task = 0;
    living->used--;
}

/* Free each entry that `is_over` picks; each is looked at once. Beginning behind a free one, what moves
   up to a freed one's place has not been looked at. */
static void sweep(Living *living, int (*is_over)(Event *entry, uint16_t lane), uint16_t lane)
{
    size_t mask = living->capacity - 1, start = 0, done = 0;
    if (living->used == 0)
        return;
    while (living->entries[start].task != 0)
        start++;
    while (done < living->capacity) {
        Event *entry = &living->entries[(start + done) & mask];
        if (entry->task != 0 && is_over(entry, lane))
            free_entry(living, entry);
        else
            done++;
    }
}

static int is_of_lane(Event *entry, uint16_t lane)
{
    return entry->queue == lane;
}

enum { NEW, SEEN, MISSED };

static int is_missed_again(Event *entry, uint16_t unused)
{
    if (entry->delay == MISSED)
        return 1;
    entry->delay = entry->delay == SEEN ? NEW : MISSED;
    return 0;
}

/* ------------------------------------------------------------------ the type */

static PyObject *living_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    Py_ssize_t most;
    if (!PyArg_ParseTuple(args, "n", &most))
        return NULL;
    if (most < 0)
        return PyErr_Format(PyExc_ValueError, "Living: expected a number of tasks, got %zd", most);
    Living *living = (Living *)type->tp_alloc(type, 0);
    if (living != NULL)
        living->most = (size_t)most;
    return (PyObject *)living;
}

static void living_dealloc(Living *living)
{
    free(living->entries);
    Py_TYPE(living)->tp_free(living);
}

static PyObject *living_add(Living *living, PyObject *args)
{
    unsigned short lane;
    const char *raw;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "Hy#", &lane, &raw, &bytes))
        return NULL;
    for (Py_ssize_t at = 0; at + (Py_ssize_t)sizeof(Event) <= bytes; at += sizeof(Event)) {
        Event event;
        memcpy(&event, raw + at, sizeof event);
        if (event.type == SPAWN && event.task != 0)
            put(living, &event, lane);
        else if (event.type == STEP && event.flags & CANCELLED && living->used) {
            Event *entry = look(living, event.task);
            if (entry->task != 0)
                free_entry(living, entry);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *living_forget_lane(Living *living, PyObject *number)
{
    long lane = PyLong_AsLong(number);
    if (lane == -1 && PyErr_Occurred())
        return NULL;
    sweep(living, is_of_lane, (uint16_t)lane);
    Py_RETURN_NONE;
}

/* The entry of a task whose id stands there, as bytes; NULL if there is none. */
static Event *entry_of(Living *living, const char *at)
{
    uint64_t id;
    memcpy(&id, at, sizeof id);
    Event *entry = look(living, id);
    return id != 0 && entry->task == id ? entry : NULL;
}

static PyObject *living_forget(Living *living, PyObject *args)
{
    const char *ids;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "y#", &ids, &bytes))
        return NULL;
    for (Py_ssize_t at = 0; living->used && at + 8 <= bytes; at += 8) {
        Event *entry = entry_of(living, ids + at);
        if (entry != NULL)
            free_entry(living, entry);
    }
    Py_RETURN_NONE;
}

static PyObject *living_keep(Living *living, PyObject *args)
{
    const char *ids;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "y#", &ids, &bytes))
        return NULL;
    for (Py_ssize_t at = 0; living->used && at + 8 <= bytes; at += 8) {
        Event *entry = entry_of(living, ids + at);
        if (entry != NULL)
            entry->delay = SEEN;
    }
    sweep(living, is_missed_again, 0);
    Py_RETURN_NONE;
}

static int by_lane_and_id(const void *one, const void *other)
{
    const Event *a = one, *b = other;
    if (a->queue != b->queue)
        return a->queue < b->queue ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

static PyObject *living_spawns(Living *living, PyObject *unused)
{
    PyObject *found = PyDict_New();
    Event *sorted = found == NULL ? NULL : malloc((living->used + 1) * sizeof(Event));
    if (sorted == NULL) {
        Py_XDECREF(found);
        return PyErr_NoMemory();
    }
    size_t count = 0;
    /* The drain's lock keeps others away from the table, not the GIL. */
    Py_BEGIN_ALLOW_THREADS;
    for (size_t i = 0; i < living->capacity; i++)
        if (living->entries[i].task != 0)
            sorted[count++] = living->entries[i];
    qsort(sorted, count, sizeof(Event), by_lane_and_id);
    Py_END_ALLOW_THREADS;
    for (size_t from = 0, to; found != NULL && from < count; from = to) {
        uint16_t lane = sorted[from].queue;
        for (to = from; to < count && sorted[to].queue == lane; to++)
            sorted[to].queue = sorted[to].delay = 0;
        PyObject *key = PyLong_FromLong(lane);
        PyObject *raw = PyBytes_FromStringAndSize((char *)(sorted + from),
                                                  (Py_ssize_t)((to - from) * sizeof(Event)));
        if (key == NULL || raw == NULL || PyDict_SetItem(found, key, raw) < 0)
            Py_CLEAR(found);
        Py_XDECREF(key);
        Py_XDECREF(raw);
    }
    free(sorted);
    return found;
}

static Py_ssize_t living_length(Living *living)
{
    return (Py_ssize_t)living->used;
}

static PyObject *living_untold(Living *living, void *unused)
{
    return PyLong_FromUnsignedLongLong(living->untold);
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)living_add, METH_VARARGS, "Take note of the next events of a lane."},
    {"forget", (PyCFunction)living_forget, METH_VARARGS,
     "Forget these tasks, as bytes of 64-bit numbers: they ended without a last step."},
    {"forget_lane", (PyCFunction)living_forget_lane, METH_O, "Forget the tasks of a lane."},
    {"keep", (PyCFunction)living_keep, METH_VARARGS,
     "Forget what is not among these ids, as bytes of 64-bit numbers, for the second time."},
    {"spawns", (PyCFunction)living_spawns, METH_NOARGS,
     "Return the spawns of all that live as raw events by lane, in the order of their ids."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"untold", (getter)living_untold, NULL, "Tasks that found no room.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PySequenceMethods as_sequence = {.sq_length = (lenfunc)living_length};

PyTypeObject living_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Living",
    .tp_basicsize = sizeof(Living),
    .tp_dealloc = (destructor)living_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = methods,
    .tp_getset = getset,
    .tp_as_sequence = &as_sequence,
    .tp_new = living_new,
    .tp_doc = "Which tasks live, as far as events of rings tell.",
};
