/* What the parts of the recorder's native core know of each other.

   Everything runs with the GIL held, except the reading of rings (ring.c, columns.c). The hooks run
   on the threads of event loops, many hundred thousand times a second: they allocate nothing, take
   no lock and let no exception of their own out. */

#ifndef TACHOGRAPH_LOOP_H
#define TACHOGRAPH_LOOP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ------------------------------------------------------------------ events (ring.c)

   What a hook leaves behind. The meaning of the fields depends on the type:

   STEP        t0 start, task, waker, duration, delay from enqueue to start, queue: ready handles,
               name: where the task waited before
   SPAWN       t0, task, waker: the task that made it, name: where and what
   PARK        t0 start of the wait, duration until the system woke us, delay: until the GIL was
               ours again, queue: how many files were ready
   CHECKPOINT  t0, task: the thread's CPU time in ns, waker: ns it waited for a processor or -1 */
enum { STEP = 1, SPAWN, PARK, CHECKPOINT };

enum {
    LONG_DURATION = 1, /* in units of 1,024 ns */
    LONG_DELAY = 2,
    CALLBACK = 4,  /* the task is a group of callbacks, no task */
    TIMER = 8,     /* called by the clock */
    EAGER = 16,    /* the first step of a task that began inside its creator's */
    CONTINUED = 32, /* goes on after a step within it */
    RETURNED = 64,
    RAISED = 128,
    CANCELLED = RETURNED | RAISED,
};

/* Who woke a task: a task's id, or one of these with a number below. */
#define WAKER_KIND_SHIFT 60
#define WAKER_CALLBACK ((uint64_t)1 << WAKER_KIND_SHIFT) /* a group of callbacks */
#define WAKER_IO ((uint64_t)2 << WAKER_KIND_SHIFT)       /* the selector */
#define WAKER_TIMER ((uint64_t)3 << WAKER_KIND_SHIFT)    /* the clock */
#define WAKER_THREAD ((uint64_t)4 << WAKER_KIND_SHIFT)   /* another thread, by its system id */

typedef struct {
    uint64_t t0;
    uint64_t task;
    uint64_t waker;
    uint32_t duration;
    uint32_t delay;
    uint32_t name;
    uint8_t type;
    uint8_t flags;
    uint16_t queue;
} Event;

_Static_assert(sizeof(Event) == 40, "the ring's slots are 40 bytes");

/* The first page of a ring, which outlives the process when it lies in a file. */
typedef struct {
    char magic[8]; /* TACHORNG */
    uint32_t version, slot_bytes, slots, lane;
    uint64_t pid, tid;
    uint64_t anchor_monotonic_ns, anchor_time_ns;
    char pad0[64 - 56 % 64];
    _Atomic uint64_t head; /* events ever written; only the loop's thread writes from here ... */
    _Atomic uint64_t drops;
    uint64_t task, task_t0, task_flags; /* the step that is open, 0 if none */
    char pad1[64 - 40];                 /* ... to here; */
    _Atomic uint64_t tail; /* events that are on file, only the drain writes it */
} RingHeader;

#define RING_PAGE 4096

typedef struct {
    RingHeader *header; /* NULL: nothing is recorded on this thread */
    Event *slots;
    uint64_t head, tail, mask;
    size_t bytes;
} Ring;

static inline void ring_push(Ring *ring, const Event *event)
{
    uint64_t head = ring->head;
    if (unlikely(head - ring->tail > ring->mask)) {
        ring->tail = atomic_load_explicit(&ring->header->tail, memory_order_acquire);
        if (head - ring->tail > ring->mask) {
            atomic_fetch_add_explicit(&ring->header->drops, 1, memory_order_relaxed);
            return;
        }
    }
    ring->slots[head & ring->mask] = *event;
    ring->head = head + 1;
    atomic_store_explicit(&ring->header->head, head + 1, memory_order_release);
}

/* ------------------------------------------------------------------ lanes (lanes.c)

   Numbers below FIRST_POOL_LANE are of threads that run loops, the others of threads that run jobs. */
#define FIRST_POOL_LANE 16
#define MAX_LANES 64

/* A step that is not at its end yet. */
typedef struct {
    uint64_t task; /* 0: there is none */
    uint64_t t0, waker, delay;
    uint32_t chain; /* where the task waited before */
    uint16_t queue;
    uint8_t flags;
} Open;

