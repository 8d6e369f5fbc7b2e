/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grid/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grid/adapter.h"
#include "support/file.h"
#include "support/json.h"
#include "support/slot.h"

#define TAG_MAX       256
#define REDIRECTS_MAX 3L

struct agent_fetch {
    char *url;
    char *cache; /* path without ending, NULL = none */
    double poll_s;
    CURL *curl;
    char *bytes;
    size_t size;
    char etag[TAG_MAX];
    char modified[TAG_MAX];
    int64_t fetched_s;
    int64_t due_s;
    unsigned failures;
};

/* What arrives during one try. */
struct answer {
    char *bytes;
    size_t size;
    bool too_large;
    char etag[TAG_MAX];
    char modified[TAG_MAX];
};

static void load_cache(struct agent_fetch *fetch)
{
    char path[PATH_MAX];
    json_t *meta = NULL;
    const char *etag = "";
    const char *modified = "";
    const char *url = "";

    snprintf(path, sizeof(path), "%s.json", fetch->cache);
    if (agent_json_load(path, 65536, &meta, NULL) < 0) {
        return;
    }
    if (json_unpack(meta, "{s:s,s:s,s:s,s:I}", "url", &url, "etag", &etag, "last_modified",
                    &modified, "fetched_s", &fetch->fetched_s) == 0 &&
        strcmp(url, fetch->url) == 0) {
        snprintf(path, sizeof(path), "%s.body", fetch->cache);
        if (agent_file_read(path, AGENT_INPUT_MAX_BYTES, &fetch->bytes, &fetch->size, NULL) == 0) {
            snprintf(fetch->etag, sizeof(fetch->etag), "%s", etag);
            snprintf(fetch->modified, sizeof(fetch->modified), "%s", modified);
        }
    }
    json_decref(meta);
}

/* The body goes first: a crash between the two leaves an old tag with a new body, which only
 * costs one more transfer. */
static int save_cache(const struct agent_fetch *fetch, bool body, struct agent_error *error)
{
    char path[PATH_MAX];
    int status = 0;

    if (fetch->cache == NULL) {
        return 0;
    }
    snprintf(path, sizeof(path), "%s.body", fetch->cache);
    if (body) {
        status = agent_file_write(path, fetch->bytes, fetch->size, error);
    }
    json_t *meta =
        json_pack("{s:s,s:s,s:s,s:I}", "url", fetch->url, "etag", fetch->etag, "last_modified",
                  fetch->modified, "fetched_s", (json_int_t)fetch->fetched_s);
    char *text = meta != NULL ? json_dumps(meta, JSON_COMPACT) : NULL;
    snprintf(path, sizeof(path), "%s.json", fetch->cache);
    if (status == 0 && text != NULL) {
        status = agent_file_write(path, text, strlen(text), error);
    }
    free(text);
    json_decref(meta);
    return status;
}

static int copy_names(struct agent_fetch *fetch, const char *url, const char *cache,
                      struct agent_error *error)
{
    char path[PATH_MAX];

    fetch->url = strdup(url);
    if (fetch->url == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for %.100s", url);
    }
    if (cache != NULL) {
        snprintf(path, sizeof(path), "%s/%016" PRIx64, cache, agent_file_digest(url, strlen(url)));
        fetch->cache = strdup(path);
        if (access(cache, W_OK) < 0 || fetch->cache == NULL) {
            int code = errno != 0 ? errno : ENOMEM;
            return agent_error_at(error, code, (struct agent_place){cache, 0, 0},
                                  "cannot use the directory as a cache: %s", strerror(code));
        }
    }
    return 0;
}

