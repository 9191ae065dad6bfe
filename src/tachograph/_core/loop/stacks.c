/* Numbers for frames and for stacks of them, and the texts that they stand for.

   What a watcher reads may be half made or just gone. It is believed only if it is a code object
   with texts for names, so the worst is a frame less, which is counted, never a wrong address
   followed. A table's reader is the only way to memory that is not its own. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "watch.h"

#include <sys/uio.h>
#include <unistd.h>

#define MOST_FRAMES 65536
#define MOST_STACKS 65536
#define MOST_WORDS (1u << 22) /* of all stacks */
#define MOST_PATH 1024
#define MOST_LINES 65536

/* ------------------------------------------------------------------ codes */

#define CODE_HEAD offsetof(PyCodeObject, co_code_adaptive)

static Code code_in_copy(const char *copy)
{
    const PyCodeObject *code = (const PyCodeObject *)copy;
    if (Py_TYPE((PyObject *)code) != &PyCode_Type)
        return (Code){0};
    return (Code){code->co_filename, code->co_qualname, code->co_linetable, code->co_firstlineno};
}

/* Read the codes of many places; those of others with one call of the system. */
static void read_codes(StackTable *table, const Place *places, int depth, Code *codes)
{
    if (table->read == read_own) {
        for (int i = 0; i < depth; i++)
            codes[i] = code_in_copy(places[i].code);
        return;
    }
    _Alignas(16) static char copies[MOST_DEPTH][CODE_HEAD]; /* under the watcher's lock */
    struct iovec here[MOST_DEPTH], there[MOST_DEPTH];
    int done = 0;
    for (int i = 0; i < depth; i++) {
        here[i] = (struct iovec){copies[i], CODE_HEAD};
        there[i] = (struct iovec){(void *)places[i].code, CODE_HEAD};
        codes[i].file = NULL;
    }
    while (done < depth) {
        int whole = (int)(peek_all(there + done, here + done, depth - done) / CODE_HEAD);
        for (int i = done; i < done + whole; i++)
            codes[i] = code_in_copy(copies[i]);
        done += whole + 1; /* the one behind could not be read */
    }
}

/* ------------------------------------------------------------------ lines */

typedef struct {
    const uint8_t *at, *end;
} Bytes;

static unsigned varint(Bytes *bytes)
{
    unsigned found = 0, shift = 0;
    while (bytes->at < bytes->end && shift < 30) {
        uint8_t byte = *bytes->at++;
        found |= (unsigned)(byte & 63) << shift;
        shift += 6;
        if (!(byte & 64))
            break;
    }
    return found;
}

static int svarint(Bytes *bytes)
{
    unsigned found = varint(bytes);
    return found & 1 ? -(int)(found >> 1) : (int)(found >> 1);
}

/* Where in the source an instruction is, by the table of locations that compilers write since 3.11. */
static Span span_of(StackTable *table, const Code *code, int place)
{
    Span span = {code->first_line, -1, code->first_line, -1};
    PyVarObject head;
    if (table->read(code->lines, &head, sizeof head) < 0 || Py_TYPE((PyObject *)&head) != &PyBytes_Type ||
        head.ob_size <= 0)
        return span;
    size_t bytes = (size_t)head.ob_size < MOST_LINES ? (size_t)head.ob_size : MOST_LINES;
    if (table->lines == NULL && (table->lines = malloc(MOST_LINES)) == NULL)
        return span;
    const char *from = (const char *)code->lines + offsetof(PyBytesObject, ob_sval);
    if (table->read(from, table->lines, bytes) < 0)
        return span;
    Bytes entry = {table->lines, table->lines + bytes};
    int line = code->first_line, offset = 0;
    while (entry.at < entry.end) {
        uint8_t first = *entry.at++;
        int kind = first >> 3 & 15;
        Span here = {line, -1, line, -1};
        if (kind == 15)
            here.line = 0;
        else if (kind == 14) {
            here.line = line += svarint(&entry);
            here.end_line = line + (int)varint(&entry);
            here.column = (int)varint(&entry) - 1;
            here.end_column = (int)varint(&entry) - 1;
        } else if (kind == 13)
            here.line = here.end_line = line += svarint(&entry);
        else if (kind >= 10 && entry.at + 2 <= entry.end) {
            here.line = here.end_line = line += kind - 10;
            here.column = *entry.at++;
            here.end_column = *entry.at++;
        } else if (kind < 10 && entry.at < entry.end) {
            uint8_t second = *entry.at++;
            here.column = kind << 3 | (second >> 4 & 7);
            here.end_column = here.column + (second & 15);
        }
        offset += ((first & 7) + 1) * (int)sizeof(_Py_CODEUNIT);
        if (place < offset) {
            if (here.line > 0)
                span = here;
            return span;
        }
    }
    return span;
}

/* ------------------------------------------------------------------ numbers */

/* Where the search for a frame begins: far from where those of the same code do, and from where those
   of another did whose address this one has now. */
