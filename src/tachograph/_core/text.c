/* Values as JSON text, by the rules of formats/text.py, as far as they are usual. */

#include "core.h"
#include <time.h>

#define NS_PER_S 1000000000LL
/* Beyond this many digits the writer looks at an integer. */
#define PLAIN_INT 1000000000000000LL

int put(Buffer *b, const char *text, Py_ssize_t length)
{
    if (b->end - b->at < length)
        return 0;
    memcpy(b->at, text, (size_t)length);
    b->at += length;
    return 1;
}

int put_decimal(Buffer *b, long long value)
{
    char digits[24];
    char *p = digits + sizeof digits;
    unsigned long long rest = value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--p = '-';
    return put(b, p, digits + sizeof digits - p);
}

/* 1: written; 0: not for us; -1: an exception is set. */
int put_string(Buffer *b, PyObject *value)
{
    if (!PyUnicode_CheckExact(value))
        return 0;
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (text == NULL) { /* a lone surrogate */
        PyErr_Clear();
        return 0;
    }
    if (b->end - b->at < length + 2)
        return 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\')
            return 0;
    }
    *b->at++ = '"';
    memcpy(b->at, text, (size_t)length);
    b->at += length;
    *b->at++ = '"';
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

int put_float(Buffer *b, PyObject *value)
{
    if (!PyFloat_CheckExact(value))
        return 0;
    double number = PyFloat_AS_DOUBLE(value);
    double size = number < 0 ? -number : number;
    /* Here `repr` has no exponent, and the digits are those of our rules. Zero is among them. */
    if (!(size == 0 || (size >= 1e-4 && size < 1e16)))
        return 0;
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
    if (ns < 0 || ns >= PLAIN_INT || (ns != 0 && ns < unit_ns / 1000000))
        return 0;
    if (!put_decimal(b, ns / unit_ns))
        return 0;
    long long rest = ns % unit_ns;
    if (rest == 0)
        return 1;
    char digits[20];
    int length = 0;
    digits[length++] = '.';
    for (long long place = unit_ns / 10; rest != 0; place /= 10) {
        digits[length++] = (char)('0' + rest / place);
        rest %= place;
    }
    return put(b, digits, length);
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
    char micros[7];
    long rest = (long)((time_ns - second * NS_PER_S) / 1000);
    for (int i = 5; i >= 0; i--) {
        micros[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    micros[6] = 'Z';
    return put(b, cache->prefix, 20) && put(b, micros, 7);
}
