/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - apn-rdma: plan a path for RDMA, and measure one between two processes
 * Owner: the command line.   Thread: main.   Time: none.   Units: as the options say. */
#include <stdio.h>
#include <string.h>

#include "rdma.h"

static const char usage[] =
    "usage: apn-rdma plan [--rate GBPS] [--rtt MS] [--extent KIB] [--lanes N] [--mtu BYTES] [--max-qp-wr N]\n"
    "                     [--message-rate MILLIONS] [--packets-per-qp N] [--timeout S] [--ipv6] [--json]\n"
    "       apn-rdma receive [OPTIONS] ADDRESS PORT\n"
    "       apn-rdma send    [OPTIONS] ADDRESS PORT\n"
    "plan: queue pairs, depth, buffers, timers and the throughput to expect; a number left out is a usual one.\n"
    "receive, send: move memory from one process into another and compare it; one JSON line each.\n"
    "  --backend NAME   rdma (default), rdma:DEVICE[:PORT[:GID]], uring, auto\n"
    "  --mib N          memory (default 256), the same at both ends\n"
    "  --lanes N        send: lanes (default 2)\n"
    "  --passes N       send: times that all of it is sent (default 1); the first is not measured when there are more\n"
    "  --scattered      send: every other page of 4 KiB, each by itself\n"
    "  --filters WORDS  faults and delays around this end, e.g. fault=lane:0:cut@after=8MB\n"
    "  --window KIB     send: fixed window; 64 makes it stop and wait (default: found by itself)\n";

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    if (!strcmp(command, "plan")) {
        return rdma_plan(argc - 1, argv + 1);
    }
    if (!strcmp(command, "send")) {
        return rdma_send(argc - 1, argv + 1);
    }
    if (!strcmp(command, "receive")) {
        return rdma_receive(argc - 1, argv + 1);
    }
    if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "help")) {
        fputs(usage, stdout);
        return 0;
    }
    fputs(usage, stderr);
    return 2;
}
