/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* filter.h - links with something in between: faults, delay, rate, trace. For tests and for trying
 * things out. Owner: the wrapped backend owns what it wraps.   Thread: as for any backend.   Time:
 * the config's clock.
 *
 * Grammar
 *   filters := filter { ';' filter }          outermost (next to the engine) first; at most
 * APN_FILTERS_MAX filter  := "delay=" TIME                  every message leaves that much later |
 * "rate=" RATE                   all links of this end together send no faster | "trace=" PREFIX
 * one line per message and link event into PREFIX.PID.N | "fault=" FAULT FAULT   := WHERE ':'
 * ACTION [ '@' OPTION { ',' OPTION } ] WHERE   := ("tx"|"rx") ':' TYPE ':' N     the Nth message of
 * TYPE this end sends or receives, on any link, counted from 1; TYPE as in apn_msg_type_name() or
 * "ANY"; N may be '*' | "lane:" LANE                   the link of one lane | "all" all links of
 * this end ACTION  := "cut"                          the link dies; with tx or rx the message is
 * lost, as it is with TCP: not delivered, and nothing behind it | "stall" the same in silence:
 * nothing passes any more, neither end is told | "cut-forever" | "stall-forever"  and nothing is
 * opened again: for "lane" that lane, else the whole path OPTION  := "after=" BYTES (lane, all)
 * once that many wire bytes have passed, both directions | "at=" TIME                     (lane,
 * all) that long after the first link came up | "p=" PROBABILITY               every message in
 * question, independently; may strike again and again | "seed=" NUMBER                 of p;
 * default 1 | "for=" TIME                    as -forever, but only that long TIME    := NUMBER
 * ("ns"|"us"|"ms"|"s")    RATE := NUMBER ("bit"|"Kbit"|"Mbit"|"Gbit") per second BYTES   := NUMBER
 * ["B"|"KB"|"MB"|"GB"|"KiB"|"MiB"|"GiB"]     NUMBER may have a decimal fraction Examples
 *   "fault=tx:GRANT:1:cut"  "fault=rx:STARTED:1:stall-forever"  "fault=lane:2:cut@after=100MB"
 *   "fault=all:cut@at=2s,for=5s"  "fault=tx:ANY:*:cut@p=0.001,seed=7"  "delay=3ms;rate=2.5Gbit"
 *
 * What a fault on the sending side loses is lost after what was sent before it has had
 * FAULT_GRACE_NS to arrive. On the listening side an opening that is refused is answered with a
 * REJECT whose code is EHOSTUNREACH; on the connecting side the link goes down with that code. */
#ifndef APN_FILTER_FILTER_H
#define APN_FILTER_FILTER_H

#include <apnmig/backend.h>

#define APN_FILTERS_MAX     8u
#define APN_FILTER_TEXT_MAX 512u /* of the whole string */

/** apn_filters_wrap() - put @filters around @next
 * @filters: see above; NULL or "" wraps nothing
 * @config:  of @next; its clock must outlive the filters
 * @out:     the outermost; freeing it frees @next too
 * Return: 0; -EINVAL (text names the filter, the value, the limit), -ENOMEM, what opening a trace
 * file says. On failure @next is unchanged and the caller's. */
int apn_filters_wrap(struct apn_backend *next, const char *filters,
                     const struct apn_backend_config *config, struct apn_backend **out,
                     struct apn_error *err);

#endif
