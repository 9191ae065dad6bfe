/* Flat JSON lines: the native twin of the function that formats/json.py generates.

   A line is written into a buffer on the stack, field by field. Whatever is unusual (a value of
   another type, a number that needs care, a line that might be too long) is left to Python: one
   field to its writer, the whole record to the careful encoder. So there is nothing here to get
   wrong about rare cases, and both make the same bytes. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum { OTHER, STR, BOOL, INT, INT_TEXT, FLOAT, ENUM, DURATION };

#define CAPACITY 8192
#define NS_PER_S 1000000000LL
/* Beyond this many digits the writer looks at an integer. */
#define PLAIN_INT 1000000000000000LL

typedef struct {
    PyObject *member; /* borrowed from the field's labels */
    const char *text;
    Py_ssize_t length;
} Label;

typedef struct {
    PyObject *key;    /* bytes */
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
    long long second; /* of the cached prefix */
    char prefix[32];  /* 2024-01-15T10:00:00. */
} Encoder;

typedef struct {
    char *at;
    char *end;
} Buffer;

static int put(Buffer *b, const char *text, Py_ssize_t length)
{
    if (b->end - b->at < length)
        return 0;
    memcpy(b->at, text, (size_t)length);
    b->at += length;
    return 1;
}

static int put_decimal(Buffer *b, long long value)
{
    char digits[24];
    char *p = digits + sizeof digits;
    unsigned long long rest = value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--p = '-';
    return put(b, p, digits + sizeof digits - p);
}

/* 1: written; 0: not for us; -1: an exception is set. */
static int put_string(Buffer *b, PyObject *value)
{
    if (!PyUnicode_CheckExact(value))
        return 0;
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (text == NULL) { /* a lone surrogate */
        PyErr_Clear();
        return 0;
    }
    if (b->end - b->at < length + 2)
        return 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\')
            return 0;
    }
    *b->at++ = '"';
    memcpy(b->at, text, (size_t)length);
    b->at += length;
    *b->at++ = '"';
    return 1;
}

static int put_int(Buffer *b, PyObject *value, int quoted)
{
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || number <= -PLAIN_INT || number >= PLAIN_INT)
        return 0;
    if (!quoted)
        return put_decimal(b, number);
    return put(b, "\"", 1) && put_decimal(b, number) && put(b, "\"", 1);
}

static int put_float(Buffer *b, PyObject *value)
{
    if (!PyFloat_CheckExact(value))
        return 0;
    double number = PyFloat_AS_DOUBLE(value);
    double size = number < 0 ? -number : number;
    /* Here `repr` has no exponent, and the digits are those of our rules. Zero is among them. */
    if (!(size == 0 || (size >= 1e-4 && size < 1e16)))
        return 0;
    char *text = PyOS_double_to_string(number, 'r', 0, 0, NULL);
    if (text == NULL)
        return -1;
    int done = put(b, text, (Py_ssize_t)strlen(text));
    PyMem_Free(text);
    return done;
}

/* Nanoseconds in their unit, as the decimal that they are. It has at most 15 digits, and those are
   the shortest that round-trip: no other decimal of that length is as near to the same double. */
static int put_duration(Buffer *b, PyObject *value, long long unit_ns)
{
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    long long ns = PyLong_AsLongLongAndOverflow(value, &overflow);
    /* Below a millionth of the unit there would be an exponent. */
    if (overflow || ns < 0 || ns >= PLAIN_INT || (ns != 0 && ns < unit_ns / 1000000))
        return 0;
    if (!put_decimal(b, ns / unit_ns))
        return 0;
    long long rest = ns % unit_ns;
    if (rest == 0)
        return 1;
    char digits[20];
    int length = 0;
    digits[length++] = '.';
    for (long long place = unit_ns / 10; rest != 0; place /= 10) {
        digits[length++] = (char)('0' + rest / place);
        rest %= place;
    }
    return put(b, digits, length);
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

static int put_field(Buffer *b, PyObject *value, const Field *field)
{
    if (value == Py_None && field->optional)
        return 1;
    if (!put(b, PyBytes_AS_STRING(field->key), PyBytes_GET_SIZE(field->key)))
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
        done = put_duration(b, value, field->unit_ns);
        break;
    default:
        break;
    }
    return done ? done : put_written(b, value, field);
}

static int put_time(Encoder *self, Buffer *b, long long time_ns)
{
    long long second = time_ns / NS_PER_S;
    if (second != self->second) {
        time_t seconds = (time_t)second;
        struct tm parts;
#ifdef _WIN32
        if (gmtime_s(&parts, &seconds) != 0)
            return 0;
#else
        if (gmtime_r(&seconds, &parts) == NULL)
            return 0;
#endif
        if (parts.tm_year + 1900 > 9999)
            return 0;
        strftime(self->prefix, sizeof self->prefix, "%Y-%m-%dT%H:%M:%S.", &parts);
        self->second = second;
    }
    char micros[7];
    long rest = (long)((time_ns - second * NS_PER_S) / 1000);
    for (int i = 5; i >= 0; i--) {
        micros[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    micros[6] = 'Z';
    return put(b, self->prefix, 20) && put(b, micros, 7);
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
    Buffer b = {line, line + sizeof line - 2};
    int overflow = 0;
    long long time_ns = PyLong_Check(args[0]) ? PyLong_AsLongLongAndOverflow(args[0], &overflow) : -1;
    if (args[2] != Py_None || overflow || time_ns < 0 || !PyTuple_CheckExact(values) ||
        PyTuple_GET_SIZE(values) != self->count)
        goto careful;
    if (!put(&b, "{\"timestamp\":\"", 14) || !put_time(self, &b, time_ns) ||
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

static int take_field(Field *field, PyObject *item)
{
    if (!PyArg_ParseTuple(item, "SipOOL", &field->key, &field->kind, &field->optional,
                          &field->labels, &field->writer, &field->unit_ns)) {
        memset(field, 0, sizeof *field);
        return 0;
    }
    Py_INCREF(field->key);
    Py_INCREF(field->labels);
    Py_INCREF(field->writer);
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
        Py_XDECREF(fields[i].key);
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
    self->second = -1;
    Py_ssize_t count = PyTuple_GET_SIZE(items);
    self->fields = PyMem_Calloc((size_t)(count ? count : 1), sizeof(Field));
    if (self->fields == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; self->fields != NULL && i < count; i++) {
        self->count = i + 1; /* what `clear` has to look at */
        if (!take_field(&self->fields[i], PyTuple_GET_ITEM(items, i)))
            break;
    }
    Py_DECREF(items);
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyTypeObject encoder_type = {
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

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "The native core.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__native(void)
{
    if (PyType_Ready(&encoder_type) < 0)
        return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made == NULL)
        return NULL;
    if (PyModule_AddObjectRef(made, "FlatEncoder", (PyObject *)&encoder_type) < 0 ||
        PyModule_AddIntConstant(made, "OTHER", OTHER) < 0 ||
        PyModule_AddIntConstant(made, "STR", STR) < 0 ||
        PyModule_AddIntConstant(made, "BOOL", BOOL) < 0 ||
        PyModule_AddIntConstant(made, "INT", INT) < 0 ||
        PyModule_AddIntConstant(made, "INT_TEXT", INT_TEXT) < 0 ||
        PyModule_AddIntConstant(made, "FLOAT", FLOAT) < 0 ||
        PyModule_AddIntConstant(made, "ENUM", ENUM) < 0 ||
        PyModule_AddIntConstant(made, "DURATION", DURATION) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
