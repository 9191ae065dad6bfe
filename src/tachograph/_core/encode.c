/* The encoder of a record class: lines of flat JSON as formats/json.py writes them, and of EMF.

   A line is written into a buffer on the stack, field by field. Whatever is unusual (a value of
   another type, a number that needs care, a line that might be too long) is left to Python: one
   field to its writer, the whole record to the careful encoder. So there is nothing here to get
   wrong about rare cases, and both make the same bytes. */

#include "line.h"

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

static int write_line(Encoder *self, Reader *reader, Buffer *b)
{
    return self->emf == NULL ? write_flat(self, reader, b) : emf_write(self, reader, b);
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

static int encoder_clear(PyObject *object)
{
    Encoder *self = (Encoder *)object;
    Py_CLEAR(self->head);
    Py_CLEAR(self->careful);
    struct Emf *emf = self->emf;
    self->emf = NULL;
    emf_free(emf);
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
        emf_take(self, emf);
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
