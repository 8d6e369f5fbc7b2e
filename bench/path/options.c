/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c - see options.h */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_GBPS_MAX   400.0
#define QUEUE_BYTES_MIN 65536.0
#define QUEUE_BYTES_MAX 4294967296.0
#define QUEUE_MS_MAX    10000.0

static const char usage[] =
    "usage: apn-path up NAME [options]      join two network namespaces, NAME-a and NAME-b, by a long path\n"
    "       apn-path down NAME              end it and remove the namespaces\n"
    "       apn-path exec NAME-a -- CMD...  run a command at one end\n"
    "       apn-path ctl NAME REQUEST       stats | reset | histogram | cut [MS[@MS]] [ab|ba] | restore [ab|ba] |\n"
    "                                       set-loss P [ab|ba] | down\n"
    "       apn-path watch NAME [COUNT]     show what passes, once a second\n"
    "       apn-path probe NAME [COUNT]     measure the one-way delays with COUNT datagrams (200)\n"
    "       apn-path --help | --version\n"
    "\n"
    "options of `up` (a value for both directions, or two: a-to-b,b-to-a)\n"
    "  --delay MS[,MS]         one-way delay, 0..1000 (2.94: with this machine's own share, 6 ms there and back)\n"
    "  --rate GBPS[,GBPS]      line rate, 0.001..400; 0 = unlimited (2.5)\n"
    "  --queue SIZE[,SIZE]     room in front of the line: bytes (64K, 32M) or time at that rate (100ms)\n"
    "  --loss P[,P]            share of frames lost, 0..1 or 0..100% (0)\n"
    "  --loss-burst N[,N]      mean number of frames lost in a row, 1..1000000; 1: independent losses (1)\n"
    "  --jitter MS[,MS]        each frame's delay varies by up to this much both ways, 0..its delay (0)\n"
    "  --delay-trace FILE[,FILE]  a delay that changes: lines of SECONDS MS, repeated\n"
    "  --cut MS[@MS]           nothing passes for so long, beginning so much after the path is up\n"
    "  --seed N                of losses and jitter (1)\n"
    "  --mtu BYTES             1280..65535 (9000)\n"
    "  --tcp-buffer BYTES      largest TCP buffer in both namespaces, 64K..1G (64M)\n"
    "  --congestion NAME       TCP congestion control of both namespaces (the machine's)\n"
    "  --engine ENGINE         auto, tun, netem, dpdk; auto takes netem where the kernel has it, else tun\n"
    "                          (the environment's APN_PATH_ENGINE, else auto)\n"
    "  --no-realtime           leave the thread at normal priority\n"
    "  --ready-fd FD           also write the ready line to this descriptor\n"
    "only with --engine dpdk\n"
    "  --wavelengths N         parallel paths, 1..16, each of --rate and --queue; a flow stays on one (1)\n"
    "  --reorder               let --jitter change the order of frames\n"
    "  --port A=PORT, B=PORT   this end is no namespace but a port: a PCI address, a DPDK device such as\n"
    "                          net_memif0,socket=/run/x.sock, or the name of a network interface\n"
    "  --queues N              pairs of queues per port, each with a thread, 1..16 (1)\n"
    "  --hugepages             take them; the default needs none\n"
    "  --verbose               show what DPDK says\n"
    "\n"
    "Addresses: NAME-a has 10.86.0.1 and fd86::1, NAME-b has 10.86.0.2 and fd86::2.\n"
    "`up` runs until SIGTERM, SIGINT or `down`; then it prints its counts as one line of JSON.\n";

const char *path_options_usage(void)
{
    return usage;
}

bool path_name_valid(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > PATH_NAME_MAX || name[0] < 'a' || name[0] > 'z') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* a finite number in min..max; @end receives what follows it */
static int parse_number(const char *word, double min, double max, double *value, char **end)
{
    double v;

    if (!strchr("0123456789.", word[0]) || word[0] == '\0') {
        return -EINVAL;
    }
    v = strtod(word, end);
    if (!isfinite(v) || v < min || v > max) {
        return -EINVAL;
    }
    *value = v;
    return 0;
}

