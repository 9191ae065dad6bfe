/* Waits of loops that run on libuv, such as uvloop's: seen from two handles of libuv's own, one that
   is called before each wait and one that is called after it.

   libuv calls them on the loop's thread without the GIL, and they do not take it: they would wait for
   it where the loop itself does not. Between the two lie the wait and the callbacks of files; libuv
   tells how long the wait was. The callbacks, protocols' methods for the most part, are written as
   one step of a group of their own, from the end of the wait: they begin with their wait for the GIL,
   which cannot be told from their work. Of a wait that a timer ended the lock can be told: it was had
   when the next hook ran.

   The functions are found at run time in the extension that brings libuv along. */

#include "loop.h"

#include <dlfcn.h>
#include <stdlib.h>

/* Of libuv 1, whose interface is kept. */
enum { UV_CHECK = 2, UV_PREPARE = 9 };
enum { UV_METRICS_IDLE_TIME = 1 };
typedef void (*Callback)(void *handle);
typedef struct {
    uint64_t loop_count, events, events_waiting;
    uint64_t reserved[29]; /* 13 of them so far */
} Metrics;

static struct {
    unsigned int (*version)(void);
    size_t (*handle_size)(int type);
    int (*loop_configure)(void *loop, int option, ...);
    uint64_t (*metrics_idle_time)(void *loop);
    int (*metrics_info)(void *loop, Metrics *metrics);
    int (*prepare_init)(void *loop, void *handle);
    int (*prepare_start)(void *handle, Callback callback);
    int (*check_init)(void *loop, void *handle);
    int (*check_start)(void *handle, Callback callback);
    void (*unref)(void *handle);
    void (*close)(void *handle, Callback callback);
} uv;

/* The two handles of a loop. The memory is libuv's until both are closed. */
typedef struct {
    void *loop;
    int open;           /* handles that libuv knows */
    uint64_t group;     /* of the callbacks of files */
    uint64_t t0;        /* of the wait that goes on; 0: not recorded */
    uint64_t slept, events; /* as libuv has summed them up */
} Pair;

typedef struct {
    PyObject_HEAD
    Pair *pair; /* NULL: closed */
    void *before, *after;
} Turns;

/* ------------------------------------------------------------------ on the loop's thread, without the GIL */

/* A handle's memory lies behind the address of its pair; libuv's own field for that stays NULL, which
   is how uvloop tells handles that are not its own. */
#define AHEAD 16

static inline Pair *pair_of(void *handle)
{
    return *(Pair **)((char *)handle - AHEAD);
}

/* Whether the ring may be written to; `leave` must follow then. */
static inline int enter(Lane *lane)
{
    atomic_store(&lane->outside, 1);
    if (likely(!atomic_load(&lane->moving) && lane->ring.header != NULL))
        return 1;
    atomic_store(&lane->outside, 0);
    return 0;
}

static inline void leave(Lane *lane)
{
    atomic_store(&lane->outside, 0);
}

void lane_woke(Lane *lane, uint64_t running, uint64_t now)
{
    Park park = lane->asleep;
    lane->asleep.t0 = 0;
    park.running = running > park.woke ? running : park.woke;
    lane_parked(lane, park, now);
}

static void before_wait(void *handle)
{
    Pair *pair = pair_of(handle);
    Lane *lane = this_lane;
    pair->t0 = 0;
    if (lane == NULL || !aio.enabled) {
        if (lane != NULL)
            lane->asleep.t0 = 0;
        return;
    }
    pair->t0 = now_ns();
    if (unlikely(lane->asleep.t0 != 0) && enter(lane)) {
        lane_woke(lane, 0, pair->t0); /* no hook ran since: the timer was none of ours */
        leave(lane);
    }
    lane->waiting = pair;
    if (lane->waker == 0) /* what the callbacks of files wake, the selector wakes */
        lane->waker = WAKER_IO;
}

static void put_callbacks(Lane *lane, uint64_t group, uint64_t t0, uint64_t now)
{
    Event event = {.t0 = t0, .task = group, .waker = WAKER_IO, .type = STEP, .flags = CALLBACK};
    event.flags |= span32(now - t0, &event.duration, LONG_DURATION);
    ring_push(&lane->ring, &event);
}

static void after_wait(void *handle)
{
    Pair *pair = pair_of(handle);
    Lane *lane = this_lane;
    Metrics metrics;
    uint64_t slept = uv.metrics_idle_time(pair->loop) - pair->slept;
    uv.metrics_info(pair->loop, &metrics);
    uint64_t files = metrics.events - pair->events;
    pair->slept += slept;
    pair->events = metrics.events;
    if (lane == NULL)
        return;
    if (lane->waker == WAKER_IO)
        lane->waker = 0;
    /* Another loop may have run in a callback: then this is not one wait. */
    int whole = lane->waiting == pair && pair->t0 != 0;
    lane->waiting = NULL;
    if (!whole || !aio.enabled || (slept == 0 && files == 0))
        return;
    uint64_t now = now_ns(), woke = pair->t0 + slept;
    if (woke > now)
        woke = now;
    if (files == 0)
        lane->asleep = (Park){pair->t0, now, now, 0};
    else if (enter(lane)) {
        if (slept != 0)
            lane_parked(lane, (Park){pair->t0, woke, woke, files}, now);
        if (lane->open.task == 0) /* else the loop runs within a step */
            put_callbacks(lane, pair->group, woke, now);
        leave(lane);
    }
}

