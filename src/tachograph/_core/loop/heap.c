/* A sample of what Python allocates, taken where it allocates it.

   A hook stands before the allocators of Python's memory and of its objects. Each thread counts down
   the bytes it asks for; where the count ends, that allocation is sampled and the next count drawn,
   so that a byte is sampled with the same chance whatever its block. No header is added to a block,
   so hooks may come and go at any moment: a block does not know who saw it.

   Those two domains are for threads that hold the GIL, which guards all tables here. The raw domain
   is left alone: it has no stack to tell, and large blocks of the other two pass through it as well.
   Nothing here uses Python's memory or makes an object, but for `take`. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "watch.h"

#include <errno.h>
#include <math.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_ALLOCATIONS 4096
#define MOST_FREES 32768
#define MOST_HOOKS 8 /* of a domain: one more each time that others have displaced ours */
#define GENERATION_BITS 43 /* of a count: the start it belongs to stands above */
#define MOST_STARTS (1u << (62 - GENERATION_BITS))
#define MOST_RATE (1ull << (GENERATION_BITS - 6)) /* e^-38 is below any u, so every gap is below */
#define INERT (INT64_MIN / 2)
#define COLD static __attribute__((noinline, cold))

typedef struct {
    uint64_t t0, size, address, sequence;
    uint32_t tid, stack;
} Allocation;

typedef struct {
    uint64_t t0, size, address, sequence, allocated_ns;
    uint32_t tid, pad;
} Release;

_Static_assert(sizeof(Allocation) == 40 && sizeof(Release) == 48, "as heap.py reads them");

/* What one domain's allocator is taken for. It stays as it is while anybody may still call it. */
typedef struct {
    PyMemAllocatorEx under;
    int64_t floor; /* where a count ends; INERT: nowhere, the hook only passes on */
} Hook;

typedef struct {
    PyMemAllocatorDomain which;
    Hook hooks[MOST_HOOKS];
    int count;
} Domain;

static Domain domains[] = {{.which = PYMEM_DOMAIN_MEM}, {.which = PYMEM_DOMAIN_OBJ}};
#define DOMAINS ((int)(sizeof domains / sizeof *domains))

static struct {
    int active, live_set, probing;
    const Hook *seen;
    uint32_t starts;
    PyInterpreterState *interpreter;
    uint64_t rate, seed, threads, sequence;
    Allocation *allocations;
    Release *frees;
    uint32_t allocations_used, frees_used;
    uint64_t allocations_lost, frees_lost; /* since they were last told */
    long long sampled, freed, lost, live_full, elsewhere;
} heap;

static StackTable table = {.read = read_own};

/* ------------------------------------------------------------------ counting down

   A count goes down from its hook's floor plus a gap to that floor. Each start has a floor of its own
   above all counts of earlier ones, so one comparison tells a count that is at its end, one of an
   earlier start, and that of a thread which was never here. */

typedef struct {
    uint64_t random, rate;
    int64_t left;
} Countdown;

/* The next gap: exponential, R on average. What the last one went too far is not made up for. */
static int64_t draw(Countdown *countdown)
{
    if (countdown->rate == 1)
        return 0; /* each, even of no bytes */
    countdown->random += 0x9E3779B97F4A7C15u;
    uint64_t mixed = countdown->random;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    mixed ^= mixed >> 31;
    double u = (double)((mixed >> 11) + 1) * 0x1p-53; /* above 0, at most 1 */
    double gap = floor(-log(u) * (double)countdown->rate);
    return gap < 1 ? 1 : (int64_t)gap;
}

/* Nobody is given more than PY_SSIZE_T_MAX and no floor is below 0, so this does not overflow; that of
   an idle hook may, which costs nothing. */
static inline int count_down(Countdown *countdown, size_t size, int64_t floor)
{
    countdown->left = (int64_t)((uint64_t)countdown->left - size);
    return unlikely(countdown->left <= floor);
}

static int is_rate(unsigned long long rate)
{
    if (rate >= 1 && rate <= MOST_RATE)
        return 1;
    PyErr_Format(PyExc_ValueError, "expected a mean of 1 to %llu bytes, got %llu", MOST_RATE, rate);
    return 0;
}

