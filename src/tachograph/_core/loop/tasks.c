/* From objects to ids: which task a callback runs, when it begins to exist and when it ends.

   Ids come from one counter and are never used again, addresses are; so a table maps the address of
   each living task to its id, and forgets it when the task's coroutine has ended. A task that is
   destroyed before that leaves an entry which the next task at its address replaces. */

#include "loop.h"
#include "compat.h"

typedef struct {
    PyObject *task; /* borrowed, only compared; NULL: free */
    uint64_t id;
} Entry;

static Entry *entries;
static size_t capacity, used;
static uint64_t last_id = 1023;
static long long replaced, adopted, untracked;

uint64_t new_task_id(void)
{
    return ++last_id;
}

static inline size_t home(PyObject *task)
{
    /* The low four bits of an address say nothing. */
    return (size_t)(((uintptr_t)task >> 4) * 0x9E3779B97F4A7C15u >> 20) & (capacity - 1);
}

static inline Entry *find(PyObject *task)
{
    if (unlikely(capacity == 0))
        return NULL;
    for (size_t i = home(task);; i = (i + 1) & (capacity - 1)) {
        if (entries[i].task == task)
            return &entries[i];
        if (entries[i].task == NULL)
            return NULL;
    }
}

static int grow(void)
{
    size_t before = capacity;
    Entry *old = entries;
    size_t next = capacity ? capacity * 2 : 1024;
    Entry *fresh = PyMem_RawCalloc(next, sizeof(Entry));
    if (fresh == NULL)
        return 0;
    entries = fresh;
    capacity = next;
    for (size_t i = 0; i < before; i++) {
        if (old[i].task == NULL)
            continue;
        size_t at = home(old[i].task);
        while (entries[at].task != NULL)
            at = (at + 1) & (capacity - 1);
        entries[at] = old[i];
    }
    PyMem_RawFree(old);
    return 1;
}

static void put(PyObject *task, uint64_t id)
{
    if ((used + 1) * 5 > capacity * 3 && !grow()) {
        untracked++;
        return;
    }
    size_t at = home(task);
    while (entries[at].task != NULL && entries[at].task != task)
        at = (at + 1) & (capacity - 1);
    if (entries[at].task == NULL)
        used++;
    else
        replaced++; /* another task was here and ended unseen */
    entries[at] = (Entry){task, id};
}

static void forget(PyObject *task)
{
    Entry *entry = find(task);
    if (entry == NULL)
        return;
    /* Those behind it move up, so that no search stops early. */
    size_t hole = (size_t)(entry - entries), at = hole;
    for (;;) {
        at = (at + 1) & (capacity - 1);
        if (entries[at].task == NULL)
            break;
        size_t from = home(entries[at].task);
        if (((at - from) & (capacity - 1)) >= ((at - hole) & (capacity - 1))) {
            entries[hole] = entries[at];
            hole = at;
        }
    }
    entries[hole].task = NULL;
    used--;
}

void tasks_forget(void)
{
    PyMem_RawFree(entries);
    entries = NULL;
    capacity = used = 0;
    replaced = adopted = untracked = 0;
}

uint64_t task_id(PyObject *task)
{
    Entry *entry = find(task);
    return entry == NULL ? 0 : entry->id;
}

/* ------------------------------------------------------------------ which task */

/* The task whose step `callback` is, or NULL; borrowed. */
static inline PyObject *task_of(PyObject *callback)
{
    PyTypeObject *type = Py_TYPE(callback);
    if (likely(type == aio.step_wrapper))
        return *slot_of(callback, aio.wrapper_task);
    if (type == &PyCFunction_Type) {
        PyCFunctionObject *function = (PyCFunctionObject *)callback;
        return function->m_ml == aio.wakeup ? function->m_self : NULL;
    }
    if (type == &PyMethod_Type) {
        PyObject *function = PyMethod_GET_FUNCTION(callback);
        if (function == aio.py_step || function == aio.py_wakeup)
            return PyMethod_GET_SELF(callback);
    }
    return NULL;
}

static inline int is_native_task(PyObject *task)
{
    return PyObject_TypeCheck(task, aio.task);
}

