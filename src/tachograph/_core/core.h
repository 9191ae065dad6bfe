/* What the parts of the native core know of each other.

   Every part runs with the GIL held; none keeps a lock. Whatever is unusual is left to Python. */

#ifndef TACHOGRAPH_CORE_H
#define TACHOGRAPH_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>

/* clock.c: nanoseconds; -1 with an exception set when a test's clock raised. */
long long core_monotonic_ns(void);
long long core_time_ns(void);
PyObject *core_set_clock(PyObject *module, PyObject *clock);

/* text.c: writers of JSON text. They return 1: written; 0: not for us, Python decides; -1: an
   exception is set. */
typedef struct {
    char *at;
    char *end;
    int python; /* whether Python may be called while this is filled */
} Buffer;

typedef struct {
    long long second; /* of the cached prefix */
    char prefix[32];  /* 2024-01-15T10:00:00. */
} TimeText;

static inline int put(Buffer *b, const char *text, Py_ssize_t length)
{
    if (b->end - b->at < length)
        return 0;
    memcpy(b->at, text, (size_t)length);
    b->at += length;
    return 1;
}

/* The same for text that is followed by at least 15 bytes more, and a buffer by as many: copied in
   blocks of sixteen, which is cheaper than a call. */
#define SLACK 16
static inline int put_padded(Buffer *b, const char *text, Py_ssize_t length)
{
    if (b->end - b->at < length)
        return 0;
    char *to = b->at;
    b->at += length;
    for (;;) {
        memcpy(to, text, 16);
        if (length <= 16)
            return 1;
        to += 16;
        text += 16;
        length -= 16;
    }
}

int put_decimal(Buffer *b, long long value);
/* Bytes of a property that are certainly few enough; longer ones are looked at by the writer. */
#define MAX_TEXT 4096
int put_string(Buffer *b, PyObject *value);
int put_int(Buffer *b, PyObject *value, int quoted);
int put_float(Buffer *b, PyObject *value);
int put_duration(Buffer *b, long long ns, long long unit_ns);
int put_time(Buffer *b, TimeText *cache, long long time_ns);

/* instruments.c */
typedef struct {
    PyObject_HEAD
    long long value;
    long long underflows;
} Counter;

typedef struct {
    PyObject_HEAD
    long long total_ns;
    long long running;
    long long started;
    int over; /* whether its record has taken the sum */
} Stopwatch;

typedef struct {
    PyObject_HEAD
    long long started_ns;
    long long stopped_ns;
    int stopped;
} Timer;

extern PyTypeObject counter_type, stopwatch_type, span_type, timer_type, instrument_type;
void counter_add(Counter *self, long long amount);
/* 0: it was never started. */
int stopwatch_elapsed(Stopwatch *self, long long now_ns, long long *elapsed_ns);
PyObject *core_on_late(PyObject *module, PyObject *callback);
long long timer_elapsed(Timer *self, long long now_ns);

/* pipe.c */
PyObject *core_write_ready(PyObject *module, PyObject *args);

/* lines.c */
typedef struct Lines Lines;
extern PyTypeObject lines_type, batch_type;
int lines_append(Lines *self, const char *line, size_t length);
/* Room for a line of up to `length` bytes, or NULL; it is taken by `lines_commit` before anything
   else happens to the queue. */
char *lines_reserve(Lines *self, size_t length);
void lines_commit(Lines *self, size_t length);

/* encode.c: how a field is written. */
enum { OTHER, STR, BOOL, INT, INT_TEXT, FLOAT, ENUM, DURATION, BIT };
extern PyTypeObject encoder_type;
/* Append the line of an open record to `lines`. 1: done; 0: leave it to Python. */
struct Record;
int encoder_write_record(PyObject *encoder, struct Record *record, long long now_ns, Lines *lines);

/* record.c */
enum { NEW, OPEN, DONE, DISCARDED, CHILD, HELD };

struct Plan;
typedef struct Record {
    PyObject_HEAD
    struct Plan *plan; /* borrowed: it lives as long as the class */
    PyObject *token;   /* of the context variable while the scope is open */
    PyObject *outer;   /* the record that was innermost before this one */
    PyObject *more;    /* what few records have: holds, extra keys */
    long long started_ns;
    long long time_ns;
    int state;
} Record;

/* How one emitted field is read from a record. */
enum { READ_SLOT, READ_TIMER, READ_STOPWATCH, READ_GAUGE, READ_OUTCOME, READ_CALL };
typedef struct {
    int how;
    int node;          /* 0: the record itself; else one of its children */
    Py_ssize_t offset; /* of the slot */
    PyObject *object;  /* the gauge's counter, or what to call */
} Source;

extern PyTypeObject record_type;
PyObject *core_emitted(PyObject *module, PyObject *unused);
PyObject *core_id_of(PyObject *module, PyObject *const *args, Py_ssize_t count); /* ids.c */
PyObject *core_number_of(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* plan.c */
extern PyTypeObject plan_type;
const Source *plan_sources(struct Plan *plan, Py_ssize_t *count);
/* The record that holds a node's slots; NULL when it is not what the class says. */
Record *plan_node(struct Plan *plan, Record *record, int node);
PyObject *core_forget_routes(PyObject *module, PyObject *unused);
PyObject *core_offset_of(PyObject *module, PyObject *args);

/* construct.c */
PyObject *core_bind(PyObject *module, PyObject *args);

#endif
