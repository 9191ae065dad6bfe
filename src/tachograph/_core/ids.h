/* Ids of a series: tachograph/_base/ids.py says how they are made, and is the twin. */

#ifndef TACHOGRAPH_IDS_H
#define TACHOGRAPH_IDS_H

#include <stdint.h>
#include <string.h>

enum { SERIES_BYTES = 16, UUID_BYTES = 16, UUID_TEXT = 36 };

#define SERIES_STEP 0x9E3779B97F4A7C15u
#define SERIES_MOST ((uint64_t)1 << 48)

static inline uint64_t series_mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

/* The same backwards: each factor is the inverse modulo 2^64. */
static inline uint64_t series_unmix(uint64_t value)
{
    value = (value ^ value >> 31 ^ value >> 62) * 0x319642B2D24D8EC3u;
    value = (value ^ value >> 27 ^ value >> 54) * 0x96DE1B173F119089u;
    return value ^ value >> 30 ^ value >> 60;
}

static inline uint64_t series_seed(const uint8_t *series, int which)
{
    uint64_t seed = 0;
    for (int i = 7; i >= 0; i--)
        seed = seed << 8 | series[8 * which + i];
    return seed;
}

/* The number's id, its two halves as numbers. */
static inline void series_id(const uint8_t *series, uint64_t number, uint64_t halves[2])
{
    halves[0] = series_mix(series_seed(series, 0) + number * SERIES_STEP);
    halves[1] = series_mix(series_seed(series, 1) + number * SERIES_STEP);
    halves[0] = (halves[0] & ~((uint64_t)0xF << 12)) | (uint64_t)4 << 12;
    halves[1] = (halves[1] & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
}

/* The number that an id has; SERIES_MOST if it is not of the series. */
static inline uint64_t series_number(const uint8_t *series, const uint64_t halves[2])
{
    for (uint64_t hidden = 0; hidden < 4; hidden++) { /* what the variant stands over */
        uint64_t mixed = (halves[1] & ~((uint64_t)3 << 62)) | hidden << 62, made[2];
        uint64_t number =
            (series_unmix(mixed) - series_seed(series, 1)) * 0xF1DE83E19937733Du;
        if (number >= SERIES_MOST)
            continue;
        series_id(series, number, made);
        if (made[0] == halves[0] && made[1] == halves[1])
            return number;
    }
    return SERIES_MOST;
}

/* Read 36 characters as a UUID in lower case; 0 if they are none. */
static inline int uuid_parse(const char *text, uint64_t halves[2])
{
    halves[0] = halves[1] = 0;
    for (int i = 0, digits = 0; i < UUID_TEXT; i++) {
        char c = text[i];
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (c != '-')
                return 0;
            continue;
        }
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return 0;
        uint64_t *half = &halves[digits++ / 16];
        *half = *half << 4 | (uint64_t)digit;
    }
    return 1;
}

static inline void uuid_format(const uint64_t halves[2], char *text)
{
    for (int i = 0, digits = 0; i < UUID_TEXT; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            text[i] = '-';
            continue;
        }
        text[i] = "0123456789abcdef"[halves[digits / 16] >> (60 - 4 * (digits % 16)) & 15];
        digits++;
    }
}

#endif
