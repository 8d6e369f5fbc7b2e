/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ven_objects.c - what a VEN and a VTN say to each other, apart from when
 * Owner, thread, time, units: ven_private.h. */
#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dr/ven_private.h"
#include "support/file.h"

#define TOKEN_LIFE_S  3600.0 /* when the server does not say */
#define TOKEN_EARLY_S 30.0   /* a token is renewed before it ends */

void dr_ven_say(struct agent_dr_ven *ven, const char *format, ...)
{
    char text[sizeof(ven->text)];
    va_list words;

    va_start(words, format);
    vsnprintf(text, sizeof(text), format, words);
    va_end(words);
    agent_dr_clean(text);
    if (strcmp(text, ven->text) != 0) {
        memcpy(ven->text, text, sizeof(text));
        ven->ops->state(ven->opaque, ven->text);
    }
}

/* "&name=value", percent-encoded. Return: bytes used, or -1. */
static int add_value(char *out, size_t size, char mark, const char *name, const char *value)
{
    char *quoted = curl_easy_escape(NULL, value, 0);
    int used = quoted == NULL ? -1 : snprintf(out, size, "%c%s=%s", mark, name, quoted);

    curl_free(quoted);
    return used >= 0 && (size_t)used < size ? used : -1;
}

int dr_ven_query(const struct agent_dr_ven *ven, const char *path, const char *name,
                 const char *value, char *out, size_t size)
{
    const struct agent_yaml *targets = ven->settings->targets;
    int used =
        snprintf(out, size, "%s%s?skip=%zu&limit=%d", ven->base, path, ven->skip, AGENT_DR_PAGE);
    bool good = used > 0 && (size_t)used < size;

    if (good && name != NULL) {
        int more = add_value(out + used, size - (size_t)used, '&', name, value);
        good = more > 0;
        used += good ? more : 0;
    }
    const struct agent_yaml *item = targets != NULL ? targets->first : NULL;
    for (; good && item != NULL; item = item->next) {
        int more = add_value(out + used, size - (size_t)used, '&', "targets", item->text);
        good = more > 0;
        used += good ? more : 0;
    }
    return good ? 0 : -ENAMETOOLONG;
}

static const json_t *program_of(const struct agent_dr_ven *ven, const json_t *event)
{
    const char *wanted = json_string_value(json_object_get(event, "programID"));

    for (size_t index = 0; wanted != NULL && index < json_array_size(ven->programs); index++) {
        const json_t *program = json_array_get(ven->programs, index);
        if (strcmp(json_string_value(json_object_get(program, "id")), wanted) == 0) {
            return program;
        }
    }
    return NULL;
}

static int64_t agent_now_ms(const struct agent_dr_ven *ven)
{
    return (int64_t)(agent_clock_now(agent_loop_clock(ven->loop)) * 1000);
}

/* Was this very object refused lately? Notes that it is now. */
static bool refused_before(struct agent_dr_ven *ven, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    uint64_t digest = text != NULL ? agent_file_digest(text, strlen(text)) : 0;

    free(text);
    for (int index = 0; index < DR_REFUSED_KEPT; index++) {
        if (digest != 0 && ven->refused[index] == digest) {
            return true;
        }
    }
    ven->refused[ven->refused_at++ % DR_REFUSED_KEPT] = digest;
    return false;
}

int dr_ven_event(struct agent_dr_ven *ven, const json_t *object, unsigned listing,
                 struct agent_error *error)
{
    const struct agent_dr_ven_settings *settings = ven->settings;
    struct agent_dr_event *event = NULL;
    struct agent_dr_reading reading = {
        .received_ms = agent_now_ms(ven),
        .clock_ms = agent_dr_ven_clock_ms(ven),
        .seed = agent_file_digest(settings->ven_name, strlen(settings->ven_name)),
        .program = program_of(ven, object),
        .units = settings->units,
    };

    if (ven->clock_broken) {
        return agent_error_set(error, EINVAL,
                               "event: the VTN's clock is %.0f s off ours: its times mean nothing",
                               (double)ven->clock_ms / 1000);
    }
    if (settings->programs != NULL && reading.program == NULL) {
        return 0; /* of a program that we do not follow */
    }
    memcpy(reading.levels, settings->levels, sizeof(reading.levels));
    int status = agent_dr_event_parse(object, &reading, &event, error);
    if (status == 0) {
        ven->events_read++;
        ven->ops->event(ven->opaque, event, listing);
    }
    return status;
}

void dr_ven_events(struct agent_dr_ven *ven, const json_t *list)
{
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *object = json_array_get(list, index);
        struct agent_error error = {0};
        if (dr_ven_event(ven, object, ven->listing, &error) < 0) {
            ven->ops->refused(ven->opaque, agent_dr_event_id(object), ven->listing,
                              refused_before(ven, object) ? NULL : error.text);
        }
    }
}

static bool wanted(const struct agent_dr_ven *ven, const json_t *program)
{
    const struct agent_yaml *names = ven->settings->programs;
    const char *name = json_string_value(json_object_get(program, "programName"));
    const struct agent_yaml *item = names != NULL ? names->first : NULL;

    for (; item != NULL; item = item->next) {
        if (name != NULL && item->text != NULL && strcmp(name, item->text) == 0) {
            return true;
        }
    }
    return names == NULL;
}

void dr_ven_programs(struct agent_dr_ven *ven, const json_t *list)
{
    for (size_t index = 0; index < json_array_size(list); index++) {
        json_t *program = json_array_get(list, index);
        if (agent_dr_event_id(program) == NULL) {
            dr_ven_say(ven, "a program without a usable id was left out");
        } else if (wanted(ven, program) && json_array_size(ven->fetched) < AGENT_DR_PROGRAMS_MAX) {
            json_array_append(ven->fetched, program);
        }
    }
}

