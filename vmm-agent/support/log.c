/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX 1024
#define KEY_MAX     48

static struct {
    enum agent_log_form form;
    enum agent_log_level level;
    int fd;
    int journal_fd;
    unsigned long lost; /* lines the journal did not take */
} log_state = {AGENT_LOG_TEXT, AGENT_LOG_NOTICE, STDERR_FILENO, -1, 0};

static const char *const form_names[] = {"auto", "text", "json", "journal", NULL};
static const char *const level_names[] = {"error", "warning", "notice", "info", "debug", NULL};

/* struct line - text being put together; what does not fit is cut, never an overrun */
struct line {
    char bytes[AGENT_LOG_LINE_MAX];
    size_t size;
};

static void line_add(struct line *line, const char *bytes, size_t size)
{
    size_t room = sizeof(line->bytes) - line->size;

    size = size < room ? size : room;
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
}

static void line_text(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

/* Is standard error the stream that journald gave this service ("device:inode")? */
static int stderr_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat found;
    char text[64];

    if (stream == NULL || fstat(fd, &found) < 0) {
        return 0;
    }
    snprintf(text, sizeof(text), "%lu:%lu", (unsigned long)found.st_dev,
             (unsigned long)found.st_ino);
    return strcmp(stream, text) == 0;
}

static int journal_connect(const char *path, struct agent_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        return agent_error_set(error, ENAMETOOLONG, "log: '%s' is longer than %zu bytes", path,
                               sizeof(address.sun_path) - 1);
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return agent_error_set(error, errno, "log: no socket: %s", strerror(errno));
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int code = errno;
        close(fd);
        return agent_error_set(error, code, "log: the journal at %s does not answer: %s", path,
                               strerror(code));
    }
    return fd;
}

int agent_log_open(enum agent_log_form form, enum agent_log_level level, int fd,
                   const char *journal, struct agent_error *error)
{
    int journal_fd = -1;

    if (form == AGENT_LOG_AUTO) {
        form = stderr_is_journal(fd) ? AGENT_LOG_JOURNAL : AGENT_LOG_TEXT;
    }
    if (form == AGENT_LOG_JOURNAL) {
        journal_fd = journal_connect(journal, error);
        if (journal_fd < 0) {
            return journal_fd;
        }
    }
    agent_log_close();
    log_state.form = form;
    log_state.level = level;
    log_state.fd = fd;
    log_state.journal_fd = journal_fd;
    return 0;
}

void agent_log_close(void)
{
    if (log_state.journal_fd >= 0) {
        close(log_state.journal_fd);
    }
    log_state.form = AGENT_LOG_TEXT;
    log_state.level = AGENT_LOG_NOTICE;
    log_state.fd = STDERR_FILENO;
    log_state.journal_fd = -1;
    log_state.lost = 0;
}

static int name_index(const char *const *names, const char *name)
{
    for (int index = 0; names[index] != NULL; index++) {
        if (strcmp(names[index], name) == 0) {
            return index;
        }
    }
    return -1;
}

int agent_log_form_of(const char *name, enum agent_log_form *form, struct agent_error *error)
{
    int index = name_index(form_names, name);

    if (index < 0) {
        return agent_error_set(error, EINVAL,
                               "log form '%.40s' is not one of auto, text, json, journal", name);
    }
    *form = (enum agent_log_form)index;
    return 0;
}

int agent_log_level_of(const char *name, enum agent_log_level *level, struct agent_error *error)
{
    int index = name_index(level_names, name);

    if (index < 0) {
        return agent_error_set(error, EINVAL,
                               "log level '%.40s' is not one of error, warning, "
                               "notice, info, debug",
                               name);
    }
    *level = (enum agent_log_level)(index + AGENT_LOG_ERROR);
    return 0;
}

int agent_log_wants(enum agent_log_level level)
{
    return level <= log_state.level;
}

/* One field of the native protocol: "KEY=value\n", or with a length when the value has line ends.
 */
