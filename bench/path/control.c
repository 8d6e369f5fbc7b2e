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

static size_t append_counters(const struct path_counters *c, char *out, size_t out_bytes)
{
    size_t n = 0;

#define ADD(...) (n = append(out, n, out_bytes, __VA_ARGS__))
    ADD("\"frames_in\":%llu,\"bytes_in\":%llu,\"frames_passed\":%llu,\"bytes_passed\":%llu",
        (unsigned long long)c->frames_in, (unsigned long long)c->bytes_in,
        (unsigned long long)c->frames[PATH_PASS], (unsigned long long)c->bytes[PATH_PASS]);
    ADD(",\"dropped\":{\"queue\":%llu,\"loss\":%llu,\"cut\":%llu,\"error\":%llu,\"port\":%llu}",
        (unsigned long long)c->frames[PATH_DROP_QUEUE], (unsigned long long)c->frames[PATH_DROP_LOSS],
        (unsigned long long)c->frames[PATH_DROP_CUT], (unsigned long long)c->frames[PATH_DROP_ERROR],
        (unsigned long long)c->frames[PATH_DROP_PORT]);
    ADD(",\"queue_bytes\":%llu,\"queue_bytes_peak\":%llu", (unsigned long long)c->queue_now_bytes,
        (unsigned long long)c->queue_peak_bytes);
    ADD(",\"late_us\":{\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f}",
        (double)path_histogram_quantile(&c->late, 0.5) / 1e3,
        (double)path_histogram_quantile(&c->late, 0.99) / 1e3, (double)c->late.max_ns / 1e3);
#undef ADD
    return n;
}

static void sum_counters(struct path_counters *sum, const struct path_counters *c)
{
    sum->frames_in += c->frames_in;
    sum->bytes_in += c->bytes_in;
    for (int verdict = 0; verdict < PATH_VERDICTS; verdict++) {
        sum->frames[verdict] += c->frames[verdict];
        sum->bytes[verdict] += c->bytes[verdict];
    }
    sum->queue_now_bytes += c->queue_now_bytes;
    sum->queue_peak_bytes += c->queue_peak_bytes;
    path_histogram_merge(&sum->late, &c->late);
}

/* both directions' head: what was asked, and whether it is cut now */
static size_t append_asked(struct path *path, enum path_way way, char *out, size_t out_bytes)
{
    const struct path_limits *limits = &path->options.limits[way];
    size_t n = append(out, 0, out_bytes, "\"%s\":{\"delay_ms\":%.3f,\"rate_gbps\":%.4f,\"queue_bytes_max\":%llu,"
                      "\"loss\":%g,\"cut\":%s,", way_names[way], (double)limits->delay_ns / 1e6,
                      (double)limits->rate_bits_s / 1e9, (unsigned long long)limits->queue_bytes,
                      path->state[way].loss, path_cut_active(&path->state[way].cut, path_now()) ? "true" : "false");

    if (path->options.wavelengths > 1) {
        n = append(out, n, out_bytes, "\"wavelength_count\":%u,", path->options.wavelengths);
    }
    if (limits->jitter_ns) {
        n = append(out, n, out_bytes, "\"jitter_ms\":%.3f,", (double)limits->jitter_ns / 1e6);
    }
    if (limits->burst_frames > 1) {
        n = append(out, n, out_bytes, "\"loss_burst\":%g,", limits->burst_frames);
    }
    return n;
}

/* sums, then each wavelength where there are several */
static size_t append_way(struct path *path, enum path_way way, bool reset, char *out, size_t out_bytes)
{
    struct path_counters sum = {0}, *each = path->each;
    unsigned count = path->options.wavelengths;
    size_t n = append_asked(path, way, out, out_bytes);

    for (unsigned w = 0; w < count; w++) {
        path->engine->read(path, way, w, reset, &each[w]);
        sum_counters(&sum, &each[w]);
    }
    n += append_counters(&sum, out + n, out_bytes - n);
    for (unsigned w = 0; count > 1 && w < count; w++) {
        n = append(out, n, out_bytes, w == 0 ? ",\"wavelengths\":[{" : ",{");
        n += append_counters(&each[w], out + n, out_bytes - n);
        n = append(out, n, out_bytes, w + 1 < count ? "}" : "}]");
    }
    return append(out, n, out_bytes, "}");
}

void path_control_stats(struct path *path, bool reset, char *out, size_t out_bytes)
{
    size_t n = 0;

    n = append(out, n, out_bytes, "{\"name\":\"%s\",\"engine\":\"%s\",\"mtu\":%u,\"seed\":%llu,",
               path->options.name, path->engine->name, path->options.mtu,
               (unsigned long long)path->options.seed);
    for (int way = 0; way < PATH_WAYS; way++) {
        n += append_way(path, (enum path_way)way, reset, out + n, out_bytes - n);
        n = append(out, n, out_bytes, way + 1 < PATH_WAYS ? "," : "}");
    }
}

