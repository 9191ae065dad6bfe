/* A method that tells someone of its arguments before it does its work.

   It has no frame: what logs the line that called it still finds that line. */

#include "loop.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *observer, *stock;
} Listener;

static PyObject *listener_call(PyObject *object, PyObject *const *args, size_t flags,
                               PyObject *names)
{
    Listener *self = (Listener *)object;
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    size_t count = (size_t)PyVectorcall_NARGS(flags);
    PyObject *done = PyObject_Vectorcall(self->observer, args, count, names);
    if (done == NULL)
        PyErr_Clear();
    Py_XDECREF(done);
    PyErr_Restore(type, error, traceback);
    return PyObject_Vectorcall(self->stock, args, count, names);
}

static PyObject *listener_get(PyObject *self, PyObject *instance, PyObject *type)
{
    if (instance == NULL || instance == Py_None)
        return Py_NewRef(self);
    return PyMethod_New(self, instance);
}

static PyObject *listener_getattro(PyObject *object, PyObject *name)
{
    PyObject *found = PyObject_GenericGetAttr(object, name);
    if (found != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return found;
    PyErr_Clear();
    return PyObject_GetAttr(((Listener *)object)->stock, name);
}

static void listener_dealloc(Listener *self)
{
    Py_XDECREF(self->observer);
    Py_XDECREF(self->stock);
    PyObject_Free(self);
}

PyTypeObject listener_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "tachograph._core._loop.Listener",
    .tp_basicsize = sizeof(Listener),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Listener, call),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = (destructor)listener_dealloc,
    .tp_descr_get = listener_get,
    .tp_getattro = listener_getattro,
};

PyObject *loop_listener(PyObject *module, PyObject *args)
{
    PyObject *observer, *stock;
    if (!PyArg_ParseTuple(args, "OO", &observer, &stock))
        return NULL;
    Listener *made = PyObject_New(Listener, &listener_type);
    if (made != NULL) {
        made->call = listener_call;
        made->observer = Py_NewRef(observer);
        made->stock = Py_NewRef(stock);
    }
    return (PyObject *)made;
}
