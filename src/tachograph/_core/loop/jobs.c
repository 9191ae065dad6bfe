/* What loops give to threads: jobs, each a step on the lane of the thread that runs it.

   The callable is wrapped before the executor gets it. The wrapper is called from C and calls from C,
   so no traceback has a frame of it; it knows when it was made, begins and ends. One that goes without
   having been called was cancelled. */

#include "loop.h"

#include <structmember.h>

#define MOST_LOOSE 4096

/* An executor: only counted. */
typedef struct {
    PyObject_HEAD
    PyObject *name;
    long long limit, waiting, running;
} Pool;

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *function;
    Pool *pool;
    uint64_t id, submitted_ns, waker;
    uint32_t name;
    int begun;
} Job;

/* A job that no lane tells: cancelled, or run where there was none. */
typedef struct {
    PyObject *pool; /* its name, owned */
    uint64_t id, tid, ended_ns, queue_ns, run_ns;
    uint32_t name;
    int outcome;
} Loose;

static struct {
    PyTypeObject *executor;
    PyObject *submit, *opaque, *pools, *make_pool;
    int on;
} own;

static Loose loose[MOST_LOOSE];
static int loose_count;
static long long recorded, without_lane, cancelled, lost;

enum { OUTCOME_RETURNED, OUTCOME_RAISED, OUTCOME_CANCELLED };

/* ------------------------------------------------------------------ pools */

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    PyObject *name;
    long long limit;
    if (!PyArg_ParseTuple(args, "UL", &name, &limit))
        return NULL;
    Pool *pool = (Pool *)type->tp_alloc(type, 0);
    if (pool != NULL) {
        pool->name = Py_NewRef(name);
        pool->limit = limit;
    }
    return (PyObject *)pool;
}

static void pool_dealloc(Pool *pool)
{
    Py_XDECREF(pool->name);
    Py_TYPE(pool)->tp_free(pool);
}

static PyMemberDef pool_members[] = {
    {"name", T_OBJECT, offsetof(Pool, name), READONLY, "What its threads are called."},
    {"limit", T_LONGLONG, offsetof(Pool, limit), 0, "Threads at most, 0 if that is not known."},
    {"waiting", T_LONGLONG, offsetof(Pool, waiting), READONLY, "Jobs that wait for a thread."},
    {"running", T_LONGLONG, offsetof(Pool, running), READONLY, "Jobs that threads run."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject pool_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Pool",
    .tp_basicsize = sizeof(Pool),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = pool_new,
    .tp_dealloc = (destructor)pool_dealloc,
    .tp_members = pool_members,
    .tp_doc = "An executor: how many of its jobs wait and run.",
};

/* The pool of an executor, borrowed; NULL without an exception if there is none. */
static Pool *pool_of(PyObject *executor)
{
    PyObject *key = PyLong_FromVoidPtr(executor);
    PyObject *found = key == NULL ? NULL : PyDict_GetItemWithError(own.pools, key);
    if (unlikely(found == NULL && key != NULL && !PyErr_Occurred())) {
        PyObject *made = PyObject_CallOneArg(own.make_pool, executor);
        if (made != NULL && Py_IS_TYPE(made, &pool_type) &&
            PyDict_SetItem(own.pools, key, made) == 0)
            found = made; /* the dictionary holds it */
        Py_XDECREF(made);
    }
    Py_XDECREF(key);
    if (unlikely(found == NULL))
        PyErr_Clear();
    return (Pool *)found;
}

/* ------------------------------------------------------------------ jobs */

static void put_loose(const Job *job, uint64_t ended_ns, uint64_t run_ns, int outcome)
{
    if (loose_count == MOST_LOOSE) {
        lost++;
        return;
    }
    uint64_t began = ended_ns - run_ns;
    loose[loose_count++] = (Loose){
        .pool = Py_NewRef(job->pool->name),
        .id = job->id,
        .tid = outcome == OUTCOME_CANCELLED ? 0 : PyThread_get_thread_native_id(),
        .ended_ns = ended_ns,
        .queue_ns = began > job->submitted_ns ? began - job->submitted_ns : 0,
        .run_ns = run_ns,
        .name = job->name,
        .outcome = outcome,
    };
}

static PyObject *job_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Job *self = (Job *)object;
    if (unlikely(self->function == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the job has been cleared by the garbage collector");
        return NULL;
    }
    if (unlikely(self->begun)) /* whoever calls it again has a reason of his own */
        return PyObject_Vectorcall(self->function, args, flags, names);
    PyObject *function = Py_NewRef(self->function);
    Pool *pool = (Pool *)Py_NewRef(self->pool);
    self->begun = 1;
    pool->waiting--;
    pool->running++;
    Py_INCREF(self);
    int recording = aio.enabled && own.on;
    Lane *lane = !recording ? NULL : this_lane != NULL ? this_lane : lane_make_for_jobs();
    uint64_t t0 = recording ? now_ns() : 0;
    Step step;
    if (likely(lane != NULL)) {
        uint16_t queue = pool->waiting > UINT16_MAX ? UINT16_MAX : (uint16_t)pool->waiting;
        uint64_t delay = t0 > self->submitted_ns ? t0 - self->submitted_ns : 0;
        job_begin(lane, &(Open){self->id, t0, self->waker, delay, 0, queue, 0}, &step);
    }
    PyObject *result = PyObject_Vectorcall(function, args, flags, names);
    uint64_t now = recording ? now_ns() : 0;
    pool->running--;
    if (likely(lane != NULL && lane == this_lane)) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        job_end(lane, &step, now, result == NULL ? RAISED : RETURNED);
        PyErr_Restore(type, error, traceback);
        recorded++;
    } else if (recording && lane == NULL && aio.enabled) {
        put_loose(self, now, now - t0, result == NULL ? OUTCOME_RAISED : OUTCOME_RETURNED);
        without_lane++;
    }
    Py_DECREF(pool);
    Py_DECREF(function);
    Py_DECREF(self);
    return result;
}