PyObject *loop_heap_feed(PyObject *module, PyObject *args)
{
    unsigned long long rate, seed, size, count, sampled = 0;
    if (!PyArg_ParseTuple(args, "KKKK", &rate, &seed, &size, &count) || !is_rate(rate))
        return NULL;
    if (size > PY_SSIZE_T_MAX)
        return PyErr_Format(PyExc_ValueError, "heap_feed: expected a size, got %llu", size);
    Countdown countdown = {.random = seed, .rate = rate};
    countdown.left = draw(&countdown);
    for (; count > 0; count--)
        if (count_down(&countdown, (size_t)size, 0)) {
            sampled++;
            countdown.left = draw(&countdown);
        }
    return PyLong_FromUnsignedLongLong(sampled);
}

/* ------------------------------------------------------------------ what a thread does */

typedef struct {
    Countdown countdown;
    int64_t floor; /* that its count belongs to; no floor is 0 */
    uint32_t tid;
    int busy;
} Here;

static __thread Here here __attribute__((tls_model("initial-exec")));

/* Whether the GIL that the calling thread holds is the one that guards the tables. */
static const PyThreadState *guarded(void)
{
    const PyThreadState *state = state_here();
    if (state != NULL && state->interp == heap.interpreter)
        return state;
    heap.elsewhere++;
    return NULL;
}

static void put_free(const Live *block)
{
    heap.freed++;
    if (heap.frees_used == MOST_FREES) {
        heap.frees_lost++;
        heap.lost++;
        return;
    }
    heap.frees[heap.frees_used++] = (Release){.t0 = now_ns(),
                                              .size = block->size,
                                              .address = block->address,
                                              .sequence = ++heap.sequence,
                                              .allocated_ns = block->t0,
                                              .tid = (uint32_t)syscall(SYS_gettid)};
}

COLD void *sampled(void *block, size_t size)
{
    int error = errno;
    uintptr_t at = (uintptr_t)block;
    Here *me = &here;
    me->countdown.left = me->floor + draw(&me->countdown);
    const PyThreadState *state = at == 0 || me->busy ? NULL : guarded();
    if (state == NULL)
        return block;
    me->busy = 1;
    heap.sampled++;
    if (heap.allocations_used == MOST_ALLOCATIONS) {
        heap.allocations_lost++;
        heap.lost++;
    } else {
        Place places[MOST_DEPTH];
        Allocation one = {.t0 = now_ns(), .size = size, .tid = me->tid};
        one.stack = stack_number(&table, places, walk_here(state, places, MOST_DEPTH));
        if (heap.live_set) {
            Live was, block = {at, size, one.t0};
            if (live_add(block, &was) < 0)
                heap.live_full++;
            else
                one.address = at;
            if (was.address) /* it has been freed, for it was allocated */
                put_free(&was);
        }
        one.sequence = ++heap.sequence;
        heap.allocations[heap.allocations_used++] = one;
    }
    me->busy = 0;
    errno = error;
    return block;
}

/* Of an allocation that is at or below the floor: whether it is sampled. */
COLD int is_due(const Hook *hook, size_t size)
{
    Here *me = &here;
    if (heap.probing) {
        heap.seen = hook;
        return 0;
    }
    if (hook->floor == INERT) {
        me->countdown.left = 0;
        return 0;
    }
    if (me->floor == hook->floor)
        return 1;
    /* Its count is of an earlier start, or it has none. Until it may have one it comes here again. */
    if (guarded() == NULL)
        return 0;
    uint64_t nonce = ++heap.threads;
    *me = (Here){.floor = hook->floor,
                 .tid = (uint32_t)syscall(SYS_gettid),
                 .countdown = {.random = heap.seed + nonce * 0xD1342543DE82EF95u,
                               .rate = heap.rate}};
    me->countdown.left = me->floor + draw(&me->countdown);
    return count_down(&me->countdown, size, me->floor);
}

/* Count an allocation before it is made; whether that is all there is to do. One that then fails has
   moved the count, which changes no chances: how far it still goes does not depend on how far it has
   come. */
static inline int is_plain(const Hook *hook, size_t size)
{
    return !count_down(&here.countdown, size, hook->floor);
}

COLD void freed(uintptr_t at)
{
    int error = errno;
    Live was;
    if (guarded() != NULL && live_remove(at, &was))
        put_free(&was);
    errno = error;
}

/* ------------------------------------------------------------------ the hooks */

COLD void *malloc_slowly(const Hook *hook, size_t size)
{
    int due = is_due(hook, size);
    void *at = hook->under.malloc(hook->under.ctx, size);
    return due ? sampled(at, size) : at;
}

static void *heap_malloc(void *context, size_t size)
{
    const Hook *hook = context;
    if (unlikely(!is_plain(hook, size)))
        return malloc_slowly(hook, size);
    return hook->under.malloc(hook->under.ctx, size);
}

