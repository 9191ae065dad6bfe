/* What the parts of the watcher know of each other: the one thread of the core that runs without the
   GIL and looks at what all others do.

   It follows pointers into memory that may be gone at any moment, so it never follows them itself:
   everything is read through the kernel, which says no where a load would crash. */

#ifndef TACHOGRAPH_WATCH_H
#define TACHOGRAPH_WATCH_H

#include "loop.h"
#include "compat.h"

/* ------------------------------------------------------------------ reading memory (peek.c) */

/* Copy `bytes` from an address of this process; 0 when all of them could be read, else -1. */
typedef int (*Reader)(const void *from, void *to, size_t bytes);
int peek(const void *from, void *to, size_t bytes);
struct iovec;
/* The same of several places in one go; how many bytes were read, as far as all before them were. */
size_t peek_all(const struct iovec *from, const struct iovec *to, int count);
/* The same of memory that cannot go: what the thread that holds the GIL has references to. */
int read_own(const void *from, void *to, size_t bytes);
/* Whether the kernel lets us read at all; else why not. */
const char *peek_refused(void);
/* A text as UTF-8, cut at `most` - 1 bytes; its length, or -1 if there is no text. */
int peek_text(Reader read, const void *text, char *to, int most);

/* ------------------------------------------------------------------ stacks (walk.c, stacks.c)

   Numbers for frames and for stacks of frames, from 1. The texts of new ones wait until the drain
   takes them. A table belongs to one taker of stacks, who guards it: the watcher by its lock, the
   heap's hook by the GIL. */

#define MOST_DEPTH 128

/* Where a frame is: its code, and how many bytes of it lie before the instruction. */
typedef struct {
    const void *code;
    int place;
} Place;

typedef struct {
    int line, column, end_line, end_column; /* columns from 0, -1 if not known */
} Span;

typedef struct {
    uint32_t number;
    int first_line;
    Span span;
    char *file, *name; /* one allocation, at `file` */
} News;

/* What is read of a code object. */
typedef struct {
    const void *file, *name, *lines;
    int first_line;
} Code;

typedef struct {
    Code code;
    const void *at;
    int place;
    uint32_t number; /* 0: free */
} FrameEntry;

typedef struct {
    uint64_t hash;
    uint32_t from, depth, number; /* 0: free */
} StackEntry;

typedef struct {
    long long frames_torn, frames_full, stacks_full;
} StackCounts;

/* Made with its reader, the rest 0. Nothing in it is of Python's memory, but one that reads its own
   has references to the texts of its frames: a code is not kept alive, what identifies it is. */
typedef struct {
    Reader read;
    FrameEntry *entries;
    StackEntry *stacks;
    uint32_t *words, words_used, words_room; /* the frames of all stacks */
    size_t entries_room, stacks_room;
    uint32_t last_frame, last_stack, stacks_taken;
    News *news;
    size_t news_used, news_room;
    uint8_t *lines; /* a table of lines while it is read */
    StackCounts counts;
} StackTable;

/* Where a thread's frames of coroutines lay when it was last looked at: many lie there
   again, and those are read together: one call of the system instead of one each. */
#define MOST_GUESSES 32
typedef struct {
    int count;
    const void *at[MOST_GUESSES];
} Guess;

/* The frames of a thread, innermost first; how many, -1 if its state cannot be read. */
int walk_thread(StackTable *table, const PyThreadState *state, Guess *guess, Place *places, int most);
/* The same of the thread that calls, which holds the GIL. Makes nothing and calls nothing. */
int walk_here(const PyThreadState *state, Place *places, int most);
/* The number of a stack; 0 if it is empty, cannot be read, or no number is left. */
uint32_t stack_number(StackTable *table, const Place *places, int depth);
/* Begin anew; not `whole` in a forked child if the table may be in the middle of a change: what it
   held is left where it is. */
void stacks_forget(StackTable *table, int whole);

/* What came since the last time. It is taken under the table's guard and made into objects without
   it: making objects may run a program's own code, which may wait for another thread's GIL. */
typedef struct {
    News *frames;
    size_t count;
    uint32_t *stacks; /* number, depth, frames; and again */
    size_t words;
} Taken;

int take_news(StackTable *table, Taken *taken);
PyObject *frames_of(const Taken *taken); /* [(number, file, qualname, first line, line, columns)] */
PyObject *stacks_of(const Taken *taken); /* [(number, bytes of u32)] */
void taken_free(Taken *taken);

/* ------------------------------------------------------------------ samples (watch.c) */

enum { SAMPLE_RUNNING, SAMPLE_BLOCKED, SAMPLE_STALL, SAMPLE_HOLDER };
enum { SAMPLE_UNSURE = 1 }; /* the step went on while the stack was read */

typedef struct {
    uint64_t t0;      /* when it was taken */
    uint64_t tid;     /* of the thread that is looked at */
    uint64_t task;    /* whose step is open there, 0 for none */
    uint64_t step_t0; /* when that step began; of a holder: since when the other one waits */
    uint32_t stack;
    int32_t call;     /* blocked: the number of the system call; of a holder: the waiting lane */
    uint16_t sequence;
    uint8_t kind, flags;
    uint8_t lane; /* 255 for none */
    uint8_t pad[3];
} Sample;

_Static_assert(sizeof(Sample) == 48, "samples are 48 bytes");

/* The lane is there, or is about to go; called with the GIL. */
void watch_lane(Lane *lane);
void unwatch_lane(Lane *lane);
void watch_forget(void);
/* Held while the watcher looks; whoever unmaps a ring holds it too. */
void watch_lock(void);
void watch_unlock(void);
PyObject *loop_watch(PyObject *module, PyObject *args);
PyObject *loop_unwatch(PyObject *module, PyObject *unused);
PyObject *loop_samples(PyObject *module, PyObject *unused);
PyObject *loop_watch_counts(PyObject *module, PyObject *unused);

/* ------------------------------------------------------------------ the heap (heap.c, live.c) */

/* A sampled block that is not free yet. */
typedef struct {
    uintptr_t address; /* 0: free */
    uint64_t size, t0;
} Live;

/* One byte for each of 65,536 groups of addresses: how many blocks of it are live. */
extern uint8_t live_filter[65536] __attribute__((visibility("hidden")));
static inline size_t live_group(uintptr_t address)
{
    return address >> 4 & 65535;
}
/* Note a block; -1 if there is no room. `was` is one of the same address whose end nobody saw. */
int live_add(Live block, Live *was);
/* Forget the block at an address; whether there was one. */
int live_remove(uintptr_t address, Live *was);
size_t live_count(void);
void live_clear(void);

void heap_forget(void);
PyObject *loop_heap_start(PyObject *module, PyObject *args);
PyObject *loop_heap_stop(PyObject *module, PyObject *unused);
PyObject *loop_heap_take(PyObject *module, PyObject *unused);
PyObject *loop_heap_is_seen(PyObject *module, PyObject *unused);
PyObject *loop_heap_counts(PyObject *module, PyObject *unused);
PyObject *loop_heap_feed(PyObject *module, PyObject *args);

#endif
