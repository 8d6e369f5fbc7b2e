/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ven_settings.c - section dr.openadr of the configuration
 * Owner, thread, time, units: ven.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dr/ven.h"
#include "support/file.h"

#define SECRET_MAX 4096

/* The secret's file must be ours alone: whoever reads it can answer events in our name. */
static int read_secret(const struct agent_yaml *section, const char *path, char **out,
                       struct agent_error *error)
{
    struct stat found;
    char *text = NULL;
    size_t size = 0;

    if (stat(path, &found) < 0) {
        return agent_error_at(error, errno, (struct agent_place){path, 0, 0}, "cannot read: %s",
                              strerror(errno));
    }
    if ((found.st_mode & 07) != 0) {
        agent_yaml_fail(section, error, "client_secret_file %s: others may read it (mode %o)", path,
                        found.st_mode & 0777);
        return -EACCES;
    }
    int status = agent_file_read(path, SECRET_MAX, &text, &size, error);
    if (status < 0) {
        return status;
    }
    size_t length = strcspn(text, "\r\n");
    if (length == 0 || text[length + strspn(text + length, "\r\n")] != '\0') {
        explicit_bzero(text, size);
        free(text);
        return agent_yaml_fail(section, error, "client_secret_file %s: expected one line", path);
    }
    text[length] = '\0';
    *out = text;
    return 0;
}

/* https, or http to this machine: credentials travel in it. */
static int check_url(const struct agent_yaml *section, const char *key, const char *url,
                     struct agent_error *error)
{
    static const char *const local[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

    if (strncmp(url, "https://", 8) == 0) {
        return 0;
    }
    for (size_t index = 0; index < sizeof(local) / sizeof(local[0]); index++) {
        size_t length = strlen(local[index]);
        if (strncmp(url, local[index], length) == 0 && strchr(":/", url[length]) != NULL) {
            return 0; /* also when the URL ends there: strchr finds the terminator */
        }
    }
    return agent_yaml_fail(section, error,
                           "%s is '%.100s', expected https:// (http:// only to "
                           "this machine)",
                           key, url);
}

static int read_webhook(const struct agent_yaml *section,
                        struct agent_dr_webhook_settings *settings, struct agent_error *error)
{
    static const char *const known[] = {"listen", "url", "certificate", "key", NULL};

    if (section == NULL) {
        return 0;
    }
    int status = agent_yaml_only(section, known, error);
    status =
        status < 0 ? status : agent_yaml_text(section, "listen", NULL, &settings->listen, error);
    status = status < 0 ? status : agent_yaml_text(section, "url", NULL, &settings->url, error);
    status = status < 0
                 ? status
                 : agent_yaml_text(section, "certificate", "", &settings->certificate, error);
    status = status < 0 ? status : agent_yaml_text(section, "key", "", &settings->key, error);
    bool local = status == 0 && (strncmp(settings->listen, "127.", 4) == 0 ||
                                 strncmp(settings->listen, "[::1]:", 6) == 0);
    if (status == 0 && !local && settings->certificate[0] == '\0') {
        return agent_yaml_fail(
            section, error,
            "webhook.listen %.60s without certificate and key: plain HTTP only on "
            "this machine",
            settings->listen);
    }
    if (status == 0 && (settings->certificate[0] == '\0') != (settings->key[0] == '\0')) {
        return agent_yaml_fail(section, error, "certificate and key belong together");
    }
    return status < 0 ? status : check_url(section, "url", settings->url, error);
}

static int read_levels(const struct agent_yaml *section, double *levels, struct agent_error *error)
{
    const struct agent_yaml *list = agent_yaml_child(section, "simple_levels");
    int index = 1;

    levels[0] = 0;
    levels[1] = 1.0 / 3;
    levels[2] = 2.0 / 3;
    levels[3] = 1;
    if (list == NULL) {
        return 0;
    }
    if (list->kind != AGENT_YAML_LIST || list->count != 3) {
        return agent_yaml_fail(list, error, "simple_levels: expected three shares, for 1, 2 and 3");
    }
    for (const struct agent_yaml *item = list->first; item != NULL; item = item->next, index++) {
        char *end = NULL;
        double share = item->kind == AGENT_YAML_SCALAR ? strtod(item->text, &end) : NAN;
        if (end == NULL || *end != '\0' || !(share >= levels[index - 1] && share <= 1)) {
            return agent_yaml_fail(item, error, "simple_levels: shares must ascend within 0..1");
        }
        levels[index] = share;
    }
    return 0;
}

static int read_texts(const struct agent_yaml *section, struct agent_dr_ven_settings *settings,
                      struct agent_error *error)
{
    const struct {
        const char *key;
        const char *fallback;
        const char **out;
    } texts[] = {
        {"url", NULL, &settings->url},           {"client_id", NULL, &settings->client_id},
        {"scope", "", &settings->scope},         {"token_url", "", &settings->token_url},
        {"ven_name", NULL, &settings->ven_name}, {"ca_file", "", &settings->ca_file},
        {"assume_units", "", &settings->units},
    };
    int status = 0;