COLD void *calloc_slowly(const Hook *hook, size_t count, size_t size)
{
    int due = is_due(hook, count * size);
    void *at = hook->under.calloc(hook->under.ctx, count, size);
    return due ? sampled(at, count * size) : at;
}

static void *heap_calloc(void *context, size_t count, size_t size)
{
    const Hook *hook = context;
    if (unlikely(!is_plain(hook, count * size))) /* whoever asks has looked whether it overflows */
        return calloc_slowly(hook, count, size);
    return hook->under.calloc(hook->under.ctx, count, size);
}

COLD void *realloc_slowly(const Hook *hook, void *old, size_t size, int plain)
{
    int due = !plain && is_due(hook, size);
    uintptr_t before = (uintptr_t)old;
    void *at = hook->under.realloc(hook->under.ctx, old, size);
    if (at != NULL && live_filter[live_group(before)])
        freed(before); /* else the old block is as it was */
    return due ? sampled(at, size) : at;
}

static void *heap_realloc(void *context, void *old, size_t size)
{
    const Hook *hook = context;
    int plain = is_plain(hook, size);
    if (unlikely(!plain || live_filter[live_group((uintptr_t)old)]))
        return realloc_slowly(hook, old, size, plain);
    return hook->under.realloc(hook->under.ctx, old, size);
}

COLD void free_slowly(const Hook *hook, void *at)
{
    freed((uintptr_t)at); /* before somebody else gets the address */
    hook->under.free(hook->under.ctx, at);
}

static void heap_free(void *context, void *at)
{
    const Hook *hook = context;
    if (unlikely(live_filter[live_group((uintptr_t)at)]))
        free_slowly(hook, at);
    else
        hook->under.free(hook->under.ctx, at);
}

/* ------------------------------------------------------------------ on and off */

/* Whether what a domain is asked for comes by its newest hook. */
static int is_seen(Domain *domain)
{
    if (domain->count == 0)
        return 0;
    Hook *hook = &domain->hooks[domain->count - 1];
    int64_t floor = hook->floor;
    hook->floor = INT64_MAX; /* whatever comes by is told */
    heap.seen = NULL;
    heap.probing = 1;
    void *at = domain->which == PYMEM_DOMAIN_MEM ? PyMem_Malloc(1) : PyObject_Malloc(1);
    heap.probing = 0;
    hook->floor = floor;
    if (domain->which == PYMEM_DOMAIN_MEM)
        PyMem_Free(at);
    else
        PyObject_Free(at);
    return heap.seen == hook;
}

static int put_hook(Domain *domain)
{
    if (is_seen(domain)) /* it was left in place, below others */
        return 0;
    if (domain->count == MOST_HOOKS)
        return -1;
    Hook *hook = &domain->hooks[domain->count];
    hook->floor = INERT;
    PyMem_GetAllocator(domain->which, &hook->under);
    PyMemAllocatorEx ours = {hook, heap_malloc, heap_calloc, heap_realloc, heap_free};
    domain->count++;
    PyMem_SetAllocator(domain->which, &ours);
    return 0;
}

/* Take a hook away if it is the outermost. Another's may have ours below it: then ours stays, inert,
   and what it calls stays as it is. */
static int take_hook(Domain *domain)
{
    if (domain->count == 0)
        return 1;
    Hook *hook = &domain->hooks[domain->count - 1];
    hook->floor = INERT;
    PyMemAllocatorEx outermost;
    PyMem_GetAllocator(domain->which, &outermost);
    if (outermost.ctx != hook || outermost.malloc != heap_malloc)
        return 0;
    PyMem_SetAllocator(domain->which, &hook->under);
    domain->count--;
    return 1;
}

static int stop(void)
{
    int gone = 1;
    for (int i = 0; i < DOMAINS; i++)
        gone &= take_hook(&domains[i]);
    heap.active = 0;
    live_clear();
    stacks_forget(&table, 1);
    free(heap.allocations);
    free(heap.frees);
    heap.allocations = NULL;
    heap.frees = NULL;
    heap.allocations_used = heap.frees_used = 0;
    return gone;
}

