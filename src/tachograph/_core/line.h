/* How one field of a line is written: what the encoder of flat JSON and that of EMF share.

   These are inline because they run once for each field of each line. */

#ifndef TACHOGRAPH_LINE_H
#define TACHOGRAPH_LINE_H

#include "core.h"

#define CAPACITY 16384

typedef struct {
    PyObject *member; /* borrowed from the field's labels */
    const char *text;
    Py_ssize_t length;
} Label;

typedef struct {
    char *key;        /* padded */
    Py_ssize_t key_length;
    PyObject *labels; /* tuple or None; keeps members and texts alive */
    PyObject *writer;
    Label *table;
    Py_ssize_t table_length;
    long long unit_ns; /* nanoseconds in one of a duration's unit: a power of ten */
    int kind;
    int optional;
} Field;

struct Emf; /* what an EMF line has besides its fields: emf.c */

typedef struct Encoder {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct Emf *emf; /* NULL: flat JSON */
    PyObject *head;
    PyObject *careful;
    Field *fields;
    Py_ssize_t count;
    Py_ssize_t limit;
    int calls_python; /* whether some field is always written by Python */
    TimeText time;
} Encoder;

/* Where the values of a line come from: a closed record's tuple, or the slots of an open one. */
typedef struct {
    PyObject *values; /* or NULL */
    Record *record;
    const Source *sources;
    long long now_ns;
    long long time_ns;
    int node; /* the last one looked at, and what holds its slots */
    Record *holder;
    PyObject *rate;   /* a sampler's; or NULL */
    long long weight; /* how many records this one stands for */
} Reader;

/* emf.c */
int emf_write(Encoder *self, Reader *reader, Buffer *b);
int emf_take(Encoder *self, PyObject *description);
void emf_free(struct Emf *emf);

#define BYTES(object) PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object)

static inline int put_duration_object(Buffer *b, PyObject *value, long long unit_ns)
{
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    long long ns = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow ? 0 : put_duration(b, ns, unit_ns);
}

static inline int put_enum(Buffer *b, PyObject *value, const Field *field)
{
    for (Py_ssize_t i = 0; i < field->table_length; i++)
        if (field->table[i].member == value)
            return put(b, field->table[i].text, field->table[i].length);
    return 0;
}

static inline int put_written(Buffer *b, PyObject *value, const Field *field)
{
    PyObject *text = PyObject_CallOneArg(field->writer, value);
    if (text == NULL)
        return -1;
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    int done = utf8 == NULL ? -1 : put(b, utf8, length);
    Py_DECREF(text);
    return done;
}

static inline int put_value(Buffer *b, PyObject *value, const Field *field)
{
    int done = 0;
    switch (field->kind) {
    case STR:
        done = put_string(b, value);
        break;
    case BIT:
        if (value == Py_True || value == Py_False)
            done = put(b, value == Py_True ? "1" : "0", 1);
        break;
    case BOOL:
        if (value == Py_True)
            done = put(b, "true", 4);
        else if (value == Py_False)
            done = put(b, "false", 5);
        break;
    case INT:
        done = put_int(b, value, 0);
        break;
    case INT_TEXT:
        done = put_int(b, value, 1);
        break;
    case FLOAT:
        done = put_float(b, value);
        break;
    case ENUM:
        done = put_enum(b, value, field);
        break;
    case DURATION:
        done = put_duration_object(b, value, field->unit_ns);
        break;
    default:
        break;
    }
    return done || !b->python ? done : put_written(b, value, field);
}

static inline int put_field(Buffer *b, PyObject *value, const Field *field)
{
    if (value == Py_None && field->optional)
        return 1;
    return put_padded(b, field->key, field->key_length) ? put_value(b, value, field) : 0;
}

/* One field of a record whose scope has ended without an error. */
static inline int put_source(Buffer *b, Record *holder, const Source *source, const Field *field,
                             long long now_ns)
{
    PyObject **place = (PyObject **)((char *)holder + source->offset);
    long long ns;
    PyObject *value;
    int done;
    switch (source->how) {
    case READ_SLOT:
        return *place == NULL ? 0 : put_field(b, *place, field);
    case READ_TIMER:
        ns = *place != NULL && Py_IS_TYPE(*place, &timer_type)
                 ? timer_elapsed((Timer *)*place, now_ns)
                 : now_ns - holder->started_ns;
        return put_padded(b, field->key, field->key_length) &&
               put_duration(b, ns, field->unit_ns);
    case READ_STOPWATCH:
        if (*place == NULL || !Py_IS_TYPE(*place, &stopwatch_type))
            return 1;
        ((Stopwatch *)*place)->over = 1;
        if (!stopwatch_elapsed((Stopwatch *)*place, now_ns, &ns))
            return 1;
        return put_padded(b, field->key, field->key_length) &&
               put_duration(b, ns, field->unit_ns);
    case READ_GAUGE:
        return put_padded(b, field->key, field->key_length) &&
               put_decimal(b, ((Counter *)source->object)->value);
    case READ_OUTCOME:
        return put_field(b, *place == NULL || *place == Py_None ? source->object : *place, field);
    default:
        if (!b->python)
            return 0;
        value = PyObject_CallOneArg(source->object, (PyObject *)holder);
        if (value == NULL)
            return -1;
        done = put_field(b, value, field);
        Py_DECREF(value);
        return done;
    }
}

static inline int put_end(Buffer *b, const Reader *reader)
{
    if (reader->rate != NULL &&
        !(put(b, ",\"_weight\":", 11) && put_decimal(b, reader->weight) &&
          put(b, ",\"_rate\":", 9) && put_float(b, reader->rate) > 0))
        return 0;
    return put(b, "}\n", 2);
}

static inline Record *holder_of(Reader *reader, const Source *source)
{
    if (source->node != reader->node) {
        reader->node = source->node;
        reader->holder = plan_node(reader->record->plan, reader->record, source->node);
    }
    return reader->holder;
}

static inline int put_at(Buffer *b, Reader *reader, const Encoder *self, Py_ssize_t i)
{
    if (reader->values != NULL)
        return put_field(b, PyTuple_GET_ITEM(reader->values, i), &self->fields[i]);
    const Source *source = &reader->sources[i];
    Record *holder = holder_of(reader, source);
    return holder == NULL ? 0 : put_source(b, holder, source, &self->fields[i], reader->now_ns);
}

#endif