    for (size_t index = 0; status == 0 && index < sizeof(texts) / sizeof(texts[0]); index++) {
        status = agent_yaml_text(section, texts[index].key, texts[index].fallback, texts[index].out,
                                 error);
        if (status == 0 && (*texts[index].out)[0] == '\0') {
            *texts[index].out = NULL;
        }
    }
    if (status == 0 && strlen(settings->ven_name) >= AGENT_DR_NAME_SIZE) {
        return agent_yaml_fail(section, error, "ven_name: at most %d characters",
                               AGENT_DR_NAME_SIZE - 1);
    }
    return status;
}

int agent_dr_ven_settings_read(const struct agent_yaml *section,
                               struct agent_dr_ven_settings *settings, struct agent_error *error)
{
    static const char *const known[] = {"url",     "client_id",    "client_secret_file",
                                        "scope",   "token_url",    "ven_name",
                                        "ca_file", "programs",     "targets",
                                        "poll_s",  "assume_units", "clock",
                                        "enrol",   "webhook",      "simple_levels",
                                        NULL};
    const char *secret_file = NULL;
    const char *clock = NULL;

    *settings = (struct agent_dr_ven_settings){0};
    if (section == NULL) {
        return 0;
    }
    int status = agent_yaml_only(section, known, error);
    status = status < 0 ? status : read_texts(section, settings, error);
    status = status < 0 ? status : check_url(section, "url", settings->url, error);
    status = status < 0 || settings->token_url == NULL
                 ? status
                 : check_url(section, "token_url", settings->token_url, error);
    status = status < 0 ? status
                        : agent_yaml_number(section, "poll_s", (struct agent_range){0.2, 86400}, 30,
                                            &settings->poll_s, error);
    status = status < 0 ? status
                        : agent_yaml_text(section, "client_secret_file", NULL, &secret_file, error);
    status = status < 0 ? status : agent_yaml_text(section, "clock", "vtn", &clock, error);
    status = status < 0 ? status : agent_yaml_bool(section, "enrol", true, &settings->enrol, error);
    status = status < 0 ? status : read_levels(section, settings->levels, error);
    status = status < 0
                 ? status
                 : read_webhook(agent_yaml_child(section, "webhook"), &settings->webhook, error);
    if (status == 0 && strcmp(clock, "vtn") != 0 && strcmp(clock, "ours") != 0) {
        status = agent_yaml_fail(section, error, "clock is '%.40s', expected vtn or ours", clock);
    }
    settings->follow_clock = status == 0 && strcmp(clock, "vtn") == 0;
    settings->programs = agent_yaml_child(section, "programs");
    settings->targets = agent_yaml_child(section, "targets");
    return status < 0 ? status : read_secret(section, secret_file, &settings->secret, error);
}

void agent_dr_ven_settings_done(struct agent_dr_ven_settings *settings)
{
    if (settings->secret != NULL) {
        explicit_bzero(settings->secret, strlen(settings->secret));
        free(settings->secret);
    }
    *settings = (struct agent_dr_ven_settings){0};
}
