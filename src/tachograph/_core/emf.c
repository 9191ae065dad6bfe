/* Lines of EMF: the directives that name the metrics, then the fields, metrics first.

   The native twin of what formats/emf.py writes for a record without anything unusual. */

#include "line.h"

/* What an EMF line has besides its fields. */
typedef struct Emf {
    PyObject *opens;       /* tuple of bytes: the start of each namespace's directive */
    PyObject *definitions; /* tuple of bytes, one for each field; empty for what is no metric */
    PyObject *middle;      /* the globals, between metrics and properties */
    PyObject *end;         /* what stands before the time */
    Py_ssize_t *order;     /* the fields, metrics first */
    Py_ssize_t metrics;
    Py_ssize_t *needed; /* the fields that are dimensions */
    Py_ssize_t needed_count;
} Emf;

/* A metric that stands for so many observations. */
static int put_observed(Buffer *b, PyObject *value, const Field *field, long long weight)
{
    if (value == Py_None && field->optional)
        return 1;
    if (!put_padded(b, field->key, field->key_length) || !put(b, "{\"Values\":[", 11))
        return 0;
    int done = put_value(b, value, field);
    if (done <= 0)
        return done;
    return put(b, "],\"Counts\":[", 12) && put_decimal(b, weight) && put(b, "]}", 2);
}

/* Whether a field will be in the line; -1: Python decides. */
static int is_there(Buffer *b, Reader *reader, const Encoder *self, Py_ssize_t i)
{
    if (reader->values != NULL)
        return PyTuple_GET_ITEM(reader->values, i) != Py_None;
    const Source *source = &reader->sources[i];
    Record *holder = holder_of(reader, source);
    if (holder == NULL)
        return -1;
    PyObject *value = *(PyObject **)((char *)holder + source->offset);
    long long unused;
    switch (source->how) {
    case READ_SLOT:
        return value == NULL ? -1 : value != Py_None;
    case READ_STOPWATCH:
        return value != NULL && Py_IS_TYPE(value, &stopwatch_type) &&
               stopwatch_elapsed((Stopwatch *)value, reader->now_ns, &unused);
    case READ_CALL:
        if (!b->python)
            return -1;
        value = PyObject_CallOneArg(source->object, (PyObject *)holder);
        if (value == NULL) {
            PyErr_Clear();
            return -1;
        }
        Py_DECREF(value);
        return value != Py_None;
    default:
        return 1;
    }
}

/* A dimension needs a value of 1 to 1,024 characters that is not blank. */
static int is_usable(const char *at, const char *end)
{
    for (; at < end && *at != ':'; at++) /* past the key, which holds no colon of its own: checked */
        ;
    Py_ssize_t length = end - at - 3; /* the colon and the quotes */
    if (length < 1 || length > 1024 || at[1] != '"')
        return 0;
    int blank = 1;
    for (at += 2; at < end - 1; at++) {
        /* The careful encoder counts what is not ASCII, and knows what an escape stands for. */
        if ((unsigned char)*at >= 0x80 || *at == '\\')
            return 0;
        blank &= *at == ' ';
    }
    return !blank;
}

