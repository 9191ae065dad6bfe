/* The fields of an event as bytes; docs/format.md says how each type is written.

   Only what needs no thought: for anything else None is returned, and the writer in Python, which is
   tachograph/trace/encode.py, does it or says what is wrong. */

#include "bytes.h"
#include "loop.h"

enum {
    I64 = 1,
    F64,
    BOOL,
    STRING,
    BYTES,
    POOLED_STACK,
    POOLED_STRING,
    STACK_FRAMES,
    VARINT,
    STRING_MAP,
    U8,
    U16,
    U32,
    OPTIONAL = 0x80
};
enum { STRINGS_TAG = 3, STACKS_TAG = 4 };
#define MOST_FRAMES 4096

static int put_u32_and(Bytes *body, const char *data, Py_ssize_t size)
{
    if (size > UINT32_MAX)
        return 0;
    little(bytes_take(body, 4), (uint64_t)size, 4);
    bytes_put(body, data, (size_t)size);
    return 1;
}

static int put_text(Bytes *body, PyObject *text)
{
    Py_ssize_t size;
    const char *data = PyUnicode_CheckExact(text) ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    return data != NULL && put_u32_and(body, data, size);
}

/* A number from 0 to `most`; 0 on failure. */
static int number_of(PyObject *value, uint64_t most, uint64_t *to)
{
    if (!PyLong_Check(value))
        return 0;
    *to = PyLong_AsUnsignedLongLong(value);
    return !(*to == (uint64_t)-1 && PyErr_Occurred()) && *to <= most;
}

static int put_number(Bytes *body, PyObject *value, int bytes)
{
    uint64_t number;
    if (!number_of(value, ((uint64_t)1 << (8 * bytes)) - 1, &number))
        return 0;
    little(bytes_take(body, (size_t)bytes), number, bytes);
    return 1;
}

static int put_varint(Bytes *body, PyObject *value)
{
    uint64_t number;
    if (!number_of(value, UINT64_MAX, &number))
        return 0;
    bytes_leb(body, number);
    return 1;
}

/* Put a value with a number of its own into a pool, and its entry on the stream before the event. */
static int add_to_pool(PyObject *out, PyObject *pool, PyObject *key, int tag, const Bytes *entry)
{
    Py_ssize_t number = PyDict_GET_SIZE(pool), before = PyByteArray_GET_SIZE(out);
    size_t size = bytes_size(entry);
    PyObject *boxed = PyLong_FromSsize_t(number);
    if (boxed == NULL || number > UINT32_MAX ||
        PyByteArray_Resize(out, before + 9 + (Py_ssize_t)size) < 0) {
        Py_XDECREF(boxed);
        return 0;
    }
    uint8_t *at = (uint8_t *)PyByteArray_AS_STRING(out) + before;
    at[0] = (uint8_t)tag;
    little(at + 1, 1, 4);
    little(at + 5, (uint64_t)number, 4);
    memcpy(at + 9, entry->start, size);
    int failed = PyDict_SetItem(pool, key, boxed) < 0;
    if (failed)
        PyByteArray_Resize(out, before);
    Py_DECREF(boxed);
    return !failed;
}

static int put_addresses(Bytes *body, PyObject *frames)
{
    Py_ssize_t count = PyTuple_GET_SIZE(frames);
    uint8_t *at = count > MOST_FRAMES ? NULL : bytes_take(body, 4 + 8 * (size_t)count);
    if (at == NULL)
        return 0;
    little(at, (uint64_t)count, 4);
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t address;
        if (!number_of(PyTuple_GET_ITEM(frames, i), UINT64_MAX, &address))
            return 0;
        little(at + 4 + 8 * i, address, 8);
    }
    return 1;
}