PyObject *coro_of(PyObject *task)
{
    if (likely(is_native_task(task)))
        return *slot_of(task, aio.task_coro);
    PyObject *coro = PyObject_GetAttrString(task, "_coro");
    if (coro == NULL)
        PyErr_Clear();
    else
        Py_DECREF(coro); /* the task holds it */
    return coro;
}

int coro_is_new(PyObject *coro)
{
    return coro != NULL && is_coroutine(coro) && frame_is_new(coro);
}

Who who_is(Lane *lane, PyObject *callback)
{
    PyObject *task = task_of(callback);
    if (unlikely(task == NULL))
        return (Who){callback_group(callback), NULL, CALLBACK};
    Entry *entry = find(task);
    if (likely(entry != NULL))
        return (Who){entry->id, task, 0};
    /* It began before the recorder did, or in a way that no hook sees. */
    uint64_t id = new_task_id();
    put(task, id);
    adopted++;
    if (!aio.tracks)
        return (Who){id, task, 0};
    Event event = {.t0 = now_ns(),
                   .task = id,
                   .name = spawn_name_of_running(coro_of(task)),
                   .type = SPAWN,
                   .flags = CONTINUED};
    ring_push(&lane->ring, &event);
    return (Who){id, task, 0};
}

static void note(Lane *lane, PyObject *task, PyObject *coro, uint64_t now)
{
    int made_by_factory = coro == lane->candidate_coro && coro != NULL;
    uint64_t id = made_by_factory ? lane->candidate : new_task_id();
    put(task, id);
    if (!aio.tracks)
        return;
    Event event = {.t0 = now,
                   .task = id,
                   .waker = made_by_factory ? lane->candidate_waker : lane->waker,
                   .name = spawn_name(coro),
                   .type = SPAWN};
    ring_push(&lane->ring, &event);
}

void note_spawn(Lane *lane, PyObject *callback, uint64_t now)
{
    PyObject *task;
    if (Py_TYPE(callback) == aio.step_wrapper)
        task = *slot_of(callback, aio.wrapper_task);
    else if (Py_TYPE(callback) == &PyMethod_Type && PyMethod_GET_FUNCTION(callback) == aio.py_step)
        task = PyMethod_GET_SELF(callback);
    else
        return;
    PyObject *coro = coro_of(task);
    if (coro_is_new(coro) || (coro != NULL && !is_coroutine(coro) && find(task) == NULL))
        note(lane, task, coro, now); /* the latter is of a compiler's own kind, which shows no state */
}

/* ------------------------------------------------------------------ the end */

static uint8_t outcome_by_asking(PyObject *task)
{
    uint8_t found = RETURNED;
    PyObject *answer = PyObject_CallMethod(task, "cancelled", NULL);
    if (answer == Py_True)
        found = CANCELLED;
    else if (answer != NULL) {
        Py_DECREF(answer);
        answer = PyObject_GetAttrString(task, "_exception");
        if (answer != NULL && answer != Py_None)
            found = RAISED;
    }
    if (answer == NULL)
        PyErr_Clear();
    Py_XDECREF(answer);
    return found;
}

static int cancels_by_asking(PyObject *task)
{
    PyObject *answer = PyObject_CallMethod(task, "cancelling", NULL);
    int found = answer == NULL ? 0 : (int)PyLong_AsLong(answer);
    Py_XDECREF(answer);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return found;
}

/* Tell of a task that ended with an exception, or though it was to be cancelled. */
static void tell_end(PyObject *task, uint64_t id, PyObject *error, int cancels)
{
    PyObject *done = PyObject_CallFunction(aio.note_end, "OKOi", task, id,
                                           error == NULL ? Py_None : error, cancels);
    if (done == NULL)
        PyErr_Clear();
    Py_XDECREF(done);
}

/* How often a native task was asked to be cancelled and did not take that back. */
static inline int cancels_of(PyObject *task)
{
    return aio.task_cancels ? *(int *)((char *)task + aio.task_cancels) : 0;
}

