/* The watcher: a thread that looks at what all others do, at moments of its own choosing.

   It never takes the GIL, so it sees a thread that holds it for seconds as well as one that has lost
   it; and it stops nobody. At each look it takes the stacks of the threads that are running or within
   a step, and of each step that has been open for too long, then again when it is twice as old.

   A step that lasts at least as long as the pause between two looks is seen open by one of them; the
   look that is due when the step becomes too old is made at that very moment. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_THREADS 256
#define MOST_SAMPLES 8192 /* a power of two */
#define RAN_NS 20000      /* a thread that ran for less since the last look is idle */

typedef struct {
    uint64_t tid;
    const PyThreadState *state;
    Lane *lane; /* NULL: no lane. Valid under the lock */
    int call;   /* the file that tells the system call it is in */
    uint64_t cpu_ns;
    uint64_t step_t0, due_ns; /* the step that is too old, and when to look at it again */
    uint16_t sequence, seen;
    Guess guess;
} Thread;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    int running, stopping, made, samples_on, count;
    uint64_t period_ns, threshold_ns;
    Thread threads[MOST_THREADS];
    Sample samples[MOST_SAMPLES];
    uint64_t head, tail;
    long long taken, unsure, dropped, unreadable, threads_full;
    uint64_t random;
} watch;

static StackTable table = {.read = peek};

