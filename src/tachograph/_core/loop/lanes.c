/* A thread and its ring: one writer, the thread; one reader, the drain.

   The ring lies in a file if there is a directory for it, so that it outlives a killed process, else
   in memory. The reader sees an event when the head has passed it; what it has read stays in the
   ring until it says that it is on file. */

#include "calls.h"
#include "watch.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_POOL_SLOTS 4096 /* a job is longer than a step, and there are more threads */

__thread Lane *this_lane __attribute__((tls_model("initial-exec")));
static __thread int refused; /* this thread asked and got none */

int64_t fake_now_ns = -1;

static Lane *lanes[MAX_LANES]; /* owned */
static pthread_key_t at_end;
static int has_key;
static char directory[3072]; /* of ring files; empty: in memory */
static uint32_t slots = 32768;
static long long lanes_refused, rings_in_memory;

static void thread_ended(void *lane)
{
    atomic_store(&((Lane *)lane)->ended, 1);
}

static uint64_t thread_id(void)
{
    return (uint64_t)syscall(SYS_gettid);
}

static uint64_t realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *map_file(size_t bytes, int number, uint64_t tid)
{
    char path[3200];
    snprintf(path, sizeof path, "%s/ring.%d-%llu", directory, number, (unsigned long long)tid);
    int file = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0)
        return MAP_FAILED;
    /* Allocated now: a full disk is met here and not as a bus error in a hook. */
    void *found = MAP_FAILED;
    if (posix_fallocate(file, 0, (off_t)bytes) == 0)
        found = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (found == MAP_FAILED)
        unlink(path);
    close(file);
    return found;
}

static int ring_open(Lane *lane)
{
    int small = lane->number >= FIRST_POOL_LANE && slots > MOST_POOL_SLOTS;
    uint32_t count = small ? MOST_POOL_SLOTS : slots;
    size_t bytes = RING_PAGE + (size_t)count * sizeof(Event);
    bytes = (bytes + RING_PAGE - 1) / RING_PAGE * RING_PAGE;
    void *at = directory[0] ? map_file(bytes, lane->number, lane->tid) : MAP_FAILED;
    if (at == MAP_FAILED) {
        rings_in_memory += directory[0] != 0;
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                  -1, 0);
    }
    if (at == MAP_FAILED)
        return 0;
    RingHeader *header = at;
    header->version = 1;
    header->slot_bytes = sizeof(Event);
    header->slots = count;
    header->lane = (uint32_t)lane->number;
    header->pid = (uint64_t)getpid();
    header->tid = lane->tid;
    header->anchor_monotonic_ns = now_ns();
    header->anchor_time_ns = realtime_ns();
    memcpy(header->magic, "TACHORNG", 8); /* last: a ring without it is none */
    lane->ring = (Ring){header, (Event *)((char *)at + RING_PAGE), 0, 0, count - 1, bytes};
    return 1;
}

/* Make this thread's lane with the first number that is free; NULL without an exception. */
static Lane *make_from(int number, int end)
{
    while (number < end && lanes[number] != NULL)
        number++;
    if (number == end)
        return NULL;
    if (!has_key)
        has_key = pthread_key_create(&at_end, thread_ended) == 0;
    Lane *lane = PyObject_New(Lane, &lane_type);
    if (lane == NULL) {
        PyErr_Clear();
        return NULL;
    }
    memset((char *)lane + sizeof(PyObject), 0, sizeof *lane - sizeof(PyObject));
    lane->number = number;
    lane->tid = thread_id();
    lane->schedstat = -1;
    if (!ring_open(lane)) {
        Py_DECREF(lane);
        return NULL;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%llu/schedstat", (unsigned long long)lane->tid);
    lane->schedstat = open(path, O_RDONLY | O_CLOEXEC);
    pthread_setspecific(at_end, lane);
    lanes[number] = lane;
    this_lane = lane;
    watch_lane(lane);
    return lane;
}

Lane *lane_make(void)
{
    if (refused || !aio.enabled)
        return NULL;
    Lane *lane = make_from(0, FIRST_POOL_LANE);
    if (lane == NULL) {
        lanes_refused++;
        refused = 1;
    }
    return lane;
}

Lane *lane_make_for_jobs(void)
{
    return aio.enabled ? make_from(FIRST_POOL_LANE, MAX_LANES) : NULL;
}

/* ------------------------------------------------------------------ the reader's side */

static void lane_unmap(Lane *lane)
{
    unwatch_lane(lane);
    if (lane->ring.header != NULL)
        munmap(lane->ring.header, lane->ring.bytes);
    lane->ring.header = NULL;
    if (lane->schedstat >= 0)
        close(lane->schedstat);
    lane->schedstat = -1;
}

static PyObject *lane_read(Lane *lane, PyObject *most)
{
    Py_ssize_t limit = PyLong_AsSsize_t(most);
    if (limit < 0) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "read: expected a number of events, got %zd", limit);
        return NULL;
    }
    RingHeader *header = lane->ring.header;
    if (header == NULL)
        return PyBytes_FromStringAndSize(NULL, 0);
    uint64_t tail = atomic_load_explicit(&header->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&header->head, memory_order_acquire);
    uint64_t count = head - tail;
    if (count > (uint64_t)limit)
        count = (uint64_t)limit;
    PyObject *found = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(Event)));
    if (found == NULL)
        return NULL;
    Event *to = (Event *)PyBytes_AS_STRING(found);
    /* Nothing between tail and head is written to, so this needs no second look. */
    for (uint64_t i = 0; i < count; i++)
        to[i] = lane->ring.slots[(tail + i) & lane->ring.mask];
    return found;
}

