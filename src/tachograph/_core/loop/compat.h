/* What lies inside coroutines and running frames, by version: the only conditionals of the core. */

#ifndef TACHOGRAPH_COMPAT_H
#define TACHOGRAPH_COMPAT_H

#include "loop.h"

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#if PY_VERSION_HEX >= 0x030E0000
#include "internal/pycore_frame.h"
#include "internal/pycore_genobject.h"
#include "internal/pycore_interpframe.h"
#include "internal/pycore_interpframe_structs.h"
#else
#include "internal/pycore_frame.h"
#endif

typedef struct _PyInterpreterFrame Frame;

static inline int is_coroutine(PyObject *object)
{
    return PyCoro_CheckExact(object) || PyGen_CheckExact(object);
}

/* Of a coroutine or generator: whether it has not begun. */
static inline int frame_is_new(PyObject *coro)
{
    return ((PyGenObject *)coro)->gi_frame_state == FRAME_CREATED;
}

/* Of a coroutine or generator of any kind: whether it waits for something. */
static inline int frame_is_suspended(PyObject *coro)
{
    int8_t state = ((PyGenObject *)coro)->gi_frame_state;
#if PY_VERSION_HEX >= 0x030D0000
    return FRAME_STATE_SUSPENDED(state);
#else
    return state == FRAME_SUSPENDED;
#endif
}

static inline Frame *frame_of_coro(PyObject *coro)
{
    return (Frame *)(void *)&((PyGenObject *)coro)->gi_iframe;
}

/* Of a coroutine or generator: its code, a new reference. */
static inline PyCodeObject *code_of_coro(PyObject *coro)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyGen_GetCode((PyGenObject *)coro);
#else
    return (PyCodeObject *)Py_NewRef(((PyGenObject *)coro)->gi_code);
#endif
}

/* The state of the thread that calls; NULL if it has none, as at the interpreter's end. */
static inline PyThreadState *state_here(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

static inline Frame *innermost_frame(void)
{
    PyThreadState *state = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030D0000
    return state->current_frame;
#else
    return state->cframe == NULL ? NULL : state->cframe->current_frame;
#endif
}

/* The code that a frame runs, borrowed; NULL for the interpreter's own. */
static inline PyCodeObject *code_of_frame(Frame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    if (frame->owner >= FRAME_OWNED_BY_INTERPRETER)
        return NULL;
    return _PyFrame_GetCode(frame);
#elif PY_VERSION_HEX >= 0x030D0000
    if (frame->owner == FRAME_OWNED_BY_CSTACK || !PyCode_Check(frame->f_executable))
        return NULL;
    return (PyCodeObject *)frame->f_executable;
#elif PY_VERSION_HEX >= 0x030C0000
    return frame->owner == FRAME_OWNED_BY_CSTACK ? NULL : frame->f_code;
#else
    return frame->f_code;
#endif
}

/* Which instruction of its code a frame is at, in bytes. */
static inline int place_in_frame(Frame *frame, PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030D0000
    return (int)((char *)frame->instr_ptr - (char *)_PyCode_CODE(code));
#else
    return (int)((char *)frame->prev_instr - (char *)_PyCode_CODE(code));
#endif
}

#endif