static uint64_t clock_ns(clockid_t which)
{
    struct timespec now;
    if (clock_gettime(which, &now) < 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static clockid_t cpu_clock(uint64_t tid)
{
    return (~(clockid_t)tid << 3) | 6; /* the scheduler's clock of a thread, as the kernel names it */
}

void watch_lock(void)
{
    if (watch.made)
        pthread_mutex_lock(&watch.lock);
}

void watch_unlock(void)
{
    if (watch.made)
        pthread_mutex_unlock(&watch.lock);
}

/* ------------------------------------------------------------------ which threads */

static Thread *find_thread(uint64_t tid)
{
    for (int i = 0; i < watch.count; i++)
        if (watch.threads[i].tid == tid)
            return &watch.threads[i];
    return NULL;
}

static Thread *add_thread(uint64_t tid, const PyThreadState *state)
{
    Thread *thread = find_thread(tid);
    if (thread == NULL) {
        if (watch.count == MOST_THREADS) {
            watch.threads_full++;
            return NULL;
        }
        thread = &watch.threads[watch.count++];
        *thread = (Thread){.tid = tid, .call = -1, .cpu_ns = clock_ns(cpu_clock(tid))};
        char path[64];
        snprintf(path, sizeof path, "/proc/self/task/%llu/syscall", (unsigned long long)tid);
        thread->call = open(path, O_RDONLY | O_CLOEXEC);
    }
    thread->state = state;
    thread->seen = 1;
    return thread;
}

static void drop_thread(Thread *thread)
{
    if (thread->call >= 0)
        close(thread->call);
    *thread = watch.threads[--watch.count];
}

void watch_lane(Lane *lane)
{
    watch_lock();
    if (watch.running) {
        Thread *thread = add_thread(lane->tid, PyThreadState_Get());
        if (thread != NULL)
            thread->lane = lane;
    }
    watch_unlock();
}

void unwatch_lane(Lane *lane)
{
    watch_lock();
    for (int i = 0; i < watch.count; i++)
        if (watch.threads[i].lane == lane)
            watch.threads[i].lane = NULL;
    watch_unlock();
}

/* See which threads there are; with the GIL, which those who come and go need. */
static void refresh(void)
{
    for (int i = 0; i < watch.count; i++)
        watch.threads[i].seen = 0;
    PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; state != NULL; state = PyThreadState_Next(state))
        if (state->native_thread_id)
            add_thread(state->native_thread_id, state);
    for (int i = watch.count - 1; i >= 0; i--)
        if (!watch.threads[i].seen)
            drop_thread(&watch.threads[i]);
}

/* ------------------------------------------------------------------ looking */

static void put(const Sample *sample)
{
    if (watch.head - watch.tail == MOST_SAMPLES) {
        watch.dropped++;
        return;
    }
    watch.samples[watch.head++ & (MOST_SAMPLES - 1)] = *sample;
    watch.taken++;
    watch.unsure += sample->flags & SAMPLE_UNSURE;
}

/* The system call that a thread is in, -1 for none: it runs, or wants to. */
static int32_t call_of(const Thread *thread)
{
    char text[32];
    ssize_t length = thread->call < 0 ? -1 : pread(thread->call, text, sizeof text - 1, 0);
    if (length <= 0 || text[0] == 'r')
        return -1;
    text[length] = 0;
    return (int32_t)strtol(text, NULL, 10);
}

typedef struct {
    uint64_t task, t0;
} Seen;

/* Jobs may take their time: that is what their threads are for. */
static int is_watched(const Thread *thread)
{
    return watch.threshold_ns && thread->lane != NULL && thread->lane->number < FIRST_POOL_LANE;
}

static Seen step_of(const Thread *thread)
{
    const RingHeader *header = thread->lane == NULL ? NULL : thread->lane->ring.header;
    if (header == NULL || fake_now_ns >= 0)
        return (Seen){0, 0};
    uint64_t task = __atomic_load_n(&header->task, __ATOMIC_ACQUIRE);
    return (Seen){task, __atomic_load_n(&header->task_t0, __ATOMIC_ACQUIRE)};
}

/* A thread's stack, and whether the step went on meanwhile that it belongs to. It is not taken again
   then: that would be from the beginning of the next step, more often than its share. */
static uint32_t stack_in_step(Thread *thread, Seen *step, uint8_t *flags)
{
    Place places[MOST_DEPTH];
    *step = step_of(thread);
    int depth = walk_thread(&table, thread->state, &thread->guess, places, MOST_DEPTH);
    Seen now = step_of(thread);
    *flags = now.task == step->task && now.t0 == step->t0 ? 0 : SAMPLE_UNSURE;
    watch.unreadable += depth < 0;
    return depth < 0 ? 0 : stack_number(&table, places, depth);
}

/* The thread that has the GIL; NULL if it is free. */
static Thread *holder(void)
{
#if PY_VERSION_HEX < 0x030C0000
    const PyThreadState *state = _PyThreadState_UncheckedGet();
    for (int i = 0; state != NULL && i < watch.count; i++)
        if (watch.threads[i].state == state)
            return &watch.threads[i];
#else
    for (int i = 0; i < watch.count; i++) {
        PyThreadState state;
        const PyThreadState *at = watch.threads[i].state;
        if (peek(&at->_status, &state._status, sizeof state._status) == 0 && state._status.active)
            return &watch.threads[i];
    }
#endif
    return NULL;
}

/* Somebody waits for the GIL: what does the one who has it? */
static void look_at_holder(const Thread *waiting, uint64_t since, Seen step, uint64_t now)
{
    Thread *has = holder();
    if (has == NULL || has == waiting)
        return;
    Place places[MOST_DEPTH];
    int depth = walk_thread(&table, has->state, &has->guess, places, MOST_DEPTH);
    Sample sample = {.t0 = now,
                     .tid = has->tid,
                     .task = step.task,
                     .step_t0 = since,
                     .stack = depth < 0 ? 0 : stack_number(&table, places, depth),
                     .call = waiting->lane->number,
                     .kind = SAMPLE_HOLDER,
                     .lane = has->lane == NULL ? 255 : (uint8_t)has->lane->number};
    if (holder() == has) /* still: the stack is that of who held it */
        put(&sample);
}

/* Look at one thread. */
static void look(Thread *thread, uint64_t now, int sampling)
{
    Seen step = step_of(thread);
    int is_old = 0;
    if (step.task != 0 && is_watched(thread) && now >= step.t0 + watch.threshold_ns) {
        if (thread->step_t0 != step.t0) {
            thread->step_t0 = step.t0;
            thread->due_ns = 0;
            thread->sequence = 0;
        }
        is_old = now >= thread->due_ns;
    }
    int ran = 0;
    if (sampling) {
        uint64_t cpu = clock_ns(cpu_clock(thread->tid));
        ran = cpu > thread->cpu_ns + RAN_NS;
        thread->cpu_ns = cpu;
    }
    if (thread->lane != NULL) {
        uint64_t since = atomic_load_explicit(&thread->lane->wants_gil_ns, memory_order_acquire);
        if (sampling && since != 0 && now > since + 1000000)
            look_at_holder(thread, since, (Seen){0, 0}, now);
    }
    /* A job that waits is not looked at: there may be dozens, and no loop waits with them. */
    int is_job = thread->lane != NULL && thread->lane->number >= FIRST_POOL_LANE;
    if (!is_old && !(sampling && ((step.task != 0 && !is_job) || ran)))
        return;
    int32_t call = call_of(thread);
    if (!is_old && step.task == 0 && call >= 0)
        return; /* it has run, and waits for work */
    Sample sample = {.t0 = now,
                     .tid = thread->tid,
                     .call = call,
                     .lane = thread->lane == NULL ? 255 : (uint8_t)thread->lane->number};
    uint64_t looked_at = step.t0;
    sample.stack = stack_in_step(thread, &step, &sample.flags);
    if (sample.flags & SAMPLE_UNSURE || step.t0 != looked_at)
        is_old = 0; /* it has ended meanwhile */
    sample.task = step.task;
    sample.step_t0 = step.t0;
    if (is_old) {
        sample.kind = SAMPLE_STALL;
        sample.sequence = thread->sequence++;
        uint64_t age = now - step.t0, next = watch.threshold_ns;
        while (next <= age)
            next *= 2;
        thread->due_ns = step.t0 + next;
        put(&sample);
    }
    if (sampling) {
        sample.kind = call < 0 ? SAMPLE_RUNNING : SAMPLE_BLOCKED;
        sample.sequence = 0;
        put(&sample);
        if (call == SYS_futex && thread->lane != NULL)
            look_at_holder(thread, now, step, now);
    }
}

/* When the next step that is open becomes too old. */
static uint64_t next_due(uint64_t before)
{
    for (int i = 0; watch.threshold_ns && i < watch.count; i++) {
        Thread *thread = &watch.threads[i];
        if (!is_watched(thread))
            continue;
        Seen step = step_of(thread);
        if (step.task == 0)
            continue;
        uint64_t due = thread->step_t0 == step.t0 ? thread->due_ns : step.t0 + watch.threshold_ns;
        if (due < before)
            before = due;
    }
    return before;
}

/* A pause of the period on average, never in step with anything. */
static uint64_t pause_ns(void)
{
    watch.random += 0x9E3779B97F4A7C15u;
    uint64_t mixed = watch.random;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    uint64_t fifth = watch.period_ns / 5;
    return watch.period_ns - fifth + (fifth ? (mixed ^ mixed >> 31) % (2 * fifth) : 0);
}

static void *watching(void *unused)
{
    prctl(PR_SET_NAME, "tacho-watch");
    /* On a busy machine it must not come last: it takes microseconds. Where that is not allowed it
       runs as others do. */
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -10);
    pthread_mutex_lock(&watch.lock);
    uint64_t sample_at = clock_ns(CLOCK_MONOTONIC) + pause_ns();
    while (!watch.stopping) {
        uint64_t until = next_due(sample_at);
        struct timespec at = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
        pthread_cond_timedwait(&watch.wake, &watch.lock, &at);
        if (watch.stopping)
            break;
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        int sampling = now >= sample_at;
        if (sampling)
            sample_at = now + pause_ns();
        for (int i = 0; i < watch.count; i++)
            look(&watch.threads[i], now, sampling && watch.samples_on);
    }
    pthread_mutex_unlock(&watch.lock);
    return NULL;
}

