/* SPDX-License-Identifier: GPL-2.0-or-later */
/* without_dpdk.c - apn-path itself does not link DPDK; see path.h */
#include "path.h"

const struct path_engine_ops *const path_engine_dpdk = NULL;
