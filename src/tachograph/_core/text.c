/* Values as JSON text, by the rules of formats/text.py, as far as they are usual. */

#include "core.h"
#include <time.h>

#define NS_PER_S 1000000000LL
/* Beyond this many digits the writer looks at an integer. */
#define PLAIN_INT 1000000000000000LL

static const char PAIRS[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* Write exactly `count` digits, zeros in front. */
static inline void write_digits(char *to, unsigned value, int count)
{
    for (; count >= 2; count -= 2) {
        unsigned rest = value / 100;
        memcpy(to + count - 2, PAIRS + 2 * (value - rest * 100), 2);
        value = rest;
    }
    if (count)
        to[0] = (char)('0' + value);
}

static inline int digits_of(unsigned value)
{
    if (value < 10000)
        return value < 100 ? (value < 10 ? 1 : 2) : value < 1000 ? 3 : 4;
    if (value < 1000000)
        return value < 100000 ? 5 : 6;
    return value < 10000000 ? 7 : value < 100000000 ? 8 : 9;
}

int put_decimal(Buffer *b, long long value)
{
    if (b->end - b->at < 21)
        return 0;
    unsigned long long rest = (unsigned long long)value;
    if (value < 0) {
        *b->at++ = '-';
        rest = 0ULL - rest;
    }
    /* In groups of nine digits, which a machine word of half the size holds. */
    unsigned groups[3];
    int count = 0;
    while (rest >= 1000000000ULL) {
        groups[count++] = (unsigned)(rest % 1000000000ULL);
        rest /= 1000000000ULL;
    }
    int length = digits_of((unsigned)rest);
    write_digits(b->at, (unsigned)rest, length);
    b->at += length;
    while (count > 0) {
        write_digits(b->at, groups[--count], 9);
        b->at += 9;
    }
    return 1;
}

/* The bytes of a word that need an escape have their top bit set in the result: those below 0x20,
   `"` and `\\`. What is above 0x7f does not; a borrow may mark a byte too much, never one too few. */
static inline unsigned long long special_bytes(unsigned long long word)
{
    const unsigned long long ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
    unsigned long long quotes = word ^ (ones * '"'), slashes = word ^ (ones * '\\');
    return ((word - ones * 0x20) | (quotes - ones) | (slashes - ones)) & ~word & tops;
}

/* Copy text that needs no escape; 0 when it does. */
static inline int copy_plain(char *to, const char *text, Py_ssize_t length)
{
    unsigned long long special = 0, word;
    if (length < 8) {
        for (Py_ssize_t i = 0; i < length; i++) {
            unsigned char c = (unsigned char)text[i];
            special |= (unsigned long long)(c < 0x20 || c == '"' || c == '\\');
            to[i] = (char)c;
        }
        return special == 0;
    }
    for (Py_ssize_t i = 0; i + 8 <= length; i += 8) {
        memcpy(&word, text + i, 8);
        special |= special_bytes(word);
        memcpy(to + i, &word, 8);
    }
    /* The last eight once more, which ends where the text ends. */
    memcpy(&word, text + length - 8, 8);
    special |= special_bytes(word);
    memcpy(to + length - 8, &word, 8);
    return special == 0;
}

int put_string(Buffer *b, PyObject *value)
{
    if (!PyUnicode_CheckExact(value))
        return 0;
    Py_ssize_t length;
    const char *text;
    if (PyUnicode_IS_COMPACT_ASCII(value)) {
        length = PyUnicode_GET_LENGTH(value);
        text = (const char *)PyUnicode_1BYTE_DATA(value);
    } else {
        text = PyUnicode_AsUTF8AndSize(value, &length);
        if (text == NULL) { /* a lone surrogate */
            PyErr_Clear();
            return 0;
        }
    }
    if (b->end - b->at < length + 2 || length > MAX_TEXT)
        return 0;
    char *to = b->at;
    *to++ = '"';
    if (!copy_plain(to, text, length))
        return 0;
    to += length;
    *to++ = '"';
    b->at = to;
    return 1;
}

int put_int(Buffer *b, PyObject *value, int quoted)
{
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || number <= -PLAIN_INT || number >= PLAIN_INT)
        return 0;
    if (!quoted)
        return put_decimal(b, number);
    return put(b, "\"", 1) && put_decimal(b, number) && put(b, "\"", 1);
}

