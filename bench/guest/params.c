/* SPDX-License-Identifier: GPL-2.0-or-later */
/* params.c - see params.h */
#include "params.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096
#define MIB_MAX        (UINT64_C(1) << 20)
#define RATE_MAX       UINT64_C(100000)

static const struct {
    const char *key;
    size_t offset;
    uint64_t min, max;
} numbers[] = {
    {"apn.mib", offsetof(struct guest_params, mib), 1, MIB_MAX},
    {"apn.hot", offsetof(struct guest_params, hot), 0, MIB_MAX},
    {"apn.rate", offsetof(struct guest_params, rate), 0, RATE_MAX},
    {"apn.verify", offsetof(struct guest_params, verify), 0, RATE_MAX},
    {"apn.kv", offsetof(struct guest_params, kv), 0, RATE_MAX},
    {"apn.kv_mib", offsetof(struct guest_params, kv_mib), 1, MIB_MAX},
    {"apn.seed", offsetof(struct guest_params, seed), 0, UINT64_MAX},
};

int guest_number(const char *word, uint64_t max, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(word, &end, 10);
    return word[0] < '0' || word[0] > '9' || *end || errno || *value > max ? -EINVAL : 0;
}

static int parse_word(struct guest_params *params, const char *word, char *text, size_t text_bytes)
{
    const char *value = strchr(word, '=');
    size_t key_bytes = value ? (size_t)(value - word) : strlen(word);
    uint64_t number;

    value = value ? value + 1 : "";
    if (key_bytes == 9 && memcmp(word, "apn.shell", 9) == 0) {
        return 0; /* the init script's */
    }
    if (key_bytes == 9 && memcmp(word, "apn.order", 9) == 0) {
        if (guest_order_find(value, &params->order) == 0) {
            return 0;
        }
        snprintf(text, text_bytes, "%.64s: must be random or sequential or zipf", word);
        return -EINVAL;
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strlen(numbers[i].key) != key_bytes || memcmp(word, numbers[i].key, key_bytes) != 0) {
            continue;
        }
        if (guest_number(value, numbers[i].max, &number) < 0 || number < numbers[i].min) {
            snprintf(text, text_bytes, "%.64s: must be %llu..%llu", word,
                     (unsigned long long)numbers[i].min, (unsigned long long)numbers[i].max);
            return -EINVAL;
        }
        memcpy((char *)params + numbers[i].offset, &number, sizeof(number));
        return 0;
    }
    snprintf(text, text_bytes, "%.64s: unknown; known: apn.mib, hot, rate, verify, seed, order, kv, kv_mib", word);
    return -EINVAL;
}

int guest_params_parse(struct guest_params *params, const char *line, char *text, size_t text_bytes)
{
    char copy[LINE_MAX_BYTES], *save = NULL;

    *params = (struct guest_params){.mib = 64, .verify = 32, .seed = 1, .kv_mib = 32};
    if (strlen(line) >= sizeof(copy)) {
        snprintf(text, text_bytes, "command line: longer than %d bytes", LINE_MAX_BYTES - 1);
        return -EINVAL;
    }
    strcpy(copy, line);
    for (char *word = strtok_r(copy, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
        if (strncmp(word, "apn.", 4) == 0 && parse_word(params, word, text, text_bytes) < 0) {
            return -EINVAL;
        }
    }
    if (params->hot > params->mib) {
        snprintf(text, text_bytes, "apn.hot=%llu: larger than apn.mib=%llu",
                 (unsigned long long)params->hot, (unsigned long long)params->mib);
        return -EINVAL;
    }
    if (params->rate > 0 && params->hot == 0) {
        snprintf(text, text_bytes, "apn.rate=%llu: needs apn.hot of at least 1",
                 (unsigned long long)params->rate);
        return -EINVAL;
    }
    return 0;
}
