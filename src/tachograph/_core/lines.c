/* Lines that wait for the writer thread: appended by callers, taken in blocks.

   They lie one after the other in chunks, so a block is taken as it is. The queue is bounded in
   lines and bytes; the oldest lines go first. Bytes that were taken count until they are released,
   for they are still in memory. */

#include "core.h"
#include <stdint.h>
#include <structmember.h>

#define CHUNK_BYTES (64 * 1024)
#define SPARE_CHUNKS 16

typedef struct Chunk {
    struct Chunk *next;
    size_t size, capacity;
    size_t count, ends_capacity; /* lines */
    size_t first;                /* of the lines that were not dropped */
    uint32_t *ends;
    char data[];
} Chunk;

struct Lines {
    PyObject_HEAD
    Chunk *head, *tail;
    PyObject *attend;
    long long max_lines, max_bytes;
    long long waiting, bytes, popped, dropped, unmarked, refused;
    char asleep, shut;
};

typedef struct {
    PyObject_HEAD
    Chunk *chunk;
} Batch;

static Chunk *spare;
static int spares;

static Chunk *new_chunk(size_t at_least)
{
    if (spare != NULL && at_least <= CHUNK_BYTES) {
        Chunk *chunk = spare;
        spare = chunk->next;
        spares--;
        chunk->next = NULL;
        chunk->size = chunk->count = chunk->first = 0;
        return chunk;
    }
    size_t capacity = at_least > CHUNK_BYTES ? at_least : CHUNK_BYTES;
    Chunk *chunk = PyMem_RawMalloc(sizeof(Chunk) + capacity);
    if (chunk == NULL)
        return NULL;
    memset(chunk, 0, sizeof *chunk);
    chunk->capacity = capacity;
    return chunk;
}

static void free_chunk(Chunk *chunk)
{
    if (chunk == NULL)
        return;
    if (chunk->capacity == CHUNK_BYTES && spares < SPARE_CHUNKS) {
        chunk->next = spare;
        spare = chunk;
        spares++;
        return;
    }
    PyMem_RawFree(chunk->ends);
    PyMem_RawFree(chunk);
}

static size_t start_of(const Chunk *chunk, size_t line)
{
    return line == 0 ? 0 : chunk->ends[line - 1];
}

static void drop_oldest(Lines *self)
{
    Chunk *chunk = self->head;
    self->bytes -= (long long)(chunk->ends[chunk->first] - start_of(chunk, chunk->first));
    chunk->first++;
    self->waiting--;
    self->popped++;
    self->dropped++;
    self->unmarked++;
    if (chunk->first == chunk->count) {
        self->head = chunk->next;
        if (self->head == NULL)
            self->tail = NULL;
        free_chunk(chunk);
    }
}

static int room_for_a_line(Chunk *chunk)
{
    if (chunk->count < chunk->ends_capacity)
        return 1;
    size_t capacity = chunk->ends_capacity ? chunk->ends_capacity * 2 : 256;
    uint32_t *ends = PyMem_RawRealloc(chunk->ends, capacity * sizeof *ends);
    if (ends == NULL)
        return 0;
    chunk->ends = ends;
    chunk->ends_capacity = capacity;
    return 1;
}

static void call_attend(Lines *self)
{
    if (self->attend == NULL)
        return;
    PyObject *attend = Py_NewRef(self->attend);
    PyObject *done = PyObject_CallNoArgs(attend);
    if (done == NULL)
        PyErr_WriteUnraisable(attend);
    Py_XDECREF(done);
    Py_DECREF(attend);
}

/* A chunk without lines, made for one that was not written, must not come before others. */
static void drop_unused_tail(Lines *self)
{
    Chunk *chunk = self->tail, *before = self->head;
    if (chunk == NULL || chunk->count != 0)
        return;
    if (before == chunk) {
        self->head = self->tail = NULL;
    } else {
        while (before->next != chunk)
            before = before->next;
        before->next = NULL;
        self->tail = before;
    }
    free_chunk(chunk);
}