static PyObject *lane_release(Lane *lane, PyObject *count)
{
    unsigned long long settled = PyLong_AsUnsignedLongLong(count);
    if (settled == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    RingHeader *header = lane->ring.header;
    if (header != NULL) {
        uint64_t tail = atomic_load_explicit(&header->tail, memory_order_relaxed);
        uint64_t head = atomic_load_explicit(&header->head, memory_order_acquire);
        if (settled > head - tail)
            settled = head - tail;
        atomic_store_explicit(&header->tail, tail + settled, memory_order_release);
    }
    Py_RETURN_NONE;
}

static PyObject *lane_close(Lane *lane, PyObject *unused)
{
    if (lanes[lane->number] == lane) {
        lanes[lane->number] = NULL;
        if (this_lane == lane)
            this_lane = NULL;
        else if (!atomic_load(&lane->ended)) {
            lanes[lane->number] = lane;
            PyErr_SetString(PyExc_RuntimeError, "close: the lane's thread still runs");
            return NULL;
        }
        if (has_key && pthread_getspecific(at_end) == lane)
            pthread_setspecific(at_end, NULL);
        Py_CLEAR(lane->ready);
        Py_CLEAR(lane->loop_ref);
        lane_unmap(lane);
        Py_DECREF(lane);
    }
    Py_RETURN_NONE;
}

static void lane_dealloc(Lane *lane)
{
    Py_CLEAR(lane->ready);
    Py_CLEAR(lane->loop_ref);
    lane_unmap(lane);
    PyObject_Free(lane);
}

static PyObject *from_header(Lane *lane, void *which)
{
    RingHeader *header = lane->ring.header;
    if (header == NULL)
        return PyLong_FromLong(0);
    switch ((intptr_t)which) {
    case 0:
        return PyLong_FromUnsignedLongLong(atomic_load(&header->head));
    case 1:
        return PyLong_FromUnsignedLongLong(atomic_load(&header->tail));
    case 2:
        return PyLong_FromUnsignedLongLong(atomic_load(&header->drops));
    default:
        return Py_BuildValue("KKK", header->task, header->task_t0, header->task_flags);
    }
}

static PyObject *lane_loop(Lane *lane, void *unused)
{
    if (lane->loop_ref == NULL)
        Py_RETURN_NONE;
    return PyObject_CallNoArgs(lane->loop_ref); /* the same on all versions, unlike PyWeakref_* */
}

static PyObject *from_lane(Lane *lane, void *which)
{
    switch ((intptr_t)which) {
    case 0:
        return PyLong_FromLong(lane->number);
    case 1:
        return PyLong_FromUnsignedLongLong(lane->tid);
    case 2:
        return PyBool_FromLong(atomic_load(&lane->ended));
    case 3:
        return PyLong_FromUnsignedLongLong(lane->ring.header == NULL ? 0 : lane->ring.mask + 1);
    case 4:
        return PyLong_FromSsize_t(lane->ready != NULL && Py_IS_TYPE(lane->ready, aio.deque)
                                      ? Py_SIZE(lane->ready)
                                      : 0);
    default:
        return PyLong_FromUnsignedLongLong(lane->errors);
    }
}

static PyMethodDef lane_methods[] = {
    {"read", (PyCFunction)lane_read, METH_O, "Return the oldest events, as many as given."},
    {"release", (PyCFunction)lane_release, METH_O, "Forget the oldest events: they are on file."},
    {"close", (PyCFunction)lane_close, METH_NOARGS, "Give the ring back; the thread has ended."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lane_getset[] = {
    {"head", (getter)from_header, NULL, "How many events were ever written.", (void *)0},
    {"tail", (getter)from_header, NULL, "How many of them are on file.", (void *)1},
    {"drops", (getter)from_header, NULL, "How many found no room.", (void *)2},
    {"open_step", (getter)from_header, NULL, "Task, start and flags of the open step.", (void *)3},
    {"number", (getter)from_lane, NULL, "Its number on the wire.", (void *)0},
    {"tid", (getter)from_lane, NULL, "The system's id of its thread.", (void *)1},
    {"loop", (getter)lane_loop, NULL, "The loop that turned there last, if it lives.", NULL},
    {"ended", (getter)from_lane, NULL, "Whether its thread is gone.", (void *)2},
    {"capacity", (getter)from_lane, NULL, "How many events its ring holds.", (void *)3},
    {"ready", (getter)from_lane, NULL, "How many handles its loop's queue holds.", (void *)4},
    {"errors", (getter)from_lane, NULL, "Exceptions that were swallowed in hooks.", (void *)5},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject lane_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Lane",
    .tp_basicsize = sizeof(Lane),
    .tp_dealloc = (destructor)lane_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = lane_methods,
    .tp_getset = lane_getset,
    .tp_doc = "A thread and what its hooks recorded.",
};

/* ------------------------------------------------------------------ all of them */

void lanes_look_again(void)
{
    for (int i = 0; i < MAX_LANES; i++)
        if (lanes[i] != NULL)
            lanes[i]->watched = NULL;
}

PyObject *loop_lanes(PyObject *module, PyObject *unused)
{
    PyObject *found = PyList_New(0);
    for (int i = 0; found != NULL && i < MAX_LANES; i++)
        if (lanes[i] != NULL && PyList_Append(found, (PyObject *)lanes[i]) < 0)
            Py_CLEAR(found);
    return found;
}

PyObject *loop_rings(PyObject *module, PyObject *args)
{
    const char *where;
    unsigned int count;
    if (!PyArg_ParseTuple(args, "sI", &where, &count))
        return NULL;
    if (count < 64 || count > (1u << 24) || (count & (count - 1)) || strlen(where) >= sizeof directory)
        return PyErr_Format(PyExc_ValueError,
                            "rings: expected a short path and a power of two of 64 to 16,777,216 "
                            "events, got %s and %u",
                            where, count);
    strcpy(directory, where);
    slots = count;
    /* Hooks run with the GIL held, so no thread is in the middle of its ring; libuv's callbacks run
       without, but have no more to do there than to write an event or two. */
    for (int i = 0; i < MAX_LANES; i++) {
        Lane *lane = lanes[i];
        if (lane == NULL || lane->ring.header == NULL)
            continue;
        watch_lock(); /* it looks at what the header shows */
        Ring before = lane->ring;
        atomic_store(&lane->moving, 1);
        while (atomic_load(&lane->outside))
            sched_yield();
        if (ring_open(lane)) {
            munmap(before.header, before.bytes);
            lane->errors = 0; /* of this recording, as all that a ring counts */
        }
        watch_unlock();
        atomic_store(&lane->moving, 0);
    }
    Py_RETURN_NONE;
}

PyObject *loop_forget_parent(PyObject *module, PyObject *unused)
{
    /* Called in a forked child: the files belong to the parent, the threads are not here. */
    watch_forget();
    slow_forget();
    heap_forget();
    for (int i = 0; i < MAX_LANES; i++) {
        Lane *lane = lanes[i];
        lanes[i] = NULL;
        if (lane != NULL) {
            lane_unmap(lane);
            Py_CLEAR(lane->ready);
            Py_CLEAR(lane->loop_ref);
            Py_DECREF(lane);
        }
    }
    if (has_key)
        pthread_setspecific(at_end, NULL);
    this_lane = NULL;
    refused = 0;
    aio.enabled = 0;
    lanes_refused = rings_in_memory = 0;
    Py_CLEAR(aio.note_end);
    tasks_forget();
    jobs_forget();
    Py_RETURN_NONE;
}

PyObject *loop_set_clock(PyObject *module, PyObject *ns)
{
    if (ns == Py_None)
        fake_now_ns = -1;
    else {
        long long value = PyLong_AsLongLong(ns);
        if (value == -1 && PyErr_Occurred())
            return NULL;
        fake_now_ns = value;
    }
    Py_RETURN_NONE;
}

PyObject *loop_lane_counts(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{sLsL}", "lanes_refused", lanes_refused, "rings_in_memory",
                         rings_in_memory);
}
