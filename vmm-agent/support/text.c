/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/text.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uninorm.h>
#include <unistr.h>

#define EDIT_WORD_MAX 64

/* Line and column (characters of the source, 1..) of byte @offset. */
static struct agent_place place_of(const char *bytes, size_t offset, const char *name)
{
    struct agent_place place = {name, 1, 1};

    for (size_t at = 0; at < offset; at++) {
        if (bytes[at] == '\n') {
            place.line++;
            place.column = 1;
        } else {
            place.column++;
        }
    }
    return place;
}

static int copy(const char *bytes, size_t size, char **out, size_t *out_size,
                struct agent_error *error)
{
    char *text = malloc(size + 1);

    if (text == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for %zu bytes of text", size);
    }
    memcpy(text, bytes, size);
    text[size] = '\0';
    *out = text;
    *out_size = size;
    return 0;
}

static int from_cp932(const char *bytes, size_t size, const char *name, char **out,
                      size_t *out_size, struct agent_error *error)
{
    iconv_t converter = iconv_open("UTF-8", "CP932");

    if (converter == (iconv_t)-1) {
        return agent_error_at(error, ENOTSUP, (struct agent_place){name, 0, 0},
                              "this system's iconv cannot convert CP932");
    }
    size_t room = size * 3 + 1; /* half-width kana: one byte becomes three */
    char *text = malloc(room);
    char *in = (char *)(uintptr_t)bytes;
    char *to = text;
    size_t in_left = size;
    size_t to_left = room - 1;
    int result = text == NULL ? agent_error_set(error, ENOMEM, "no memory for text") : 0;

    if (result == 0 && iconv(converter, &in, &in_left, &to, &to_left) == (size_t)-1) {
        result = agent_error_at(error, EBADMSG, place_of(bytes, size - in_left, name),
                                "expected UTF-8 or CP932 text, found byte 0x%02x that is neither",
                                in_left > 0 ? (unsigned char)*in : 0u);
    }
    iconv_close(converter);
    if (result < 0) {
        free(text);
        return result;
    }
    *to = '\0';
    *out = text;
    *out_size = (size_t)(to - text);
    return 0;
}

int agent_text_decode(const char *bytes, size_t size, const char *name, char **out,
                      size_t *out_size, struct agent_error *error)
{
    if (size >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0)) {
        return agent_error_at(error, EBADMSG, (struct agent_place){name, 1, 1},
                              "expected UTF-8 or CP932 text, found UTF-16");
    }
    const char *nul = size > 0 ? memchr(bytes, '\0', size) : NULL;
    if (nul != NULL) {
        return agent_error_at(error, EBADMSG, place_of(bytes, (size_t)(nul - bytes), name),
                              "expected text, found a NUL byte");
    }
    bool bom = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0;
    const char *start = bom ? bytes + 3 : bytes;
    size_t rest = bom ? size - 3 : size;
    const uint8_t *bad = u8_check((const uint8_t *)start, rest);
    if (bad == NULL) {
        return copy(start, rest, out, out_size, error);
    }
    if (bom) {
        return agent_error_at(error, EBADMSG,
                              place_of(bytes, (size_t)((const char *)bad - bytes), name),
                              "expected UTF-8 after its byte order mark, found byte 0x%02x", *bad);
    }
    return from_cp932(bytes, size, name, out, out_size, error);
}

int agent_text_key(const char *text, char *key, size_t size)
{
    size_t length = strlen(text);
    size_t kept = 0;
    size_t normal_size = 0;

    if (u8_check((const uint8_t *)text, length) != NULL) {
        return -EINVAL;
    }
    uint8_t *normal = u8_normalize(UNINORM_NFKC, (const uint8_t *)text, length, NULL, &normal_size);
    if (normal == NULL && length > 0) {
        return -ENAMETOOLONG;
    }
    for (size_t at = 0; at < normal_size; at++) {
        bool blank = normal[at] == ' ' || (normal[at] >= '\t' && normal[at] <= '\r');
        if (blank) {
            continue; /* NFKC has already made U+3000 and its kin plain spaces */
        }
        if (kept + 1 >= size) {
            free(normal);
            return -ENAMETOOLONG;
        }
        key[kept++] = (char)normal[at];
    }
    free(normal);
    key[kept] = '\0';
    return 0;
}

int agent_text_number(const char *text, double *value)
{
    static const double scales[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    bool negative = text[0] == '-';
    size_t at = negative || text[0] == '+' ? 1 : 0;
    int64_t digits = 0;
    size_t count = 0;
    size_t decimals = 0;
    bool point = false;

    for (; text[at] != '\0'; at++) {
        if (text[at] == '.' && !point && count > 0) {
            point = true;
            continue;
        }
        if (text[at] < '0' || text[at] > '9' || count == 15) {
            return -EINVAL;
        }
        digits = digits * 10 + (text[at] - '0');
        count++;
        decimals += point ? 1 : 0;
    }
    if (count == 0 || (point && decimals == 0) || decimals > 9) {
        return -EINVAL;
    }
    /* Both operands are exact below 2^53, so the quotient is the nearest double. */
    *value = (double)(negative ? -digits : digits) / scales[decimals];
    return 0;
}

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Levenshtein distance of words up to EDIT_WORD_MAX - 1 bytes. */
static size_t distance(const char *left, const char *right)
{
    size_t row[EDIT_WORD_MAX];
    size_t width = strlen(right);

    for (size_t column = 0; column <= width; column++) {
        row[column] = column;
    }
    for (size_t line = 1; left[line - 1] != '\0'; line++) {
        size_t corner = row[0];
        row[0] = line;
        for (size_t column = 1; column <= width; column++) {
            size_t change = corner + (left[line - 1] == right[column - 1] ? 0 : 1);
            corner = row[column];
            row[column] = smaller(change, smaller(row[column], row[column - 1]) + 1);
        }
    }
    return row[width];
}

const char *agent_text_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = 3;

    if (strlen(word) >= EDIT_WORD_MAX) {
        return NULL;
    }
    for (size_t index = 0; names[index] != NULL; index++) {
        if (strlen(names[index]) >= EDIT_WORD_MAX) {
            continue;
        }
        size_t found = distance(word, names[index]);
        if (found < best_distance && found < strlen(names[index])) {
            best = names[index];
            best_distance = found;
        }
    }
    return best;
}