static uint8_t ended(PyObject *task, uint64_t id)
{
    uint8_t found = 0;
    PyObject *error = NULL, *asked = NULL;
    int cancels = 0;
    if (likely(aio.future_state && is_native_task(task))) {
        int state = *(int *)((char *)task + aio.future_state);
        if (likely(state == 0))
            return 0;
        if (state == 1)
            found = CANCELLED;
        else {
            error = *slot_of(task, aio.future_exception);
            found = error == NULL || error == Py_None ? RETURNED : RAISED;
            cancels = cancels_of(task);
        }
    } else {
        PyObject *answer = PyObject_CallMethod(task, "done", NULL);
        if (answer == NULL)
            PyErr_Clear();
        Py_XDECREF(answer);
        if (answer != Py_True)
            return 0;
        found = outcome_by_asking(task);
        if (aio.note_end != NULL && found != CANCELLED) {
            error = asked = PyObject_GetAttrString(task, "_exception");
            cancels = cancels_by_asking(task);
        }
    }
    if (unlikely((found == RAISED || cancels > 0) && aio.note_end != NULL))
        tell_end(task, id ? id : task_id(task), error, cancels);
    Py_XDECREF(asked);
    forget(task);
    return found;
}

uint8_t end_of(PyObject *task)
{
    return ended(task, 0);
}

uint8_t told_end_of(PyObject *task)
{
    uint8_t found = end_of(task);
    return aio.tracks ? found : 0;
}

uint8_t note_eager(PyObject *task, uint64_t id)
{
    uint8_t found = ended(task, id);
    if (!found)
        put(task, id);
    return found;
}

PyObject *loop_task_id(PyObject *module, PyObject *task)
{
    uint64_t id = task_id(task);
    if (id == 0)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(id);
}

PyObject *loop_running_task(PyObject *module, PyObject *unused)
{
    const Lane *lane = this_lane;
    if (lane == NULL || lane->open.task == 0 || lane->number >= FIRST_POOL_LANE || !aio.enabled)
        return PyLong_FromLong(0);
    if (lane->open.flags & CALLBACK)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(lane->open.task);
}

PyObject *loop_task_ids(PyObject *module, PyObject *unused)
{
    PyObject *found = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(used * sizeof(uint64_t)));
    if (found == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(found);
    for (size_t i = 0; i < capacity; i++)
        if (entries[i].task != NULL) {
            memcpy(to, &entries[i].id, sizeof(uint64_t));
            to += sizeof(uint64_t);
        }
    return found;
}

PyObject *loop_adopt(PyObject *module, PyObject *task)
{
    uint64_t id = task_id(task);
    if (id == 0) {
        id = new_task_id();
        put(task, id);
        adopted++;
    }
    return PyLong_FromUnsignedLongLong(id);
}

PyObject *loop_keep_tasks(PyObject *module, PyObject *tasks)
{
    if (!PyList_Check(tasks))
        return PyErr_Format(PyExc_TypeError, "keep_tasks: expected a list, got %s",
                            Py_TYPE(tasks)->tp_name);
    Py_ssize_t count = PyList_GET_SIZE(tasks);
    uint64_t *ids = PyMem_Calloc((size_t)count + 1, sizeof(uint64_t));
    if (ids == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++)
        ids[i] = task_id(PyList_GET_ITEM(tasks, i));
    if (capacity)
        memset(entries, 0, capacity * sizeof(Entry));
    used = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if (ids[i] && find(PyList_GET_ITEM(tasks, i)) == NULL)
            put(PyList_GET_ITEM(tasks, i), ids[i]);
    PyMem_Free(ids);
    Py_RETURN_NONE;
}

PyObject *loop_note_ends(PyObject *module, PyObject *callback)
{
    Py_XSETREF(aio.note_end, callback == Py_None ? NULL : Py_NewRef(callback));
    Py_RETURN_NONE;
}

PyObject *loop_forget_task(PyObject *module, PyObject *task)
{
    forget(task);
    Py_RETURN_NONE;
}

PyObject *loop_table_sizes(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{snsLsLsL}", "tasks_known", (Py_ssize_t)used, "tasks_adopted", adopted,
                         "tasks_replaced", replaced, "tasks_untracked", untracked);
}
