/* SPDX-License-Identifier: GPL-2.0-or-later */
/* embedded.h - the page and the description of the interface, inside the program
 * Owner: static tables made by embed.py at build time.   Thread: any.
 * Time:  none.                                           Units:  bytes. */
#ifndef AGENT_API_EMBEDDED_H
#define AGENT_API_EMBEDDED_H

#include <stddef.h>

/** struct agent_embedded - one file. @etag: quoted digest of the content */
struct agent_embedded {
    const char *name;
    const char *type;
    const char *etag;
    const unsigned char *bytes;
    size_t size;
};

/** agent_embedded_find() - the file of that name, or NULL */
const struct agent_embedded *agent_embedded_find(const char *name);

#endif
