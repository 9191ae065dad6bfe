/* Requests that ended and wait to be written, and the columns of a block of them.

   What waits is no Python object: a hundred thousand tuples would be work for the collector. The
   twin is RequestLog in tachograph/recorder/request_log.py; docs/format.md draws the columns. */

#include "../ids.h"
#include "bytes.h"
#include "loop.h"

enum { NO_ID, UUID_ID, OF_SERIES, TEXT_ID };
enum { TEXTS = 3 }; /* record, operation, outcome */
enum { END_SHIFT = 5 }; /* ends are in units of 32 ns */

typedef struct {
    PyObject *id, *texts[TEXTS]; /* str, owned; NULL for none */
    int64_t start, span, status, task; /* the last two -1 for none */
} Row;

/* A ring of rows that grows to its limit. */
typedef struct {
    PyObject_HEAD
    Row *rows;
    size_t most, room, first, count;
    uint64_t dropped;
} Requests;

/* What many requests have in common. */
typedef struct {
    const Row *row; /* the first that has it */
    int kind;
} Shape;

static void row_clear(Row *row)
{
    Py_XDECREF(row->id);
    for (int i = 0; i < TEXTS; i++)
        Py_XDECREF(row->texts[i]);
}

static int requests_grow(Requests *self)
{
    size_t room = self->room ? self->room * 2 : 64;
    if (room > self->most)
        room = self->most;
    Row *rows = PyMem_RawMalloc(room * sizeof(Row));
    if (rows == NULL)
        return 0;
    for (size_t i = 0; i < self->count; i++)
        rows[i] = self->rows[(self->first + i) % self->room];
    PyMem_RawFree(self->rows);
    self->rows = rows;
    self->room = room;
    self->first = 0;
    return 1;
}

static PyObject *requests_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    Py_ssize_t most;
    if (!PyArg_ParseTuple(args, "n", &most))
        return NULL;
    if (most < 1) {
        PyErr_Format(PyExc_ValueError, "expected room for 1 or more requests, got %zd", most);
        return NULL;
    }
    Requests *self = (Requests *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->most = (size_t)most;
    return (PyObject *)self;
}

static void forget(Requests *self, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        row_clear(&self->rows[self->first]);
        self->first = (self->first + 1) % self->room;
        self->count--;
    }
}

static void requests_dealloc(Requests *self)
{
    forget(self, self->count);
    PyMem_RawFree(self->rows);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* A number from 0; -1 if it is none, or too large. */
static int64_t number_of(PyObject *value)
{
    if (!PyLong_Check(value))
        return -1;
    int64_t number = PyLong_AsLongLong(value);
    if (number < 0) {
        PyErr_Clear();
        return -1;
    }
    return number;
}

static PyObject *text_of(PyObject *value)
{
    if (PyUnicode_CheckExact(value))
        return Py_NewRef(value);
    if (!PyUnicode_Check(value))
        return NULL;
    PyObject *text = PyUnicode_FromObject(value); /* a subclass may compare and hash as it likes */
    if (text == NULL)
        PyErr_Clear();
    return text;
}

/* request_id, record, operation, start_ns, duration_ns, outcome, status, task_id */
static PyObject *requests_add(Requests *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 8) {
        PyErr_Format(PyExc_TypeError, "add: expected 8 arguments, got %zd", count);
        return NULL;
    }
    int64_t start = number_of(args[3]), span = number_of(args[4]);
    if (start < 0 || span < 0 || start > INT64_MAX - span ||
        (self->count == self->room && (self->room == self->most || !requests_grow(self)))) {
        self->dropped++;
        Py_RETURN_NONE;
    }
    self->rows[(self->first + self->count++) % self->room] = (Row){
        .id = text_of(args[0]),
        .texts = {text_of(args[1]), text_of(args[2]), text_of(args[5])},
        .start = start,
        .span = span,
        .status = number_of(args[6]),
        .task = number_of(args[7]),
    };
    Py_RETURN_NONE;
}

static void put_text(Bytes *bytes, PyObject *text)
{
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(text, &size);
    PyObject *replaced = NULL;
    if (data == NULL) { /* half of a pair */
        PyErr_Clear();
        replaced = PyUnicode_AsEncodedString(text, "utf-8", "replace");
        if (replaced == NULL) {
            PyErr_Clear();
            size = 0;
        } else {
            data = PyBytes_AS_STRING(replaced);
            size = PyBytes_GET_SIZE(replaced);
        }
    }
    bytes_leb(bytes, (uint64_t)size);
    bytes_put(bytes, data, (size_t)size);
    Py_XDECREF(replaced);
}

