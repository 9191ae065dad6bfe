/* Where a suspended task waits: the chain of what it awaits, from its coroutine inwards.

   At the start of a step the task is still as it was suspended, so the chain that is read there is
   the one it waited with. Equal chains have one number; what it stands for is told to Python when it
   is given, with the objects still alive. A chain that is known costs a walk over pointers and a look
   into a table: no allocation, no lock. */

#include "loop.h"
#include "compat.h"

#define MOST_DEPTH 64

typedef struct {
    PyObject *code; /* borrowed while walking, owned by the table once it has a number */
    int place;
} Link;

typedef struct {
    uint64_t hash;
    uint32_t number; /* 0: free */
    PyObject *holds; /* the codes, so that no address is used twice */
} Chain;

static Chain *chains;
static uint32_t used;
static long long chains_full, chains_failed;
static getter of_coroutine, of_generator, of_async_generator;

/* What an object that is awaited stands for: the coroutine, generator or future within it. */
typedef struct {
    PyTypeObject *type;
    Py_ssize_t offset;
} Wrapper;
#define MOST_WRAPPERS 8
static Wrapper wrappers[MOST_WRAPPERS];
static int wrapper_count;

static getter find_getter(PyTypeObject *type, const char *name)
{
    for (PyGetSetDef *one = type->tp_getset; one != NULL && one->name != NULL; one++)
        if (strcmp(one->name, name) == 0)
            return one->get;
    return NULL;
}

/* The object that a suspended coroutine or generator waits for, a new reference; NULL for none. */
static PyObject *awaited_by(PyObject *object)
{
    getter get = PyCoro_CheckExact(object)       ? of_coroutine
                 : PyGen_CheckExact(object)      ? of_generator
                 : PyAsyncGen_CheckExact(object) ? of_async_generator
                                                 : NULL;
    PyObject *found = get == NULL ? NULL : get(object, NULL);
    if (found == NULL)
        PyErr_Clear();
    else if (found == Py_None)
        Py_CLEAR(found);
    return found;
}

static PyObject *unwrapped(PyObject *object)
{
    for (int i = 0; i < wrapper_count; i++)
        if (Py_IS_TYPE(object, wrappers[i].type))
            return *slot_of(object, wrappers[i].offset);
    return NULL;
}

static inline int has_frame(PyObject *object)
{
    return PyCoro_CheckExact(object) || PyGen_CheckExact(object) || PyAsyncGen_CheckExact(object);
}

/* The links of a chain, outermost first; what it ends at is `last`, a new reference or NULL. */
static int walk_chain(PyObject *coro, Link *links, PyObject **last)
{
    int depth = 0;
    PyObject *object = Py_NewRef(coro);
    while (object != NULL && depth < MOST_DEPTH) {
        if (!has_frame(object)) {
            PyObject *inner = unwrapped(object);
            if (inner == NULL || !(has_frame(inner) || unwrapped(inner)))
                break;
            Py_SETREF(object, Py_NewRef(inner));
            continue;
        }
        if (!frame_is_suspended(object))
            break;
        PyCodeObject *code = code_of_coro(object);
        links[depth].code = (PyObject *)code;
        links[depth++].place = place_in_frame(frame_of_coro(object), code);
        Py_DECREF(code); /* the coroutine holds it */
        Py_SETREF(object, awaited_by(object));
    }
    *last = object;
    return depth;
}

static uint64_t hash_of(const Link *links, int depth)
{
    uint64_t hash = (uint64_t)depth;
    for (int i = 0; i < depth; i++) {
        hash = (hash ^ (uintptr_t)links[i].code) * 0x9E3779B97F4A7C15u;
        hash = (hash ^ hash >> 32 ^ (uint64_t)links[i].place) * 0xC2B2AE3D27D4EB4Fu;
    }
    return hash ^ hash >> 29;
}