static size_t frame_home(const void *at, int place, const Code *code)
{
    uint64_t mixed = (uintptr_t)at ^ (uint64_t)(uintptr_t)code->name << 20 ^ (uint64_t)place << 40;
    mixed *= 0x9E3779B97F4A7C15u;
    return (size_t)((mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93u >> 32);
}

/* Room for one more, at most half full; 0 if there is none. */
static int entries_grow(StackTable *table)
{
    if ((size_t)table->last_frame * 2 < table->entries_room)
        return 1;
    if (table->last_frame >= MOST_FRAMES)
        return 0;
    size_t room = table->entries_room ? table->entries_room * 2 : 1024;
    FrameEntry *fresh = calloc(room, sizeof *fresh);
    if (fresh == NULL)
        return 0;
    for (size_t i = 0; i < table->entries_room; i++) {
        if (table->entries[i].number == 0)
            continue;
        const FrameEntry *entry = &table->entries[i];
        size_t to = frame_home(entry->at, entry->place, &entry->code);
        while (fresh[to & (room - 1)].number)
            to++;
        fresh[to & (room - 1)] = table->entries[i];
    }
    free(table->entries);
    table->entries = fresh;
    table->entries_room = room;
    return 1;
}

static int tell(StackTable *table, uint32_t number, const Code *code, const Span *span)
{
    char file[MOST_PATH], name[512];
    int file_bytes = peek_text(table->read, code->file, file, sizeof file),
        name_bytes = peek_text(table->read, code->name, name, sizeof name);
    if (file_bytes < 0 || name_bytes < 0)
        return 0;
    if (table->news_used == table->news_room) {
        size_t room = table->news_room ? table->news_room * 2 : 256;
        News *fresh = realloc(table->news, room * sizeof *fresh);
        if (fresh == NULL)
            return 0;
        table->news = fresh;
        table->news_room = room;
    }
    char *text = malloc((size_t)file_bytes + (size_t)name_bytes + 2);
    if (text == NULL)
        return 0;
    memcpy(text, file, (size_t)file_bytes + 1);
    memcpy(text + file_bytes + 1, name, (size_t)name_bytes + 1);
    char *behind = text + file_bytes + 1;
    table->news[table->news_used++] = (News){number, code->first_line, *span, text, behind};
    return 1;
}

/* The entry of a place, or the free one where it belongs. */
static FrameEntry *find_frame(StackTable *table, const Place *place, const Code *code)
{
    for (size_t at = frame_home(place->code, place->place, code);; at++) {
        FrameEntry *entry = &table->entries[at & (table->entries_room - 1)];
        /* An address is used again after a code has gone; then one of these has changed: surely if
           the table has references to them, else nearly always. */
        if (entry->number == 0 ||
            (entry->at == place->code && entry->place == place->place &&
             entry->code.file == code->file && entry->code.name == code->name &&
             entry->code.lines == code->lines && entry->code.first_line == code->first_line))
            return entry;
    }
}

static uint32_t frame_number(StackTable *table, const Place *place, const Code *code)
{
    FrameEntry *entry = table->entries == NULL ? NULL : find_frame(table, place, code);
    if (entry != NULL && entry->number)
        return entry->number;
    if (!entries_grow(table)) {
        table->counts.frames_full++;
        return 0;
    }
    Span span = span_of(table, code, place->place);
    if (!tell(table, table->last_frame + 1, code, &span)) {
        table->counts.frames_torn++;
        return 0;
    }
    if (table->read == read_own) {
        Py_INCREF((PyObject *)code->file);
        Py_INCREF((PyObject *)code->name);
        Py_INCREF((PyObject *)code->lines);
    }
    entry = find_frame(table, place, code); /* it may have moved */
    *entry = (FrameEntry){*code, place->code, place->place, ++table->last_frame};
    return entry->number;
}

static int stacks_grow(StackTable *table, uint32_t depth)
{
    if (table->last_stack >= MOST_STACKS || table->words_used + depth > MOST_WORDS)
        return 0;
    if (table->words_used + depth > table->words_room) {
        uint32_t room = table->words_room ? table->words_room * 2 : 16384;
        uint32_t *fresh = realloc(table->words, room * sizeof *fresh);
        if (fresh == NULL)
            return 0;
        table->words = fresh;
        table->words_room = room;
    }
    if ((size_t)table->last_stack * 2 < table->stacks_room)
        return 1;
    size_t room = table->stacks_room ? table->stacks_room * 2 : 1024;
    StackEntry *fresh = calloc(room, sizeof *fresh);
    if (fresh == NULL)
        return 0;
    for (size_t i = 0; i < table->stacks_room; i++) {
        if (table->stacks[i].number == 0)
            continue;
        size_t to = table->stacks[i].hash;
        while (fresh[to & (room - 1)].number)
            to++;
        fresh[to & (room - 1)] = table->stacks[i];
    }
    free(table->stacks);
    table->stacks = fresh;
    table->stacks_room = room;
    return 1;
}

/* The entry of a stack, or the free one where it belongs. */
static StackEntry *find_stack(StackTable *table, uint64_t hash, const uint32_t *frames,
                              uint32_t count)
{
    for (size_t at = hash;; at++) {
        StackEntry *entry = &table->stacks[at & (table->stacks_room - 1)];
        if (entry->number == 0 ||
            (entry->hash == hash && entry->depth == count &&
             memcmp(table->words + entry->from, frames, count * sizeof *frames) == 0))
            return entry;
    }
}

uint32_t stack_number(StackTable *table, const Place *places, int depth)
{
    Code codes[MOST_DEPTH];
    uint32_t frames[MOST_DEPTH], count = 0;
    if (depth <= 0)
        return 0;
    read_codes(table, places, depth, codes);
    /* One may be half made; two in a row are no frames, and nor is what lies behind them. */
    for (int i = 0, torn = 0; i < depth && torn < 2; i++) {
        uint32_t number = codes[i].file == NULL ? 0 : frame_number(table, &places[i], &codes[i]);
        torn = codes[i].file == NULL ? torn + 1 : 0;
        table->counts.frames_torn += torn != 0;
        if (number)
            frames[count++] = number;
    }
    if (count == 0)
        return 0;
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++)
        hash = (hash ^ frames[i]) * 0x9E3779B97F4A7C15u, hash ^= hash >> 29;
    StackEntry *entry = table->stacks == NULL ? NULL : find_stack(table, hash, frames, count);
    if (entry != NULL && entry->number)
        return entry->number;
    if (!stacks_grow(table, count)) {
        table->counts.stacks_full++;
        return 0;
    }
    entry = find_stack(table, hash, frames, count);
    *entry = (StackEntry){hash, table->words_used, count, ++table->last_stack};
    memcpy(table->words + table->words_used, frames, count * sizeof *frames);
    table->words_used += count;
    return entry->number;
}