static void journal_field(struct line *line, const char *key, const char *value)
{
    size_t size = strlen(value);

    line_text(line, key);
    if (strchr(value, '\n') == NULL) {
        line_text(line, "=");
    } else {
        unsigned char length[8];
        for (int byte = 0; byte < 8; byte++) {
            length[byte] = (unsigned char)((uint64_t)size >> (8 * byte));
        }
        line_text(line, "\n");
        line_add(line, (const char *)length, sizeof(length));
    }
    line_add(line, value, size);
    line_text(line, "\n");
}

static void journal_fields(struct line *line, const json_t *fields)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)fields, key, value)
    {
        char name[KEY_MAX];
        size_t at = (size_t)snprintf(name, sizeof(name), "VMM_");
        for (const char *from = key; *from != '\0' && at + 1 < sizeof(name); from++) {
            unsigned char letter = (unsigned char)*from;
            name[at++] = isalnum(letter) ? (char)toupper(letter) : '_';
        }
        name[at] = '\0';
        char *deep =
            json_is_string(value)
                ? NULL
                : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
        const char *text = json_is_string(value) ? json_string_value(value) : deep;
        /* a field that does not fit whole would break the framing: left out */
        if (text != NULL && line->size + strlen(text) + KEY_MAX + 16 < sizeof(line->bytes)) {
            journal_field(line, name, text);
        }
        free(deep);
    }
}

static void write_journal(enum agent_log_level level, const char *event, const json_t *fields,
                          const char *message)
{
    struct line line = {.size = 0};
    char number[24];

    snprintf(number, sizeof(number), "%d", level);
    journal_field(&line, "MESSAGE", message);
    journal_field(&line, "PRIORITY", number);
    journal_field(&line, "SYSLOG_IDENTIFIER", "vmm-agent");
    journal_field(&line, "VMM_EVENT", event);
    if (log_state.lost > 0) {
        snprintf(number, sizeof(number), "%lu", log_state.lost);
        journal_field(&line, "VMM_LOG_LINES_LOST", number);
    }
    journal_fields(&line, fields);
    if (send(log_state.journal_fd, line.bytes, line.size, MSG_NOSIGNAL) < 0) {
        log_state.lost++;
    } else {
        log_state.lost = 0;
    }
}

/* Bytes outside ASCII as '?'. */
static void plain_words(const char *message, json_t *words)
{
    char plain[MESSAGE_MAX];
    size_t size = 0;

    for (; message[size] != '\0' && size + 1 < sizeof(plain); size++) {
        plain[size] = (unsigned char)message[size] < 0x80 ? message[size] : '?';
    }
    plain[size] = '\0';
    json_string_set(words, plain);
}

static void write_json(enum agent_log_level level, const char *event, const json_t *fields,
                       const char *message)
{
    char time_text[40];
    struct timespec now;
    struct tm parts;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t used = strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(time_text + used, sizeof(time_text) - used, ".%03ldZ", now.tv_nsec / 1000000);
    json_t *words = json_string(message);
    if (words == NULL) { /* not UTF-8, or cut within a letter: escaped byte by byte */
        words = json_stringn_nocheck("", 0);
        plain_words(message, words);
    }
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:o}", "time", time_text, "level",
                  level_names[level - AGENT_LOG_ERROR], "event", event, "message", words);
    if (object == NULL) {
        return;
    }
    if (fields != NULL) {
        json_object_update_missing(object, (json_t *)fields);
    }
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(10));
    json_decref(object);
    if (text != NULL && strlen(text) + 1 < AGENT_LOG_LINE_MAX) {
        dprintf(log_state.fd, "%s\n", text);
    } else if (text != NULL && fields != NULL) {
        write_json(level, event, NULL,
                   message); /* the words without the fields that are too long */
    }
    free(text);
}

void agent_log(enum agent_log_level level, const char *event, json_t *fields, const char *format,
               ...)
{
    char message[MESSAGE_MAX];
    va_list args;

    if (agent_log_wants(level)) {
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
        if (log_state.form == AGENT_LOG_JOURNAL) {
            write_journal(level, event, fields, message);
        } else if (log_state.form == AGENT_LOG_JSON) {
            write_json(level, event, fields, message);
        } else {
            dprintf(log_state.fd, "vmm-agent: %s: %s\n", level_names[level - AGENT_LOG_ERROR],
                    message);
        }
    }
    json_decref(fields);
}
