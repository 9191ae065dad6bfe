/* The frames of a thread: read from outside while it runs, or from within while it holds the GIL. */

#include "watch.h"

#include <sys/uio.h>

/* Frames of functions lie one behind the other in a chunk of the thread's own: read at once. */
typedef struct {
    const char *from;
    size_t bytes;
    _Alignas(16) char copy[8192];
} Window;

#define FRAME_HEAD offsetof(Frame, localsplus)

/* Those of coroutines lie somewhere: what was read in one go where they lay before. */
typedef struct {
    int count;
    const void *at[MOST_GUESSES];
    _Alignas(16) char copy[MOST_GUESSES][FRAME_HEAD];
} Guessed;

/* Read a thread's state, and frames where they may lie; -1 if there is no state. */
static int read_state(const PyThreadState *at, const Guess *guess, PyThreadState *state, Guessed *to)
{
    struct iovec from[1 + MOST_GUESSES] = {{(void *)at, sizeof *state}};
    struct iovec here[1 + MOST_GUESSES] = {{state, sizeof *state}};
    for (int i = 0; i < guess->count; i++) {
        to->at[i] = guess->at[i];
        from[1 + i] = (struct iovec){(void *)guess->at[i], FRAME_HEAD};
        here[1 + i] = (struct iovec){to->copy[i], FRAME_HEAD};
    }
    size_t read = peek_all(from, here, 1 + guess->count);
    if (read < sizeof *state)
        return -1;
    to->count = (int)((read - sizeof *state) / FRAME_HEAD);
    return 0;
}

static int read_frame(const Window *window, const Guessed *guessed, Guess *next, const Frame *at,
                      Frame *to)
{
    const char *from = (const char *)at;
    if (from >= window->from && from + FRAME_HEAD <= window->from + window->bytes) {
        memcpy(to, window->copy + (from - window->from), FRAME_HEAD);
        return 0;
    }
    if (next->count < MOST_GUESSES)
        next->at[next->count++] = at;
    for (int i = 0; i < guessed->count; i++)
        if (guessed->at[i] == at) {
            memcpy(to, guessed->copy[i], FRAME_HEAD);
            return 0;
        }
    return peek(at, to, FRAME_HEAD);
}

static const Frame *innermost_of(const PyThreadState *state)
{
#if PY_VERSION_HEX >= 0x030D0000
    return state->current_frame;
#else
    _PyCFrame *cframe = NULL;
    if (state->cframe == NULL || peek(&state->cframe->current_frame, &cframe, sizeof cframe) < 0)
        return NULL;
    return (const Frame *)cframe;
#endif
}

/* The code that a copied frame runs; NULL for none. */
static const void *code_in(const Frame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    return frame->owner >= FRAME_OWNED_BY_INTERPRETER
               ? NULL
               : (const void *)(frame->f_executable.bits & ~(uintptr_t)7);
#elif PY_VERSION_HEX >= 0x030D0000
    return frame->owner == FRAME_OWNED_BY_CSTACK ? NULL : frame->f_executable;
#elif PY_VERSION_HEX >= 0x030C0000
    return frame->owner == FRAME_OWNED_BY_CSTACK ? NULL : frame->f_code;
#else
    return frame->f_code;
#endif
}

static int place_in(const Frame *frame, const void *code)
{
    const char *start = (const char *)code + offsetof(PyCodeObject, co_code_adaptive);
#if PY_VERSION_HEX >= 0x030D0000
    ptrdiff_t place = (const char *)frame->instr_ptr - start;
#else
    ptrdiff_t place = (const char *)frame->prev_instr - start;
#endif
    return place < 0 || place > INT_MAX ? 0 : (int)place;
}

int walk_thread(StackTable *table, const PyThreadState *at, Guess *guess, Place *places, int most)
{
    PyThreadState state;
    Guessed guessed;
    if (read_state(at, guess, &state, &guessed) < 0)
        return -1;
    guess->count = 0;
    const Frame *next = innermost_of(&state);
    Window window = {NULL, 0, {0}};
    const char *chunk = (const char *)state.datastack_chunk, *top = (const char *)state.datastack_top;
    if (chunk != NULL && top > chunk) {
        size_t bytes = (size_t)(top - chunk);
        if (bytes > sizeof window.copy)
            bytes = sizeof window.copy;
        if (peek(top - bytes, window.copy, bytes) == 0)
            window.from = top - bytes, window.bytes = bytes;
    }
    int depth = 0;
    for (int guard = 0; next != NULL && depth < most && guard < 4 * MOST_DEPTH; guard++) {
        Frame frame;
        /* What is no frame any more may seem to be its own caller. */
        if ((uintptr_t)next & 7 || read_frame(&window, &guessed, guess, next, &frame) < 0 ||
            frame.previous == next) {
            table->counts.frames_torn++;
            guess->count = 0; /* the last one leads nowhere */
            break;
        }
        const void *code = code_in(&frame);
        if (code != NULL && (uintptr_t)code > 4096)
            places[depth++] = (Place){code, place_in(&frame, code)};
        next = frame.previous;
    }
    return depth;
}

int walk_here(const PyThreadState *state, Place *places, int most)
{
#if PY_VERSION_HEX >= 0x030D0000
    Frame *frame = state->current_frame;
#else
    Frame *frame = state->cframe == NULL ? NULL : state->cframe->current_frame;
#endif
    int depth = 0;
    for (int guard = 0; frame != NULL && depth < most && guard < 4 * MOST_DEPTH; guard++) {
        PyCodeObject *code = code_of_frame(frame);
        if (code != NULL)
            places[depth++] = (Place){code, place_in(frame, code)};
        frame = frame->previous;
    }
    return depth;
}
