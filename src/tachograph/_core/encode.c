/* Lines of flat JSON and EMF: the native twin of what formats/json.py and formats/emf.py write.

   A line is written into a buffer on the stack, field by field. Whatever is unusual (a value of
   another type, a number that needs care, a line that might be too long) is left to Python: one
   field to its writer, the whole record to the careful encoder. So there is nothing here to get
   wrong about rare cases, and both make the same bytes. */

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

/* What an EMF line has besides its fields. */
typedef struct {
    PyObject *opens;       /* tuple of bytes: the start of each namespace's directive */
    PyObject *definitions; /* tuple of bytes, one for each field; empty for what is no metric */
    PyObject *middle;      /* the globals, between metrics and properties */
    PyObject *end;         /* what stands before the time */
    Py_ssize_t *order;     /* the fields, metrics first */
    Py_ssize_t metrics;
    Py_ssize_t *needed; /* the fields that are dimensions */
    Py_ssize_t needed_count;
} Emf;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Emf *emf; /* NULL: flat JSON */
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

/* Take what the notes of a record say if it is no more than a sampler's rate and weight. */
static int take_notes(Reader *reader, PyObject *notes)
{
    if (notes == Py_None)
        return 1;
    enum { RATE = 3, WEIGHT, SIZE }; /* of Notes in formats/plan.py; what comes before are tuples */
    if (!PyTuple_Check(notes) || PyTuple_GET_SIZE(notes) != SIZE)
        return 0;
    for (Py_ssize_t i = 0; i < RATE; i++) {
        PyObject *told = PyTuple_GET_ITEM(notes, i);
        if (!PyTuple_CheckExact(told) || PyTuple_GET_SIZE(told) != 0)
            return 0;
    }
    PyObject *weight = PyTuple_GET_ITEM(notes, WEIGHT);
    reader->rate = PyTuple_GET_ITEM(notes, RATE);
    if (!PyFloat_CheckExact(reader->rate) || !PyLong_CheckExact(weight))
        return 0;
    int overflow;
    reader->weight = PyLong_AsLongLongAndOverflow(weight, &overflow);
    return !overflow && reader->weight > 0;
}

static int put_end(Buffer *b, const Reader *reader)
{
    if (reader->rate != NULL &&
        !(put(b, ",\"_weight\":", 11) && put_decimal(b, reader->weight) &&
          put(b, ",\"_rate\":", 9) && put_float(b, reader->rate) > 0))
        return 0;
    return put(b, "}\n", 2);
}

static Record *holder_of(Reader *reader, const Source *source)
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

#define BYTES(object) PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object)

static int write_flat(Encoder *self, Reader *reader, Buffer *b)
{
    if (!put(b, "{\"timestamp\":\"", 14) || !put_time(b, &self->time, reader->time_ns) ||
        !put(b, BYTES(self->head)))
        return 0;
    for (Py_ssize_t i = 0; i < self->count; i++) {
        int done = put_at(b, reader, self, i);
        if (done <= 0)
            return done;
    }
    return put_end(b, reader);
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

/* Two weeks back, two hours ahead: the careful encoder counts what lies further. Asked for before a
   line is begun, since a test's clock is Python. */
static int is_in_window(const Encoder *self, long long time_ns)
{
    if (self->emf == NULL)
        return 1;
    long long now_ns = core_time_ns();
    if (now_ns == -1 && PyErr_Occurred())
        return 0;
    long long behind = now_ns - time_ns;
    return behind <= 14LL * 86400 * 1000000000 && behind >= -2LL * 3600 * 1000000000;
}

static int write_emf(Encoder *self, Reader *reader, Buffer *b)
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

static int write_line(Encoder *self, Reader *reader, Buffer *b)
{
    return self->emf == NULL ? write_flat(self, reader, b) : write_emf(self, reader, b);
}

static PyObject *encode(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Encoder *self = (Encoder *)callable;
    if (PyVectorcall_NARGS(nargsf) != 3 || (names != NULL && PyTuple_GET_SIZE(names))) {
        PyErr_SetString(PyExc_TypeError, "expected time_ns, values and notes");
        return NULL;
    }
    PyObject *values = args[1];
    int overflow = 0;
    long long time_ns = PyLong_Check(args[0]) ? PyLong_AsLongLongAndOverflow(args[0], &overflow) : -1;
    Reader reader = {.values = values, .time_ns = time_ns};
    if (take_notes(&reader, args[2]) && !overflow && time_ns >= 0 && PyTuple_CheckExact(values) &&
        PyTuple_GET_SIZE(values) == self->count && is_in_window(self, time_ns)) {
        char line[CAPACITY];
        Py_ssize_t room = self->limit < CAPACITY - SLACK ? self->limit : CAPACITY - SLACK;
        Buffer b = {line, line + room, 1};
        int done = write_line(self, &reader, &b);
        if (done > 0)
            return PyBytes_FromStringAndSize(line, b.at - line);
    }
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception))
            return NULL;
        PyErr_Clear();
    }
    return PyObject_Vectorcall(self->careful, args, 3, NULL);
}

int encoder_write_record(PyObject *object, Record *record, long long now_ns, Lines *lines)
{
    Encoder *self = (Encoder *)object;
    Reader reader = {.record = record, .now_ns = now_ns, .time_ns = record->time_ns};
    Py_ssize_t count;
    reader.sources = plan_sources(record->plan, &count);
    reader.holder = record;
    if (count != self->count || record->time_ns < 0 || !is_in_window(self, record->time_ns))
        return 0;
    Py_ssize_t room = self->limit < CAPACITY - SLACK ? self->limit : CAPACITY - SLACK;
    if (!self->calls_python) {
        char *line = lines_reserve(lines, (size_t)room + SLACK);
        if (line != NULL) {
            Buffer b = {line, line + room, 0};
            if (write_line(self, &reader, &b) > 0) {
                lines_commit(lines, (size_t)(b.at - line));
                return 1;
            }
        }
    }
    /* Python may come in between, so not into the queue itself. */
    char line[CAPACITY];
    Buffer b = {line, line + room, 1};
    reader.node = 0;
    reader.holder = record;
    int done = write_line(self, &reader, &b);
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

static int take_emf(Encoder *self, PyObject *description)
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

static void free_emf(Emf *emf)
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

static int encoder_clear(PyObject *object)
{
    Encoder *self = (Encoder *)object;
    Py_CLEAR(self->head);
    Py_CLEAR(self->careful);
    Emf *emf = self->emf;
    self->emf = NULL;
    free_emf(emf);
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
    static char *names[] = {"head", "fields", "careful", "limit", "emf", NULL};
    PyObject *head, *fields, *careful, *emf = Py_None;
    Py_ssize_t limit;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "SOOn|O", names, &head, &fields, &careful,
                                     &limit, &emf))
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
    if (!PyErr_Occurred() && emf != Py_None)
        take_emf(self, emf);
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

PyTypeObject encoder_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tachograph._core._native.LineEncoder",
    .tp_doc = "Writes records of one class as lines.",
    .tp_basicsize = sizeof(Encoder),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Encoder, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = encoder_new,
    .tp_dealloc = encoder_dealloc,
    .tp_traverse = encoder_traverse,
    .tp_clear = encoder_clear,
};
