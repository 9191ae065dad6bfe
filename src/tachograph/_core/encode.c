/* Flat JSON lines: the native twin of the function that formats/json.py generates.

   A line is written into a buffer on the stack, field by field. Whatever is unusual (a value of
   another type, a number that needs care, a line that might be too long) is left to Python: one
   field to its writer, the whole record to the careful encoder. So there is nothing here to get
   wrong about rare cases, and both make the same bytes. */

#include "core.h"

#define CAPACITY 8192

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

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *head;
    PyObject *careful;
    Field *fields;
    Py_ssize_t count;
    Py_ssize_t limit;
    int calls_python; /* whether some field is always written by Python */
    TimeText time;
} Encoder;

static int put_duration_object(Buffer *b, PyObject *value, long long unit_ns)
{
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    long long ns = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow ? 0 : put_duration(b, ns, unit_ns);
}

static int put_enum(Buffer *b, PyObject *value, const Field *field)
{
    for (Py_ssize_t i = 0; i < field->table_length; i++)
        if (field->table[i].member == value)
            return put(b, field->table[i].text, field->table[i].length);
    return 0;
}

static int put_written(Buffer *b, PyObject *value, const Field *field)
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

static inline int put_field(Buffer *b, PyObject *value, const Field *field)
{
    if (value == Py_None && field->optional)
        return 1;
    if (!put_padded(b, field->key, field->key_length))
        return 0;
    int done = 0;
    switch (field->kind) {
    case STR:
        done = put_string(b, value);
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

static PyObject *encode(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Encoder *self = (Encoder *)callable;
    if (PyVectorcall_NARGS(nargsf) != 3 || (names != NULL && PyTuple_GET_SIZE(names))) {
        PyErr_SetString(PyExc_TypeError, "expected time_ns, values and notes");
        return NULL;
    }
    PyObject *values = args[1];
    char line[CAPACITY];
    Buffer b = {line, line + sizeof line - SLACK, 1};
    int overflow = 0;
    long long time_ns = PyLong_Check(args[0]) ? PyLong_AsLongLongAndOverflow(args[0], &overflow) : -1;
    if (args[2] != Py_None || overflow || time_ns < 0 || !PyTuple_CheckExact(values) ||
        PyTuple_GET_SIZE(values) != self->count)
        goto careful;
    if (!put(&b, "{\"timestamp\":\"", 14) || !put_time(&b, &self->time, time_ns) ||
        !put(&b, PyBytes_AS_STRING(self->head), PyBytes_GET_SIZE(self->head)))
        goto careful;
    for (Py_ssize_t i = 0; i < self->count; i++) {
        int done = put_field(&b, PyTuple_GET_ITEM(values, i), &self->fields[i]);
        if (done < 0) {
            if (!PyErr_ExceptionMatches(PyExc_Exception))
                return NULL;
            PyErr_Clear();
        }
        if (done <= 0)
            goto careful;
    }
    *b.at++ = '}';
    *b.at++ = '\n';
    if (b.at - line <= self->limit)
        return PyBytes_FromStringAndSize(line, b.at - line);
careful:
    return PyObject_Vectorcall(self->careful, args, 3, NULL);
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
        if (*place == NULL || !Py_IS_TYPE(*place, &stopwatch_type) ||
            !stopwatch_elapsed((Stopwatch *)*place, now_ns, &ns))
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

static int write_line(Encoder *self, Record *record, long long now_ns, Buffer *b)
{
    Py_ssize_t count;
    const Source *sources = plan_sources(record->plan, &count);
    if (count != self->count || record->time_ns < 0)
        return 0;
    if (!put(b, "{\"timestamp\":\"", 14) || !put_time(b, &self->time, record->time_ns) ||
        !put(b, PyBytes_AS_STRING(self->head), PyBytes_GET_SIZE(self->head)))
        return 0;
    int node = 0;
    Record *holder = record;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (sources[i].node != node) {
            node = sources[i].node;
            holder = plan_node(record->plan, record, node);
            if (holder == NULL)
                return 0;
        }
        int done = put_source(b, holder, &sources[i], &self->fields[i], now_ns);
        if (done <= 0)
            return done;
    }
    return put(b, "}\n", 2);
}

int encoder_write_record(PyObject *object, Record *record, long long now_ns, Lines *lines)
{
    Encoder *self = (Encoder *)object;
    Py_ssize_t room = self->limit < CAPACITY - SLACK ? self->limit : CAPACITY - SLACK;
    if (!self->calls_python) {
        char *line = lines_reserve(lines, (size_t)room + SLACK);
        if (line != NULL) {
            Buffer b = {line, line + room, 0};
            if (write_line(self, record, now_ns, &b) > 0) {
                lines_commit(lines, (size_t)(b.at - line));
                return 1;
            }
        }
    }
    /* Python may come in between, so not into the queue itself. */
    char line[CAPACITY];
    Buffer b = {line, line + room, 1};
    int done = write_line(self, record, now_ns, &b);
    if (done > 0)
        lines_append(lines, line, (size_t)(b.at - line));
    return done;
}

static int take_field(Field *field, PyObject *item)
{
    const char *key;
    if (!PyArg_ParseTuple(item, "y#ipOOL", &key, &field->key_length, &field->kind,
                          &field->optional, &field->labels, &field->writer, &field->unit_ns)) {
        memset(field, 0, sizeof *field);
        return 0;
    }
    Py_INCREF(field->labels);
    Py_INCREF(field->writer);
    field->key = PyMem_Calloc(1, (size_t)field->key_length + SLACK);
    if (field->key == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    memcpy(field->key, key, (size_t)field->key_length);
    if (field->unit_ns < 1) {
        PyErr_SetString(PyExc_ValueError, "unit_ns: expected a power of ten");
        return 0;
    }
    if (field->labels == Py_None)
        return 1;
    if (!PyTuple_Check(field->labels)) {
        PyErr_SetString(PyExc_TypeError, "labels: expected a tuple or None");
        return 0;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(field->labels);
    field->table = PyMem_Calloc((size_t)(count ? count : 1), sizeof(Label));
    if (field->table == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *text;
        Label *label = &field->table[i];
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(field->labels, i), "OS", &label->member, &text))
            return 0;
        label->text = PyBytes_AS_STRING(text);
        label->length = PyBytes_GET_SIZE(text);
        field->table_length = i + 1;
    }
    return 1;
}

static int encoder_clear(PyObject *object)
{
    Encoder *self = (Encoder *)object;
    Py_CLEAR(self->head);
    Py_CLEAR(self->careful);
    Py_ssize_t count = self->count;
    Field *fields = self->fields;
    self->count = 0;
    self->fields = NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyMem_Free(fields[i].key);
        Py_XDECREF(fields[i].labels);
        Py_XDECREF(fields[i].writer);
        PyMem_Free(fields[i].table);
    }
    PyMem_Free(fields);
    return 0;
}

static int encoder_traverse(PyObject *object, visitproc visit, void *arg)
{
    Encoder *self = (Encoder *)object;
    Py_VISIT(self->careful);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_VISIT(self->fields[i].labels);
        Py_VISIT(self->fields[i].writer);
    }
    return 0;
}

