/* Ids of requests. The twin is tachograph/_base/ids.py. */

#include "core.h"
#include "ids.h"

static const uint8_t *series_of(PyObject *series)
{
    if (!PyBytes_Check(series) || PyBytes_GET_SIZE(series) != SERIES_BYTES) {
        PyErr_Format(PyExc_ValueError, "expected a series of %d bytes, got %R", SERIES_BYTES, series);
        return NULL;
    }
    return (const uint8_t *)PyBytes_AS_STRING(series);
}

PyObject *core_id_of(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "id_of: expected a series and a number, got %zd arguments", count);
        return NULL;
    }
    const uint8_t *series = series_of(args[0]);
    if (series == NULL)
        return NULL;
    uint64_t number = PyLong_AsUnsignedLongLong(args[1]), halves[2];
    if (number == (uint64_t)-1 && PyErr_Occurred())
        return NULL;
    PyObject *text = PyUnicode_New(UUID_TEXT, 127);
    if (text != NULL) {
        series_id(series, number, halves);
        uuid_format(halves, (char *)PyUnicode_1BYTE_DATA(text));
    }
    return text;
}

PyObject *core_number_of(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyUnicode_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "number_of: expected a series and a text");
        return NULL;
    }
    const uint8_t *series = series_of(args[0]);
    if (series == NULL)
        return NULL;
    uint64_t halves[2], number = SERIES_MOST;
    if (PyUnicode_IS_COMPACT_ASCII(args[1]) && PyUnicode_GET_LENGTH(args[1]) == UUID_TEXT &&
        uuid_parse((const char *)PyUnicode_1BYTE_DATA(args[1]), halves))
        number = series_number(series, halves);
    if (number == SERIES_MOST)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(number);
}