/* ------------------------------------------------------------------ on and off */

static void make_lock(void)
{
    if (watch.made)
        return;
    pthread_condattr_t attributes;
    pthread_mutex_init(&watch.lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch.wake, &attributes);
    pthread_condattr_destroy(&attributes);
    watch.made = 1;
}

static void clear(int whole)
{
    while (watch.count)
        drop_thread(&watch.threads[watch.count - 1]);
    watch.head = watch.tail = 0;
    watch.taken = watch.unsure = watch.dropped = watch.unreadable = watch.threads_full = 0;
    stacks_forget(&table, whole);
}

PyObject *loop_watch(PyObject *module, PyObject *args)
{
    double hertz;
    unsigned long long threshold_ns;
    if (!PyArg_ParseTuple(args, "dK", &hertz, &threshold_ns))
        return NULL;
    if (!(hertz >= 0 && hertz <= 1000) || (hertz == 0 && threshold_ns == 0))
        return PyErr_Format(PyExc_ValueError, "watch: expected up to 1,000 looks a second, or none "
                                              "and a time after which a step is too long");
    if (watch.running) {
        PyErr_SetString(PyExc_RuntimeError, "watch: it is being watched already");
        return NULL;
    }
    const char *refused = peek_refused();
    if (refused != NULL) {
        PyErr_SetString(PyExc_OSError, refused);
        return NULL;
    }
    make_lock();
    clear(1);
    watch.samples_on = hertz > 0;
    watch.period_ns = hertz > 0 ? (uint64_t)(1e9 / hertz) : threshold_ns;
    watch.threshold_ns = threshold_ns;
    if (threshold_ns && threshold_ns < watch.period_ns)
        watch.period_ns = threshold_ns;
    watch.random = clock_ns(CLOCK_REALTIME);
    watch.stopping = 0;
    watch.running = 1;
    refresh();
    PyObject *lanes = loop_lanes(NULL, NULL);
    for (Py_ssize_t i = 0; lanes != NULL && i < PyList_GET_SIZE(lanes); i++) {
        Lane *lane = (Lane *)PyList_GET_ITEM(lanes, i);
        Thread *thread = find_thread(lane->tid);
        if (thread != NULL)
            thread->lane = lane;
    }
    Py_XDECREF(lanes);
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    int failed = pthread_create(&watch.thread, &attributes, watching, NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        watch.running = 0;
        clear(1);
        errno = failed;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyObject *loop_unwatch(PyObject *module, PyObject *unused)
{
    if (!watch.running)
        Py_RETURN_NONE;
    watch_lock();
    watch.stopping = 1;
    pthread_cond_signal(&watch.wake);
    watch_unlock();
    Py_BEGIN_ALLOW_THREADS
    pthread_join(watch.thread, NULL);
    Py_END_ALLOW_THREADS
    watch.running = 0;
    clear(1);
    Py_RETURN_NONE;
}

/* In a forked child: there is no watcher, and its lock may be held by nobody who lives. */
void watch_forget(void)
{
    watch.made = watch.running = 0;
    clear(0);
}

/* ------------------------------------------------------------------ for the drain */

PyObject *loop_samples(PyObject *module, PyObject *unused)
{
    Taken taken = {0};
    Sample *copied = NULL;
    size_t count = 0;
    if (watch.running) {
        watch_lock();
        refresh();
        count = (size_t)(watch.head - watch.tail);
        copied = count ? malloc(count * sizeof *copied) : NULL;
        if ((count && copied == NULL) || take_news(&table, &taken) < 0)
            count = 0;
        for (size_t i = 0; i < count; i++)
            copied[i] = watch.samples[watch.tail++ & (MOST_SAMPLES - 1)];
        watch_unlock();
    }
    PyObject *frames = frames_of(&taken), *stacks = stacks_of(&taken), *found = NULL;
    if (frames != NULL && stacks != NULL)
        found = Py_BuildValue("OOy#", frames, stacks, count ? (char *)copied : "",
                              (Py_ssize_t)(count * sizeof *copied));
    Py_XDECREF(frames);
    Py_XDECREF(stacks);
    taken_free(&taken);
    free(copied);
    return found;
}

PyObject *loop_watch_counts(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{sLsLsLsLsLsLsLsL}", "samples_taken", watch.taken, "samples_unsure",
                         watch.unsure, "samples_dropped", watch.dropped, "samples_unreadable",
                         watch.unreadable, "samples_threads_full", watch.threads_full,
                         "frames_torn", table.counts.frames_torn, "frames_full",
                         table.counts.frames_full, "stacks_full", table.counts.stacks_full);
}
