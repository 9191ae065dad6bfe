/* Writing to a pipe, socket or terminal that may be full, never waiting longer than told.

   All of it happens without the GIL: a writer that had to ask for it after each few kilobytes would
   starve beside busy threads. */

#include "core.h"

#if defined(__unix__) || defined(__APPLE__)
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#ifndef PIPE_BUF
#define PIPE_BUF 512
#endif

/* How much goes at once: whole lines of what a ready pipe takes without blocking (POSIX.1), so that
   those of several processes do not mix; a part of a longer line. */
static size_t at_once(const char *data, size_t size)
{
    if (size > PIPE_BUF)
        size = PIPE_BUF;
    for (size_t end = size; end > 0; end--)
        if (data[end - 1] == '\n')
            return end;
    return size;
}

PyObject *core_write_ready(PyObject *module, PyObject *args)
{
    int descriptor, wait_ms, failed = 0;
    Py_buffer block;
    if (!PyArg_ParseTuple(args, "iy*i", &descriptor, &block, &wait_ms))
        return NULL;
    const char *data = block.buf;
    size_t size = (size_t)block.len, done = 0;
    Py_BEGIN_ALLOW_THREADS
    while (done < size) {
        struct pollfd asked = {.fd = descriptor, .events = POLLOUT};
        int ready = poll(&asked, 1, done ? 0 : wait_ms);
        ssize_t written = ready > 0 ? write(descriptor, data + done, at_once(data + done, size - done))
                                    : ready;
        if (written <= 0) {
            failed = written < 0 && errno != EAGAIN && errno != EINTR ? errno : 0;
            break;
        }
        done += (size_t)written;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&block);
    if (failed && !done) { /* else the next call meets it again */
        errno = failed;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromSize_t(done);
}
#else
PyObject *core_write_ready(PyObject *module, PyObject *args)
{
    PyErr_SetString(PyExc_NotImplementedError, "poll() is not there on this system");
    return NULL;
}
#endif