/* ------------------------------------------------------------------ a block */

enum { IDS, ENDS, SPANS, TASKS, SHAPES, TABLE, WORDS, COLUMNS };

/* A block that is being made. The tables hold numbers from 1, open addressing; both have more than
   twice the room that they can need. */
typedef struct {
    Bytes columns[COLUMNS];
    Shape *shapes;
    PyObject **words; /* borrowed of the rows */
    uint32_t *shape_table, *word_table;
    size_t mask, shape_count, word_count;
} Block;

static int equal(PyObject *one, PyObject *other)
{
    return one == other || (one != NULL && other != NULL && PyUnicode_Compare(one, other) == 0);
}

static uint64_t hash_of(PyObject *text)
{
    return text == NULL ? 0 : (uint64_t)PyObject_Hash(text) * 0x9E3779B97F4A7C15u >> 16;
}

static uint64_t word_number(Block *block, PyObject *text)
{
    if (text == NULL)
        return 0;
    for (size_t i = hash_of(text);; i++) {
        uint32_t *number = &block->word_table[i & block->mask];
        if (*number == 0) {
            block->words[block->word_count++] = text;
            *number = (uint32_t)block->word_count;
            put_text(&block->columns[WORDS], text);
        }
        if (equal(block->words[*number - 1], text))
            return *number;
    }
}

static int is_shape(const Shape *shape, const Row *row, int kind)
{
    const Row *other = shape->row;
    return shape->kind == kind && other->status == row->status &&
           equal(other->texts[0], row->texts[0]) && equal(other->texts[1], row->texts[1]) &&
           equal(other->texts[2], row->texts[2]);
}

static uint64_t shape_number(Block *block, const Row *row, int kind)
{
    uint64_t hash = ((uint64_t)row->status * 4 + (uint64_t)kind) * 0x9E3779B1u;
    for (int i = 0; i < TEXTS; i++)
        hash = hash * 31 + hash_of(row->texts[i]);
    for (size_t i = hash;; i++) {
        uint32_t *number = &block->shape_table[i & block->mask];
        if (*number == 0) {
            block->shapes[block->shape_count++] = (Shape){row, kind};
            *number = (uint32_t)block->shape_count;
            for (int text = 0; text < TEXTS; text++)
                bytes_leb(&block->columns[TABLE], word_number(block, row->texts[text]));
            bytes_leb(&block->columns[TABLE], (uint64_t)row->status + 1);
            bytes_leb(&block->columns[TABLE], (uint64_t)kind);
        }
        if (is_shape(&block->shapes[*number - 1], row, kind))
            return *number - 1;
    }
}

/* Write an id and return its kind; `last` is the number of the last one of the series. */
static int put_id(Bytes *bytes, PyObject *id, const uint8_t *series, uint64_t *last)
{
    uint64_t halves[2];
    if (id == NULL)
        return NO_ID;
    if (!PyUnicode_IS_COMPACT_ASCII(id) || PyUnicode_GET_LENGTH(id) != UUID_TEXT ||
        !uuid_parse((const char *)PyUnicode_1BYTE_DATA(id), halves)) {
        put_text(bytes, id);
        return TEXT_ID;
    }
    uint64_t number = series == NULL ? SERIES_MOST : series_number(series, halves);
    if (number != SERIES_MOST) {
        bytes_leb(bytes, zigzag(number, *last));
        *last = number;
        return OF_SERIES;
    }
    uint8_t *at = bytes_take(bytes, UUID_BYTES);
    for (int i = 0; at != NULL && i < UUID_BYTES; i++)
        at[i] = (uint8_t)(halves[i / 8] >> (56 - 8 * (i % 8)));
    return UUID_ID;
}

static int make_tables(Block *block, size_t count)
{
    size_t room = 16;
    while (room < count * TEXTS * 2)
        room *= 2;
    block->mask = room - 1;
    block->shapes = PyMem_RawMalloc(count * sizeof(Shape));
    block->words = PyMem_RawMalloc(count * TEXTS * sizeof(PyObject *));
    block->shape_table = PyMem_RawCalloc(room, sizeof(uint32_t));
    block->word_table = PyMem_RawCalloc(room, sizeof(uint32_t));
    return block->shapes != NULL && block->words != NULL && block->shape_table != NULL &&
           block->word_table != NULL;
}

