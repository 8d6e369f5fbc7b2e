/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synth_file.h - one text file in the making: UTF-8 in memory, any encoding on disk
 * Owner: struct agent_synth_file, _open/_close.   Thread: one.
 * Time:  none.   Units: none. */
#ifndef AGENT_SIMULATE_SYNTH_FILE_H
#define AGENT_SIMULATE_SYNTH_FILE_H

#include <stdio.h>

#include "simulate/synth.h"

enum agent_synth_encoding { SYNTH_UTF8, SYNTH_UTF8_BOM, SYNTH_CP932 };

/** struct agent_synth_file - print to @out; lines end with '\n' and are converted on close */
struct agent_synth_file {
    FILE *out;
    char *text;
    size_t size;
    enum agent_synth_encoding encoding;
    bool crlf;
    char path[4096];
};

/** agent_synth_file_open() - @name inside @directory. Return: 0, -ENAMETOOLONG, -ENOMEM. */
int agent_synth_file_open(struct agent_synth_file *file, const char *directory, const char *name);

/** agent_synth_file_close() - convert and write. Return: 0, or -errno naming the file. */
int agent_synth_file_close(struct agent_synth_file *file, struct agent_error *error);

/* The families of files; each returns how many files it wrote, or -errno. */
int agent_synth_write_actuals(const struct agent_synth *synth,
                              const struct agent_synth_request *request, struct agent_error *error);
int agent_synth_write_slots(const struct agent_synth *synth,
                            const struct agent_synth_request *request, struct agent_error *error);
int agent_synth_write_markets(const struct agent_synth *synth,
                              const struct agent_synth_request *request, struct agent_error *error);
int agent_synth_write_outlooks(const struct agent_synth *synth,
                               const struct agent_synth_request *request,
                               struct agent_error *error);

#endif
