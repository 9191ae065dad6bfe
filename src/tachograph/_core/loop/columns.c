/* From a ring's events to the columns of the compact profile; docs/format.md says what they hold.

   Runs without the GIL on a copy of the events, so the loop's thread does not wait. The twin that
   makes the same bytes is tachograph/trace/delta.py. */

#include "bytes.h"
#include "loop.h"

enum { STEPS, PARKS, SPAWNS, CHECKPOINTS, BLOCKS };
enum { MOST_COLUMNS = 5, MOST_SHAPES = 127, MOST_NUMBERS = 4 };
static const int columns_of[BLOCKS] = {5, 4, 3, 3};
static const uint8_t type_of[BLOCKS] = {STEP, PARK, SPAWN, CHECKPOINT};

typedef struct {
    uint8_t *start, *at;
} Column;

typedef struct {
    Column columns[MOST_COLUMNS];
    uint64_t count, base;
    uint64_t time, queued, task, group, cpu, waited, ready; /* of the entry before */
    /* What entries have in common, as far as it is remembered. */
    uint32_t hashes[MOST_SHAPES];
    uint64_t shapes[MOST_SHAPES][MOST_NUMBERS];
    int known, oldest;
} Block;

static inline void put(Column *column, uint64_t value)
{
    column->at = leb(column->at, value);
}

static inline uint64_t span_ns(uint32_t span, uint8_t flags, uint8_t flag)
{
    return flags & flag ? (uint64_t)span << 10 : span;
}

/* The low three bits say what kind of waker it is, the others which. */
static uint64_t waker_code(Block *block, uint64_t waker)
{
    uint64_t kind = waker >> WAKER_KIND_SHIFT, number = waker & (((uint64_t)1 << WAKER_KIND_SHIFT) - 1);
    switch (kind) {
    case 0:
        return number == 0 ? 0 : zigzag(number, block->task) << 3 | 1;
    case 1:
        return zigzag(number, block->group) << 3 | 2;
    case 4:
        return number << 3 | 5;
    default:
        return kind + 1;
    }
}

/* The number of a shape from 1, 0 if it is not remembered. */
static int shape_code(const Block *block, uint32_t hash, const uint64_t *numbers, int width)
{
    for (int i = 0; i < block->known; i++)
        if (block->hashes[i] == hash &&
            memcmp(block->shapes[i], numbers, (size_t)width * sizeof *numbers) == 0)
            return i + 1;
    return 0;
}

/* Write what an entry has in common with others, in the two columns from `codes` on. */
static void put_shape(Block *block, Column *codes, const uint64_t *numbers, int width)
{
    uint64_t mixed = 0;
    for (int i = 0; i < width; i++)
        mixed = (mixed ^ numbers[i]) * 0x9E3779B97F4A7C15u;
    uint32_t hash = (uint32_t)(mixed >> 32);
    int code = shape_code(block, hash, numbers, width);
    put(&codes[0], (uint64_t)code);
    if (code != 0)
        return;
    int slot = block->known;
    if (slot < MOST_SHAPES)
        block->known++;
    else {
        slot = block->oldest;
        block->oldest = (block->oldest + 1) % MOST_SHAPES;
    }
    block->hashes[slot] = hash;
    for (int i = 0; i < width; i++) {
        put(&codes[1], numbers[i]);
        block->shapes[slot][i] = numbers[i];
    }
}

static void put_step(Block *block, const Event *event, int shift)
{
    uint8_t flags = event->flags & (uint8_t)~(LONG_DURATION | LONG_DELAY);
    uint64_t t0 = event->t0 >> shift;
    uint64_t t1 = (event->t0 + span_ns(event->duration, event->flags, LONG_DURATION)) >> shift;
    put(&block->columns[0], t0 - block->time);
    put(&block->columns[1], t1 - t0);
    block->time = t1;
    uint64_t *before = flags & CALLBACK ? &block->group : &block->task;
    uint64_t which = zigzag(event->task, *before), by = 0;
    *before = event->task;
    if (!(flags & CONTINUED)) {
        uint64_t delay = span_ns(event->delay, event->flags, LONG_DELAY);
        uint64_t queued = (event->t0 - (delay > event->t0 ? event->t0 : delay)) >> shift;
        put(&block->columns[2], zigzag(queued, block->queued));
        block->queued = queued;
        by = waker_code(block, event->waker);
    }
    /* The queue is most often one shorter than it was for the step before. */
    uint64_t expected = block->ready > 0 ? block->ready - 1 : 0;
    uint64_t state = zigzag(event->queue, expected) << 8 | flags;
    block->ready = event->queue;
    uint64_t chain = flags & (CONTINUED | CALLBACK) ? 0 : event->name;
    put_shape(block, &block->columns[3], (uint64_t[]){which, by, state, chain}, 4);
}

static void put_park(Block *block, const Event *event, int shift)
{
    uint64_t t0 = event->t0 >> shift;
    uint64_t woke_ns = event->t0 + span_ns(event->duration, event->flags, LONG_DURATION);
    uint64_t woke = woke_ns >> shift;
    uint64_t end = (woke_ns + span_ns(event->delay, event->flags, LONG_DELAY)) >> shift;
    put(&block->columns[0], zigzag(t0, block->time));
    put(&block->columns[1], woke - t0);
    put(&block->columns[2], end - woke);
    put(&block->columns[3], event->queue);
    block->time = end;
}