int agent_fetch_open(const char *url, const char *cache, double poll_s, struct agent_fetch **out,
                     struct agent_error *error)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return agent_error_set(error, EINVAL,
                               "expected a URL with http:// or https://, found "
                               "'%.100s'",
                               url);
    }
    struct agent_fetch *fetch = calloc(1, sizeof(*fetch));
    int status = fetch == NULL ? agent_error_set(error, ENOMEM, "no memory for %.100s", url)
                               : copy_names(fetch, url, cache, error);
    if (status == 0) {
        fetch->poll_s = poll_s;
        fetch->curl = curl_easy_init();
        status = fetch->curl == NULL ? agent_error_set(error, ENOMEM, "curl does not start") : 0;
    }
    if (status < 0) {
        agent_fetch_close(fetch);
        return status;
    }
    if (fetch->cache != NULL) {
        load_cache(fetch);
    }
    *out = fetch;
    return 0;
}

void agent_fetch_close(struct agent_fetch *fetch)
{
    if (fetch != NULL) {
        if (fetch->curl != NULL) {
            curl_easy_cleanup(fetch->curl);
        }
        free(fetch->url);
        free(fetch->cache);
        free(fetch->bytes);
        free(fetch);
    }
}

int64_t agent_fetch_due_s(const struct agent_fetch *fetch)
{
    return fetch->due_s;
}

struct agent_fetched agent_fetch_last(const struct agent_fetch *fetch)
{
    return (struct agent_fetched){fetch->bytes, fetch->size, fetch->fetched_s, fetch->failures};
}

int64_t agent_fetch_backoff_s(const char *url, double poll_s, unsigned failures)
{
    double wait_s = poll_s < AGENT_FETCH_BACKOFF_FIRST_S ? poll_s : AGENT_FETCH_BACKOFF_FIRST_S;

    wait_s = wait_s < 1 ? 1 : wait_s;
    for (unsigned step = 1; step < failures && wait_s < AGENT_FETCH_BACKOFF_MAX_S; step++) {
        wait_s *= 2;
    }
    wait_s = wait_s > AGENT_FETCH_BACKOFF_MAX_S ? AGENT_FETCH_BACKOFF_MAX_S : wait_s;
    double spread = (double)(agent_file_digest(url, strlen(url)) % 201) / 1000 - 0.1;
    return (int64_t)(wait_s * (1 + spread) + 0.5);
}

static size_t take_body(char *bytes, size_t unit, size_t count, void *opaque)
{
    struct answer *answer = opaque;
    size_t size = unit * count;

    if (answer->size + size > AGENT_INPUT_MAX_BYTES) {
        answer->too_large = true;
        return 0;
    }
    char *grown = realloc(answer->bytes, answer->size + size + 1);
    if (grown == NULL) {
        return 0;
    }
    memcpy(grown + answer->size, bytes, size);
    answer->bytes = grown;
    answer->size += size;
    answer->bytes[answer->size] = '\0';
    return size;
}

static void take_header(const char *line, size_t size, const char *name, char *out)
{
    size_t length = strlen(name);

    if (size <= length || strncasecmp(line, name, length) != 0) {
        return;
    }
    const char *value = line + length;
    const char *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    if (end - value < TAG_MAX) { /* a longer tag is not worth keeping */
        memcpy(out, value, (size_t)(end - value));
        out[end - value] = '\0';
    }
}

static size_t take_headers(char *line, size_t unit, size_t count, void *opaque)
{
    struct answer *answer = opaque;
    size_t size = unit * count;

    if (size > 5 && strncmp(line, "HTTP/", 5) == 0) { /* a redirect's headers do not count */
        answer->etag[0] = '\0';
        answer->modified[0] = '\0';
    }
    take_header(line, size, "etag:", answer->etag);
    take_header(line, size, "last-modified:", answer->modified);
    return size;
}

static struct curl_slist *conditions(const struct agent_fetch *fetch)
{
    struct curl_slist *list = NULL;
    char line[TAG_MAX + 32];

    if (fetch->bytes != NULL && fetch->etag[0] != '\0') {
        snprintf(line, sizeof(line), "If-None-Match: %s", fetch->etag);
        list = curl_slist_append(list, line);
    }
    if (fetch->bytes != NULL && fetch->modified[0] != '\0') {
        snprintf(line, sizeof(line), "If-Modified-Since: %s", fetch->modified);
        list = curl_slist_append(list, line);
    }
    return list;
}

