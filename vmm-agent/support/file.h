/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.h - whole small files in and out
 * Owner: returned buffers are the caller's (free).   Thread: any; blocks on the disk.
 * Time:  none.                                       Units: bytes. */
#ifndef AGENT_SUPPORT_FILE_H
#define AGENT_SUPPORT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

/** agent_file_read() - a whole regular file or pipe of at most @max_bytes ("-" = standard input)
 * @out: terminated, caller frees. Return: 0, -EFBIG, or the -errno of opening or reading. */
int agent_file_read(const char *path, size_t max_bytes, char **out, size_t *size,
                    struct agent_error *error);

/** agent_file_write() - replace @path as a whole: a reader sees the old or the new content, also
 * after a crash (temporary file beside it, fsync, rename, fsync of the directory)
 * Return: 0 or -errno. */
int agent_file_write(const char *path, const char *bytes, size_t size, struct agent_error *error);

/** agent_file_digest() - 64-bit FNV-1a, to recognise content; not a defence against attackers */
uint64_t agent_file_digest(const char *bytes, size_t size);

#endif
