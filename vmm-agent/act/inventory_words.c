/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inventory_words.c - command lines with their placeholders filled
 * Owner, thread, time, units: inventory.h. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act/inventory.h"

#define WORD_MAX 4096

struct filling {
    const struct agent_inventory *inventory;
    int vm;
    int host;
    long long epoch;
    char socket[AGENT_SOCKET_PATH_MAX];
    char log[512];
    char number[32];
};

int agent_inventory_socket(const struct agent_inventory *inventory, int vm, int host,
                           long long epoch, char *out, size_t size)
{
    int length = snprintf(out, size, "%s/%s.%lld.qmp", inventory->hosts[host].directory,
                          inventory->vms[vm].name, epoch);

    return length < 0 || (size_t)length >= size || length >= AGENT_SOCKET_PATH_MAX ? -ENAMETOOLONG
                                                                                   : 0;
}

static const char *number(struct filling *filling, double value)
{
    snprintf(filling->number, sizeof(filling->number), "%.0f", value);
    return filling->number;
}

/* The value of a placeholder, or NULL. */
static const char *value_of(struct filling *filling, const char *name, size_t size)
{
    const struct agent_inventory_vm *vm = &filling->inventory->vms[filling->vm];
    const struct agent_inventory_group *group = &filling->inventory->groups[vm->group];
    const struct agent_inventory_host *host = &filling->inventory->hosts[filling->host];
    const struct {
        const char *name;
        const char *value;
    } known[] = {
        {"vm", vm->name},
        {"group", group->name},
        {"host", host->name},
        {"site", filling->inventory->sites[host->site].name},
        {"address", host->address},
        {"dir", host->directory},
        {"qmp", filling->socket},
        {"log", filling->log},
        {"secret", host->secret != NULL ? host->secret : ""},
    };

    for (size_t at = 0; at < vm->set_count; at++) {
        if (strlen(vm->sets[at].name) == size && memcmp(vm->sets[at].name, name, size) == 0) {
            return vm->sets[at].value;
        }
    }
    for (size_t at = 0; at < sizeof(known) / sizeof(known[0]); at++) {
        if (strlen(known[at].name) == size && memcmp(known[at].name, name, size) == 0) {
            return known[at].value;
        }
    }
    if (size == 5 && memcmp(name, "epoch", 5) == 0) {
        snprintf(filling->number, sizeof(filling->number), "%lld", filling->epoch);
        return filling->number;
    }
    if (size == 7 && memcmp(name, "ram_mib", 7) == 0) {
        return number(filling, group->ram_mib);
    }
    return size == 3 && memcmp(name, "cpu", 3) == 0 ? number(filling, ceil(group->cpu)) : NULL;
}

/* A placeholder is {name} with letters, digits and _; other braces stand for themselves (JSON). */
static size_t placeholder(const char *text)
{
    size_t size = 0;

    while (isalnum((unsigned char)text[1 + size]) || text[1 + size] == '_') {
        size++;
    }
    return text[0] == '{' && size > 0 && text[1 + size] == '}' ? size : 0;
}

static int fill(struct filling *filling, const char *text, char **out, struct agent_error *error)
{
    char word[WORD_MAX];
    size_t used = 0;
    const char *at = text;

    while (*at != '\0') {
        size_t size = placeholder(at);
        const char *value = size > 0 ? value_of(filling, at + 1, size) : NULL;
        if (size > 0 && value == NULL) {
            return agent_error_set(error, EINVAL, "vm %s: unknown placeholder {%.*s} in '%.100s'",
                                   filling->inventory->vms[filling->vm].name, (int)size, at + 1,
                                   text);
        }
        size_t length = value != NULL ? strlen(value) : 1;
        if (used + length >= sizeof(word)) {
            return agent_error_set(error, EINVAL, "vm %s: a word of its command is over %d bytes",
                                   filling->inventory->vms[filling->vm].name, WORD_MAX - 1);
        }
        memcpy(word + used, value != NULL ? value : at, length);
        used += length;
        at += value != NULL ? size + 2 : 1;
    }
    *out = strndup(word, used);
    return *out == NULL ? agent_error_set(error, ENOMEM, "no memory for a command") : 0;
}