int emf_write(Encoder *self, Reader *reader, Buffer *b)
{
    const Emf *emf = self->emf;
    if (!put(b, "{\"_aws\":{\"CloudWatchMetrics\":[", 30))
        return 0;
    char *definitions = NULL;
    Py_ssize_t length = 0;
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(emf->opens); n++) {
        if ((n && !put(b, ",", 1)) || !put(b, BYTES(PyTuple_GET_ITEM(emf->opens, n))))
            return 0;
        if (definitions != NULL) {
            if (!put(b, definitions, length))
                return 0;
        } else {
            definitions = b->at;
            for (Py_ssize_t m = 0; m < emf->metrics; m++) {
                Py_ssize_t i = emf->order[m];
                PyObject *definition = PyTuple_GET_ITEM(emf->definitions, i);
                if (PyBytes_GET_SIZE(definition) == 0)
                    continue;
                int there = is_there(b, reader, self, i);
                if (there < 0)
                    return 0;
                if (there && ((b->at != definitions && !put(b, ",", 1)) ||
                              !put(b, BYTES(definition))))
                    return 0;
            }
            length = b->at - definitions;
        }
        if (!put(b, "]}", 2))
            return 0;
    }
    if (!put(b, BYTES(emf->end)) || !put_decimal(b, reader->time_ns / 1000000) || !put(b, "}", 1))
        return 0;
    for (Py_ssize_t m = 0; m < self->count; m++) {
        if (m == emf->metrics && !put(b, BYTES(emf->middle)))
            return 0;
        Py_ssize_t i = emf->order[m];
        const char *start = b->at;
        int done = reader->rate == NULL || m >= emf->metrics
                       ? put_at(b, reader, self, i)
                       : put_observed(b, PyTuple_GET_ITEM(reader->values, i), &self->fields[i],
                                      reader->weight);
        if (done <= 0)
            return done;
        for (Py_ssize_t d = 0; d < emf->needed_count; d++)
            if (emf->needed[d] == i &&
                (b->at == start || !is_usable(start + self->fields[i].key_length - 1, b->at)))
                return 0;
    }
    if (emf->metrics == self->count && !put(b, BYTES(emf->middle)))
        return 0;
    return put_end(b, reader);
}

static Py_ssize_t *take_numbers(PyObject *tuple, Py_ssize_t below)
{
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    Py_ssize_t *numbers = PyMem_Calloc((size_t)count + 1, sizeof *numbers);
    if (numbers == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        numbers[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(tuple, i));
        if (numbers[i] < 0 || numbers[i] >= below) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "emf: expected numbers of fields");
            PyMem_Free(numbers);
            return NULL;
        }
    }
    return numbers;
}

static int all_bytes(PyObject *tuple)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++)
        if (!PyBytes_Check(PyTuple_GET_ITEM(tuple, i))) {
            PyErr_SetString(PyExc_TypeError, "emf: expected bytes");
            return 0;
        }
    return 1;
}

int emf_take(Encoder *self, PyObject *description)
{
    Emf *emf = self->emf = PyMem_Calloc(1, sizeof(Emf));
    if (emf == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    PyObject *opens, *definitions, *order, *middle, *end, *needed;
    if (!PyArg_ParseTuple(description, "O!O!O!nSSO!", &PyTuple_Type, &opens, &PyTuple_Type,
                          &definitions, &PyTuple_Type, &order, &emf->metrics, &middle, &end,
                          &PyTuple_Type, &needed))
        return 0;
    if (PyTuple_GET_SIZE(definitions) != self->count || PyTuple_GET_SIZE(order) != self->count ||
        emf->metrics < 0 || emf->metrics > self->count) {
        PyErr_SetString(PyExc_ValueError, "emf: expected a definition and a place for each field");
        return 0;
    }
    if (!all_bytes(opens) || !all_bytes(definitions))
        return 0;
    emf->opens = Py_NewRef(opens);
    emf->definitions = Py_NewRef(definitions);
    emf->middle = Py_NewRef(middle);
    emf->end = Py_NewRef(end);
    emf->order = take_numbers(order, self->count);
    emf->needed = emf->order == NULL ? NULL : take_numbers(needed, self->count);
    emf->needed_count = PyTuple_GET_SIZE(needed);
    return emf->needed != NULL;
}

void emf_free(Emf *emf)
{
    if (emf == NULL)
        return;
    Py_XDECREF(emf->opens);
    Py_XDECREF(emf->definitions);
    Py_XDECREF(emf->middle);
    Py_XDECREF(emf->end);
    PyMem_Free(emf->order);
    PyMem_Free(emf->needed);
    PyMem_Free(emf);
}