char *lines_reserve(Lines *self, size_t length)
{
    if (self->shut || length >= UINT32_MAX)
        return NULL;
    Chunk *chunk = self->tail;
    if (chunk == NULL || chunk->capacity - chunk->size < length) {
        chunk = new_chunk(length);
        if (chunk == NULL || !room_for_a_line(chunk)) {
            free_chunk(chunk);
            return NULL;
        }
        drop_unused_tail(self);
        if (self->tail == NULL)
            self->head = chunk;
        else
            self->tail->next = chunk;
        self->tail = chunk;
    }
    return room_for_a_line(chunk) ? chunk->data + chunk->size : NULL;
}

void lines_commit(Lines *self, size_t length)
{
    Chunk *chunk = self->tail;
    chunk->size += length;
    chunk->ends[chunk->count++] = (uint32_t)chunk->size;
    self->waiting++;
    self->bytes += (long long)length;
    long long told = self->unmarked;
    while (self->waiting > 1 && (self->bytes > self->max_bytes || self->waiting > self->max_lines))
        drop_oldest(self);
    if (self->asleep || (told == 0 && self->unmarked))
        call_attend(self);
}

/* 0 when it was refused: the queue is shut, or there is no memory. */
int lines_append(Lines *self, const char *line, size_t length)
{
    char *room = lines_reserve(self, length);
    if (room == NULL) {
        self->refused++;
        return 0;
    }
    memcpy(room, line, length);
    lines_commit(self, length);
    return 1;
}

static PyObject *append(PyObject *object, PyObject *line)
{
    if (!PyBytes_Check(line)) {
        PyErr_SetString(PyExc_TypeError, "expected a line as bytes");
        return NULL;
    }
    lines_append((Lines *)object, PyBytes_AS_STRING(line), (size_t)PyBytes_GET_SIZE(line));
    Py_RETURN_NONE;
}

static PyObject *take(PyObject *object, PyObject *unused)
{
    Lines *self = (Lines *)object;
    Chunk *chunk = self->head;
    if (chunk == NULL || chunk->first == chunk->count) /* reserved and not used */
        Py_RETURN_NONE;
    Batch *batch = PyObject_New(Batch, &batch_type);
    if (batch == NULL)
        return NULL;
    self->head = chunk->next;
    if (self->head == NULL)
        self->tail = NULL;
    chunk->next = NULL;
    long long count = (long long)(chunk->count - chunk->first);
    self->waiting -= count;
    self->popped += count;
    batch->chunk = chunk;
    return (PyObject *)batch;
}

static PyObject *release(PyObject *object, PyObject *bytes)
{
    long long size = PyLong_AsLongLong(bytes);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    ((Lines *)object)->bytes -= size;
    Py_RETURN_NONE;
}

static void clear_chunks(Lines *self)
{
    while (self->head != NULL) {
        Chunk *chunk = self->head;
        self->head = chunk->next;
        free_chunk(chunk);
    }
    self->tail = NULL;
}

static PyObject *clear(PyObject *object, PyObject *unused)
{
    Lines *self = (Lines *)object;
    long long count = self->waiting;
    clear_chunks(self);
    self->waiting = self->bytes = 0;
    self->popped += count;
    return PyLong_FromLongLong(count);
}

/* In a forked child. The lines are the parent's; no caller was amidst them, for that takes the GIL. */
static PyObject *reset(PyObject *object, PyObject *unused)
{
    Lines *self = (Lines *)object;
    clear_chunks(self);
    self->waiting = self->bytes = self->popped = self->dropped = 0;
    self->unmarked = self->refused = 0;
    self->asleep = 1;
    self->shut = 0;
    Py_RETURN_NONE;
}

static Py_ssize_t lines_length(PyObject *object)
{
    return (Py_ssize_t)((Lines *)object)->waiting;
}

