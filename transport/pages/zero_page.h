/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zero_page.h - which pages of guest RAM hold nothing but zeroes
 * Owner: stateless.   Thread: any.   Time: none.   Units: bytes, multiples of APN_PAGE_SIZE.
 *
 * Guest RAM may change while it is read. "Zero" then means: every byte was zero at some moment of
 * the call. That is enough, because a page that changes during or after the call is dirty again and
 * will be looked at again; "not zero" is always true of some moment. The caller clears the dirty
 * bit before it calls. */
#ifndef APN_PAGES_ZERO_PAGE_H
#define APN_PAGES_ZERO_PAGE_H

#include <stdbool.h>
#include <stddef.h>

/** apn_page_is_zero() - is one page all zeroes?
 * @page: readable, aligned to APN_PAGE_SIZE */
bool apn_page_is_zero(const void *page);

/** apn_zero_span() - leading bytes of a range that are zero pages
 * @start: readable, aligned to APN_PAGE_SIZE
 * @bytes: multiple of APN_PAGE_SIZE, 0 allowed
 * Return: 0..@bytes, multiple of APN_PAGE_SIZE. */
size_t apn_zero_span(const void *start, size_t bytes);

/** apn_data_span() - leading bytes of a range that are pages with contents; arguments as
 * apn_zero_span() */
size_t apn_data_span(const void *start, size_t bytes);

/** apn_zero_page_variant() - which code this processor runs: "avx2", "sse2", "portable" */
const char *apn_zero_page_variant(void);

/** apn_zero_page_force() - tests and benches: use the named variant, NULL = the best one
 * Return: 0, -ENOENT (unknown or not on this processor). */
int apn_zero_page_force(const char *variant);

#endif
