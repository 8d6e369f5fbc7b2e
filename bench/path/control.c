/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - see control.h */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 128
#define ANSWER_MAX  4096
#define PEER_MS_MAX 1000 /* a client that says nothing may not block the others for longer */

static const char *const way_names[PATH_WAYS] = {"ab", "ba"};

static size_t append(char *out, size_t used, size_t out_bytes, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static size_t append(char *out, size_t used, size_t out_bytes, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(out + used, out_bytes - used, format, args);
    va_end(args);
    if (n < 0) {
        return used;
    }
    used += (size_t)n;
    return used < out_bytes ? used : out_bytes - 1;
}

static size_t append_way(struct path *path, enum path_way way, const struct path_counters *c, char *out,
                         size_t out_bytes)
{
    const struct path_limits *limits = &path->options.limits[way];
    size_t n = 0;

#define ADD(...) (n = append(out, n, out_bytes, __VA_ARGS__))
    ADD("\"%s\":{\"delay_ms\":%.3f,\"rate_gbps\":%.4f,\"queue_bytes_max\":%llu,\"loss\":%g,\"cut\":%s",
        way_names[way], (double)limits->delay_ns / 1e6, (double)limits->rate_bits_s / 1e9,
        (unsigned long long)limits->queue_bytes, path->state[way].loss,
        path->state[way].cut ? "true" : "false");
    ADD(",\"frames_in\":%llu,\"bytes_in\":%llu,\"frames_passed\":%llu,\"bytes_passed\":%llu",
        (unsigned long long)c->frames_in, (unsigned long long)c->bytes_in,
        (unsigned long long)c->frames[PATH_PASS], (unsigned long long)c->bytes[PATH_PASS]);
    ADD(",\"dropped\":{\"queue\":%llu,\"loss\":%llu,\"cut\":%llu,\"error\":%llu}",
        (unsigned long long)c->frames[PATH_DROP_QUEUE], (unsigned long long)c->frames[PATH_DROP_LOSS],
        (unsigned long long)c->frames[PATH_DROP_CUT], (unsigned long long)c->frames[PATH_DROP_ERROR]);
    ADD(",\"queue_bytes\":%llu,\"queue_bytes_peak\":%llu", (unsigned long long)c->queue_now_bytes,
        (unsigned long long)c->queue_peak_bytes);
    ADD(",\"late_us\":{\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f}}",
        (double)path_histogram_quantile(&c->late, 0.5) / 1e3,
        (double)path_histogram_quantile(&c->late, 0.99) / 1e3, (double)c->late.max_ns / 1e3);
#undef ADD
    return n;
}

void path_control_stats(struct path *path, bool reset, char *out, size_t out_bytes)
{
    struct path_counters counters;
    size_t n = 0;

    n = append(out, n, out_bytes, "{\"name\":\"%s\",\"engine\":\"%s\",\"mtu\":%u,\"seed\":%llu,",
               path->options.name, path->engine->name, path->options.mtu,
               (unsigned long long)path->options.seed);
    for (int way = 0; way < PATH_WAYS; way++) {
        path->engine->read(path, (enum path_way)way, reset, &counters);
        n += append_way(path, (enum path_way)way, &counters, out + n, out_bytes - n);
        n = append(out, n, out_bytes, way + 1 < PATH_WAYS ? "," : "}");
    }
}

/* "ab", "ba" or nothing for both; Return: bit mask of ways, 0 when wrong */
static unsigned parse_ways(const char *word)
{
    if (!word) {
        return 3;
    }
    for (unsigned way = 0; way < PATH_WAYS; way++) {
        if (strcmp(word, way_names[way]) == 0) {
            return 1u << way;
        }
    }
    return 0;
}

static void refuse(char *answer, size_t answer_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(char *answer, size_t answer_bytes, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') {
            *c = '?';
        }
    }
    snprintf(answer, answer_bytes, "{\"error\":\"%s\"}", text);
}

static void change(struct path *path, unsigned ways, const bool *cut, const double *loss, char *answer,
                   size_t answer_bytes)
{
    for (unsigned way = 0; way < PATH_WAYS; way++) {
        int result;

        if (!(ways & (1u << way))) {
            continue;
        }
        path->state[way].cut = cut ? *cut : path->state[way].cut;
        path->state[way].loss = loss ? *loss : path->state[way].loss;
        result = path->engine->set(path, (enum path_way)way);
        if (result < 0) {
            refuse(answer, answer_bytes, "%s: direction %s: %s", path->engine->name, way_names[way],
                   strerror(-result));
            return;
        }
    }
    snprintf(answer, answer_bytes, "{\"ok\":true}");
}

