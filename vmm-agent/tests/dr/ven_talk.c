/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ven_talk.c - demand response against a VTN, in a world of two idle sites; tells what happens
 * usage: ven-talk CONFIG     a document with the section `dr` only; ends with its standard input
 * Owner: none.   Thread: main.   Time: the wall clock.   Units: kW.
 *
 * Each event of demand response is one JSON line on standard output. A line on standard input is a
 * command: "state" prints the state, anything else is "VERB JSON". */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "act/inventory.h"
#include "dr/settings.h"

static struct {
    struct agent_clock clock;
    struct agent_loop *loop;
    struct agent_dr *dr;
    struct agent_dr_config config;
    struct agent_watch *watch;
    bool paused[4];
} talk;

static size_t guests(void *opaque)
{
    (void)opaque;
    return 4;
}

static void guest(void *opaque, size_t index, struct agent_dr_guest *out)
{
    (void)opaque;
    *out = (struct agent_dr_guest){.name = index < 2 ? "e" : "w",
                                   .site = index < 2 ? 0 : 1,
                                   .armed_site = -1,
                                   .arming_site = -1,
                                   .wanted_site = -1,
                                   .may = AGENT_DR_MAY_PAUSE,
                                   .paused = talk.paused[index],
                                   .power_kw = 10,
                                   .pue = 1,
                                   .yen_per_hour = 100,
                                   .yen_per_move = 1};
}

static void cell(void *opaque, size_t site, struct agent_dr_cell *out)
{
    (void)opaque;
    (void)site;
    *out = (struct agent_dr_cell){0};
}

static double measure(void *opaque, size_t site, double *sigma_kw)
{
    (void)opaque;
    *sigma_kw = 0.5;
    return 30 + (talk.paused[2 * site] ? 0 : 10) + (talk.paused[2 * site + 1] ? 0 : 10);
}

static double room_kw(void *opaque, size_t site)
{
    (void)opaque;
    (void)site;
    return 100;
}

static int pause_guest(void *opaque, size_t index, bool on, struct agent_error *error)
{
    (void)opaque;
    (void)error;
    talk.paused[index] = on;
    return 0;
}

static const struct agent_dr_world world = {.guests = guests,
                                            .guest = guest,
                                            .cell = cell,
                                            .measure = measure,
                                            .room_kw = room_kw,
                                            .pause = pause_guest};

static void print(const char *type, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);

    printf("%s %s\n", type, text != NULL ? text : "{}");
    fflush(stdout);
    free(text);
    json_decref(body);
}

static void tell(void *opaque, const char *type, json_t *body)
{
    (void)opaque;
    print(type, body);
}

static void alert(void *opaque, const char *key, const char *text)
{
    (void)opaque;
    if (text != NULL) {
        print("alert", json_pack("{s:s,s:s}", "key", key, "text", text));
    }
}

static const struct agent_dr_hooks hooks = {tell, alert, NULL};

static void command(char *line)
{
    char *space = strchr(line, ' ');
    struct agent_error error = {0};
    json_t *reply = NULL;
    json_t *args = space != NULL ? json_loads(space + 1, 0, NULL) : NULL;
    int status = -ENOSYS;

    if (space != NULL) {
        *space = '\0';
    }
    if (strcmp(line, "state") == 0) {
        reply = agent_dr_state(talk.dr);
        status = 0;
    } else if (strcmp(line, "trigger") == 0) {
        status = agent_dr_trigger(talk.dr, args, &reply, &error);
    } else if (strcmp(line, "opt-out") == 0) {
        status = agent_dr_opt_out(talk.dr, args, &reply, &error);
    }
    json_decref(args);
    print("reply", status == 0 ? reply : json_pack("{s:s}", "error", error.text));
}

static void on_input(void *opaque, uint32_t events)
{
    char text[4096];
    ssize_t length = read(STDIN_FILENO, text, sizeof(text) - 1);

    (void)opaque;
    (void)events;
    if (length <= 0) {
        agent_loop_stop(talk.loop);
        return;
    }
    text[length] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        command(line);
    }
}

static int run(const char *path, struct agent_yaml **root, struct agent_error *error)
{
    static struct agent_inventory_site sites[2] = {{.name = "east"}, {.name = "west"}};
    struct agent_inventory inventory = {.sites = sites, .site_count = 2};
    int status = agent_yaml_load(path, root, error);

    status = status < 0 ? status : agent_dr_config_read(*root, &inventory, &talk.config, error);
    agent_clock_real(&talk.clock);
    status = status < 0 ? status : agent_loop_new(&talk.clock, &talk.loop, error);
    status = status < 0 ? status : agent_loop_stop_on_signals(talk.loop, error);
    status = status < 0
                 ? status
                 : agent_dr_new(talk.loop, &talk.config.settings, &world, NULL, &talk.dr, error);
    if (status < 0) {
        return status;
    }
    agent_dr_hook(talk.dr, &hooks, NULL);
    agent_loop_watch(talk.loop, STDIN_FILENO, EPOLLIN, on_input, NULL, &talk.watch);
    status = agent_dr_start(talk.dr, error);
    return status < 0 ? status : agent_loop_run(talk.loop);
}

int main(int argc, char **argv)
{
    struct agent_error error = {0};
    struct agent_yaml *root = NULL;
    char text[1024];
    int status = argc == 2 ? run(argv[1], &root, &error) : -EINVAL;

    if (status < 0) {
        fprintf(stderr, "ven-talk: %s\n", agent_error_format(&error, text, sizeof(text)));
    }
    agent_dr_free(talk.dr);
    agent_loop_unwatch(talk.watch);
    agent_loop_free(talk.loop);
    agent_dr_config_done(&talk.config);
    agent_yaml_free(root);
    return status < 0 ? 1 : 0;
}