static PyObject *lines_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"max_lines", "max_bytes", "attend", NULL};
    long long max_lines, max_bytes;
    PyObject *attend = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "LLO", names, &max_lines, &max_bytes, &attend))
        return NULL;
    Lines *self = (Lines *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->max_lines = max_lines;
    self->max_bytes = max_bytes;
    self->attend = Py_NewRef(attend);
    self->asleep = 1;
    return (PyObject *)self;
}

static int lines_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(((Lines *)object)->attend);
    return 0;
}

static int lines_clear(PyObject *object)
{
    Py_CLEAR(((Lines *)object)->attend);
    return 0;
}

static void lines_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    clear_chunks((Lines *)object);
    lines_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef lines_methods[] = {
    {"append", append, METH_O, "Take a line; drop the oldest ones when there are too many."},
    {"take", take, METH_NOARGS, "Return the oldest lines as a Batch, or None."},
    {"release", release, METH_O, "Forget that many bytes of a batch: they are in memory no more."},
    {"clear", clear, METH_NOARGS, "Drop every line; return how many there were."},
    {"reset", reset, METH_NOARGS, "Begin anew, empty, all counts zero: in a forked child."},
    {NULL, NULL, 0, NULL},
};

#define COUNT(name) {#name, T_LONGLONG, offsetof(Lines, name), 0, NULL}
static PyMemberDef lines_members[] = {
    COUNT(bytes),   COUNT(popped),
    COUNT(dropped), COUNT(unmarked),
    COUNT(refused), {"asleep", T_BOOL, offsetof(Lines, asleep), 0, NULL},
    {"shut", T_BOOL, offsetof(Lines, shut), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PySequenceMethods lines_sequence = {.sq_length = lines_length};

PyTypeObject lines_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Lines",
    .tp_doc = "Lines that wait for a writer, bounded in number and bytes.",
    .tp_basicsize = sizeof(Lines),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = lines_new,
    .tp_dealloc = lines_dealloc,
    .tp_traverse = lines_traverse,
    .tp_clear = lines_clear,
    .tp_methods = lines_methods,
    .tp_members = lines_members,
    .tp_as_sequence = &lines_sequence,
};

static PyObject *batch_data(PyObject *object, void *unused)
{
    Chunk *chunk = ((Batch *)object)->chunk;
    size_t start = start_of(chunk, chunk->first);
    return PyBytes_FromStringAndSize(chunk->data + start, (Py_ssize_t)(chunk->size - start));
}

static PyObject *batch_first(PyObject *object, void *unused)
{
    Chunk *chunk = ((Batch *)object)->chunk;
    return PyLong_FromSize_t(chunk->ends[chunk->first] - start_of(chunk, chunk->first));
}

static PyObject *batch_whole(PyObject *object, PyObject *bytes)
{
    Chunk *chunk = ((Batch *)object)->chunk;
    long long done = PyLong_AsLongLong(bytes);
    if (done == -1 && PyErr_Occurred())
        return NULL;
    long long end = (long long)start_of(chunk, chunk->first) + done;
    size_t line = chunk->first;
    while (line < chunk->count && (long long)chunk->ends[line] <= end)
        line++;
    return PyLong_FromSize_t(line - chunk->first);
}

static Py_ssize_t batch_length(PyObject *object)
{
    Chunk *chunk = ((Batch *)object)->chunk;
    return (Py_ssize_t)(chunk->count - chunk->first);
}

static void batch_dealloc(PyObject *object)
{
    free_chunk(((Batch *)object)->chunk);
    PyObject_Free(object);
}

static PyGetSetDef batch_attributes[] = {
    {"data", batch_data, NULL, "The lines, one after the other.", NULL},
    {"first", batch_first, NULL, "Bytes of the first line.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef batch_methods[] = {
    {"whole", batch_whole, METH_O, "Return how many lines lie wholly in that many bytes."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods batch_sequence = {.sq_length = batch_length};

PyTypeObject batch_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.Batch",
    .tp_doc = "Lines that were taken together.",
    .tp_basicsize = sizeof(Batch),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = batch_dealloc,
    .tp_methods = batch_methods,
    .tp_getset = batch_attributes,
    .tp_as_sequence = &batch_sequence,
};