bool path_control_answer(struct path *path, const char *request, char *answer, size_t answer_bytes)
{
    char words[REQUEST_MAX], *save = NULL, *verb, *first, *second;
    double loss = 0;
    bool cut;

    snprintf(words, sizeof(words), "%s", request);
    verb = strtok_r(words, " \t\r\n", &save);
    first = strtok_r(NULL, " \t\r\n", &save);
    second = strtok_r(NULL, " \t\r\n", &save);
    if (!verb || strtok_r(NULL, " \t\r\n", &save)) {
        refuse(answer, answer_bytes, "one to three words wanted");
    } else if ((strcmp(verb, "stats") == 0 || strcmp(verb, "reset") == 0) && !first) {
        path_control_stats(path, verb[0] == 'r', answer, answer_bytes);
    } else if (strcmp(verb, "down") == 0 && !first) {
        snprintf(answer, answer_bytes, "{\"ok\":true}");
        return true;
    } else if ((strcmp(verb, "cut") == 0 || strcmp(verb, "restore") == 0) && parse_ways(first) &&
               !second) {
        cut = verb[0] == 'c';
        change(path, parse_ways(first), &cut, NULL, answer, answer_bytes);
    } else if (strcmp(verb, "set-loss") == 0 && first && parse_ways(second)) {
        if (path_parse_probability(first, &loss) < 0) {
            refuse(answer, answer_bytes, "set-loss: '%s' is not 0..1 or 0..100%%", first);
        } else {
            change(path, parse_ways(second), NULL, &loss, answer, answer_bytes);
        }
    } else {
        refuse(answer, answer_bytes,
               "unknown request '%s'; known: stats, reset, cut [ab|ba], restore [ab|ba], "
               "set-loss P [ab|ba], down", request);
    }
    return false;
}

static int socket_address(const char *name, struct sockaddr_un *address)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    path_file(name, "sock", address->sun_path, sizeof(address->sun_path));
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* up to a newline, the end, or the limit; Return: length or -errno */
static ssize_t read_line(int fd, char *line, size_t line_bytes)
{
    size_t used = 0;

    while (used < line_bytes - 1) {
        ssize_t n = recv(fd, line + used, line_bytes - 1 - used, 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        used += (size_t)n;
        if (n == 0 || line[used - 1] == '\n') {
            break;
        }
    }
    line[used] = '\0';
    while (used > 0 && line[used - 1] == '\n') {
        line[--used] = '\0';
    }
    return (ssize_t)used;
}

/* one client, one request; Return: true when the path should end */
static bool serve_client(struct path *path, int listener)
{
    struct timeval limit = {.tv_sec = PEER_MS_MAX / 1000};
    char request[REQUEST_MAX], answer[ANSWER_MAX];
    bool end = false;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    size_t n;

    if (fd < 0) {
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (read_line(fd, request, sizeof(request)) > 0) {
        end = path_control_answer(path, request, answer, sizeof(answer) - 1);
        n = strlen(answer);
        answer[n++] = '\n';
        /* a client that has gone away needs no answer */
        (void)!send(fd, answer, n, MSG_NOSIGNAL);
    }
    close(fd);
    return end;
}

static int listen_on(const char *name)
{
    struct sockaddr_un address;
    int fd = socket_address(name, &address);
    int error;

    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int path_control_serve(struct path *path)
{
    struct pollfd fds[2];
    sigset_t signals;
    bool end = false;
    int result = 0;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    fds[0] = (struct pollfd){.fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN};
    fds[1] = (struct pollfd){.fd = listen_on(path->options.name), .events = POLLIN};
    if (fds[0].fd < 0 || fds[1].fd < 0) {
        result = fds[0].fd < 0 ? -errno : fds[1].fd;
        goto out;
    }
    printf("apn-path: ready: %s-a %s-b\n", path->options.name, path->options.name);
    fflush(stdout);
    if (path->options.ready_fd >= 0) {
        (void)!write(path->options.ready_fd, "ready\n", 6);
        close(path->options.ready_fd);
    }
    while (!end) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            result = -errno;
            break;
        }
        end = fds[0].revents & POLLIN;
        if (!end && (fds[1].revents & POLLIN)) {
            end = serve_client(path, fds[1].fd);
        }
    }
out:
    for (int i = 0; i < 2; i++) {
        if (fds[i].fd >= 0) {
            close(fds[i].fd);
        }
    }
    return result;
}

int path_control_request(const char *name, const char *request, bool quiet)
{
    struct sockaddr_un address;
    struct timeval limit = {.tv_sec = 5};
    char answer[ANSWER_MAX], line[REQUEST_MAX + 2];
    int fd = socket_address(name, &address);
    ssize_t n;
    int length;

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        n = errno == ECONNREFUSED ? -ENOENT : -errno;
        goto out;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    length = snprintf(line, sizeof(line), "%.*s\n", REQUEST_MAX - 2, request);
    n = send(fd, line, (size_t)length, MSG_NOSIGNAL);
    if (n < 0) {
        n = -errno;
        goto out;
    }
    n = read_line(fd, answer, sizeof(answer));
    if (n > 0 && strncmp(answer, "{\"error\"", 8) == 0) {
        fprintf(stderr, "apn-path: %s: %s\n", name, answer);
        n = -EINVAL;
    } else if (n > 0 && !quiet) {
        puts(answer);
    } else if (n == 0) {
        n = -EIO;
    }
out:
    close(fd);
    return n < 0 ? (int)n : 0;
}