/* The chain innermost first, as Python is told it: codes and lines. */
static PyObject *told(const Link *links, int depth)
{
    PyObject *found = PyTuple_New(depth);
    for (int i = 0; found != NULL && i < depth; i++) {
        const Link *link = &links[depth - 1 - i];
        int line = PyCode_Addr2Line((PyCodeObject *)link->code, link->place);
        PyObject *pair = Py_BuildValue("Oi", link->code, line);
        if (pair == NULL)
            Py_CLEAR(found);
        else
            PyTuple_SET_ITEM(found, i, pair);
    }
    return found;
}

static uint32_t number_of(const Link *links, int depth)
{
    uint64_t hash = hash_of(links, depth);
    if (unlikely(chains == NULL)) {
        chains = PyMem_RawCalloc(MOST_CHAINS * 2, sizeof *chains);
        if (chains == NULL)
            return 0;
    }
    Chain *chain;
    for (size_t at = hash;; at++) {
        chain = &chains[at & (MOST_CHAINS * 2 - 1)];
        if (likely(chain->hash == hash && chain->number))
            return chain->number;
        if (chain->number == 0)
            break;
    }
    if (used == MOST_CHAINS) {
        chains_full++;
        return 0;
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    /* It runs Python: another chain may come to stand in this place meanwhile, so it is kept first. */
    *chain = (Chain){hash, ++used, NULL};
    uint32_t number = used;
    PyObject *frames = told(links, depth), *done = NULL;
    if (frames != NULL) {
        chain->holds = frames;
        done = PyObject_CallFunction(aio.note_name, "iIOiO", NAME_STACK, number, frames, 0, Py_None);
    }
    if (done == NULL) {
        chains_failed++;
        PyErr_Clear();
    }
    Py_XDECREF(done);
    PyErr_Restore(type, error, traceback);
    return number;
}

uint32_t chain_number(PyObject *coro)
{
    if (coro == NULL || !has_frame(coro) || !frame_is_suspended(coro))
        return 0;
    Link links[MOST_DEPTH];
    PyObject *last;
    int depth = walk_chain(coro, links, &last);
    Py_XDECREF(last);
    return depth == 0 ? 0 : number_of(links, depth);
}

/* ------------------------------------------------------------------ for Python */

int chains_configure(PyObject *facts)
{
    of_coroutine = find_getter(&PyCoro_Type, "cr_await");
    of_generator = find_getter(&PyGen_Type, "gi_yieldfrom");
    of_async_generator = find_getter(&PyAsyncGen_Type, "ag_await");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(facts) && wrapper_count < MOST_WRAPPERS; i++) {
        PyObject *type;
        Py_ssize_t offset;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(facts, i), "O!n", &PyType_Type, &type, &offset))
            return -1;
        wrappers[wrapper_count++] = (Wrapper){(PyTypeObject *)Py_NewRef(type), offset};
    }
    return 0;
}

PyObject *loop_chains(PyObject *module, PyObject *on)
{
    int wanted = PyObject_IsTrue(on);
    if (wanted < 0)
        return NULL;
    if (wanted && !(wrapper_count && of_coroutine && of_generator && of_async_generator)) {
        PyErr_SetString(PyExc_RuntimeError, "coroutines do not tell here what they await");
        return NULL;
    }
    aio.chains = wanted;
    Py_RETURN_NONE;
}

/* The number of a coroutine's chain and the object at its end; for a task that is asked for. */
PyObject *loop_chain_of(PyObject *module, PyObject *coro)
{
    Link links[MOST_DEPTH];
    PyObject *last = NULL;
    uint32_t number = 0;
    if (has_frame(coro) && frame_is_suspended(coro)) {
        int depth = walk_chain(coro, links, &last);
        number = depth == 0 ? 0 : number_of(links, depth);
        PyObject *inner = last == NULL ? NULL : unwrapped(last);
        if (inner != NULL)
            Py_SETREF(last, Py_NewRef(inner));
    }
    PyObject *found = Py_BuildValue("IO", number, last == NULL ? Py_None : last);
    Py_XDECREF(last);
    return found;
}

PyObject *loop_chain_counts(PyObject *module, PyObject *unused)
{
    return Py_BuildValue("{sIsLsL}", "chains", used, "chains_full", chains_full, "chains_failed",
                         chains_failed);
}