/* `shares`: a new entry is not for here. */
static int put_pooled(Bytes *body, PyObject *value, PyObject *pool, PyObject *out, int tag, int shares)
{
    int is_text = tag == STRINGS_TAG;
    if (is_text ? !PyUnicode_CheckExact(value) : !PyTuple_CheckExact(value))
        return 0;
    PyObject *known = PyDict_GetItemWithError(pool, value); /* borrowed */
    if (known == NULL) {
        if (PyErr_Occurred() || shares)
            return 0;
        Bytes entry = {0};
        int done = (is_text ? put_text(&entry, value) : put_addresses(&entry, value)) &&
                   !entry.failed && add_to_pool(out, pool, value, tag, &entry);
        PyMem_RawFree(entry.start);
        known = done ? PyDict_GetItemWithError(pool, value) : NULL;
        if (known == NULL)
            return 0;
    }
    return put_number(body, known, 4);
}

static int put_map(Bytes *body, PyObject *map)
{
    if (!PyDict_CheckExact(map))
        return 0;
    little(bytes_take(body, 4), (uint64_t)PyDict_GET_SIZE(map), 4);
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(map, &at, &key, &value);)
        if (!put_text(body, key) || !put_text(body, value))
            return 0;
    return 1;
}

static int put_field(Bytes *body, int kind, PyObject *value, PyObject *strings, PyObject *stacks,
                     PyObject *out, int shares)
{
    Py_ssize_t size;
    char *data;
    switch (kind) {
    case I64: {
        if (!PyLong_Check(value))
            return 0;
        int64_t number = PyLong_AsLongLong(value);
        if (number == -1 && PyErr_Occurred())
            return 0;
        little(bytes_take(body, 8), (uint64_t)number, 8);
        return 1;
    }
    case F64: {
        if (!PyFloat_CheckExact(value))
            return 0;
        double number = PyFloat_AS_DOUBLE(value);
        uint64_t bits;
        memcpy(&bits, &number, 8);
        little(bytes_take(body, 8), bits, 8);
        return 1;
    }
    case BOOL:
        if (!PyBool_Check(value))
            return 0;
        little(bytes_take(body, 1), value == Py_True, 1);
        return 1;
    case STRING:
        return put_text(body, value);
    case BYTES:
        if (!PyBytes_CheckExact(value) || PyBytes_AsStringAndSize(value, &data, &size) < 0)
            return 0;
        return put_u32_and(body, data, size);
    case POOLED_STACK:
        return put_pooled(body, value, stacks, out, STACKS_TAG, shares);
    case POOLED_STRING:
        return put_pooled(body, value, strings, out, STRINGS_TAG, 0);
    case VARINT:
        return put_varint(body, value);
    case STRING_MAP:
        return put_map(body, value);
    case U8:
        return put_number(body, value, 1);
    case U16:
        return put_number(body, value, 2);
    case U32:
        return put_number(body, value, 4);
    default:
        return 0;
    }
}

/* out, kinds, values, strings, stacks, whether stacks are written in parts */
PyObject *loop_fields(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 6 || !PyByteArray_CheckExact(args[0]) || !PyBytes_CheckExact(args[1]) ||
        !PyTuple_CheckExact(args[2]) || !PyDict_CheckExact(args[3]) || !PyDict_CheckExact(args[4]) ||
        !PyBool_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError, "fields: expected a bytearray, bytes, a tuple, two dicts and a bool");
        return NULL;
    }
    const uint8_t *kinds = (const uint8_t *)PyBytes_AS_STRING(args[1]);
    Py_ssize_t fields = PyBytes_GET_SIZE(args[1]);
    if (fields != PyTuple_GET_SIZE(args[2]))
        Py_RETURN_NONE;
    Bytes body = {0};
    int good = 1;
    for (Py_ssize_t i = 0; good && i < fields; i++) {
        PyObject *value = PyTuple_GET_ITEM(args[2], i);
        if (kinds[i] & OPTIONAL) {
            little(bytes_take(&body, 1), value != Py_None, 1);
            if (value == Py_None)
                continue;
        }
        good = put_field(&body, kinds[i] & ~OPTIONAL, value, args[3], args[4], args[0],
                         args[5] == Py_True);
    }
    PyErr_Clear();
    PyObject *found = good && !body.failed
                          ? PyBytes_FromStringAndSize((char *)body.start, (Py_ssize_t)bytes_size(&body))
                          : Py_NewRef(Py_None);
    PyMem_RawFree(body.start);
    return found;
}