static CURLcode ask(struct agent_fetch *fetch, struct answer *answer, char *problem)
{
    CURL *curl = fetch->curl;
    struct curl_slist *headers = conditions(fetch);

    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, fetch->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    bool secure = strncmp(fetch->url, "https://", 8) == 0; /* never from https down to http */
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)AGENT_FETCH_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "vmm-agent");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_headers);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
    CURLcode result = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    return result;
}

static int failed(struct agent_fetch *fetch, int64_t now_s, const char *why,
                  struct agent_error *error)
{
    curl_off_t asked_s = 0;
    char next[AGENT_TIME_TEXT_SIZE];

    fetch->failures++;
    int64_t wait_s = agent_fetch_backoff_s(fetch->url, fetch->poll_s, fetch->failures);
    if (curl_easy_getinfo(fetch->curl, CURLINFO_RETRY_AFTER, &asked_s) == CURLE_OK &&
        asked_s > wait_s) {
        wait_s = asked_s > AGENT_FETCH_BACKOFF_MAX_S ? AGENT_FETCH_BACKOFF_MAX_S : asked_s;
    }
    fetch->due_s = now_s + wait_s;
    return agent_error_at(error, EIO, (struct agent_place){fetch->url, 0, 0},
                          "%s; failure %u in a row, next try at %s", why, fetch->failures,
                          agent_time_format(fetch->due_s, next));
}

static int confirmed(struct agent_fetch *fetch, int64_t now_s, bool body, struct agent_error *error)
{
    fetch->failures = 0;
    fetch->fetched_s = now_s;
    fetch->due_s = now_s + (int64_t)(fetch->poll_s < 1 ? 1 : fetch->poll_s);
    int status = save_cache(fetch, body, error);
    return status < 0 ? status : body ? 1 : 0;
}

/* A good answer replaces the last one unless its bytes are the same. */
static int take_answer(struct agent_fetch *fetch, struct answer *answer, int64_t now_s,
                       struct agent_error *error)
{
    bool same = fetch->bytes != NULL && fetch->size == answer->size &&
                memcmp(fetch->bytes, answer->bytes, answer->size) == 0;

    snprintf(fetch->etag, sizeof(fetch->etag), "%s", answer->etag);
    snprintf(fetch->modified, sizeof(fetch->modified), "%s", answer->modified);
    if (!same) {
        free(fetch->bytes);
        fetch->bytes = answer->bytes;
        fetch->size = answer->size;
        answer->bytes = NULL;
    }
    return confirmed(fetch, now_s, !same, error);
}

int agent_fetch_try(struct agent_fetch *fetch, int64_t now_s, struct agent_error *error)
{
    struct answer answer = {0};
    char problem[CURL_ERROR_SIZE] = "";
    char why[CURL_ERROR_SIZE + 64];
    long http = 0;
    CURLcode result = ask(fetch, &answer, problem);
    int status = 0;

    curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &http);
    if (answer.too_large) {
        snprintf(why, sizeof(why), "the answer is larger than %u bytes", AGENT_INPUT_MAX_BYTES);
        status = failed(fetch, now_s, why, error);
    } else if (result != CURLE_OK) {
        snprintf(why, sizeof(why), "%s", problem[0] != '\0' ? problem : curl_easy_strerror(result));
        status = failed(fetch, now_s, why, error);
    } else if (http == 304 && fetch->bytes != NULL) {
        status = confirmed(fetch, now_s, false, error);
    } else if (http == 200 && answer.size > 0) {
        status = take_answer(fetch, &answer, now_s, error);
    } else {
        snprintf(why, sizeof(why), "HTTP status %ld%s", http,
                 http == 200 ? " without content" : "");
        status = failed(fetch, now_s, why, error);
    }
    free(answer.bytes);
    return status;
}