static int job_traverse(Job *self, visitproc visit, void *arg)
{
    Py_VISIT(self->function);
    return 0;
}

static int job_clear(Job *self)
{
    Py_CLEAR(self->function);
    return 0;
}

static void job_dealloc(Job *self)
{
    PyObject_GC_UnTrack(self);
    if (!self->begun) {
        self->pool->waiting--;
        if (aio.enabled && own.on) {
            put_loose(self, now_ns(), 0, OUTCOME_CANCELLED);
            cancelled++;
        }
    } else if (this_lane != NULL && this_lane->open.task == 0 && this_lane->waker == self->id)
        this_lane->waker = 0; /* what the thread does now is not for this job any more */
    job_clear(self);
    Py_DECREF(self->pool);
    PyObject_GC_Del(self);
}

/* Whoever looks at it sees what is called. */
static PyObject *job_repr(Job *self)
{
    return self->function == NULL ? PyUnicode_FromString("<job>") : PyObject_Repr(self->function);
}

static PyObject *job_getattro(PyObject *object, PyObject *name)
{
    PyObject *function = ((Job *)object)->function;
    PyObject *found = function == NULL ? NULL : PyObject_GetAttr(function, name);
    if (found != NULL || (function != NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)))
        return found;
    PyErr_Clear();
    return PyObject_GenericGetAttr(object, name);
}

PyTypeObject job_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Job",
    .tp_basicsize = sizeof(Job),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Job, call),
    .tp_call = PyVectorcall_Call,
    .tp_traverse = (traverseproc)job_traverse,
    .tp_clear = (inquiry)job_clear,
    .tp_dealloc = (destructor)job_dealloc,
    .tp_repr = (reprfunc)job_repr,
    .tp_getattro = job_getattro,
    .tp_doc = "Calls what a thread is to call and records the job.",
};

/* Wrap a callable that this thread, which has a lane, gives to a pool. */
static PyObject *job_make(Lane *lane, PyObject *function, PyObject *first, Pool *pool)
{
    Job *job = PyObject_GC_New(Job, &job_type);
    if (job == NULL)
        return NULL;
    job->call = job_call;
    job->function = Py_NewRef(function);
    job->pool = (Pool *)Py_NewRef(pool);
    job->id = new_task_id();
    job->submitted_ns = now_ns();
    job->waker = lane->waker;
    job->name = job_name(function, first);
    job->begun = 0;
    pool->waiting++;
    Event spawn = {.t0 = job->submitted_ns,
                   .task = job->id,
                   .waker = lane->waker,
                   .name = job->name,
                   .type = SPAWN};
    ring_push(&lane->ring, &spawn);
    PyObject_GC_Track(job);
    return (PyObject *)job;
}

