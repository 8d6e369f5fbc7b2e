/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* note.h - what a backend did not get from the system, sentence by sentence
 * Owner: the caller's buffer.   Thread: whoever holds the buffer's lock.   Time: none.   Units: bytes. */
#ifndef APN_BACKEND_NOTE_H
#define APN_BACKEND_NOTE_H

#include <stddef.h>

/** apn_note_add() - append @sentence to @notes, "; " between; "", one that is there, and one that does not fit whole change nothing */
void apn_note_add(char *notes, size_t bytes, const char *sentence);

#endif