static int by_size(const void *one, const void *other)
{
    int64_t left = *(const int64_t *)one;
    int64_t right = *(const int64_t *)other;

    return left < right ? -1 : left > right;
}

/* The median of the last answers; Date is cut to seconds, so half a second is added. */
void dr_ven_clock(struct agent_dr_ven *ven, const struct agent_dr_http_answer *answer)
{
    const struct agent_clock *clock = agent_loop_clock(ven->loop);
    int64_t sorted[AGENT_DR_CLOCK_SAMPLES];

    if (answer->date_ms < 0 || !ven->settings->follow_clock || clock->scale != 1) {
        return;
    }
    double ours_s = agent_clock_time_of_ns(clock, answer->mid_ns);
    ven->clocks_ms[ven->clock_count++ % AGENT_DR_CLOCK_SAMPLES] =
        answer->date_ms + 500 - (int64_t)(ours_s * 1000);
    size_t count =
        ven->clock_count < AGENT_DR_CLOCK_SAMPLES ? ven->clock_count : AGENT_DR_CLOCK_SAMPLES;
    memcpy(sorted, ven->clocks_ms, count * sizeof(sorted[0]));
    qsort(sorted, count, sizeof(sorted[0]), by_size);
    ven->clock_ms = sorted[count / 2];
    bool broken = llabs(ven->clock_ms) > AGENT_DR_CLOCK_MAX_MS;
    if (broken && !ven->clock_broken) {
        dr_ven_say(ven, "the VTN's clock is %.0f s off ours: its events are not followed",
                   (double)ven->clock_ms / 1000);
    }
    ven->clock_broken = broken;
}

int64_t agent_dr_ven_clock_ms(const struct agent_dr_ven *ven)
{
    return llabs(ven->clock_ms) < AGENT_DR_CLOCK_TRUST_MS || ven->clock_broken ? 0 : ven->clock_ms;
}

char *dr_ven_form(const struct agent_dr_ven *ven)
{
    const struct agent_dr_ven_settings *settings = ven->settings;
    size_t size = 3 * (strlen(settings->client_id) + strlen(settings->secret)) + 3 * 512 + 128;
    char *out = malloc(size);
    int used = out == NULL ? -1 : snprintf(out, size, "grant_type=client_credentials");
    int more = used < 0 ? -1
                        : add_value(out + used, size - (size_t)used, '&', "client_id",
                                    settings->client_id);

    used += more;
    more = more < 0
               ? -1
               : add_value(out + used, size - (size_t)used, '&', "client_secret", settings->secret);
    used += more;
    if (more >= 0 && settings->scope != NULL) {
        more = add_value(out + used, size - (size_t)used, '&', "scope", settings->scope);
    }
    if (more < 0) {
        free(out);
        return NULL;
    }
    return out;
}

int dr_ven_token(struct agent_dr_ven *ven, const json_t *answer, struct agent_error *error)
{
    const char *token = json_string_value(json_object_get(answer, "access_token"));
    const char *type = json_string_value(json_object_get(answer, "token_type"));
    const json_t *life = json_object_get(answer, "expires_in");
    double life_s = json_is_number(life) ? json_number_value(life) : TOKEN_LIFE_S;

    if (token == NULL || token[0] == '\0' || strlen(token) > DR_TOKEN_MAX ||
        token[strcspn(token, " \r\n\t")] != '\0') {
        return agent_error_set(error, EBADMSG,
                               "token endpoint: no usable access_token (%d bytes "
                               "at most, no white space)",
                               DR_TOKEN_MAX);
    }
    if (type == NULL || strcasecmp(type, "bearer") != 0) {
        return agent_error_set(error, EBADMSG,
                               "token endpoint: token_type is '%.40s', expected "
                               "Bearer",
                               type != NULL ? type : "missing");
    }
    life_s = fmin(fmax(life_s, 1), 86400 * 30);
    /* short-lived ones keep half of their life */
    life_s = life_s > 2 * TOKEN_EARLY_S ? life_s - TOKEN_EARLY_S : life_s / 2;
    snprintf(ven->token, sizeof(ven->token), "%s", token);
    ven->token_ends_ns = agent_loop_now_ns(ven->loop) + (int64_t)(life_s * 1e9);
    return 0;
}

json_t *dr_ven_subscription(const struct agent_dr_ven *ven)
{
    json_t *targets = json_array();
    const struct agent_yaml *list = ven->settings->targets;
    const struct agent_yaml *item = list != NULL ? list->first : NULL;

    for (; item != NULL; item = item->next) {
        json_array_append_new(targets, json_string(item->text));
    }
    json_t *object =
        json_pack("{s:s,s:[{s:[s],s:[s,s,s],s:s,s:s}]}", "clientName", ven->settings->ven_name,
                  "objectOperations", "objects", "EVENT", "operations", "CREATE", "UPDATE",
                  "DELETE", "callbackUrl", ven->callback, "bearerToken", ven->callback_token);
    if (json_array_size(targets) > 0) {
        json_object_set(object, "targets", targets);
    }
    json_decref(targets);
    return object;
}

bool dr_ven_old_subscription(struct agent_dr_ven *ven, const json_t *list)
{
    for (size_t index = 0; index < json_array_size(list); index++) {
        const json_t *entry = json_array_get(list, index);
        const char *name = json_string_value(json_object_get(entry, "clientName"));
        const char *id = agent_dr_event_id(entry);
        if (name != NULL && id != NULL && strcmp(name, ven->settings->ven_name) == 0) {
            snprintf(ven->drop, sizeof(ven->drop), "%s", id);
            return true;
        }
    }
    return false;
}