static int parse_delay(const char *word, struct path_limits *limits)
{
    double ms;
    char *end;

    if (parse_number(word, 0, (double)PATH_DELAY_MAX_NS / 1e6, &ms, &end) < 0 || *end) {
        return -EINVAL;
    }
    limits->delay_ns = (int64_t)(ms * 1e6 + 0.5);
    return 0;
}

static int parse_jitter(const char *word, struct path_limits *limits)
{
    struct path_limits copy;

    if (parse_delay(word, &copy) < 0) {
        return -EINVAL;
    }
    limits->jitter_ns = copy.delay_ns;
    return 0;
}

static int parse_burst(const char *word, struct path_limits *limits)
{
    char *end;

    return parse_number(word, 1, 1e6, &limits->burst_frames, &end) < 0 || *end ? -EINVAL : 0;
}

int path_parse_cut(const char *word, struct path_cut *cut)
{
    double duration_ms, begin_ms = 0;
    char *end;

    if (parse_number(word, 0.001, PATH_CUT_MS_MAX, &duration_ms, &end) < 0) {
        return -EINVAL;
    }
    if (*end == '@' && parse_number(end + 1, 0, PATH_CUT_MS_MAX, &begin_ms, &end) < 0) {
        return -EINVAL;
    }
    if (*end) {
        return -EINVAL;
    }
    cut->from_ns = (int64_t)(begin_ms * 1e6 + 0.5);
    cut->until_ns = cut->from_ns + (int64_t)(duration_ms * 1e6 + 0.5);
    return 0;
}

static int parse_rate(const char *word, struct path_limits *limits)
{
    double gbps;
    char *end;

    if (parse_number(word, 0, RATE_GBPS_MAX, &gbps, &end) < 0 || *end ||
        (gbps > 0 && gbps < 0.001)) {
        return -EINVAL;
    }
    limits->rate_bits_s = (uint64_t)(gbps * 1e9 + 0.5);
    return 0;
}

static int parse_bytes(const char *word, double min, double max, double *bytes)
{
    double factor = 1;
    char *end;

    if (parse_number(word, 0, max, bytes, &end) < 0) {
        return -EINVAL;
    }
    if (*end == 'K' || *end == 'M' || *end == 'G') {
        factor = *end == 'K' ? 1024.0 : *end == 'M' ? 1048576.0 : 1073741824.0;
        end++;
    }
    *bytes *= factor;
    return *end || *bytes < min || *bytes > max ? -EINVAL : 0;
}

/* needs the rate: call after parse_rate() */
static int parse_queue(const char *word, struct path_limits *limits)
{
    double value;
    char *end;

    if (parse_number(word, 0, QUEUE_BYTES_MAX, &value, &end) == 0 && strcmp(end, "ms") == 0) {
        double rate = limits->rate_bits_s ? (double)limits->rate_bits_s : 1e9;

        if (value > QUEUE_MS_MAX) {
            return -EINVAL;
        }
        value *= rate / 8e3;
        value = value < QUEUE_BYTES_MIN ? QUEUE_BYTES_MIN : value;
        if (value > QUEUE_BYTES_MAX) {
            return -EINVAL;
        }
    } else if (parse_bytes(word, QUEUE_BYTES_MIN, QUEUE_BYTES_MAX, &value) < 0) {
        return -EINVAL;
    }
    limits->queue_bytes = (uint64_t)value;
    return 0;
}

int path_parse_probability(const char *word, double *probability)
{
    double value;
    char *end;

    if (parse_number(word, 0, 100, &value, &end) < 0) {
        return -EINVAL;
    }
    if (strcmp(end, "%") == 0) {
        value /= 100;
    } else if (*end || value > 1) {
        return -EINVAL;
    }
    *probability = value;
    return 0;
}

static int parse_loss(const char *word, struct path_limits *limits)
{
    return path_parse_probability(word, &limits->loss);
}