static void fill(Block *block, const Requests *self, size_t count, const uint8_t *series)
{
    uint64_t last = 0;
    int64_t end = self->rows[self->first].start + self->rows[self->first].span, task = 0;
    for (size_t i = 0; i < count; i++) {
        const Row *row = &self->rows[(self->first + i) % self->room];
        int kind = put_id(&block->columns[IDS], row->id, series, &last);
        bytes_leb(&block->columns[SHAPES], shape_number(block, row, kind));
        int64_t ended = row->start + row->span;
        /* One more than the id, and that no id overflows: those of tasks count up from 1024. */
        int64_t known = row->task < 0 || row->task > INT64_MAX - 2 ? 1 : row->task + 2;
        bytes_leb(&block->columns[ENDS], zigzag((uint64_t)(ended >> END_SHIFT), (uint64_t)(end >> END_SHIFT)));
        bytes_leb(&block->columns[SPANS], (uint64_t)row->span);
        bytes_leb(&block->columns[TASKS], zigzag((uint64_t)known, (uint64_t)task));
        end = ended;
        task = known;
    }
}

static PyObject *as_tuple(const Block *block, const Requests *self, size_t count, PyObject *series)
{
    PyObject *found = PyTuple_New(3 + COLUMNS);
    if (found == NULL)
        return NULL;
    const Row *first = &self->rows[self->first];
    PyTuple_SET_ITEM(found, 0, PyLong_FromSize_t(count));
    PyTuple_SET_ITEM(found, 1, PyLong_FromLongLong((first->start + first->span) >> END_SHIFT));
    PyTuple_SET_ITEM(found, 2, Py_NewRef(series));
    for (int i = 0; i < COLUMNS; i++) {
        const Bytes *bytes = &block->columns[i];
        PyTuple_SET_ITEM(found, 3 + i,
                         PyBytes_FromStringAndSize((char *)bytes->start,
                                                   (Py_ssize_t)bytes_size(bytes)));
    }
    if (PyErr_Occurred())
        Py_CLEAR(found);
    return found;
}

static PyObject *requests_take(Requests *self, PyObject *args)
{
    Py_ssize_t most;
    PyObject *series;
    if (!PyArg_ParseTuple(args, "nS", &most, &series))
        return NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(series);
    if (most < 1 || (size != 0 && size != SERIES_BYTES)) {
        PyErr_Format(PyExc_ValueError, "take: expected 1 or more requests and a series of 0 or %d "
                     "bytes, got %zd and %zd", SERIES_BYTES, most, size);
        return NULL;
    }
    size_t count = self->count < (size_t)most ? self->count : (size_t)most;
    if (count == 0)
        Py_RETURN_NONE;
    Block block = {0};
    PyObject *found = NULL;
    if (make_tables(&block, count)) {
        fill(&block, self, count, size ? (const uint8_t *)PyBytes_AS_STRING(series) : NULL);
        int failed = 0;
        for (int i = 0; i < COLUMNS; i++)
            failed |= block.columns[i].failed;
        found = failed ? PyErr_NoMemory() : as_tuple(&block, self, count, series);
    } else
        PyErr_NoMemory();
    for (int i = 0; i < COLUMNS; i++)
        PyMem_RawFree(block.columns[i].start);
    PyMem_RawFree(block.shapes);
    PyMem_RawFree(block.words);
    PyMem_RawFree(block.shape_table);
    PyMem_RawFree(block.word_table);
    forget(self, count); /* also where they could not be written: they would be in the way again */
    return found;
}

static PyObject *requests_clear(Requests *self, PyObject *unused)
{
    forget(self, self->count);
    self->dropped = 0;
    Py_RETURN_NONE;
}

static Py_ssize_t requests_length(Requests *self)
{
    return (Py_ssize_t)self->count;
}

static PyObject *requests_dropped(Requests *self, void *unused)
{
    return PyLong_FromUnsignedLongLong(self->dropped);
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)(void (*)(void))requests_add, METH_FASTCALL, "Keep a request that ended."},
    {"take", (PyCFunction)requests_take, METH_VARARGS,
     "Return the oldest as the values of a block, and forget them; None if there are none."},
    {"clear", (PyCFunction)requests_clear, METH_NOARGS, "Forget all, and what was dropped."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"dropped", (getter)requests_dropped, NULL, "How many found no room.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PySequenceMethods as_sequence = {.sq_length = (lenfunc)requests_length};

PyTypeObject requests_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.RequestLog",
    .tp_basicsize = sizeof(Requests),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Requests that ended, until they are written.",
    .tp_new = requests_new,
    .tp_dealloc = (destructor)requests_dealloc,
    .tp_methods = methods,
    .tp_getset = properties,
    .tp_as_sequence = &as_sequence,
};
