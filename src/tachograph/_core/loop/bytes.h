/* Bytes that are written: numbers as LEB128 and zigzag, and a buffer that grows. */

#ifndef TACHOGRAPH_BYTES_H
#define TACHOGRAPH_BYTES_H

#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { LEB_BYTES = 10 }; /* the longest LEB: ten times seven bits hold 64 */

/* Write a number where there is room for the longest; returns the place behind it. */
static inline uint8_t *leb(uint8_t *at, uint64_t value)
{
    for (; value > 127; value >>= 7)
        *at++ = (uint8_t)(value | 128);
    *at++ = (uint8_t)value;
    return at;
}

static inline uint64_t zigzag(uint64_t to, uint64_t from)
{
    int64_t difference = (int64_t)(to - from);
    return ((uint64_t)difference << 1) ^ (uint64_t)(difference >> 63);
}

/* A buffer without a limit; where there is no memory it takes nothing, and says so at the end. */
typedef struct {
    uint8_t *start, *at, *end; /* NULL: nothing yet */
    int failed;
} Bytes;

/* Room for so many bytes behind what is there, which then counts; NULL if there is no memory. */
static inline uint8_t *bytes_take(Bytes *bytes, size_t count)
{
    if ((size_t)(bytes->end - bytes->at) < count) {
        size_t used = (size_t)(bytes->at - bytes->start), room = (used + count) * 2 + 64;
        uint8_t *start = PyMem_RawRealloc(bytes->start, room);
        if (start == NULL) {
            bytes->failed = 1;
            return NULL;
        }
        *bytes = (Bytes){start, start + used, start + room, bytes->failed};
    }
    bytes->at += count;
    return bytes->at - count;
}

static inline size_t bytes_size(const Bytes *bytes)
{
    return (size_t)(bytes->at - bytes->start);
}

static inline void bytes_put(Bytes *bytes, const void *data, size_t size)
{
    uint8_t *at = bytes_take(bytes, size);
    if (at != NULL && size)
        memcpy(at, data, size);
}

static inline void bytes_leb(Bytes *bytes, uint64_t value)
{
    uint8_t text[LEB_BYTES];
    bytes_put(bytes, text, (size_t)(leb(text, value) - text));
}

/* The low bytes of a number, the lowest first. */
static inline void little(uint8_t *to, uint64_t value, int count)
{
    for (int i = 0; to != NULL && i < count; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

#endif