/* A wait for files. */
typedef struct {
    uint64_t t0, woke; /* until the system answered */
    uint64_t running;  /* until the interpreter's lock was ours */
    uint64_t files;    /* that were ready */
} Park;

/* A thread that runs a loop, or jobs of one. What is open is held by value: libraries that switch
   stacks move what lies there. */
typedef struct Lane {
    PyObject_HEAD
    Ring ring;
    Open open;
    uint64_t waker;         /* what the open step is as a waker */
    uint64_t unparked_ns;   /* when the loop last came back from its selector */
    uint64_t idle_ns;       /* when its last job ended; 0: it had none */
    uint64_t checked_ns;    /* the last checkpoint */
    uint64_t parks;
    PyObject *loop;  /* borrowed: only compared */
    PyObject *loop_ref; /* a weak reference to it, or NULL */
    PyObject *watched; /* the same, once its waits are looked after */
    const void *waiting; /* who began the wait that goes on, in libuv */
    Park asleep;         /* a wait of libuv's that a timer ended, to be written; t0 is 0: none */
    PyObject *ready; /* its queue, owned */
    uint64_t candidate;       /* the id of the task that a factory is making, 0 if none */
    uint64_t candidate_waker; /* who makes it */
    PyObject *candidate_coro; /* borrowed, for the same time */
    int number, schedstat;
    uint64_t tid;
    _Atomic int ended; /* the thread is gone */
    _Atomic uint64_t wants_gil_ns; /* since when it waits for the GIL; 0: it does not */
    uint64_t errors;
    /* Of libuv's callbacks, which run without the GIL: whether one writes into the ring, and whether
       the ring is being exchanged, so that none may. */
    _Atomic int outside, moving;
} Lane;

extern PyTypeObject lane_type;
extern __thread Lane *this_lane __attribute__((tls_model("initial-exec")));
/* The lane of this thread, made when it is first asked for; NULL without an exception if there can
   be none. */
Lane *lane_make(void);
/* The same for a thread that runs jobs. It may be asked again: a lane gets free when its thread ends. */
Lane *lane_make_for_jobs(void);
static inline Lane *lane_here(void)
{
    Lane *lane = this_lane;
    return likely(lane != NULL) ? lane : lane_make();
}
/* Let every lane look at its loop as if it had not seen it. */
void lanes_look_again(void);
/* Whether what this thread does is known to the loop as a step: of its own, or of a job. */
static inline int is_waker(const Lane *lane, const PyObject *loop)
{
    return lane->loop == loop || (lane->number >= FIRST_POOL_LANE && lane->waker != 0);
}
PyObject *loop_lanes(PyObject *module, PyObject *unused);
PyObject *loop_columns(PyObject *module, PyObject *args); /* columns.c */
PyObject *loop_fields(PyObject *module, PyObject *const *args, Py_ssize_t count); /* fields.c */
PyObject *loop_rings(PyObject *module, PyObject *args);
PyObject *loop_lane_counts(PyObject *module, PyObject *unused);
PyObject *loop_set_clock(PyObject *module, PyObject *ns);
PyObject *loop_forget_parent(PyObject *module, PyObject *unused);

/* ------------------------------------------------------------------ time (lanes.c) */

