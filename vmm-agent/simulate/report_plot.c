/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report_plot.c - gnuplot scripts and data beside each other, so that a plot can be made again */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simulate/report.h"

#define PATH_SIZE 4096

extern char **environ;

static FILE *create(const char *directory, const char *name, struct agent_error *error)
{
    char path[PATH_SIZE];
    FILE *file = NULL;

    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path)) {
        agent_error_set(error, ENAMETOOLONG, "plots: %.300s: name too long", directory);
        return NULL;
    }
    file = fopen(path, "w");
    if (file == NULL) {
        agent_error_set(error, errno, "plot file %.300s: %s", path, strerror(errno));
    }
    return file;
}

static int finish(FILE *file, const char *name, struct agent_error *error)
{
    bool failed = ferror(file) != 0;

    return fclose(file) == 0 && !failed
               ? 0
               : agent_error_set(error, EIO, "plot file %s: cannot be written", name);
}

static void number(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, " %.6g", value);
    } else {
        fputs(" NaN", out);
    }
}

/* hour, then per site: renewable, price, share of the plan. */
static int day_data(const struct agent_sim_report *report, const char *directory,
                    struct agent_error *error)
{
    const struct agent_sim_result *result = report->result;
    FILE *out = create(directory, "day.dat", error);

    if (out == NULL) {
        return -EIO;
    }
    fprintf(out, "# hour, then per site: renewable power / load, JPY/kWh, share of the load\n");
    for (size_t i = 0; i < result->trace_slots; i++) {
        fprintf(out, "%.2f", (double)i / 2.0 + 0.25);
        for (size_t s = 0; s < report->request->site_count; s++) {
            number(out, result->trace_renewable[s][i]);
            number(out, result->trace_price[s][i]);
            number(out, result->trace_share[s][i]);
        }
        fputc('\n', out);
    }
    return finish(out, "day.dat", error);
}

static void series(const struct agent_sim_report *report, FILE *out, int column, const char *unit,
                   const char *title)
{
    char label[40];

    fprintf(out, "set title '%s'\nset ylabel '%s'\nplot ", title, unit);
    for (size_t s = 0; s < report->request->site_count; s++) {
        fprintf(out, "%s'day.dat' using 1:%zu with lines lw 2 title '%s'", s > 0 ? ", " : "",
                2 + 3 * s + (size_t)column, agent_sim_label(report->request, s, label));
    }
    fputc('\n', out);
}

static int day_script(const struct agent_sim_report *report, const char *directory,
                      const char *terminal, const char *suffix, struct agent_error *error)
{
    const struct agent_sim_result *result = report->result;
    bool planned = result->trace_slots > 0 && isfinite(result->trace_share[0][0]);
    int panels = (result->use_known ? 1 : 0) + (result->price_known ? 1 : 0) + (planned ? 1 : 0);
    char name[32];

    snprintf(name, sizeof(name), "day-%s.gp", suffix);
    FILE *out = create(directory, name, error);
    if (out == NULL) {
        return -EIO;
    }
    fprintf(
        out,
        "set terminal %s size 900,%d\nset output 'day.%s'\nset grid\nset key outside\nset datafile "
        "missing 'NaN'\nset xlabel 'hour'\nset yrange [0:*]\nset multiplot layout %d,1\n",
        terminal, 320 * panels, suffix, panels);
    if (result->use_known) {
        series(report, out, 0, "of load", "renewable power of the sites (load = 1)");
    }
    if (planned) {
        series(report, out, 2, "of load", "where the plan puts the load");
    }
    if (result->price_known) {
        series(report, out, 1, "JPY/kWh", "area prices");
    }
    fprintf(out, "unset multiplot\n");
    return finish(out, name, error);
}

static int strategy_files(const struct agent_sim_report *report, const char *directory,
                          const char *terminal, const char *suffix, struct agent_error *error)
{
    const struct agent_sim_result *result = report->result;
    char name[32];
    FILE *out = create(directory, "strategies.dat", error);

    if (out == NULL) {
        return -EIO;
    }
    for (size_t i = 0; i < result->outcome_count; i++) {
        fprintf(out, "\"%s\"", result->outcomes[i].name);
        number(out, 100 * agent_sim_use_share(&result->outcomes[i]));
        number(out, 100 * result->outcomes[i].regret_share);
        fputc('\n', out);
    }
    int status = finish(out, "strategies.dat", error);
    snprintf(name, sizeof(name), "strategies-%s.gp", suffix);
    out = status == 0 ? create(directory, name, error) : NULL;
    if (out == NULL) {
        return -EIO;
    }
    fprintf(out,
            "set terminal %s size 900,760\nset output 'strategies.%s'\nset grid y\nset style data "
            "histogram\nset style fill solid 0.7\nset boxwidth 0.8\nset xtics rotate by -35\n"
            "set key off\nset yrange [0:*]\nset multiplot layout 2,1\n"
            "set ylabel 'percent'\nset title 'renewable use of the load'\n"
            "plot 'strategies.dat' using 2:xtic(1)\n"
            "set title 'regret against the oracle'\n"
            "plot 'strategies.dat' using 3:xtic(1)\nunset multiplot\n",
            terminal, suffix);
    return finish(out, name, error);
}

/* Run gnuplot on a script inside @directory. Return: 1 made, 0 no gnuplot, -errno. */
static int gnuplot(const char *directory, const char *script, struct agent_error *error)
{
    char command[] = "gnuplot";
    char file[64];
    char *arguments[] = {command, file, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    int ended = 0;

    snprintf(file, sizeof(file), "%s", script);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return agent_error_set(error, ENOMEM, "plots: out of memory");
    }
    posix_spawn_file_actions_addchdir_np(&actions, directory);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int result = posix_spawnp(&child, command, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (result == ENOENT) {
        return 0;
    }
    if (result != 0) {
        return agent_error_set(error, result, "gnuplot cannot be started: %s", strerror(result));
    }
    while (waitpid(child, &ended, 0) < 0) {
        if (errno != EINTR) {
            return agent_error_set(error, errno, "gnuplot: %s", strerror(errno));
        }
    }
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 127) {
        return 0;
    }
    return WIFEXITED(ended) && WEXITSTATUS(ended) == 0
               ? 1
               : agent_error_set(error, EIO, "gnuplot failed on %.200s/%s", directory, script);
}

int agent_sim_report_plots(const struct agent_sim_report *report, const char *directory,
                           struct agent_error *error)
{
    static const char *const terminal[2] = {"pngcairo noenhanced font 'sans,10'",
                                            "svg noenhanced font 'sans,12'"};
    static const char *const suffix[2] = {"png", "svg"};
    char script[32];
    int images = 0;

    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        return agent_error_set(error, errno, "plots %.300s: %s", directory, strerror(errno));
    }
    int status = day_data(report, directory, error);
    for (int k = 0; k < 2 && status >= 0; k++) {
        status = day_script(report, directory, terminal[k], suffix[k], error);
        snprintf(script, sizeof(script), "day-%s.gp", suffix[k]);
        status = status < 0 ? status : gnuplot(directory, script, error);
        images += status > 0 ? 1 : 0;
        if (status >= 0 && report->result->outcome_count > 0) {
            status = strategy_files(report, directory, terminal[k], suffix[k], error);
            snprintf(script, sizeof(script), "strategies-%s.gp", suffix[k]);
            status = status < 0 ? status : gnuplot(directory, script, error);
            images += status > 0 ? 1 : 0;
        }
    }
    return status < 0 ? status : images;
}