/* "x" for both directions or "x,y" */
static int parse_pair(struct path_options *options, const char *words,
                      int (*parse)(const char *word, struct path_limits *limits))
{
    char copy[64];
    char *comma;

    if (strlen(words) >= sizeof(copy)) {
        return -EINVAL;
    }
    strcpy(copy, words);
    comma = strchr(copy, ',');
    if (comma) {
        *comma = '\0';
    }
    if (parse(copy, &options->limits[PATH_WAY_AB]) < 0) {
        return -EINVAL;
    }
    return parse(comma ? comma + 1 : copy, &options->limits[PATH_WAY_BA]);
}

static int parse_integer(const char *word, uint64_t max, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(word, &end, 10);
    if (word[0] < '0' || word[0] > '9' || *end || errno || *value > max) {
        return -EINVAL;
    }
    return 0;
}

static int parse_engine(const char *word, enum path_engine *engine)
{
    static const char *const names[] = {"auto", "tun", "netem", "dpdk"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(word, names[i]) == 0) {
            *engine = (enum path_engine)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* "A=PORT" or "B=PORT" */
static int parse_port(const char *word, struct path_options *options)
{
    size_t n = strlen(word);

    if ((word[0] != 'A' && word[0] != 'B') || word[1] != '=' || n < 3 || n - 2 > PATH_PORT_MAX ||
        strpbrk(word, " \t\r\n")) {
        return -EINVAL;
    }
    memcpy(options->port[word[0] - 'A'], word + 2, n - 1);
    return 0;
}

static int parse_congestion(const char *word, struct path_options *options)
{
    size_t n = strlen(word);

    if (n == 0 || n >= sizeof(options->congestion) ||
        strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_") != n) {
        return -EINVAL;
    }
    memcpy(options->congestion, word, n + 1);
    return 0;
}

enum {
    DELAY = 256, RATE, QUEUE, LOSS, SEED, MTU, TCP_BUFFER, CONGESTION, ENGINE, NO_REALTIME, READY_FD, LOSS_BURST,
    JITTER, DELAY_TRACE, CUT, WAVELENGTHS, REORDER, PORT, QUEUES, HUGEPAGES, VERBOSE
};

static const struct option long_options[] = {
    {"delay", required_argument, NULL, DELAY},
    {"rate", required_argument, NULL, RATE},
    {"queue", required_argument, NULL, QUEUE},
    {"loss", required_argument, NULL, LOSS},
    {"seed", required_argument, NULL, SEED},
    {"mtu", required_argument, NULL, MTU},
    {"tcp-buffer", required_argument, NULL, TCP_BUFFER},
    {"congestion", required_argument, NULL, CONGESTION},
    {"engine", required_argument, NULL, ENGINE},
    {"no-realtime", no_argument, NULL, NO_REALTIME},
    {"ready-fd", required_argument, NULL, READY_FD},
    {"loss-burst", required_argument, NULL, LOSS_BURST},
    {"jitter", required_argument, NULL, JITTER},
    {"delay-trace", required_argument, NULL, DELAY_TRACE},
    {"cut", required_argument, NULL, CUT},
    {"wavelengths", required_argument, NULL, WAVELENGTHS},
    {"reorder", no_argument, NULL, REORDER},
    {"port", required_argument, NULL, PORT},
    {"queues", required_argument, NULL, QUEUES},
    {"hugepages", no_argument, NULL, HUGEPAGES},
    {"verbose", no_argument, NULL, VERBOSE},
    {NULL, 0, NULL, 0}};

/* what a wrong value is answered with, in the order of long_options */
static const char *const limits_text[] = {
    "0..1000 ms",  "0 or 0.001..400 Gb/s", "64K..4G bytes or up to 10000ms", "0..1 or 0..100%",
    "0..2^63-1",   "1280..65535 bytes",    "64K..1G bytes",                  "a name such as cubic",
    "auto, tun, netem or dpdk", "", "an open descriptor, 0..1023", "1..1000000 frames", "0..1000 ms",
    "one or two names of files", "MS or MS@MS, up to 3600000 each", "1..16", "",
    "A= or B= and a port of up to 200 characters without spaces", "1..16", "", ""};

static int parse_count(const char *word, uint64_t max, unsigned *count)
{
    uint64_t number = 0;
    int result = parse_integer(word, max, &number);

    *count = (unsigned)number;
    return number < 1 ? -EINVAL : result;
}

/* Return: as apply(), -ENOENT when the option is not one of these */
static int apply_shape(struct path_options *options, int option, const char *word)
{
    switch (option) {
    case DELAY:
        return parse_pair(options, word, parse_delay);
    case RATE:
        return parse_pair(options, word, parse_rate);
    case LOSS:
        return parse_pair(options, word, parse_loss);
    case LOSS_BURST:
        return parse_pair(options, word, parse_burst);
    case JITTER:
        return parse_pair(options, word, parse_jitter);
    case CUT:
        return path_parse_cut(word, &options->cut);
    case REORDER:
        options->limits[PATH_WAY_AB].reorder = options->limits[PATH_WAY_BA].reorder = true;
        return 0;
    default:
        return -ENOENT;
    }
}

static int apply_dpdk(struct path_options *options, int option, const char *word)
{
    switch (option) {
    case WAVELENGTHS:
        return parse_count(word, PATH_WAVELENGTHS_MAX, &options->wavelengths);
    case QUEUES:
        return parse_count(word, PATH_QUEUES_MAX, &options->queues);
    case PORT:
        return parse_port(word, options);
    case HUGEPAGES:
        options->hugepages = true;
        return 0;
    case VERBOSE:
        options->verbose = true;
        return 0;
    default:
        return -ENOENT;
    }
}

/* words that need the others first, kept until all are read */
struct later {
    const char *queue, *trace;
};

static int apply(struct path_options *options, int option, const char *word, struct later *later)
{
    uint64_t number = 0;
    double bytes = 0;
    int result = apply_shape(options, option, word);

    if (result == -ENOENT) {
        result = apply_dpdk(options, option, word);
    }
    if (result != -ENOENT) {
        return result;
    }
    switch (option) {
    case QUEUE:
        later->queue = word;
        return 0;
    case DELAY_TRACE:
        later->trace = word;
        return 0;
    case SEED:
        return parse_integer(word, INT64_MAX, &options->seed);
    case MTU:
        result = parse_integer(word, 65535, &number);
        options->mtu = (unsigned)number;
        return number < 1280 ? -EINVAL : result;
    case TCP_BUFFER:
        result = parse_bytes(word, 65536, 1073741824.0, &bytes);
        options->tcp_buffer_bytes = (uint64_t)bytes;
        return result;
    case CONGESTION:
        return parse_congestion(word, options);
    case ENGINE:
        return parse_engine(word, &options->engine);
    case NO_REALTIME:
        options->realtime = false;
        return 0;
    case READY_FD:
        result = parse_integer(word, 1023, &number);
        options->ready_fd = (int)number;
        return result;
    default:
        return -EINVAL;
    }
}

/* "FILE" for both directions or "FILE,FILE" */
static int load_traces(struct path_options *options, const char *words, char *text, size_t text_bytes)
{
    char file[PATH_WAYS][256];
    const char *comma = strchr(words, ',');
    size_t n = comma ? (size_t)(comma - words) : strlen(words);
    const char *second = comma ? comma + 1 : words;
    size_t second_bytes = comma ? strlen(second) : n;

    if (n == 0 || second_bytes == 0 || n >= sizeof(file[0]) || second_bytes >= sizeof(file[1])) {
        snprintf(text, text_bytes, "up: --delay-trace: '%s' is not one or two names of files", words);
        return -EINVAL;
    }
    snprintf(file[0], sizeof(file[0]), "%.*s", (int)n, words);
    snprintf(file[1], sizeof(file[1]), "%.*s", (int)second_bytes, second);
    for (int way = 0; way < PATH_WAYS; way++) {
        if (path_trace_load(file[way], &options->trace[way], text, text_bytes) < 0) {
            return -EINVAL;
        }
        options->limits[way].trace = options->trace[way];
    }
    return 0;
}

/* what one option means for another; Return: 0 or -EINVAL with @text set */
static int check_together(struct path_options *options, char *text, size_t text_bytes)
{
    const struct path_limits *ab = &options->limits[PATH_WAY_AB], *ba = &options->limits[PATH_WAY_BA];
    const char *dpdk_only = options->wavelengths > 1 ? "--wavelengths" : ab->reorder ? "--reorder" :
                            options->port[0][0] || options->port[1][0] ? "--port" :
                            options->queues > 1 ? "--queues" : options->hugepages ? "--hugepages" : NULL;
    const char *not_netem = options->cut.until_ns ? "--cut" : ab->trace ? "--delay-trace" :
                            ab->jitter_ns || ba->jitter_ns ? "--jitter" :
                            ab->burst_frames > 1 || ba->burst_frames > 1 ? "--loss-burst" : NULL;

    for (int way = 0; way < PATH_WAYS; way++) {
        if (!options->trace[way] && options->limits[way].jitter_ns > options->limits[way].delay_ns) {
            snprintf(text, text_bytes, "up: --jitter: %g ms is more than the delay of %g ms",
                     (double)options->limits[way].jitter_ns / 1e6, (double)options->limits[way].delay_ns / 1e6);
            return -EINVAL;
        }
    }
    if (dpdk_only && options->engine != PATH_ENGINE_DPDK) {
        snprintf(text, text_bytes, "up: %s needs --engine dpdk", dpdk_only);
        return -EINVAL;
    }
    if (not_netem && options->engine == PATH_ENGINE_NETEM) {
        snprintf(text, text_bytes, "up: %s: the engines tun and dpdk have it, netem has not", not_netem);
        return -EINVAL;
    }
    if (not_netem && options->engine == PATH_ENGINE_AUTO) {
        options->engine = PATH_ENGINE_TUN;
    }
    return 0;
}

static int read_words(struct path_options *options, int argc, char **argv, char *text, size_t text_bytes)
{
    struct later later = {.queue = "100ms"};
    const char *engine = getenv(PATH_ENGINE_VARIABLE);
    int option;

    if (engine && parse_engine(engine, &options->engine) < 0) {
        snprintf(text, text_bytes, "up: %s in the environment: '%s' is not %s", PATH_ENGINE_VARIABLE, engine,
                 limits_text[ENGINE - DELAY]);
        return -EINVAL;
    }

    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == '?') {
            snprintf(text, text_bytes, "up: unknown option or missing value: %s", argv[optind - 1]);
            return -EINVAL;
        }
        if (apply(options, option, optarg, &later) < 0) {
            snprintf(text, text_bytes, "up: --%s: '%s' is not %s", long_options[option - DELAY].name,
                     optarg, limits_text[option - DELAY]);
            return -EINVAL;
        }
    }
    if (parse_pair(options, later.queue, parse_queue) < 0) {
        snprintf(text, text_bytes, "up: --queue: '%s' is not %s", later.queue, limits_text[QUEUE - DELAY]);
        return -EINVAL;
    }
    if (argc - optind != 1 || !path_name_valid(argv[optind])) {
        snprintf(text, text_bytes, "up: need one NAME of 1..%d letters a-z, digits and '-', not '%s'",
                 PATH_NAME_MAX, optind < argc ? argv[optind] : "");
        return -EINVAL;
    }
    strcpy(options->name, argv[optind]);
    return later.trace ? load_traces(options, later.trace, text, text_bytes) : 0;
}

int path_options_parse(struct path_options *options, int argc, char **argv, char *text,
                       size_t text_bytes)
{
    int result;

    memset(options, 0, sizeof(*options));
    options->seed = 1;
    options->mtu = 9000;
    options->tcp_buffer_bytes = 64u << 20;
    options->realtime = true;
    options->wavelengths = 1;
    options->queues = 1;
    options->ready_fd = -1;
    parse_pair(options, "2.94", parse_delay);
    parse_pair(options, "2.5", parse_rate);
    result = read_words(options, argc, argv, text, text_bytes);
    if (result == 0) {
        result = check_together(options, text, text_bytes);
    }
    if (result < 0) {
        path_options_done(options);
    }
    return result;
}

void path_options_done(struct path_options *options)
{
    for (int way = 0; way < PATH_WAYS; way++) {
        free(options->trace[way]);
        options->trace[way] = NULL;
        options->limits[way].trace = NULL;
    }
}
