/* The hooks: a step's beginning and end, and what puts steps on the queue.

   They stand in asyncio's classes as methods of the same names and do what those do, the debug mode
   excepted, which is left to the original. Recording is switched by a flag that is read once a step;
   the methods stay. */

#include "loop.h"
#include "compat.h"

static PyObject *name_closed, *name_debug, *name_ready, *name_scheduled, *name_write_to_self,
    *name_task_factory, *name_context;

/* ------------------------------------------------------------------ steps */

static inline uint16_t queue_length(Lane *lane)
{
    if (lane->ready == NULL || !Py_IS_TYPE(lane->ready, aio.deque))
        return 0;
    Py_ssize_t length = Py_SIZE(lane->ready);
    return length > UINT16_MAX ? UINT16_MAX : (uint16_t)length;
}

static inline void show_open(Lane *lane)
{
    RingHeader *header = lane->ring.header;
    header->task = lane->open.task;
    header->task_t0 = lane->open.t0;
    header->task_flags = lane->open.flags;
}

/* Write the open step, which ends now or is cut now. */
static void put_open(Lane *lane, uint64_t now, uint8_t more_flags)
{
    const Open *open = &lane->open;
    Event event;
    event.t0 = open->t0;
    event.task = open->task;
    event.waker = open->waker;
    event.name = open->chain;
    event.type = STEP;
    event.queue = open->queue;
    uint8_t of_duration = span32(now - open->t0, &event.duration, LONG_DURATION);
    uint8_t of_delay = span32(open->delay, &event.delay, LONG_DELAY);
    event.flags = open->flags | more_flags | of_duration | of_delay;
    ring_push(&lane->ring, &event);
}

/* The open step is interrupted by another within it. */
static void cut(Lane *lane, uint64_t now)
{
    if (lane->open.task != 0)
        put_open(lane, now, 0);
}

/* An interrupted step goes on. */
static void go_on(Lane *lane, const Open *outer, uint64_t outer_waker, uint64_t now)
{
    lane->open = *outer;
    lane->waker = outer_waker;
    if (outer->task != 0) {
        lane->open.t0 = now;
        lane->open.waker = lane->open.delay = 0;
        lane->open.chain = 0;
        lane->open.flags |= CONTINUED;
    }
    show_open(lane);
}

void step_begin(Lane *lane, PyObject *loop, PyObject *callback, Ready ready, Step *step)
{
    Who who = who_is(lane, callback);
    if (unlikely(loop != lane->loop || loop != lane->watched))
        lane_meet(lane, loop);
    uint32_t chain =
        aio.chains && likely(who.task != NULL) ? chain_number(coro_of(who.task)) : 0;
    uint64_t now = now_ns(), waker = ready.waker;
    if (unlikely(lane->asleep.t0 != 0))
        lane_woke(lane, now, now);
    uint64_t since = ready.since_ns;
    if (since == 0) { /* the selector's answer put it there */
        since = lane->unparked_ns;
        waker = WAKER_IO;
    } else if (waker == WAKER_TIMER)
        who.flags |= TIMER;
    uint64_t delay = since != 0 && now > since ? now - since : 0;
    cut(lane, now);
    step->task = who.task;
    step->outer = lane->open;
    step->outer_waker = lane->waker;
    lane->open = (Open){who.id, now, waker, delay, chain, queue_length(lane), who.flags};
    lane->waker = who.flags & CALLBACK ? WAKER_CALLBACK | who.id : who.id;
    show_open(lane);
}

/* When a handle was made ready, and by whom. */
static Ready ready_of(PyObject *handle)
{
    Ready ready = {0, 0};
    ready.since_ns = handle_enqueued(handle, &ready.waker);
    if (unlikely(ready.since_ns == 0 && PyObject_TypeCheck(handle, aio.timer_handle))) {
        PyObject *when = *slot_of(handle, aio.when);
        double due = when != NULL && PyFloat_CheckExact(when) ? PyFloat_AS_DOUBLE(when) * 1e9 : 0;
        /* A loop of another clock is not known to be late. */
        ready.since_ns = due > 0 && due < (double)UINT64_MAX ? (uint64_t)due : UINT64_MAX;
        ready.waker = WAKER_TIMER;
    }
    return ready;
}

/* A job's step. Before it the thread was parked, on a lane that is for jobs. */
void job_begin(Lane *lane, const Open *job, Step *step)
{
    if (lane->number >= FIRST_POOL_LANE && lane->open.task == 0) {
        uint64_t idle = lane->idle_ns && lane->idle_ns < job->t0 ? lane->idle_ns : job->t0;
        Event park = {.t0 = idle, .type = PARK};
        park.flags = span32(job->t0 - idle, &park.duration, LONG_DURATION);
        ring_push(&lane->ring, &park);
    }
    cut(lane, job->t0);
    step->task = NULL;
    step->outer = lane->open;
    step->outer_waker = lane->waker;
    lane->open = *job;
    lane->waker = job->task;
    show_open(lane);
}