static int append(struct agent_words *out, const char *word, struct filling *filling,
                  struct agent_error *error)
{
    if (out->count >= AGENT_WORDS_MAX) {
        return agent_error_set(error, EINVAL, "vm %s: its command has more than %d words",
                               filling->inventory->vms[filling->vm].name, AGENT_WORDS_MAX);
    }
    int status = fill(filling, word, &out->words[out->count], error);
    out->count += status == 0 ? 1 : 0;
    return status;
}

static int append_incoming(struct agent_words *out, enum agent_command_kind kind,
                           struct filling *filling, struct agent_error *error)
{
    int status = 0;

    if (kind == AGENT_WORDS_DEST || kind == AGENT_WORDS_DEST_PAUSED) {
        status = append(out, "-incoming", filling, error);
        status = status < 0 ? status : append(out, "defer", filling, error);
    }
    if (kind == AGENT_WORDS_DEST_PAUSED && status == 0) {
        status = append(out, "-S", filling, error);
    }
    return status;
}

static int append_all(struct agent_words *out, const char **words, size_t count,
                      enum agent_command_kind kind, struct filling *filling,
                      struct agent_error *error)
{
    bool starts = kind <= AGENT_WORDS_DEST_PAUSED;
    bool placed = false;
    int status = 0;

    for (size_t at = 0; at < count && status == 0; at++) {
        if (starts && strcmp(words[at], "{incoming}") == 0) {
            status = append_incoming(out, kind, filling, error);
            placed = true;
        } else {
            status = append(out, words[at], filling, error);
        }
    }
    return status == 0 && starts && !placed ? append_incoming(out, kind, filling, error) : status;
}

int agent_inventory_words(const struct agent_inventory *inventory, enum agent_command_kind kind,
                          int vm, int host, long long epoch, struct agent_words *out,
                          struct agent_error *error)
{
    struct filling filling = {.inventory = inventory, .vm = vm, .host = host, .epoch = epoch};
    const struct agent_inventory_group *group = &inventory->groups[inventory->vms[vm].group];
    const struct agent_inventory_host *place = &inventory->hosts[host];
    const char **words = kind == AGENT_WORDS_PREPARE    ? group->prepare
                         : kind == AGENT_WORDS_ANNOUNCE ? group->announce
                         : kind == AGENT_WORDS_FENCE    ? place->fence
                                                        : group->start;
    size_t count = kind == AGENT_WORDS_PREPARE    ? group->prepare_count
                   : kind == AGENT_WORDS_ANNOUNCE ? group->announce_count
                   : kind == AGENT_WORDS_FENCE    ? place->fence_count
                                                  : group->start_count;
    int status =
        agent_inventory_socket(inventory, vm, host, epoch, filling.socket, sizeof(filling.socket));

    memset(out, 0, sizeof(*out));
    if (count == 0) {
        return agent_error_set(error, ENOENT, "vm %s: no such command is declared",
                               inventory->vms[vm].name);
    }
    if (status < 0) {
        return agent_error_set(error, EINVAL,
                               "host %s: directory %.60s... makes the path of the QMP socket of %s "
                               "longer than %d bytes",
                               place->name, place->directory, inventory->vms[vm].name,
                               AGENT_SOCKET_PATH_MAX - 1);
    }
    snprintf(filling.log, sizeof(filling.log), "%.400s/%s.%lld.log", place->directory,
             inventory->vms[vm].name, epoch);
    status =
        append_all(out, place->prefix, place->prefix_count, AGENT_WORDS_FENCE, &filling, error);
    status = status < 0 ? status : append_all(out, words, count, kind, &filling, error);
    if (status < 0) {
        agent_words_done(out);
    }
    return status;
}

void agent_words_done(struct agent_words *words)
{
    for (size_t at = 0; at < words->count; at++) {
        free(words->words[at]);
    }
    memset(words, 0, sizeof(*words));
}