PyObject *loop_heap_start(PyObject *module, PyObject *args)
{
    unsigned long long rate, seed;
    int live_set;
    if (!PyArg_ParseTuple(args, "KKp", &rate, &seed, &live_set) || !is_rate(rate))
        return NULL;
#ifdef Py_GIL_DISABLED
    return PyErr_Format(PyExc_RuntimeError, "allocations are sampled under the GIL, which this "
                                            "interpreter does not have");
#endif
    if (heap.active)
        return PyErr_Format(PyExc_RuntimeError, "heap_start: it is being sampled already");
    if (heap.starts == MOST_STARTS)
        return PyErr_Format(PyExc_RuntimeError, "heap_start: expected up to %u starts in a process",
                            MOST_STARTS);
    heap.allocations = malloc(MOST_ALLOCATIONS * sizeof *heap.allocations);
    heap.frees = malloc(MOST_FREES * sizeof *heap.frees);
    if (heap.allocations == NULL || heap.frees == NULL) {
        stop();
        return PyErr_NoMemory();
    }
    heap.rate = rate;
    heap.seed = seed;
    heap.live_set = live_set;
    heap.interpreter = PyInterpreterState_Get();
    heap.threads = heap.sequence = heap.allocations_lost = heap.frees_lost = 0;
    heap.sampled = heap.freed = heap.lost = heap.live_full = heap.elsewhere = 0;
    for (int i = 0; i < DOMAINS; i++)
        if (put_hook(&domains[i]) < 0) {
            stop();
            return PyErr_Format(PyExc_RuntimeError,
                                "other hooks of memory have displaced ours %d times in this process",
                                MOST_HOOKS);
        }
    int64_t floor = (int64_t)++heap.starts << GENERATION_BITS;
    for (int i = 0; i < DOMAINS; i++)
        domains[i].hooks[domains[i].count - 1].floor = floor;
    heap.active = 1;
    Py_RETURN_NONE;
}

PyObject *loop_heap_stop(PyObject *module, PyObject *unused)
{
    return PyBool_FromLong(stop());
}

PyObject *loop_heap_is_seen(PyObject *module, PyObject *unused)
{
    int seen = heap.active;
    for (int i = 0; seen && i < DOMAINS; i++)
        seen = is_seen(&domains[i]);
    return PyBool_FromLong(seen);
}

/* In a forked child, whose only thread holds the GIL: nobody is in the middle of anything. */
void heap_forget(void)
{
    if (heap.active)
        stop();
}

/* ------------------------------------------------------------------ for the drain */

static void *copy_of(const void *from, size_t bytes)
{
    void *to = bytes ? malloc(bytes) : NULL;
    return to == NULL ? NULL : memcpy(to, from, bytes);
}

PyObject *loop_heap_take(PyObject *module, PyObject *unused)
{
    /* All at once, then objects of it: those are allocations too. */
    Taken taken = {0};
    Py_ssize_t allocated_bytes = (Py_ssize_t)(heap.allocations_used * sizeof *heap.allocations),
               freed_bytes = (Py_ssize_t)(heap.frees_used * sizeof *heap.frees);
    uint64_t allocations_lost = heap.allocations_lost, frees_lost = heap.frees_lost;
    char *allocations = copy_of(heap.allocations, (size_t)allocated_bytes),
         *frees = copy_of(heap.frees, (size_t)freed_bytes);
    int failed = (allocated_bytes && allocations == NULL) || (freed_bytes && frees == NULL) ||
                 take_news(&table, &taken) < 0;
    PyObject *found = NULL, *frames = NULL, *stacks = NULL;
    if (failed)
        PyErr_NoMemory(); /* what there is waits for the next time */
    else {
        heap.allocations_used = heap.frees_used = 0;
        heap.allocations_lost = heap.frees_lost = 0;
        frames = frames_of(&taken);
        stacks = frames == NULL ? NULL : stacks_of(&taken);
        if (stacks != NULL)
            found = Py_BuildValue("OOy#y#KK", frames, stacks, allocations ? allocations : "",
                                  allocated_bytes, frees ? frees : "", freed_bytes,
                                  (unsigned long long)allocations_lost,
                                  (unsigned long long)frees_lost);
    }
    Py_XDECREF(frames);
    Py_XDECREF(stacks);
    taken_free(&taken);
    free(allocations);
    free(frees);
    return found;
}

PyObject *loop_heap_counts(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{sLsLsLsnsLsLsLsL}", "heap_sampled", heap.sampled, "heap_freed", heap.freed,
                         "heap_lost", heap.lost, "heap_live", (Py_ssize_t)live_count(),
                         "heap_live_full", heap.live_full, "heap_elsewhere", heap.elsewhere,
                         "heap_frames_full", table.counts.frames_full, "heap_stacks_full",
                         table.counts.stacks_full);
}
