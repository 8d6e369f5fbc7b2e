/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.h - what went wrong, how much was lost, and the words for a person
 * Owner: the caller, who zero-initialises it.   Thread: any, one writer.
 * The sign never flips: functions return 0, a count, or -errno. */
#ifndef APNMIG_ERROR_H
#define APNMIG_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/** enum apn_scope - the largest thing lost decides what to do about it */
enum apn_scope {
    APN_SCOPE_NONE,    /* nothing is lost */
    APN_SCOPE_EXTENT,  /* one extent: send it again */
    APN_SCOPE_LANE,    /* one lane: its unapplied extents are dirty again, reopen it */
    APN_SCOPE_SESSION, /* the migration attempt: the guest stays at, or returns to, the source */
};

#define APN_ERROR_TEXT_MAX 200

/**
 * struct apn_error - caller-owned description of a failure
 * @code:   -errno, 0 while unset
 * @scope:  the largest thing lost
 * @text:   UTF-8, NUL-terminated; names the thing, the value and the limit
 *
 * The first writer wins: apn_error_set() on an error that is already set changes nothing, so the
 * root cause survives the cleanup that follows it.
 */
struct apn_error {
    int code;
    enum apn_scope scope;
    char text[APN_ERROR_TEXT_MAX];
};

/** apn_error_set() - describe a failure unless one is described already
 * @err:    may be NULL (then only the return value matters)
 * @code:   -errno, negative
 * @format: printf format of the text, without a newline
 * Return:  @code, so that `return apn_error_set(...)` reads well. */
int apn_error_set(struct apn_error *err, int code, enum apn_scope scope, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#ifdef __cplusplus
}
#endif
#endif