/* A point and so many places, without zeros at the end; nothing when all are. */
static inline int put_fraction(Buffer *b, unsigned rest, int places)
{
    if (rest == 0)
        return 1;
    if (b->end - b->at < places + 1)
        return 0;
    *b->at = '.';
    write_digits(b->at + 1, rest, places);
    while (b->at[places] == '0')
        places--;
    b->at += places + 1;
    return 1;
}

/* A number that is a decimal of at most 15 digits, six of them behind the point, as most measured
   ones are. Such a decimal is the only one of that length that reads back as this double, so it is
   what `repr` finds; the division is exact in its last bit because both sides of it are. */
static int put_short_decimal(Buffer *b, double number, double size)
{
    if (size >= 1e9)
        return 0;
    long long scaled = (long long)(size * 1e6 + 0.5);
    if ((double)scaled / 1e6 != size)
        return 0;
    if (number < 0 && !put(b, "-", 1))
        return 0;
    if (!put_decimal(b, scaled / 1000000))
        return 0;
    return put_fraction(b, (unsigned)(scaled % 1000000), 6);
}

int put_float(Buffer *b, PyObject *value)
{
    if (!PyFloat_CheckExact(value))
        return 0;
    double number = PyFloat_AS_DOUBLE(value);
    double size = number < 0 ? -number : number;
    /* Here `repr` has no exponent, and the digits are those of our rules. Zero is among them. */
    if (!(size == 0 || (size >= 1e-4 && size < 1e16)))
        return 0;
    char *start = b->at;
    if (size != 0 && put_short_decimal(b, number, size))
        return 1;
    b->at = start;
    char *text = PyOS_double_to_string(number, 'r', 0, 0, NULL);
    if (text == NULL)
        return -1;
    int done = put(b, text, (Py_ssize_t)strlen(text));
    PyMem_Free(text);
    return done;
}

/* Nanoseconds in their unit, as the decimal that they are. It has at most 15 digits, and those are
   the shortest that round-trip: no other decimal of that length is as near to the same double. */
int put_duration(Buffer *b, long long ns, long long unit_ns)
{
    /* Below a millionth of the unit there would be an exponent. */
    if (ns < 0 || ns >= PLAIN_INT || (ns != 0 && ns < 1000 && ns < unit_ns / 1000000))
        return 0;
    /* Divided by constants, which costs a tenth. */
    switch (unit_ns) {
    case 1000:
        return put_decimal(b, ns / 1000) && put_fraction(b, (unsigned)(ns % 1000), 3);
    case 1000000:
        return put_decimal(b, ns / 1000000) && put_fraction(b, (unsigned)(ns % 1000000), 6);
    case 1000000000:
        return put_decimal(b, ns / 1000000000) && put_fraction(b, (unsigned)(ns % 1000000000), 9);
    default:
        return 0;
    }
}

int put_time(Buffer *b, TimeText *cache, long long time_ns)
{
    long long second = time_ns / NS_PER_S;
    if (second != cache->second) {
        time_t seconds = (time_t)second;
        struct tm parts;
#ifdef _WIN32
        if (gmtime_s(&parts, &seconds) != 0)
            return 0;
#else
        if (gmtime_r(&seconds, &parts) == NULL)
            return 0;
#endif
        if (parts.tm_year + 1900 > 9999)
            return 0;
        strftime(cache->prefix, sizeof cache->prefix, "%Y-%m-%dT%H:%M:%S.", &parts);
        cache->second = second;
    }
    if (b->end - b->at < 27)
        return 0;
    memcpy(b->at, cache->prefix, 20);
    write_digits(b->at + 20, (unsigned)((time_ns - second * NS_PER_S) / 1000), 6);
    b->at[26] = 'Z';
    b->at += 27;
    return 1;
}