/* What the thread does for the job after it, such as to wake the loop, is still the job's. */
void job_end(Lane *lane, const Step *step, uint64_t now, uint8_t outcome)
{
    uint64_t job = lane->waker;
    put_open(lane, now, outcome);
    if (now - lane->open.t0 > CHECKPOINT_NS)
        lane_checkpoint(lane, now);
    go_on(lane, &step->outer, step->outer.task ? step->outer_waker : job, now);
    lane->idle_ns = now;
}

void step_end(Lane *lane, const Step *step)
{
    uint8_t ended = step->task == NULL ? 0 : told_end_of(step->task);
    uint64_t now = now_ns();
    put_open(lane, now, ended);
    if (unlikely(now - lane->open.t0 > CHECKPOINT_NS))
        lane_checkpoint(lane, now);
    go_on(lane, &step->outer, step->outer_waker, now);
}

/* ------------------------------------------------------------------ Handle._run */

static PyObject *report(PyObject *handle)
{
    if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
        return NULL;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(error, traceback);
    PyObject *done = PyObject_CallFunctionObjArgs(aio.report, handle, error, NULL);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return done;
}

static PyObject *handle_run(PyObject *self, PyObject *unused)
{
    PyObject *callback = *slot_of(self, aio.callback), *args = *slot_of(self, aio.args),
             *context = *slot_of(self, aio.context);
    if (unlikely(callback == NULL || args == NULL || context == NULL || callback == Py_None ||
                 !PyTuple_CheckExact(args) || !PyContext_CheckExact(context))) {
        if (*slot_of(self, aio.cancelled) == Py_True)
            Py_RETURN_NONE; /* cancelled by another thread since the loop looked */
        return PyObject_CallOneArg(aio.stock_run, self);
    }
    Py_INCREF(callback);
    Py_INCREF(args);
    Py_INCREF(context);
    Lane *lane = aio.enabled ? lane_here() : NULL;
    Step step;
    if (likely(lane != NULL))
        step_begin(lane, *slot_of(self, aio.loop), callback, ready_of(self), &step);
    PyObject *result = NULL;
    if (likely(PyContext_Enter(context) == 0)) {
        Py_ssize_t count = PyTuple_GET_SIZE(args);
        result = PyObject_Vectorcall(callback, &PyTuple_GET_ITEM(args, 0), (size_t)count, NULL);
        if (PyContext_Exit(context) < 0)
            Py_CLEAR(result);
    }
    if (likely(result != NULL)) {
        Py_DECREF(result);
        result = Py_NewRef(Py_None);
    } else
        result = report(self); /* the exception handler is part of the step */
    if (likely(lane != NULL && lane == this_lane)) {
        if (likely(result != NULL))
            step_end(lane, &step);
        else {
            PyObject *type, *error, *traceback;
            PyErr_Fetch(&type, &error, &traceback);
            step_end(lane, &step);
            PyErr_Restore(type, error, traceback);
        }
    }
    Py_DECREF(context);
    Py_DECREF(args);
    Py_DECREF(callback);
    return result;
}

/* ------------------------------------------------------------------ call_soon and its kin */

/* Whether an attribute of the loop is false; -1 with an exception. */
static inline int is_false(PyObject *loop, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(loop, name);
    if (value == NULL)
        return -1;
    int found = value == Py_False ? 1 : value == Py_True ? 0 : !PyObject_IsTrue(value);
    Py_DECREF(value);
    return found;
}

/* Whether the stock code may be left aside: an open loop, not in debug mode. */
static inline int is_plain(PyObject *loop)
{
    int open = is_false(loop, name_closed);
    return open <= 0 ? open : is_false(loop, name_debug);
}