/* For a job that no thread of ours runs. */
PyObject *loop_spawn_job(PyObject *module, PyObject *function)
{
    Lane *lane = aio.enabled && own.on ? this_lane : NULL;
    if (lane == NULL)
        Py_RETURN_NONE;
    Event spawn = {.t0 = now_ns(),
                   .task = new_task_id(),
                   .waker = lane->waker,
                   .name = job_name(function, NULL),
                   .type = SPAWN};
    ring_push(&lane->ring, &spawn);
    return Py_BuildValue("KI", spawn.task, spawn.name);
}

/* ------------------------------------------------------------------ submit */

static PyObject *submit(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Lane *lane = aio.enabled && own.on ? this_lane : NULL;
    if (lane == NULL || count < 1)
        return call_stock(own.submit, self, args, count, names);
    /* One that sends its jobs out of the interpreter could not send ours. */
    int opaque = own.opaque == Py_None ? 0 : PyObject_IsInstance(self, own.opaque);
    Pool *pool = opaque ? NULL : pool_of(self);
    PyObject *job = pool == NULL ? NULL : job_make(lane, args[0], count > 1 ? args[1] : NULL, pool);
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *small[8], **copied = all > 8 ? PyMem_New(PyObject *, (size_t)all) : small;
    if (job == NULL || copied == NULL) {
        PyErr_Clear();
        Py_XDECREF(job);
        if (copied != small)
            PyMem_Free(copied);
        return call_stock(own.submit, self, args, count, names);
    }
    memcpy(copied, args, (size_t)all * sizeof *args);
    copied[0] = job;
    PyObject *result = call_stock(own.submit, self, copied, count, names);
    if (copied != small)
        PyMem_Free(copied);
    Py_DECREF(job);
    return result;
}

static PyMethodDef submit_method = {
    "submit", (PyCFunction)(void (*)(void))submit, METH_FASTCALL | METH_KEYWORDS,
    "submit($self, fn, /, *args, **kwargs)\n--\n\n"
    "Submits a callable to be executed with the given arguments."};

PyObject *loop_job_hook(PyObject *module, PyObject *args)
{
    PyObject *executor, *stock, *opaque, *pools, *make_pool;
    if (!PyArg_ParseTuple(args, "O!OOO!O", &PyType_Type, &executor, &stock, &opaque, &PyDict_Type,
                          &pools, &make_pool))
        return NULL;
    Py_XSETREF(own.executor, (PyTypeObject *)Py_NewRef(executor));
    Py_XSETREF(own.submit, Py_NewRef(stock));
    Py_XSETREF(own.opaque, Py_NewRef(opaque));
    Py_XSETREF(own.pools, Py_NewRef(pools));
    Py_XSETREF(own.make_pool, Py_NewRef(make_pool));
    return PyDescr_NewMethod(own.executor, &submit_method);
}

PyObject *loop_jobs(PyObject *module, PyObject *on)
{
    int wanted = PyObject_IsTrue(on);
    if (wanted < 0)
        return NULL;
    own.on = wanted;
    Py_RETURN_NONE;
}

PyObject *loop_job(PyObject *module, PyObject *args)
{
    PyObject *function, *pool;
    if (!PyArg_ParseTuple(args, "OO!", &function, &pool_type, &pool))
        return NULL;
    Lane *lane = aio.enabled && own.on ? this_lane : NULL;
    if (lane == NULL)
        return Py_NewRef(function);
    return job_make(lane, function, NULL, (Pool *)pool);
}

/* ------------------------------------------------------------------ for the drain */

PyObject *loop_take_jobs(PyObject *module, PyObject *unused)
{
    PyObject *found = PyList_New(0);
    int taken = 0;
    for (; found != NULL && taken < loose_count; taken++) {
        const Loose *job = &loose[taken];
        PyObject *row = Py_BuildValue("KKOIKKKi", job->id, job->tid, job->pool, job->name,
                                      job->queue_ns, job->run_ns, job->ended_ns, job->outcome);
        if (row == NULL || PyList_Append(found, row) < 0)
            Py_CLEAR(found);
        Py_XDECREF(row);
    }
    for (int i = 0; i < taken; i++)
        Py_DECREF(loose[i].pool);
    loose_count -= taken;
    memmove(loose, loose + taken, (size_t)loose_count * sizeof *loose);
    return found;
}

PyObject *loop_job_counts(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{sLsLsLsL}", "jobs_recorded", recorded, "jobs_without_lane", without_lane,
                         "jobs_cancelled", cancelled, "jobs_lost", lost);
}

/* In a forked child: the parent tells of its own. */
void jobs_forget(void)
{
    own.on = 0;
    loose_count = 0;
    recorded = without_lane = cancelled = lost = 0;
}
