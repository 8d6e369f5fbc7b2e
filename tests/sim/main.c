/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - sim: migrations in virtual time, from seeds or by name
 * Exit: 0, 1 = a rule was broken (and how to replay it), 2 = usage. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/sim.h"

#define JOBS_MAX     64
#define FAILURES_MAX 20u /* then stop: the rest says the same */

static void usage(FILE *to)
{
    fprintf(to, "usage: sim [--seed N] [--seeds FIRST-LAST] [--jobs N] [--matrix [NAME]] "
                "[--figures] [--figure NAME] [--verbose]\n"
                "  --seed N       one migration made from N\n"
                "  --seeds A-B    all of them, shared among --jobs processes (default: 1)\n"
                "  --matrix       every message lost at either end, every end struck at every "
                "stage; with NAME: one of them\n"
                "  --figures      64 GiB guests at 100 and 400 Gb/s, and negative controls; "
                "--figure NAME: one of them\n"
                "  --verbose      say what happens, with virtual times\n");
}

static bool run_seed(uint64_t seed, bool verbose)
{
    struct sim_plan plan;
    struct sim_result result;

    sim_plan_from_seed(&plan, seed);
    plan.verbose = verbose;
    if (verbose) {
        sim_plan_print(&plan);
    }
    if (!sim_run(&plan, &result)) {
        if (verbose) {
            printf("kept: source %s, destination %s; blackout %.3f ms, predicted %.3f ms\n",
                   apn_state_name(result.source_state), apn_state_name(result.dest_state),
                   (double)result.blackout_ns / 1e6, (double)result.predicted.total_ns / 1e6);
        }
        return true;
    }
    if (!verbose) {
        sim_plan_print(&plan);
    }
    printf("seed %llu: BROKEN: %s\n  replay: sim --seed %llu --verbose\n", (unsigned long long)seed,
           result.violation, (unsigned long long)seed);
    fflush(stdout);
    return false;
}

/* Seeds first, first + step, ... in this process. Return: broken ones, at most FAILURES_MAX. */
static unsigned run_share(uint64_t first, uint64_t last, uint64_t step, bool verbose)
{
    unsigned broken = 0;

    for (uint64_t seed = first; seed <= last && broken < FAILURES_MAX; seed += step) {
        broken += !run_seed(seed, verbose);
    }
    return broken;
}

static int run_seeds(uint64_t first, uint64_t last, unsigned jobs, bool verbose)
{
    unsigned broken = 0;

    for (unsigned job = 0; job < jobs; job++) {
        pid_t pid = fork();

        if (pid == 0) {
            exit((int)run_share(first + job, last, jobs, verbose));
        }
        if (pid < 0) {
            perror("sim: fork");
            return 1;
        }
    }
    for (unsigned job = 0; job < jobs; job++) {
        int status;

        if (wait(&status) < 0 || !WIFEXITED(status)) {
            fprintf(stderr, "sim: a process of seeds died\n");
            broken++;
        } else {
            broken += (unsigned)WEXITSTATUS(status);
        }
    }
    printf("sim: seeds %llu-%llu: %u broken\n", (unsigned long long)first, (unsigned long long)last,
           broken);
    return broken ? 1 : 0;
}

struct choice {
    uint64_t first, last;
    unsigned jobs;
    bool seeds, figures, matrix, verbose;
    const char *figure;
};

static int parse(int argc, char **argv, struct choice *choice)
{
    static const struct option options[] = {
        {"seed", 1, NULL, 's'},    {"seeds", 1, NULL, 'S'},  {"jobs", 1, NULL, 'j'},
        {"figures", 0, NULL, 'F'}, {"figure", 1, NULL, 'f'}, {"matrix", 2, NULL, 'm'},
        {"verbose", 0, NULL, 'v'}, {"help", 0, NULL, 'h'},   {NULL, 0, NULL, 0}};
    char *end;
    int c;

    *choice = (struct choice){.jobs = 1};
    while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        end = NULL;
        if (c == 's' || c == 'S') {
            choice->seeds = true;
            choice->first = choice->last = strtoull(optarg, &end, 10);
            if (c == 'S' && *end == '-') {
                choice->last = strtoull(end + 1, &end, 10);
            }
        } else if (c == 'j') {
            choice->jobs = (unsigned)strtoul(optarg, &end, 10);
        } else if (c == 'F' || c == 'f') {
            choice->figures = true;
            choice->figure = c == 'f' ? optarg : NULL;
        } else if (c == 'm') {
            choice->matrix = true;
            choice->figure = optarg                                    ? optarg
                             : optind < argc && argv[optind][0] != '-' ? argv[optind++]
                                                                       : NULL;
        } else if (c == 'v') {
            choice->verbose = true;
        } else {
            usage(c == 'h' ? stdout : stderr);
            exit(c == 'h' ? 0 : 2);
        }
        if (end && (*end || end == optarg)) {
            fprintf(stderr, "sim: \"%s\" is not a number\n", optarg);
            return -1;
        }
    }
    if (optind != argc || (!choice->seeds && !choice->figures && !choice->matrix) ||
        choice->first > choice->last || !choice->jobs || choice->jobs > JOBS_MAX) {
        usage(stderr);
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct choice choice;
    int ret = 0;

    if (parse(argc, argv, &choice)) {
        return 2;
    }
    if (choice.seeds) {
        ret = choice.first == choice.last
                  ? !run_seed(choice.first, choice.verbose)
                  : run_seeds(choice.first, choice.last, choice.jobs, choice.verbose);
    }
    if (choice.matrix && !ret) {
        ret = sim_matrix(choice.figure, choice.verbose);
        if (ret < 0) {
            fprintf(stderr, "sim: the matrix has no \"%s\"\n", choice.figure);
            return 2;
        }
    }
    if (choice.figures && !ret) {
        ret = sim_figures(choice.figure, choice.verbose);
        if (ret < 0) {
            fprintf(stderr, "sim: no figure is called %s\n", choice.figure);
            return 2;
        }
    }
    return ret ? 1 : 0;
}