static void closed(void *handle)
{
    Pair *pair = pair_of(handle);
    free((char *)handle - AHEAD);
    if (--pair->open == 0)
        free(pair);
}

/* ------------------------------------------------------------------ with the GIL */

static void *make_handle(Pair *pair, int type)
{
    char *memory = calloc(1, AHEAD + uv.handle_size(type));
    if (memory == NULL)
        return NULL;
    *(Pair **)memory = pair;
    return memory + AHEAD;
}

static void turns_end(Turns *self)
{
    if (self->pair == NULL)
        return;
    self->pair = NULL;
    uv.close(self->before, closed);
    uv.close(self->after, closed);
}

/* Tell libuv of the handles. What it has of them it gives back when the loop turns or closes. */
static int begin(Turns *self, Pair *pair)
{
    Metrics metrics;
    self->before = make_handle(pair, UV_PREPARE);
    self->after = make_handle(pair, UV_CHECK);
    if (self->before == NULL || self->after == NULL ||
        uv.loop_configure(pair->loop, UV_METRICS_IDLE_TIME) != 0 ||
        uv.metrics_info(pair->loop, &metrics) != 0) {
        if (self->before != NULL)
            free((char *)self->before - AHEAD);
        if (self->after != NULL)
            free((char *)self->after - AHEAD);
        free(pair);
        return 0;
    }
    pair->slept = uv.metrics_idle_time(pair->loop);
    pair->events = metrics.events;
    pair->open = 2;
    uv.prepare_init(pair->loop, self->before); /* these two cannot fail */
    uv.check_init(pair->loop, self->after);
    uv.unref(self->before); /* they do not keep the loop alive */
    uv.unref(self->after);
    self->pair = pair;
    if (uv.prepare_start(self->before, before_wait) == 0 &&
        uv.check_start(self->after, after_wait) == 0)
        return 1;
    turns_end(self);
    return 0;
}

static PyObject *turns_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    PyObject *capsule, *callbacks;
    if (!PyArg_ParseTuple(args, "O!O", &PyCapsule_Type, &capsule, &callbacks))
        return NULL;
    void *loop = PyCapsule_GetPointer(capsule, NULL);
    if (loop == NULL)
        return NULL;
    if (uv.version == NULL)
        return PyErr_Format(PyExc_RuntimeError, "Turns: expected `find_libuv` before");
    Turns *self = (Turns *)type->tp_alloc(type, 0);
    Pair *pair = self == NULL ? NULL : calloc(1, sizeof *pair);
    if (pair != NULL) {
        pair->loop = loop;
        pair->group = callback_group(callbacks);
        if (begin(self, pair))
            return (PyObject *)self;
        PyErr_SetString(PyExc_RuntimeError, "Turns: libuv took no handles");
    } else if (self != NULL)
        PyErr_NoMemory();
    Py_XDECREF(self);
    return NULL;
}

static PyObject *turns_close(Turns *self, PyObject *unused)
{
    turns_end(self);
    Py_RETURN_NONE;
}

/* One that is forgotten before it is closed leaves its handles to libuv: the loop may still turn. */
static PyMethodDef turns_methods[] = {
    {"close", (PyCFunction)turns_close, METH_NOARGS,
     "Take the handles out; on the loop's thread, or when it does not run."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject turns_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Turns",
    .tp_basicsize = sizeof(Turns),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = turns_new,
    .tp_methods = turns_methods,
    .tp_doc = "Records the waits of a loop of libuv's.",
};

/* ------------------------------------------------------------------ libuv */

PyObject *loop_find_libuv(PyObject *module, PyObject *args)
{
    const char *path;
    unsigned int version;
    if (!PyArg_ParseTuple(args, "sI", &path, &version))
        return NULL;
    const struct {
        const char *name;
        void *to;
    } all[] = {
        {"uv_version", &uv.version},
        {"uv_handle_size", &uv.handle_size},
        {"uv_loop_configure", &uv.loop_configure},
        {"uv_metrics_idle_time", &uv.metrics_idle_time},
        {"uv_metrics_info", &uv.metrics_info},
        {"uv_prepare_init", &uv.prepare_init},
        {"uv_prepare_start", &uv.prepare_start},
        {"uv_check_init", &uv.check_init},
        {"uv_check_start", &uv.check_start},
        {"uv_unref", &uv.unref},
        {"uv_close", &uv.close},
    };
    if (uv.version != NULL) /* for the life of the process: handles may be in use */
        Py_RETURN_NONE;
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL)
        return PyUnicode_FromFormat("%s is not loaded", path);
    void *found[sizeof all / sizeof *all];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if ((found[i] = dlsym(library, all[i].name)) == NULL) {
            dlclose(library);
            return PyUnicode_FromFormat("its libuv has no %s to call", all[i].name);
        }
    unsigned int there = ((unsigned int (*)(void))found[0])();
    if (there != version || there >> 16 != 1) {
        dlclose(library);
        return PyUnicode_FromFormat("expected libuv 1, and of version 0x%x, found 0x%x", version,
                                    there);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        memcpy(all[i].to, &found[i], sizeof found[i]);
    Py_RETURN_NONE;
}