/* how late frames left, as pairs of a bound in us and the frames between it and the bound before */
static void answer_histogram(struct path *path, char *out, size_t out_bytes)
{
    size_t n = append(out, 0, out_bytes, "{\"name\":\"%s\",\"engine\":\"%s\"", path->options.name,
                      path->engine->name);

    for (int way = 0; way < PATH_WAYS; way++) {
        struct path_histogram sum = {0};
        const char *comma = "";

        for (unsigned w = 0; w < path->options.wavelengths; w++) {
            path->engine->read(path, (enum path_way)way, w, false, &path->each[w]);
            path_histogram_merge(&sum, &path->each[w].late);
        }
        n = append(out, n, out_bytes, ",\"%s\":{\"frames\":%llu,\"max_us\":%.0f,\"late_us\":[", way_names[way],
                   (unsigned long long)sum.total, (double)sum.max_ns / 1e3);
        for (unsigned i = 0; i < PATH_HISTOGRAM_BUCKETS; i++) {
            if (sum.counts[i]) {
                n = append(out, n, out_bytes, "%s[%lld,%llu]", comma, (long long)path_histogram_bound_us(i),
                           (unsigned long long)sum.counts[i]);
                comma = ",";
            }
        }
        n = append(out, n, out_bytes, "]}");
    }
    append(out, n, out_bytes, "}");
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

static void change(struct path *path, unsigned ways, const struct path_state *to, char *answer, size_t answer_bytes)
{
    for (unsigned way = 0; way < PATH_WAYS; way++) {
        struct path_state before = path->state[way];
        int result;

        if (!(ways & (1u << way))) {
            continue;
        }
        path->state[way] = (struct path_state){to->loss < 0 ? before.loss : to->loss,
                                               to->cut.until_ns < 0 ? before.cut : to->cut};
        result = path->engine->set(path, (enum path_way)way);
        if (result < 0) {
            path->state[way] = before;
            refuse(answer, answer_bytes, "%s: direction %s: %s", path->engine->name, way_names[way],
                   strerror(-result));
            return;
        }
    }
    snprintf(answer, answer_bytes, "{\"ok\":true}");
}

/* what stays as it is has a negative loss, or a cut that ends before 0 */
static const struct path_state unchanged = {-1, {0, -1}};

/* "cut [MS[@MS]] [ab|ba]"; Return: false when it is not that */
static bool answer_cut(struct path *path, const char *first, const char *second, char *answer, size_t answer_bytes)
{
    struct path_state to = unchanged;
    struct path_cut plan;
    int64_t now = path_now();

    if (first && path_parse_cut(first, &plan) == 0 && parse_ways(second)) {
        to.cut = (struct path_cut){now + plan.from_ns, now + plan.until_ns};
        change(path, parse_ways(second), &to, answer, answer_bytes);
        return true;
    }
    if (parse_ways(first) && !second) {
        to.cut = PATH_CUT_FOREVER;
        change(path, parse_ways(first), &to, answer, answer_bytes);
        return true;
    }
    return false;
}

static void answer_loss(struct path *path, const char *first, const char *second, char *answer, size_t answer_bytes)
{
    struct path_state to = unchanged;

    if (path_parse_probability(first, &to.loss) < 0) {
        refuse(answer, answer_bytes, "set-loss: '%s' is not 0..1 or 0..100%%", first);
    } else {
        change(path, parse_ways(second), &to, answer, answer_bytes);
    }
}

bool path_control_answer(struct path *path, const char *request, char *answer, size_t answer_bytes)
{
    char words[REQUEST_MAX], *save = NULL, *verb, *first, *second;
    struct path_state to = unchanged;

    snprintf(words, sizeof(words), "%s", request);
    verb = strtok_r(words, " \t\r\n", &save);
    first = strtok_r(NULL, " \t\r\n", &save);
    second = strtok_r(NULL, " \t\r\n", &save);
    if (!verb || strtok_r(NULL, " \t\r\n", &save)) {
        refuse(answer, answer_bytes, "one to three words wanted");
    } else if ((strcmp(verb, "stats") == 0 || strcmp(verb, "reset") == 0) && !first) {
        path_control_stats(path, verb[0] == 'r', answer, answer_bytes);
    } else if (strcmp(verb, "histogram") == 0 && !first) {
        answer_histogram(path, answer, answer_bytes);
    } else if (strcmp(verb, "down") == 0 && !first) {
        snprintf(answer, answer_bytes, "{\"ok\":true}");
        return true;
    } else if (strcmp(verb, "restore") == 0 && parse_ways(first) && !second) {
        to.cut = (struct path_cut){0, 0};
        change(path, parse_ways(first), &to, answer, answer_bytes);
    } else if (strcmp(verb, "set-loss") == 0 && first && parse_ways(second)) {
        answer_loss(path, first, second, answer, answer_bytes);
    } else if (strcmp(verb, "cut") != 0 || !answer_cut(path, first, second, answer, answer_bytes)) {
        refuse(answer, answer_bytes,
               "unknown request '%s'; known: stats, reset, histogram, cut [MS[@MS]] [ab|ba], restore [ab|ba], "
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

int path_control_ask(const char *name, const char *request, char *answer, size_t answer_bytes)
{
    struct sockaddr_un address;
    struct timeval limit = {.tv_sec = 5};
    char line[REQUEST_MAX + 2];
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
    n = read_line(fd, answer, answer_bytes);
    n = n == 0 ? -EIO : n;
out:
    close(fd);
    return n < 0 ? (int)n : 0;
}

int path_control_request(const char *name, const char *request, bool quiet)
{
    char answer[ANSWER_MAX];
    int result = path_control_ask(name, request, answer, sizeof(answer));

    if (result == 0 && strncmp(answer, "{\"error\"", 8) == 0) {
        fprintf(stderr, "apn-path: %s: %s\n", name, answer);
        return -EINVAL;
    }
    if (result == 0 && !quiet) {
        puts(answer);
    }
    return result;
}