extern int64_t fake_now_ns; /* below 0: read the system's clock */
static inline uint64_t now_ns(void)
{
    if (unlikely(fake_now_ns >= 0))
        return (uint64_t)fake_now_ns;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A span of time in 32 bits; returns `flag` if it is in units of 1,024 ns. */
static inline uint8_t span32(uint64_t ns, uint32_t *to, uint8_t flag)
{
    if (likely(ns <= UINT32_MAX)) {
        *to = (uint32_t)ns;
        return 0;
    }
    ns >>= 10;
    *to = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    return flag;
}

/* ------------------------------------------------------------------ what asyncio is (bind.c) */

/* Filled by `configure` from what the self-test found; 0 or NULL where a part does not work. */
typedef struct {
    PyTypeObject *handle, *timer_handle, *thread_handle /* or NULL */, *base_loop, *task, *future;
    PyTypeObject *step_wrapper;    /* of a native task's step */
    PyMethodDef *wakeup;           /* of a native task's wake-up */
    PyObject *py_step, *py_wakeup; /* functions of tasks written in Python */
    PyObject *stock_run, *stock_call_soon, *stock_call_soon_threadsafe, *stock_call_at;
    PyObject *stock_create_task;
    PyObject *report;       /* (handle, exception): what the stock `_run` does with an error */
    PyObject *on_loop;      /* (loop): its waits are looked after; returns its queue or None */
    PyObject *note_name;    /* (kind, number, object, line, object): keeps what a number means */
    PyObject *plumbing;     /* a tuple: beginnings of the paths whose frames make no tasks */
    PyObject *deque_append; /* the method of its type */
    PyTypeObject *deque;
    PyObject *heappush;
    Py_ssize_t callback, args, cancelled, loop, traceback, repr, context, when, scheduled;
    Py_ssize_t wrapper_task, task_coro, future_state, future_exception, task_cancels;
    PyObject *note_end; /* (task, id, exception, cancel requests) of what ended badly; or NULL */
    int enabled;  /* recording */
    int tracks;   /* where tasks begin and how they end is recorded too */
    unsigned long wait_every; /* of so many parks one is worth a look at the scheduler's numbers */
    int chains;   /* with where tasks wait */
    int native_handles;
} Asyncio;

extern Asyncio aio;

static inline PyObject **slot_of(PyObject *object, Py_ssize_t offset)
{
    return (PyObject **)((char *)object + offset);
}

/* ------------------------------------------------------------------ tasks (tasks.c) */

/* What a callback is. */
typedef struct {
    uint64_t id;    /* of the task, or of the group of callbacks */
    PyObject *task; /* borrowed; NULL for a plain callback */
    uint8_t flags;
} Who;

Who who_is(Lane *lane, PyObject *callback);
/* Note a task that begins to exist now if `callback` is the first step of one. */
void note_spawn(Lane *lane, PyObject *callback, uint64_t now);
/* The flags of a task's step that has just ended: 0 while the task goes on. Forgets an ended task. */
uint8_t end_of(PyObject *task);
/* The same as the step is to tell it: nothing where tasks are not tracked. */
uint8_t told_end_of(PyObject *task);
uint64_t new_task_id(void);
/* The id of a task; 0 if it is not known. */
uint64_t task_id(PyObject *task);
/* Note a task whose first step has run already; returns as `end_of` does. */
uint8_t note_eager(PyObject *task, uint64_t id);
int coro_is_new(PyObject *coro);
/* A task's coroutine, borrowed; NULL if it has none any more or hides it. */
PyObject *coro_of(PyObject *task);
PyObject *loop_task_id(PyObject *module, PyObject *task);
PyObject *loop_running_task(PyObject *module, PyObject *unused);
PyObject *loop_task_ids(PyObject *module, PyObject *unused);
PyObject *loop_adopt(PyObject *module, PyObject *task);
PyObject *loop_keep_tasks(PyObject *module, PyObject *tasks);
PyObject *loop_table_sizes(PyObject *module, PyObject *unused);
PyObject *loop_note_ends(PyObject *module, PyObject *callback);
PyObject *loop_forget_task(PyObject *module, PyObject *task);
void tasks_forget(void);

/* ------------------------------------------------------------------ names (names.c) */

/* Numbers for what is seen often: groups of callbacks, and places where tasks are made together with
   what they run. The first time, Python is told what the number means. Bounded: what comes when a
   table is full has the number 0 or that of all other callbacks, and is counted. */
enum { NAME_CALLBACK, NAME_SPAWN, NAME_STACK, NAME_JOB };
uint64_t callback_group(PyObject *callback);
uint32_t spawn_name(PyObject *coro);
uint32_t spawn_name_of_running(PyObject *coro);
/* Of a job; `first` is its first argument, which is what is called if the callable is a context's. */
uint32_t job_name(PyObject *callable, PyObject *first);
PyObject *loop_name_counts(PyObject *module, PyObject *unused);
void names_forget(void);

/* ------------------------------------------------------------------ await chains (chains.c) */

#define MOST_CHAINS 16384

/* The number of what a suspended coroutine waits for; 0 if it is none, or there is no number left. */
uint32_t chain_number(PyObject *coro);
PyObject *loop_chains(PyObject *module, PyObject *on);
/* Pairs of a type that stands between two links, and of where its inner object lies. */
int chains_configure(PyObject *facts);
PyObject *loop_chain_of(PyObject *module, PyObject *coro);
PyObject *loop_chains_in(PyObject *module, PyObject *raw); /* columns.c */
PyObject *loop_chain_counts(PyObject *module, PyObject *unused);

/* ------------------------------------------------------------------ hooks */

extern PyTypeObject *native_handle, *native_timer; /* handle.c */
int handle_types(void);
PyObject *handle_make(PyObject *loop, PyObject *callback, PyObject *const *args, Py_ssize_t count,
                      PyObject *context, uint64_t waker, uint64_t enqueued);
/* The same for call_soon_threadsafe: one with a lock, on interpreters that have such a kind. */
PyObject *thread_handle_make(PyObject *loop, PyObject *callback, PyObject *const *args,
                             Py_ssize_t count, PyObject *context, uint64_t waker,
                             uint64_t enqueued);
PyObject *timer_make(PyObject *loop, PyObject *when, PyObject *callback, PyObject *const *args,
                     Py_ssize_t count, PyObject *context);
/* When a native handle was put on the queue and by whom; 0 for any other. */
uint64_t handle_enqueued(PyObject *handle, uint64_t *waker);

/* Between these two lies a step; they do not raise. */
typedef struct {
    PyObject *task; /* borrowed: the callback holds it */
    Open outer;
    uint64_t outer_waker;
} Step;
typedef struct {
    uint64_t since_ns; /* 0: since the selector answered */
    uint64_t waker;
} Ready;
void step_begin(Lane *lane, PyObject *loop, PyObject *callback, Ready ready, Step *step);
void step_end(Lane *lane, const Step *step);
/* The same for a job, which knows its id; `now` is when it begins, and ends. */
void job_begin(Lane *lane, const Open *job, Step *step);
void job_end(Lane *lane, const Step *step, uint64_t now, uint8_t outcome);
/* Whether a task that is to be made may run its first step before it is there. */
int may_begin_at_once(const Lane *lane, PyObject *const *args, Py_ssize_t count);
/* Make it by the loop's own method, whose factory decides; a step that it ran then is recorded. */
PyObject *create_by_factory(Lane *lane, PyObject *stock, PyObject *self, PyObject *const *args,
                            PyObject *names);
PyObject *loop_descriptors(PyObject *module, PyObject *unused);
int steps_ready(void);

/* Call asyncio's own method with the arguments that ours got. */
PyObject *call_stock(PyObject *function, PyObject *self, PyObject *const *args, Py_ssize_t count,
                     PyObject *names);

/* ------------------------------------------------------------------ waits */

#define CHECKPOINT_NS 1000000 /* steps and turns longer than this are worth a system call */

/* parks.c */
void lane_meet(Lane *lane, PyObject *loop); /* the lane comes to a loop */
void lane_checkpoint(Lane *lane, uint64_t now);
void lane_parked(Lane *lane, Park park, uint64_t now);

extern PyTypeObject select_type; /* select.c */
extern PyTypeObject living_type; /* living.c */

/* turns.c: waits of loops that run on libuv. */
extern PyTypeObject turns_type;
PyObject *loop_find_libuv(PyObject *module, PyObject *args);
/* Write the wait in `lane->asleep`: the lock was had at `running`, or that is not known and it is
   the end of the wait. */
void lane_woke(Lane *lane, uint64_t running, uint64_t now);

/* wrap.c: loops whose handles do not pass through asyncio's. */
extern PyTypeObject wrapped_type;
PyObject *loop_wrappers(PyObject *module, PyObject *facts);


/* jobs.c: what loops give to threads. */
extern PyTypeObject job_type, pool_type;
PyObject *loop_job_hook(PyObject *module, PyObject *args);
PyObject *loop_jobs(PyObject *module, PyObject *on);
PyObject *loop_job(PyObject *module, PyObject *args);
PyObject *loop_spawn_job(PyObject *module, PyObject *function);
PyObject *loop_take_jobs(PyObject *module, PyObject *unused);
PyObject *loop_job_counts(PyObject *module, PyObject *unused);
void jobs_forget(void);

extern PyTypeObject requests_type; /* requests.c */

extern PyTypeObject listener_type; /* listen.c */
PyObject *loop_listener(PyObject *module, PyObject *args);

#endif