static int append(PyObject *ready, PyObject *handle)
{
    PyObject *arguments[] = {ready, handle};
    PyObject *done = likely(Py_IS_TYPE(ready, aio.deque))
                         ? PyObject_Vectorcall(aio.deque_append, arguments, 2, NULL)
                         : PyObject_CallMethod(ready, "append", "O", handle);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The keyword argument `context`, borrowed; NULL if there is none. 0 if there are others. */
static inline int only_context(PyObject *const *args, Py_ssize_t count, PyObject *names,
                               PyObject **context)
{
    *context = NULL;
    if (names == NULL || PyTuple_GET_SIZE(names) == 0)
        return 1;
    if (PyTuple_GET_SIZE(names) != 1)
        return 0;
    PyObject *name = PyTuple_GET_ITEM(names, 0);
    if (name != name_context && PyUnicode_Compare(name, name_context) != 0)
        return 0;
    *context = args[count];
    return 1;
}

PyObject *call_stock(PyObject *function, PyObject *self, PyObject *const *args, Py_ssize_t count,
                     PyObject *names)
{
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *small[8], **copied = all + 1 > 8 ? PyMem_New(PyObject *, (size_t)all + 1) : small;
    if (copied == NULL)
        return PyErr_NoMemory();
    copied[0] = self;
    if (all > 0)
        memcpy(copied + 1, args, (size_t)all * sizeof *args);
    PyObject *result = PyObject_Vectorcall(function, copied, (size_t)count + 1, names);
    if (copied != small)
        PyMem_Free(copied);
    return result;
}

static PyObject *queue_handle(__typeof__(handle_make) *make, PyObject *loop, PyObject *ready,
                              PyObject *const *args, Py_ssize_t count, PyObject *context,
                              uint64_t waker, uint64_t now)
{
    PyObject *handle = make(loop, args[0], args + 1, count - 1, context, waker, now);
    if (handle != NULL && append(ready, handle) < 0)
        Py_CLEAR(handle);
    return handle;
}

static PyObject *call_soon(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *context;
    if (unlikely(count < 1 || !only_context(args, count, names, &context)))
        return call_stock(aio.stock_call_soon, self, args, count, names);
    int plain = is_plain(self);
    if (unlikely(plain <= 0))
        return plain < 0 ? NULL : call_stock(aio.stock_call_soon, self, args, count, names);
    PyObject *ready = PyObject_GetAttr(self, name_ready);
    if (ready == NULL)
        return NULL;
    Lane *lane = aio.enabled ? lane_here() : NULL;
    uint64_t waker = 0, now = 0;
    if (likely(lane != NULL)) {
        now = now_ns();
        if (unlikely(lane->ready != ready)) {
            Py_XSETREF(lane->ready, Py_NewRef(ready));
            lane->loop = self;
        }
        waker = lane->waker;
        note_spawn(lane, args[0], now);
    }
    PyObject *handle = queue_handle(handle_make, self, ready, args, count, context, waker, now);
    Py_DECREF(ready);
    return handle;
}

static PyObject *call_soon_threadsafe(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                      PyObject *names)
{
    PyObject *context;
    if (count < 1 || !only_context(args, count, names, &context))
        return call_stock(aio.stock_call_soon_threadsafe, self, args, count, names);
    int plain = is_plain(self);
    if (plain <= 0)
        return plain < 0 ? NULL : call_stock(aio.stock_call_soon_threadsafe, self, args, count, names);
    PyObject *ready = PyObject_GetAttr(self, name_ready);
    if (ready == NULL)
        return NULL;
    /* On the loop's own thread the waker is its step, as for call_soon. */
    Lane *lane = aio.enabled ? this_lane : NULL;
    uint64_t waker = 0;
    if (lane != NULL && is_waker(lane, self))
        waker = lane->waker;
    else if (aio.enabled)
        waker = WAKER_THREAD | (PyThread_get_thread_native_id() & 0xFFFFFFFFu);
    PyObject *handle = queue_handle(thread_handle_make, self, ready, args, count, context, waker,
                                    aio.enabled ? now_ns() : 0);
    Py_DECREF(ready);
    if (handle != NULL) {
        PyObject *done = PyObject_CallMethodNoArgs(self, name_write_to_self);
        if (done == NULL)
            Py_CLEAR(handle);
        Py_XDECREF(done);
    }
    return handle;
}

static PyObject *call_at(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *context;
    if (count < 2 || args[0] == Py_None || !only_context(args, count, names, &context))
        return call_stock(aio.stock_call_at, self, args, count, names);
    int plain = is_plain(self);
    if (plain <= 0)
        return plain < 0 ? NULL : call_stock(aio.stock_call_at, self, args, count, names);
    PyObject *scheduled = PyObject_GetAttr(self, name_scheduled);
    if (scheduled == NULL)
        return NULL;
    PyObject *timer = timer_make(self, args[0], args[1], args + 2, count - 2, context);
    if (timer != NULL) {
        PyObject *done = PyObject_CallFunctionObjArgs(aio.heappush, scheduled, timer, NULL);
        if (done == NULL)
            Py_CLEAR(timer);
        else
            Py_SETREF(*slot_of(timer, aio.scheduled), Py_NewRef(Py_True));
        Py_XDECREF(done);
    }
    Py_DECREF(scheduled);
    return timer;
}

/* ------------------------------------------------------------------ create_task

   Only for what begins at once, inside its creator's step: an eager factory runs the first step of
   the task without a handle. The creator's step is cut around it. */

static void began_at_once(Lane *lane, PyObject *task, PyObject *coro, const Open *outer, uint64_t t0)
{
    uint64_t now = now_ns(), id = lane->candidate;
    cut(lane, t0);
    Event spawn = {.t0 = t0, .task = id, .waker = lane->candidate_waker, .type = SPAWN};
    spawn.flags = EAGER;
    spawn.name = aio.tracks ? spawn_name(coro) : 0;
    if (aio.tracks)
        ring_push(&lane->ring, &spawn);
    lane->open = (Open){id, t0, lane->candidate_waker, 0, 0, queue_length(lane), EAGER};
    uint8_t ended = note_eager(task, id);
    put_open(lane, now, aio.tracks ? ended : 0);
    go_on(lane, outer, lane->candidate_waker, now);
}

int may_begin_at_once(const Lane *lane, PyObject *const *args, Py_ssize_t count)
{
    return lane != NULL && count == 1 && lane->candidate == 0 && coro_is_new(args[0]);
}

PyObject *create_by_factory(Lane *lane, PyObject *stock, PyObject *self, PyObject *const *args,
                            PyObject *names)
{
    PyObject *coro = Py_NewRef(args[0]);
    Open outer = lane->open;
    uint64_t outer_waker = lane->waker, t0 = now_ns();
    lane->candidate = lane->waker = new_task_id();
    lane->candidate_waker = outer_waker;
    lane->candidate_coro = coro;
    PyObject *task = call_stock(stock, self, args, 1, names);
    if (lane == this_lane) {
        lane->waker = outer_waker;
        if (task != NULL && PyObject_TypeCheck(task, aio.task) && task_id(task) == 0 &&
            !coro_is_new(coro))
            began_at_once(lane, task, coro, &outer, t0);
        lane->candidate = 0;
        lane->candidate_coro = NULL;
    }
    Py_DECREF(coro);
    return task;
}

static PyObject *create_task(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *names)
{
    Lane *lane = aio.enabled ? this_lane : NULL;
    if (!may_begin_at_once(lane, args, count))
        return call_stock(aio.stock_create_task, self, args, count, names);
    PyObject *factory = PyObject_GetAttr(self, name_task_factory);
    if (factory == NULL)
        PyErr_Clear();
    Py_XDECREF(factory);
    if (likely(factory == NULL || factory == Py_None))
        return call_stock(aio.stock_create_task, self, args, count, names);
    return create_by_factory(lane, aio.stock_create_task, self, args, names);
}

/* ------------------------------------------------------------------ as methods of asyncio's classes */

static PyMethodDef run_method = {"_run", handle_run, METH_NOARGS, "Call the callback."};
static PyMethodDef loop_methods[] = {
    {"call_soon", (PyCFunction)(void (*)(void))call_soon, METH_FASTCALL | METH_KEYWORDS,
     "Arrange for a callback to be called as soon as possible."},
    {"call_soon_threadsafe", (PyCFunction)(void (*)(void))call_soon_threadsafe,
     METH_FASTCALL | METH_KEYWORDS, "Like call_soon(), but thread-safe."},
    {"call_at", (PyCFunction)(void (*)(void))call_at, METH_FASTCALL | METH_KEYWORDS,
     "Like call_later(), but at an absolute time."},
    {"create_task", (PyCFunction)(void (*)(void))create_task, METH_FASTCALL | METH_KEYWORDS,
     "Schedule a coroutine object."},
};

PyObject *loop_descriptors(PyObject *module, PyObject *unused)
{
    PyObject *found = PyDict_New();
    PyObject *run = found == NULL ? NULL : PyDescr_NewMethod(aio.handle, &run_method);
    if (run == NULL || PyDict_SetItemString(found, "_run", run) < 0)
        Py_CLEAR(found);
    Py_XDECREF(run);
    for (size_t i = 0; found != NULL && i < sizeof loop_methods / sizeof *loop_methods; i++) {
        PyObject *method = PyDescr_NewMethod(aio.base_loop, &loop_methods[i]);
        if (method == NULL || PyDict_SetItemString(found, loop_methods[i].ml_name, method) < 0)
            Py_CLEAR(found);
        Py_XDECREF(method);
    }
    return found;
}

int steps_ready(void)
{
    const struct {
        PyObject **name;
        const char *text;
    } all[] = {
        {&name_closed, "_closed"},
        {&name_debug, "_debug"},
        {&name_ready, "_ready"},
        {&name_scheduled, "_scheduled"},
        {&name_write_to_self, "_write_to_self"},
        {&name_task_factory, "_task_factory"},
        {&name_context, "context"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if ((*all[i].name = PyUnicode_InternFromString(all[i].text)) == NULL)
            return -1;
    return 0;
}