static void put_spawn(Block *block, const Event *event, int shift)
{
    uint64_t t0 = event->t0 >> shift;
    put(&block->columns[0], zigzag(t0, block->time));
    uint64_t which = zigzag(event->task, block->task);
    block->time = t0;
    block->task = event->task;
    uint64_t what = (uint64_t)event->name << 2 | (event->flags & EAGER ? 1 : 0) |
                    (event->flags & CONTINUED ? 2 : 0);
    uint64_t by = waker_code(block, event->waker);
    put_shape(block, &block->columns[1], (uint64_t[]){which, by, what}, 3);
}

static void put_checkpoint(Block *block, const Event *event, int shift)
{
    uint64_t t0 = event->t0 >> shift;
    put(&block->columns[0], zigzag(t0, block->time));
    put(&block->columns[1], zigzag(event->task, block->cpu));
    /* 0: not known; else one more than the difference. */
    int known = event->waker != UINT64_MAX;
    put(&block->columns[2], known ? zigzag(event->waker, block->waited) + 1 : 0);
    block->time = t0;
    block->cpu = event->task;
    if (known)
        block->waited = event->waker;
}

static void encode(const Event *events, size_t count, int shift, Block *blocks)
{
    static void (*const put_event[BLOCKS])(Block *, const Event *, int) = {put_step, put_park,
                                                                          put_spawn, put_checkpoint};
    for (size_t i = 0; i < count; i++)
        for (int which = 0; which < BLOCKS; which++)
            if (events[i].type == type_of[which]) {
                Block *block = &blocks[which];
                if (block->count++ == 0)
                    block->base = block->time = block->queued = events[i].t0 >> shift;
                put_event[which](block, &events[i], shift);
                break;
            }
}

/* The bytes that a block's columns need at most: a number takes up to ten, and four literals. */
static int make_room(Block *block, int which, size_t count)
{
    for (int i = 0; i < columns_of[which]; i++) {
        size_t most = i + 1 == columns_of[which] ? MOST_NUMBERS : 1;
        block->columns[i].start = block->columns[i].at = PyMem_RawMalloc(count * LEB_BYTES * most + 1);
        if (block->columns[i].start == NULL)
            return 0;
    }
    return 1;
}

static PyObject *as_tuple(const Block *block, int which)
{
    PyObject *found = PyTuple_New(2 + columns_of[which]);
    if (found == NULL)
        return NULL;
    PyTuple_SET_ITEM(found, 0, PyLong_FromUnsignedLongLong(block->count));
    PyTuple_SET_ITEM(found, 1, PyLong_FromUnsignedLongLong(block->base));
    for (int i = 0; i < columns_of[which]; i++) {
        const Column *column = &block->columns[i];
        PyTuple_SET_ITEM(found, 2 + i,
                         PyBytes_FromStringAndSize((char *)column->start, column->at - column->start));
    }
    if (PyErr_Occurred())
        Py_CLEAR(found);
    return found;
}

PyObject *loop_columns(PyObject *module, PyObject *args)
{
    PyObject *raw;
    int shift;
    if (!PyArg_ParseTuple(args, "Si", &raw, &shift))
        return NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(raw);
    if (size % (Py_ssize_t)sizeof(Event) || shift < 0 || shift > 20) {
        PyErr_Format(PyExc_ValueError, "columns: expected whole events of %zu bytes and a shift of "
                                       "0 to 20, got %zd bytes and %d",
                     sizeof(Event), size, shift);
        return NULL;
    }
    const Event *events = (const Event *)PyBytes_AS_STRING(raw);
    size_t count = (size_t)size / sizeof(Event), of_type[BLOCKS] = {0};
    Block blocks[BLOCKS] = {0};
    int enough = 1;
    for (size_t i = 0; i < count; i++)
        for (int which = 0; which < BLOCKS; which++)
            of_type[which] += events[i].type == type_of[which];
    for (int which = 0; which < BLOCKS; which++)
        enough = enough && make_room(&blocks[which], which, of_type[which]);
    PyObject *found = NULL;
    if (enough) {
        Py_BEGIN_ALLOW_THREADS;
        encode(events, count, shift, blocks);
        Py_END_ALLOW_THREADS;
        found = PyTuple_New(BLOCKS);
        for (int which = 0; found != NULL && which < BLOCKS; which++) {
            PyObject *block = as_tuple(&blocks[which], which);
            if (block == NULL)
                Py_CLEAR(found);
            else
                PyTuple_SET_ITEM(found, which, block);
        }
    } else
        PyErr_NoMemory();
    for (int which = 0; which < BLOCKS; which++)
        for (int i = 0; i < columns_of[which]; i++)
            PyMem_RawFree(blocks[which].columns[i].start);
    return found;
}

PyObject *loop_chains_in(PyObject *module, PyObject *raw)
{
    static uint8_t seen[(MOST_CHAINS + 8) / 8];
    if (!PyBytes_Check(raw) || PyBytes_GET_SIZE(raw) % (Py_ssize_t)sizeof(Event)) {
        PyErr_SetString(PyExc_ValueError, "chains_in: expected whole events");
        return NULL;
    }
    const Event *events = (const Event *)PyBytes_AS_STRING(raw);
    size_t count = (size_t)PyBytes_GET_SIZE(raw) / sizeof(Event);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < count; i++)
        if (events[i].type == STEP && events[i].name <= MOST_CHAINS)
            seen[events[i].name / 8] |= (uint8_t)(1 << events[i].name % 8);
    seen[0] &= (uint8_t)~1;
    PyObject *found = PyList_New(0);
    for (uint32_t number = 1; found != NULL && number <= MOST_CHAINS; number++) {
        if (!(seen[number / 8] >> number % 8 & 1))
            continue;
        PyObject *item = PyLong_FromUnsignedLong(number);
        if (item == NULL || PyList_Append(found, item) < 0)
            Py_CLEAR(found);
        Py_XDECREF(item);
    }
    return found;
}
