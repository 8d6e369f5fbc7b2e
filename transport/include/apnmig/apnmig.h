/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* apnmig.h - libapnmig: page transfer for live migration over long, fat, clean paths (include this) */
#ifndef APNMIG_H
#define APNMIG_H

#include <apnmig/error.h>
#include <apnmig/postcopy.h>
#include <apnmig/region.h>
#include <apnmig/session.h>
#include <apnmig/stats.h>

#endif