static void encoder_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    encoder_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"head", "fields", "careful", "limit", NULL};
    PyObject *head, *fields, *careful;
    Py_ssize_t limit;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "SOOn", names, &head, &fields, &careful,
                                     &limit))
        return NULL;
    PyObject *items = PySequence_Tuple(fields);
    if (items == NULL)
        return NULL;
    Encoder *self = (Encoder *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(items);
        return NULL;
    }
    self->vectorcall = encode;
    self->head = Py_NewRef(head);
    self->careful = Py_NewRef(careful);
    self->limit = limit;
    self->time.second = -1;
    Py_ssize_t count = PyTuple_GET_SIZE(items);
    self->fields = PyMem_Calloc((size_t)(count ? count : 1), sizeof(Field));
    if (self->fields == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; self->fields != NULL && i < count; i++) {
        self->count = i + 1; /* what `clear` has to look at */
        if (!take_field(&self->fields[i], PyTuple_GET_ITEM(items, i)))
            break;
        self->calls_python |= self->fields[i].kind == OTHER;
    }
    Py_DECREF(items);
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyTypeObject encoder_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.FlatEncoder",
    .tp_doc = "Writes closed records of one class as lines of flat JSON.",
    .tp_basicsize = sizeof(Encoder),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Encoder, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = encoder_new,
    .tp_dealloc = encoder_dealloc,
    .tp_traverse = encoder_traverse,
    .tp_clear = encoder_clear,
};