void stacks_forget(StackTable *table, int whole)
{
    for (size_t i = 0; whole && i < table->news_used; i++)
        free(table->news[i].file);
    if (whole) {
        for (size_t i = 0; table->read == read_own && i < table->entries_room; i++) {
            Py_XDECREF((PyObject *)table->entries[i].code.file);
            Py_XDECREF((PyObject *)table->entries[i].code.name);
            Py_XDECREF((PyObject *)table->entries[i].code.lines);
        }
        free(table->entries);
        free(table->stacks);
        free(table->words);
        free(table->news);
        free(table->lines);
    }
    *table = (StackTable){.read = table->read};
}

/* ------------------------------------------------------------------ for the drain */

int take_news(StackTable *table, Taken *taken)
{
    uint32_t bytes = 0;
    for (size_t i = 0; table->last_stack != table->stacks_taken && i < table->stacks_room; i++)
        if (table->stacks[i].number > table->stacks_taken)
            bytes += (table->stacks[i].depth + 2) * (uint32_t)sizeof *table->words;
    uint32_t *to = bytes ? malloc(bytes) : NULL;
    if (bytes && to == NULL)
        return -1;
    taken->stacks = to;
    taken->words = bytes / sizeof *table->words;
    for (size_t i = 0; to != NULL && i < table->stacks_room; i++) {
        if (table->stacks[i].number <= table->stacks_taken)
            continue;
        *to++ = table->stacks[i].number;
        *to++ = table->stacks[i].depth;
        memcpy(to, table->words + table->stacks[i].from, table->stacks[i].depth * sizeof *to);
        to += table->stacks[i].depth;
    }
    table->stacks_taken = table->last_stack;
    taken->frames = table->news;
    taken->count = table->news_used;
    table->news = NULL;
    table->news_used = table->news_room = 0;
    return 0;
}

PyObject *frames_of(const Taken *taken)
{
    PyObject *found = PyList_New(0);
    for (size_t i = 0; found != NULL && i < taken->count; i++) {
        const News *one = &taken->frames[i];
        PyObject *item = Py_BuildValue("Issiiiii", one->number, one->file, one->name, one->first_line,
                                       one->span.line, one->span.column, one->span.end_line,
                                       one->span.end_column);
        if (item == NULL || PyList_Append(found, item) < 0)
            Py_CLEAR(found);
        Py_XDECREF(item);
    }
    return found;
}

PyObject *stacks_of(const Taken *taken)
{
    PyObject *found = PyList_New(0);
    for (size_t i = 0; found != NULL && i < taken->words; i += 2 + taken->stacks[i + 1]) {
        PyObject *item =
            Py_BuildValue("Iy#", taken->stacks[i], (char *)(taken->stacks + i + 2),
                          (Py_ssize_t)(taken->stacks[i + 1] * sizeof *taken->stacks));
        if (item == NULL || PyList_Append(found, item) < 0)
            Py_CLEAR(found);
        Py_XDECREF(item);
    }
    return found;
}

void taken_free(Taken *taken)
{
    for (size_t i = 0; i < taken->count; i++)
        free(taken->frames[i].file);
    free(taken->frames);
    free(taken->stacks);
}
