/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* note.c - see note.h */
#include "backend/note.h"

#include <stdio.h>
#include <string.h>

void apn_note_add(char *notes, size_t bytes, const char *sentence)
{
    const size_t used = strlen(notes), more = strlen(sentence);
    const size_t gap = used ? 2 : 0;

    if (more == 0 || strstr(notes, sentence) || used + gap + more >= bytes) {
        return;
    }
    snprintf(notes + used, bytes - used, "%s%s", gap ? "; " : "", sentence);
}
